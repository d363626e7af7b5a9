/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define N_COLUMNS_ASSUMED 80 /* where the terminal does not tell */
#define N_LINES_ASSUMED 24

struct MountTerminal {
    int fd;
    GArray *drawn; /* of guint: the columns of each line of the block; empty: none is shown */
};

MountTerminal *
mount_terminal_new(int fd)
{
    if (!isatty(fd) || g_strcmp0(g_getenv("TERM"), "dumb") == 0)
        return NULL;

    MountTerminal *terminal = g_new0(MountTerminal, 1);
    terminal->fd = fd;
    terminal->drawn = g_array_new(FALSE, FALSE, sizeof(guint));
    return terminal;
}

void
mount_terminal_free(MountTerminal *terminal)
{
    if (!terminal)
        return;
    mount_terminal_draw(terminal, NULL, NULL);
    g_array_unref(terminal->drawn);
    g_free(terminal);
}

void
mount_terminal_size(const MountTerminal *terminal, guint *ret_n_columns, guint *ret_n_lines)
{
    struct winsize size = {0};

    if (ioctl(terminal->fd, TIOCGWINSZ, &size) < 0)
        size.ws_col = size.ws_row = 0;
    guint n_columns = size.ws_col ? size.ws_col : N_COLUMNS_ASSUMED;
    guint n_lines = size.ws_row ? size.ws_row : N_LINES_ASSUMED;

    /* The last column stays free: some terminals wrap when it is filled. A line stays free for
     * what was there before. */
    *ret_n_columns = MAX(n_columns, 2) - 1;
    *ret_n_lines = MAX(n_lines, 2) - 1;
}

/* How many lines of the screen are between the block's first and the one with the cursor, where
 * its last begins. A terminal that became narrower has wrapped it. */
static guint
count_lines_up(const MountTerminal *terminal)
{
    guint n_columns;
    guint n_lines;
    guint n_up = 0;

    mount_terminal_size(terminal, &n_columns, &n_lines);
    for (guint i = 0; i + 1 < terminal->drawn->len; i++) {
        guint width = g_array_index(terminal->drawn, guint, i);
        n_up += 1 + (width ? (width - 1) / (n_columns + 1) : 0);
    }
    return MIN(n_up, n_lines);
}

static void
write_all(int fd, const char *at, gsize n_bytes)
{
    while (n_bytes > 0) {
        gssize n_written = write(fd, at, n_bytes);
        if (n_written < 0 && errno == EINTR)
            continue;
        if (n_written <= 0)
            return; /* a terminal that has gone misses nothing */
        at += n_written;
        n_bytes -= (gsize)n_written;
    }
}

static void
append_above(GString *into, const char *above)
{
    for (; *above; above++) {
        if (*above == '\n')
            g_string_append(into, "\033[K");
        g_string_append_c(into, *above);
    }
}

void
mount_terminal_draw(MountTerminal *terminal, const char *above, const GPtrArray *lines)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint n_up = count_lines_up(terminal);
    gboolean is_shown = terminal->drawn->len > 0;

    /* Each line is written over the old one and only then erased behind: no flicker. */
    if (is_shown)
        g_string_append_c(text, '\r');
    if (n_up > 0)
        g_string_append_printf(text, "\033[%uA", n_up);
    if (above)
        append_above(text, above);

    g_array_set_size(terminal->drawn, 0);
    for (guint i = 0; lines && i < lines->len; i++) {
        const char *line = lines->pdata[i];
        guint width = mount_terminal_columns(line);
        g_array_append_val(terminal->drawn, width);
        g_string_append_printf(text, "%s%s\033[K", i > 0 ? "\n" : "", line);
    }
    if (is_shown)
        g_string_append(text, "\033[J");
    /* What is typed, or ^C, shows there and wraps nothing. */
    if (terminal->drawn->len > 0)
        g_string_append_c(text, '\r');
    write_all(terminal->fd, text->str, text->len);
}

static guint
count_char_columns(gunichar character)
{
    if (g_unichar_iszerowidth(character))
        return 0;
    return g_unichar_iswide(character) ? 2 : 1;
}

/* The character at *at as it is shown; moves *at behind it. */
static gunichar
next_character(const char **at)
{
    gunichar character = g_utf8_get_char_validated(*at, -1);

    if (character == (gunichar)-1 || character == (gunichar)-2) {
        (*at)++;
        return '?';
    }
    *at = g_utf8_next_char(*at);
    /* A format character may turn the direction of what follows. */
    return g_unichar_isprint(character) && g_unichar_type(character) != G_UNICODE_FORMAT
               ? character
               : '?';
}

guint
mount_terminal_columns(const char *text)
{
    guint n_columns = 0;

    while (*text)
        n_columns += count_char_columns(next_character(&text));
    return n_columns;
}

void
mount_terminal_append(GString *into, const char *text, guint n_columns)
{
    guint used = 0;

    while (*text) {
        gunichar character = next_character(&text);
        guint width = count_char_columns(character);
        if (used + width > n_columns)
            break;
        g_string_append_unichar(into, character);
        used += width;
    }
    g_string_append_printf(into, "%*s", (int)(n_columns - used), "");
}
