/* SPDX-License-Identifier: Apache-2.0 */

/* exact_text and inverted, by GIN's own routines: its code reads everything that differs from
 * an index `USING gin` (operator classes, key types, options) through the Relation, and
 * rd_options has GinOptions' layout at its start. */

#include "core/pg_deeplake/index/kinds.h"

#include <access/gin_private.h>
#include <access/relscan.h>
#include <access/table.h>
#include <access/tableam.h>
#include <catalog/index.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/tidbitmap.h>
#include <storage/bufmgr.h>
#include <utils/datum.h>
#include <utils/index_selfuncs.h>
#include <utils/lsyscache.h>
#include <utils/snapmgr.h>
#include <utils/tuplesort.h>
#include <utils/typcache.h>

/* Of the operator classes. */
#define EQUAL_STRATEGY 3
#define CONTAINS_STRATEGY 7

/* index_type can be set to something else after the build: what is on disk decides. */
static void
verify(Relation index)
{
    if (RelationGetNumberOfBlocks(index) == 0)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                           errmsg("index \"%s\" has no pages", RelationGetRelationName(index)),
                           errhint("REINDEX INDEX builds it anew.")));

    Buffer buffer = ReadBuffer(index, GIN_METAPAGE_BLKNO);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    Page page = BufferGetPage(buffer);
    bool sound = !PageIsNew(page) &&
                 PageGetSpecialSize(page) == MAXALIGN(sizeof(GinPageOpaqueData)) &&
                 (GinPageGetOpaque(page)->flags & GIN_META);
    UnlockReleaseBuffer(buffer);
    if (!sound)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                           errmsg("index \"%s\" was not built as index type '%s'",
                               RelationGetRelationName(index),
                               deeplake_index_type_name(deeplake_index_type(index))),
                           errhint("REINDEX INDEX builds it anew.")));
}

static bool
insert(Relation index, Datum *values, bool *nulls, ItemPointer tid, Relation heap,
    IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo *info)
{
    if (!info->ii_AmCache) /* the statement's first row */
        verify(index);
    return gininsert(index, values, nulls, tid, heap, check_unique, index_unchanged, info);
}

static IndexBulkDeleteResult *
bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics,
    IndexBulkDeleteCallback callback, void *callback_state)
{
    verify(info->index);
    return ginbulkdelete(info, statistics, callback, callback_state);
}

static IndexBulkDeleteResult *
vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics)
{
    verify(info->index);
    return ginvacuumcleanup(info, statistics);
}

static IndexScanDesc
begin_scan(Relation index, int n_keys, int n_order_bys)
{
    verify(index);
    return ginbeginscan(index, n_keys, n_order_bys);
}

/* --- the check --- */

/* Rows sorted by value and TID; one question to the index per value. */
typedef struct {
    Relation index;
    Snapshot snapshot;
    Tuplesortstate *sort;
    TupleTableSlot *slot;
    int column; /* of the index, from 0 */
    int64 n_rows;
} Check;

static void
gather_row(Relation index, ItemPointer tid, Datum *values, bool *nulls, bool alive, void *data)
{
    Check *check = data;

    if (nulls[check->column])
        return;
    ExecClearTuple(check->slot);
    check->slot->tts_values[0] = values[check->column];
    check->slot->tts_values[1] = PointerGetDatum(tid);
    check->slot->tts_isnull[0] = check->slot->tts_isnull[1] = false;
    ExecStoreVirtualTuple(check->slot);
    tuplesort_puttupleslot(check->sort, check->slot);
}

/* The heap's rows as CREATE INDEX CONCURRENTLY reads them: those of a snapshot, each by the TID
 * at the root of its chain of versions. */
static void
gather_rows(Check *check, Relation heap)
{
    IndexInfo *info = BuildIndexInfo(check->index);
    info->ii_Concurrent = true;
    info->ii_Unique = false;
    info->ii_ExclusionOps = NULL;
    info->ii_ExclusionProcs = NULL;
    info->ii_ExclusionStrats = NULL;

    TableScanDesc scan = table_beginscan_strat(heap, check->snapshot, 0, NULL, true, true);
    table_index_build_scan(heap, check->index, info, true, false, gather_row, check, scan);
}

/* Whether the bitmap's iterator, which only goes forward, comes by tid. */
static bool
comes_by(TBMIterator *iterator, TBMIterateResult **page, ItemPointer tid)
{
    BlockNumber block = ItemPointerGetBlockNumber(tid);

    while (!*page || (*page)->blockno < block) {
        *page = tbm_iterate(iterator);
        if (!*page)
            return false;
    }
    if ((*page)->blockno != block)
        return false;
    if ((*page)->ntuples < 0)
        return true;
    for (int i = 0; i < (*page)->ntuples; i++)
        if ((*page)->offsets[i] == ItemPointerGetOffsetNumber(tid))
            return true;
    return false;
}

static TIDBitmap *
search(Check *check, Datum value)
{
    Relation index = check->index;
    Oid type = index->rd_opcintype[check->column];
    int strategy = type == JSONBOID ? CONTAINS_STRATEGY : EQUAL_STRATEGY;
    Oid operator= get_opfamily_member(index->rd_opfamily[check->column], type, type, strategy);
    ScanKeyData key;
    ScanKeyEntryInitialize(&key, 0, check->column + 1, strategy, type,
        index->rd_indcollation[check->column], get_opcode(operator), value);

#if PG_VERSION_NUM >= 180000
    IndexScanDesc scan = index_beginscan_bitmap(index, check->snapshot, NULL, 1);
#else
    IndexScanDesc scan = index_beginscan_bitmap(index, check->snapshot, 1);
#endif
    index_rescan(scan, &key, 1, NULL, 0);
    TIDBitmap *bitmap = tbm_create((long)work_mem * 1024, NULL);
    index_getbitmap(scan, bitmap);
    index_endscan(scan);
    return bitmap;
}

/* The rows that have one value, from the current one on; FALSE at the end of all. */
static bool
check_value(Check *check, TupleTableSlot *row, TypeCacheEntry *type)
{
    bool absent, more;
    Oid collation = check->index->rd_indcollation[check->column];
    Datum value = slot_getattr(row, 1, &absent);
    value = datumCopy(value, type->typbyval, type->typlen);
    TIDBitmap *bitmap = search(check, value);
    TBMIterator *iterator = tbm_begin_iterate(bitmap);
    TBMIterateResult *page = NULL;

    do {
        CHECK_FOR_INTERRUPTS();
        ItemPointer tid = (ItemPointer)DatumGetPointer(slot_getattr(row, 2, &absent));
        if (!comes_by(iterator, &page, tid))
            ereport(ERROR,
                (errcode(ERRCODE_INDEX_CORRUPTED),
                    errmsg(
                        "index \"%s\" does not find the row (%u,%u) by its value in column %d",
                        RelationGetRelationName(check->index), ItemPointerGetBlockNumber(tid),
                        ItemPointerGetOffsetNumber(tid), check->column + 1),
                    errhint("REINDEX INDEX builds it anew.")));
        check->n_rows++;
        more = tuplesort_gettupleslot(check->sort, true, false, row, NULL);
    } while (more && DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, collation, value,
                         slot_getattr(row, 1, &absent))));

    tbm_end_iterate(iterator);
    tbm_free(bitmap);
    return more;
}

static void
check_column(Check *check, Relation heap)
{
    Oid value_type = check->index->rd_opcintype[check->column];
    TypeCacheEntry *type =
        lookup_type_cache(value_type, TYPECACHE_LT_OPR | TYPECACHE_EQ_OPR_FINFO);
    TypeCacheEntry *tid_type = lookup_type_cache(TIDOID, TYPECACHE_LT_OPR);
    TupleDesc columns = CreateTemplateTupleDesc(2);
    TupleDescInitEntry(columns, 1, "value", value_type, -1, 0);
    TupleDescInitEntry(columns, 2, "tid", TIDOID, -1, 0);
    AttrNumber numbers[] = {1, 2};
    Oid operators[] = {type->lt_opr, tid_type->lt_opr};
    Oid collations[] = {check->index->rd_indcollation[check->column], InvalidOid};
    bool nulls_first[] = {false, false};

    check->slot = MakeSingleTupleTableSlot(columns, &TTSOpsVirtual);
    check->sort = tuplesort_begin_heap(columns, 2, numbers, operators, collations, nulls_first,
        maintenance_work_mem, NULL, TUPLESORT_NONE);
    gather_rows(check, heap);
    tuplesort_performsort(check->sort);

    TupleTableSlot *row = MakeSingleTupleTableSlot(columns, &TTSOpsMinimalTuple);
    MemoryContext per_value =
        AllocSetContextCreate(CurrentMemoryContext, "deeplake check", ALLOCSET_DEFAULT_SIZES);
    bool more = tuplesort_gettupleslot(check->sort, true, false, row, NULL);
    while (more) {
        MemoryContext old = MemoryContextSwitchTo(per_value);
        more = check_value(check, row, type);
        MemoryContextSwitchTo(old);
        MemoryContextReset(per_value);
    }

    ExecDropSingleTupleTableSlot(row);
    ExecDropSingleTupleTableSlot(check->slot);
    tuplesort_end(check->sort);
    MemoryContextDelete(per_value);
}

/* Every row that a snapshot sees is found by its value, in every column. */
static int64
check(Relation heap, Relation index)
{
    Check state = {.index = index, .snapshot = RegisterSnapshot(GetTransactionSnapshot())};

    verify(index);
    for (state.column = 0; state.column < IndexRelationGetNumberOfKeyAttributes(index);
         state.column++)
        check_column(&state, heap);
    UnregisterSnapshot(state.snapshot);
    return state.n_rows;
}

const DeeplakeIndexKind deeplake_lookup_kind = {
    .build = ginbuild,
    .build_empty = ginbuildempty,
    .insert = insert,
    .bulk_delete = bulk_delete,
    .vacuum_cleanup = vacuum_cleanup,
    .begin_scan = begin_scan,
    .rescan = ginrescan,
    .get_bitmap = gingetbitmap,
    .end_scan = ginendscan,
    .cost_estimate = gincostestimate,
    .check = check,
};
