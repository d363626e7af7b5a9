/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/group.h"

#include "core/error.h"
#include "tests/core/api/canned.h"
#include <string.h>

#define N_SENDERS 4
#define GROUP_MAX 64
#define MANY 100
#define UNIQUE "{\"error\":\"Database error: ERROR: it is there (SQLSTATE 23505)\"}"

typedef struct {
    CannedService *service;
    LakeApiSession session;
    LakeApiGroup *group;
    GMutex gate; /* locked: those who are to come stand before it */
} Fixture;

/* Somebody who changes something. */
typedef struct {
    LakeApiGroup *group;
    guint number;
    GCancellable *cancellable;
    GMutex *gate; /* NULL: none */
    GThread *thread;
    gboolean is_good, is_done;
    GError *error;
} Client;

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->service = canned_service_new();
    canned_service_open_session(fixture->service, &fixture->session);
    fixture->group = lake_api_group_new(&fixture->session);
    g_mutex_init(&fixture->gate);
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    g_mutex_clear(&fixture->gate);
    lake_api_group_free(fixture->group);
    canned_service_close_session(&fixture->session);
    canned_service_free(fixture->service);
}

static gpointer
run_client(gpointer data)
{
    Client *client = data;
    g_autofree char *sql = g_strdup_printf("INSERT /*%u*/", client->number);
    g_autoptr(LakeStatement) statement = lake_statement_new(sql);

    statement->n_expected = 1;
    if (client->gate) {
        g_mutex_lock(client->gate);
        g_mutex_unlock(client->gate);
    }
    client->is_good = lake_api_group_run(
        client->group, statement, &client->is_done, client->cancellable, &client->error);
    return NULL;
}

/* Numbers from `first` on; with_cancellables: each has one. */
static Client *
start_clients(Fixture *fixture, guint first, guint n_clients, gboolean with_cancellables)
{
    Client *clients = g_new0(Client, n_clients);

    for (guint i = 0; i < n_clients; i++) {
        clients[i] = (Client){.group = fixture->group, .number = first + i};
        clients[i].cancellable = with_cancellables ? g_cancellable_new() : NULL;
        clients[i].gate = &fixture->gate;
        clients[i].thread = g_thread_new("client", run_client, &clients[i]);
    }
    return clients;
}

static void
join(Client *clients, guint n_clients)
{
    for (guint i = 0; i < n_clients; i++)
        g_thread_join(clients[i].thread);
}

static void
free_clients(Client *clients, guint n_clients)
{
    for (guint i = 0; i < n_clients; i++) {
        g_clear_object(&clients[i].cancellable);
        g_clear_error(&clients[i].error);
    }
    g_free(clients);
}

static void
assert_all_done(const Client *clients, guint n_clients)
{
    for (guint i = 0; i < n_clients; i++) {
        g_assert_no_error(clients[i].error);
        g_assert_true(clients[i].is_good && clients[i].is_done);
    }
}

static void
assert_all_alone(const Client *clients, guint n_clients)
{
    for (guint i = 0; i < n_clients; i++) {
        g_assert_no_error(clients[i].error);
        g_assert_true(clients[i].is_good && !clients[i].is_done);
    }
}

static void
add_slow(Fixture *fixture, const char *status, const char *body, gulong delay_ms)
{
    g_autofree char *text = g_strdup_printf("HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
                                            "Content-Length: %zu\r\n\r\n%s",
        status, strlen(body), body);

    canned_service_add(fixture->service, &(CannedAnswer){.text = text, .delay_ms = delay_ms});
}

static Client *
start_ungated(Fixture *fixture)
{
    Client *busy = g_new0(Client, N_SENDERS);

    for (guint i = 0; i < N_SENDERS; i++) {
        busy[i] = (Client){.group = fixture->group, .number = 1000 + i};
        busy[i].thread = g_thread_new("busy", run_client, &busy[i]);
    }
    return busy;
}

/* The clients, who come while all senders are busy for so long. */
static Client *
start_together(Fixture *fixture, guint n_clients, gboolean with_cancellables, gulong delay_ms,
    Client **ret_busy)
{
    g_mutex_lock(&fixture->gate);
    Client *clients = start_clients(fixture, 0, n_clients, with_cancellables);
    for (guint i = 0; i < N_SENDERS; i++)
        add_slow(fixture, "200 OK", "{}", delay_ms);
    *ret_busy = start_ungated(fixture);
    canned_service_wait(fixture->service, N_SENDERS);
    g_mutex_unlock(&fixture->gate);
    return clients;
}

static void
end_busy(Client *busy)
{
    join(busy, N_SENDERS);
    assert_all_done(busy, N_SENDERS);
    free_clients(busy, N_SENDERS);
}

/* How often text is said in request number index. */
static guint
count_in_request(Fixture *fixture, guint index, const char *text)
{
    g_autofree char *body = canned_service_dup_body(fixture->service, index);
    guint count = 0;

    for (const char *at = body; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

static guint
count_in_all(Fixture *fixture, const char *text)
{
    guint count = 0;

    for (guint i = 0; i < canned_service_n_requests(fixture->service); i++)
        count += count_in_request(fixture, i, text);
    return count;
}

/* --- sharing --- */

static void
test_one_change(Fixture *fixture, gconstpointer unused)
{
    Client *client = start_clients(fixture, 7, 1, FALSE);

    join(client, 1);
    assert_all_done(client, 1);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 1);
    g_assert_cmpuint(count_in_request(fixture, 0, "INSERT /*7*/"), ==, 1);
    g_assert_cmpuint(count_in_request(fixture, 0, "IF n <> 1 "), ==, 1);
    free_clients(client, 1);
}

/* Each change is in one request, and those are fewer than the changes by far. */
static void
test_many_share_requests(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, MANY, FALSE, 1000, &busy);

    join(clients, MANY);
    end_busy(busy);
    assert_all_done(clients, MANY);
    guint n_requests = canned_service_n_requests(fixture->service);
    g_assert_cmpuint(n_requests, >=, N_SENDERS + 2);
    g_assert_cmpuint(n_requests, <, MANY / 3);
    g_assert_cmpuint(canned_service_n_at_once(fixture->service), <=, N_SENDERS);
    for (guint i = 0; i < n_requests; i++)
        g_assert_cmpuint(count_in_request(fixture, i, "EXECUTE "), <=, GROUP_MAX);
    for (guint i = 0; i < MANY; i++) {
        g_autofree char *sql = g_strdup_printf("INSERT /*%u*/", i);
        g_assert_cmpuint(count_in_all(fixture, sql), ==, 1);
    }
    free_clients(clients, MANY);
}

/* Whoever comes while single ones are under way gathers, too: a hundred threads that each do
 * one thing after the other need far fewer requests than they do things. */
static gpointer
run_clients(gpointer data)
{
    Client *client = data;

    for (guint i = 0; i < 10; i++) {
        run_client(client);
        g_assert_true(client->is_good && client->is_done);
    }
    return NULL;
}

static void
test_steady_stream(Fixture *fixture, gconstpointer unused)
{
    Client clients[32] = {0};

    for (guint i = 0; i < 400; i++)
        add_slow(fixture, "200 OK", "{}", 20);
    for (guint i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = (Client){.group = fixture->group, .number = i};
        clients[i].thread = g_thread_new("client", run_clients, &clients[i]);
    }
    join(clients, G_N_ELEMENTS(clients));
    g_assert_cmpuint(canned_service_n_requests(fixture->service), <, 160);
    g_assert_cmpuint(count_in_all(fixture, "INSERT /*"), ==, 320);
}

static void
test_large_change_goes_alone(Fixture *fixture, gconstpointer unused)
{
    static const LakeColumn columns[] = {{"b", LAKE_TYPE_BINARY}};
    g_autoptr(LakeRows) rows = lake_rows_new(columns, 1);
    g_autoptr(LakeStatement) statement = lake_statement_new("INSERT $1");
    g_autofree char *bytes = g_malloc0(5 << 20);
    gboolean is_done = TRUE;

    lake_rows_add_bytes(rows, bytes, 5 << 20);
    lake_statement_add_value(statement, rows, 0);
    g_assert_true(lake_api_group_run(fixture->group, statement, &is_done, NULL, NULL));
    g_assert_false(is_done);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
}

/* --- failing --- */

static void
test_one_that_fails_makes_all_go_alone(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, 20, FALSE, 300, &busy);

    for (guint i = 0; i < 20; i++)
        add_slow(fixture, "500 Oh", UNIQUE, 0);
    join(clients, 20);
    end_busy(busy);
    assert_all_alone(clients, 20);
    free_clients(clients, 20);
}

/* Of the database's words it is known as well that nothing has happened, code or not. */
static void
test_one_that_fails_without_a_code(Fixture *fixture, gconstpointer unused)
{
    canned_service_add_json(fixture->service, 500, NULL,
        "{\"error\":\"Database error: Failed to insert tuple: vector::at out of range\"}");
    Client *client = start_clients(fixture, 1, 1, FALSE);
    join(client, 1);
    assert_all_alone(client, 1);
    free_clients(client, 1);
}

/* Unless it speaks of a connection that broke: perhaps after all was done. */
static void
test_database_that_is_lost(Fixture *fixture, gconstpointer unused)
{
    static const char *const texts[] = {"Database error: unexpected EOF",
        "FATAL: terminating connection due to administrator command (SQLSTATE 57P01)"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *body = g_strdup_printf("{\"error\":\"%s\"}", texts[i]);
        canned_service_add_json(fixture->service, 500, NULL, body);
        Client *client = start_clients(fixture, 1, 1, FALSE);
        join(client, 1);
        g_assert_false(client->is_good || client->is_done);
        g_assert_error(client->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
        free_clients(client, 1);
    }
}

/* Nobody has looked into it. */
static void
test_too_large_together(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, 20, FALSE, 300, &busy);

    for (guint i = 0; i < 20; i++)
        add_slow(fixture, "413 Oh", "{\"error\":\"too large\"}", 0);
    join(clients, 20);
    end_busy(busy);
    assert_all_alone(clients, 20);
    free_clients(clients, 20);
}

/* What nobody knows is told to all: whoever must know asks. */
static void
test_lost_answer_fails_all(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, 20, FALSE, 300, &busy);

    for (guint i = 0; i < 20; i++)
        canned_service_add(fixture->service, &(CannedAnswer){.text = NULL});
    join(clients, 20);
    end_busy(busy);
    for (guint i = 0; i < 20; i++) {
        g_assert_false(clients[i].is_good || clients[i].is_done);
        g_assert_error(clients[i].error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
        g_autofree char *sql = g_strdup_printf("INSERT /*%u*/", i);
        g_assert_cmpuint(count_in_all(fixture, sql), ==, 1);
    }
    free_clients(clients, 20);
}

/* The next ones are not held responsible. */
static void
test_goes_on_after_a_failure(Fixture *fixture, gconstpointer unused)
{
    canned_service_add(fixture->service, &(CannedAnswer){.text = NULL});
    Client *first = start_clients(fixture, 1, 1, FALSE);
    join(first, 1);
    g_assert_error(first->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    Client *second = start_clients(fixture, 2, 1, FALSE);
    join(second, 1);
    assert_all_done(second, 1);
    free_clients(first, 1);
    free_clients(second, 1);
}

/* --- cancelling --- */

static void
test_cancelled_while_waiting(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, 3, TRUE, 1500, &busy);

    g_usleep(50 * 1000);
    g_cancellable_cancel(clients[1].cancellable);
    join(&clients[1], 1);
    g_assert_error(clients[1].error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, N_SENDERS);
    join(clients, 1);
    join(&clients[2], 1);
    end_busy(busy);
    assert_all_done(clients, 1);
    assert_all_done(&clients[2], 1);
    g_assert_cmpuint(count_in_all(fixture, "INSERT /*1*/"), ==, 0);
    free_clients(clients, 3);
}

static void
test_cancelled_before(Fixture *fixture, gconstpointer unused)
{
    Client client = {.group = fixture->group, .cancellable = g_cancellable_new()};

    g_cancellable_cancel(client.cancellable);
    run_client(&client);
    g_assert_error(client.error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
    g_object_unref(client.cancellable);
    g_error_free(client.error);
}

/* Others do not know why it should end. */
static void
test_one_of_a_group_is_cancelled(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, 3, TRUE, 800, &busy);

    for (guint i = 0; i < 3; i++)
        add_slow(fixture, "200 OK", "{}", 300);
    canned_service_wait(fixture->service, N_SENDERS + 1);
    guint n_together = count_in_request(fixture, N_SENDERS, "INSERT /*");
    g_assert_cmpuint(n_together, ==, 3);
    g_cancellable_cancel(clients[0].cancellable);
    g_cancellable_cancel(clients[2].cancellable);
    join(clients, 3);
    end_busy(busy);
    assert_all_done(clients, 3);
    free_clients(clients, 3);
}

/* Nobody waits for the answer any more. */
static void
test_all_of_a_group_are_cancelled(Fixture *fixture, gconstpointer unused)
{
    Client *busy;
    Client *clients = start_together(fixture, 3, TRUE, 800, &busy);

    for (guint i = 0; i < 3; i++)
        add_slow(fixture, "200 OK", "{}", 4000);
    canned_service_wait(fixture->service, N_SENDERS + 1);
    gint64 begun_us = g_get_monotonic_time();
    for (guint i = 0; i < 3; i++)
        g_cancellable_cancel(clients[i].cancellable);
    join(clients, 3);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, 3 * G_TIME_SPAN_SECOND);
    end_busy(busy);
    for (guint i = 0; i < 3; i++)
        g_assert_error(clients[i].error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    free_clients(clients, 3);
}

int
main(int argc, char **argv)
{
#define ADD(name, function)                                                                    \
    g_test_add("/core/api/group/" name, Fixture, NULL, set_up, function, tear_down)
    g_test_init(&argc, &argv, NULL);
    ADD("one-change", test_one_change);
    ADD("many-share-requests", test_many_share_requests);
    ADD("steady-stream", test_steady_stream);
    ADD("large-change-goes-alone", test_large_change_goes_alone);
    ADD("one-that-fails-makes-all-go-alone", test_one_that_fails_makes_all_go_alone);
    ADD("one-that-fails-without-a-code", test_one_that_fails_without_a_code);
    ADD("database-that-is-lost", test_database_that_is_lost);
    ADD("too-large-together", test_too_large_together);
    ADD("lost-answer-fails-all", test_lost_answer_fails_all);
    ADD("goes-on-after-a-failure", test_goes_on_after_a_failure);
    ADD("cancelled-while-waiting", test_cancelled_while_waiting);
    ADD("cancelled-before", test_cancelled_before);
    ADD("one-of-a-group-is-cancelled", test_one_of_a_group_is_cancelled);
    ADD("all-of-a-group-are-cancelled", test_all_of_a_group_are_cancelled);
    return g_test_run();
}
