/* SPDX-License-Identifier: Apache-2.0 */
/* A file's bytes back from its rows: text from its chunks, anything else from its one value. */
#include "core/ingest.h"

#include "core/error.h"
#include <cjson/cJSON.h>
#include <string.h>

/* Bytes of a value asked for at once; they travel as twice as many hexadecimal digits. */
#define SLICE_BYTES (4 * 1024 * 1024)

typedef struct {
    LakeSpool *into;
    gint64 overlap; /* characters that each chunk but the first repeats */
    gboolean is_first;
} Joiner;

static gboolean
begin_join(const LakeResult *columns, gpointer user_data, GError **error)
{
    (void)columns;
    (void)user_data;
    (void)error;
    return TRUE;
}

static gboolean
join_chunk(const LakeResult *row, gpointer user_data, GError **error)
{
    Joiner *joiner = user_data;
    const char *text = lake_result_text(row, 0, 0);
    gsize n_bytes = lake_result_length(row, 0, 0);

    if (!text)
        return TRUE;
    if (!joiner->is_first) {
        glong n_characters = g_utf8_strlen(text, (gssize)n_bytes);
        const char *fresh = g_utf8_offset_to_pointer(text, MIN(joiner->overlap, n_characters));
        n_bytes -= (gsize)(fresh - text);
        text = fresh;
    }
    joiner->is_first = FALSE;
    return lake_spool_append(joiner->into, text, n_bytes, error);
}

static gint64
overlap_of(const LakeLedgerEntry *entry)
{
    cJSON *settings = cJSON_Parse(entry->settings ? entry->settings : "{}");
    const cJSON *overlap = cJSON_GetObjectItemCaseSensitive(settings, "chunk_overlap");
    gint64 value = cJSON_IsNumber(overlap) ? (gint64)overlap->valuedouble : 0;

    cJSON_Delete(settings);
    return value;
}

static gboolean
restore_text(LakeCatalog *catalog, const char *table, const LakeLedgerEntry *entry,
    LakeSpool *into, GCancellable *cancellable, GError **error)
{
    static const LakeStreamSink sink = {.begin = begin_join, .row = join_chunk};
    const LakeStreamOptions options = {.is_read_only = TRUE};
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "SELECT text FROM %s WHERE file_id = $1 ORDER BY chunk_index", qualified);
    Joiner joiner = {.into = into, .overlap = overlap_of(entry), .is_first = TRUE};

    if (g_str_has_suffix(entry->encoding, "with BOM") &&
        !lake_spool_append(into, "\xef\xbb\xbf", 3, error))
        return FALSE;
    lake_statement_add_text(statement, entry->file_id);
    return lake_transport_stream(lake_catalog_transport(catalog), statement, &options, &sink,
        &joiner, NULL, cancellable, error);
}

/* The column that has all bytes of a file of this kind, in its one row; NULL: none. */
static const char *
column_of(const LakeLedgerEntry *entry)
{
    if (g_strcmp0(entry->kind, "other") == 0)
        return "data";
    return g_strcmp0(entry->kind, "image") == 0 ? "image" : NULL;
}

static gboolean
restore_bytes(LakeCatalog *catalog, const char *table, const LakeLedgerEntry *entry,
    LakeSpool *into, GCancellable *cancellable, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    const char *column = column_of(entry);

    for (gint64 offset = 0; offset < entry->size_bytes; offset += SLICE_BYTES) {
        g_autoptr(LakeStatement) statement =
            lake_statement_new_printf("SELECT substring(%s FROM $2::integer FOR $3::integer) "
                                      "FROM %s WHERE file_id = $1",
                column, qualified);
        lake_statement_add_text(statement, entry->file_id);
        lake_statement_add_int64(statement, offset + 1);
        lake_statement_add_int64(statement, SLICE_BYTES);
        statement->is_binary = TRUE;
        lake_statement_expect_bytes(statement, 0);
        g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(catalog),
            LAKE_TRANSPORT_BULK, statement, cancellable, error);

        if (!result)
            return FALSE;
        if (lake_result_n_rows(result) == 0 || !lake_result_text(result, 0, 0))
            break; /* the size will tell */
        if (!lake_spool_append(
                into, lake_result_text(result, 0, 0), lake_result_length(result, 0, 0), error))
            return FALSE;
    }
    return TRUE;
}

static gboolean
is_kept(const LakeLedgerEntry *entry)
{
    if (g_strcmp0(entry->kind, "text") == 0)
        return entry->encoding && g_str_has_prefix(entry->encoding, "UTF-8");
    return column_of(entry) != NULL;
}

/* Rows that were changed since may well have the same length. */
static gboolean
check_bytes(const LakeLedgerEntry *entry, LakeSpool *restored, GCancellable *cancellable,
    GError **error)
{
    gint64 size_bytes = lake_spool_size(restored);
    g_autofree char *hash = NULL;

    if (size_bytes == entry->size_bytes) {
        if (!entry->content_hash)
            return TRUE;
        hash = lake_spool_hash(restored, cancellable, error);
        if (!hash)
            return FALSE;
        if (strcmp(hash, entry->content_hash) == 0)
            return TRUE;
    }
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
        "the rows of %s were changed since it was ingested: they give %s%" G_GINT64_FORMAT
        " bytes, the file had %" G_GINT64_FORMAT,
        entry->path, hash ? "other " : "", size_bytes, entry->size_bytes);
    return FALSE;
}

gboolean
lake_ingest_restore(LakeCatalog *catalog, const char *table, const LakeLedgerEntry *entry,
    LakeSpool *into, GCancellable *cancellable, GError **error)
{
    gboolean is_good;

    if (!is_kept(entry)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_REFUSED,
            "the rows of %s do not hold its original bytes (kind %s%s%s)", entry->path,
            entry->kind, entry->encoding ? ", " : "", entry->encoding ? entry->encoding : "");
        return FALSE;
    }
    if (entry->n_rows == 0 && entry->size_bytes == 0)
        return TRUE;

    is_good = (strcmp(entry->kind, "text") == 0 ? restore_text : restore_bytes)(
        catalog, table, entry, into, cancellable, error);
    return is_good && check_bytes(entry, into, cancellable, error);
}
