/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/merge.h"

#include "core/pg_deeplake/bm25/collector.h"
#include "core/pg_deeplake/bm25/pending.h"
#include "core/pg_deeplake/bm25/reader.h"

#include <access/generic_xlog.h>
#include <miscadmin.h>
#include <port/pg_bitutils.h>
#include <utils/memutils.h>

#define LEVEL_0_DOCUMENTS 2048

uint32
deeplake_bm25_level(uint32 n_documents)
{
    uint32 level = 0;

    for (n_documents /= LEVEL_0_DOCUMENTS; n_documents > 0; n_documents /= DEEPLAKE_BM25_FANOUT)
        level++;
    return level;
}

/* --- the metapage --- */

/* Makes a place in the list of the retired, which is in order of ids. */
static void
put_oldest_together(DeeplakeBm25Meta *meta)
{
    DeeplakeBm25Retired *oldest = meta->retired;

    oldest[0].last = Max(oldest[0].last, oldest[1].last);
    oldest[0].xid = Max(oldest[0].xid, oldest[1].xid);
    oldest[0].root = InvalidBlockNumber;
    meta->n_retired--;
    memmove(oldest + 1, oldest + 2, (meta->n_retired - 1) * sizeof(*oldest));
}

static void
retire(DeeplakeBm25Meta *meta, uint32 id, BlockNumber root, uint64 xid)
{
    uint32 at = 0;

    if (meta->n_retired == DEEPLAKE_BM25_MAX_RETIRED)
        put_oldest_together(meta);
    while (at < meta->n_retired && meta->retired[at].first < id)
        at++;
    memmove(meta->retired + at + 1, meta->retired + at,
        (meta->n_retired - at) * sizeof(*meta->retired));
    meta->retired[at] =
        (DeeplakeBm25Retired){.first = id, .last = id, .root = root, .xid = xid};
    meta->n_retired++;
}

static bool
is_among(uint32 id, const uint32 *ids, uint32 n)
{
    for (uint32 i = 0; i < n; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

void
deeplake_bm25_replace(Relation index, const uint32 *old, uint32 n_old,
    const DeeplakeBm25Segment *segment, bool is_sealed_done)
{
    Buffer buffer = deeplake_bm25_meta_lock(index);
    GenericXLogState *state = GenericXLogStart(index);
    DeeplakeBm25Meta *meta = deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, buffer, 0));
    /* Under the lock: whoever read the metapage before has a snapshot that is not newer. */
    uint64 xid = U64FromFullTransactionId(ReadNextFullTransactionId());
    uint32 n_kept = 0;

    for (uint32 i = 0; i < meta->n_segments; i++) {
        DeeplakeBm25Segment *each = &meta->segments[i];

        if (is_among(each->id, old, n_old))
            retire(meta, each->id, each->map_root, xid);
        else
            meta->segments[n_kept++] = *each;
    }
    if (segment->id != 0) {
        Assert(n_kept < DEEPLAKE_BM25_MAX_SEGMENTS);
        meta->segments[n_kept++] = *segment;
    }
    meta->n_segments = n_kept;
    memset(meta->segments + n_kept, 0,
        (DEEPLAKE_BM25_MAX_SEGMENTS - n_kept) * sizeof(*meta->segments));
    if (is_sealed_done)
        memset(&meta->sealed, 0, sizeof(meta->sealed));
    meta->building = 0;
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
}

/* --- pending documents --- */

/* Lets a new chain begin. False: there is nothing to write. */
static bool
seal(Relation index, DeeplakeBm25Chain *ret_sealed)
{
    Buffer buffer = deeplake_bm25_meta_lock(index);
    const DeeplakeBm25Meta *now = deeplake_bm25_meta_of(BufferGetPage(buffer));

    /* One that is sealed already was left by somebody who was interrupted. */
    if (now->sealed.id == 0 && now->pending.id != 0) {
        GenericXLogState *state = GenericXLogStart(index);
        DeeplakeBm25Meta *meta =
            deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, buffer, 0));

        meta->sealed = meta->pending;
        memset(&meta->pending, 0, sizeof(meta->pending));
        GenericXLogFinish(state);
    }
    *ret_sealed = now->sealed;
    UnlockReleaseBuffer(buffer);
    return ret_sealed->id != 0;
}

/* ret_blocks: the pages of the chain. */
static void
collect(Relation index, const DeeplakeBm25Chain *chain, DeeplakeBm25Writer *writer,
    DeeplakeBm25Collector *collector, BlockNumber *ret_blocks)
{
    DeeplakeBm25Walk *walk = palloc(sizeof(*walk));
    const DeeplakeBm25Record *record;
    uint32 document = 0;

    deeplake_bm25_walk_start(walk, index, chain);
    while ((record = deeplake_bm25_walk_next(walk))) {
        DeeplakeBm25RecordTerms terms;

        ret_blocks[walk->n_pages - 1] = walk->block;
        if (walk->is_dead)
            continue;
        if (record->flags & DEEPLAKE_BM25_RECORD_NULL) {
            deeplake_bm25_writer_null(writer, &record->tid);
            continue;
        }
        if (record->flags & DEEPLAKE_BM25_RECORD_FIRST) {
            deeplake_bm25_collector_end_document(collector);
            document = deeplake_bm25_writer_document(writer, &record->tid, record->length);
        }
        deeplake_bm25_record_terms_start(&terms, record);
        while (deeplake_bm25_record_terms_next(&terms))
            deeplake_bm25_collector_add(collector, document, terms.token, terms.size, terms.tf);
    }
    pfree(walk);
}

static void
write_sealed(Relation index, const DeeplakeBm25Chain *sealed)
{
    DeeplakeBm25Writer *writer = deeplake_bm25_writer_begin(index);
    DeeplakeBm25Collector *collector = deeplake_bm25_collector_new();
    DeeplakeBm25Segment segment;
    BlockNumber *blocks =
        palloc_extended(Max(sealed->n_pages, 1) * sizeof(*blocks), MCXT_ALLOC_HUGE);

    collect(index, sealed, writer, collector, blocks);
    deeplake_bm25_collector_finish(collector, writer);
    deeplake_bm25_writer_finish(writer, &segment);
    segment.level = deeplake_bm25_level(segment.n_documents);
    deeplake_bm25_replace(index, NULL, 0, &segment, true);
    deeplake_bm25_free(index, blocks, sealed->n_pages);
}

/* --- merging segments --- */

typedef struct {
    DeeplakeBm25Source source;
    DeeplakeBm25Reader *reader;
    DeeplakeBm25Dictionary dictionary;
    DeeplakeBm25Postings postings;
    bool has_postings;
    uint32 base; /* the number of its first living document in the new segment */
    uint8 *alive;
    uint32 *n_before; /* living documents before each 256th */
} SegmentSource;

#define RANK_STEP 256

/* The new number of a living document. */
static uint32
rank(const SegmentSource *source, uint32 document)
{
    uint32 start = document / RANK_STEP;
    uint32 at = start * (RANK_STEP / 8);
    uint32 n = source->base + source->n_before[start];

    n += (uint32)pg_popcount((const char *)source->alive + at, (int)(document / 8 - at));
    return n +
           (uint32)pg_number_of_ones[source->alive[document / 8] & ((1 << document % 8) - 1)];
}

static bool
segment_next_term(DeeplakeBm25Source *source)
{
    SegmentSource *segment = (SegmentSource *)source;

    if (segment->has_postings)
        deeplake_bm25_postings_end(&segment->postings);
    segment->has_postings = deeplake_bm25_dictionary_next(&segment->dictionary);
    if (!segment->has_postings)
        return false;
    source->token = segment->dictionary.token;
    source->size = segment->dictionary.size;
    deeplake_bm25_postings_start(
        &segment->postings, segment->reader, &segment->dictionary.entry);
    return true;
}

static bool
segment_next_posting(DeeplakeBm25Source *source, uint32 *ret_document, uint32 *ret_tf)
{
    SegmentSource *segment = (SegmentSource *)source;
    uint32 document;

    while (deeplake_bm25_postings_next(&segment->postings, &document, ret_tf)) {
        if (!deeplake_bm25_is_alive(segment->alive, document))
            continue;
        *ret_document = rank(segment, document);
        return true;
    }
    return false;
}

static void
copy_documents(SegmentSource *source, DeeplakeBm25Writer *writer)
{
    DeeplakeBm25Reader *reader = source->reader;
    DeeplakeBm25Pin tid_pin = {0}, length_pin = {0};
    uint32 n = 0;

    for (uint32 i = 0; i < reader->segment.n_documents; i++) {
        ItemPointerData tid;

        if (i % RANK_STEP == 0)
            source->n_before[i / RANK_STEP] = n;
        if (!deeplake_bm25_is_alive(source->alive, i))
            continue;
        deeplake_bm25_reader_tid(reader, &tid_pin, i, &tid);
        deeplake_bm25_writer_document(
            writer, &tid, deeplake_bm25_reader_length(reader, &length_pin, i));
        n++;
    }
    deeplake_bm25_pin_release(&tid_pin);
    deeplake_bm25_pin_release(&length_pin);
}

static void
copy_nulls(SegmentSource *source, DeeplakeBm25Writer *writer)
{
    DeeplakeBm25Reader *reader = source->reader;
    DeeplakeBm25Pin pin = {0};

    for (uint32 i = 0; i < reader->segment.n_nulls; i++) {
        ItemPointerData tid;

        deeplake_bm25_reader_copy(reader, &pin, DEEPLAKE_BM25_NULLS,
            i / DEEPLAKE_BM25_TIDS_PER_PAGE, i % DEEPLAKE_BM25_TIDS_PER_PAGE * sizeof(tid),
            sizeof(tid), &tid);
        if (ItemPointerIsValid(&tid))
            deeplake_bm25_writer_null(writer, &tid);
    }
    deeplake_bm25_pin_release(&pin);
}

static SegmentSource *
open_source(
    Relation index, const DeeplakeBm25Segment *segment, uint32 base, DeeplakeBm25Writer *writer)
{
    SegmentSource *source = palloc0(sizeof(*source));

    source->source.next_term = segment_next_term;
    source->source.next_posting = segment_next_posting;
    source->reader = deeplake_bm25_reader_open(index, segment);
    source->base = base;
    source->alive = deeplake_bm25_reader_alive(source->reader);
    source->n_before = palloc_extended(
        ((Size)segment->n_documents / RANK_STEP + 1) * sizeof(uint32), MCXT_ALLOC_HUGE);
    deeplake_bm25_dictionary_start(&source->dictionary, source->reader);
    copy_documents(source, writer);
    copy_nulls(source, writer);
    return source;
}

static uint32
count_alive(const SegmentSource *source)
{
    Size n_bytes = ((Size)source->reader->segment.n_documents + 7) / 8;
    uint32 n = 0;

    for (Size at = 0; at < n_bytes; at++)
        n += pg_number_of_ones[source->alive[at]];
    return n;
}

/* Makes one segment of several. */
static void
merge(Relation index, const DeeplakeBm25Segment *segments, uint32 n_segments)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 merge", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    DeeplakeBm25Writer *writer = deeplake_bm25_writer_begin(index);
    DeeplakeBm25Source **sources = palloc(n_segments * sizeof(*sources));
    uint32 *old = palloc(n_segments * sizeof(*old));
    DeeplakeBm25Segment merged;
    uint32 base = 0, level = 0;

    for (uint32 i = 0; i < n_segments; i++) {
        SegmentSource *source = open_source(index, &segments[i], base, writer);

        sources[i] = &source->source;
        old[i] = segments[i].id;
        base += count_alive(source);
        level = Max(level, segments[i].level);
    }
    deeplake_bm25_write_sources(writer, sources, (int)n_segments);
    deeplake_bm25_writer_finish(writer, &merged);
    /* Upwards even where most was dead, so that merging the same ones again does not pay. */
    merged.level = Max(deeplake_bm25_level(merged.n_documents), n_segments > 1 ? level + 1 : 0);
    deeplake_bm25_replace(index, old, n_segments, &merged, false);
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(context);
}

/* Those of one level, in the order of the list. Returns how many. */
static uint32
choose_level(const DeeplakeBm25Meta *meta, uint32 level, DeeplakeBm25Segment *ret_chosen)
{
    uint32 n = 0;

    for (uint32 i = 0; i < meta->n_segments; i++) {
        if (meta->segments[i].level == level)
            ret_chosen[n++] = meta->segments[i];
    }
    return n;
}

void
deeplake_bm25_merge_levels(Relation index)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));
    DeeplakeBm25Segment *chosen = palloc(sizeof(meta->segments));

    for (uint32 level = 0; level < 32; level++) {
        uint32 n;

        deeplake_bm25_meta_read(index, meta);
        n = choose_level(meta, level, chosen);
        if (n >= DEEPLAKE_BM25_FANOUT)
            merge(index, chosen, n);
    }

    deeplake_bm25_meta_read(index, meta);
    if (meta->n_segments > DEEPLAKE_BM25_MAX_SEGMENTS * 3 / 4)
        merge(index, meta->segments + meta->n_segments / 2,
            meta->n_segments - meta->n_segments / 2);
    pfree(chosen);
    pfree(meta);
}

void
deeplake_bm25_flush(Relation index)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 flush", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    DeeplakeBm25Chain sealed;

    /* Twice where a sealed one was left: the second time for those that came since. */
    for (int i = 0; i < 2 && seal(index, &sealed); i++) {
        deeplake_bm25_merge_levels(index);
        write_sealed(index, &sealed);
    }
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(context);
}

void
deeplake_bm25_merge_all(Relation index)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));

    deeplake_bm25_flush(index);
    deeplake_bm25_meta_read(index, meta);
    if (meta->n_segments > 1 ||
        (meta->n_segments == 1 &&
            meta->segments[0].n_dead + meta->segments[0].n_dead_nulls > 0))
        merge(index, meta->segments, meta->n_segments);
    pfree(meta);
}

void
deeplake_bm25_merge_dead(Relation index)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));

    deeplake_bm25_meta_read(index, meta);
    for (uint32 i = 0; i < meta->n_segments; i++) {
        const DeeplakeBm25Segment *segment = &meta->segments[i];
        uint64 n_dead = (uint64)segment->n_dead + segment->n_dead_nulls;

        if (n_dead * 10 > (uint64)segment->n_documents + segment->n_nulls)
            merge(index, segment, 1);
    }
    pfree(meta);
}
