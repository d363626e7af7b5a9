/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/failures.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

#define N_THREADS 4

static GError *
new_error(const char *message)
{
    GError *error = NULL;

    lake_error_set(&error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "%s", message);
    return error;
}

static void
add(FsFailures *failures, const char *path, const GError *error)
{
    const FsFailure failure = {
        .operation = "flush",
        .path = path,
        .uid = 1000,
        .pid = 4242,
        .saved_errno = EINVAL,
        .error = error,
    };

    fs_failures_add(failures, &failure);
}

/* One object per line; each must be JSON by itself. */
static GPtrArray *
parse_lines(FsFailures *failures)
{
    g_autofree char *text = fs_failures_to_jsonl(failures);
    GPtrArray *objects = g_ptr_array_new_with_free_func((GDestroyNotify)cJSON_Delete);

    g_assert_true(*text == '\0' || g_str_has_suffix(text, "\n"));
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        cJSON *object = cJSON_ParseWithOpts(line, NULL, TRUE);
        g_assert_true(cJSON_IsObject(object));
        g_ptr_array_add(objects, object);
    }
    return objects;
}

static const char *
text_of(GPtrArray *objects, guint index, const char *name)
{
    g_assert_cmpuint(index, <, objects->len);
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(objects->pdata[index], name));
}

static double
number_of(GPtrArray *objects, guint index, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(objects->pdata[index], name);

    g_assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void
test_empty(void)
{
    FsFailures *failures = fs_failures_new();
    g_autofree char *text = fs_failures_to_jsonl(failures);

    g_assert_cmpstr(text, ==, "");
    g_assert_cmpuint(fs_failures_count(failures), ==, 0);
    fs_failures_free(failures);
}

static void
test_fields(void)
{
    FsFailures *failures = fs_failures_new();
    const LakeErrorFacts facts = {.class = LAKE_ERROR_CLASS_TABLE,
        .sqlstate = (char *)"42P01",
        .hint = (char *)"make it"};
    g_autoptr(GError) error = NULL;

    lake_error_set_facts(&error, LAKE_ERROR_NOT_FOUND, &facts, "no \"table\"\nhere\t\\");
    add(failures,
        "docs/gr\xc3\xb6\xc3\x9f"
        "e \"1\"\n.txt",
        error);
    g_autoptr(GPtrArray) objects = parse_lines(failures);

    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text_of(objects, 0, "time"), NULL);
    g_assert_nonnull(time);
    g_assert_cmpint(ABS(g_date_time_to_unix(time) - g_get_real_time() / G_USEC_PER_SEC), <, 60);
    g_assert_cmpstr(text_of(objects, 0, "op"), ==, "flush");
    g_assert_cmpstr(text_of(objects, 0, "path"), ==,
        "docs/gr\xc3\xb6\xc3\x9f"
        "e \"1\"\n.txt");
    g_assert_cmpfloat(number_of(objects, 0, "uid"), ==, 1000);
    g_assert_cmpfloat(number_of(objects, 0, "pid"), ==, 4242);
    g_assert_cmpfloat(number_of(objects, 0, "errno"), ==, EINVAL);
    g_assert_cmpstr(text_of(objects, 0, "class"), ==, "TableError");
    g_assert_cmpstr(text_of(objects, 0, "sqlstate"), ==, "42P01");
    g_assert_cmpstr(text_of(objects, 0, "message"), ==, "no \"table\"\nhere\t\\");
    g_assert_cmpstr(text_of(objects, 0, "hint"), ==, "make it");
    fs_failures_free(failures);
}

static void
test_null(void)
{
    FsFailures *failures = fs_failures_new();
    g_autoptr(GError) error = new_error("why");
    g_autoptr(GError) other = g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_IO, "disk");

    add(failures, "a", error);
    add(failures, "b", other);
    g_autoptr(GPtrArray) objects = parse_lines(failures);

    g_assert_cmpuint(objects->len, ==, 2);
    for (guint i = 0; i < objects->len; i++) {
        g_assert_true(
            cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(objects->pdata[i], "sqlstate")));
        g_assert_true(
            cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(objects->pdata[i], "hint")));
        g_assert_nonnull(text_of(objects, i, "class"));
    }
    fs_failures_free(failures);
}

static void
test_ring(void)
{
    FsFailures *failures = fs_failures_new();

    for (guint i = 0; i < FS_FAILURES_MAX + 7; i++) {
        g_autofree char *path = g_strdup_printf("f%u", i);
        g_autoptr(GError) error = new_error("why");
        add(failures, path, error);
    }
    g_autoptr(GPtrArray) objects = parse_lines(failures);

    g_assert_cmpuint(objects->len, ==, FS_FAILURES_MAX);
    g_assert_cmpuint(fs_failures_count(failures), ==, FS_FAILURES_MAX + 7);
    for (guint i = 0; i < objects->len; i++) {
        g_autofree char *path = g_strdup_printf("f%u", i + 7);
        g_assert_cmpstr(text_of(objects, i, "path"), ==, path);
    }
    fs_failures_free(failures);
}

static void
refuse(FsFailures *failures, const char *zone, const char *path, const char *message)
{
    g_autoptr(GError) error = new_error(message);

    fs_failures_refuse(failures, zone, path, error);
}

static void
assert_reason(FsFailures *failures, const char *zone, const char *path, const char *expected)
{
    g_autofree char *reason = fs_failures_reason(failures, zone, path);

    g_assert_cmpstr(reason, ==, expected);
}

static void
test_reason(void)
{
    FsFailures *failures = fs_failures_new();
    g_autoptr(GError) hinted = new_error("it is cut");

    refuse(failures, "docs", "a.pdf", "it is cut");
    lake_error_hint(hinted, "copy it again");
    fs_failures_refuse(failures, "docs", "b.pdf", hinted);

    assert_reason(failures, "docs", "a.pdf", "IngestError: it is cut\n");
    assert_reason(failures, "docs", "b.pdf", "IngestError: it is cut\nHint: copy it again\n");
    assert_reason(failures, "docs", "c.pdf", NULL);
    assert_reason(failures, "other", "a.pdf", NULL);
    /* A refusal is no failure of a request: whoever answers that adds it. */
    g_assert_cmpuint(fs_failures_count(failures), ==, 0);
    fs_failures_free(failures);
}

static void
test_again(void)
{
    FsFailures *failures = fs_failures_new();

    refuse(failures, "docs", "a", "first");
    refuse(failures, "docs", "b", "other");
    refuse(failures, "docs", "a", "second");
    assert_reason(failures, "docs", "a", "IngestError: second\n");

    g_autoptr(GPtrArray) names = fs_failures_refused(failures, "docs", "");
    g_assert_cmpuint(names->len, ==, 2);
    fs_failures_free(failures);
}

static void
test_forgive(void)
{
    FsFailures *failures = fs_failures_new();

    g_assert_false(fs_failures_forgive(failures, "docs", "a"));
    refuse(failures, "docs", "a", "why");
    refuse(failures, "docs", "b", "why");
    g_assert_false(fs_failures_forgive(failures, "docs", "c"));
    g_assert_false(fs_failures_forgive(failures, "other", "a"));
    assert_reason(failures, "docs", "a", "IngestError: why\n");

    g_assert_true(fs_failures_forgive(failures, "docs", "a"));
    assert_reason(failures, "docs", "a", NULL);
    g_assert_false(fs_failures_forgive(failures, "docs", "a"));
    assert_reason(failures, "docs", "b", "IngestError: why\n");
    fs_failures_free(failures);
}

static void
assert_refused(FsFailures *failures, const char *zone, const char *folder, const char *expected)
{
    g_autoptr(GPtrArray) names = fs_failures_refused(failures, zone, folder);

    g_ptr_array_add(names, NULL);
    g_autofree char *joined = g_strjoinv(" ", (char **)names->pdata);
    g_test_message("%s/%s", zone, folder);
    g_assert_cmpstr(joined, ==, expected);
}

static void
test_one_folder(void)
{
    FsFailures *failures = fs_failures_new();
    static const char *const paths[] = {"a", "x/b", "x/c", "x/y/d", "xy/e", "z"};

    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        refuse(failures, "docs", paths[i], "why");
    refuse(failures, "docs2", "f", "why");

    assert_refused(failures, "docs", "", "a z");
    assert_refused(failures, "docs", "x", "b c");
    assert_refused(failures, "docs", "x/y", "d");
    assert_refused(failures, "docs", "xy", "e");
    assert_refused(failures, "docs", "y", "");
    assert_refused(failures, "docs2", "", "f");
    assert_refused(failures, "doc", "", "");
    fs_failures_free(failures);
}

/* A table's name may have a slash in it. */
static void
test_zones(void)
{
    FsFailures *failures = fs_failures_new();

    refuse(failures, "a", "b/c", "of a");
    refuse(failures, "a/b", "c", "of a/b");
    refuse(failures, "a/", "d", "of a/");

    assert_reason(failures, "a", "b/c", "IngestError: of a\n");
    assert_reason(failures, "a/b", "c", "IngestError: of a/b\n");
    assert_refused(failures, "a", "b", "c");
    assert_refused(failures, "a/b", "", "c");
    assert_refused(failures, "a", "", "");
    assert_refused(failures, "a/", "", "d");
    g_assert_true(fs_failures_forgive(failures, "a/b", "c"));
    assert_reason(failures, "a", "b/c", "IngestError: of a\n");
    fs_failures_free(failures);
}

static void
test_oldest(void)
{
    FsFailures *failures = fs_failures_new();

    for (guint i = 0; i < FS_FAILURES_REFUSALS_MAX + 2; i++) {
        g_autofree char *path = g_strdup_printf("%u", i);
        refuse(failures, "docs", path, "why");
    }
    g_autoptr(GPtrArray) names = fs_failures_refused(failures, "docs", "");
    g_assert_cmpuint(names->len, ==, FS_FAILURES_REFUSALS_MAX);
    assert_reason(failures, "docs", "0", NULL);
    assert_reason(failures, "docs", "1", NULL);
    assert_reason(failures, "docs", "2", "IngestError: why\n");
    fs_failures_free(failures);
}

static gpointer
use(gpointer user_data)
{
    FsFailures *failures = user_data;

    for (guint i = 0; i < 500; i++) {
        g_autofree char *path = g_strdup_printf("%u", i % 7);
        g_autoptr(GError) error = new_error("why");

        add(failures, path, error);
        fs_failures_refuse(failures, "docs", path, error);
        g_autofree char *reason = fs_failures_reason(failures, "docs", path);
        g_autoptr(GPtrArray) names = fs_failures_refused(failures, "docs", "");
        g_assert_cmpuint(names->len, <=, 7);
        (void)fs_failures_forgive(failures, "docs", path);
    }
    return NULL;
}

static void
test_threads(void)
{
    FsFailures *failures = fs_failures_new();
    GThread *threads[N_THREADS];

    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("fails", use, failures);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(fs_failures_count(failures), ==, N_THREADS * 500);
    assert_refused(failures, "docs", "", "");
    fs_failures_free(failures);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/failures/none-is-an-empty-file", test_empty);
    g_test_add_func("/fs/failures/a-line-is-json-and-says-all", test_fields);
    g_test_add_func("/fs/failures/what-is-unknown-is-null", test_null);
    g_test_add_func("/fs/failures/the-last-thousand-stay-in-order", test_ring);
    g_test_add_func("/fs/failures/a-refusal-has-its-reason-and-hint", test_reason);
    g_test_add_func("/fs/failures/the-last-refusal-counts", test_again);
    g_test_add_func("/fs/failures/forgiving-takes-one-back", test_forgive);
    g_test_add_func("/fs/failures/refused-names-are-of-one-folder", test_one_folder);
    g_test_add_func("/fs/failures/zones-with-slashes-do-not-mix", test_zones);
    g_test_add_func("/fs/failures/the-oldest-refusals-are-forgotten", test_oldest);
    g_test_add_func("/fs/failures/any-thread-may-call", test_threads);
    return g_test_run();
}
