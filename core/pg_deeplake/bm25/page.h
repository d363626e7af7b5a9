/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/page.h: what a bm25 index looks like on disk.
 *
 *   block 0       the metapage: settings, the list of segments, the pending chains, what was
 *                 retired. Whoever changes what the index consists of does it by one WAL record
 *                 of this page, so that a crash leaves the state before or the state after.
 *   pending       a chain of pages, in order of insertion: one record per document (or several,
 *                 where its words take more than a page) with its terms and their counts. New
 *                 documents go to its end. When it is long it is *sealed*, a new one begins,
 * and the sealed one is written as a segment; readers meanwhile read both. segments immutable
 * but for the bits that say which documents are alive, and for the TIDs of NULL rows. Many of
 * one level are merged into one of a higher.
 *
 * Every page carries its owner: the id of its segment or pending chain; ids are never reused.
 * A page is free if and only if its owner is on none of the metapage's lists. So nothing has to
 * be written to a page to free it, and what a crash leaves half written is free by itself. The
 * free space map only suggests pages; who takes one looks at its owner. What was merged is on
 * the list of the retired, with the next transaction id of that moment, until no snapshot is
 * older. On a standby, where nobody waits for its snapshots, a reader that finds another owner
 * raises ERRCODE_T_R_SERIALIZATION_FAILURE. Pages of a chain are free at once, so that a long
 * transaction's inserts use few of them: a chain is read as a whole when a search begins, and
 * who finds another owner in it begins anew with the metapage, where the segment is listed.
 *
 * Segments. Documents are numbered from 0. A segment is a row of logical pages, its sections
 * one after the other, each from a page of its own; two levels of map pages give the block of
 * each, so that they lie wherever there was room. Sections:
 *
 *   dictionary  the terms in byte order, each: shared prefix with the one before (1 byte; 0 for
 *               the first of a page), size of the rest (1 byte), the rest, df, and
 *                 df = 1         document, tf, length
 *                 df <= 128      page, offset and size of its only block, max tf, min length
 *                 df >  128      number of its first skip entry, max tf, min length
 *               numbers as varints (7 bits a byte, low first)
 *   skips       one DeeplakeBm25Skip per block, of the terms that have several
 *   postings    blocks of up to 128 documents: DeeplakeBm25Block, the distances less one
 *               between documents in doc_bits bits each, tf − 1 in tf_bits each (low bits
 *               first, each of both arrays filled to a byte); no block lies across pages
 *   lengths     uint32 per document: its number of tokens
 *   tids        ItemPointerData per document
 *   alive       one bit per document
 *   nulls       ItemPointerData per row whose text is NULL; invalid where VACUUM took it out
 *
 * Locks. The merge lock (LockPage on block 0, ExclusiveLock) is held by whoever flushes,
 * merges, vacuums or checks, one at a time; inserters only try it. The metapage's buffer lock
 * is taken before those of others, and an insert holds it exclusively throughout.
 */

#include "core/pg_deeplake/bm25.h"

#include <access/transam.h>
#include <storage/bufmgr.h>
#include <storage/bufpage.h>

/* Of DeeplakePageHeader.kind. */
#define DEEPLAKE_BM25_PAGE_META 0x0101
#define DEEPLAKE_BM25_PAGE_PENDING 0x0102
#define DEEPLAKE_BM25_PAGE_MAP_ROOT 0x0103
#define DEEPLAKE_BM25_PAGE_MAP 0x0104
#define DEEPLAKE_BM25_PAGE_SECTION 0x0110 /* + DeeplakeBm25Section */
#define DEEPLAKE_BM25_VERSION 1

typedef enum {
    DEEPLAKE_BM25_DICTIONARY,
    DEEPLAKE_BM25_SKIPS,
    DEEPLAKE_BM25_POSTINGS,
    DEEPLAKE_BM25_LENGTHS,
    DEEPLAKE_BM25_TIDS,
    DEEPLAKE_BM25_ALIVE,
    DEEPLAKE_BM25_NULLS,
    DEEPLAKE_BM25_N_SECTIONS,
} DeeplakeBm25Section;

/* The start of every page's contents. */
typedef struct {
    DeeplakePageHeader header;
    uint32 owner;  /* 0: the metapage */
    uint32 number; /* from 0 within the section, the map or the chain */
    uint32 n_bytes;
    BlockNumber next; /* pending only */
} DeeplakeBm25PageHead;

StaticAssertDecl(sizeof(DeeplakeBm25PageHead) == 24, "DeeplakeBm25PageHead is on disk");

#define DEEPLAKE_BM25_PAYLOAD                                                                  \
    ((int)(BLCKSZ - MAXALIGN(SizeOfPageHeaderData) - sizeof(DeeplakeBm25PageHead)))
/* A multiple of 16, so that a page of lengths has whole bytes of alive bits. */
#define DEEPLAKE_BM25_LENGTHS_PER_PAGE (DEEPLAKE_BM25_PAYLOAD / 4 / 16 * 16)
#define DEEPLAKE_BM25_ALIVE_PER_PAGE                                                           \
    (DEEPLAKE_BM25_PAYLOAD * 8 / DEEPLAKE_BM25_LENGTHS_PER_PAGE *                              \
        DEEPLAKE_BM25_LENGTHS_PER_PAGE)
#define DEEPLAKE_BM25_TIDS_PER_PAGE (DEEPLAKE_BM25_PAYLOAD / (int)sizeof(ItemPointerData))
#define DEEPLAKE_BM25_SKIPS_PER_PAGE (DEEPLAKE_BM25_PAYLOAD / (int)sizeof(DeeplakeBm25Skip))
#define DEEPLAKE_BM25_BLOCKS_PER_MAP (DEEPLAKE_BM25_PAYLOAD / (int)sizeof(BlockNumber))

#define DEEPLAKE_BM25_BLOCK_DOCUMENTS 128

typedef struct {
    uint32 first_document;
    uint8 n_more; /* documents after the first */
    uint8 doc_bits, tf_bits;
    uint8 zero;
} DeeplakeBm25Block;

StaticAssertDecl(sizeof(DeeplakeBm25Block) == 8, "DeeplakeBm25Block is on disk");

/* max_tf and min_length bound what the block's documents can score, whatever k1, b, and the
 * statistics are; they stop at 65535, which for max_tf means "or more". */
typedef struct {
    uint32 last_document;
    uint32 page;
    uint16 offset, n_bytes;
    uint16 max_tf, min_length;
} DeeplakeBm25Skip;

StaticAssertDecl(sizeof(DeeplakeBm25Skip) == 16, "DeeplakeBm25Skip is on disk");

/* One record of a pending page, followed by n_bytes of terms: size (1 byte), token, tf as a
 * varint. Records begin at multiples of 4. */
typedef struct {
    ItemPointerData tid;
    uint16 flags;
    uint32 length; /* tokens of the whole document */
    uint16 n_bytes, n_terms;
} DeeplakeBm25Record;

StaticAssertDecl(sizeof(DeeplakeBm25Record) == 16, "DeeplakeBm25Record is on disk");

#define DEEPLAKE_BM25_RECORD_FIRST 1 /* where a document begins */
/* Taken out by VACUUM. Where VACUUM was interrupted a document's later parts may lack it: the
 * first part's is that of the document. */
#define DEEPLAKE_BM25_RECORD_DEAD 2
#define DEEPLAKE_BM25_RECORD_NULL 4 /* a row whose text is NULL */

typedef struct {
    uint32 id;
    uint32 level;
    BlockNumber map_root;
    uint32 n_terms;
    uint32 n_documents; /* dead ones too */
    uint32 n_dead;
    uint32 n_nulls; /* dead ones too */
    uint32 n_dead_nulls;
    uint64 n_tokens; /* of dead documents too */
    /* The logical page where each section starts; the last: how many pages there are. */
    uint32 starts[DEEPLAKE_BM25_N_SECTIONS + 1];
} DeeplakeBm25Segment;

StaticAssertDecl(sizeof(DeeplakeBm25Segment) == 72, "DeeplakeBm25Segment is on disk");

typedef struct {
    uint32 id; /* 0: there is none */
    BlockNumber head, tail;
    uint32 n_pages;
    uint32 n_records;
    uint32 n_documents; /* dead ones too */
    uint32 n_dead;
    uint32 n_nulls; /* dead ones too */
    uint64 n_tokens;
} DeeplakeBm25Chain;

StaticAssertDecl(sizeof(DeeplakeBm25Chain) == 40, "DeeplakeBm25Chain is on disk");

/* Segments first to last that are on no other list any more: their pages stay as they are
 * until no snapshot is older than xid. root is the map's, invalid where several were put
 * together, whose pages VACUUM then finds. */
typedef struct {
    uint32 first, last;
    BlockNumber root;
    uint32 zero;
    uint64 xid;
} DeeplakeBm25Retired;

StaticAssertDecl(sizeof(DeeplakeBm25Retired) == 24, "DeeplakeBm25Retired is on disk");

#define DEEPLAKE_BM25_MAX_SEGMENTS 64
#define DEEPLAKE_BM25_MAX_RETIRED 96
#define DEEPLAKE_BM25_TOKENIZER_MAX 132

typedef struct {
    DeeplakeBm25PageHead head;
    /* What the index was built with: ALTER INDEX … SET does not change it. */
    char tokenizer[DEEPLAKE_BM25_TOKENIZER_MAX];
    uint32 next_id;
    uint32 building; /* the id of the segment that is being written, or was at a crash; or 0 */
    uint32 n_segments;
    uint32 n_retired;
    uint32 zero;
    DeeplakeBm25Chain pending, sealed;
    DeeplakeBm25Segment segments[DEEPLAKE_BM25_MAX_SEGMENTS];
    DeeplakeBm25Retired retired[DEEPLAKE_BM25_MAX_RETIRED];
} DeeplakeBm25Meta;

StaticAssertDecl(sizeof(DeeplakeBm25Meta) == 7168, "DeeplakeBm25Meta is on disk");
StaticAssertDecl(sizeof(DeeplakeBm25Meta) <= BLCKSZ - MAXALIGN(SizeOfPageHeaderData),
    "DeeplakeBm25Meta fits a page");

/* --- reading (page.c) --- */

static inline DeeplakeBm25PageHead *
deeplake_bm25_page_head(Page page)
{
    return (DeeplakeBm25PageHead *)PageGetContents(page);
}

static inline char *
deeplake_bm25_page_payload(Page page)
{
    return PageGetContents(page) + sizeof(DeeplakeBm25PageHead);
}

/* Raises the ERROR that fits unless the page is this one. */
void deeplake_bm25_page_expect(
    Relation index, Buffer buffer, uint16 kind, uint32 owner, uint32 number);
/* Pinned, locked in this mode, and as expected. */
Buffer deeplake_bm25_page_get(
    Relation index, BlockNumber block, uint16 kind, uint32 owner, uint32 number, int mode);
/* Copies the metapage. */
void deeplake_bm25_meta_read(Relation index, DeeplakeBm25Meta *ret_meta);
/* The metapage's buffer, locked exclusively; change it through GenericXLog. */
Buffer deeplake_bm25_meta_lock(Relation index);
DeeplakeBm25Meta *deeplake_bm25_meta_of(Page page);
/* Whether pages of this owner are in use, or may still be read by somebody. */
bool deeplake_bm25_meta_owns(const DeeplakeBm25Meta *meta, uint32 owner);

/* --- writing (page.c) --- */

/* A page that is free: new, or of an owner that meta has on none of its lists. Locked
 * exclusively. ret_nothing_free is set where there was none, and spares the next search. */
Buffer
deeplake_bm25_page_take(Relation index, const DeeplakeBm25Meta *meta, bool *ret_nothing_free);
/* Makes page an empty one of this kind, within a GenericXLog record. */
void deeplake_bm25_page_init(Page page, uint16 kind, uint32 owner, uint32 number);
/* Sets how much of the payload is used, for the head and for the WAL. */
void deeplake_bm25_page_set_size(Page page, int n_bytes);
/* Block 0 of a new index. */
void deeplake_bm25_meta_create(Relation index, ForkNumber fork);

/* --- the merge lock (page.c) --- */

void deeplake_bm25_merge_lock(Relation index);
bool deeplake_bm25_merge_try_lock(Relation index);
void deeplake_bm25_merge_unlock(Relation index);

/* --- numbers --- */

static inline char *
deeplake_bm25_put_varint(char *at, uint32 value)
{
    while (value >= 128) {
        *at++ = (char)(value | 128);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

/* NULL: it does not end before end. */
static inline const char *
deeplake_bm25_get_varint(const char *at, const char *end, uint32 *ret_value)
{
    uint32 value = 0;

    for (int shift = 0; at < end && shift < 35; shift += 7) {
        unsigned char byte = (unsigned char)*at++;

        value |= (uint32)(byte & 127) << shift;
        if (byte < 128) {
            *ret_value = value;
            return at;
        }
    }
    return NULL;
}

static inline uint16
deeplake_bm25_saturate(uint32 value)
{
    return value > PG_UINT16_MAX ? PG_UINT16_MAX : (uint16)value;
}
