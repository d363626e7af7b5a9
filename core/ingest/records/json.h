/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/records/json.h: JSON as RFC 8259 has it, one value after the other, in memory
 * that may end before the text does.
 *
 * Not cJSON, which wants the whole text, and for which a number is a double: 9007199254740993
 * would become another. Here a value is a piece of the text, so numbers stay what they are and
 * nested values go to the server as they were written. Constant; any thread.
 */

#include <glib.h>

#define LAKE_RECORD_JSON_MAX_DEPTH 512 /* of arrays and objects within each other */

typedef enum {
    LAKE_RECORD_NULL,
    LAKE_RECORD_FALSE,
    LAKE_RECORD_TRUE,
    LAKE_RECORD_NUMBER,
    LAKE_RECORD_STRING,
    LAKE_RECORD_ARRAY,
    LAKE_RECORD_OBJECT,
    LAKE_RECORD_FIELD, /* of a CSV file, where all values are text */
} LakeRecordKind;

typedef struct {
    LakeRecordKind kind;
    const char *text; /* of a string what is between its quotes */
    gsize n_bytes;
    gboolean has_escapes; /* of a string; of a field: it was quoted */
    gboolean is_whole;    /* of a number: no fraction and no exponent */
    gboolean is_vector;   /* of an array: numbers alone; also when it is empty */
} LakeRecordValue;

typedef enum {
    LAKE_RECORD_JSON_GOOD,
    LAKE_RECORD_JSON_SHORT, /* the memory ended first */
    LAKE_RECORD_JSON_BAD,
} LakeRecordJsonStatus;

typedef struct {
    const char *at, *end; /* where it is; of a bad text: where that shows */
    const char *reason;   /* constant; of a bad text */
    guint depth;
} LakeRecordJson;

typedef struct {
    LakeRecordValue key; /* a string */
    LakeRecordValue value;
} LakeRecordJsonMember;

void lake_record_json_skip_space(LakeRecordJson *json);

/* Passes over one value, and the space before it. */
LakeRecordJsonStatus lake_record_json_value(LakeRecordJson *json, LakeRecordValue *ret_value);

/* The same for a value that must be an object; members (of LakeRecordJsonMember) are added. */
LakeRecordJsonStatus lake_record_json_object(LakeRecordJson *json, GArray *members);

/* Appends what a string stands for. */
void lake_record_json_decode(const LakeRecordValue *string, GString *into);
