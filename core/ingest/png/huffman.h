/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/png/huffman.h: prefix codes as DEFLATE wants them (RFC 1951, 3.2.2). Any thread.
 */

#include <glib.h>

#define LAKE_HUFFMAN_SYMBOLS_MAX 288
#define LAKE_HUFFMAN_BITS_MAX 15

typedef struct {
    guint16 bits[LAKE_HUFFMAN_SYMBOLS_MAX];  /* the code, first bit lowest */
    guint8 n_bits[LAKE_HUFFMAN_SYMBOLS_MAX]; /* 0: the symbol does not occur */
} LakeHuffman;

/* The shortest code for symbols that occur so often, none longer than max_bits. There are
 * always two codes at least, as some readers want it. */
void lake_huffman_build(
    LakeHuffman *ret_huffman, const guint32 *frequencies, guint n_symbols, guint max_bits);
