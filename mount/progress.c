/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REDRAW_US (G_USEC_PER_SEC / 10)
#define NAME_MAX_COLUMNS 32
#define BAR_MIN_COLUMNS 8
#define BAR_MAX_COLUMNS 40

struct MountProgress {
    GMutex mutex; /* guards all that follows */
    gboolean is_terminal;
    gint64 total_bytes;
    gint64 done_bytes;
    gint64 started_us;
    gint64 drawn_us;
    gboolean is_drawn;
};

MountProgress *
mount_progress_new(gint64 total_bytes)
{
    MountProgress *progress = g_new0(MountProgress, 1);
    const char *terminal = g_getenv("TERM");

    g_mutex_init(&progress->mutex);
    progress->is_terminal = isatty(STDERR_FILENO) && g_strcmp0(terminal, "dumb") != 0;
    progress->total_bytes = total_bytes;
    progress->started_us = g_get_monotonic_time();
    return progress;
}

static void
clear_line(MountProgress *progress)
{
    if (progress->is_drawn)
        fputs("\r\033[K", stderr);
    progress->is_drawn = FALSE;
}

void
mount_progress_free(MountProgress *progress)
{
    if (!progress)
        return;
    clear_line(progress);
    fflush(stderr);
    g_mutex_clear(&progress->mutex);
    g_free(progress);
}

static guint
get_columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 10)
        return 80;
    return size.ws_col;
}

static guint
get_char_columns(gunichar character)
{
    if (g_unichar_iszerowidth(character))
        return 0;
    return g_unichar_iswide(character) ? 2 : 1;
}

/* Appends name cut or filled to n_columns; what is no printable UTF-8 shows as '?'. */
static void
append_name(GString *into, const char *name, guint n_columns)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    guint used = 0;

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar character = g_utf8_get_char(at);
        if (!g_unichar_isprint(character))
            character = '?';
        guint width = get_char_columns(character);
        if (used + width > n_columns)
            break;
        g_string_append_unichar(into, character);
        used += width;
    }
    g_string_append_printf(into, "%*s", (int)(n_columns - used), "");
}

static guint
count_columns(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    guint n_columns = 0;

    for (const char *at = valid; *at; at = g_utf8_next_char(at))
        n_columns += get_char_columns(g_utf8_get_char(at));
    return n_columns;
}

static char *
format_figures(gint64 done_bytes, gint64 total_bytes, double bytes_per_s)
{
    double fraction = total_bytes > 0 ? (double)done_bytes / (double)total_bytes : 0;
    int percent = (int)(100 * CLAMP(fraction, 0, 1));
    if (bytes_per_s <= 0)
        return g_strdup_printf("%3d%%", percent);

    gint64 left_s = (gint64)((double)MAX(total_bytes - done_bytes, 0) / bytes_per_s + 0.5);
    g_autofree char *speed = g_format_size((guint64)bytes_per_s);
    if (left_s >= 3600)
        return g_strdup_printf("%3d%%  %s/s  ETA %d:%02d:%02d", percent, speed,
            (int)(left_s / 3600), (int)(left_s / 60 % 60), (int)(left_s % 60));
    return g_strdup_printf(
        "%3d%%  %s/s  ETA %d:%02d", percent, speed, (int)(left_s / 60), (int)(left_s % 60));
}

char *
mount_progress_format(const char *name, gint64 done_bytes, gint64 total_bytes,
    double bytes_per_s, guint n_columns)
{
    g_autofree char *figures = format_figures(done_bytes, total_bytes, bytes_per_s);
    guint figures_columns = (guint)g_utf8_strlen(figures, -1);
    GString *line = g_string_new(NULL);

    /* Two spaces after each part, two brackets. A narrow terminal loses the name, then the bar.
     */
    guint fixed = figures_columns + 2 + 2;
    guint name_columns = MIN(count_columns(name), NAME_MAX_COLUMNS);
    if (fixed + BAR_MIN_COLUMNS + name_columns + 2 > n_columns)
        name_columns = n_columns > fixed + BAR_MIN_COLUMNS + 2
                           ? n_columns - fixed - BAR_MIN_COLUMNS - 2
                           : 0;
    if (name_columns > 0) {
        append_name(line, name, name_columns);
        g_string_append(line, "  ");
        fixed += name_columns + 2;
    }

    if (n_columns >= fixed + BAR_MIN_COLUMNS) {
        guint bar = MIN(n_columns - fixed, BAR_MAX_COLUMNS);
        double fraction = total_bytes > 0 ? (double)done_bytes / (double)total_bytes : 0;
        guint full = (guint)(bar * CLAMP(fraction, 0, 1));
        g_string_append_c(line, '[');
        for (guint i = 0; i < bar; i++)
            g_string_append_c(line, i < full ? '#' : ' ');
        g_string_append(line, "]  ");
    }
    append_name(line, figures, MIN(figures_columns, n_columns));
    return g_string_free(line, FALSE);
}

/* The lock is held; TRUE at most ten times a second. */
static gboolean
is_due(MountProgress *progress)
{
    gint64 now_us = g_get_monotonic_time();

    if (!progress->is_terminal || now_us - progress->drawn_us < REDRAW_US)
        return FALSE;
    progress->drawn_us = now_us;
    return TRUE;
}

static void
draw(MountProgress *progress, const char *text)
{
    /* One write, so that a line never shows in halves. */
    g_autofree char *line = g_strdup_printf("\r\033[K%s", text);
    fputs(line, stderr);
    fflush(stderr);
    progress->is_drawn = TRUE;
}

void
mount_progress_add(MountProgress *progress, const char *name, gint64 n_bytes)
{
    g_mutex_lock(&progress->mutex);
    progress->done_bytes += n_bytes;
    if (is_due(progress)) {
        double seconds = (double)(progress->drawn_us - progress->started_us) / G_USEC_PER_SEC;
        double speed = seconds > 0 ? (double)progress->done_bytes / seconds : 0;
        /* The last column stays free: some terminals wrap when it is filled. */
        g_autofree char *line = mount_progress_format(
            name, progress->done_bytes, progress->total_bytes, speed, get_columns() - 1);
        draw(progress, line);
    }
    g_mutex_unlock(&progress->mutex);
}

void
mount_progress_note(MountProgress *progress, const char *text)
{
    g_mutex_lock(&progress->mutex);
    if (is_due(progress)) {
        g_autoptr(GString) line = g_string_new(NULL);
        append_name(line, text, MIN(count_columns(text), get_columns() - 1));
        draw(progress, line->str);
    }
    g_mutex_unlock(&progress->mutex);
}

void
mount_progress_print(MountProgress *progress, const char *line)
{
    g_mutex_lock(&progress->mutex);
    clear_line(progress);
    fprintf(stderr, "%s\n", line);
    fflush(stderr);
    g_mutex_unlock(&progress->mutex);
}
