/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/image/formats.h: one check per image format: the header says how large the
 * picture is, and the structure goes on to its end.
 *
 * Nothing is decompressed, so that no image is too large to check, and none can be a bomb. A
 * library for these formats says whether a picture is complete only by decoding all of it;
 * hence these walks of our own, which see the blocks of a file and not its pixels. What is
 * damaged inside a block therefore passes. What stands after the end passes too: cameras put
 * more pictures there.
 *
 * Each is called for content that begins as its format does, and returns FALSE with the error
 * in bytes->error: BAD_INPUT  broken or cut off, where
 */

#include "core/ingest/image/bytes.h"

typedef gboolean (*LakeImageCheck)(LakeImageBytes *bytes);

gboolean lake_image_bmp_check(LakeImageBytes *bytes);  /* Windows and OS/2 */
gboolean lake_image_gif_check(LakeImageBytes *bytes);  /* 87a, 89a */
gboolean lake_image_jpeg_check(LakeImageBytes *bytes); /* ITU-T T.81, all of its processes */
gboolean lake_image_png_check(LakeImageBytes *bytes);  /* and APNG */
gboolean lake_image_webp_check(LakeImageBytes *bytes); /* VP8, VP8L, VP8X */
