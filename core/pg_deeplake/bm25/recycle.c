/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/merge.h"
#include "core/pg_deeplake/bm25/reader.h"

#include <access/generic_xlog.h>
#include <miscadmin.h>
#include <storage/indexfsm.h>
#include <utils/snapmgr.h>

typedef struct {
    BlockNumber *blocks;
    Size n_blocks, n_allocated;
} Blocks;

static void
add_block(Blocks *blocks, BlockNumber block)
{
    if (blocks->n_blocks == blocks->n_allocated) {
        blocks->n_allocated *= 2;
        blocks->blocks =
            repalloc_huge(blocks->blocks, blocks->n_allocated * sizeof(BlockNumber));
    }
    blocks->blocks[blocks->n_blocks++] = block;
}

/* Adds what a page of a map lists. */
static void
add_map(
    Relation index, BlockNumber block, uint16 kind, uint32 number, uint32 owner, Blocks *blocks)
{
    Buffer buffer =
        deeplake_bm25_page_get(index, block, kind, owner, number, BUFFER_LOCK_SHARE);
    Page page = BufferGetPage(buffer);
    const BlockNumber *listed = (const BlockNumber *)deeplake_bm25_page_payload(page);
    uint32 n = deeplake_bm25_page_head(page)->n_bytes / sizeof(BlockNumber);

    for (uint32 i = 0; i < n; i++)
        add_block(blocks, listed[i]);
    UnlockReleaseBuffer(buffer);
}

static void
add_segment(Relation index, const DeeplakeBm25Retired *retired, Blocks *blocks)
{
    Size first = blocks->n_blocks;
    Size n_maps;

    add_map(index, retired->root, DEEPLAKE_BM25_PAGE_MAP_ROOT, 0, retired->first, blocks);
    n_maps = blocks->n_blocks - first;
    for (Size i = 0; i < n_maps; i++)
        add_map(index, blocks->blocks[first + i], DEEPLAKE_BM25_PAGE_MAP, (uint32)i,
            retired->first, blocks);
    add_block(blocks, retired->root);
}

static bool
is_past(const DeeplakeBm25Retired *retired)
{
    return GlobalVisCheckRemovableFullXid(NULL, FullTransactionIdFromU64(retired->xid));
}

/* Takes those that nobody can read any more off the list: from then on their pages are free. */
static void
forget(Relation index, const DeeplakeBm25Retired *forgotten, uint32 n_forgotten)
{
    Buffer buffer = deeplake_bm25_meta_lock(index);
    GenericXLogState *state = GenericXLogStart(index);
    DeeplakeBm25Meta *meta = deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, buffer, 0));
    uint32 n_kept = 0;

    for (uint32 i = 0; i < meta->n_retired; i++) {
        bool is_forgotten = false;

        for (uint32 k = 0; k < n_forgotten; k++)
            is_forgotten = is_forgotten || meta->retired[i].first == forgotten[k].first;
        if (!is_forgotten)
            meta->retired[n_kept++] = meta->retired[i];
    }
    meta->n_retired = n_kept;
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
}

void
deeplake_bm25_free(Relation index, const BlockNumber *blocks, Size n_blocks)
{
    for (Size i = 0; i < n_blocks; i++)
        RecordFreeIndexPage(index, blocks[i]);
    if (n_blocks > 0)
        IndexFreeSpaceMapVacuum(index);
}

void
deeplake_bm25_recycle(Relation index)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));
    Blocks blocks = {.n_allocated = 1024};
    uint32 n = 0;

    deeplake_bm25_meta_read(index, meta);
    blocks.blocks = palloc(blocks.n_allocated * sizeof(BlockNumber));
    for (uint32 i = 0; i < meta->n_retired; i++) {
        const DeeplakeBm25Retired *retired = &meta->retired[i];

        if (!is_past(retired))
            continue;
        if (retired->root != InvalidBlockNumber)
            add_segment(index, retired, &blocks);
        meta->retired[n++] = *retired;
    }

    if (n > 0)
        forget(index, meta->retired, n);
    deeplake_bm25_free(index, blocks.blocks, blocks.n_blocks);
    pfree(blocks.blocks);
    pfree(meta);
}

/* How many pages are of something on the metapage's lists. */
static uint64
count_used(const DeeplakeBm25Meta *meta)
{
    uint64 n = 1 + (uint64)meta->pending.n_pages + meta->sealed.n_pages;

    for (uint32 i = 0; i < meta->n_segments; i++)
        n += deeplake_bm25_segment_n_maps(&meta->segments[i]) +
             meta->segments[i].starts[DEEPLAKE_BM25_N_SECTIONS];
    return n;
}

BlockNumber
deeplake_bm25_recycle_all(Relation index)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));
    BlockNumber n_blocks, n_free = 0;
    BufferAccessStrategy strategy;

    deeplake_bm25_recycle(index);
    deeplake_bm25_meta_read(index, meta);
    n_blocks = RelationGetNumberOfBlocks(index);
    if (count_used(meta) >= n_blocks) {
        pfree(meta);
        return 0;
    }

    strategy = GetAccessStrategy(BAS_VACUUM);
    for (BlockNumber block = 1; block < n_blocks; block++) {
        Buffer buffer = ReadBufferExtended(index, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
        Page page;

        CHECK_FOR_INTERRUPTS();
        LockBuffer(buffer, BUFFER_LOCK_SHARE);
        page = BufferGetPage(buffer);
        /* An owner that is newer than this copy of the metapage counts as one that is used. */
        if (PageIsNew(page) ||
            !deeplake_bm25_meta_owns(meta, deeplake_bm25_page_head(page)->owner)) {
            RecordFreeIndexPage(index, block);
            n_free++;
        }
        UnlockReleaseBuffer(buffer);
    }
    IndexFreeSpaceMapVacuum(index);
    FreeAccessStrategy(strategy);
    pfree(meta);
    return n_free;
}
