/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/pending.h"

#include <access/generic_xlog.h>
#include <miscadmin.h>

/* --- a document as records --- */

typedef struct {
    char *bytes; /* n_records pages' payloads, one record in each */
    int n_records, n_allocated;
} Records;

static DeeplakeBm25Record *
record_of(const Records *records, int i)
{
    return (DeeplakeBm25Record *)(records->bytes + (Size)i * DEEPLAKE_BM25_PAYLOAD);
}

uint32
deeplake_bm25_record_size(const DeeplakeBm25Record *record)
{
    return (uint32)TYPEALIGN(4, sizeof(*record) + record->n_bytes);
}

static DeeplakeBm25Record *
add_record(Records *records, const ItemPointerData *tid, uint32 length, uint16 flags)
{
    DeeplakeBm25Record *record;

    if (records->n_records == records->n_allocated) {
        records->n_allocated *= 2;
        records->bytes =
            repalloc_huge(records->bytes, (Size)records->n_allocated * DEEPLAKE_BM25_PAYLOAD);
    }
    record = record_of(records, records->n_records++);
    memset(record, 0, DEEPLAKE_BM25_PAYLOAD);
    record->tid = *tid;
    record->length = length;
    record->flags = flags;
    return record;
}

static void
make_records(
    Records *records, const ItemPointerData *tid, uint32 length, DeeplakeBm25Terms *terms)
{
    DeeplakeBm25Record *record;
    DeeplakeBm25Term **sorted;
    uint32 n_terms;

    records->n_records = 0;
    records->n_allocated = 1;
    records->bytes = palloc(DEEPLAKE_BM25_PAYLOAD);
    record = add_record(records, tid, length,
        DEEPLAKE_BM25_RECORD_FIRST | (terms ? 0 : DEEPLAKE_BM25_RECORD_NULL));
    if (!terms)
        return;

    n_terms = deeplake_bm25_terms_count(terms);
    sorted = deeplake_bm25_terms_sort(terms);
    for (uint32 i = 0; i < n_terms; i++) {
        const DeeplakeBm25Term *term = sorted[i];
        char *at, *end;

        if (sizeof(*record) + record->n_bytes + 1 + term->size + 5 > DEEPLAKE_BM25_PAYLOAD)
            record = add_record(records, tid, length, 0);
        at = (char *)(record + 1) + record->n_bytes;
        at[0] = (char)term->size;
        memcpy(at + 1, term->token, term->size);
        end = deeplake_bm25_put_varint(at + 1 + term->size, term->tf);
        record->n_bytes += (uint16)(end - at);
        record->n_terms++;
    }
    pfree(sorted);
}

/* --- inserting --- */

/* Puts the records on pages of their own, the last first, so that each knows the next. None is
 * reached from anywhere yet. */
static void
write_pages(Relation index, const DeeplakeBm25Meta *meta, uint32 owner, const Records *records,
    BlockNumber *ret_first, BlockNumber *ret_last)
{
    BlockNumber next = InvalidBlockNumber;
    bool nothing_free = false;

    for (int i = records->n_records - 1; i >= 0; i--) {
        Buffer buffer = deeplake_bm25_page_take(index, meta, &nothing_free);
        GenericXLogState *state = GenericXLogStart(index);
        Page page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
        const DeeplakeBm25Record *record = record_of(records, i);

        deeplake_bm25_page_init(
            page, DEEPLAKE_BM25_PAGE_PENDING, owner, meta->pending.n_pages + (uint32)i);
        memcpy(deeplake_bm25_page_payload(page), record, deeplake_bm25_record_size(record));
        deeplake_bm25_page_set_size(page, (int)deeplake_bm25_record_size(record));
        deeplake_bm25_page_head(page)->next = next;
        GenericXLogFinish(state);
        next = BufferGetBlockNumber(buffer);
        if (i == records->n_records - 1)
            *ret_last = next;
        UnlockReleaseBuffer(buffer);
    }
    *ret_first = next;
}

static void
count(DeeplakeBm25Chain *chain, const Records *records)
{
    const DeeplakeBm25Record *record = record_of(records, 0);

    chain->n_records += (uint32)records->n_records;
    if (record->flags & DEEPLAKE_BM25_RECORD_NULL) {
        chain->n_nulls++;
        return;
    }
    chain->n_documents++;
    chain->n_tokens += record->length;
}

/* Whether the chain's last page, which is locked, has room for them. */
static bool
has_room(Buffer tail, const Records *records)
{
    return records->n_records == 1 &&
           deeplake_bm25_page_head(BufferGetPage(tail))->n_bytes +
                   deeplake_bm25_record_size(record_of(records, 0)) <=
               (uint32)DEEPLAKE_BM25_PAYLOAD;
}

static void
append(Relation index, Buffer meta_buffer, Buffer tail, const Records *records)
{
    GenericXLogState *state = GenericXLogStart(index);
    DeeplakeBm25Meta *meta =
        deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, meta_buffer, 0));
    Page page = GenericXLogRegisterBuffer(state, tail, 0);
    const DeeplakeBm25Record *record = record_of(records, 0);
    uint32 n_bytes = deeplake_bm25_page_head(page)->n_bytes;

    memcpy(
        deeplake_bm25_page_payload(page) + n_bytes, record, deeplake_bm25_record_size(record));
    deeplake_bm25_page_set_size(page, (int)(n_bytes + deeplake_bm25_record_size(record)));
    count(&meta->pending, records);
    GenericXLogFinish(state);
}

/* tail: the chain's last page, locked; invalid where there is no chain. */
static void
extend(Relation index, Buffer meta_buffer, Buffer tail, const Records *records)
{
    const DeeplakeBm25Meta *now = deeplake_bm25_meta_of(BufferGetPage(meta_buffer));
    uint32 owner = BufferIsValid(tail) ? now->pending.id : now->next_id;
    BlockNumber first = InvalidBlockNumber, last = InvalidBlockNumber;
    GenericXLogState *state;
    DeeplakeBm25Meta *meta;

    write_pages(index, now, owner, records, &first, &last);

    state = GenericXLogStart(index);
    meta = deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, meta_buffer, 0));
    if (BufferIsValid(tail)) {
        deeplake_bm25_page_head(GenericXLogRegisterBuffer(state, tail, 0))->next = first;
    } else {
        memset(&meta->pending, 0, sizeof(meta->pending));
        meta->pending.id = meta->next_id++;
        meta->pending.head = first;
    }
    meta->pending.tail = last;
    meta->pending.n_pages += (uint32)records->n_records;
    count(&meta->pending, records);
    GenericXLogFinish(state);
}

uint32
deeplake_bm25_pending_insert(
    Relation index, const ItemPointerData *tid, uint32 length, DeeplakeBm25Terms *terms)
{
    Buffer meta_buffer, tail = InvalidBuffer;
    const DeeplakeBm25Meta *meta;
    Records records;
    uint32 n_pages;

    make_records(&records, tid, length, terms);

    meta_buffer = deeplake_bm25_meta_lock(index);
    meta = deeplake_bm25_meta_of(BufferGetPage(meta_buffer));
    if (meta->pending.id != 0)
        tail = deeplake_bm25_page_get(index, meta->pending.tail, DEEPLAKE_BM25_PAGE_PENDING,
            meta->pending.id, meta->pending.n_pages - 1, BUFFER_LOCK_EXCLUSIVE);
    if (BufferIsValid(tail) && has_room(tail, &records))
        append(index, meta_buffer, tail, &records);
    else
        extend(index, meta_buffer, tail, &records);
    n_pages = meta->pending.n_pages;
    if (BufferIsValid(tail))
        UnlockReleaseBuffer(tail);
    UnlockReleaseBuffer(meta_buffer);

    pfree(records.bytes);
    return n_pages;
}

/* --- reading --- */

void
deeplake_bm25_walk_start(DeeplakeBm25Walk *walk, Relation index, const DeeplakeBm25Chain *chain)
{
    walk->index = index;
    walk->chain = *chain;
    walk->may_be_gone = walk->is_gone = walk->is_dead = false;
    walk->next = chain->head;
    walk->n_pages = 0;
    walk->n_left = chain->id != 0 ? chain->n_records : 0;
    walk->at = walk->n_bytes = 0;
}

static void
read_page(DeeplakeBm25Walk *walk)
{
    Buffer buffer = ReadBuffer(walk->index, walk->next);
    Page page = BufferGetPage(buffer);

    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    if (walk->may_be_gone && deeplake_bm25_page_head(page)->owner != walk->chain.id) {
        walk->is_gone = true;
        UnlockReleaseBuffer(buffer);
        return;
    }
    deeplake_bm25_page_expect(
        walk->index, buffer, DEEPLAKE_BM25_PAGE_PENDING, walk->chain.id, walk->n_pages);
    walk->block = walk->next;
    walk->n_bytes = deeplake_bm25_page_head(page)->n_bytes;
    walk->next = deeplake_bm25_page_head(page)->next;
    memcpy(walk->payload, deeplake_bm25_page_payload(page), walk->n_bytes);
    UnlockReleaseBuffer(buffer);
    walk->n_pages++;
    walk->at = 0;
}

DeeplakeBm25Record *
deeplake_bm25_record_at(char *payload, uint32 n_bytes, uint32 offset)
{
    DeeplakeBm25Record *record = (DeeplakeBm25Record *)(payload + offset);

    if (offset + sizeof(*record) > n_bytes ||
        offset + deeplake_bm25_record_size(record) > n_bytes)
        return NULL;
    return record;
}

const DeeplakeBm25Record *
deeplake_bm25_walk_next(DeeplakeBm25Walk *walk)
{
    const DeeplakeBm25Record *record;

    if (walk->n_left == 0)
        return NULL;
    CHECK_FOR_INTERRUPTS();
    if (walk->at == walk->n_bytes && walk->next != InvalidBlockNumber)
        read_page(walk);
    if (walk->is_gone)
        return NULL;
    record = deeplake_bm25_record_at(walk->payload, walk->n_bytes, walk->at);
    if (!record)
        ereport(
            ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                       errmsg("page %u of the pending documents of index \"%s\" makes no sense",
                           walk->n_pages, RelationGetRelationName(walk->index)),
                       errhint("Run REINDEX.")));
    walk->at += deeplake_bm25_record_size(record);
    walk->n_left--;
    if (record->flags & DEEPLAKE_BM25_RECORD_FIRST)
        walk->is_dead = (record->flags & DEEPLAKE_BM25_RECORD_DEAD) != 0;
    return record;
}

void
deeplake_bm25_record_terms_start(
    DeeplakeBm25RecordTerms *terms, const DeeplakeBm25Record *record)
{
    terms->at = (const char *)(record + 1);
    terms->end = terms->at + record->n_bytes;
}

bool
deeplake_bm25_record_terms_next(DeeplakeBm25RecordTerms *terms)
{
    const char *next;
    int size;

    if (terms->at == terms->end)
        return false;
    size = (unsigned char)*terms->at;
    if (size == 0 || size > terms->end - terms->at - 1)
        return false;
    next = deeplake_bm25_get_varint(terms->at + 1 + size, terms->end, &terms->tf);
    if (!next)
        return false;
    terms->token = terms->at + 1;
    terms->size = size;
    terms->at = next;
    return true;
}
