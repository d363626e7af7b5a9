/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/http.h: one HTTP request and its answer; the only door to libcurl.
 *
 * Requests are driven by the thread that makes them, each over one of n_at_once handles, and
 * each handle has a connection of its own that stays open between requests; the one used last
 * is used next, as it is the warmest. So there is no hand-over to another thread, which would
 * add its wake-ups to every lookup; and a large upload never stands before a small question in
 * one HTTP/2 connection. When all are busy, others wait; one handle is kept for interactive
 * requests.
 *
 * TLS is always verified (the system's authorities, or ca_file alone). Redirects are answers
 * like others and are not followed: the token stays with the host it was meant for. Proxies are
 * what curl takes from the environment (https_proxy, no_proxy …). Compressed answers are
 * unpacked. Any thread.
 */

#include "core/error.h"
#include "core/spool.h"

/* How the message of TOO_BIG begins: 413 and PostgreSQL's own limits have others. */
#define LAKE_HTTP_LARGE_ANSWER "the service's answer is larger than"

typedef struct LakeHttp LakeHttp;

typedef struct {
    const char *ca_file;       /* PEM; trusted instead of the system's. NULL: the system's */
    gint64 connect_timeout_ms; /* name, connection and TLS together */
    guint n_at_once;           /* requests under way at most; others wait */
} LakeHttpOptions;

/* Never fails; strings are copied. The first one has libcurl set itself up, which since 7.84 it
 * does behind a lock: there may be threads. */
LakeHttp *lake_http_new(const LakeHttpOptions *options);
/* No request may be under way. NULL is allowed. */
void lake_http_free(LakeHttp *http);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeHttp, lake_http_free)

typedef struct {
    const char *method;         /* "GET", "POST" … */
    const char *url;            /* http or https, without a user or a password */
    const char *const *headers; /* "Name: value", NULL at the end; may be NULL */
    const char *body;           /* borrowed; NULL: none */
    gsize body_bytes;
    gint64 timeout_ms;       /* for all of it, waiting for a handle too; 0: no limit */
    gint64 max_answer_bytes; /* after unpacking; 0: no limit */
    gboolean is_repeatable;  /* may be sent again where a kept connection proves to be cut */
    gboolean is_interactive; /* may take the handle that is kept */
    LakeSpool *into;         /* the answer's body is appended */
} LakeHttpRequest;

typedef struct {
    int status;            /* 200 …; 0: no answer came */
    char *content_type;    /* NULL: not said */
    gint64 retry_after_ms; /* -1: not said */
    gboolean was_sent;     /* also without an answer: it may have been executed */
} LakeHttpAnswer;

void lake_http_answer_clear(LakeHttpAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LakeHttpAnswer, lake_http_answer_clear)

/* TRUE when an answer came, whatever its status. *ret_answer (which must be all zeros, and is
 * then cleared by the caller) says was_sent after an error too.
 *   OFFLINE    no connection (was_sent FALSE), or it was cut (TRUE)
 *   TIMED_OUT  after it was sent
 *   BUSY       no handle became free within timeout_ms
 *   NO_ACCESS  the server's certificate is not trusted: the hint names ca_file
 *   TOO_BIG    the answer is larger than max_answer_bytes
 *   BAD_INPUT  method, url or a header has characters that do not belong there, as line breaks
 *   CANCELLED; what writing into the spool can bring */
gboolean lake_http_send(LakeHttp *http, const LakeHttpRequest *request,
    LakeHttpAnswer *ret_answer, GCancellable *cancellable, GError **error);

typedef struct {
    guint n_at_once;
    guint n_under_way;
    guint n_waiting;
    gint64 n_connections; /* made so far: few where they are kept */
} LakeHttpStatus;

void lake_http_status(LakeHttp *http, LakeHttpStatus *ret_status);
