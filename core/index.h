/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/index.h: the indexes of a table, each under a label that is a file name.
 *
 * The label of an index that was made here is its definition: columns joined by ',', a '.', and
 * the method ("file_id.btree"); in a column's name '%', ',' and '/' are percent-encoded. It is
 * kept in the index's comment. Any other index has its own name as label, with '%', '/' and '.'
 * percent-encoded: so one kind always has a '.', and the other never. Truth is in the system
 * catalogs, asked on every call. Any thread; each call may block.
 */

#include "core/catalog.h"
#include "core/schema.h"

#define LAKE_INDEX_LABEL_MAX_BYTES 255 /* NAME_MAX, linux/limits.h */

/* All labels of a table's indexes, of char*, sorted by the indexes' names. */
GPtrArray *lake_index_list(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error);

/* CREATE INDEX as SQL text, and a line of JSON; caller frees. NOT_FOUND. */
char *lake_index_definition(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error);
char *lake_index_info(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error);

/* Makes the index that label defines, and waits until it is whole; on an error there is none.
 *   EXISTS; LONG_NAME; BAD_NAME
 *   BAD_INPUT    no such column or method, or no way to index one with the other
 *   UNSUPPORTED  of the method's index types the server has not the access method */
gboolean lake_index_create(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error);

/* The same within a transaction, for an index of the option index; fine when it is there. A
 * method that is NULL is the type of index that the column's type has with the extension.
 * added: the column where this transaction adds it, else NULL.
 *   BAD_INPUT also when there is no such column */
gboolean lake_index_add(LakeTransaction *transaction, LakeCatalog *catalog, const char *table,
    const LakeSchemaIndex *index, const LakeColumn *added, GCancellable *cancellable,
    GError **error);

/* Whether the server can make an index with this method (NULL: of the extension). */
gboolean lake_index_check_method(
    LakeCatalog *catalog, const char *method, GCancellable *cancellable, GError **error);

/* NOT_FOUND; REFUSED for the index of a constraint, the primary key first of all. */
gboolean lake_index_drop(LakeCatalog *catalog, const char *table, const char *label,
    GCancellable *cancellable, GError **error);

/* The parts of a label that is a definition; caller frees both. BAD_INPUT, LONG_NAME, BAD_NAME.
 */
gboolean
lake_index_parse(const char *label, GStrv *ret_columns, char **ret_method, GError **error);

/* The label of an index that was not made here; caller frees. */
char *lake_index_label_of_name(const char *name);
