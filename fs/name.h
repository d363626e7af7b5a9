/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/name.h: table names ↔ file names at the root and in ingest/, keys ↔ file names in rows/.
 * Reversible, pure; any thread.
 *
 * A table's file name is its exact name, but '%' is %25 and '/' is %2F; and where the name is
 * taken ("ingest", ".deeplake", ".", "..", or one that ends in ".sql") all bytes of its first
 * character are percent-encoded as well.
 */

#include <glib.h>

/* Caller frees. */
char *fs_name_from_table(const char *table);

/* The table that a file name stands for; caller frees.
 *   BAD_NAME   not UTF-8
 *   LONG_NAME  the table's name has more than 63 bytes
 *   BAD_INPUT  a '%' that is not followed by two hexadecimal digits, or encodes what needs none
 */
char *fs_name_to_table(const char *name, GError **error);

/* TRUE for names at the root that can never be a table's. */
gboolean fs_name_is_reserved(const char *name);

/* The parts of a key, each percent-encoded where it has '%', ',', '/', a control character or a
 * dot at its beginning, joined by ','; an empty part is "%". Caller frees. */
char *fs_name_from_key(const char *const *key);

/* The key of n_parts that a file name stands for, or NULL when it is no such name; caller
 * frees. */
char **fs_name_to_key(const char *name, guint n_parts);

/* A column's file name without its extension: encoded as a key's part. Caller frees. */
char *fs_name_from_column(const char *column);
