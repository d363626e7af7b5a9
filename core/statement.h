/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/statement.h: one SQL statement with its parameters, independent of how it travels.
 *
 * Built and run by one thread.
 */

#include "core/rows.h"

typedef enum {
    LAKE_PARAMETER_TEXT,  /* any type's text form; the server infers the type; NULL is SQL NULL
                           */
    LAKE_PARAMETER_BYTES, /* bytea */
    LAKE_PARAMETER_ARRAY, /* one column of rows as a one-dimensional array */
    LAKE_PARAMETER_VALUE, /* one column of rows that are one row */
} LakeParameterKind;

typedef struct {
    LakeParameterKind kind;
    char *text;           /* owned */
    GBytes *bytes;        /* owned */
    const LakeRows *rows; /* borrowed until the statement has run */
    guint column;
} LakeParameter;

typedef struct {
    char *sql;
    GArray *parameters;   /* of LakeParameter; $1 is the first */
    gboolean is_prepared; /* worth keeping on the connection: the text comes again and again */
    /* Reads only, or does the same when it is run twice: so it is run again when the line was
     * lost. */
    gboolean is_repeatable;
    /* Values come in PostgreSQL's binary form: bytea as its bytes, text as it is. Then numbers
     * are cast to text in the SQL, for lake_result_text to read. */
    gboolean is_binary;
} LakeStatement;

LakeStatement *lake_statement_new(const char *sql);
/* Formats sql; identifiers go through lake_statement_quote first. */
LakeStatement *lake_statement_new_printf(const char *format, ...) G_GNUC_PRINTF(1, 2);
void lake_statement_free(LakeStatement *statement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeStatement, lake_statement_free)

void lake_statement_add_text(LakeStatement *statement, const char *text);
void lake_statement_add_int64(LakeStatement *statement, gint64 value);
void lake_statement_add_bytes(LakeStatement *statement, GBytes *bytes);
void lake_statement_add_array(LakeStatement *statement, const LakeRows *rows, guint column);
void lake_statement_add_value(LakeStatement *statement, const LakeRows *rows, guint column);

/* name as a quoted identifier; caller frees. */
char *lake_statement_quote(const char *name);
/* value as a string literal; caller frees. For DDL, which takes no parameters. */
char *lake_statement_literal(const char *value);
