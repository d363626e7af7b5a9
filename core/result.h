/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/result.h: the rows that a statement gave, all in memory, values in PostgreSQL's text
 * form, or in its binary form where the statement asked for that.
 *
 * Immutable; any thread may read. Owner frees.
 */

#include <glib.h>

typedef struct LakeResult LakeResult;

void lake_result_free(LakeResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeResult, lake_result_free)

guint lake_result_n_rows(const LakeResult *result);
guint lake_result_n_columns(const LakeResult *result);
const char *lake_result_column_name(const LakeResult *result, guint column);
guint32 lake_result_column_oid(const LakeResult *result, guint column);

/* NULL for SQL NULL; borrowed, NUL-terminated. */
const char *lake_result_text(const LakeResult *result, guint row, guint column);
gsize lake_result_length(const LakeResult *result, guint row, guint column);
gint64 lake_result_int64(const LakeResult *result, guint row, guint column); /* 0 for NULL */
gboolean lake_result_bool(const LakeResult *result, guint row, guint column);

/* Rows that the statement inserted, updated or deleted. */
gint64 lake_result_n_affected(const LakeResult *result);

/* A value as JSON, where the server gives values as JSON (a service over HTTP, for which every
 * column's OID is that of json); NULL elsewhere, and for SQL NULL. Borrowed, *ret_n_bytes long,
 * not NUL-terminated. */
gboolean lake_result_is_json(const LakeResult *result);
const char *
lake_result_json(const LakeResult *result, guint row, guint column, gsize *ret_n_bytes);

/* For those who make one: core/result.c only forwards to these. */
typedef struct {
    void (*free)(LakeResult *result);
    guint (*n_rows)(const LakeResult *result);
    guint (*n_columns)(const LakeResult *result);
    const char *(*column_name)(const LakeResult *result, guint column);
    guint32 (*column_oid)(const LakeResult *result, guint column);
    const char *(*text)(const LakeResult *result, guint row, guint column);
    gsize (*length)(const LakeResult *result, guint row, guint column);
    gint64 (*n_affected)(const LakeResult *result);
    /* May be missing. */
    const char *(*json)(const LakeResult *result, guint row, guint column, gsize *ret_n_bytes);
} LakeResultClass;

/* First member of every implementation. */
struct LakeResult {
    const LakeResultClass *class;
};
