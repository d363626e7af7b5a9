/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query/to_json.h: values in PostgreSQL's text form as JSON, as PostgreSQL's own to_json
 * would write them.
 *
 * numeric and integers in full; bool; json and jsonb as they are; arrays as arrays, composites
 * as objects, ranges and everything else as strings; timestamps ISO 8601; bytea base64; NaN and
 * infinities as strings. One encoder belongs to one thread.
 */

#include <glib.h>

/* What to_json needs to know of a type beyond its OID. */
typedef struct LakeJsonType LakeJsonType;
struct LakeJsonType {
    guint32 oid;
    char kind;       /* pg_type.typtype: b base, c composite, d domain, e enum, r range … */
    char delimiter;  /* typdelim; ',' but for box */
    guint32 element; /* of an array type, else 0 */
    guint32 base;    /* of a domain, else 0 */
    guint n_fields;  /* of a composite */
    char **field_names;
    guint32 *field_oids;
};

/* Looks up a type that is not built in; returns a borrowed one that lives as long as the
 * encoder, or NULL with an error. Asked at most once per OID by an encoder. */
typedef const LakeJsonType *(*LakeJsonTypeLookup)(
    guint32 oid, gpointer user_data, GError **error);

typedef struct LakeJsonEncoder LakeJsonEncoder;

LakeJsonEncoder *lake_json_encoder_new(LakeJsonTypeLookup lookup, gpointer user_data);
void lake_json_encoder_free(LakeJsonEncoder *encoder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeJsonEncoder, lake_json_encoder_free)

/* Names the columns of the rows that follow; a name met before gets _2, _3 … Resolves their
 * types. */
gboolean lake_json_encoder_set_columns(LakeJsonEncoder *encoder, const char *const *names,
    const guint32 *oids, guint n_columns, GError **error);

/* Appends one row as {"name":value,…}; texts[i] NULL is null. lengths[i] in bytes. */
gboolean lake_json_encoder_row(LakeJsonEncoder *encoder, const char *const *texts,
    const gsize *lengths, GString *into, GError **error);
