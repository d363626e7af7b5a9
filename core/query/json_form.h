/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query/json_form.h: how a type's text becomes JSON, found out once per type.
 *
 * Built-in types come from a table, others from the encoder's lookup. Belongs to one thread.
 */

#include "core/query/to_json.h"

typedef enum {
    LAKE_JSON_STRING,
    LAKE_JSON_NUMBER,
    LAKE_JSON_BOOL,
    LAKE_JSON_JSON,
    LAKE_JSON_BYTES,
    LAKE_JSON_TIMESTAMP,
    LAKE_JSON_TIMESTAMP_ZONED,
    LAKE_JSON_ARRAY,
    LAKE_JSON_VECTOR, /* int2vector, oidvector: elements separated by spaces */
    LAKE_JSON_COMPOSITE,
} LakeJsonFormKind;

/* `"name":`, with what stands before it. */
typedef struct {
    char *text; /* owned */
    gsize n_bytes;
} LakeJsonKey;

typedef struct LakeJsonForm LakeJsonForm;
struct LakeJsonForm {
    LakeJsonFormKind kind;
    char delimiter; /* between values of this type in an array's text */
    const LakeJsonForm *element;
    guint n_fields;
    const LakeJsonForm **fields;
    LakeJsonKey *keys;
};

typedef struct LakeJsonForms LakeJsonForms;

LakeJsonForms *lake_json_forms_new(LakeJsonTypeLookup lookup, gpointer user_data);
void lake_json_forms_free(LakeJsonForms *forms);

/* The form of a type, borrowed until the forms are freed or cleared; NULL: the lookup failed.
 */
const LakeJsonForm *lake_json_forms_get(LakeJsonForms *forms, guint32 oid, GError **error);

/* Forgets all, so that types which a failed lookup left half known are asked for again. */
void lake_json_forms_clear(LakeJsonForms *forms);

/* before is put in as it is, name as a JSON string; the caller frees .text. */
LakeJsonKey lake_json_key(const char *before, const char *name);

/* Whether text is a number by the grammar of RFC 8259, which has no NaN and no Infinity. */
gboolean lake_json_is_number(const char *text, gsize n_bytes);
