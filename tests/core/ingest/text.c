/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/normaliser.h"

#include <string.h>

static const char file_id[] = "0d9f3c52-0000-4000-8000-000000000001";

/* The chunks of bytes, of char*, and checks of what is beside them. NULL with *error. */
static GPtrArray *
chunk(const char *bytes, gsize n_bytes, gint64 chunk_size, gint64 chunk_overlap, GError **error)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(g_get_tmp_dir());
    const LakeNormaliser *kind = &lake_ingest_text;
    LakeNormaliserInput input = {file_id, "a.txt", spool, {chunk_size, chunk_overlap}};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    GPtrArray *chunks = g_ptr_array_new_with_free_func(g_free);
    LakeNormaliserFacts facts = {.n_rows_total = -1};

    g_assert_true(lake_spool_append(spool, bytes, n_bytes, NULL));
    gpointer state = kind->open(&input, NULL, error);
    if (!state) {
        g_ptr_array_unref(chunks);
        return NULL;
    }

    for (gboolean is_done = FALSE; !is_done;) {
        lake_rows_clear(rows);
        g_assert_true(kind->next_row(state, rows, &is_done, NULL, error));
        g_assert_cmpuint(lake_rows_count(rows), ==, is_done ? 0 : 1);
        if (is_done)
            break;

        guint32 index = g_htonl(chunks->len);
        g_assert_cmpmem(lake_rows_elements(rows, 0)->data + 4, 36, file_id, 36);
        g_assert_cmpmem(lake_rows_elements(rows, 1)->data + 4, 4, &index, 4);
        const GByteArray *text = lake_rows_elements(rows, 2);
        g_ptr_array_add(chunks, g_strndup((char *)text->data + 4, text->len - 4));
    }
    kind->facts(state, &facts);
    kind->close(state);
    g_assert_cmpint(facts.n_rows_total, ==, chunks->len);
    g_assert_nonnull(facts.encoding);
    g_free(facts.encoding);
    return chunks;
}

static void
assert_chunks(const char *text, gint64 chunk_size, gint64 chunk_overlap, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) chunks = chunk(text, strlen(text), chunk_size, chunk_overlap, &error);

    g_assert_no_error(error);
    g_ptr_array_add(chunks, NULL);
    g_autofree char *joined = g_strjoinv("|", (char **)chunks->pdata);
    g_assert_cmpstr(joined, ==, expected);
}

static void
test_windows(void)
{
    assert_chunks("", 4, 1, "");
    assert_chunks("a", 4, 1, "a");
    assert_chunks("abcd", 4, 1, "abcd");
    assert_chunks("abcde", 4, 1, "abcd|de");
    assert_chunks("abcdefg", 4, 1, "abcd|defg");
    assert_chunks("abcdefgh", 4, 1, "abcd|defg|gh");
    assert_chunks("abcdef", 2, 0, "ab|cd|ef");
    assert_chunks("abc", 1, 0, "a|b|c");
    assert_chunks("abcde", 3, 2, "abc|bcd|cde");
    assert_chunks("a\r\n\r\nb", 3, 0, "a\r\n|\r\nb");
}

static void
test_characters(void)
{
    assert_chunks("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z\xc3\xa9", 2, 0,
        "\xc3\xa9\xe2\x82\xac|\xf0\x9f\x98\x80z|\xc3\xa9");
    assert_chunks("\xef\xbb\xbf"
                  "ab",
        1, 0, "a|b");
    assert_chunks("e\xcc\x81", 1, 0, "e|\xcc\x81");
    assert_chunks("\xe9t\xe9", 2, 1, "\xc3\xa9t|t\xc3\xa9");
}

/* A text of n_characters in which no two stretches near each other are the same; every third
 * character has `wide` in its place. */
static GString *
make_text(gint64 n_characters, const char *wide)
{
    GString *text = g_string_new(NULL);

    for (gint64 i = 0; i < n_characters; i++) {
        if (wide && i % 3 == 0)
            g_string_append(text, wide);
        else
            g_string_append_c(text, (char)('a' + (i * i / 7 + i) % 26));
    }
    return text;
}

/* Compares with windows cut the slow way. */
static void
check_windows(gint64 n_characters, const char *wide, gint64 chunk_size, gint64 chunk_overlap)
{
    g_autoptr(GString) text = make_text(n_characters, wide);
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) chunks =
        chunk(text->str, text->len, chunk_size, chunk_overlap, &error);
    gint64 n_expected = 0;

    g_assert_no_error(error);
    for (gint64 start = 0; start < n_characters; start += chunk_size - chunk_overlap) {
        gint64 end = MIN(start + chunk_size, n_characters);
        g_autofree char *expected = g_utf8_substring(text->str, start, end);
        g_assert_cmpint(n_expected, <, chunks->len);
        g_assert_cmpstr(chunks->pdata[n_expected], ==, expected);
        n_expected++;
        if (end == n_characters)
            break;
    }
    g_assert_cmpint(chunks->len, ==, n_expected);
}

static void
test_borders(void)
{
    static const gint64 sizes[] = {999, 1000, 1001, 1799, 1800, 1801, 2600, 2601};
    static const char *const wides[] = {NULL, "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
        for (gsize j = 0; j < G_N_ELEMENTS(wides); j++) {
            check_windows(sizes[i], wides[j], 1000, 200);
            check_windows(sizes[i], wides[j], 7, 3);
        }
}

static void
test_large(void)
{
    check_windows(200 * 1000, NULL, 1000, 200);
    check_windows(200 * 1000, "\xe2\x82\xac", 1000, 200);
    check_windows(200 * 1000, "\xf0\x9f\x98\x80", 100 * 1000, 99 * 1000);
    check_windows(200 * 1000, "\xc3\xa9", 150 * 1000, 0);
}

static void
test_count(void)
{
    static const gint64 expected[][2] = {
        {0, 0},
        {1, 1},
        {1000, 1},
        {1001, 2},
        {1800, 2},
        {1801, 3},
        {100000, 125},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *text = g_strnfill((gsize)expected[i][0], 'a');
        g_autoptr(GPtrArray) chunks = chunk(text, (gsize)expected[i][0], 1000, 200, NULL);
        g_assert_cmpint(chunks->len, ==, expected[i][1]);
    }
}

static void
test_refusals(void)
{
    g_autoptr(GError) nul = NULL;
    g_autoptr(GError) settings = NULL;

    g_assert_null(chunk("ab\0c", 4, 1000, 200, &nul));
    g_assert_error(nul, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(nul->message, "byte offset 2"));
    g_assert_null(chunk("abc", 3, 10, 10, &settings));
    g_assert_error(settings, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(settings->message, "chunk_overlap"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func(
        "/core/ingest/text/last-window-is-the-first-to-reach-the-end", test_windows);
    g_test_add_func("/core/ingest/text/sizes-are-characters", test_characters);
    g_test_add_func("/core/ingest/text/windows-agree-with-a-plain-cut", test_borders);
    g_test_add_func("/core/ingest/text/windows-span-blocks", test_large);
    g_test_add_func("/core/ingest/text/number-of-rows", test_count);
    g_test_add_func("/core/ingest/text/nul-and-bad-sizes-are-refused", test_refusals);
    return g_test_run();
}
