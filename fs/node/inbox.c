/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/inbox.h"

#include "core/error.h"
#include "fs/cache.h"
#include "fs/failures.h"
#include "fs/freshness.h"
#include "fs/name.h"
#include "fs/node/document.h"
#include "fs/node/inbox_commit.h"
#include "fs/node/options.h"
#include <string.h>

#define NAME_BYTES_MAX 255 /* NAME_MAX, linux/limits.h; FUSE itself would take 1024 */

static LakeCatalog *
catalog_of(FsNode *node)
{
    return lake_workspace_catalog(node->context->workspace);
}

gboolean
fs_inbox_locate(FsNode *node, char **ret_zone, char **ret_path, GError **error)
{
    g_autoptr(FsNode) inbox = fs_node_dup_ancestor(node, &fs_node_inbox);
    g_autofree char *path = inbox ? fs_node_dup_path(node, inbox) : NULL;
    char *slash;

    if (!path || !*path) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
            "the file or folder was removed");
        return FALSE;
    }
    slash = strchr(path, '/');
    *ret_path = g_strdup(slash ? slash + 1 : "");
    if (slash)
        *slash = '\0';
    *ret_zone = fs_name_to_table(path, error);
    if (!*ret_zone)
        g_clear_pointer(ret_path, g_free);
    return *ret_zone != NULL;
}

static FsNode *
folder_child(FsNode *folder, const char *name)
{
    FsNode *known = fs_node_child(folder, name);

    if (known && known->class == &fs_node_inbox_folder)
        return known;
    fs_node_unref(known);
    return fs_node_adopt(folder, name, fs_node_new(&fs_node_inbox_folder, folder->context));
}

/* --- ingest/ --- */

static FsNode *
inbox_lookup(FsNode *inbox, FsCall *call, const char *name, GError **error)
{
    g_autofree char *zone = fs_name_to_table(name, NULL);
    FsCacheTable *found = NULL;
    gboolean is_zone;

    if (!zone || !fs_cache_find_table(inbox->context->cache, call, zone, &found, error))
        return NULL;
    is_zone = found && found->is_zone;
    fs_cache_table_free(found);
    return is_zone ? folder_child(inbox, name) : NULL;
}

static GPtrArray *
inbox_list(
    FsNode *inbox, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    g_autoptr(GPtrArray) tables = fs_cache_list_tables(inbox->context->cache, call, error);
    GPtrArray *listed;

    if (!tables)
        return NULL;
    listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);
    for (guint i = 0; i < tables->len; i++) {
        const FsCacheTable *table = g_ptr_array_index(tables, i);
        g_autofree char *name = fs_name_from_table(table->name);

        if (table->is_zone)
            g_ptr_array_add(listed, fs_listed_new(name, TRUE));
    }
    *ret_is_last = TRUE;
    return listed;
}

static FsHandle *
inbox_create(
    FsNode *inbox, FsCall *call, const char *name, guint32 mode, int flags, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_REFUSED,
        "a file needs a table: ingest/ itself takes none");
    if (error)
        lake_error_hint(*error, "copy it into ingest/<table>/; mkdir makes that folder");
    return NULL;
}

static FsNode *
inbox_make_folder(FsNode *inbox, FsCall *call, const char *name, guint32 mode, GError **error)
{
    g_autofree char *zone = fs_name_to_table(name, error);
    LakeFileAttributes attributes = fs_inbox_new_attributes(call, S_IFDIR | mode, NULL);
    FsCacheTable *found = NULL;
    gboolean exists;

    if (!zone || !fs_cache_find_table(inbox->context->cache, call, zone, &found, error))
        return NULL;
    exists = found != NULL;
    fs_cache_table_free(found);
    if (exists) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_EXISTS,
            "\"%s\" is a table, and so a drop zone, already", zone);
        return NULL;
    }
    if (!lake_ledger_add_folder(
            catalog_of(inbox), zone, "", &attributes, call->cancellable, error))
        return NULL;
    fs_cache_tables_changed(inbox->context->cache);
    fs_cache_forget_zone(inbox->context->cache, zone);
    return folder_child(inbox, name);
}

static gboolean
inbox_remove_folder(FsNode *inbox, FsCall *call, const char *name, GError **error)
{
    g_autofree char *zone = fs_name_to_table(name, error);
    g_autoptr(FsNode) folder = zone ? fs_node_child(inbox, name) : NULL;
    g_autoptr(GPtrArray) unsaved = folder ? fs_node_pinned_children(folder) : NULL;

    if (!zone)
        return FALSE;
    if (unsaved && unsaved->len > 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_EMPTY,
            "files are being copied into ingest/%s", name);
        return FALSE;
    }
    if (!lake_ledger_remove_folder(catalog_of(inbox), zone, "", call->cancellable, error))
        return FALSE;
    fs_cache_tables_changed(inbox->context->cache);
    fs_cache_forget_zone(inbox->context->cache, zone);
    fs_node_detach(inbox, name);
    return TRUE;
}

static gboolean
inbox_rename(FsNode *inbox, FsCall *call, const char *name, FsNode *new_folder,
    const char *new_name, gboolean may_replace, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_REFUSED,
        "a drop zone is named after its table");
    if (error)
        lake_error_hint(*error, "rename the table at the top of the mount: mv %s …", name);
    return FALSE;
}

const FsNodeClass fs_node_inbox = {
    .name = "inbox",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = 60,
    .attributes = fs_node_folder_attributes,
    .lookup = inbox_lookup,
    .list = inbox_list,
    .create = inbox_create,
    .make_folder = inbox_make_folder,
    .remove_folder = inbox_remove_folder,
    .rename = inbox_rename,
};

/* --- a drop zone, or a folder in one --- */

/* Zone of folder, and the path below it of its child `name` (NULL: of the folder itself). */
static gboolean
locate_child(FsNode *folder, const char *name, char **ret_zone, char **ret_path, GError **error)
{
    g_autofree char *path = NULL;

    if (!fs_inbox_locate(folder, ret_zone, &path, error))
        return FALSE;
    if (!name)
        *ret_path = g_steal_pointer(&path);
    else
        *ret_path = *path ? g_strconcat(path, "/", name, NULL) : g_strdup(name);
    return TRUE;
}

static gboolean
check_new_name(const char *name, const char *path, GError **error)
{
    if (strlen(name) > NAME_BYTES_MAX) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_LONG_NAME,
            "a file name has at most %d bytes", NAME_BYTES_MAX);
        return FALSE;
    }
    return lake_ledger_check_path(path, error);
}

/* The file that "<name>.error" is about; caller frees. NULL: not such a name. */
static char *
refused_path(const char *path)
{
    if (!g_str_has_suffix(path, FS_INBOX_ERROR_SUFFIX) ||
        strlen(path) == strlen(FS_INBOX_ERROR_SUFFIX))
        return NULL;
    return g_strndup(path, strlen(path) - strlen(FS_INBOX_ERROR_SUFFIX));
}

static char *
render_reason(FsNode *document, FsCall *call, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    g_autofree char *refused = NULL;
    char *reason;

    if (!fs_inbox_locate(document, &zone, &path, error))
        return NULL;
    refused = refused_path(path);
    reason = fs_failures_reason(document->context->failures, zone, refused);
    if (!reason)
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_FOUND,
            "the file was copied well meanwhile");
    return reason;
}

static FsNode *
lookup_reason(FsNode *folder, const char *name, const char *zone, const char *path)
{
    g_autofree char *refused = refused_path(path);
    g_autofree char *reason =
        refused ? fs_failures_reason(folder->context->failures, zone, refused) : NULL;

    return reason ? fs_document_child(folder, name, render_reason, FALSE) : NULL;
}

static FsNode *
unsaved_child(FsNode *folder, const char *name)
{
    FsNode *known = fs_node_child(folder, name);

    if (known && known->class == &fs_node_inbox_file && fs_inbox_file_is_unsaved(known))
        return known;
    fs_node_unref(known);
    return NULL;
}

static FsNode *
folder_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    FsNode *unsaved = unsaved_child(folder, name);

    if (unsaved)
        return unsaved;
    if (!g_utf8_validate(name, -1, NULL))
        return NULL;
    if (!locate_child(folder, name, &zone, &path, error) ||
        !fs_cache_find_entry(folder->context->cache, call, zone, path, &entry, error))
        return NULL;
    if (fs_options_is_path(path))
        return fs_options_lookup(folder, entry != NULL);
    if (fs_options_is_effective_path(path))
        return fs_options_effective(folder);
    if (!entry)
        return lookup_reason(folder, name, zone, path);
    return entry->is_folder ? folder_child(folder, name) : fs_inbox_file_child(folder, name);
}

/* cp looks a new name up three times before it creates it. */
static double
folder_absence_seconds(const char *name)
{
    /* A reason appears by a close of another file. */
    return g_str_has_suffix(name, FS_INBOX_ERROR_SUFFIX) ? 0 : FS_CACHE_KERNEL_SECONDS;
}

static FsNode *
folder_lookup_listed(FsNode *folder, const FsListed *listed)
{
    if (!listed->entry || fs_options_is_path(listed->entry->path))
        return NULL;
    return listed->is_folder ? folder_child(folder, listed->name)
                             : fs_inbox_file_child(folder, listed->name);
}

static gboolean
folder_listed_attributes(FsNode *child, const FsListed *listed, struct stat *ret_status)
{
    const LakeLedgerEntry *entry = listed->entry;

    if (!entry || fs_options_is_path(entry->path) ||
        (!entry->is_folder && fs_inbox_file_is_unsaved(child)))
        return FALSE;
    fs_inbox_fill_status(
        child, &entry->attributes, entry->is_folder ? 0 : entry->size_bytes, ret_status);
    return TRUE;
}

static LakeLedgerEntry *
find_folder_entry(FsNode *node, FsCall *call, char **ret_zone, GError **error)
{
    g_autofree char *path = NULL;
    LakeLedgerEntry *entry = NULL;

    if (!fs_inbox_locate(node, ret_zone, &path, error) ||
        !fs_cache_find_entry(node->context->cache, call, *ret_zone, path, &entry, error))
        return NULL;
    if (*path && (!entry || !entry->is_folder)) {
        g_clear_pointer(&entry, lake_ledger_entry_unref);
        /* By others: as with files, fs/node/inbox_saved.h. */
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_STALE,
            "ingest/%s/%s was removed", *ret_zone, path);
        return NULL;
    }
    if (!entry) {
        /* A table's drop zone that nobody set anything on. */
        entry = lake_ledger_entry_new("");
        entry->is_folder = TRUE;
        entry->attributes = (LakeFileAttributes){
            .mode = S_IFDIR | fs_node_mode(node, 0777),
            .uid = node->context->uid,
            .gid = node->context->gid,
            .mtime_ns = node->context->started_ns,
        };
    }
    return entry;
}

/* Of what call makes in folder. */
static gboolean
new_attributes(FsNode *folder, FsCall *call, guint32 mode, LakeFileAttributes *ret_attributes,
    GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_folder_entry(folder, call, &zone, error);

    if (entry)
        *ret_attributes = fs_inbox_new_attributes(call, mode, &entry->attributes);
    return entry != NULL;
}

static FsHandle *
folder_create(
    FsNode *folder, FsCall *call, const char *name, guint32 mode, int flags, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    LakeFileAttributes attributes;
    g_autoptr(FsNode) file = NULL;

    if (!locate_child(folder, name, &zone, &path, error) ||
        !check_new_name(name, path, error) ||
        !new_attributes(folder, call, S_IFREG | mode, &attributes, error))
        return NULL;
    if (fs_options_is_path(name) || fs_options_is_effective_path(path))
        return fs_options_create(folder, call, path, &attributes, flags, error);
    file = fs_inbox_file_child(folder, name);
    return fs_inbox_file_create(file, call, &attributes, flags);
}

static FsNode *
folder_make_folder(FsNode *folder, FsCall *call, const char *name, guint32 mode, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    LakeFileAttributes attributes;

    if (!locate_child(folder, name, &zone, &path, error) ||
        !check_new_name(name, path, error) ||
        !new_attributes(folder, call, S_IFDIR | mode, &attributes, error) ||
        !lake_ledger_add_folder(
            catalog_of(folder), zone, path, &attributes, call->cancellable, error))
        return NULL;

    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_new(path);
    entry->is_folder = TRUE;
    entry->attributes = attributes;
    fs_cache_put_entry(folder->context->cache, zone, entry);
    return folder_child(folder, name);
}

/* The node of a file by that name, where there is one. */
static void
add_file_child(FsNode *folder, const char *name, GPtrArray *files)
{
    g_autoptr(FsNode) known = fs_node_child(folder, name);

    if (known && known->class == &fs_node_inbox_file)
        g_ptr_array_add(files, g_steal_pointer(&known));
}

/* Of a file that is held, if its node is known. */
static gboolean
remove_held(FsNode *folder, FsCall *call, const char *name, const char *zone, const char *path,
    GError **error)
{
    FsContext *context = folder->context;
    g_autofree char *refused = NULL;
    g_autoptr(FsNode) unsaved = unsaved_child(folder, name);
    g_autoptr(GError) failure = NULL;

    /* A file that was never ingested is not in the ledger: most temporary ones. */
    if (unsaved && fs_cache_expectation(context->cache, zone, path) == LAKE_INGEST_NEW) {
        fs_inbox_file_drop(unsaved);
        fs_failures_forgive(context->failures, zone, path);
        fs_node_detach(folder, name);
        return TRUE;
    }
    if (!lake_ledger_remove_file(catalog_of(folder), zone, path, call->cancellable, &failure)) {
        refused = refused_path(path);
        gboolean was_reason = refused && fs_failures_forgive(context->failures, zone, refused);
        gboolean is_missing = g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);

        if (!is_missing || (!unsaved && !was_reason)) {
            fs_cache_forget_zone(context->cache, zone); /* it may have happened all the same */
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
    if (unsaved)
        fs_inbox_file_drop(unsaved);
    fs_cache_remove_entry(context->cache, zone, path);
    fs_failures_forgive(context->failures, zone, path);
    fs_node_detach(folder, name);
    return TRUE;
}

static gboolean
folder_remove_file(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autoptr(GPtrArray) held = g_ptr_array_new_with_free_func((GDestroyNotify)fs_node_unref);
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;
    gboolean is_good;

    if (!locate_child(folder, name, &zone, &path, error))
        return FALSE;
    if (fs_options_is_path(path))
        return fs_options_remove(folder, call, zone, error);
    add_file_child(folder, name, held);
    if (!fs_inbox_files_hold(held, call, error))
        return FALSE;
    is_good = remove_held(folder, call, name, zone, path, error);
    fs_inbox_files_let_go(held);
    fs_freshness_wait(folder->context); /* its rows */
    return is_good;
}

/* Files in it that are being written or have temporary names: the ledger does not know them. */
static gboolean
has_unsaved(FsNode *folder, const char *name)
{
    g_autoptr(FsNode) child = fs_node_child(folder, name);
    g_autoptr(GPtrArray) unsaved = child ? fs_node_pinned_children(child) : NULL;

    return unsaved && unsaved->len > 0;
}

static gboolean
folder_remove_folder(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    g_autofree char *zone = NULL;
    g_autofree char *path = NULL;

    if (!locate_child(folder, name, &zone, &path, error))
        return FALSE;
    if (has_unsaved(folder, name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_EMPTY,
            "ingest/%s/%s is not empty", zone, path);
        return FALSE;
    }
    if (!lake_ledger_remove_folder(catalog_of(folder), zone, path, call->cancellable, error))
        return FALSE;
    fs_cache_remove_entry(folder->context->cache, zone, path);
    fs_node_detach(folder, name);
    return TRUE;
}

/* --- renaming --- */

typedef struct {
    FsNode *folder, *new_folder;
    const char *name, *new_name;
    char *zone, *path, *new_path;
} Move;

static void
move_clear(Move *move)
{
    g_free(move->zone);
    g_free(move->path);
    g_free(move->new_path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Move, move_clear)

static gboolean
check_target(const Move *move, FsCall *call, gboolean may_replace, GError **error)
{
    g_autoptr(LakeLedgerEntry) entry = NULL;
    g_autoptr(FsNode) unsaved = unsaved_child(move->new_folder, move->new_name);

    if (!check_new_name(move->new_name, move->new_path, error))
        return FALSE;
    if (has_unsaved(move->new_folder, move->new_name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_NOT_EMPTY,
            "ingest/%s/%s is not empty", move->zone, move->new_path);
        return FALSE;
    }
    if (may_replace)
        return TRUE;
    if (!fs_cache_find_entry(
            move->folder->context->cache, call, move->zone, move->new_path, &entry, error))
        return FALSE;
    if (entry || unsaved) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_EXISTS,
            "ingest/%s/%s is there already", move->zone, move->new_path);
        return FALSE;
    }
    return TRUE;
}

/* Unsaved bytes that new_path names make room. */
static void
drop_target(const Move *move)
{
    g_autoptr(FsNode) target = unsaved_child(move->new_folder, move->new_name);

    if (target)
        fs_inbox_file_drop(target);
}

/* A file with unsaved bytes: its final name is what it is ingested under. */
static gboolean
move_unsaved(const Move *move, FsNode *file, FsCall *call, GError **error)
{
    FsContext *context = file->context;
    gboolean was_entered = fs_inbox_file_is_entered(file);

    if (lake_ingest_is_temporary(move->new_path)) {
        if (!fs_inbox_commit_move_entry(
                context, call, move->zone, move->path, move->new_path, error))
            return FALSE;
    } else if (!fs_inbox_file_commit(file, call, move->zone, move->new_path, error) ||
               !fs_inbox_commit_forget_entry(
                   context, call, move->zone, move->path, was_entered, error)) {
        return FALSE;
    }
    /* Not before: where the bytes are refused, the file that would be replaced stays. */
    drop_target(move);
    fs_node_move(move->folder, move->name, move->new_folder, move->new_name);
    return TRUE;
}

/* Those of files (held, and below the folder that moves) that have a temporary name. */
static GPtrArray *
find_waiting(GPtrArray *files)
{
    GPtrArray *waiting = g_ptr_array_new();

    for (guint i = 0; i < files->len; i++) {
        g_autofree char *zone = NULL;
        g_autofree char *path = NULL;

        if (fs_inbox_locate(files->pdata[i], &zone, &path, NULL) &&
            lake_ingest_is_temporary(path))
            g_ptr_array_add(waiting, files->pdata[i]);
    }
    return waiting;
}

/* Files that waited under a temporary folder's name are ingested under its final one: all that
 * can be, and the first error. */
static gboolean
commit_waiting(GPtrArray *waiting, FsCall *call, GError **error)
{
    gboolean is_good = TRUE;

    for (guint i = 0; i < waiting->len; i++) {
        g_autofree char *zone = NULL;
        g_autofree char *path = NULL;

        if (fs_inbox_locate(waiting->pdata[i], &zone, &path, NULL) &&
            !lake_ingest_is_temporary(path) &&
            !fs_inbox_file_commit(waiting->pdata[i], call, zone, path, is_good ? error : NULL))
            is_good = FALSE;
    }
    return is_good;
}

static gboolean
move_saved(const Move *move, FsCall *call, GPtrArray *held, GError **error)
{
    FsCache *cache = move->folder->context->cache;
    g_autoptr(GPtrArray) waiting = find_waiting(held);

    gboolean is_good = lake_ledger_rename(catalog_of(move->folder), move->zone, move->path,
        move->new_path, call->cancellable, error);
    fs_cache_forget_zone(cache, move->zone); /* also where it is not known whether it happened */
    if (!is_good)
        return FALSE;
    drop_target(move);
    fs_failures_forgive(move->folder->context->failures, move->zone, move->new_path);
    fs_node_move(move->folder, move->name, move->new_folder, move->new_name);
    return commit_waiting(waiting, call, error);
}

static gboolean
move_held(const Move *move, FsCall *call, GPtrArray *held, GError **error)
{
    g_autoptr(FsNode) unsaved = unsaved_child(move->folder, move->name);

    return unsaved ? move_unsaved(move, unsaved, call, error)
                   : move_saved(move, call, held, error);
}

/* What a move must be alone with: the file and the one that it replaces, or the unsaved files
 * below the folder. */
static GPtrArray *
files_of_move(const Move *move)
{
    g_autoptr(FsNode) child = fs_node_child(move->folder, move->name);
    GPtrArray *files;

    if (child && child->class == &fs_node_inbox_folder)
        return fs_node_pinned_below(child);
    files = g_ptr_array_new_with_free_func((GDestroyNotify)fs_node_unref);
    add_file_child(move->folder, move->name, files);
    add_file_child(move->new_folder, move->new_name, files);
    return files;
}

static gboolean
folder_rename(FsNode *folder, FsCall *call, const char *name, FsNode *new_folder,
    const char *new_name, gboolean may_replace, GError **error)
{
    g_auto(Move)
        move = {.folder = folder, .new_folder = new_folder, .name = name, .new_name = new_name};
    g_autofree char *new_zone = NULL;

    if (new_folder->class != &fs_node_inbox_folder) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_OTHER_TABLE,
            "a file of a drop zone cannot be moved out of it; copy it");
        return FALSE;
    }
    if (!locate_child(folder, name, &move.zone, &move.path, error) ||
        !locate_child(new_folder, new_name, &new_zone, &move.new_path, error))
        return FALSE;
    if (strcmp(move.zone, new_zone) != 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_OTHER_TABLE,
            "a file cannot be moved to the drop zone of another table; copy it");
        return FALSE;
    }
    if (!fs_options_check_move(move.path, move.new_path, error) ||
        !check_target(&move, call, may_replace, error))
        return FALSE;

    g_autoptr(GPtrArray) held = files_of_move(&move);
    if (!fs_inbox_files_hold(held, call, error))
        return FALSE;
    gboolean is_good = move_held(&move, call, held, error);
    fs_inbox_files_let_go(held);
    fs_freshness_wait(folder->context); /* its rows */
    return is_good;
}

/* --- attributes --- */

static gboolean
folder_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_folder_entry(node, call, &zone, error);

    if (!entry)
        return FALSE;
    fs_inbox_fill_status(node, &entry->attributes, 0, ret_status);
    return TRUE;
}

static gboolean
store_folder(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry *entry, GError **error)
{
    if (!fs_call_may_block(call) ||
        !lake_ledger_set_attributes(catalog_of(node), zone, entry->path, &entry->attributes,
            entry->xattrs, call->cancellable, error))
        return FALSE;
    fs_cache_put_entry(node->context->cache, zone, entry);
    return TRUE;
}

static gboolean
folder_change(
    FsNode *node, FsCall *call, FsHandle *handle, const FsChange *change, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_folder_entry(node, call, &zone, error);

    if (!entry)
        return FALSE;
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    fs_inbox_apply_change(&changed->attributes, change);
    return store_folder(node, call, zone, changed, error);
}

static char *
folder_xattrs(FsNode *node, FsCall *call, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_folder_entry(node, call, &zone, error);

    return entry ? g_strdup(entry->xattrs) : NULL;
}

static gboolean
folder_set_xattrs(FsNode *node, FsCall *call, const char *xattrs, GError **error)
{
    g_autofree char *zone = NULL;
    g_autoptr(LakeLedgerEntry) entry = find_folder_entry(node, call, &zone, error);

    if (!entry)
        return FALSE;
    g_autoptr(LakeLedgerEntry) changed = lake_ledger_entry_copy(entry);
    g_free(changed->xattrs);
    changed->xattrs = g_strdup(xattrs);
    return store_folder(node, call, zone, changed, error);
}

const FsNodeClass fs_node_inbox_folder = {
    .name = "inbox-folder",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = FS_CACHE_KERNEL_SECONDS,
    .attributes = folder_attributes,
    .change = folder_change,
    .lookup = folder_lookup,
    .absence_seconds = folder_absence_seconds,
    .lookup_listed = folder_lookup_listed,
    .listed_attributes = folder_listed_attributes,
    .list = fs_inbox_folder_list,
    .create = folder_create,
    .make_folder = folder_make_folder,
    .remove_file = folder_remove_file,
    .remove_folder = folder_remove_folder,
    .rename = folder_rename,
    .xattrs = folder_xattrs,
    .set_xattrs = folder_set_xattrs,
};
