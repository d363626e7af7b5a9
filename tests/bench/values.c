/* SPDX-License-Identifier: Apache-2.0 */

/* Reads bytea values as a program that knows libpq would: what reading them costs at all, to
 * measure the mount against.
 *
 *   bench-values DSN TABLE COLUMN [PIECE_BYTES] < REQUESTS > BYTES
 *
 * A request is a line "KEY", for a whole value, or "KEY OFFSET LENGTH", for a part of it. One
 * prepared statement, binary results, one connection. With PIECE_BYTES a whole value is read in
 * parts of that size, one after the other, so that it needs not fit into memory.
 */

#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE "whole"
#define PART "part"

static void
fail(const char *act, const char *reason)
{
    fprintf(stderr, "bench-values: %s: %s\n", act, reason);
    exit(1);
}

static void
prepare(PGconn *connection, const char *table, const char *column)
{
    char sql[1024];

    snprintf(sql, sizeof sql, "SELECT %s FROM %s WHERE id = $1::bigint", column, table);
    PGresult *whole = PQprepare(connection, WHOLE, sql, 0, NULL);
    if (PQresultStatus(whole) != PGRES_COMMAND_OK)
        fail("preparing", PQerrorMessage(connection));
    PQclear(whole);

    snprintf(sql, sizeof sql,
        "SELECT substring(%s, $2::int + 1, $3::int) FROM %s WHERE id = $1::bigint", column,
        table);
    PGresult *part = PQprepare(connection, PART, sql, 0, NULL);
    if (PQresultStatus(part) != PGRES_COMMAND_OK)
        fail("preparing", PQerrorMessage(connection));
    PQclear(part);
}

/* Writes the value to standard output; returns its length. */
static size_t
copy_value(PGconn *connection, const char *statement, const char *const *values, int n_values)
{
    PGresult *result = PQexecPrepared(connection, statement, n_values, values, NULL, NULL, 1);

    if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
        fail("reading", PQntuples(result) ? PQerrorMessage(connection) : "no such row");
    size_t n_bytes = (size_t)PQgetlength(result, 0, 0);
    const char *bytes = PQgetvalue(result, 0, 0);
    for (size_t done = 0; done < n_bytes;) {
        ssize_t n = write(STDOUT_FILENO, bytes + done, n_bytes - done);
        if (n < 0)
            fail("writing", "standard output takes no more");
        done += (size_t)n;
    }
    PQclear(result);
    return n_bytes;
}

static void
copy_in_pieces(PGconn *connection, const char *key, long piece_bytes)
{
    int64_t offset = 0;
    size_t n_bytes;

    do {
        char from[24], length[24];
        snprintf(from, sizeof from, "%" PRId64, offset);
        snprintf(length, sizeof length, "%ld", piece_bytes);
        const char *values[] = {key, from, length};
        n_bytes = copy_value(connection, PART, values, 3);
        offset += (int64_t)n_bytes;
    } while (n_bytes == (size_t)piece_bytes);
}

int
main(int argc, char **argv)
{
    if (argc < 4)
        fail("usage", "bench-values DSN TABLE COLUMN [PIECE_BYTES]");
    long piece_bytes = argc > 4 ? atol(argv[4]) : 0;
    PGconn *connection = PQconnectdb(argv[1]);
    if (PQstatus(connection) != CONNECTION_OK)
        fail("connecting", PQerrorMessage(connection));
    prepare(connection, argv[2], argv[3]);

    char line[256];
    while (fgets(line, sizeof line, stdin)) {
        char *rest = NULL;
        const char *values[] = {strtok_r(line, " \n", &rest), strtok_r(NULL, " \n", &rest),
            strtok_r(NULL, " \n", &rest)};
        if (values[2])
            copy_value(connection, PART, values, 3);
        else if (piece_bytes > 0)
            copy_in_pieces(connection, values[0], piece_bytes);
        else
            copy_value(connection, WHOLE, values, 1);
    }
    PQfinish(connection);
    return 0;
}
