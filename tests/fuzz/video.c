/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/video.c: any bytes as a video: refused for a reason, or cut into segments that
 * follow each other, whatever the library makes of them.
 *
 * Without libFuzzer each input is run as it is, cut off, and damaged in ways that are the same
 * every time. */

#include "core/error.h"
#include "core/ingest/normaliser.h"
#include "tests/fuzz/driver.h"

#include <stdlib.h>
#include <string.h>

#define N_DAMAGED 24
#define N_ROWS_MAX 100000

typedef struct {
    guint n_rows;
    double end; /* of the last segment */
} Seen;

static LakeIngestWorkers *shared;

static void
free_shared(void)
{
    lake_ingest_workers_free(shared);
}

/* One thread calls. */
static LakeIngestWorkers *
shared_workers(void)
{
    if (!shared) {
        shared = lake_ingest_workers_new(2);
        (void)atexit(free_shared);
    }
    return shared;
}

static void
check_refusal(const GError *error)
{
    CHECK(error && error->domain == LAKE_ERROR);
    CHECK(error->code == LAKE_ERROR_BAD_INPUT || error->code == LAKE_ERROR_TOO_BIG);
    CHECK(lake_error_facts(error)->class == LAKE_ERROR_CLASS_INGEST);
    CHECK(lake_error_facts(error)->hint);
    CHECK(g_utf8_validate(error->message, -1, NULL));
    CHECK(!strchr(error->message, '\n'));
}

static gboolean
collect(const void *data, gsize n_bytes, gpointer user_data, GError **error)
{
    g_byte_array_append(user_data, data, (guint)n_bytes);
    return TRUE;
}

/* The next field of a COPY BINARY row, and its length, -1 for NULL. */
static const guint8 *
next_field(const guint8 **at, gint32 *ret_length)
{
    guint32 length;

    memcpy(&length, *at, sizeof length);
    *ret_length = (gint32)g_ntohl(length);
    const guint8 *field = *at + sizeof length;
    *at = field + MAX(*ret_length, 0);
    return field;
}

static double
double_of(const guint8 *field)
{
    guint64 bits;
    double value;

    memcpy(&bits, field, sizeof bits);
    bits = GUINT64_FROM_BE(bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void
check_row(const LakeRows *rows, Seen *seen)
{
    g_autoptr(GByteArray) copy = g_byte_array_new();
    const guint8 *fields[7];
    gint32 lengths[7];

    CHECK(lake_rows_count(rows) == 1);
    CHECK(lake_rows_write_copy(rows, collect, copy, NULL));
    const guint8 *at = copy->data + 2;
    for (int i = 0; i < 7; i++)
        fields[i] = next_field(&at, &lengths[i]);
    CHECK(at == copy->data + copy->len);

    guint32 index = g_htonl(seen->n_rows);
    CHECK(memcmp(fields[1], &index, sizeof index) == 0);
    double start = double_of(fields[2]);
    double end = double_of(fields[3]);
    CHECK(start <= end);
    CHECK(seen->n_rows == 0 || start == seen->end);
    CHECK(lengths[4] > 0);
    CHECK(lengths[5] < 0 || memcmp(fields[5], "\xff\xd8\xff", 3) == 0);
    CHECK(lengths[6] < 0 || g_utf8_validate((const char *)fields[6], lengths[6], NULL));
    seen->n_rows++;
    seen->end = end;
}

/* How many rows; -1: refused. */
static gint64
run(const guint8 *data, gsize n_bytes, gint64 segment_seconds)
{
    const LakeNormaliser *kind = &lake_ingest_video;
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    LakeNormaliserInput input = {"id", "a.mp4", content,
        {1000, 200, 300, 1000, segment_seconds}, shared_workers(), g_get_tmp_dir()};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    g_autoptr(GError) error = NULL;
    LakeNormaliserFacts facts = {0};
    gboolean is_good = TRUE;
    Seen seen = {0};

    CHECK(lake_spool_append(content, data, n_bytes, NULL));
    gpointer state = kind->open(&input, NULL, &error);
    if (!state) {
        check_refusal(error);
        return -1;
    }
    for (gboolean is_done = FALSE; is_good && !is_done && seen.n_rows < N_ROWS_MAX;) {
        lake_rows_clear(rows);
        is_good = kind->next_row(state, rows, &is_done, NULL, &error);
        if (is_good && !is_done)
            check_row(rows, &seen);
    }
    kind->facts(state, &facts);
    kind->close(state);
    if (is_good)
        CHECK(facts.n_rows_total == seen.n_rows && seen.n_rows > 0);
    else
        check_refusal(error);
    CHECK(!facts.notes || g_utf8_validate(facts.notes, -1, NULL));
    g_free(facts.notes);
    return is_good ? (gint64)seen.n_rows : -1;
}

#ifndef LAKE_LIBFUZZER

/* A file that is taken whole is not taken in part. */
static void
run_cut(const guint8 *data, gsize n_bytes)
{
    for (gsize i = 1; i < 20; i++)
        CHECK(run(data, n_bytes * i / 20, 10) < 0);
}

/* A byte, a number, or a stretch is another one. */
static void
damage(guint8 *data, gsize n_bytes, GRand *dice)
{
    gint n_places = g_rand_int_range(dice, 1, 6);

    for (gint i = 0; i < n_places; i++) {
        gsize at = (gsize)g_rand_int_range(dice, 0, (gint32)n_bytes);
        /* Headers are where a byte means most. */
        if (g_rand_boolean(dice))
            at = at % MIN(n_bytes, 1024);
        gsize n_more = g_rand_int_range(dice, 0, 8) == 0 ? 64 : 4;
        guint8 fill = g_rand_boolean(dice) ? 0xff : (guint8)g_rand_int(dice);
        if (g_rand_boolean(dice))
            data[at] ^= (guint8)(1 << g_rand_int_range(dice, 0, 8));
        else
            memset(data + at, fill, MIN(n_more, n_bytes - at));
    }
}

static void
run_damaged(const guint8 *data, gsize n_bytes)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed((guint32)n_bytes);

    for (gint i = 0; i < N_DAMAGED; i++) {
        g_autofree guint8 *copy = g_memdup2(data, n_bytes);
        damage(copy, n_bytes, dice);
        run(copy, n_bytes, 1);
    }
}

#endif

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    static const guint8 nothing[1] = {0};
    gboolean is_taken = run(n_bytes > 0 ? data : nothing, n_bytes, 1) > 0;

#ifndef LAKE_LIBFUZZER
    if (is_taken)
        run_cut(data, n_bytes);
    if (n_bytes > 0)
        run_damaged(data, n_bytes);
#else
    (void)is_taken;
#endif
    return 0;
}
