/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/coco/entry.h"

#include <string.h>

#define NUMBER_MAX_BYTES 20 /* of a gint64, with its sign */

/* NULL where there is none; of several the last, as most readers of JSON have it. */
static const LakeJsonScanValue *
find(const GArray *members, const char *name)
{
    gsize n_bytes = strlen(name);

    for (guint i = members->len; i > 0; i--) {
        const LakeJsonScanMember *member = &g_array_index(members, LakeJsonScanMember, i - 1);
        if (member->key.n_bytes == n_bytes && memcmp(member->key.text, name, n_bytes) == 0)
            return &member->value;
    }
    return NULL;
}

static gboolean
is_absent(const LakeJsonScanValue *value)
{
    return !value || value->kind == LAKE_JSON_SCAN_NULL;
}

static gboolean
read_whole(const LakeJsonScanValue *value, gint64 minimum, gint64 *ret_number)
{
    char digits[NUMBER_MAX_BYTES + 1];

    if (value->kind != LAKE_JSON_SCAN_NUMBER || !value->is_whole ||
        value->n_bytes > NUMBER_MAX_BYTES)
        return FALSE;
    memcpy(digits, value->text, value->n_bytes);
    digits[value->n_bytes] = '\0';
    return g_ascii_string_to_signed(digits, 10, minimum, G_MAXINT64, ret_number, NULL);
}

static const char *
read_file_name(const GArray *members, GString *into)
{
    const LakeJsonScanValue *value = find(members, "file_name");

    if (is_absent(value))
        return "file_name is missing";
    if (value->kind != LAKE_JSON_SCAN_STRING)
        return "file_name must be a string";
    g_string_truncate(into, 0);
    lake_json_scan_decode(value, into);
    return NULL;
}

/* -1 where it is absent. */
static gboolean
read_size(const GArray *members, const char *name, gint64 *ret_size)
{
    const LakeJsonScanValue *value = find(members, name);

    *ret_size = -1;
    return is_absent(value) || read_whole(value, 0, ret_size);
}

const char *
lake_coco_annotation_read(const GArray *members, LakeCocoAnnotation *ret)
{
    const LakeJsonScanValue *image_id = find(members, "image_id");
    const LakeJsonScanValue *segments_info = find(members, "segments_info");

    if (is_absent(image_id))
        return "image_id is missing";
    if (!read_whole(image_id, G_MININT64, &ret->image_id))
        return "image_id must be a whole number";
    if (is_absent(segments_info))
        return "segments_info is missing";
    if (segments_info->kind != LAKE_JSON_SCAN_ARRAY)
        return "segments_info must be an array";
    ret->segments_info = *segments_info;
    return read_file_name(members, ret->file_name);
}

const char *
lake_coco_image_read(const GArray *members, LakeCocoImage *ret)
{
    const LakeJsonScanValue *id = find(members, "id");

    if (is_absent(id))
        return "id is missing";
    if (!read_whole(id, G_MININT64, &ret->id))
        return "id must be a whole number";
    if (!read_size(members, "width", &ret->width))
        return "width must be a whole number";
    if (!read_size(members, "height", &ret->height))
        return "height must be a whole number";
    return read_file_name(members, ret->file_name);
}
