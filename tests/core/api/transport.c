/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api.h"

#include "core/error.h"
#include "tests/core/api/canned.h"
#include <string.h>

#define N_REQUESTS_TO_OPEN 2
#define LAG_MS 3000
#define SOON_US G_TIME_SPAN_SECOND
#define ONE_ROW "{\"columns\":[\"a\"],\"rows\":[[1]]}"
#define TWO_ROWS "{\"columns\":[\"a\"],\"rows\":[[1],[2]]}"
#define NO_ROWS "{\"columns\":[\"a\"],\"rows\":[]}"

typedef struct {
    CannedService *service;
    LakeTransport *transport;
    GCancellable *cancellable;
    guint n_rows; /* handed over */
    LakeErrorCode refusal;
} Fixture;

static void
say(Fixture *fixture, const char *body)
{
    canned_service_add_json(fixture->service, 200, NULL, body);
}

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    /* {"OrgID":"org-1"} */
    g_autoptr(LakeToken) token =
        lake_token_new("eyJhbGciOiJub25lIn0.eyJPcmdJRCI6Im9yZy0xIn0.x", &error);

    fixture->service = canned_service_new();
    fixture->cancellable = g_cancellable_new();
    say(fixture, "{\"id\":\"ws\"}");
    say(fixture, "{\"columns\":[\"v\"],\"rows\":[[\"15.1\"]]}");
    const LakeApiOptions api = {
        .url = canned_service_url(fixture->service),
        .workspace = "ws",
        .token = token,
        .connect_timeout_ms = 5000,
        .staging_dir = g_get_tmp_dir(),
    };
    const LakeApiTransportOptions options = {
        .api = &api, .read_lag_ms = LAG_MS, .statement_timeout_ms = 20000};
    fixture->transport = lake_api_transport_open(&options, NULL, &error);
    g_assert_no_error(error);
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    lake_transport_free(fixture->transport);
    canned_service_free(fixture->service);
    g_object_unref(fixture->cancellable);
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(200 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

/* The statement of request number index is, or begins with, this. */
static void
assert_asked(Fixture *fixture, guint index, const char *sql)
{
    g_autofree char *body = canned_service_dup_body(fixture->service, index);
    g_autofree char *begin = g_strconcat("{\"query\":\"", sql, NULL);

    g_assert_true(g_str_has_prefix(body, begin));
}

/* --- a user's statement --- */

static gboolean
take_columns(const LakeResult *columns, gpointer user_data, GError **error)
{
    return TRUE;
}

static gboolean
cancel_at_row(const LakeResult *row, gpointer user_data, GError **error)
{
    Fixture *fixture = user_data;

    fixture->n_rows++;
    g_cancellable_cancel(fixture->cancellable);
    return TRUE;
}

static gboolean
refuse_row(const LakeResult *row, gpointer user_data, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, ((Fixture *)user_data)->refusal, "no");
    return FALSE;
}

static gboolean
stream(Fixture *fixture, const char *sql, gboolean is_read_only,
    gboolean (*row)(const LakeResult *, gpointer, GError **), GError **error)
{
    const LakeStreamSink sink = {.begin = take_columns, .row = row};
    const LakeStreamOptions options = {.is_read_only = is_read_only, .timeout_ms = 20000};
    g_autoptr(LakeStatement) statement = lake_statement_new(sql);

    return lake_transport_stream(fixture->transport, statement, &options, &sink, fixture, NULL,
        fixture->cancellable, error);
}

static void
test_cancelled_between_rows(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    say(fixture, TWO_ROWS);
    g_assert_false(stream(fixture, "SELECT a FROM t", TRUE, cancel_at_row, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpuint(fixture->n_rows, ==, 1);
}

/* Over a connection of PostgreSQL's it would be undone. */
static void
test_changed_although_rows_were_refused(Fixture *fixture, gconstpointer unused)
{
    static const LakeErrorCode refusals[] = {LAKE_ERROR_TOO_BIG, LAKE_ERROR_NO_SPACE};

    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(GError) error = NULL;

        say(fixture, ONE_ROW);
        fixture->refusal = refusals[i];
        g_assert_false(stream(fixture, "DELETE FROM t RETURNING a", FALSE, refuse_row, &error));
        g_assert_error(error, LAKE_ERROR, (gint)refusals[i]);
        g_assert_nonnull(strstr(lake_error_facts(error)->hint, "was changed all the same"));
    }
}

/* A serialization failure of a user's own is what it is with PostgreSQL; of what we expected of
 * a block it means that others were first. */
static void
test_others_were_first(Fixture *fixture, gconstpointer unused)
{
    static const char body[] = "{\"error\":\"Database error: ERROR: could not serialize access"
                               " (SQLSTATE 40001)\"}";
    g_autoptr(LakeStatement) statement = lake_statement_new("DELETE FROM t");
    LakeStatement *all[] = {statement};
    g_autoptr(GError) error = NULL;

    canned_service_add_json(fixture->service, 500, NULL, body);
    g_assert_false(stream(fixture, "DELETE FROM t", FALSE, refuse_row, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BUSY);
    g_clear_error(&error);
    canned_service_add_json(fixture->service, 500, NULL, body);
    g_assert_null(
        lake_transport_run_all(fixture->transport, LAKE_TRANSPORT_BULK, all, 1, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_STALE);
}

/* --- answers without rows --- */

/* In the third one, which takes a second. */
static gpointer
cancel_in_a_pause(gpointer cancellable)
{
    g_usleep(900 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
test_waiting_for_rows_is_cut_short(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT 1");
    g_autoptr(GError) error = NULL;
    gint64 begun_us = g_get_monotonic_time();

    statement->has_always_rows = TRUE;
    for (guint i = 0; i < 10; i++)
        say(fixture, NO_ROWS);
    GThread *thread = g_thread_new("canceller", cancel_in_a_pause, fixture->cancellable);
    g_assert_null(lake_transport_run(fixture->transport, LAKE_TRANSPORT_INTERACTIVE, statement,
        fixture->cancellable, &error));
    g_thread_join(thread);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, SOON_US * 14 / 10);
}

/* --- transactions --- */

static LakeTransaction *
begin(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    LakeTransaction *transaction =
        lake_transport_begin(fixture->transport, LAKE_TRANSPORT_BULK, NULL, &error);

    g_assert_no_error(error);
    return transaction;
}

/* CREATE TABLE IF NOT EXISTS loses the race with others who make it, and says so. */
static void
test_staging_that_others_make_at_once(Fixture *fixture, gconstpointer unused)
{
    say(fixture, "{\"columns\":[\"f\"],\"rows\":[[false]]}");
    canned_service_add_json(fixture->service, 500, NULL,
        "{\"error\":\"Database error: ERROR: duplicate key value violates unique constraint "
        "\\\"pg_type_typname_nsp_index\\\" (SQLSTATE 23505)\"}");
    lake_transaction_free(begin(fixture));
    assert_asked(fixture, N_REQUESTS_TO_OPEN + 1, "CREATE TABLE IF NOT EXISTS");
    lake_transaction_free(begin(fixture));
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, N_REQUESTS_TO_OPEN + 2);
}

/* Whoever waits until another has made the staging table hears Ctrl-C. */
static void
test_waiting_for_staging_is_cut_short(Fixture *fixture, gconstpointer unused)
{
    static const char slow[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Content-Length: 34\r\n\r\n"
                               "{\"columns\":[\"f\"],\"rows\":[[\"t\"]]}  ";
    g_autoptr(GError) error = NULL;
    gint64 begun_us = g_get_monotonic_time();

    canned_service_add(
        fixture->service, &(CannedAnswer){.text = slow, .delay_ms = 2 * SOON_US / 1000});
    GThread *maker = g_thread_new("maker", (GThreadFunc)begin, fixture);
    canned_service_wait(fixture->service, N_REQUESTS_TO_OPEN + 1);
    GThread *canceller = g_thread_new("canceller", cancel_soon, fixture->cancellable);
    g_assert_null(lake_transport_begin(
        fixture->transport, LAKE_TRANSPORT_BULK, fixture->cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, SOON_US);
    g_thread_join(canceller);
    lake_transaction_free(g_thread_join(maker));
}

/* The ledger remembers them, so that copying over many files does not wait after each. */
static void
test_nobody_waits_for_changes_of_rows(Fixture *fixture, gconstpointer unused)
{
    static const LakeColumn columns[] = {{"a", LAKE_TYPE_INT64}};
    g_autoptr(LakeRows) rows = lake_rows_new(columns, 1);
    g_autoptr(LakeStatement) lock = lake_statement_new("SELECT pg_advisory_xact_lock(1)");
    g_autoptr(LakeStatement) change = lake_statement_new("UPDATE t SET a = 1");
    g_autoptr(LakeStatement) read = lake_statement_new("SELECT 1");
    g_autoptr(GError) error = NULL;

    say(fixture, "{\"columns\":[\"f\"],\"rows\":[[true]]}");
    g_autoptr(LakeTransaction) transaction = begin(fixture);
    gint64 begun_us = g_get_monotonic_time();
    lock->is_lock = TRUE;
    change->scope = LAKE_SCOPE_ROWS;
    lake_rows_add_int64(rows, 1);
    lake_result_free(lake_transaction_run(transaction, lock, NULL, &error));
    lake_result_free(lake_transaction_run(transaction, change, NULL, &error));
    g_assert_true(lake_transaction_copy_begin(transaction, "t", columns, 1, NULL, &error) &&
                  lake_transaction_copy_rows(transaction, rows, NULL, &error) &&
                  lake_transaction_copy_end(transaction, NULL, &error));
    g_assert_true(lake_transaction_commit(transaction, NULL, &error));
    say(fixture, ONE_ROW);
    read->scope = LAKE_SCOPE_STRUCTURE;
    g_autoptr(LakeResult) result =
        lake_transport_run(fixture->transport, LAKE_TRANSPORT_INTERACTIVE, read, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, SOON_US);
}

static gpointer
change_in_bulk(gpointer user_data)
{
    Fixture *fixture = user_data;
    g_autoptr(LakeStatement) statement = lake_statement_new("UPDATE t SET a = 1");
    g_autoptr(GError) error = NULL;

    lake_result_free(
        lake_transport_run(fixture->transport, LAKE_TRANSPORT_BULK, statement, NULL, &error));
    g_assert_no_error(error);
    return NULL;
}

/* Whoever waits for an answer has a place that is kept, and the time of one who waits. */
static void
test_several_at_once_by_one_who_waits(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("DELETE FROM t");
    LakeStatement *all[] = {statement};
    g_autoptr(GError) error = NULL;
    LakeTransportStatus status;
    GThread *bulk[4];

    lake_transport_status(fixture->transport, &status);
    g_assert_cmpuint(status.n_max, ==, G_N_ELEMENTS(bulk) + 1);
    for (guint i = 0; i < G_N_ELEMENTS(bulk); i++)
        canned_service_add(fixture->service,
            &(CannedAnswer){.text = "HTTP/1.1 204 No\r\n\r\n", .delay_ms = 1500});
    for (guint i = 0; i < G_N_ELEMENTS(bulk); i++)
        bulk[i] = g_thread_new("bulk", change_in_bulk, fixture);
    canned_service_wait(fixture->service, N_REQUESTS_TO_OPEN + G_N_ELEMENTS(bulk));
    gint64 begun_us = g_get_monotonic_time();
    g_autoptr(LakeResult) result = lake_transport_run_all(
        fixture->transport, LAKE_TRANSPORT_INTERACTIVE, all, 1, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, SOON_US);
    for (guint i = 0; i < G_N_ELEMENTS(bulk); i++)
        g_thread_join(bulk[i]);
}

#define ADD(name, function)                                                                    \
    g_test_add("/core/api/transport/" name, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("cancelled-between-rows", test_cancelled_between_rows);
    ADD("changed-although-rows-were-refused", test_changed_although_rows_were_refused);
    ADD("others-were-first", test_others_were_first);
    ADD("waiting-for-rows-is-cut-short", test_waiting_for_rows_is_cut_short);
    ADD("staging-that-others-make-at-once", test_staging_that_others_make_at_once);
    ADD("waiting-for-staging-is-cut-short", test_waiting_for_staging_is_cut_short);
    ADD("nobody-waits-for-changes-of-rows", test_nobody_waits_for_changes_of_rows);
    ADD("several-at-once-by-one-who-waits", test_several_at_once_by_one_who_waits);
    return g_test_run();
}
