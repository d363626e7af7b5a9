/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/pending.h: the chains of documents that are in no segment yet. */

#include "core/pg_deeplake/bm25/page.h"
#include "core/pg_deeplake/bm25/terms.h"

/* From so many pages on, an insert turns the chain into a segment. A query reads the whole
 * chain, and every segment costs it some look-ups. */
#define DEEPLAKE_BM25_PENDING_PAGES 64

/* Appends a document that has exactly these terms; NULL: a row whose text is NULL. Returns how
 * many pages the chain has now. */
uint32 deeplake_bm25_pending_insert(
    Relation index, const ItemPointerData *tid, uint32 length, DeeplakeBm25Terms *terms);

/* Walks the records that a chain had when the metapage was read. Without the merge lock the
 * chain may have become a segment meanwhile, and its pages something else's: then the walk ends
 * early, where may_be_gone is set, and is_gone is set. */
typedef struct {
    Relation index;
    DeeplakeBm25Chain chain;
    bool may_be_gone, is_gone;
    bool is_dead; /* the document that the last record is of; its later parts may not say so */
    BlockNumber block, next; /* the page at work, and the one after */
    uint32 n_pages, n_left;  /* pages read; records to come */
    uint32 at, n_bytes;
    union {
        char payload[DEEPLAKE_BM25_PAYLOAD];
        uint64 aligned;
    };
} DeeplakeBm25Walk;

void deeplake_bm25_walk_start(
    DeeplakeBm25Walk *walk, Relation index, const DeeplakeBm25Chain *chain);
/* The next record, which lives until the call after; NULL: there are no more. */
const DeeplakeBm25Record *deeplake_bm25_walk_next(DeeplakeBm25Walk *walk);
/* The record at an offset of a page's payload; NULL: what is there makes no sense. */
DeeplakeBm25Record *deeplake_bm25_record_at(char *payload, uint32 n_bytes, uint32 offset);
/* How many bytes it takes in the page. */
uint32 deeplake_bm25_record_size(const DeeplakeBm25Record *record);

typedef struct {
    const char *at, *end;
    const char *token;
    int size;
    uint32 tf;
} DeeplakeBm25RecordTerms;

void deeplake_bm25_record_terms_start(
    DeeplakeBm25RecordTerms *terms, const DeeplakeBm25Record *record);
/* False also where what is left makes no sense: at is then not end. */
bool deeplake_bm25_record_terms_next(DeeplakeBm25RecordTerms *terms);
