/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query.h"

#include "core/error.h"
#include "core/query/format.h"
#include "core/query/kept.h"
#include "core/query/to_csv.h"
#include "core/query/to_json.h"

#include <string.h>

/* Rows are gathered and written in pieces of this size. */
#define PIECE_BYTES (256 * 1024)
/* A piece that a huge row has blown up is given back rather than kept. */
#define PIECE_KEEP_BYTES (4 * 1024 * 1024)

/* One run of a statement: where its rows come from and where they go. */
typedef struct {
    LakeCatalog *catalog;
    GCancellable *cancellable;
    const LakeQueryOptions *options;
    gboolean is_changing;

    LakeJsonEncoder *encoder;
    GHashTable *types; /* of LakeJsonType by OID; NULL until the first lookup */
    guint n_columns;
    guint32 *oids;
    const char **texts;
    gsize *lengths;
    gboolean is_json; /* the server gives values as JSON: what the encoder takes is that */
    const char **json_texts; /* texts itself unless is_json */
    gsize *json_lengths;

    LakeSpool *into;
    gint64 start;   /* where the result begins in `into` */
    gint64 written; /* bytes of it that are there, the end of the array not counted */
    GString *piece; /* what comes next */
    GString *json;  /* a row of a kept result in each of its formats */
    GString *csv;
    gint64 n_spared; /* bytes of a kept result that no limit counts */
    gint64 n_rows;
} Run;

/* ---- Types that are not built in ---- */

/* All types that the given ones are made of; one line per field of a composite, otherwise one.
 */
static const char types_sql[] =
    "WITH RECURSIVE needed(oid) AS ("
    " SELECT pg_catalog.unnest($1::pg_catalog.oid[])"
    " UNION"
    " SELECT part.oid FROM needed JOIN pg_catalog.pg_type t ON t.oid = needed.oid"
    " CROSS JOIN LATERAL ("
    "  SELECT t.typelem"
    "  UNION ALL SELECT t.typbasetype"
    "  UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a"
    "   WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0"
    "   AND NOT a.attisdropped) AS part(oid)"
    " WHERE part.oid <> 0)"
    " SELECT t.oid, t.typtype, t.typdelim, coalesce(e.oid, 0), t.typbasetype,"
    " a.attname, a.atttypid"
    " FROM needed JOIN pg_catalog.pg_type t ON t.oid = needed.oid"
    /* Only an array's element points back: point and name have a typelem and are no arrays. */
    " LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid"
    " LEFT JOIN pg_catalog.pg_attribute a ON t.typtype = 'c' AND a.attrelid = t.typrelid"
    " AND a.attnum > 0 AND NOT a.attisdropped"
    " ORDER BY t.oid, a.attnum";

static void
free_type(gpointer data)
{
    LakeJsonType *type = data;

    for (guint i = 0; i < type->n_fields; i++)
        g_free(type->field_names[i]);
    g_free(type->field_names);
    g_free(type->field_oids);
    g_free(type);
}

/* The known type, or a new one that is written as a string. */
static LakeJsonType *
get_type(GHashTable *types, guint32 oid)
{
    LakeJsonType *type = g_hash_table_lookup(types, GUINT_TO_POINTER(oid));

    if (!type) {
        type = g_new0(LakeJsonType, 1);
        type->oid = oid;
        type->kind = 'b';
        type->delimiter = ',';
        g_hash_table_insert(types, GUINT_TO_POINTER(oid), type);
    }
    return type;
}

static void
add_field(LakeJsonType *type, const char *name, guint32 oid)
{
    guint n_fields = type->n_fields + 1;

    type->field_names = g_renew(char *, type->field_names, n_fields);
    type->field_oids = g_renew(guint32, type->field_oids, n_fields);
    type->field_names[type->n_fields] = g_strdup(name);
    type->field_oids[type->n_fields] = oid;
    type->n_fields = n_fields;
}

static void
take_type(GHashTable *types, const LakeResult *result, guint row)
{
    LakeJsonType *type = get_type(types, (guint32)lake_result_int64(result, row, 0));

    type->kind = lake_result_text(result, row, 1)[0];
    type->delimiter = lake_result_text(result, row, 2)[0];
    type->element = (guint32)lake_result_int64(result, row, 3);
    type->base = (guint32)lake_result_int64(result, row, 4);
    if (lake_result_text(result, row, 5))
        add_field(
            type, lake_result_text(result, row, 5), (guint32)lake_result_int64(result, row, 6));
}

/* Asks over another connection: the one that streams is busy, in a transaction of its own. So a
 * type which that transaction made itself is not seen, and its values are written as strings.
 */
static gboolean
fetch_types(Run *run, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new(types_sql);
    g_autoptr(GString) oids = g_string_new("{");

    for (guint i = 0; i < run->n_columns; i++)
        g_string_append_printf(oids, "%s%u", i > 0 ? "," : "", run->oids[i]);
    g_string_append_c(oids, '}');
    lake_statement_add_text(statement, oids->str);
    statement->is_prepared = TRUE;

    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(run->catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, run->cancellable, error);
    if (!result)
        return FALSE;

    run->types = g_hash_table_new_full(NULL, NULL, NULL, free_type);
    for (guint row = 0; row < lake_result_n_rows(result); row++)
        take_type(run->types, result, row);
    return TRUE;
}

static const LakeJsonType *
lookup_type(guint32 oid, gpointer user_data, GError **error)
{
    Run *run = user_data;

    if (!run->types && !fetch_types(run, error))
        return NULL;
    return get_type(run->types, oid);
}

/* ---- Writing ---- */

/* Writes what was gathered, and after it the end of the array, which the next piece overwrites:
 * so `into` holds a whole result whenever this returns. */
static gboolean
write_piece(Run *run, GError **error)
{
    gsize n_bytes = run->piece->len;
    gint64 at = run->start + run->written;

    lake_query_format_end(run->piece, run->options->format, run->n_rows);
    if (!lake_spool_write(run->into, at, run->piece->str, run->piece->len, error)) {
        g_prefix_error(error, "cannot keep the result: ");
        return FALSE;
    }

    run->written += (gint64)n_bytes;
    if (run->piece->allocated_len > PIECE_KEEP_BYTES) {
        g_string_free(run->piece, TRUE);
        run->piece = g_string_sized_new(PIECE_BYTES);
    }
    g_string_truncate(run->piece, 0);
    return TRUE;
}

static gboolean
check_size(const Run *run, GError **error)
{
    gint64 limit = run->options->max_result_bytes;
    gint64 n_end = run->options->format == LAKE_QUERY_JSON ? 2 : 0;

    if (limit <= 0 || run->written + (gint64)run->piece->len + n_end - run->n_spared <= limit)
        return TRUE;

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_TOO_BIG,
        "the result is larger than max_result_bytes, %" G_GINT64_FORMAT
        " bytes, at row %" G_GINT64_FORMAT,
        limit, run->n_rows);
    if (error)
        lake_error_hint(*error,
            run->is_changing
                ? "Return fewer rows or columns, or raise max_result_bytes. Look whether the "
                  "data "
                  "was changed before running the statement again."
                : "Ask for fewer rows (LIMIT, WHERE) or columns, or raise max_result_bytes.");
    return FALSE;
}

/* Appends the gathered row, or the names in its place, as a record that can be read back in any
 * format. */
static gboolean
append_kept(Run *run, gboolean is_header, GError **error)
{
    gsize n_before = run->piece->len;

    g_string_truncate(run->json, 0);
    g_string_truncate(run->csv, 0);
    lake_csv_append_record(run->csv, run->texts, run->lengths, run->n_columns);
    if (!is_header && !lake_json_encoder_row(
                          run->encoder, run->json_texts, run->json_lengths, run->json, error))
        return FALSE;
    lake_kept_append(run->piece, run->json, run->csv);
    /* What a change returned must fit in each format, as there is no second try. */
    run->n_spared += (gint64)(run->piece->len - n_before);
    run->n_spared -=
        (gint64)(run->is_changing ? MAX(run->json->len, run->csv->len) : run->json->len);
    return TRUE;
}

static gboolean
append_row(Run *run, GError **error)
{
    switch (run->options->format) {
    case LAKE_QUERY_JSON:
    case LAKE_QUERY_JSONL:
        return lake_json_encoder_row(
            run->encoder, run->json_texts, run->json_lengths, run->piece, error);
    case LAKE_QUERY_CSV:
        lake_csv_append_record(run->piece, run->texts, run->lengths, run->n_columns);
        return TRUE;
    case LAKE_QUERY_KEPT:
        return append_kept(run, FALSE, error);
    }
    g_assert_not_reached();
}

/* What stands before the first row, even if there is none. */
static gboolean
append_header(Run *run, GError **error)
{
    switch (run->options->format) {
    case LAKE_QUERY_JSON:
    case LAKE_QUERY_JSONL:
        return TRUE;
    case LAKE_QUERY_CSV:
        lake_csv_append_record(run->piece, run->texts, run->lengths, run->n_columns);
        break;
    case LAKE_QUERY_KEPT:
        if (run->n_columns > 0 && !append_kept(run, TRUE, error))
            return FALSE;
        break;
    }
    if (!check_size(run, error))
        return FALSE;
    return run->is_changing ? write_piece(run, error) : TRUE;
}

static gboolean
begin_rows(const LakeResult *columns, gpointer user_data, GError **error)
{
    Run *run = user_data;

    run->n_columns = lake_result_n_columns(columns);
    run->oids = g_new0(guint32, run->n_columns + 1);
    run->texts = g_new0(const char *, run->n_columns + 1);
    run->lengths = g_new0(gsize, run->n_columns + 1);
    run->is_json = lake_result_is_json(columns);
    run->json_texts = run->is_json ? g_new0(const char *, run->n_columns + 1) : run->texts;
    run->json_lengths = run->is_json ? g_new0(gsize, run->n_columns + 1) : run->lengths;
    for (guint i = 0; i < run->n_columns; i++) {
        run->texts[i] = lake_result_column_name(columns, i);
        run->lengths[i] = strlen(run->texts[i]);
        run->oids[i] = lake_result_column_oid(columns, i);
    }
    if (!append_header(run, error))
        return FALSE;
    return run->options->format == LAKE_QUERY_CSV ||
           lake_json_encoder_set_columns(
               run->encoder, run->texts, run->oids, run->n_columns, error);
}

static gboolean
take_row(const LakeResult *row, gpointer user_data, GError **error)
{
    Run *run = user_data;
    GString *piece = run->piece;

    for (guint i = 0; i < run->n_columns; i++) {
        run->texts[i] = lake_result_text(row, 0, i);
        run->lengths[i] = lake_result_length(row, 0, i);
        if (run->is_json)
            run->json_texts[i] = lake_result_json(row, 0, i, &run->json_lengths[i]);
    }

    lake_query_format_begin_row(piece, run->options->format, run->n_rows);
    if (!append_row(run, error))
        return FALSE;
    lake_query_format_end_row(piece, run->options->format);
    run->n_rows++;

    if (!check_size(run, error))
        return FALSE;
    /* After its last row a statement that changes data is committed, and a full disk could then
     * only be told too late: so each of its rows is written as it comes. */
    return run->is_changing || piece->len >= PIECE_BYTES ? write_piece(run, error) : TRUE;
}

static void
clear_string(GString **string)
{
    if (*string)
        g_string_free(*string, TRUE);
    *string = NULL;
}

static void
clear_run(Run *run)
{
    g_clear_pointer(&run->encoder, lake_json_encoder_free);
    g_clear_pointer(&run->types, g_hash_table_unref);
    g_clear_pointer(&run->oids, g_free);
    if (run->is_json) {
        g_free(run->json_texts);
        g_free(run->json_lengths);
    }
    g_clear_pointer(&run->texts, g_free);
    g_clear_pointer(&run->lengths, g_free);
    clear_string(&run->piece);
    clear_string(&run->json);
    clear_string(&run->csv);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, clear_run)

/* ---- Running ---- */

static LakeStatement *
make_statement(const LakeQuery *query)
{
    LakeStatement *statement = lake_statement_new(query->sql);

    for (guint i = 0; i < query->parameters->len; i++)
        lake_statement_add_text(statement, g_ptr_array_index(query->parameters, i));
    return statement;
}

/* Runs the query once; when it fails, `into` is as it was. */
static gboolean
run_once(Run *run, const LakeQuery *query, LakeQueryOutcome *outcome, GError **error)
{
    static const LakeStreamSink sink = {.begin = begin_rows, .row = take_row};
    LakeStreamOptions stream_options = {
        .is_read_only = !run->is_changing, .timeout_ms = run->options->timeout_ms};
    g_autoptr(LakeStatement) statement = make_statement(query);
    gint64 n_affected = 0;

    run->encoder = lake_json_encoder_new(lookup_type, run);
    run->piece = g_string_sized_new(PIECE_BYTES);
    run->json = g_string_new(NULL);
    run->csv = g_string_new(NULL);

    gboolean is_good = (!run->is_changing || write_piece(run, error)) &&
                       lake_transport_stream(lake_catalog_transport(run->catalog), statement,
                           &stream_options, &sink, run, &n_affected, run->cancellable, error) &&
                       (run->is_changing || write_piece(run, error));
    /* It is the server that knows what a statement does. */
    if (run->is_changing)
        lake_catalog_tried(run->catalog, NULL, LAKE_CHANGE_ALL, *error);
    if (!is_good) {
        (void)lake_spool_truncate(run->into, run->start, NULL);
        return FALSE;
    }

    /* The server counts the rows of a SELECT too. */
    *outcome = (LakeQueryOutcome){.changed_data = run->is_changing,
        .n_rows = run->n_rows,
        .n_affected = run->is_changing ? n_affected : 0};
    return TRUE;
}

/* The same error, as bad input and with what to do about it. */
static void
blame_input(GError **failure, const char *hint)
{
    LakeErrorFacts facts = *lake_error_facts(*failure);
    GError *blamed = NULL;

    facts.hint = (char *)hint;
    lake_error_set_facts(&blamed, LAKE_ERROR_BAD_INPUT, &facts, "%s", (*failure)->message);
    g_error_free(*failure);
    *failure = blamed;
}

/* Of a statement that took too long servers say that it was cancelled, and the service that its
 * user asked for it. */
static void
explain_time(GError **failure, gint64 timeout_ms, gint64 begun_us)
{
    const LakeErrorFacts *said = lake_error_facts(*failure);

    if (!said || g_strcmp0(said->sqlstate, "57014") != 0 || timeout_ms == 0 ||
        !g_error_matches(*failure, LAKE_ERROR, LAKE_ERROR_TIMED_OUT) ||
        g_get_monotonic_time() - begun_us < timeout_ms * G_TIME_SPAN_MILLISECOND)
        return;

    g_autofree char *message = g_strdup_printf(
        "the query took longer than query_timeout, %" G_GINT64_FORMAT " ms", timeout_ms);
    LakeErrorFacts facts = *said;
    GError *explained = NULL;
    facts.message = message;
    facts.hint = (char *)"Ask for less (LIMIT, WHERE), or raise query_timeout.";
    lake_error_set_facts(&explained, LAKE_ERROR_TIMED_OUT, &facts, "%s", message);
    g_error_free(*failure);
    *failure = explained;
}

/* What the protocol says of statements in a way that only a programmer of clients understands.
 */
static void
explain(GError **failure)
{
    const LakeErrorFacts *facts = lake_error_facts(*failure);

    if (!facts || !facts->sqlstate || !facts->message)
        return;
    /* A table that the statement names and that is missing, or there already, is a mistake in
     * the statement: the file that holds it exists. */
    if (g_error_matches(*failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND) ||
        g_error_matches(*failure, LAKE_ERROR, LAKE_ERROR_EXISTS))
        (*failure)->code = LAKE_ERROR_BAD_INPUT;
    if (strcmp(facts->sqlstate, "42601") == 0 && strstr(facts->message, "multiple commands"))
        blame_input(failure, "A query is one statement: put each into a .sql file of its own, "
                             "or join them by WITH.");
    else if (strcmp(facts->sqlstate, "42883") == 0 && strstr(facts->message, "<#>"))
        blame_input(failure,
            "<#> is between a float4[] and a float4[], a text and a text, or a "
            "(float4[], text) and a deeplake_hybrid_record; the database needs "
            "the extension: CREATE EXTENSION pg_deeplake.");
    else if ((strcmp(facts->sqlstate, "08P01") == 0 && strstr(facts->message, "parameters")) ||
             strcmp(facts->sqlstate, "42P18") == 0)
        blame_input(failure, "Give every parameter of the statement, and no other; where its "
                             "type cannot be seen, "
                             "cast it, as in $1::int.");
}

gboolean
lake_query_run(LakeCatalog *catalog, const LakeQuery *query, const LakeQueryOptions *options,
    LakeSpool *into, LakeQueryOutcome *ret_outcome, GCancellable *cancellable, GError **error)
{
    LakeQueryOutcome outcome = {0};
    g_autoptr(GError) failure = NULL;

    for (int is_changing = FALSE; is_changing <= TRUE; is_changing++) {
        g_auto(Run) run = {.catalog = catalog,
            .cancellable = cancellable,
            .options = options,
            .is_changing = is_changing,
            .into = into,
            .start = lake_spool_size(into)};
        gint64 begun_us = g_get_monotonic_time();

        g_clear_error(&failure);
        if (run_once(&run, query, &outcome, &failure)) {
            if (ret_outcome)
                *ret_outcome = outcome;
            return TRUE;
        }
        explain_time(&failure, options->timeout_ms, begun_us);
        if (options->mode != LAKE_QUERY_MAY_CHANGE ||
            !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_READ_ONLY))
            break;
    }

    explain(&failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

/* ---- Defaults ---- */

static int
compare_key_position(gconstpointer a, gconstpointer b)
{
    const LakeTableColumn *const *left = a;
    const LakeTableColumn *const *right = b;

    return (*left)->key_position - (*right)->key_position;
}

static char *
join_names(GPtrArray *columns)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < columns->len; i++) {
        const LakeTableColumn *column = g_ptr_array_index(columns, i);
        g_autofree char *quoted = lake_statement_quote(column->name);
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "", quoted);
    }
    return g_string_free(names, FALSE);
}

static char *
default_of_table(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeTable) found = lake_catalog_find(catalog, table, cancellable, error);
    if (!found)
        return NULL;

    g_autoptr(GPtrArray) key = g_ptr_array_new();
    for (guint i = 0; i < found->columns->len; i++) {
        LakeTableColumn *column = g_ptr_array_index(found->columns, i);
        if (column->key_position > 0)
            g_ptr_array_add(key, column);
    }
    g_ptr_array_sort(key, compare_key_position);

    g_autofree char *qualified = lake_catalog_qualify(catalog, table);
    g_autofree char *names = lake_table_dup_columns(found);
    g_autofree char *key_names = join_names(key);
    return g_strdup_printf("SELECT %s FROM %s%s%s LIMIT 100", names, qualified,
        key->len > 0 ? " ORDER BY " : "", key_names);
}

/* The planner joins the parts of a UNION ALL in any order it likes, hence ORDER BY: by bytes,
 * as the catalog sorts. */
static char *
default_of_workspace(LakeCatalog *catalog, GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) tables = lake_catalog_list(catalog, cancellable, error);
    if (!tables)
        return NULL;
    if (tables->len == 0)
        return g_strdup(
            "SELECT NULL::text AS table_name, NULL::bigint AS row_count WHERE false");

    g_autoptr(GString) sql = g_string_new("SELECT table_name, row_count FROM (\n");
    for (guint i = 0; i < tables->len; i++) {
        const LakeTableName *table = g_ptr_array_index(tables, i);
        g_autofree char *literal = lake_statement_literal(table->name);
        g_autofree char *qualified = lake_catalog_qualify(catalog, table->name);
        g_string_append_printf(sql, "%s%s::text%s, count(*)%s FROM %s\n",
            i > 0 ? "  UNION ALL SELECT " : "  SELECT ", literal, i > 0 ? "" : " AS table_name",
            i > 0 ? "" : " AS row_count", qualified);
    }
    g_string_append(sql, ") AS tables ORDER BY table_name COLLATE \"C\"");
    return g_string_free(g_steal_pointer(&sql), FALSE);
}

char *
lake_query_default(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error)
{
    return table ? default_of_table(catalog, table, cancellable, error)
                 : default_of_workspace(catalog, cancellable, error);
}

/* ---- Errors as JSON ---- */

static void
append_member(GString *json, const char *name, const char *value)
{
    g_string_append_printf(
        json, "%s\"%s\":", g_str_has_suffix(json->str, "{") ? "" : ",", name);
    if (!value) {
        g_string_append(json, "null");
        return;
    }

    g_autofree char *valid = g_utf8_make_valid(value, -1);
    lake_json_append_string(json, valid, strlen(valid));
}

char *
lake_query_error_json(const GError *error)
{
    const LakeErrorFacts none = {0};
    const LakeErrorFacts *facts = lake_error_facts(error);
    GString *json = g_string_new("{\"error\":{");

    if (!facts)
        facts = &none;
    append_member(json, "class", lake_error_class_name(error));
    append_member(json, "sqlstate", facts->sqlstate);
    append_member(json, "message", facts->message ? facts->message : error->message);
    append_member(json, "detail", facts->detail);
    append_member(json, "hint", facts->hint);
    if (facts->position > 0)
        g_string_append_printf(json, ",\"position\":%d", facts->position);
    else
        g_string_append(json, ",\"position\":null");
    g_string_append(json, "}}\n");
    return g_string_free(json, FALSE);
}
