/* SPDX-License-Identifier: Apache-2.0 */
#include "core/row.h"

#include "core/error.h"
#include "core/ingest.h"
#include "core/row/windows.h"
#include <string.h>

/* What changes with every change of a row, be it twice in one transaction, and tells two
 * partitions apart. A rewrite of the whole table (VACUUM FULL) changes it too. */
#define VERSION_SQL "t.tableoid::oid::text || t.ctid::text || t.xmin::text"

typedef struct {
    char *name; /* NULL: the whole row */
    LakeRowForm form;
    gboolean is_text; /* in the table too, and not only in the file */
    char *bytes_sql;  /* the value as a bytea */
    char *whole_sql;  /* the same, for whoever takes many pieces of it */
    char *size_sql;   /* its number of bytes; NULL for a NULL */
} Column;

struct LakeRowTable {
    gatomicrefcount n_references;
    char *name;
    char *from;      /* ONLY "schema"."name" t */
    GArray *columns; /* of Column */
    guint n_key_parts;
    char *key_list;   /* t."a", t."b" */
    char *key_texts;  /* t."a"::text, t."b"::text */
    char *parameters; /* $1::bigint, $2::text */
};

static void
clear_column(gpointer data)
{
    Column *column = data;

    g_free(column->name);
    g_free(column->bytes_sql);
    g_free(column->whole_sql);
    g_free(column->size_sql);
}

LakeRowTable *
lake_row_table_ref(LakeRowTable *table)
{
    g_atomic_ref_count_inc(&table->n_references);
    return table;
}

void
lake_row_table_unref(LakeRowTable *table)
{
    if (!table || !g_atomic_ref_count_dec(&table->n_references))
        return;
    g_free(table->name);
    g_free(table->from);
    g_array_unref(table->columns);
    g_free(table->key_list);
    g_free(table->key_texts);
    g_free(table->parameters);
    g_free(table);
}

guint
lake_row_table_n_key_parts(const LakeRowTable *table)
{
    return table->n_key_parts;
}

LakeRowForm
lake_row_table_form(const LakeRowTable *table, guint index)
{
    return g_array_index(table->columns, Column, index).form;
}

/* --- the shape --- */

static gboolean
is_text_type(const LakeTableColumn *column)
{
    return strcmp(column->sql_type, "text") == 0 ||
           g_str_has_prefix(column->sql_type, "character varying");
}

/* Pieces of bytes that are stored as they are cost what they are long; of compressed ones each
 * would cost all before it too, so these are taken out as a whole first. What has another form
 * in the file than in the table is made once for all pieces anyway. */
static char *
dup_whole_sql(const Column *column, const char *value)
{
    if (column->form != LAKE_ROW_BYTES)
        return g_strdup(column->bytes_sql);
    return g_strdup_printf("CASE WHEN pg_column_size(%s) < octet_length(%s)"
                           " THEN substring(%s, 1) ELSE %s END",
        value, column->bytes_sql, column->bytes_sql, column->bytes_sql);
}

/* Lengths of bytea and text are in their headers: no value is read for them. What has another
 * form in the file than in the table must be made to know how long it is. */
static void
add_column(GArray *columns, const LakeTableColumn *from)
{
    g_autofree char *quoted = lake_statement_quote(from->name);
    g_autofree char *value = g_strconcat("t.", quoted, NULL);
    Column column = {.name = g_strdup(from->name)};

    if (from->is_media) {
        column.form = LAKE_ROW_BYTES;
        column.bytes_sql = g_strconcat(value, "::bytea", NULL);
    } else if (from->is_json) {
        column.form = LAKE_ROW_JSON;
        column.bytes_sql = g_strdup_printf("convert_to(to_json(%s)::text, 'UTF8')", value);
    } else if (is_text_type(from)) {
        column.is_text = TRUE;
        column.bytes_sql = g_strdup_printf("convert_to(%s::text, 'UTF8')", value);
        column.size_sql =
            g_strdup_printf("CASE getdatabaseencoding() WHEN 'UTF8' THEN octet_length(%s::text)"
                            " ELSE octet_length(%s) END",
                value, column.bytes_sql);
    } else {
        column.bytes_sql = g_strdup_printf("convert_to(to_json(%s) #>> '{}', 'UTF8')", value);
    }
    if (!column.size_sql)
        column.size_sql = g_strdup_printf("octet_length(%s)", column.bytes_sql);
    column.whole_sql = dup_whole_sql(&column, value);
    g_array_append_val(columns, column);
}

/* Beyond this many bytes a row is not made into JSON: that would take the server long whenever
 * the row is looked at, and fail at 1 GiB, of which escapes can make six from one. */
#define WHOLE_MAX_BYTES (64 * 1024 * 1024)

/* to_json() on the server gives the forms that a query's result has. With `.*` it takes the row
 * even where a column has the name that the row goes by. */
static void
add_whole_row(GArray *columns)
{
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(GString) sizes = g_string_new("0::bigint");
    Column whole = {.form = LAKE_ROW_JSON};

    for (guint i = 0; i < columns->len; i++) {
        const Column *column = &g_array_index(columns, Column, i);
        if (column->form == LAKE_ROW_BYTES)
            continue;
        g_autofree char *quoted = lake_statement_quote(column->name);
        g_string_append_printf(names, "%st.%s", names->len > 0 ? ", " : "", quoted);
        g_string_append_printf(sizes, " + coalesce(%s(t.%s%s), 0)",
            column->is_text ? "octet_length" : "pg_column_size", quoted,
            column->is_text ? "::text" : "");
    }
    whole.bytes_sql = g_strdup_printf("convert_to((SELECT to_json(whole.*) FROM (SELECT %s) "
                                      "whole)::text || E'\\n', 'UTF8')",
        names->str);
    whole.size_sql = g_strdup_printf("CASE WHEN %s <= %d THEN octet_length(%s) END", sizes->str,
        WHOLE_MAX_BYTES, whole.bytes_sql);
    whole.whole_sql = g_strdup(whole.bytes_sql);
    g_array_append_val(columns, whole);
}

static const LakeTableColumn *
key_part(const LakeTable *found, guint position)
{
    for (guint i = 0; i < found->columns->len; i++) {
        const LakeTableColumn *column = g_ptr_array_index(found->columns, i);
        if (column->key_position == (int)position)
            return column;
    }
    return NULL;
}

/* A key's parts are cast to the types that the columns have: the server finds no type for a
 * composite by itself, and a statement that stays prepared keeps the one it found, also when
 * the column has got another. */
static void
set_key(LakeRowTable *table, const LakeTable *found)
{
    GString *list = g_string_new(NULL);
    GString *texts = g_string_new(NULL);
    GString *parameters = g_string_new(NULL);
    const LakeTableColumn *part;

    while ((part = key_part(found, table->n_key_parts + 1))) {
        const char *comma = table->n_key_parts > 0 ? ", " : "";
        g_autofree char *quoted = lake_statement_quote(part->name);

        table->n_key_parts++;
        g_string_append_printf(list, "%st.%s", comma, quoted);
        g_string_append_printf(texts, "%st.%s::text", comma, quoted);
        g_string_append_printf(
            parameters, "%s$%u::%s", comma, table->n_key_parts, part->sql_type);
    }
    table->key_list = g_string_free(list, FALSE);
    table->key_texts = g_string_free(texts, FALSE);
    table->parameters = g_string_free(parameters, FALSE);
}

/* A primary key holds in its own table: what inherits from it may have the same keys again. */
static char *
dup_from(LakeCatalog *catalog, const LakeTable *found)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, found->name);

    return g_strconcat(found->is_partitioned ? "" : "ONLY ", qualified, " t", NULL);
}

LakeRowTable *
lake_row_table_find(
    LakeCatalog *catalog, const char *name, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeTable) found = lake_catalog_find(catalog, name, cancellable, error);
    if (!found)
        return NULL;

    g_autoptr(LakeRowTable) table = g_new0(LakeRowTable, 1);
    g_atomic_ref_count_init(&table->n_references);
    table->name = g_strdup(name);
    table->from = dup_from(catalog, found);
    table->columns = g_array_new(FALSE, TRUE, sizeof(Column));
    g_array_set_clear_func(table->columns, clear_column);
    set_key(table, found);
    if (table->n_key_parts == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
            "\"%s\" has no primary key, so its rows have no names", name);
        return NULL;
    }
    for (guint i = 0; i < found->columns->len; i++)
        add_column(table->columns, g_ptr_array_index(found->columns, i));
    add_whole_row(table->columns);
    return g_steal_pointer(&table);
}

/* --- asking --- */

static LakeStatement *
take_statement(char *sql, const char *const *key)
{
    g_autofree char *owned = sql;
    LakeStatement *statement = lake_statement_new(owned);

    for (; key && *key; key++)
        lake_statement_add_text(statement, *key);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    statement->is_binary = TRUE;
    return statement;
}

/* That a value is not one of its type (class 22: "x" for a number), or of its domain. */
static gboolean
is_about_value(const GError *failure)
{
    const LakeErrorFacts *facts = lake_error_facts(failure);

    return facts && facts->sqlstate &&
           (g_str_has_prefix(facts->sqlstate, "22") || strcmp(facts->sqlstate, "23514") == 0);
}

/* Whether the types of the key take this one. Asked only after a failure, which can as well be
 * about another column. */
static gboolean
is_key(LakeCatalog *catalog, const LakeRowTable *table, const char *const *key,
    GCancellable *cancellable)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement =
        take_statement(g_strdup_printf("SELECT %s", table->parameters), key);
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, &failure);

    return result || !is_about_value(failure);
}

GPtrArray *
lake_row_list(LakeCatalog *catalog, LakeRowTable *table, const char *const *after, guint n_max,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *where =
        after ? g_strdup_printf(" WHERE (%s) > (%s)", table->key_list, table->parameters)
              : g_strdup("");
    g_autoptr(LakeStatement) statement =
        take_statement(g_strdup_printf("SELECT %s FROM %s%s ORDER BY %s LIMIT %u",
                           table->key_texts, table->from, where, table->key_list, n_max),
            after);
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    if (!result) {
        g_prefix_error(error, "listing the rows of \"%s\": ", table->name);
        return NULL;
    }

    GPtrArray *keys = g_ptr_array_new_full(n_max, (GDestroyNotify)g_strfreev);
    for (guint row = 0; row < lake_result_n_rows(result); row++) {
        char **key = g_new0(char *, table->n_key_parts + 1);
        for (guint i = 0; i < table->n_key_parts; i++)
            key[i] = g_strdup(lake_result_text(result, row, i));
        g_ptr_array_add(keys, key);
    }
    return keys;
}

void
lake_row_free(LakeRow *row)
{
    if (!row)
        return;
    g_free(row->version);
    g_array_unref(row->values);
    g_free(row);
}

/* One row: version, key, then of each column the size, and of bytea the first bytes. */
static LakeStatement *
find_statement(const LakeRowTable *table, const char *const *key)
{
    GString *sql = g_string_new(NULL);
    guint at = 1 + table->n_key_parts;
    g_autoptr(GArray) bytes = g_array_new(FALSE, FALSE, sizeof at);

    g_string_append_printf(sql, "SELECT " VERSION_SQL ", %s", table->key_texts);
    for (guint i = 0; i < table->columns->len; i++, at++) {
        const Column *column = &g_array_index(table->columns, Column, i);
        g_string_append_printf(sql, ", (%s)::text", column->size_sql);
        if (column->form != LAKE_ROW_BYTES)
            continue;
        at++;
        g_array_append_val(bytes, at);
        g_string_append_printf(
            sql, ", substring(%s, 1, %d)", column->bytes_sql, LAKE_INGEST_SNIFF_BYTES);
    }
    g_string_append_printf(
        sql, " FROM %s WHERE (%s) = (%s)", table->from, table->key_list, table->parameters);

    LakeStatement *statement = take_statement(g_string_free(sql, FALSE), key);
    for (guint i = 0; i < bytes->len; i++)
        lake_statement_expect_bytes(statement, g_array_index(bytes, guint, i));
    return statement;
}

static LakeRow *
take_row(const LakeRowTable *table, const LakeResult *result)
{
    LakeRow *row = g_new0(LakeRow, 1);
    guint at = 1 + table->n_key_parts;

    row->version = g_strdup(lake_result_text(result, 0, 0));
    row->values = g_array_new(FALSE, TRUE, sizeof(LakeRowValue));
    for (guint i = 0; i < table->columns->len; i++) {
        const Column *column = &g_array_index(table->columns, Column, i);
        const char *size = lake_result_text(result, 0, at++);
        LakeRowValue value = {.column = column->name, .index = i, .form = column->form};

        value.extension = column->form == LAKE_ROW_JSON ? "json" : "txt";
        if (column->form == LAKE_ROW_BYTES) {
            if (size)
                value.extension = lake_ingest_sniff_extension(
                    lake_result_text(result, 0, at), lake_result_length(result, 0, at));
            at++;
        }
        if (!size)
            continue;
        value.size_bytes = g_ascii_strtoll(size, NULL, 10);
        g_array_append_val(row->values, value);
    }
    return row;
}

/* Many spellings are equal to the server ("1", "01"); one of them is the name. */
static gboolean
is_spelled_so(const LakeRowTable *table, const LakeResult *result, const char *const *key)
{
    for (guint i = 0; i < table->n_key_parts; i++)
        if (g_strcmp0(lake_result_text(result, 0, 1 + i), key[i]) != 0)
            return FALSE;
    return TRUE;
}

static void
set_none(GError **error, const LakeRowTable *table)
{
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
        "no row of \"%s\" has this key", table->name);
}

LakeRow *
lake_row_find(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement = find_statement(table, key);
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, &failure);

    gboolean is_none =
        result ? lake_result_n_rows(result) == 0 || !is_spelled_so(table, result, key)
               : is_about_value(failure) && !is_key(catalog, table, key, cancellable);

    if (is_none) {
        set_none(error, table);
        return NULL;
    }
    if (!result) {
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "reading a row of \"%s\": ", table->name);
        return NULL;
    }
    return take_row(table, result);
}

static void
set_changed(GError **error, const LakeRowTable *table, gboolean is_gone)
{
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
        "this row of \"%s\" was %s while a file of it was open", table->name,
        is_gone ? "deleted" : "changed");
    if (error && !is_gone)
        lake_error_hint(*error, "Open the file again to read what is there now.");
}

/* A column or the table that was dropped or renamed meanwhile (class 42, where 42501 is a
 * privilege): a mistake of nobody's, and not that the open file is missing. */
static void
explain_altered(GError *failure)
{
    const LakeErrorFacts *facts = lake_error_facts(failure);

    if (facts && facts->sqlstate && g_str_has_prefix(facts->sqlstate, "42") &&
        strcmp(facts->sqlstate, "42501") != 0)
        failure->code = LAKE_ERROR_FAILED;
}

GBytes *
lake_row_read(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    const char *version, guint index, gint64 offset, gsize n_bytes, GCancellable *cancellable,
    GError **error)
{
    g_autoptr(GError) failure = NULL;
    const Column *column = &g_array_index(table->columns, Column, index);
    /* The version stands in a CASE, so that another one's bytes are not even read. */
    g_autoptr(LakeStatement) statement = take_statement(
        g_strdup_printf("SELECT CASE WHEN " VERSION_SQL
                        " = $%u THEN substring(%s, $%u::int, $%u::int) END"
                        " FROM %s WHERE (%s) = (%s)",
            table->n_key_parts + 1, column->bytes_sql, table->n_key_parts + 2,
            table->n_key_parts + 3, table->from, table->key_list, table->parameters),
        key);
    lake_statement_add_text(statement, version);
    lake_statement_add_int64(statement, offset + 1);
    lake_statement_add_int64(statement, (gint64)n_bytes);
    lake_statement_expect_bytes(statement, 0);

    LakeResult *result = lake_transport_run(
        lake_catalog_transport(catalog), LAKE_TRANSPORT_BULK, statement, cancellable, &failure);
    if (!result) {
        explain_altered(failure);
        g_propagate_prefixed_error(
            error, g_steal_pointer(&failure), "reading a value of \"%s\": ", table->name);
        return NULL;
    }
    if (lake_result_n_rows(result) == 0 || !lake_result_text(result, 0, 0)) {
        set_changed(error, table, lake_result_n_rows(result) == 0);
        lake_result_free(result);
        return NULL;
    }
    return g_bytes_new_with_free_func(lake_result_text(result, 0, 0),
        lake_result_length(result, 0, 0), (GDestroyNotify)lake_result_free, result);
}

/* In one statement, so all pieces are of one version. The value is a sub-query's, which the
 * planner leaves as it is (OFFSET 0), and the series depends on it: so it is made once, and not
 * for each piece. Where the version is another one, there is one piece, and it is NULL. */
static LakeStatement *
pieces_statement(const LakeRowTable *table, const char *const *key, const char *version,
    guint index, gint64 offset, gsize n_bytes)
{
    guint n = table->n_key_parts;
    LakeStatement *statement = take_statement(
        g_strdup_printf("SELECT piece.at::text, substring(value.bytes, piece.at, %d)"
                        " FROM (SELECT $%u::int AS first, CASE WHEN " VERSION_SQL
                        " = $%u THEN $%u::int ELSE $%u::int END AS last,"
                        " CASE WHEN " VERSION_SQL " = $%u THEN %s END AS bytes"
                        " FROM %s WHERE (%s) = (%s) OFFSET 0) value,"
                        " LATERAL generate_series(value.first, value.last, %d) piece(at)",
            LAKE_ROW_PIECE_BYTES, n + 2, n + 1, n + 3, n + 2, n + 1,
            g_array_index(table->columns, Column, index).whole_sql, table->from,
            table->key_list, table->parameters, LAKE_ROW_PIECE_BYTES),
        key);

    lake_statement_add_text(statement, version);
    lake_statement_add_int64(statement, offset + 1);
    lake_statement_add_int64(statement, offset + (gint64)n_bytes);
    lake_statement_expect_bytes(statement, 1);
    return statement;
}

typedef struct {
    const LakeRowTable *table;
    gint64 position; /* of the next piece */
    LakeRowTakeFunc take;
    gpointer user_data;
} Pieces;

static gboolean
take_piece(LakeResult *result, gpointer user_data, GError **error)
{
    g_autoptr(LakeResult) row = result;
    Pieces *pieces = user_data;
    const char *bytes = lake_result_text(row, 0, 1);

    if (!bytes) {
        set_changed(error, pieces->table, FALSE);
        return FALSE;
    }
    if (lake_result_int64(row, 0, 0) != pieces->position + 1) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_FAILED,
            "the server gave pieces of a value in another order");
        return FALSE;
    }
    gsize n_bytes = lake_result_length(row, 0, 1);
    pieces->position += (gint64)n_bytes;
    return pieces->take(g_bytes_new_with_free_func(bytes, n_bytes,
                            (GDestroyNotify)lake_result_free, g_steal_pointer(&row)),
        pieces->user_data, error);
}

gboolean
lake_row_read_pieces(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    const char *version, guint index, gint64 offset, gsize n_bytes, LakeRowTakeFunc take,
    gpointer user_data, GCancellable *cancellable, GError **error)
{
    LakeTransport *transport = lake_catalog_transport(catalog);
    gint64 end = offset + (gint64)n_bytes;
    Pieces pieces = {table, offset, take, user_data};
    g_autoptr(GError) failure = NULL;
    gint64 before;

    /* A line that is lost on the way is no reason to fail while there is another. */
    do {
        g_clear_error(&failure);
        before = pieces.position;
        g_autoptr(LakeStatement) statement =
            pieces_statement(table, key, version, index, before, (gsize)(end - before));
        if (lake_transport_run_rows(transport, LAKE_TRANSPORT_BULK, statement, take_piece,
                &pieces, cancellable, &failure)) {
            if (pieces.position == before)
                set_changed(error, table, TRUE);
            return pieces.position > before;
        }
    } while (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE) &&
             pieces.position > before && pieces.position < end);

    explain_altered(failure);
    g_propagate_prefixed_error(
        error, g_steal_pointer(&failure), "reading a value of \"%s\": ", table->name);
    return FALSE;
}

gboolean
lake_row_delete(LakeCatalog *catalog, LakeRowTable *table, const char *const *key,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeRow) found = lake_row_find(catalog, table, key, cancellable, error);
    if (!found)
        return FALSE;

    g_autoptr(LakeStatement) statement =
        take_statement(g_strdup_printf("DELETE FROM %s WHERE (%s) = (%s) RETURNING 1",
                           table->from, table->key_list, table->parameters),
            key);
    statement->is_repeatable = FALSE;
    g_autoptr(LakeResult) result = lake_transport_run(
        lake_catalog_transport(catalog), LAKE_TRANSPORT_BULK, statement, cancellable, error);
    lake_catalog_changed(catalog, table->name, LAKE_CHANGE_ROWS);
    if (!result) {
        g_prefix_error(error, "deleting a row of \"%s\": ", table->name);
        return FALSE;
    }
    if (lake_result_n_affected(result) > 0)
        return TRUE;
    set_none(error, table);
    return FALSE;
}
