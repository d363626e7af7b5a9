/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/encode.h: statements as the service takes them: JSON with parameters as strings, or
 * several as one statement, a DO block, since a request holds one and is a transaction of its
 * own. Pure.
 *
 * A parameter of a type that JSON does not have is named to the server where it stands: bytes
 * are decode($1, 'base64'), a column of rows $1::bigint[].
 */

#include "core/statement.h"

/* Appends {"query":…,"params":[…],"timeout_ms":…}; sql in place of the statement's own where it
 * is not NULL: for one that was put around it. timeout_ms 0: none. */
void lake_api_encode_statement(
    GString *into, const LakeStatement *statement, const char *sql, gint64 timeout_ms);

/* The same for a statement that is complete as it stands. */
void lake_api_encode_sql(GString *into, const char *sql, gint64 timeout_ms);

/* Appends the SQL of one DO block that executes all in order, values in the place of their
 * parameters. Where one has touched another number of rows than n_expected, all is undone with
 * LAKE_API_UNEXPECTED as its SQLSTATE. */
void lake_api_encode_block(GString *into, LakeStatement *const *statements, guint n_statements);

/* serialization_failure: what PostgreSQL itself says where others were first. */
#define LAKE_API_UNEXPECTED "40001"
