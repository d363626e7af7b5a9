/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/query.h: a query's terms, what an index holds of each, and the score.
 *
 * A corpus is the index as it was at one moment: a copy of the metapage, the query's entries in
 * each segment's dictionary, and the pending rows that match or are NULL. Everything lies in
 * the memory context in which it was made. No page stays pinned.
 */

#include "core/pg_deeplake/bm25/reader.h"
#include "core/pg_deeplake/bm25/tokenize.h"

typedef struct {
    const char *token;
    int size;
    uint32 hash;
    uint32 n; /* times in the query */
    uint64 df;
    double weight; /* n · idf · (k1 + 1) */
} DeeplakeBm25QueryTerm;

/* Terms are in the order in which they first stand in the query. */
typedef struct {
    DeeplakeBm25QueryTerm *terms;
    int n_terms, n_allocated;
    int *slots; /* by hash, then the next free; -1: none */
    int n_slots;
    uint64 filter;      /* which tokens can be among them */
    double base, slope; /* k1·(1 − b) and k1·b / avgdl */
    double k1, b;
    DeeplakeBm25Tokenizer *tokenizer;
} DeeplakeBm25Query;

/* How often a document has one of the query's terms. */
typedef struct {
    uint32 term, tf;
} DeeplakeBm25Count;

/* A pending document with at least one term. */
typedef struct {
    ItemPointerData tid;
    bool is_dead;
    uint32 length, n_counts;
    Size first_count;
} DeeplakeBm25Match;

typedef struct {
    Relation index;
    DeeplakeBm25Meta meta;
    DeeplakeBm25Query query;
    uint64 n_documents, n_tokens;
    DeeplakeBm25Reader **readers; /* one per segment */
    DeeplakeBm25Entry *entries;   /* segment · n_terms + term; df = 0 where there is none */
    DeeplakeBm25Match *matches;
    Size n_matches, n_matches_allocated;
    DeeplakeBm25Count *counts; /* of all matches */
    Size n_counts, n_counts_allocated;
    ItemPointerData *nulls; /* of pending rows whose text is NULL */
    Size n_nulls, n_nulls_allocated;
} DeeplakeBm25Corpus;

DeeplakeBm25Corpus *deeplake_bm25_corpus(Relation index, const char *query, int query_size);

/* Which term a token is; -1: none of them. */
int deeplake_bm25_query_find(const DeeplakeBm25Query *query, const char *token, int size);

/* What a term gives a document that has it tf times. Rounding depends on how it is compiled, so
 * whatever ends in a score that somebody sees goes through deeplake_bm25_query_score. */
static inline double
deeplake_bm25_contribution(
    const DeeplakeBm25Query *query, double weight, double tf, double length)
{
    return weight * tf / (tf + query->base + query->slope * length);
}

/* The score: the one place where it is computed. counts are by ascending term. */
float4 deeplake_bm25_query_score(const DeeplakeBm25Query *query,
    const DeeplakeBm25Count *counts, uint32 n_counts, uint32 length);
