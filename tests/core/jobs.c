/* SPDX-License-Identifier: Apache-2.0 */
#include "core/jobs.h"

#include "core/error.h"

#include <cjson/cJSON.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeJobs, lake_jobs_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(cJSON, cJSON_Delete)

/* The lines of the jobs' text, each parsed; of cJSON. */
static GPtrArray *
parse_lines(LakeJobs *jobs)
{
    GPtrArray *objects = g_ptr_array_new_with_free_func((GDestroyNotify)cJSON_Delete);
    g_autofree char *text = lake_jobs_to_jsonl(jobs);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        if (!**line && !line[1])
            break; /* what follows the last line end */
        cJSON *object = cJSON_Parse(*line);
        g_assert_nonnull(object);
        g_ptr_array_add(objects, object);
    }
    return objects;
}

static const char *
text_of(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static double
number_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    g_assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static gboolean
is_null(const cJSON *object, const char *name)
{
    return cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(object, name));
}

static void
progress(LakeJob *job, LakeIngestPhase phase, gint64 n_rows, gint64 total, gint64 bytes_done)
{
    LakeIngestState state = {phase, n_rows, total, bytes_done};
    lake_jobs_progress(&state, job);
}

/* Ends a job as an ingest of n_rows does. */
static void
end_well(LakeJobs *jobs, LakeJob *job, gint64 n_rows, const char *notes)
{
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_new("a");

    entry->n_rows = n_rows;
    entry->notes = g_strdup(notes);
    lake_jobs_end(jobs, job, entry, NULL);
}

static void
test_phases(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    g_autoptr(GError) error = NULL;
    LakeJob *good = lake_jobs_begin(jobs, "docs", "a/b \"c\".txt", G_GINT64_CONSTANT(1) << 52);
    LakeJob *bad = lake_jobs_begin(jobs, "docs", "x.bin", 3);
    lake_jobs_begin(jobs, "docs", "going.md", 9);

    g_assert_cmpuint(lake_jobs_n_running(jobs), ==, 3);
    progress(good, LAKE_INGEST_SENDING, 200, 1000, -1);
    end_well(jobs, good, 1200, "page 3 is small\nand \xff");
    lake_error_set(&error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "broken\n\xff");
    lake_jobs_end(jobs, bad, NULL, error);
    g_assert_cmpuint(lake_jobs_n_running(jobs), ==, 1);

    g_autoptr(GPtrArray) lines = parse_lines(jobs);
    g_assert_cmpuint(lines->len, ==, 3);

    g_assert_cmpstr(text_of(lines->pdata[0], "path"), ==, "docs/going.md");
    g_assert_cmpstr(text_of(lines->pdata[0], "phase"), ==, "reading");
    g_assert_cmpstr(text_of(lines->pdata[0], "kind"), ==, "text");
    g_assert_true(is_null(lines->pdata[0], "total"));
    g_assert_true(is_null(lines->pdata[0], "bytes_done"));
    g_assert_true(is_null(lines->pdata[0], "error"));
    g_assert_true(is_null(lines->pdata[0], "notes"));

    g_assert_cmpstr(text_of(lines->pdata[1], "path"), ==, "docs/x.bin");
    g_assert_cmpstr(text_of(lines->pdata[1], "kind"), ==, "other");
    g_assert_cmpstr(text_of(lines->pdata[1], "phase"), ==, "failed");
    g_assert_cmpstr(text_of(lines->pdata[1], "error"), ==, "broken\n\xef\xbf\xbd");
    g_assert_true(is_null(lines->pdata[1], "notes"));

    g_assert_cmpstr(text_of(lines->pdata[2], "path"), ==, "docs/a/b \"c\".txt");
    g_assert_cmpstr(text_of(lines->pdata[2], "phase"), ==, "done");
    g_assert_cmpfloat(number_of(lines->pdata[2], "rows_written"), ==, 1200);
    g_assert_cmpfloat(number_of(lines->pdata[2], "total"), ==, 1200);
    g_assert_cmpfloat(number_of(lines->pdata[2], "bytes"), ==, 4503599627370496.0);
    g_assert_cmpfloat(number_of(lines->pdata[2], "bytes_done"), ==, 4503599627370496.0);
    g_assert_cmpstr(text_of(lines->pdata[2], "notes"), ==, "page 3 is small\nand \xef\xbf\xbd");
    g_assert_cmpfloat(number_of(lines->pdata[2], "seconds"), >=, 0);
    g_assert_true(is_null(lines->pdata[2], "error"));
}

/* What the only job shows now. */
static void
assert_shows(
    LakeJobs *jobs, const char *phase, gint64 rows_written, gint64 total, gint64 bytes_done)
{
    g_autoptr(GPtrArray) lines = parse_lines(jobs);
    const cJSON *line = lines->pdata[0];

    g_assert_cmpuint(lines->len, ==, 1);
    g_assert_cmpstr(text_of(line, "phase"), ==, phase);
    g_assert_cmpfloat(number_of(line, "rows_written"), ==, (double)rows_written);
    if (total < 0)
        g_assert_true(is_null(line, "total"));
    else
        g_assert_cmpfloat(number_of(line, "total"), ==, (double)total);
    if (bytes_done < 0)
        g_assert_true(is_null(line, "bytes_done"));
    else
        g_assert_cmpfloat(number_of(line, "bytes_done"), ==, (double)bytes_done);
}

static void
test_rows_written_never_fall(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    g_autoptr(GError) error = NULL;
    LakeJob *job = lake_jobs_begin(jobs, "t", "long.pdf", 900);

    assert_shows(jobs, "reading", 0, -1, -1);
    progress(job, LAKE_INGEST_READING, 3, -1, 300);
    assert_shows(jobs, "reading", 3, -1, 300);
    progress(job, LAKE_INGEST_READING, 9, 9, 900);
    assert_shows(jobs, "reading", 9, 9, 900);
    progress(job, LAKE_INGEST_SENDING, 4, -1, -1);
    assert_shows(jobs, "sending", 9, 9, 900);

    /* An attempt that is made again. */
    progress(job, LAKE_INGEST_SENDING, 1, 9, -1);
    assert_shows(jobs, "sending", 9, 9, 900);

    /* A failure leaves what was reached. */
    lake_error_set(&error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "broken");
    lake_jobs_end(jobs, job, NULL, error);
    assert_shows(jobs, "failed", 9, 9, 900);
}

static void
test_ids(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    LakeJob *first = lake_jobs_begin(jobs, "t", "a", 1);

    lake_jobs_begin(jobs, "t", "a", 1);
    end_well(jobs, first, 1, NULL);
    g_autoptr(GPtrArray) lines = parse_lines(jobs);
    g_assert_cmpfloat(number_of(lines->pdata[0], "id"), ==, 2);
    g_assert_cmpfloat(number_of(lines->pdata[1], "id"), ==, 1);
}

static void
test_kept(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();

    for (guint i = 0; i < 250; i++) {
        g_autofree char *path = g_strdup_printf("%u.txt", i);
        end_well(jobs, lake_jobs_begin(jobs, "t", path, 1), 1, NULL);
    }

    g_autoptr(GPtrArray) lines = parse_lines(jobs);
    g_assert_cmpuint(lines->len, ==, 100);
    g_assert_cmpstr(text_of(lines->pdata[0], "path"), ==, "t/249.txt");
    g_assert_cmpstr(text_of(lines->pdata[99], "path"), ==, "t/150.txt");
}

static void
test_none(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    g_autofree char *text = lake_jobs_to_jsonl(jobs);

    g_assert_cmpstr(text, ==, "");
    g_assert_true(lake_jobs_wait(jobs, 0, NULL));
    g_assert_true(lake_jobs_wait(jobs, -1, NULL));
}

static void
test_wait_times_out(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    gint64 begun_us = g_get_monotonic_time();

    lake_jobs_begin(jobs, "t", "a", 1);
    g_assert_false(lake_jobs_wait(jobs, 50, NULL));
    g_assert_cmpint(g_get_monotonic_time() - begun_us, >=, 50 * 1000);
    g_assert_false(lake_jobs_wait(jobs, 0, NULL));
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(30 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
test_wait_is_cancelled(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();

    lake_jobs_begin(jobs, "t", "a", 1);
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_false(lake_jobs_wait(jobs, -1, cancellable));
    g_thread_join(thread);

    /* One that was cancelled before. */
    g_assert_false(lake_jobs_wait(jobs, -1, cancellable));
}

typedef struct {
    LakeJobs *jobs;
    LakeJob *job;
} Ending;

static gpointer
end_soon(gpointer data)
{
    Ending *ending = data;

    g_usleep(30 * 1000);
    end_well(ending->jobs, ending->job, 1, NULL);
    return NULL;
}

static void
test_wait_for_the_last(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    Ending ending = {jobs, lake_jobs_begin(jobs, "t", "a", 1)};

    GThread *thread = g_thread_new("end", end_soon, &ending);
    g_assert_true(lake_jobs_wait(jobs, -1, NULL));
    g_assert_cmpuint(lake_jobs_n_running(jobs), ==, 0);
    g_thread_join(thread);
}

#define N_THREADS 4
#define N_JOBS_EACH 300

static gpointer
run_many(gpointer data)
{
    LakeJobs *jobs = data;

    for (guint i = 0; i < N_JOBS_EACH; i++) {
        LakeJob *job = lake_jobs_begin(jobs, "t", "many.txt", i);
        progress(job, LAKE_INGEST_READING, 1, 2, -1);
        progress(job, LAKE_INGEST_SENDING, 2, 2, -1);
        if (i % 50 == 0) {
            g_autofree char *text = lake_jobs_to_jsonl(jobs);
            g_assert_nonnull(strstr(text, "\"phase\":\"sending\""));
        }
        end_well(jobs, job, 2, NULL);
    }
    return NULL;
}

static void
test_threads(void)
{
    g_autoptr(LakeJobs) jobs = lake_jobs_new();
    GThread *threads[N_THREADS];

    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("jobs", run_many, jobs);
    lake_jobs_wait(jobs, 5, NULL);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);

    g_assert_true(lake_jobs_wait(jobs, 0, NULL));
    g_autoptr(GPtrArray) lines = parse_lines(jobs);
    g_assert_cmpuint(lines->len, ==, 100);
    for (guint i = 0; i < lines->len; i++) {
        g_assert_cmpstr(text_of(lines->pdata[i], "phase"), ==, "done");
        g_assert_cmpfloat(number_of(lines->pdata[i], "rows_written"), ==, 2);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/jobs/each-phase-has-its-line", test_phases);
    g_test_add_func("/core/jobs/rows-written-never-fall", test_rows_written_never_fall);
    g_test_add_func("/core/jobs/the-same-path-again-has-another-id", test_ids);
    g_test_add_func("/core/jobs/last-hundred-ended-are-kept-latest-first", test_kept);
    g_test_add_func("/core/jobs/none-is-an-empty-text-and-no-wait", test_none);
    g_test_add_func("/core/jobs/wait-ends-at-its-timeout", test_wait_times_out);
    g_test_add_func("/core/jobs/wait-ends-when-cancelled", test_wait_is_cancelled);
    g_test_add_func("/core/jobs/wait-ends-with-the-last-job", test_wait_for_the_last);
    g_test_add_func("/core/jobs/many-threads-at-once", test_threads);
    return g_test_run();
}
