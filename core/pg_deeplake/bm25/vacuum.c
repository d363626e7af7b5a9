/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/vacuum.h"

#include "core/pg_deeplake/bm25/merge.h"
#include "core/pg_deeplake/bm25/pending.h"
#include "core/pg_deeplake/bm25/reader.h"

#include <access/generic_xlog.h>
#include <commands/vacuum.h>
#include <miscadmin.h>
#include <port/pg_bitutils.h>

#if PG_VERSION_NUM >= 180000
#define vacuum_delay_point() vacuum_delay_point(false)
#endif

typedef struct {
    Relation index;
    IndexBulkDeleteCallback callback;
    void *data;
    IndexBulkDeleteResult *statistics;
    DeeplakeBm25Reader *reader;
    char payload[DEEPLAKE_BM25_PAYLOAD];
} Vacuum;

static bool
is_dead(Vacuum *vacuum, const ItemPointerData *tid)
{
    if (vacuum->callback(unconstify(ItemPointerData *, tid), vacuum->data)) {
        vacuum->statistics->tuples_removed++;
        return true;
    }
    vacuum->statistics->num_index_tuples++;
    return false;
}

/* --- segments --- */

/* Writes a page whose payload is another than it was. */
static void
overwrite(Vacuum *vacuum, DeeplakeBm25Section section, uint32 number, uint32 n_bytes)
{
    Buffer buffer = deeplake_bm25_page_get(vacuum->index,
        deeplake_bm25_reader_block(vacuum->reader, section, number),
        (uint16)(DEEPLAKE_BM25_PAGE_SECTION + section), vacuum->reader->segment.id, number,
        BUFFER_LOCK_EXCLUSIVE);
    GenericXLogState *state = GenericXLogStart(vacuum->index);
    Page page = GenericXLogRegisterBuffer(state, buffer, 0);

    memcpy(deeplake_bm25_page_payload(page), vacuum->payload, n_bytes);
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
}

/* Clears the bits of what is dead among the documents that one page of bits is of. */
static void
vacuum_alive_page(Vacuum *vacuum, uint32 number)
{
    DeeplakeBm25Reader *reader = vacuum->reader;
    uint32 n_bytes =
        deeplake_bm25_reader_copy_page(reader, DEEPLAKE_BM25_ALIVE, number, vacuum->payload);
    uint32 first = number * DEEPLAKE_BM25_ALIVE_PER_PAGE;
    uint32 n = Min(reader->segment.n_documents - first, (uint32)DEEPLAKE_BM25_ALIVE_PER_PAGE);
    DeeplakeBm25Pin pin = {0};
    bool is_changed = false;

    for (uint32 i = 0; i < n; i++) {
        ItemPointerData tid;

        if (!deeplake_bm25_is_alive((const uint8 *)vacuum->payload, i))
            continue;
        if (i % 1024 == 0)
            vacuum_delay_point();
        deeplake_bm25_reader_tid(reader, &pin, first + i, &tid);
        if (!is_dead(vacuum, &tid))
            continue;
        vacuum->payload[i / 8] &= (char)~(1 << i % 8);
        is_changed = true;
    }
    deeplake_bm25_pin_release(&pin);
    if (is_changed)
        overwrite(vacuum, DEEPLAKE_BM25_ALIVE, number, n_bytes);
}

static void
vacuum_null_page(Vacuum *vacuum, uint32 number, uint32 *ret_n_dead)
{
    uint32 n_bytes = deeplake_bm25_reader_copy_page(
        vacuum->reader, DEEPLAKE_BM25_NULLS, number, vacuum->payload);
    ItemPointerData *tids = (ItemPointerData *)vacuum->payload;
    bool is_changed = false;

    vacuum_delay_point();
    for (uint32 i = 0; i < n_bytes / sizeof(*tids); i++) {
        if (ItemPointerIsValid(&tids[i])) {
            if (!is_dead(vacuum, &tids[i]))
                continue;
            ItemPointerSetInvalid(&tids[i]);
            is_changed = true;
        }
        (*ret_n_dead)++;
    }
    if (is_changed)
        overwrite(vacuum, DEEPLAKE_BM25_NULLS, number, n_bytes);
}

static void
set_dead(Relation index, uint32 id, uint32 n_dead, uint32 n_dead_nulls)
{
    Buffer buffer = deeplake_bm25_meta_lock(index);
    GenericXLogState *state = GenericXLogStart(index);
    DeeplakeBm25Meta *meta = deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, buffer, 0));

    for (uint32 i = 0; i < meta->n_segments; i++) {
        if (meta->segments[i].id == id) {
            meta->segments[i].n_dead = n_dead;
            meta->segments[i].n_dead_nulls = n_dead_nulls;
        }
    }
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
}

/* Readers look at the bits only where the metapage says that some are cleared. It says so
 * before VACUUM ends, and no TID is used anew before that. */
static void
vacuum_segment(Vacuum *vacuum, const DeeplakeBm25Segment *segment)
{
    uint32 n_dead = segment->n_documents, n_dead_nulls = 0;
    Size n_bytes = ((Size)segment->n_documents + 7) / 8;
    uint8 *alive;

    vacuum->reader = deeplake_bm25_reader_open(vacuum->index, segment);
    for (uint32 i = 0; i < deeplake_bm25_segment_n_pages(segment, DEEPLAKE_BM25_ALIVE); i++)
        vacuum_alive_page(vacuum, i);
    for (uint32 i = 0; i < deeplake_bm25_segment_n_pages(segment, DEEPLAKE_BM25_NULLS); i++)
        vacuum_null_page(vacuum, i, &n_dead_nulls);

    alive = deeplake_bm25_reader_alive(vacuum->reader);
    for (Size i = 0; i < n_bytes; i++)
        n_dead -= pg_number_of_ones[alive[i]];
    pfree(alive);
    deeplake_bm25_reader_close(vacuum->reader);
    if (n_dead != segment->n_dead || n_dead_nulls != segment->n_dead_nulls)
        set_dead(vacuum->index, segment->id, n_dead, n_dead_nulls);
}

/* --- pending documents --- */

/* Marks what is dead in one page. Returns the next. */
static BlockNumber
vacuum_chain_page(
    Vacuum *vacuum, uint32 owner, BlockNumber block, uint32 number, uint32 *ret_n_dead)
{
    Buffer buffer = deeplake_bm25_page_get(
        vacuum->index, block, DEEPLAKE_BM25_PAGE_PENDING, owner, number, BUFFER_LOCK_EXCLUSIVE);
    GenericXLogState *state = GenericXLogStart(vacuum->index);
    Page page = GenericXLogRegisterBuffer(state, buffer, 0);
    DeeplakeBm25PageHead *head = deeplake_bm25_page_head(page);
    BlockNumber next = head->next;
    bool is_changed = false;
    DeeplakeBm25Record *record;

    for (uint32 at = 0; at < head->n_bytes; at += deeplake_bm25_record_size(record)) {
        record = deeplake_bm25_record_at(deeplake_bm25_page_payload(page), head->n_bytes, at);
        if (!record)
            break;
        if (!(record->flags & DEEPLAKE_BM25_RECORD_FIRST)) {
            /* One more part of a document that was counted: all of its parts are dead. */
            if (!(record->flags & DEEPLAKE_BM25_RECORD_DEAD) &&
                vacuum->callback(&record->tid, vacuum->data)) {
                record->flags |= DEEPLAKE_BM25_RECORD_DEAD;
                is_changed = true;
            }
            continue;
        }
        if (!(record->flags & DEEPLAKE_BM25_RECORD_DEAD)) {
            if (!is_dead(vacuum, &record->tid))
                continue;
            record->flags |= DEEPLAKE_BM25_RECORD_DEAD;
            is_changed = true;
        }
        if (!(record->flags & DEEPLAKE_BM25_RECORD_NULL))
            (*ret_n_dead)++;
    }
    if (is_changed)
        GenericXLogFinish(state);
    else
        GenericXLogAbort(state);
    UnlockReleaseBuffer(buffer);
    return next;
}

static void
vacuum_chain(Vacuum *vacuum, const DeeplakeBm25Chain *chain)
{
    BlockNumber block = chain->head;
    uint32 n_dead = 0;
    Buffer buffer;
    GenericXLogState *state;
    DeeplakeBm25Meta *meta;

    if (chain->id == 0)
        return;
    for (uint32 number = 0; block != InvalidBlockNumber; number++) {
        vacuum_delay_point();
        block = vacuum_chain_page(vacuum, chain->id, block, number, &n_dead);
    }
    if (n_dead == chain->n_dead)
        return;

    buffer = deeplake_bm25_meta_lock(vacuum->index);
    state = GenericXLogStart(vacuum->index);
    meta = deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, buffer, 0));
    if (meta->pending.id == chain->id)
        meta->pending.n_dead = n_dead;
    if (meta->sealed.id == chain->id)
        meta->sealed.n_dead = n_dead;
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
}

/* --- what VACUUM calls --- */

IndexBulkDeleteResult *
deeplake_bm25_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics,
    IndexBulkDeleteCallback callback, void *data)
{
    Vacuum *vacuum = palloc0(sizeof(*vacuum));
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));

    if (!statistics)
        statistics = palloc0(sizeof(*statistics));
    statistics->num_index_tuples = 0;
    vacuum->index = info->index;
    vacuum->callback = callback;
    vacuum->data = data;
    vacuum->statistics = statistics;

    /* What a merge has read must not be taken out behind its back. */
    deeplake_bm25_merge_lock(info->index);
    deeplake_bm25_meta_read(info->index, meta);
    for (uint32 i = 0; i < meta->n_segments; i++)
        vacuum_segment(vacuum, &meta->segments[i]);
    vacuum_chain(vacuum, &meta->sealed);
    vacuum_chain(vacuum, &meta->pending);
    deeplake_bm25_merge_unlock(info->index);

    pfree(meta);
    pfree(vacuum);
    return statistics;
}

IndexBulkDeleteResult *
deeplake_bm25_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics)
{
    DeeplakeBm25Statistics now;

    if (info->analyze_only)
        return statistics;
    if (!statistics)
        statistics = palloc0(sizeof(*statistics));

    deeplake_bm25_merge_lock(info->index);
    deeplake_bm25_recycle(info->index);
    deeplake_bm25_flush(info->index);
    deeplake_bm25_merge_dead(info->index);
    statistics->pages_free = deeplake_bm25_recycle_all(info->index);
    deeplake_bm25_merge_unlock(info->index);

    deeplake_bm25_statistics(info->index, &now);
    statistics->num_index_tuples = (double)(now.n_documents - now.n_dead + now.n_nulls);
    statistics->estimated_count = false;
    statistics->num_pages = RelationGetNumberOfBlocks(info->index);
    return statistics;
}
