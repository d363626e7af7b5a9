/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/answer.h: what the service answers to a statement, {"columns":…,"rows":…,
 * "row_count":…}, as LakeResult. There are no types in it: every column's OID is that of json,
 * a value's text is what a string says, and of what is no string its JSON; true and false are
 * t and f, as PostgreSQL writes them.
 *
 * An answer lies in its spool, a large one in a file that is mapped: its rows cost memory only
 * as they are taken. One thread.
 */

#include "core/result.h"
#include "core/spool.h"
#include "core/statement.h"

typedef struct LakeApiAnswer LakeApiAnswer;

/* FAILED when it is not what a service answers, and says where; or when it has a member
 * "error". An empty body is an answer without columns. A reference to body is taken. */
LakeApiAnswer *lake_api_answer_new(LakeSpool *body, GError **error);
void lake_api_answer_free(LakeApiAnswer *answer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeApiAnswer, lake_api_answer_free)

/* Whether it has a first row. */
gboolean lake_api_answer_has_rows(const LakeApiAnswer *answer);

/* The next n_max rows, or as many as there are, in memory; of columns that statement expects to
 * be bytes the bytes. Owns nothing of the answer. */
LakeResult *lake_api_answer_take(
    LakeApiAnswer *answer, const LakeStatement *statement, guint n_max, GError **error);

/* A result of one row, which is the next one each time it is asked for: borrowed until then.
 * NULL without an error: there are no more. Before the first row it has the columns alone. */
const LakeResult *lake_api_answer_columns(LakeApiAnswer *answer);
const LakeResult *lake_api_answer_next_row(LakeApiAnswer *answer, GError **error);

/* Rows that the statement changed, or gave: what the service counts; -1 where it does not. */
gint64 lake_api_answer_n_affected(const LakeApiAnswer *answer);

/* A result without columns, of a statement that touched n_affected rows. */
LakeResult *lake_api_answer_new_empty(gint64 n_affected);
