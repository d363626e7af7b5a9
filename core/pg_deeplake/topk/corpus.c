/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk/corpus.h"

#include "core/pg_deeplake/bm25.h"

#include <math.h>

#define TOKENIZER "unicode"

typedef struct {
    char *token;
    int size;
    int n_in_query;
    int64 n_documents; /* that have it */
    int64 n_here;      /* times in the document at hand */
} CorpusTerm;

struct DeeplakeCorpus {
    CorpusTerm *terms; /* in the query's order */
    int n_terms, n_allocated;
    int *by_token; /* the terms' numbers, sorted by token */
    int64 n_documents, n_tokens;
    int64 length; /* of the document at hand */
};

static int
compare_tokens(const char *left, int left_size, const char *right, int right_size)
{
    int order = memcmp(left, right, Min(left_size, right_size));
    return order != 0 ? order : left_size - right_size;
}

/* Where a token is among the sorted, or belongs. */
static bool
find_term(const DeeplakeCorpus *corpus, const char *token, int size, int *ret_at)
{
    int low = 0, high = corpus->n_terms;

    while (low < high) {
        int middle = (low + high) / 2;
        const CorpusTerm *term = &corpus->terms[corpus->by_token[middle]];
        int order = compare_tokens(term->token, term->size, token, size);
        if (order == 0) {
            *ret_at = corpus->by_token[middle];
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_at = low;
    return false;
}

static void
add_query_token(const char *token, int size, void *data)
{
    DeeplakeCorpus *corpus = data;
    int at;

    if (find_term(corpus, token, size, &at)) {
        corpus->terms[at].n_in_query++;
        return;
    }
    if (corpus->n_terms == corpus->n_allocated) {
        corpus->n_allocated *= 2;
        corpus->terms = repalloc(corpus->terms, sizeof(CorpusTerm) * corpus->n_allocated);
        corpus->by_token = repalloc(corpus->by_token, sizeof(int) * corpus->n_allocated);
    }
    memmove(
        &corpus->by_token[at + 1], &corpus->by_token[at], sizeof(int) * (corpus->n_terms - at));
    corpus->by_token[at] = corpus->n_terms;
    corpus->terms[corpus->n_terms++] =
        (CorpusTerm){.token = pnstrdup(token, size), .size = size, .n_in_query = 1};
}

DeeplakeCorpus *
deeplake_corpus_new(const char *query, int query_size)
{
    DeeplakeCorpus *corpus = palloc0(sizeof(*corpus));

    corpus->n_allocated = 8;
    corpus->terms = palloc(sizeof(CorpusTerm) * corpus->n_allocated);
    corpus->by_token = palloc(sizeof(int) * corpus->n_allocated);
    deeplake_bm25_tokenize(TOKENIZER, query, query_size, add_query_token, corpus);
    return corpus;
}

static void
add_document_token(const char *token, int size, void *data)
{
    DeeplakeCorpus *corpus = data;
    int at;

    corpus->length++;
    if (find_term(corpus, token, size, &at))
        corpus->terms[at].n_here++;
}

static void
read_document(DeeplakeCorpus *corpus, const char *document, int document_size)
{
    corpus->length = 0;
    for (int i = 0; i < corpus->n_terms; i++)
        corpus->terms[i].n_here = 0;
    deeplake_bm25_tokenize(TOKENIZER, document, document_size, add_document_token, corpus);
}

void
deeplake_corpus_count(DeeplakeCorpus *corpus, const char *document, int document_size)
{
    read_document(corpus, document, document_size);
    corpus->n_documents++;
    corpus->n_tokens += corpus->length;
    for (int i = 0; i < corpus->n_terms; i++)
        if (corpus->terms[i].n_here > 0)
            corpus->terms[i].n_documents++;
}

float4
deeplake_corpus_score(DeeplakeCorpus *corpus, const char *document, int document_size)
{
    float8 score = 0;

    read_document(corpus, document, document_size);
    float8 mean = corpus->n_documents > 0 && corpus->n_tokens > 0
                      ? (float8)corpus->n_tokens / (float8)corpus->n_documents
                      : 1;
    float8 base = DEEPLAKE_BM25_K1 *
                  (1 - DEEPLAKE_BM25_B + DEEPLAKE_BM25_B * (float8)corpus->length / mean);
    for (int i = 0; i < corpus->n_terms; i++) {
        const CorpusTerm *term = &corpus->terms[i];
        if (term->n_here == 0)
            continue;
        float8 having = (float8)term->n_documents;
        float8 idf = log(((float8)corpus->n_documents - having + 0.5) / (having + 0.5));
        score += term->n_in_query * Max(DEEPLAKE_BM25_IDF_MIN, idf) * (float8)term->n_here *
                 (DEEPLAKE_BM25_K1 + 1) / ((float8)term->n_here + base);
    }
    return (float4)score;
}
