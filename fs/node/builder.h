/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/builder.h: the specification's fluent queries as a path below a table's folder:
 * `.where/start_time > 60/.limit/10/results.json`. A method's folder (`.where`) holds one
 * folder for every value it could have; in that stand the methods again, and what they come to.
 * Nothing is kept: the path is the query. core/query/builder.c makes SQL of it. Keyword search
 * is a method among them: `.search/some words/results.json`.
 */

#include "fs/node.h"

/* A method, or `results.…` of the whole table, in a table's folder; with a reference. NULL
 * without an error: no such name. */
FsNode *fs_builder_lookup(FsNode *table, const char *name);
