/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/bars.h"

#include "mount/terminal.h"

#include <string.h>

static MountBarsJob
make_job(const char *name, gint64 n_rows, gint64 total, gint64 bytes_done)
{
    return (MountBarsJob){
        .name = name,
        .phase = "reading",
        .n_rows = n_rows,
        .total = total,
        .bytes = 2000000,
        .bytes_done = bytes_done,
        .seconds = 10,
    };
}

/* The only line of one job. */
static char *
format_job(const MountBarsJob *job, guint n_columns)
{
    g_autoptr(MountBars) bars = mount_bars_new();

    mount_bars_add_job(bars, 0, job);
    g_autoptr(GPtrArray) lines = mount_bars_format(bars, n_columns, 10);
    g_assert_cmpuint(lines->len, ==, 1);
    return g_strdup(lines->pdata[0]);
}

static char *
format_sum(gint64 bytes, gint64 bytes_done, double seconds)
{
    g_autoptr(MountBars) bars = mount_bars_new();
    MountBarsSum sum = {"3 of 12 files", bytes, bytes_done, seconds};

    mount_bars_add_sum(bars, 0, &sum);
    g_autoptr(GPtrArray) lines = mount_bars_format(bars, 80, 10);
    return g_strdup(lines->pdata[0]);
}

static guint
count(const char *text, char wanted)
{
    guint n = 0;

    for (; *text; text++)
        n += *text == wanted;
    return n;
}

static void
test_job(void)
{
    MountBarsJob job = make_job("a.pdf", 6, 24, 500000);
    g_autofree char *line = format_job(&job, 100);

    g_assert_cmpstr(line, ==,
        "a.pdf  [##########                              ]   25%  reading  6 of 24 rows"
        "  ETA 0:30" +
            0);
}

static void
test_unknown(void)
{
    /* Nothing is known: no percent is made up, and the time that passed stands for it. */
    MountBarsJob none = make_job("a.mkv", 0, -1, -1);
    g_autofree char *nothing = format_job(&none, 100);
    g_assert_nonnull(strstr(nothing, "]    --  reading  2.0\u00a0MB  0:10"));
    g_assert_cmpuint(count(nothing, '#'), ==, 0);

    MountBarsJob rows = make_job("a.mkv", 7, -1, -1);
    g_autofree char *some = format_job(&rows, 100);
    g_assert_nonnull(strstr(some, "]    --  reading  7 rows  0:10"));

    MountBarsJob bytes = make_job("a.mkv", 7, -1, 1000000);
    g_autofree char *half = format_job(&bytes, 100);
    g_assert_nonnull(strstr(half, "]   50%  reading  1.0\u00a0MB of 2.0\u00a0MB  ETA 0:10"));
    g_assert_cmpuint(count(half, '#'), ==, 20);

    /* Rows tell where bytes do not. */
    MountBarsJob counted = make_job("a.mkv", 18, 24, -1);
    g_assert_cmpfloat(mount_bars_fraction(&counted), ==, 0.75);
    g_assert_cmpfloat(mount_bars_fraction(&none), ==, -1);
}

static void
test_beyond(void)
{
    /* A file that grew, or a total that was a guess. */
    MountBarsJob job = make_job("a", 30, 24, 4000000);
    g_autofree char *line = format_job(&job, 100);
    g_assert_nonnull(strstr(line, "100%"));
    g_assert_cmpuint(count(line, '#'), ==, 40);

    MountBarsJob empty = {.name = "a", .phase = "reading", .total = 0, .bytes_done = 0};
    g_assert_cmpfloat(mount_bars_fraction(&empty), ==, -1);
    g_autofree char *nothing = format_job(&empty, 100);
    g_assert_nonnull(strstr(nothing, "0 of 0 rows"));
}

static void
test_sum(void)
{
    g_autofree char *begun = format_sum(1000, 0, 0);
    g_assert_nonnull(strstr(begun, "3 of 12 files  ["));
    g_assert_nonnull(strstr(begun, "]    0%"));
    g_assert_null(strstr(begun, "ETA"));

    g_autofree char *going = format_sum(36610000, 10000, 0.01);
    g_assert_nonnull(strstr(going, "1.0\u00a0MB/s  ETA 0:37"));
    g_autofree char *slow = format_sum(36610, 10, 1);
    g_assert_nonnull(strstr(slow, "ETA 1:01:00"));
    g_autofree char *endless = format_sum(G_MAXINT64, 1, 1000);
    g_assert_nonnull(strstr(endless, "ETA 99:59:59"));
    g_autofree char *empty = format_sum(0, 0, 5);
    g_assert_nonnull(strstr(empty, "--"));
}

static MountBars *
make_many(guint n_jobs)
{
    MountBars *bars = mount_bars_new();
    MountBarsSum sum = {"3 of 12 files", 1000000000, 400000000, 90};

    mount_bars_add_text(
        bars, 0, "/mnt/a folder with 日本語 in its name  workspace docs, 3 files");
    mount_bars_add_sum(bars, 0, &sum);
    for (guint i = 0; i < n_jobs; i++) {
        g_autofree char *name =
            g_strdup_printf("docs/%.*s %u.mp4", (int)(3 * (i % 9)), "日本語文件目録九十", i);
        MountBarsJob job = make_job(name, i, i % 2 ? 100 : -1, i % 3 ? 20000 * (gint64)i : -1);
        mount_bars_add_job(bars, 2, &job);
    }
    return bars;
}

static void
test_every_width(void)
{
    g_autoptr(MountBars) bars = make_many(12);

    for (guint n_columns = 0; n_columns < 200; n_columns++) {
        g_autoptr(GPtrArray) lines = mount_bars_format(bars, n_columns, 40);
        g_assert_cmpuint(lines->len, ==, 14);
        for (guint i = 0; i < lines->len; i++) {
            g_assert_true(g_utf8_validate(lines->pdata[i], -1, NULL));
            g_assert_cmpuint(mount_terminal_columns(lines->pdata[i]), <=, n_columns);
        }
        /* The percent is the last to go. */
        if (n_columns >= 4)
            g_assert_nonnull(strchr(lines->pdata[1], '%'));
        if (n_columns >= 40)
            g_assert_nonnull(strstr(lines->pdata[1], "3 of 12 file"));
    }
}

/* The column where the first c of text stands. */
static guint
column_of(const char *text, char c)
{
    const char *at = strchr(text, c);
    g_assert_nonnull(at);
    g_autofree char *before = g_strndup(text, (gsize)(at - text));
    return mount_terminal_columns(before);
}

static void
test_aligned(void)
{
    g_autoptr(MountBars) bars = make_many(12);

    for (guint n_columns = 40; n_columns < 140; n_columns += 7) {
        g_autoptr(GPtrArray) lines = mount_bars_format(bars, n_columns, 40);
        for (guint i = 2; i < lines->len; i++) {
            g_assert_cmpuint(
                column_of(lines->pdata[i], '['), ==, column_of(lines->pdata[1], '['));
            g_assert_cmpuint(
                column_of(lines->pdata[i], ']'), ==, column_of(lines->pdata[1], ']'));
        }
    }
}

static void
test_every_height(void)
{
    g_autoptr(MountBars) bars = make_many(300);

    for (guint n_lines = 0; n_lines < 310; n_lines++) {
        g_autoptr(GPtrArray) lines = mount_bars_format(bars, 80, n_lines);
        g_assert_cmpuint(lines->len, ==, MIN(n_lines, 302));
        if (n_lines == 0 || n_lines >= 302)
            continue;
        g_autofree char *rest = g_strdup_printf("… and %u more", 302 - (n_lines - 1));
        g_assert_cmpstr(lines->pdata[n_lines - 1], ==, rest);
    }
}

static void
test_names_are_harmless(void)
{
    MountBarsJob job = make_job("a\033[2J\nb\xff\xe2\x80\xae"
                                "c",
        1, 2, -1);
    g_autofree char *line = format_job(&job, 100);

    g_assert_true(g_str_has_prefix(line, "a?[2J?b??c  ["));
    g_assert_null(strchr(line, '\n'));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount/bars/job-has-bar-phase-rows-and-time", test_job);
    g_test_add_func("/mount/bars/what-is-unknown-is-not-made-up", test_unknown);
    g_test_add_func("/mount/bars/never-beyond-all", test_beyond);
    g_test_add_func("/mount/bars/sum-has-speed-and-time", test_sum);
    g_test_add_func("/mount/bars/fit-every-width", test_every_width);
    g_test_add_func("/mount/bars/stand-below-each-other", test_aligned);
    g_test_add_func("/mount/bars/fit-every-height", test_every_height);
    g_test_add_func("/mount/bars/names-do-not-move-the-cursor", test_names_are_harmless);
    return g_test_run();
}
