/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/terms.h"

#include "core/pg_deeplake/bm25/page.h"

#include <common/hashfn.h>
#include <miscadmin.h>
#include <utils/memutils.h>

/* A posting is two varints and lies within one chunk. */
#define POSTING_MAX 10
#define CHUNK_MIN 22
#define CHUNK_MAX 1000
#define SLAB_MIN 8000
#define SLAB_MAX (256 * 1024)

struct DeeplakeBm25Chunk {
    DeeplakeBm25Chunk *next;
    uint16 capacity, n_bytes;
    char bytes[FLEXIBLE_ARRAY_MEMBER];
};

struct DeeplakeBm25Terms {
    MemoryContext context;
    DeeplakeBm25Term **slots; /* a power of two of them, by hash, then the next free */
    uint32 n_slots, n_terms;
    char *slab;               /* many small pieces, without palloc's header for each */
    Size n_slab_left, n_slab; /* of the last one: left, in all */
    Size n_bytes;
};

static void *
take(DeeplakeBm25Terms *terms, Size size)
{
    void *piece;

    size = MAXALIGN(size);
    if (size > terms->n_slab_left) {
        terms->n_slab = Min(terms->n_slab * 2, SLAB_MAX);
        terms->slab = MemoryContextAlloc(terms->context, terms->n_slab);
        terms->n_slab_left = terms->n_slab;
        terms->n_bytes += terms->n_slab;
    }
    piece = terms->slab;
    terms->slab += size;
    terms->n_slab_left -= size;
    return piece;
}

static void
start(DeeplakeBm25Terms *terms)
{
    terms->n_slots = 512;
    terms->n_terms = 0;
    terms->slots =
        MemoryContextAllocZero(terms->context, terms->n_slots * sizeof(DeeplakeBm25Term *));
    terms->n_bytes = terms->n_slots * sizeof(DeeplakeBm25Term *);
    terms->n_slab_left = 0;
    terms->n_slab = SLAB_MIN / 2;
}

DeeplakeBm25Terms *
deeplake_bm25_terms_new(void)
{
    DeeplakeBm25Terms *terms = palloc0(sizeof(*terms));

    terms->context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 terms", ALLOCSET_DEFAULT_SIZES);
    start(terms);
    return terms;
}

void
deeplake_bm25_terms_free(DeeplakeBm25Terms *terms)
{
    MemoryContextDelete(terms->context);
    pfree(terms);
}

void
deeplake_bm25_terms_reset(DeeplakeBm25Terms *terms)
{
    MemoryContextReset(terms->context);
    start(terms);
}

Size
deeplake_bm25_terms_memory(const DeeplakeBm25Terms *terms)
{
    /* The array that sorting takes, too. */
    return terms->n_bytes + terms->n_terms * sizeof(DeeplakeBm25Term *);
}

uint32
deeplake_bm25_terms_count(const DeeplakeBm25Terms *terms)
{
    return terms->n_terms;
}

static void
grow(DeeplakeBm25Terms *terms)
{
    uint32 n_slots = terms->n_slots * 2;
    DeeplakeBm25Term **slots = MemoryContextAllocExtended(terms->context,
        n_slots * sizeof(DeeplakeBm25Term *), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

    for (uint32 i = 0; i < terms->n_slots; i++) {
        uint32 at;

        if (!terms->slots[i])
            continue;
        at = terms->slots[i]->hash & (n_slots - 1);
        while (slots[at])
            at = (at + 1) & (n_slots - 1);
        slots[at] = terms->slots[i];
    }
    pfree(terms->slots);
    terms->slots = slots;
    terms->n_bytes += (n_slots - terms->n_slots) * sizeof(DeeplakeBm25Term *);
    terms->n_slots = n_slots;
}

static DeeplakeBm25Term *
find_or_make(DeeplakeBm25Terms *terms, const char *token, int size)
{
    uint32 hash = hash_bytes((const unsigned char *)token, size);
    uint32 at = hash & (terms->n_slots - 1);
    DeeplakeBm25Term *term;
    char *copy;

    for (; terms->slots[at]; at = (at + 1) & (terms->n_slots - 1)) {
        term = terms->slots[at];
        if (term->hash == hash && term->size == size && memcmp(term->token, token, size) == 0)
            return term;
    }

    term = take(terms, sizeof(*term));
    memset(term, 0, sizeof(*term));
    copy = take(terms, size);
    memcpy(copy, token, size);
    term->token = copy;
    term->hash = hash;
    term->size = (uint16)size;
    terms->slots[at] = term;
    if (++terms->n_terms > terms->n_slots / 2)
        grow(terms);
    return term;
}

/* Puts the last document into a chunk. */
static void
settle(DeeplakeBm25Terms *terms, DeeplakeBm25Term *term)
{
    DeeplakeBm25Chunk *chunk = term->last;
    char *at, *end;

    if (!chunk || chunk->capacity - chunk->n_bytes < POSTING_MAX) {
        int capacity = chunk ? Min(chunk->capacity * 2, CHUNK_MAX) : CHUNK_MIN;

        chunk = take(terms, offsetof(DeeplakeBm25Chunk, bytes) + capacity);
        chunk->next = NULL;
        chunk->capacity = (uint16)capacity;
        chunk->n_bytes = 0;
        if (term->last)
            term->last->next = chunk;
        else
            term->first = chunk;
        term->last = chunk;
    }
    at = chunk->bytes + chunk->n_bytes;
    end = deeplake_bm25_put_varint(at, term->document - term->previous);
    end = deeplake_bm25_put_varint(end, term->tf);
    chunk->n_bytes += (uint16)(end - at);
    term->n_bytes += (uint32)(end - at);
    term->previous = term->document;
}

void
deeplake_bm25_terms_add(
    DeeplakeBm25Terms *terms, uint32 document, const char *token, int size, uint32 count)
{
    DeeplakeBm25Term *term = find_or_make(terms, token, size);

    if (term->n_documents > 0 && term->document == document) {
        term->tf += count;
        return;
    }
    Assert(term->n_documents == 0 || term->document < document);
    if (term->n_documents > 0)
        settle(terms, term);
    term->n_documents++;
    term->document = document;
    term->tf = count;
}

int
deeplake_bm25_token_compare(const char *a, int a_size, const char *b, int b_size)
{
    int order = memcmp(a, b, Min(a_size, b_size));

    return order != 0 ? order : a_size - b_size;
}

static int
compare_terms(const void *a, const void *b)
{
    const DeeplakeBm25Term *left = *(DeeplakeBm25Term *const *)a;
    const DeeplakeBm25Term *right = *(DeeplakeBm25Term *const *)b;

    return deeplake_bm25_token_compare(left->token, left->size, right->token, right->size);
}

DeeplakeBm25Term **
deeplake_bm25_terms_sort(DeeplakeBm25Terms *terms)
{
    DeeplakeBm25Term **sorted =
        palloc_extended(Max(terms->n_terms, 1) * sizeof(DeeplakeBm25Term *), MCXT_ALLOC_HUGE);
    uint32 n = 0;

    for (uint32 i = 0; i < terms->n_slots; i++) {
        if (terms->slots[i])
            sorted[n++] = terms->slots[i];
    }
    CHECK_FOR_INTERRUPTS();
    qsort(sorted, n, sizeof(*sorted), compare_terms);
    return sorted;
}

/* --- reading --- */

void
deeplake_bm25_term_reader_start(DeeplakeBm25TermReader *reader, const DeeplakeBm25Term *term)
{
    reader->term = term;
    reader->chunk = term->first;
    reader->at = term->first ? term->first->bytes : NULL;
    reader->end = term->first ? term->first->bytes + term->first->n_bytes : NULL;
    reader->n_left = term->n_documents;
    reader->document = 0;
}

bool
deeplake_bm25_term_reader_next(
    DeeplakeBm25TermReader *reader, uint32 *ret_document, uint32 *ret_tf)
{
    uint32 distance = 0;

    if (reader->n_left == 0)
        return false;
    if (--reader->n_left == 0) {
        *ret_document = reader->term->document;
        *ret_tf = reader->term->tf;
        return true;
    }
    if (reader->at == reader->end) {
        reader->chunk = reader->chunk->next;
        reader->at = reader->chunk->bytes;
        reader->end = reader->at + reader->chunk->n_bytes;
    }
    reader->at = deeplake_bm25_get_varint(reader->at, reader->end, &distance);
    reader->at = deeplake_bm25_get_varint(reader->at, reader->end, ret_tf);
    reader->document += distance;
    *ret_document = reader->document;
    return true;
}
