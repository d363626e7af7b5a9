/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/records.c: the kind rows: a file whose records are rows, with columns of their
 * own.
 *
 * The columns are those of the option schema, then those that the records have which begin in
 * the first SAMPLE_BYTES, in the order in which they appear. A column's type is that of the
 * schema, else that of the table, else what the sample's values ask for: so it never depends on
 * how the file is read. What comes later and does not fit is refused, with its line; then the
 * schema says what it should be. `file_id` stands before them all, so that a copy replaces, and
 * rm deletes, the rows of its file. */

#include "core/error.h"
#include "core/ingest/normaliser.h"
#include "core/ingest/records/reader.h"
#include "core/ingest/records/value.h"

#include <cjson/cJSON.h>
#include <string.h>

#define SAMPLE_BYTES (1024 * 1024)
#define COLUMNS_MAX 1500 /* PostgreSQL has 1600 at most, and fewer when they are wide */
#define SHOWN_BYTES 60   /* of a value in a message */

typedef struct {
    gboolean is_typed;  /* by the schema or the table, not by the sample */
    gboolean takes_any; /* TEXT by the schema: also the text of what is no string */
    gint64 row;         /* the last that had it, from 1 on */
    guint item;         /* and where, in items */
} Slot;

typedef struct {
    const LakeNormaliserInput *input;
    LakeRecordReader *reader;
    GArray *items;     /* of LakeRecordItem: the record at hand */
    GArray *columns;   /* of LakeColumn, names owned; the first is file_id */
    GArray *slots;     /* of Slot, as columns */
    GHashTable *known; /* a column's name → its index, as GUINT_TO_POINTER */
    GString *scratch;
    GString *name; /* of an item, with a NUL */
    gint64 n_rows;
} Records;

static void
clear_column(gpointer column)
{
    g_free((char *)((LakeColumn *)column)->name);
}

static void
close_records(gpointer state)
{
    Records *records = state;

    lake_record_reader_free(records->reader);
    g_array_unref(records->items);
    g_hash_table_unref(records->known);
    g_array_unref(records->columns);
    g_array_unref(records->slots);
    g_string_free(records->scratch, TRUE);
    g_string_free(records->name, TRUE);
    g_free(records);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Records, close_records)

static Records *
new_records(const LakeNormaliserInput *input)
{
    Records *records = g_new0(Records, 1);

    records->input = input;
    records->items = g_array_new(FALSE, FALSE, sizeof(LakeRecordItem));
    records->columns = g_array_new(FALSE, FALSE, sizeof(LakeColumn));
    g_array_set_clear_func(records->columns, clear_column);
    records->slots = g_array_new(FALSE, TRUE, sizeof(Slot));
    records->known = g_hash_table_new(g_str_hash, g_str_equal);
    records->scratch = g_string_new(NULL);
    records->name = g_string_new(NULL);
    return records;
}

static LakeColumn *
column_at(const Records *records, guint index)
{
    return &g_array_index(records->columns, LakeColumn, index);
}

static Slot *
slot_at(const Records *records, guint index)
{
    return &g_array_index(records->slots, Slot, index);
}

/* --- refusals --- */

/* at: where it shows; NULL: in the record at hand. */
static gboolean refuse(const Records *records, const char *at, const char *hint, GError **error,
    const char *format, ...) G_GNUC_PRINTF(5, 6);

static gboolean
refuse(const Records *records, const char *at, const char *hint, GError **error,
    const char *format, ...)
{
    guint64 line = at ? lake_record_reader_line_of(records->reader, at)
                      : lake_record_reader_line(records->reader);
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    lake_error_bad_input(
        error, LAKE_ERROR_CLASS_INGEST, "line %" G_GUINT64_FORMAT ": %s", line, message);
    if (error)
        lake_error_hint(*error, "%s", hint);
    return FALSE;
}

static char *
dup_shown(const LakeJsonScanValue *value)
{
    gsize n_bytes = MIN(value->n_bytes, SHOWN_BYTES);
    g_autofree char *text = g_strndup(value->text, n_bytes);
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    for (char *byte = valid; *byte; byte++)
        if (g_ascii_iscntrl(*byte))
            *byte = ' ';
    return g_strconcat(valid, value->n_bytes > n_bytes ? "…" : "", NULL);
}

static gboolean
refuse_value(const Records *records, guint index, const LakeJsonScanValue *value,
    const char *reason, GError **error)
{
    const LakeColumn *column = column_at(records, index);
    g_autofree char *shown = dup_shown(value);
    g_autofree char *hint = g_strdup_printf(
        "correct the value, or give the column another type with the option schema before the "
        "table is made, as in {\"format\": \"rows\", \"schema\": {\"%s\": \"TEXT\"}}",
        column->name);

    return refuse(records, value->text, hint, error,
        "the column \"%s\" is %s and cannot have %s: %s", column->name,
        lake_type_info(column->type)->schema_name, shown, reason);
}

/* --- columns --- */

static void
append_column(Records *records, const char *name, LakeType type)
{
    LakeColumn column = {g_strdup(name), type};
    Slot slot = {0};

    g_array_append_val(records->columns, column);
    g_array_append_val(records->slots, slot);
    g_hash_table_insert(
        records->known, (gpointer)column.name, GUINT_TO_POINTER(records->columns->len - 1));
}

/* Rows that bring an id of their own have it in a table whose key is called otherwise; but the
 * key of a table that is there already is the server's to give. */
static gboolean
check_id(const Records *records, const LakeTableColumn *there, GError **error)
{
    if (!there || there->key_position == 0 || there->type != LAKE_TYPE_INT64)
        return TRUE;
    return refuse(records, NULL,
        "call the column something else, or let these rows make the table", error,
        "the rows have a column id, but in this table that is the key, which counts by itself");
}

/* The type that a column of the table has; schema: the one that was asked for, or OTHER. */
static gboolean
take_table_type(const Records *records, const LakeTableColumn *there, LakeType schema,
    LakeType *ret_type, GError **error)
{
    const LakeTypeInfo *info = lake_type_info(there->type);

    if (there->type == LAKE_TYPE_OTHER)
        return refuse(records, NULL, "insert such rows with SQL", error,
            "the column \"%s\" of the table is %s, which a file of rows cannot give",
            there->name, there->sql_type);
    if (schema != LAKE_TYPE_OTHER && lake_type_info(schema)->base_oid != info->base_oid)
        return refuse(records, NULL, "correct the option schema, or change the table with SQL",
            error, "the column \"%s\" of the table is %s, but the option schema says %s",
            there->name, info->schema_name, lake_type_info(schema)->schema_name);
    *ret_type = schema != LAKE_TYPE_OTHER ? schema : there->type;
    return TRUE;
}

static gboolean
check_name(const Records *records, const char *name, GError **error)
{
    static const char hint[] = "name the column otherwise in the file";

    if (!*name)
        return refuse(records, NULL, hint, error, "a column has no name");
    if (strlen(name) > LAKE_CATALOG_NAME_MAX_BYTES)
        return refuse(records, NULL, hint, error,
            "the name of the column \"%.80s\" has more than %d bytes", name,
            LAKE_CATALOG_NAME_MAX_BYTES);
    if (strcmp(name, "file_id") == 0)
        return refuse(records, NULL, hint, error,
            "file_id is the column that says from which file a row is");
    if (records->columns->len >= COLUMNS_MAX)
        return refuse(
            records, NULL, hint, error, "there are more than %d columns", COLUMNS_MAX);
    return TRUE;
}

static gboolean
add_column(Records *records, const char *name, GError **error)
{
    const LakeNormaliserInput *input = records->input;
    const LakeColumn *asked = lake_schema_column(input->settings.schema, name);
    const LakeTableColumn *there = input->table ? lake_table_column(input->table, name) : NULL;
    LakeType type = asked ? asked->type : LAKE_TYPE_OTHER;

    if (!check_name(records, name, error) ||
        (strcmp(name, "id") == 0 && !check_id(records, there, error)) ||
        (there && !take_table_type(records, there, type, &type, error)))
        return FALSE;
    if ((strcmp(name, "id") == 0 && g_hash_table_contains(records->known, "_id")) ||
        (strcmp(name, "_id") == 0 && g_hash_table_contains(records->known, "id")))
        return refuse(records, NULL, "name one of them otherwise", error,
            "there cannot be both id and _id, which is then the table's key");
    append_column(records, name, type);
    Slot *slot = slot_at(records, records->columns->len - 1);
    slot->is_typed = asked || there;
    slot->takes_any = asked && asked->type == LAKE_TYPE_TEXT;
    return TRUE;
}

/* The item's column; 0, which is file_id, where there is none. Records mostly have the same
 * items in the same order. */
static guint
find_column(Records *records, guint i, const LakeRecordItem *item)
{
    if (i + 1 < records->columns->len) {
        const char *name = column_at(records, i + 1)->name;
        if (strncmp(name, item->name, item->name_bytes) == 0 && !name[item->name_bytes])
            return i + 1;
    }
    g_string_truncate(records->name, 0);
    g_string_append_len(records->name, item->name, (gssize)item->name_bytes);
    return GPOINTER_TO_UINT(g_hash_table_lookup(records->known, records->name->str));
}

/* Each item's place; columns that are new are added, where they may be. */
static gboolean
place_items(Records *records, gboolean is_sample, GError **error)
{
    records->n_rows++;
    for (guint i = 0; i < records->items->len; i++) {
        const LakeRecordItem *item = &g_array_index(records->items, LakeRecordItem, i);
        guint index = find_column(records, i, item);

        if (index == 0 && is_sample) {
            if (!add_column(records, records->name->str, error))
                return FALSE;
            index = records->columns->len - 1;
        }
        if (index == 0)
            return refuse(records, item->name,
                "name it in the option schema: columns are those of the schema and of the "
                "file's first MiB",
                error, "the column \"%.80s\" comes too late: no row of the first MiB has it",
                records->name->str);
        Slot *slot = slot_at(records, index);
        if (slot->row == records->n_rows)
            return refuse(records, item->name, "which of them counts?", error,
                "the column \"%s\" is there twice", column_at(records, index)->name);
        slot->row = records->n_rows;
        slot->item = i;
    }
    return TRUE;
}

/* --- the sample --- */

static gboolean
widen_columns(Records *records, GError **error)
{
    for (guint index = 1; index < records->columns->len; index++) {
        const Slot *slot = slot_at(records, index);
        LakeColumn *column = column_at(records, index);
        const LakeRecordItem *item = &g_array_index(records->items, LakeRecordItem, slot->item);
        LakeType type = column->type;

        if (slot->is_typed || slot->row != records->n_rows)
            continue;
        if (!lake_record_widen(&type, &item->value)) {
            g_autofree char *reason = g_strdup_printf(
                "it is %s, other than the values before", lake_record_kind_name(&item->value));
            return refuse_value(records, index, &item->value, reason, error);
        }
        column->type = type;
    }
    return TRUE;
}

static gboolean
read_sample(Records *records, GCancellable *cancellable, GError **error)
{
    for (gboolean is_done = FALSE;;) {
        if (g_cancellable_is_cancelled(cancellable)) {
            lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
            return FALSE;
        }
        if (!lake_record_reader_next(records->reader, records->items, &is_done, error))
            return FALSE;
        if (is_done || lake_record_reader_offset(records->reader) >= SAMPLE_BYTES)
            break;
        if (!place_items(records, TRUE, error) || !widen_columns(records, error))
            return FALSE;
    }
    /* Nothing but NULL: text is what anything could be written as. */
    for (guint i = 1; i < records->columns->len; i++) {
        LakeColumn *column = column_at(records, i);
        if (column->type == LAKE_TYPE_OTHER)
            column->type = LAKE_TYPE_TEXT;
        slot_at(records, i)->row = 0;
    }
    records->n_rows = 0;
    return TRUE;
}

static gboolean
open_reader(Records *records, GError **error)
{
    g_clear_pointer(&records->reader, lake_record_reader_free);
    records->reader =
        lake_record_reader_new(records->input->content, records->input->path, error);
    return records->reader != NULL;
}

static gboolean
is_csv(const char *path)
{
    g_autofree char *lower = g_ascii_strdown(path, -1);

    return g_str_has_suffix(lower, ".csv") || g_str_has_suffix(lower, ".tsv");
}

/* A CSV file's names, which are no row. */
static gboolean
skip_names(Records *records, GError **error)
{
    gboolean is_done;

    return !is_csv(records->input->path) ||
           lake_record_reader_next(records->reader, records->items, &is_done, error);
}

static gpointer
open_records(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    g_autoptr(Records) records = new_records(input);
    const LakeSchema *schema = input->settings.schema;

    if (!open_reader(records, error))
        return NULL;
    append_column(records, "file_id", LAKE_TYPE_TEXT);
    for (guint i = 0; schema && i < schema->n_columns; i++)
        if (!add_column(records, schema->columns[i].name, error))
            return NULL;
    if (!read_sample(records, cancellable, error) || !open_reader(records, error) ||
        !skip_names(records, error))
        return NULL;
    return g_steal_pointer(&records);
}

/* --- rows --- */

static const LakeColumn *
columns_of(gpointer state, guint *ret_n_columns)
{
    Records *records = state;

    *ret_n_columns = records->columns->len;
    return column_at(records, 0);
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    Records *records = state;
    const char *file_id = records->input->file_id;

    if (!lake_record_reader_next(records->reader, records->items, ret_done, error))
        return FALSE;
    if (*ret_done)
        return TRUE;
    if (!place_items(records, FALSE, error))
        return FALSE;
    lake_rows_add_text(rows, file_id, strlen(file_id));
    for (guint index = 1; index < records->columns->len; index++) {
        const Slot *slot = slot_at(records, index);
        const LakeRecordItem *item = &g_array_index(records->items, LakeRecordItem, slot->item);

        if (slot->row != records->n_rows) {
            lake_rows_add_null(rows);
            continue;
        }
        const char *reason = lake_record_add_value(rows, column_at(records, index)->type,
            slot->takes_any, &item->value, records->scratch);
        if (reason)
            return refuse_value(records, index, &item->value, reason, error);
    }
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    Records *records = state;

    ret_facts->encoding = g_strdup("UTF-8");
    ret_facts->bytes_read = lake_record_reader_offset(records->reader);
}

/* The types that were asked for; keys in any order, since the server compares them as jsonb. */
static char *
settings_json(const LakeIngestSettings *settings)
{
    const LakeSchema *schema = settings->schema;
    cJSON *object = cJSON_CreateObject();
    cJSON *columns = cJSON_AddObjectToObject(object, "schema");

    for (guint i = 0; schema && i < schema->n_columns; i++)
        cJSON_AddStringToObject(columns, schema->columns[i].name,
            lake_type_info(schema->columns[i].type)->schema_name);
    char *printed = cJSON_PrintUnformatted(object);
    char *text = g_strdup(printed);
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

static const LakeColumn first_column[] = {{"file_id", LAKE_TYPE_TEXT}};

const LakeNormaliser lake_ingest_records = {
    .kind = "rows",
    .columns = first_column,
    .n_columns = G_N_ELEMENTS(first_column),
    .open = open_records,
    .columns_of = columns_of,
    .next_row = next_row,
    .facts = facts,
    .close = close_records,
    .settings_json = settings_json,
};
