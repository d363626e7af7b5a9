/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rows.h"

#include "core/error.h"

#include <string.h>

static const LakeColumn columns[] = {
    {"a", LAKE_TYPE_INT32},
    {"b", LAKE_TYPE_TEXT},
};

static const LakeColumn one_column[] = {{"data", LAKE_TYPE_BINARY}};

/* What a sink got. */
typedef struct {
    GByteArray *all;
    guint n_pieces;
    gsize largest;
    guint fails_at; /* this piece is refused; 0: none */
} Sunk;

static gboolean
sink(const void *data, gsize n_bytes, gpointer user_data, GError **error)
{
    Sunk *sunk = user_data;

    sunk->n_pieces++;
    sunk->largest = MAX(sunk->largest, n_bytes);
    if (sunk->n_pieces == sunk->fails_at) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE, "refused");
        return FALSE;
    }
    g_byte_array_append(sunk->all, data, (guint)n_bytes);
    return TRUE;
}

static LakeSpool *
new_spool(gsize n_bytes)
{
    LakeSpool *spool = lake_spool_new(g_get_tmp_dir());
    g_autofree guint8 *bytes = g_malloc(MAX(n_bytes, 1));
    g_autoptr(GError) error = NULL;

    for (gsize i = 0; i < n_bytes; i++)
        bytes[i] = (guint8)(i * 31 + i / 4096);
    lake_spool_append(spool, bytes, n_bytes, &error);
    g_assert_no_error(error);
    return spool;
}

static void
test_elements(void)
{
    static const LakeColumn all_types[] = {
        {"i", LAKE_TYPE_INT32},
        {"l", LAKE_TYPE_INT64},
        {"d", LAKE_TYPE_FLOAT64},
        {"t", LAKE_TYPE_TEXT},
        {"y", LAKE_TYPE_BINARY},
        {"n", LAKE_TYPE_TEXT},
    };
    static const struct {
        const char *bytes;
        gsize n_bytes;
    } expected[] = {
        {"\0\0\0\4\xff\xff\xff\xfe", 8},
        {"\0\0\0\x08\1\2\3\4\5\6\7\x08", 12},
        {"\0\0\0\x08\xbf\xf8\0\0\0\0\0\0", 12},
        {"\0\0\0\3h\xc3\xa9", 7},
        {"\0\0\0\2\0\xff", 6},
        {"\xff\xff\xff\xff", 4},
    };
    g_autoptr(LakeRows) rows = lake_rows_new(all_types, G_N_ELEMENTS(all_types));

    lake_rows_add_int32(rows, -2);
    lake_rows_add_int64(rows, 0x0102030405060708);
    lake_rows_add_float64(rows, -1.5);
    lake_rows_add_text(rows, "h\xc3\xa9llo", 3);
    lake_rows_add_bytes(rows, "\0\xff", 2);
    g_assert_cmpuint(lake_rows_count(rows), ==, 0);
    lake_rows_add_null(rows);
    g_assert_cmpuint(lake_rows_count(rows), ==, 1);

    gsize n_bytes = 0;
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        const GByteArray *elements = lake_rows_elements(rows, i);
        g_assert_cmpmem(elements->data, elements->len, expected[i].bytes, expected[i].n_bytes);
        n_bytes += expected[i].n_bytes;
    }
    g_assert_cmpuint(lake_rows_bytes(rows), ==, n_bytes);
    g_assert_cmpuint(lake_rows_n_columns(rows), ==, 6);
    g_assert_cmpstr(lake_rows_column(rows, 3)->name, ==, "t");
}

static void
test_copy(void)
{
    static const char expected[] = "\0\2\0\0\0\4\0\0\0\7\0\0\0\0"
                                   "\0\2\xff\xff\xff\xff\0\0\0\3abc";
    g_autoptr(LakeRows) rows = lake_rows_new(columns, 2);
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    Sunk sunk = {.all = all};

    lake_rows_add_int32(rows, 7);
    lake_rows_add_text(rows, "", 0);
    lake_rows_add_null(rows);
    lake_rows_add_text(rows, "abc", 3);
    g_assert_true(lake_rows_write_copy(rows, sink, &sunk, &error));
    g_assert_no_error(error);
    g_assert_cmpmem(all->data, all->len, expected, sizeof expected - 1);
    g_assert_cmpuint(sunk.n_pieces, ==, 1);
}

static void
test_copy_nothing(void)
{
    g_autoptr(LakeRows) rows = lake_rows_new(columns, 2);
    Sunk sunk = {.fails_at = 1};

    g_assert_true(lake_rows_write_copy(rows, sink, &sunk, NULL));
    g_assert_cmpuint(sunk.n_pieces, ==, 0);
}

static void
test_spool(void)
{
    const gsize n_bytes = 2 * 1024 * 1024 + 77;
    g_autoptr(LakeSpool) spool = new_spool(n_bytes);
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autofree guint8 *content = g_malloc(n_bytes);
    g_autoptr(GError) error = NULL;
    Sunk sunk = {.all = all};

    lake_rows_add_bytes(rows, "x", 1);
    g_assert_false(lake_rows_has_spool(rows));
    lake_rows_add_spool(rows, spool);
    lake_rows_add_bytes(rows, "y", 1);
    g_assert_true(lake_rows_has_spool(rows));
    g_assert_cmpuint(lake_rows_bytes(rows), <, 100);

    g_assert_true(lake_rows_write_copy(rows, sink, &sunk, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(sunk.largest, ==, 1024 * 1024);
    g_assert_cmpuint(all->len, ==, 7 + 6 + n_bytes + 7);
    g_assert_cmpmem(all->data, 13, "\0\1\0\0\0\1x\0\1\0\x20\0\x4d", 13);
    g_assert_cmpint(lake_spool_read(spool, 0, content, n_bytes, &error), ==, (gssize)n_bytes);
    g_assert_cmpmem(all->data + 13, n_bytes, content, n_bytes);
    g_assert_cmpmem(all->data + 13 + n_bytes, 7, "\0\1\0\0\0\1y", 7);
}

static void
test_empty_spool(void)
{
    g_autoptr(LakeSpool) spool = new_spool(0);
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);
    g_autoptr(GByteArray) all = g_byte_array_new();
    Sunk sunk = {.all = all};

    lake_rows_add_spool(rows, spool);
    g_assert_true(lake_rows_write_copy(rows, sink, &sunk, NULL));
    g_assert_cmpmem(all->data, all->len, "\0\1\0\0\0\0", 6);
}

static void
test_staged(void)
{
    g_autoptr(LakeSpool) value = new_spool(3);
    g_autoptr(LakeSpool) staging = lake_spool_new(g_get_tmp_dir());
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);
    g_autoptr(LakeRows) straight = lake_rows_new(one_column, 1);
    g_autoptr(GByteArray) staged = g_byte_array_new();
    g_autoptr(GByteArray) expected = g_byte_array_new();
    g_autofree char *large = g_strnfill(300000, 'l');

    for (guint i = 0; i < 5; i++) {
        lake_rows_add_text(rows, large, 300000);
        lake_rows_add_text(straight, large, 300000);
        lake_rows_add_spool(rows, value);
        lake_rows_add_spool(straight, value);
        if (i == 1 || i == 3) {
            g_assert_true(lake_rows_stage(rows, staging, NULL));
            g_assert_cmpuint(lake_rows_bytes(rows), ==, 0);
            g_assert_cmpuint(lake_rows_n_spools(rows), ==, 0);
        }
        g_assert_cmpuint(lake_rows_count(rows), ==, 2 * (i + 1));
        g_assert_true(lake_rows_has_spool(rows));
    }
    g_assert_true(lake_rows_write_copy(straight, sink, &(Sunk){.all = expected}, NULL));
    g_assert_true(lake_rows_write_copy(rows, sink, &(Sunk){.all = staged}, NULL));
    g_assert_cmpmem(staged->data, staged->len, expected->data, expected->len);

    lake_rows_clear(rows);
    g_assert_cmpuint(lake_rows_count(rows), ==, 0);
    g_assert_false(lake_rows_has_spool(rows));
}

typedef struct {
    double last;
    guint n_calls;
} Watched;

static void
watch(double share, gpointer user_data)
{
    Watched *watched = user_data;

    g_assert_cmpfloat(share, >=, watched->last);
    g_assert_cmpfloat(share, <=, 1);
    watched->last = share;
    watched->n_calls++;
}

static void
test_watched(void)
{
    g_autoptr(LakeSpool) value = new_spool(10 * 1024 * 1024);
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);
    g_autoptr(GByteArray) all = g_byte_array_new();
    Watched watched = {0};

    lake_rows_add_spool(rows, value);
    lake_rows_watch(rows, watch, &watched);
    g_assert_true(lake_rows_write_copy(rows, sink, &(Sunk){.all = all}, NULL));
    g_assert_cmpuint(watched.n_calls, >=, 10);
    g_assert_cmpfloat(watched.last, >, 0.999);
}

static void
test_shrunk_spool(void)
{
    g_autoptr(LakeSpool) spool = new_spool(1000);
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    Sunk sunk = {.all = all};

    lake_rows_add_spool(rows, spool);
    g_assert_true(lake_spool_truncate(spool, 400, NULL));
    g_assert_false(lake_rows_write_copy(rows, sink, &sunk, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_FAILED);
    g_assert_nonnull(strstr(error->message, "byte 400"));
}

static void
test_sink_error(void)
{
    g_autofree char *value = g_strnfill(100 * 1000, 'v');
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);

    lake_rows_add_bytes(rows, value, 100 * 1000);
    lake_rows_add_bytes(rows, "small", 5);
    for (guint fails_at = 1; fails_at <= 3; fails_at++) {
        g_autoptr(GByteArray) all = g_byte_array_new();
        g_autoptr(GError) error = NULL;
        Sunk sunk = {.all = all, .fails_at = fails_at};
        g_assert_false(lake_rows_write_copy(rows, sink, &sunk, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
        g_assert_cmpuint(sunk.n_pieces, ==, fails_at);
    }
}

static void
test_clear(void)
{
    g_autoptr(LakeSpool) spool = new_spool(10);
    g_autoptr(LakeRows) rows = lake_rows_new(one_column, 1);

    lake_rows_add_spool(rows, spool);
    lake_rows_clear(rows);
    g_assert_cmpuint(lake_rows_count(rows), ==, 0);
    g_assert_cmpuint(lake_rows_bytes(rows), ==, 0);
    g_assert_false(lake_rows_has_spool(rows));

    lake_rows_add_bytes(rows, "z", 1);
    const GByteArray *elements = lake_rows_elements(rows, 0);
    g_assert_cmpmem(elements->data, elements->len, "\0\0\0\1z", 5);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/rows/staged-rows-are-sent-as-they-were", test_staged);
    g_test_add_func("/core/rows/a-watch-sees-the-share-grow", test_watched);
    g_test_add_func("/core/rows/elements-are-postgresql-binary", test_elements);
    g_test_add_func("/core/rows/copy-is-tuples-of-binary-values", test_copy);
    g_test_add_func("/core/rows/no-rows-send-nothing", test_copy_nothing);
    g_test_add_func("/core/rows/spool-goes-in-pieces-of-1-mib", test_spool);
    g_test_add_func("/core/rows/empty-spool-is-an-empty-value", test_empty_spool);
    g_test_add_func("/core/rows/spool-that-shrank-is-an-error", test_shrunk_spool);
    g_test_add_func("/core/rows/error-of-the-sink-ends-the-copy", test_sink_error);
    g_test_add_func("/core/rows/clear-forgets-rows-and-spools", test_clear);
    return g_test_run();
}
