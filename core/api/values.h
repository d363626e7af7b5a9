/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/values.h: values that LakeRows holds in PostgreSQL's binary form as the text that
 * its input functions take, for a service that has JSON strings alone. Pure.
 */

#include "core/rows.h"

/* Appends one value. A bytea gets the form \x0123…, an array of floats {…}. */
void lake_api_values_append(GString *into, LakeType type, const guint8 *bytes, gsize n_bytes);

/* Appends a column of rows as the text of a one-dimensional array. */
void lake_api_values_append_array(GString *into, const LakeRows *rows, guint column);

/* The bytes of one element of lake_rows_elements, and the element after it; NULL in *ret_bytes
 * for SQL NULL. */
const guint8 *
lake_api_values_next(const guint8 *element, const guint8 **ret_bytes, gsize *ret_n_bytes);

gboolean lake_api_values_is_bytes(LakeType type);

/* Appends n_bytes as base64, without line breaks. */
void lake_api_values_append_base64(GString *into, const guint8 *bytes, gsize n_bytes);
