/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/request.h: how a request that may need the server gets its answer.
 *
 * Each is first tried where it was read, on a thread of the FUSE loop, with may_block FALSE:
 * most can be answered from memory. One that says would_block is run again by a worker. So the
 * loop never waits for PostgreSQL. Knows nothing of libfuse: fs/adapter.c embeds FsRequest in
 * its own. Any thread.
 */

#include "fs/node.h"

typedef enum {
    FS_REQUEST_QUICK, /* lookups and listings: their own workers, so that no ingest delays an ls
                       */
    FS_REQUEST_LONG,  /* closes, queries, drops */
} FsRequestSpeed;

typedef struct FsRequest FsRequest;
typedef struct FsRequests FsRequests;

struct FsRequest {
    FsCall call;
    FsRequestSpeed speed;
    FsRequests *requests;
    GList link; /* in the list of those that run */
    /* Answers, unless it sets call.would_block. */
    void (*run)(FsRequest *request);
    /* Told before a worker takes it, still on the loop. */
    void (*queued)(FsRequest *request);
    void (*free)(FsRequest *request);
};

FsRequests *fs_requests_new(void);
/* Waits for the workers. */
void fs_requests_free(FsRequests *requests);

/* Runs and frees the request; call.cancellable is made here. */
void fs_requests_start(FsRequests *requests, FsRequest *request);

guint fs_requests_n_running(FsRequests *requests);
/* FALSE when some still run after timeout_ms. */
gboolean fs_requests_wait(FsRequests *requests, gint64 timeout_ms);
/* Cancels all that run; returns how many. */
guint fs_requests_cancel(FsRequests *requests);
