/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/core/pg/canned.h"

#include "core/ledger.h"
#include "core/pg/result.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *zone, *folder, *name;
    gint64 size_bytes; /* -1: a folder */
} Stored;

/* Rows of n_columns texts each (NULL: SQL NULL), row by row. */
static LakeResult *
make_result(guint n_columns, gpointer const *values, gsize n_values)
{
    PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    g_autofree PGresAttDesc *columns = g_new0(PGresAttDesc, n_columns);

    g_assert_nonnull(result);
    for (guint i = 0; i < n_columns; i++)
        columns[i] = (PGresAttDesc){.name = (char *)"column", .typid = 25, .typlen = -1};
    g_assert_true(PQsetResultAttrs(result, (int)n_columns, columns));
    for (gsize i = 0; i < n_values; i++)
        g_assert_true(PQsetvalue(result, (int)(i / n_columns), (int)(i % n_columns), values[i],
            values[i] ? (int)strlen(values[i]) : -1));
    return lake_pg_result_new(result);
}

static void
stored_free(gpointer data)
{
    Stored *stored = data;

    g_free(stored->zone);
    g_free(stored->folder);
    g_free(stored->name);
    g_free(stored);
}

static gint
compare_stored(gconstpointer a, gconstpointer b)
{
    return strcmp((*(Stored *const *)a)->name, (*(Stored *const *)b)->name);
}

static const char *
parameter(const LakeStatement *statement, guint index)
{
    g_assert_cmpuint(index, <, statement->parameters->len);
    return g_array_index(statement->parameters, LakeParameter, index).text;
}

/* A column of the ledger by its name; caller frees. */
static char *
value_of(const Stored *stored, const char *column)
{
    gboolean is_folder = stored->size_bytes < 0;

    if (strcmp(column, "path") == 0)
        return g_strconcat(stored->folder, *stored->folder ? "/" : "", stored->name, NULL);
    if (strcmp(column, "kind") == 0)
        return g_strdup(is_folder ? "folder" : "text");
    if (strcmp(column, "file_id") == 0)
        return is_folder ? NULL : g_strdup("id");
    if (strcmp(column, "size_bytes") == 0)
        return g_strdup_printf("%" G_GINT64_FORMAT, MAX(stored->size_bytes, 0));
    return NULL;
}

/* Names between the SELECT on the ledger and its FROM; caller frees. */
static GStrv
get_columns(const char *sql)
{
    const char *list = strstr(sql, "SELECT path");
    const char *end = list ? strstr(list, " FROM ") : NULL;

    g_assert_nonnull(end);
    list += strlen("SELECT ");
    g_autofree char *names = g_strndup(list, (gsize)(end - list));
    return g_strsplit(names, ", ", -1);
}

/* With the lock held. Entries of the statement's zone and folder: one name, or those after one.
 */
static LakeResult *
answer_entries(CannedServer *server, const LakeStatement *statement, gboolean is_listing)
{
    g_autoptr(GPtrArray) values = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) columns = get_columns(statement->sql);
    guint n_columns = g_strv_length(columns);
    const char *name = parameter(statement, 2);
    guint limit = is_listing ? (guint)atoi(parameter(statement, 3)) : 1;

    g_ptr_array_sort(server->entries, compare_stored);
    for (guint i = 0; i < server->entries->len && values->len < limit * n_columns; i++) {
        const Stored *stored = server->entries->pdata[i];
        int order = strcmp(stored->name, name);

        if (strcmp(stored->zone, parameter(statement, 0)) == 0 &&
            strcmp(stored->folder, parameter(statement, 1)) == 0 &&
            (is_listing ? order > 0 : order == 0))
            for (guint column = 0; column < n_columns; column++)
                g_ptr_array_add(values, value_of(stored, columns[column]));
    }
    /* Whoever asks for one entry gets a row in any case. */
    while (!is_listing && values->len < n_columns)
        g_ptr_array_add(values, NULL);
    return make_result(n_columns, values->pdata, values->len);
}

/* With the lock held. */
static LakeResult *
answer_tables(CannedServer *server)
{
    g_autoptr(GPtrArray) values = g_ptr_array_new();

    for (guint i = 0; i < server->tables->len; i++) {
        gboolean is_view = g_str_has_prefix(server->tables->pdata[i], "view");

        g_ptr_array_add(values, server->tables->pdata[i]);
        g_ptr_array_add(values, (gpointer)(is_view ? "t" : "f"));
        g_ptr_array_add(values, (gpointer)(is_view ? "f" : "t"));
    }
    return make_result(3, values->pdata, values->len);
}

/* With the lock held. */
static LakeResult *
answer(CannedServer *server, const LakeStatement *statement)
{
    static const char *const opened[] = {"t", "t", "/root"};

    if (g_str_has_prefix(statement->sql, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace"))
        return make_result(3, (gpointer const *)opened, 3);
    if (g_str_has_prefix(statement->sql, "SELECT c.relname")) {
        g_atomic_int_inc(&server->n_table_questions);
        return answer_tables(server);
    }
    if (g_str_has_prefix(statement->sql, "SELECT table_name FROM"))
        return make_result(1, server->zones->pdata, server->zones->len);
    if (strstr(statement->sql, "name > $3")) {
        g_atomic_int_inc(&server->n_list_questions);
        return answer_entries(server, statement, TRUE);
    }
    if (strstr(statement->sql, "name = $3")) {
        g_atomic_int_inc(&server->n_find_questions);
        return answer_entries(server, statement, FALSE);
    }
    g_error("nobody taught this server: %s", statement->sql);
}

static LakeResult *
run(LakeTransport *transport, LakeTransportUse use, LakeStatement *statement,
    GCancellable *cancellable, GError **error)
{
    CannedServer *server = (CannedServer *)transport;
    void (*meanwhile)(gpointer) = NULL;
    LakeResult *result = NULL;
    gulong delay_us;

    g_mutex_lock(&server->lock);
    delay_us = server->delay_us;
    if (!server->is_offline) {
        result = answer(server, statement);
        meanwhile = server->meanwhile;
        server->meanwhile = NULL;
    }
    g_mutex_unlock(&server->lock);

    if (delay_us > 0)
        g_usleep(delay_us);
    if (meanwhile)
        meanwhile(server->user_data);
    if (!result)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE, "pulled the plug");
    return result;
}

static const LakeTransportClass canned_class = {.run = run};

CannedServer *
canned_server_new(void)
{
    CannedServer *server = g_new0(CannedServer, 1);

    server->transport.class = &canned_class;
    g_mutex_init(&server->lock);
    server->tables = g_ptr_array_new_with_free_func(g_free);
    server->zones = g_ptr_array_new_with_free_func(g_free);
    server->entries = g_ptr_array_new_with_free_func(stored_free);
    return server;
}

void
canned_server_free(CannedServer *server)
{
    g_ptr_array_unref(server->tables);
    g_ptr_array_unref(server->zones);
    g_ptr_array_unref(server->entries);
    g_mutex_clear(&server->lock);
    g_free(server);
}

void
canned_server_add_table(CannedServer *server, const char *name)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);

    g_ptr_array_add(server->tables, g_strdup(name));
}

void
canned_server_add_entry(
    CannedServer *server, const char *zone, const char *path, gint64 size_bytes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);
    Stored *stored = g_new0(Stored, 1);

    stored->zone = g_strdup(zone);
    lake_ledger_split(path, &stored->folder, &stored->name);
    stored->size_bytes = size_bytes;
    g_ptr_array_add(server->entries, stored);
}

void
canned_server_clear_entries(CannedServer *server)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);

    g_ptr_array_set_size(server->entries, 0);
}

void
canned_server_set_offline(CannedServer *server, gboolean is_offline)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&server->lock);

    server->is_offline = is_offline;
}
