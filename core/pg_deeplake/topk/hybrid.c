/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/topk/hybrid.h"

#include "core/pg_deeplake/bm25.h"
#include "core/pg_deeplake/topk/corpus.h"
#include "core/pg_deeplake/topk/fusion.h"
#include "core/pg_deeplake/topk/score.h"
#include "core/pg_deeplake/topk/source.h"
#include "core/pg_deeplake/vector.h"

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/transam.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <executor/tuptable.h>
#include <math.h>
#include <miscadmin.h>
#include <utils/float.h>
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

/* A candidate, while only its scores are known. */
typedef struct {
    ItemPointerData tid;
    bool has_vector, has_text;
    float4 vector, text;
} Scored;

struct DeeplakeHybrid {
    HeapTupleHeader query;
    float8 vector_weight, text_weight;
    bool has_vector, has_text;
    DeeplakeVector vector;
    DeeplakeScores *scores; /* by an index, or … */
    DeeplakeCorpus *corpus; /* … counted */
    DeeplakeFusionSide of_vector, of_text;
    DeeplakeHybridCandidate *candidates; /* best first */
    int64 n_candidates;
    float4 bound;
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
for_each_row_of(Search *search, int table, RowFunction function, void *data)
{
    Relation relation = search->tables[table].relation;
    TupleTableSlot *row = table_slot_create(relation, NULL);
    TableScanDesc scan =
        table_beginscan_strat(relation, search->snapshot, 0, NULL, true, false);

    while (table_scan_getnextslot(scan, ForwardScanDirection, row)) {
        CHECK_FOR_INTERRUPTS();
        MemoryContext old = MemoryContextSwitchTo(search->per_row);
        function(search, table, row, data);
        MemoryContextSwitchTo(old);
        MemoryContextReset(search->per_row);
    }
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(row);
}

static void
for_each_row(Search *search, RowFunction function, void *data)
{
    for (int i = 0; i < search->n_tables; i++)
        for_each_row_of(search, i, function, data);
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

/* Whether an index has what the snapshot sees. One that was made since has the newest version
 * of a row alone where versions share an entry (README.HOT); the planner does not take it
 * either. */
static bool
is_old_enough(Relation index)
{
    return !index->rd_index->indcheckxmin ||
           TransactionIdPrecedes(
               HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin);
}

/* One table's matches from its index, until as many as are wanted were visible. */
static void
offer_matches_of(Search *search, int table, Relation index, Best *best)
{
    Relation relation = search->tables[table].relation;
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
}

static void
offer_matches(Search *search, int table, Best *best)
{
    Oid oid = deeplake_source_child_index(
        search->index, RelationGetRelid(search->tables[table].relation));
    if (!OidIsValid(oid))
        return;

    Relation index = index_open(oid, AccessShareLock);
    if (is_old_enough(index))
        offer_matches_of(search, table, index, best);
    else
        for_each_row_of(search, table, offer_text, best);
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

static float8
value_of(const DeeplakeHybrid *hybrid, const Scored *row)
{
    float8 value = 0;

    if (row->has_vector)
        value += hybrid->vector_weight * deeplake_fusion_value(&hybrid->of_vector, row->vector);
    if (row->has_text)
        value += hybrid->text_weight * deeplake_fusion_value(&hybrid->of_text, row->text);
    return value;
}

static void
score_row(Search *search, const Hit *hit, Scored *ret_row)
{
    DeeplakeHybrid *hybrid = search->hybrid;
    const HybridTable *table = &search->tables[hit->table];
    TupleTableSlot *row = table_slot_create(table->relation, NULL);
    ItemPointerData tid = hit->tid;
    bool absent;

    if (!table_tuple_fetch_row_version(table->relation, &tid, search->snapshot, row))
        elog(ERROR, "a row that was just visible is not");
    *ret_row = (Scored){.tid = hit->tid};
    Datum value = slot_getattr(row, table->vector_column, &absent);
    ret_row->has_vector = !absent && hybrid->has_vector;
    if (ret_row->has_vector)
        ret_row->vector = vector_score(hybrid, value);
    value = slot_getattr(row, table->text_column, &absent);
    ret_row->has_text = !absent && hybrid->has_text;
    if (ret_row->has_text)
        ret_row->text = text_score(hybrid, RelationGetRelid(table->relation), value);
    ExecDropSingleTupleTableSlot(row);
}

/* Both scores of every candidate, each of which is in hits once or twice. */
static Scored *
score_candidates(Search *search, const Hit *hits, int64 n_hits, int64 *ret_n_rows)
{
    Scored *rows = palloc_extended(sizeof(Scored) * (Size)(n_hits + 1), MCXT_ALLOC_HUGE);
    int64 n_rows = 0;

    for (int64 i = 0; i < n_hits; i++) {
        CHECK_FOR_INTERRUPTS();
        if (i == 0 || compare_places(&hits[i - 1], &hits[i]) != 0)
            score_row(search, &hits[i], &rows[n_rows++]);
    }
    *ret_n_rows = n_rows;
    return rows;
}

/* What the candidates measure, by their scores. */
static void
measure(DeeplakeHybrid *hybrid, const Scored *rows, int64 n_rows)
{
    Size size = sizeof(float4) * (Size)(n_rows + 1);
    float4 *vectors = palloc_extended(size, MCXT_ALLOC_HUGE);
    float4 *texts = palloc_extended(size, MCXT_ALLOC_HUGE);
    int64 n_vectors = 0, n_texts = 0;

    for (int64 i = 0; i < n_rows; i++) {
        if (rows[i].has_vector)
            vectors[n_vectors++] = rows[i].vector;
        if (rows[i].has_text)
            texts[n_texts++] = rows[i].text;
    }
    deeplake_fusion_side(&hybrid->of_vector, deeplake_hybrid_fusion, false, vectors, n_vectors);
    deeplake_fusion_side(&hybrid->of_text, deeplake_hybrid_fusion, true, texts, n_texts);
}

static int
compare_values(const void *left, const void *right)
{
    const DeeplakeHybridCandidate *a = left;
    const DeeplakeHybridCandidate *b = right;

    if (a->value != b->value)
        return a->value < b->value ? 1 : -1;
    return ItemPointerCompare((ItemPointer)&a->tid, (ItemPointer)&b->tid);
}

/* A row that is no candidate scores no more on either side than the last of a list that is
 * full; where a list is not, it has no vector, or no word. Values grow with scores, but not
 * with a negative weight. */
static float4
bound_of(const DeeplakeHybrid *hybrid, const Best *vectors, const Best *texts)
{
    Scored best = {
        .has_vector = hybrid->has_vector && vectors->is_full,
        .has_text = hybrid->has_text,
        .vector = vectors->barrier,
        .text = texts->is_full ? texts->barrier : 0,
    };

    if (hybrid->vector_weight < 0 || hybrid->text_weight < 0)
        return get_float4_infinity();
    return (float4)value_of(hybrid, &best);
}

static void
keep_candidates(DeeplakeHybrid *hybrid, const Scored *rows, int64 n_rows)
{
    hybrid->n_candidates = n_rows;
    hybrid->candidates =
        palloc_extended(sizeof(DeeplakeHybridCandidate) * (Size)(n_rows + 1), MCXT_ALLOC_HUGE);
    for (int64 i = 0; i < n_rows; i++)
        hybrid->candidates[i] =
            (DeeplakeHybridCandidate){rows[i].tid, (float4)value_of(hybrid, &rows[i])};
    if (n_rows > 1)
        qsort(hybrid->candidates, (size_t)n_rows, sizeof(DeeplakeHybridCandidate),
            compare_values);
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
    int64 n_rows;
    Scored *rows = score_candidates(search, all, n_all, &n_rows);
    measure(hybrid, rows, n_rows);
    keep_candidates(hybrid, rows, n_rows);
    hybrid->bound = bound_of(hybrid, &vectors, &texts);
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
    List *oids = source->with_children
                     ? find_all_inheritors(source->table, AccessShareLock, NULL)
                     : list_make1_oid(source->table);
    ListCell *cell;

    search->tables = palloc(sizeof(HybridTable) * (Size)list_length(oids));
    foreach (cell, oids) {
        Relation relation = table_open(lfirst_oid(cell), NoLock);
        char kind = relation->rd_rel->relkind;
        /* Another session's temporary child has no rows here: the planner leaves it out, too.
         */
        if ((kind != RELKIND_RELATION && kind != RELKIND_MATVIEW) ||
            RELATION_IS_OTHER_TEMP(relation)) {
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

static void
check_weights(const DeeplakeRecord *query)
{
    if (!query->weight_is_null && isfinite(query->embedding_weight) &&
        isfinite(query->text_weight))
        return;
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                       errmsg("a weight of a hybrid search must be a finite number"),
                       errhint("deeplake_hybrid_record(vector, text, 0.5, 0.5)")));
}

DeeplakeHybrid *
deeplake_hybrid_prepare(const DeeplakeHybridSource *source, HeapTupleHeader query)
{
    DeeplakeHybrid *hybrid = palloc0(sizeof(*hybrid));
    Search search = {
        .hybrid = hybrid,
        .snapshot = GetActiveSnapshot(),
        .per_row = AllocSetContextCreate(
            CurrentMemoryContext, "deeplake hybrid row", ALLOCSET_DEFAULT_SIZES),
    };
    DeeplakeRecord record;

    hybrid->query = palloc(VARSIZE_ANY(query));
    memcpy(hybrid->query, query, VARSIZE_ANY(query));
    deeplake_record_read(hybrid->query, &record);
    check_weights(&record);
    read_query(&search, source, &record);
    open_tables(&search, source);
    find_candidates(&search, source->n_wanted);
    for (int i = 0; i < search.n_tables; i++)
        table_close(search.tables[i].relation, NoLock);
    MemoryContextDelete(search.per_row);
    return hybrid;
}

bool
deeplake_hybrid_is_of(const DeeplakeHybrid *hybrid, HeapTupleHeader query)
{
    Size size = VARSIZE_ANY(query);

    return VARSIZE_ANY(hybrid->query) == size && memcmp(hybrid->query, query, size) == 0;
}

const DeeplakeHybridCandidate *
deeplake_hybrid_candidates(
    const DeeplakeHybrid *hybrid, int64 *ret_n_candidates, float4 *ret_bound)
{
    *ret_n_candidates = hybrid->n_candidates;
    *ret_bound = hybrid->bound;
    return hybrid->candidates;
}

float4
deeplake_hybrid_value(
    DeeplakeHybrid *hybrid, Oid table, NullableDatum vector, NullableDatum text)
{
    Scored row = {
        .has_vector = !vector.isnull && hybrid->has_vector,
        .has_text = !text.isnull && hybrid->has_text,
    };

    if (row.has_vector)
        row.vector = vector_score(hybrid, vector.value);
    if (row.has_text)
        row.text = text_score(hybrid, table, text.value);
    return (float4)value_of(hybrid, &row);
}
