/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/index.h: the index access method deeplake_index, and the face of what serves
 * one index type.
 *
 * index.c is the access method: it reads the options, chooses the kind by index_type and the
 * column's type, and forwards the server's calls. A kind is one constant DeeplakeIndexKind and
 * one line in the table of index.c.
 *
 * Every page of a kind of our own begins with DeeplakePageHeader right after PageHeaderData's
 * end (PageGetContents), is changed through GenericXLog only, and is read as what its magic,
 * version and kind say, or the read fails with ERRCODE_INDEX_CORRUPTED.
 */

#include "core/pg_deeplake/module.h"

#include <access/amapi.h>
#include <access/genam.h>
#include <nodes/execnodes.h>
#include <utils/rel.h>

typedef enum {
    DEEPLAKE_INDEX_DEFAULT, /* by the column's type */
    DEEPLAKE_INDEX_BM25,
    DEEPLAKE_INDEX_EXACT_TEXT,
    DEEPLAKE_INDEX_INVERTED,
    DEEPLAKE_INDEX_CLUSTERED,
    DEEPLAKE_INDEX_CLUSTERED_QUANTIZED,
    DEEPLAKE_INDEX_POOLED_QUANTIZED,
    DEEPLAKE_INDEX_HYBRID, /* by the column's type only: no name of WITH (index_type) */
} DeeplakeIndexType;

/* rd_options of an index: WITH (…). Strings are offsets from the start, as reloptions.h has it.
 */
typedef struct {
    int32 vl_len_;
    /* exact_text, inverted: where GinOptions has them, since GIN reads them from here. */
    bool fast_update;
    int pending_list_limit;
    int index_type; /* of DeeplakeIndexType, as written */
    double k1, b;   /* bm25 */
    int tokenizer;  /* bm25: offset of 'unicode' or the name of a text search configuration */
} DeeplakeIndexOptions;

#define DEEPLAKE_BM25_K1 1.5
#define DEEPLAKE_BM25_B 0.75

typedef struct {
    /* The server's own callbacks, with its meaning: see access/amapi.h. */
    ambuild_function build;
    ambuildempty_function build_empty;
    aminsert_function insert;
    ambulkdelete_function bulk_delete;
    amvacuumcleanup_function vacuum_cleanup;
    /* Scans by the server's own plan nodes; scan->opaque is the kind's. All NULL where there
     * are none: the planner is told so, and never chooses such an index. Where only get_tuple
     * is NULL, index.c makes plain index scans of bitmaps. */
    ambeginscan_function begin_scan;
    amrescan_function rescan;
    amgettuple_function get_tuple;
    amgetbitmap_function get_bitmap;
    amendscan_function end_scan;
    amcostestimate_function cost_estimate;
    /* Raises an ERROR (ERRCODE_INDEX_CORRUPTED) that says what is wrong and where; checks the
     * index against itself and against heap. Returns the number of entries checked. */
    int64 (*check)(Relation heap, Relation index);
} DeeplakeIndexKind;

/* Called by _PG_init: defines the index options. */
void deeplake_index_install(void);

/* What an existing index is, never DEEPLAKE_INDEX_DEFAULT. */
DeeplakeIndexType deeplake_index_type(Relation index);
/* Its options, the defaults where none were given. Borrowed from the relation, or static. */
const DeeplakeIndexOptions *deeplake_index_options(Relation index);
/* "bm25", …: as CREATE INDEX takes it. */
const char *deeplake_index_type_name(DeeplakeIndexType type);
/* Whether this relation is an index of ours, by its access method. */
bool deeplake_index_is_ours(Relation index);

/* The first bytes of a page's contents. */
typedef struct {
    uint32 magic; /* DEEPLAKE_PAGE_MAGIC */
    uint16 version;
    uint16 kind; /* a number that the kind's own header gives: BM25 has 0x01xx, … */
} DeeplakePageHeader;

#define DEEPLAKE_PAGE_MAGIC 0x44504c4bU /* "KLPD" on disk, little-endian */
