/* SPDX-License-Identifier: Apache-2.0 */

/* An index that holds nothing: one page that says so. */

#include "core/pg_deeplake/index/kinds.h"

#include <access/generic_xlog.h>
#include <access/xloginsert.h>
#include <commands/vacuum.h>
#include <storage/bufmgr.h>

#define META_KIND 0x0201
#define META_VERSION 1

typedef struct {
    DeeplakePageHeader header;
    uint32 index_type; /* of DeeplakeIndexType */
    uint32 unused;
} AcceptedMeta;

StaticAssertDecl(sizeof(AcceptedMeta) == 16, "the layout on disk");

static void
write_meta(Relation index, ForkNumber fork)
{
    Buffer buffer = ReadBufferExtended(index, fork, P_NEW, RBM_NORMAL, NULL);
    Assert(BufferGetBlockNumber(buffer) == 0);
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

    GenericXLogState *state = GenericXLogStart(index);
    Page page = GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE);
    PageInit(page, BLCKSZ, 0);
    AcceptedMeta *meta = (AcceptedMeta *)PageGetContents(page);
    meta->header = (DeeplakePageHeader){DEEPLAKE_PAGE_MAGIC, META_VERSION, META_KIND};
    meta->index_type = deeplake_index_type(index);
    meta->unused = 0;
    ((PageHeader)page)->pd_lower = (char *)(meta + 1) - (char *)page;
    GenericXLogFinish(state);

    UnlockReleaseBuffer(buffer);
    /* GenericXLog leaves out what an unlogged index does; its init fork must survive. */
    if (fork == INIT_FORKNUM)
        log_newpage_range(index, fork, 0, 1, true);
}

static IndexBuildResult *
build(Relation heap, Relation index, IndexInfo *info)
{
    write_meta(index, MAIN_FORKNUM);
    ereport(NOTICE,
        (errmsg("index type '%s' is accepted, and holds nothing in this version",
             deeplake_index_type_name(deeplake_index_type(index))),
            errdetail("Searches by <#> on its column are exact, by a scan of the table.")));
    return palloc0(sizeof(IndexBuildResult));
}

static void
build_empty(Relation index)
{
    write_meta(index, INIT_FORKNUM);
}

static bool
insert(Relation index, Datum *values, bool *nulls, ItemPointer tid, Relation heap,
    IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo *info)
{
    return false;
}

static IndexBulkDeleteResult *
bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics,
    IndexBulkDeleteCallback callback, void *callback_state)
{
    return statistics ? statistics : palloc0(sizeof(IndexBulkDeleteResult));
}

static IndexBulkDeleteResult *
vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics)
{
    if (info->analyze_only)
        return statistics;
    if (!statistics)
        statistics = palloc0(sizeof(IndexBulkDeleteResult));
    statistics->num_pages = RelationGetNumberOfBlocks(info->index);
    return statistics;
}

static int64
check(Relation heap, Relation index)
{
    if (RelationGetNumberOfBlocks(index) != 1)
        ereport(
            ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                       errmsg("index \"%s\" has %u pages instead of 1",
                           RelationGetRelationName(index), RelationGetNumberOfBlocks(index)),
                       errhint("REINDEX INDEX builds it anew.")));

    Buffer buffer = ReadBuffer(index, 0);
    LockBuffer(buffer, BUFFER_LOCK_SHARE);
    const AcceptedMeta *meta = (const AcceptedMeta *)PageGetContents(BufferGetPage(buffer));
    bool sound = !PageIsNew(BufferGetPage(buffer)) &&
                 meta->header.magic == DEEPLAKE_PAGE_MAGIC &&
                 meta->header.version == META_VERSION && meta->header.kind == META_KIND;
    UnlockReleaseBuffer(buffer);
    if (!sound)
        ereport(ERROR, (errcode(ERRCODE_INDEX_CORRUPTED),
                           errmsg("page 0 of index \"%s\" is not a page of type '%s'",
                               RelationGetRelationName(index),
                               deeplake_index_type_name(deeplake_index_type(index))),
                           errhint("REINDEX INDEX builds it anew.")));
    return 0;
}

const DeeplakeIndexKind deeplake_accepted_kind = {
    .build = build,
    .build_empty = build_empty,
    .insert = insert,
    .bulk_delete = bulk_delete,
    .vacuum_cleanup = vacuum_cleanup,
    .check = check,
};
