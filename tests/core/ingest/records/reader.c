/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/records/reader.h"

#include "core/error.h"
#include <string.h>

/* Records as text: items "name=value;", each record ended by "|". NULL: refused, and *error. */
static char *
read_all(const char *path, const char *text, gsize n_bytes, GError **error)
{
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(LakeRecordItem));
    g_autoptr(GString) all = g_string_new(NULL);
    gboolean is_done = FALSE;

    g_assert_true(lake_spool_append(content, text, n_bytes, NULL));
    g_autoptr(LakeRecordReader) reader = lake_record_reader_new(content, path, error);
    while (reader && !is_done) {
        if (!lake_record_reader_next(reader, items, &is_done, error))
            return NULL;
        for (guint i = 0; i < items->len; i++) {
            const LakeRecordItem *item = &g_array_index(items, LakeRecordItem, i);
            g_string_append_len(all, item->name, (gssize)item->name_bytes);
            g_string_append_c(all, '=');
            if (item->value.kind == LAKE_JSON_SCAN_NULL)
                g_string_append_c(all, '~');
            else
                g_string_append_len(all, item->value.text, (gssize)item->value.n_bytes);
            g_string_append_c(all, ';');
        }
        if (!is_done)
            g_string_append_c(all, '|');
    }
    if (reader)
        g_assert_cmpint(lake_record_reader_offset(reader), <=, lake_spool_size(content));
    return reader ? g_strdup(all->str) : NULL;
}

static void
assert_reads(const char *path, const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *found = read_all(path, text, strlen(text), &error);

    g_assert_no_error(error);
    g_assert_cmpstr(found, ==, expected);
}

static void
test_every_form(void)
{
    assert_reads("a.jsonl", "{\"a\":1}\n\n  {\"b\":null} \r\n{}", "a=1;|b=~;||");
    assert_reads("a.NDJSON", "\xef\xbb\xbf{\"a\\u0062\":\"x\"}", "ab=x;|");
    assert_reads("a.json", "\xef\xbb\xbf [ {\"a\":[1,2]} , {} ] \n", "a=[1,2];||");
    assert_reads("a.json", "[]", "");
    assert_reads("a.json", "", "");
    assert_reads("b/a.csv", "a,b\n1,2\n,\"\"\n", "a=~;b=~;|a=1;b=2;|a=~;b=;|");
    assert_reads("a.csv", "\xef\xbb\xbf\"a\"\r\n\"x\"\"y\r\n,\"", "a=~;|a=x\"y\r\n,;|");
    assert_reads("a.csv", "a\n1\n\n2", "a=~;|a=1;|a=~;|a=2;|");
    assert_reads("a.csv", "a,b\n\n1,2\r\n\r\n", "a=~;b=~;|a=1;b=2;|");
    assert_reads("a.tsv", "a\tb\n1,5\t\"\t\"\n", "a=~;b=~;|a=1,5;b=\t;|");
    assert_reads("a.csv", "", "");
}

static void
assert_refused(const char *path, const char *text, gsize n_bytes, const char *word)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *found = read_all(path, text, n_bytes, &error);

    g_assert_null(found);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    if (!strstr(error->message, word))
        g_error("\"%s\" does not say \"%s\"", error->message, word);
}

static void
test_refusals_name_the_line(void)
{
    static const struct {
        const char *path, *text, *word;
    } bad[] = {
        {"a.txt", "", "format \"rows\""},
        {".csv", "", "format \"rows\""},
        {"a.jsonl", "{}\n{\n}\n", "line 2"},
        {"a.jsonl", "{} {}\n", "line 1"},
        {"a.jsonl", "\n\n{\"a\":\"\xc3\"}\n", "line 3"},
        {"a.json", "{}", "line 1"},
        {"a.json", "[\n{},\n{\"a\":\n x}]", "line 4"},
        {"a.json", "[{}\n", "line 2"},
        {"a.json", "[{},]", "object"},
        {"a.json", "[] x", "follows"},
        {"a.json", "[1]", "object"},
        {"a.csv", "a,b\n1\n", "line 2"},
        {"a.csv", "a\n\"\n\n\n\"x", "line 5"},
        {"a.csv", "a\n\"\"\"\n\"\"\n\"x\n", "line 4"},
        {"a.csv", "a\n\"", "line 2"},
        {"a.csv", "a\n1\"", "line 2"},
        {"a.csv", "a\r1\n", "line 1"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_refused(bad[i].path, bad[i].text, strlen(bad[i].text), bad[i].word);
    assert_refused("a.csv", "a\n\0\n", 4, "NUL");
    assert_refused("a.jsonl", "{\"a\":\0}\n", 8, "line 1");
    assert_refused("a.jsonl", "{}\n\0\n", 5, "line 2");
}

/* Records lie on all borders of the blocks that are read: what is in a file of many blocks is
 * what is in it record by record. */
static void
assert_blocks(const char *path, const char *head, const char *foot, const char *separator)
{
    g_autoptr(GString) text = g_string_new(head);
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(LakeRecordItem));
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GError) error = NULL;
    gboolean is_csv = g_str_has_suffix(path, ".csv");
    gboolean is_done;
    enum { N_RECORDS = 3000 };

    for (guint i = 0; i < N_RECORDS; i++) {
        g_autofree char *filler = g_strnfill(i % 997, 'x');
        g_string_append(text, i > 0 ? separator : "");
        if (is_csv)
            g_string_append_printf(text, "%u,\"\"\"\r\n%s\"", i, filler);
        else
            g_string_append_printf(text, "{\"n\":%u,\"t\":\"\\\"%s\"}", i, filler);
    }
    g_string_append(text, foot);
    g_assert_true(lake_spool_append(content, text->str, text->len, NULL));
    g_autoptr(LakeRecordReader) reader = lake_record_reader_new(content, path, &error);
    if (is_csv)
        g_assert_true(lake_record_reader_next(reader, items, &is_done, &error));
    for (guint i = 0; i < N_RECORDS; i++) {
        g_assert_true(lake_record_reader_next(reader, items, &is_done, &error));
        g_assert_false(is_done);
        g_assert_cmpuint(items->len, ==, 2);
        const LakeRecordItem *first = &g_array_index(items, LakeRecordItem, 0);
        const LakeRecordItem *second = &g_array_index(items, LakeRecordItem, 1);
        g_assert_cmpuint(g_ascii_strtoull(first->value.text, NULL, 10), ==, i);
        g_assert_cmpuint(second->value.n_bytes, ==, i % 997 + (is_csv ? 3 : 2));
        if (is_csv)
            g_assert_cmpuint(lake_record_reader_line(reader), ==, 2 + 2 * i);
    }
    g_assert_true(lake_record_reader_next(reader, items, &is_done, &error));
    g_assert_true(is_done);
    g_assert_cmpint(lake_record_reader_offset(reader), ==, text->len);
}

static void
test_records_on_the_borders_of_blocks(void)
{
    assert_blocks("a.jsonl", "", "\n", "\n");
    assert_blocks("a.json", "[", "]\n", " ,\n");
    assert_blocks("a.csv", "n,t\r\n", "\r\n", "\r\n");
    assert_blocks("a.csv", "n,t\n", "", "\n");
}

/* Whatever is left of a file when it is cut, it is read or refused, and never more than it
 * was. */
static void
test_cut_at_every_length(void)
{
    static const struct {
        const char *path, *text;
    } whole[] = {
        {"a.jsonl", "{\"a\":[1,{\"b\":\"\\ud83d\\ude00\"}],\"c\":-1.5e3}\n{\"a\":null}\n"},
        {"a.json", "[{\"a\":[1,{\"b\":\"\\n\"}]},\n {\"a\":true}]\n"},
        {"a.csv", "a,\"b\"\r\n1,\"x\"\"\r\ny\"\r\n,\r\n\"\",z\n"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(whole); i++)
        for (gsize n_bytes = 0; n_bytes <= strlen(whole[i].text); n_bytes++) {
            g_autofree char *piece = g_memdup2(whole[i].text, n_bytes);
            g_autoptr(GError) error = NULL;
            g_autofree char *found =
                read_all(whole[i].path, piece ? piece : "", n_bytes, &error);
            if (found)
                g_assert_no_error(error);
            else
                g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
            if (n_bytes == strlen(whole[i].text))
                g_assert_nonnull(found);
        }
}

/* The limit of a row, with memory that is no more than that. */
static void
test_a_row_without_end(void)
{
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GArray) items = g_array_new(FALSE, FALSE, sizeof(LakeRecordItem));
    g_autoptr(GError) error = NULL;
    gboolean is_done;

    g_assert_true(lake_spool_append(content, "a\n\"", 3, NULL));
    g_assert_true(lake_spool_write(content, 1 << 28, "\"", 1, NULL));
    g_autoptr(LakeRecordReader) reader = lake_record_reader_new(content, "a.csv", &error);
    g_assert_true(lake_record_reader_next(reader, items, &is_done, &error));
    g_assert_false(lake_record_reader_next(reader, items, &is_done, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_TOO_BIG);
    g_assert_nonnull(strstr(error->message, "line 2"));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/ingest/records/reader/every-form", test_every_form);
    g_test_add_func(
        "/core/ingest/records/reader/refusals-name-the-line", test_refusals_name_the_line);
    g_test_add_func("/core/ingest/records/reader/records-on-the-borders-of-blocks",
        test_records_on_the_borders_of_blocks);
    g_test_add_func(
        "/core/ingest/records/reader/cut-at-every-length", test_cut_at_every_length);
    g_test_add_func("/core/ingest/records/reader/a-row-without-end", test_a_row_without_end);
    return g_test_run();
}
