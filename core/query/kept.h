/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query/kept.h: a result that is made once and read in any format later (LAKE_QUERY_KEPT):
 * per record the lengths of its JSON object and of its CSV record, then both. The first record
 * is the header of CSV, whose JSON is empty. Any thread.
 *
 *   14 4\n{"n":1,"t":"a"}1,a\n…
 */

#include <glib.h>

/* Appends one record; json and csv as they stand in their formats. */
void lake_kept_append(GString *into, const GString *json, const GString *csv);
