/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/coco/stream.h: the text of an annotations file, one value after the other, from
 * a window of it: the file has some hundred MB, and mostly one line. One thread.
 *
 * Errors name the byte, from 0 on. BAD_INPUT: not JSON, or not what is expected; TOO_BIG: one
 * value has more than LAKE_RECORD_MAX_BYTES.
 */

#include "core/ingest/records/window.h"
#include "core/json_scan.h"

typedef struct {
    LakeRecordWindow window;
    gsize n_bytes; /* of the value at hand, where the window begins */
} LakeCocoStream;

/* From offset on; content is borrowed. */
void lake_coco_stream_init(LakeCocoStream *stream, LakeSpool *content, gint64 offset);
void lake_coco_stream_clear(LakeCocoStream *stream);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LakeCocoStream, lake_coco_stream_clear)

/* In the file, of the value at hand, or of what comes next. */
gint64 lake_coco_stream_offset(const LakeCocoStream *stream);

/* What comes next that is no space; -1 at the end of the file. The value at hand is passed. */
gboolean lake_coco_stream_peek(LakeCocoStream *stream, int *ret_character, GError **error);
/* Passes what was peeked. */
void lake_coco_stream_pass(LakeCocoStream *stream);
/* Passes over the one that must come next. */
gboolean lake_coco_stream_expect(LakeCocoStream *stream, char character, GError **error);

/* Behind a value of an array or object: passes the comma, or the closing bracket. */
gboolean lake_coco_stream_separate(
    LakeCocoStream *stream, char closing, gboolean *ret_has_ended, GError **error);

/* The next value, good until the next call; members (of LakeJsonScanMember, emptied first) of
 * one that must be an object. */
gboolean
lake_coco_stream_value(LakeCocoStream *stream, LakeJsonScanValue *ret_value, GError **error);
gboolean lake_coco_stream_object(LakeCocoStream *stream, GArray *members, GError **error);
