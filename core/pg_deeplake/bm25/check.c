/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/check.h"

#include "core/pg_deeplake/bm25/pending.h"
#include "core/pg_deeplake/bm25/reader.h"
#include "core/pg_deeplake/bm25/tokenize.h"

#include <access/htup_details.h>
#include <access/tableam.h>
#include <access/xlog.h>
#include <catalog/index.h>
#include <catalog/pg_index.h>
#include <common/hashfn.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>

/* A living entry. The words of a document, in whatever order, have one sum of hashes. */
typedef struct {
    uint64 words;
    uint32 length;
    ItemPointerData tid;
    bool is_null;
    bool is_seen;
} Entry;

StaticAssertDecl(sizeof(Entry) == 24, "as check.h says");

typedef struct {
    Relation index;
    Entry *entries;
    Size n_entries, n_allocated;
} Check;

static uint64
hash_word(const char *token, int size)
{
    return hash_bytes_extended((const unsigned char *)token, size, 0);
}

static void corrupted(Relation index, const char *format, ...) pg_attribute_printf(2, 3)
    pg_attribute_noreturn();

static void
corrupted(Relation index, const char *format, ...)
{
    char what[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                       errmsg("index \"%s\": %s", RelationGetRelationName(index), what),
                       errhint("Run REINDEX.")));
}

static Entry *
add_entry(Check *check, const ItemPointerData *tid)
{
    Entry *entry;

    if (!ItemPointerIsValid(tid))
        corrupted(check->index, "an entry is of no row");
    if (check->n_entries == check->n_allocated) {
        check->n_allocated *= 2;
        check->entries =
            repalloc_huge(check->entries, check->n_allocated * sizeof(*check->entries));
    }
    entry = &check->entries[check->n_entries++];
    memset(entry, 0, sizeof(*entry));
    entry->tid = *tid;
    return entry;
}

/* --- segments --- */

typedef struct {
    Check *check;
    DeeplakeBm25Reader *reader;
    uint32 id;
    uint32 *lengths; /* as written, per document */
    uint64 *words;
    uint32 *counts;            /* tokens that the postings have */
    uint16 max_tf, min_length; /* of the term at work */
} SegmentCheck;

static void
check_bounds(SegmentCheck *segment, const DeeplakeBm25Postings *postings)
{
    uint16 max_tf = 0, min_length = PG_UINT16_MAX;
    uint32 last = postings->documents[postings->n - 1];

    for (int i = 0; i < postings->n; i++) {
        uint32 length = segment->lengths[postings->documents[i]];

        max_tf = Max(max_tf, deeplake_bm25_saturate(postings->tfs[i]));
        min_length = Min(min_length, deeplake_bm25_saturate(length));
    }
    if (max_tf != postings->skip.max_tf || min_length != postings->skip.min_length)
        corrupted(segment->check->index, "segment %u: a block's bounds are wrong", segment->id);
    if (postings->entry.df > DEEPLAKE_BM25_BLOCK_DOCUMENTS &&
        last != postings->skip.last_document)
        corrupted(segment->check->index, "segment %u: a block ends elsewhere", segment->id);
    segment->max_tf = Max(segment->max_tf, max_tf);
    segment->min_length = Min(segment->min_length, min_length);
}

static void
check_term(
    SegmentCheck *segment, const DeeplakeBm25Dictionary *dictionary, DeeplakeBm25Postings *walk)
{
    uint64 hash = hash_word(dictionary->token, dictionary->size);
    uint32 n = 0, document, tf, previous = 0;

    segment->max_tf = 0;
    segment->min_length = PG_UINT16_MAX;
    deeplake_bm25_postings_start(walk, segment->reader, &dictionary->entry);
    while (deeplake_bm25_postings_next(walk, &document, &tf)) {
        if (n > 0 && document <= previous)
            corrupted(segment->check->index, "segment %u: postings of \"%.*s\" out of order",
                segment->id, dictionary->size, dictionary->token);
        if (walk->at == 1)
            check_bounds(segment, walk);
        segment->words[document] += hash * tf;
        segment->counts[document] += tf;
        previous = document;
        n++;
    }
    deeplake_bm25_postings_end(walk);
    if (segment->max_tf != dictionary->entry.max_tf ||
        segment->min_length != dictionary->entry.min_length)
        corrupted(segment->check->index, "segment %u: the bounds of \"%.*s\" are wrong",
            segment->id, dictionary->size, dictionary->token);
    if (n != dictionary->entry.df)
        corrupted(segment->check->index, "segment %u: \"%.*s\" has %u postings, not %u",
            segment->id, dictionary->size, dictionary->token, n, dictionary->entry.df);
}

static void
check_dictionary(SegmentCheck *segment)
{
    DeeplakeBm25Dictionary *dictionary = palloc(sizeof(*dictionary));
    DeeplakeBm25Postings *walk = palloc(sizeof(*walk));
    char previous[DEEPLAKE_BM25_TOKEN_MAX];
    int previous_size = 0;
    uint32 n = 0;

    deeplake_bm25_dictionary_start(dictionary, segment->reader);
    while (deeplake_bm25_dictionary_next(dictionary)) {
        if (n > 0 && deeplake_bm25_token_compare(
                         previous, previous_size, dictionary->token, dictionary->size) >= 0)
            corrupted(segment->check->index, "segment %u: terms out of order at \"%.*s\"",
                segment->id, dictionary->size, dictionary->token);
        check_term(segment, dictionary, walk);
        previous_size = dictionary->size;
        memcpy(previous, dictionary->token, previous_size);
        n++;
    }
    if (n != segment->reader->segment.n_terms)
        corrupted(segment->check->index, "segment %u has %u terms, not %u", segment->id, n,
            segment->reader->segment.n_terms);
    pfree(walk);
    pfree(dictionary);
}

static void
check_documents(SegmentCheck *segment)
{
    const DeeplakeBm25Segment *listed = &segment->reader->segment;
    uint8 *alive = deeplake_bm25_reader_alive(segment->reader);
    DeeplakeBm25Pin pin = {0};
    uint32 n_alive = 0;
    uint64 n_tokens = 0;

    for (uint32 i = 0; i < listed->n_documents; i++) {
        ItemPointerData tid;
        Entry *entry;

        n_tokens += segment->lengths[i];
        if (segment->counts[i] != segment->lengths[i])
            corrupted(segment->check->index, "segment %u: document %u has %u tokens, not %u",
                segment->id, i, segment->counts[i], segment->lengths[i]);
        if (!deeplake_bm25_is_alive(alive, i))
            continue;
        n_alive++;
        deeplake_bm25_reader_tid(segment->reader, &pin, i, &tid);
        entry = add_entry(segment->check, &tid);
        entry->words = segment->words[i];
        entry->length = segment->lengths[i];
    }
    deeplake_bm25_pin_release(&pin);
    pfree(alive);
    if (n_tokens != listed->n_tokens)
        corrupted(segment->check->index, "segment %u has another number of tokens than listed",
            segment->id);
    /* An interrupted VACUUM leaves more dead than are listed; the next one counts them. */
    if (n_alive > listed->n_documents - listed->n_dead)
        corrupted(segment->check->index, "segment %u: %u of %u documents live, %u are dead",
            segment->id, n_alive, listed->n_documents, listed->n_dead);
}

static void
check_nulls(SegmentCheck *segment)
{
    const DeeplakeBm25Segment *listed = &segment->reader->segment;
    DeeplakeBm25Pin pin = {0};
    uint32 n_dead = 0;

    for (uint32 i = 0; i < listed->n_nulls; i++) {
        ItemPointerData tid;

        deeplake_bm25_reader_copy(segment->reader, &pin, DEEPLAKE_BM25_NULLS,
            i / DEEPLAKE_BM25_TIDS_PER_PAGE, i % DEEPLAKE_BM25_TIDS_PER_PAGE * sizeof(tid),
            sizeof(tid), &tid);
        if (ItemPointerIsValid(&tid))
            add_entry(segment->check, &tid)->is_null = true;
        else
            n_dead++;
    }
    deeplake_bm25_pin_release(&pin);
    if (n_dead < listed->n_dead_nulls)
        corrupted(segment->check->index, "segment %u: rows of VACUUM came back", segment->id);
}

static void
check_segment(Check *check, const DeeplakeBm25Segment *listed)
{
    Size n = Max(listed->n_documents, 1);
    char *payload = palloc(DEEPLAKE_BM25_PAYLOAD);
    SegmentCheck segment = {.check = check, .id = listed->id};

    segment.reader = deeplake_bm25_reader_open(check->index, listed);
    for (int section = 0; section < DEEPLAKE_BM25_N_SECTIONS; section++) {
        uint32 n_pages = deeplake_bm25_segment_n_pages(listed, (DeeplakeBm25Section)section);

        for (uint32 i = 0; i < n_pages; i++) {
            CHECK_FOR_INTERRUPTS();
            deeplake_bm25_reader_copy_page(
                segment.reader, (DeeplakeBm25Section)section, i, payload);
        }
    }

    segment.lengths = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE);
    segment.words = palloc_extended(n * sizeof(uint64), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    segment.counts = palloc_extended(n * sizeof(uint32), MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
    for (uint32 i = 0; i < listed->n_documents; i += DEEPLAKE_BM25_LENGTHS_PER_PAGE) {
        uint32 n_here = Min(listed->n_documents - i, (uint32)DEEPLAKE_BM25_LENGTHS_PER_PAGE);

        if (deeplake_bm25_reader_copy_page(segment.reader, DEEPLAKE_BM25_LENGTHS,
                i / DEEPLAKE_BM25_LENGTHS_PER_PAGE, payload) != n_here * sizeof(uint32))
            deeplake_bm25_reader_corrupted(segment.reader, "a page of lengths is not full");
        memcpy(segment.lengths + i, payload, n_here * sizeof(uint32));
    }
    check_dictionary(&segment);
    check_documents(&segment);
    check_nulls(&segment);
    pfree(segment.lengths);
    pfree(segment.words);
    pfree(segment.counts);
    pfree(payload);
    deeplake_bm25_reader_close(segment.reader);
}

/* --- pending documents --- */

/* Adds up the terms of one record. */
static void
add_record(Check *check, const DeeplakeBm25Record *record, uint64 *words, uint64 *n_tokens)
{
    DeeplakeBm25RecordTerms terms;
    int n = 0;

    deeplake_bm25_record_terms_start(&terms, record);
    while (deeplake_bm25_record_terms_next(&terms)) {
        *words += hash_word(terms.token, terms.size) * terms.tf;
        *n_tokens += terms.tf;
        n++;
    }
    if (terms.at != terms.end || n != record->n_terms)
        corrupted(check->index, "the terms of a pending document make no sense");
}

static void
check_chain(Check *check, const DeeplakeBm25Chain *chain)
{
    DeeplakeBm25Walk *walk = palloc(sizeof(*walk));
    const DeeplakeBm25Record *record;
    uint64 n_tokens = 0, n_listed = 0;
    uint32 n_documents = 0, n_nulls = 0;

    deeplake_bm25_walk_start(walk, check->index, chain);
    while ((record = deeplake_bm25_walk_next(walk))) {
        bool is_null = (record->flags & DEEPLAKE_BM25_RECORD_NULL) != 0;
        bool is_first = (record->flags & DEEPLAKE_BM25_RECORD_FIRST) != 0;
        uint64 words = 0;
        Entry *entry;

        if (is_first && n_tokens != n_listed)
            corrupted(check->index, "a pending document has another length than its terms");
        if (is_first && !is_null) {
            n_documents++;
            n_listed += record->length;
        }
        n_nulls += is_null;
        add_record(check, record, &words, &n_tokens);
        if (walk->is_dead)
            continue;
        if (!is_first && check->n_entries == 0)
            corrupted(check->index, "the pending documents begin in the middle of one");
        entry =
            is_first ? add_entry(check, &record->tid) : &check->entries[check->n_entries - 1];
        entry->is_null = is_null;
        entry->length = record->length;
        entry->words += words;
    }
    if (n_tokens != n_listed || n_listed != chain->n_tokens ||
        n_documents != chain->n_documents || n_nulls != chain->n_nulls)
        corrupted(check->index, "the pending documents are not as many as listed");
    pfree(walk);
}

/* --- the table --- */

typedef struct {
    Check *check;
    MemoryContext row_context;
    DeeplakeBm25Tokenizer *tokenizer;
    uint64 words;
    uint32 length;
} HeapCheck;

static int
compare_entries(const void *a, const void *b)
{
    return ItemPointerCompare(unconstify(ItemPointerData *, &((const Entry *)a)->tid),
        unconstify(ItemPointerData *, &((const Entry *)b)->tid));
}

static void
sort_entries(Check *check)
{
    qsort(check->entries, check->n_entries, sizeof(*check->entries), compare_entries);
    for (Size i = 1; i < check->n_entries; i++) {
        const ItemPointerData *tid = &check->entries[i].tid;

        if (compare_entries(&check->entries[i - 1], &check->entries[i]) == 0)
            corrupted(check->index, "row (%u,%u) is in it twice",
                ItemPointerGetBlockNumberNoCheck(tid), ItemPointerGetOffsetNumberNoCheck(tid));
    }
}

static void
add_word(const char *token, int size, void *data)
{
    HeapCheck *heap = data;

    heap->words += hash_word(token, size);
    heap->length++;
}

static void
check_row(
    Relation index, ItemPointer tid, Datum *values, bool *is_null, bool is_alive, void *data)
{
    HeapCheck *heap = data;
    Entry wanted = {.tid = *tid};
    Entry *entry = bsearch(
        &wanted, heap->check->entries, heap->check->n_entries, sizeof(wanted), compare_entries);
    const char *trouble = NULL;

    CHECK_FOR_INTERRUPTS();
    heap->words = 0;
    heap->length = 0;
    if (!is_null[0]) {
        MemoryContext previous = MemoryContextSwitchTo(heap->row_context);
        text *value = DatumGetTextPP(values[0]);

        deeplake_bm25_tokenizer_run(
            heap->tokenizer, VARDATA_ANY(value), (int)VARSIZE_ANY_EXHDR(value), add_word, heap);
        MemoryContextSwitchTo(previous);
        MemoryContextReset(heap->row_context);
    }

    if (!entry)
        trouble = "is not in it";
    else if (entry->is_seen)
        trouble = "is in the table twice";
    else if (entry->is_null != is_null[0])
        trouble = "is NULL in one of index and table only";
    else if (entry->length != heap->length)
        trouble = "has another length in it";
    else if (entry->words != heap->words)
        trouble = "has other words in it";
    if (trouble)
        corrupted(index, "row (%u,%u) %s", ItemPointerGetBlockNumber(tid),
            ItemPointerGetOffsetNumber(tid), trouble);
    entry->is_seen = true;
}

static void
check_heap(Check *check, Relation heap, Snapshot snapshot, const DeeplakeBm25Meta *meta)
{
    IndexInfo *info = BuildIndexInfo(check->index);
    HeapCheck rows = {.check = check};
    TableScanDesc scan;

    if (check->index->rd_index->indcheckxmin &&
        !TransactionIdPrecedes(
            HeapTupleHeaderGetXmin(check->index->rd_indextuple->t_data), snapshot->xmin))
        ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                errmsg("index \"%s\" is too new for this transaction to check it",
                    RelationGetRelationName(check->index)),
                errhint("Try again once transactions older than the index have ended.")));
    rows.row_context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 check row", ALLOCSET_DEFAULT_SIZES);
    rows.tokenizer = deeplake_bm25_tokenizer(meta->tokenizer);
    info->ii_Concurrent = true;
    info->ii_Unique = false;
    scan = table_beginscan_strat(heap, snapshot, 0, NULL, true, true);
    table_index_build_scan(heap, check->index, info, true, false, check_row, &rows, scan);
}

int64
deeplake_bm25_check(Relation heap, Relation index)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 check", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));
    Check check = {.index = index, .n_allocated = 1024};
    bool needs_lock = !RecoveryInProgress();
    Snapshot snapshot;

    check.entries = palloc(check.n_allocated * sizeof(*check.entries));
    /* Against VACUUM. The snapshot before the index: what it sees is in there by then. */
    if (needs_lock)
        deeplake_bm25_merge_lock(index);
    snapshot = RegisterSnapshot(GetTransactionSnapshot());
    deeplake_bm25_meta_read(index, meta);
    for (uint32 i = 0; i < meta->n_segments; i++)
        check_segment(&check, &meta->segments[i]);
    check_chain(&check, &meta->sealed);
    check_chain(&check, &meta->pending);
    sort_entries(&check);
    check_heap(&check, heap, snapshot, meta);
    UnregisterSnapshot(snapshot);
    if (needs_lock)
        deeplake_bm25_merge_unlock(index);

    MemoryContextSwitchTo(previous);
    MemoryContextDelete(context);
    return (int64)check.n_entries;
}
