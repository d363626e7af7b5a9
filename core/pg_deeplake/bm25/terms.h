/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/terms.h: an inverted index in memory: what a build, a flush and an
 * insert collect tokens in.
 *
 * Documents come in ascending order, each whole before the next. Everything lies in one memory
 * context and is gone with it.
 */

#include "core/pg_deeplake/bm25.h"

typedef struct DeeplakeBm25Chunk DeeplakeBm25Chunk;

typedef struct {
    const char *token;
    uint32 hash;
    uint16 size;
    uint32 n_documents;
    uint32 document, tf; /* the last one, which is in no chunk yet */
    uint32 previous;     /* the last that is in one */
    uint32 n_bytes;      /* in all chunks */
    DeeplakeBm25Chunk *first, *last;
} DeeplakeBm25Term;

typedef struct DeeplakeBm25Terms DeeplakeBm25Terms;

DeeplakeBm25Terms *deeplake_bm25_terms_new(void);
void deeplake_bm25_terms_free(DeeplakeBm25Terms *terms);
void deeplake_bm25_terms_reset(DeeplakeBm25Terms *terms);
/* Counts a token of document count times. */
void deeplake_bm25_terms_add(
    DeeplakeBm25Terms *terms, uint32 document, const char *token, int size, uint32 count);
Size deeplake_bm25_terms_memory(const DeeplakeBm25Terms *terms);
uint32 deeplake_bm25_terms_count(const DeeplakeBm25Terms *terms);
/* In byte order of their tokens; owned by the caller. Nothing may be added after it. */
DeeplakeBm25Term **deeplake_bm25_terms_sort(DeeplakeBm25Terms *terms);

/* Walks the documents of one term. */
typedef struct {
    const DeeplakeBm25Term *term;
    const DeeplakeBm25Chunk *chunk;
    const char *at, *end;
    uint32 n_left;
    uint32 document;
} DeeplakeBm25TermReader;

void
deeplake_bm25_term_reader_start(DeeplakeBm25TermReader *reader, const DeeplakeBm25Term *term);
bool deeplake_bm25_term_reader_next(
    DeeplakeBm25TermReader *reader, uint32 *ret_document, uint32 *ret_tf);

/* Byte order, a prefix before what it begins. */
int deeplake_bm25_token_compare(const char *a, int a_size, const char *b, int b_size);
