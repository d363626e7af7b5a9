/* SPDX-License-Identifier: Apache-2.0 */
#include "core/options.h"

#include "core/config.h"
#include "core/error.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

/* With the kernel's part of it, what others write counts within a second. */
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
    GMutex lock;       /* guards what follows */
    GHashTable *known; /* drop zone → Known */
    guint64 n_changes; /* of ours; an answer that is older than the last one is not kept */
};

/* --- the text --- */

typedef enum {
    OPTION_COUNT,
    OPTION_SCHEMA,
    OPTION_FORMAT,
    OPTION_INDEX,
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

/* {"path": "FILE"} is how the specification says that a column names files to ingest, which is
 * what a drop zone takes. */
static gboolean
take_schema(const cJSON *value, GError **error)
{
    const cJSON *column;

    if (!cJSON_IsObject(value))
        return refuse(error, "leave it out, or write {\"schema\": {\"path\": \"FILE\"}}",
            "schema must be an object of column names and types");
    cJSON_ArrayForEach(column, value)
    {
        if (!cJSON_IsString(column) || strcmp(column->valuestring, "FILE") != 0)
            return refuse(error, "the columns of each kind are in its chunking table",
                "schema: \"%s\" must be \"FILE\": a drop zone takes files, and their kinds "
                "give "
                "the columns",
                column->string);
    }
    return TRUE;
}

static gboolean
take_option(gsize option, const cJSON *value, LakeIngestSettings *settings, GError **error)
{
    /* As leaving it out, so that what a drop zone without options shows can be written. */
    if (cJSON_IsNull(value))
        return TRUE;
    switch (known_options[option].type) {
    case OPTION_COUNT:
        return take_count(option, value, settings, error);
    case OPTION_SCHEMA:
        return take_schema(value, error);
    case OPTION_FORMAT:
        return refuse(error, "leave it out",
            "format: a drop zone tells what a file is by its extension, and takes no format");
    case OPTION_INDEX:
        return (cJSON_IsArray(value) && cJSON_GetArraySize(value) == 0) ||
               refuse(error, "make it by hand: mkdir <table>/indexes/<columns>.<method>",
                   "index: a drop zone makes no indexes");
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
take_member(const cJSON *member, guint *taken, LakeIngestSettings *settings, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(known_options); i++) {
        if (strcmp(member->string, known_options[i].name) != 0)
            continue;
        if (*taken & 1U << i)
            return refuse(error, "which of them counts?", "the option \"%s\" is there twice",
                member->string);
        *taken |= 1U << i;
        return take_option(i, member, settings, error);
    }
    return refuse_unknown(member->string, error);
}

static gboolean
take_object(const cJSON *object, LakeIngestSettings *settings, GError **error)
{
    LakeIngestSettings changed = *settings;
    const cJSON *member;
    guint taken = 0;

    if (!cJSON_IsObject(object))
        return refuse(error, "write an object, as {\"chunk_size\": 500}",
            "the options must be a JSON object");
    cJSON_ArrayForEach(member, object)
    {
        if (!take_member(member, &taken, &changed, error))
            return FALSE;
    }
    if (!lake_ingest_settings_check(&changed, error))
        return FALSE;
    *settings = changed;
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
    if (strspn(copy, " \t\r\n") == n_bytes)
        return TRUE;

    cJSON *object = cJSON_ParseWithOpts(copy, &end, TRUE);
    if (!object)
        return refuse(error, "write an object, as {\"chunk_size\": 500}",
            "the options are not JSON: line %u is wrong", line_of(copy, end ? end : copy));
    gboolean is_good = take_object(object, settings, error);
    cJSON_Delete(object);
    return is_good;
}

char *
lake_options_to_json(const LakeIngestSettings *settings)
{
    GString *text = g_string_new("{\n");

    for (gsize i = 0; i < G_N_ELEMENTS(known_options); i++) {
        const char *comma = i + 1 < G_N_ELEMENTS(known_options) ? "," : "";

        g_string_append_printf(text, "  \"%s\": ", known_options[i].name);
        if (known_options[i].type == OPTION_COUNT)
            g_string_append_printf(text, "%" G_GINT64_FORMAT "%s\n",
                G_STRUCT_MEMBER(gint64, settings, known_options[i].offset), comma);
        else
            g_string_append_printf(
                text, "%s%s\n", known_options[i].type == OPTION_INDEX ? "[]" : "null", comma);
    }
    g_string_append(text, "}\n");
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
    options->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, known_free);
    g_mutex_init(&options->lock);
    return options;
}

void
lake_options_free(LakeOptions *options)
{
    if (!options)
        return;
    g_hash_table_unref(options->known);
    g_mutex_clear(&options->lock);
    g_free(options);
}

static gboolean
find_known(LakeOptions *options, const char *zone, char **ret_text, guint64 *ret_n_changes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&options->lock);
    const Known *known = g_hash_table_lookup(options->known, zone);

    *ret_n_changes = options->n_changes;
    if (!known || g_get_monotonic_time() - known->asked_at_us > FRESH_US)
        return FALSE;
    *ret_text = g_strdup(known->text);
    return TRUE;
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
    g_hash_table_remove(options->known, zone);
}

/* NULL without an error: none are set. A workspace of an earlier version, or one that was never
 * ingested into, may have no place for them. */
static char *
ask_text(LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeStatement) statement =
        lake_statement_new_printf("SELECT options FROM %s WHERE table_name = $1 AND folder = ''"
                                  " AND name = '" LAKE_OPTIONS_NAME "'",
            lake_catalog_ledger(options->catalog));
    const LakeErrorFacts *facts;

    lake_statement_add_text(statement, zone);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(lake_catalog_transport(options->catalog),
        LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, &failure);
    if (result)
        return lake_result_n_rows(result) > 0 ? g_strdup(lake_result_text(result, 0, 0)) : NULL;
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

    if (find_known(options, zone, ret_text, &n_changes))
        return TRUE;
    g_autofree char *text = ask_text(options, zone, cancellable, &failure);
    if (failure) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return FALSE;
    }
    keep_known(options, zone, text, n_changes);
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
    if (text && !lake_options_parse(text, strlen(text), &settings, error)) {
        g_prefix_error(error, "ingest/%s/" LAKE_OPTIONS_NAME ": ", zone);
        return FALSE;
    }
    *ret_settings = settings;
    return TRUE;
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
    if (!result)
        g_prefix_error(error, "removing the options of ingest/%s: ", zone);
    return result != NULL;
}
