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

/* What of the workspace a statement reads or changes. It matters where a server may answer from
 * what was there some seconds ago (core/api/lag.h): then a statement waits for those of
 * our own changes that it could miss. */
typedef enum {
    LAKE_SCOPE_ALL, /* the safe answer */
    /* Reads no rows of tables: only which tables, columns and indexes there are; or entries of
     * the ledger, of which core/ledger.c remembers its own changes. */
    LAKE_SCOPE_STRUCTURE,
    /* Changes rows, and entries of the ledger that core/ledger.c remembers. */
    LAKE_SCOPE_ROWS,
} LakeStatementScope;

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
    GArray *bytes_columns; /* of guint: those of the result that are bytea; see _expect_bytes */
    LakeStatementScope scope;
    /* Rows that it must touch; 0: any number. Where a transaction travels as a whole another
     * number undoes it with STALE; elsewhere whoever runs it looks at what it touched. */
    gint64 n_expected;
    /* Changes only what no other of its kind does, and says n_expected: may share a request and
     * a transaction with others. */
    gboolean is_groupable;
    /* Only locks, for as long as the transaction lasts. */
    gboolean is_lock;
    /* Gives a row whatever is there. Of a SELECT that does not, "no row" may be a server's way
     * to say that it is not ready, and is made sure of. */
    gboolean has_always_rows;
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

/* This column of the result is bytea. Whoever asks for is_binary says so of each: not every
 * server tells the types of what it answers. */
void lake_statement_expect_bytes(LakeStatement *statement, guint column);

/* name as a quoted identifier; caller frees. */
char *lake_statement_quote(const char *name);
/* value as a string literal; caller frees. For DDL, which takes no parameters. */
char *lake_statement_literal(const char *value);
