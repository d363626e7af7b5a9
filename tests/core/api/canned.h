/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* tests/core/api/canned.h: a server of HTTP/1.1 on loopback that says what a test told it to.
 *
 * Answers are given in the order in which they were added, each once; after the last one comes
 * 200 with {}. A thread serves each connection. */

#include "core/api/session.h"

typedef struct CannedService CannedService;

typedef struct {
    const char *text;    /* raw: status line, headers, empty line, body; NULL: hang up */
    gsize n_bytes;       /* of text; 0: to its end */
    gulong delay_ms;     /* before it */
    gboolean is_last;    /* hang up after it, without a word of that */
    gboolean is_unasked; /* at the first bytes that come, whatever they are; then hang up */
    gboolean is_hasty;   /* before the request's body was read; then hang up */
    gboolean is_endless; /* after it, bytes until the line is cut */
} CannedAnswer;

CannedService *canned_service_new(void);
void canned_service_free(CannedService *service);

/* "http://127.0.0.1:PORT"; borrowed. */
const char *canned_service_url(CannedService *service);

void canned_service_add(CannedService *service, const CannedAnswer *answer);
/* An answer with this status, JSON, and further headers ("Name: value\r\n" each) or NULL. */
void canned_service_add_json(
    CannedService *service, int status, const char *headers, const char *body);
/* The same with another type. */
void
canned_service_add_body(CannedService *service, int status, const char *type, const char *body);

/* How many requests came, how many connections, and how many requests at once at most. */
guint canned_service_n_requests(CannedService *service);
guint canned_service_n_connections(CannedService *service);
guint canned_service_n_at_once(CannedService *service);
/* Request number index: its head, then its body. Caller frees. */
char *canned_service_dup_head(CannedService *service, guint index);
char *canned_service_dup_body(CannedService *service, guint index);
/* Waits until so many requests have come. */
void canned_service_wait(CannedService *service, guint n_requests);

/* A port of loopback on which nobody listens: "http://127.0.0.1:PORT"; caller frees. */
char *canned_service_dup_dead_url(void);

/* A session with the service, whose changes nobody waits for. */
void canned_service_open_session(CannedService *service, LakeApiSession *ret_session);
void canned_service_close_session(LakeApiSession *session);
