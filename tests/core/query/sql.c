/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/query.h"

#include <cjson/cJSON.h>
#include <string.h>

static LakeQuery *
parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    LakeQuery *query = lake_query_parse(text, strlen(text), &error);

    g_assert_no_error(error);
    g_assert_nonnull(query);
    return query;
}

/* That text is refused, with a message that contains what. */
static void
assert_refused_bytes(const char *text, gsize n_bytes, const char *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeQuery) query = lake_query_parse(text, n_bytes, &error);

    g_assert_null(query);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    if (!strstr(error->message, what))
        g_test_message("%s: %s", text, error->message);
    g_assert_nonnull(strstr(error->message, what));
}

static void
assert_refused(const char *text, const char *what)
{
    assert_refused_bytes(text, strlen(text), what);
}

/* That the value of `-- $1 = json` is expected. */
static void
assert_value(const char *json, const char *expected)
{
    g_autofree char *text = g_strdup_printf("-- $1 = %s\nSELECT $1", json);
    g_autoptr(LakeQuery) query = parse(text);

    g_assert_cmpuint(query->parameters->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 0), ==, expected);
}

static void
assert_value_refused(const char *json, const char *what)
{
    g_autofree char *text = g_strdup_printf("\n-- $1 = %s\nSELECT $1", json);

    assert_refused(text, what);
    assert_refused(text, "line 2");
}

static void
the_statement_is_passed_on_whole(void)
{
    static const char text[] =
        "\n  -- a note\n-- $1 = 5\n\nSELECT $1; -- $2 = \"later\"\n-- $3 = 1\n";
    g_autoptr(LakeQuery) query = parse(text);

    g_assert_cmpstr(query->sql, ==, text);
    g_assert_cmpuint(query->parameters->len, ==, 1);
}

static void
a_query_needs_no_parameters(void)
{
    g_autoptr(LakeQuery) query = parse("SELECT 1");

    g_assert_cmpuint(query->parameters->len, ==, 0);
}

static void
only_what_was_given_is_read(void)
{
    g_autoptr(LakeQuery) query = lake_query_parse("SELECT 1 garbage", 8, NULL);

    g_assert_cmpstr(query->sql, ==, "SELECT 1");
}

static void
strings(void)
{
    assert_value("\"abc\"", "abc");
    assert_value("\"\"", "");
    assert_value("\"a \\\"b\\\" \\\\ \\n\\u00e9\\ud83d\\ude00\"", "a \"b\" \\ \né😀");
    assert_value("\"\\\\u0000\"", "\\u0000");
    assert_value("\"日本\"  ", "日本");
}

static void
numbers_keep_their_digits(void)
{
    assert_value("12345678901234567890123456789.10", "12345678901234567890123456789.10");
    assert_value("-0", "-0");
    assert_value("1e400", "1e400");
    assert_value("0.10", "0.10");
}

static void
constants(void)
{
    assert_value("true", "true");
    assert_value("false", "false");
    assert_value("null", NULL);
}

static void
arrays_of_numbers_become_array_literals(void)
{
    assert_value("[0.10, -2e5 ,3]", "{0.10,-2e5,3}");
    assert_value("[[1,2],[3,4]]", "{{1,2},{3,4}}");
    assert_value("[12345678901234567890]", "{12345678901234567890}");
}

static void
other_arrays_and_objects_stay_json(void)
{
    static const char *const values[] = {"[]", "[\"a\", 1]", "[1,null]", "[[1],[2,3]]",
        "[[1],2]", "[1,[2]]", "[[[[[[[1]]]]]]]", "[[]]", "{\"a\": [1, 2]}", "[true]", "{}"};

    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        assert_value(values[i], values[i]);
}

static void
what_is_no_json_is_refused(void)
{
    static const char *const values[] = {"", "abc", "'abc'", "\"abc", "\"a\" \"b\"", "1 2",
        "01", "1.", "+1", "0x10", "[1,01]", "[1,", "{\"a\":}", "NaN", "True", "1;", "-"};

    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        assert_value_refused(values[i], "is not JSON");
}

static void
nul_is_refused(void)
{
    assert_value_refused("\"a\\u0000b\"", "NUL");
    assert_value_refused("\"\\\\\\u0000\"", "NUL");
    assert_refused_bytes("SELECT\n\0 1", 10, "line 2: the query has a NUL");
}

static void
the_value_is_not_in_the_message(void)
{
    g_autoptr(GError) error = NULL;
    static const char text[] = "-- $1 = hunter2\nSELECT $1";
    g_autoptr(LakeQuery) query = lake_query_parse(text, strlen(text), &error);

    g_assert_null(query);
    g_assert_null(strstr(error->message, "hunter2"));
    g_assert_nonnull(lake_error_facts(error)->hint);
}

static void
parameters_come_in_any_order(void)
{
    g_autoptr(LakeQuery) query =
        parse("--$2=\"b\"\n\t--  $3\t=  null  \r\n-- $1 = \"a\"\r\nSELECT $1, $2, $3");

    g_assert_cmpuint(query->parameters->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 0), ==, "a");
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 1), ==, "b");
    g_assert_null(g_ptr_array_index(query->parameters, 2));
}

static void
gaps_and_doubles_are_refused(void)
{
    assert_refused("-- $1 = 1\n-- $3 = 3\nSELECT 1", "line 2: $3 is given, but $2 is not");
    assert_refused("-- $2 = 1\nSELECT 1", "line 1: $2 is given, but $1 is not");
    assert_refused("-- $1 = 1\n\n-- $1 = 2\nSELECT 1", "line 3: $1 is given a second time");
}

static void
numbers_out_of_range_are_refused(void)
{
    assert_refused("-- $0 = 1\nSELECT 1", "line 1: $0");
    assert_refused("-- $65536 = 1\nSELECT 1", "line 1: $65536");
    assert_refused("-- $99999999999999999999 = 1\nSELECT 1", "line 1: $99999999999999999999");
}

static void
other_comments_are_no_parameters(void)
{
    g_autoptr(LakeQuery) query =
        parse("-- $1\n-- $ = 5\n-- $1 is a name\n-- x $1 = 5\n-- $a = 1\n"
              "/* -- */\n-- $1 = nonsense\nSELECT 1");

    g_assert_cmpuint(query->parameters->len, ==, 0);
}

static void
a_query_without_a_statement_is_refused(void)
{
    static const char *const texts[] = {
        "", " \n\t\r\n", "-- only this", "-- $1 = 1\n", "--\n--\n"};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_refused(texts[i], "the query is empty");
}

static void
text_that_is_not_utf_8_is_refused(void)
{
    assert_refused("SELECT 1,\n\n'\xff'", "line 3: the query is not UTF-8");
}

static void
the_size_is_limited(void)
{
    g_autofree char *text = g_strnfill(LAKE_QUERY_MAX_BYTES + 1, ' ');

    memcpy(text, "SELECT 1", 8);
    assert_refused(text, "at most 1048576");
    text[LAKE_QUERY_MAX_BYTES] = '\0';
    g_autoptr(LakeQuery) query = parse(text);
    g_assert_cmpuint(strlen(query->sql), ==, LAKE_QUERY_MAX_BYTES);
}

static void
values_are_copied(void)
{
    char value[] = "a";
    const char *const parameters[] = {value, NULL};
    g_autoptr(LakeQuery) query = lake_query_new("SELECT $1, $2", parameters, 2);

    value[0] = 'b';
    g_assert_cmpstr(query->sql, ==, "SELECT $1, $2");
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 0), ==, "a");
    g_assert_null(g_ptr_array_index(query->parameters, 1));
}

static void
any_text_ends_well(void)
{
    static const char *const parts[] = {"-- ", "$", "1", "2", "=", " ", "\n", "\r", "\"a\"",
        "[", "]", ",", "{", "}", "\\", "\"", "null", "SELECT", "--", "-", ".", "e"};

    for (int round = 0; round < 20000; round++) {
        g_autoptr(GString) text = g_string_new(round % 2 ? "-- $1 = " : NULL);
        for (int i = g_test_rand_int_range(0, 20); i > 0; i--)
            g_string_append(text, parts[g_test_rand_int_range(0, G_N_ELEMENTS(parts))]);

        g_autoptr(GError) error = NULL;
        char *exact = g_memdup2(text->str, MAX(text->len, 1));
        g_autoptr(LakeQuery) query = lake_query_parse(exact, text->len, &error);
        g_free(exact);
        if (query)
            g_assert_cmpstr(query->sql, ==, text->str);
        else
            g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    }
}

static void
an_error_becomes_json_with_all_it_knows(void)
{
    g_autoptr(GError) error = NULL;
    const LakeErrorFacts facts = {.class = LAKE_ERROR_CLASS_TABLE,
        .sqlstate = (char *)"42P01",
        .message = (char *)"no \"x\"\nhere",
        .detail = (char *)"d",
        .hint = (char *)"h",
        .position = 7};

    lake_error_set_facts(&error, LAKE_ERROR_NOT_FOUND, &facts, "ours: %s", facts.message);
    g_autofree char *json = lake_query_error_json(error);
    g_assert_cmpstr(json, ==,
        "{\"error\":{\"class\":\"TableError\",\"sqlstate\":\"42P01\",\"message\":"
        "\"no \\\"x\\\"\\nhere\",\"detail\":\"d\",\"hint\":\"h\",\"position\":7}}\n");
}

static void
what_an_error_does_not_know_is_null(void)
{
    g_autoptr(GError) own = NULL;
    g_autoptr(GError) other = g_error_new(G_FILE_ERROR, 0, "a file, \xff");

    lake_error_set(&own, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED, "why");
    g_autofree char *own_json = lake_query_error_json(own);
    g_assert_cmpstr(own_json, ==,
        "{\"error\":{\"class\":\"ManagedServiceError\",\"sqlstate\":null,\"message\":\"why\","
        "\"detail\":null,\"hint\":null,\"position\":null}}\n");

    g_autofree char *other_json = lake_query_error_json(other);
    cJSON *parsed = cJSON_ParseWithOpts(other_json, NULL, TRUE);
    g_assert_nonnull(parsed);
    cJSON_Delete(parsed);
    g_assert_true(g_utf8_validate(other_json, -1, NULL));
}

#define CLAIM(name, function) g_test_add_func("/core/query/sql/" name, function)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CLAIM("the-statement-is-passed-on-whole", the_statement_is_passed_on_whole);
    CLAIM("a-query-needs-no-parameters", a_query_needs_no_parameters);
    CLAIM("only-what-was-given-is-read", only_what_was_given_is_read);
    CLAIM("strings", strings);
    CLAIM("numbers-keep-their-digits", numbers_keep_their_digits);
    CLAIM("constants", constants);
    CLAIM("arrays-of-numbers-become-array-literals", arrays_of_numbers_become_array_literals);
    CLAIM("other-arrays-and-objects-stay-json", other_arrays_and_objects_stay_json);
    CLAIM("what-is-no-json-is-refused", what_is_no_json_is_refused);
    CLAIM("nul-is-refused", nul_is_refused);
    CLAIM("the-value-is-not-in-the-message", the_value_is_not_in_the_message);
    CLAIM("parameters-come-in-any-order", parameters_come_in_any_order);
    CLAIM("gaps-and-doubles-are-refused", gaps_and_doubles_are_refused);
    CLAIM("numbers-out-of-range-are-refused", numbers_out_of_range_are_refused);
    CLAIM("other-comments-are-no-parameters", other_comments_are_no_parameters);
    CLAIM("a-query-without-a-statement-is-refused", a_query_without_a_statement_is_refused);
    CLAIM("text-that-is-not-utf-8-is-refused", text_that_is_not_utf_8_is_refused);
    CLAIM("the-size-is-limited", the_size_is_limited);
    CLAIM("values-are-copied", values_are_copied);
    CLAIM("any-text-ends-well", any_text_ends_well);
    CLAIM("an-error-becomes-json-with-all-it-knows", an_error_becomes_json_with_all_it_knows);
    CLAIM("what-an-error-does-not-know-is-null", what_an_error_does_not_know_is_null);
    return g_test_run();
}
