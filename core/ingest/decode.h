/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/decode.h: a text file of any of its encodings as a stream of UTF-8.
 *
 * UTF-8 (with or without a byte order mark), UTF-16 and UTF-32 by their byte order mark, else
 * Windows-1252. One thread at a time; memory is bounded by the caller's buffer.
 */

#include "core/spool.h"

typedef struct LakeTextDecoder LakeTextDecoder;

/* Finds the encoding, reading all of content once (UTF-8 is only known by its end).
 * Content is borrowed. BAD_INPUT (class INGEST): a NUL character, or broken UTF-16/32; the
 * message has the byte offset. */
LakeTextDecoder *
lake_text_decoder_open(LakeSpool *content, GCancellable *cancellable, GError **error);
void lake_text_decoder_free(LakeTextDecoder *decoder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeTextDecoder, lake_text_decoder_free)

/* "UTF-8", "UTF-8 with BOM", "UTF-16LE" …, "windows-1252". */
const char *lake_text_decoder_encoding(LakeTextDecoder *decoder);

/* Number of characters in all, known from open. */
gint64 lake_text_decoder_n_characters(LakeTextDecoder *decoder);

/* Appends the next characters, whole ones, about 64 KiB of them, to into. Appends nothing at
 * the end. The byte order mark is not part of the text. */
gboolean lake_text_decoder_read(
    LakeTextDecoder *decoder, GString *into, GCancellable *cancellable, GError **error);
