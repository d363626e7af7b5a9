/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/result.h"

#include "core/sqlstate.h"
#include <stdlib.h>
#include <string.h>

static const PGresult *
of(const LakeResult *result)
{
    return ((const LakePgResult *)result)->result;
}

static void
result_free(LakeResult *result)
{
    PQclear(((LakePgResult *)result)->result);
    g_free(result);
}

static guint
result_n_rows(const LakeResult *result)
{
    return (guint)PQntuples(of(result));
}

static guint
result_n_columns(const LakeResult *result)
{
    return (guint)PQnfields(of(result));
}

static const char *
result_column_name(const LakeResult *result, guint column)
{
    return PQfname(of(result), (int)column);
}

static guint32
result_column_oid(const LakeResult *result, guint column)
{
    return PQftype(of(result), (int)column);
}

static const char *
result_text(const LakeResult *result, guint row, guint column)
{
    if (PQgetisnull(of(result), (int)row, (int)column))
        return NULL;
    return PQgetvalue(of(result), (int)row, (int)column);
}

static gsize
result_length(const LakeResult *result, guint row, guint column)
{
    return (gsize)PQgetlength(of(result), (int)row, (int)column);
}

static gint64
result_n_affected(const LakeResult *result)
{
    return g_ascii_strtoll(PQcmdTuples((PGresult *)of(result)), NULL, 10);
}

static const LakeResultClass result_class = {
    .free = result_free,
    .n_rows = result_n_rows,
    .n_columns = result_n_columns,
    .column_name = result_column_name,
    .column_oid = result_column_oid,
    .text = result_text,
    .length = result_length,
    .n_affected = result_n_affected,
};

LakeResult *
lake_pg_result_new(PGresult *result)
{
    LakePgResult *wrapped = g_new(LakePgResult, 1);

    *wrapped = lake_pg_result_lend(result);
    return &wrapped->base;
}

LakePgResult
lake_pg_result_lend(PGresult *result)
{
    return (LakePgResult){.base.class = &result_class, .result = result};
}

static char *
dup_field(const PGresult *result, int field)
{
    const char *text = PQresultErrorField(result, field);

    /* The server may speak another encoding before client_encoding is set. */
    return text ? g_utf8_make_valid(text, -1) : NULL;
}

static void
clear_facts(LakeErrorFacts *facts)
{
    g_free(facts->sqlstate);
    g_free(facts->message);
    g_free(facts->detail);
    g_free(facts->hint);
}

void
lake_pg_result_error(const PGresult *result, GError **error)
{
    LakeErrorFacts facts = {
        .sqlstate = dup_field(result, PG_DIAG_SQLSTATE),
        .message = dup_field(result, PG_DIAG_MESSAGE_PRIMARY),
        .detail = dup_field(result, PG_DIAG_MESSAGE_DETAIL),
        .hint = dup_field(result, PG_DIAG_MESSAGE_HINT),
    };
    const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);

    facts.position = position ? atoi(position) : 0;
    facts.class = lake_sqlstate_class(facts.sqlstate);
    if (!facts.sqlstate) {
        /* Made by libpq itself: the connection is gone. */
        g_autofree char *text = g_utf8_make_valid(PQresultErrorMessage(result), -1);
        lake_error_set(error, facts.class, LAKE_ERROR_OFFLINE, "%s", g_strstrip(text));
    } else {
        lake_error_set_facts(error, lake_sqlstate_code(facts.sqlstate), &facts,
            "%s (SQLSTATE %s)", facts.message ? facts.message : "the server gave no message",
            facts.sqlstate);
    }
    clear_facts(&facts);
}

/* While connecting, libpq offers the SQLSTATE only inside its verbose text:
 * "… FATAL:  28P01: password authentication failed for user "x"\nLOCATION:  …". */
static char *
find_sqlstate(const char *text, char **ret_message)
{
    g_autoptr(GRegex) pattern =
        g_regex_new(":  ([0-9A-Z]{5}): ([^\\n]*)", G_REGEX_OPTIMIZE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    *ret_message = NULL;
    if (!g_regex_match(pattern, text, 0, &match))
        return NULL;
    *ret_message = g_match_info_fetch(match, 2);
    return g_match_info_fetch(match, 1);
}

void
lake_pg_result_connection_error(PGconn *connection, GError **error)
{
    g_autofree char *text = g_utf8_make_valid(PQerrorMessage(connection), -1);
    LakeErrorFacts facts = {0};

    g_strstrip(text);
    facts.sqlstate = find_sqlstate(text, &facts.message);
    facts.class = lake_sqlstate_class(facts.sqlstate);
    if (facts.sqlstate)
        lake_error_set_facts(error, lake_sqlstate_code(facts.sqlstate), &facts,
            "the server refused the connection: %s (SQLSTATE %s)", facts.message,
            facts.sqlstate);
    else if (PQconnectionNeedsPassword(connection))
        lake_error_set(error, LAKE_ERROR_CLASS_CREDENTIALS, LAKE_ERROR_NO_ACCESS,
            "the server asks for a password and none was given");
    else
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE, "%s",
            *text ? text : "the connection to the server was lost");
    clear_facts(&facts);
}
