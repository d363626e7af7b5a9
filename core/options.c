/* SPDX-License-Identifier: Apache-2.0 */
#include "core/options.h"

#include "core/config.h"
#include "core/error.h"
#include "core/index.h"
#include "core/local.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* With the kernel's part of it, what others write counts within a second. */
/* How soon a wait hears of Ctrl-C. */
#define WAIT_US (50 * G_TIME_SPAN_MILLISECOND)
#define FRESH_US (500 * G_TIME_SPAN_MILLISECOND)

/* Drop zones whose options are remembered; more than anybody copies into at once. */
#define KNOWN_MAX 1000

typedef struct {
    char *text; /* NULL: none are set */
    gint64 asked_at_us;
} Known;

struct LakeOptions {
    LakeCatalog *catalog; /* borrowed */
    LakeIngestSettings settings;
    GMutex lock;        /* guards what follows */
    GHashTable *known;  /* drop zone → Known */
    guint64 n_changes;  /* of ours; an answer that is older than the last one is not kept */
    GHashTable *asking; /* of char*, zones that somebody asks about; guarded by lock */
    GCond answered;
};

/* --- the text --- */

typedef enum {
    OPTION_COUNT,
    OPTION_FORMAT, /* this and what follows: as LakeSchemaText */
    OPTION_SCHEMA,
    OPTION_INDEX,
    OPTION_IMAGES_DIR,
    OPTION_MASKS_DIR,
} OptionType;

static const struct {
    const char *name;
    OptionType type;
    gint64 minimum, maximum;
    gsize offset; /* in LakeIngestSettings */
} known_options[] = {
    {"chunk_size", OPTION_COUNT, 1, G_MAXINT32,
        G_STRUCT_OFFSET(LakeIngestSettings, chunk_size)},
    {"chunk_overlap", OPTION_COUNT, 0, G_MAXINT32,
        G_STRUCT_OFFSET(LakeIngestSettings, chunk_overlap)},
    {"pdf_dpi", OPTION_COUNT, LAKE_CONFIG_PDF_DPI_MIN, LAKE_CONFIG_PDF_DPI_MAX,
        G_STRUCT_OFFSET(LakeIngestSettings, pdf_dpi)},
    {"segment_seconds", OPTION_COUNT, 1, G_MAXINT32,
        G_STRUCT_OFFSET(LakeIngestSettings, segment_seconds)},
    {"schema", OPTION_SCHEMA, 0, 0, 0},
    {"format", OPTION_FORMAT, 0, 0, 0},
    {"index", OPTION_INDEX, 0, 0, 0},
    {"images_dir", OPTION_IMAGES_DIR, 0, 0, 0},
    {"masks_dir", OPTION_MASKS_DIR, 0, 0, 0},
};

static gboolean
refuse(GError **error, const char *hint, const char *format, ...) G_GNUC_PRINTF(3, 4);

static gboolean
refuse(GError **error, const char *hint, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "%s", message);
    if (error)
        lake_error_hint(*error, "%s", hint);
    return FALSE;
}

static gboolean
take_count(gsize option, const cJSON *value, LakeIngestSettings *settings, GError **error)
{
    const char *name = known_options[option].name;
    gint64 minimum = known_options[option].minimum;
    gint64 maximum = known_options[option].maximum;
    g_autofree char *hint = g_strdup_printf(
        "write it as {\"%s\": %" G_GINT64_FORMAT "}, say", name, MAX(minimum, 100));

    if (!cJSON_IsNumber(value) || value->valuedouble != floor(value->valuedouble))
        return refuse(error, hint, "%s must be a whole number", name);
    if (value->valuedouble < (double)minimum || value->valuedouble > (double)maximum)
        return refuse(error, hint,
            "%s is %g, but must be at least %" G_GINT64_FORMAT " and at most %" G_GINT64_FORMAT,
            name, value->valuedouble, minimum, maximum);
    G_STRUCT_MEMBER(gint64, settings, known_options[option].offset) =
        (gint64)value->valuedouble;
    return TRUE;
}

/* What the options say of the rows, one by one: core/schema.c puts it together. */
typedef struct {
    LakeIngestSettings settings;
    char *schema_texts[LAKE_SCHEMA_N_TEXTS]; /* of JSON */
    guint taken;                             /* 1 << option */
} Taking;

static void
take_schema_text(Taking *taking, OptionType type, const cJSON *value)
{
    char **text = &taking->schema_texts[type - OPTION_FORMAT];
    char *printed = cJSON_PrintUnformatted(value);

    g_free(*text);
    *text = g_strdup(printed);
    cJSON_free(printed);
}

static gboolean
take_option(gsize option, const cJSON *value, Taking *taking, GError **error)
{
    OptionType type = known_options[option].type;

    /* As leaving it out, so that what a drop zone without options shows can be written. */
    if (cJSON_IsNull(value))
        return TRUE;
    switch (type) {
    case OPTION_COUNT:
        return take_count(option, value, &taking->settings, error);
    case OPTION_FORMAT:
    case OPTION_SCHEMA:
    case OPTION_INDEX:
    case OPTION_IMAGES_DIR:
    case OPTION_MASKS_DIR:
        take_schema_text(taking, type, value);
        return TRUE;
    }
    g_assert_not_reached();
}

static gboolean
refuse_unknown(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(known_options) + 1] = {NULL};
    const char *nearest;

    for (gsize i = 0; i < G_N_ELEMENTS(known_options); i++)
        names[i] = known_options[i].name;
    nearest = lake_config_nearest(name, names);
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    g_autofree char *hint = g_strdup_printf("the options are %s", all);
    if (nearest)
        return refuse(
            error, hint, "unknown option \"%s\"; did you mean \"%s\"?", name, nearest);
    return refuse(error, hint, "unknown option \"%s\"", name);
}

static gboolean
take_member(const cJSON *member, Taking *taking, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(known_options); i++) {
        if (strcmp(member->string, known_options[i].name) != 0)
            continue;
        if (taking->taken & 1U << i)
            return refuse(error, "which of them counts?", "the option \"%s\" is there twice",
                member->string);
        taking->taken |= 1U << i;
        return take_option(i, member, taking, error);
    }
    return refuse_unknown(member->string, error);
}

static void
clear_taking(Taking *taking)
{
    for (guint i = 0; i < G_N_ELEMENTS(taking->schema_texts); i++)
        g_free(taking->schema_texts[i]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Taking, clear_taking)

static gboolean
take_object(const cJSON *object, LakeIngestSettings *settings, GError **error)
{
    g_auto(Taking) taking = {.settings = *settings};
    LakeSchema *schema = NULL;
    const cJSON *member;

    if (!cJSON_IsObject(object))
        return refuse(error, "write an object, as {\"chunk_size\": 500}",
            "the options must be a JSON object");
    for (guint i = 0; settings->schema && i < G_N_ELEMENTS(taking.schema_texts); i++)
        taking.schema_texts[i] = g_strdup(settings->schema->texts[i]);
    cJSON_ArrayForEach(member, object)
    {
        if (!take_member(member, &taking, error))
            return FALSE;
    }
    if (!lake_ingest_settings_check(&taking.settings, error) ||
        !lake_schema_parse((const char *const *)taking.schema_texts, &schema, error))
        return FALSE;
    *settings = taking.settings;
    settings->schema = schema;
    return TRUE;
}

static guint
line_of(const char *text, const char *at)
{
    guint line = 1;

    for (const char *byte = text; byte < at; byte++)
        line += *byte == '\n';
    return line;
}

gboolean
lake_options_parse(
    const char *text, gsize n_bytes, LakeIngestSettings *settings, GError **error)
{
    g_autofree char *copy = g_strndup(text, n_bytes); /* with a NUL at its end */
    const char *end = NULL;

    if (n_bytes > LAKE_OPTIONS_MAX_BYTES)
        return refuse(error, "a few numbers are enough", "the options have at most %d bytes",
            LAKE_OPTIONS_MAX_BYTES);
    if (!g_utf8_validate(text, (gssize)n_bytes, NULL))
        return refuse(error, "JSON is written in UTF-8", "the options are no text in UTF-8");
    if (strspn(copy, " \t\r\n") == n_bytes) {
        lake_schema_ref(settings->schema);
        return TRUE;
    }

    cJSON *object = cJSON_ParseWithOpts(copy, &end, TRUE);
    if (!object)
        return refuse(error, "write an object, as {\"chunk_size\": 500}",
            "the options are not JSON: line %u is wrong", line_of(copy, end ? end : copy));
    gboolean is_good = take_object(object, settings, error);
    cJSON_Delete(object);
    return is_good;
}

static void
append_value(GString *text, gsize option, const LakeIngestSettings *settings)
{
    static const char *const unset[] = {"\"files\"", "null", "[]", "null", "null"};
    OptionType type = known_options[option].type;

    if (type == OPTION_COUNT) {
        g_string_append_printf(text, "%" G_GINT64_FORMAT,
            G_STRUCT_MEMBER(gint64, settings, known_options[option].offset));
        return;
    }
    const char *set = settings->schema ? settings->schema->texts[type - OPTION_FORMAT] : NULL;
    g_string_append(text, set ? set : unset[type - OPTION_FORMAT]);
}

char *
lake_options_to_json(const LakeIngestSettings *settings)
{
    GString *text = g_string_new("{");

    for (gsize i = 0; i < G_N_ELEMENTS(known_options); i++) {
        g_string_append_printf(text, "%s\n  \"%s\": ", i > 0 ? "," : "", known_options[i].name);
        append_value(text, i, settings);
    }
    g_string_append(text, "\n}\n");
    return g_string_free(text, FALSE);
}

/* --- what is known --- */

static void
known_free(gpointer data)
{
    Known *known = data;

    g_free(known->text);
    g_free(known);
}

LakeOptions *
lake_options_new(LakeCatalog *catalog, const LakeIngestSettings *settings)
{
    LakeOptions *options = g_new0(LakeOptions, 1);

    options->catalog = catalog;
    options->settings = *settings;
    lake_schema_ref(settings->schema);
    options->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, known_free);
    options->asking = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_mutex_init(&options->lock);
    g_cond_init(&options->answered);
    return options;
}

void
lake_options_free(LakeOptions *options)
{
    if (!options)
        return;
    g_hash_table_unref(options->known);
    g_hash_table_unref(options->asking);
    lake_ingest_settings_clear(&options->settings);
    g_mutex_clear(&options->lock);
    g_cond_clear(&options->answered);
    g_free(options);
}

/* FALSE: the caller is the one who asks, until end_asking; others wait for what he learns. Many
 * files are ingested at once, and the answer is the same for all. */
static gboolean
find_known(LakeOptions *options, const char *zone, char **ret_text, guint64 *ret_n_changes,
    GCancellable *cancellable)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);

    for (;;) {
        const Known *known = g_hash_table_lookup(options->known, zone);

        *ret_n_changes = options->n_changes;
        if (known && g_get_monotonic_time() - known->asked_at_us <= FRESH_US) {
            *ret_text = g_strdup(known->text);
            return TRUE;
        }
        if (g_cancellable_is_cancelled(cancellable) ||
            g_hash_table_add(options->asking, g_strdup(zone)))
            return FALSE;
        g_cond_wait_until(&options->answered, &options->lock, g_get_monotonic_time() + WAIT_US);
    }
}

static void
end_asking(LakeOptions *options, const char *zone)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);

    g_hash_table_remove(options->asking, zone);
    g_cond_broadcast(&options->answered);
}

static void
keep_known(LakeOptions *options, const char *zone, const char *text, guint64 n_changes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);

    if (options->n_changes != n_changes)
        return;
    if (g_hash_table_size(options->known) >= KNOWN_MAX)
        g_hash_table_remove_all(options->known);
    Known *known = g_new0(Known, 1);
    known->text = g_strdup(text);
    known->asked_at_us = g_get_monotonic_time();
    g_hash_table_replace(options->known, g_strdup(zone), known);
}

void
lake_options_forget(LakeOptions *options, const char *zone)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);

    options->n_changes++;
    if (zone)
        g_hash_table_remove(options->known, zone);
    else
        g_hash_table_remove_all(options->known);
}

/* NULL without an error: none are set. A workspace of an earlier version, or one that was never
 * ingested into, may have no place for them. */
static char *
ask_text(LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement =
        lake_statement_new_printf("SELECT (SELECT options FROM %s WHERE table_name = $1"
                                  " AND folder = '' AND name = '" LAKE_OPTIONS_NAME "')",
            lake_catalog_ledger(options->catalog));
    const LakeErrorFacts *facts;

    lake_statement_add_text(statement, zone);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    statement->scope = LAKE_SCOPE_STRUCTURE;
    statement->has_always_rows = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(options->catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, &failure);
    if (result)
        return g_strdup(lake_result_text(result, 0, 0));
    facts = lake_error_facts(failure);
    if (facts && (g_strcmp0(facts->sqlstate, "42P01") == 0 ||   /* no such table */
                     g_strcmp0(facts->sqlstate, "42703") == 0)) /* no such column */
        return NULL;
    g_propagate_prefixed_error(
        error, g_steal_pointer(&failure), "reading the options of ingest/%s: ", zone);
    return NULL;
}

/* *ret_text NULL: none are set. */
static gboolean
find_text(LakeOptions *options, const char *zone, char **ret_text, GCancellable *cancellable,
    GError **error)
{
    g_autoptr(GError) failure = NULL;
    guint64 n_changes;

    if (find_known(options, zone, ret_text, &n_changes, cancellable))
        return TRUE;
    g_autofree char *text = ask_text(options, zone, cancellable, &failure);
    if (!failure)
        keep_known(options, zone, text, n_changes);
    end_asking(options, zone);
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    *ret_text = g_steal_pointer(&text);
    return TRUE;
}

gboolean
lake_options_get(LakeOptions *options, const char *zone, LakeIngestSettings *ret_settings,
    GCancellable *cancellable, GError **error)
{
    g_autofree char *text = NULL;
    LakeIngestSettings settings = options->settings;

    if (!find_text(options, zone, &text, cancellable, error))
        return FALSE;
    if (!lake_options_parse(text ? text : "", text ? strlen(text) : 0, &settings, error)) {
        g_prefix_error(error, "ingest/%s/" LAKE_OPTIONS_NAME ": ", zone);
        return FALSE;
    }
    *ret_settings = settings;
    return TRUE;
}

gboolean
lake_options_names_folders(LakeOptions *options, const char *text, gsize n_bytes)
{
    LakeIngestSettings settings = options->settings;

    if (!lake_options_parse(text, n_bytes, &settings, NULL))
        return FALSE;
    gboolean names_folders = settings.schema && settings.schema->images_dir;
    lake_ingest_settings_clear(&settings);
    return names_folders;
}

char *
lake_options_dup_text(
    LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error)
{
    char *text = NULL;

    if (!find_text(options, zone, &text, cancellable, error))
        return NULL;
    return text ? text : g_strdup("");
}

gboolean
lake_options_set_defaults(LakeOptions *options, const char *text, GError **error)
{
    LakeIngestSettings settings = options->settings;

    if (!lake_options_parse(text, strlen(text), &settings, error))
        return FALSE;
    lake_ingest_settings_clear(&options->settings);
    options->settings = settings;
    return TRUE;
}

/* --- the table --- */

/* A column that the table does not have may still come with a later file. */
static gboolean
check_index(const LakeSchema *schema, const LakeTable *table, const LakeSchemaIndex *index,
    GError **error)
{
    gboolean may_come = schema->format == LAKE_FORMAT_ROWS
                            ? !table || lake_schema_column(schema, index->column)
                            : lake_ingest_is_column(schema->format, index->column);

    if (may_come || (table && lake_table_column(table, index->column)))
        return TRUE;
    return refuse(error,
        table ? "columns are in the table's schema.json"
              : "rows with columns of their own need {\"format\": \"rows\"}",
        "index: there is no column \"%s\"", index->column);
}

static gboolean
check_types(const LakeSchema *schema, const LakeTable *table, GError **error)
{
    for (guint i = 0; table && i < schema->n_columns; i++) {
        const LakeColumn *column = &schema->columns[i];
        const LakeTableColumn *there = lake_table_column(table, column->name);
        const char *name = lake_type_info(column->type)->schema_name;

        if (there &&
            lake_type_info(there->type)->base_oid != lake_type_info(column->type)->base_oid)
            return refuse(error, "a table's columns keep their types: see its schema.json",
                "schema: \"%s\" is to be %s, but in the table it is %s", column->name, name,
                there->type == LAKE_TYPE_OTHER ? there->sql_type
                                               : lake_type_info(there->type)->schema_name);
    }
    return TRUE;
}

/* All or none; those whose column is there. */
static gboolean
add_indexes(LakeOptions *options, const char *zone, const LakeSchema *schema,
    const LakeTable *table, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) no_limit =
        lake_statement_new("SET LOCAL statement_timeout = 0"); /* large tables take long */
    g_autoptr(LakeTransaction) transaction = lake_transport_begin(
        lake_catalog_transport(options->catalog), LAKE_TRANSPORT_BULK, cancellable, error);
    g_autoptr(LakeResult) is_set =
        transaction ? lake_transaction_run(transaction, no_limit, cancellable, error) : NULL;

    for (guint i = 0; is_set && i < schema->n_indexes; i++)
        if (lake_table_column(table, schema->indexes[i].column) &&
            !lake_index_add(transaction, options->catalog, zone, &schema->indexes[i], NULL,
                cancellable, error))
            return FALSE;
    return is_set && lake_transaction_commit(transaction, cancellable, error);
}

static gboolean
check_folder(const char *option, const char *path, GError **error)
{
    g_autoptr(LakeLocalFolder) folder = path ? lake_local_folder_open(path, error) : NULL;

    if (path && !folder)
        g_prefix_error(error, "%s: ", option);
    return !path || folder;
}

static gboolean
prepare_table(LakeOptions *options, const char *zone, const LakeSchema *schema,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    if (schema && (!check_folder("images_dir", schema->images_dir, error) ||
                      !check_folder("masks_dir", schema->masks_dir, error)))
        return FALSE;
    if (!schema || (schema->n_columns == 0 && schema->n_indexes == 0))
        return TRUE;
    g_autoptr(LakeTable) table =
        lake_catalog_find(options->catalog, zone, cancellable, &failure);
    if (!table && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    /* One that has nothing but its key waits for its columns. */
    gboolean is_bare = table && table->columns->len == 1;
    if (!check_types(schema, table, error))
        return FALSE;
    for (guint i = 0; i < schema->n_indexes; i++)
        if (!check_index(schema, is_bare ? NULL : table, &schema->indexes[i], error) ||
            !lake_index_check_method(
                options->catalog, schema->indexes[i].method, cancellable, error))
            return FALSE;
    return !table || schema->n_indexes == 0 ||
           add_indexes(options, zone, schema, table, cancellable, error);
}

gboolean
lake_options_prepare_table(
    LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error)
{
    LakeIngestSettings settings;

    if (!lake_options_get(options, zone, &settings, cancellable, error))
        return FALSE;
    gboolean is_good = prepare_table(options, zone, settings.schema, cancellable, error);
    lake_ingest_settings_clear(&settings);
    return is_good;
}

/* --- keeping them --- */

static LakeLedgerEntry *
new_entry(gsize n_bytes, const LakeFileAttributes *attributes)
{
    LakeLedgerEntry *entry = lake_ledger_entry_new(LAKE_OPTIONS_NAME);

    entry->kind = g_strdup(LAKE_OPTIONS_KIND);
    entry->size_bytes = (gint64)n_bytes;
    entry->attributes = *attributes;
    return entry;
}

LakeLedgerEntry *
lake_options_set(LakeOptions *options, const char *zone, const char *text, gsize n_bytes,
    const LakeFileAttributes *attributes, GCancellable *cancellable, GError **error)
{
    LakeIngestSettings settings = options->settings;
    g_autofree char *copy = g_strndup(text, n_bytes);
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "INSERT INTO %s AS l (table_name, folder, name, kind, size_bytes, mode, uid, gid,"
        "  mtime_ns, options)"
        " VALUES ($1, '', '" LAKE_OPTIONS_NAME "', '" LAKE_OPTIONS_KIND
        "', $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT (table_name, folder, name) DO UPDATE SET kind = excluded.kind,"
        "  size_bytes = excluded.size_bytes, mode = excluded.mode, uid = excluded.uid,"
        "  gid = excluded.gid, mtime_ns = excluded.mtime_ns, options = excluded.options",
        lake_catalog_ledger(options->catalog));

    if (!lake_options_parse(text, n_bytes, &settings, error))
        return NULL;
    g_autoptr(LakeSchema) schema = settings.schema;
    if (!prepare_table(options, zone, schema, cancellable, error))
        return NULL;
    lake_statement_add_text(statement, zone);
    lake_statement_add_int64(statement, (gint64)n_bytes);
    lake_statement_add_int64(statement, attributes->mode);
    lake_statement_add_int64(statement, attributes->uid);
    lake_statement_add_int64(statement, attributes->gid);
    lake_statement_add_int64(statement, attributes->mtime_ns);
    lake_statement_add_text(statement, copy);
    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(options->catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    /* Also after a failure: of a lost answer nobody knows whether it happened. */
    lake_options_forget(options, zone);
    lake_catalog_changed(options->catalog, zone, LAKE_CHANGE_FILES);
    return result ? new_entry(n_bytes, attributes) : NULL;
}

gboolean
lake_options_remove(
    LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement = lake_statement_new_printf(
        "DELETE FROM %s WHERE table_name = $1 AND folder = '' AND name = '" LAKE_OPTIONS_NAME
        "'",
        lake_catalog_ledger(options->catalog));

    lake_statement_add_text(statement, zone);
    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(options->catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    lake_options_forget(options, zone);
    lake_catalog_changed(options->catalog, zone, LAKE_CHANGE_FILES);
    if (!result)
        g_prefix_error(error, "removing the options of ingest/%s: ", zone);
    return result != NULL;
}
