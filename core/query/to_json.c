/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/to_json.h"

#include "core/query.h"

#include "core/error.h"
#include "core/query/append.h"
#include "core/query/json_form.h"

#include <string.h>

/* How it works: every type becomes a form (core/query/json_form.h) once, in set_columns; a row
 * is then a walk over the columns' forms that copies text into the output with no allocation of
 * its own. Text that does not look as the form expects (a session with another DateStyle, a
 * server newer than this table) is written as a string, so the output is always JSON. */

/* Composites in arrays in composites: each level unescapes into its own scratch. Deeper text is
 * written as a string. */
#define MAX_DEPTH 32
/* MAXDIM of PostgreSQL. */
#define MAX_DIMENSIONS 6

struct LakeJsonEncoder {
    LakeJsonForms *forms;
    GString *scratch[MAX_DEPTH];
    guint n_columns;
    const LakeJsonForm **columns;
    LakeJsonKey *keys; /* with the brace or comma before */
};

static void append_value(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    const char *text, gsize n_bytes, guint depth);

/* ---- Strings ---- */

static inline gboolean
is_plain(guchar c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

/* Whether all eight bytes can stand in a JSON string as they are: none below 0x20, no quote and
 * no backslash. */
static inline gboolean
is_plain_word(guint64 word)
{
    guint64 control = (word - LAKE_APPEND_ONES * 0x20) & ~word & LAKE_APPEND_HIGH;

    return (control | lake_append_find(word, '"') | lake_append_find(word, '\\')) == 0;
}

/* Copies the plain bytes at the start of text; returns how many. out has room for n_bytes. */
static inline gsize
copy_plain(char *out, const char *text, gsize n_bytes)
{
    gsize i = 0;

    for (; i + 8 <= n_bytes; i += 8) {
        guint64 word;
        memcpy(&word, text + i, 8);
        if (!is_plain_word(word))
            break;
        memcpy(out + i, &word, 8);
    }
    for (; i < n_bytes && is_plain((guchar)text[i]); i++)
        out[i] = text[i];
    return i;
}

/* Six bytes at most. The choice of short forms is that of PostgreSQL's escape_json. */
static char *
escape_byte(char *out, guchar c)
{
    static const char digits[] = "0123456789abcdef";
    static const char short_forms[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    char short_form = c < 0x20 ? short_forms[c] : (char)c;

    *out++ = '\\';
    if (short_form) {
        *out++ = short_form;
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = digits[c >> 4];
    out[4] = digits[c & 0xf];
    return out + 5;
}

void
lake_json_append_string(GString *into, const char *text, gsize n_bytes)
{
    const char *end = text + n_bytes;
    char *out = lake_append_reserve(into, n_bytes + 2);

    *out++ = '"';
    while (text < end) {
        gsize n_plain = copy_plain(out, text, (gsize)(end - text));
        text += n_plain;
        out += n_plain;

        if (text < end) {
            into->len = (gsize)(out - into->str);
            out = lake_append_reserve(into, 6 + (gsize)(end - text));
            out = escape_byte(out, (guchar)*text++);
        }
    }
    *out++ = '"';
    lake_append_finish(into, out);
}

/* ---- Scalars ---- */

static inline const char *
skip_digits(const char *text, const char *end)
{
    while (text < end && g_ascii_isdigit(*text))
        text++;
    return text;
}

gboolean
lake_json_is_number(const char *text, gsize n_bytes)
{
    const char *end = text + n_bytes;
    const char *p = text < end && *text == '-' ? text + 1 : text;

    if (p < end && *p == '0')
        p++;
    else if (p < end && g_ascii_isdigit(*p))
        p = skip_digits(p, end);
    else
        return FALSE;

    if (p < end && *p == '.') {
        const char *digits = p + 1;
        p = skip_digits(digits, end);
        if (p == digits)
            return FALSE;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        const char *digits = p;
        p = skip_digits(digits, end);
        if (p == digits)
            return FALSE;
    }
    return p == end;
}

static void
append_bool(GString *into, const char *text, gsize n_bytes)
{
    if (n_bytes == 1 && text[0] == 't')
        lake_append_raw(into, "true", 4);
    else if (n_bytes == 1 && text[0] == 'f')
        lake_append_raw(into, "false", 5);
    else
        lake_json_append_string(into, text, n_bytes);
}

/* A row has to stay on one line. Inside a JSON string a line break is written \n, so those that
 * are found are white space. */
static void
append_json(GString *into, const char *text, gsize n_bytes)
{
    gsize start = into->len;

    if (n_bytes == 0) {
        lake_append_raw(into, "\"\"", 2);
        return;
    }

    lake_append_raw(into, text, n_bytes);
    for (char *p = into->str + start;
         (p = memchr(p, '\n', n_bytes - (gsize)(p - into->str - start)));)
        *p++ = ' ';
    for (char *p = into->str + start;
         (p = memchr(p, '\r', n_bytes - (gsize)(p - into->str - start)));)
        *p++ = ' ';
}

/* Where the date of `2026-01-01 …` ends, NULL when it is not an ISO date: infinity, or a
 * session with another DateStyle. */
static const char *
iso_date_end(const char *text, const char *end)
{
    const char *p = skip_digits(text, end);

    if (p - text < 4 || end - p < 7)
        return NULL;
    if (p[0] != '-' || p[3] != '-' || p[6] != ' ')
        return NULL;
    if (!g_ascii_isdigit(p[1]) || !g_ascii_isdigit(p[2]) || !g_ascii_isdigit(p[4]) ||
        !g_ascii_isdigit(p[5]))
        return NULL;
    return p + 6;
}

/* `2026-01-01 00:00:00.5+01 BC` becomes "2026-01-01T00:00:00.5+01:00 BC". */
static void
append_timestamp(GString *into, const char *text, gsize n_bytes, gboolean is_zoned)
{
    const char *end = text + n_bytes;
    const char *date_end = iso_date_end(text, end);
    const char *p = date_end ? date_end + 1 : end;

    while (p < end && (g_ascii_isdigit(*p) || *p == ':' || *p == '.'))
        p++;
    const char *zone = p;
    if (is_zoned && p < end && (*p == '+' || *p == '-')) {
        p++;
        while (p < end && (g_ascii_isdigit(*p) || *p == ':'))
            p++;
    }
    gboolean is_whole = p == end || (end - p == 3 && memcmp(p, " BC", 3) == 0);
    if (!date_end || zone == date_end + 1 || !is_whole || (is_zoned && p == zone)) {
        lake_json_append_string(into, text, n_bytes);
        return;
    }

    char *out = lake_append_reserve(into, n_bytes + 5);
    *out++ = '"';
    memcpy(out, text, (gsize)(p - text));
    out[date_end - text] = 'T';
    out += p - text;
    if (p - zone == 3) {
        memcpy(out, ":00", 3);
        out += 3;
    }
    memcpy(out, p, (gsize)(end - p));
    out += end - p;
    *out++ = '"';
    lake_append_finish(into, out);
}

/* ---- Bytes ---- */

/* Writes n_bytes (0 to 3) as four characters of base64. */
static inline char *
append_base64_group(char *out, const guchar *bytes, gsize n_bytes)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    guint32 group = (guint32)bytes[0] << 16;

    group |= n_bytes > 1 ? (guint32)bytes[1] << 8 : 0;
    group |= n_bytes > 2 ? bytes[2] : 0;
    out[0] = alphabet[group >> 18];
    out[1] = alphabet[group >> 12 & 63];
    out[2] = n_bytes > 1 ? alphabet[group >> 6 & 63] : '=';
    out[3] = n_bytes > 2 ? alphabet[group & 63] : '=';
    return out + 4;
}

static inline int
hex_digit(guchar c)
{
    guchar digit = (guchar)(c - '0');
    guchar letter = (guchar)((c | 0x20) - 'a');

    return digit < 10 ? digit : letter < 6 ? letter + 10 : -1;
}

/* The value of two hexadecimal digits, or -1. */
static inline int
hex_byte(const char *text)
{
    int high = hex_digit((guchar)text[0]);
    int low = hex_digit((guchar)text[1]);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Takes one byte of bytea text, of `\x…` (after the prefix) or of bytea_output = escape;
 * returns its length in the text, 0 when it is neither. */
static inline gsize
next_byte(const char *text, gsize n_bytes, gboolean is_hex, guchar *ret_byte)
{
    if (is_hex) {
        int byte = n_bytes >= 2 ? hex_byte(text) : -1;
        *ret_byte = (guchar)byte;
        return byte < 0 ? 0 : 2;
    }

    if (text[0] != '\\') {
        *ret_byte = (guchar)text[0];
        return 1;
    }
    if (n_bytes >= 2 && text[1] == '\\') {
        *ret_byte = '\\';
        return 2;
    }
    if (n_bytes < 4)
        return 0;
    for (int i = 1; i < 4; i++) {
        if (text[i] < '0' || text[i] > (i == 1 ? '3' : '7'))
            return 0;
    }
    *ret_byte = (guchar)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
    return 4;
}

static void
append_bytes(GString *into, const char *text, gsize n_bytes)
{
    gboolean is_hex = n_bytes >= 2 && text[0] == '\\' && text[1] == 'x';
    gsize n_source_max = is_hex ? n_bytes / 2 : n_bytes;
    char *out = lake_append_reserve(into, (n_source_max + 2) / 3 * 4 + 2);
    const char *p = is_hex ? text + 2 : text;
    const char *end = text + n_bytes;
    guchar group[3];
    gsize n_group = 0;

    *out++ = '"';
    while (p < end) {
        gsize n_taken = next_byte(p, (gsize)(end - p), is_hex, &group[n_group++]);
        if (n_taken == 0) {
            lake_json_append_string(into, text, n_bytes);
            return;
        }
        p += n_taken;
        if (n_group == 3) {
            out = append_base64_group(out, group, 3);
            n_group = 0;
        }
    }
    if (n_group > 0)
        out = append_base64_group(out, group, n_group);
    *out++ = '"';
    lake_append_finish(into, out);
}

/* ---- Arrays and composites ---- */

/* What is left of an array's or composite's text. */
typedef struct {
    const char *next;
    const char *end;
} Cursor;

static inline gboolean
take(Cursor *cursor, char c)
{
    if (cursor->next >= cursor->end || *cursor->next != c)
        return FALSE;
    cursor->next++;
    return TRUE;
}

/* Takes a quoted value, its opening quote already taken. A value without escapes is borrowed
 * from the text, another one lies in scratch. has_doubled: "" stands for a quote, as in
 * composites. */
static gboolean
take_quoted(Cursor *cursor, gboolean has_doubled, GString *scratch, const char **ret_text,
    gsize *ret_length)
{
    const char *start = cursor->next;
    gboolean is_borrowed = TRUE;

    for (;;) {
        const char *p = cursor->next;
        while (p < cursor->end && *p != '"' && *p != '\\')
            p++;
        if (p == cursor->end)
            return FALSE;

        gboolean is_escape = *p == '\\' || (has_doubled && p + 1 < cursor->end && p[1] == '"');
        if (is_borrowed && is_escape) {
            g_string_truncate(scratch, 0);
            is_borrowed = FALSE;
            lake_append_raw(scratch, start, (gsize)(p - start));
        } else if (!is_borrowed) {
            lake_append_raw(scratch, cursor->next, (gsize)(p - cursor->next));
        }
        if (!is_escape) {
            *ret_text = is_borrowed ? start : scratch->str;
            *ret_length = is_borrowed ? (gsize)(p - start) : scratch->len;
            cursor->next = p + 1;
            return TRUE;
        }

        if (p + 1 == cursor->end)
            return FALSE;
        lake_append_char(scratch, p[1]);
        cursor->next = p + 2;
    }
}

static gboolean
append_element(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    Cursor *cursor, guint depth)
{
    const char *text = cursor->next;
    gsize n_bytes;

    if (take(cursor, '"')) {
        if (!take_quoted(cursor, FALSE, encoder->scratch[depth], &text, &n_bytes))
            return FALSE;
        append_value(encoder, into, form, text, n_bytes, depth + 1);
        return TRUE;
    }

    while (cursor->next < cursor->end && *cursor->next != form->delimiter &&
           *cursor->next != '}') {
        if (*cursor->next == '"' || *cursor->next == '\\' || *cursor->next == '{')
            return FALSE;
        cursor->next++;
    }
    n_bytes = (gsize)(cursor->next - text);
    if (n_bytes == 0)
        return FALSE;
    if (n_bytes == 4 && memcmp(text, "NULL", 4) == 0)
        lake_append_raw(into, "null", 4);
    else
        append_value(encoder, into, form, text, n_bytes, depth + 1);
    return TRUE;
}

static gboolean
append_dimension(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *element,
    Cursor *cursor, guint depth, guint n_dimensions_left)
{
    if (n_dimensions_left == 0 || !take(cursor, '{'))
        return FALSE;

    lake_append_char(into, '[');
    if (!take(cursor, '}')) {
        do {
            if (cursor->next >= cursor->end)
                return FALSE;
            if (*cursor->next == '{') {
                if (!append_dimension(
                        encoder, into, element, cursor, depth, n_dimensions_left - 1))
                    return FALSE;
            } else if (!append_element(encoder, into, element, cursor, depth)) {
                return FALSE;
            }
            lake_append_char(into, ',');
        } while (take(cursor, element->delimiter));

        if (!take(cursor, '}'))
            return FALSE;
        into->len--; /* the comma after the last */
    }
    lake_append_char(into, ']');
    return TRUE;
}

/* `{1,2}`, or with its lower bounds, `[2:3][0:1]={{1,2},{3,4}}`. */
static gboolean
append_array(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    const char *text, gsize n_bytes, guint depth)
{
    Cursor cursor = {text, text + n_bytes};

    if (n_bytes > 0 && text[0] == '[') {
        const char *equals = memchr(text, '=', n_bytes);
        if (!equals)
            return FALSE;
        cursor.next = equals + 1;
    }
    return append_dimension(encoder, into, form->element, &cursor, depth, MAX_DIMENSIONS) &&
           cursor.next == cursor.end;
}

static void
append_vector(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    const char *text, gsize n_bytes, guint depth)
{
    const char *end = text + n_bytes;

    lake_append_char(into, '[');
    while (text < end) {
        const char *space = memchr(text, ' ', (gsize)(end - text));
        const char *stop = space ? space : end;
        append_value(encoder, into, form->element, text, (gsize)(stop - text), depth + 1);
        if (space)
            lake_append_char(into, ',');
        text = space ? space + 1 : end;
    }
    lake_append_char(into, ']');
}

/* One field of `(1,"a ""b""",)`; nothing between the commas is NULL. */
static gboolean
append_field(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form, Cursor *cursor,
    guint depth)
{
    const char *text = cursor->next;
    gsize n_bytes;

    if (take(cursor, '"')) {
        if (!take_quoted(cursor, TRUE, encoder->scratch[depth], &text, &n_bytes))
            return FALSE;
        append_value(encoder, into, form, text, n_bytes, depth + 1);
        return TRUE;
    }

    while (cursor->next < cursor->end && *cursor->next != ',' && *cursor->next != ')') {
        if (*cursor->next == '"' || *cursor->next == '\\' || *cursor->next == '(')
            return FALSE;
        cursor->next++;
    }
    n_bytes = (gsize)(cursor->next - text);
    if (n_bytes == 0)
        lake_append_raw(into, "null", 4);
    else
        append_value(encoder, into, form, text, n_bytes, depth + 1);
    return TRUE;
}

static gboolean
append_composite(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    const char *text, gsize n_bytes, guint depth)
{
    Cursor cursor = {text, text + n_bytes};

    if (!take(&cursor, '('))
        return FALSE;

    if (form->n_fields == 0)
        lake_append_char(into, '{');
    for (guint i = 0; i < form->n_fields; i++) {
        if (i > 0 && !take(&cursor, ','))
            return FALSE;
        lake_append_raw(into, form->keys[i].text, form->keys[i].n_bytes);
        if (!append_field(encoder, into, form->fields[i], &cursor, depth))
            return FALSE;
    }
    lake_append_char(into, '}');
    return take(&cursor, ')') && cursor.next == cursor.end;
}

/* Arrays and composites whose text is not as it should be are written as a string. */
static void
append_nested(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    const char *text, gsize n_bytes, guint depth)
{
    gsize start = into->len;
    gboolean is_written = FALSE;

    if (depth < MAX_DEPTH && !encoder->scratch[depth])
        encoder->scratch[depth] = g_string_sized_new(64);
    if (depth < MAX_DEPTH && form->kind == LAKE_JSON_ARRAY)
        is_written = append_array(encoder, into, form, text, n_bytes, depth);
    else if (depth < MAX_DEPTH)
        is_written = append_composite(encoder, into, form, text, n_bytes, depth);

    if (!is_written) {
        g_string_truncate(into, start);
        lake_json_append_string(into, text, n_bytes);
    }
}

static void
append_value(LakeJsonEncoder *encoder, GString *into, const LakeJsonForm *form,
    const char *text, gsize n_bytes, guint depth)
{
    switch (form->kind) {
    case LAKE_JSON_STRING:
        lake_json_append_string(into, text, n_bytes);
        return;
    case LAKE_JSON_NUMBER:
        if (lake_json_is_number(text, n_bytes))
            lake_append_raw(into, text, n_bytes);
        else
            lake_json_append_string(into, text, n_bytes);
        return;
    case LAKE_JSON_BOOL:
        append_bool(into, text, n_bytes);
        return;
    case LAKE_JSON_JSON:
        append_json(into, text, n_bytes);
        return;
    case LAKE_JSON_BYTES:
        append_bytes(into, text, n_bytes);
        return;
    case LAKE_JSON_TIMESTAMP:
    case LAKE_JSON_TIMESTAMP_ZONED:
        append_timestamp(into, text, n_bytes, form->kind == LAKE_JSON_TIMESTAMP_ZONED);
        return;
    case LAKE_JSON_VECTOR:
        append_vector(encoder, into, form, text, n_bytes, depth);
        return;
    case LAKE_JSON_ARRAY:
    case LAKE_JSON_COMPOSITE:
        append_nested(encoder, into, form, text, n_bytes, depth);
        return;
    }
}

/* ---- The face ---- */

LakeJsonEncoder *
lake_json_encoder_new(LakeJsonTypeLookup lookup, gpointer user_data)
{
    LakeJsonEncoder *encoder = g_new0(LakeJsonEncoder, 1);

    encoder->forms = lake_json_forms_new(lookup, user_data);
    return encoder;
}

static void
clear_columns(LakeJsonEncoder *encoder)
{
    for (guint i = 0; i < encoder->n_columns; i++)
        g_free(encoder->keys[i].text);
    g_clear_pointer(&encoder->columns, g_free);
    g_clear_pointer(&encoder->keys, g_free);
    encoder->n_columns = 0;
}

void
lake_json_encoder_free(LakeJsonEncoder *encoder)
{
    if (!encoder)
        return;

    for (guint i = 0; i < MAX_DEPTH; i++) {
        if (encoder->scratch[i])
            g_string_free(encoder->scratch[i], TRUE);
    }
    clear_columns(encoder);
    lake_json_forms_free(encoder->forms);
    g_free(encoder);
}

/* name, or name_2, name_3 …: the first that used does not have yet; it is added there. */
static const char *
unique_name(GHashTable *used, const char *name)
{
    char *unique = g_strdup(name);

    for (guint i = 2; g_hash_table_contains(used, unique); i++) {
        g_free(unique);
        unique = g_strdup_printf("%s_%u", name, i);
    }
    g_hash_table_add(used, unique);
    return unique;
}

gboolean
lake_json_encoder_set_columns(LakeJsonEncoder *encoder, const char *const *names,
    const guint32 *oids, guint n_columns, GError **error)
{
    g_autoptr(GHashTable) used = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    /* One more than there are, so that they exist for a row without columns. */
    clear_columns(encoder);
    encoder->columns = g_new0(const LakeJsonForm *, n_columns + 1);
    encoder->keys = g_new0(LakeJsonKey, n_columns + 1);

    for (guint i = 0; i < n_columns; i++) {
        encoder->columns[i] = lake_json_forms_get(encoder->forms, oids[i], error);
        if (!encoder->columns[i]) {
            clear_columns(encoder);
            lake_json_forms_clear(encoder->forms);
            g_prefix_error(error, "cannot find out the type of column %s: ", names[i]);
            return FALSE;
        }
        encoder->keys[i] = lake_json_key(i == 0 ? "{" : ",", unique_name(used, names[i]));
        encoder->n_columns++;
    }
    return TRUE;
}

gboolean
lake_json_encoder_row(LakeJsonEncoder *encoder, const char *const *texts, const gsize *lengths,
    GString *into, GError **error)
{
    if (!encoder->columns) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "cannot write a row as JSON: its columns are not known");
        return FALSE;
    }

    if (encoder->n_columns == 0)
        lake_append_char(into, '{');
    for (guint i = 0; i < encoder->n_columns; i++) {
        lake_append_raw(into, encoder->keys[i].text, encoder->keys[i].n_bytes);
        if (texts[i])
            append_value(encoder, into, encoder->columns[i], texts[i], lengths[i], 0);
        else
            lake_append_raw(into, "null", 4);
    }
    lake_append_char(into, '}');
    return TRUE;
}
