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

/* A pending document with at least one term; followed by the tf of each. */
typedef struct {
    ItemPointerData tid;
    uint16 flags;
    uint32 length;
    uint32 tfs[FLEXIBLE_ARRAY_MEMBER];
} DeeplakeBm25Match;

typedef struct {
    Relation index;
    DeeplakeBm25Meta meta;
    DeeplakeBm25Query query;
    uint64 n_documents, n_tokens;
    DeeplakeBm25Reader **readers; /* one per segment */
    DeeplakeBm25Entry *entries;   /* segment · n_terms + term; df = 0 where there is none */
    char *matches;
    Size n_matches, n_matches_allocated, match_size;
    ItemPointerData *nulls; /* of pending rows whose text is NULL */
    Size n_nulls, n_nulls_allocated;
} DeeplakeBm25Corpus;

DeeplakeBm25Corpus *deeplake_bm25_corpus(Relation index, const char *query, int query_size);

static inline DeeplakeBm25Match *
deeplake_bm25_corpus_match(const DeeplakeBm25Corpus *corpus, Size i)
{
    return (DeeplakeBm25Match *)(corpus->matches + i * corpus->match_size);
}

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

/* The score: the one place where it is computed. tfs has one per term of the query. */
float4
deeplake_bm25_query_score(const DeeplakeBm25Query *query, const uint32 *tfs, uint32 length);
