/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/api/canned.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sockets and threads alone: ThreadSanitizer does not see into GIO's. */

#define WAIT_US (20 * G_TIME_SPAN_SECOND)

typedef struct {
    char *head, *body;
} Request;

struct CannedService {
    int fd; /* listens */
    GThread *acceptor;
    char *url;

    GMutex lock; /* guards all below */
    GCond changed;
    GQueue answers;      /* of CannedAnswer */
    GPtrArray *requests; /* of Request */
    GPtrArray *threads;  /* of connections */
    guint n_connections, n_now, n_at_once;
};

typedef struct {
    CannedService *service;
    int fd;
    gsize n_held;
    char held[64 * 1024]; /* read, and not yet looked at */
} Line;

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

/* FALSE: the client has hung up. */
static gboolean
read_more(Line *line)
{
    for (;;) {
        gssize n_read =
            recv(line->fd, line->held + line->n_held, sizeof line->held - line->n_held, 0);
        if (n_read < 0 && errno == EINTR)
            continue;
        line->n_held += (gsize)MAX(n_read, 0);
        return n_read > 0;
    }
}

static void
drop(Line *line, gsize n_bytes)
{
    line->n_held -= n_bytes;
    memmove(line->held, line->held + n_bytes, line->n_held);
}

/* Up to the empty line, with ends of lines as in C; NULL: the client has hung up. */
static char *
read_head(Line *line)
{
    char *end;

    while (!(end = memmem(line->held, line->n_held, "\r\n\r\n", 4)))
        if (!read_more(line))
            return NULL;
    g_autoptr(GString) head = g_string_new_len(line->held, end + 2 - line->held);
    g_string_replace(head, "\r\n", "\n", 0);
    drop(line, (gsize)(end + 4 - line->held));
    return g_strdup(head->str);
}

static char *
read_body(Line *line, const char *head)
{
    const char *length = strcasestr(head, "\nContent-Length:");
    gsize n_left = length ? g_ascii_strtoull(length + 16, NULL, 10) : 0;
    GString *body = g_string_sized_new(n_left + 1);

    while (n_left > 0 && (line->n_held > 0 || read_more(line))) {
        gsize n_taken = MIN(n_left, line->n_held);
        g_string_append_len(body, line->held, (gssize)n_taken);
        drop(line, n_taken);
        n_left -= n_taken;
    }
    return g_string_free(body, FALSE);
}

static gboolean
write_bytes(const Line *line, const char *bytes, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize n_written = send(line->fd, bytes, n_bytes, MSG_NOSIGNAL);
        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written < 0)
            return FALSE;
        bytes += n_written;
        n_bytes -= (gsize)n_written;
    }
    return TRUE;
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

/* Whether the next answer needs no request. */
static gboolean
is_unasked(CannedService *service)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&service->lock);
    const CannedAnswer *next = g_queue_peek_head(&service->answers);

    return next && next->is_unasked;
}

static char *
read_anything(Line *line)
{
    return read_more(line) ? g_strdup("") : NULL;
}

/* Whether the connection goes on. */
static gboolean
serve_one(Line *line)
{
    static const char endless[] = "{\"columns\":[\"some bytes that never end\"]}\n";
    CannedService *service = line->service;
    char *head = is_unasked(service) ? read_anything(line) : read_head(line);
    if (!head)
        return FALSE;

    CannedAnswer *answer = take_answer(service);
    note_request(service, head, answer->is_hasty ? NULL : read_body(line, head));
    g_usleep(answer->delay_ms * 1000);
    gboolean goes_on = answer->text && write_bytes(line, answer->text, answer->n_bytes) &&
                       !answer->is_last && !answer->is_hasty && !answer->is_unasked;
    while (goes_on && answer->is_endless)
        goes_on = write_bytes(line, endless, strlen(endless));
    note_end(service);
    answer_free(answer);
    return goes_on;
}

static gpointer
serve(gpointer data)
{
    Line *line = data;

    while (serve_one(line))
        continue;
    close(line->fd);
    g_free(line);
    return NULL;
}

static gpointer
accept_all(gpointer data)
{
    CannedService *service = data;
    int fd;

    while ((fd = accept4(service->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        Line *line = g_new0(Line, 1);
        line->service = service;
        line->fd = fd;
        g_mutex_lock(&service->lock);
        service->n_connections++;
        g_ptr_array_add(service->threads, g_thread_new("line", serve, line));
        g_mutex_unlock(&service->lock);
    }
    return NULL;
}

CannedService *
canned_service_new(void)
{
    CannedService *service = g_new0(CannedService, 1);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n_bytes = sizeof address;

    g_mutex_init(&service->lock);
    g_cond_init(&service->changed);
    g_queue_init(&service->answers);
    service->requests = g_ptr_array_new_with_free_func(request_free);
    service->threads = g_ptr_array_new();
    service->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(service->fd, (struct sockaddr *)&address, n_bytes), ==, 0);
    g_assert_cmpint(listen(service->fd, 64), ==, 0);
    g_assert_cmpint(getsockname(service->fd, (struct sockaddr *)&address, &n_bytes), ==, 0);
    service->url = g_strdup_printf("http://127.0.0.1:%u", ntohs(address.sin_port));
    service->acceptor = g_thread_new("accept", accept_all, service);
    return service;
}

/* Those who had connections must have closed them. */
void
canned_service_free(CannedService *service)
{
    shutdown(service->fd, SHUT_RDWR); /* which ends accept() */
    g_thread_join(service->acceptor);
    close(service->fd);
    for (guint i = 0; i < service->threads->len; i++)
        g_thread_join(service->threads->pdata[i]);
    g_queue_clear_full(&service->answers, answer_free);
    g_ptr_array_unref(service->requests);
    g_ptr_array_unref(service->threads);
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
