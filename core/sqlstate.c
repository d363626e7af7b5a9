/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sqlstate.h"

#include <string.h>

/* A prefix of a SQLSTATE; the first that matches counts, so exceptions stand before their
 * class. */
static const struct {
    const char *prefix;
    LakeErrorCode code;
} meanings[] = {
    {"08", LAKE_ERROR_OFFLINE},                                       /* connection exception */
    {"22", LAKE_ERROR_BAD_INPUT},                                     /* data exception */
    {"23", LAKE_ERROR_BAD_INPUT},                                     /* constraint violation */
    {"25006", LAKE_ERROR_READ_ONLY}, {"25P03", LAKE_ERROR_TIMED_OUT}, /* idle in transaction */
    {"28", LAKE_ERROR_NO_ACCESS},                                     /* authorization */
    {"2BP01", LAKE_ERROR_BAD_INPUT}, /* dependent objects still exist */
    {"3D000", LAKE_ERROR_NOT_FOUND}, /* database */
    {"3F000", LAKE_ERROR_NOT_FOUND}, /* schema */
    {"40", LAKE_ERROR_BUSY},         /* serialization failure, deadlock */
    {"42501", LAKE_ERROR_NO_ACCESS}, {"42P01", LAKE_ERROR_NOT_FOUND}, /* table */
    {"42P07", LAKE_ERROR_EXISTS},                                     /* table */
    {"42710", LAKE_ERROR_EXISTS},                                     /* object */
    {"42P06", LAKE_ERROR_EXISTS},                                     /* schema */
    {"42622", LAKE_ERROR_LONG_NAME},
    {"42", LAKE_ERROR_BAD_INPUT}, /* syntax error or access rule violation */
    {"53100", LAKE_ERROR_NO_SPACE}, {"53", LAKE_ERROR_BUSY}, /* out of memory, connections */
    {"54", LAKE_ERROR_TOO_BIG},                              /* program limit exceeded */
    {"55P03", LAKE_ERROR_BUSY},                              /* lock not available */
    {"57014", LAKE_ERROR_CANCELLED}, /* also statement_timeout: the caller knows which */
    {"57P", LAKE_ERROR_OFFLINE},     /* shutting down, crashed, starting up */
    {"0A000", LAKE_ERROR_UNSUPPORTED}, {"P0", LAKE_ERROR_BAD_INPUT}, /* raised by a function */
};

LakeErrorCode
lake_sqlstate_code(const char *sqlstate)
{
    if (!sqlstate)
        return LAKE_ERROR_FAILED;

    for (gsize i = 0; i < G_N_ELEMENTS(meanings); i++)
        if (g_str_has_prefix(sqlstate, meanings[i].prefix))
            return meanings[i].code;
    return LAKE_ERROR_FAILED;
}

LakeErrorClass
lake_sqlstate_class(const char *sqlstate)
{
    return sqlstate && g_str_has_prefix(sqlstate, "28") ? LAKE_ERROR_CLASS_CREDENTIALS
                                                        : LAKE_ERROR_CLASS_GENERAL;
}

/* Pieces of PostgreSQL's messages; all of a line must be there, and the first line counts. */
static const struct {
    const char *pieces[2];
    const char *sqlstate;
} messages[] = {
    {{"duplicate key value", NULL}, "23505"},
    {{"violates not-null constraint", NULL}, "23502"},
    {{"violates foreign key constraint", NULL}, "23503"},
    {{"violates check constraint", NULL}, "23514"},
    /* Before "relation": 'column "x" of relation "t" already exists'. */
    {{"column \"", "already exists"}, "42701"},
    {{"relation \"", "already exists"}, "42P07"},
    {{"schema \"", "already exists"}, "42P06"},
    {{"already exists", NULL}, "42710"},
    {{"column ", "does not exist"}, "42703"},
    {{"relation \"", "does not exist"}, "42P01"},
    {{"table \"", "does not exist"}, "42P01"},
    {{"view \"", "does not exist"}, "42P01"},
    {{"schema \"", "does not exist"}, "3F000"},
    {{"database \"", "does not exist"}, "3D000"},
    {{"function ", "does not exist"}, "42883"},
    {{"operator ", "does not exist"}, "42883"},
    {{"does not exist", NULL}, "42704"},
    {{"syntax error", NULL}, "42601"},
    {{"permission denied", NULL}, "42501"},
    {{"in a read-only transaction", NULL}, "25006"},
    {{"invalid input syntax", NULL}, "22P02"},
    {{"canceling statement due to", NULL}, "57014"},
    {{"deadlock detected", NULL}, "40P01"},
    {{"could not serialize access", NULL}, "40001"},
    {{"too many clients already", NULL}, "53300"},
    {{"No space left on device", NULL}, "53100"},
    {{"terminating connection due to", NULL}, "57P01"},
    /* Of drivers, whose connection was not to be had, or broke in the middle. */
    {{"failed to connect to", NULL}, "08001"},
    {{"connection refused", NULL}, "08001"},
    {{"server closed the connection unexpectedly", NULL}, "08006"},
    {{"connection reset by peer", NULL}, "08006"},
    {{"broken pipe", NULL}, "08006"},
    {{"unexpected EOF", NULL}, "08006"},
    {{"conn closed", NULL}, "08003"},
};

const char *
lake_sqlstate_from_message(const char *message)
{
    for (gsize i = 0; i < G_N_ELEMENTS(messages); i++) {
        const char *const *pieces = messages[i].pieces;
        const char *found = strstr(message, pieces[0]);

        if (found && (!pieces[1] || strstr(found, pieces[1])))
            return messages[i].sqlstate;
    }
    return NULL;
}
