/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/schema.h: what the rows of a drop zone look like: its options format, schema, index,
 * images_dir and masks_dir.
 *
 *   format   "files": each file makes rows by its kind. "rows": it holds rows, one per record,
 *            with columns of its own (core/ingest/records.c). "coco_panoptic": it has the
 *            annotations of a data set (core/ingest/coco.c), whose images and masks lie in
 *            images_dir and masks_dir: absolute paths of folders of the machine that ingests.
 *   schema   {"column": "TYPE"}: types and order of a new table's columns, for rows; types are
 *            those of core/type.h. "FILE" says what files are, and no column is made of it.
 *   index    ["column"], {"column": "method"}: indexes that the table is to have; "" is the
 *            method that the column's type asks for. Each is made in the transaction that makes
 *            its column, where the column is empty: so it costs nothing, and is there with the
 *            first rows or not at all.
 *
 * Ref-counted and constant; any thread.
 */

#include "core/rows.h"

typedef enum {
    LAKE_FORMAT_FILES,
    LAKE_FORMAT_ROWS,
    LAKE_FORMAT_COCO_PANOPTIC,
} LakeFormat;

/* The options, in the order in which they are looked at. */
typedef enum {
    LAKE_SCHEMA_FORMAT,
    LAKE_SCHEMA_COLUMNS,
    LAKE_SCHEMA_INDEXES,
    LAKE_SCHEMA_IMAGES_DIR,
    LAKE_SCHEMA_MASKS_DIR,
    LAKE_SCHEMA_N_TEXTS,
} LakeSchemaText;

typedef struct {
    char *column;
    char *method; /* as core/index.h has them; NULL: that of the column's type */
} LakeSchemaIndex;

typedef struct {
    LakeFormat format;
    LakeColumn *columns; /* without those of the type FILE; names are owned */
    guint n_columns;
    LakeSchemaIndex *indexes;
    guint n_indexes;
    char *images_dir, *masks_dir;     /* of coco_panoptic; else NULL */
    char *texts[LAKE_SCHEMA_N_TEXTS]; /* each option as JSON; NULL: not given */
} LakeSchema;

/* Each of the texts is JSON or NULL; *ret_schema NULL where all say no more than what counts
 * anyway. Whether folders are there is not looked at.
 *   BAD_INPUT  not what they can be; a type that is none; what does not go together */
gboolean lake_schema_parse(const char *const *texts, LakeSchema **ret_schema, GError **error);
/* NULL is allowed in all that follow. */
LakeSchema *lake_schema_ref(LakeSchema *schema);
void lake_schema_unref(LakeSchema *schema);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeSchema, lake_schema_unref)

LakeFormat lake_schema_format(const LakeSchema *schema);
/* NULL when it says nothing of a column of that name. */
const LakeColumn *lake_schema_column(const LakeSchema *schema, const char *name);
