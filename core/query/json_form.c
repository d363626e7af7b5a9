/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/json_form.h"

#include "core/query.h"

#include <string.h>

struct LakeJsonForms {
    LakeJsonTypeLookup lookup;
    gpointer user_data;
    GHashTable *forms; /* of LakeJsonForm by OID; borrowed from blocks */
    GPtrArray *blocks; /* all memory of the forms */
};

/* The types of pg_type.dat, whose OIDs are the same on every server: first those that to_json
 * does not write as strings, then the others. */
typedef struct {
    guint32 oid;
    guint32 array_oid;
    LakeJsonFormKind kind;
    guint32 element_oid; /* of a vector */
} BuiltIn;

static const BuiltIn built_ins[] = {
    {16, 1000, LAKE_JSON_BOOL},              /* bool */
    {17, 1001, LAKE_JSON_BYTES},             /* bytea */
    {20, 1016, LAKE_JSON_NUMBER},            /* int8 */
    {21, 1005, LAKE_JSON_NUMBER},            /* int2 */
    {22, 1006, LAKE_JSON_VECTOR, 21},        /* int2vector */
    {23, 1007, LAKE_JSON_NUMBER},            /* int4 */
    {30, 1013, LAKE_JSON_VECTOR, 26},        /* oidvector */
    {114, 199, LAKE_JSON_JSON},              /* json */
    {700, 1021, LAKE_JSON_NUMBER},           /* float4 */
    {701, 1022, LAKE_JSON_NUMBER},           /* float8 */
    {1114, 1115, LAKE_JSON_TIMESTAMP},       /* timestamp */
    {1184, 1185, LAKE_JSON_TIMESTAMP_ZONED}, /* timestamptz */
    {1700, 1231, LAKE_JSON_NUMBER},          /* numeric */
    {3802, 3807, LAKE_JSON_JSON},            /* jsonb */
};

/* OID and the array's. In order: "char", name, regproc, text, oid, tid, xid, cid, xml,
 * pg_node_tree, point, lseg, path, box, polygon, line, cidr, unknown, circle, macaddr8, money,
 * macaddr, inet, aclitem, bpchar, varchar, date, time, interval, timetz, bit, varbit,
 * refcursor, regprocedure, regoper, regoperator, regclass, regtype, record, cstring, anyarray,
 * void, uuid, txid_snapshot, pg_lsn, tsvector, tsquery, gtsvector, regconfig, regdictionary,
 * int4range, numrange, tsrange, tstzrange, daterange, int8range, jsonpath, regnamespace,
 * regrole, regcollation, int4multirange, nummultirange, tsmultirange, tstzmultirange,
 * datemultirange, int8multirange, pg_snapshot, xid8. A record's text does not tell the types of
 * its fields, nor that of anyarray (pg_stats) those of its elements. */
static const guint32 built_in_strings[][2] = {{18, 1002}, {19, 1003}, {24, 1008}, {25, 1009},
    {26, 1028}, {27, 1010}, {28, 1011}, {29, 1012}, {142, 143}, {194, 0}, {600, 1017},
    {601, 1018}, {602, 1019}, {603, 1020}, {604, 1027}, {628, 629}, {650, 651}, {705, 0},
    {718, 719}, {774, 775}, {790, 791}, {829, 1040}, {869, 1041}, {1033, 1034}, {1042, 1014},
    {1043, 1015}, {1082, 1182}, {1083, 1183}, {1186, 1187}, {1266, 1270}, {1560, 1561},
    {1562, 1563}, {1790, 2201}, {2202, 2207}, {2203, 2208}, {2204, 2209}, {2205, 2210},
    {2206, 2211}, {2249, 2287}, {2275, 1263}, {2277, 0}, {2278, 0}, {2950, 2951}, {2970, 2949},
    {3220, 3221}, {3614, 3643}, {3615, 3645}, {3642, 3644}, {3734, 3735}, {3769, 3770},
    {3904, 3905}, {3906, 3907}, {3908, 3909}, {3910, 3911}, {3912, 3913}, {3926, 3927},
    {4072, 4073}, {4089, 4090}, {4096, 4097}, {4191, 4192}, {4451, 6150}, {4532, 6151},
    {4533, 6152}, {4534, 6153}, {4535, 6155}, {4536, 6157}, {5038, 5039}, {5069, 271}};

#define OID_BOX 603

static gpointer
keep(LakeJsonForms *forms, gpointer block)
{
    g_ptr_array_add(forms->blocks, block);
    return block;
}

LakeJsonKey
lake_json_key(const char *before, const char *name)
{
    GString *text = g_string_new(before);

    lake_json_append_string(text, name, strlen(name));
    g_string_append_c(text, ':');

    gsize n_bytes = text->len;
    return (LakeJsonKey){g_string_free(text, FALSE), n_bytes};
}

/* Finds a built-in type by its OID or its array's. */
static gboolean
find_built_in(guint32 oid, BuiltIn *ret_type)
{
    for (guint i = 0; i < G_N_ELEMENTS(built_ins); i++) {
        if (oid == built_ins[i].oid || oid == built_ins[i].array_oid) {
            *ret_type = built_ins[i];
            return TRUE;
        }
    }
    for (guint i = 0; i < G_N_ELEMENTS(built_in_strings); i++) {
        if (oid == built_in_strings[i][0] || oid == built_in_strings[i][1]) {
            *ret_type =
                (BuiltIn){built_in_strings[i][0], built_in_strings[i][1], LAKE_JSON_STRING, 0};
            return TRUE;
        }
    }
    return FALSE;
}

/* Built-in types lead to built-in types, so that this cannot fail. */
static void
fill_built_in(LakeJsonForms *forms, guint32 oid, const BuiltIn *type, LakeJsonForm *form)
{
    if (type->oid == OID_BOX)
        form->delimiter = ';';
    if (oid == type->array_oid) {
        form->kind = LAKE_JSON_ARRAY;
        form->element = lake_json_forms_get(forms, type->oid, NULL);
        return;
    }

    form->kind = type->kind;
    if (type->element_oid)
        form->element = lake_json_forms_get(forms, type->element_oid, NULL);
}

static gboolean
fill_composite(
    LakeJsonForms *forms, const LakeJsonType *type, LakeJsonForm *form, GError **error)
{
    const LakeJsonForm **fields = keep(forms, g_new0(const LakeJsonForm *, type->n_fields + 1));
    LakeJsonKey *keys = keep(forms, g_new0(LakeJsonKey, type->n_fields + 1));

    for (guint i = 0; i < type->n_fields; i++) {
        fields[i] = lake_json_forms_get(forms, type->field_oids[i], error);
        if (!fields[i])
            return FALSE;
        keys[i] = lake_json_key(i == 0 ? "{" : ",", type->field_names[i]);
        keep(forms, keys[i].text);
    }

    form->kind = LAKE_JSON_COMPOSITE;
    form->n_fields = type->n_fields;
    form->fields = fields;
    form->keys = keys;
    return TRUE;
}

static gboolean
fill_looked_up(LakeJsonForms *forms, guint32 oid, LakeJsonForm *form, GError **error)
{
    const LakeJsonType *type = forms->lookup(oid, forms->user_data, error);
    if (!type)
        return FALSE;

    if (type->kind == 'd' && type->base) {
        const LakeJsonForm *base = lake_json_forms_get(forms, type->base, error);
        if (!base)
            return FALSE;
        *form = *base;
    } else if (type->kind == 'c') {
        if (!fill_composite(forms, type, form, error))
            return FALSE;
    } else if (type->element) {
        const LakeJsonForm *element = lake_json_forms_get(forms, type->element, error);
        if (!element)
            return FALSE;
        form->element = element;
        form->kind = LAKE_JSON_ARRAY;
    }
    form->delimiter = type->delimiter ? type->delimiter : ',';
    return TRUE;
}

LakeJsonForms *
lake_json_forms_new(LakeJsonTypeLookup lookup, gpointer user_data)
{
    LakeJsonForms *forms = g_new0(LakeJsonForms, 1);

    forms->lookup = lookup;
    forms->user_data = user_data;
    forms->forms = g_hash_table_new(NULL, NULL);
    forms->blocks = g_ptr_array_new_with_free_func(g_free);
    return forms;
}

void
lake_json_forms_free(LakeJsonForms *forms)
{
    g_hash_table_unref(forms->forms);
    g_ptr_array_unref(forms->blocks);
    g_free(forms);
}

void
lake_json_forms_clear(LakeJsonForms *forms)
{
    g_hash_table_remove_all(forms->forms);
    g_ptr_array_set_size(forms->blocks, 0);
}

/* A form is known before its parts are, so that a type which contains itself, as only a broken
 * lookup could say, comes to an end. */
const LakeJsonForm *
lake_json_forms_get(LakeJsonForms *forms, guint32 oid, GError **error)
{
    LakeJsonForm *form = g_hash_table_lookup(forms->forms, GUINT_TO_POINTER(oid));
    BuiltIn built_in;

    if (form)
        return form;

    form = keep(forms, g_new0(LakeJsonForm, 1));
    form->kind = LAKE_JSON_STRING;
    form->delimiter = ',';
    g_hash_table_insert(forms->forms, GUINT_TO_POINTER(oid), form);

    /* 0: the column has no type, or the built-in one has no array. */
    if (oid != 0 && find_built_in(oid, &built_in))
        fill_built_in(forms, oid, &built_in, form);
    else if (oid != 0 && forms->lookup && !fill_looked_up(forms, oid, form, error))
        return NULL;
    return form;
}
