/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/metrics.h: what a mount counts, as Prometheus reads it (text exposition format 0.0.4).
 *
 * Requests are counted by relaxed atomics, a file's ingest under a lock. Any thread.
 */

#include "core/workspace.h"

typedef struct FsMetrics FsMetrics;

FsMetrics *fs_metrics_new(void);
void fs_metrics_free(FsMetrics *metrics);

/* A request gets its answer after that long; operations that the table in fs/metrics.c does not
 * have are counted together, as "other". */
void fs_metrics_request(FsMetrics *metrics, const char *operation, gint64 duration_us);
/* A request is answered with that errno. */
void fs_metrics_error(FsMetrics *metrics, const char *operation, int number);

/* Bytes that readers got, and that writers gave. */
void fs_metrics_read(FsMetrics *metrics, guint64 n_bytes);
void fs_metrics_written(FsMetrics *metrics, guint64 n_bytes);

/* The file was ingested as kind ("text" …), or was there already: entry; or not: error. */
void fs_metrics_ingest(FsMetrics *metrics, const char *kind, gint64 size_bytes,
    const LakeLedgerEntry *entry, const GError *error);

/* What others know, at this moment. */
typedef struct {
    guint n_jobs;
    LakeTransportStatus connections;
    double uptime_seconds;
} FsMetricsGauges;

/* Caller frees. */
char *fs_metrics_to_text(FsMetrics *metrics, const FsMetricsGauges *gauges);
