/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/page.h"

#include "core/pg_deeplake/bm25/tokenize.h"

#include <access/generic_xlog.h>
#include <access/xlog.h>
#include <access/xloginsert.h>
#include <miscadmin.h>
#include <storage/freespace.h>
#include <storage/indexfsm.h>
#include <storage/lmgr.h>
#include <utils/rel.h>

/* --- reading --- */

static bool
is_ours(Page page, uint16 kind)
{
    const DeeplakeBm25PageHead *head = deeplake_bm25_page_head(page);

    return !PageIsNew(page) && head->header.magic == DEEPLAKE_PAGE_MAGIC &&
           head->header.version == DEEPLAKE_BM25_VERSION && head->header.kind == kind;
}

void
deeplake_bm25_page_expect(
    Relation index, Buffer buffer, uint16 kind, uint32 owner, uint32 number)
{
    Page page = BufferGetPage(buffer);
    const DeeplakeBm25PageHead *head = deeplake_bm25_page_head(page);

    if (is_ours(page, kind) && head->owner == owner && head->number == number &&
        head->n_bytes <= (uint32)DEEPLAKE_BM25_PAYLOAD)
        return;

    if (RecoveryInProgress() && !PageIsNew(page) && head->header.magic == DEEPLAKE_PAGE_MAGIC &&
        head->owner != owner)
        ereport(ERROR,
            (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                errmsg("block %u of index \"%s\" was used anew while this standby read it",
                    BufferGetBlockNumber(buffer), RelationGetRelationName(index)),
                errhint("Run the query again. hot_standby_feedback = on makes the primary wait "
                        "for the standby's queries.")));
    ereport(ERROR,
        (errcode(ERRCODE_INDEX_CORRUPTED),
            errmsg("block %u of index \"%s\" is not what it should be",
                BufferGetBlockNumber(buffer), RelationGetRelationName(index)),
            errdetail("Expected kind %x, owner %u, number %u; found kind %x, owner %u, number "
                      "%u.",
                kind, owner, number, head->header.kind, head->owner, head->number),
            errhint("Run REINDEX.")));
}

Buffer
deeplake_bm25_page_get(
    Relation index, BlockNumber block, uint16 kind, uint32 owner, uint32 number, int mode)
{
    Buffer buffer = ReadBuffer(index, block);

    LockBuffer(buffer, mode);
    deeplake_bm25_page_expect(index, buffer, kind, owner, number);
    return buffer;
}

DeeplakeBm25Meta *
deeplake_bm25_meta_of(Page page)
{
    return (DeeplakeBm25Meta *)PageGetContents(page);
}

void
deeplake_bm25_meta_read(Relation index, DeeplakeBm25Meta *ret_meta)
{
    Buffer buffer =
        deeplake_bm25_page_get(index, 0, DEEPLAKE_BM25_PAGE_META, 0, 0, BUFFER_LOCK_SHARE);

    memcpy(ret_meta, deeplake_bm25_meta_of(BufferGetPage(buffer)), sizeof(*ret_meta));
    UnlockReleaseBuffer(buffer);
    if (ret_meta->n_segments > DEEPLAKE_BM25_MAX_SEGMENTS ||
        ret_meta->n_retired > DEEPLAKE_BM25_MAX_RETIRED)
        ereport(ERROR,
            (errcode(ERRCODE_INDEX_CORRUPTED),
                errmsg("the metapage of index \"%s\" lists %u segments and %u retired ones",
                    RelationGetRelationName(index), ret_meta->n_segments, ret_meta->n_retired),
                errhint("Run REINDEX.")));
}

Buffer
deeplake_bm25_meta_lock(Relation index)
{
    return deeplake_bm25_page_get(
        index, 0, DEEPLAKE_BM25_PAGE_META, 0, 0, BUFFER_LOCK_EXCLUSIVE);
}

bool
deeplake_bm25_meta_owns(const DeeplakeBm25Meta *meta, uint32 owner)
{
    /* An id that is newer than this copy of the metapage belongs to somebody at work. */
    if (owner == 0 || owner >= meta->next_id || owner == meta->pending.id ||
        owner == meta->sealed.id || owner == meta->building)
        return true;
    for (uint32 i = 0; i < meta->n_segments; i++) {
        if (meta->segments[i].id == owner)
            return true;
    }
    for (uint32 i = 0; i < meta->n_retired; i++) {
        if (owner >= meta->retired[i].first && owner <= meta->retired[i].last)
            return true;
    }
    return false;
}

/* --- writing --- */

Buffer
deeplake_bm25_page_take(Relation index, const DeeplakeBm25Meta *meta, bool *ret_nothing_free)
{
    Buffer buffer;
    bool needs_lock = !RELATION_IS_LOCAL(index);

    while (!*ret_nothing_free) {
        BlockNumber block = GetFreeIndexPage(index);

        if (block == InvalidBlockNumber) {
            *ret_nothing_free = true;
            break;
        }
        if (block >= RelationGetNumberOfBlocks(index))
            continue;
        buffer = ReadBuffer(index, block);
        /* Whoever holds it is taking it. */
        if (ConditionalLockBuffer(buffer)) {
            Page page = BufferGetPage(buffer);

            if (PageIsNew(page) ||
                !deeplake_bm25_meta_owns(meta, deeplake_bm25_page_head(page)->owner))
                return buffer;
            LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
        }
        ReleaseBuffer(buffer);
    }

    if (needs_lock)
        LockRelationForExtension(index, ExclusiveLock);
    buffer = ReadBuffer(index, P_NEW);
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    if (needs_lock)
        UnlockRelationForExtension(index, ExclusiveLock);
    return buffer;
}

void
deeplake_bm25_page_set_size(Page page, int n_bytes)
{
    deeplake_bm25_page_head(page)->n_bytes = (uint32)n_bytes;
    /* What is above pd_lower is not in the WAL. */
    ((PageHeader)page)->pd_lower =
        (LocationIndex)(deeplake_bm25_page_payload(page) + n_bytes - (char *)page);
}

void
deeplake_bm25_page_init(Page page, uint16 kind, uint32 owner, uint32 number)
{
    DeeplakeBm25PageHead *head;

    PageInit(page, BLCKSZ, 0);
    head = deeplake_bm25_page_head(page);
    head->header.magic = DEEPLAKE_PAGE_MAGIC;
    head->header.version = DEEPLAKE_BM25_VERSION;
    head->header.kind = kind;
    head->owner = owner;
    head->number = number;
    head->next = InvalidBlockNumber;
    deeplake_bm25_page_set_size(page, 0);
}

static void
fill_meta(Relation index, Page page)
{
    const DeeplakeIndexOptions *options = deeplake_index_options(index);
    const char *tokenizer =
        options->tokenizer ? (const char *)options + options->tokenizer : "unicode";
    DeeplakeBm25Meta *meta;

    if (strlen(tokenizer) >= DEEPLAKE_BM25_TOKENIZER_MAX)
        ereport(ERROR,
            (errcode(ERRCODE_NAME_TOO_LONG), errmsg("tokenizer \"%s\" is too long", tokenizer),
                errhint("At most %d bytes.", DEEPLAKE_BM25_TOKENIZER_MAX - 1)));
    /* To fail now where there is none of this name. */
    pfree(deeplake_bm25_tokenizer(tokenizer));

    deeplake_bm25_page_init(page, DEEPLAKE_BM25_PAGE_META, 0, 0);
    meta = deeplake_bm25_meta_of(page);
    strlcpy(meta->tokenizer, tokenizer, sizeof(meta->tokenizer));
    meta->next_id = 1;
    deeplake_bm25_page_set_size(page, sizeof(*meta) - sizeof(meta->head));
}

void
deeplake_bm25_meta_create(Relation index, ForkNumber fork)
{
    PGAlignedBlock image;
    Buffer buffer;

    fill_meta(index, image.data);
    buffer = ReadBufferExtended(index, fork, P_NEW, RBM_NORMAL, NULL);
    LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
    if (fork == INIT_FORKNUM) {
        /* GenericXLog writes no WAL for an unlogged index; its init fork needs it all the
         * same. */
        START_CRIT_SECTION();
        memcpy(BufferGetPage(buffer), image.data, BLCKSZ);
        MarkBufferDirty(buffer);
        log_newpage_buffer(buffer, true);
        END_CRIT_SECTION();
    } else {
        GenericXLogState *state = GenericXLogStart(index);

        memcpy(GenericXLogRegisterBuffer(state, buffer, GENERIC_XLOG_FULL_IMAGE), image.data,
            BLCKSZ);
        GenericXLogFinish(state);
    }
    UnlockReleaseBuffer(buffer);
}

/* --- the merge lock --- */

void
deeplake_bm25_merge_lock(Relation index)
{
    LockPage(index, 0, ExclusiveLock);
}

bool
deeplake_bm25_merge_try_lock(Relation index)
{
    return ConditionalLockPage(index, 0, ExclusiveLock);
}

void
deeplake_bm25_merge_unlock(Relation index)
{
    UnlockPage(index, 0, ExclusiveLock);
}
