/* SPDX-License-Identifier: Apache-2.0 */
#include "core/jobs.h"

#include <cjson/cJSON.h>

#define KEPT_MAX 100 /* ended jobs that are remembered */

typedef enum { PHASE_READING, PHASE_SENDING, PHASE_DONE, PHASE_FAILED } Phase;

/* All fields but jobs, id, path, size_bytes and begun_us, which stay, are guarded by
 * jobs->mutex. */
struct LakeJob {
    LakeJobs *jobs;
    gint64 id;
    char *path; /* "table/path" */
    gint64 size_bytes;
    gint64 begun_us; /* monotonic */
    gint64 ended_us;
    Phase phase;
    gint64 rows_written; /* made or sent, whichever is more */
    gint64 total;        /* -1 while unknown */
    gint64 bytes_done;   /* -1 while unknown */
    const char *kind;    /* constant */
    char *message;       /* NULL: it did not fail */
    char *notes;         /* NULL: none */
};

struct LakeJobs {
    GMutex mutex; /* guards all below, and the jobs in it */
    gint64 last_id;
    GCond idle;     /* the last one that ran has ended; or a waiter was cancelled */
    GQueue running; /* of LakeJob, in the order they began */
    GQueue ended;   /* of LakeJob, the last first */
};

static void
free_job(gpointer data)
{
    LakeJob *job = data;

    g_free(job->path);
    g_free(job->message);
    g_free(job->notes);
    g_free(job);
}

LakeJobs *
lake_jobs_new(void)
{
    LakeJobs *jobs = g_new0(LakeJobs, 1);

    g_mutex_init(&jobs->mutex);
    g_cond_init(&jobs->idle);
    g_queue_init(&jobs->running);
    g_queue_init(&jobs->ended);
    return jobs;
}

void
lake_jobs_free(LakeJobs *jobs)
{
    if (!jobs)
        return;

    g_queue_clear_full(&jobs->running, free_job);
    g_queue_clear_full(&jobs->ended, free_job);
    g_cond_clear(&jobs->idle);
    g_mutex_clear(&jobs->mutex);
    g_free(jobs);
}

LakeJob *
lake_jobs_begin(LakeJobs *jobs, const char *table, const char *path, gint64 size_bytes)
{
    LakeJob *job = g_new0(LakeJob, 1);

    job->jobs = jobs;
    job->path = g_strconcat(table, "/", path, NULL);
    job->kind = lake_ingest_kind_name(path);
    job->size_bytes = size_bytes;
    job->begun_us = g_get_monotonic_time();
    job->total = -1;
    job->bytes_done = -1;

    g_mutex_lock(&jobs->mutex);
    job->id = ++jobs->last_id;
    g_queue_push_tail(&jobs->running, job);
    g_mutex_unlock(&jobs->mutex);
    return job;
}

void
lake_jobs_progress(const LakeIngestState *state, gpointer data)
{
    LakeJob *job = data;

    /* An attempt that lost a race begins again; what is shown does not go back with it. */
    g_mutex_lock(&job->jobs->mutex);
    switch (state->phase) {
    case LAKE_INGEST_READING:
        break;
    case LAKE_INGEST_SENDING:
        job->phase = PHASE_SENDING;
        break;
    }
    job->kind = state->kind ? state->kind : job->kind;
    job->rows_written = MAX(job->rows_written, state->n_rows);
    if (state->total >= 0)
        job->total = state->total;
    job->bytes_done = MAX(job->bytes_done, state->bytes_done);
    g_mutex_unlock(&job->jobs->mutex);
}

/* The lock is held. What was shown of the way gives way to what became of it. */
static void
settle(LakeJob *job, const LakeLedgerEntry *entry)
{
    job->ended_us = g_get_monotonic_time();
    job->phase = entry ? PHASE_DONE : PHASE_FAILED;
    if (!entry)
        return;
    job->rows_written = job->total = entry->n_rows;
    job->bytes_done = job->size_bytes;
}

void
lake_jobs_end(LakeJobs *jobs, LakeJob *job, const LakeLedgerEntry *entry, const GError *error)
{
    g_autofree char *message = error ? g_utf8_make_valid(error->message, -1) : NULL;
    g_autofree char *notes = entry && entry->notes ? g_utf8_make_valid(entry->notes, -1) : NULL;
    LakeJob *forgotten = NULL;

    g_mutex_lock(&jobs->mutex);
    settle(job, entry);
    job->message = g_steal_pointer(&message);
    job->notes = g_steal_pointer(&notes);
    g_queue_remove(&jobs->running, job);
    g_queue_push_head(&jobs->ended, job);
    if (jobs->ended.length > KEPT_MAX)
        forgotten = g_queue_pop_tail(&jobs->ended);
    if (jobs->running.length == 0)
        g_cond_broadcast(&jobs->idle);
    g_mutex_unlock(&jobs->mutex);

    if (forgotten)
        free_job(forgotten);
}

guint
lake_jobs_n_running(LakeJobs *jobs)
{
    g_mutex_lock(&jobs->mutex);
    guint n_running = jobs->running.length;
    g_mutex_unlock(&jobs->mutex);
    return n_running;
}

/* Runs in the thread that cancels. */
static void
wake(GCancellable *cancellable, gpointer data)
{
    LakeJobs *jobs = data;

    g_mutex_lock(&jobs->mutex);
    g_cond_broadcast(&jobs->idle);
    g_mutex_unlock(&jobs->mutex);
}

gboolean
lake_jobs_wait(LakeJobs *jobs, gint64 timeout_ms, GCancellable *cancellable)
{
    gint64 end_us = timeout_ms < 0 ? 0 : g_get_monotonic_time() + timeout_ms * 1000;
    gboolean is_in_time = TRUE;

    /* Outside the lock, both this and disconnect: they may run wake(), or wait for it. */
    gulong handler =
        cancellable ? g_cancellable_connect(cancellable, G_CALLBACK(wake), jobs, NULL) : 0;

    g_mutex_lock(&jobs->mutex);
    while (jobs->running.length > 0 && is_in_time && !g_cancellable_is_cancelled(cancellable)) {
        if (timeout_ms < 0)
            g_cond_wait(&jobs->idle, &jobs->mutex);
        else
            is_in_time = g_cond_wait_until(&jobs->idle, &jobs->mutex, end_us);
    }
    gboolean is_idle = jobs->running.length == 0;
    g_mutex_unlock(&jobs->mutex);

    if (handler)
        g_cancellable_disconnect(cancellable, handler);
    return is_idle && !g_cancellable_is_cancelled(cancellable);
}

static const char *
phase_name(Phase phase)
{
    switch (phase) {
    case PHASE_READING:
        return "reading";
    case PHASE_SENDING:
        return "sending";
    case PHASE_DONE:
        return "done";
    case PHASE_FAILED:
        return "failed";
    }
    g_assert_not_reached();
}

/* In full: a number of cJSON's is a double, and prints as 1e+15 from there on. */
static void
add_int64(cJSON *object, const char *name, gint64 value)
{
    char text[32];

    g_snprintf(text, sizeof text, "%" G_GINT64_FORMAT, value);
    cJSON_AddRawToObject(object, name, text);
}

/* value -1: not known. */
static void
add_known_int64(cJSON *object, const char *name, gint64 value)
{
    if (value >= 0)
        add_int64(object, name, value);
    else
        cJSON_AddNullToObject(object, name);
}

static void
add_text(cJSON *object, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNullToObject(object, name);
}

static void
append_json(GString *into, const LakeJob *job)
{
    cJSON *object = cJSON_CreateObject();
    gboolean has_ended = job->phase == PHASE_DONE || job->phase == PHASE_FAILED;
    gint64 end_us = has_ended ? job->ended_us : g_get_monotonic_time();
    char seconds[G_ASCII_DTOSTR_BUF_SIZE];

    add_int64(object, "id", job->id);
    cJSON_AddStringToObject(object, "path", job->path);
    cJSON_AddStringToObject(object, "kind", job->kind);
    cJSON_AddStringToObject(object, "phase", phase_name(job->phase));
    add_int64(object, "rows_written", job->rows_written);
    add_known_int64(object, "total", job->total);
    add_int64(object, "bytes", job->size_bytes);
    add_known_int64(object, "bytes_done", job->bytes_done);
    g_ascii_formatd(
        seconds, sizeof seconds, "%.3f", (double)(end_us - job->begun_us) / G_USEC_PER_SEC);
    cJSON_AddRawToObject(object, "seconds", seconds);
    add_text(object, "error", job->message);
    add_text(object, "notes", job->notes);

    char *line = cJSON_PrintUnformatted(object);
    g_string_append(into, line);
    g_string_append_c(into, '\n');
    cJSON_free(line);
    cJSON_Delete(object);
}

char *
lake_jobs_to_jsonl(LakeJobs *jobs)
{
    GString *text = g_string_new(NULL);

    g_mutex_lock(&jobs->mutex);
    for (const GList *link = jobs->running.head; link; link = link->next)
        append_json(text, link->data);
    for (const GList *link = jobs->ended.head; link; link = link->next)
        append_json(text, link->data);
    g_mutex_unlock(&jobs->mutex);
    return g_string_free(text, FALSE);
}
