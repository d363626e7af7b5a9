/* SPDX-License-Identifier: Apache-2.0 */
#include "core/catalog.h"

#include "core/error.h"
#include "core/ledger.h"
#include "core/recent.h"
#include <cjson/cJSON.h>
#include <string.h>

struct LakeCatalog {
    LakeTransport *transport; /* borrowed */
    char *schema;
    char *ledger;         /* quoted, qualified */
    char *root;           /* of dataset paths */
    LakeChanges *changes; /* borrowed, or NULL */
    LakeRecent *recent;   /* NULL: the server has no lag */
};

/* Tables, partitioned tables, foreign tables, views, materialised views. */
#define SHOWN_KINDS "('r', 'p', 'f', 'v', 'm')"
#define SHOWN_NAMES                                                                            \
    "c.relname !~ '^pg_deeplake_' AND c.relname NOT IN ('" LAKE_LEDGER_TABLE                   \
    "', '" LAKE_CATALOG_STAGING_TABLE "')"

static const char list_sql[] =
    "SELECT c.relname, c.relkind IN ('v', 'm'), c.relkind IN ('r', 'p') AND EXISTS ("
    "  SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0"
    "  AND NOT a.attisdropped HAVING bool_or(a.attname = 'file_id')"
    "  OR array_agg(a.attname::text) = '{id}')"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relkind IN " SHOWN_KINDS " AND " SHOWN_NAMES
    " ORDER BY c.relname COLLATE \"C\"";

/* In attnum order, which is the order that COPY writes in. A LEFT JOIN, so that a table without
 * columns is still found. A domain has the output function of what it is made of, however many
 * domains lie between. */
static const char find_sql[] =
    "SELECT c.relkind IN ('v', 'm'), a.attname, pg_catalog.format_type(a.atttypid, "
    "a.atttypmod),"
    " NOT a.attnotnull, (SELECT k.place FROM pg_catalog.pg_index i,"
    "  unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)"
    "  WHERE i.indrelid = c.oid AND i.indisprimary AND k.attnum = a.attnum),"
    " t.typoutput = 'pg_catalog.byteaout'::regproc, t.typoutput IN ('pg_catalog.json_out',"
    "  'pg_catalog.jsonb_out'::regproc, 'pg_catalog.array_out'), c.relkind = 'p'"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_catalog.pg_attribute a"
    "  ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN " SHOWN_KINDS " AND " SHOWN_NAMES
    " ORDER BY a.attnum";

static void
table_column_free(gpointer data)
{
    LakeTableColumn *column = data;

    g_free(column->name);
    g_free(column->sql_type);
    g_free(column);
}

void
lake_table_free(LakeTable *table)
{
    if (!table)
        return;
    g_free(table->name);
    g_ptr_array_unref(table->columns);
    g_free(table);
}

const LakeTableColumn *
lake_table_column(const LakeTable *table, const char *name)
{
    for (guint i = 0; i < table->columns->len; i++) {
        const LakeTableColumn *column = g_ptr_array_index(table->columns, i);
        if (strcmp(column->name, name) == 0)
            return column;
    }
    return NULL;
}

char *
lake_table_dup_columns(const LakeTable *table)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < table->columns->len; i++) {
        const LakeTableColumn *column = g_ptr_array_index(table->columns, i);
        g_autofree char *quoted = lake_statement_quote(column->name);
        if (!column->is_media)
            g_string_append_printf(names, "%s%s", names->len > 0 ? ", " : "", quoted);
    }
    return g_string_free(names, FALSE);
}

static void
table_name_free(gpointer data)
{
    LakeTableName *name = data;

    g_free(name->name);
    g_free(name);
}

void
lake_catalog_set_changes(LakeCatalog *catalog, LakeChanges *changes)
{
    catalog->changes = changes;
}

void
lake_catalog_changed(LakeCatalog *catalog, const char *table, guint kinds)
{
    if (kinds == LAKE_CHANGE_ALL)
        lake_recent_forget(catalog->recent, table);
    if (catalog->changes)
        lake_changes_note(catalog->changes, table, kinds);
}

void
lake_catalog_tried(LakeCatalog *catalog, const char *table, guint kinds, const GError *failure)
{
    if (!failure || !lake_transport_is_undone(failure))
        lake_catalog_changed(catalog, table, kinds);
    else if (catalog->changes)
        lake_changes_note(catalog->changes, table, kinds);
}

void
lake_catalog_set_lag(LakeCatalog *catalog, gint64 lag_ms)
{
    g_assert(!catalog->recent);
    if (lag_ms > 0)
        catalog->recent = lake_recent_new(lag_ms);
}

LakeRecent *
lake_catalog_recent(LakeCatalog *catalog)
{
    return catalog->recent;
}

LakeTransport *
lake_catalog_transport(LakeCatalog *catalog)
{
    return catalog->transport;
}

const char *
lake_catalog_schema(LakeCatalog *catalog)
{
    return catalog->schema;
}

const char *
lake_catalog_ledger(LakeCatalog *catalog)
{
    return catalog->ledger;
}

char *
lake_catalog_qualify(LakeCatalog *catalog, const char *name)
{
    g_autofree char *schema = lake_statement_quote(catalog->schema);
    g_autofree char *table = lake_statement_quote(name);

    return g_strconcat(schema, ".", table, NULL);
}

char *
lake_catalog_dataset_path(LakeCatalog *catalog, const char *name)
{
    return g_strdup_printf("%s/%s/%s", catalog->root, catalog->schema, name);
}

static LakeResult *
run_text(LakeCatalog *catalog, const char *sql, const char *first, const char *second,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new(sql);

    if (first)
        lake_statement_add_text(statement, first);
    if (second)
        lake_statement_add_text(statement, second);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    statement->scope = LAKE_SCOPE_STRUCTURE;
    return lake_transport_run(
        catalog->transport, LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
}

/* Held to the end of the transaction by whoever creates what others may be creating too, the
 * table `name` or (name "") the workspace: IF NOT EXISTS alone loses that race with a unique
 * violation. core/ingest/commit.c takes the same. */
static LakeStatement *
lock_creation(LakeCatalog *catalog, const char *name)
{
    LakeStatement *statement = lake_statement_new(
        "SELECT pg_advisory_xact_lock(hashtextextended('deeplakefs ' || $1 || '/' || $2, 0))");

    lake_statement_add_text(statement, catalog->schema);
    lake_statement_add_text(statement, name);
    statement->is_lock = TRUE;
    return statement;
}

static LakeStatement *
create_ledger(LakeCatalog *catalog)
{
    return lake_statement_new_printf(
        "CREATE TABLE IF NOT EXISTS %s ("
        " table_name text COLLATE \"C\" NOT NULL, folder text COLLATE \"C\" NOT NULL,"
        " name text COLLATE \"C\" NOT NULL, path text GENERATED ALWAYS AS"
        "  (CASE folder WHEN '' THEN name ELSE folder || '/' || name END) STORED,"
        " file_id text, kind text NOT NULL, size_bytes bigint NOT NULL DEFAULT 0,"
        " mtime_ns bigint NOT NULL DEFAULT 0, mode integer NOT NULL DEFAULT 0,"
        " uid bigint NOT NULL DEFAULT 0, gid bigint NOT NULL DEFAULT 0, content_hash text,"
        " n_rows bigint NOT NULL DEFAULT 0, encoding text, settings jsonb, xattrs jsonb, notes "
        "text, options text,"
        " ingested_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (table_name, folder, "
        "name))",
        catalog->ledger);
}

/* What ledgers of earlier versions lack. */
static LakeStatement *
widen_ledger_statement(LakeCatalog *catalog)
{
    return lake_statement_new_printf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS notes text,"
                                     " ADD COLUMN IF NOT EXISTS options text",
        catalog->ledger);
}

/* CREATE SCHEMA IF NOT EXISTS wants the privilege even where it has nothing to do, and a role
 * may own a schema in a database where it cannot make any. */
static gboolean
create_workspace(
    LakeCatalog *catalog, gboolean has_schema, GCancellable *cancellable, GError **error)
{
    g_autofree char *schema = lake_statement_quote(catalog->schema);
    g_autoptr(LakeStatement) lock = lock_creation(catalog, "");
    g_autoptr(LakeStatement) make_schema =
        lake_statement_new_printf("CREATE SCHEMA IF NOT EXISTS %s", schema);
    g_autoptr(LakeStatement) make_ledger = create_ledger(catalog);
    g_autoptr(LakeStatement) widen_ledger = widen_ledger_statement(catalog);
    LakeStatement *all[4] = {lock};
    guint n_statements = 1;

    if (!has_schema)
        all[n_statements++] = make_schema;
    all[n_statements++] = make_ledger;
    all[n_statements++] = widen_ledger;
    g_autoptr(LakeResult) result = lake_transport_run_all(
        catalog->transport, LAKE_TRANSPORT_INTERACTIVE, all, n_statements, cancellable, error);

    if (!result)
        g_prefix_error(error, "making the workspace \"%s\": ", catalog->schema);
    return result != NULL;
}

LakeCatalog *
lake_catalog_open(LakeTransport *transport, const char *schema, gboolean read_only,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeCatalog) catalog = g_new0(LakeCatalog, 1);
    g_autoptr(LakeResult) found = NULL;

    if (!lake_catalog_check_name(schema, error)) {
        g_prefix_error(error, "the workspace: ");
        return NULL;
    }
    catalog->transport = transport;
    catalog->schema = g_strdup(schema);
    catalog->ledger = lake_catalog_qualify(catalog, LAKE_LEDGER_TABLE);

    /* Asked first: CREATE … IF NOT EXISTS wants the privilege even where it has nothing to do.
     */
    found = run_text(catalog,
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1),"
        " to_regclass($2) IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.pg_attribute"
        "  WHERE attrelid = to_regclass($2) AND attname = 'options' AND NOT attisdropped),"
        " coalesce(nullif(current_setting('deeplake.root_path', true), ''), '/' || "
        "current_database())",
        schema, catalog->ledger, cancellable, error);
    if (!found)
        return NULL;
    catalog->root = g_strdup(lake_result_text(found, 0, 2));
    if (read_only && !lake_result_bool(found, 0, 0)) {
        lake_error_set(error, LAKE_ERROR_CLASS_WORKSPACE, LAKE_ERROR_NOT_FOUND,
            "no workspace \"%s\", and a read-only mount does not make one", schema);
        return NULL;
    }
    if (!read_only && !lake_result_bool(found, 0, 1) &&
        !create_workspace(catalog, lake_result_bool(found, 0, 0), cancellable, error))
        return NULL;
    return g_steal_pointer(&catalog);
}

void
lake_catalog_free(LakeCatalog *catalog)
{
    if (!catalog)
        return;
    g_free(catalog->schema);
    g_free(catalog->ledger);
    g_free(catalog->root);
    lake_recent_free(catalog->recent);
    g_free(catalog);
}

GPtrArray *
lake_catalog_list(LakeCatalog *catalog, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeResult) result =
        run_text(catalog, list_sql, catalog->schema, NULL, cancellable, error);
    if (!result) {
        g_prefix_error(error, "listing the tables: ");
        return NULL;
    }

    GPtrArray *tables = g_ptr_array_new_with_free_func(table_name_free);
    for (guint row = 0; row < lake_result_n_rows(result); row++) {
        LakeTableName *table = g_new0(LakeTableName, 1);

        table->name = g_strdup(lake_result_text(result, row, 0));
        table->kind = lake_result_bool(result, row, 1) ? LAKE_TABLE_VIEW : LAKE_TABLE_TABLE;
        table->takes_files = lake_result_bool(result, row, 2);
        g_ptr_array_add(tables, table);
    }
    return tables;
}

LakeTable *
lake_catalog_find(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeResult) result =
        run_text(catalog, find_sql, catalog->schema, name, cancellable, error);
    if (!result) {
        g_prefix_error(error, "reading the columns of \"%s\": ", name);
        return NULL;
    }
    if (lake_result_n_rows(result) == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
            "no table \"%s\" in the workspace \"%s\"", name, catalog->schema);
        return NULL;
    }

    LakeTable *table = g_new0(LakeTable, 1);
    table->name = g_strdup(name);
    table->kind = lake_result_bool(result, 0, 0) ? LAKE_TABLE_VIEW : LAKE_TABLE_TABLE;
    table->is_partitioned = lake_result_bool(result, 0, 7);
    table->columns = g_ptr_array_new_with_free_func(table_column_free);
    for (guint row = 0; row < lake_result_n_rows(result); row++) {
        if (!lake_result_text(result, row, 1))
            continue;
        LakeTableColumn *column = g_new0(LakeTableColumn, 1);
        column->name = g_strdup(lake_result_text(result, row, 1));
        column->sql_type = g_strdup(lake_result_text(result, row, 2));
        column->type = lake_type_from_sql(column->sql_type);
        column->is_nullable = lake_result_bool(result, row, 3);
        column->key_position = (int)lake_result_int64(result, row, 4);
        column->is_media = lake_result_bool(result, row, 5);
        column->is_json = lake_result_bool(result, row, 6);
        g_ptr_array_add(table->columns, column);
    }
    return table;
}

gboolean
lake_catalog_check_name(const char *name, GError **error)
{
    if (!g_utf8_validate(name, -1, NULL)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_BAD_NAME,
            "a name must be UTF-8, and this one is not");
        return FALSE;
    }
    if (strlen(name) > LAKE_CATALOG_NAME_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_LONG_NAME,
            "\"%s\" has %zu bytes; PostgreSQL takes at most %d", name, strlen(name),
            LAKE_CATALOG_NAME_MAX_BYTES);
        return FALSE;
    }
    if (!*name || g_str_has_prefix(name, "pg_deeplake_") ||
        strcmp(name, LAKE_LEDGER_TABLE) == 0 || strcmp(name, LAKE_CATALOG_STAGING_TABLE) == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_BAD_INPUT,
            "the name \"%s\" is reserved", name);
        return FALSE;
    }
    return TRUE;
}

/* What goes wrong with a table is the specification's TableError. */
static gboolean
is_done(LakeResult *result, GError *failure, const char *act, const char *name, GError **error)
{
    g_autoptr(LakeResult) owned = result;
    const LakeErrorFacts *facts;

    if (owned)
        return TRUE;
    facts = lake_error_facts(failure);
    if (facts) {
        LakeErrorFacts own = *facts;
        own.class = LAKE_ERROR_CLASS_TABLE;
        lake_error_set_facts(error, failure->code, &own, "%s \"%s\": %s%s%s", act, name,
            failure->message, own.detail ? ": " : "", own.detail ? own.detail : "");
        g_error_free(failure);
    } else {
        g_propagate_error(error, failure);
    }
    return FALSE;
}

static gboolean
run_change(LakeCatalog *catalog, LakeStatement *const *statements, guint n_statements,
    const char *act, const char *name, GCancellable *cancellable, GError **error)
{
    GError *failure = NULL;
    LakeResult *result = lake_transport_run_all(catalog->transport, LAKE_TRANSPORT_BULK,
        statements, n_statements, cancellable, &failure);

    lake_catalog_tried(catalog, name, LAKE_CHANGE_ALL, failure);
    return is_done(result, failure, act, name, error);
}

gboolean
lake_catalog_create(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, name);
    g_autoptr(LakeStatement) lock = lock_creation(catalog, name);
    g_autoptr(LakeStatement) create = lake_statement_new_printf(
        "CREATE TABLE %s (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)", qualified);
    LakeStatement *all[] = {lock, create};

    if (!lake_catalog_check_name(name, error))
        return FALSE;
    return run_change(
        catalog, all, G_N_ELEMENTS(all), "creating the table", name, cancellable, error);
}

static char
relation_kind(LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeResult) result = run_text(catalog,
        "SELECT c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
        " ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2"
        " AND c.relkind IN " SHOWN_KINDS " AND " SHOWN_NAMES,
        catalog->schema, name, cancellable, error);
    if (!result)
        return 0;
    if (lake_result_n_rows(result) == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
            "no table \"%s\" in the workspace \"%s\"", name, catalog->schema);
        return 0;
    }
    return lake_result_text(result, 0, 0)[0];
}

/* The words of DROP and ALTER for a kind of relation. */
static const char *
kind_words(char kind)
{
    switch (kind) {
    case 'v':
        return "VIEW";
    case 'm':
        return "MATERIALIZED VIEW";
    case 'f':
        return "FOREIGN TABLE";
    default:
        return "TABLE";
    }
}

static LakeStatement *
forget_ledger(LakeCatalog *catalog, const char *name)
{
    LakeStatement *statement =
        lake_statement_new_printf("DELETE FROM %s WHERE table_name = $1", catalog->ledger);

    lake_statement_add_text(statement, name);
    return statement;
}

gboolean
lake_catalog_drop(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    char kind = relation_kind(catalog, name, cancellable, error);
    if (!kind)
        return FALSE;

    g_autofree char *qualified = lake_catalog_qualify(catalog, name);
    g_autoptr(LakeStatement) drop =
        lake_statement_new_printf("DROP %s %s", kind_words(kind), qualified);
    g_autoptr(LakeStatement) forget = forget_ledger(catalog, name);
    LakeStatement *all[] = {drop, forget};
    return run_change(
        catalog, all, G_N_ELEMENTS(all), "dropping the table", name, cancellable, error);
}

gboolean
lake_catalog_rename(LakeCatalog *catalog, const char *name, const char *new_name,
    GCancellable *cancellable, GError **error)
{
    if (!lake_catalog_check_name(new_name, error))
        return FALSE;
    char kind = relation_kind(catalog, name, cancellable, error);
    if (!kind)
        return FALSE;

    g_autofree char *qualified = lake_catalog_qualify(catalog, name);
    g_autofree char *quoted = lake_statement_quote(new_name);
    g_autoptr(LakeStatement) rename = lake_statement_new_printf(
        "ALTER %s %s RENAME TO %s", kind_words(kind), qualified, quoted);
    /* A drop zone that was opened under the new name and never had a table. */
    g_autoptr(LakeStatement) forget = forget_ledger(catalog, new_name);
    g_autoptr(LakeStatement) move = lake_statement_new_printf(
        "UPDATE %s SET table_name = $2 WHERE table_name = $1", catalog->ledger);
    lake_statement_add_text(move, name);
    lake_statement_add_text(move, new_name);
    LakeStatement *all[] = {rename, forget, move};
    GError *failure = NULL;
    gboolean is_good = run_change(
        catalog, all, G_N_ELEMENTS(all), "renaming the table", name, cancellable, &failure);
    lake_catalog_tried(catalog, new_name, LAKE_CHANGE_ALL, failure);
    if (failure)
        g_propagate_error(error, failure);
    return is_good;
}

gint64
lake_catalog_count(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, name);
    g_autoptr(LakeStatement) statement =
        lake_statement_new_printf("SELECT count(*) FROM %s", qualified);
    g_autoptr(LakeResult) result = lake_transport_run(
        catalog->transport, LAKE_TRANSPORT_BULK, statement, cancellable, error);

    return result ? lake_result_int64(result, 0, 0) : -1;
}

/* row_count is exact, and so takes as long as the server takes to count. files: SQL of their
 * number. */
static LakeResult *
read_info(LakeCatalog *catalog, const char *name, const char *files, GCancellable *cancellable,
    GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, name);
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "SELECT (SELECT count(*) FROM %s), pg_total_relation_size($1::regclass), %s,"
        " (SELECT coalesce(json_agg(i.relname ORDER BY i.relname COLLATE \"C\"), '[]')"
        "  FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid"
        "  WHERE x.indrelid = $1::regclass)",
        qualified, files);

    lake_statement_add_text(statement, qualified);
    return lake_transport_run(
        catalog->transport, LAKE_TRANSPORT_BULK, statement, cancellable, error);
}

/* A read-only mount may meet a workspace that has no ledger, and a role one that it may not
 * read. What else is missing or refused, is so again. */
static LakeResult *
read_info_anyhow(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *literal = lake_statement_literal(name);
    g_autofree char *files = g_strdup_printf(
        "(SELECT count(*) FROM %s WHERE table_name = %s AND file_id IS NOT NULL)",
        catalog->ledger, literal);
    LakeResult *result = read_info(catalog, name, files, cancellable, &failure);

    if (result)
        return result;
    if (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return read_info(catalog, name, "0", cancellable, error);
    if (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NO_ACCESS))
        return read_info(catalog, name, "'null'", cancellable, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

char *
lake_catalog_info(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeResult) result = read_info_anyhow(catalog, name, cancellable, error);
    if (!result) {
        g_prefix_error(error, "describing \"%s\": ", name);
        return NULL;
    }

    g_autofree char *dataset_path = lake_catalog_dataset_path(catalog, name);
    cJSON *info = cJSON_CreateObject();
    cJSON_AddStringToObject(info, "table_name", name);
    /* Raw: cJSON keeps numbers as doubles, which end at 2^53. */
    cJSON_AddRawToObject(info, "row_count", lake_result_text(result, 0, 0));
    cJSON_AddStringToObject(info, "dataset_path", dataset_path);
    cJSON_AddRawToObject(info, "size_bytes", lake_result_text(result, 0, 1));
    cJSON_AddRawToObject(info, "indexes", lake_result_text(result, 0, 3));
    cJSON_AddRawToObject(info, "ingested_files", lake_result_text(result, 0, 2));
    char *printed = cJSON_Print(info);
    char *text = g_strconcat(printed, "\n", NULL);
    cJSON_free(printed);
    cJSON_Delete(info);
    return text;
}
