/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25.h"

#include "core/pg_deeplake/bm25/build.h"
#include "core/pg_deeplake/bm25/check.h"
#include "core/pg_deeplake/bm25/merge.h"
#include "core/pg_deeplake/bm25/vacuum.h"

#include <access/relation.h>
#include <access/xlog.h>
#include <catalog/pg_class.h>
#include <miscadmin.h>
#include <utils/acl.h>
#include <utils/rel.h>

/* --- statistics --- */

static void
add_chain(const DeeplakeBm25Chain *chain, DeeplakeBm25Statistics *statistics)
{
    statistics->n_documents += chain->n_documents;
    statistics->n_tokens += (int64)chain->n_tokens;
    statistics->n_pending += chain->n_documents;
    statistics->n_dead += chain->n_dead;
    statistics->n_nulls += chain->n_nulls;
}

void
deeplake_bm25_statistics(Relation index, DeeplakeBm25Statistics *ret_statistics)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));

    deeplake_bm25_meta_read(index, meta);
    memset(ret_statistics, 0, sizeof(*ret_statistics));
    ret_statistics->n_segments = (int32)meta->n_segments;
    for (uint32 i = 0; i < meta->n_segments; i++) {
        const DeeplakeBm25Segment *segment = &meta->segments[i];

        ret_statistics->n_documents += segment->n_documents;
        ret_statistics->n_tokens += (int64)segment->n_tokens;
        ret_statistics->n_dead += segment->n_dead;
        ret_statistics->n_nulls += segment->n_nulls - segment->n_dead_nulls;
    }
    add_chain(&meta->sealed, ret_statistics);
    add_chain(&meta->pending, ret_statistics);
    pfree(meta);
}

/* No scans by the server's plan nodes: what they could give is the ascending order, worst
 * first, which needs every row anyway. Best first is deeplake_bm25_scan_*. */
const DeeplakeIndexKind deeplake_bm25_kind = {
    .build = deeplake_bm25_build,
    .build_empty = deeplake_bm25_build_empty,
    .insert = deeplake_bm25_insert,
    .bulk_delete = deeplake_bm25_bulk_delete,
    .vacuum_cleanup = deeplake_bm25_vacuum_cleanup,
    .check = deeplake_bm25_check,
};

/* --- functions --- */

PG_FUNCTION_INFO_V1(deeplake_index_merge);

/* deeplake_index_merge(index regclass) */
Datum
deeplake_index_merge(PG_FUNCTION_ARGS)
{
    Relation index;

    if (RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                           errmsg("an index cannot be merged on a standby"),
                           errhint("Call deeplake_index_merge on the primary.")));
    index = relation_open(PG_GETARG_OID(0), RowExclusiveLock);
    if (index->rd_rel->relkind != RELKIND_INDEX || !deeplake_index_is_ours(index) ||
        deeplake_index_type(index) != DEEPLAKE_INDEX_BM25)
        ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                errmsg("\"%s\" is not an index of type bm25", RelationGetRelationName(index)),
                errhint("Other index types have nothing to merge.")));
#if PG_VERSION_NUM >= 160000
    if (!object_ownercheck(RelationRelationId, RelationGetRelid(index), GetUserId()))
#else
    if (!pg_class_ownercheck(RelationGetRelid(index), GetUserId()))
#endif
        aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_INDEX, RelationGetRelationName(index));
    if (RELATION_IS_OTHER_TEMP(index))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                           errmsg("\"%s\" is a temporary index of another session",
                               RelationGetRelationName(index))));

    deeplake_bm25_merge_lock(index);
    deeplake_bm25_recycle(index);
    deeplake_bm25_merge_all(index);
    deeplake_bm25_merge_unlock(index);
    relation_close(index, RowExclusiveLock);
    PG_RETURN_VOID();
}
