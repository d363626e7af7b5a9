/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/secret.h: finds a password or a token where none may stand: in a command line, which
 * every user of the machine can read. Any thread.
 */

#include <glib.h>

/* TRUE when dsn, a libpq conninfo string or URI, has a password in it. */
gboolean mount_secret_in_dsn(const char *dsn);

/* TRUE when text has a JSON Web Token in it, which begins as {" does in base64. */
gboolean mount_secret_is_token(const char *text);

/* Overwrites what looks like a token in these arguments, and what follows an option that is
 * called like one, so that /proc/<pid>/cmdline shows it no longer. */
void mount_secret_hide_tokens(int argc, char **argv);
