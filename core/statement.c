/* SPDX-License-Identifier: Apache-2.0 */
#include "core/statement.h"

#include <string.h>

static void
clear_parameter(gpointer data)
{
    LakeParameter *parameter = data;

    g_free(parameter->text);
    g_clear_pointer(&parameter->bytes, g_bytes_unref);
}

/* Takes sql. */
static LakeStatement *
new_take(char *sql)
{
    LakeStatement *statement = g_new0(LakeStatement, 1);

    statement->sql = sql;
    statement->parameters = g_array_new(FALSE, TRUE, sizeof(LakeParameter));
    g_array_set_clear_func(statement->parameters, clear_parameter);
    return statement;
}

LakeStatement *
lake_statement_new(const char *sql)
{
    return new_take(g_strdup(sql));
}

LakeStatement *
lake_statement_new_printf(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *sql = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    return new_take(sql);
}

void
lake_statement_free(LakeStatement *statement)
{
    if (!statement)
        return;

    g_free(statement->sql);
    g_array_unref(statement->parameters);
    g_clear_pointer(&statement->bytes_columns, g_array_unref);
    g_free(statement);
}

void
lake_statement_add_text(LakeStatement *statement, const char *text)
{
    LakeParameter parameter = {.kind = LAKE_PARAMETER_TEXT, .text = g_strdup(text)};

    g_array_append_val(statement->parameters, parameter);
}

void
lake_statement_add_int64(LakeStatement *statement, gint64 value)
{
    LakeParameter parameter = {
        .kind = LAKE_PARAMETER_TEXT,
        .text = g_strdup_printf("%" G_GINT64_FORMAT, value),
    };

    g_array_append_val(statement->parameters, parameter);
}

void
lake_statement_add_bytes(LakeStatement *statement, GBytes *bytes)
{
    LakeParameter parameter = {
        .kind = LAKE_PARAMETER_BYTES,
        .bytes = bytes ? g_bytes_ref(bytes) : NULL,
    };

    g_array_append_val(statement->parameters, parameter);
}

void
lake_statement_add_array(LakeStatement *statement, const LakeRows *rows, guint column)
{
    LakeParameter parameter = {.kind = LAKE_PARAMETER_ARRAY, .rows = rows, .column = column};

    g_assert(column < lake_rows_n_columns(rows));
    g_array_append_val(statement->parameters, parameter);
}

void
lake_statement_add_value(LakeStatement *statement, const LakeRows *rows, guint column)
{
    LakeParameter parameter = {.kind = LAKE_PARAMETER_VALUE, .rows = rows, .column = column};

    g_assert(column < lake_rows_n_columns(rows) && lake_rows_count(rows) == 1);
    g_array_append_val(statement->parameters, parameter);
}

void
lake_statement_expect_bytes(LakeStatement *statement, guint column)
{
    if (!statement->bytes_columns)
        statement->bytes_columns = g_array_new(FALSE, FALSE, sizeof(guint));
    g_array_append_val(statement->bytes_columns, column);
}

/* Appends text with every byte that is among `doubled` written twice. */
static void
append_doubled(GString *into, const char *text, const char *doubled)
{
    for (const char *at = text; *at; at++) {
        if (strchr(doubled, *at))
            g_string_append_c(into, *at);
        g_string_append_c(into, *at);
    }
}

char *
lake_statement_quote(const char *name)
{
    GString *quoted = g_string_sized_new(strlen(name) + 3);

    g_string_append_c(quoted, '"');
    append_doubled(quoted, name, "\"");
    g_string_append_c(quoted, '"');
    return g_string_free(quoted, FALSE);
}

char *
lake_statement_literal(const char *value)
{
    GString *literal = g_string_sized_new(strlen(value) + 4);

    /* The E form means the same whatever standard_conforming_strings is set to. */
    g_string_append(literal, strchr(value, '\\') ? "E'" : "'");
    append_doubled(literal, value, "'\\");
    g_string_append_c(literal, '\'');
    return g_string_free(literal, FALSE);
}
