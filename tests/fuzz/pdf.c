/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/pdf.c: any bytes as a PDF, as they are and damaged: rows that are right in
 * themselves, or a reason; in bounded time. */

#include "core/error.h"
#include "core/ingest/normaliser.h"
#include "tests/fuzz/driver.h"

#include <string.h>

#define TIME_MAX_S 10 /* then it is cancelled, which has to be heard soon */
#define HEARD_MAX_S 20
#define DAMAGED_MAX_BYTES (16 * 1024) /* larger ones are run once */
#define N_DAMAGED 16

/* Cancels when its time is over. */
typedef struct {
    GMutex mutex;
    GCond changed;
    gboolean is_over; /* what it watches; guarded by mutex */
    GCancellable *cancellable;
    GThread *thread;
} Watch;

static gpointer
watch(gpointer data)
{
    Watch *self = data;
    gint64 deadline_us = g_get_monotonic_time() + TIME_MAX_S * G_USEC_PER_SEC;
    gboolean is_late = FALSE;

    g_mutex_lock(&self->mutex);
    while (!self->is_over && !is_late)
        is_late = !g_cond_wait_until(&self->changed, &self->mutex, deadline_us);
    g_mutex_unlock(&self->mutex);
    if (is_late)
        g_cancellable_cancel(self->cancellable);
    return NULL;
}

static void
watch_begin(Watch *self)
{
    g_mutex_init(&self->mutex);
    g_cond_init(&self->changed);
    self->is_over = FALSE;
    self->cancellable = g_cancellable_new();
    self->thread = g_thread_new("watch", watch, self);
}

static void
watch_end(Watch *self)
{
    g_mutex_lock(&self->mutex);
    self->is_over = TRUE;
    g_cond_broadcast(&self->changed);
    g_mutex_unlock(&self->mutex);
    g_thread_join(self->thread);
    g_object_unref(self->cancellable);
    g_cond_clear(&self->changed);
    g_mutex_clear(&self->mutex);
}

static void
check_refusal(const GError *error, GCancellable *cancellable)
{
    CHECK(error && error->domain == LAKE_ERROR);
    CHECK(lake_error_facts(error)->class == LAKE_ERROR_CLASS_INGEST);
    CHECK(g_utf8_validate(error->message, -1, NULL));
    if (g_cancellable_is_cancelled(cancellable))
        CHECK(error->code == LAKE_ERROR_CANCELLED);
    else
        CHECK(error->code == LAKE_ERROR_BAD_INPUT || error->code == LAKE_ERROR_TOO_BIG);
}

static void
check_row(const LakeRows *rows, guint page_index)
{
    guint32 index = g_htonl(page_index);
    const GByteArray *text = lake_rows_elements(rows, 3);

    CHECK(lake_rows_count(rows) == 1);
    CHECK(memcmp(lake_rows_elements(rows, 1)->data + 4, &index, 4) == 0);
    CHECK(memcmp(lake_rows_elements(rows, 2)->data + 4, "\x89PNG\r\n\x1a\n", 8) == 0);
    CHECK(g_utf8_validate((char *)text->data + 4, (gssize)text->len - 4, NULL));
}

/* All rows; returns how many, or -1 with *error. */
static gint64
read_rows(gpointer state, GCancellable *cancellable, GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_pdf;
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    guint n_rows = 0;

    for (gboolean is_done = FALSE;;) {
        lake_rows_clear(rows);
        if (!kind->next_row(state, rows, &is_done, cancellable, error))
            return -1;
        if (is_done)
            return n_rows;
        if (lake_rows_n_spools(rows) == 0)
            check_row(rows, n_rows);
        n_rows++;
    }
}

static void
run(LakeIngestWorkers *workers, const guint8 *data, gsize n_bytes, GCancellable *cancellable)
{
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GError) error = NULL;
    const LakeNormaliser *kind = &lake_ingest_pdf;
    LakeIngestSettings settings = {.chunk_size = 1000,
        .chunk_overlap = 200,
        .pdf_dpi = 20,
        .pdf_max_pages = 20,
        .segment_seconds = 10};
    LakeNormaliserInput input = {"id", "a.pdf", content, settings, workers, g_get_tmp_dir()};
    LakeNormaliserFacts facts = {.n_rows_total = -1};

    CHECK(lake_spool_append(content, data, n_bytes, NULL));
    gpointer state = kind->open(&input, cancellable, &error);
    if (!state) {
        check_refusal(error, cancellable);
        return;
    }

    gint64 n_rows = read_rows(state, cancellable, &error);
    kind->facts(state, &facts);
    kind->close(state);
    if (n_rows < 0)
        check_refusal(error, cancellable);
    else
        CHECK(n_rows == facts.n_rows_total && n_rows <= settings.pdf_max_pages);
    CHECK(!facts.notes || g_utf8_validate(facts.notes, -1, NULL));
    g_free(facts.notes);
}

static void
run_bounded(LakeIngestWorkers *workers, const guint8 *data, gsize n_bytes)
{
    Watch self;
    gint64 begun_us = g_get_monotonic_time();

    watch_begin(&self);
    run(workers, data, n_bytes, self.cancellable);
    watch_end(&self);
    CHECK(g_get_monotonic_time() - begun_us < (TIME_MAX_S + HEARD_MAX_S) * G_USEC_PER_SEC);
}

/* A few bytes of it are others; which, its length decides, so that it is the same each time. */
static void
run_damaged(LakeIngestWorkers *workers, const guint8 *data, gsize n_bytes)
{
    g_autoptr(GRand) random = g_rand_new_with_seed((guint32)n_bytes);
    g_autofree guint8 *damaged = g_memdup2(data, n_bytes);

    for (guint i = 0; i < N_DAMAGED; i++) {
        memcpy(damaged, data, n_bytes);
        for (guint j = 0; j <= i % 4; j++)
            damaged[g_rand_int_range(random, 0, (gint32)n_bytes)] =
                (guint8)g_rand_int_range(random, 0, 256);
        run_bounded(workers, damaged, n_bytes);
    }
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    static const guint8 nothing[1] = {0};
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(2);

    run_bounded(workers, n_bytes > 0 ? data : nothing, n_bytes);
    if (n_bytes > 0 && n_bytes <= DAMAGED_MAX_BYTES)
        run_damaged(workers, data, n_bytes);
    return 0;
}
