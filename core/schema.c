/* SPDX-License-Identifier: Apache-2.0 */
#include "core/schema.h"

#include "core/error.h"
#include <cjson/cJSON.h>
#include <limits.h>
#include <string.h>

#define FILE_TYPE "FILE"
#define NAME_MAX_BYTES 63 /* NAMEDATALEN - 1 */

static const char *const format_names[] = {"files", "rows", "coco_panoptic"}; /* LakeFormat */

G_GNUC_PRINTF(3, 4)
static gboolean
refuse(GError **error, const char *hint, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "%s", message);
    if (error)
        lake_error_hint(*error, "%s", hint);
    return FALSE;
}

LakeSchema *
lake_schema_ref(LakeSchema *schema)
{
    return schema ? g_atomic_rc_box_acquire(schema) : NULL;
}

static void
clear(gpointer data)
{
    LakeSchema *schema = data;

    for (guint i = 0; i < schema->n_columns; i++)
        g_free((char *)schema->columns[i].name);
    for (guint i = 0; i < schema->n_indexes; i++) {
        g_free(schema->indexes[i].column);
        g_free(schema->indexes[i].method);
    }
    g_free(schema->columns);
    g_free(schema->indexes);
    g_free(schema->images_dir);
    g_free(schema->masks_dir);
    for (guint i = 0; i < G_N_ELEMENTS(schema->texts); i++)
        g_free(schema->texts[i]);
}

void
lake_schema_unref(LakeSchema *schema)
{
    if (schema)
        g_atomic_rc_box_release_full(schema, clear);
}

LakeFormat
lake_schema_format(const LakeSchema *schema)
{
    return schema ? schema->format : LAKE_FORMAT_FILES;
}

const LakeColumn *
lake_schema_column(const LakeSchema *schema, const char *name)
{
    for (guint i = 0; schema && i < schema->n_columns; i++)
        if (strcmp(schema->columns[i].name, name) == 0)
            return &schema->columns[i];
    return NULL;
}

/* --- parsing --- */

static gboolean
take_format(LakeSchema *schema, const cJSON *value, GError **error)
{
    for (guint i = 0; cJSON_IsString(value) && i < G_N_ELEMENTS(format_names); i++)
        if (strcmp(value->valuestring, format_names[i]) == 0) {
            schema->format = (LakeFormat)i;
            return TRUE;
        }
    return refuse(error,
        "\"files\": by the extension; \"rows\": .jsonl, .json, .csv and .tsv files hold rows; "
        "\"coco_panoptic\": .json files have the annotations of a data set",
        "format must be \"files\", \"rows\" or \"coco_panoptic\"");
}

static gboolean
is_column_name(const char *name)
{
    return *name && strlen(name) <= NAME_MAX_BYTES;
}

static char *
dup_type_names(void)
{
    GString *names = g_string_new(NULL);

    for (LakeType type = LAKE_TYPE_TEXT; type < LAKE_TYPE_OTHER; type++)
        g_string_append_printf(
            names, "%s%s", names->len ? ", " : "", lake_type_info(type)->schema_name);
    return g_string_free(names, FALSE);
}

static gboolean
take_column(LakeSchema *schema, const cJSON *column, GError **error)
{
    const char *name = column->string;
    g_autofree char *hint = dup_type_names();

    if (!is_column_name(name))
        return refuse(error, "PostgreSQL has no longer ones",
            "schema: the name of a column has 1 to %d bytes", NAME_MAX_BYTES);
    if (!cJSON_IsString(column))
        return refuse(error, hint, "schema: the type of \"%s\" must be a string", name);
    if (g_ascii_strcasecmp(column->valuestring, FILE_TYPE) == 0) {
        if (schema->format != LAKE_FORMAT_ROWS)
            return TRUE;
        return refuse(error,
            "FILE says what a drop zone of the format \"files\" takes: copy the files "
            "themselves into one",
            "schema: \"%s\" is a FILE, which rows cannot have", name);
    }
    LakeType type = lake_type_from_schema(column->valuestring);
    if (type == LAKE_TYPE_OTHER)
        return refuse(error, hint, "schema: \"%s\" has the type \"%s\", which there is not",
            name, column->valuestring);
    if (schema->format != LAKE_FORMAT_ROWS)
        return refuse(error, "for files that hold rows write {\"format\": \"rows\"} too",
            "schema: \"%s\" must be \"" FILE_TYPE "\": this drop zone takes files, and their "
            "kinds give the columns",
            name);
    if (strcmp(name, "file_id") == 0)
        return refuse(error, "call it something else",
            "schema: the column file_id is the one that says from which file a row is");
    if (lake_schema_column(schema, name))
        return refuse(error, "which of them counts?", "schema: \"%s\" is there twice", name);
    schema->columns[schema->n_columns++] = (LakeColumn){g_strdup(name), type};
    return TRUE;
}

static gboolean
take_columns(LakeSchema *schema, const cJSON *value, GError **error)
{
    const cJSON *column;

    if (!cJSON_IsObject(value))
        return refuse(error, "as in {\"schema\": {\"name\": \"TEXT\", \"age\": \"INT64\"}}",
            "schema must be an object of column names and types");
    schema->columns = g_new0(LakeColumn, (gsize)cJSON_GetArraySize(value) + 1);
    cJSON_ArrayForEach(column, value)
    {
        if (!take_column(schema, column, error))
            return FALSE;
    }
    if (lake_schema_column(schema, "id") && lake_schema_column(schema, "_id"))
        return refuse(error, "where rows bring their own id, the table's key is called _id",
            "schema: there cannot be both id and _id");
    return TRUE;
}

static gboolean
add_index(LakeSchema *schema, const char *column, const char *method, GError **error)
{
    if (!is_column_name(column))
        return refuse(error, "name columns of the table", "index: this is no column's name");
    for (guint i = 0; i < schema->n_indexes; i++)
        if (strcmp(schema->indexes[i].column, column) == 0 &&
            g_strcmp0(schema->indexes[i].method, method) == 0)
            return refuse(error, "once is enough", "index: \"%s\" is there twice", column);
    schema->indexes[schema->n_indexes++] = (LakeSchemaIndex){
        .column = g_strdup(column),
        .method = method && *method ? g_strdup(method) : NULL,
    };
    return TRUE;
}

static gboolean
refuse_index(GError **error)
{
    return refuse(error, "as in {\"index\": [\"text\"]} or {\"index\": {\"text\": \"bm25\"}}",
        "index must be a list of columns, or an object of columns and methods");
}

/* "bm25", or {"index_type": "bm25"}. */
static gboolean
take_index(LakeSchema *schema, const cJSON *index, gboolean is_list, GError **error)
{
    const cJSON *method = index;

    if (is_list && cJSON_IsString(index))
        return add_index(schema, index->valuestring, NULL, error);
    if (cJSON_IsObject(index) && cJSON_GetArraySize(index) == 1)
        method = cJSON_GetObjectItemCaseSensitive(index, "index_type");
    if (!is_list && cJSON_IsNull(index))
        return add_index(schema, index->string, NULL, error);
    if (is_list || !cJSON_IsString(method))
        return refuse_index(error);
    return add_index(schema, index->string, method->valuestring, error);
}

static gboolean
take_indexes(LakeSchema *schema, const cJSON *value, GError **error)
{
    const cJSON *index;

    if (!cJSON_IsArray(value) && !cJSON_IsObject(value))
        return refuse_index(error);
    schema->indexes = g_new0(LakeSchemaIndex, (gsize)cJSON_GetArraySize(value) + 1);
    cJSON_ArrayForEach(index, value)
    {
        if (!take_index(schema, index, cJSON_IsArray(value), error))
            return FALSE;
    }
    return TRUE;
}

#define FOLDERS_EXAMPLE                                                                        \
    "as in {\"format\": \"coco_panoptic\", \"images_dir\": \"/data/coco/train2017\", "         \
    "\"masks_dir\": \"/data/coco/panoptic_train2017\"}"

static gboolean
take_folder(const LakeSchema *schema, const char *name, const cJSON *value, char **ret_path,
    GError **error)
{
    const char *path = cJSON_GetStringValue(value);

    if (schema->format != LAKE_FORMAT_COCO_PANOPTIC)
        return refuse(
            error, FOLDERS_EXAMPLE, "%s goes with the format \"coco_panoptic\" alone", name);
    if (!path || path[0] != '/' || strlen(path) >= PATH_MAX)
        return refuse(error, FOLDERS_EXAMPLE, "%s must be the absolute path of a folder", name);
    *ret_path = g_strdup(path);
    return TRUE;
}

static gboolean
take_images_dir(LakeSchema *schema, const cJSON *value, GError **error)
{
    return take_folder(schema, "images_dir", value, &schema->images_dir, error);
}

static gboolean
take_masks_dir(LakeSchema *schema, const cJSON *value, GError **error)
{
    return take_folder(schema, "masks_dir", value, &schema->masks_dir, error);
}

static gboolean
check_folders(const LakeSchema *schema, GError **error)
{
    const char *missing = !schema->images_dir  ? "images_dir"
                          : !schema->masks_dir ? "masks_dir"
                                               : NULL;

    if (schema->format != LAKE_FORMAT_COCO_PANOPTIC || !missing)
        return TRUE;
    return refuse(error, FOLDERS_EXAMPLE, "the format \"coco_panoptic\" needs %s too", missing);
}

static gboolean
take_text(LakeSchema *schema, guint which, const char *text, GError **error)
{
    static gboolean (*const takers[])(LakeSchema *, const cJSON *, GError **) = {
        take_format, take_columns, take_indexes, take_images_dir, take_masks_dir};
    static const char *const names[] = {"format", "schema", "index", "images_dir", "masks_dir"};

    if (!text)
        return TRUE;
    cJSON *value = cJSON_ParseWithOpts(text, NULL, TRUE);
    if (!value)
        return refuse(error, "as in {\"name\": \"TEXT\"}", "%s is not JSON", names[which]);
    gboolean is_good = takers[which](schema, value, error);
    cJSON_Delete(value);
    schema->texts[which] = g_strdup(text);
    return is_good;
}

gboolean
lake_schema_parse(const char *const *texts, LakeSchema **ret_schema, GError **error)
{
    g_autoptr(LakeSchema) schema = g_atomic_rc_box_new0(LakeSchema);

    for (guint which = 0; which < LAKE_SCHEMA_N_TEXTS; which++)
        if (!take_text(schema, which, texts[which], error))
            return FALSE;
    if (!check_folders(schema, error))
        return FALSE;
    gboolean says_nothing = schema->format == LAKE_FORMAT_FILES &&
                            !texts[LAKE_SCHEMA_COLUMNS] && schema->n_indexes == 0;
    *ret_schema = says_nothing ? NULL : g_steal_pointer(&schema);
    return TRUE;
}
