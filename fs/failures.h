/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/failures.h: what went wrong, kept for errors.jsonl (the last FS_FAILURES_MAX) and for the
 * files
 * `<name>.error` beside refused copies. Lives as long as the mount. Any thread; one lock. */

#include "core/error.h"
#include "fs/adapter.h"

#define FS_FAILURES_MAX 1000
/* Refusals of more files than this: the oldest are forgotten; errors.jsonl and the log had
 * them. */
#define FS_FAILURES_REFUSALS_MAX 10000

typedef struct FsFailures FsFailures;

FsFailures *fs_failures_new(void);
void fs_failures_free(FsFailures *failures);

void fs_failures_add(FsFailures *failures, const FsFailure *failure);
/* One JSON object per line, oldest first; caller frees. */
char *fs_failures_to_jsonl(FsFailures *failures);
guint64 fs_failures_count(FsFailures *failures);

/* The reason why ingest/<zone>/<path> was refused: set, taken back (a good copy, or rm of the
 * .error file; FALSE: there was none), asked for (caller frees; NULL: none). */
void fs_failures_refuse(
    FsFailures *failures, const char *zone, const char *path, const GError *error);
gboolean fs_failures_forgive(FsFailures *failures, const char *zone, const char *path);
char *fs_failures_reason(FsFailures *failures, const char *zone, const char *path);
/* Names of refused files directly in folder ("" is the top), of char*. */
GPtrArray *fs_failures_refused(FsFailures *failures, const char *zone, const char *folder);
