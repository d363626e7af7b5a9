/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/metrics.h"

#include "core/error.h"
#include <stdatomic.h>
#include <string.h>

#define ERRNO_MAX 133 /* EHWPOISON, asm-generic/errno.h */

/* The last stands for every other. */
static const char *const operations[] = {"lookup", "getattr", "setattr", "mkdir", "unlink",
    "rmdir", "rename", "open", "create", "read", "write", "flush", "release", "fsync",
    "readdir", "getxattr", "listxattr", "setxattr", "removexattr", "other"};

static const struct {
    gint64 limit_us;
    const char *text; /* the same in seconds */
} buckets[] = {
    {50, "0.00005"},
    {200, "0.0002"},
    {1000, "0.001"},
    {5000, "0.005"},
    {20000, "0.02"},
    {100000, "0.1"},
    {500000, "0.5"},
    {2000000, "2"},
    {10000000, "10"},
    {60000000, "60"},
    {G_MAXINT64, "+Inf"},
};

typedef enum { OUTCOME_DONE, OUTCOME_FAILED, OUTCOME_INTERRUPTED, N_OUTCOMES } Outcome;
static const char *const outcomes[N_OUTCOMES] = {"done", "failed", "interrupted"};

typedef struct {
    guint64 n_files[N_OUTCOMES];
    guint64 n_bytes[N_OUTCOMES];
    guint64 n_rows;
} Ingests;

typedef struct {
    atomic_ullong n_in_bucket[G_N_ELEMENTS(buckets)];
    atomic_ullong total_us;
    atomic_ullong n_errors[ERRNO_MAX + 1]; /* by errno; 0: any other */
} Requests;

struct FsMetrics {
    Requests requests[G_N_ELEMENTS(operations)];
    atomic_ullong n_read;
    atomic_ullong n_written;
    GMutex lock;         /* guards ingests */
    GHashTable *ingests; /* kind → Ingests */
};

FsMetrics *
fs_metrics_new(void)
{
    FsMetrics *metrics = g_new0(FsMetrics, 1);

    g_mutex_init(&metrics->lock);
    metrics->ingests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return metrics;
}

void
fs_metrics_free(FsMetrics *metrics)
{
    g_hash_table_unref(metrics->ingests);
    g_mutex_clear(&metrics->lock);
    g_free(metrics);
}

/* --- counting --- */

static Requests *
requests_of(FsMetrics *metrics, const char *operation)
{
    gsize number = 0;

    while (number < G_N_ELEMENTS(operations) - 1 && strcmp(operations[number], operation) != 0)
        number++;
    return &metrics->requests[number];
}

/* Counters say nothing about other memory: no order is needed. */
static void
add(atomic_ullong *counter, guint64 amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}

static guint64
get(atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void
fs_metrics_request(FsMetrics *metrics, const char *operation, gint64 duration_us)
{
    Requests *requests = requests_of(metrics, operation);
    gsize number = 0;

    while (duration_us > buckets[number].limit_us)
        number++;
    add(&requests->n_in_bucket[number], 1);
    add(&requests->total_us, (guint64)MAX(duration_us, 0));
}

void
fs_metrics_error(FsMetrics *metrics, const char *operation, int number)
{
    Requests *requests = requests_of(metrics, operation);

    add(&requests->n_errors[number > 0 && number <= ERRNO_MAX ? number : 0], 1);
}

void
fs_metrics_read(FsMetrics *metrics, guint64 n_bytes)
{
    add(&metrics->n_read, n_bytes);
}

void
fs_metrics_written(FsMetrics *metrics, guint64 n_bytes)
{
    add(&metrics->n_written, n_bytes);
}

void
fs_metrics_ingest(FsMetrics *metrics, const char *kind, gint64 size_bytes,
    const LakeLedgerEntry *entry, const GError *error)
{
    Outcome outcome = entry ? OUTCOME_DONE
                      : g_error_matches(error, LAKE_ERROR, LAKE_ERROR_CANCELLED)
                          ? OUTCOME_INTERRUPTED
                          : OUTCOME_FAILED;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&metrics->lock);
    Ingests *ingests = g_hash_table_lookup(metrics->ingests, kind);

    if (!ingests) {
        ingests = g_new0(Ingests, 1);
        g_hash_table_insert(metrics->ingests, g_strdup(kind), ingests);
    }
    ingests->n_files[outcome]++;
    ingests->n_bytes[outcome] += (guint64)size_bytes;
    if (entry)
        ingests->n_rows += (guint64)entry->n_rows;
}

/* --- showing --- */

static void
begin(GString *text, const char *name, const char *type, const char *help)
{
    g_string_append_printf(
        text, "# HELP deeplakefs_%s %s\n# TYPE deeplakefs_%s %s\n", name, help, name, type);
}

static void
append_number(GString *text, const char *name, const char *type, const char *help, double value)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];

    begin(text, name, type, help);
    g_ascii_formatd(digits, sizeof digits, "%.17g", value);
    g_string_append_printf(text, "deeplakefs_%s %s\n", name, digits);
}

static void
append_counter(GString *text, const char *name, const char *help, guint64 value)
{
    begin(text, name, "counter", help);
    g_string_append_printf(text, "deeplakefs_%s %" G_GUINT64_FORMAT "\n", name, value);
}

static void
append_histogram(GString *text, const char *operation, Requests *requests)
{
    guint64 total_us = get(&requests->total_us);
    char seconds[G_ASCII_DTOSTR_BUF_SIZE];
    guint64 n_up_to = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(buckets); i++) {
        n_up_to += get(&requests->n_in_bucket[i]);
        g_string_append_printf(text,
            "deeplakefs_request_seconds_bucket{operation=\"%s\",le=\"%s\"} %" G_GUINT64_FORMAT
            "\n",
            operation, buckets[i].text, n_up_to);
    }
    g_ascii_formatd(seconds, sizeof seconds, "%.6f", (double)total_us / G_USEC_PER_SEC);
    g_string_append_printf(text,
        "deeplakefs_request_seconds_sum{operation=\"%s\"} %s\n"
        "deeplakefs_request_seconds_count{operation=\"%s\"} %" G_GUINT64_FORMAT "\n",
        operation, seconds, operation, n_up_to);
}

static void
append_errors(GString *text, const char *operation, Requests *requests)
{
    for (int number = 0; number <= ERRNO_MAX; number++) {
        guint64 n_errors = get(&requests->n_errors[number]);
        const char *name = number ? strerrorname_np(number) : NULL;

        if (n_errors > 0)
            g_string_append_printf(text,
                "deeplakefs_request_errors_total{operation=\"%s\",errno=\"%s\"} "
                "%" G_GUINT64_FORMAT "\n",
                operation, name ? name : "other", n_errors);
    }
}

/* by outcome: counts[N_OUTCOMES] at that offset of each kind's Ingests. */
static void
append_by_outcome(GString *text, FsMetrics *metrics, const char *name, gsize offset)
{
    GHashTableIter iterator;
    gpointer kind;
    gpointer ingests;

    g_hash_table_iter_init(&iterator, metrics->ingests);
    while (g_hash_table_iter_next(&iterator, &kind, &ingests))
        for (int i = 0; i < N_OUTCOMES; i++)
            g_string_append_printf(text,
                "deeplakefs_%s{kind=\"%s\",outcome=\"%s\"} %" G_GUINT64_FORMAT "\n", name,
                (const char *)kind, outcomes[i],
                (&G_STRUCT_MEMBER(guint64, ingests, offset))[i]);
}

static void
append_ingests(GString *text, FsMetrics *metrics)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&metrics->lock);
    GHashTableIter iterator;
    gpointer kind;
    gpointer ingests;

    begin(text, "ingest_files_total", "counter", "Ingests that ended.");
    append_by_outcome(text, metrics, "ingest_files_total", offsetof(Ingests, n_files));
    begin(text, "ingest_bytes_total", "counter", "Bytes of the files whose ingest ended.");
    append_by_outcome(text, metrics, "ingest_bytes_total", offsetof(Ingests, n_bytes));
    begin(text, "ingest_rows_total", "counter", "Rows of the files whose ingest was done.");
    g_hash_table_iter_init(&iterator, metrics->ingests);
    while (g_hash_table_iter_next(&iterator, &kind, &ingests))
        g_string_append_printf(text,
            "deeplakefs_ingest_rows_total{kind=\"%s\"} %" G_GUINT64_FORMAT "\n",
            (const char *)kind, ((Ingests *)ingests)->n_rows);
}

static void
append_gauges(GString *text, const FsMetricsGauges *gauges)
{
    const LakeTransportStatus *connections = &gauges->connections;

    append_number(text, "ingest_jobs", "gauge", "Ingests in progress.", gauges->n_jobs);
    append_number(
        text, "connections_open", "gauge", "Connections to the server.", connections->n_open);
    append_number(text, "connections_in_use", "gauge", "Connections that are lent.",
        connections->n_in_use);
    append_number(
        text, "connections_max", "gauge", "Connections that can be open.", connections->n_max);
    append_number(text, "uptime_seconds", "gauge", "Since the mount.", gauges->uptime_seconds);
    begin(text, "build_info", "gauge", "Always 1; its labels say what runs.");
    g_string_append(text, "deeplakefs_build_info{version=\"" DEEPLAKEFS_VERSION "\"} 1\n");
}

char *
fs_metrics_to_text(FsMetrics *metrics, const FsMetricsGauges *gauges)
{
    GString *text = g_string_new(NULL);

    begin(text, "request_seconds", "histogram", "Time from a request's arrival to its answer.");
    for (gsize i = 0; i < G_N_ELEMENTS(operations); i++)
        append_histogram(text, operations[i], &metrics->requests[i]);
    begin(
        text, "request_errors_total", "counter", "Requests that were answered with an errno.");
    for (gsize i = 0; i < G_N_ELEMENTS(operations); i++)
        append_errors(text, operations[i], &metrics->requests[i]);
    append_counter(
        text, "read_bytes_total", "Bytes that readers were given.", get(&metrics->n_read));
    append_counter(
        text, "written_bytes_total", "Bytes that writers gave.", get(&metrics->n_written));
    append_ingests(text, metrics);
    append_gauges(text, gauges);
    return g_string_free(text, FALSE);
}
