/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/other.c: the kind other: one row with all bytes of the file. */

#include "core/ingest/normaliser.h"

#include <string.h>

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
    if (!lake_ingest_check_value(lake_spool_size(input->content), error))
        return NULL;

    OtherReader *reader = g_new0(OtherReader, 1);
    reader->input = input;
    return reader;
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    OtherReader *reader = state;
    const LakeNormaliserInput *input = reader->input;

    *ret_done = reader->is_done;
    if (reader->is_done)
        return TRUE;

    lake_rows_add_text(rows, input->file_id, strlen(input->file_id));
    if (!lake_rows_add_content(rows, input->content, error))
        return FALSE;
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
