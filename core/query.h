/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query.h: a user's SQL in, a result as JSON or CSV out. Any thread; each call may block.
 */

#include "core/search.h"

#define LAKE_QUERY_MAX_BYTES (1024 * 1024)
#define LAKE_QUERY_SEARCH_LIMIT "10"

typedef struct {
    char *sql;             /* with its comments */
    GPtrArray *parameters; /* of char*, text form; NULL elements are SQL NULL */
} LakeQuery;

/* From the text of a .sql file: leading lines `-- $1 = "abc"` give parameters as JSON values
 * (string, number, true, false, null; arrays and objects travel as their JSON text, except that
 * an array of numbers becomes a PostgreSQL array literal, so that $1::float4[] works).
 *   BAD_INPUT  empty, over LAKE_QUERY_MAX_BYTES, not UTF-8, NUL, a parameter that is no JSON, a
 * gap in the numbers; the message has the line */
LakeQuery *lake_query_parse(const char *text, gsize n_bytes, GError **error);
/* From SQL and parameters in text form (the command line's); values are copied. */
LakeQuery *lake_query_new(const char *sql, const char *const *parameters, guint n_parameters);
void lake_query_free(LakeQuery *query);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeQuery, lake_query_free)

typedef enum {
    LAKE_QUERY_JSON,  /* an array, one object per row, one row per line; no rows is [] */
    LAKE_QUERY_JSONL, /* one object per line */
    LAKE_QUERY_CSV,   /* a line of names, one record per row; see core/query/to_csv.h */
    LAKE_QUERY_KEPT,  /* for lake_query_write_kept, which makes each of the others of it */
} LakeQueryFormat;

typedef enum {
    LAKE_QUERY_READ_ONLY,  /* READ_ONLY when the statement would change data */
    LAKE_QUERY_MAY_CHANGE, /* tried read-only first; run once more, for real, when it would
                              change */
} LakeQueryMode;

typedef struct {
    LakeQueryFormat format;
    LakeQueryMode mode;
    gint64 timeout_ms;       /* TIMED_OUT beyond it */
    gint64 max_result_bytes; /* TOO_BIG beyond it */
} LakeQueryOptions;

typedef struct {
    gboolean changed_data;
    gint64 n_rows;     /* returned */
    gint64 n_affected; /* inserted, updated, deleted */
} LakeQueryOutcome;

/* Runs one statement and writes its result to the end of `into`. A statement that returns no
 * rows gives [] (CSV: nothing). More than one statement: BAD_INPUT. */
gboolean
lake_query_run(LakeCatalog *catalog, const LakeQuery *query, const LakeQueryOptions *options,
    LakeSpool *into, LakeQueryOutcome *ret_outcome, GCancellable *cancellable, GError **error);

/* Appends a result that was made as LAKE_QUERY_KEPT to into, as another format; no more than a
 * part of it is in memory. */
gboolean
lake_query_write_kept(LakeSpool *kept, LakeQueryFormat format, LakeSpool *into, GError **error);

/* The query that a table's query.sql is until someone writes it: SELECT of all columns but
 * media, by key, LIMIT 100. table NULL: the list of tables with their row counts. Caller frees.
 */
char *lake_query_default(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error);

/* The methods of the specification's QueryBuilder, the parameters of a condition, and keyword
 * search. */
typedef enum {
    LAKE_QUERY_SELECT,
    LAKE_QUERY_WHERE,
    LAKE_QUERY_PARAM, /* after its WHERE, or the PARAM before it */
    LAKE_QUERY_ORDER_BY,
    LAKE_QUERY_LIMIT,
    LAKE_QUERY_OFFSET,
    LAKE_QUERY_SEARCH, /* its value: the words */
} LakeQueryMethod;

typedef struct {
    LakeQueryMethod method;
    const char *value; /* UTF-8 */
} LakeQueryPart;

/* ".select", ".where" … */
const char *lake_query_method_name(LakeQueryMethod method);

/* A SELECT on `from` (quoted, schema-qualified) out of parts in any order. A plain name is the
 * column of exactly that name; anything else is an SQL expression. Conditions are joined by
 * AND, ORDER_BY goes on after the one before; the others may be given once. $1 in each WHERE is
 * the first PARAM that follows it. SEARCH keeps the rows that have some of the words, sorts
 * them by their score, best first, and gives it as a last column; it needs search, and without
 * LIMIT gives LAKE_QUERY_SEARCH_LIMIT rows. Pure.
 *   BAD_INPUT  the message names the part: an expression that does not close what it opens or
 *              goes beyond itself, a number that is none, a wrong number of parameters */
LakeQuery *lake_query_build(const char *from, const LakeSearch *search,
    const LakeQueryPart *parts, guint n_parts, GError **error);

/* What lake_query_parse reads: parameters, then the statement. Caller frees. */
char *lake_query_to_text(const LakeQuery *query);

/* Appends a JSON string as results have them, quotes included. text is UTF-8. */
void lake_json_append_string(GString *into, const char *text, gsize n_bytes);

/* {"error":{"class","sqlstate","message","detail","hint","position"}} and a newline; caller
 * frees. */
char *lake_query_error_json(const GError *error);
