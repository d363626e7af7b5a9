/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/transaction.h"

#include "core/api/encode.h"
#include "core/api/upload.h"

typedef struct {
    LakeTransaction base;
    LakeApiSession *session;
    char *staging;
    GPtrArray *waiting; /* of LakeStatement */
    LakeApiUpload *upload;
    gboolean is_committed;
} ApiTransaction;

static ApiTransaction *
own(LakeTransaction *transaction)
{
    return (ApiTransaction *)transaction;
}

/* Values that rows lend are gone when it is sent, so they are written into the copy. */
static LakeStatement *
keep(const LakeStatement *statement)
{
    LakeStatement *copy = lake_statement_new(statement->sql);

    for (guint i = 0; i < statement->parameters->len; i++) {
        const LakeParameter *parameter =
            &g_array_index(statement->parameters, LakeParameter, i);
        g_assert(parameter->kind == LAKE_PARAMETER_TEXT);
        lake_statement_add_text(copy, parameter->text);
    }
    copy->n_expected = statement->n_expected;
    copy->scope = statement->scope;
    copy->is_lock = statement->is_lock;
    return copy;
}

/* A block may not touch another number of rows than expected; what is not said is one, as
 * callers that look want to hear. */
static gint64
n_promised(const LakeStatement *statement)
{
    return MAX(statement->n_expected, 1);
}

static LakeResult *
transaction_run(LakeTransaction *transaction, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    if (lake_api_session_is_reading(statement)) {
        const LakeApiReading reading = {
            .statement = statement,
            .use = LAKE_TRANSPORT_INTERACTIVE,
            .timeout_ms = own(transaction)->session->statement_timeout_ms,
        };
        g_autoptr(LakeApiAnswer) answer =
            lake_api_session_read(own(transaction)->session, &reading, cancellable, error);
        return answer ? lake_api_answer_take(answer, statement, G_MAXUINT, error) : NULL;
    }
    g_ptr_array_add(own(transaction)->waiting, keep(statement));
    return lake_api_answer_new_empty(n_promised(statement));
}

static gboolean
transaction_copy_begin(LakeTransaction *transaction, const char *table,
    const LakeColumn *columns, guint n_columns, GCancellable *cancellable, GError **error)
{
    g_assert(!own(transaction)->upload);
    own(transaction)->upload = lake_api_upload_new(own(transaction)->session, table,
        own(transaction)->staging, columns, n_columns, cancellable);
    return TRUE;
}

static gboolean
transaction_copy_rows(LakeTransaction *transaction, const LakeRows *rows,
    GCancellable *cancellable, GError **error)
{
    return lake_api_upload_rows(own(transaction)->upload, rows, error);
}

static gboolean
transaction_copy_end(LakeTransaction *transaction, GCancellable *cancellable, GError **error)
{
    return lake_api_upload_end(own(transaction)->upload, own(transaction)->waiting, error);
}

static LakeStatementScope
scope_of(LakeStatement *const *statements, guint n_statements)
{
    for (guint i = 0; i < n_statements; i++)
        if (statements[i]->scope != LAKE_SCOPE_ROWS && !statements[i]->is_lock)
            return LAKE_SCOPE_ALL;
    return LAKE_SCOPE_ROWS;
}

static gboolean
run_block(LakeApiSession *session, LakeTransportUse use, LakeStatement *const *statements,
    guint n_statements, gint64 timeout_ms, GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) sql = g_string_new(NULL);
    g_autoptr(GString) body = g_string_new(NULL);

    lake_api_encode_block(sql, statements, n_statements);
    lake_api_encode_sql(body, sql->str, timeout_ms);
    LakeApiChange change = {
        .body = body,
        .scope = scope_of(statements, n_statements),
        .is_block = TRUE,
        .is_interactive = use == LAKE_TRANSPORT_INTERACTIVE,
        .timeout_ms = timeout_ms,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(session, &change, cancellable, error);
    return answer != NULL;
}

/* Without a time limit: an index of a large table takes long, and Ctrl-C ends it. */
static gboolean
transaction_commit(LakeTransaction *transaction, GCancellable *cancellable, GError **error)
{
    ApiTransaction *this = own(transaction);

    this->is_committed =
        this->waiting->len == 0 ||
        run_block(this->session, LAKE_TRANSPORT_BULK, (LakeStatement **)this->waiting->pdata,
            this->waiting->len, 0, cancellable, error);
    return this->is_committed;
}

static void
transaction_free(LakeTransaction *transaction)
{
    lake_api_upload_free(own(transaction)->upload, own(transaction)->is_committed);
    g_ptr_array_unref(own(transaction)->waiting);
    g_free(own(transaction)->staging);
    g_free(transaction);
}

static const LakeTransactionClass transaction_class = {
    .run = transaction_run,
    .copy_begin = transaction_copy_begin,
    .copy_rows = transaction_copy_rows,
    .copy_end = transaction_copy_end,
    .commit = transaction_commit,
    .free = transaction_free,
};

LakeTransaction *
lake_api_transaction_new(LakeApiSession *session, const char *staging)
{
    ApiTransaction *transaction = g_new0(ApiTransaction, 1);

    transaction->base.class = &transaction_class;
    transaction->session = session;
    transaction->staging = g_strdup(staging);
    transaction->waiting = g_ptr_array_new_with_free_func((GDestroyNotify)lake_statement_free);
    return &transaction->base;
}

LakeResult *
lake_api_transaction_run_all(LakeApiSession *session, LakeTransportUse use,
    LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
    GError **error)
{
    gint64 timeout_ms = use == LAKE_TRANSPORT_INTERACTIVE ? session->interactive_timeout_ms
                                                          : session->statement_timeout_ms;

    if (!run_block(session, use, statements, n_statements, timeout_ms, cancellable, error))
        return NULL;
    return lake_api_answer_new_empty(n_promised(statements[n_statements - 1]));
}
