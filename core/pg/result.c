/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pg/result.h"

#include "core/sqlstate.h"
#include <stdlib.h>
#include <string.h>

LakeResult *
lake_pg_result_new(PGresult *result)
{
    LakeResult *wrapped = g_new(LakeResult, 1);

    wrapped->result = result;
    return wrapped;
}

void
lake_result_free(LakeResult *result)
{
    if (!result)
        return;
    PQclear(result->result);
    g_free(result);
}

guint
lake_result_n_rows(const LakeResult *result)
{
    return (guint)PQntuples(result->result);
}

guint
lake_result_n_columns(const LakeResult *result)
{
    return (guint)PQnfields(result->result);
}

const char *
lake_result_column_name(const LakeResult *result, guint column)
{
    return PQfname(result->result, (int)column);
}

guint32
lake_result_column_oid(const LakeResult *result, guint column)
{
    return PQftype(result->result, (int)column);
}

const char *
lake_result_text(const LakeResult *result, guint row, guint column)
{
    if (PQgetisnull(result->result, (int)row, (int)column))
        return NULL;
    return PQgetvalue(result->result, (int)row, (int)column);
}

gsize
lake_result_length(const LakeResult *result, guint row, guint column)
{
    return (gsize)PQgetlength(result->result, (int)row, (int)column);
}

gint64
lake_result_int64(const LakeResult *result, guint row, guint column)
{
    const char *text = lake_result_text(result, row, column);

    return text ? g_ascii_strtoll(text, NULL, 10) : 0;
}

gboolean
lake_result_bool(const LakeResult *result, guint row, guint column)
{
    const char *text = lake_result_text(result, row, column);

    return text && text[0] == 't';
}

gint64
lake_result_n_affected(const LakeResult *result)
{
    return g_ascii_strtoll(PQcmdTuples(result->result), NULL, 10);
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
