/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_scan.h"

#include <string.h>

static LakeJsonScanStatus
bad(LakeJsonScan *json, const char *reason)
{
    json->reason = reason;
    return LAKE_JSON_SCAN_BAD;
}

void
lake_json_scan_skip_space(LakeJsonScan *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
}

/* --- strings --- */

/* Four hexadecimal digits; -1: they are none. */
static int
hexadecimal(const char *at)
{
    int value = 0;

    for (guint i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(at[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* The low half of a surrogate pair as an escape of its own. */
static gboolean
is_low_half(const char *at, const char *end)
{
    int unit = end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? hexadecimal(at + 2) : -1;

    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* At the 'u' of an escape. What follows a high surrogate is checked with it. */
static LakeJsonScanStatus
scan_unicode(LakeJsonScan *json)
{
    if (json->end - json->at < 5)
        return LAKE_JSON_SCAN_SHORT;
    int unit = hexadecimal(json->at + 1);
    if (unit < 0)
        return bad(json, "\\u wants four hexadecimal digits");
    if (json->keeps_escapes) {
        json->at += 5;
        return LAKE_JSON_SCAN_GOOD;
    }
    if (unit == 0)
        return bad(json, "\\u0000 is a character that PostgreSQL cannot keep");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return bad(json, "half of a surrogate pair stands alone");
    if (unit < 0xd800 || unit > 0xdbff) {
        json->at += 5;
        return LAKE_JSON_SCAN_GOOD;
    }
    if (json->end - json->at < 11)
        return LAKE_JSON_SCAN_SHORT;
    if (!is_low_half(json->at + 5, json->end))
        return bad(json, "half of a surrogate pair stands alone");
    json->at += 11;
    return LAKE_JSON_SCAN_GOOD;
}

/* At the character after a backslash. */
static LakeJsonScanStatus
scan_escape(LakeJsonScan *json)
{
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    if (*json->at == 'u')
        return scan_unicode(json);
    if (!*json->at || !strchr("\"\\/bfnrt", *json->at))
        return bad(json, "there is no such escape");
    json->at++;
    return LAKE_JSON_SCAN_GOOD;
}

/* At the opening quote. */
static LakeJsonScanStatus
scan_string(LakeJsonScan *json, LakeJsonScanValue *ret_value)
{
    const char *begin = ++json->at;

    ret_value->kind = LAKE_JSON_SCAN_STRING;
    ret_value->has_escapes = FALSE;
    for (;;) {
        while (json->at < json->end && (guchar)*json->at >= ' ' && *json->at != '"' &&
               *json->at != '\\')
            json->at++;
        if (json->at >= json->end)
            return LAKE_JSON_SCAN_SHORT;
        if (*json->at == '"')
            break;
        if (*json->at != '\\')
            return bad(json, "a control character within a string must be escaped");
        ret_value->has_escapes = TRUE;
        json->at++;
        LakeJsonScanStatus status = scan_escape(json);
        if (status != LAKE_JSON_SCAN_GOOD)
            return status;
    }
    ret_value->text = begin;
    ret_value->n_bytes = (gsize)(json->at - begin);
    json->at++;
    return LAKE_JSON_SCAN_GOOD;
}

/* At the digits of an escape; what stands for no character is appended as it is written. */
static const char *
append_unicode(const char *at, const char *end, GString *into)
{
    gunichar character = (gunichar)hexadecimal(at);

    if (character >= 0xd800 && character <= 0xdbff && is_low_half(at + 4, end)) {
        gunichar low = (gunichar)hexadecimal(at + 6);
        g_string_append_unichar(into, 0x10000 + ((character - 0xd800) << 10) + (low - 0xdc00));
        return at + 10;
    }
    if (character == 0 || (character >= 0xd800 && character <= 0xdfff))
        g_string_append_len(into, at - 2, 6);
    else
        g_string_append_unichar(into, character);
    return at + 4;
}

void
lake_json_scan_decode(const LakeJsonScanValue *string, GString *into)
{
    static const char names[] = "bfnrt";
    static const char meant[] = "\b\f\n\r\t";
    const char *at = string->text;
    const char *end = at + string->n_bytes;

    while (at < end) {
        const char *escape = memchr(at, '\\', (gsize)(end - at));
        const char *stop = escape ? escape : end;
        g_string_append_len(into, at, stop - at);
        at = stop;
        if (!escape)
            break;
        const char *known = strchr(names, escape[1]);
        if (escape[1] == 'u') {
            at = append_unicode(escape + 2, end, into);
        } else {
            g_string_append_c(into, known ? meant[known - names] : escape[1]);
            at = escape + 2;
        }
    }
}

/* --- numbers and words --- */

static gboolean
skip_digits(LakeJsonScan *json)
{
    const char *begin = json->at;

    while (json->at < json->end && g_ascii_isdigit(*json->at))
        json->at++;
    return json->at > begin;
}

static LakeJsonScanStatus
scan_number(LakeJsonScan *json, LakeJsonScanValue *ret_value)
{
    const char *begin = json->at;

    ret_value->kind = LAKE_JSON_SCAN_NUMBER;
    ret_value->is_whole = TRUE;
    json->at += *json->at == '-';
    const char *digits = json->at;
    gboolean is_good = skip_digits(json) && (*digits != '0' || json->at == digits + 1);
    if (is_good && json->at < json->end && *json->at == '.') {
        ret_value->is_whole = FALSE;
        json->at++;
        is_good = skip_digits(json);
    }
    if (is_good && json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        ret_value->is_whole = FALSE;
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
            json->at++;
        is_good = skip_digits(json);
    }
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    if (!is_good)
        return bad(json, "this is no number");
    ret_value->text = begin;
    ret_value->n_bytes = (gsize)(json->at - begin);
    return LAKE_JSON_SCAN_GOOD;
}

static LakeJsonScanStatus
scan_word(
    LakeJsonScan *json, const char *word, LakeJsonScanKind kind, LakeJsonScanValue *ret_value)
{
    gsize n_bytes = strlen(word);
    gsize n_left = (gsize)(json->end - json->at);

    if (strncmp(json->at, word, MIN(n_bytes, n_left)) != 0)
        return bad(
            json, "expected a value: NaN, Infinity and names without quotes are not JSON");
    if (n_left < n_bytes)
        return LAKE_JSON_SCAN_SHORT;
    ret_value->kind = kind;
    ret_value->text = json->at;
    ret_value->n_bytes = n_bytes;
    json->at += n_bytes;
    return LAKE_JSON_SCAN_GOOD;
}

/* --- what holds others --- */

static LakeJsonScanStatus scan_value(LakeJsonScan *json, LakeJsonScanValue *ret_value);

/* After an element: TRUE in *ret_has_ended at `closing`, else at what follows a comma. */
static LakeJsonScanStatus
scan_separator(LakeJsonScan *json, char closing, gboolean *ret_has_ended)
{
    lake_json_scan_skip_space(json);
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    *ret_has_ended = *json->at == closing;
    if (!*ret_has_ended && *json->at != ',')
        return bad(json, closing == ']' ? "expected , or ]" : "expected , or }");
    json->at++;
    return LAKE_JSON_SCAN_GOOD;
}

/* Behind an opening bracket: TRUE where nothing is in it. */
static gboolean
skip_closing(LakeJsonScan *json, char closing)
{
    lake_json_scan_skip_space(json);
    if (json->at >= json->end || *json->at != closing)
        return FALSE;
    json->at++;
    return TRUE;
}

static LakeJsonScanStatus
scan_array(LakeJsonScan *json, LakeJsonScanValue *ret_value)
{
    LakeJsonScanStatus status = LAKE_JSON_SCAN_GOOD;

    ret_value->is_vector = TRUE;
    json->at++;
    for (gboolean has_ended = skip_closing(json, ']'); !has_ended;) {
        LakeJsonScanValue element;
        status = scan_value(json, &element);
        if (status == LAKE_JSON_SCAN_GOOD)
            status = scan_separator(json, ']', &has_ended);
        if (status != LAKE_JSON_SCAN_GOOD)
            return status;
        ret_value->is_vector &= element.kind == LAKE_JSON_SCAN_NUMBER;
    }
    return status;
}

static LakeJsonScanStatus
scan_member(LakeJsonScan *json, LakeJsonScanMember *ret_member)
{
    lake_json_scan_skip_space(json);
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    if (*json->at != '"')
        return bad(json, "expected a name in double quotes");
    LakeJsonScanStatus status = scan_string(json, &ret_member->key);
    if (status != LAKE_JSON_SCAN_GOOD)
        return status;
    lake_json_scan_skip_space(json);
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    if (*json->at != ':')
        return bad(json, "expected :");
    json->at++;
    return scan_value(json, &ret_member->value);
}

/* members may be NULL. */
static LakeJsonScanStatus
scan_object(LakeJsonScan *json, GArray *members)
{
    LakeJsonScanStatus status = LAKE_JSON_SCAN_GOOD;

    json->at++;
    for (gboolean has_ended = skip_closing(json, '}'); !has_ended;) {
        LakeJsonScanMember member = {0};
        status = scan_member(json, &member);
        if (status == LAKE_JSON_SCAN_GOOD)
            status = scan_separator(json, '}', &has_ended);
        if (status != LAKE_JSON_SCAN_GOOD)
            return status;
        if (members)
            g_array_append_val(members, member);
    }
    return status;
}

static LakeJsonScanStatus
scan_nested(LakeJsonScan *json, LakeJsonScanValue *ret_value)
{
    const char *begin = json->at;
    gboolean is_array = *begin == '[';

    if (json->depth >= LAKE_JSON_SCAN_MAX_DEPTH)
        return bad(json, "arrays and objects are nested more than 512 deep");
    json->depth++;
    LakeJsonScanStatus status =
        is_array ? scan_array(json, ret_value) : scan_object(json, NULL);
    json->depth--;
    ret_value->kind = is_array ? LAKE_JSON_SCAN_ARRAY : LAKE_JSON_SCAN_OBJECT;
    ret_value->text = begin;
    ret_value->n_bytes = (gsize)(json->at - begin);
    return status;
}

static LakeJsonScanStatus
scan_value(LakeJsonScan *json, LakeJsonScanValue *ret_value)
{
    *ret_value = (LakeJsonScanValue){0};
    lake_json_scan_skip_space(json);
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    switch (*json->at) {
    case '"':
        return scan_string(json, ret_value);
    case '{':
    case '[':
        return scan_nested(json, ret_value);
    case 't':
        return scan_word(json, "true", LAKE_JSON_SCAN_TRUE, ret_value);
    case 'f':
        return scan_word(json, "false", LAKE_JSON_SCAN_FALSE, ret_value);
    case 'n':
        return scan_word(json, "null", LAKE_JSON_SCAN_NULL, ret_value);
    default:
        if (*json->at == '-' || g_ascii_isdigit(*json->at))
            return scan_number(json, ret_value);
        return bad(
            json, "expected a value: NaN, Infinity and names without quotes are not JSON");
    }
}

LakeJsonScanStatus
lake_json_scan_value(LakeJsonScan *json, LakeJsonScanValue *ret_value)
{
    return scan_value(json, ret_value);
}

LakeJsonScanStatus
lake_json_scan_object(LakeJsonScan *json, GArray *members)
{
    lake_json_scan_skip_space(json);
    if (json->at >= json->end)
        return LAKE_JSON_SCAN_SHORT;
    if (*json->at != '{')
        return bad(json, "a row must be an object: { \"column\": value, ... }");
    json->depth = 1;
    return scan_object(json, members);
}
