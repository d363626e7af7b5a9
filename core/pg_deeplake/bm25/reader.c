/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/reader.h"

#include "core/pg_deeplake/bm25/terms.h"

#include <miscadmin.h>
#include <port/pg_bswap.h>
#include <utils/memutils.h>

uint32
deeplake_bm25_segment_n_maps(const DeeplakeBm25Segment *segment)
{
    uint32 n_pages = segment->starts[DEEPLAKE_BM25_N_SECTIONS];

    return 1 + (n_pages + DEEPLAKE_BM25_BLOCKS_PER_MAP - 1) / DEEPLAKE_BM25_BLOCKS_PER_MAP;
}

uint32
deeplake_bm25_segment_n_pages(const DeeplakeBm25Segment *segment, DeeplakeBm25Section section)
{
    return segment->starts[section + 1] - segment->starts[section];
}

void
deeplake_bm25_reader_corrupted(DeeplakeBm25Reader *reader, const char *what)
{
    ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                       errmsg("segment %u of index \"%s\": %s", reader->segment.id,
                           RelationGetRelationName(reader->index), what),
                       errhint("Run REINDEX.")));
}

/* Reads a page of the map into an array of its own. */
static BlockNumber *
read_map(DeeplakeBm25Reader *reader, BlockNumber block, uint16 kind, uint32 number, uint32 n)
{
    Buffer buffer = deeplake_bm25_page_get(
        reader->index, block, kind, reader->segment.id, number, BUFFER_LOCK_SHARE);
    Page page = BufferGetPage(buffer);
    BlockNumber *blocks = palloc(Max(n, 1) * sizeof(BlockNumber));

    if (deeplake_bm25_page_head(page)->n_bytes != n * sizeof(BlockNumber))
        deeplake_bm25_reader_corrupted(reader, "a page of its map has another size");
    memcpy(blocks, deeplake_bm25_page_payload(page), n * sizeof(BlockNumber));
    UnlockReleaseBuffer(buffer);
    return blocks;
}

DeeplakeBm25Reader *
deeplake_bm25_reader_open(Relation index, const DeeplakeBm25Segment *segment)
{
    DeeplakeBm25Reader *reader = palloc0(sizeof(*reader));
    uint32 n_leaves = deeplake_bm25_segment_n_maps(segment) - 1;

    reader->index = index;
    reader->segment = *segment;
    for (int i = 0; i < DEEPLAKE_BM25_N_SECTIONS; i++) {
        if (segment->starts[i] > segment->starts[i + 1])
            deeplake_bm25_reader_corrupted(reader, "its sections overlap");
    }
    if (n_leaves > DEEPLAKE_BM25_BLOCKS_PER_MAP)
        deeplake_bm25_reader_corrupted(reader, "it has too many pages");
    reader->root =
        read_map(reader, segment->map_root, DEEPLAKE_BM25_PAGE_MAP_ROOT, 0, n_leaves);
    reader->leaves = palloc0(Max(n_leaves, 1) * sizeof(BlockNumber *));
    return reader;
}

void
deeplake_bm25_reader_close(DeeplakeBm25Reader *reader)
{
    uint32 n_leaves = deeplake_bm25_segment_n_maps(&reader->segment) - 1;

    for (uint32 i = 0; i < n_leaves; i++) {
        if (reader->leaves[i])
            pfree(reader->leaves[i]);
    }
    pfree(reader->leaves);
    pfree(reader->root);
    pfree(reader);
}

/* --- pages --- */

BlockNumber
deeplake_bm25_reader_block(DeeplakeBm25Reader *reader, DeeplakeBm25Section section, uint32 page)
{
    uint32 n_pages = reader->segment.starts[DEEPLAKE_BM25_N_SECTIONS];
    uint32 logical = reader->segment.starts[section] + page;
    uint32 leaf = logical / DEEPLAKE_BM25_BLOCKS_PER_MAP;

    if (page >= deeplake_bm25_segment_n_pages(&reader->segment, section))
        deeplake_bm25_reader_corrupted(reader, "something refers to a page beyond its end");
    if (!reader->leaves[leaf]) {
        uint32 first = leaf * DEEPLAKE_BM25_BLOCKS_PER_MAP;

        reader->leaves[leaf] = read_map(reader, reader->root[leaf], DEEPLAKE_BM25_PAGE_MAP,
            leaf, Min(n_pages - first, (uint32)DEEPLAKE_BM25_BLOCKS_PER_MAP));
    }
    return reader->leaves[leaf][logical % DEEPLAKE_BM25_BLOCKS_PER_MAP];
}

void
deeplake_bm25_pin_release(DeeplakeBm25Pin *pin)
{
    if (pin->buffer != InvalidBuffer)
        ReleaseBuffer(pin->buffer);
    pin->buffer = InvalidBuffer;
}

static const char *
lock_page(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin, DeeplakeBm25Section section,
    uint32 page, uint32 *ret_n_bytes)
{
    uint32 logical = reader->segment.starts[section] + page;

    if (pin->buffer == InvalidBuffer || pin->page != logical) {
        deeplake_bm25_pin_release(pin);
        pin->buffer =
            ReadBuffer(reader->index, deeplake_bm25_reader_block(reader, section, page));
        pin->page = logical;
    }
    LockBuffer(pin->buffer, BUFFER_LOCK_SHARE);
    deeplake_bm25_page_expect(reader->index, pin->buffer,
        (uint16)(DEEPLAKE_BM25_PAGE_SECTION + section), reader->segment.id, page);
    *ret_n_bytes = deeplake_bm25_page_head(BufferGetPage(pin->buffer))->n_bytes;
    return deeplake_bm25_page_payload(BufferGetPage(pin->buffer));
}

void
deeplake_bm25_reader_copy(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin,
    DeeplakeBm25Section section, uint32 page, uint32 offset, uint32 n_bytes, void *ret_bytes)
{
    uint32 n_there;
    const char *payload = lock_page(reader, pin, section, page, &n_there);

    if (offset > n_there || n_bytes > n_there - offset)
        deeplake_bm25_reader_corrupted(reader, "something refers to bytes beyond a page's end");
    memcpy(ret_bytes, payload + offset, n_bytes);
    LockBuffer(pin->buffer, BUFFER_LOCK_UNLOCK);
}

uint32
deeplake_bm25_reader_copy_page(
    DeeplakeBm25Reader *reader, DeeplakeBm25Section section, uint32 page, char *ret_payload)
{
    DeeplakeBm25Pin pin = {0};
    uint32 n_bytes;
    const char *payload = lock_page(reader, &pin, section, page, &n_bytes);

    memcpy(ret_payload, payload, n_bytes);
    LockBuffer(pin.buffer, BUFFER_LOCK_UNLOCK);
    deeplake_bm25_pin_release(&pin);
    return n_bytes;
}

/* --- documents --- */

void
deeplake_bm25_reader_tid(
    DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin, uint32 document, ItemPointer ret_tid)
{
    deeplake_bm25_reader_copy(reader, pin, DEEPLAKE_BM25_TIDS,
        document / DEEPLAKE_BM25_TIDS_PER_PAGE,
        document % DEEPLAKE_BM25_TIDS_PER_PAGE * sizeof(*ret_tid), sizeof(*ret_tid), ret_tid);
}

uint32
deeplake_bm25_reader_length(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin, uint32 document)
{
    uint32 length;

    deeplake_bm25_reader_copy(reader, pin, DEEPLAKE_BM25_LENGTHS,
        document / DEEPLAKE_BM25_LENGTHS_PER_PAGE,
        document % DEEPLAKE_BM25_LENGTHS_PER_PAGE * sizeof(length), sizeof(length), &length);
    return length;
}

uint8 *
deeplake_bm25_reader_alive(DeeplakeBm25Reader *reader)
{
    uint32 n_pages = deeplake_bm25_segment_n_pages(&reader->segment, DEEPLAKE_BM25_ALIVE);
    Size n_per_page = DEEPLAKE_BM25_ALIVE_PER_PAGE / 8;
    Size n_wanted = ((Size)reader->segment.n_documents + 7) / 8;
    uint8 *bits = palloc_extended(
        (Size)n_pages * DEEPLAKE_BM25_PAYLOAD + 1, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

    for (uint32 i = 0; i < n_pages; i++) {
        uint32 n_bytes = deeplake_bm25_reader_copy_page(
            reader, DEEPLAKE_BM25_ALIVE, i, (char *)bits + n_per_page * i);

        if (n_bytes != Min(n_per_page, n_wanted - Min(n_wanted, n_per_page * i)))
            deeplake_bm25_reader_corrupted(reader, "a page of alive bits has another size");
    }
    if (n_wanted > n_pages * n_per_page)
        deeplake_bm25_reader_corrupted(reader, "it has too few alive bits");
    return bits;
}

/* --- the dictionary --- */

static const char *
get_entry(const char *at, const char *end, DeeplakeBm25Entry *ret_entry)
{
    uint32 *wanted[3];
    int n_wanted;
    uint32 max_tf = 0, min_length = 0;

    memset(ret_entry, 0, sizeof(*ret_entry));
    at = deeplake_bm25_get_varint(at, end, &ret_entry->df);
    if (!at || ret_entry->df == 0)
        return NULL;
    wanted[0] = ret_entry->df == 1                               ? &ret_entry->document
                : ret_entry->df <= DEEPLAKE_BM25_BLOCK_DOCUMENTS ? &ret_entry->page
                                                                 : &ret_entry->first_skip;
    wanted[1] = &ret_entry->offset;
    wanted[2] = &ret_entry->n_bytes;
    n_wanted = ret_entry->df > 1 && ret_entry->df <= DEEPLAKE_BM25_BLOCK_DOCUMENTS ? 3 : 1;
    for (int i = 0; at && i < n_wanted; i++)
        at = deeplake_bm25_get_varint(at, end, wanted[i]);
    if (at)
        at = deeplake_bm25_get_varint(at, end, &max_tf);
    if (at)
        at = deeplake_bm25_get_varint(at, end, &min_length);
    ret_entry->tf = max_tf;
    ret_entry->max_tf = deeplake_bm25_saturate(max_tf);
    ret_entry->min_length = deeplake_bm25_saturate(min_length);
    return at;
}

/* Reads an entry whose predecessor in the page is in token; NULL: it makes no sense. */
static const char *
get_term(const char *at, const char *end, char *token, int *size, DeeplakeBm25Entry *ret_entry)
{
    int n_shared, n_rest;

    if (end - at < 2)
        return NULL;
    n_shared = (unsigned char)at[0];
    n_rest = (unsigned char)at[1];
    at += 2;
    if (n_shared > *size || n_shared + n_rest > DEEPLAKE_BM25_TOKEN_MAX || n_rest > end - at)
        return NULL;
    memcpy(token + n_shared, at, n_rest);
    *size = n_shared + n_rest;
    return get_entry(at + n_rest, end, ret_entry);
}

void
deeplake_bm25_dictionary_start(DeeplakeBm25Dictionary *dictionary, DeeplakeBm25Reader *reader)
{
    dictionary->reader = reader;
    dictionary->next_page = 0;
    dictionary->at = dictionary->end = dictionary->payload;
    dictionary->size = 0;
}

bool
deeplake_bm25_dictionary_next(DeeplakeBm25Dictionary *dictionary)
{
    DeeplakeBm25Reader *reader = dictionary->reader;

    if (dictionary->at == dictionary->end) {
        if (dictionary->next_page ==
            deeplake_bm25_segment_n_pages(&reader->segment, DEEPLAKE_BM25_DICTIONARY))
            return false;
        CHECK_FOR_INTERRUPTS();
        dictionary->at = dictionary->payload;
        dictionary->end = dictionary->payload +
                          deeplake_bm25_reader_copy_page(reader, DEEPLAKE_BM25_DICTIONARY,
                              dictionary->next_page++, dictionary->payload);
        dictionary->size = 0;
    }
    dictionary->at = get_term(dictionary->at, dictionary->end, dictionary->token,
        &dictionary->size, &dictionary->entry);
    if (!dictionary->at)
        deeplake_bm25_reader_corrupted(reader, "a page of its dictionary makes no sense");
    return true;
}

/* How token stands to the first one of a page. */
static int
compare_with_page(DeeplakeBm25Reader *reader, uint32 page, const char *token, int size)
{
    DeeplakeBm25Pin pin = {0};
    char bytes[2 + DEEPLAKE_BM25_TOKEN_MAX];
    uint32 n_there;
    const char *payload = lock_page(reader, &pin, DEEPLAKE_BM25_DICTIONARY, page, &n_there);

    memcpy(bytes, payload, Min(n_there, sizeof(bytes)));
    UnlockReleaseBuffer(pin.buffer);
    if (n_there < 2 || bytes[0] != 0 || 2 + (uint32)(unsigned char)bytes[1] > n_there)
        deeplake_bm25_reader_corrupted(reader, "a page of its dictionary begins wrong");
    return deeplake_bm25_token_compare(token, size, bytes + 2, (unsigned char)bytes[1]);
}

bool
deeplake_bm25_reader_find(
    DeeplakeBm25Reader *reader, const char *token, int size, DeeplakeBm25Entry *ret_entry)
{
    uint32 low = 0;
    uint32 high = deeplake_bm25_segment_n_pages(&reader->segment, DEEPLAKE_BM25_DICTIONARY);
    DeeplakeBm25Dictionary dictionary;

    /* The last page that begins with token or before it. */
    while (low < high) {
        uint32 middle = low + (high - low) / 2;

        if (compare_with_page(reader, middle, token, size) < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (low == 0)
        return false;

    deeplake_bm25_dictionary_start(&dictionary, reader);
    dictionary.next_page = low - 1;
    while (deeplake_bm25_dictionary_next(&dictionary) && dictionary.next_page == low) {
        int order = deeplake_bm25_token_compare(dictionary.token, dictionary.size, token, size);

        if (order == 0)
            *ret_entry = dictionary.entry;
        if (order >= 0)
            return order == 0;
    }
    return false;
}

/* --- postings --- */

uint32
deeplake_bm25_entry_n_blocks(const DeeplakeBm25Entry *entry)
{
    return (entry->df + DEEPLAKE_BM25_BLOCK_DOCUMENTS - 1) / DEEPLAKE_BM25_BLOCK_DOCUMENTS;
}

void
deeplake_bm25_reader_skips(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin,
    const DeeplakeBm25Entry *entry, uint32 first, uint32 n, DeeplakeBm25Skip *ret_skips)
{
    uint32 number = entry->first_skip + first;

    if (entry->df <= DEEPLAKE_BM25_BLOCK_DOCUMENTS) {
        ret_skips->last_document =
            entry->df == 1 ? entry->document : reader->segment.n_documents - 1;
        ret_skips->page = entry->page;
        ret_skips->offset = deeplake_bm25_saturate(entry->offset);
        ret_skips->n_bytes = deeplake_bm25_saturate(entry->n_bytes);
        ret_skips->max_tf = entry->max_tf;
        ret_skips->min_length = entry->min_length;
        return;
    }
    while (n > 0) {
        uint32 at = number % DEEPLAKE_BM25_SKIPS_PER_PAGE;
        uint32 n_here = Min(n, DEEPLAKE_BM25_SKIPS_PER_PAGE - at);

        deeplake_bm25_reader_copy(reader, pin, DEEPLAKE_BM25_SKIPS,
            number / DEEPLAKE_BM25_SKIPS_PER_PAGE, at * sizeof(*ret_skips),
            n_here * sizeof(*ret_skips), ret_skips);
        ret_skips += n_here;
        number += n_here;
        n -= n_here;
    }
}

/* Reads up to eight bytes beyond the last. */
static void
unpack(const char *at, uint32 *values, int n, int n_bits)
{
    uint64 mask = (UINT64CONST(1) << n_bits) - 1;
    uint32 at_bit = 0;

    for (int i = 0; i < n; i++, at_bit += (uint32)n_bits) {
        uint64 word;

        memcpy(&word, at + at_bit / 8, sizeof(word));
#ifdef WORDS_BIGENDIAN
        word = pg_bswap64(word);
#endif
        values[i] = (uint32)(word >> at_bit % 8 & mask);
    }
}

int
deeplake_bm25_reader_postings(DeeplakeBm25Reader *reader, DeeplakeBm25Pin *pin,
    const DeeplakeBm25Entry *entry, const DeeplakeBm25Skip *skip, uint32 *ret_documents,
    uint32 *ret_tfs)
{
    char bytes[sizeof(DeeplakeBm25Block) + 8 * DEEPLAKE_BM25_BLOCK_DOCUMENTS + 8];
    DeeplakeBm25Block block;
    int n;
    uint32 n_packed;
    bool is_wrong = false;

    if (entry->df == 1) {
        if (entry->document >= reader->segment.n_documents || entry->tf == 0)
            deeplake_bm25_reader_corrupted(reader, "a posting is of no document");
        ret_documents[0] = entry->document;
        ret_tfs[0] = entry->tf;
        return 1;
    }
    if (skip->n_bytes < sizeof(block) || skip->n_bytes > sizeof(bytes) - 8)
        deeplake_bm25_reader_corrupted(reader, "a block of postings has a wrong size");
    deeplake_bm25_reader_copy(
        reader, pin, DEEPLAKE_BM25_POSTINGS, skip->page, skip->offset, skip->n_bytes, bytes);
    memcpy(&block, bytes, sizeof(block));
    n = block.n_more + 1;
    n_packed = ((uint32)(n - 1) * block.doc_bits + 7) / 8;
    if (n > DEEPLAKE_BM25_BLOCK_DOCUMENTS || block.doc_bits > 32 || block.tf_bits > 32 ||
        sizeof(block) + n_packed + ((uint32)n * block.tf_bits + 7) / 8 != skip->n_bytes)
        deeplake_bm25_reader_corrupted(reader, "a block of postings makes no sense");

    memset(bytes + skip->n_bytes, 0, 8);
    ret_documents[0] = block.first_document;
    unpack(bytes + sizeof(block), ret_documents + 1, n - 1, block.doc_bits);
    for (int i = 1; i < n; i++) {
        ret_documents[i] += ret_documents[i - 1] + 1;
        is_wrong |= ret_documents[i] <= ret_documents[i - 1];
    }
    unpack(bytes + sizeof(block) + n_packed, ret_tfs, n, block.tf_bits);
    for (int i = 0; i < n; i++)
        is_wrong |= ++ret_tfs[i] == 0;
    /* Whoever reads them has arrays of as many as there are documents. */
    if (is_wrong || ret_documents[n - 1] >= reader->segment.n_documents)
        deeplake_bm25_reader_corrupted(reader, "a posting is of no document");
    return n;
}

void
deeplake_bm25_postings_start(
    DeeplakeBm25Postings *postings, DeeplakeBm25Reader *reader, const DeeplakeBm25Entry *entry)
{
    postings->reader = reader;
    postings->entry = *entry;
    postings->skip_pin = (DeeplakeBm25Pin){0};
    postings->postings_pin = (DeeplakeBm25Pin){0};
    postings->next_block = 0;
    postings->n = postings->at = 0;
}

bool
deeplake_bm25_postings_next(
    DeeplakeBm25Postings *postings, uint32 *ret_document, uint32 *ret_tf)
{
    if (postings->at == postings->n) {
        if (postings->next_block == deeplake_bm25_entry_n_blocks(&postings->entry))
            return false;
        deeplake_bm25_reader_skips(postings->reader, &postings->skip_pin, &postings->entry,
            postings->next_block++, 1, &postings->skip);
        postings->n = deeplake_bm25_reader_postings(postings->reader, &postings->postings_pin,
            &postings->entry, &postings->skip, postings->documents, postings->tfs);
        postings->at = 0;
    }
    *ret_document = postings->documents[postings->at];
    *ret_tf = postings->tfs[postings->at];
    postings->at++;
    return true;
}

void
deeplake_bm25_postings_end(DeeplakeBm25Postings *postings)
{
    deeplake_bm25_pin_release(&postings->skip_pin);
    deeplake_bm25_pin_release(&postings->postings_pin);
}
