/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/writer.h"

#include <access/generic_xlog.h>
#include <miscadmin.h>
#include <port/pg_bitutils.h>
#include <utils/memutils.h>

typedef struct {
    BlockNumber *blocks; /* of the pages that are written */
    uint32 n_blocks, n_allocated;
    int n_bytes; /* of the page that is not */
    char *payload;
} Section;

struct DeeplakeBm25Writer {
    Relation index;
    MemoryContext context;
    DeeplakeBm25Meta meta; /* of the beginning: who owns what */
    bool nothing_free;
    DeeplakeBm25Segment segment;
    Section sections[DEEPLAKE_BM25_N_SECTIONS];
    uint16 *lengths;
    Size n_lengths_allocated;

    /* The term at work, and its last block, not yet written. */
    bool has_term;
    char token[DEEPLAKE_BM25_TOKEN_MAX];
    int token_size;
    uint32 df;
    uint32 documents[DEEPLAKE_BM25_BLOCK_DOCUMENTS], tfs[DEEPLAKE_BM25_BLOCK_DOCUMENTS];
    int n_block;
    uint32 first_skip, n_skips;
    uint16 max_tf, min_length;

    char previous[DEEPLAKE_BM25_TOKEN_MAX]; /* the last in the dictionary's page */
    int previous_size;
};

/* Takes an id, and says in the metapage that its pages are being written. */
static void
announce(DeeplakeBm25Writer *writer)
{
    Buffer buffer = deeplake_bm25_meta_lock(writer->index);
    GenericXLogState *state = GenericXLogStart(writer->index);
    DeeplakeBm25Meta *meta = deeplake_bm25_meta_of(GenericXLogRegisterBuffer(state, buffer, 0));

    meta->building = meta->next_id++;
    writer->segment.id = meta->building;
    memcpy(&writer->meta, meta, sizeof(*meta));
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
}

DeeplakeBm25Writer *
deeplake_bm25_writer_begin(Relation index)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 segment", ALLOCSET_DEFAULT_SIZES);
    DeeplakeBm25Writer *writer = MemoryContextAllocZero(context, sizeof(*writer));

    writer->index = index;
    writer->context = context;
    for (int i = 0; i < DEEPLAKE_BM25_N_SECTIONS; i++)
        writer->sections[i].payload = MemoryContextAlloc(context, DEEPLAKE_BM25_PAYLOAD);
    announce(writer);
    return writer;
}

/* --- pages --- */

static BlockNumber
write_page(
    DeeplakeBm25Writer *writer, uint16 kind, uint32 number, const void *payload, int n_bytes)
{
    Buffer buffer =
        deeplake_bm25_page_take(writer->index, &writer->meta, &writer->nothing_free);
    GenericXLogState *state = GenericXLogStart(writer->index);
    Page page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
    BlockNumber block = BufferGetBlockNumber(buffer);

    deeplake_bm25_page_init(page, kind, writer->segment.id, number);
    memcpy(deeplake_bm25_page_payload(page), payload, n_bytes);
    deeplake_bm25_page_set_size(page, n_bytes);
    GenericXLogFinish(state);
    UnlockReleaseBuffer(buffer);
    CHECK_FOR_INTERRUPTS();
    return block;
}

static void
write_section_page(DeeplakeBm25Writer *writer, DeeplakeBm25Section which)
{
    Section *section = &writer->sections[which];

    if (section->n_blocks == section->n_allocated) {
        Size n = section->n_allocated ? (Size)section->n_allocated * 2 : 256;

        section->blocks =
            section->blocks ? repalloc_huge(section->blocks, n * sizeof(BlockNumber))
                            : MemoryContextAllocHuge(writer->context, n * sizeof(BlockNumber));
        section->n_allocated = (uint32)n;
    }
    section->blocks[section->n_blocks] =
        write_page(writer, (uint16)(DEEPLAKE_BM25_PAGE_SECTION + which), section->n_blocks,
            section->payload, section->n_bytes);
    section->n_blocks++;
    section->n_bytes = 0;
}

/* Room for so many bytes on one page of a section that uses at most limit of each. */
static char *
reserve(DeeplakeBm25Writer *writer, DeeplakeBm25Section which, int n_bytes, int limit)
{
    Section *section = &writer->sections[which];
    char *room;

    if (section->n_bytes + n_bytes > limit)
        write_section_page(writer, which);
    room = section->payload + section->n_bytes;
    section->n_bytes += n_bytes;
    return room;
}

/* --- documents --- */

uint32
deeplake_bm25_writer_document(
    DeeplakeBm25Writer *writer, const ItemPointerData *tid, uint32 length)
{
    uint32 document = writer->segment.n_documents;
    char *bits;

    if (document == PG_UINT32_MAX)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                           errmsg("index \"%s\" has too many rows for one segment",
                               RelationGetRelationName(writer->index)),
                           errhint("Partition the table.")));
    if (document == writer->n_lengths_allocated) {
        Size n = document ? (Size)document * 2 : 1024;

        writer->lengths = writer->lengths
                              ? repalloc_huge(writer->lengths, n * sizeof(uint16))
                              : MemoryContextAllocHuge(writer->context, n * sizeof(uint16));
        writer->n_lengths_allocated = n;
    }
    writer->lengths[document] = deeplake_bm25_saturate(length);

    memcpy(reserve(writer, DEEPLAKE_BM25_LENGTHS, sizeof(length),
               DEEPLAKE_BM25_LENGTHS_PER_PAGE * (int)sizeof(length)),
        &length, sizeof(length));
    memcpy(reserve(writer, DEEPLAKE_BM25_TIDS, sizeof(*tid), DEEPLAKE_BM25_PAYLOAD), tid,
        sizeof(*tid));
    if (document % 8 == 0)
        *reserve(writer, DEEPLAKE_BM25_ALIVE, 1, DEEPLAKE_BM25_ALIVE_PER_PAGE / 8) = 0;
    bits = writer->sections[DEEPLAKE_BM25_ALIVE].payload +
           writer->sections[DEEPLAKE_BM25_ALIVE].n_bytes - 1;
    *bits = (char)(*bits | (1 << document % 8));

    writer->segment.n_documents++;
    writer->segment.n_tokens += length;
    return document;
}

void
deeplake_bm25_writer_null(DeeplakeBm25Writer *writer, const ItemPointerData *tid)
{
    memcpy(reserve(writer, DEEPLAKE_BM25_NULLS, sizeof(*tid), DEEPLAKE_BM25_PAYLOAD), tid,
        sizeof(*tid));
    writer->segment.n_nulls++;
}

/* --- postings --- */

static int
bits_for(uint32 value)
{
    return value == 0 ? 0 : pg_leftmost_one_pos32(value) + 1;
}

/* Low bits first, filled to a byte. */
static char *
pack(char *at, const uint32 *values, int n, int n_bits)
{
    uint64 pending = 0;
    int n_pending = 0;

    for (int i = 0; i < n; i++) {
        pending |= (uint64)values[i] << n_pending;
        for (n_pending += n_bits; n_pending >= 8; n_pending -= 8) {
            *at++ = (char)pending;
            pending >>= 8;
        }
    }
    if (n_pending > 0)
        *at++ = (char)pending;
    return at;
}

/* Writes the block at work: where it is, and its bounds. */
static DeeplakeBm25Skip
write_block(DeeplakeBm25Writer *writer)
{
    char bytes[sizeof(DeeplakeBm25Block) + 8 * DEEPLAKE_BM25_BLOCK_DOCUMENTS];
    uint32 distances[DEEPLAKE_BM25_BLOCK_DOCUMENTS], less[DEEPLAKE_BM25_BLOCK_DOCUMENTS];
    int n = writer->n_block;
    uint32 all_distances = 0, all_tfs = 0, max_tf = 0;
    DeeplakeBm25Block block = {.first_document = writer->documents[0]};
    DeeplakeBm25Skip skip = {.min_length = PG_UINT16_MAX};
    char *end;

    for (int i = 0; i < n; i++) {
        if (i > 0)
            all_distances |= distances[i - 1] =
                writer->documents[i] - writer->documents[i - 1] - 1;
        all_tfs |= less[i] = writer->tfs[i] - 1;
        max_tf = Max(max_tf, writer->tfs[i]);
        skip.min_length = Min(skip.min_length, writer->lengths[writer->documents[i]]);
    }
    block.n_more = (uint8)(n - 1);
    block.doc_bits = (uint8)bits_for(all_distances);
    block.tf_bits = (uint8)bits_for(all_tfs);
    memcpy(bytes, &block, sizeof(block));
    end = pack(bytes + sizeof(block), distances, n - 1, block.doc_bits);
    end = pack(end, less, n, block.tf_bits);

    skip.n_bytes = (uint16)(end - bytes);
    memcpy(reserve(writer, DEEPLAKE_BM25_POSTINGS, skip.n_bytes, DEEPLAKE_BM25_PAYLOAD), bytes,
        skip.n_bytes);
    skip.page = writer->sections[DEEPLAKE_BM25_POSTINGS].n_blocks;
    skip.offset = (uint16)(writer->sections[DEEPLAKE_BM25_POSTINGS].n_bytes - skip.n_bytes);
    skip.last_document = writer->documents[n - 1];
    skip.max_tf = deeplake_bm25_saturate(max_tf);
    writer->max_tf = Max(writer->max_tf, skip.max_tf);
    writer->min_length = Min(writer->min_length, skip.min_length);
    writer->n_block = 0;
    return skip;
}

static void
write_skip(DeeplakeBm25Writer *writer)
{
    DeeplakeBm25Skip skip = write_block(writer);
    Section *section = &writer->sections[DEEPLAKE_BM25_SKIPS];

    memcpy(reserve(writer, DEEPLAKE_BM25_SKIPS, sizeof(skip),
               DEEPLAKE_BM25_SKIPS_PER_PAGE * (int)sizeof(skip)),
        &skip, sizeof(skip));
    if (writer->n_skips++ == 0)
        writer->first_skip = section->n_blocks * DEEPLAKE_BM25_SKIPS_PER_PAGE +
                             (uint32)section->n_bytes / sizeof(skip) - 1;
}

void
deeplake_bm25_writer_posting(DeeplakeBm25Writer *writer, uint32 document, uint32 tf)
{
    Assert(document < writer->segment.n_documents && tf > 0);
    if (writer->n_block == DEEPLAKE_BM25_BLOCK_DOCUMENTS)
        write_skip(writer);
    writer->documents[writer->n_block] = document;
    writer->tfs[writer->n_block] = tf;
    writer->n_block++;
    writer->df++;
}

/* --- the dictionary --- */

static char *
put_entry(DeeplakeBm25Writer *writer, char *at)
{
    DeeplakeBm25Skip skip;

    at = deeplake_bm25_put_varint(at, writer->df);
    if (writer->df == 1) {
        at = deeplake_bm25_put_varint(at, writer->documents[0]);
        at = deeplake_bm25_put_varint(at, writer->tfs[0]);
        return deeplake_bm25_put_varint(at, writer->lengths[writer->documents[0]]);
    }
    if (writer->df <= DEEPLAKE_BM25_BLOCK_DOCUMENTS) {
        skip = write_block(writer);
        at = deeplake_bm25_put_varint(at, skip.page);
        at = deeplake_bm25_put_varint(at, skip.offset);
        at = deeplake_bm25_put_varint(at, skip.n_bytes);
    } else {
        write_skip(writer);
        at = deeplake_bm25_put_varint(at, writer->first_skip);
    }
    at = deeplake_bm25_put_varint(at, writer->max_tf);
    return deeplake_bm25_put_varint(at, writer->min_length);
}

static void
finish_term(DeeplakeBm25Writer *writer)
{
    Section *section = &writer->sections[DEEPLAKE_BM25_DICTIONARY];
    char values[40];
    int n_values, n_shared = 0;
    char *at;

    if (!writer->has_term || writer->df == 0) {
        writer->has_term = false;
        return;
    }
    n_values = (int)(put_entry(writer, values) - values);
    if (section->n_bytes + 2 + writer->token_size + n_values > DEEPLAKE_BM25_PAYLOAD)
        write_section_page(writer, DEEPLAKE_BM25_DICTIONARY);
    if (section->n_bytes > 0) {
        int limit = Min(writer->token_size, writer->previous_size);

        while (n_shared < limit && writer->token[n_shared] == writer->previous[n_shared])
            n_shared++;
    }

    at = reserve(writer, DEEPLAKE_BM25_DICTIONARY, 2 + writer->token_size - n_shared + n_values,
        DEEPLAKE_BM25_PAYLOAD);
    *at++ = (char)n_shared;
    *at++ = (char)(writer->token_size - n_shared);
    memcpy(at, writer->token + n_shared, writer->token_size - n_shared);
    memcpy(at + writer->token_size - n_shared, values, n_values);
    memcpy(writer->previous, writer->token, writer->token_size);
    writer->previous_size = writer->token_size;
    writer->segment.n_terms++;
    writer->has_term = false;
}

void
deeplake_bm25_writer_term(DeeplakeBm25Writer *writer, const char *token, int size)
{
    finish_term(writer);
    memcpy(writer->token, token, size);
    writer->token_size = size;
    writer->has_term = true;
    writer->df = 0;
    writer->n_block = 0;
    writer->n_skips = 0;
    writer->max_tf = 0;
    writer->min_length = PG_UINT16_MAX;
}

/* --- the map --- */

static void
write_map(DeeplakeBm25Writer *writer)
{
    uint32 n_pages = writer->segment.starts[DEEPLAKE_BM25_N_SECTIONS];
    BlockNumber *all =
        MemoryContextAllocHuge(writer->context, (Size)n_pages * sizeof(BlockNumber));
    BlockNumber leaves[DEEPLAKE_BM25_BLOCKS_PER_MAP];
    uint32 n_leaves = 0;

    if (n_pages > (uint32)DEEPLAKE_BM25_BLOCKS_PER_MAP * DEEPLAKE_BM25_BLOCKS_PER_MAP)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                           errmsg("a segment of index \"%s\" takes too many pages",
                               RelationGetRelationName(writer->index)),
                           errhint("Partition the table.")));
    for (int i = 0; i < DEEPLAKE_BM25_N_SECTIONS; i++) {
        if (writer->sections[i].n_blocks > 0)
            memcpy(all + writer->segment.starts[i], writer->sections[i].blocks,
                writer->sections[i].n_blocks * sizeof(BlockNumber));
    }
    for (uint32 at = 0; at < n_pages; at += DEEPLAKE_BM25_BLOCKS_PER_MAP) {
        uint32 n = Min(n_pages - at, (uint32)DEEPLAKE_BM25_BLOCKS_PER_MAP);

        leaves[n_leaves] = write_page(
            writer, DEEPLAKE_BM25_PAGE_MAP, n_leaves, all + at, (int)(n * sizeof(BlockNumber)));
        n_leaves++;
    }
    writer->segment.map_root = write_page(
        writer, DEEPLAKE_BM25_PAGE_MAP_ROOT, 0, leaves, (int)(n_leaves * sizeof(BlockNumber)));
}

void
deeplake_bm25_writer_finish(DeeplakeBm25Writer *writer, DeeplakeBm25Segment *ret_segment)
{
    uint32 n_pages = 0;

    finish_term(writer);
    for (int i = 0; i < DEEPLAKE_BM25_N_SECTIONS; i++) {
        if (writer->sections[i].n_bytes > 0)
            write_section_page(writer, (DeeplakeBm25Section)i);
        writer->segment.starts[i] = n_pages;
        n_pages += writer->sections[i].n_blocks;
    }
    writer->segment.starts[DEEPLAKE_BM25_N_SECTIONS] = n_pages;
    if (n_pages > 0)
        write_map(writer);
    else
        writer->segment.id = 0;
    *ret_segment = writer->segment;
    MemoryContextDelete(writer->context);
}
