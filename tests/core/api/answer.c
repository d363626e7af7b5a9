/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/answer.h"

#include "core/error.h"
#include <string.h>

#define SMALL                                                                                  \
    "{\"columns\":[\"a\",\"b\"],\"rows\":[[1,\"x\"],[null,\"\\u00e4\"]],\"row_count\":2}"

static LakeSpool *
new_body(const char *text, gsize n_bytes)
{
    LakeSpool *body = lake_spool_new(g_get_tmp_dir());

    g_assert_true(lake_spool_append(body, text, n_bytes, NULL));
    return body;
}

static LakeApiAnswer *
read_text(const char *text, gsize n_bytes, GError **error)
{
    g_autoptr(LakeSpool) body = new_body(text, n_bytes);

    return lake_api_answer_new(body, error);
}

static LakeApiAnswer *
read_answer(const char *text)
{
    g_autoptr(GError) error = NULL;
    LakeApiAnswer *answer = read_text(text, strlen(text), &error);

    g_assert_no_error(error);
    g_assert_nonnull(answer);
    return answer;
}

/* All rows, of which those columns are bytes whose bit is set. */
static LakeResult *
take_all(LakeApiAnswer *answer, guint are_bytes, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT 1");

    for (guint i = 0; i < 32; i++)
        if (are_bytes & 1U << i)
            lake_statement_expect_bytes(statement, i);
    return lake_api_answer_take(answer, statement, G_MAXUINT, error);
}

static LakeResult *
read_all(const char *text, guint are_bytes)
{
    g_autoptr(LakeApiAnswer) answer = read_answer(text);
    g_autoptr(GError) error = NULL;
    LakeResult *result = take_all(answer, are_bytes, &error);

    g_assert_no_error(error);
    return result;
}

/* Neither its whole nor its rows are answers: FAILED, with this in what it says. */
static void
assert_refused(const char *text, guint are_bytes, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeApiAnswer) answer = read_text(text, strlen(text), &error);
    g_autoptr(LakeResult) result = answer ? take_all(answer, are_bytes, &error) : NULL;

    if (result)
        g_error("this was taken for an answer: %s", text);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_FAILED);
    if (!strstr(error->message, part))
        g_error("no \"%s\" in \"%s\", of %s", part, error->message, text);
    g_assert_nonnull(lake_error_facts(error)->hint);
}

/* --- what an answer is --- */

static void
test_empty_body(void)
{
    static const char *const texts[] = {"", " \n\t", "{}", "{\"row_count\":null}",
        "{\"columns\":null,\"rows\":null,\"row_count\":null}"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(LakeApiAnswer) answer = read_answer(texts[i]);
        g_autoptr(GError) error = NULL;

        g_assert_cmpuint(lake_result_n_columns(lake_api_answer_columns(answer)), ==, 0);
        g_assert_false(lake_api_answer_has_rows(answer));
        g_assert_cmpint(lake_api_answer_n_affected(answer), ==, -1);
        g_assert_null(lake_api_answer_next_row(answer, &error));
        g_assert_no_error(error);
        g_autoptr(LakeResult) result = take_all(answer, 0, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(lake_result_n_rows(result), ==, 0);
        g_assert_cmpuint(lake_result_n_columns(result), ==, 0);
    }
}

static void
test_count_without_columns(void)
{
    g_autoptr(LakeResult) result =
        read_all("{\"columns\":null,\"rows\":null,\"row_count\":12}", 0);

    g_assert_cmpint(lake_result_n_affected(result), ==, 12);
    g_autoptr(LakeResult) empty = lake_api_answer_new_empty(3);
    g_assert_cmpint(lake_result_n_affected(empty), ==, 3);
    g_assert_cmpuint(lake_result_n_rows(empty), ==, 0);
    g_assert_cmpuint(lake_result_n_columns(empty), ==, 0);
}

static void
assert_small(LakeResult *result)
{
    g_assert_cmpuint(lake_result_n_columns(result), ==, 2);
    g_assert_cmpuint(lake_result_n_rows(result), ==, 2);
    g_assert_cmpstr(lake_result_column_name(result, 0), ==, "a");
    g_assert_cmpstr(lake_result_column_name(result, 1), ==, "b");
    g_assert_cmpuint(lake_result_column_oid(result, 1), ==, 114);
    g_assert_cmpstr(lake_result_text(result, 0, 0), ==, "1");
    g_assert_cmpint(lake_result_int64(result, 0, 0), ==, 1);
    g_assert_cmpstr(lake_result_text(result, 0, 1), ==, "x");
    g_assert_null(lake_result_text(result, 1, 0));
    g_assert_cmpuint(lake_result_length(result, 1, 0), ==, 0);
    g_assert_cmpstr(lake_result_text(result, 1, 1), ==, "\xc3\xa4");
    g_assert_cmpuint(lake_result_length(result, 1, 1), ==, 2);
    g_assert_cmpint(lake_result_n_affected(result), ==, 2);
}

/* And with further ones, which mean nothing to us. */
static void
test_keys_in_any_order(void)
{
    static const char *const members[] = {"\"columns\": [ \"a\" ,\"b\" ]",
        "\"rows\":\n[ [1,\"x\"] , [ null , \"\\u00e4\" ] ]", "\"row_count\":2"};
    static const int orders[][3] = {
        {0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (gsize i = 0; i < G_N_ELEMENTS(orders); i++) {
        g_autofree char *text = g_strdup_printf(
            " {%s , \"more\":{\"rows\":[[7]],\"columns\":3},%s,%s,\"took_ms\":0.5}\r\n",
            members[orders[i][0]], members[orders[i][1]], members[orders[i][2]]);
        g_autoptr(LakeResult) result = read_all(text, 0);
        assert_small(result);
    }
}

/* A column of the type json keeps an escape that stands for no character: the value is as it
 * was written, and the others of the answer are none the worse for it. */
static void
test_escapes_that_stand_for_nothing(void)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"{\"k\":\"a\\u0000b\"}", "{\"k\":\"a\\u0000b\"}"},
        {"[\"\\ud83d\",\"\\ude00\"]", "[\"\\ud83d\",\"\\ude00\"]"},
        {"\"a\\u0000\\u00e4\"", "a\\u0000\xc3\xa4"},
        {"\"\\ud83d\\ud83d\\ude00\"", "\\ud83d\xf0\x9f\x98\x80"},
        {"\"\\uDE00\\u0041\"", "\\uDE00A"},
        {"\"x\\ud83d\"", "x\\ud83d"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text =
            g_strdup_printf("{\"columns\":[\"j\",\"n\"],\"rows\":[[%s,1]]}", cases[i].json);
        g_autoptr(LakeApiAnswer) answer = read_answer(text);
        g_autoptr(GError) error = NULL;
        const LakeResult *row = lake_api_answer_next_row(answer, &error);
        gsize n_bytes = 0;

        g_assert_no_error(error);
        g_assert_cmpstr(lake_result_text(row, 0, 0), ==, cases[i].text);
        g_assert_cmpuint(lake_result_length(row, 0, 0), ==, strlen(cases[i].text));
        g_assert_cmpstr(lake_result_text(row, 0, 1), ==, "1");
        const char *json = lake_result_json(row, 0, 0, &n_bytes);
        g_assert_cmpmem(json, n_bytes, cases[i].json, strlen(cases[i].json));
    }
    assert_refused("{\"columns\":[\"j\"],\"rows\":[[\"\\ud83d\\u00\\u0041\"]]}", 0,
        "four hexadecimal digits");
}

static void
test_columns_without_rows(void)
{
    static const char *const texts[] = {"{\"columns\":[\"a\",\"\\\"b\\\"\"],\"rows\":[ ]}",
        "{\"columns\":[\"a\",\"\\\"b\\\"\"],\"rows\":null,\"row_count\":0}",
        "{\"columns\":[\"a\",\"\\\"b\\\"\"]}"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(LakeApiAnswer) answer = read_answer(texts[i]);
        const LakeResult *columns = lake_api_answer_columns(answer);

        g_assert_cmpuint(lake_result_n_columns(columns), ==, 2);
        g_assert_cmpuint(lake_result_n_rows(columns), ==, 0);
        g_assert_cmpstr(lake_result_column_name(columns, 1), ==, "\"b\"");
        g_assert_false(lake_api_answer_has_rows(answer));
        g_assert_null(lake_api_answer_next_row(answer, NULL));
    }
}

/* As many as there are, though no row has one. */
static void
test_rows_of_no_columns(void)
{
    g_autoptr(LakeResult) result = read_all("{\"columns\":[],\"rows\":[[],[ ]]}", 0);

    g_assert_cmpuint(lake_result_n_rows(result), ==, 2);
    g_assert_cmpuint(lake_result_n_columns(result), ==, 0);
}

/* What RETURNING gives is what was touched, whatever the service counts. */
static void
test_count_of_rows(void)
{
    g_autoptr(LakeApiAnswer) answer =
        read_answer("{\"columns\":[\"a\"],\"rows\":[[1],[2],[3]],\"row_count\":77}");
    g_autoptr(LakeResult) result = take_all(answer, 0, NULL);

    g_assert_cmpint(lake_api_answer_n_affected(answer), ==, 77);
    g_assert_cmpint(lake_result_n_affected(result), ==, 3);
}

/* --- values --- */

static const char *
only_text(LakeResult *result)
{
    g_assert_cmpuint(lake_result_n_rows(result), ==, 1);
    g_assert_cmpuint(lake_result_n_columns(result), ==, 1);
    g_assert_cmpuint(
        lake_result_length(result, 0, 0), ==, strlen(lake_result_text(result, 0, 0)));
    return lake_result_text(result, 0, 0);
}

static void
test_values(void)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"true", "t"},
        {"false", "f"},
        {"9007199254740993", "9007199254740993"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"123456789012345678901234567890.123456789",
            "123456789012345678901234567890.123456789"},
        {"1.50", "1.50"},
        {"-0", "-0"},
        {"1e400", "1e400"},
        {"\"\"", ""},
        {"\"NaN\"", "NaN"},
        {"\"null\"", "null"},
        {"\"a b\"", "a b"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e4\\u20AC\"", "A\xc3\xa4\xe2\x82\xac"},
        {"\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!"},
        {"\"\xf0\x9f\x98\x80\"", "\xf0\x9f\x98\x80"},
        {"[1, [2,null] ]", "[1, [2,null] ]"},
        {"{ \"a\":[{\"b\":\"\\\"]\"}]}", "{ \"a\":[{\"b\":\"\\\"]\"}]}"},
        {"[]", "[]"},
        {"{}", "{}"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text =
            g_strdup_printf("{\"columns\":[\"c\"],\"rows\":[[ %s ]]}", cases[i].json);
        g_autoptr(LakeResult) result = read_all(text, 0);
        g_assert_cmpstr(only_text(result), ==, cases[i].text);

        gsize n_bytes;
        g_autoptr(LakeApiAnswer) answer = read_answer(text);
        const LakeResult *row = lake_api_answer_next_row(answer, NULL);
        const char *json = lake_result_json(row, 0, 0, &n_bytes);
        g_autofree char *found = g_strndup(json, n_bytes);
        g_assert_cmpstr(found, ==, cases[i].json);
        g_assert_cmpstr(lake_result_text(row, 0, 0), ==, cases[i].text);
    }
}

static void
test_null_has_no_json(void)
{
    g_autoptr(LakeApiAnswer) answer = read_answer("{\"columns\":[\"c\"],\"rows\":[[null]]}");
    const LakeResult *row = lake_api_answer_next_row(answer, NULL);
    gsize n_bytes;

    g_assert_true(lake_result_is_json(row));
    g_assert_null(lake_result_json(row, 0, 0, &n_bytes));
    g_assert_null(lake_result_text(row, 0, 0));
}

static void
test_bytes(void)
{
    static const guint8 wanted[] = {0, 0xff, 0xfb, 0, 'a'};

    /* As some write a slash in JSON, too. */
    g_autoptr(LakeResult) result =
        read_all("{\"columns\":[\"b\",\"t\"],\"rows\":[[\"AP/7AGE=\",\"AP/7\"],[\"\",\"\"],"
                 "[null,null],[\"AP\\/7\\u0041GE=\",\"\"]]}",
            1);
    for (guint row = 0; row < 4; row += 3) {
        g_assert_cmpmem(lake_result_text(result, row, 0), lake_result_length(result, row, 0),
            wanted, sizeof wanted);
        g_assert_cmpint(lake_result_text(result, row, 0)[sizeof wanted], ==, '\0');
    }
    g_assert_cmpstr(lake_result_text(result, 0, 1), ==, "AP/7");
    g_assert_cmpstr(lake_result_text(result, 1, 0), ==, "");
    g_assert_cmpuint(lake_result_length(result, 1, 0), ==, 0);
    g_assert_null(lake_result_text(result, 2, 0));
}

static void
test_bytes_of_every_length(void)
{
    guint8 bytes[64];

    for (gsize i = 0; i < sizeof bytes; i++)
        bytes[i] = (guint8)(i * 73);
    for (gsize n_bytes = 1; n_bytes <= sizeof bytes; n_bytes++) {
        g_autofree char *base64 = g_base64_encode(bytes, n_bytes);
        g_autofree char *text =
            g_strdup_printf("{\"rows\":[[\"%s\"]],\"columns\":[\"c\"]}", base64);
        g_autoptr(LakeResult) result = read_all(text, 1);
        g_assert_cmpmem(
            lake_result_text(result, 0, 0), lake_result_length(result, 0, 0), bytes, n_bytes);
    }
}

/* A column of bytes that the answer does not have is none of its business. */
static void
test_bytes_of_no_column(void)
{
    g_autoptr(LakeResult) result = read_all(SMALL, 1U << 2 | 1U << 31);

    assert_small(result);
}

/* --- row by row --- */

static void
test_next_row_and_take(void)
{
    g_autoptr(LakeApiAnswer) answer =
        read_answer("{\"columns\":[\"a\"],\"rows\":[[1],[2],[3],[4],[5]],\"row_count\":5}");
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT 1");

    const LakeResult *row = lake_api_answer_next_row(answer, NULL);
    g_assert_cmpuint(lake_result_n_rows(row), ==, 1);
    g_assert_cmpstr(lake_result_text(row, 0, 0), ==, "1");
    g_assert_true(lake_api_answer_next_row(answer, NULL) == row);
    g_assert_cmpstr(lake_result_text(row, 0, 0), ==, "2");
    g_autoptr(LakeResult) none = lake_api_answer_take(answer, statement, 0, NULL);
    g_assert_cmpuint(lake_result_n_rows(none), ==, 0);
    g_autoptr(LakeResult) some = lake_api_answer_take(answer, statement, 2, NULL);
    g_assert_cmpuint(lake_result_n_rows(some), ==, 2);
    g_assert_cmpstr(lake_result_text(some, 1, 0), ==, "4");
    g_assert_true(lake_api_answer_has_rows(answer));
    g_assert_cmpstr(lake_result_text(lake_api_answer_next_row(answer, NULL), 0, 0), ==, "5");
    g_assert_false(lake_api_answer_has_rows(answer));
    g_assert_null(lake_api_answer_next_row(answer, NULL));
    g_autoptr(LakeResult) rest = lake_api_answer_take(answer, statement, 3, NULL);
    g_assert_cmpuint(lake_result_n_rows(rest), ==, 0);
    g_assert_cmpuint(lake_result_n_columns(rest), ==, 1);
}

/* What was taken owns nothing of the answer. */
static void
test_taken_rows_outlive_the_answer(void)
{
    LakeApiAnswer *answer = read_answer(SMALL);
    g_autoptr(LakeResult) result = take_all(answer, 0, NULL);

    lake_api_answer_free(answer);
    assert_small(result);
}

static void
append(LakeSpool *body, const char *text)
{
    g_assert_true(lake_spool_append(body, text, strlen(text), NULL));
}

static void
test_large_answer(void)
{
    g_autoptr(LakeSpool) body = lake_spool_new(g_get_tmp_dir());
    g_autofree char *filler = g_strnfill(1000, 'x');
    const guint n_rows = 5000;

    append(body, "{\"columns\":[\"n\",\"t\"],\"rows\":[");
    for (guint i = 0; i < n_rows; i++) {
        g_autofree char *row =
            g_strdup_printf("%s[%u,\"%s%u\"]", i > 0 ? "," : "", i, filler, i);
        append(body, row);
    }
    /* So that nothing lies behind its end: its last page is full. */
    append(body, "],");
    while ((lake_spool_size(body) + 15) % 4096 != 0)
        append(body, " ");
    append(body, "\"row_count\":99}");
    g_assert_cmpint(lake_spool_fd(body), >=, 0);

    g_autoptr(LakeApiAnswer) answer = lake_api_answer_new(body, NULL);
    g_assert_nonnull(answer);
    g_assert_cmpint(lake_api_answer_n_affected(answer), ==, 99);
    for (guint i = 0; i < n_rows; i++) {
        const LakeResult *row = lake_api_answer_next_row(answer, NULL);
        g_assert_cmpint(lake_result_int64(row, 0, 0), ==, i);
        g_assert_cmpuint(lake_result_length(row, 0, 1), >, 1000);
    }
    g_assert_null(lake_api_answer_next_row(answer, NULL));
}

/* --- what is no answer --- */

/* At every length: SHORT, which says where, and nothing is read beyond its end. */
static void
test_cut_text(void)
{
    for (gsize n_bytes = 1; n_bytes < strlen(SMALL); n_bytes++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(LakeApiAnswer) answer = read_text(SMALL, n_bytes, &error);
        g_autofree char *end = g_strdup_printf(" of %zu", n_bytes);

        g_assert_null(answer);
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_FAILED);
        g_assert_nonnull(strstr(error->message, "it was cut, at byte "));
        g_assert_true(g_str_has_suffix(error->message, end));
    }
}

static void
test_wrong_shapes(void)
{
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"[]", "at byte 0 of 2"},
        {"null", "at byte 0 of 4"},
        {"<html>", "at byte 0 of 6"},
        {"{\"columns\":}", "at byte 11 of 12"},
        {"{\"columns\":3}", "\"columns\" is no array"},
        {"{\"columns\":{\"a\":1}}", "\"columns\" is no array"},
        {"{\"columns\":[3]}", "the name of a column is no string"},
        {"{\"columns\":[\"a\",null]}", "the name of a column is no string"},
        {"{\"rows\":7}", "\"rows\" is no array"},
        {"{\"rows\":{}}", "\"rows\" is no array"},
        {"{\"row_count\":\"2\"}", "\"row_count\" is no number"},
        {"{\"row_count\":[]}", "\"row_count\" is no number"},
        {"{\"columns\":[\"a\"],\"rows\":[7]}", "a row is no array"},
        {"{\"columns\":[\"a\"],\"rows\":[[1],{\"a\":1}]}", "a row is no array"},
        {"{\"columns\":[\"a\"],\"rows\":[null]}", "a row is no array"},
        {"{\"columns\":[\"a\"],\"rows\":[[1],[]]}", "fewer values than there are columns"},
        {"{\"columns\":[\"a\",\"b\"],\"rows\":[[1]]}", "fewer values than there are columns"},
        {"{\"columns\":[\"a\"],\"rows\":[[1,2]]}", "more values than there are columns"},
        {"{\"columns\":null,\"rows\":[[1]]}", "more values than there are columns"},
        {"{\"rows\":[[1]]}", "more values than there are columns"},
        {"{\"columns\":[\"a\"],\"rows\":[[01]]}", "at byte 28 of 31"},
        {"{\"columns\":[\"a\"],\"rows\":[[\"\\ud83 and more\"]]}", "four hexadecimal digits"},
        {"{\"error\":\"out of memory\"}", "says what went wrong: out of memory"},
        {"{\"columns\":[],\"rows\":[],\"error\":{\"code\":7}}", "went wrong: {\"code\":7}"},
        {"{} {}", "at byte 3 of 5"},
        {"{\"columns\":[\"a\"],\"rows\":[]}x", "at byte 27 of 28"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_refused(cases[i].text, 0, cases[i].part);
}

/* Nobody can tell which of two is meant. */
static void
test_members_that_are_there_twice(void)
{
    static const char *const texts[] = {
        "{\"columns\":[\"a\"],\"rows\":[],\"columns\":[\"b\"]}",
        "{\"columns\":null,\"rows\":[],\"columns\":[\"b\"]}",
        "{\"columns\":[\"a\"],\"rows\":[[1]],\"rows\":[[2]]}",
        "{\"row_count\":1,\"row_count\":1}",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_refused(texts[i], 0, "is there twice");
    /* Columns may well have the same name. */
    g_autoptr(LakeResult) result = read_all("{\"columns\":[\"a\",\"a\"],\"rows\":[[1,2]]}", 0);
    g_assert_cmpstr(lake_result_text(result, 0, 1), ==, "2");
}

static void
test_bytes_that_are_not_base64(void)
{
    static const char *const values[] = {"7", "true", "[\"AAAA\"]", "{}", "\"\\\\x00ff\"",
        "\"AA\"", "\"AAAAA\"", "\"AA==AAAA\"", "\"A===\"", "\"====\"", "\"AA AA\"", "\"AAA-\"",
        "\"AAAA\\n\"", "\"\xc3\xa4\xc3\xa4\""};

    for (gsize i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *text =
            g_strdup_printf("{\"columns\":[\"b\"],\"rows\":[[%s]]}", values[i]);
        assert_refused(text, 1, "bytes is not base64");
    }
}

/* The rows before are not lost, and those after it come. */
static void
test_bad_row_among_others(void)
{
    g_autoptr(LakeApiAnswer) answer =
        read_answer("{\"columns\":[\"a\",\"b\"],\"rows\":[[1,2],[3],[4,5,6],[7,8]]}");
    g_autoptr(GError) error = NULL;

    g_assert_nonnull(lake_api_answer_next_row(answer, &error));
    for (int i = 0; i < 2; i++) {
        g_assert_null(lake_api_answer_next_row(answer, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_FAILED);
        g_clear_error(&error);
    }
    const LakeResult *row = lake_api_answer_next_row(answer, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(lake_result_text(row, 0, 0), ==, "7");
    g_assert_cmpstr(lake_result_text(row, 0, 1), ==, "8");
}

static void
test_nested_too_deep(void)
{
    g_autoptr(GString) text = g_string_new("{\"columns\":[\"a\"],\"rows\":[[");

    for (int i = 0; i < 100000; i++)
        g_string_append_c(text, '[');
    assert_refused(text->str, 0, "nested");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/api/answer/empty-body", test_empty_body);
    g_test_add_func("/core/api/answer/count-without-columns", test_count_without_columns);
    g_test_add_func("/core/api/answer/keys-in-any-order", test_keys_in_any_order);
    g_test_add_func(
        "/core/api/answer/escapes-that-stand-for-nothing", test_escapes_that_stand_for_nothing);
    g_test_add_func("/core/api/answer/columns-without-rows", test_columns_without_rows);
    g_test_add_func("/core/api/answer/rows-of-no-columns", test_rows_of_no_columns);
    g_test_add_func("/core/api/answer/count-of-rows", test_count_of_rows);
    g_test_add_func("/core/api/answer/values", test_values);
    g_test_add_func("/core/api/answer/null-has-no-json", test_null_has_no_json);
    g_test_add_func("/core/api/answer/bytes", test_bytes);
    g_test_add_func("/core/api/answer/bytes-of-every-length", test_bytes_of_every_length);
    g_test_add_func("/core/api/answer/bytes-of-no-column", test_bytes_of_no_column);
    g_test_add_func("/core/api/answer/next-row-and-take", test_next_row_and_take);
    g_test_add_func(
        "/core/api/answer/taken-rows-outlive-the-answer", test_taken_rows_outlive_the_answer);
    g_test_add_func("/core/api/answer/large-answer", test_large_answer);
    g_test_add_func("/core/api/answer/cut-text", test_cut_text);
    g_test_add_func("/core/api/answer/wrong-shapes", test_wrong_shapes);
    g_test_add_func(
        "/core/api/answer/members-that-are-there-twice", test_members_that_are_there_twice);
    g_test_add_func(
        "/core/api/answer/bytes-that-are-not-base64", test_bytes_that_are_not_base64);
    g_test_add_func("/core/api/answer/bad-row-among-others", test_bad_row_among_others);
    g_test_add_func("/core/api/answer/nested-too-deep", test_nested_too_deep);
    return g_test_run();
}
