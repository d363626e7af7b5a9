/* SPDX-License-Identifier: Apache-2.0 */
#include "core/search.h"

#include "core/error.h"
#include "core/extension.h"

/* The extension's own rules: a partial index gives no statistics of all rows, an index of an
 * expression none of a column, and bm25 is the type of an index on text that names none. One
 * row: the operator, NULL without the extension, and the column, NULL without an index. */
static const char find_sql[] =
    "SELECT (SELECT CASE WHEN n.nspname = 'public' THEN '<#>'"
    "  ELSE pg_catalog.format('OPERATOR(%I.<#>)', n.nspname) END"
    "  FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
    "  WHERE e.extname = '" LAKE_EXTENSION_NAME "'),"
    " (SELECT a.attname FROM pg_catalog.pg_index x"
    "  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid"
    "  JOIN pg_catalog.pg_am m ON m.oid = i.relam"
    "  JOIN pg_catalog.pg_opclass o ON o.oid = x.indclass[0]"
    "  JOIN pg_catalog.pg_class t ON t.oid = x.indrelid"
    "  JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace"
    "  JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = x.indkey[0]"
    "  WHERE s.nspname = $1 AND t.relname = $2 AND m.amname = 'deeplake_index'"
    "  AND x.indisvalid AND x.indpred IS NULL AND coalesce("
    "   (SELECT pg_catalog.lower(p.option_value) = 'bm25'"
    "    FROM pg_catalog.pg_options_to_table(i.reloptions) p"
    "    WHERE p.option_name = 'index_type'),"
    "   o.opcintype = 'pg_catalog.text'::regtype)"
    "  ORDER BY a.attnum LIMIT 1)";

void
lake_search_free(LakeSearch *search)
{
    if (!search)
        return;
    g_free(search->columns);
    g_free(search->column);
    g_free(search->operator);
    g_free(search);
}

static LakeResult *
find(LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new(find_sql);

    lake_statement_add_text(statement, lake_catalog_schema(catalog));
    lake_statement_add_text(statement, table);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    return lake_transport_run(lake_catalog_transport(catalog), LAKE_TRANSPORT_INTERACTIVE,
        statement, cancellable, error);
}

static void
refuse_without_extension(GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_UNSUPPORTED,
        "keyword search needs the extension " LAKE_EXTENSION_NAME
        ", which this database does not have");
    if (error)
        lake_error_hint(*error, "CREATE EXTENSION " LAKE_EXTENSION_NAME ", if it is installed");
}

static void
refuse_without_index(const LakeTable *table, GError **error)
{
    lake_error_bad_input(error, LAKE_ERROR_CLASS_TABLE,
        "no column of \"%s\" has an index of the type bm25, which keyword search needs",
        table->name);
    if (!error)
        return;
    if (table->kind == LAKE_TABLE_VIEW)
        lake_error_hint(*error, "a view has no indexes; search the table that it shows, or say "
                                "in a .sql file how it is searched");
    else
        lake_error_hint(*error, "mkdir %s/indexes/%s.bm25", table->name,
            lake_table_column(table, "text") ? "text" : "<column>");
}

LakeSearch *
lake_search_open(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeTable) found = lake_catalog_find(catalog, table, cancellable, error);
    g_autoptr(LakeResult) result = found ? find(catalog, table, cancellable, error) : NULL;
    LakeSearch *search;

    if (!result)
        return NULL;
    if (!lake_result_text(result, 0, 0)) {
        refuse_without_extension(error);
        return NULL;
    }
    if (!lake_result_text(result, 0, 1)) {
        refuse_without_index(found, error);
        return NULL;
    }
    search = g_new0(LakeSearch, 1);
    search->columns = lake_table_dup_columns(found);
    search->column = lake_statement_quote(lake_result_text(result, 0, 1));
    search->operator= g_strdup(lake_result_text(result, 0, 0));
    return search;
}
