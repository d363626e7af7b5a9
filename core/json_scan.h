/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/json_scan.h: JSON as RFC 8259 has it, one value after the other, in memory that
 * may end before the text does: files of rows, and what a service answers.
 *
 * Not cJSON, which wants the whole text, and for which a number is a double: 9007199254740993
 * would become another. Here a value is a piece of the text, so numbers stay what they are and
 * nested values go to the server as they were written. Constant; any thread.
 */

#include <glib.h>

#define LAKE_JSON_SCAN_MAX_DEPTH 512 /* of arrays and objects within each other */

typedef enum {
    LAKE_JSON_SCAN_NULL,
    LAKE_JSON_SCAN_FALSE,
    LAKE_JSON_SCAN_TRUE,
    LAKE_JSON_SCAN_NUMBER,
    LAKE_JSON_SCAN_STRING,
    LAKE_JSON_SCAN_ARRAY,
    LAKE_JSON_SCAN_OBJECT,
    LAKE_JSON_SCAN_FIELD, /* of a CSV file, where all values are text */
} LakeJsonScanKind;

typedef struct {
    LakeJsonScanKind kind;
    const char *text; /* of a string what is between its quotes */
    gsize n_bytes;
    gboolean has_escapes; /* of a string; of a field: it was quoted */
    gboolean is_whole;    /* of a number: no fraction and no exponent */
    gboolean is_vector;   /* of an array: numbers alone; also when it is empty */
} LakeJsonScanValue;

typedef enum {
    LAKE_JSON_SCAN_GOOD,
    LAKE_JSON_SCAN_SHORT, /* the memory ended first */
    LAKE_JSON_SCAN_BAD,
} LakeJsonScanStatus;

typedef struct {
    const char *at, *end; /* where it is; of a bad text: where that shows */
    const char *reason;   /* constant; of a bad text */
    guint depth;
    /* An escape that stands for no character (\u0000, half of a surrogate pair) is no mistake:
     * columns of the type json may hold it, but no other value of PostgreSQL's. */
    gboolean keeps_escapes;
} LakeJsonScan;

typedef struct {
    LakeJsonScanValue key; /* a string */
    LakeJsonScanValue value;
} LakeJsonScanMember;

void lake_json_scan_skip_space(LakeJsonScan *json);

/* Passes over one value, and the space before it. */
LakeJsonScanStatus lake_json_scan_value(LakeJsonScan *json, LakeJsonScanValue *ret_value);

/* The same for a value that must be an object; members (of LakeJsonScanMember) are added. */
LakeJsonScanStatus lake_json_scan_object(LakeJsonScan *json, GArray *members);

/* Appends what a string stands for; escapes that stand for nothing as they are written. */
void lake_json_scan_decode(const LakeJsonScanValue *string, GString *into);
