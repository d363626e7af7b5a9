/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/node/document.h"

#include "core/error.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* For a stat, a text is believed this long, or longer where making it took long. */
#define FRESH_US (500 * G_TIME_SPAN_MILLISECOND)
#define COST_FACTOR 20

typedef struct {
    FsNode node;
    FsDocumentRender render;
    gboolean waits;
    GMutex lock; /* guards what follows */
    gint64 size_bytes;
    gint64 rendered_at_us; /* 0: never */
    gint64 took_us;
    gboolean is_private;
} Document;

static void
document_free(FsNode *node)
{
    g_mutex_clear(&((Document *)node)->lock);
}

static char *
render(Document *document, FsCall *call, GError **error)
{
    gint64 started_us = g_get_monotonic_time();
    char *text = document->render(&document->node, call, error);

    if (text) {
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&document->lock);
        document->size_bytes = (gint64)strlen(text);
        document->rendered_at_us = g_get_monotonic_time();
        document->took_us = document->rendered_at_us - started_us;
    }
    return text;
}

static gboolean
known_size(Document *document, gint64 *ret_size_bytes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&document->lock);
    gint64 age_us = g_get_monotonic_time() - document->rendered_at_us;

    *ret_size_bytes = document->size_bytes;
    return document->waits || (document->rendered_at_us > 0 &&
                                  age_us < MAX(FRESH_US, document->took_us * COST_FACTOR));
}

static gboolean
document_attributes(FsNode *node, FsCall *call, struct stat *ret_status, GError **error)
{
    Document *document = (Document *)node;
    gint64 size_bytes;

    g_mutex_lock(&node->context->tree_lock);
    size_bytes = node->n_results > 0 ? node->result_size : -1;
    g_mutex_unlock(&node->context->tree_lock);
    if (size_bytes < 0 && !known_size(document, &size_bytes)) {
        g_autofree char *text = render(document, call, error);
        if (!text)
            return FALSE;
        size_bytes = (gint64)strlen(text);
    }
    fs_node_fill_status(node, ret_status);
    g_mutex_lock(&document->lock);
    gboolean is_private = document->is_private;
    g_mutex_unlock(&document->lock);
    ret_status->st_mode =
        S_IFREG | (is_private ? fs_node_private_mode : fs_node_mode)(node, 0444);
    fs_node_set_size(ret_status, size_bytes);
    fs_node_set_mtime(ret_status, fs_node_now_ns());
    return TRUE;
}

static FsHandle *
document_open(FsNode *node, FsCall *call, int flags, GError **error)
{
    g_autoptr(LakeSpool) content = NULL;
    g_autofree char *text = NULL;
    FsHandle *handle;

    if ((flags & O_ACCMODE) != O_RDONLY) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
            "this file is made by deeplakefs and cannot be written");
        return NULL;
    }
    text = render((Document *)node, call, error);
    if (!text)
        return NULL;
    content = lake_spool_new(lake_workspace_spool_dir(node->context->workspace));
    if (!lake_spool_append(content, text, strlen(text), error))
        return NULL;
    handle = fs_handle_new(node, call, flags);
    fs_handle_set_result(handle, content);
    return handle;
}

const FsNodeClass fs_node_document = {
    .name = "document",
    .size = sizeof(Document),
    .timeout_seconds = 0, /* the size must be asked for: it is exact only after open */
    .free = document_free,
    .attributes = document_attributes,
    .open = document_open,
};

FsNode *
fs_document_child(
    FsNode *folder, const char *name, FsDocumentRender render_text, gboolean waits)
{
    gint64 last_size;
    FsNode *known = fs_node_idle_child(folder, name, &last_size);

    if (known && known->class == &fs_node_document)
        return known;
    fs_node_unref(known);

    FsNode *made = fs_node_new(&fs_node_document, folder->context);
    Document *document = (Document *)made;
    document->render = render_text;
    document->waits = waits;
    document->size_bytes = MAX(last_size, 0);
    g_mutex_init(&document->lock);
    return fs_node_adopt(folder, name, made);
}

void
fs_document_make_private(FsNode *node)
{
    Document *document = (Document *)node;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&document->lock);

    document->is_private = TRUE;
}
