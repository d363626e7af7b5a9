/* SPDX-License-Identifier: Apache-2.0 */

/* The best of one segment, by block-max MaxScore.
 *
 * Documents are looked at in windows of as many as a page of lengths has. In each window every
 * term has a bound from the blocks that reach into it. Terms whose bounds together stay below
 * the barrier cannot bring a document in by themselves: only documents of the others are
 * candidates, and for those they are looked up, the greatest bound first, as long as it can
 * still be enough. Blocks that cannot be enough with all the rest are never unpacked.
 */

#include "core/pg_deeplake/bm25/top.h"

#include <miscadmin.h>
#include <port/pg_bitutils.h>
#include <utils/memutils.h>

#define WINDOW DEEPLAKE_BM25_LENGTHS_PER_PAGE
#define N_WORDS ((WINDOW + 63) / 64)
/* A whole block has 128 documents, so that at most so many reach into a window. */
#define BLOCKS_PER_WINDOW (WINDOW / DEEPLAKE_BM25_BLOCK_DOCUMENTS + 3)
#define SKIPS_AT_HAND 64
/* Pins are kept from block to block unless there would be very many. */
#define PINS_MAX 100

typedef struct {
    DeeplakeBm25Skip skip;
    uint32 number, first; /* the block; its documents are not before first */
    double bound;
    bool is_spread;
} WindowBlock;

typedef struct {
    const DeeplakeBm25Entry *entry;
    double weight;
    uint32 n_blocks;
    uint32 block, block_first; /* the first that is not before the window */

    DeeplakeBm25Skip skips[SKIPS_AT_HAND];
    uint32 first_skip, n_skips;

    WindowBlock blocks[BLOCKS_PER_WINDOW];
    int n_window, at_lookup;
    double bound;

    uint32 unpacked; /* the block that is */
    int n_unpacked;
    uint32 documents[DEEPLAKE_BM25_BLOCK_DOCUMENTS],
        unpacked_tfs[DEEPLAKE_BM25_BLOCK_DOCUMENTS];

    bool is_spread; /* what is of this window is at hand */
    uint32 *tfs;    /* by document less the window's first; none where there is one block */
    DeeplakeBm25Pin skip_pin, postings_pin;
} Cursor;

typedef struct {
    DeeplakeBm25Corpus *corpus;
    const DeeplakeBm25Query *query;
    DeeplakeBm25Reader *reader;
    DeeplakeBm25Top *top;
    Cursor **cursors; /* one per term of the query; NULL: not in this segment */
    Cursor **order;   /* those that are in the window, by ascending bound */
    double *sums;     /* of their bounds up to each */
    int n_order;
    bool keeps_pins;

    uint32 low, high; /* the window's documents */
    bool is_loaded;
    uint32 lengths[DEEPLAKE_BM25_PAYLOAD / 4];
    double scores[WINDOW];
    uint64 touched[N_WORDS];
    bool has_alive;
    uint8 alive[WINDOW / 8];
    DeeplakeBm25Count *exact; /* of one document */
    DeeplakeBm25Pin tid_pin, alive_pin;
} Match;

static double
bound(const Match *match, double weight, uint16 max_tf, uint16 min_length)
{
    double tf = max_tf == PG_UINT16_MAX ? (double)PG_UINT32_MAX : max_tf;

    return deeplake_bm25_contribution(match->query, weight, tf, min_length);
}

/* --- one term --- */

static const DeeplakeBm25Skip *
skip_of(Match *match, Cursor *cursor, uint32 number)
{
    if (number < cursor->first_skip || number >= cursor->first_skip + cursor->n_skips) {
        cursor->first_skip = number;
        cursor->n_skips = Min(SKIPS_AT_HAND, cursor->n_blocks - number);
        deeplake_bm25_reader_skips(match->reader, &cursor->skip_pin, cursor->entry, number,
            cursor->n_skips, cursor->skips);
        if (!match->keeps_pins)
            deeplake_bm25_pin_release(&cursor->skip_pin);
    }
    return &cursor->skips[number - cursor->first_skip];
}

static void
unpack(Match *match, Cursor *cursor, const DeeplakeBm25Skip *skip, uint32 number)
{
    if (cursor->n_unpacked > 0 && cursor->unpacked == number)
        return;
    cursor->n_unpacked = deeplake_bm25_reader_postings(match->reader, &cursor->postings_pin,
        cursor->entry, skip, cursor->documents, cursor->unpacked_tfs);
    cursor->unpacked = number;
    if (!match->keeps_pins)
        deeplake_bm25_pin_release(&cursor->postings_pin);
}

static Cursor *
open_cursor(Match *match, const DeeplakeBm25Entry *entry, double weight)
{
    Cursor *cursor = palloc0(sizeof(*cursor));

    cursor->entry = entry;
    cursor->weight = weight;
    cursor->n_blocks = deeplake_bm25_entry_n_blocks(entry);
    if (cursor->n_blocks == 1) {
        DeeplakeBm25Skip *skip = &cursor->skips[0];

        /* The dictionary does not say where a single block begins and ends. */
        skip_of(match, cursor, 0);
        unpack(match, cursor, skip, 0);
        skip->last_document = cursor->documents[cursor->n_unpacked - 1];
        cursor->block_first = cursor->documents[0];
    }
    return cursor;
}

/* Finds the blocks that reach into the window, and their bounds. */
static void
enter_window(Match *match, Cursor *cursor)
{
    uint32 first;

    cursor->n_window = cursor->at_lookup = 0;
    cursor->bound = 0;
    cursor->is_spread = false;
    while (cursor->block < cursor->n_blocks) {
        uint32 last = skip_of(match, cursor, cursor->block)->last_document;

        if (last >= match->low)
            break;
        cursor->block++;
        cursor->block_first = last + 1;
    }

    first = cursor->block_first;
    for (uint32 i = cursor->block; i < cursor->n_blocks && first < match->high; i++) {
        WindowBlock *block = &cursor->blocks[cursor->n_window];

        if (cursor->n_window == BLOCKS_PER_WINDOW)
            deeplake_bm25_reader_corrupted(match->reader, "blocks of postings overlap");
        block->skip = *skip_of(match, cursor, i);
        block->number = i;
        block->first = first;
        block->bound = bound(match, cursor->weight, block->skip.max_tf, block->skip.min_length);
        block->is_spread = false;
        cursor->bound = Max(cursor->bound, block->bound);
        cursor->n_window++;
        first = block->skip.last_document + 1;
    }
}

/* The position of the first unpacked document that is not before one. */
static int
find_unpacked(const Cursor *cursor, uint32 document)
{
    int low = 0;
    int high = cursor->n_unpacked;

    while (low < high) {
        int middle = (low + high) / 2;

        if (cursor->documents[middle] < document)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The tf of a document of the window, where that block is spread. A rare term has one block,
 * which stays unpacked, and is searched: a query may have very many of them. */
static uint32
spread_tf(const Match *match, const Cursor *cursor, uint32 at)
{
    uint32 document = match->low + at;
    int i;

    if (!cursor->is_spread)
        return 0;
    if (cursor->n_blocks > 1)
        return cursor->tfs[at];
    i = find_unpacked(cursor, document);
    return i < cursor->n_unpacked && cursor->documents[i] == document ? cursor->unpacked_tfs[i]
                                                                      : 0;
}

/* For a block that goes on after the window: exactly, where it is unpacked. */
static uint32
next_unpacked(const Match *match, const Cursor *cursor, const WindowBlock *block)
{
    int at;

    if (cursor->n_unpacked == 0 || cursor->unpacked != block->number)
        return match->high;
    at = find_unpacked(cursor, match->high);
    return at < cursor->n_unpacked ? cursor->documents[at] : match->high;
}

/* The first document that the term may have at the window's end or after. */
static uint32
next_document(const Match *match, const Cursor *cursor)
{
    if (cursor->n_window > 0) {
        const WindowBlock *last = &cursor->blocks[cursor->n_window - 1];

        if (last->skip.last_document >= match->high)
            return next_unpacked(match, cursor, last);
        return last->number + 1 < cursor->n_blocks ? last->skip.last_document + 1
                                                   : PG_UINT32_MAX;
    }
    return cursor->block < cursor->n_blocks ? Max(cursor->block_first, match->high)
                                            : PG_UINT32_MAX;
}

/* --- the window --- */

/* What is needed once a document of the window turns up. */
static void
load_window(Match *match)
{
    uint32 n;

    if (match->is_loaded)
        return;
    match->is_loaded = true;
    n = deeplake_bm25_reader_copy_page(
        match->reader, DEEPLAKE_BM25_LENGTHS, match->low / WINDOW, (char *)match->lengths);
    if (n != (match->high - match->low) * sizeof(uint32))
        deeplake_bm25_reader_corrupted(match->reader, "a page of lengths has another size");
    memset(match->scores, 0, sizeof(match->scores));
    memset(match->touched, 0, sizeof(match->touched));
}

/* Writes a block's tfs where they are found by document; adds to the scores where asked to. */
static void
spread(Match *match, Cursor *cursor, WindowBlock *block, bool is_essential)
{
    int i;

    unpack(match, cursor, &block->skip, block->number);
    block->is_spread = true;
    i = find_unpacked(cursor, match->low);
    if (i == cursor->n_unpacked || cursor->documents[i] >= match->high)
        return;

    load_window(match);
    if (cursor->n_blocks > 1 && !cursor->is_spread) {
        if (!cursor->tfs)
            cursor->tfs = palloc(WINDOW * sizeof(*cursor->tfs));
        memset(cursor->tfs, 0, WINDOW * sizeof(*cursor->tfs));
    }
    cursor->is_spread = true;
    for (; i < cursor->n_unpacked && cursor->documents[i] < match->high; i++) {
        uint32 at = cursor->documents[i] - match->low;

        if (at >= WINDOW)
            deeplake_bm25_reader_corrupted(match->reader, "postings are out of order");
        if (cursor->tfs)
            cursor->tfs[at] = cursor->unpacked_tfs[i];
        if (!is_essential)
            continue;
        match->scores[at] += deeplake_bm25_contribution(
            match->query, cursor->weight, cursor->unpacked_tfs[i], match->lengths[at]);
        match->touched[at / 64] |= UINT64CONST(1) << at % 64;
    }
}

static int
compare_bounds(const void *a, const void *b)
{
    double left = (*(Cursor *const *)a)->bound, right = (*(Cursor *const *)b)->bound;

    return left < right ? -1 : left > right;
}

/* Orders the terms of the window. Returns what they can give together. */
static double
order_cursors(Match *match)
{
    double total = 0;

    match->n_order = 0;
    for (int i = 0; i < match->query->n_terms; i++) {
        Cursor *cursor = match->cursors[i];

        if (!cursor)
            continue;
        enter_window(match, cursor);
        if (cursor->n_window > 0)
            match->order[match->n_order++] = cursor;
    }
    qsort(match->order, match->n_order, sizeof(*match->order), compare_bounds);
    for (int i = 0; i < match->n_order; i++) {
        total += match->order[i]->bound;
        match->sums[i] = total;
    }
    return total;
}

/* --- candidates --- */

static bool
is_alive(Match *match, uint32 at)
{
    if (match->reader->segment.n_dead == 0)
        return true;
    if (!match->has_alive) {
        uint32 in_page = match->low % DEEPLAKE_BM25_ALIVE_PER_PAGE;

        deeplake_bm25_reader_copy(match->reader, &match->alive_pin, DEEPLAKE_BM25_ALIVE,
            match->low / DEEPLAKE_BM25_ALIVE_PER_PAGE, in_page / 8,
            (match->high - match->low + 7) / 8, match->alive);
        match->has_alive = true;
    }
    return deeplake_bm25_is_alive(match->alive, at);
}

/* A document that seems good enough: its real score. */
static void
offer(Match *match, uint32 at)
{
    DeeplakeBm25Hit hit;
    uint32 n_exact = 0;

    for (int i = 0; i < match->query->n_terms; i++) {
        const Cursor *cursor = match->cursors[i];

        uint32 tf = cursor ? spread_tf(match, cursor, at) : 0;

        if (tf > 0)
            match->exact[n_exact++] = (DeeplakeBm25Count){(uint32)i, tf};
    }
    hit.score =
        deeplake_bm25_query_score(match->query, match->exact, n_exact, match->lengths[at]);
    if (match->top->n == match->top->n_wanted && hit.score < match->top->hits[0].score)
        return;
    if (!is_alive(match, at))
        return;
    deeplake_bm25_reader_tid(match->reader, &match->tid_pin, match->low + at, &hit.tid);
    deeplake_bm25_top_offer(match->top, &hit);
}

/* The tf of a term that candidates are not taken from; candidates come in order. sum: what the
 * others can still give, with the score so far. */
static uint32
look_up(Match *match, Cursor *cursor, uint32 at, double sum)
{
    uint32 document = match->low + at;
    WindowBlock *block;

    while (cursor->at_lookup < cursor->n_window &&
           cursor->blocks[cursor->at_lookup].skip.last_document < document)
        cursor->at_lookup++;
    if (cursor->at_lookup == cursor->n_window)
        return 0;
    block = &cursor->blocks[cursor->at_lookup];
    if (block->first > document)
        return 0;
    if (!block->is_spread) {
        if (sum + block->bound < match->top->barrier)
            return 0;
        spread(match, cursor, block, false);
    }
    return spread_tf(match, cursor, at);
}

static void
consider(Match *match, uint32 at, int n_optional)
{
    double score = match->scores[at];

    for (int i = n_optional - 1; i >= 0; i--) {
        Cursor *cursor = match->order[i];
        double sum = score + (i > 0 ? match->sums[i - 1] : 0);
        uint32 tf;

        if (sum + cursor->bound < match->top->barrier)
            return;
        tf = look_up(match, cursor, at, sum);
        if (tf > 0)
            score += deeplake_bm25_contribution(
                match->query, cursor->weight, tf, match->lengths[at]);
    }
    if (score >= match->top->barrier)
        offer(match, at);
}

static void
match_window(Match *match)
{
    double total = order_cursors(match);
    int n_optional = 0;

    match->is_loaded = false;
    match->has_alive = false;
    if (total < match->top->barrier)
        return;
    while (n_optional < match->n_order && match->sums[n_optional] < match->top->barrier)
        n_optional++;

    for (int i = n_optional; i < match->n_order; i++) {
        Cursor *cursor = match->order[i];

        for (int k = 0; k < cursor->n_window; k++) {
            WindowBlock *block = &cursor->blocks[k];

            if (total - cursor->bound + block->bound >= match->top->barrier)
                spread(match, cursor, block, true);
        }
    }
    if (!match->is_loaded)
        return;

    for (int word = 0; word < N_WORDS; word++) {
        uint64 left = match->touched[word];

        for (; left; left &= left - 1)
            consider(match, (uint32)(word * 64 + pg_rightmost_one_pos64(left)), n_optional);
    }
}

/* --- the segment --- */

static void
match_windows(Match *match)
{
    uint32 n_documents = match->reader->segment.n_documents;
    uint32 next = 0;

    while (next < n_documents) {
        CHECK_FOR_INTERRUPTS();
        match->low = next / WINDOW * WINDOW;
        match->high = match->low + Min((uint32)WINDOW, n_documents - match->low);
        match_window(match);

        next = PG_UINT32_MAX;
        for (int i = 0; i < match->query->n_terms; i++) {
            if (match->cursors[i])
                next = Min(next, next_document(match, match->cursors[i]));
        }
    }
}

static void
release(Match *match)
{
    for (int i = 0; i < match->query->n_terms; i++) {
        if (!match->cursors[i])
            continue;
        deeplake_bm25_pin_release(&match->cursors[i]->skip_pin);
        deeplake_bm25_pin_release(&match->cursors[i]->postings_pin);
    }
    deeplake_bm25_pin_release(&match->tid_pin);
    deeplake_bm25_pin_release(&match->alive_pin);
}

void
deeplake_bm25_match_segment(DeeplakeBm25Corpus *corpus, uint32 segment, DeeplakeBm25Top *top)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 match", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    int n_terms = corpus->query.n_terms;
    Match *match = palloc0(sizeof(*match));

    match->corpus = corpus;
    match->query = &corpus->query;
    match->reader = corpus->readers[segment];
    match->top = top;
    match->cursors = palloc0(n_terms * sizeof(*match->cursors));
    match->order = palloc(n_terms * sizeof(*match->order));
    match->sums = palloc(n_terms * sizeof(*match->sums));
    match->exact = palloc(n_terms * sizeof(*match->exact));
    match->keeps_pins = n_terms <= PINS_MAX;
    for (int i = 0; i < n_terms; i++) {
        const DeeplakeBm25Entry *entry =
            &corpus->entries[(Size)segment * (Size)n_terms + (Size)i];

        if (entry->df > 0)
            match->cursors[i] = open_cursor(match, entry, corpus->query.terms[i].weight);
    }
    match_windows(match);
    release(match);
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(context);
}
