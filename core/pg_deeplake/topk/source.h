/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/source.h: which table's column an expression of a query is, and which
 * bm25 index that column has.
 *
 * text <#> text needs statistics, and an operator is given two values. So the planner is asked
 * while it still knows: a support function resolves the left side, and puts another function
 * there, which is given the index, and the table of each row (with partitions, each has its own
 * index).
 */

#include "core/pg_deeplake/module.h"

#include <nodes/pathnodes.h>

typedef struct {
    Oid table;
    AttrNumber column; /* 0: an expression over the table's columns */
    Node *expression;  /* then this, its Vars of varno 1 */
    Node *row_table;   /* an expression: the row's own table, where `table` has children */
} DeeplakeSource;

/* FALSE: neither a column of a table nor an expression over one. Looks through subqueries and
 * common table expressions, where the table has no children. */
bool deeplake_source_find(PlannerInfo *root, Node *value, DeeplakeSource *ret_source);

/* The table's bm25 index over all rows, or InvalidOid. */
Oid deeplake_source_index(const DeeplakeSource *source);

/* Of an index of a table that has children: the one of a child, or InvalidOid. */
Oid deeplake_source_child_index(Oid index, Oid table);

/* A call of a function of ours that only the planner makes: name is in the schema of sibling.
 * Users cannot make such a call (deeplake_source_check_call), and so cannot name in it a table
 * that they may not read. */
Node *deeplake_source_call(Oid sibling, const char *name, List *arguments);
void deeplake_source_check_call(FunctionCallInfo fcinfo);
