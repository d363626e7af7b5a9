/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/metrics.h"

#include "core/error.h"
#include <errno.h>
#include <string.h>

#define N_THREADS 4
#define N_ROUNDS 20000

static char *
to_text(FsMetrics *metrics)
{
    const FsMetricsGauges gauges = {
        .n_jobs = 3,
        .connections = {.n_open = 2, .n_in_use = 1, .n_max = 8},
        .uptime_seconds = 1.5,
    };

    return fs_metrics_to_text(metrics, &gauges);
}

/* A whole line of the text. */
static void
assert_line(FsMetrics *metrics, const char *line)
{
    g_autofree char *text = to_text(metrics);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    if (!g_strv_contains((const char *const *)lines, line))
        g_error("no line \"%s\" in:\n%s", line, text);
}

static void
test_buckets_are_cumulative(void)
{
    FsMetrics *metrics = fs_metrics_new();

    fs_metrics_request(metrics, "lookup", 50);
    fs_metrics_request(metrics, "lookup", 51);
    fs_metrics_request(metrics, "lookup", 70 * G_USEC_PER_SEC);
    assert_line(
        metrics, "deeplakefs_request_seconds_bucket{operation=\"lookup\",le=\"0.00005\"} 1");
    assert_line(
        metrics, "deeplakefs_request_seconds_bucket{operation=\"lookup\",le=\"0.0002\"} 2");
    assert_line(metrics, "deeplakefs_request_seconds_bucket{operation=\"lookup\",le=\"60\"} 2");
    assert_line(
        metrics, "deeplakefs_request_seconds_bucket{operation=\"lookup\",le=\"+Inf\"} 3");
    assert_line(metrics, "deeplakefs_request_seconds_count{operation=\"lookup\"} 3");
    assert_line(metrics, "deeplakefs_request_seconds_sum{operation=\"lookup\"} 70.000101");
    assert_line(metrics, "deeplakefs_request_seconds_count{operation=\"read\"} 0");
    fs_metrics_free(metrics);
}

static void
test_errors_are_named(void)
{
    FsMetrics *metrics = fs_metrics_new();

    fs_metrics_error(metrics, "flush", EINVAL);
    fs_metrics_error(metrics, "flush", EINVAL);
    fs_metrics_error(metrics, "flush", 100000);
    fs_metrics_error(metrics, "dance", EPERM);
    assert_line(
        metrics, "deeplakefs_request_errors_total{operation=\"flush\",errno=\"EINVAL\"} 2");
    assert_line(
        metrics, "deeplakefs_request_errors_total{operation=\"flush\",errno=\"other\"} 1");
    assert_line(
        metrics, "deeplakefs_request_errors_total{operation=\"other\",errno=\"EPERM\"} 1");
    fs_metrics_free(metrics);
}

static void
test_ingests_have_a_kind_and_an_outcome(void)
{
    FsMetrics *metrics = fs_metrics_new();
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_new("a.txt");
    g_autoptr(GError) failure = NULL;
    g_autoptr(GError) interrupt = NULL;

    entry->n_rows = 7;
    lake_error_set(&failure, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "bad");
    lake_error_set(&interrupt, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    fs_metrics_ingest(metrics, "text", 5000, entry, NULL);
    fs_metrics_ingest(metrics, "text", 1, NULL, failure);
    fs_metrics_ingest(metrics, "pdf", 2, NULL, interrupt);
    assert_line(metrics, "deeplakefs_ingest_files_total{kind=\"text\",outcome=\"done\"} 1");
    assert_line(metrics, "deeplakefs_ingest_files_total{kind=\"text\",outcome=\"failed\"} 1");
    assert_line(
        metrics, "deeplakefs_ingest_files_total{kind=\"pdf\",outcome=\"interrupted\"} 1");
    assert_line(metrics, "deeplakefs_ingest_files_total{kind=\"pdf\",outcome=\"done\"} 0");
    assert_line(metrics, "deeplakefs_ingest_bytes_total{kind=\"text\",outcome=\"done\"} 5000");
    assert_line(metrics, "deeplakefs_ingest_rows_total{kind=\"text\"} 7");
    fs_metrics_free(metrics);
}

static void
test_gauges_are_as_given(void)
{
    FsMetrics *metrics = fs_metrics_new();

    assert_line(metrics, "deeplakefs_ingest_jobs 3");
    assert_line(metrics, "deeplakefs_connections_open 2");
    assert_line(metrics, "deeplakefs_connections_in_use 1");
    assert_line(metrics, "deeplakefs_connections_max 8");
    assert_line(metrics, "deeplakefs_uptime_seconds 1.5");
    assert_line(metrics, "deeplakefs_build_info{version=\"" DEEPLAKEFS_VERSION "\"} 1");
    fs_metrics_free(metrics);
}

static gpointer
count(gpointer data)
{
    FsMetrics *metrics = data;
    g_autoptr(GError) failure = NULL;

    lake_error_set(&failure, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "bad");
    for (int i = 0; i < N_ROUNDS; i++) {
        fs_metrics_request(metrics, "read", i % 3000);
        fs_metrics_error(metrics, "read", EIO);
        fs_metrics_read(metrics, 3);
        fs_metrics_written(metrics, 5);
        if (i % 1000 == 0) {
            g_autofree char *text = to_text(metrics);
            fs_metrics_ingest(metrics, "text", 1, NULL, failure);
        }
    }
    return NULL;
}

static void
test_threads_lose_no_count(void)
{
    FsMetrics *metrics = fs_metrics_new();
    GThread *threads[N_THREADS];

    for (int i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("count", count, metrics);
    for (int i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    assert_line(metrics, "deeplakefs_request_seconds_count{operation=\"read\"} 80000");
    assert_line(
        metrics, "deeplakefs_request_errors_total{operation=\"read\",errno=\"EIO\"} 80000");
    assert_line(metrics, "deeplakefs_read_bytes_total 240000");
    assert_line(metrics, "deeplakefs_written_bytes_total 400000");
    assert_line(metrics, "deeplakefs_ingest_files_total{kind=\"text\",outcome=\"failed\"} 80");
    fs_metrics_free(metrics);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/metrics/buckets-are-cumulative", test_buckets_are_cumulative);
    g_test_add_func("/fs/metrics/errors-are-named", test_errors_are_named);
    g_test_add_func("/fs/metrics/ingests-have-a-kind-and-an-outcome",
        test_ingests_have_a_kind_and_an_outcome);
    g_test_add_func("/fs/metrics/gauges-are-as-given", test_gauges_are_as_given);
    g_test_add_func("/fs/metrics/threads-lose-no-count", test_threads_lose_no_count);
    return g_test_run();
}
