/* SPDX-License-Identifier: Apache-2.0 */

#include "core/row/windows.h"

#include "core/error.h"
#include <string.h>

#define MIB ((gint64)1024 * 1024)
#define WINDOW (2 * MIB)
#define MADE_WINDOW (16 * MIB)
#define HELD_MAX (24 * MIB)
#define PIECE ((gint64)LAKE_ROW_PIECE_BYTES)
#define SOON_US (5 * G_TIME_SPAN_SECOND)
#define N_THREADS 6

/* A source that counts what it is asked for, and can stop at a gate, fail, or lie. */
typedef struct {
    LakeRowSource source;
    GMutex lock; /* guards what follows */
    GCond changed;
    gint64 gate; /* no byte from here on is given; -1: no gate */
    gint64 fails_at;
    gint64 shortens_at;
    guint n_reads;
    gint64 n_read_bytes;
    guint n_streams;
    guint n_cancelled;
    guint pause_ms; /* after the last piece */
} Source;

/* A pattern whose length no piece or window is a multiple of; copied, as a sanitizer makes a
 * loop over bytes slow. */
#define PATTERN_BYTES 65521

static guint8 pattern[PATTERN_BYTES];

static void
make_pattern(void)
{
    for (guint i = 0; i < PATTERN_BYTES; i++)
        pattern[i] = (guint8)((i * 2654435761U) >> 13);
}

static GBytes *
bytes_from(gint64 offset, gsize n_bytes)
{
    guint8 *bytes = g_malloc(n_bytes);

    for (gsize done = 0; done < n_bytes;) {
        gsize at = ((gsize)offset + done) % PATTERN_BYTES;
        gsize n = MIN(n_bytes - done, PATTERN_BYTES - at);
        memcpy(bytes + done, pattern + at, n);
        done += n;
    }
    return g_bytes_new_take(bytes, n_bytes);
}

static GBytes *
source_read(
    gpointer data, gint64 offset, gsize n_bytes, GCancellable *cancellable, GError **error)
{
    Source *source = data;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&source->lock);

    source->n_reads++;
    source->n_read_bytes += (gint64)n_bytes;
    return bytes_from(offset, n_bytes);
}

/* FALSE when it was cancelled at the gate. */
static gboolean
pass_gate(Source *source, gint64 end, GCancellable *cancellable, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&source->lock);

    while (source->gate >= 0 && end > source->gate) {
        if (g_cancellable_is_cancelled(cancellable)) {
            source->n_cancelled++;
            lake_error_set(
                error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        g_cond_wait_until(
            &source->changed, &source->lock, g_get_monotonic_time() + G_TIME_SPAN_MILLISECOND);
    }
    if (source->fails_at >= 0 && end > source->fails_at) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE, "no line");
        return FALSE;
    }
    return TRUE;
}

static gboolean
source_stream(gpointer data, gint64 offset, gsize n_bytes, LakeRowTakeFunc take,
    gpointer user_data, GCancellable *cancellable, GError **error)
{
    Source *source = data;
    gint64 end = offset + (gint64)n_bytes;

    g_mutex_lock(&source->lock);
    source->n_streams++;
    g_mutex_unlock(&source->lock);
    while (offset < end) {
        gint64 n = MIN(PIECE, end - offset);

        if (!pass_gate(source, offset + n, cancellable, error))
            return FALSE;
        gboolean is_short = source->shortens_at >= 0 && offset + n > source->shortens_at;
        if (!take(bytes_from(offset, (gsize)(is_short ? n - 1 : n)), user_data, error))
            return FALSE;
        offset += n;
    }
    g_usleep(source->pause_ms * 1000);
    if (g_cancellable_is_cancelled(cancellable))
        g_atomic_int_inc(&source->n_cancelled);
    return TRUE;
}

static void
set_up(Source *source, gconstpointer user_data)
{
    source->source = (LakeRowSource){.read = source_read, .stream = source_stream};
    source->gate = source->fails_at = source->shortens_at = -1;
}

static void
tear_down(Source *source, gconstpointer user_data)
{
    g_assert_cmpint(lake_row_windows_held_bytes(), ==, 0);
}

static LakeRowWindows *
windows_of(Source *source, gint64 size_bytes)
{
    return lake_row_windows_new(&source->source, source, size_bytes);
}

static void
open_gate(Source *source, gint64 gate)
{
    g_mutex_lock(&source->lock);
    source->gate = gate;
    g_cond_broadcast(&source->changed);
    g_mutex_unlock(&source->lock);
}

static guint
n_streams(Source *source)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&source->lock);

    return source->n_streams;
}

static void
assert_bytes(GBytes *bytes, gint64 offset, gsize n_bytes)
{
    g_autoptr(GBytes) expected = bytes_from(offset, n_bytes);

    g_assert_nonnull(bytes);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, n_bytes);
    g_assert_true(g_bytes_equal(bytes, expected));
}

static void
assert_read(LakeRowWindows *windows, gint64 offset, gsize n_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes =
        lake_row_windows_read(windows, offset, n_bytes, TRUE, NULL, &error);

    g_assert_no_error(error);
    assert_bytes(bytes, offset, n_bytes);
}

/* Without asking the source; FALSE when that would be needed. */
static gboolean
is_there(LakeRowWindows *windows, gint64 offset)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = lake_row_windows_read(windows, offset, 1, FALSE, NULL, &error);

    g_assert_no_error(error);
    return bytes != NULL;
}

static void
assert_comes(LakeRowWindows *windows, gint64 offset)
{
    gint64 until_us = g_get_monotonic_time() + SOON_US;

    while (!is_there(windows, offset)) {
        g_assert_cmpint(g_get_monotonic_time(), <, until_us);
        g_usleep(1000);
    }
}

static void
any_range(Source *source, gconstpointer user_data)
{
    gint64 size = 3 * WINDOW + 12345;
    LakeRowWindows *windows = windows_of(source, size);
    g_autoptr(GRand) dice = g_rand_new_with_seed(1);

    for (int i = 0; i < 200; i++) {
        gint64 offset = g_rand_int_range(dice, 0, (gint32)size);
        gsize n = (gsize)g_rand_int_range(dice, 1, i % 4 ? 300000 : 5000000);
        assert_read(windows, offset, MIN(n, (gsize)(size - offset)));
    }
    for (gint64 edge = PIECE; edge < size; edge += PIECE)
        assert_read(windows, edge - 3, 6);
    g_autoptr(GBytes) last = lake_row_windows_read(windows, size - 5, 100, TRUE, NULL, NULL);
    assert_bytes(last, size - 5, 5);
    g_autoptr(GBytes) none = lake_row_windows_read(windows, size, 100, FALSE, NULL, NULL);
    g_assert_cmpuint(g_bytes_get_size(none), ==, 0);
    lake_row_windows_free(windows);
}

static void
first_piece_first(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 4 * WINDOW);

    source->gate = 2 * PIECE;
    assert_read(windows, 0, 1000);
    assert_read(windows, PIECE - 10, 20);
    g_assert_false(is_there(windows, 2 * PIECE));
    g_assert_cmpuint(n_streams(source), ==, 1);
    open_gate(source, -1);
    assert_read(windows, 2 * PIECE, 1000);
    lake_row_windows_free(windows);
}

static void
next_comes_unasked(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 9 * WINDOW);

    /* While the first is under way, too: the same thread goes on. */
    source->gate = WINDOW - PIECE;
    for (gint64 offset = 0; offset + PIECE < WINDOW; offset += PIECE)
        assert_read(windows, offset, (gsize)PIECE);
    open_gate(source, 5 * WINDOW);
    /* By one more fetch, and no further than that before somebody reads there. */
    assert_comes(windows, 4 * WINDOW - 1);
    g_assert_cmpuint(n_streams(source), ==, 2);
    lake_row_windows_free(windows);
}

static void
two_runs_at_most(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 30 * WINDOW);
    gint64 most = 0;

    for (gint64 offset = 0; offset < 30 * WINDOW; offset += PIECE) {
        assert_read(windows, offset, (gsize)PIECE);
        most = MAX(most, lake_row_windows_held_bytes());
    }
    g_assert_cmpint(most, <=, 6 * WINDOW);
    g_assert_cmpuint(source->n_reads, ==, 0);
    lake_row_windows_free(windows);
}

static void
first_bytes_fetch_one(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 4 * WINDOW);

    assert_read(windows, 0, 1);
    assert_read(windows, 0, 128 * 1024);
    assert_comes(windows, PIECE);
    g_usleep(50 * 1000);
    g_assert_cmpuint(n_streams(source), ==, 1);
    assert_read(windows, WINDOW / 2, 10);
    assert_comes(windows, WINDOW);
    g_assert_cmpuint(n_streams(source), ==, 2);
    lake_row_windows_free(windows);
}

static void
short_reads_alone(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 100 * WINDOW);

    for (gint64 i = 1; i < 50; i++)
        assert_read(windows, 2 * i * WINDOW + 77, 65536);
    g_assert_cmpuint(source->n_reads, ==, 49);
    g_assert_cmpint(source->n_read_bytes, ==, 49 * 65536);
    g_assert_cmpuint(n_streams(source), ==, 0);
    g_assert_cmpint(lake_row_windows_held_bytes(), ==, 0);
    lake_row_windows_free(windows);
}

static void
many_have_one_bound(Source *source, gconstpointer user_data)
{
    LakeRowWindows *all[24];
    gint64 most = 0;

    for (guint i = 0; i < G_N_ELEMENTS(all); i++)
        all[i] = windows_of(source, 3 * WINDOW);
    for (gint64 offset = 0; offset < 3 * WINDOW; offset += WINDOW)
        for (guint i = 0; i < G_N_ELEMENTS(all); i++) {
            assert_read(all[i], offset, 100000);
            most = MAX(most, lake_row_windows_held_bytes());
        }
    g_assert_cmpint(most, <=, HELD_MAX);
    g_assert_cmpint(most, >, HELD_MAX / 2);
    /* Those without a window got just what they asked for. */
    g_assert_cmpuint(source->n_reads, >, 0);
    g_assert_cmpint(source->n_read_bytes, ==, source->n_reads * 100000);
    for (guint i = 0; i < G_N_ELEMENTS(all); i++)
        lake_row_windows_free(all[i]);
}

static void
idle_make_room(Source *source, gconstpointer user_data)
{
    LakeRowWindows *idle[HELD_MAX / WINDOW];
    LakeRowWindows *late = windows_of(source, WINDOW);

    for (guint i = 0; i < G_N_ELEMENTS(idle); i++) {
        idle[i] = windows_of(source, WINDOW);
        assert_read(idle[i], 0, (gsize)WINDOW);
    }
    g_assert_cmpint(lake_row_windows_held_bytes(), ==, HELD_MAX);
    for (guint i = 0; i < G_N_ELEMENTS(idle); i++)
        g_assert_true(is_there(idle[i], 0)); /* asked for just now, however slow we are */
    assert_read(late, 0, 1);
    g_assert_false(is_there(late, 0));
    g_usleep(G_TIME_SPAN_SECOND + 100 * 1000);
    assert_read(late, 0, 1);
    g_assert_true(is_there(late, 0));
    g_assert_false(is_there(idle[0], 0));
    assert_read(idle[0], 5, 1000);
    lake_row_windows_free(late);
    for (guint i = 0; i < G_N_ELEMENTS(idle); i++)
        lake_row_windows_free(idle[i]);
}

static void
made_once(Source *source, gconstpointer user_data)
{
    source->source.is_made = TRUE;
    LakeRowWindows *windows = windows_of(source, MADE_WINDOW - 5);

    for (gint64 offset = 0; offset < MADE_WINDOW - 5; offset += MIB)
        assert_read(windows, offset, (gsize)MIN(MIB, MADE_WINDOW - 5 - offset));
    assert_read(windows, 9 * MIB, 10);
    g_assert_cmpuint(n_streams(source), ==, 1);
    g_assert_cmpuint(source->n_reads, ==, 0);
    lake_row_windows_free(windows);
}

static void
assert_fails(LakeRowWindows *windows, gint64 offset, LakeErrorCode code)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(lake_row_windows_read(windows, offset, 10, TRUE, NULL, &error));
    g_assert_error(error, LAKE_ERROR, (int)code);
}

static gpointer
open_gate_soon(gpointer source)
{
    g_usleep(50 * 1000);
    open_gate(source, -1);
    return NULL;
}

static void
failure_is_told(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 3 * WINDOW);

    source->gate = 2 * PIECE;
    source->fails_at = 3 * PIECE;
    assert_read(windows, 0, 100);
    GThread *thread = g_thread_new("gate", open_gate_soon, source);
    assert_fails(windows, 5 * PIECE, LAKE_ERROR_OFFLINE);
    g_thread_join(thread);
    g_assert_cmpuint(n_streams(source), ==, 1);
    lake_row_windows_free(windows);
}

static void
next_read_tries_again(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 3 * WINDOW);

    source->fails_at = 0;
    assert_fails(windows, 0, LAKE_ERROR_OFFLINE);
    guint n_before = n_streams(source);
    assert_fails(windows, 0, LAKE_ERROR_OFFLINE);
    g_assert_cmpuint(n_streams(source), ==, n_before + 1);
    source->fails_at = -1;
    assert_read(windows, 0, 3 * WINDOW);
    lake_row_windows_free(windows);
}

static void
wrong_sizes(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 2 * WINDOW);

    source->shortens_at = 0;
    assert_fails(windows, 0, LAKE_ERROR_FAILED);
    source->shortens_at = -1;
    assert_read(windows, 0, 2 * WINDOW);
    lake_row_windows_free(windows);
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(50 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
interrupted(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, WINDOW);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    gint64 begun_us = g_get_monotonic_time();

    source->gate = 0;
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_null(lake_row_windows_read(windows, 0, 10, TRUE, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_thread_join(thread);
    /* And what hangs is stopped at the end. */
    lake_row_windows_free(windows);
    g_assert_cmpuint(source->n_cancelled, ==, 1);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, SOON_US);
}

static void
end_waits_a_little(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, WINDOW);

    source->pause_ms = 20;
    assert_read(windows, 0, (gsize)WINDOW);
    lake_row_windows_free(windows);
    g_assert_cmpuint(source->n_cancelled, ==, 0);
}

typedef struct {
    LakeRowWindows *windows;
    guint32 seed;
} Reader;

static gpointer
read_here_and_there(gpointer data)
{
    Reader *reader = data;
    g_autoptr(GRand) dice = g_rand_new_with_seed(reader->seed);

    for (int i = 0; i < 20; i++) {
        gint64 offset = g_rand_int_range(dice, 0, (gint32)(5 * WINDOW));
        assert_read(reader->windows, offset, i % 3 ? 5000 : 1500000);
    }
    for (gint64 offset = 0; offset < 6 * WINDOW; offset += PIECE)
        assert_read(reader->windows, offset, (gsize)PIECE);
    return NULL;
}

static void
several_threads(Source *source, gconstpointer user_data)
{
    LakeRowWindows *windows = windows_of(source, 6 * WINDOW);
    LakeRowWindows *other = windows_of(source, 6 * WINDOW);
    Reader readers[N_THREADS];
    GThread *threads[N_THREADS];

    for (guint i = 0; i < N_THREADS; i++) {
        readers[i] = (Reader){i % 3 ? windows : other, i};
        threads[i] = g_thread_new("reader", read_here_and_there, &readers[i]);
    }
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    lake_row_windows_free(windows);
    lake_row_windows_free(other);
}

#define ADD(name, test)                                                                        \
    g_test_add("/core/row/windows/" name, Source, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    make_pattern();
    ADD("any-range-can-be-read", any_range);
    ADD("a-piece-is-read-before-its-window-is-whole", first_piece_first);
    ADD("the-next-window-comes-unasked", next_comes_unasked);
    ADD("who-reads-on-holds-six-windows-at-most", two_runs_at_most);
    ADD("the-first-bytes-fetch-one-window", first_bytes_fetch_one);
    ADD("short-reads-alone-fetch-what-they-ask-for", short_reads_alone);
    ADD("windows-of-many-values-have-one-bound", many_have_one_bound);
    ADD("idle-windows-make-room", idle_make_room);
    ADD("what-is-made-anew-is-made-once", made_once);
    ADD("a-failure-is-told-to-who-waits", failure_is_told);
    ADD("after-a-failure-the-next-read-tries-again", next_read_tries_again);
    ADD("pieces-of-a-wrong-size-are-refused", wrong_sizes);
    ADD("a-waiter-can-be-interrupted", interrupted);
    ADD("the-end-lets-finish-what-nearly-is", end_waits_a_little);
    ADD("several-threads-read-at-once", several_threads);
    return g_test_run();
}
