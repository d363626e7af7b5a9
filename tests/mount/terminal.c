/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/terminal.h"

#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* A terminal that does as little as the ones it stands for: text, line ends, cursor up, erase
 * to the end of line and of screen. */
typedef struct {
    int master, slave;
    guint n_columns, n_lines;
    char **cells; /* n_lines × n_columns */
    guint column, line;
    guint n_scrolled;
} Screen;

static void
resize(Screen *screen, guint n_columns, guint n_lines)
{
    struct winsize size = {
        .ws_col = (unsigned short)n_columns, .ws_row = (unsigned short)n_lines};

    screen->n_columns = n_columns;
    screen->n_lines = n_lines;
    g_assert_cmpint(ioctl(screen->master, TIOCSWINSZ, &size), ==, 0);
}

static void
open_screen(Screen *screen, guint n_columns, guint n_lines)
{
    *screen = (Screen){0};
    g_setenv("TERM", "xterm", TRUE);
    g_assert_cmpint(openpty(&screen->master, &screen->slave, NULL, NULL, NULL), ==, 0);
    g_assert_cmpint(fcntl(screen->master, F_SETFL, O_NONBLOCK), ==, 0);
    resize(screen, n_columns, n_lines);
    screen->cells = g_new0(char *, n_lines + 1);
    for (guint i = 0; i < n_lines; i++)
        screen->cells[i] = g_strnfill(n_columns, ' ');
}

static void
close_screen(Screen *screen)
{
    g_strfreev(screen->cells);
    close(screen->master);
    close(screen->slave);
}

static void
line_feed(Screen *screen)
{
    if (screen->line + 1 < screen->n_lines) {
        screen->line++;
        return;
    }
    char *first = screen->cells[0];
    memmove(screen->cells, screen->cells + 1, (screen->n_lines - 1) * sizeof *screen->cells);
    memset(first, ' ', screen->n_columns);
    screen->cells[screen->n_lines - 1] = first;
    screen->n_scrolled++;
}

/* at is behind "\033["; returns what follows the sequence. */
static const char *
obey(Screen *screen, const char *at)
{
    guint number = (guint)g_ascii_strtoull(at, (char **)&at, 10);

    switch (*at) {
    case 'A':
        g_assert_cmpuint(number, <=, screen->line);
        screen->line -= number;
        break;
    case 'K':
        memset(screen->cells[screen->line] + screen->column, ' ',
            screen->n_columns - screen->column);
        break;
    case 'J':
        memset(screen->cells[screen->line] + screen->column, ' ',
            screen->n_columns - screen->column);
        for (guint i = screen->line + 1; i < screen->n_lines; i++)
            memset(screen->cells[i], ' ', screen->n_columns);
        break;
    default:
        g_error("unknown sequence ending with %c", *at);
    }
    return at + 1;
}

/* Shows what was written since. */
static void
update(Screen *screen)
{
    char buffer[65536];
    gssize n_read = read(screen->master, buffer, sizeof buffer - 1);
    if (n_read <= 0)
        return;

    buffer[n_read] = '\0';
    for (const char *at = buffer; *at;) {
        if (g_str_has_prefix(at, "\033[")) {
            at = obey(screen, at + 2);
            continue;
        }
        if (*at == '\r') {
            screen->column = 0;
        } else if (*at == '\n') {
            line_feed(screen);
        } else {
            g_assert_cmpuint(screen->column, <, screen->n_columns);
            screen->cells[screen->line][screen->column++] = *at;
        }
        at++;
    }
}

static void
assert_shows(Screen *screen, guint line, const char *wanted)
{
    g_autofree char *shown = g_strchomp(g_strdup(screen->cells[line]));
    g_assert_cmpstr(shown, ==, wanted);
}

static void
draw(MountTerminal *terminal, const char *above, const char *words)
{
    g_auto(GStrv) parts = g_strsplit(words, "|", -1);
    g_autoptr(GPtrArray) lines = g_ptr_array_new();

    for (char **part = parts; *part; part++)
        g_ptr_array_add(lines, *part);
    mount_terminal_draw(terminal, above, lines);
}

static void
test_in_place(void)
{
    Screen screen;
    open_screen(&screen, 20, 8);
    MountTerminal *terminal = mount_terminal_new(screen.slave);
    g_assert_nonnull(terminal);

    draw(terminal, NULL, "one|a longer line|three");
    update(&screen);
    assert_shows(&screen, 0, "one");
    assert_shows(&screen, 2, "three");

    draw(terminal, NULL, "uno|short");
    update(&screen);
    assert_shows(&screen, 0, "uno");
    assert_shows(&screen, 1, "short");
    assert_shows(&screen, 2, "");

    draw(terminal, "a message\nits hint\n", "dos|zwei");
    update(&screen);
    assert_shows(&screen, 0, "a message");
    assert_shows(&screen, 1, "its hint");
    assert_shows(&screen, 2, "dos");
    assert_shows(&screen, 3, "zwei");

    mount_terminal_free(terminal);
    update(&screen);
    assert_shows(&screen, 1, "its hint");
    assert_shows(&screen, 2, "");
    assert_shows(&screen, 3, "");
    g_assert_cmpuint(screen.line, ==, 2);
    g_assert_cmpuint(screen.column, ==, 0);
    close_screen(&screen);
}

static void
test_at_the_end_of_the_screen(void)
{
    Screen screen;
    open_screen(&screen, 20, 4);
    MountTerminal *terminal = mount_terminal_new(screen.slave);

    for (guint i = 0; i < 20; i++) {
        g_autofree char *above = i % 4 == 0 ? g_strdup_printf("message %u\n", i) : NULL;
        g_autofree char *words = g_strdup_printf("first %u|second %u|third %u", i, i, i);
        draw(terminal, above, words);
        update(&screen);
    }
    assert_shows(&screen, 0, "message 16");
    assert_shows(&screen, 1, "first 19");
    assert_shows(&screen, 3, "third 19");
    /* Nothing but the messages has scrolled. */
    g_assert_cmpuint(screen.n_scrolled, ==, 4);
    mount_terminal_free(terminal);
    close_screen(&screen);
}

static void
test_typing_wraps_nothing(void)
{
    Screen screen;
    open_screen(&screen, 20, 8);
    MountTerminal *terminal = mount_terminal_new(screen.slave);

    draw(terminal, NULL, "one|nineteen columns it");
    update(&screen);
    /* As the line discipline shows it. */
    g_assert_cmpint(write(screen.slave, "^C", 2), ==, 2);
    update(&screen);
    draw(terminal, "interrupted\n", "uno|nineteen columns it");
    update(&screen);
    assert_shows(&screen, 0, "interrupted");
    assert_shows(&screen, 1, "uno");
    assert_shows(&screen, 2, "nineteen columns it");
    assert_shows(&screen, 3, "");
    mount_terminal_free(terminal);
    close_screen(&screen);
}

static void
test_nothing_is_nothing(void)
{
    Screen screen;
    char byte;
    open_screen(&screen, 20, 4);
    MountTerminal *terminal = mount_terminal_new(screen.slave);

    mount_terminal_draw(terminal, NULL, NULL);
    mount_terminal_free(terminal);
    g_assert_cmpint(read(screen.master, &byte, 1), <, 0);
    close_screen(&screen);
}

static void
test_size(void)
{
    Screen screen;
    guint n_columns;
    guint n_lines;
    open_screen(&screen, 50, 10);
    g_autoptr(MountTerminal) terminal = mount_terminal_new(screen.slave);

    mount_terminal_size(terminal, &n_columns, &n_lines);
    g_assert_cmpuint(n_columns, ==, 49);
    g_assert_cmpuint(n_lines, ==, 9);
    resize(&screen, 1, 1);
    mount_terminal_size(terminal, &n_columns, &n_lines);
    g_assert_cmpuint(n_columns, ==, 1);
    g_assert_cmpuint(n_lines, ==, 1);
    resize(&screen, 0, 0); /* a serial line knows none */
    mount_terminal_size(terminal, &n_columns, &n_lines);
    g_assert_cmpuint(n_columns, ==, 79);
    g_assert_cmpuint(n_lines, ==, 23);
    mount_terminal_free(g_steal_pointer(&terminal));
    screen.n_lines = 10;
    close_screen(&screen);
}

/* The terminal wrapped the block, so it has to go further up. */
static void
test_narrowed(void)
{
    Screen screen;
    char buffer[256];
    open_screen(&screen, 20, 8);
    MountTerminal *terminal = mount_terminal_new(screen.slave);

    draw(terminal, NULL, "fifteen columns|twelve more|last of them");
    update(&screen);
    resize(&screen, 10, 8);
    draw(terminal, NULL, "a|b");
    gssize n_read = read(screen.master, buffer, sizeof buffer - 1);
    g_assert_cmpint(n_read, >, 0);
    buffer[n_read] = '\0';
    g_assert_true(g_str_has_prefix(buffer, "\r\033[4A"));
    mount_terminal_free(terminal);
    screen.n_columns = 20;
    close_screen(&screen);
}

static void
test_no_terminal(void)
{
    Screen screen;
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    open_screen(&screen, 20, 4);

    g_assert_null(mount_terminal_new(fd));
    g_setenv("TERM", "dumb", TRUE);
    g_assert_null(mount_terminal_new(screen.slave));
    close(fd);
    close_screen(&screen);
}

static void
test_columns(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    g_assert_cmpuint(mount_terminal_columns(""), ==, 0);
    g_assert_cmpuint(mount_terminal_columns("abc"), ==, 3);
    g_assert_cmpuint(mount_terminal_columns("日本"), ==, 4);
    g_assert_cmpuint(mount_terminal_columns("e\xcc\x81"), ==, 1); /* a combining accent */
    g_assert_cmpuint(mount_terminal_columns("\xff\t"), ==, 2);

    mount_terminal_append(text, "日本語", 5);
    g_string_append_c(text, '|');
    mount_terminal_append(text, "a\033b", 5);
    g_assert_cmpstr(text->str, ==, "日本 |a?b  ");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount/terminal/block-is-shown-in-place", test_in_place);
    g_test_add_func("/mount/terminal/only-messages-scroll", test_at_the_end_of_the_screen);
    g_test_add_func("/mount/terminal/what-is-typed-wraps-nothing", test_typing_wraps_nothing);
    g_test_add_func("/mount/terminal/nothing-writes-nothing", test_nothing_is_nothing);
    g_test_add_func("/mount/terminal/size-leaves-one-column-and-line", test_size);
    g_test_add_func("/mount/terminal/narrowed-block-is-found-again", test_narrowed);
    g_test_add_func("/mount/terminal/files-and-dumb-ones-are-none", test_no_terminal);
    g_test_add_func("/mount/terminal/text-has-columns", test_columns);
    return g_test_run();
}
