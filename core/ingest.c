/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest.h"

#include "core/error.h"
#include "core/ingest/commit.h"
#include "core/ingest/normaliser.h"
#include <string.h>

/* Rows are sent, or staged, when they reach this; the memory that one ingest may hold. */
#define BATCH_BYTES (1024 * 1024)
/* Values in spools of their own, each an open file. */
#define BATCH_SPOOLS 32

/* How often rows are made anew because the table became another meanwhile. */
#define TABLE_ATTEMPTS_MAX 5

/* Making the rows of a slow kind, and sending them, as shares of the whole: for PDF and video
 * alike the server has little to do. */
#define SHARE_OF_READING 0.9

typedef struct {
    const LakeIngestFile *file;
    const LakeNormaliser *kind;
    gpointer state;
    gboolean is_done; /* it gave its last row */
    gint64 n_rows;    /* made */
    double share;     /* of the whole work; never goes back */
} Source;

static double
share_of(gint64 part, gint64 whole)
{
    return part >= 0 && whole > 0 ? (double)part / (double)whole : 0;
}

/* share: of the whole work; negative: as many of it as n_rows are of all. */
static void
report(Source *source, LakeIngestPhase phase, gint64 n_rows, double share)
{
    const LakeIngestFile *file = source->file;
    LakeNormaliserFacts facts = {.n_rows_total = -1, .bytes_read = -1};

    if (!file->progress)
        return;
    source->kind->facts(source->state, &facts);
    g_free(facts.encoding);
    g_free(facts.notes);

    gint64 size_bytes = lake_spool_size(file->content);
    gint64 total = source->is_done ? source->n_rows : facts.n_rows_total;
    if (share < 0 && phase == LAKE_INGEST_READING)
        share = SHARE_OF_READING *
                (total > 0 ? share_of(n_rows, total) : share_of(facts.bytes_read, size_bytes));
    else if (share < 0)
        share = share_of(n_rows, total);
    source->share = CLAMP(share, source->share, 1);
    LakeIngestState state = {
        .phase = phase,
        .kind = source->kind->kind,
        .n_rows = n_rows,
        .total = total,
        .bytes_done = (gint64)(source->share * (double)size_bytes),
    };
    file->progress(&state, file->progress_data);
}

/* share: of the rows at hand, which are all of them when n_rows, those that were sent before,
 * is 0. Of a slow kind all rows are made by now. */
static void
report_sent(gpointer data, gint64 n_rows, double share)
{
    Source *source = data;

    if (source->kind->is_slow)
        report(source, LAKE_INGEST_SENDING, source->n_rows,
            SHARE_OF_READING + (1 - SHARE_OF_READING) * share);
    else
        report(source, LAKE_INGEST_SENDING, n_rows, n_rows == 0 ? share : -1);
}

static gboolean
is_batch(const LakeRows *rows)
{
    return lake_rows_bytes(rows) >= BATCH_BYTES || lake_rows_n_spools(rows) >= BATCH_SPOOLS;
}

static gboolean
fill_rows(gpointer data, LakeRows *rows, GCancellable *cancellable, GError **error)
{
    Source *source = data;
    guint n_before = lake_rows_count(rows);

    while (!source->is_done && !is_batch(rows)) {
        if (!source->kind->next_row(source->state, rows, &source->is_done, cancellable, error))
            return FALSE;
        if (source->kind->is_slow) {
            source->n_rows = lake_rows_count(rows);
            report(source, LAKE_INGEST_READING, source->n_rows, -1);
        }
    }
    if (!source->kind->is_slow)
        source->n_rows += lake_rows_count(rows) - n_before;
    return TRUE;
}

/* All rows of a slow kind, in memory while they are few. */
static gboolean
make_all_rows(Source *source, LakeRows *rows, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeSpool) staging = lake_spool_new(source->file->staging_dir);

    while (!source->is_done) {
        if (!fill_rows(source, rows, cancellable, error))
            return FALSE;
        if (is_batch(rows) && !lake_rows_stage(rows, staging, error))
            return FALSE;
    }
    return TRUE;
}

static void
finish_entry(gpointer data, LakeLedgerEntry *entry)
{
    Source *source = data;
    LakeNormaliserFacts facts = {.n_rows_total = -1, .bytes_read = -1};

    source->kind->facts(source->state, &facts);
    g_free(entry->encoding);
    entry->encoding = facts.encoding;
    g_free(entry->notes);
    entry->notes = facts.notes;
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

/* What the ledger has of the file. NULL with NOT_FOUND: nothing, as far as is known. */
static LakeLedgerEntry *
find_known(
    const LakeIngestFile *file, LakeCatalog *catalog, GCancellable *cancellable, GError **error)
{
    if (file->known)
        return lake_ledger_entry_ref(file->known);
    return lake_ledger_find(catalog, file->table, file->path, cancellable, error);
}

/* Hashing comes before anything is sent only where it can save the sending. */
static gboolean
hash_if_useful(const LakeIngestFile *file, LakeLedgerEntry *entry, gboolean is_small,
    LakeCatalog *catalog, GCancellable *cancellable, GError **error)
{
    if (!is_small && file->expectation == LAKE_INGEST_NEW)
        return TRUE;
    if (!is_small) {
        g_autoptr(LakeLedgerEntry) known = find_known(file, catalog, cancellable, NULL);
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
ingest_rows(Source *source, LakeIngestCommit *commit, GCancellable *cancellable, GError **error)
{
    const LakeIngestFile *file = source->file;
    LakeLedgerEntry *entry = commit->entry;
    gboolean is_unchanged;

    gboolean is_good = source->kind->is_slow
                           ? make_all_rows(source, commit->rows, cancellable, error)
                           : fill_rows(source, commit->rows, cancellable, error);
    if (!is_good)
        return FALSE;
    commit->is_complete = source->is_done;
    gboolean is_small = commit->is_complete && !lake_rows_has_spool(commit->rows);

    if (!entry->content_hash &&
        !hash_if_useful(file, entry, is_small, commit->catalog, cancellable, error))
        return FALSE;
    if (commit->is_complete) {
        entry->n_rows = lake_rows_count(commit->rows);
        finish_entry(source, entry);
    }
    if (file->makes_folders && !make_folders(commit->catalog, file, cancellable, error))
        return FALSE;
    if (!lake_ingest_commit(commit, &is_unchanged, cancellable, error))
        return FALSE;
    source->n_rows = entry->n_rows;
    report(source, LAKE_INGEST_SENDING, entry->n_rows, 1);
    return TRUE;
}

/* Whether the same bytes would give the same rows. */
static gboolean
is_made_alike(const LakeLedgerEntry *known, const LakeLedgerEntry *entry)
{
    return known->size_bytes == entry->size_bytes && g_strcmp0(known->kind, entry->kind) == 0 &&
           g_strcmp0(known->settings, entry->settings) == 0;
}

/* Hundreds of pages are not rendered to find out that they are there already, nor are images
 * missed that were put away since; nor is a file tried as a new one when many were asked for at
 * once. */
static gboolean
try_unchanged(
    LakeIngestCommit *commit, gboolean *ret_done, GCancellable *cancellable, GError **error)
{
    const LakeIngestFile *file = commit->file;
    LakeLedgerEntry *entry = commit->entry;

    *ret_done = FALSE;
    if (file->expectation == LAKE_INGEST_NEW ||
        (!commit->kind->is_slow && !commit->kind->reads_other_files && !file->known))
        return TRUE;

    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeLedgerEntry) known = find_known(file, commit->catalog, cancellable, &failure);
    if (failure && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    commit->is_other = known && !is_made_alike(known, entry);
    if (!known || commit->is_other)
        return TRUE;
    entry->content_hash = lake_spool_hash(file->content, cancellable, error);
    if (!entry->content_hash)
        return FALSE;
    commit->is_other = g_strcmp0(entry->content_hash, known->content_hash) != 0;
    return commit->is_other ||
           lake_ingest_commit_unchanged(commit, ret_done, cancellable, error);
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

/* For kinds whose columns depend on it; NULL where there is none yet. */
static gboolean
look_at_table(
    LakeIngestCommit *commit, LakeTable **ret_table, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    *ret_table = lake_catalog_find(commit->catalog, commit->file->table, cancellable, &failure);
    if (*ret_table || g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

static gboolean
ingest_source(LakeIngestCommit *commit, GCancellable *cancellable, GError **error)
{
    const LakeIngestFile *file = commit->file;
    const LakeNormaliser *kind = commit->kind;
    LakeNormaliserInput input = {
        .file_id = commit->entry->file_id,
        .path = file->path,
        .content = file->content,
        .settings = file->settings,
        .workers = file->workers,
        .staging_dir = file->staging_dir,
    };
    Source source = {.file = file, .kind = kind};
    const LakeColumn *columns = kind->columns;
    guint n_columns = kind->n_columns;
    g_autoptr(LakeTable) table = NULL;

    if (kind->columns_of && !look_at_table(commit, &table, cancellable, error))
        return FALSE;
    input.table = table;
    source.state = kind->open(&input, cancellable, error);
    if (!source.state)
        return FALSE;
    if (kind->columns_of)
        columns = kind->columns_of(source.state, &n_columns);
    g_autoptr(LakeRows) rows = lake_rows_new(columns, n_columns);
    commit->rows = rows;
    commit->source = &source;
    gboolean is_good = ingest_rows(&source, commit, cancellable, error);
    kind->close(source.state);
    return is_good;
}

/* Of two clients that make a table, or a column, the later takes the types of the first. */
static gboolean
ingest_with_table(LakeIngestCommit *commit, GCancellable *cancellable, GError **error)
{
    for (int attempt = 1;; attempt++) {
        g_autoptr(GError) failure = NULL;

        if (ingest_source(commit, cancellable, &failure))
            return TRUE;
        if (!commit->is_outdated || attempt == TABLE_ATTEMPTS_MAX) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
        commit->is_outdated = FALSE;
        commit->has_moved_on = FALSE;
    }
}

LakeLedgerEntry *
lake_ingest_file(
    LakeCatalog *catalog, const LakeIngestFile *file, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    const LakeNormaliser *kind;
    gboolean is_unchanged;

    if (!lake_ledger_check_path(file->path, error) ||
        !lake_ingest_settings_check(&file->settings, error))
        return NULL;
    kind = lake_ingest_kind_for(file->path, &file->settings);
    if (kind->reads_other_files && file->refuses_other_files) {
        propagate_as_ingest_error(g_error_copy(file->refuses_other_files), file, error);
        return NULL;
    }
    entry = new_entry(file, kind);
    LakeIngestCommit commit = {
        .catalog = catalog,
        .file = file,
        .kind = kind,
        .entry = entry,
        .next_rows = fill_rows,
        .finish = finish_entry,
        .sent = report_sent,
    };
    if (!try_unchanged(&commit, &is_unchanged, cancellable, &failure) ||
        (!is_unchanged && !ingest_with_table(&commit, cancellable, &failure))) {
        propagate_as_ingest_error(g_steal_pointer(&failure), file, error);
        return NULL;
    }
    return g_steal_pointer(&entry);
}
