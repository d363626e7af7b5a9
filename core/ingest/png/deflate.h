/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/png/deflate.h: bytes become DEFLATE blocks (RFC 1951), made for the rows of
 * pages.
 *
 * What a page has most of is runs of one colour. General libraries take 2 ns for each byte of
 * them, or give up ratio everywhere; here a run is recognised first, whole, and only what lies
 * between runs is searched for. One thread at a time.
 */

#include <glib.h>

typedef struct LakeDeflate LakeDeflate;

/* Blocks are appended to output, which is borrowed and may be emptied between calls. */
LakeDeflate *lake_deflate_new(GByteArray *output);
void lake_deflate_free(LakeDeflate *deflate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeDeflate, lake_deflate_free)

/* Room for n_bytes, at most LAKE_DEFLATE_RESERVE_MAX_BYTES, that follow what was added so far.
 * The caller fills it, and then adds them. */
#define LAKE_DEFLATE_RESERVE_MAX_BYTES (4 * 1024 * 1024)
guint8 *lake_deflate_reserve(LakeDeflate *deflate, gsize n_bytes);
void lake_deflate_add(LakeDeflate *deflate, gsize n_bytes);
/* Ends the last block. Nothing can be added afterwards. */
void lake_deflate_finish(LakeDeflate *deflate);
