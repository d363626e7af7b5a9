/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/records/value.h: values of a file of rows as values of a column, and the type of
 * column that they ask for. fs/SEMANTICS.md, Rows in files, says which is which. Any thread.
 */

#include "core/json_scan.h"
#include "core/rows.h"

/* Adds value to the row begun. takes_any: a column of TEXT takes all of JSON, as its text.
 * scratch is anybody's. Returns NULL, or why the column cannot have it (constant); then nothing
 * was added. */
const char *lake_record_add_value(LakeRows *rows, LakeType type, gboolean takes_any,
    const LakeJsonScanValue *value, GString *scratch);

/* The type that a column needs for what it had (LAKE_TYPE_OTHER: only NULL) and this value.
 * FALSE: there is none that has both. */
gboolean lake_record_widen(LakeType *type, const LakeJsonScanValue *value);

/* "a string", "a number" …: for messages. Constant. */
const char *lake_record_kind_name(const LakeJsonScanValue *value);
