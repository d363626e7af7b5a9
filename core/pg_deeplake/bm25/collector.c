/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/collector.h"

#include "core/pg_deeplake/bm25/page.h"

#include <lib/binaryheap.h>
#include <miscadmin.h>
#include <storage/buffile.h>
#include <utils/memutils.h>

/* --- merging sources --- */

/* The least token first, and of one token the earliest source: documents stay in order. */
static int
compare_sources(Datum a, Datum b, void *argument)
{
    DeeplakeBm25Source **sources = argument;
    int left = DatumGetInt32(a), right = DatumGetInt32(b);
    int order = deeplake_bm25_token_compare(
        sources[left]->token, sources[left]->size, sources[right]->token, sources[right]->size);

    return order != 0 ? -order : right - left;
}

void
deeplake_bm25_write_sources(
    DeeplakeBm25Writer *writer, DeeplakeBm25Source **sources, int n_sources)
{
    binaryheap *heap = binaryheap_allocate(Max(n_sources, 1), compare_sources, sources);
    char token[DEEPLAKE_BM25_TOKEN_MAX];
    int size = 0;

    for (int i = 0; i < n_sources; i++) {
        if (sources[i]->next_term(sources[i]))
            binaryheap_add_unordered(heap, Int32GetDatum(i));
    }
    binaryheap_build(heap);

    while (!binaryheap_empty(heap)) {
        Datum first = binaryheap_first(heap);
        DeeplakeBm25Source *source = sources[DatumGetInt32(first)];
        uint32 document, tf;

        if (size == 0 ||
            deeplake_bm25_token_compare(token, size, source->token, source->size) != 0) {
            CHECK_FOR_INTERRUPTS();
            size = source->size;
            memcpy(token, source->token, size);
            deeplake_bm25_writer_term(writer, token, size);
        }
        while (source->next_posting(source, &document, &tf))
            deeplake_bm25_writer_posting(writer, document, tf);
        if (source->next_term(source))
            binaryheap_replace_first(heap, first);
        else
            binaryheap_remove_first(heap);
    }
    binaryheap_free(heap);
}

/* --- terms in memory --- */

typedef struct {
    DeeplakeBm25Source source;
    DeeplakeBm25Term **sorted;
    uint32 n_terms, next;
    DeeplakeBm25TermReader reader;
} MemorySource;

static bool
memory_next_term(DeeplakeBm25Source *source)
{
    MemorySource *memory = (MemorySource *)source;

    if (memory->next == memory->n_terms)
        return false;
    source->token = memory->sorted[memory->next]->token;
    source->size = memory->sorted[memory->next]->size;
    deeplake_bm25_term_reader_start(&memory->reader, memory->sorted[memory->next++]);
    return true;
}

static bool
memory_next_posting(DeeplakeBm25Source *source, uint32 *ret_document, uint32 *ret_tf)
{
    return deeplake_bm25_term_reader_next(
        &((MemorySource *)source)->reader, ret_document, ret_tf);
}

static void
memory_start(MemorySource *memory, DeeplakeBm25Terms *terms)
{
    memset(memory, 0, sizeof(*memory));
    memory->source.next_term = memory_next_term;
    memory->source.next_posting = memory_next_posting;
    memory->sorted = deeplake_bm25_terms_sort(terms);
    memory->n_terms = deeplake_bm25_terms_count(terms);
}

/* --- terms in a temporary file --- */

/* Each term: RunTerm, the token, the postings as varints: distance, tf. */
typedef struct {
    uint32 n_documents;
    uint32 size;
} RunTerm;

#define RUN_BUFFER 4096
#define POSTING_MAX 10

typedef struct {
    DeeplakeBm25Source source;
    BufFile *file;
    Size n_file_left; /* bytes beyond the buffer */
    uint32 n_left;    /* postings of the term */
    uint32 document;
    const char *at, *end;
    char token[DEEPLAKE_BM25_TOKEN_MAX];
    char buffer[RUN_BUFFER];
} RunSource;

/* Has so many bytes at hand, or as many as there are. */
static void
run_fill(RunSource *run, Size n_wanted)
{
    Size n_kept = (Size)(run->end - run->at);
    Size n_more = Min(RUN_BUFFER - n_kept, run->n_file_left);

    if (n_kept >= n_wanted || n_more == 0)
        return;
    memmove(run->buffer, run->at, n_kept);
    if (BufFileRead(run->file, run->buffer + n_kept, n_more) != n_more)
        ereport(
            ERROR, (errcode_for_file_access(),
                       errmsg("could not read what the index build put into a temporary file"),
                       errhint("Look at the disk that temp_tablespaces names.")));
    run->n_file_left -= n_more;
    run->at = run->buffer;
    run->end = run->buffer + n_kept + n_more;
}

static bool
run_next_term(DeeplakeBm25Source *source)
{
    RunSource *run = (RunSource *)source;
    RunTerm term;

    run_fill(run, sizeof(term) + DEEPLAKE_BM25_TOKEN_MAX);
    if (run->at == run->end)
        return false;
    memcpy(&term, run->at, sizeof(term));
    memcpy(run->token, run->at + sizeof(term), term.size);
    run->at += sizeof(term) + term.size;
    run->n_left = term.n_documents;
    run->document = 0;
    source->token = run->token;
    source->size = (int)term.size;
    return true;
}

static bool
run_next_posting(DeeplakeBm25Source *source, uint32 *ret_document, uint32 *ret_tf)
{
    RunSource *run = (RunSource *)source;
    uint32 distance = 0;

    if (run->n_left == 0)
        return false;
    run->n_left--;
    run_fill(run, POSTING_MAX);
    run->at = deeplake_bm25_get_varint(run->at, run->end, &distance);
    run->at = deeplake_bm25_get_varint(run->at, run->end, ret_tf);
    run->document += distance;
    *ret_document = run->document;
    return true;
}

static RunSource *
run_write(DeeplakeBm25Terms *terms)
{
    RunSource *run = palloc0(sizeof(*run));
    MemorySource memory;

    run->source.next_term = run_next_term;
    run->source.next_posting = run_next_posting;
    run->file = BufFileCreateTemp(false);
    run->at = run->end = run->buffer;
    memory_start(&memory, terms);
    while (memory_next_term(&memory.source)) {
        RunTerm term = {memory.reader.n_left, (uint32)memory.source.size};
        uint32 document, tf, previous = 0;

        BufFileWrite(run->file, &term, sizeof(term));
        BufFileWrite(run->file, unconstify(char *, memory.source.token), term.size);
        run->n_file_left += sizeof(term) + term.size;
        while (memory_next_posting(&memory.source, &document, &tf)) {
            char bytes[POSTING_MAX];
            char *end = deeplake_bm25_put_varint(bytes, document - previous);

            end = deeplake_bm25_put_varint(end, tf);
            BufFileWrite(run->file, bytes, (size_t)(end - bytes));
            run->n_file_left += (Size)(end - bytes);
            previous = document;
        }
        CHECK_FOR_INTERRUPTS();
    }
    pfree(memory.sorted);
    return run;
}

/* --- the collector --- */

struct DeeplakeBm25Collector {
    MemoryContext context;
    DeeplakeBm25Terms *terms;
    Size budget;
    DeeplakeBm25Source **runs;
    int n_runs, n_runs_allocated;
};

DeeplakeBm25Collector *
deeplake_bm25_collector_new(void)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 collector", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    DeeplakeBm25Collector *collector = palloc0(sizeof(*collector));

    collector->context = context;
    collector->terms = deeplake_bm25_terms_new();
    collector->budget = (Size)maintenance_work_mem * 1024;
    collector->n_runs_allocated = 16;
    collector->runs = palloc(collector->n_runs_allocated * sizeof(*collector->runs));
    MemoryContextSwitchTo(previous);
    return collector;
}

void
deeplake_bm25_collector_add(DeeplakeBm25Collector *collector, uint32 document,
    const char *token, int size, uint32 count)
{
    deeplake_bm25_terms_add(collector->terms, document, token, size, count);
}

void
deeplake_bm25_collector_end_document(DeeplakeBm25Collector *collector)
{
    MemoryContext previous;

    if (deeplake_bm25_terms_memory(collector->terms) <= collector->budget)
        return;
    previous = MemoryContextSwitchTo(collector->context);
    /* One place stays for the terms that remain in memory. */
    if (collector->n_runs + 1 == collector->n_runs_allocated) {
        collector->n_runs_allocated *= 2;
        collector->runs =
            repalloc(collector->runs, collector->n_runs_allocated * sizeof(*collector->runs));
    }
    collector->runs[collector->n_runs++] = &run_write(collector->terms)->source;
    deeplake_bm25_terms_reset(collector->terms);
    MemoryContextSwitchTo(previous);
}

void
deeplake_bm25_collector_finish(DeeplakeBm25Collector *collector, DeeplakeBm25Writer *writer)
{
    MemoryContext previous = MemoryContextSwitchTo(collector->context);
    int n_runs = collector->n_runs;
    MemorySource memory;

    for (int i = 0; i < n_runs; i++) {
        if (BufFileSeek(((RunSource *)collector->runs[i])->file, 0, 0, SEEK_SET) != 0)
            ereport(ERROR, (errcode_for_file_access(),
                               errmsg("could not go back to the start of a temporary file")));
    }
    memory_start(&memory, collector->terms);
    collector->runs[n_runs] = &memory.source;
    deeplake_bm25_write_sources(writer, collector->runs, n_runs + 1);

    for (int i = 0; i < n_runs; i++)
        BufFileClose(((RunSource *)collector->runs[i])->file);
    MemoryContextSwitchTo(previous);
    MemoryContextDelete(collector->context);
}
