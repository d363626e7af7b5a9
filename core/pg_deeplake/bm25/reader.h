/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/reader.h: reads one segment.
 *
 * Bytes are copied out under a share lock and checked before they are believed. A pin keeps a
 * page at hand for the next read of the same one; no content lock is held between calls.
 */

#include "core/pg_deeplake/bm25/page.h"

typedef struct {
    Relation index;
    DeeplakeBm25Segment segment;
    BlockNumber *root;    /* of the map's pages */
    BlockNumber **leaves; /* read when first asked for */
} DeeplakeBm25Reader;

/* All zero: nothing is pinned. */
typedef struct {
    Buffer buffer;
    uint32 page; /* of the whole segment */
} DeeplakeBm25Pin;

DeeplakeBm25Reader *
deeplake_bm25_reader_open(Relation index, const DeeplakeBm25Segment *segment);
void deeplake_bm25_reader_close(DeeplakeBm25Reader *reader);
/* How many pages its map takes. */
uint32 deeplake_bm25_segment_n_maps(const DeeplakeBm25Segment *segment);
uint32
deeplake_bm25_segment_n_pages(const DeeplakeBm25Segment *segment, DeeplakeBm25Section section);

/* Raises ERRCODE_INDEX_CORRUPTED. */
void deeplake_bm25_reader_corrupted(DeeplakeBm25Reader *reader, const char *what)
    pg_attribute_noreturn();

BlockNumber deeplake_bm25_reader_block(
    DeeplakeBm25Reader *reader, DeeplakeBm25Section section, uint32 page);
/* Copies a part of a page. */
void deeplake_bm25_reader_copy(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin,
    DeeplakeBm25Section section, uint32 page, uint32 offset, uint32 n_bytes, void *ret_bytes);
/* Copies a whole page's payload; returns how many bytes that is. */
uint32 deeplake_bm25_reader_copy_page(
    DeeplakeBm25Reader *reader, DeeplakeBm25Section section, uint32 page, char *ret_payload);
void deeplake_bm25_pin_release(DeeplakeBm25Pin *pin);

void deeplake_bm25_reader_tid(
    DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin, uint32 document, ItemPointer ret_tid);
uint32
deeplake_bm25_reader_length(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin, uint32 document);
/* All alive bits: (n_documents + 7) / 8 bytes, owned by the caller. */
uint8 *deeplake_bm25_reader_alive(DeeplakeBm25Reader *reader);

static inline bool
deeplake_bm25_is_alive(const uint8 *bits, uint32 document)
{
    return (bits[document / 8] >> document % 8 & 1) != 0;
}

/* --- the dictionary --- */

typedef struct {
    uint32 df;
    uint32 document, tf;          /* df = 1 */
    uint32 page, offset, n_bytes; /* df <= 128 */
    uint32 first_skip;            /* df > 128 */
    uint16 max_tf, min_length;    /* as in DeeplakeBm25Skip, of the whole term */
} DeeplakeBm25Entry;

typedef struct {
    DeeplakeBm25Reader *reader;
    uint32 next_page;
    const char *at, *end;
    char token[DEEPLAKE_BM25_TOKEN_MAX];
    int size;
    DeeplakeBm25Entry entry;
    char payload[DEEPLAKE_BM25_PAYLOAD];
} DeeplakeBm25Dictionary;

void
deeplake_bm25_dictionary_start(DeeplakeBm25Dictionary *dictionary, DeeplakeBm25Reader *reader);
bool deeplake_bm25_dictionary_next(DeeplakeBm25Dictionary *dictionary);
bool deeplake_bm25_reader_find(
    DeeplakeBm25Reader *reader, const char *token, int size, DeeplakeBm25Entry *ret_entry);

/* --- postings --- */

uint32 deeplake_bm25_entry_n_blocks(const DeeplakeBm25Entry *entry);
/* The skip entries from the first-th block of a term; those of a term with one block are made
 * up. last_document is then the segment's last one, where df > 1. */
void deeplake_bm25_reader_skips(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin,
    const DeeplakeBm25Entry *entry, uint32 first, uint32 n, DeeplakeBm25Skip *ret_skips);
/* Decodes a block; both arrays have room for DEEPLAKE_BM25_BLOCK_DOCUMENTS. Returns how many.
 */
int deeplake_bm25_reader_postings(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin,
    const DeeplakeBm25Entry *entry, const DeeplakeBm25Skip *skip, uint32 *ret_documents,
    uint32 *ret_tfs);

/* Walks all postings of a term. */
typedef struct {
    DeeplakeBm25Reader *reader;
    DeeplakeBm25Entry entry;
    DeeplakeBm25Pin skip_pin, postings_pin;
    DeeplakeBm25Skip skip; /* of the block at work */
    uint32 next_block;
    int n, at;
    uint32 documents[DEEPLAKE_BM25_BLOCK_DOCUMENTS], tfs[DEEPLAKE_BM25_BLOCK_DOCUMENTS];
} DeeplakeBm25Postings;

void deeplake_bm25_postings_start(
    DeeplakeBm25Postings *postings, DeeplakeBm25Reader *reader, const DeeplakeBm25Entry *entry);
bool deeplake_bm25_postings_next(
    DeeplakeBm25Postings *postings, uint32 *ret_document, uint32 *ret_tf);
/* Lets its pins go; to be called after the last, too. */
void deeplake_bm25_postings_end(DeeplakeBm25Postings *postings);
