/* SPDX-License-Identifier: Apache-2.0 */
#include "core/index.h"

#include "core/error.h"
#include <string.h>

#define COMMENT_PREFIX "deeplakefs index: "
#define OWN_METHOD "deeplake_index"

/* What "index_type" of the extension's access method can be; the one that is "" is the type it
 * chooses for embeddings by itself. */
static const struct {
    const char *method, *index_type;
} own_types[] = {
    {"bm25", "bm25"},
    {"embedding_index", ""},
    {"exact_text", "exact_text"},
    {"inverted", "inverted"},
};

typedef struct {
    char *label;
    char *name;
    gboolean is_of_constraint;
} Index;

static void
index_free(gpointer data)
{
    Index *index = data;

    g_free(index->label);
    g_free(index->name);
    g_free(index);
}

/* --- labels --- */

static char *
encode(const char *name, const char *special)
{
    GString *encoded = g_string_new(NULL);

    for (const char *byte = name; *byte; byte++)
        if (strchr(special, *byte))
            g_string_append_printf(encoded, "%%%02X", (guchar)*byte);
        else
            g_string_append_c(encoded, *byte);
    return g_string_free(encoded, FALSE);
}

char *
lake_index_label_of_name(const char *name)
{
    return encode(name, "%/.");
}

/* NULL: not how a column is written. */
static char *
decode_column(const char *text)
{
    GString *decoded = g_string_new(NULL);

    for (const char *byte = text; *byte; byte++) {
        int high = *byte == '%' ? g_ascii_xdigit_value(byte[1]) : -1;
        int low = high >= 0 ? g_ascii_xdigit_value(byte[2]) : -1;

        if (low >= 0)
            byte += 2;
        g_string_append_c(decoded, low >= 0 ? (char)(high << 4 | low) : *byte);
    }
    g_autofree char *column = g_string_free(decoded, FALSE);
    g_autofree char *again = encode(column, "%/,");
    return *column && strcmp(again, text) == 0 ? g_steal_pointer(&column) : NULL;
}

static gboolean
refuse_label(const char *label, GError **error)
{
    lake_error_bad_input(error, LAKE_ERROR_CLASS_TABLE,
        "\"%s\" does not define an index: it must be columns joined by ',', a '.' and a method",
        label);
    if (error)
        lake_error_hint(*error, "for example: mkdir <table>/indexes/file_id.btree");
    return FALSE;
}

gboolean
lake_index_parse(const char *label, GStrv *ret_columns, char **ret_method, GError **error)
{
    const char *dot = strrchr(label, '.');

    if (!g_utf8_validate(label, -1, NULL)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_BAD_NAME,
            "the name of an index must be UTF-8");
        return FALSE;
    }
    if (strlen(label) > LAKE_INDEX_LABEL_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_LONG_NAME,
            "the name of an index has at most %d bytes here", LAKE_INDEX_LABEL_MAX_BYTES);
        return FALSE;
    }
    if (!dot || dot == label || !dot[1])
        return refuse_label(label, error);

    g_autofree char *list = g_strndup(label, (gsize)(dot - label));
    g_auto(GStrv) columns = g_strsplit(list, ",", -1);
    for (guint i = 0; columns[i]; i++) {
        char *column = decode_column(columns[i]);
        if (!column)
            return refuse_label(label, error);
        g_free(columns[i]);
        columns[i] = column;
    }
    *ret_columns = g_steal_pointer(&columns);
    *ret_method = g_strdup(dot + 1);
    return TRUE;
}

/* --- what there is --- */

static const char list_sql[] =
    "SELECT i.relname, pg_catalog.obj_description(i.oid, 'pg_class'), EXISTS ("
    "  SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid"
    "  AND k.contype IN ('p', 'u', 'x'))"
    " FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid"
    " JOIN pg_catalog.pg_class c ON c.oid = x.indrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1 AND c.relname = $2 ORDER BY i.relname COLLATE \"C\"";

static LakeStatement *
list_statement(LakeCatalog *catalog, const char *table)
{
    LakeStatement *statement = lake_statement_new(list_sql);

    lake_statement_add_text(statement, lake_catalog_schema(catalog));
    lake_statement_add_text(statement, table);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    return statement;
}

/* Two made at once by hand may have the same comment: the later is then shown by its name. */
static char *
choose_label(const char *name, const char *comment, GHashTable *labels)
{
    g_auto(GStrv) columns = NULL;
    g_autofree char *method = NULL;

    if (comment && g_str_has_prefix(comment, COMMENT_PREFIX)) {
        const char *label = comment + strlen(COMMENT_PREFIX);
        if (lake_index_parse(label, &columns, &method, NULL) &&
            !g_hash_table_contains(labels, label))
            return g_strdup(label);
    }
    return lake_index_label_of_name(name);
}

/* Of Index. */
static GPtrArray *
indexes_from_result(const LakeResult *result)
{
    GPtrArray *indexes = g_ptr_array_new_with_free_func(index_free);
    g_autoptr(GHashTable) labels = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint row = 0; row < lake_result_n_rows(result); row++) {
        Index *index = g_new0(Index, 1);

        index->name = g_strdup(lake_result_text(result, row, 0));
        index->label = choose_label(index->name, lake_result_text(result, row, 1), labels);
        index->is_of_constraint = lake_result_bool(result, row, 2);
        g_hash_table_add(labels, index->label);
        g_ptr_array_add(indexes, index);
    }
    return indexes;
}

static const Index *
find_label(GPtrArray *indexes, const char *label)
{
    for (guint i = 0; i < indexes->len; i++) {
        const Index *index = g_ptr_array_index(indexes, i);
        if (strcmp(index->label, label) == 0)
            return index;
    }
    return NULL;
}

static GPtrArray *
list_all(LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement = list_statement(catalog, table);
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);

    if (!result)
        g_prefix_error(error, "listing the indexes of \"%s\": ", table);
    return result ? indexes_from_result(result) : NULL;
}

GPtrArray *
lake_index_list(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) indexes = list_all(catalog, table, cancellable, error);
    GPtrArray *labels;

    if (!indexes)
        return NULL;
    labels = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < indexes->len; i++) {
        const Index *index = g_ptr_array_index(indexes, i);
        g_ptr_array_add(labels, g_strdup(index->label));
    }
    return labels;
}

static void
set_not_found(const char *table, const char *label, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND,
        "the table \"%s\" has no index \"%s\"", table, label);
}

/* "schema"."name", quoted. */
static char *
dup_qualified(LakeCatalog *catalog, const char *table, const char *label,
    gboolean *ret_is_of_constraint, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) indexes = list_all(catalog, table, cancellable, error);
    const Index *index = indexes ? find_label(indexes, label) : NULL;

    if (!indexes)
        return NULL;
    if (!index) {
        set_not_found(table, label, error);
        return NULL;
    }
    *ret_is_of_constraint = index->is_of_constraint;
    return lake_catalog_qualify(catalog, index->name);
}

/* sql gives one text; $1 is the index. */
static char *
describe(LakeCatalog *catalog, const char *table, const char *label, const char *sql,
    GCancellable *cancellable, GError **error)
{
    gboolean is_of_constraint;
    g_autofree char *qualified =
        dup_qualified(catalog, table, label, &is_of_constraint, cancellable, error);
    g_autoptr(LakeStatement) statement = lake_statement_new(sql);

    if (!qualified)
        return NULL;
    lake_statement_add_text(statement, qualified);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    if (!result) {
        g_prefix_error(error, "describing the index \"%s\": ", label);
        return NULL;
    }
    if (lake_result_n_rows(result) == 0 || !lake_result_text(result, 0, 0)) {
        set_not_found(table, label, error);
        return NULL;
    }
    return g_strconcat(lake_result_text(result, 0, 0), "\n", NULL);
}

char *
lake_index_definition(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error)
{
    return describe(catalog, table, label,
        "SELECT pg_catalog.pg_get_indexdef(to_regclass($1)::oid) || ';'", cancellable, error);
}

char *
lake_index_info(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error)
{
    return describe(catalog, table, label,
        "SELECT json_build_object('name', i.relname, 'method', m.amname, 'columns',"
        " (SELECT json_agg(coalesce((SELECT a.attname::text FROM pg_catalog.pg_attribute a"
        "   WHERE a.attrelid = x.indrelid AND a.attnum = x.indkey[k - 1] AND a.attnum <> 0),"
        "   pg_get_indexdef(x.indexrelid, k, true)) ORDER BY k)"
        "  FROM generate_series(1, x.indnkeyatts) k),"
        " 'size_bytes', pg_relation_size(i.oid), 'is_valid', x.indisvalid AND x.indisready,"
        " 'is_unique', x.indisunique, 'is_primary', x.indisprimary,"
        " 'n_scans', coalesce(pg_stat_get_numscans(i.oid), 0),"
        " 'options', coalesce(to_json(i.reloptions), '[]'))"
        " FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid"
        " JOIN pg_catalog.pg_am m ON m.oid = i.relam WHERE i.oid = to_regclass($1)",
        cancellable, error);
}

/* --- making and dropping --- */

static const char methods_sql[] =
    "SELECT amname FROM pg_catalog.pg_am WHERE amtype = 'i' ORDER BY 1";

static gboolean
has_method(const LakeResult *methods, const char *method)
{
    for (guint row = 0; row < lake_result_n_rows(methods); row++)
        if (strcmp(lake_result_text(methods, row, 0), method) == 0)
            return TRUE;
    return FALSE;
}

static void
refuse_method(const char *method, const LakeResult *methods, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(own_types); i++)
        if (strcmp(own_types[i].method, method) == 0) {
            lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_UNSUPPORTED,
                "an index of the type %s needs the access method " OWN_METHOD
                ", which this server does not have",
                method);
            if (error)
                lake_error_hint(*error, "CREATE EXTENSION pg_deeplake, if it is installed");
            return;
        }
    for (guint row = 0; row < lake_result_n_rows(methods); row++)
        g_string_append_printf(
            names, "%s%s", row > 0 ? ", " : "", lake_result_text(methods, row, 0));
    lake_error_bad_input(
        error, LAKE_ERROR_CLASS_TABLE, "the server has no access method \"%s\"", method);
    if (error)
        lake_error_hint(*error, "it has %s", names->str);
}

/* *ret_options: what follows the columns. Caller frees both; NULL: refused. */
static char *
dup_access_method(
    const char *method, const LakeResult *methods, char **ret_options, GError **error)
{
    *ret_options = g_strdup("");
    if (has_method(methods, method))
        return lake_statement_quote(method);
    for (gsize i = 0; has_method(methods, OWN_METHOD) && i < G_N_ELEMENTS(own_types); i++)
        if (strcmp(own_types[i].method, method) == 0) {
            g_free(*ret_options);
            *ret_options =
                *own_types[i].index_type
                    ? g_strdup_printf(" WITH (index_type = '%s')", own_types[i].index_type)
                    : g_strdup("");
            return g_strdup(OWN_METHOD);
        }
    refuse_method(method, methods, error);
    return NULL;
}

static gboolean
run_text(
    LakeTransaction *transaction, const char *sql, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new(sql);
    g_autoptr(LakeResult) result =
        lake_transaction_run(transaction, statement, cancellable, error);

    return result != NULL;
}

/* Whoever makes an index of this table waits here for others that do: so a label is made once.
 */
static gboolean
look_for(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *label, gboolean *ret_is_there, GCancellable *cancellable, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    g_autoptr(LakeStatement) statement = list_statement(catalog, table);
    g_autoptr(LakeStatement) lock = lake_statement_new(
        "SELECT pg_advisory_xact_lock(hashtextextended('deeplakefs index ' || $1, 0))");

    lake_statement_add_text(lock, qualified);
    lock->is_lock = TRUE;
    g_autoptr(LakeResult) locked = lake_transaction_run(transaction, lock, cancellable, error);
    if (!locked)
        return FALSE;
    g_autoptr(LakeResult) result =
        lake_transaction_run(transaction, statement, cancellable, error);
    if (!result)
        return FALSE;
    g_autoptr(GPtrArray) indexes = indexes_from_result(result);
    *ret_is_there = find_label(indexes, label) != NULL;
    return TRUE;
}

static gboolean
check_is_new(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *label, GCancellable *cancellable, GError **error)
{
    gboolean is_there;

    if (!look_for(transaction, catalog, table, label, &is_there, cancellable, error))
        return FALSE;
    if (is_there)
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_EXISTS,
            "the table \"%s\" has the index \"%s\" already", table, label);
    return !is_there;
}

/* CREATE INDEX; *ret_name, quoted and qualified. */
static char *
create_sql(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *label, char **ret_name, GCancellable *cancellable, GError **error)
{
    g_auto(GStrv) columns = NULL;
    g_autofree char *method = NULL;
    g_autofree char *options = NULL;
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *name = g_strdup_printf("deeplakefs_%s", uuid);
    g_autofree char *quoted_name = lake_statement_quote(name);
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    g_autoptr(GString) list = g_string_new(NULL);
    g_autoptr(LakeStatement) ask = lake_statement_new(methods_sql);

    if (!lake_index_parse(label, &columns, &method, error))
        return NULL;
    g_autoptr(LakeResult) methods = lake_transaction_run(transaction, ask, cancellable, error);
    g_autofree char *access_method =
        methods ? dup_access_method(method, methods, &options, error) : NULL;
    if (!access_method)
        return NULL;
    for (guint i = 0; columns[i]; i++) {
        g_autofree char *quoted = lake_statement_quote(columns[i]);
        g_string_append_printf(list, "%s%s", i > 0 ? ", " : "", quoted);
    }
    *ret_name = lake_catalog_qualify(catalog, name);
    return g_strdup_printf("CREATE INDEX %s ON %s USING %s (%s)%s", quoted_name, qualified,
        access_method, list->str, options);
}

/* Where the transaction goes as a whole, somebody may have made it since it was looked for. */
static gboolean
require_new(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *comment, GCancellable *cancellable, GError **error)
{
    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_index x"
                           " WHERE x.indrelid = to_regclass($1) AND"
                           " pg_catalog.obj_description(x.indexrelid, 'pg_class') = $2)");

    if (!lake_transport_defers(lake_catalog_transport(catalog)))
        return TRUE;
    lake_statement_add_text(statement, qualified);
    lake_statement_add_text(statement, comment);
    statement->is_lock = TRUE;
    statement->n_expected = 1;
    g_autoptr(LakeResult) result =
        lake_transaction_run(transaction, statement, cancellable, error);
    return result != NULL;
}

static gboolean
create_in(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *label, GCancellable *cancellable, GError **error)
{
    g_autofree char *name = NULL;
    g_autofree char *text = g_strconcat(COMMENT_PREFIX, label, NULL);
    g_autofree char *literal = lake_statement_literal(text);
    g_autofree char *create =
        create_sql(transaction, catalog, table, label, &name, cancellable, error);

    if (!create || !require_new(transaction, catalog, table, text, cancellable, error) ||
        !run_text(transaction, create, cancellable, error))
        return FALSE;
    g_autofree char *comment = g_strdup_printf("COMMENT ON INDEX %s IS %s", name, literal);
    return run_text(transaction, comment, cancellable, error);
}

static gboolean
create_new(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const char *label, GCancellable *cancellable, GError **error)
{
    /* Its own time limit is Ctrl-C: the one of queries is too short for a large table. */
    return run_text(transaction, "SET LOCAL statement_timeout = 0", cancellable, error) &&
           check_is_new(transaction, catalog, table, label, cancellable, error) &&
           create_in(transaction, catalog, table, label, cancellable, error) &&
           lake_transaction_commit(transaction, cancellable, error);
}

/* "SELECT …" of one text; NULL without an error: no row. */
static char *
ask_text(LakeTransaction *transaction, const char *sql, const char *const *values,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new(sql);

    for (; *values; values++)
        lake_statement_add_text(statement, *values);
    g_autoptr(LakeResult) result =
        lake_transaction_run(transaction, statement, cancellable, error);
    return result && lake_result_n_rows(result) > 0 ? g_strdup(lake_result_text(result, 0, 0))
                                                    : NULL;
}

/* What the extension makes of an index that names no type. */
static const char *
method_of(const char *sql_type)
{
    LakeType type = lake_type_from_sql(sql_type);

    if (type == LAKE_TYPE_TEXT)
        return "bm25";
    return type == LAKE_TYPE_EMBEDDING ? "embedding_index" : "inverted";
}

/* As a label; NULL with an error: there is no such column. added: the type of one that this
 * transaction makes. */
static char *
dup_label(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const LakeSchemaIndex *index, const LakeColumn *added, GCancellable *cancellable,
    GError **error)
{
    const char *values[] = {lake_catalog_schema(catalog), table, index->column, NULL};
    g_autoptr(GError) failure = NULL;
    g_autofree char *type = ask_text(transaction,
        "SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a"
        " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1"
        " AND c.relname = $2 AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped",
        values, cancellable, &failure);

    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    if (!type && added)
        type = g_strdup(lake_type_info(added->type)->sql_name);
    if (!type) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "the option index names the column \"%s\", which the table \"%s\" does not have",
            index->column, table);
        if (error)
            lake_error_hint(*error, "correct the option index");
        return NULL;
    }
    g_autofree char *column = encode(index->column, "%/,");
    return g_strdup_printf("%s.%s", column, index->method ? index->method : method_of(type));
}

gboolean
lake_index_add(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const LakeSchemaIndex *index, const LakeColumn *added, GCancellable *cancellable,
    GError **error)
{
    gboolean is_there;
    g_autofree char *label =
        dup_label(transaction, catalog, table, index, added, cancellable, error);

    if (!label || !look_for(transaction, catalog, table, label, &is_there, cancellable, error))
        return FALSE;
    if (is_there || create_in(transaction, catalog, table, label, cancellable, error))
        return TRUE;
    g_prefix_error(error, "making the index \"%s\" of \"%s\": ", label, table);
    return FALSE;
}

gboolean
lake_index_check_method(
    LakeCatalog *catalog, const char *method, GCancellable *cancellable, GError **error)
{
    g_autofree char *options = NULL;
    g_autoptr(LakeStatement) ask = lake_statement_new(methods_sql);
    g_autoptr(LakeResult) methods = lake_transport_run(
        lake_catalog_transport(catalog), LAKE_TRANSPORT_INTERACTIVE, ask, cancellable, error);
    g_autofree char *access_method =
        methods ? dup_access_method(method ? method : "bm25", methods, &options, error) : NULL;

    if (methods && !access_method && error && !method)
        lake_error_hint(
            *error, "name a method of the server, as in {\"index\": {\"file_id\": \"btree\"}}");
    return access_method != NULL;
}

gboolean
lake_index_create(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error)
{
    g_auto(GStrv) columns = NULL;
    g_autofree char *method = NULL;

    if (!lake_index_parse(label, &columns, &method, error))
        return FALSE;
    g_autoptr(LakeTransaction) transaction = lake_transport_begin(
        lake_catalog_transport(catalog), LAKE_TRANSPORT_BULK, cancellable, error);
    gboolean is_good =
        transaction && create_new(transaction, catalog, table, label, cancellable, error);
    if (transaction)
        lake_catalog_changed(catalog, table, LAKE_CHANGE_ROWS);
    if (is_good)
        return TRUE;
    if (error && g_error_matches(*error, LAKE_ERROR, LAKE_ERROR_STALE))
        (*error)->code = LAKE_ERROR_EXISTS; /* the one thing that was required */
    g_prefix_error(error, "making the index \"%s\" of \"%s\": ", label, table);
    return FALSE;
}

gboolean
lake_index_drop(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error)
{
    gboolean is_of_constraint;
    g_autofree char *qualified =
        dup_qualified(catalog, table, label, &is_of_constraint, cancellable, error);

    if (!qualified)
        return FALSE;
    if (is_of_constraint) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_REFUSED,
            "the index \"%s\" is that of the primary key, or of another constraint, of \"%s\"",
            label, table);
        if (error)
            lake_error_hint(
                *error, "it goes with its constraint: ALTER TABLE … DROP CONSTRAINT");
        return FALSE;
    }
    g_autoptr(LakeStatement) drop = lake_statement_new_printf("DROP INDEX %s", qualified);
    g_autoptr(LakeResult) result = lake_transport_run(
        lake_catalog_transport(catalog), LAKE_TRANSPORT_BULK, drop, cancellable, error);
    lake_catalog_changed(catalog, table, LAKE_CHANGE_ROWS);
    if (!result)
        g_prefix_error(error, "dropping the index \"%s\" of \"%s\": ", label, table);
    return result != NULL;
}
