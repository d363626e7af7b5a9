/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/records/window.h: the part of a file of rows that is in memory: the record that
 * is being read, and what was read along with it.
 *
 * It grows by doubling where a record is longer than it, so that whoever begins the record
 * anew after each growth has done no more than twice the work. One thread.
 */

#include "core/spool.h"

/* A record's bytes in its file: that much memory an ingest needs at most, some times over. */
#define LAKE_RECORD_MAX_BYTES (100 * 1024 * 1024)

typedef struct {
    LakeSpool *content; /* borrowed */
    char *bytes;        /* those from begin to end are unread; a NUL follows them */
    gsize capacity, begin, end;
    gint64 offset;      /* of the first byte of content that is not in bytes */
    guint64 line;       /* of the byte at begin; the first is 1 */
    gboolean is_at_end; /* nothing follows bytes */
} LakeRecordWindow;

void lake_record_window_init(LakeRecordWindow *window, LakeSpool *content);
void lake_record_window_clear(LakeRecordWindow *window);

/* Adds some of what follows, or sets is_at_end. Pointers into bytes do not survive it.
 *   TOO_BIG  what is unread has LAKE_RECORD_MAX_BYTES already */
gboolean lake_record_window_more(LakeRecordWindow *window, GError **error);

/* n_bytes of what is unread are done with. */
void lake_record_window_pass(LakeRecordWindow *window, gsize n_bytes);

/* The line on which a byte that is unread stands. */
guint64 lake_record_window_line_of(const LakeRecordWindow *window, const char *at);

/* Whether text is UTF-8 without NUL. */
gboolean lake_record_is_text(const char *text, gsize n_bytes);
