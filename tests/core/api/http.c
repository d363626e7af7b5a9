/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/http.h"

#include "tests/core/api/canned.h"
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define TOKEN "t0psecret"

typedef struct {
    CannedService *service;
    LakeHttp *http;
    LakeSpool *into;
    LakeHttpAnswer answer;
    GError *error;
} Fixture;

static LakeHttp *
make_http(guint n_at_once)
{
    const LakeHttpOptions options = {.connect_timeout_ms = 2000, .n_at_once = n_at_once};

    return lake_http_new(&options);
}

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->service = canned_service_new();
    fixture->http = make_http(5);
    fixture->into = lake_spool_new(g_get_tmp_dir());
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    lake_http_answer_clear(&fixture->answer);
    g_clear_error(&fixture->error);
    lake_spool_unref(fixture->into);
    lake_http_free(fixture->http);
    canned_service_free(fixture->service);
}

static char *
dup_answer(LakeSpool *spool)
{
    gint64 size_bytes = lake_spool_size(spool);
    char *text = g_malloc0((gsize)size_bytes + 1);

    g_assert_cmpint(lake_spool_read(spool, 0, text, (gsize)size_bytes, NULL), ==, size_bytes);
    return text;
}

static LakeHttpRequest
get(Fixture *fixture)
{
    return (LakeHttpRequest){
        .method = "GET",
        .url = canned_service_url(fixture->service),
        .timeout_ms = 10000,
        .into = fixture->into,
    };
}

static gboolean
send_request(Fixture *fixture, const LakeHttpRequest *request)
{
    lake_http_answer_clear(&fixture->answer);
    g_clear_error(&fixture->error);
    return lake_http_send(fixture->http, request, &fixture->answer, NULL, &fixture->error);
}

static void
assert_fails(Fixture *fixture, const LakeHttpRequest *request, LakeErrorCode code)
{
    gboolean is_answered = send_request(fixture, request);

    g_assert_cmpint(fixture->answer.status, ==, 0);
    g_assert_false(is_answered);
    g_assert_error(fixture->error, LAKE_ERROR, (int)code);
}

static void
test_request_and_answer(Fixture *fixture, gconstpointer unused)
{
    static const char *const headers[] = {"Authorization: Bearer " TOKEN, "X-Own: a b", NULL};
    LakeHttpRequest request = get(fixture);
    g_autofree char *url =
        g_strconcat(canned_service_url(fixture->service), "/a/../b%2Fc?d=e", NULL);

    request.method = "POST";
    request.url = url;
    request.headers = headers;
    request.body = "{\"query\": \"é\"}";
    request.body_bytes = strlen(request.body);
    canned_service_add_json(fixture->service, 201, "Retry-After: 7\r\n", "{\"a\": 1}");
    g_assert_true(send_request(fixture, &request));
    g_assert_no_error(fixture->error);

    g_assert_cmpint(fixture->answer.status, ==, 201);
    g_assert_cmpstr(fixture->answer.content_type, ==, "application/json");
    g_assert_cmpint(fixture->answer.retry_after_ms, ==, 7000);
    g_assert_true(fixture->answer.was_sent);
    g_autofree char *answered = dup_answer(fixture->into);
    g_assert_cmpstr(answered, ==, "{\"a\": 1}");

    g_autofree char *head = canned_service_dup_head(fixture->service, 0);
    g_autofree char *body = canned_service_dup_body(fixture->service, 0);
    g_assert_true(g_str_has_prefix(head, "POST /a/../b%2Fc?d=e HTTP/1.1\n"));
    g_assert_nonnull(strstr(head, "\nAuthorization: Bearer " TOKEN "\n"));
    g_assert_nonnull(strstr(head, "\nX-Own: a b\n"));
    g_assert_nonnull(strstr(head, "\nAccept-Encoding: "));
    g_assert_cmpstr(body, ==, request.body);
}

static void
test_methods(Fixture *fixture, gconstpointer unused)
{
    static const struct {
        const char *method, *body;
    } cases[] = {{"GET", NULL}, {"DELETE", NULL}, {"POST", ""}, {"POST", NULL}, {"PUT", "x"}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        LakeHttpRequest request = get(fixture);
        request.method = cases[i].method;
        request.body = cases[i].body;
        request.body_bytes = cases[i].body ? strlen(cases[i].body) : 0;
        g_assert_true(send_request(fixture, &request));

        g_autofree char *head = canned_service_dup_head(fixture->service, i);
        g_autofree char *body = canned_service_dup_body(fixture->service, i);
        g_assert_true(g_str_has_prefix(head, cases[i].method));
        g_assert_cmpstr(body, ==, cases[i].body ? cases[i].body : "");
    }
    /* One after another, over one connection. */
    g_assert_cmpuint(canned_service_n_connections(fixture->service), ==, 1);
    LakeHttpStatus status;
    lake_http_status(fixture->http, &status);
    g_assert_cmpint(status.n_connections, ==, 1);
    g_assert_cmpuint(status.n_under_way, ==, 0);
}

static void
test_header_of_the_former_request_is_gone(Fixture *fixture, gconstpointer unused)
{
    static const char *const headers[] = {"Authorization: Bearer " TOKEN, NULL};
    LakeHttpRequest request = get(fixture);

    request.headers = headers;
    g_assert_true(send_request(fixture, &request));
    request.headers = NULL;
    g_assert_true(send_request(fixture, &request));
    g_autofree char *head = canned_service_dup_head(fixture->service, 1);
    g_assert_null(strstr(head, "Authorization"));
}

static void
test_large_body_is_sent_at_once(Fixture *fixture, gconstpointer unused)
{
    gsize n_bytes = 8 * 1024 * 1024;
    g_autofree char *large = g_strnfill(n_bytes, 'x');
    LakeHttpRequest request = get(fixture);
    gint64 began = g_get_monotonic_time();

    request.method = "POST";
    request.body = large;
    request.body_bytes = n_bytes;
    g_assert_true(send_request(fixture, &request));
    /* "Expect: 100-continue" would wait for a second. */
    g_assert_cmpint(g_get_monotonic_time() - began, <, G_TIME_SPAN_SECOND * 9 / 10);
    g_autofree char *body = canned_service_dup_body(fixture->service, 0);
    g_assert_cmpuint(strlen(body), ==, n_bytes);
}

static void
test_answer_that_does_not_wait_for_the_body(Fixture *fixture, gconstpointer unused)
{
    gsize n_bytes = 32 * 1024 * 1024;
    g_autofree char *large = g_strnfill(n_bytes, 'x');
    LakeHttpRequest request = get(fixture);

    request.method = "POST";
    request.body = large;
    request.body_bytes = n_bytes;
    canned_service_add(fixture->service,
        &(CannedAnswer){.text = "HTTP/1.1 413 Too Large\r\nConnection: close\r\n"
                                "Content-Length: 0\r\n\r\n",
            .is_hasty = TRUE});
    /* What is in flight as the server hangs up may take the answer along. */
    if (send_request(fixture, &request))
        g_assert_cmpint(fixture->answer.status, ==, 413);
    else
        g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
}

static void
test_compressed_answer_is_unpacked(Fixture *fixture, gconstpointer unused)
{
    const char *text = "the same again and again, the same again and again";
    g_autoptr(GZlibCompressor) gzip = g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP, 9);
    char packed[512];
    gsize n_read, n_packed;

    g_assert_cmpint(g_converter_convert(G_CONVERTER(gzip), text, strlen(text), packed,
                        sizeof packed, G_CONVERTER_INPUT_AT_END, &n_read, &n_packed, NULL),
        ==, G_CONVERTER_FINISHED);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree char *head = g_strdup_printf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                                            "Content-Length: %" G_GSIZE_FORMAT "\r\n\r\n",
        n_packed);
    g_byte_array_append(bytes, (const guchar *)head, (guint)strlen(head));
    g_byte_array_append(bytes, (const guchar *)packed, (guint)n_packed);
    canned_service_add(fixture->service,
        &(CannedAnswer){.text = (const char *)bytes->data, .n_bytes = bytes->len});

    LakeHttpRequest request = get(fixture);
    g_assert_true(send_request(fixture, &request));
    g_autofree char *asked = canned_service_dup_head(fixture->service, 0);
    g_autofree char *answered = dup_answer(fixture->into);
    g_assert_nonnull(strstr(asked, "gzip"));
    g_assert_cmpstr(answered, ==, text);
}

static void
test_bad_requests_are_refused(Fixture *fixture, gconstpointer unused)
{
    static const char *const headers[] = {"X: a\r\nY: " TOKEN, "X: a\n" TOKEN, "X\r: " TOKEN,
        ": " TOKEN, TOKEN, "X y: " TOKEN, "", "X: \x01" TOKEN};
    static const char *const methods[] = {"GET /\r\n", "get", "", "GE T"};
    static const char *const urls[] = {"http://h/\r\nX: y", "http://h/a b",
        "http://u:" TOKEN "@h", "http://" TOKEN "@h/", "h", "http:///x"};

    for (gsize i = 0; i < G_N_ELEMENTS(headers); i++) {
        const char *const list[] = {"A: b", headers[i], NULL};
        LakeHttpRequest request = get(fixture);
        request.headers = list;
        assert_fails(fixture, &request, LAKE_ERROR_BAD_INPUT);
        g_assert_null(strstr(fixture->error->message, TOKEN));
    }
    for (gsize i = 0; i < G_N_ELEMENTS(methods); i++) {
        LakeHttpRequest request = get(fixture);
        request.method = methods[i];
        assert_fails(fixture, &request, LAKE_ERROR_BAD_INPUT);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(urls); i++) {
        LakeHttpRequest request = get(fixture);
        request.url = urls[i];
        assert_fails(fixture, &request, LAKE_ERROR_BAD_INPUT);
        g_assert_null(strstr(fixture->error->message, TOKEN));
    }
    g_assert_cmpuint(canned_service_n_connections(fixture->service), ==, 0);
}

static void
test_other_protocols_are_refused(Fixture *fixture, gconstpointer unused)
{
    static const char *const urls[] = {
        "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "smb://127.0.0.1/x"};

    for (gsize i = 0; i < G_N_ELEMENTS(urls); i++) {
        LakeHttpRequest request = get(fixture);
        request.url = urls[i];
        g_assert_false(send_request(fixture, &request));
        g_assert_false(fixture->answer.was_sent);
        g_assert_cmpint(lake_spool_size(fixture->into), ==, 0);
    }
}

static void
test_redirects_are_not_followed(Fixture *fixture, gconstpointer unused)
{
    CannedService *elsewhere = canned_service_new();
    g_autofree char *location =
        g_strdup_printf("Location: %s/\r\n", canned_service_url(elsewhere));
    LakeHttpRequest request = get(fixture);

    canned_service_add_json(fixture->service, 307, location, "{}");
    g_assert_true(send_request(fixture, &request));
    g_assert_cmpint(fixture->answer.status, ==, 307);
    g_assert_cmpuint(canned_service_n_connections(elsewhere), ==, 0);
    canned_service_free(elsewhere);
}

static void
test_nobody_there(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *dead = canned_service_dup_dead_url();
    LakeHttpRequest request = get(fixture);

    request.url = dead;
    assert_fails(fixture, &request, LAKE_ERROR_OFFLINE);
    g_assert_false(fixture->answer.was_sent);
    request.url = "http://no-such-host.invalid/";
    assert_fails(fixture, &request, LAKE_ERROR_OFFLINE);
    g_assert_false(fixture->answer.was_sent);
}

static void
test_cut_while_answering(Fixture *fixture, gconstpointer unused)
{
    static const char *const cuts[] = {NULL,
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal"};

    for (gsize i = 0; i < G_N_ELEMENTS(cuts); i++) {
        LakeHttpRequest request = get(fixture);
        canned_service_add(fixture->service, &(CannedAnswer){.text = cuts[i], .is_last = TRUE});
        assert_fails(fixture, &request, LAKE_ERROR_OFFLINE);
        g_assert_true(fixture->answer.was_sent);
    }
}

/* libcurl by itself would send it again. */
static void
test_kept_connection_that_is_cut(Fixture *fixture, gconstpointer is_repeatable)
{
    LakeHttpRequest request = get(fixture);
    gboolean may_repeat = GPOINTER_TO_INT(is_repeatable);

    request.is_repeatable = may_repeat;
    g_assert_true(send_request(fixture, &request));
    canned_service_add(fixture->service, &(CannedAnswer){.text = NULL});
    gboolean is_answered = send_request(fixture, &request);

    g_assert_true(is_answered == may_repeat);
    g_assert_true(fixture->answer.was_sent);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, may_repeat ? 3 : 2);
    if (!may_repeat)
        g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
}

/* Closed while nobody looked: that is seen before the request goes out. */
static void
test_kept_connection_that_was_closed(Fixture *fixture, gconstpointer unused)
{
    LakeHttpRequest request = get(fixture);

    canned_service_add(fixture->service,
        &(CannedAnswer){
            .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", .is_last = TRUE});
    g_assert_true(send_request(fixture, &request));
    g_usleep(100 * 1000);
    g_assert_true(send_request(fixture, &request));
    g_assert_cmpuint(canned_service_n_connections(fixture->service), ==, 2);
}

static void
test_time_is_up(Fixture *fixture, gconstpointer unused)
{
    LakeHttpRequest request = get(fixture);
    gint64 began = g_get_monotonic_time();

    request.timeout_ms = 200;
    canned_service_add(fixture->service, &(CannedAnswer){.delay_ms = 1000});
    assert_fails(fixture, &request, LAKE_ERROR_TIMED_OUT);
    g_assert_true(fixture->answer.was_sent);
    g_assert_cmpint(g_get_monotonic_time() - began, <, 900 * G_TIME_SPAN_MILLISECOND);
}

static void
test_answer_too_large(Fixture *fixture, gconstpointer unused)
{
    LakeHttpRequest request = get(fixture);

    request.max_answer_bytes = 100 * 1000;
    canned_service_add(fixture->service,
        &(CannedAnswer){.text = "HTTP/1.1 200 OK\r\n\r\n", .is_endless = TRUE});
    assert_fails(fixture, &request, LAKE_ERROR_TOO_BIG);
    g_assert_cmpint(lake_spool_size(fixture->into), <=, 100 * 1000);
}

static void
test_not_http(Fixture *fixture, gconstpointer unused)
{
    LakeHttpRequest request = get(fixture);

    canned_service_add(
        fixture->service, &(CannedAnswer){.text = "220 mail ready\r\n", .is_last = TRUE});
    assert_fails(fixture, &request, LAKE_ERROR_FAILED);
    g_assert_nonnull(strstr(lake_error_facts(fixture->error)->hint, "--api-url"));
}

static void
test_plain_http_where_tls_is_asked(Fixture *fixture, gconstpointer unused)
{
    const char *url = canned_service_url(fixture->service);
    g_autofree char *secure = g_strconcat("https", strchr(url, ':'), NULL);
    LakeHttpRequest request = get(fixture);

    canned_service_add(fixture->service,
        &(CannedAnswer){.text = "HTTP/1.1 400 Bad Request\r\n\r\n", .is_unasked = TRUE});
    request.url = secure;
    assert_fails(fixture, &request, LAKE_ERROR_FAILED);
    g_assert_false(fixture->answer.was_sent);
    g_assert_nonnull(strstr(lake_error_facts(fixture->error)->hint, "http://"));
}

typedef struct {
    GCancellable *cancellable;
    gulong delay_us;
    gint64 cancelled_at;
} Canceller;

static gpointer
cancel_later(gpointer data)
{
    Canceller *canceller = data;

    g_usleep(canceller->delay_us);
    canceller->cancelled_at = g_get_monotonic_time();
    g_cancellable_cancel(canceller->cancellable);
    return NULL;
}

static void
assert_cancels(Fixture *fixture, LakeHttp *http, const LakeHttpRequest *request)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_auto(LakeHttpAnswer) answer = {0};
    Canceller canceller = {.cancellable = cancellable, .delay_us = 150 * 1000};
    GThread *thread = g_thread_new("cancel", cancel_later, &canceller);

    g_assert_false(lake_http_send(http, request, &answer, cancellable, &error));
    gint64 returned_at = g_get_monotonic_time();
    g_thread_join(thread);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpint(returned_at - canceller.cancelled_at, <, 50 * G_TIME_SPAN_MILLISECOND);
}

static void
test_cancelled_while_under_way(Fixture *fixture, gconstpointer unused)
{
    LakeHttpRequest request = get(fixture);

    canned_service_add(fixture->service, &(CannedAnswer){.delay_ms = 1000});
    assert_cancels(fixture, fixture->http, &request);
    /* The handle serves the next one. */
    g_assert_true(send_request(fixture, &request));
    g_assert_cmpint(fixture->answer.status, ==, 200);
}

static void
test_cancelled_before(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    LakeHttpRequest request = get(fixture);

    g_cancellable_cancel(cancellable);
    g_assert_false(lake_http_send(
        fixture->http, &request, &fixture->answer, cancellable, &fixture->error));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
}

typedef struct {
    LakeHttp *http;
    const char *url;
    gboolean is_interactive;
    gint64 took_us;
    gboolean is_good;
} Job;

static gpointer
run_job(gpointer data)
{
    Job *job = data;
    g_autoptr(LakeSpool) into = lake_spool_new(g_get_tmp_dir());
    g_auto(LakeHttpAnswer) answer = {0};
    const LakeHttpRequest request = {.method = "GET",
        .url = job->url,
        .timeout_ms = 20000,
        .is_interactive = job->is_interactive,
        .into = into};
    gint64 began = g_get_monotonic_time();

    job->is_good = lake_http_send(job->http, &request, &answer, NULL, NULL);
    job->took_us = g_get_monotonic_time() - began;
    return NULL;
}

static void
run_jobs(Fixture *fixture, LakeHttp *http, Job *jobs, guint n_jobs)
{
    g_autofree GThread **threads = g_new(GThread *, n_jobs);

    for (guint i = 0; i < n_jobs; i++) {
        jobs[i].http = http;
        jobs[i].url = canned_service_url(fixture->service);
        threads[i] = g_thread_new("job", run_job, &jobs[i]);
    }
    for (guint i = 0; i < n_jobs; i++) {
        g_thread_join(threads[i]);
        g_assert_true(jobs[i].is_good);
    }
}

static void
test_no_more_at_once(Fixture *fixture, gconstpointer unused)
{
    Job jobs[20] = {0};
    const char *ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    for (guint i = 0; i < G_N_ELEMENTS(jobs); i++) {
        jobs[i].is_interactive = TRUE;
        canned_service_add(fixture->service, &(CannedAnswer){.text = ok, .delay_ms = 100});
    }
    run_jobs(fixture, fixture->http, jobs, G_N_ELEMENTS(jobs));
    g_assert_cmpuint(canned_service_n_at_once(fixture->service), ==, 5);
    g_assert_cmpuint(canned_service_n_connections(fixture->service), <=, 5);
}

static void
test_interactive_ones_do_not_wait_for_bulk(Fixture *fixture, gconstpointer unused)
{
    Job bulk[8] = {0};
    Job interactive = {.http = fixture->http,
        .url = canned_service_url(fixture->service),
        .is_interactive = TRUE};
    GThread *threads[G_N_ELEMENTS(bulk)];
    const char *ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    for (guint i = 0; i < 4; i++)
        canned_service_add(fixture->service, &(CannedAnswer){.text = ok, .delay_ms = 1000});
    for (guint i = 0; i < G_N_ELEMENTS(bulk); i++) {
        bulk[i].http = fixture->http;
        bulk[i].url = interactive.url;
        threads[i] = g_thread_new("bulk", run_job, &bulk[i]);
    }
    canned_service_wait(fixture->service, 4);
    run_job(&interactive);
    g_assert_true(interactive.is_good);
    g_assert_cmpint(interactive.took_us, <, 500 * G_TIME_SPAN_MILLISECOND);

    for (guint i = 0; i < G_N_ELEMENTS(bulk); i++) {
        g_thread_join(threads[i]);
        g_assert_true(bulk[i].is_good);
    }
}

static void
test_waiting_ends_in_time_and_on_demand(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(LakeHttp) http = make_http(1);
    Job busy = {.http = http, .url = canned_service_url(fixture->service)};
    LakeHttpRequest request = get(fixture);
    g_autoptr(GError) error = NULL;
    g_auto(LakeHttpAnswer) answer = {0};
    const char *ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    canned_service_add(fixture->service, &(CannedAnswer){.text = ok, .delay_ms = 1500});
    GThread *thread = g_thread_new("busy", run_job, &busy);
    canned_service_wait(fixture->service, 1);

    request.timeout_ms = 100;
    g_assert_false(lake_http_send(http, &request, &answer, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BUSY);
    g_assert_false(answer.was_sent);
    request.timeout_ms = 0;
    assert_cancels(fixture, http, &request);
    g_thread_join(thread);
    g_assert_true(busy.is_good);
}

/* Runs openssl in folder; words are its arguments. */
static void
run_openssl(const char *folder, const char *words)
{
    g_autofree char *line = g_strconcat("openssl ", words, NULL);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    int status = -1;

    g_assert_true(g_spawn_sync(folder, argv, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
        NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
}

/* A server of TLS whose certificate is for localhost; *ret_port is where it listens. */
static GPid
start_tls_server(const char *folder, guint *ret_port)
{
    const char *argv[] = {"openssl", "s_server", "-accept", "localhost:0", "-4", "-cert",
        "cert.pem", "-key", "key.pem", "-www", NULL};
    GPid pid;
    int output;
    char line[256];

    run_openssl(folder, "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
                        " -subj /CN=localhost -addext subjectAltName=DNS:localhost"
                        " -keyout key.pem -out cert.pem");
    g_assert_true(g_spawn_async_with_pipes(folder, (char **)argv, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL |
            G_SPAWN_CHILD_INHERITS_STDIN,
        NULL, NULL, &pid, NULL, &output, NULL, NULL));

    /* It says "ACCEPT 127.0.0.1:PORT" once it listens; what it says later finds the pipe. */
    FILE *lines = fdopen(output, "r"); /* open to the end of the program */
    do
        g_assert_nonnull(fgets(line, sizeof line, lines));
    while (!g_str_has_prefix(line, "ACCEPT "));
    *ret_port = (guint)g_ascii_strtoull(strrchr(line, ':') + 1, NULL, 10);
    return pid;
}

static void
send_over_tls(Fixture *fixture, const char *ca_file, const char *url)
{
    const LakeHttpOptions options = {
        .ca_file = ca_file, .connect_timeout_ms = 5000, .n_at_once = 1};
    LakeHttpRequest request = get(fixture);

    request.url = url;
    lake_http_free(fixture->http);
    fixture->http = lake_http_new(&options);
    send_request(fixture, &request);
}

static void
test_tls_is_verified(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *program = g_find_program_in_path("openssl");
    if (!program) {
        g_test_skip("the program openssl is missing");
        return;
    }
    guint port = 0;
    g_autofree char *folder = g_dir_make_tmp("tls-XXXXXX", NULL);
    g_autofree char *ca_file = g_build_filename(folder, "cert.pem", NULL);
    g_autofree char *key_file = g_build_filename(folder, "key.pem", NULL);
    GPid server = start_tls_server(folder, &port);
    g_autofree char *url = g_strdup_printf("https://localhost:%u/", port);
    g_autofree char *other_name = g_strdup_printf("https://127.0.0.1:%u/", port);

    send_over_tls(fixture, ca_file, url);
    g_assert_no_error(fixture->error);
    g_assert_cmpint(fixture->answer.status, ==, 200);

    send_over_tls(fixture, NULL, url);
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
    g_assert_nonnull(strstr(lake_error_facts(fixture->error)->hint, "--ca-file"));
    g_assert_false(fixture->answer.was_sent);

    send_over_tls(fixture, ca_file, other_name);
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
    g_assert_false(fixture->answer.was_sent);

    send_over_tls(fixture, "/nonexistent/ca.pem", url);
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_FAILED);
    g_assert_nonnull(strstr(lake_error_facts(fixture->error)->hint, "--ca-file"));

    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
    g_unlink(ca_file);
    g_unlink(key_file);
    g_rmdir(folder);
}

#define ADD(name, data, function)                                                              \
    g_test_add("/core/api/http/" name, Fixture, data, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_setenv("no_proxy", "*", TRUE);

    ADD("request-and-answer-arrive-whole", NULL, test_request_and_answer);
    ADD("one-connection-serves-many-methods", NULL, test_methods);
    ADD("headers-are-of-one-request", NULL, test_header_of_the_former_request_is_gone);
    ADD("large-bodies-go-at-once", NULL, test_large_body_is_sent_at_once);
    ADD("early-answers-are-heard", NULL, test_answer_that_does_not_wait_for_the_body);
    ADD("compressed-answers-are-unpacked", NULL, test_compressed_answer_is_unpacked);
    ADD("line-breaks-are-refused", NULL, test_bad_requests_are_refused);
    ADD("other-protocols-are-refused", NULL, test_other_protocols_are_refused);
    ADD("redirects-are-not-followed", NULL, test_redirects_are_not_followed);
    ADD("nobody-there-is-offline-and-unsent", NULL, test_nobody_there);
    ADD("cut-answers-are-offline-and-sent", NULL, test_cut_while_answering);
    ADD("what-is-repeatable-is-sent-again", GINT_TO_POINTER(TRUE),
        test_kept_connection_that_is_cut);
    ADD("what-is-not-is-sent-once", GINT_TO_POINTER(FALSE), test_kept_connection_that_is_cut);
    ADD("closed-connections-are-noticed", NULL, test_kept_connection_that_was_closed);
    ADD("time-limits-hold", NULL, test_time_is_up);
    ADD("too-large-an-answer-is-refused", NULL, test_answer_too_large);
    ADD("other-languages-are-not-http", NULL, test_not_http);
    ADD("plain-http-is-no-tls", NULL, test_plain_http_where_tls_is_asked);
    ADD("tls-is-verified", NULL, test_tls_is_verified);
    ADD("cancelling-takes-50-ms", NULL, test_cancelled_while_under_way);
    ADD("cancelled-before-sends-nothing", NULL, test_cancelled_before);
    ADD("no-more-at-once-than-allowed", NULL, test_no_more_at_once);
    ADD("interactive-ones-do-not-wait-for-bulk", NULL,
        test_interactive_ones_do_not_wait_for_bulk);
    ADD("waiting-ends-in-time-and-on-demand", NULL, test_waiting_ends_in_time_and_on_demand);
    return g_test_run();
}
