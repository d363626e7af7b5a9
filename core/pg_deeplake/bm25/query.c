/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/query.h"

#include "core/pg_deeplake/bm25/pending.h"

#include <common/hashfn.h>
#include <miscadmin.h>
#include <utils/memutils.h>

#include <math.h>

/* A chain becomes a segment after many inserts; that this happens again and again while a
 * query walks it is as good as impossible. */
#define ATTEMPTS 100

/* --- the terms --- */

static uint64
filter_bit(const char *token, int size)
{
    uint32 mixed = (unsigned char)token[0] * 31u + (unsigned char)token[size - 1] * 7u;

    return UINT64CONST(1) << ((mixed + (uint32)size) & 63);
}

static void
grow(DeeplakeBm25Query *query)
{
    query->n_allocated = query->n_allocated ? query->n_allocated * 2 : 8;
    query->terms = query->terms
                       ? repalloc_huge(query->terms, query->n_allocated * sizeof(*query->terms))
                       : palloc(query->n_allocated * sizeof(*query->terms));
    query->n_slots = query->n_allocated * 2;
    if (query->slots)
        pfree(query->slots);
    query->slots = palloc_extended(query->n_slots * sizeof(int), MCXT_ALLOC_HUGE);
    memset(query->slots, -1, query->n_slots * sizeof(int));
    for (int i = 0; i < query->n_terms; i++) {
        int at = (int)(query->terms[i].hash & (uint32)(query->n_slots - 1));

        while (query->slots[at] >= 0)
            at = (at + 1) & (query->n_slots - 1);
        query->slots[at] = i;
    }
}

static int
find_slot(const DeeplakeBm25Query *query, const char *token, int size, uint32 hash)
{
    int at = (int)(hash & (uint32)(query->n_slots - 1));

    for (; query->slots[at] >= 0; at = (at + 1) & (query->n_slots - 1)) {
        const DeeplakeBm25QueryTerm *term = &query->terms[query->slots[at]];

        if (term->hash == hash && term->size == size && memcmp(term->token, token, size) == 0)
            break;
    }
    return at;
}

static void
add_term(const char *token, int size, void *data)
{
    DeeplakeBm25Query *query = data;
    uint32 hash = hash_bytes((const unsigned char *)token, size);
    int at;

    if (query->n_terms == query->n_allocated)
        grow(query);
    at = find_slot(query, token, size, hash);
    if (query->slots[at] >= 0) {
        query->terms[query->slots[at]].n++;
        return;
    }
    query->slots[at] = query->n_terms;
    query->terms[query->n_terms++] = (DeeplakeBm25QueryTerm){
        .token = pnstrdup(token, size), .size = size, .hash = hash, .n = 1};
    query->filter |= filter_bit(token, size);
}

int
deeplake_bm25_query_find(const DeeplakeBm25Query *query, const char *token, int size)
{
    if (!(query->filter & filter_bit(token, size)))
        return -1;
    return query
        ->slots[find_slot(query, token, size, hash_bytes((const unsigned char *)token, size))];
}

/* --- the score --- */

/* Multiplied by k1 + 1, which every contribution has. */
static void
weigh(DeeplakeBm25Query *query, uint64 n_documents, uint64 n_tokens)
{
    double average =
        n_documents > 0 && n_tokens > 0 ? (double)n_tokens / (double)n_documents : 1.0;

    query->base = query->k1 * (1.0 - query->b);
    query->slope = query->k1 * query->b / average;
    for (int i = 0; i < query->n_terms; i++) {
        DeeplakeBm25QueryTerm *term = &query->terms[i];
        double with = (double)Min(term->df, n_documents);
        double idf = log(((double)n_documents - with + 0.5) / (with + 0.5));

        term->weight = term->n * Max(idf, DEEPLAKE_BM25_IDF_MIN) * (query->k1 + 1.0);
    }
}

float4
deeplake_bm25_query_score(const DeeplakeBm25Query *query, const DeeplakeBm25Count *counts,
    uint32 n_counts, uint32 length)
{
    double score = 0.0;

    for (uint32 i = 0; i < n_counts; i++)
        score += deeplake_bm25_contribution(
            query, query->terms[counts[i].term].weight, counts[i].tf, length);
    return (float4)score;
}

/* --- what the index has of them --- */

static void
look_up(DeeplakeBm25Corpus *corpus)
{
    const DeeplakeBm25Meta *meta = &corpus->meta;
    int n_terms = corpus->query.n_terms;

    corpus->readers = palloc(Max(meta->n_segments, 1) * sizeof(*corpus->readers));
    corpus->entries =
        palloc_extended(((Size)meta->n_segments * (Size)n_terms + 1) * sizeof(*corpus->entries),
            MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    for (uint32 i = 0; i < meta->n_segments; i++) {
        corpus->readers[i] = deeplake_bm25_reader_open(corpus->index, &meta->segments[i]);
        corpus->n_documents += meta->segments[i].n_documents;
        corpus->n_tokens += meta->segments[i].n_tokens;
        for (int k = 0; k < n_terms; k++) {
            DeeplakeBm25QueryTerm *term = &corpus->query.terms[k];
            DeeplakeBm25Entry *entry = &corpus->entries[(Size)i * (Size)n_terms + (Size)k];

            CHECK_FOR_INTERRUPTS();
            if (deeplake_bm25_reader_find(corpus->readers[i], term->token, term->size, entry))
                term->df += entry->df;
        }
    }
}

/* An array that has room for one more. */
static void *
with_room(void *array, Size n, Size *n_allocated, Size size)
{
    if (n < *n_allocated)
        return array;
    *n_allocated = Max(*n_allocated * 2, 64);
    return array ? repalloc_huge(array, *n_allocated * size) : palloc(*n_allocated * size);
}

static void
add_match(DeeplakeBm25Corpus *corpus, const DeeplakeBm25Record *record, bool is_dead)
{
    corpus->matches = with_room(corpus->matches, corpus->n_matches,
        &corpus->n_matches_allocated, sizeof(*corpus->matches));
    corpus->matches[corpus->n_matches++] = (DeeplakeBm25Match){
        .tid = record->tid,
        .is_dead = is_dead,
        .length = record->length,
        .first_count = corpus->n_counts,
    };
}

static void
add_count(DeeplakeBm25Corpus *corpus, int term, uint32 tf)
{
    corpus->counts = with_room(
        corpus->counts, corpus->n_counts, &corpus->n_counts_allocated, sizeof(*corpus->counts));
    corpus->counts[corpus->n_counts++] = (DeeplakeBm25Count){(uint32)term, tf};
    corpus->matches[corpus->n_matches - 1].n_counts++;
    corpus->query.terms[term].df++;
}

static void
add_null(DeeplakeBm25Corpus *corpus, const DeeplakeBm25Record *record)
{
    corpus->nulls = with_room(
        corpus->nulls, corpus->n_nulls, &corpus->n_nulls_allocated, sizeof(*corpus->nulls));
    corpus->nulls[corpus->n_nulls++] = record->tid;
}

static int
compare_counts(const void *a, const void *b)
{
    const DeeplakeBm25Count *left = a, *right = b;

    return left->term < right->term ? -1 : left->term > right->term;
}

/* Into the order that the score wants; a document lists them by its own words. */
static void
sort_counts(DeeplakeBm25Corpus *corpus)
{
    for (Size i = 0; i < corpus->n_matches; i++) {
        const DeeplakeBm25Match *match = &corpus->matches[i];

        if (match->n_counts > 1)
            qsort(corpus->counts + match->first_count, match->n_counts, sizeof(*corpus->counts),
                compare_counts);
    }
}

/* False: its pages have become something else's. */
static bool
match_chain(DeeplakeBm25Corpus *corpus, const DeeplakeBm25Chain *chain)
{
    DeeplakeBm25Walk *walk = palloc(sizeof(*walk));
    const DeeplakeBm25Record *record;
    bool has_match = false, is_gone;

    corpus->n_documents += chain->n_documents;
    corpus->n_tokens += chain->n_tokens;
    deeplake_bm25_walk_start(walk, corpus->index, chain);
    walk->may_be_gone = true;
    while ((record = deeplake_bm25_walk_next(walk))) {
        DeeplakeBm25RecordTerms terms;

        if ((record->flags & DEEPLAKE_BM25_RECORD_NULL) && !walk->is_dead)
            add_null(corpus, record);
        if (record->flags & DEEPLAKE_BM25_RECORD_FIRST)
            has_match = false;
        deeplake_bm25_record_terms_start(&terms, record);
        while (deeplake_bm25_record_terms_next(&terms)) {
            int i = deeplake_bm25_query_find(&corpus->query, terms.token, terms.size);

            if (i < 0)
                continue;
            if (!has_match)
                add_match(corpus, record, walk->is_dead);
            has_match = true;
            add_count(corpus, i, terms.tf);
        }
    }
    is_gone = walk->is_gone;
    pfree(walk);
    return !is_gone;
}

/* NULL: what was pending became a segment meanwhile. */
static DeeplakeBm25Corpus *
try_corpus(Relation index, const char *query, int query_size)
{
    DeeplakeBm25Corpus *corpus = palloc0(sizeof(*corpus));
    const DeeplakeIndexOptions *options = deeplake_index_options(index);

    corpus->index = index;
    deeplake_bm25_meta_read(index, &corpus->meta);
    corpus->query.k1 = options->k1;
    corpus->query.b = options->b;
    corpus->query.tokenizer = deeplake_bm25_tokenizer(corpus->meta.tokenizer);
    grow(&corpus->query);
    deeplake_bm25_tokenizer_run(
        corpus->query.tokenizer, query, query_size, add_term, &corpus->query);

    /* The chains first: they do not wait. */
    if (!match_chain(corpus, &corpus->meta.sealed) ||
        !match_chain(corpus, &corpus->meta.pending))
        return NULL;
    sort_counts(corpus);
    look_up(corpus);
    weigh(&corpus->query, corpus->n_documents, corpus->n_tokens);
    return corpus;
}

DeeplakeBm25Corpus *
deeplake_bm25_corpus(Relation index, const char *query, int query_size)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 corpus", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    DeeplakeBm25Corpus *corpus = NULL;

    for (int i = 0; i < ATTEMPTS && !corpus; i++) {
        MemoryContextReset(context);
        corpus = try_corpus(index, query, query_size);
    }
    MemoryContextSwitchTo(previous);
    if (!corpus)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                           errmsg("index \"%s\" lists pending documents that it does not have",
                               RelationGetRelationName(index)),
                           errhint("Run REINDEX.")));
    return corpus;
}

/* --- scores without a scan --- */

struct DeeplakeBm25Scorer {
    DeeplakeBm25Query query;
    uint32 length;
    DeeplakeBm25Count *counts; /* of the terms that the document at hand has */
    uint32 tfs[FLEXIBLE_ARRAY_MEMBER];
};

DeeplakeBm25Scorer *
deeplake_bm25_scorer(Relation index, const char *query, int query_size)
{
    MemoryContext previous, context;
    DeeplakeBm25Corpus *corpus;
    DeeplakeBm25Scorer *scorer;
    DeeplakeBm25Query *prepared;

    context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 scorer", ALLOCSET_DEFAULT_SIZES);
    previous = MemoryContextSwitchTo(context);
    corpus = deeplake_bm25_corpus(index, query, query_size);
    MemoryContextSwitchTo(previous);

    /* What the terms need outlives the rest of the corpus. */
    prepared = &corpus->query;
    scorer = palloc0(
        offsetof(DeeplakeBm25Scorer, tfs) + ((Size)prepared->n_terms + 1) * sizeof(uint32));
    scorer->counts = palloc_extended(
        ((Size)prepared->n_terms + 1) * sizeof(*scorer->counts), MCXT_ALLOC_HUGE);
    scorer->query = (DeeplakeBm25Query){.base = prepared->base, .slope = prepared->slope};
    grow(&scorer->query);
    for (int i = 0; i < prepared->n_terms; i++) {
        add_term(prepared->terms[i].token, prepared->terms[i].size, &scorer->query);
        scorer->query.terms[i].weight = prepared->terms[i].weight;
    }
    scorer->query.tokenizer = deeplake_bm25_tokenizer(corpus->meta.tokenizer);
    MemoryContextDelete(context);
    return scorer;
}

static void
count_token(const char *token, int size, void *data)
{
    DeeplakeBm25Scorer *scorer = data;
    int i = deeplake_bm25_query_find(&scorer->query, token, size);

    scorer->length++;
    if (i >= 0)
        scorer->tfs[i]++;
}

float4
deeplake_bm25_score(DeeplakeBm25Scorer *scorer, const char *document, int document_size)
{
    uint32 n_counts = 0;

    scorer->length = 0;
    memset(scorer->tfs, 0, (Size)scorer->query.n_terms * sizeof(uint32));
    deeplake_bm25_tokenizer_run(
        scorer->query.tokenizer, document, document_size, count_token, scorer);
    for (int i = 0; i < scorer->query.n_terms; i++)
        if (scorer->tfs[i] > 0)
            scorer->counts[n_counts++] = (DeeplakeBm25Count){(uint32)i, scorer->tfs[i]};
    return deeplake_bm25_query_score(&scorer->query, scorer->counts, n_counts, scorer->length);
}
