/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/api/canned.h"

#include <string.h>

#define WAIT_US (20 * G_TIME_SPAN_SECOND)

typedef struct {
    char *head, *body;
} Request;

struct CannedService {
    GSocketService *listener;
    char *url;

    GMutex lock; /* guards all below */
    GCond changed;
    GQueue answers;      /* of CannedAnswer */
    GPtrArray *requests; /* of Request */
    guint n_connections, n_open, n_now, n_at_once;
};

static void
request_free(gpointer data)
{
    Request *request = data;

    g_free(request->head);
    g_free(request->body);
    g_free(request);
}

static void
answer_free(gpointer data)
{
    CannedAnswer *answer = data;

    g_free((char *)answer->text);
    g_free(answer);
}

/* Up to the empty line; NULL: the client has hung up. */
static char *
read_head(GDataInputStream *input)
{
    g_autoptr(GString) head = g_string_new(NULL);

    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(input, NULL, NULL, NULL);
        if (!line)
            return NULL;
        if (!*line)
            return g_strdup(head->str);
        g_string_append_printf(head, "%s\n", line);
    }
}

static char *
read_body(GDataInputStream *input, const char *head)
{
    const char *length = strcasestr(head, "\nContent-Length:");
    gsize n_bytes = length ? g_ascii_strtoull(length + 16, NULL, 10) : 0;
    char *body = g_malloc0(n_bytes + 1);
    gsize n_read;

    g_input_stream_read_all(G_INPUT_STREAM(input), body, n_bytes, &n_read, NULL, NULL);
    return body;
}

static CannedAnswer *
take_answer(CannedService *service)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             "Content-Length: 2\r\n\r\n{}";
    CannedAnswer *answer;

    g_mutex_lock(&service->lock);
    answer = g_queue_pop_head(&service->answers);
    service->n_now++;
    service->n_at_once = MAX(service->n_at_once, service->n_now);
    g_mutex_unlock(&service->lock);
    if (!answer) {
        answer = g_new0(CannedAnswer, 1);
        answer->text = g_strdup(ok);
        answer->n_bytes = strlen(ok);
    }
    return answer;
}

static void
note_request(CannedService *service, char *head, char *body)
{
    Request *request = g_new(Request, 1);

    *request = (Request){.head = head, .body = body};
    g_mutex_lock(&service->lock);
    g_ptr_array_add(service->requests, request);
    g_cond_broadcast(&service->changed);
    g_mutex_unlock(&service->lock);
}

static void
note_end(CannedService *service)
{
    g_mutex_lock(&service->lock);
    service->n_now--;
    g_mutex_unlock(&service->lock);
}

/* Whether the connection goes on. */
static gboolean
serve_one(CannedService *service, GDataInputStream *input, GOutputStream *output)
{
    static const char endless[] = "{\"columns\":[\"some bytes that never end\"]}\n";
    char *head = read_head(input);
    if (!head)
        return FALSE;

    CannedAnswer *answer = take_answer(service);
    note_request(service, head, answer->is_hasty ? NULL : read_body(input, head));
    g_usleep(answer->delay_ms * 1000);
    gboolean goes_on =
        answer->text &&
        g_output_stream_write_all(output, answer->text, answer->n_bytes, NULL, NULL, NULL) &&
        !answer->is_last && !answer->is_hasty;
    while (goes_on && answer->is_endless)
        goes_on = g_output_stream_write_all(output, endless, strlen(endless), NULL, NULL, NULL);
    note_end(service);
    answer_free(answer);
    return goes_on;
}

static gboolean
serve(GThreadedSocketService *listener, GSocketConnection *connection, GObject *source,
    gpointer data)
{
    CannedService *service = data;
    g_autoptr(GDataInputStream) input =
        g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    GOutputStream *output = g_io_stream_get_output_stream(G_IO_STREAM(connection));

    g_data_input_stream_set_newline_type(input, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    g_filter_input_stream_set_close_base_stream(G_FILTER_INPUT_STREAM(input), FALSE);
    g_mutex_lock(&service->lock);
    service->n_connections++;
    service->n_open++;
    g_mutex_unlock(&service->lock);
    while (serve_one(service, input, output))
        continue;

    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    g_mutex_lock(&service->lock);
    service->n_open--;
    g_cond_broadcast(&service->changed);
    g_mutex_unlock(&service->lock);
    return TRUE;
}

static gpointer
run_loop(gpointer loop)
{
    g_main_loop_run(loop);
    return NULL;
}

/* One for the whole program: it accepts connections. */
static void
start_loop(void)
{
    static GThread *thread;

    if (!thread)
        thread = g_thread_new("canned", run_loop, g_main_loop_new(NULL, FALSE));
}

CannedService *
canned_service_new(void)
{
    CannedService *service = g_new0(CannedService, 1);
    g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
    g_autoptr(GSocketAddress) wanted = g_inet_socket_address_new(loopback, 0);
    g_autoptr(GSocketAddress) given = NULL;

    g_mutex_init(&service->lock);
    g_cond_init(&service->changed);
    g_queue_init(&service->answers);
    service->requests = g_ptr_array_new_with_free_func(request_free);
    service->listener = g_threaded_socket_service_new(32);
    g_signal_connect(service->listener, "run", G_CALLBACK(serve), service);
    g_assert_true(g_socket_listener_add_address(G_SOCKET_LISTENER(service->listener), wanted,
        G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &given, NULL));
    service->url = g_strdup_printf(
        "http://127.0.0.1:%u", g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(given)));
    start_loop();
    return service;
}

/* Those who had connections must have closed them. */
void
canned_service_free(CannedService *service)
{
    gint64 until = g_get_monotonic_time() + WAIT_US;

    g_socket_service_stop(service->listener);
    g_socket_listener_close(G_SOCKET_LISTENER(service->listener));
    g_mutex_lock(&service->lock);
    while (service->n_open > 0)
        g_assert_true(g_cond_wait_until(&service->changed, &service->lock, until));
    g_mutex_unlock(&service->lock);
    g_object_unref(service->listener);
    g_queue_clear_full(&service->answers, answer_free);
    g_ptr_array_unref(service->requests);
    g_mutex_clear(&service->lock);
    g_cond_clear(&service->changed);
    g_free(service->url);
    g_free(service);
}

const char *
canned_service_url(CannedService *service)
{
    return service->url;
}

void
canned_service_add(CannedService *service, const CannedAnswer *answer)
{
    CannedAnswer *copy = g_new(CannedAnswer, 1);

    *copy = *answer;
    if (answer->text && !answer->n_bytes)
        copy->n_bytes = strlen(answer->text);
    copy->text = g_memdup2(answer->text, copy->n_bytes);
    g_mutex_lock(&service->lock);
    g_queue_push_tail(&service->answers, copy);
    g_mutex_unlock(&service->lock);
}

static void
add_answer(
    CannedService *service, int status, const char *type, const char *headers, const char *body)
{
    g_autofree char *text = g_strdup_printf("HTTP/1.1 %d Whatever\r\nContent-Type: %s\r\n"
                                            "%sContent-Length: %" G_GSIZE_FORMAT "\r\n\r\n%s",
        status, type, headers ? headers : "", strlen(body), body);

    canned_service_add(service, &(CannedAnswer){.text = text});
}

void
canned_service_add_json(
    CannedService *service, int status, const char *headers, const char *body)
{
    add_answer(service, status, "application/json", headers, body);
}

void
canned_service_add_body(CannedService *service, int status, const char *type, const char *body)
{
    add_answer(service, status, type, NULL, body);
}

static guint
read_counter(CannedService *service, const guint *counter)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&service->lock);

    return *counter;
}

guint
canned_service_n_requests(CannedService *service)
{
    return read_counter(service, &service->requests->len);
}

guint
canned_service_n_connections(CannedService *service)
{
    return read_counter(service, &service->n_connections);
}

guint
canned_service_n_at_once(CannedService *service)
{
    return read_counter(service, &service->n_at_once);
}

static const Request *
get_request(CannedService *service, guint index)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&service->lock);

    g_assert_cmpuint(index, <, service->requests->len);
    return service->requests->pdata[index];
}

char *
canned_service_dup_head(CannedService *service, guint index)
{
    return g_strdup(get_request(service, index)->head);
}

char *
canned_service_dup_body(CannedService *service, guint index)
{
    return g_strdup(get_request(service, index)->body);
}

void
canned_service_wait(CannedService *service, guint n_requests)
{
    gint64 until = g_get_monotonic_time() + WAIT_US;

    g_mutex_lock(&service->lock);
    while (service->requests->len < n_requests)
        g_assert_true(g_cond_wait_until(&service->changed, &service->lock, until));
    g_mutex_unlock(&service->lock);
}

char *
canned_service_dup_dead_url(void)
{
    CannedService *service = canned_service_new();
    char *url = g_strdup(service->url);

    canned_service_free(service);
    return url;
}

void
canned_service_open_session(CannedService *service, LakeApiSession *ret_session)
{
    /* {"OrgID":"org-1"} */
    g_autoptr(LakeToken) token =
        lake_token_new("eyJhbGciOiJub25lIn0.eyJPcmdJRCI6Im9yZy0xIn0.x", NULL);
    const LakeApiOptions options = {
        .url = service->url,
        .workspace = "ws",
        .token = token,
        .connect_timeout_ms = 5000,
        .staging_dir = g_get_tmp_dir(),
    };

    *ret_session = (LakeApiSession){
        .client = lake_api_client_new(&options),
        .statement_timeout_ms = 20000,
        .interactive_timeout_ms = 20000,
    };
    lake_api_lag_init(&ret_session->lag, 0);
}

void
canned_service_close_session(LakeApiSession *session)
{
    lake_api_client_free(session->client);
    lake_api_lag_clear(&session->lag);
}
