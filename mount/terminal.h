/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/terminal.h: a block of lines at a terminal's end that is shown anew in its own place.
 *
 * What a terminal does comes from ECMA-48: cursor up, erase to the end of line and screen.
 * One thread at a time per terminal; what measures text, any.
 */

#include <glib.h>

typedef struct MountTerminal MountTerminal;

/* NULL where fd, which is borrowed, is no terminal or one that cannot move its cursor
 * (TERM=dumb). */
MountTerminal *mount_terminal_new(int fd);
/* Clears the block. NULL is allowed. */
void mount_terminal_free(MountTerminal *terminal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountTerminal, mount_terminal_free)

/* How many columns and lines a block may have so that it never wraps or scrolls. */
void
mount_terminal_size(const MountTerminal *terminal, guint *ret_n_columns, guint *ret_n_lines);

/* Shows lines, of char *, where those of the last call were. above, with its own line ends, or
 * NULL, is printed before them and stays. One write, so that nothing shows in halves. */
void mount_terminal_draw(MountTerminal *terminal, const char *above, const GPtrArray *lines);

/* How many columns text takes; what cannot be printed counts as the '?' that it becomes. */
guint mount_terminal_columns(const char *text);

/* Appends text cut, or filled with spaces, to exactly n_columns. Control characters and bytes
 * that are no UTF-8 become '?': a file's name must not move the cursor. */
void mount_terminal_append(GString *into, const char *text, guint n_columns);
