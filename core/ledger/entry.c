/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ledger/entry.h"

#include "core/error.h"
#include <string.h>

LakeLedgerEntry *
lake_ledger_entry_new(const char *path)
{
    LakeLedgerEntry *entry = g_atomic_rc_box_new0(LakeLedgerEntry);
    const char *slash = strrchr(path, '/');

    entry->path = g_strdup(path);
    entry->name = slash ? entry->path + (slash + 1 - path) : entry->path;
    return entry;
}

LakeLedgerEntry *
lake_ledger_entry_copy(const LakeLedgerEntry *entry)
{
    LakeLedgerEntry *copy = g_atomic_rc_box_new0(LakeLedgerEntry);

    *copy = *entry;
    copy->path = g_strdup(entry->path);
    copy->name = copy->path + (entry->name - entry->path);
    copy->file_id = g_strdup(entry->file_id);
    copy->kind = g_strdup(entry->kind);
    copy->content_hash = g_strdup(entry->content_hash);
    copy->encoding = g_strdup(entry->encoding);
    copy->settings = g_strdup(entry->settings);
    copy->xattrs = g_strdup(entry->xattrs);
    copy->notes = g_strdup(entry->notes);
    return copy;
}

LakeLedgerEntry *
lake_ledger_entry_ref(LakeLedgerEntry *entry)
{
    return g_atomic_rc_box_acquire(entry);
}

static void
clear_entry(gpointer data)
{
    LakeLedgerEntry *entry = data;

    g_free(entry->path);
    g_free(entry->file_id);
    g_free(entry->kind);
    g_free(entry->content_hash);
    g_free(entry->encoding);
    g_free(entry->settings);
    g_free(entry->xattrs);
    g_free(entry->notes);
}

void
lake_ledger_entry_unref(LakeLedgerEntry *entry)
{
    if (entry)
        g_atomic_rc_box_release_full(entry, clear_entry);
}

void
lake_ledger_split(const char *path, char **ret_folder, char **ret_name)
{
    const char *slash = strrchr(path, '/');

    *ret_folder = slash ? g_strndup(path, (gsize)(slash - path)) : g_strdup("");
    *ret_name = g_strdup(slash ? slash + 1 : path);
}

gboolean
lake_ledger_check_path(const char *path, GError **error)
{
    if (!g_utf8_validate(path, -1, NULL)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_NAME,
            "a file name must be UTF-8, and this one is not");
        return FALSE;
    }
    if (strlen(path) > LAKE_LEDGER_PATH_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_LONG_NAME,
            "the path below the drop zone has %zu bytes; the limit is %d", strlen(path),
            LAKE_LEDGER_PATH_MAX_BYTES);
        return FALSE;
    }
    return TRUE;
}

LakeLedgerEntry *
lake_ledger_entry_from_row(const LakeResult *result, guint row)
{
    LakeLedgerEntry *entry = lake_ledger_entry_new(lake_result_text(result, row, 0));
    const char *kind = lake_result_text(result, row, 1);

    entry->is_folder = strcmp(kind, "folder") == 0;
    entry->kind = entry->is_folder ? NULL : g_strdup(kind);
    entry->file_id = g_strdup(lake_result_text(result, row, 2));
    entry->size_bytes = lake_result_int64(result, row, 3);
    entry->attributes.mtime_ns = lake_result_int64(result, row, 4);
    entry->attributes.mode = (guint32)lake_result_int64(result, row, 5);
    entry->attributes.uid = (guint32)lake_result_int64(result, row, 6);
    entry->attributes.gid = (guint32)lake_result_int64(result, row, 7);
    entry->content_hash = g_strdup(lake_result_text(result, row, 8));
    entry->n_rows = lake_result_int64(result, row, 9);
    entry->encoding = g_strdup(lake_result_text(result, row, 10));
    entry->settings = g_strdup(lake_result_text(result, row, 11));
    entry->xattrs = g_strdup(lake_result_text(result, row, 12));
    entry->notes = g_strdup(lake_result_text(result, row, 13));
    return entry;
}
