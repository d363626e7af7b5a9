/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/bars.h"

#include "mount/terminal.h"

#define NAME_MIN_COLUMNS 12  /* figures go before a name becomes shorter than this */
#define NAME_GOOD_COLUMNS 20 /* a bar gives way rather than a name of this many */
#define NAME_MAX_COLUMNS 32
#define BAR_MIN_COLUMNS 8
#define BAR_GOOD_COLUMNS 16 /* a name gives way rather than a bar of this many */
#define BAR_MAX_COLUMNS 40
#define BAR_FRAME_COLUMNS 4 /* "[", "]" and two spaces */
#define FIGURES_MAX 4
#define FIGURES_USUAL_COLUMNS 26 /* "  4%  999.9 MB/s  ETA 0:03": so that bars keep still */

typedef struct {
    char *name; /* with its indent */
    gboolean has_bar;
    double fraction; /* -1: not known */
    char *figures[FIGURES_MAX];
    guint n_figures;
} Line;

struct MountBars {
    GPtrArray *lines; /* of Line */
};

/* How the columns are shared out. */
typedef struct {
    guint name;
    guint bar; /* 0: there is none */
    guint figures;
    guint n_figures; /* at most this many of a line's */
} Layout;

static void
free_line(gpointer data)
{
    Line *line = data;

    g_free(line->name);
    for (guint i = 0; i < line->n_figures; i++)
        g_free(line->figures[i]);
    g_free(line);
}

MountBars *
mount_bars_new(void)
{
    MountBars *bars = g_new0(MountBars, 1);

    bars->lines = g_ptr_array_new_with_free_func(free_line);
    return bars;
}

void
mount_bars_free(MountBars *bars)
{
    if (!bars)
        return;
    g_ptr_array_unref(bars->lines);
    g_free(bars);
}

static Line *
add_line(MountBars *bars, guint n_indent, const char *name)
{
    Line *line = g_new0(Line, 1);

    line->name = g_strdup_printf("%*s%s", (int)n_indent, "", name);
    g_ptr_array_add(bars->lines, line);
    return line;
}

/* Takes text. */
static void
add_figure(Line *line, char *text)
{
    g_assert(line->n_figures < FIGURES_MAX);
    line->figures[line->n_figures++] = text;
}

static char *
format_seconds(const char *prefix, double seconds)
{
    gint64 left_s = (gint64)(MIN(seconds, 359999) + 0.5); /* 99:59:59 */

    if (left_s >= 3600)
        return g_strdup_printf("%s%d:%02d:%02d", prefix, (int)(left_s / 3600),
            (int)(left_s / 60 % 60), (int)(left_s % 60));
    return g_strdup_printf("%s%d:%02d", prefix, (int)(left_s / 60), (int)(left_s % 60));
}

static void
add_percent(Line *line, double fraction)
{
    line->has_bar = TRUE;
    line->fraction = fraction;
    if (fraction < 0)
        add_figure(line, g_strdup("  --"));
    else
        add_figure(line, g_strdup_printf("%3d%%", (int)(100 * fraction)));
}

void
mount_bars_add_sum(MountBars *bars, guint n_indent, const MountBarsSum *sum)
{
    Line *line = add_line(bars, n_indent, sum->name);
    double fraction = sum->bytes > 0 ? (double)sum->bytes_done / (double)sum->bytes : -1;

    add_percent(line, MIN(fraction, 1));
    if (sum->bytes_done <= 0 || sum->seconds <= 0)
        return;

    double bytes_per_s = (double)sum->bytes_done / sum->seconds;
    g_autofree char *speed = g_format_size((guint64)bytes_per_s);
    add_figure(line, g_strconcat(speed, "/s", NULL));
    add_figure(line,
        format_seconds("ETA ", (double)MAX(sum->bytes - sum->bytes_done, 0) / bytes_per_s));
}

double
mount_bars_fraction(const MountBarsJob *job)
{
    if (job->bytes > 0 && job->bytes_done >= 0)
        return CLAMP((double)job->bytes_done / (double)job->bytes, 0, 1);
    if (job->total > 0)
        return CLAMP((double)job->n_rows / (double)job->total, 0, 1);
    return -1;
}

static char *
format_amount(const MountBarsJob *job)
{
    g_autofree char *size = g_format_size((guint64)MAX(job->bytes, 0));
    g_autofree char *done = g_format_size((guint64)MAX(job->bytes_done, 0));

    if (job->total >= 0)
        return g_strdup_printf(
            "%" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " rows", job->n_rows, job->total);
    if (job->bytes_done >= 0)
        return g_strdup_printf("%s of %s", done, size);
    if (job->n_rows > 0)
        return g_strdup_printf("%" G_GINT64_FORMAT " rows", job->n_rows);
    return g_steal_pointer(&size);
}

void
mount_bars_add_job(MountBars *bars, guint n_indent, const MountBarsJob *job)
{
    Line *line = add_line(bars, n_indent, job->name);
    double fraction = mount_bars_fraction(job);

    add_percent(line, fraction);
    add_figure(line, g_strdup(job->phase));
    add_figure(line, format_amount(job));
    /* What one moment says of the whole is worth nothing. */
    if (fraction > 0.01 && job->seconds >= 1)
        add_figure(line, format_seconds("ETA ", job->seconds * (1 - fraction) / fraction));
    else if (fraction < 0)
        add_figure(line, format_seconds("", job->seconds));
}

void
mount_bars_add_text(MountBars *bars, guint n_indent, const char *text)
{
    add_line(bars, n_indent, text);
}

static char *
join_figures(const Line *line, guint n_figures)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < MIN(n_figures, line->n_figures); i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "  " : "", line->figures[i]);
    return g_string_free(text, FALSE);
}

/* The widest name and figures of the first n_lines with bars. */
static void
measure(
    const MountBars *bars, guint n_lines, guint n_figures, guint *ret_name, guint *ret_figures)
{
    *ret_name = *ret_figures = 0;
    for (guint i = 0; i < n_lines; i++) {
        const Line *line = bars->lines->pdata[i];
        if (!line->has_bar)
            continue;
        g_autofree char *figures = join_figures(line, n_figures);
        *ret_name = MAX(*ret_name, mount_terminal_columns(line->name));
        *ret_figures = MAX(*ret_figures, mount_terminal_columns(figures));
    }
    *ret_name = MIN(*ret_name, NAME_MAX_COLUMNS);
}

static Layout
lay_out(const MountBars *bars, guint n_lines, guint n_columns)
{
    Layout layout = {.n_figures = FIGURES_MAX};
    guint name;

    for (;; layout.n_figures--) {
        measure(bars, n_lines, layout.n_figures, &name, &layout.figures);
        guint wanted = MIN(name, NAME_MIN_COLUMNS) + 2 + BAR_MIN_COLUMNS + BAR_FRAME_COLUMNS +
                       layout.figures;
        if (wanted <= n_columns || layout.n_figures == 1)
            break;
    }

    /* Widened only where nothing else would shrink for it. */
    guint usual = MAX(layout.figures, FIGURES_USUAL_COLUMNS);
    if (name + 2 + BAR_MAX_COLUMNS + BAR_FRAME_COLUMNS + usual <= n_columns)
        layout.figures = usual;

    guint fixed = BAR_FRAME_COLUMNS + layout.figures;
    guint left = n_columns > fixed + 2 ? n_columns - fixed - 2 : 0;
    if (left < name + BAR_GOOD_COLUMNS)
        name = MIN(name, MAX(NAME_GOOD_COLUMNS, left - MIN(left, BAR_GOOD_COLUMNS)));
    layout.name = left > BAR_MIN_COLUMNS ? MIN(name, left - BAR_MIN_COLUMNS) : 0;
    if (layout.name > 0)
        fixed += layout.name + 2;
    if (n_columns >= fixed + BAR_MIN_COLUMNS)
        layout.bar = MIN(n_columns - fixed, BAR_MAX_COLUMNS);
    return layout;
}

static char *
format_line(const Line *line, const Layout *layout, guint n_columns)
{
    GString *text = g_string_new(NULL);

    if (!line->has_bar) {
        mount_terminal_append(
            text, line->name, MIN(mount_terminal_columns(line->name), n_columns));
        return g_string_free(text, FALSE);
    }
    if (layout->name > 0) {
        mount_terminal_append(text, line->name, layout->name);
        g_string_append(text, "  ");
    }
    if (layout->bar > 0) {
        guint full = (guint)((double)layout->bar * MAX(line->fraction, 0));
        g_string_append_c(text, '[');
        for (guint i = 0; i < layout->bar; i++)
            g_string_append_c(text, i < full ? '#' : ' ');
        g_string_append(text, "]  ");
    }
    g_autofree char *figures = join_figures(line, layout->n_figures);
    mount_terminal_append(text, figures, MIN(mount_terminal_columns(figures), n_columns));
    return g_string_free(text, FALSE);
}

GPtrArray *
mount_bars_format(const MountBars *bars, guint n_columns, guint n_lines)
{
    GPtrArray *formatted = g_ptr_array_new_with_free_func(g_free);
    guint n_all = bars->lines->len;
    guint n_shown = n_all <= n_lines ? n_all : MAX(n_lines, 1) - 1;
    Layout layout = lay_out(bars, n_shown, n_columns);

    for (guint i = 0; i < n_shown; i++)
        g_ptr_array_add(formatted, format_line(bars->lines->pdata[i], &layout, n_columns));
    if (n_shown < n_all && n_lines > 0) {
        g_autofree char *rest = g_strdup_printf("… and %u more", n_all - n_shown);
        Line more = {.name = rest};
        g_ptr_array_add(formatted, format_line(&more, &layout, n_columns));
    }
    return formatted;
}
