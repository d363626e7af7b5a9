/* SPDX-License-Identifier: Apache-2.0 */
#include "core/type.h"

#include <string.h>

/* OIDs of PostgreSQL's pg_type.dat, the same on every server. PostgreSQL has no arrays of
 * arrays, so a type that is an array itself has no array_oid. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_BOOL_ARRAY = 1000,
    OID_BYTEA_ARRAY = 1001,
    OID_INT4_ARRAY = 1007,
    OID_TEXT_ARRAY = 1009,
    OID_INT8_ARRAY = 1016,
    OID_FLOAT4_ARRAY = 1021,
    OID_FLOAT8_ARRAY = 1022,
    OID_JSONB = 3802,
    OID_JSONB_ARRAY = 3807,
};

/* Domains are spelled as pg_type.typname has them: the extension creates them unquoted. */
static const LakeTypeInfo types[] = {
    {LAKE_TYPE_TEXT, "TEXT", "text", NULL, OID_TEXT, OID_TEXT_ARRAY},
    {LAKE_TYPE_INT32, "INT32", "integer", NULL, OID_INT4, OID_INT4_ARRAY},
    {LAKE_TYPE_INT64, "INT64", "bigint", NULL, OID_INT8, OID_INT8_ARRAY},
    {LAKE_TYPE_FLOAT32, "FLOAT32", "real", NULL, OID_FLOAT4, OID_FLOAT4_ARRAY},
    {LAKE_TYPE_FLOAT64, "FLOAT64", "double precision", NULL, OID_FLOAT8, OID_FLOAT8_ARRAY},
    {LAKE_TYPE_BOOL, "BOOL", "boolean", NULL, OID_BOOL, OID_BOOL_ARRAY},
    {LAKE_TYPE_BINARY, "BINARY", "bytea", NULL, OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_IMAGE, "IMAGE", "bytea", "image", OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_VIDEO, "VIDEO", "bytea", "video", OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_EMBEDDING, "EMBEDDING", "real[]", NULL, OID_FLOAT4_ARRAY, 0},
    {LAKE_TYPE_SEGMENT_MASK, "SEGMENT_MASK", "bytea", "segment_mask", OID_BYTEA,
        OID_BYTEA_ARRAY},
    {LAKE_TYPE_BINARY_MASK, "BINARY_MASK", "bytea", "binary_mask", OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_BOUNDING_BOX, "BOUNDING_BOX", "real[]", "bounding_box", OID_FLOAT4_ARRAY, 0},
    {LAKE_TYPE_CLASS_LABEL, "CLASS_LABEL", "integer", "class_label", OID_INT4, OID_INT4_ARRAY},
    {LAKE_TYPE_POLYGON, "POLYGON", "bytea", "deeplake_polygon", OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_POINT, "POINT", "real[]", "deeplake_point", OID_FLOAT4_ARRAY, 0},
    {LAKE_TYPE_MESH, "MESH", "bytea", "mesh", OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_MEDICAL, "MEDICAL", "bytea", "medical", OID_BYTEA, OID_BYTEA_ARRAY},
    {LAKE_TYPE_JSONB, "JSONB", "jsonb", NULL, OID_JSONB, OID_JSONB_ARRAY},
    /* A column is never created of it, so it has no SQL name. */
    {LAKE_TYPE_OTHER, "OTHER", NULL, NULL, 0, 0},
};

const LakeTypeInfo *
lake_type_info(LakeType type)
{
    g_return_val_if_fail((guint)type < G_N_ELEMENTS(types), &types[LAKE_TYPE_OTHER]);

    return &types[type];
}

/* The name after the schema, without quotes: format_type() writes either or both when the
 * search path or the spelling need them. */
static char *
bare_name(const char *sql_type)
{
    gsize n_bytes = strlen(sql_type);

    if (n_bytes >= 2 && sql_type[n_bytes - 1] == '"') {
        const char *opening = g_strrstr_len(sql_type, (gssize)n_bytes - 1, "\"");
        if (opening)
            return g_strndup(opening + 1, (gsize)(sql_type + n_bytes - 1 - (opening + 1)));
    }

    const char *dot = strrchr(sql_type, '.');
    return g_strdup(dot ? dot + 1 : sql_type);
}

LakeType
lake_type_from_sql(const char *sql_type)
{
    g_autofree char *name = bare_name(sql_type);

    /* Built-in names only when they stand alone: public.text is somebody's own type. */
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        if (!types[i].domain && g_strcmp0(types[i].sql_name, sql_type) == 0)
            return types[i].type;
    }
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i].domain && g_ascii_strcasecmp(types[i].domain, name) == 0)
            return types[i].type;
    }

    /* Two domains of the extension that check the dimensions of an embedding. */
    if (g_ascii_strcasecmp(name, "embedding") == 0 ||
        g_ascii_strcasecmp(name, "embedding_2d") == 0)
        return LAKE_TYPE_EMBEDDING;
    return LAKE_TYPE_OTHER;
}

LakeType
lake_type_from_schema(const char *name)
{
    if (g_ascii_strcasecmp(name, "JSON") == 0)
        return LAKE_TYPE_JSONB;
    for (guint i = 0; types[i].type != LAKE_TYPE_OTHER; i++) {
        if (g_ascii_strcasecmp(types[i].schema_name, name) == 0)
            return types[i].type;
    }
    return LAKE_TYPE_OTHER;
}
