/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/progress.h"

#include <pty.h>
#include <string.h>
#include <unistd.h>

#define N_THREADS 4
#define N_FILES_EACH 25

/* A stderr of our own, and what was written to it. */
typedef struct {
    int saved;
    int from, to;
    GThread *reader;
    GString *written;
} Stderr;

static gpointer
read_all(gpointer data)
{
    Stderr *own = data;
    char buffer[4096];
    gssize n_read;

    while ((n_read = read(own->from, buffer, sizeof buffer)) > 0)
        g_string_append_len(own->written, buffer, n_read);
    return NULL;
}

static void
take_stderr(Stderr *own, gboolean is_terminal)
{
    struct winsize size = {.ws_col = 80, .ws_row = 24};
    int ends[2];

    if (is_terminal) {
        g_assert_cmpint(openpty(&own->from, &own->to, NULL, NULL, &size), ==, 0);
    } else {
        g_assert_cmpint(pipe(ends), ==, 0);
        own->from = ends[0];
        own->to = ends[1];
    }
    own->written = g_string_new(NULL);
    own->reader = g_thread_new("reader", read_all, own);
    own->saved = dup(STDERR_FILENO);
    dup2(own->to, STDERR_FILENO);
}

/* What was written; caller frees. */
static char *
give_stderr_back(Stderr *own)
{
    dup2(own->saved, STDERR_FILENO);
    close(own->saved);
    close(own->to);
    g_thread_join(own->reader);
    close(own->from);
    return g_string_free(own->written, FALSE);
}

static gpointer
run_files(gpointer data)
{
    MountProgress *progress = data;

    for (gint64 i = 0; i < N_FILES_EACH; i++) {
        MountProgressJob *job = mount_progress_begin(progress, "a file", 1000);
        LakeIngestState reading = {LAKE_INGEST_READING, i, -1, 300};
        LakeIngestState sending = {LAKE_INGEST_SENDING, i, N_FILES_EACH, 950};
        mount_progress_update(&reading, job);
        g_usleep(20 * 1000);
        mount_progress_update(&sending, job);
        if (i % 10 == 0)
            mount_progress_print(progress, "a message");
        mount_progress_end(job);
    }
    return NULL;
}

static guint
count(const char *text, const char *wanted)
{
    guint n = 0;

    while ((text = strstr(text, wanted))) {
        text += strlen(wanted);
        n++;
    }
    return n;
}

static char *
run_threads(gboolean is_terminal)
{
    Stderr own;
    GThread *threads[N_THREADS];

    take_stderr(&own, is_terminal);
    MountProgress *progress =
        mount_progress_new(N_THREADS * N_FILES_EACH, N_THREADS * N_FILES_EACH * 1000);
    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("files", run_files, progress);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    mount_progress_free(progress);
    return give_stderr_back(&own);
}

static void
test_terminal(void)
{
    gint64 begun_us = g_get_monotonic_time();
    g_autofree char *written = run_threads(TRUE);
    gint64 took_us = g_get_monotonic_time() - begun_us;

    g_assert_cmpuint(count(written, "a message"), ==, N_THREADS * 3);
    guint n_drawn = count(written, " of 100 files");
    g_assert_cmpuint(n_drawn, >, N_THREADS * 3);
    g_assert_cmpint(n_drawn, <=, N_THREADS * 3 + 10 * took_us / G_USEC_PER_SEC + 1);
    /* None of these files took long. */
    g_assert_null(strstr(written, "a file"));
    g_assert_true(g_str_has_suffix(written, "\r\033[J"));
}

static void
test_no_terminal(void)
{
    g_autofree char *written = run_threads(FALSE);

    g_assert_cmpuint(count(written, "a message\n"), ==, N_THREADS * 3);
    g_assert_cmpuint(strlen(written), ==, N_THREADS * 3 * strlen("a message\n"));
}

static void
test_long_file(void)
{
    Stderr own;
    LakeIngestState state = {LAKE_INGEST_READING, 30, 100, 400};

    take_stderr(&own, TRUE);
    MountProgress *progress = mount_progress_new(2, 2000);
    MountProgressJob *job = mount_progress_begin(progress, "slow.pdf", 1000);
    mount_progress_update(&state, job);
    g_usleep(2200 * 1000);
    mount_progress_end(job);
    mount_progress_free(progress);

    g_autofree char *written = give_stderr_back(&own);
    g_assert_nonnull(strstr(written, "0 of 2 files  ["));
    g_assert_nonnull(strstr(written, "]   20%  "));
    g_assert_nonnull(strstr(written, "  slow.pdf    ["));
    g_assert_nonnull(strstr(written, "]   40%  reading  30 of 100 rows  ETA 0:0"));
}

static void
test_note(void)
{
    Stderr own;

    take_stderr(&own, TRUE);
    MountProgress *progress = mount_progress_new(0, 0);
    mount_progress_note(progress, "waiting for the daemon to leave …");
    g_usleep(300 * 1000);
    mount_progress_note(progress, "files still being ingested: 3 …");
    g_usleep(300 * 1000);
    mount_progress_free(progress);

    g_autofree char *written = give_stderr_back(&own);
    g_assert_nonnull(strstr(written, "waiting for the daemon to leave …"));
    g_assert_nonnull(strstr(written, "files still being ingested: 3 …"));
    g_assert_null(strchr(written, '#'));
    g_assert_true(g_str_has_suffix(written, "\r\033[J"));
}

int
main(int argc, char **argv)
{
    g_setenv("TERM", "xterm", TRUE);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount/progress/threads-share-one-terminal", test_terminal);
    g_test_add_func("/mount/progress/messages-alone-without-a-terminal", test_no_terminal);
    g_test_add_func("/mount/progress/a-file-that-takes-long-has-its-bar", test_long_file);
    g_test_add_func("/mount/progress/a-note-stands-alone", test_note);
    return g_test_run();
}
