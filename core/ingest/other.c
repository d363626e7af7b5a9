/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/other.c: the kind other: one row with all bytes of the file. */

#include "core/error.h"
#include "core/ingest/normaliser.h"

#include <string.h>

/* Up to this the bytes are held in the rows, so that a small file can travel with others as an
 * array; beyond, they stay in the spool until they are sent. */
#define IN_MEMORY_MAX_BYTES (1024 * 1024)

typedef struct {
    const LakeNormaliserInput *input;
    gboolean is_done;
} OtherReader;

static const LakeColumn columns[] = {
    {"file_id", LAKE_TYPE_TEXT},
    {"data", LAKE_TYPE_BINARY},
    {"filename", LAKE_TYPE_TEXT},
};

static gpointer
open_other(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    gint64 size_bytes = lake_spool_size(input->content);

    if (size_bytes > LAKE_ROWS_VALUE_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
            "the file has %" G_GINT64_FORMAT
            " bytes, but a file of this kind is one value, and a value has at most "
            "%" G_GINT64_FORMAT,
            size_bytes, LAKE_ROWS_VALUE_MAX_BYTES);
        if (error)
            lake_error_hint(*error, "split the file, or keep it elsewhere and ingest its path");
        return NULL;
    }

    OtherReader *reader = g_new0(OtherReader, 1);
    reader->input = input;
    return reader;
}

/* The content as one block; caller frees. */
static char *
read_all(LakeSpool *content, gsize n_bytes, GError **error)
{
    g_autofree char *bytes = g_malloc(MAX(n_bytes, 1));
    gssize n_read = lake_spool_read(content, 0, bytes, n_bytes, error);

    if (n_read < 0)
        return NULL;
    if ((gsize)n_read < n_bytes) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED,
            "the file became shorter while it was read");
        return NULL;
    }
    return g_steal_pointer(&bytes);
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    OtherReader *reader = state;
    const LakeNormaliserInput *input = reader->input;
    gint64 size_bytes = lake_spool_size(input->content);
    g_autofree char *bytes = NULL;

    *ret_done = reader->is_done;
    if (reader->is_done)
        return TRUE;

    if (size_bytes <= IN_MEMORY_MAX_BYTES) {
        bytes = read_all(input->content, (gsize)size_bytes, error);
        if (!bytes)
            return FALSE;
    }

    lake_rows_add_text(rows, input->file_id, strlen(input->file_id));
    if (bytes)
        lake_rows_add_bytes(rows, bytes, (gsize)size_bytes);
    else
        lake_rows_add_spool(rows, input->content);
    lake_rows_add_text(rows, input->path, strlen(input->path));
    reader->is_done = TRUE;
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    ret_facts->encoding = NULL;
    ret_facts->n_rows_total = 1;
}

static char *
settings_json(const LakeIngestSettings *settings)
{
    return g_strdup("{}");
}

const LakeNormaliser lake_ingest_other = {
    .kind = "other",
    .columns = columns,
    .n_columns = G_N_ELEMENTS(columns),
    .extensions = NULL,
    .open = open_other,
    .next_row = next_row,
    .facts = facts,
    .close = g_free,
    .settings_json = settings_json,
};
