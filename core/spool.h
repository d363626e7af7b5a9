/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/spool.h: bytes that are written now and read later: a file being staged, a query's
 * result.
 *
 * In memory while small (LAKE_SPOOL_MEMORY_BYTES), then an unnamed file in a folder: it has no
 * name from the start, so a killed process leaves nothing behind. Any order of offsets; holes
 * read as zeros.
 *
 * Ref-counted. Any thread may call; one lock per spool, held only for the copy or the system
 * call.
 */

#include <gio/gio.h>
#include <glib.h>

#define LAKE_SPOOL_MEMORY_BYTES (64 * 1024)

typedef struct LakeSpool LakeSpool;

/* An empty spool whose file, when it needs one, lies in folder. */
LakeSpool *lake_spool_new(const char *folder);
/* A spool over an open file, for reading only; owns fd from here on. */
LakeSpool *lake_spool_new_from_fd(int fd, gint64 size_bytes);
LakeSpool *lake_spool_ref(LakeSpool *spool);
void lake_spool_unref(LakeSpool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeSpool, lake_spool_unref)

/* Writes all of data at offset, or nothing is promised about that range.
 *   NO_SPACE  the folder's disk is full; what was there before stays readable */
gboolean lake_spool_write(
    LakeSpool *spool, gint64 offset, const void *data, gsize n_bytes, GError **error);
gboolean lake_spool_append(LakeSpool *spool, const void *data, gsize n_bytes, GError **error);

/* Reads up to n_bytes; fewer only at the end. Returns how many, or -1. */
gssize
lake_spool_read(LakeSpool *spool, gint64 offset, void *data, gsize n_bytes, GError **error);

gboolean lake_spool_truncate(LakeSpool *spool, gint64 size_bytes, GError **error);
gint64 lake_spool_size(LakeSpool *spool);

/* The file behind it, borrowed, for splice and mmap; -1 while it is in memory. */
int lake_spool_fd(LakeSpool *spool);

/* Lower-case hexadecimal SHA-256 of all bytes, so that sha256sum gives the same. NULL: error.
 */
char *lake_spool_hash(LakeSpool *spool, GCancellable *cancellable, GError **error);
