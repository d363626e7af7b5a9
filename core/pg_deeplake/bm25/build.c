/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/build.h"

#include "core/pg_deeplake/bm25/collector.h"
#include "core/pg_deeplake/bm25/merge.h"
#include "core/pg_deeplake/bm25/pending.h"
#include "core/pg_deeplake/bm25/tokenize.h"

#include <access/generic_xlog.h>
#include <access/tableam.h>
#include <catalog/index.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/memutils.h>

static DeeplakeBm25Tokenizer *
tokenizer_of(Relation index)
{
    DeeplakeBm25Meta *meta = palloc(sizeof(*meta));
    DeeplakeBm25Tokenizer *tokenizer;

    deeplake_bm25_meta_read(index, meta);
    tokenizer = deeplake_bm25_tokenizer(meta->tokenizer);
    pfree(meta);
    return tokenizer;
}

/* --- CREATE INDEX --- */

typedef struct {
    MemoryContext row_context;
    DeeplakeBm25Tokenizer *tokenizer;
    DeeplakeBm25Writer *writer;
    DeeplakeBm25Collector *collector;
    uint32 n_documents, length;
    double n_rows;
} Build;

static void
build_token(const char *token, int size, void *data)
{
    Build *build = data;

    deeplake_bm25_collector_add(build->collector, build->n_documents, token, size, 1);
    build->length++;
}

static void
build_row(
    Relation index, ItemPointer tid, Datum *values, bool *is_null, bool is_alive, void *data)
{
    Build *build = data;
    MemoryContext previous;
    text *value;

    build->n_rows++;
    if (is_null[0]) {
        deeplake_bm25_writer_null(build->writer, tid);
        return;
    }
    previous = MemoryContextSwitchTo(build->row_context);
    value = DatumGetTextPP(values[0]);
    build->length = 0;
    deeplake_bm25_tokenizer_run(build->tokenizer, VARDATA_ANY(value),
        (int)VARSIZE_ANY_EXHDR(value), build_token, build);
    MemoryContextSwitchTo(previous);
    MemoryContextReset(build->row_context);

    deeplake_bm25_writer_document(build->writer, tid, build->length);
    deeplake_bm25_collector_end_document(build->collector);
    build->n_documents++;
}

IndexBuildResult *
deeplake_bm25_build(Relation heap, Relation index, IndexInfo *info)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 build", ALLOCSET_DEFAULT_SIZES);
    IndexBuildResult *result = palloc0(sizeof(*result));
    MemoryContext previous = MemoryContextSwitchTo(context);
    Build build = {0};
    DeeplakeBm25Segment segment;

    if (RelationGetNumberOfBlocks(index) != 0)
        ereport(ERROR,
            (errcode(ERRCODE_INTERNAL_ERROR),
                errmsg("index \"%s\" already contains data", RelationGetRelationName(index))));
    deeplake_bm25_meta_create(index, MAIN_FORKNUM);

    build.row_context =
        AllocSetContextCreate(context, "bm25 build row", ALLOCSET_DEFAULT_SIZES);
    build.tokenizer = tokenizer_of(index);
    build.writer = deeplake_bm25_writer_begin(index);
    build.collector = deeplake_bm25_collector_new();
    result->heap_tuples =
        table_index_build_scan(heap, index, info, true, true, build_row, &build, NULL);
    deeplake_bm25_collector_finish(build.collector, build.writer);
    deeplake_bm25_writer_finish(build.writer, &segment);
    segment.level = deeplake_bm25_level(segment.n_documents);
    deeplake_bm25_replace(index, NULL, 0, &segment, false);

    result->index_tuples = build.n_rows;
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(context);
    return result;
}

void
deeplake_bm25_build_empty(Relation index)
{
    deeplake_bm25_meta_create(index, INIT_FORKNUM);
}

/* --- INSERT --- */

typedef struct {
    DeeplakeBm25Terms *terms;
    uint32 length;
} Insertion;

static void
insert_token(const char *token, int size, void *data)
{
    Insertion *insertion = data;

    deeplake_bm25_terms_add(insertion->terms, 0, token, size, 1);
    insertion->length++;
}

/* What many pending documents cost every query, this one insert pays, unless somebody else is
 * at it. */
static void
relieve(Relation index)
{
    if (!deeplake_bm25_merge_try_lock(index))
        return;
    deeplake_bm25_recycle(index);
    deeplake_bm25_flush(index);
    deeplake_bm25_merge_unlock(index);
}

bool
deeplake_bm25_insert(Relation index, Datum *values, bool *is_null, ItemPointer tid,
    Relation heap, IndexUniqueCheck unique, bool is_unchanged, IndexInfo *info)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 insert", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous;
    Insertion insertion = {0};
    uint32 n_pages;

    if (!info->ii_AmCache) {
        previous = MemoryContextSwitchTo(info->ii_Context);
        info->ii_AmCache = tokenizer_of(index);
        MemoryContextSwitchTo(previous);
    }
    previous = MemoryContextSwitchTo(context);
    if (!is_null[0]) {
        text *value = DatumGetTextPP(values[0]);

        insertion.terms = deeplake_bm25_terms_new();
        deeplake_bm25_tokenizer_run(info->ii_AmCache, VARDATA_ANY(value),
            (int)VARSIZE_ANY_EXHDR(value), insert_token, &insertion);
    }
    n_pages = deeplake_bm25_pending_insert(index, tid, insertion.length, insertion.terms);
    if (n_pages >= DEEPLAKE_BM25_PENDING_PAGES)
        relieve(index);
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(context);
    return false;
}
