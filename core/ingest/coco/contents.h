/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/coco/contents.h: what stands where in an annotations file, in whatever order:
 * read once from its beginning to its end, so that a file which is refused is refused before
 * the server hears of it.
 *
 * Of each image 24 bytes are kept, and of the annotations none. One thread.
 */

#include "core/ingest/coco/entry.h"
#include "core/local.h"

/* Some 100 MB; train2017 has 118,287. */
#define LAKE_COCO_IMAGES_MAX 4000000
/* Bytes, which every row repeats; train2017 has 12 KB. */
#define LAKE_COCO_CATEGORIES_MAX 1048576

typedef struct LakeCocoContents LakeCocoContents;

/* All of it, and whether the files that it names are there.
 *   BAD_INPUT  not JSON, or not the annotations of a panoptic data set; a file that is missing
 *   TOO_BIG    more than the limits above */
LakeCocoContents *lake_coco_contents_read(LakeSpool *content, LakeLocalFolder *images,
    LakeLocalFolder *masks, GCancellable *cancellable, GError **error);
void lake_coco_contents_free(LakeCocoContents *contents);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeCocoContents, lake_coco_contents_free)

/* Of the bracket that opens "annotations". */
gint64 lake_coco_contents_annotations(const LakeCocoContents *contents);
gint64 lake_coco_contents_n_annotations(const LakeCocoContents *contents);
/* As the file has them; NULL: it has none. Borrowed. */
const GString *lake_coco_contents_categories(const LakeCocoContents *contents);

/* The entry of an image that an annotation names. */
gboolean lake_coco_contents_image(
    const LakeCocoContents *contents, gint64 id, LakeCocoImage *ret_image, GError **error);

/* BAD_INPUT: what is wrong with an entry, by its place: "annotations[3], byte 512: reason". */
gboolean lake_coco_refuse(
    GError **error, const char *list, gint64 index, gint64 offset, const char *reason);
