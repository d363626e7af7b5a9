/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/encode.h"

#include "core/json_scan.h"
#include <string.h>

static const LakeColumn columns[] = {{"t", LAKE_TYPE_TEXT}, {"b", LAKE_TYPE_BINARY},
    {"n", LAKE_TYPE_INT64}, {"j", LAKE_TYPE_JSONB}, {"f", LAKE_TYPE_FLOAT64}};

static LakeRows *
new_rows(gboolean has_second)
{
    LakeRows *rows = lake_rows_new(columns, G_N_ELEMENTS(columns));

    lake_rows_add_text(rows, "it's $1", 7);
    lake_rows_add_bytes(rows, "\0\xff", 2);
    lake_rows_add_int64(rows, -7);
    lake_rows_add_null(rows);
    lake_rows_add_float64(rows, 0.5);
    for (gsize i = 0; has_second && i < G_N_ELEMENTS(columns); i++)
        lake_rows_add_null(rows);
    return rows;
}

static void
assert_statement(LakeStatement *statement, const char *wanted)
{
    g_autoptr(GString) body = g_string_new("=");

    lake_api_encode_statement(body, statement, NULL, 0);
    g_assert_cmpstr(body->str + 1, ==, wanted);
}

/* What a JSON text says in "query"; caller frees. */
static char *
dup_query(const GString *body)
{
    LakeJsonScan scan = {.at = body->str, .end = body->str + body->len};
    g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(LakeJsonScanMember));
    GString *query = g_string_new(NULL);

    g_assert_cmpint(lake_json_scan_object(&scan, members), ==, LAKE_JSON_SCAN_GOOD);
    const LakeJsonScanMember *first = &g_array_index(members, LakeJsonScanMember, 0);
    g_assert_cmpint(strncmp(first->key.text, "query", first->key.n_bytes), ==, 0);
    lake_json_scan_decode(&first->value, query);
    return g_string_free(query, FALSE);
}

/* --- one statement --- */

static void
test_without_parameters(void)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT \"a\\b\", E'\\n',\n'\x01\xc3\xa4'");
    g_autoptr(GString) body = g_string_new(NULL);

    assert_statement(
        statement, "{\"query\":\"SELECT \\\"a\\\\b\\\", E'\\\\n',\\n'\\u0001\xc3\xa4'\"}");
    lake_api_encode_statement(body, statement, "SELECT 2", 1500);
    g_assert_cmpstr(body->str, ==, "{\"query\":\"SELECT 2\",\"timeout_ms\":1500}");
    g_string_truncate(body, 0);
    lake_api_encode_sql(body, "SELECT '\"'", 0);
    g_assert_cmpstr(body->str, ==, "{\"query\":\"SELECT '\\\"'\"}");
}

/* A user's statement, which need not be SQL at all, is sent as it was written. */
static void
test_texts_alone_change_nothing(void)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT ($1 || '$2'; -- ' $2\n/* $1");

    lake_statement_add_text(statement, "a\"b\\c\n\xc3\xa4");
    lake_statement_add_text(statement, NULL);
    lake_statement_add_int64(statement, G_MININT64);
    assert_statement(statement, "{\"query\":\"SELECT ($1 || '$2'; -- ' $2\\n/* $1\",\"params\":"
                                "[\"a\\\"b\\\\c\\n\xc3\xa4\",null,\"-9223372036854775808\"]}");
}

static void
test_bytes_are_named(void)
{
    g_autoptr(LakeStatement) statement = lake_statement_new(
        "SELECT $1, '$1', \"$1\", $$ $1 $$, $a$ $1 $a$, E'\\'$1', -- $1\n a$1, /* $1 */ $2");
    g_autoptr(GBytes) bytes = g_bytes_new_static("\0\xff'", 3);
    g_autoptr(GBytes) empty = g_bytes_new_static(NULL, 0);

    lake_statement_add_bytes(statement, bytes);
    lake_statement_add_bytes(statement, empty);
    assert_statement(statement,
        "{\"query\":\"SELECT decode($1, 'base64'), '$1', \\\"$1\\\", $$ $1 $$, $a$ $1 $a$,"
        " E'\\\\'$1', -- $1\\n a$1, /* $1 */ decode($2, 'base64')\","
        "\"params\":[\"AP8n\",\"\"]}");
}

static void
test_ten_is_not_one(void)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT $10,$1,$11,$0,$100");
    g_autoptr(GBytes) bytes = g_bytes_new_static("x", 1);

    lake_statement_add_text(statement, "first");
    for (int i = 2; i < 10; i++)
        lake_statement_add_int64(statement, i);
    lake_statement_add_bytes(statement, bytes);
    assert_statement(statement,
        "{\"query\":\"SELECT decode($10, 'base64'),$1,$11,$0,$100\","
        "\"params\":[\"first\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"eA==\"]}");
}

static void
test_columns_are_arrays(void)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT unnest($1,$2,$3,$4,$5)");
    g_autoptr(LakeRows) rows = new_rows(TRUE);

    for (guint i = 0; i < G_N_ELEMENTS(columns); i++)
        lake_statement_add_array(statement, rows, i);
    assert_statement(statement,
        "{\"query\":\"SELECT unnest($1::text[],$2::bytea[],$3::bigint[],$4::jsonb[],"
        "$5::double precision[])\",\"params\":[\"{\\\"it's $1\\\",NULL}\","
        "\"{\\\"\\\\\\\\x00ff\\\",NULL}\",\"{\\\"-7\\\",NULL}\",\"{NULL,NULL}\","
        "\"{\\\"0.5\\\",NULL}\"]}");
}

static void
test_columns_of_one_row(void)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT $1,$2,$3,$4,$5");
    g_autoptr(LakeRows) rows = new_rows(FALSE);

    for (guint i = 0; i < G_N_ELEMENTS(columns); i++)
        lake_statement_add_value(statement, rows, i);
    assert_statement(statement,
        "{\"query\":\"SELECT $1::text,decode($2, 'base64')::bytea,$3::bigint,$4::jsonb,"
        "$5::double precision\",\"params\":[\"it's $1\",\"AP8=\",\"-7\",null,\"0.5\"]}");
}

/* --- blocks --- */

/* Takes the next piece of at, which must be there. */
static void
expect(const char **at, const char *piece)
{
    if (!g_str_has_prefix(*at, piece))
        g_error("\"%s\" was expected at: %.300s", piece, *at);
    *at += strlen(piece);
}

/* What stands between a pair of dollar quotes of this name; caller frees. */
static char *
dup_dollar_quoted(const char **at, const char *name)
{
    g_autofree char *beginning = g_strdup_printf("$%s_", name);
    const char *start = *at;

    expect(at, beginning);
    const char *behind = strchr(*at, '$');
    g_assert_nonnull(behind);
    g_autofree char *tag = g_strndup(start, (gsize)(behind + 1 - start));
    const char *end = strstr(behind + 1, tag);
    g_assert_nonnull(end);
    *at = end + strlen(tag);
    return g_strndup(behind + 1, (gsize)(end - behind - 1));
}

static char *
dup_block_body(LakeStatement *const *statements, guint n_statements)
{
    g_autoptr(GString) sql = g_string_new(NULL);
    const char *at;

    lake_api_encode_block(sql, statements, n_statements);
    at = sql->str;
    expect(&at, "DO ");
    char *body = dup_dollar_quoted(&at, "do");
    g_assert_cmpstr(at, ==, "");
    return body;
}

/* The only statement of a block. */
static char *
dup_statement(LakeStatement *statement)
{
    g_autofree char *body = dup_block_body(&statement, 1);
    const char *at = body;

    expect(&at, "DECLARE n bigint; BEGIN\nEXECUTE ");
    char *sql = dup_dollar_quoted(&at, "sql");
    g_assert_cmpstr(at, ==, ";\nEND");
    return sql;
}

static void
test_block_has_values_in_place(void)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("INSERT INTO t VALUES ($1, $2, '$1', $3, $4) -- $1\n");
    g_autoptr(GBytes) bytes = g_bytes_new_static("\0\xff", 2);

    lake_statement_add_text(statement, "it's \\ $2 $$ \"q\"");
    lake_statement_add_text(statement, NULL);
    lake_statement_add_bytes(statement, bytes);
    lake_statement_add_text(statement, "''");
    g_autofree char *sql = dup_statement(statement);
    g_assert_cmpstr(sql, ==,
        "INSERT INTO t VALUES (E'it''s \\\\ $2 $$ \"q\"', NULL, '$1', decode('AP8=', 'base64'),"
        " '''''') -- $1\n");
}

static void
test_block_has_rows_in_place(void)
{
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT $1,$2,$3,$4,$5");
    g_autoptr(LakeStatement) single = lake_statement_new("SELECT $1,$2,$3,$4,$5");
    g_autoptr(LakeRows) rows = new_rows(TRUE);
    g_autoptr(LakeRows) row = new_rows(FALSE);

    for (guint i = 0; i < G_N_ELEMENTS(columns); i++) {
        lake_statement_add_array(statement, rows, i);
        lake_statement_add_value(single, row, i);
    }
    g_autofree char *sql = dup_statement(statement);
    g_assert_cmpstr(sql, ==,
        "SELECT '{\"it''s $1\",NULL}'::text[],E'{\"\\\\\\\\x00ff\",NULL}'::bytea[],"
        "'{\"-7\",NULL}'::bigint[],'{NULL,NULL}'::jsonb[],"
        "'{\"0.5\",NULL}'::double precision[]");
    g_autofree char *sql_of_one = dup_statement(single);
    g_assert_cmpstr(sql_of_one, ==,
        "SELECT 'it''s $1'::text,decode('AP8=', 'base64')::bytea,'-7'::bigint,NULL::jsonb,"
        "'0.5'::double precision");
}

static void
test_block_looks_at_what_was_touched(void)
{
    g_autoptr(LakeStatement) first = lake_statement_new("DELETE FROM a");
    g_autoptr(LakeStatement) second = lake_statement_new("DELETE FROM b");
    LakeStatement *all[] = {first, second};

    second->n_expected = 12;
    g_autofree char *body = dup_block_body(all, 2);
    const char *at = body;
    expect(&at, "DECLARE n bigint; BEGIN\nEXECUTE ");
    g_autofree char *one = dup_dollar_quoted(&at, "sql");
    expect(&at, ";\nEXECUTE ");
    g_autofree char *other = dup_dollar_quoted(&at, "sql");
    expect(&at, ";\nGET DIAGNOSTICS n = ROW_COUNT; IF n <> 12 THEN RAISE EXCEPTION '");
    at = strchr(at, '\'');
    expect(&at, "' USING ERRCODE = '40001'; END IF;\nEND");
    g_assert_cmpstr(at, ==, "");
    g_assert_cmpstr(one, ==, "DELETE FROM a");
    g_assert_cmpstr(other, ==, "DELETE FROM b");
}

/* Nothing that a value says ends the quotes around it, and JSON brings it over unchanged. */
static void
test_block_of_hostile_values(void)
{
    static const char *const hostile[] = {"$", "$$", "$sql_", "$sql_00000000$",
        "$do_$ END $do_", "'; DROP TABLE t; --", "\\'; DROP TABLE t; --", "*/ /*",
        "\xf0\x9f\x98\x80\x7f\x01"};

    for (gsize i = 0; i < G_N_ELEMENTS(hostile); i++) {
        g_autoptr(LakeStatement) statement = lake_statement_new("SELECT $1");
        g_autoptr(GString) block = g_string_new(NULL);
        g_autoptr(GString) body = g_string_new(NULL);
        LakeStatement *all[] = {statement};

        lake_statement_add_text(statement, hostile[i]);
        g_autofree char *sql = dup_statement(statement);
        g_autofree char *literal = lake_statement_literal(hostile[i]);
        /* Which mean the same whatever standard_conforming_strings is. */
        g_assert_cmpstr(sql + strlen("SELECT "), ==, literal);
        lake_api_encode_block(block, all, 1);
        lake_api_encode_sql(body, block->str, 0);
        g_autofree char *query = dup_query(body);
        g_assert_cmpstr(query, ==, block->str);
    }
}

/* What is put around a statement does not fuse with it. */
static void
test_parameters_beside_words(void)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT($1)::text||$2||'x'LIMIT $3");

    lake_statement_add_text(statement, "a");
    lake_statement_add_text(statement, NULL);
    lake_statement_add_int64(statement, -1);
    g_autofree char *sql = dup_statement(statement);
    g_assert_cmpstr(sql, ==, "SELECT('a')::text||NULL||'x'LIMIT '-1'");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/api/encode/without-parameters", test_without_parameters);
    g_test_add_func(
        "/core/api/encode/texts-alone-change-nothing", test_texts_alone_change_nothing);
    g_test_add_func("/core/api/encode/bytes-are-named", test_bytes_are_named);
    g_test_add_func("/core/api/encode/ten-is-not-one", test_ten_is_not_one);
    g_test_add_func("/core/api/encode/columns-are-arrays", test_columns_are_arrays);
    g_test_add_func("/core/api/encode/columns-of-one-row", test_columns_of_one_row);
    g_test_add_func(
        "/core/api/encode/block-has-values-in-place", test_block_has_values_in_place);
    g_test_add_func("/core/api/encode/block-has-rows-in-place", test_block_has_rows_in_place);
    g_test_add_func("/core/api/encode/block-looks-at-what-was-touched",
        test_block_looks_at_what_was_touched);
    g_test_add_func("/core/api/encode/block-of-hostile-values", test_block_of_hostile_values);
    g_test_add_func("/core/api/encode/parameters-beside-words", test_parameters_beside_words);
    return g_test_run();
}
