/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "fs/adapter/request.h"

#include <errno.h>

/* An open folder: the page of its listing that was read last. */
typedef struct {
    GMutex lock;       /* guards all below; the kernel may ask twice at once */
    GPtrArray *page;   /* of FsListed */
    gint64 page_start; /* index of its first entry in the whole listing */
    gboolean is_last;
    GError *failure; /* the first of those that stand instead of an entry */
} Listing;

void
fs_adapter_op_opendir(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Listing *listing = g_new0(Listing, 1);

    g_mutex_init(&listing->lock);
    file->fh = (uintptr_t)listing;
    if (fuse_reply_open(fuse, file) != 0) {
        g_mutex_clear(&listing->lock);
        g_free(listing);
    }
}

void
fs_adapter_op_releasedir(fuse_req_t fuse, fuse_ino_t number, struct fuse_file_info *file)
{
    Listing *listing = (Listing *)(uintptr_t)file->fh; /* NOLINT */

    g_clear_pointer(&listing->page, g_ptr_array_unref);
    g_clear_error(&listing->failure);
    g_mutex_clear(&listing->lock);
    g_free(listing);
    fuse_reply_err(fuse, 0);
}

/* A folder that is gone is an empty one for whoever lists it, as on any disk: the C library
 * takes ENOENT for the end. In the middle that would make a part look like the whole. */
static gboolean
tell_break(GError **error)
{
    if (error && g_error_matches(*error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        (*error)->code = LAKE_ERROR_FAILED;
    g_prefix_error(error, "the listing broke off: ");
    return FALSE;
}

/* Makes the page that holds entry `index`, or the last one, the present one. */
static gboolean
turn_to(Listing *listing, FsNode *folder, FsCall *call, gint64 index, GError **error)
{
    if (index == 0 || (listing->page && index < listing->page_start)) {
        g_clear_pointer(&listing->page, g_ptr_array_unref);
        g_clear_error(&listing->failure);
    }
    while (!listing->page ||
           (!listing->is_last && index >= listing->page_start + listing->page->len)) {
        g_autofree char *after = NULL;
        gint64 start_index = 0;

        if (listing->page && listing->page->len > 0) {
            const FsListed *last = listing->page->pdata[listing->page->len - 1];
            after = g_strdup(last->name);
            start_index = listing->page_start + listing->page->len;
        }
        GPtrArray *page = folder->class->list(folder, call, after, &listing->is_last, error);
        if (!page)
            return after ? tell_break(error) : FALSE;
        g_clear_pointer(&listing->page, g_ptr_array_unref);
        listing->page = page;
        listing->page_start = start_index;
    }
    return TRUE;
}

typedef struct {
    char *bytes;
    gsize used, size;
    gboolean is_plus;
    gboolean is_full;
} Page;

/* Adds one entry; *node gets a lookup of the kernel's when it went in. */
static void
add_entry(FsAdapterRequest *request, Page *page, const char *name,
    const struct fuse_entry_param *entry, gint64 next_offset, FsNode *node)
{
    gsize room = page->size - page->used;
    gsize needed = page->is_plus ? fuse_add_direntry_plus(request->fuse,
                                       page->bytes + page->used, room, name, entry, next_offset)
                                 : fuse_add_direntry(request->fuse, page->bytes + page->used,
                                       room, name, &entry->attr, next_offset);

    if (needed > room) {
        page->is_full = TRUE;
        return;
    }
    page->used += needed;
    if (node && page->is_plus)
        fs_node_remember(node);
}

static gboolean
fill_listed(FsAdapterRequest *request, FsNode *child, const FsListed *listed,
    struct fuse_entry_param *ret_entry)
{
    const FsNodeClass *class = request->node->class;

    fs_adapter_start_entry(child, ret_entry);
    fs_adapter_doubt_entry(request, ret_entry);
    return (class->listed_attributes &&
               class->listed_attributes(child, listed, &ret_entry->attr)) ||
           fs_adapter_fill_entry(request, child, ret_entry, NULL);
}

static void
add_listed(FsAdapterRequest *request, Page *page, const FsListed *listed, gint64 next_offset)
{
    FsNode *folder = request->node;
    FsCall *call = &request->base.call;
    struct fuse_entry_param entry = {
        .attr = {.st_ino = 1, .st_mode = listed->is_folder ? S_IFDIR : S_IFREG}};
    g_autoptr(FsNode) child = NULL;

    /* Of names that the kernel may not believe (documents, queries) a lookup here would be work
     * for nothing: it asks again, and only those it needs. */
    if (page->is_plus && (listed->entry || listed->is_folder)) {
        if (folder->class->lookup_listed)
            child = folder->class->lookup_listed(folder, listed);
        if (!child)
            child = folder->class->lookup(folder, call, listed->name, NULL);
        /* Gone since the listing was made, or its attributes are not to be had now: named only,
         * and whoever asks for more gets the error. */
        if (!child || !fill_listed(request, child, listed, &entry)) {
            entry.ino = 0;
            entry.attr.st_ino = 1;
        }
    }
    add_entry(request, page, listed->name, &entry, next_offset, entry.ino ? child : NULL);
}

/* At the end, so that whatever can be listed was. */
static gboolean
tell_failure(const Listing *listing, GError **error)
{
    if (listing->failure)
        g_propagate_error(error, g_error_copy(listing->failure));
    return !listing->failure;
}

static gboolean
fill_page(FsAdapterRequest *request, Listing *listing, Page *page, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&listing->lock);
    gint64 offset = request->offset;

    /* Offsets count entries; "." and ".." are the first two. */
    for (; offset < 2 && !page->is_full; offset++) {
        struct fuse_entry_param dots = {.attr = {.st_ino = 1, .st_mode = S_IFDIR}};
        add_entry(request, page, offset == 0 ? "." : "..", &dots, offset + 1, NULL);
    }
    for (; !page->is_full; offset++) {
        if (!turn_to(listing, request->node, &request->base.call, offset - 2, error))
            return page->used > 0;
        if (offset - 2 >= listing->page_start + listing->page->len)
            return page->used > 0 || tell_failure(listing, error);

        const FsListed *listed = listing->page->pdata[offset - 2 - listing->page_start];
        if (!listed->failure)
            add_listed(request, page, listed, offset + 1);
        else if (!listing->failure)
            listing->failure = g_error_copy(listed->failure);
    }
    return TRUE;
}

static void
run_readdir(FsRequest *base)
{
    FsAdapterRequest *request = (FsAdapterRequest *)base;
    g_autoptr(GError) error = NULL;
    Page page = {.size = request->size, .is_plus = request->flags != 0};

    if (!fs_call_may_block(&base->call))
        return;
    page.bytes = g_malloc(page.size);
    if (fill_page(request, request->listing, &page, &error)) {
        fs_adapter_request_end(request);
        fuse_reply_buf(request->fuse, page.bytes, page.used);
    } else {
        fs_adapter_reply_error(request, error);
    }
    g_free(page.bytes);
}

static void
start_readdir(fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset,
    struct fuse_file_info *file, gboolean is_plus)
{
    FsAdapterRequest *request =
        fs_adapter_request_new(fuse, "readdir", number, FS_REQUEST_QUICK, run_readdir);

    request->listing = (gpointer)(uintptr_t)file->fh; /* NOLINT */
    request->size = size;
    request->offset = offset;
    request->flags = is_plus;
    fs_adapter_request_start(request);
}

void
fs_adapter_op_readdir(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file)
{
    start_readdir(fuse, number, size, offset, file, FALSE);
}

void
fs_adapter_op_readdirplus(
    fuse_req_t fuse, fuse_ino_t number, size_t size, off_t offset, struct fuse_file_info *file)
{
    start_readdir(fuse, number, size, offset, file, TRUE);
}
