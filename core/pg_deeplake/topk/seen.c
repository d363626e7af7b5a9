/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk/seen.h"

#include <access/htup_details.h>
#include <miscadmin.h>
#include <utils/hsearch.h>
#include <utils/memutils.h>

/* A page's bits; line pointers count from 1. */
typedef struct {
    BlockNumber block; /* the key */
    uint8 bits[MaxHeapTuplesPerPage / 8 + 1];
} SeenPage;

struct DeeplakeSeen {
    HTAB *pages;
    int64 n_pages, n_pages_max;
};

/* What a hash table needs around an entry. */
#define OVERHEAD 32

DeeplakeSeen *
deeplake_seen_new(void)
{
    DeeplakeSeen *seen = palloc0(sizeof(*seen));
    HASHCTL control = {
        .keysize = sizeof(BlockNumber),
        .entrysize = sizeof(SeenPage),
        .hcxt = CurrentMemoryContext,
    };

    seen->n_pages_max = Max((int64)work_mem * 1024 / (int64)(sizeof(SeenPage) + OVERHEAD), 64);
    seen->pages = hash_create(
        "deeplake seen pages", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    return seen;
}

void
deeplake_seen_free(DeeplakeSeen *seen)
{
    hash_destroy(seen->pages);
    pfree(seen);
}

bool
deeplake_seen_add(DeeplakeSeen *seen, ItemPointer tid)
{
    BlockNumber block = ItemPointerGetBlockNumber(tid);
    OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
    bool found;

    if (offset > MaxHeapTuplesPerPage)
        return false;
    SeenPage *page = hash_search(seen->pages, &block, HASH_FIND, NULL);
    if (!page) {
        if (seen->n_pages == seen->n_pages_max)
            return false;
        page = hash_search(seen->pages, &block, HASH_ENTER, &found);
        memset(page->bits, 0, sizeof(page->bits));
        seen->n_pages++;
    }
    page->bits[offset / 8] |= (uint8)(1 << offset % 8);
    return true;
}

bool
deeplake_seen_has(DeeplakeSeen *seen, ItemPointer tid)
{
    BlockNumber block = ItemPointerGetBlockNumber(tid);
    OffsetNumber offset = ItemPointerGetOffsetNumber(tid);
    SeenPage *page = hash_search(seen->pages, &block, HASH_FIND, NULL);

    return page && offset <= MaxHeapTuplesPerPage && page->bits[offset / 8] & 1 << offset % 8;
}
