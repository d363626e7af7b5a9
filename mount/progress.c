/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/progress.h"

#include "mount/bars.h"
#include "mount/terminal.h"

#include <stdio.h>
#include <unistd.h>

#define REDRAW_US (G_USEC_PER_SEC / 10)
#define IDLE_REDRAW_US G_USEC_PER_SEC /* where nothing but the time has changed */
#define LONG_US G_USEC_PER_SEC        /* a file that runs longer has a bar of its own */

struct MountProgress {
    GThread *drawer; /* NULL: stderr is no terminal */

    GMutex drawing; /* guards the terminal and the order of what is printed; taken first */
    MountTerminal *terminal;
    gint64 drawn_us;

    GMutex mutex; /* guards what follows, and the jobs; not held while anything is written */
    GCond leave;
    gboolean is_over;
    gboolean is_changed;
    char *note;
    guint n_files;
    guint n_ended;
    gint64 total_bytes;
    gint64 ended_bytes;
    gint64 started_us;
    GQueue running; /* of MountProgressJob, in the order they began */
};

/* All but progress, name and size_bytes, which stay, are guarded by progress->mutex. */
struct MountProgressJob {
    MountProgress *progress;
    char *name;
    gint64 size_bytes;
    gint64 begun_us;
    LakeIngestState state;
};

static MountBarsJob
describe(const MountProgressJob *job, gint64 now_us)
{
    return (MountBarsJob){
        .name = job->name,
        .phase = job->state.phase == LAKE_INGEST_READING ? "reading" : "sending",
        .n_rows = job->state.n_rows,
        .total = job->state.total,
        .bytes = job->size_bytes,
        .bytes_done = job->state.bytes_done,
        .seconds = (double)(now_us - job->begun_us) / G_USEC_PER_SEC,
    };
}

/* The mutex is held. */
static void
add_sum(const MountProgress *progress, MountBars *bars, gint64 now_us)
{
    g_autofree char *name =
        g_strdup_printf("%u of %u files", progress->n_ended, progress->n_files);
    MountBarsSum sum = {
        .name = name,
        .bytes = progress->total_bytes,
        .bytes_done = progress->ended_bytes,
        .seconds = (double)(now_us - progress->started_us) / G_USEC_PER_SEC,
    };

    for (const GList *link = progress->running.head; link; link = link->next) {
        MountBarsJob job = describe(link->data, now_us);
        sum.bytes_done += (gint64)(MAX(mount_bars_fraction(&job), 0) * (double)job.bytes);
    }
    mount_bars_add_sum(bars, 0, &sum);
}

static MountBars *
compose(MountProgress *progress, gint64 now_us)
{
    MountBars *bars = mount_bars_new();
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&progress->mutex);
    gboolean is_alone = progress->n_files == 1;

    progress->is_changed = FALSE;
    if (progress->note)
        mount_bars_add_text(bars, 0, progress->note);
    if (progress->n_files > 1)
        add_sum(progress, bars, now_us);
    for (const GList *link = progress->running.head; link; link = link->next) {
        const MountProgressJob *job = link->data;
        MountBarsJob bar = describe(job, now_us);
        if (is_alone || now_us - job->begun_us >= LONG_US)
            mount_bars_add_job(bars, is_alone ? 0 : 2, &bar);
    }
    return bars;
}

/* drawing is held. */
static void
draw(MountProgress *progress, const char *above)
{
    guint n_columns;
    guint n_lines;

    progress->drawn_us = g_get_monotonic_time();
    g_autoptr(MountBars) bars = compose(progress, progress->drawn_us);
    mount_terminal_size(progress->terminal, &n_columns, &n_lines);
    g_autoptr(GPtrArray) lines = mount_bars_format(bars, n_columns, n_lines);
    mount_terminal_draw(progress->terminal, above, lines);
}

/* Waits for its turn; FALSE when it is over. */
static gboolean
wait_until_due(MountProgress *progress)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&progress->mutex);
    gint64 idle_us = g_get_monotonic_time() + IDLE_REDRAW_US;
    gint64 due_us = g_get_monotonic_time() + REDRAW_US;

    while (!progress->is_over && g_get_monotonic_time() < idle_us) {
        if (!g_cond_wait_until(&progress->leave, &progress->mutex, due_us) &&
            progress->is_changed)
            break;
        due_us = g_get_monotonic_time() + REDRAW_US;
    }
    return !progress->is_over;
}

static gpointer
draw_when_due(gpointer data)
{
    MountProgress *progress = data;

    while (wait_until_due(progress)) {
        g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&progress->drawing);
        draw(progress, NULL);
    }
    return NULL;
}

MountProgress *
mount_progress_new(guint n_files, gint64 total_bytes)
{
    MountProgress *progress = g_new0(MountProgress, 1);

    g_mutex_init(&progress->drawing);
    g_mutex_init(&progress->mutex);
    g_cond_init(&progress->leave);
    g_queue_init(&progress->running);
    progress->n_files = n_files;
    progress->total_bytes = total_bytes;
    progress->started_us = g_get_monotonic_time();
    progress->terminal = mount_terminal_new(STDERR_FILENO);
    if (progress->terminal)
        progress->drawer = g_thread_new("progress", draw_when_due, progress);
    return progress;
}

void
mount_progress_free(MountProgress *progress)
{
    if (!progress)
        return;

    g_mutex_lock(&progress->mutex);
    progress->is_over = TRUE;
    g_cond_signal(&progress->leave);
    g_mutex_unlock(&progress->mutex);
    g_clear_pointer(&progress->drawer, g_thread_join);

    g_assert(progress->running.length == 0);
    mount_terminal_free(progress->terminal);
    g_cond_clear(&progress->leave);
    g_mutex_clear(&progress->mutex);
    g_mutex_clear(&progress->drawing);
    g_free(progress->note);
    g_free(progress);
}

MountProgressJob *
mount_progress_begin(MountProgress *progress, const char *name, gint64 size_bytes)
{
    MountProgressJob *job = g_new0(MountProgressJob, 1);

    job->progress = progress;
    job->name = g_strdup(name);
    job->size_bytes = size_bytes;
    job->begun_us = g_get_monotonic_time();
    job->state.phase = LAKE_INGEST_READING;
    job->state.total = job->state.bytes_done = -1;

    g_mutex_lock(&progress->mutex);
    g_queue_push_tail(&progress->running, job);
    progress->is_changed = TRUE;
    g_mutex_unlock(&progress->mutex);
    return job;
}

void
mount_progress_update(const LakeIngestState *state, gpointer data)
{
    MountProgressJob *job = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&job->progress->mutex);

    job->state = *state;
    job->progress->is_changed = TRUE;
}

void
mount_progress_end(MountProgressJob *job)
{
    MountProgress *progress = job->progress;

    g_mutex_lock(&progress->mutex);
    g_queue_remove(&progress->running, job);
    progress->n_ended++;
    progress->ended_bytes += job->size_bytes;
    progress->is_changed = TRUE;
    g_mutex_unlock(&progress->mutex);
    g_free(job->name);
    g_free(job);
}

void
mount_progress_note(MountProgress *progress, const char *text)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&progress->mutex);

    if (g_strcmp0(progress->note, text) == 0)
        return;
    g_free(progress->note);
    progress->note = g_strdup(text);
    progress->is_changed = TRUE;
}

void
mount_progress_print(MountProgress *progress, const char *line)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&progress->drawing);

    if (!progress->terminal) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    g_autofree char *above = g_strconcat(line, "\n", NULL);
    draw(progress, above);
}
