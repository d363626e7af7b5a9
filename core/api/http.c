/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* A kept connection is used for so long after its last request: less than the minute after
 * which common servers and balancers close it, so that a request seldom meets its end. */
#define KEEP_S 50L
/* As core/pg/connection.c asks of libpq: a peer that is gone without a word. */
#define KEEPALIVE_IDLE_S 10L
#define KEEPALIVE_INTERVAL_S 5L
#define KEEPALIVE_COUNT 3
#define UNACKNOWLEDGED_MS 20000
#define RECEIVE_BYTES (128L * 1024)
#define SEND_BYTES (256L * 1024)
#define LONGEST_WAIT_US (G_TIME_SPAN_HOUR) /* of one wait among many */

/* A connection's owner; one thread at a time. */
typedef struct {
    CURLM *multi; /* holds the connection between requests, and can be woken */
    CURL *easy;
} Handle;

struct LakeHttp {
    char *ca_file;
    gint64 connect_timeout_ms;
    guint n_at_once;
    guint n_bulk_max;

    GMutex lock; /* guards all below */
    GCond returned;
    GQueue idle; /* of Handle; the most recently used first */
    guint n_in_use;
    guint n_bulk_in_use;
    guint n_waiting;
    gint64 n_connections;
};

/* One request under way. */
typedef struct {
    const LakeHttpRequest *request;
    gint64 deadline_us; /* 0: none */
    struct curl_slist *headers;
    guint n_sendings;
    gint64 n_answer_bytes;
    GError *failure; /* of our callbacks */
    char text[CURL_ERROR_SIZE];
} Exchange;

static gpointer
set_up(gpointer unused)
{
    CURLcode trouble = curl_global_init(CURL_GLOBAL_DEFAULT);

    if (trouble)
        g_error("libcurl cannot be set up: %s", curl_easy_strerror(trouble));
    if (!(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_THREADSAFE))
        g_error("this libcurl cannot be set up while there are threads");
    return NULL;
}

LakeHttp *
lake_http_new(const LakeHttpOptions *options)
{
    static GOnce once = G_ONCE_INIT;
    LakeHttp *http = g_new0(LakeHttp, 1);

    g_once(&once, set_up, NULL);
    http->ca_file = g_strdup(options->ca_file);
    http->connect_timeout_ms = options->connect_timeout_ms;
    http->n_at_once = MAX(options->n_at_once, 1);
    http->n_bulk_max = MAX(http->n_at_once - 1, 1);
    g_mutex_init(&http->lock);
    g_cond_init(&http->returned);
    g_queue_init(&http->idle);
    return http;
}

static void
handle_free(gpointer data)
{
    Handle *handle = data;

    curl_easy_cleanup(handle->easy);
    curl_multi_cleanup(handle->multi);
    g_free(handle);
}

static Handle *
handle_new(void)
{
    Handle *handle = g_new(Handle, 1);

    handle->multi = curl_multi_init();
    handle->easy = curl_easy_init();
    if (!handle->multi || !handle->easy)
        g_error("libcurl has no memory for a handle");
    return handle;
}

void
lake_http_free(LakeHttp *http)
{
    if (!http)
        return;
    g_assert(http->n_in_use == 0);
    g_queue_clear_full(&http->idle, handle_free);
    g_mutex_clear(&http->lock);
    g_cond_clear(&http->returned);
    g_free(http->ca_file);
    g_free(http);
}

void
lake_http_answer_clear(LakeHttpAnswer *answer)
{
    g_free(answer->content_type);
    *answer = (LakeHttpAnswer){.retry_after_ms = -1};
}

static gboolean
fail_cancelled(GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
    return FALSE;
}

static void
wake_waiting(GCancellable *cancellable, gpointer data)
{
    LakeHttp *http = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&http->lock);

    g_cond_broadcast(&http->returned);
}

/* With the lock held. */
static gboolean
has_room(const LakeHttp *http, gboolean is_interactive)
{
    return http->n_in_use < http->n_at_once &&
           (is_interactive || http->n_bulk_in_use < http->n_bulk_max);
}

/* With the lock held, which waiting gives up. */
static gboolean
wait_for_room(
    LakeHttp *http, const Exchange *exchange, GCancellable *cancellable, GError **error)
{
    while (!has_room(http, exchange->request->is_interactive)) {
        gint64 now = g_get_monotonic_time();
        gint64 until = exchange->deadline_us ? exchange->deadline_us : now + LONGEST_WAIT_US;

        if (g_cancellable_is_cancelled(cancellable))
            return fail_cancelled(error);
        if (now >= until) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BUSY,
                "all %u connections to the service are in use", http->n_at_once);
            return FALSE;
        }
        g_cond_wait_until(&http->returned, &http->lock, until);
    }
    return TRUE;
}

/* Takes a place, and a handle that was left idle where there is one. */
static gboolean
take_place(LakeHttp *http, const Exchange *exchange, Handle **ret_handle,
    GCancellable *cancellable, GError **error)
{
    gulong waker =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake_waiting), http, NULL)
                    : 0;

    g_mutex_lock(&http->lock);
    http->n_waiting++;
    gboolean is_taken = wait_for_room(http, exchange, cancellable, error);
    http->n_waiting--;
    if (is_taken) {
        http->n_in_use++;
        http->n_bulk_in_use += !exchange->request->is_interactive;
        *ret_handle = g_queue_pop_head(&http->idle);
    }
    g_mutex_unlock(&http->lock);

    if (waker)
        g_cancellable_disconnect(cancellable, waker);
    return is_taken;
}

static void
leave_place(LakeHttp *http, const Exchange *exchange, Handle *handle)
{
    long n_connections = 0;

    curl_easy_getinfo(handle->easy, CURLINFO_NUM_CONNECTS, &n_connections);
    curl_easy_reset(handle->easy); /* it forgets this request and where it was; not the line */
    g_mutex_lock(&http->lock);
    http->n_in_use--;
    http->n_bulk_in_use -= !exchange->request->is_interactive;
    http->n_connections += n_connections;
    g_queue_push_head(&http->idle, handle);
    /* Not signal: the one woken may be a bulk request that has no room yet. */
    g_cond_broadcast(&http->returned);
    g_mutex_unlock(&http->lock);
}

/* The connection stands and the request goes out. libcurl comes here again when a kept
 * connection was cut before it answered; whether the first one was executed, nobody knows. */
static int
note_sending(void *data, char *ip, char *local_ip, int port, int local_port)
{
    Exchange *exchange = data;

    exchange->n_sendings++;
    return exchange->n_sendings > 1 && !exchange->request->is_repeatable ? CURL_PREREQFUNC_ABORT
                                                                         : CURL_PREREQFUNC_OK;
}

static size_t
take_body(char *bytes, size_t size, size_t n_bytes, void *data)
{
    Exchange *exchange = data;
    const LakeHttpRequest *request = exchange->request;

    exchange->n_answer_bytes += (gint64)n_bytes;
    if (request->max_answer_bytes > 0 && exchange->n_answer_bytes > request->max_answer_bytes) {
        lake_error_set(&exchange->failure, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TOO_BIG,
            LAKE_HTTP_LARGE_ANSWER " %" G_GINT64_FORMAT " bytes",
            request->max_answer_bytes);
        return 0;
    }
    return lake_spool_append(request->into, bytes, n_bytes, &exchange->failure) ? n_bytes : 0;
}

static int
configure_socket(void *data, curl_socket_t fd, curlsocktype purpose)
{
    int n_probes = KEEPALIVE_COUNT;
    unsigned int unacknowledged_ms = UNACKNOWLEDGED_MS;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &n_probes, sizeof n_probes);
    (void)setsockopt(
        fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms, sizeof unacknowledged_ms);
    return CURL_SOCKOPT_OK;
}

static void
choose_method(CURL *easy, const LakeHttpRequest *request)
{
    if (request->body || strcmp(request->method, "POST") == 0) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
    }
    if (strcmp(request->method, request->body ? "POST" : "GET") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

/* What is the same for every request. */
static void
set_habits(const LakeHttp *http, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, ""); /* all that libcurl can unpack */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "deeplakefs/" DEEPLAKEFS_VERSION);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BYTES);

    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    if (http->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* else the system's count as well */
    }

    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, configure_socket);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, KEEP_S);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->connect_timeout_ms);
    /* Do not wait for a name that is being looked up when the request is cancelled: that
     * thread ends, and frees what it has, by itself. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
}

static void
prepare(const LakeHttp *http, CURL *easy, Exchange *exchange)
{
    set_habits(http, easy);
    choose_method(easy, exchange->request);
    curl_easy_setopt(easy, CURLOPT_URL, exchange->request->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->text);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, note_sending);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
    if (exchange->deadline_us) {
        gint64 left_us = exchange->deadline_us - g_get_monotonic_time();
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)MAX(left_us / 1000, 1));
    }
}

static void
wake_driven(GCancellable *cancellable, gpointer multi)
{
    curl_multi_wakeup(multi);
}

/* Until the request is done one way or another. FALSE: cancelled. */
static gboolean
drive(Handle *handle, CURLcode *ret_outcome, GCancellable *cancellable)
{
    CURLMcode trouble = curl_multi_add_handle(handle->multi, handle->easy);
    int n_running = 1;

    while (trouble == CURLM_OK && !g_cancellable_is_cancelled(cancellable)) {
        trouble = curl_multi_perform(handle->multi, &n_running);
        if (trouble != CURLM_OK || n_running == 0)
            break;
        trouble = curl_multi_poll(handle->multi, NULL, 0, G_MAXINT, NULL);
    }

    int n_left;
    CURLMsg *message = curl_multi_info_read(handle->multi, &n_left);
    *ret_outcome = message               ? message->data.result
                   : trouble != CURLM_OK ? CURLE_FAILED_INIT
                                         : CURLE_ABORTED_BY_CALLBACK;
    curl_multi_remove_handle(handle->multi, handle->easy); /* closes what is half done */
    return message || trouble != CURLM_OK;
}

static gboolean
drive_watched(Handle *handle, CURLcode *ret_outcome, GCancellable *cancellable)
{
    gulong waker = cancellable ? g_cancellable_connect(
                                     cancellable, G_CALLBACK(wake_driven), handle->multi, NULL)
                               : 0;
    gboolean is_done = drive(handle, ret_outcome, cancellable);

    if (waker)
        g_cancellable_disconnect(cancellable, waker);
    return is_done;
}

/* What is no matter of the line. */
static const struct {
    CURLcode outcome;
    LakeErrorCode code;
    const char *message, *hint;
} troubles[] = {
    {CURLE_PEER_FAILED_VERIFICATION, LAKE_ERROR_NO_ACCESS,
        "the service's certificate is not trusted",
        "Where an authority of your own has signed it, name its file with --ca-file."},
    {CURLE_SSL_CACERT_BADFILE, LAKE_ERROR_FAILED,
        "the authorities' certificates cannot be read",
        "See that --ca-file names a readable file in PEM form."},
    {CURLE_URL_MALFORMAT, LAKE_ERROR_BAD_INPUT, "the service's address cannot be one",
        "See --api-url."},
    {CURLE_WEIRD_SERVER_REPLY, LAKE_ERROR_FAILED, "what answers there does not speak HTTP",
        "See --api-url."},
    {CURLE_UNSUPPORTED_PROTOCOL, LAKE_ERROR_FAILED, "what answers there does not speak HTTP",
        "See --api-url."},
    {CURLE_BAD_CONTENT_ENCODING, LAKE_ERROR_FAILED, "the answer cannot be unpacked", NULL},
    {CURLE_OUT_OF_MEMORY, LAKE_ERROR_FAILED, "libcurl has no memory", NULL},
    {CURLE_FAILED_INIT, LAKE_ERROR_FAILED, "libcurl failed", NULL},
};

/* An answer in another language than TLS; a line that was cut meanwhile says so otherwise. */
static gboolean
is_bad_handshake(CURLcode outcome, const char *text)
{
    return outcome == CURLE_SSL_CONNECT_ERROR && strstr(text, "SSL routines") &&
           !strstr(text, "unexpected eof");
}

static void
set_line_error(CURLcode outcome, const char *text, gboolean was_sent, GError **error)
{
    gboolean is_late = outcome == CURLE_OPERATION_TIMEDOUT;

    if (is_late && was_sent)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TIMED_OUT,
            "the service did not answer in time");
    else if (was_sent)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE,
            "the connection to the service was cut: %s", text);
    else
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE,
            "the service cannot be reached: %s", text);
}

static void
set_error(CURLcode outcome, const Exchange *exchange, GError **error)
{
    const char *text = *exchange->text ? exchange->text : curl_easy_strerror(outcome);

    if (exchange->n_sendings > 1 && outcome == CURLE_ABORTED_BY_CALLBACK)
        text = "it did not answer before";
    for (gsize i = 0; i < G_N_ELEMENTS(troubles); i++) {
        if (troubles[i].outcome != outcome)
            continue;
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, troubles[i].code, "%s: %s",
            troubles[i].message, text);
        if (error && troubles[i].hint)
            lake_error_hint(*error, "%s", troubles[i].hint);
        return;
    }
    if (is_bad_handshake(outcome, text)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "the service and we found no way to speak TLS: %s", text);
        if (error)
            lake_error_hint(*error, "See --api-url: is it http:// and not https://, and is "
                                    "the port right?");
        return;
    }
    set_line_error(outcome, text, exchange->n_sendings > 0, error);
}

static void
take_answer(CURL *easy, LakeHttpAnswer *answer)
{
    struct curl_header *header = NULL;
    curl_off_t retry_after_s = 0;
    long status = 0;
    const char *content_type = NULL;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &content_type);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    answer->status = (int)status;
    answer->content_type = g_strdup(content_type);
    if (curl_easy_header(easy, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
        answer->retry_after_ms = CLAMP(retry_after_s, 0, G_MAXINT32) * 1000;
}

/* An answer that came before all was sent, after which the server closed: 413 for example. */
static gboolean
was_answered_early(CURL *easy, CURLcode outcome)
{
    long status = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return outcome == CURLE_SEND_ERROR && status >= 400;
}

static gboolean
exchange_run(LakeHttp *http, Handle *handle, Exchange *exchange, LakeHttpAnswer *answer,
    GCancellable *cancellable, GError **error)
{
    CURLcode outcome;

    prepare(http, handle->easy, exchange);
    gboolean is_done = drive_watched(handle, &outcome, cancellable);
    answer->was_sent = exchange->n_sendings > 0;
    if (!is_done)
        return fail_cancelled(error);
    if (exchange->failure) {
        g_propagate_error(error, g_steal_pointer(&exchange->failure));
        return FALSE;
    }
    if (outcome != CURLE_OK && !was_answered_early(handle->easy, outcome)) {
        set_error(outcome, exchange, error);
        return FALSE;
    }
    take_answer(handle->easy, answer);
    return TRUE;
}

static gboolean
has_control_characters(const char *text)
{
    for (; *text; text++)
        if ((guchar)*text < ' ' || *text == 0x7f)
            return TRUE;
    return FALSE;
}

/* Nothing of it is repeated: it may be the token. */
static gboolean
check_header(const char *header, GError **error)
{
    gsize n_name = strspn(header, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789!#$%&'*+-.^_`|~"); /* RFC 9110, 5.6.2 */

    if (n_name > 0 && header[n_name] == ':' && !has_control_characters(header))
        return TRUE;
    return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
        "a header of a request has characters that do not belong there");
}

static gboolean
check_request(const LakeHttpRequest *request, GError **error)
{
    const char *authority = strstr(request->url, "://");
    gsize n_authority = authority ? strcspn(authority + 3, "/?#") : 0;

    if (!*request->method ||
        request->method[strspn(request->method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")])
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "a method of HTTP is made of capital letters alone");
    if (n_authority == 0 || memchr(authority + 3, '@', n_authority) ||
        strchr(request->url, ' ') || has_control_characters(request->url))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "the address has characters that do not belong there");
    for (const char *const *header = request->headers; header && *header; header++)
        if (!check_header(*header, error))
            return FALSE;
    return TRUE;
}

/* libcurl's list over our own strings, so that there is no copy of the token in it; in one
 * piece, for g_free. */
static struct curl_slist *
list_headers(const char *const *headers)
{
    /* Else a megabyte and more would wait a second for the server to ask for it. */
    static const char no_wait[] = "Expect:";
    gsize n = headers ? g_strv_length((char **)headers) : 0;
    struct curl_slist *list = g_new0(struct curl_slist, n + 1);

    list[n].data = (char *)no_wait;
    for (gsize i = 0; i < n; i++) {
        list[i].data = (char *)headers[i];
        list[i].next = &list[i + 1];
    }
    return list;
}

gboolean
lake_http_send(LakeHttp *http, const LakeHttpRequest *request, LakeHttpAnswer *ret_answer,
    GCancellable *cancellable, GError **error)
{
    Exchange exchange = {.request = request};
    Handle *handle = NULL;

    ret_answer->retry_after_ms = -1;
    if (request->timeout_ms > 0)
        exchange.deadline_us = g_get_monotonic_time() + request->timeout_ms * 1000;
    if (!check_request(request, error))
        return FALSE;
    if (g_cancellable_is_cancelled(cancellable))
        return fail_cancelled(error);
    if (!take_place(http, &exchange, &handle, cancellable, error))
        return FALSE;

    if (!handle)
        handle = handle_new();
    exchange.headers = list_headers(request->headers);
    gboolean is_answered =
        exchange_run(http, handle, &exchange, ret_answer, cancellable, error);
    leave_place(http, &exchange, handle);
    g_clear_error(&exchange.failure);
    g_free(exchange.headers);
    return is_answered;
}

void
lake_http_status(LakeHttp *http, LakeHttpStatus *ret_status)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&http->lock);

    *ret_status = (LakeHttpStatus){
        .n_at_once = http->n_at_once,
        .n_under_way = http->n_in_use,
        .n_waiting = http->n_waiting,
        .n_connections = http->n_connections,
    };
}
