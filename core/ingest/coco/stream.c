/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/coco/stream.h"

#include "core/error.h"
#include <string.h>

void
lake_coco_stream_init(LakeCocoStream *stream, LakeSpool *content, gint64 offset)
{
    lake_record_window_init(&stream->window, content);
    stream->window.offset = offset;
    stream->n_bytes = 0;
}

void
lake_coco_stream_clear(LakeCocoStream *stream)
{
    lake_record_window_clear(&stream->window);
}

static const char *
begin_of(const LakeCocoStream *stream)
{
    return stream->window.bytes + stream->window.begin;
}

static const char *
end_of(const LakeCocoStream *stream)
{
    return stream->window.bytes + stream->window.end;
}

gint64
lake_coco_stream_offset(const LakeCocoStream *stream)
{
    const LakeRecordWindow *window = &stream->window;

    return window->offset - (gint64)(window->end - window->begin);
}

static gboolean
fail(const LakeCocoStream *stream, const char *at, const char *reason, GError **error)
{
    gint64 offset = lake_coco_stream_offset(stream) + (at - begin_of(stream));

    lake_error_bad_input(
        error, LAKE_ERROR_CLASS_INGEST, "byte %" G_GINT64_FORMAT ": %s", offset, reason);
    if (error)
        lake_error_hint(*error, "is it the whole annotations file of a panoptic data set?");
    return FALSE;
}

/* Its own words are of lines and rows. */
static gboolean
read_more(LakeCocoStream *stream, GError **error)
{
    const LakeRecordWindow *window = &stream->window;

    if (window->end - window->begin < LAKE_RECORD_MAX_BYTES)
        return lake_record_window_more(&stream->window, error);
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
        "byte %" G_GINT64_FORMAT ": the value that begins here has more than %d MiB",
        lake_coco_stream_offset(stream), LAKE_RECORD_MAX_BYTES >> 20);
    if (error)
        lake_error_hint(*error, "is a quote or a bracket not closed?");
    return FALSE;
}

/* The first block, behind a byte order mark. */
static gboolean
begin(LakeCocoStream *stream, GError **error)
{
    LakeRecordWindow *window = &stream->window;
    gboolean is_first = window->offset == 0;

    if (window->bytes)
        return TRUE;
    if (!read_more(stream, error))
        return FALSE;
    if (is_first && window->end >= 3 && memcmp(window->bytes, "\xef\xbb\xbf", 3) == 0)
        lake_record_window_pass(window, 3);
    return TRUE;
}

gboolean
lake_coco_stream_peek(LakeCocoStream *stream, int *ret_character, GError **error)
{
    LakeRecordWindow *window = &stream->window;

    if (!begin(stream, error))
        return FALSE;
    lake_record_window_pass(window, stream->n_bytes);
    stream->n_bytes = 0;
    for (;;) {
        LakeJsonScan json = {.at = begin_of(stream), .end = end_of(stream)};
        lake_json_scan_skip_space(&json);
        lake_record_window_pass(window, (gsize)(json.at - begin_of(stream)));
        if (window->begin < window->end) {
            *ret_character = (guchar)*begin_of(stream);
            return TRUE;
        }
        if (window->is_at_end) {
            *ret_character = -1;
            return TRUE;
        }
        if (!read_more(stream, error))
            return FALSE;
    }
}

void
lake_coco_stream_pass(LakeCocoStream *stream)
{
    lake_record_window_pass(&stream->window, 1);
}

gboolean
lake_coco_stream_expect(LakeCocoStream *stream, char character, GError **error)
{
    int found;

    if (!lake_coco_stream_peek(stream, &found, error))
        return FALSE;
    if (found != (guchar)character) {
        g_autofree char *reason = g_strdup_printf("expected %c", character);
        return fail(stream, begin_of(stream),
            found < 0 ? "the file ends before its JSON does" : reason, error);
    }
    lake_coco_stream_pass(stream);
    return TRUE;
}

gboolean
lake_coco_stream_separate(
    LakeCocoStream *stream, char closing, gboolean *ret_has_ended, GError **error)
{
    int found;

    if (!lake_coco_stream_peek(stream, &found, error))
        return FALSE;
    *ret_has_ended = found == (guchar)closing;
    if (!*ret_has_ended && found != ',') {
        g_autofree char *reason = g_strdup_printf("expected , or %c", closing);
        return fail(stream, begin_of(stream),
            found < 0 ? "the file ends before its JSON does" : reason, error);
    }
    lake_coco_stream_pass(stream);
    return TRUE;
}

/* The value at hand is whole, up to end. */
static gboolean
take(LakeCocoStream *stream, const char *end, GError **error)
{
    stream->n_bytes = (gsize)(end - begin_of(stream));
    return lake_record_is_text(begin_of(stream), stream->n_bytes) ||
           fail(stream, begin_of(stream), "the value that begins here is not UTF-8", error);
}

/* members or ret_value. */
static gboolean
scan(LakeCocoStream *stream, LakeJsonScanValue *ret_value, GArray *members, GError **error)
{
    for (;;) {
        LakeJsonScan json = {.at = begin_of(stream), .end = end_of(stream)};
        if (members)
            g_array_set_size(members, 0);
        LakeJsonScanStatus status = members ? lake_json_scan_object(&json, members)
                                            : lake_json_scan_value(&json, ret_value);

        if (status == LAKE_JSON_SCAN_GOOD)
            return take(stream, json.at, error);
        if (status == LAKE_JSON_SCAN_BAD)
            return fail(stream, json.at, json.reason, error);
        if (stream->window.is_at_end)
            return fail(stream, end_of(stream), "the file ends before its JSON does", error);
        if (!read_more(stream, error))
            return FALSE;
    }
}

gboolean
lake_coco_stream_value(LakeCocoStream *stream, LakeJsonScanValue *ret_value, GError **error)
{
    int found;

    return lake_coco_stream_peek(stream, &found, error) && scan(stream, ret_value, NULL, error);
}

gboolean
lake_coco_stream_object(LakeCocoStream *stream, GArray *members, GError **error)
{
    int found;

    if (!lake_coco_stream_peek(stream, &found, error))
        return FALSE;
    if (found >= 0 && found != '{')
        return fail(stream, begin_of(stream), "this must be an object", error);
    return scan(stream, NULL, members, error);
}
