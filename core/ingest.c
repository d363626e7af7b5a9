/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest.h"

#include "core/error.h"
#include "core/ingest/commit.h"
#include "core/ingest/normaliser.h"
#include <string.h>

/* Rows are sent when they reach this; the memory that one ingest may hold. */
#define BATCH_BYTES (1024 * 1024)

typedef struct {
    const LakeNormaliser *kind;
    gpointer state;
} Source;

static gboolean
fill_rows(gpointer data, LakeRows *rows, GCancellable *cancellable, GError **error)
{
    Source *source = data;
    gboolean is_done = FALSE;

    while (!is_done && lake_rows_bytes(rows) < BATCH_BYTES)
        if (!source->kind->next_row(source->state, rows, &is_done, cancellable, error))
            return FALSE;
    return TRUE;
}

static void
finish_entry(gpointer data, LakeLedgerEntry *entry)
{
    Source *source = data;
    LakeNormaliserFacts facts = {.n_rows_total = -1};

    source->kind->facts(source->state, &facts);
    g_free(entry->encoding);
    entry->encoding = facts.encoding;
}

static LakeLedgerEntry *
new_entry(const LakeIngestFile *file, const LakeNormaliser *kind)
{
    LakeLedgerEntry *entry = lake_ledger_entry_new(file->path);

    entry->kind = g_strdup(kind->kind);
    entry->file_id = g_uuid_string_random();
    entry->size_bytes = lake_spool_size(file->content);
    entry->attributes = file->attributes;
    entry->xattrs = g_strdup(file->xattrs);
    entry->settings = kind->settings_json(&file->settings);
    return entry;
}

/* Hashing comes before anything is sent only where it can save the sending. */
static gboolean
hash_if_useful(const LakeIngestFile *file, LakeLedgerEntry *entry, gboolean is_small,
    LakeCatalog *catalog, GCancellable *cancellable, GError **error)
{
    if (!is_small) {
        g_autoptr(LakeLedgerEntry) known =
            lake_ledger_find(catalog, file->table, file->path, cancellable, NULL);
        if (!known || known->size_bytes != entry->size_bytes)
            return TRUE;
    }
    entry->content_hash = lake_spool_hash(file->content, cancellable, error);
    return entry->content_hash != NULL;
}

static gboolean
make_folders(
    LakeCatalog *catalog, const LakeIngestFile *file, GCancellable *cancellable, GError **error)
{
    LakeFileAttributes attributes = file->attributes;

    attributes.mode = 040755; /* S_IFDIR | 0755 */
    for (const char *slash = strchr(file->path, '/'); slash; slash = strchr(slash + 1, '/')) {
        g_autofree char *folder = g_strndup(file->path, (gsize)(slash - file->path));
        g_autoptr(GError) failure = NULL;

        if (!lake_ledger_add_folder(
                catalog, file->table, folder, &attributes, cancellable, &failure) &&
            !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_EXISTS)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
ingest_rows(LakeCatalog *catalog, const LakeIngestFile *file, Source *source,
    LakeLedgerEntry *entry, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeRows) rows = lake_rows_new(source->kind->columns, source->kind->n_columns);
    gboolean is_unchanged;

    if (!fill_rows(source, rows, cancellable, error))
        return FALSE;
    LakeIngestCommit commit = {
        .catalog = catalog,
        .file = file,
        .kind = source->kind,
        .entry = entry,
        .rows = rows,
        .is_complete = lake_rows_bytes(rows) < BATCH_BYTES,
        .next_rows = fill_rows,
        .finish = finish_entry,
        .source = source,
    };
    gboolean is_small = commit.is_complete && !lake_rows_has_spool(rows);

    if (!hash_if_useful(file, entry, is_small, catalog, cancellable, error))
        return FALSE;
    if (commit.is_complete) {
        entry->n_rows = lake_rows_count(rows);
        finish_entry(source, entry);
    }
    if (file->makes_folders && !make_folders(catalog, file, cancellable, error))
        return FALSE;
    if (!lake_ingest_commit(&commit, &is_unchanged, cancellable, error))
        return FALSE;
    if (file->progress)
        file->progress(entry->n_rows, entry->n_rows, file->progress_data);
    return TRUE;
}

/* What the server says of an ingest is the specification's IngestError. */
static void
propagate_as_ingest_error(GError *failure, const LakeIngestFile *file, GError **error)
{
    const LakeErrorFacts *facts = lake_error_facts(failure);

    if (facts) {
        LakeErrorFacts own = *facts;
        own.class = LAKE_ERROR_CLASS_INGEST;
        lake_error_set_facts(
            error, failure->code, &own, "%s: %s", file->path, failure->message);
        g_error_free(failure);
    } else {
        g_propagate_prefixed_error(error, failure, "%s: ", file->path);
    }
}

static gboolean
ingest_source(LakeCatalog *catalog, const LakeIngestFile *file, LakeLedgerEntry *entry,
    const LakeNormaliser *kind, GCancellable *cancellable, GError **error)
{
    LakeNormaliserInput input = {
        .file_id = entry->file_id,
        .path = file->path,
        .content = file->content,
        .settings = file->settings,
    };
    Source source = {.kind = kind};

    source.state = kind->open(&input, cancellable, error);
    if (!source.state)
        return FALSE;
    gboolean is_good = ingest_rows(catalog, file, &source, entry, cancellable, error);
    kind->close(source.state);
    return is_good;
}

LakeLedgerEntry *
lake_ingest_file(
    LakeCatalog *catalog, const LakeIngestFile *file, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    const LakeNormaliser *kind;

    if (!lake_ledger_check_path(file->path, error) ||
        !lake_ingest_settings_check(&file->settings, error))
        return NULL;
    kind = lake_ingest_kind_of(file->path);
    entry = new_entry(file, kind);
    if (!ingest_source(catalog, file, entry, kind, cancellable, &failure)) {
        propagate_as_ingest_error(g_steal_pointer(&failure), file, error);
        return NULL;
    }
    return g_steal_pointer(&entry);
}
