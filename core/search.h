/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/search.h: where keyword search looks in a table: the column that has an index of the
 * type bm25, of several the first in the order of columns. As SQL, for core/query/builder.c.
 *
 * Read from the system catalogs on every call. Any thread; each call may block.
 */

#include "core/catalog.h"

typedef struct {
    char *columns;  /* the table's but the media ones, quoted, joined by commas */
    char *column;   /* the one that is searched, quoted */
    char *operator; /* <#>, with its schema where queries would not find it otherwise */
} LakeSearch;

/* Caller frees.
 *   NOT_FOUND    no such table
 *   UNSUPPORTED  the database does not have the extension
 *   BAD_INPUT    no column of the table has such an index */
LakeSearch *lake_search_open(
    LakeCatalog *catalog, const char *table, GCancellable *cancellable, GError **error);
void lake_search_free(LakeSearch *search);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeSearch, lake_search_free)
