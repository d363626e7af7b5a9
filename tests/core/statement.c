/* SPDX-License-Identifier: Apache-2.0 */
#include "core/statement.h"

#include <string.h>

static const LakeParameter *
parameter(const LakeStatement *statement, guint index)
{
    g_assert_cmpuint(index, <, statement->parameters->len);
    return &g_array_index(statement->parameters, LakeParameter, index);
}

static void
test_parameters(void)
{
    static const LakeColumn columns[] = {{"a", LAKE_TYPE_TEXT}, {"b", LAKE_TYPE_TEXT}};
    g_autoptr(LakeRows) rows = lake_rows_new(columns, 2);
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT $1, $2, $3, $4, $5, $6");
    char text[] = "first";
    GBytes *bytes = g_bytes_new("\0x", 2);

    lake_statement_add_text(statement, text);
    text[0] = 'X';
    lake_statement_add_text(statement, NULL);
    lake_statement_add_int64(statement, G_MININT64);
    lake_statement_add_bytes(statement, bytes);
    g_bytes_unref(bytes);
    lake_statement_add_bytes(statement, NULL);
    lake_statement_add_array(statement, rows, 1);

    g_assert_cmpstr(statement->sql, ==, "SELECT $1, $2, $3, $4, $5, $6");
    g_assert_false(statement->is_prepared);
    g_assert_cmpuint(statement->parameters->len, ==, 6);
    g_assert_cmpint(parameter(statement, 0)->kind, ==, LAKE_PARAMETER_TEXT);
    g_assert_cmpstr(parameter(statement, 0)->text, ==, "first");
    g_assert_cmpint(parameter(statement, 1)->kind, ==, LAKE_PARAMETER_TEXT);
    g_assert_null(parameter(statement, 1)->text);
    g_assert_cmpstr(parameter(statement, 2)->text, ==, "-9223372036854775808");
    g_assert_cmpint(parameter(statement, 3)->kind, ==, LAKE_PARAMETER_BYTES);
    g_assert_cmpmem(g_bytes_get_data(parameter(statement, 3)->bytes, NULL),
        g_bytes_get_size(parameter(statement, 3)->bytes), "\0x", 2);
    g_assert_cmpint(parameter(statement, 4)->kind, ==, LAKE_PARAMETER_BYTES);
    g_assert_null(parameter(statement, 4)->bytes);
    g_assert_cmpint(parameter(statement, 5)->kind, ==, LAKE_PARAMETER_ARRAY);
    g_assert_true(parameter(statement, 5)->rows == rows);
    g_assert_cmpuint(parameter(statement, 5)->column, ==, 1);
}

static void
test_printf(void)
{
    g_autofree char *name = lake_statement_quote("my \"table\"");
    g_autoptr(LakeStatement) statement =
        lake_statement_new_printf("DROP TABLE %s -- %d", name, 42);

    g_assert_cmpstr(statement->sql, ==, "DROP TABLE \"my \"\"table\"\"\" -- 42");
    g_assert_cmpuint(statement->parameters->len, ==, 0);
}

static void
test_quote(void)
{
    static const char *const pairs[][2] = {
        {"plain", "\"plain\""},
        {"Camel Case", "\"Camel Case\""},
        {"\"", "\"\"\"\""},
        {"a\"; DROP TABLE b; --", "\"a\"\"; DROP TABLE b; --\""},
        {"it's \\", "\"it's \\\""},
        {"gr\xc3\xb6\xc3\x9f"
         "e",
            "\"gr\xc3\xb6\xc3\x9f"
            "e\""},
        {"", "\"\""},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *quoted = lake_statement_quote(pairs[i][0]);
        g_assert_cmpstr(quoted, ==, pairs[i][1]);
    }
}

static void
test_literal(void)
{
    static const char *const pairs[][2] = {
        {"plain", "'plain'"},
        {"", "''"},
        {"it's", "'it''s'"},
        {"'", "''''"},
        {"C:\\dir", "E'C:\\\\dir'"},
        {"\\'; DROP TABLE b; --", "E'\\\\''; DROP TABLE b; --'"},
        {"say \"hi\"", "'say \"hi\"'"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *literal = lake_statement_literal(pairs[i][0]);
        g_assert_cmpstr(literal, ==, pairs[i][1]);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/statement/parameters-are-copied-in-order", test_parameters);
    g_test_add_func("/core/statement/printf-formats-the-text", test_printf);
    g_test_add_func("/core/statement/quote-doubles-double-quotes", test_quote);
    g_test_add_func("/core/statement/literal-escapes-quotes-and-backslashes", test_literal);
    return g_test_run();
}
