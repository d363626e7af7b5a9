/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk/hybrid.h"

#include "core/pg_deeplake/bm25.h"
#include "core/pg_deeplake/topk/corpus.h"
#include "core/pg_deeplake/topk/fusion.h"
#include "core/pg_deeplake/topk/score.h"
#include "core/pg_deeplake/topk/source.h"
#include "core/pg_deeplake/vector.h"

#include <access/genam.h>
#include <access/table.h>
#include <access/tableam.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <executor/tuptable.h>
#include <miscadmin.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>

/* A table that has rows of its own: the one that the query names, or a child. */
typedef struct {
    Relation relation;
    AttrNumber vector_column, text_column;
} HybridTable;

typedef struct {
    int table; /* of the search's tables */
    ItemPointerData tid;
    float4 score;
} Hit;

/* The best of what it is offered in the order of tables and TIDs. */
typedef struct {
    Hit *hits;
    int64 n_hits, n_wanted;
    bool is_full; /* then only what is above barrier can be among the best */
    float4 barrier;
} Best;

struct DeeplakeHybrid {
    float8 vector_weight, text_weight;
    bool has_vector, has_text;
    DeeplakeVector vector;
    DeeplakeScores *scores; /* by an index, or … */
    DeeplakeCorpus *corpus; /* … counted */
    DeeplakeFusionSide of_vector, of_text;
};

/* What is there while the candidates are found. */
typedef struct {
    DeeplakeHybrid *hybrid;
    HybridTable *tables;
    int n_tables;
    Oid index; /* of the source's table; or InvalidOid */
    const char *query;
    int query_size;
    Snapshot snapshot;
    MemoryContext per_row;
} Search;

/* --- the best of many --- */

static int
compare_hits(const void *left, const void *right)
{
    const Hit *a = left;
    const Hit *b = right;

    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    if (a->table != b->table)
        return a->table - b->table;
    return ItemPointerCompare((ItemPointer)&a->tid, (ItemPointer)&b->tid);
}

static void
keep_best(Best *best)
{
    if (best->n_hits > 1)
        qsort(best->hits, (size_t)best->n_hits, sizeof(Hit), compare_hits);
    best->n_hits = Min(best->n_hits, best->n_wanted);
    best->is_full = best->n_hits == best->n_wanted;
    if (best->is_full)
        best->barrier = best->hits[best->n_hits - 1].score;
}

static void
offer(Best *best, int table, ItemPointer tid, float4 score)
{
    if (best->is_full && !(score > best->barrier))
        return;
    best->hits[best->n_hits++] = (Hit){table, *tid, score};
    if (best->n_hits == 2 * best->n_wanted)
        keep_best(best);
}

static Best
best_new(int64 n_wanted)
{
    return (Best){
        .hits = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Hit) * 2 * (Size)n_wanted),
        .n_wanted = n_wanted};
}

/* --- scores of one row --- */

static float4
vector_score(DeeplakeHybrid *hybrid, Datum value)
{
    ArrayType *array = DatumGetArrayTypeP(value);
    DeeplakeVector vector;

    deeplake_vector_read(array, &vector);
    float4 score = deeplake_vector_similarity(&vector, &hybrid->vector);
    if ((Pointer)array != DatumGetPointer(value))
        pfree(array);
    return score;
}

static float4
text_score(DeeplakeHybrid *hybrid, Oid table, Datum value)
{
    text *document = DatumGetTextPP(value);
    const char *bytes = VARDATA_ANY(document);
    int size = (int)VARSIZE_ANY_EXHDR(document);
    float4 score;

    if (hybrid->corpus)
        score = deeplake_corpus_score(hybrid->corpus, bytes, size);
    else
        deeplake_scores_of(hybrid->scores, table, bytes, size, &score);
    if ((Pointer)document != DatumGetPointer(value))
        pfree(document);
    return score;
}

/* --- passes over the tables --- */

typedef void (*RowFunction)(Search *search, int table, TupleTableSlot *row, void *data);

/* In the order of TIDs, which a scan that joins another one's would not be. */
static void
for_each_row(Search *search, RowFunction function, void *data)
{
    for (int i = 0; i < search->n_tables; i++) {
        Relation relation = search->tables[i].relation;
        TupleTableSlot *row = table_slot_create(relation, NULL);
        TableScanDesc scan =
            table_beginscan_strat(relation, search->snapshot, 0, NULL, true, false);

        while (table_scan_getnextslot(scan, ForwardScanDirection, row)) {
            CHECK_FOR_INTERRUPTS();
            MemoryContext old = MemoryContextSwitchTo(search->per_row);
            function(search, i, row, data);
            MemoryContextSwitchTo(old);
            MemoryContextReset(search->per_row);
        }
        table_endscan(scan);
        ExecDropSingleTupleTableSlot(row);
    }
}

static void
count_document(Search *search, int table, TupleTableSlot *row, void *data)
{
    bool absent;
    Datum value = slot_getattr(row, search->tables[table].text_column, &absent);

    if (absent)
        return;
    text *document = DatumGetTextPP(value);
    deeplake_corpus_count(data, VARDATA_ANY(document), (int)VARSIZE_ANY_EXHDR(document));
}

static void
offer_vector(Search *search, int table, TupleTableSlot *row, void *data)
{
    bool absent;
    Datum value = slot_getattr(row, search->tables[table].vector_column, &absent);

    if (!absent)
        offer(data, table, &row->tts_tid, vector_score(search->hybrid, value));
}

static void
offer_text(Search *search, int table, TupleTableSlot *row, void *data)
{
    bool absent;
    Oid oid = RelationGetRelid(search->tables[table].relation);
    Datum value = slot_getattr(row, search->tables[table].text_column, &absent);
    float4 score = absent ? 0 : text_score(search->hybrid, oid, value);

    if (score > 0)
        offer(data, table, &row->tts_tid, score);
}

/* One table's matches from its index, until as many as are wanted were visible. */
static void
offer_matches(Search *search, int table, Best *best)
{
    Relation relation = search->tables[table].relation;
    Oid oid = deeplake_source_child_index(search->index, RelationGetRelid(relation));
    if (!OidIsValid(oid))
        return;

    Relation index = index_open(oid, AccessShareLock);
    DeeplakeBm25Scan *scan =
        deeplake_bm25_scan_begin(index, search->query, search->query_size, best->n_wanted);
    IndexFetchTableData *fetch = table_index_fetch_begin(relation);
    TupleTableSlot *row = table_slot_create(relation, NULL);
    ItemPointerData tid;
    float4 score;

    for (int64 n_visible = 0;
         n_visible < best->n_wanted && deeplake_bm25_scan_next(scan, &tid, &score);) {
        bool again = false, all_dead;
        CHECK_FOR_INTERRUPTS();
        if (!table_index_fetch_tuple(fetch, &tid, search->snapshot, row, &again, &all_dead))
            continue;
        n_visible++;
        offer(best, table, &row->tts_tid, score);
    }
    ExecDropSingleTupleTableSlot(row);
    table_index_fetch_end(fetch);
    deeplake_bm25_scan_end(scan);
    index_close(index, AccessShareLock);
}

/* --- candidates --- */

static int
compare_places(const void *left, const void *right)
{
    const Hit *a = left;
    const Hit *b = right;

    if (a->table != b->table)
        return a->table - b->table;
    return ItemPointerCompare((ItemPointer)&a->tid, (ItemPointer)&b->tid);
}

/* Both scores of every candidate, each of which is in hits once or twice. */
static void
complete(Search *search, Hit *hits, int64 n_hits)
{
    DeeplakeHybrid *hybrid = search->hybrid;
    float4 *vectors = palloc_extended(sizeof(float4) * (Size)(n_hits + 1), MCXT_ALLOC_HUGE);
    float4 *texts = palloc_extended(sizeof(float4) * (Size)(n_hits + 1), MCXT_ALLOC_HUGE);
    int64 n_vectors = 0, n_texts = 0;

    for (int64 i = 0; i < n_hits; i++) {
        const HybridTable *table = &search->tables[hits[i].table];
        bool absent;

        CHECK_FOR_INTERRUPTS();
        if (i > 0 && compare_places(&hits[i - 1], &hits[i]) == 0)
            continue;
        TupleTableSlot *row = table_slot_create(table->relation, NULL);
        if (!table_tuple_fetch_row_version(
                table->relation, &hits[i].tid, search->snapshot, row))
            elog(ERROR, "a row that was just visible is not");
        Datum value = slot_getattr(row, table->vector_column, &absent);
        if (!absent && hybrid->has_vector)
            vectors[n_vectors++] = vector_score(hybrid, value);
        value = slot_getattr(row, table->text_column, &absent);
        if (!absent && hybrid->has_text)
            texts[n_texts++] = text_score(hybrid, RelationGetRelid(table->relation), value);
        ExecDropSingleTupleTableSlot(row);
    }
    deeplake_fusion_side(&hybrid->of_vector, deeplake_hybrid_fusion, false, vectors, n_vectors);
    deeplake_fusion_side(&hybrid->of_text, deeplake_hybrid_fusion, true, texts, n_texts);
}

static void
find_candidates(Search *search, int64 n_wanted)
{
    DeeplakeHybrid *hybrid = search->hybrid;
    Best vectors = best_new(n_wanted), texts = best_new(n_wanted);

    if (hybrid->corpus)
        for_each_row(search, count_document, hybrid->corpus);
    if (hybrid->has_vector)
        for_each_row(search, offer_vector, &vectors);
    if (hybrid->corpus)
        for_each_row(search, offer_text, &texts);
    else if (hybrid->has_text)
        for (int i = 0; i < search->n_tables; i++)
            offer_matches(search, i, &texts);
    keep_best(&vectors);
    keep_best(&texts);

    Hit *all = MemoryContextAllocHuge(
        CurrentMemoryContext, sizeof(Hit) * (Size)(vectors.n_hits + texts.n_hits + 1));
    memcpy(all, vectors.hits, sizeof(Hit) * (Size)vectors.n_hits);
    memcpy(all + vectors.n_hits, texts.hits, sizeof(Hit) * (Size)texts.n_hits);
    int64 n_all = vectors.n_hits + texts.n_hits;
    if (n_all > 1)
        qsort(all, (size_t)n_all, sizeof(Hit), compare_places);
    complete(search, all, n_all);
}

/* --- the tables --- */

static AttrNumber
column_of(Relation relation, const DeeplakeHybridSource *source, AttrNumber column)
{
    if (RelationGetRelid(relation) == source->table)
        return column;
    return get_attnum(RelationGetRelid(relation), get_attname(source->table, column, false));
}

static void
open_tables(Search *search, const DeeplakeHybridSource *source)
{
    List *oids = find_all_inheritors(source->table, AccessShareLock, NULL);
    ListCell *cell;

    search->tables = palloc(sizeof(HybridTable) * (Size)list_length(oids));
    foreach (cell, oids) {
        Relation relation = table_open(lfirst_oid(cell), NoLock);
        char kind = relation->rd_rel->relkind;
        if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW) {
            table_close(relation, NoLock);
            continue;
        }
        search->tables[search->n_tables++] =
            (HybridTable){relation, column_of(relation, source, source->vector_column),
                column_of(relation, source, source->text_column)};
    }
}

static void
read_query(Search *search, const DeeplakeHybridSource *source, const DeeplakeRecord *query)
{
    DeeplakeHybrid *hybrid = search->hybrid;
    DeeplakeSource text_source = {.table = source->table, .column = source->text_column};

    hybrid->vector_weight = query->embedding_weight;
    hybrid->text_weight = query->text_weight;
    hybrid->has_vector = !query->embedding_is_null;
    hybrid->has_text = !query->text_is_null;
    if (hybrid->has_vector)
        deeplake_vector_read(DatumGetArrayTypeP(query->embedding), &hybrid->vector);
    if (!hybrid->has_text)
        return;

    text *words = DatumGetTextPP(query->text);
    search->query = VARDATA_ANY(words);
    search->query_size = (int)VARSIZE_ANY_EXHDR(words);
    search->index = deeplake_source_index(&text_source);
    if (OidIsValid(search->index))
        hybrid->scores = deeplake_scores_new(search->index, search->query, search->query_size);
    else
        hybrid->corpus = deeplake_corpus_new(search->query, search->query_size);
}

DeeplakeHybrid *
deeplake_hybrid_new(const DeeplakeHybridSource *source, const DeeplakeRecord *query)
{
    DeeplakeHybrid *hybrid = palloc0(sizeof(*hybrid));
    Search search = {
        .hybrid = hybrid,
        .snapshot = GetActiveSnapshot(),
        .per_row = AllocSetContextCreate(
            CurrentMemoryContext, "deeplake hybrid row", ALLOCSET_DEFAULT_SIZES),
    };

    read_query(&search, source, query);
    open_tables(&search, source);
    find_candidates(&search, source->n_wanted);
    for (int i = 0; i < search.n_tables; i++)
        table_close(search.tables[i].relation, NoLock);
    MemoryContextDelete(search.per_row);
    return hybrid;
}

float4
deeplake_hybrid_value(
    DeeplakeHybrid *hybrid, Oid table, NullableDatum vector, NullableDatum text)
{
    float8 value = 0;

    if (!vector.isnull && hybrid->has_vector)
        value += hybrid->vector_weight *
                 deeplake_fusion_value(&hybrid->of_vector, vector_score(hybrid, vector.value));
    if (!text.isnull && hybrid->has_text)
        value += hybrid->text_weight *
                 deeplake_fusion_value(&hybrid->of_text, text_score(hybrid, table, text.value));
    return (float4)value;
}
