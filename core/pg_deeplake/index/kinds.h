/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/index/kinds.h: what index.c chooses from, but for bm25, which has a face of
 * its own.
 */

#include "core/pg_deeplake/index.h"

/* exact_text and inverted: rows by equality, order and containment. The pages, their WAL and
 * VACUUM are those of the server's GIN; the operator classes' support functions are in
 * index/keys.c. Both types hold the same, so that one may become the other by ALTER INDEX. */
extern const DeeplakeIndexKind deeplake_lookup_kind;

/* clustered, clustered_quantized, pooled_quantized and hybrid: accepted, so that what was
 * written for them runs; they hold nothing, and searches are exact by scan. */
extern const DeeplakeIndexKind deeplake_accepted_kind;

/* The kind of an index by its type. Raises an ERROR where this version has none. */
const DeeplakeIndexKind *deeplake_index_kind(Relation index);

/* amvalidate */
bool deeplake_index_validate(Oid operator_class);
