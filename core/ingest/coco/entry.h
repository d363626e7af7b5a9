/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/coco/entry.h: what one entry of "annotations" or "images" says, as far as rows
 * need it. Constant functions; any thread.
 */

#include "core/json_scan.h"

typedef struct {
    gint64 image_id;
    GString *file_name;              /* of the mask, decoded; owned by the caller */
    LakeJsonScanValue segments_info; /* an array, in the text that was read */
} LakeCocoAnnotation;

typedef struct {
    gint64 id;
    GString *file_name;   /* decoded; owned by the caller */
    gint64 width, height; /* -1: not said */
} LakeCocoImage;

/* members (of LakeJsonScanMember) of the entry. NULL: *ret is filled, into file_name as it is;
 * else why it cannot be ("image_id is missing"); constant. */
const char *lake_coco_annotation_read(const GArray *members, LakeCocoAnnotation *ret);
const char *lake_coco_image_read(const GArray *members, LakeCocoImage *ret);
