/* SPDX-License-Identifier: Apache-2.0 */

/* The access method: chooses the kind, forwards the server's calls, and tells the planner what
 * an index cannot do. */

#include "core/pg_deeplake/index.h"

#include "core/pg_deeplake/bm25.h"
#include "core/pg_deeplake/index/kinds.h"
#include "core/pg_deeplake/index/options.h"

#include <access/relscan.h>
#include <access/table.h>
#include <catalog/index.h>
#include <commands/vacuum.h>
#include <miscadmin.h>
#include <nodes/pathnodes.h>
#include <nodes/tidbitmap.h>
#include <storage/bufmgr.h>
#include <utils/acl.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/snapmgr.h>

PG_FUNCTION_INFO_V1(deeplake_index_handler);
PG_FUNCTION_INFO_V1(deeplake_index_check);

/* What a path costs that would give wrong rows: beyond any other, enable_seqscan = off
 * included, and yet a number that can be added and subtracted. */
#define COST_NEVER 1e15

/* scan->opaque: a plain index scan over a kind that has bitmaps only. */
typedef struct {
    const DeeplakeIndexKind *kind;
    void *kind_opaque;
    TIDBitmap *bitmap;
    TBMIterator *iterator;
    TBMIterateResult *page; /* borrowed from iterator */
    int next;               /* of page's tuples */
} KindScan;

void
deeplake_index_install(void)
{
    deeplake_index_options_install();
}

bool
deeplake_index_is_ours(Relation index)
{
    /* Compared by function and not by name: the access method's name is the user's to give. */
    return index->rd_indam && index->rd_indam->amvalidate == deeplake_index_validate;
}

const DeeplakeIndexKind *
deeplake_index_kind(Relation index)
{
    DeeplakeIndexType type = deeplake_index_type(index);

    switch (type) {
    case DEEPLAKE_INDEX_EXACT_TEXT:
    case DEEPLAKE_INDEX_INVERTED:
        return &deeplake_lookup_kind;
    case DEEPLAKE_INDEX_CLUSTERED:
    case DEEPLAKE_INDEX_CLUSTERED_QUANTIZED:
    case DEEPLAKE_INDEX_POOLED_QUANTIZED:
    case DEEPLAKE_INDEX_HYBRID:
        return &deeplake_accepted_kind;
    case DEEPLAKE_INDEX_BM25:
        return &deeplake_bm25_kind;
    case DEEPLAKE_INDEX_DEFAULT:
        break;
    }
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                       errmsg("index type '%s' is not supported by this version",
                           deeplake_index_type_name(type)),
                       errhint("Use index_type = 'exact_text' for searches by =.")));
}

static IndexBuildResult *
build(Relation heap, Relation index, IndexInfo *info)
{
    deeplake_index_check_columns(index);
    if (RelationGetNumberOfBlocks(index) != 0)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                           errmsg("index \"%s\" is not empty", RelationGetRelationName(index)),
                           errhint("REINDEX builds it anew.")));
    return deeplake_index_kind(index)->build(heap, index, info);
}

static void
build_empty(Relation index)
{
    deeplake_index_check_columns(index);
    deeplake_index_kind(index)->build_empty(index);
}

static bool
insert(Relation index, Datum *values, bool *nulls, ItemPointer tid, Relation heap,
    IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo *info)
{
    return deeplake_index_kind(index)->insert(
        index, values, nulls, tid, heap, check_unique, index_unchanged, info);
}

static IndexBulkDeleteResult *
bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics,
    IndexBulkDeleteCallback callback, void *callback_state)
{
    return deeplake_index_kind(info->index)
        ->bulk_delete(info, statistics, callback, callback_state);
}

static IndexBulkDeleteResult *
vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics)
{
    return deeplake_index_kind(info->index)->vacuum_cleanup(info, statistics);
}

/* Of what a query asks of the index, what it cannot give has a cost that nobody chooses: an
 * order (the score's ascending one is no index's), and anything at all where the kind has no
 * scans. */
static void
cost_estimate(PlannerInfo *root, IndexPath *path, double loop_count, Cost *ret_startup,
    Cost *ret_total, Selectivity *ret_selectivity, double *ret_correlation, double *ret_pages)
{
    Relation index = index_open(path->indexinfo->indexoid, NoLock);
    const DeeplakeIndexKind *kind = deeplake_index_kind(index);

    if (kind == &deeplake_lookup_kind && !path->indexorderbys) {
        kind->cost_estimate(root, path, loop_count, ret_startup, ret_total, ret_selectivity,
            ret_correlation, ret_pages);
    } else {
        *ret_startup = *ret_total = COST_NEVER;
        *ret_selectivity = 1;
        *ret_correlation = 0;
        *ret_pages = path->indexinfo->pages;
#if PG_VERSION_NUM >= 180000
        path->path.disabled_nodes = 2;
#endif
    }
    index_close(index, NoLock);
}

/* --- scans --- */

static IndexScanDesc
begin_scan(Relation index, int n_keys, int n_order_bys)
{
    const DeeplakeIndexKind *kind = deeplake_index_kind(index);
    if (kind != &deeplake_lookup_kind || n_order_bys > 0)
        ereport(
            ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                       errmsg("index \"%s\" of type '%s' cannot be scanned this way",
                           RelationGetRelationName(index),
                           deeplake_index_type_name(deeplake_index_type(index))),
                       errhint("SET enable_indexscan = off gives the same rows without it.")));

    IndexScanDesc scan = kind->begin_scan(index, n_keys, 0);
    KindScan *own = palloc0(sizeof(*own));
    own->kind = kind;
    own->kind_opaque = scan->opaque;
    scan->opaque = own;
    return scan;
}

/* The kind finds its own opaque for as long as it is called. After an error nobody calls. */
#define WITH_KIND(scan, own, call)                                                             \
    do {                                                                                       \
        (scan)->opaque = (own)->kind_opaque;                                                   \
        call;                                                                                  \
        (own)->kind_opaque = (scan)->opaque;                                                   \
        (scan)->opaque = (own);                                                                \
    } while (0)

static void
forget_bitmap(KindScan *own)
{
    if (own->iterator)
        tbm_end_iterate(own->iterator);
    if (own->bitmap)
        tbm_free(own->bitmap);
    own->iterator = NULL;
    own->bitmap = NULL;
    own->page = NULL;
}

static void
rescan(IndexScanDesc scan, ScanKey keys, int n_keys, ScanKey order_bys, int n_order_bys)
{
    KindScan *own = scan->opaque;

    forget_bitmap(own);
    WITH_KIND(scan, own, own->kind->rescan(scan, keys, n_keys, order_bys, n_order_bys));
}

static int64
get_bitmap(IndexScanDesc scan, TIDBitmap *bitmap)
{
    KindScan *own = scan->opaque;
    int64 n_tuples;

    WITH_KIND(scan, own, n_tuples = own->kind->get_bitmap(scan, bitmap));
    return n_tuples;
}

/* The next of a bitmap's tuples. Of a page that the bitmap only knows as a whole, all that it
 * may have. */
static bool
next_of_bitmap(IndexScanDesc scan, KindScan *own)
{
    while (!own->page || own->next >= (own->page->ntuples < 0 ? (int)MaxHeapTuplesPerPage
                                                              : own->page->ntuples)) {
        own->page = tbm_iterate(own->iterator);
        own->next = 0;
        if (!own->page)
            return false;
    }

    OffsetNumber offset =
        own->page->ntuples < 0 ? (OffsetNumber)(own->next + 1) : own->page->offsets[own->next];
    own->next++;
    ItemPointerSet(&scan->xs_heaptid, own->page->blockno, offset);
    /* Under another snapshot than MVCC a TID may have become another row's meanwhile. */
    scan->xs_recheck = own->page->recheck || !IsMVCCSnapshot(scan->xs_snapshot);
    return true;
}

static bool
get_tuple(IndexScanDesc scan, ScanDirection direction)
{
    KindScan *own = scan->opaque;
    bool found;

    Assert(ScanDirectionIsForward(direction));
    if (own->kind->get_tuple) {
        WITH_KIND(scan, own, found = own->kind->get_tuple(scan, direction));
        return found;
    }
    if (!own->bitmap) {
        own->bitmap = tbm_create((long)work_mem * 1024, NULL);
        get_bitmap(scan, own->bitmap);
        own->iterator = tbm_begin_iterate(own->bitmap);
    }
    return next_of_bitmap(scan, own);
}

static void
end_scan(IndexScanDesc scan)
{
    KindScan *own = scan->opaque;

    forget_bitmap(own);
    scan->opaque = own->kind_opaque;
    own->kind->end_scan(scan);
    pfree(own);
}

Datum
deeplake_index_handler(PG_FUNCTION_ARGS)
{
    IndexAmRoutine *routine = makeNode(IndexAmRoutine);

    /* GIN's support functions have these numbers; its operators' strategies are ours. */
    routine->amstrategies = 0;
    routine->amsupport = 7;
    routine->amcanorderbyop = true; /* so that an operator class may name <#> */
    routine->amcanmulticol = true;
    routine->amoptionalkey = true;
    routine->amstorage = true;
    routine->amusemaintenanceworkmem = true;
    routine->amparallelvacuumoptions = VACUUM_OPTION_NO_PARALLEL;
    routine->amkeytype = InvalidOid;

    routine->ambuild = build;
    routine->ambuildempty = build_empty;
    routine->aminsert = insert;
    routine->ambulkdelete = bulk_delete;
    routine->amvacuumcleanup = vacuum_cleanup;
    routine->amcostestimate = cost_estimate;
    routine->amoptions = deeplake_index_parse_options;
    routine->amvalidate = deeplake_index_validate;
    routine->ambeginscan = begin_scan;
    routine->amrescan = rescan;
    routine->amgettuple = get_tuple;
    routine->amgetbitmap = get_bitmap;
    routine->amendscan = end_scan;
    PG_RETURN_POINTER(routine);
}

/* --- SQL --- */

static void
check_owner(Oid oid)
{
#if PG_VERSION_NUM >= 160000
    bool owner = object_ownercheck(RelationRelationId, oid, GetUserId());
#else
    bool owner = pg_class_ownercheck(oid, GetUserId());
#endif
    if (!owner)
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, get_rel_name(oid));
}

/* Opens the table and then the index, as whoever locks both does. Whose they are is asked
 * before: nobody waits for a lock, or holds up others by it, on what is not theirs. */
static Relation
open_checked(Oid oid, LOCKMODE heap_lock, Relation *ret_heap)
{
    Oid heap_oid = IndexGetRelation(oid, true);
    if (!OidIsValid(heap_oid))
        ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE), errmsg("this is not an index"),
                           errhint("Pass the name of an index, as regclass.")));
    check_owner(oid);

    Relation heap = table_open(heap_oid, heap_lock);
    Relation index = index_open(oid, AccessShareLock);
    if (index->rd_index->indrelid != heap_oid)
        ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("the index was dropped meanwhile")));
    check_owner(oid);
    if (!deeplake_index_is_ours(index) || index->rd_rel->relkind != RELKIND_INDEX)
        ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                errmsg("\"%s\" is not an index with storage of access method deeplake_index",
                    RelationGetRelationName(index)),
                errhint("Of a partitioned index, check those of the partitions.")));
    *ret_heap = heap;
    return index;
}

/* An index may be on an expression, which is its owner's code: it runs as its owner, whoever
 * asks for the check, and leaves no settings behind. */
static int64
check_as_owner(Relation heap, Relation index)
{
    Oid user;
    int security;

    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(heap->rd_rel->relowner, security | SECURITY_RESTRICTED_OPERATION);
    int level = NewGUCNestLevel();
    int64 n_entries = deeplake_index_kind(index)->check(heap, index);
    AtEOXact_GUC(false, level);
    SetUserIdAndSecContext(user, security);
    return n_entries;
}

/* deeplake_index_check(regclass) */
Datum
deeplake_index_check(PG_FUNCTION_ARGS)
{
    /* No writers, so that what is in one and not in the other is an error. There are none on a
     * standby but the replay itself, and stronger locks are not to be had there. */
    LOCKMODE lock = RecoveryInProgress() ? AccessShareLock : ShareLock;
    Relation heap;
    Relation index = open_checked(PG_GETARG_OID(0), lock, &heap);

    if (!index->rd_index->indisvalid)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                           errmsg("index \"%s\" is not valid", RelationGetRelationName(index)),
                           errhint("REINDEX INDEX builds it anew.")));
    int64 n_entries = check_as_owner(heap, index);

    index_close(index, AccessShareLock);
    table_close(heap, lock);
    PG_RETURN_INT64(n_entries);
}
