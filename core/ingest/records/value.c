/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/records/value.h"

#include <math.h>
#include <string.h>

static gboolean
is_word(const LakeJsonScanValue *value, const char *word)
{
    return value->n_bytes == strlen(word) &&
           g_ascii_strncasecmp(value->text, word, value->n_bytes) == 0;
}

static gboolean
is_one_of(const LakeJsonScanValue *value, const char *const *words)
{
    for (; *words; words++)
        if (is_word(value, *words))
            return TRUE;
    return FALSE;
}

/* --- numbers --- */

/* Digits with an optional sign, within 64 bits. */
static gboolean
parse_whole(const LakeJsonScanValue *value, gint64 *ret_number)
{
    const char *at = value->text;
    const char *end = at + value->n_bytes;
    gboolean is_negative = at < end && *at == '-';
    guint64 number = 0;

    at += at < end && (*at == '-' || *at == '+');
    if (at == end)
        return FALSE;
    for (; at < end; at++) {
        guint digit = (guint)(*at - '0');
        if (digit > 9 || number > (G_MAXUINT64 - digit) / 10)
            return FALSE;
        number = number * 10 + digit;
    }
    if (number > (guint64)G_MAXINT64 + is_negative)
        return FALSE;
    *ret_number = is_negative ? (gint64)(0 - number) : (gint64)number;
    return TRUE;
}

/* What strtod() makes of a text is a matter of taste; these are decimal numbers. */
typedef struct {
    guint64 digits; /* all of them, as one number; only when there are at most 18 */
    guint n_digits, n_fraction;
    gboolean has_exponent;
} Decimal;

static const char *
skip_digits(const char *at, const char *end, Decimal *decimal, gboolean is_fraction)
{
    for (; at < end && g_ascii_isdigit(*at); at++) {
        if (++decimal->n_digits <= 18)
            decimal->digits = decimal->digits * 10 + (guint)(*at - '0');
        decimal->n_fraction += is_fraction;
    }
    return at;
}

static gboolean
parse_decimal(const char *at, const char *end, Decimal *ret_decimal)
{
    *ret_decimal = (Decimal){0};
    at += at < end && (*at == '-' || *at == '+');
    at = skip_digits(at, end, ret_decimal, FALSE);
    if (at < end && *at == '.')
        at = skip_digits(at + 1, end, ret_decimal, TRUE);
    if (ret_decimal->n_digits == 0)
        return FALSE;
    if (at < end && (*at == 'e' || *at == 'E')) {
        Decimal exponent = {0};
        ret_decimal->has_exponent = TRUE;
        at++;
        at += at < end && (*at == '-' || *at == '+');
        at = skip_digits(at, end, &exponent, FALSE);
        if (exponent.n_digits == 0)
            return FALSE;
    }
    return at == end;
}

/* As strtod(), but faster for what can be done exactly: a number of 53 bits by a power of ten
 * that is exact itself. A byte that belongs to no number follows the text. */
static double
decimal_value(const char *text, const Decimal *decimal)
{
    static const double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10,
        1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

    if (decimal->has_exponent || decimal->n_digits > 18 || decimal->digits > (guint64)1 << 53)
        return g_ascii_strtod(text, NULL);
    double number = (double)decimal->digits / powers[decimal->n_fraction];
    return *text == '-' ? -number : number;
}

static gboolean
parse_float(const LakeJsonScanValue *value, double *ret_number)
{
    static const char *const infinities[] = {"inf", "infinity", "+inf", "+infinity", NULL};
    static const char *const negatives[] = {"-inf", "-infinity", NULL};
    Decimal decimal;

    if (parse_decimal(value->text, value->text + value->n_bytes, &decimal)) {
        *ret_number = decimal_value(value->text, &decimal);
        return isfinite(*ret_number);
    }
    if (is_word(value, "nan"))
        *ret_number = NAN;
    else if (is_one_of(value, infinities))
        *ret_number = INFINITY;
    else if (is_one_of(value, negatives))
        *ret_number = -INFINITY;
    else
        return FALSE;
    return TRUE;
}

static gboolean
is_scalar(const LakeJsonScanValue *value)
{
    return value->kind == LAKE_JSON_SCAN_NUMBER || value->kind == LAKE_JSON_SCAN_FIELD;
}

static const char *
add_whole(LakeRows *rows, LakeType type, const LakeJsonScanValue *value)
{
    gboolean is_wide = type == LAKE_TYPE_INT64;
    const char *reason =
        is_wide ? "it is no whole number of 64 bits" : "it is no whole number of 32 bits";
    gint64 number;
    double fraction;

    if (!is_scalar(value))
        return reason;
    if (!parse_whole(value, &number)) {
        /* 5.0 and 1e3 are whole numbers all the same. */
        if (value->kind != LAKE_JSON_SCAN_NUMBER || value->is_whole ||
            !parse_float(value, &fraction) || fraction != floor(fraction) ||
            fabs(fraction) > 9007199254740992.0)
            return reason;
        number = (gint64)fraction;
    }
    if (is_wide) {
        lake_rows_add_int64(rows, number);
        return NULL;
    }
    if (number < G_MININT32 || number > G_MAXINT32)
        return reason;
    lake_rows_add_int32(rows, (gint32)number);
    return NULL;
}

static guint32
float_bits(float number)
{
    guint32 bits;

    G_STATIC_ASSERT(sizeof bits == sizeof number);
    memcpy(&bits, &number, sizeof bits);
    return g_htonl(bits);
}

/* Strings too: JSON has no other way to write NaN, and query results have them so. */
static const char *
add_float(LakeRows *rows, LakeType type, const LakeJsonScanValue *value)
{
    double number;

    if (!is_scalar(value) && value->kind != LAKE_JSON_SCAN_STRING)
        return "it is no number";
    if (!parse_float(value, &number) ||
        (value->kind == LAKE_JSON_SCAN_STRING && isfinite(number)))
        return "it is no number, or one that is too large";
    if (type == LAKE_TYPE_FLOAT64) {
        lake_rows_add_float64(rows, number);
        return NULL;
    }
    guint32 bits = float_bits((float)number);
    if (isfinite(number) && !isfinite((float)number))
        return "it is too large for 32 bits";
    lake_rows_add_bytes(rows, &bits, sizeof bits);
    return NULL;
}

/* --- lists of numbers: array_send() in PostgreSQL's arrayfuncs.c --- */

static void
append_int32(GString *into, gint32 number)
{
    guint32 bits = g_htonl((guint32)number);

    g_string_append_len(into, (const char *)&bits, sizeof bits);
}

/* The next number of a list, and what follows it. */
static const char *
parse_element(const char *at, const char *end, double *ret_number)
{
    Decimal decimal;
    const char *begin;

    for (; at < end && g_ascii_isspace(*at); at++)
        continue;
    for (begin = at; at < end && !g_ascii_isspace(*at) && *at != ','; at++)
        continue;
    if (!parse_decimal(begin, at, &decimal))
        return NULL;
    *ret_number = decimal_value(begin, &decimal);
    for (; at < end && g_ascii_isspace(*at); at++)
        continue;
    return at == end || *at == ',' ? at : NULL;
}

/* [1, 2] or, as PostgreSQL writes it, {1,2}; elements after a header for one dimension. */
static const char *
append_elements(const LakeJsonScanValue *value, GString *into, gint32 *ret_n)
{
    static const char reason[] = "it is no list of numbers";
    const char *at = value->text;
    const char *end = at + value->n_bytes;

    if (value->n_bytes < 2 ||
        !((*at == '[' && end[-1] == ']') || (*at == '{' && end[-1] == '}')))
        return reason;
    end--;
    for (at++; at < end && g_ascii_isspace(*at); at++)
        continue;
    *ret_n = 0;
    while (at < end) {
        double number;
        at = parse_element(at, end, &number);
        if (!at || at + 1 == end)
            return reason;
        if (!isfinite((float)number))
            return "a number of the list is too large for 32 bits";
        guint32 bits = float_bits((float)number);
        append_int32(into, sizeof bits);
        g_string_append_len(into, (const char *)&bits, sizeof bits);
        (*ret_n)++;
        at += at < end;
    }
    return NULL;
}

static const char *
add_vector(LakeRows *rows, const LakeJsonScanValue *value, GString *scratch)
{
    enum { HEADER_BYTES = 12, DIMENSION_BYTES = 8 };
    gint32 n_elements;

    if (value->kind != LAKE_JSON_SCAN_FIELD &&
        !(value->kind == LAKE_JSON_SCAN_ARRAY && value->is_vector))
        return "it is no list of numbers";
    g_string_set_size(scratch, HEADER_BYTES + DIMENSION_BYTES);
    const char *reason = append_elements(value, scratch, &n_elements);
    if (reason)
        return reason;

    /* An empty array has no dimension. */
    guint32 header[] = {g_htonl(n_elements > 0), 0,
        g_htonl(lake_type_info(LAKE_TYPE_FLOAT32)->base_oid), g_htonl((guint32)n_elements),
        g_htonl(1)};
    memcpy(scratch->str, header, sizeof header);
    lake_rows_add_bytes(rows, scratch->str, n_elements > 0 ? scratch->len : HEADER_BYTES);
    return NULL;
}

/* --- bytes --- */

static gboolean
append_hexadecimal(const char *at, const char *end, GString *into)
{
    if ((end - at) % 2 != 0)
        return FALSE;
    for (; at < end; at += 2) {
        int high = g_ascii_xdigit_value(at[0]);
        int low = g_ascii_xdigit_value(at[1]);
        if (high < 0 || low < 0)
            return FALSE;
        g_string_append_c(into, (char)(high << 4 | low));
    }
    return TRUE;
}

/* RFC 4648, with padding; GLib's decoder takes whatever it is given. */
static gboolean
is_base64(const char *text, gsize n_bytes)
{
    gsize n_padding = 0;

    if (n_bytes % 4 != 0)
        return FALSE;
    while (n_padding < 2 && n_padding < n_bytes && text[n_bytes - 1 - n_padding] == '=')
        n_padding++;
    for (gsize i = 0; i < n_bytes - n_padding; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '+' && text[i] != '/')
            return FALSE;
    return TRUE;
}

static const char *
add_bytes(LakeRows *rows, const LakeJsonScanValue *value, GString *scratch)
{
    const char *text = value->text;
    gsize n_bytes = value->n_bytes;

    g_string_truncate(scratch, 0);
    if (value->kind == LAKE_JSON_SCAN_FIELD && n_bytes >= 2 && text[0] == '\\' &&
        text[1] == 'x') {
        if (!append_hexadecimal(text + 2, text + n_bytes, scratch))
            return "it has something else than pairs of hexadecimal digits behind \\x";
        lake_rows_add_bytes(rows, scratch->str, scratch->len);
        return NULL;
    }
    if (value->kind != LAKE_JSON_SCAN_FIELD && value->kind != LAKE_JSON_SCAN_STRING)
        return "it is no string: bytes are written in base64";
    if (value->kind == LAKE_JSON_SCAN_STRING)
        lake_json_scan_decode(value, scratch); /* "\/" is a way to write a slash */
    else
        g_string_append_len(scratch, text, (gssize)n_bytes);
    if (!is_base64(scratch->str, scratch->len))
        return "it is not base64";
    gsize n_decoded = 0;
    if (scratch->len > 0)
        g_base64_decode_inplace(scratch->str, &n_decoded);
    lake_rows_add_bytes(rows, scratch->str, n_decoded);
    return NULL;
}

/* --- the others --- */

static const char *
add_bool(LakeRows *rows, const LakeJsonScanValue *value)
{
    static const char *const yes[] = {"true", "t", "yes", "y", "on", "1", NULL};
    static const char *const no[] = {"false", "f", "no", "n", "off", "0", NULL};
    gboolean is_field = value->kind == LAKE_JSON_SCAN_FIELD;
    guint8 is_true = value->kind == LAKE_JSON_SCAN_TRUE || (is_field && is_one_of(value, yes));

    if (!is_true && value->kind != LAKE_JSON_SCAN_FALSE && !(is_field && is_one_of(value, no)))
        return "it is neither true nor false";
    lake_rows_add_bytes(rows, &is_true, 1);
    return NULL;
}

/* A value as it was written. */
static void
append_raw(GString *into, const LakeJsonScanValue *value)
{
    gboolean is_string = value->kind == LAKE_JSON_SCAN_STRING;

    g_string_append_len(
        into, value->text - is_string, (gssize)(value->n_bytes + 2 * (gsize)is_string));
}

static const char *
add_text(LakeRows *rows, gboolean takes_any, const LakeJsonScanValue *value, GString *scratch)
{
    if (value->kind == LAKE_JSON_SCAN_FIELD ||
        (value->kind == LAKE_JSON_SCAN_STRING && !value->has_escapes)) {
        lake_rows_add_text(rows, value->text, value->n_bytes);
        return NULL;
    }
    g_string_truncate(scratch, 0);
    if (value->kind == LAKE_JSON_SCAN_STRING)
        lake_json_scan_decode(value, scratch);
    else if (takes_any)
        append_raw(scratch, value);
    else
        return "it is no string";
    lake_rows_add_text(rows, scratch->str, scratch->len);
    return NULL;
}

/* jsonb_recv(): a version, which is 1, then the text. */
static const char *
add_json(LakeRows *rows, const LakeJsonScanValue *value, GString *scratch)
{
    LakeJsonScanValue inner;

    g_string_assign(scratch, "\x01");
    append_raw(scratch, value);
    if (value->kind == LAKE_JSON_SCAN_FIELD) {
        g_string_append_c(scratch, ' '); /* a number ends where something else begins */
        LakeJsonScan json = {.at = scratch->str + 1, .end = scratch->str + scratch->len};
        if (lake_json_scan_value(&json, &inner) != LAKE_JSON_SCAN_GOOD)
            return "it is not JSON";
        lake_json_scan_skip_space(&json);
        if (json.at < json.end)
            return "something follows its JSON";
    }
    lake_rows_add_bytes(rows, scratch->str, scratch->len);
    return NULL;
}

const char *
lake_record_add_value(LakeRows *rows, LakeType type, gboolean takes_any,
    const LakeJsonScanValue *value, GString *scratch)
{
    if (value->kind == LAKE_JSON_SCAN_NULL) {
        lake_rows_add_null(rows);
        return NULL;
    }
    switch (type) {
    case LAKE_TYPE_TEXT:
        return add_text(rows, takes_any, value, scratch);
    case LAKE_TYPE_INT32:
    case LAKE_TYPE_INT64:
    case LAKE_TYPE_CLASS_LABEL:
        return add_whole(rows, type, value);
    case LAKE_TYPE_FLOAT32:
    case LAKE_TYPE_FLOAT64:
        return add_float(rows, type, value);
    case LAKE_TYPE_BOOL:
        return add_bool(rows, value);
    case LAKE_TYPE_BINARY:
    case LAKE_TYPE_IMAGE:
    case LAKE_TYPE_VIDEO:
    case LAKE_TYPE_SEGMENT_MASK:
    case LAKE_TYPE_BINARY_MASK:
    case LAKE_TYPE_POLYGON:
    case LAKE_TYPE_MESH:
    case LAKE_TYPE_MEDICAL:
        return add_bytes(rows, value, scratch);
    case LAKE_TYPE_EMBEDDING:
    case LAKE_TYPE_BOUNDING_BOX:
    case LAKE_TYPE_POINT:
        return add_vector(rows, value, scratch);
    case LAKE_TYPE_JSONB:
        return add_json(rows, value, scratch);
    case LAKE_TYPE_OTHER:
        break;
    }
    g_assert_not_reached();
}

/* --- inference --- */

/* "007" and "+5" are codes rather than numbers. */
static LakeType
type_of_field(const LakeJsonScanValue *value)
{
    const char *digits = value->text + (value->n_bytes > 0 && *value->text == '-');
    gsize n_bytes = (gsize)(value->text + value->n_bytes - digits);
    gint64 number;
    double any;

    if (is_word(value, "true") || is_word(value, "false"))
        return LAKE_TYPE_BOOL;
    if (n_bytes == 0 || (!g_ascii_isdigit(*digits) && *digits != '.') ||
        (n_bytes > 1 && *digits == '0' && g_ascii_isdigit(digits[1])))
        return LAKE_TYPE_TEXT;
    if (parse_whole(value, &number))
        return LAKE_TYPE_INT64;
    /* More digits than 64 bits have: as text none is lost. */
    for (gsize i = 0; i < n_bytes; i++)
        if (!g_ascii_isdigit(digits[i]))
            return parse_float(value, &any) ? LAKE_TYPE_FLOAT64 : LAKE_TYPE_TEXT;
    return LAKE_TYPE_TEXT;
}

/* OTHER for NULL. */
static LakeType
type_of(const LakeJsonScanValue *value)
{
    switch (value->kind) {
    case LAKE_JSON_SCAN_NULL:
        return LAKE_TYPE_OTHER;
    case LAKE_JSON_SCAN_FALSE:
    case LAKE_JSON_SCAN_TRUE:
        return LAKE_TYPE_BOOL;
    case LAKE_JSON_SCAN_NUMBER:
        return value->is_whole ? LAKE_TYPE_INT64 : LAKE_TYPE_FLOAT64;
    case LAKE_JSON_SCAN_STRING:
        return LAKE_TYPE_TEXT;
    case LAKE_JSON_SCAN_ARRAY:
        return value->is_vector ? LAKE_TYPE_EMBEDDING : LAKE_TYPE_JSONB;
    case LAKE_JSON_SCAN_OBJECT:
        return LAKE_TYPE_JSONB;
    case LAKE_JSON_SCAN_FIELD:
        return type_of_field(value);
    }
    g_assert_not_reached();
}

static gboolean
are(LakeType one, LakeType other, LakeType first, LakeType second)
{
    return (one == first && other == second) || (one == second && other == first);
}

gboolean
lake_record_widen(LakeType *type, const LakeJsonScanValue *value)
{
    LakeType needed = type_of(value);

    if (needed == LAKE_TYPE_OTHER || needed == *type)
        return TRUE;
    if (*type == LAKE_TYPE_OTHER)
        *type = needed;
    else if (are(*type, needed, LAKE_TYPE_INT64, LAKE_TYPE_FLOAT64))
        *type = LAKE_TYPE_FLOAT64;
    else if (are(*type, needed, LAKE_TYPE_EMBEDDING, LAKE_TYPE_JSONB))
        *type = LAKE_TYPE_JSONB;
    else if (value->kind == LAKE_JSON_SCAN_FIELD)
        *type = LAKE_TYPE_TEXT;
    else
        return FALSE;
    return TRUE;
}

const char *
lake_record_kind_name(const LakeJsonScanValue *value)
{
    switch (value->kind) {
    case LAKE_JSON_SCAN_NULL:
        return "null";
    case LAKE_JSON_SCAN_FALSE:
    case LAKE_JSON_SCAN_TRUE:
        return "true or false";
    case LAKE_JSON_SCAN_NUMBER:
        return "a number";
    case LAKE_JSON_SCAN_STRING:
        return "a string";
    case LAKE_JSON_SCAN_ARRAY:
        return "a list";
    case LAKE_JSON_SCAN_OBJECT:
        return "an object";
    case LAKE_JSON_SCAN_FIELD:
        return "a field";
    }
    g_assert_not_reached();
}
