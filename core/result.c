/* SPDX-License-Identifier: Apache-2.0 */
#include "core/result.h"

void
lake_result_free(LakeResult *result)
{
    if (result)
        result->class->free(result);
}

guint
lake_result_n_rows(const LakeResult *result)
{
    return result->class->n_rows(result);
}

guint
lake_result_n_columns(const LakeResult *result)
{
    return result->class->n_columns(result);
}

const char *
lake_result_column_name(const LakeResult *result, guint column)
{
    return result->class->column_name(result, column);
}

guint32
lake_result_column_oid(const LakeResult *result, guint column)
{
    return result->class->column_oid(result, column);
}

const char *
lake_result_text(const LakeResult *result, guint row, guint column)
{
    return result->class->text(result, row, column);
}

gsize
lake_result_length(const LakeResult *result, guint row, guint column)
{
    return result->class->length(result, row, column);
}

gint64
lake_result_int64(const LakeResult *result, guint row, guint column)
{
    const char *text = lake_result_text(result, row, column);

    return text ? g_ascii_strtoll(text, NULL, 10) : 0;
}

gboolean
lake_result_bool(const LakeResult *result, guint row, guint column)
{
    const char *text = lake_result_text(result, row, column);

    return text && text[0] == 't';
}

gint64
lake_result_n_affected(const LakeResult *result)
{
    return result->class->n_affected(result);
}

gboolean
lake_result_is_json(const LakeResult *result)
{
    return result->class->json != NULL;
}

const char *
lake_result_json(const LakeResult *result, guint row, guint column, gsize *ret_n_bytes)
{
    return result->class->json ? result->class->json(result, row, column, ret_n_bytes) : NULL;
}
