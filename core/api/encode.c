/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/encode.h"

#include "core/api/values.h"
#include "core/lexer.h"
#include "core/query.h"
#include <string.h>

/* What is sent for a parameter; NULL in *ret_text: SQL NULL. */
typedef struct {
    GString *text; /* owned; NULL: SQL NULL */
    gboolean is_base64;
    const char *type; /* cast to this, with is_array to an array of it; NULL: inferred */
    gboolean is_array;
} Value;

static void
value_clear(Value *value)
{
    if (value->text)
        g_string_free(value->text, TRUE);
    value->text = NULL;
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Value, value_clear)

static void
take_bytes(Value *value, const guint8 *bytes, gsize n_bytes)
{
    value->text = g_string_sized_new(n_bytes / 3 * 4 + 8);
    value->is_base64 = TRUE;
    lake_api_values_append_base64(value->text, bytes, n_bytes);
}

/* Of the only row. */
static void
take_value(Value *value, const LakeRows *rows, guint column)
{
    LakeType type = lake_rows_column(rows, column)->type;
    const guint8 *bytes;
    gsize n_bytes;

    lake_api_values_next(lake_rows_elements(rows, column)->data, &bytes, &n_bytes);
    value->type = lake_type_info(type)->sql_name;
    if (!bytes)
        return;
    if (lake_api_values_is_bytes(type)) {
        take_bytes(value, bytes, n_bytes);
        return;
    }
    value->text = g_string_new(NULL);
    lake_api_values_append(value->text, type, bytes, n_bytes);
}

static void
value_init(Value *value, const LakeParameter *parameter)
{
    *value = (Value){0};
    switch (parameter->kind) {
    case LAKE_PARAMETER_TEXT:
        value->text = parameter->text ? g_string_new(parameter->text) : NULL;
        return;
    case LAKE_PARAMETER_BYTES: {
        gsize n_bytes;
        const guint8 *bytes = g_bytes_get_data(parameter->bytes, &n_bytes);

        take_bytes(value, bytes, n_bytes);
        return;
    }
    case LAKE_PARAMETER_ARRAY: {
        LakeType type = lake_rows_column(parameter->rows, parameter->column)->type;

        value->type = lake_type_info(type)->sql_name;
        value->is_array = TRUE;
        value->text = g_string_new(NULL);
        lake_api_values_append_array(value->text, parameter->rows, parameter->column);
        return;
    }
    case LAKE_PARAMETER_VALUE:
        take_value(value, parameter->rows, parameter->column);
        return;
    }
    g_assert_not_reached();
}

/* The E form means the same whatever standard_conforming_strings is set to, by whoever owns the
 * database or role. */
static void
append_literal(GString *into, const GString *text)
{
    gboolean has_backslash = strchr(text->str, '\\') != NULL;
    const char *doubled = has_backslash ? "'\\" : "'";

    g_string_append(into, has_backslash ? "E'" : "'");
    for (const char *at = text->str; *at;) {
        gsize n_plain = strcspn(at, doubled);
        g_string_append_len(into, at, (gssize)n_plain);
        at += n_plain;
        if (*at) {
            g_string_append_c(into, *at);
            g_string_append_c(into, *at++);
        }
    }
    g_string_append_c(into, '\'');
}

/* The value itself, or (literally FALSE) the parameter that stands for it. */
static void
append_place(GString *into, const LakeParameter *parameter, const LakeLexerToken *token,
    gboolean literally)
{
    g_auto(Value) value;

    value_init(&value, parameter);
    if (value.is_base64)
        g_string_append(into, "decode(");
    if (!literally)
        g_string_append_len(into, token->start, (gssize)token->n_bytes);
    else if (value.text)
        append_literal(into, value.text);
    else
        g_string_append(into, "NULL");
    if (value.is_base64)
        g_string_append(into, ", 'base64')");
    if (value.type)
        g_string_append_printf(into, "::%s%s", value.type, value.is_array ? "[]" : "");
}

static void
append_sql(GString *into, const LakeStatement *statement, gboolean literally)
{
    g_auto(LakeLexer) lexer;
    LakeLexerToken token;

    lake_lexer_init(&lexer, statement->sql);
    do {
        /* Our own SQL, whose quotes are closed. */
        gboolean is_good = lake_lexer_next(&lexer, &token, NULL);
        g_assert(is_good);
        guint64 number = token.kind == LAKE_LEXER_PARAMETER
                             ? g_ascii_strtoull(token.start + 1, NULL, 10)
                             : 0;
        if (number > 0 && number <= statement->parameters->len)
            append_place(into, &g_array_index(statement->parameters, LakeParameter, number - 1),
                &token, literally);
        else
            g_string_append_len(into, token.start, (gssize)token.n_bytes);
    } while (token.kind != LAKE_LEXER_END);
}

static gboolean
needs_names(const LakeStatement *statement)
{
    for (guint i = 0; i < statement->parameters->len; i++)
        if (g_array_index(statement->parameters, LakeParameter, i).kind != LAKE_PARAMETER_TEXT)
            return TRUE;
    return FALSE;
}

static void
append_parameters(GString *into, const LakeStatement *statement)
{
    g_string_append(into, ",\"params\":[");
    for (guint i = 0; i < statement->parameters->len; i++) {
        g_auto(Value) value;

        value_init(&value, &g_array_index(statement->parameters, LakeParameter, i));
        if (i > 0)
            g_string_append_c(into, ',');
        if (value.text)
            lake_json_append_string(into, value.text->str, value.text->len);
        else
            g_string_append(into, "null");
    }
    g_string_append_c(into, ']');
}

static void
append_end(GString *into, gint64 timeout_ms)
{
    if (timeout_ms > 0)
        g_string_append_printf(into, ",\"timeout_ms\":%" G_GINT64_FORMAT, timeout_ms);
    g_string_append_c(into, '}');
}

void
lake_api_encode_sql(GString *into, const char *sql, gint64 timeout_ms)
{
    g_string_append(into, "{\"query\":");
    lake_json_append_string(into, sql, strlen(sql));
    append_end(into, timeout_ms);
}

void
lake_api_encode_statement(
    GString *into, const LakeStatement *statement, const char *sql, gint64 timeout_ms)
{
    g_autoptr(GString) named = NULL;

    /* A user's statement has texts alone, and is sent as it was written. */
    if (!sql && needs_names(statement)) {
        named = g_string_new(NULL);
        append_sql(named, statement, FALSE);
        sql = named->str;
    }
    if (!sql)
        sql = statement->sql;
    g_string_append(into, "{\"query\":");
    lake_json_append_string(into, sql, strlen(sql));
    if (statement->parameters->len > 0)
        append_parameters(into, statement);
    append_end(into, timeout_ms);
}

/* A tag for dollar quotes that stands nowhere in text. */
static char *
dup_tag(const char *name, const char *text)
{
    for (;;) {
        char *tag = g_strdup_printf("$%s_%08x$", name, g_random_int());
        if (!strstr(text, tag))
            return tag;
        g_free(tag);
    }
}

void
lake_api_encode_block(GString *into, LakeStatement *const *statements, guint n_statements)
{
    g_autoptr(GString) body = g_string_new("DECLARE n bigint; BEGIN\n");

    for (guint i = 0; i < n_statements; i++) {
        g_autoptr(GString) sql = g_string_new(NULL);
        append_sql(sql, statements[i], TRUE);
        g_autofree char *tag = dup_tag("sql", sql->str);

        /* EXECUTE, which drops what a SELECT gives. */
        g_string_append_printf(body, "EXECUTE %s", tag);
        g_string_append_len(body, sql->str, (gssize)sql->len);
        g_string_append_printf(body, "%s;\n", tag);
        if (statements[i]->n_expected > 0)
            g_string_append_printf(body,
                "GET DIAGNOSTICS n = ROW_COUNT; IF n <> %" G_GINT64_FORMAT " THEN"
                " RAISE EXCEPTION 'others have changed it meanwhile'"
                " USING ERRCODE = '" LAKE_API_UNEXPECTED "'; END IF;\n",
                statements[i]->n_expected);
    }
    g_string_append(body, "END");

    g_autofree char *tag = dup_tag("do", body->str);
    g_string_append_printf(into, "DO %s", tag);
    g_string_append_len(into, body->str, (gssize)body->len);
    g_string_append(into, tag);
}
