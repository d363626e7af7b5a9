/* SPDX-License-Identifier: Apache-2.0 */

/* WITH (…) of an index of ours, and what an existing index is by them and by its column. */

#include "core/pg_deeplake/index/options.h"

#include <access/gin_private.h>
#include <access/reloptions.h>
#include <catalog/namespace.h>
#include <catalog/pg_type.h>
#include <utils/builtins.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/regproc.h>
#include <utils/syscache.h>
#include <utils/typcache.h>
#if PG_VERSION_NUM >= 160000
#include <utils/varlena.h>
#endif

StaticAssertDecl(
    offsetof(DeeplakeIndexOptions, fast_update) == offsetof(GinOptions, useFastUpdate) &&
        offsetof(DeeplakeIndexOptions, pending_list_limit) ==
            offsetof(GinOptions, pendingListCleanupSize),
    "GIN reads its options from ours");

#define UNICODE "unicode"
#define VALID_TYPES                                                                            \
    "bm25, exact_text, inverted, clustered, clustered_quantized, pooled_quantized"

/* What an index without WITH has. */
static const struct {
    DeeplakeIndexOptions options;
    char tokenizer[sizeof(UNICODE)];
} defaults = {
    {.fast_update = true,
        .pending_list_limit = -1,
        .k1 = DEEPLAKE_BM25_K1,
        .b = DEEPLAKE_BM25_B,
        .tokenizer = sizeof(DeeplakeIndexOptions)},
    UNICODE,
};

static relopt_enum_elt_def types[] = {
    {"bm25", DEEPLAKE_INDEX_BM25},
    {"exact_text", DEEPLAKE_INDEX_EXACT_TEXT},
    {"exact", DEEPLAKE_INDEX_EXACT_TEXT},
    {"inverted", DEEPLAKE_INDEX_INVERTED},
    {"inverted_index", DEEPLAKE_INDEX_INVERTED},
    {"clustered", DEEPLAKE_INDEX_CLUSTERED},
    {"clustered_quantized", DEEPLAKE_INDEX_CLUSTERED_QUANTIZED},
    {"quantized", DEEPLAKE_INDEX_CLUSTERED_QUANTIZED},
    {"binary_quantized", DEEPLAKE_INDEX_CLUSTERED_QUANTIZED},
    {"pooled_quantized", DEEPLAKE_INDEX_POOLED_QUANTIZED},
    {NULL, 0},
};

/* Ours among the kinds of options that the server knows. */
static relopt_kind option_kind;

/* Of the option `tokenizer`; also called with its default, outside any transaction. */
static void
validate_tokenizer(const char *value)
{
    if (!value || strcmp(value, UNICODE) == 0)
        return;
#if PG_VERSION_NUM >= 160000
    List *names = stringToQualifiedNameList(value, NULL);
#else
    List *names = stringToQualifiedNameList(value);
#endif
    if (OidIsValid(get_ts_config_oid(names, true)))
        return;

    ereport(ERROR,
        (errcode(ERRCODE_UNDEFINED_OBJECT),
            errmsg("\"%s\" is neither 'unicode' nor a text search configuration", value),
            errhint("\\dF lists the configurations; one outside of pg_catalog may need its "
                    "schema's name.")));
}

void
deeplake_index_options_install(void)
{
    option_kind = add_reloption_kind();
    add_enum_reloption(option_kind, "index_type", "What the index is for.", types,
        DEEPLAKE_INDEX_DEFAULT, "Valid values are: " VALID_TYPES ".", AccessExclusiveLock);
    add_real_reloption(option_kind, "k1", "bm25: how much a repeated term adds.",
        DEEPLAKE_BM25_K1, 0, 100, AccessExclusiveLock);
    add_real_reloption(option_kind, "b", "bm25: how much a document's length matters.",
        DEEPLAKE_BM25_B, 0, 1, AccessExclusiveLock);
    add_string_reloption(option_kind, "tokenizer",
        "bm25: 'unicode', or the name of a text search configuration.", UNICODE,
        validate_tokenizer, AccessExclusiveLock);
    add_bool_reloption(option_kind, "fastupdate",
        "exact_text, inverted: gather new entries in a list first, as GIN does.", true,
        AccessExclusiveLock);
    add_int_reloption(option_kind, "gin_pending_list_limit",
        "exact_text, inverted: the size of that list, in kB.", -1, 64, MAX_KILOBYTES,
        AccessExclusiveLock);
}

bytea *
deeplake_index_parse_options(Datum options, bool validate)
{
    static const relopt_parse_elt table[] = {
        {"index_type", RELOPT_TYPE_ENUM, offsetof(DeeplakeIndexOptions, index_type)},
        {"k1", RELOPT_TYPE_REAL, offsetof(DeeplakeIndexOptions, k1)},
        {"b", RELOPT_TYPE_REAL, offsetof(DeeplakeIndexOptions, b)},
        {"tokenizer", RELOPT_TYPE_STRING, offsetof(DeeplakeIndexOptions, tokenizer)},
        {"fastupdate", RELOPT_TYPE_BOOL, offsetof(DeeplakeIndexOptions, fast_update)},
        {"gin_pending_list_limit", RELOPT_TYPE_INT,
            offsetof(DeeplakeIndexOptions, pending_list_limit)},
    };

    return build_reloptions(
        options, validate, option_kind, sizeof(DeeplakeIndexOptions), table, lengthof(table));
}

const DeeplakeIndexOptions *
deeplake_index_options(Relation index)
{
    return index->rd_options ? (const DeeplakeIndexOptions *)index->rd_options
                             : &defaults.options;
}

const char *
deeplake_index_type_name(DeeplakeIndexType type)
{
    switch (type) {
    case DEEPLAKE_INDEX_DEFAULT:
        return "default";
    case DEEPLAKE_INDEX_BM25:
        return "bm25";
    case DEEPLAKE_INDEX_EXACT_TEXT:
        return "exact_text";
    case DEEPLAKE_INDEX_INVERTED:
        return "inverted";
    case DEEPLAKE_INDEX_CLUSTERED:
        return "clustered";
    case DEEPLAKE_INDEX_CLUSTERED_QUANTIZED:
        return "clustered_quantized";
    case DEEPLAKE_INDEX_POOLED_QUANTIZED:
        return "pooled_quantized";
    case DEEPLAKE_INDEX_HYBRID:
        return "hybrid";
    }
    pg_unreachable();
}

/* PostgreSQL's arrays have one type for any number of dimensions: what the column was declared
 * with is a remark, here believed for the default only. */
static bool
is_two_dimensional(Form_pg_attribute column)
{
    if (get_typtype(column->atttypid) != TYPTYPE_DOMAIN)
        return column->attndims == 2;

    HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(column->atttypid));
    if (!HeapTupleIsValid(tuple))
        elog(ERROR, "cache lookup failed for type %u", column->atttypid);
    bool two = ((Form_pg_type)GETSTRUCT(tuple))->typndims == 2;
    ReleaseSysCache(tuple);
    return two;
}

DeeplakeIndexType
deeplake_index_type(Relation index)
{
    DeeplakeIndexType type = deeplake_index_options(index)->index_type;
    Oid input = index->rd_opcintype[0];

    if (type != DEEPLAKE_INDEX_DEFAULT)
        return type;
    if (input == TEXTOID)
        return DEEPLAKE_INDEX_BM25;
    if (input == FLOAT4ARRAYOID)
        return is_two_dimensional(TupleDescAttr(RelationGetDescr(index), 0))
                   ? DEEPLAKE_INDEX_POOLED_QUANTIZED
                   : DEEPLAKE_INDEX_CLUSTERED_QUANTIZED;
    return get_typtype(input) == TYPTYPE_COMPOSITE ? DEEPLAKE_INDEX_HYBRID
                                                   : DEEPLAKE_INDEX_INVERTED;
}

/* One column's type and an index type: what is wrong with them, and what would do. */
static void
check_column(Relation index, int column, DeeplakeIndexType type)
{
    Oid input = index->rd_opcintype[column];
    bool vectors = type == DEEPLAKE_INDEX_CLUSTERED ||
                   type == DEEPLAKE_INDEX_CLUSTERED_QUANTIZED ||
                   type == DEEPLAKE_INDEX_POOLED_QUANTIZED;
    bool values = type == DEEPLAKE_INDEX_EXACT_TEXT || type == DEEPLAKE_INDEX_INVERTED;
    bool fits = values;
    const char *valid = "'inverted' or 'exact_text'";

    if (input == TEXTOID) {
        fits = values || type == DEEPLAKE_INDEX_BM25;
        valid = "'bm25', 'exact_text' or 'inverted'";
    } else if (input == FLOAT4ARRAYOID) {
        fits = vectors;
        valid = "'clustered', 'clustered_quantized' or 'pooled_quantized'";
    } else if (input == JSONBOID) {
        fits = type == DEEPLAKE_INDEX_INVERTED;
        valid = "'inverted'";
    } else if (get_typtype(input) == TYPTYPE_COMPOSITE) {
        fits = type == DEEPLAKE_INDEX_HYBRID;
        valid = "no index_type at all";
    }
    if (fits)
        return;

    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                       errmsg("invalid index type '%s' for column \"%s\" of type %s",
                           deeplake_index_type_name(type),
                           NameStr(TupleDescAttr(RelationGetDescr(index), column)->attname),
                           format_type_be(input)),
                       errhint("Use %s.", valid)));
}

void
deeplake_index_check_columns(Relation index)
{
    DeeplakeIndexType type = deeplake_index_type(index);
    int n_columns = IndexRelationGetNumberOfKeyAttributes(index);

    for (int i = 0; i < n_columns; i++)
        check_column(index, i, type);
    if (n_columns > 1 && type != DEEPLAKE_INDEX_EXACT_TEXT && type != DEEPLAKE_INDEX_INVERTED)
        ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                errmsg("index type '%s' takes one column", deeplake_index_type_name(type)),
                errhint("Create one index per column, or use index_type = 'inverted'.")));
}
