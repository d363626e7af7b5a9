/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/kept.h"
#include "core/query.h"

#include "core/error.h"

#include <string.h>

static void
append(GString *kept, const char *json, const char *csv)
{
    g_autoptr(GString) object = g_string_new(json);
    g_autoptr(GString) record = g_string_new(csv);

    lake_kept_append(kept, object, record);
}

static char *
convert(const GString *kept, LakeQueryFormat format, GError **error)
{
    g_autoptr(LakeSpool) from = lake_spool_new(g_get_tmp_dir());
    g_autoptr(LakeSpool) into = lake_spool_new(g_get_tmp_dir());

    g_assert_true(lake_spool_append(from, kept->str, kept->len, NULL));
    if (!lake_query_write_kept(from, format, into, error))
        return NULL;

    gsize n_bytes = (gsize)lake_spool_size(into);
    char *text = g_malloc0(n_bytes + 1);
    g_assert_cmpint(lake_spool_read(into, 0, text, n_bytes, NULL), ==, (gssize)n_bytes);
    return text;
}

static void
assert_formats(const GString *kept, const char *json, const char *jsonl, const char *csv)
{
    g_autofree char *as_json = convert(kept, LAKE_QUERY_JSON, NULL);
    g_autofree char *as_jsonl = convert(kept, LAKE_QUERY_JSONL, NULL);
    g_autofree char *as_csv = convert(kept, LAKE_QUERY_CSV, NULL);

    g_assert_cmpstr(as_json, ==, json);
    g_assert_cmpstr(as_jsonl, ==, jsonl);
    g_assert_cmpstr(as_csv, ==, csv);
}

static void
test_formats(void)
{
    g_autoptr(GString) kept = g_string_new(NULL);

    assert_formats(kept, "[]\n", "", "");
    append(kept, "", "n,t\n");
    assert_formats(kept, "[]\n", "", "n,t\n");
    append(kept, "{\"n\":1,\"t\":\"a\\nb\"}", "1,\"a\nb\"\n");
    append(kept, "{\"n\":2,\"t\":null}", "2,\n");
    assert_formats(kept, "[{\"n\":1,\"t\":\"a\\nb\"},\n {\"n\":2,\"t\":null}]\n",
        "{\"n\":1,\"t\":\"a\\nb\"}\n{\"n\":2,\"t\":null}\n", "n,t\n1,\"a\nb\"\n2,\n");
}

/* Records that are larger than what is read at once, and ends of records everywhere in it. */
static void
test_large(void)
{
    g_autoptr(GString) kept = g_string_new(NULL);
    g_autoptr(GString) jsonl = g_string_new(NULL);
    g_autoptr(GString) csv = g_string_new("c\n");

    append(kept, "", "c\n");
    for (gsize i = 0; i < 4000; i++) {
        g_autofree char *text = g_strnfill(i % 1000 == 999 ? 600000 : i % 531, 'x');
        g_autofree char *object = g_strdup_printf("{\"c\":\"%s\"}", text);
        g_autofree char *record = g_strdup_printf("%s\n", *text ? text : "\"\"");
        append(kept, object, record);
        g_string_append_printf(jsonl, "%s\n", object);
        g_string_append(csv, record);
    }

    g_autofree char *as_jsonl = convert(kept, LAKE_QUERY_JSONL, NULL);
    g_autofree char *as_csv = convert(kept, LAKE_QUERY_CSV, NULL);
    g_assert_true(strcmp(as_jsonl, jsonl->str) == 0);
    g_assert_true(strcmp(as_csv, csv->str) == 0);
}

static void
test_damaged(void)
{
    static const char *const damaged[] = {"{\"n\":1}\n", "5", "5 ", "5 2", "5 -2\n", "x 1\n",
        "1 1\na", "3 3\n{}\n1\n", "99999999999999999999 1\n{}1\n", "2 2\n{}1\n2"};

    for (gsize i = 0; i < G_N_ELEMENTS(damaged); i++) {
        g_autoptr(GString) kept = g_string_new(damaged[i]);
        g_autoptr(GError) error = NULL;
        g_assert_null(convert(kept, LAKE_QUERY_JSON, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_FAILED);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/query/kept/is-read-in-every-format", test_formats);
    g_test_add_func("/core/query/kept/records-may-be-larger-than-a-window", test_large);
    g_test_add_func("/core/query/kept/a-damaged-one-is-an-error", test_damaged);
    return g_test_run();
}
