/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/commit.h"

#include "core/error.h"
#include "core/fault.h"
#include "core/ingest/fit.h"
#include "core/recent.h"
#include <string.h>

/* Deadlocks (a table widened while others insert) and lost races are tried again this often. */
#define ATTEMPTS_MAX 5

/* The entry's columns as every statement here gives them: $1 … $16. */
#define ENTRY_COLUMNS                                                                          \
    "table_name, folder, name, file_id, kind, size_bytes, mtime_ns, mode, uid, gid,"           \
    " content_hash, n_rows, encoding, settings, xattrs, notes"
#define ENTRY_VALUES                                                                           \
    "$1, $2, $3, $4, $5, $6::bigint, $7::bigint, $8::integer, $9::bigint, $10::bigint, $11,"   \
    " $12::bigint, $13, $14::jsonb, $15::jsonb, $16"
#define N_ENTRY_VALUES 16

/* $1, $2, $3: the key of the ledger. */
static void
add_key(LakeStatement *statement, const LakeIngestCommit *commit)
{
    g_autofree char *folder = NULL;
    g_autofree char *name = NULL;

    lake_ledger_split(commit->entry->path, &folder, &name);
    lake_statement_add_text(statement, commit->file->table);
    lake_statement_add_text(statement, folder);
    lake_statement_add_text(statement, name);
}

static void
add_entry_values(LakeStatement *statement, const LakeIngestCommit *commit)
{
    const LakeLedgerEntry *entry = commit->entry;

    add_key(statement, commit);
    lake_statement_add_text(statement, entry->file_id);
    lake_statement_add_text(statement, entry->kind);
    lake_statement_add_int64(statement, entry->size_bytes);
    lake_statement_add_int64(statement, entry->attributes.mtime_ns);
    lake_statement_add_int64(statement, entry->attributes.mode);
    lake_statement_add_int64(statement, entry->attributes.uid);
    lake_statement_add_int64(statement, entry->attributes.gid);
    lake_statement_add_text(statement, entry->content_hash);
    lake_statement_add_int64(statement, entry->n_rows);
    lake_statement_add_text(statement, entry->encoding);
    lake_statement_add_text(statement, entry->settings);
    lake_statement_add_text(statement, entry->xattrs);
    lake_statement_add_text(statement, entry->notes);
}

static const char *
sqlstate_of(const GError *error)
{
    const LakeErrorFacts *facts = error ? lake_error_facts(error) : NULL;

    return facts && facts->sqlstate ? facts->sqlstate : "";
}

/* The table is missing, or lacks a column of this kind. */
static gboolean
is_table_unfit(const GError *error)
{
    const char *sqlstate = sqlstate_of(error);

    return strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "42703") == 0;
}

/* --- one statement: a new path --- */

static LakeStatement *
insert_statement(const LakeIngestCommit *commit)
{
    const LakeRows *rows = commit->rows;
    /* One row needs no arrays, which would cost the server another copy of its value. */
    gboolean is_single = lake_rows_count(rows) == 1;
    g_autofree char *table = lake_catalog_qualify(commit->catalog, commit->file->table);
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(GString) values = g_string_new(NULL);

    for (guint i = 0; i < lake_rows_n_columns(rows); i++) {
        g_autofree char *name = lake_statement_quote(lake_rows_column(rows, i)->name);
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", name);
        g_string_append_printf(values, "%s$%u", i > 0 ? ", " : "", N_ENTRY_VALUES + 1 + i);
    }

    /* Rows join the entry, so where the path is taken nothing is inserted at all. The rows keep
     * the arrays' order: a nested loop over one entry and one function scan. */
    LakeStatement *statement = lake_statement_new_printf(
        "WITH entry AS (INSERT INTO %s (" ENTRY_COLUMNS ") VALUES (" ENTRY_VALUES ")"
        " ON CONFLICT DO NOTHING RETURNING 1)"
        " INSERT INTO %s (%s) SELECT %s%s%s",
        lake_catalog_ledger(commit->catalog), table, names->str,
        is_single ? "" : "r.* FROM entry, unnest(", values->str,
        is_single ? " FROM entry" : ") AS r");
    add_entry_values(statement, commit);
    for (guint i = 0; i < lake_rows_n_columns(rows); i++)
        (is_single ? lake_statement_add_value : lake_statement_add_array)(statement, rows, i);
    return statement;
}

static LakeStatement *
insert_entry_statement(const LakeIngestCommit *commit)
{
    LakeStatement *statement = lake_statement_new_printf(
        "INSERT INTO %s (" ENTRY_COLUMNS ") VALUES (" ENTRY_VALUES ") ON CONFLICT DO NOTHING",
        lake_catalog_ledger(commit->catalog));

    add_entry_values(statement, commit);
    return statement;
}

/* Before anyone is told of it, and looks. */
static void
remember(LakeIngestCommit *commit)
{
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_copy(commit->entry);

    lake_recent_put(lake_catalog_recent(commit->catalog), commit->file->table, entry);
}

static void
note_files(const LakeIngestCommit *commit, guint further_changes)
{
    lake_catalog_changed(
        commit->catalog, commit->file->table, LAKE_CHANGE_FILES | further_changes);
}

/* Whether what was sent may have happened. */
static gboolean
is_unclear(const LakeIngestCommit *commit, const GError *failure)
{
    return failure && commit->is_sent &&
           lake_transport_is_unclear(lake_catalog_transport(commit->catalog), failure);
}

/* TRUE with *ret_done FALSE: the path is taken, or the table is not fit yet. */
static gboolean
try_insert(
    LakeIngestCommit *commit, gboolean *ret_done, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement = lake_rows_count(commit->rows) > 0
                                             ? insert_statement(commit)
                                             : insert_entry_statement(commit);
    statement->is_prepared = TRUE;
    statement->scope = LAKE_SCOPE_ROWS;
    statement->n_expected = MAX((gint64)lake_rows_count(commit->rows), 1);
    statement->is_groupable = TRUE;
    commit->is_sent = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(commit->catalog),
        LAKE_TRANSPORT_BULK, statement, cancellable, &failure);

    *ret_done = result && lake_result_n_affected(result) > 0;
    if (*ret_done)
        remember(commit);
    commit->is_sent = *ret_done || is_unclear(commit, failure);
    if (commit->is_sent)
        note_files(commit, 0);
    if (!result && !is_table_unfit(failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    return TRUE;
}

/* --- one statement: a known path, nothing new --- */

/* Only when its rows are all still there: someone may have deleted them by SQL. Of an entry
 * that is known nothing is asked, so that many files can share a request. */
static LakeStatement *
unchanged_statement(const LakeIngestCommit *commit, const LakeLedgerEntry *known)
{
    g_autofree char *table = lake_catalog_qualify(commit->catalog, commit->file->table);
    const LakeLedgerEntry *entry = commit->entry;
    LakeStatement *statement = lake_statement_new_printf(
        "UPDATE %s l SET mtime_ns = $4, mode = $5, uid = $6, gid = $7, xattrs = $8::jsonb"
        " WHERE table_name = $1 AND folder = $2 AND name = $3 AND content_hash = $9"
        " AND settings = $10::jsonb AND kind = $11 AND size_bytes = $12"
        " AND n_rows = (SELECT count(*) FROM %s t WHERE t.file_id = l.file_id)%s",
        lake_catalog_ledger(commit->catalog), table,
        known ? " AND file_id = $13" : " RETURNING file_id, n_rows, encoding, notes");

    add_key(statement, commit);
    lake_statement_add_int64(statement, entry->attributes.mtime_ns);
    lake_statement_add_int64(statement, entry->attributes.mode);
    lake_statement_add_int64(statement, entry->attributes.uid);
    lake_statement_add_int64(statement, entry->attributes.gid);
    lake_statement_add_text(statement, entry->xattrs);
    lake_statement_add_text(statement, entry->content_hash);
    lake_statement_add_text(statement, entry->settings);
    lake_statement_add_text(statement, entry->kind);
    lake_statement_add_int64(statement, entry->size_bytes);
    if (known) {
        lake_statement_add_text(statement, known->file_id);
        statement->n_expected = 1;
        statement->is_groupable = TRUE;
    }
    statement->is_prepared = TRUE;
    statement->scope = LAKE_SCOPE_ROWS;
    statement->is_repeatable = TRUE; /* the second time it changes nothing */
    return statement;
}

/* What the ledger has of it, from the answer where it was asked. */
static void
take_former(LakeLedgerEntry *entry, const LakeLedgerEntry *known, const LakeResult *result)
{
    g_free(entry->file_id);
    entry->file_id = g_strdup(known ? known->file_id : lake_result_text(result, 0, 0));
    entry->n_rows = known ? known->n_rows : lake_result_int64(result, 0, 1);
    g_free(entry->encoding);
    entry->encoding = g_strdup(known ? known->encoding : lake_result_text(result, 0, 2));
    g_free(entry->notes);
    entry->notes = g_strdup(known ? known->notes : lake_result_text(result, 0, 3));
}

static gboolean
try_unchanged(
    LakeIngestCommit *commit, gboolean *ret_done, GCancellable *cancellable, GError **error)
{
    const LakeLedgerEntry *known = commit->file->known;
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement = unchanged_statement(commit, known);
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(commit->catalog),
        LAKE_TRANSPORT_BULK, statement, cancellable, &failure);

    *ret_done = FALSE;
    if (!result && !is_table_unfit(failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (result && lake_result_n_affected(result) > 0) {
        take_former(commit->entry, known, result);
        *ret_done = TRUE;
        remember(commit);
        note_files(commit, 0);
    }
    return TRUE;
}

/* --- a transaction: everything else --- */

typedef struct {
    LakeIngestCommit *commit;
    LakeTransaction *transaction;
    char *table; /* quoted, qualified */
    GCancellable *cancellable;
    guint changes; /* LakeChangeKind: beside the files of the drop zone */
    /* The content's hash, worked out while the rows are on their way. */
    GThread *hasher;
    GCancellable *hasher_stop;
    GError *hasher_error;
} Transfer;

static LakeResult *
run(Transfer *transfer, LakeStatement *statement, GError **error)
{
    return lake_transaction_run(transfer->transaction, statement, transfer->cancellable, error);
}

static gboolean
refuse_folder(const LakeIngestCommit *commit, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_EXISTS,
        "ingest/%s/%s is a folder", commit->file->table, commit->entry->path);
    return FALSE;
}

/* An entry of a table that was dropped by SQL, which nothing shows, would be in the way. */
static gboolean
forget_hidden_entry(Transfer *transfer, GError **error)
{
    LakeIngestCommit *commit = transfer->commit;
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "DELETE FROM %s WHERE table_name = $1 AND folder = $2 AND name = $3"
        " AND kind <> 'folder' AND n_rows > 0 AND to_regclass($4) IS NULL",
        lake_catalog_ledger(commit->catalog));

    add_key(statement, commit);
    lake_statement_add_text(statement, transfer->table);
    statement->scope = LAKE_SCOPE_ROWS;
    g_autoptr(LakeResult) result = run(transfer, statement, error);
    return result != NULL;
}

/* For a transaction that is sent as a whole: what the entry is now becomes a condition of what
 * is done to it, so the commit fails where others have changed it meanwhile. */
static gboolean
claim_by_condition(Transfer *transfer, char **ret_old_id, GError **error)
{
    LakeIngestCommit *commit = transfer->commit;
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeLedgerEntry) there = lake_ledger_find(commit->catalog, commit->file->table,
        commit->entry->path, transfer->cancellable, &failure);
    g_autoptr(LakeStatement) claim = NULL;

    if (!there && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    if (there && there->is_folder)
        return refuse_folder(commit, error);
    if (!there) {
        claim = insert_entry_statement(commit);
    } else {
        claim = lake_statement_new_printf(
            "UPDATE %s SET file_id = $4 WHERE table_name = $1 AND folder = $2 AND name = $3"
            " AND file_id IS NOT DISTINCT FROM $5",
            lake_catalog_ledger(commit->catalog));
        add_key(claim, commit);
        lake_statement_add_text(claim, commit->entry->file_id);
        lake_statement_add_text(claim, there->file_id);
        *ret_old_id = g_strdup(there->file_id);
    }
    claim->n_expected = 1;
    claim->scope = LAKE_SCOPE_ROWS;
    if (!there && !forget_hidden_entry(transfer, error))
        return FALSE;
    g_autoptr(LakeResult) claimed = run(transfer, claim, error);
    return claimed != NULL;
}

/* Makes the path's entry ours until the transaction ends; *ret_old_id is whose rows go. */
static gboolean
claim_entry(Transfer *transfer, char **ret_old_id, GError **error)
{
    LakeIngestCommit *commit = transfer->commit;

    if (lake_transport_defers(lake_catalog_transport(commit->catalog)))
        return claim_by_condition(transfer, ret_old_id, error);
    g_autoptr(LakeStatement) insert = insert_entry_statement(commit);
    g_autoptr(LakeResult) inserted = run(transfer, insert, error);
    if (!inserted)
        return FALSE;
    if (lake_result_n_affected(inserted) > 0)
        return TRUE;

    g_autoptr(LakeStatement) lock = lake_statement_new_printf(
        "SELECT file_id, kind = 'folder' FROM %s WHERE table_name = $1"
        " AND folder = $2 AND name = $3 FOR UPDATE",
        lake_catalog_ledger(commit->catalog));
    add_key(lock, commit);
    g_autoptr(LakeResult) locked = run(transfer, lock, error);
    if (!locked)
        return FALSE;
    if (lake_result_n_rows(locked) == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BUSY,
            "ingest/%s/%s was removed by someone else meanwhile", commit->file->table,
            commit->entry->path);
        return FALSE;
    }
    if (lake_result_bool(locked, 0, 1))
        return refuse_folder(commit, error);
    *ret_old_id = g_strdup(lake_result_text(locked, 0, 0));
    return TRUE;
}

static LakeIngestFit
fit_of(const Transfer *transfer)
{
    return (LakeIngestFit){
        .commit = transfer->commit,
        .transaction = transfer->transaction,
        .table = transfer->table,
        .cancellable = transfer->cancellable,
    };
}

static gboolean
make_table_fit(Transfer *transfer, GError **error)
{
    LakeIngestFit fit = fit_of(transfer);
    gboolean is_good = lake_ingest_fit_make(&fit, error);

    transfer->changes |= fit.changes;
    return is_good;
}

static gboolean
delete_old_rows(Transfer *transfer, const char *old_id, GError **error)
{
    LakeIngestFit fit = fit_of(transfer);
    gboolean has_rows = TRUE;

    /* A file without rows did not make the table fit. */
    if (lake_rows_count(transfer->commit->rows) == 0 &&
        !lake_ingest_fit_has_files(&fit, &has_rows, error))
        return FALSE;
    if (!has_rows)
        return TRUE;

    g_autoptr(LakeStatement) statement =
        lake_statement_new_printf("DELETE FROM %s WHERE file_id = $1", transfer->table);

    lake_statement_add_text(statement, old_id);
    statement->scope = LAKE_SCOPE_ROWS;
    g_autoptr(LakeResult) result = run(transfer, statement, error);
    return result != NULL;
}

static void
report_sent(const LakeIngestCommit *commit, gint64 n_rows, double share)
{
    if (commit->sent)
        commit->sent(commit->source, n_rows, share);
}

/* Called by the rows while they are written. */
static void
watch_rows(double share, gpointer user_data)
{
    const LakeIngestCommit *commit = user_data;

    if (commit->is_complete)
        report_sent(commit, 0, share);
}

static gboolean
copy_rows(Transfer *transfer, GError **error)
{
    LakeIngestCommit *commit = transfer->commit;
    LakeLedgerEntry *entry = commit->entry;
    gboolean is_last = commit->is_complete;

    entry->n_rows = 0;
    if (lake_rows_count(commit->rows) == 0)
        return TRUE;
    if (!lake_transaction_copy_begin(transfer->transaction, transfer->table,
            lake_rows_column(commit->rows, 0), lake_rows_n_columns(commit->rows),
            transfer->cancellable, error))
        return FALSE;
    lake_rows_watch(commit->rows, watch_rows, commit);
    while (lake_rows_count(commit->rows) > 0) {
        if (!lake_transaction_copy_rows(
                transfer->transaction, commit->rows, transfer->cancellable, error))
            return FALSE;
        entry->n_rows += lake_rows_count(commit->rows);
        report_sent(commit, entry->n_rows, 1);
        if (is_last)
            break;
        if (lake_fault("ingest-between-batches"))
            return FALSE;
        commit->has_moved_on = TRUE;
        lake_rows_clear(commit->rows);
        if (!commit->next_rows(commit->source, commit->rows, transfer->cancellable, error))
            return FALSE;
    }
    return lake_transaction_copy_end(transfer->transaction, transfer->cancellable, error);
}

static gpointer
hash_content(gpointer data)
{
    Transfer *transfer = data;

    return lake_spool_hash(
        transfer->commit->file->content, transfer->hasher_stop, &transfer->hasher_error);
}

static void
start_hashing(Transfer *transfer)
{
    if (transfer->commit->entry->content_hash)
        return;
    transfer->hasher_stop = g_cancellable_new();
    transfer->hasher = g_thread_new("hash", hash_content, transfer);
}

static gboolean
finish_hashing(Transfer *transfer, GError **error)
{
    if (!transfer->hasher)
        return TRUE;

    transfer->commit->entry->content_hash = g_thread_join(g_steal_pointer(&transfer->hasher));
    if (transfer->commit->entry->content_hash)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&transfer->hasher_error));
    return FALSE;
}

static void
transfer_clear(Transfer *transfer)
{
    if (transfer->hasher) {
        g_cancellable_cancel(transfer->hasher_stop);
        g_free(g_thread_join(transfer->hasher));
    }
    g_clear_object(&transfer->hasher_stop);
    g_clear_error(&transfer->hasher_error);
    lake_transaction_free(transfer->transaction);
    g_free(transfer->table);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Transfer, transfer_clear)

static gboolean
complete_entry(Transfer *transfer, GError **error)
{
    LakeIngestCommit *commit = transfer->commit;
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "UPDATE %s SET (" ENTRY_COLUMNS ", ingested_at) = (" ENTRY_VALUES ", now())"
        " WHERE table_name = $1 AND folder = $2 AND name = $3",
        lake_catalog_ledger(commit->catalog));

    commit->finish(commit->source, commit->entry);
    add_entry_values(statement, commit);
    statement->n_expected = 1;
    statement->scope = LAKE_SCOPE_ROWS;
    g_autoptr(LakeResult) result = run(transfer, statement, error);
    if (!result)
        return FALSE;
    if (lake_result_n_affected(result) == 1)
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED,
        "the entry of %s, claimed before, is gone", commit->entry->path);
    return FALSE;
}

/* A test's way to lose the answer of a COMMIT. */
static gboolean
keep_answer(GError **error)
{
    if (!lake_fault("ingest-after-commit"))
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_OFFLINE,
        "the answer was lost: a fault point was hit");
    return FALSE;
}

static gboolean
transfer_all(Transfer *transfer, GError **error)
{
    g_autofree char *old_id = NULL;

    if (!claim_entry(transfer, &old_id, error))
        return FALSE;
    /* A file without rows needs no table. */
    if (lake_rows_count(transfer->commit->rows) > 0 && !make_table_fit(transfer, error))
        return FALSE;
    if (old_id)
        transfer->changes |= LAKE_CHANGE_ROWS;
    if (old_id && !delete_old_rows(transfer, old_id, error))
        return FALSE;

    start_hashing(transfer);
    if (!copy_rows(transfer, error) || !finish_hashing(transfer, error) ||
        !complete_entry(transfer, error) || lake_fault("ingest-before-commit"))
        return FALSE;
    transfer->commit->is_sent = TRUE;
    return lake_transaction_commit(transfer->transaction, transfer->cancellable, error) &&
           keep_answer(error);
}

static gboolean
run_transaction(LakeIngestCommit *commit, GCancellable *cancellable, GError **error)
{
    g_auto(Transfer) transfer = {.commit = commit, .cancellable = cancellable};

    transfer.table = lake_catalog_qualify(commit->catalog, commit->file->table);
    transfer.transaction = lake_transport_begin(
        lake_catalog_transport(commit->catalog), LAKE_TRANSPORT_BULK, cancellable, error);
    if (!transfer.transaction)
        return FALSE;
    gboolean is_good = transfer_all(&transfer, error);
    if (is_good)
        remember(commit);
    note_files(commit, transfer.changes);
    return is_good;
}

/* --- choosing among them --- */

/* Of a commit whose answer was lost. */
typedef enum { UNKNOWN, HAPPENED, NEVER_HAPPENED } Fate;

/* Rows that were consumed cannot be sent again. Should a commit that was lost still come
 * through after it was repeated, then its claim fails: the entry is another one by then. */
static gboolean
may_try_again(const LakeIngestCommit *commit, const GError *failure, Fate fate, int attempt)
{
    gboolean is_offline = g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE);

    return !commit->has_moved_on && !commit->is_outdated && attempt < ATTEMPTS_MAX &&
           ((fate == NEVER_HAPPENED && is_offline) ||
               g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_BUSY) ||
               g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_STALE) ||
               strcmp(sqlstate_of(failure), "42P01") == 0 ||
               strcmp(sqlstate_of(failure), "42P07") == 0);
}

static gboolean
commit_some_way(LakeIngestCommit *commit, gboolean *ret_unchanged, GCancellable *cancellable,
    GError **error)
{
    /* Types are compared with the table's in a transaction alone. */
    gboolean is_small =
        commit->is_complete && !lake_rows_has_spool(commit->rows) && !commit->kind->columns_of;
    gboolean is_done = FALSE;

    commit->is_sent = FALSE;
    if (is_small && commit->file->expectation != LAKE_INGEST_KNOWN) {
        if (!try_insert(commit, &is_done, cancellable, error))
            return FALSE;
        if (is_done)
            return keep_answer(error);
    }
    if (commit->entry->content_hash && !commit->is_other) {
        if (!try_unchanged(commit, &is_done, cancellable, error))
            return FALSE;
        *ret_unchanged = is_done;
        if (is_done)
            return TRUE;
    }
    return run_transaction(commit, cancellable, error);
}

/* Where nothing can be kept waiting for by a claim: after as long as reads may lag. */
static gboolean
ask_ledger_later(
    LakeIngestCommit *commit, char **ret_present_id, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    if (!lake_transport_settle(lake_catalog_transport(commit->catalog), cancellable, error))
        return FALSE;
    g_autoptr(LakeLedgerEntry) there = lake_ledger_find(
        commit->catalog, commit->file->table, commit->entry->path, cancellable, &failure);
    if (!there && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    *ret_present_id = there ? g_strdup(there->file_id) : NULL;
    return TRUE;
}

/* Whose rows the path has. The server may still be at the commit in question: claiming the
 * entry waits until whoever has it is done, and nothing is kept of the claim. */
static gboolean
ask_ledger(
    LakeIngestCommit *commit, char **ret_present_id, GCancellable *cancellable, GError **error)
{
    g_auto(Transfer) transfer = {.commit = commit, .cancellable = cancellable};

    if (lake_transport_defers(lake_catalog_transport(commit->catalog)))
        return ask_ledger_later(commit, ret_present_id, cancellable, error);
    transfer.transaction = lake_transport_begin(
        lake_catalog_transport(commit->catalog), LAKE_TRANSPORT_BULK, cancellable, error);
    return transfer.transaction && claim_entry(&transfer, ret_present_id, error);
}

/* What cut one line has often cut the others of the pool too, which shows only when they are
 * used: so it is asked more than once. UNKNOWN when the server stays away. */
static Fate
ask_fate(LakeIngestCommit *commit, int n_attempts, GCancellable *cancellable)
{
    for (int attempt = 1; attempt <= n_attempts; attempt++) {
        g_autofree char *present_id = NULL;
        g_autoptr(GError) failure = NULL;

        if (ask_ledger(commit, &present_id, cancellable, &failure))
            return g_strcmp0(present_id, commit->entry->file_id) == 0 ? HAPPENED
                                                                      : NEVER_HAPPENED;
        if (!g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE))
            return UNKNOWN;
        g_usleep((gulong)attempt * 100000);
    }
    return UNKNOWN;
}

/* What became of it. was_lost: this attempt, or one before that this one may have met: its
 * answer did not come. */
static Fate
find_fate(LakeIngestCommit *commit, const GError *failure, gboolean was_lost,
    GCancellable *cancellable)
{
    gboolean is_offline = g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    gboolean is_stale = g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_STALE);

    /* What is remembered of the path is older than this, or than what others did. */
    if (was_lost || is_stale)
        lake_recent_forget_path(
            lake_catalog_recent(commit->catalog), commit->file->table, commit->entry->path);
    /* Whoever interrupts is to be told what he has interrupted. */
    if (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_CANCELLED))
        return was_lost ? ask_fate(commit, 1, NULL) : UNKNOWN;
    return was_lost || is_offline ? ask_fate(commit, ATTEMPTS_MAX, cancellable) : UNKNOWN;
}

gboolean
lake_ingest_commit_unchanged(LakeIngestCommit *commit, gboolean *ret_unchanged,
    GCancellable *cancellable, GError **error)
{
    return try_unchanged(commit, ret_unchanged, cancellable, error);
}

gboolean
lake_ingest_commit(LakeIngestCommit *commit, gboolean *ret_unchanged, GCancellable *cancellable,
    GError **error)
{
    gboolean was_lost = FALSE;

    *ret_unchanged = FALSE;
    for (int attempt = 1;; attempt++) {
        g_autoptr(GError) failure = NULL;

        if (commit_some_way(commit, ret_unchanged, cancellable, &failure))
            return TRUE;
        was_lost |= is_unclear(commit, failure);
        Fate fate = failure ? find_fate(commit, failure, was_lost, cancellable) : UNKNOWN;
        if (fate == HAPPENED) {
            remember(commit); /* it may have happened later than the answer was lost */
            return TRUE;
        }
        if (failure && g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE))
            lake_error_hint(
                failure, "copy it again when the server answers; that never doubles");
        if (!may_try_again(commit, failure, fate, attempt)) {
            if (failure)
                g_propagate_error(error, g_steal_pointer(&failure));
            else
                lake_error_set(
                    error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED, "a fault point was hit");
            return FALSE;
        }
    }
}
