/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/pending.h"
#include "core/pg_deeplake/bm25/top.h"

#include <miscadmin.h>
#include <utils/memutils.h>

/* Where a caller cannot know how many it wants. */
#define WANTED_FIRST 256

/* The rows whose text is NULL: of the segments, then those that are pending. */
typedef struct {
    uint32 segment, at;
    Size n_pending; /* given */
} Nulls;

struct DeeplakeBm25Scan {
    MemoryContext context;
    DeeplakeBm25Corpus *corpus;
    DeeplakeBm25Top top; /* of the last pass, best first */
    Size next;
    Size n_wanted_max;
    bool is_started, is_last;
    Nulls nulls;
};

/* --- the heap --- */

static void
sift_up(DeeplakeBm25Top *top)
{
    Size at = top->n++;

    while (at > 0) {
        Size parent = (at - 1) / 2;
        DeeplakeBm25Hit swapped = top->hits[parent];

        if (!deeplake_bm25_is_before(&swapped, &top->hits[at]))
            break;
        top->hits[parent] = top->hits[at];
        top->hits[at] = swapped;
        at = parent;
    }
}

static void
sift_down(DeeplakeBm25Top *top)
{
    DeeplakeBm25Hit moved = top->hits[0];
    Size at = 0;

    for (Size child = 1; child < top->n; child = at * 2 + 1) {
        if (child + 1 < top->n &&
            deeplake_bm25_is_before(&top->hits[child], &top->hits[child + 1]))
            child++;
        if (!deeplake_bm25_is_before(&moved, &top->hits[child]))
            break;
        top->hits[at] = top->hits[child];
        at = child;
    }
    top->hits[at] = moved;
}

void
deeplake_bm25_top_offer(DeeplakeBm25Top *top, const DeeplakeBm25Hit *hit)
{
    if (top->has_floor && !deeplake_bm25_is_before(&top->floor, hit))
        return;
    if (top->n < top->n_wanted) {
        top->hits[top->n] = *hit;
        sift_up(top);
    } else if (deeplake_bm25_is_before(hit, &top->hits[0])) {
        top->hits[0] = *hit;
        sift_down(top);
    } else {
        return;
    }
    if (top->n == top->n_wanted)
        top->barrier = top->hits[0].score * (1.0 - 1e-6);
}

static int
compare_hits(const void *a, const void *b)
{
    return deeplake_bm25_is_before(a, b) ? -1 : 1;
}

/* --- a pass --- */

static void
offer_pending(DeeplakeBm25Scan *scan)
{
    for (Size i = 0; i < scan->corpus->n_matches; i++) {
        const DeeplakeBm25Match *match = &scan->corpus->matches[i];
        DeeplakeBm25Hit hit;

        if (match->is_dead)
            continue;
        hit.tid = match->tid;
        hit.score = deeplake_bm25_query_score(&scan->corpus->query,
            scan->corpus->counts + match->first_count, match->n_counts, match->length);
        deeplake_bm25_top_offer(&scan->top, &hit);
    }
}

/* The largest first: what it has leaves little to look for in the others. */
static void
offer_segments(DeeplakeBm25Scan *scan)
{
    const DeeplakeBm25Meta *meta = &scan->corpus->meta;
    bool is_done[DEEPLAKE_BM25_MAX_SEGMENTS] = {false};

    for (uint32 n = 0; n < meta->n_segments; n++) {
        uint32 largest = meta->n_segments;

        for (uint32 i = 0; i < meta->n_segments; i++) {
            if (!is_done[i] &&
                (largest == meta->n_segments ||
                    meta->segments[i].n_documents > meta->segments[largest].n_documents))
                largest = i;
        }
        is_done[largest] = true;
        deeplake_bm25_match_segment(scan->corpus, largest, &scan->top);
    }
}

/* Finds what comes after the last one that was given. */
static void
pass(DeeplakeBm25Scan *scan)
{
    DeeplakeBm25Top *top = &scan->top;
    MemoryContext previous = MemoryContextSwitchTo(scan->context);

    if (scan->is_started) {
        top->has_floor = top->n > 0;
        if (top->n > 0)
            top->floor = top->hits[top->n - 1];
        top->n_wanted = Min(top->n_wanted * 2, scan->n_wanted_max);
        pfree(top->hits);
    }
    scan->is_started = true;
    top->hits = palloc_extended(top->n_wanted * sizeof(*top->hits), MCXT_ALLOC_HUGE);
    top->n = 0;
    top->barrier = -1;
    offer_pending(scan);
    offer_segments(scan);
    qsort(top->hits, top->n, sizeof(*top->hits), compare_hits);
    scan->is_last = top->n < top->n_wanted;
    scan->next = 0;
    MemoryContextSwitchTo(previous);
}

/* --- what others call --- */

DeeplakeBm25Scan *
deeplake_bm25_scan_begin(Relation index, const char *query, int query_size, int64 n_wanted)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 scan", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    DeeplakeBm25Scan *scan = palloc0(sizeof(*scan));

    scan->context = context;
    scan->n_wanted_max = Max((Size)work_mem * 1024 / sizeof(DeeplakeBm25Hit), WANTED_FIRST);
    scan->top.n_wanted = n_wanted > 0 ? (Size)n_wanted : WANTED_FIRST;
    scan->top.n_wanted = Min(scan->top.n_wanted, scan->n_wanted_max);
    scan->corpus = deeplake_bm25_corpus(index, query, query_size);
    MemoryContextSwitchTo(previous);
    return scan;
}

bool
deeplake_bm25_scan_next(DeeplakeBm25Scan *scan, ItemPointer ret_tid, float4 *ret_score)
{
    const DeeplakeBm25Hit *hit;

    if (!scan->is_started || (scan->next == scan->top.n && !scan->is_last))
        pass(scan);
    if (scan->next == scan->top.n)
        return false;
    hit = &scan->top.hits[scan->next++];
    *ret_tid = hit->tid;
    *ret_score = hit->score;
    return true;
}

static bool
next_null_of_segments(DeeplakeBm25Scan *scan, ItemPointer ret_tid)
{
    Nulls *nulls = &scan->nulls;

    for (; nulls->segment < scan->corpus->meta.n_segments; nulls->segment++) {
        DeeplakeBm25Reader *reader = scan->corpus->readers[nulls->segment];

        while (nulls->at < reader->segment.n_nulls) {
            uint32 at = nulls->at++;
            DeeplakeBm25Pin pin = {0};

            deeplake_bm25_reader_copy(reader, &pin, DEEPLAKE_BM25_NULLS,
                at / DEEPLAKE_BM25_TIDS_PER_PAGE,
                at % DEEPLAKE_BM25_TIDS_PER_PAGE * sizeof(*ret_tid), sizeof(*ret_tid), ret_tid);
            /* The next call may be long after this one. */
            deeplake_bm25_pin_release(&pin);
            if (ItemPointerIsValid(ret_tid))
                return true;
        }
        nulls->at = 0;
    }
    return false;
}

bool
deeplake_bm25_scan_next_null(DeeplakeBm25Scan *scan, ItemPointer ret_tid)
{
    if (next_null_of_segments(scan, ret_tid))
        return true;
    if (scan->nulls.n_pending == scan->corpus->n_nulls)
        return false;
    *ret_tid = scan->corpus->nulls[scan->nulls.n_pending++];
    return true;
}

void
deeplake_bm25_scan_end(DeeplakeBm25Scan *scan)
{
    MemoryContextDelete(scan->context);
}
