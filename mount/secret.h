/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/secret.h: finds a password where none may stand: in a command line, which every user of
 * the machine can read. Any thread.
 */

#include <glib.h>

/* TRUE when dsn, a libpq conninfo string or URI, has a password in it. */
gboolean mount_secret_in_dsn(const char *dsn);
