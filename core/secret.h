/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/secret.h: texts that must not be found later: a token.
 *
 * Each has pages of its own that are left out of core dumps (MADV_DONTDUMP), kept from swap
 * where the limit allows it (mlock), and overwritten before they go. The whole process is not
 * made undumpable (PR_SET_DUMPABLE): that would take away every core dump and debugger, and
 * give /proc/<pid> to root. Of the copies that libcurl makes core/api/memory.h takes care; what
 * remains is HTTP/2's table of headers in libnghttp2, where a service speaks that. Any thread.
 */

#include <glib.h>

/* A copy of text, n_bytes of it (-1: all); NULL of NULL. Give it to lake_secret_free. */
char *lake_secret_dup(const char *text, gssize n_bytes);
/* Overwrites and frees. NULL is allowed. */
void lake_secret_free(char *secret);

/* Overwrites the values that the variable has in this process's environment, in the block that
 * /proc/<pid>/environ shows too, and removes it, so that no child inherits it. Before there are
 * threads. */
void lake_secret_unset_variable(const char *variable);
