/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/type.h: the column types of the specification ("Data Types") in every form we need: one
 * table, in core/type.c. Constant; any thread.
 */

#include <glib.h>

typedef enum {
    LAKE_TYPE_TEXT,
    LAKE_TYPE_INT32,
    LAKE_TYPE_INT64,
    LAKE_TYPE_FLOAT32,
    LAKE_TYPE_FLOAT64,
    LAKE_TYPE_BOOL,
    LAKE_TYPE_BINARY,
    LAKE_TYPE_IMAGE,
    LAKE_TYPE_VIDEO,
    LAKE_TYPE_EMBEDDING,
    LAKE_TYPE_SEGMENT_MASK,
    LAKE_TYPE_BINARY_MASK,
    LAKE_TYPE_BOUNDING_BOX,
    LAKE_TYPE_CLASS_LABEL,
    LAKE_TYPE_POLYGON,
    LAKE_TYPE_POINT,
    LAKE_TYPE_MESH,
    LAKE_TYPE_MEDICAL,
    LAKE_TYPE_JSONB, /* of later versions of the specification, which calls it JSON too */
    LAKE_TYPE_OTHER, /* a PostgreSQL type that the specification does not name */
} LakeType;

typedef struct {
    LakeType type;
    const char *schema_name; /* "INT64" */
    const char *sql_name;    /* as CREATE TABLE takes it on a server without our domains */
    const char *domain;      /* the extension's domain, NULL where there is none */
    guint32 base_oid;        /* pg_type.dat; its array's in array_oid */
    guint32 array_oid;
} LakeTypeInfo;

const LakeTypeInfo *lake_type_info(LakeType type);

/* The specification's name for a column of this SQL type as format_type() writes it, or of this
 * domain; LAKE_TYPE_OTHER where it has none. */
LakeType lake_type_from_sql(const char *sql_type);

/* The type that a schema calls so ("INT64", in any case; "JSON" is JSONB); LAKE_TYPE_OTHER when
 * there is none. */
LakeType lake_type_from_schema(const char *name);
