/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/row/windows.h: ranges of one value that lies elsewhere. Whoever reads on gets windows of
 * it, which come piece by piece, and the next one before it is asked for; a short read away
 * from all others gets just what it asks for.
 *
 * The windows of all values together have one bound. Beyond it none is fetched ahead, then
 * every read gets just what it asks for, until a window lies idle. Any thread; no lock is held
 * while the source is asked.
 */

#include "core/row.h"

/* What a read of the kernel's is at most where a program reads on. The server makes such a
 * piece within the processor's cache: a value costs it a third of what it costs as substrings
 * of 2 MiB, and no more than as a whole. */
#define LAKE_ROW_PIECE_BYTES (256 * 1024)

/* Where the bytes come from: in one piece, or in pieces of LAKE_ROW_PIECE_BYTES, of which the
 * last may be shorter. Both may block, and are called by several threads at once. */
typedef struct {
    GBytes *(*read)(
        gpointer data, gint64 offset, gsize n_bytes, GCancellable *cancellable, GError **error);
    gboolean (*stream)(gpointer data, gint64 offset, gsize n_bytes, LakeRowTakeFunc take,
        gpointer user_data, GCancellable *cancellable, GError **error);
    gboolean is_made; /* as a whole, anew for each call: so of those there are to be few */
} LakeRowSource;

typedef struct LakeRowWindows LakeRowWindows;

/* source and data are lent. */
LakeRowWindows *
lake_row_windows_new(const LakeRowSource *source, gpointer data, gint64 size_bytes);
/* Stops what is being fetched. */
void lake_row_windows_free(LakeRowWindows *windows);

/* Fewer than n_bytes only at the end. may_block FALSE: NULL without an error where the source
 * would have to be asked. */
GBytes *lake_row_windows_read(LakeRowWindows *windows, gint64 offset, gsize n_bytes,
    gboolean may_block, GCancellable *cancellable, GError **error);

/* Of the windows of all values, those under way included. */
gint64 lake_row_windows_held_bytes(void);
