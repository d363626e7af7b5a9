/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/bars.h: how far ingests are, as lines of text with a bar each.
 *
 *     3 of 12 files        [#############                 ]  42%  1.2 MB/s  ETA 0:03
 *       talks/opening.mp4  [########                      ]  27%  reading  6 of 22 rows
 *
 * Names, bars and figures stand below each other. Where a terminal is narrow the last figures
 * go first, then the end of names, then the bars. Any thread, one at a time per object.
 */

#include <glib.h>

typedef struct MountBars MountBars;

/* One ingest. */
typedef struct {
    const char *name;
    const char *phase; /* one word: what is being done */
    gint64 n_rows;     /* that were made or sent */
    gint64 total;      /* -1 while unknown */
    gint64 bytes;      /* size of the file */
    gint64 bytes_done; /* -1 while unknown */
    double seconds;    /* since it began */
} MountBarsJob;

/* Several together. */
typedef struct {
    const char *name;
    gint64 bytes;
    gint64 bytes_done;
    double seconds;
} MountBarsSum;

MountBars *mount_bars_new(void);
void mount_bars_free(MountBars *bars);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountBars, mount_bars_free)

/* The next line. What is added is copied; names may be any bytes. n_indent is in columns. */
void mount_bars_add_job(MountBars *bars, guint n_indent, const MountBarsJob *job);
void mount_bars_add_sum(MountBars *bars, guint n_indent, const MountBarsSum *sum);
/* A line without a bar. */
void mount_bars_add_text(MountBars *bars, guint n_indent, const char *text);

/* How much of the job is done, 0 to 1: by its bytes, which tell of all its phases, else by its
 * rows; -1 while neither tells. */
double mount_bars_fraction(const MountBarsJob *job);

/* The lines, of char *, at most n_columns wide and n_lines of them; where there are more the
 * last one says how many. */
GPtrArray *mount_bars_format(const MountBars *bars, guint n_columns, guint n_lines);
