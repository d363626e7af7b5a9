/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/values.h"

#include <math.h>
#include <string.h>

/* --- bytes as lake_rows has them --- */

static void
add_int32(GByteArray *into, gint32 value)
{
    gint32 bits = GINT32_TO_BE(value);

    g_byte_array_append(into, (const guint8 *)&bits, sizeof bits);
}

static void
add_int64(GByteArray *into, gint64 value)
{
    gint64 bits = GINT64_TO_BE(value);

    g_byte_array_append(into, (const guint8 *)&bits, sizeof bits);
}

static void
add_float(GByteArray *into, float value)
{
    gint32 bits;

    memcpy(&bits, &value, sizeof bits);
    add_int32(into, bits);
}

static void
add_double(GByteArray *into, double value)
{
    gint64 bits;

    memcpy(&bits, &value, sizeof bits);
    add_int64(into, bits);
}

static void
assert_bytes(LakeType type, const void *bytes, gsize n_bytes, const char *wanted)
{
    g_autoptr(GString) text = g_string_new("=");

    lake_api_values_append(text, type, bytes, n_bytes);
    g_assert_cmpstr(text->str + 1, ==, wanted);
    g_assert_cmpuint(text->len, ==, strlen(wanted) + 1);
}

static void
assert_value(LakeType type, GByteArray *value, const char *wanted)
{
    assert_bytes(type, value->data, value->len, wanted);
    g_byte_array_set_size(value, 0);
}

/* --- one value --- */

static void
test_numbers(void)
{
    g_autoptr(GByteArray) value = g_byte_array_new();
    static const LakeType words[] = {LAKE_TYPE_INT32, LAKE_TYPE_CLASS_LABEL};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        add_int32(value, G_MININT32);
        assert_value(words[i], value, "-2147483648");
        add_int32(value, 7);
        assert_value(words[i], value, "7");
    }
    add_int64(value, G_MININT64);
    assert_value(LAKE_TYPE_INT64, value, "-9223372036854775808");
    add_int64(value, G_MAXINT64);
    assert_value(LAKE_TYPE_INT64, value, "9223372036854775807");
    assert_bytes(LAKE_TYPE_BOOL, "\1", 1, "t");
    assert_bytes(LAKE_TYPE_BOOL, "\0", 1, "f");
}

static void
assert_float(float number, const char *wanted)
{
    g_autoptr(GByteArray) value = g_byte_array_new();

    add_float(value, number);
    assert_value(LAKE_TYPE_FLOAT32, value, wanted);
}

static void
assert_double(double number, const char *wanted)
{
    g_autoptr(GByteArray) value = g_byte_array_new();

    add_double(value, number);
    assert_value(LAKE_TYPE_FLOAT64, value, wanted);
}

static void
test_floats(void)
{
    assert_float(0.5F, "0.5");
    assert_float(-0.0F, "-0");
    assert_float(NAN, "NaN");
    assert_float(-NAN, "NaN");
    assert_float(INFINITY, "Infinity");
    assert_float(-INFINITY, "-Infinity");
    assert_double(-1e22, "-1e+22");
    assert_double(9007199254740993.0, "9007199254740992");
    assert_double(-0.0, "-0");
    assert_double(NAN, "NaN");
    assert_double(INFINITY, "Infinity");
    assert_double(-INFINITY, "-Infinity");
}

/* Whatever the number is, its text is read as the same again. */
static void
test_floats_come_back(void)
{
    g_autoptr(GByteArray) value = g_byte_array_new();
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < 20000; i++) {
        guint64 bits = (guint64)g_test_rand_int() << 32 | (guint32)g_test_rand_int();
        double wide;
        float narrow;
        memcpy(&wide, &bits, sizeof wide);
        memcpy(&narrow, &bits, sizeof narrow);
        if (isfinite(wide)) {
            add_double(value, wide);
            lake_api_values_append(text, LAKE_TYPE_FLOAT64, value->data, value->len);
            g_assert_cmpfloat(g_ascii_strtod(text->str, NULL), ==, wide);
        }
        g_byte_array_set_size(value, 0);
        g_string_truncate(text, 0);
        if (isfinite(narrow)) {
            add_float(value, narrow);
            lake_api_values_append(text, LAKE_TYPE_FLOAT32, value->data, value->len);
            g_assert_cmpfloat((float)g_ascii_strtod(text->str, NULL), ==, narrow);
        }
        g_byte_array_set_size(value, 0);
        g_string_truncate(text, 0);
    }
}

static void
test_texts(void)
{
    static const LakeType types[] = {LAKE_TYPE_TEXT, LAKE_TYPE_OTHER};

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        assert_bytes(types[i], "", 0, "");
        assert_bytes(types[i], "a\\b'\"\n\xc3\xa4 and more", 8, "a\\b'\"\n\xc3\xa4");
    }
    assert_bytes(LAKE_TYPE_JSONB, "\1{\"a\":[1]}", 10, "{\"a\":[1]}");
}

static void
test_bytes(void)
{
    static const LakeType types[] = {LAKE_TYPE_BINARY, LAKE_TYPE_IMAGE, LAKE_TYPE_VIDEO,
        LAKE_TYPE_SEGMENT_MASK, LAKE_TYPE_BINARY_MASK, LAKE_TYPE_POLYGON, LAKE_TYPE_MESH,
        LAKE_TYPE_MEDICAL};

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        g_assert_true(lake_api_values_is_bytes(types[i]));
        assert_bytes(types[i], "", 0, "\\x");
        assert_bytes(types[i], "\0\x09\xff\x5c", 4, "\\x0009ff5c");
    }
    g_assert_false(lake_api_values_is_bytes(LAKE_TYPE_TEXT));
    g_assert_false(lake_api_values_is_bytes(LAKE_TYPE_JSONB));
    g_assert_false(lake_api_values_is_bytes(LAKE_TYPE_EMBEDDING));
    g_assert_false(lake_api_values_is_bytes(LAKE_TYPE_OTHER));
}

/* --- arrays of floats --- */

static void
begin_array(GByteArray *into, const gint32 *extents, gint32 n_dimensions)
{
    add_int32(into, n_dimensions);
    add_int32(into, 1);
    add_int32(into, 700);
    for (gint32 i = 0; i < n_dimensions; i++) {
        add_int32(into, extents[i]);
        add_int32(into, 1);
    }
}

static void
add_element(GByteArray *into, float value)
{
    add_int32(into, sizeof value);
    add_float(into, value);
}

static void
test_vectors(void)
{
    static const LakeType types[] = {
        LAKE_TYPE_EMBEDDING, LAKE_TYPE_BOUNDING_BOX, LAKE_TYPE_POINT};
    g_autoptr(GByteArray) value = g_byte_array_new();

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        begin_array(value, NULL, 0);
        assert_value(types[i], value, "{}");
        begin_array(value, (const gint32[]){1}, 1);
        add_element(value, -1.5F);
        assert_value(types[i], value, "{-1.5}");
        begin_array(value, (const gint32[]){5}, 1);
        add_element(value, 0.1F);
        add_int32(value, -1);
        add_element(value, NAN);
        add_element(value, INFINITY);
        add_element(value, -INFINITY);
        assert_value(types[i], value, "{0.100000001,NULL,NaN,Infinity,-Infinity}");
    }
}

static void
test_dimensions(void)
{
    g_autoptr(GByteArray) value = g_byte_array_new();

    begin_array(value, (const gint32[]){2, 3}, 2);
    for (int i = 0; i < 6; i++)
        add_element(value, (float)i);
    assert_value(LAKE_TYPE_EMBEDDING, value, "{{0,1,2},{3,4,5}}");

    begin_array(value, (const gint32[]){1, 2, 1, 1, 1, 2}, 6);
    for (int i = 0; i < 4; i++)
        add_element(value, (float)i);
    assert_value(LAKE_TYPE_EMBEDDING, value, "{{{{{{0,1}}}},{{{{2,3}}}}}}");
}

/* --- columns as arrays --- */

static void
test_columns(void)
{
    static const LakeColumn columns[] = {{"i", LAKE_TYPE_INT64}, {"t", LAKE_TYPE_TEXT},
        {"b", LAKE_TYPE_BINARY}, {"d", LAKE_TYPE_FLOAT64}};
    static const char *const wanted[] = {"{\"-1\",NULL,\"7\"}",
        "{\"\",NULL,\"a,\\\"b\\\"\\\\c}\"}", "{\"\\\\x\",NULL,\"\\\\x00ff\"}",
        "{\"NaN\",NULL,\"-Infinity\"}"};
    g_autoptr(LakeRows) rows = lake_rows_new(columns, G_N_ELEMENTS(columns));

    lake_rows_add_int64(rows, -1);
    lake_rows_add_text(rows, "", 0);
    lake_rows_add_bytes(rows, "", 0);
    lake_rows_add_float64(rows, NAN);
    for (gsize i = 0; i < G_N_ELEMENTS(columns); i++)
        lake_rows_add_null(rows);
    lake_rows_add_int64(rows, 7);
    lake_rows_add_text(rows, "a,\"b\"\\c}", 8);
    lake_rows_add_bytes(rows, "\0\xff", 2);
    lake_rows_add_float64(rows, -INFINITY);
    for (guint i = 0; i < G_N_ELEMENTS(columns); i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        lake_api_values_append_array(text, rows, i);
        g_assert_cmpstr(text->str, ==, wanted[i]);
    }
}

/* The word NULL is a text like others; a column without rows is an empty array. */
static void
test_column_of_words(void)
{
    static const LakeColumn columns[] = {{"t", LAKE_TYPE_TEXT}};
    g_autoptr(LakeRows) rows = lake_rows_new(columns, 1);
    g_autoptr(GString) text = g_string_new(NULL);

    lake_api_values_append_array(text, rows, 0);
    g_assert_cmpstr(text->str, ==, "{}");
    lake_rows_add_text(rows, "NULL", 4);
    lake_rows_add_text(rows, "{", 1);
    lake_rows_add_text(rows, " ", 1);
    g_string_truncate(text, 0);
    lake_api_values_append_array(text, rows, 0);
    g_assert_cmpstr(text->str, ==, "{\"NULL\",\"{\",\" \"}");
}

/* --- base64 --- */

static void
test_base64(void)
{
    guint8 bytes[300];

    for (gsize i = 0; i < sizeof bytes; i++)
        bytes[i] = (guint8)(i * 37 + 251);
    for (gsize n_bytes = 0; n_bytes <= sizeof bytes; n_bytes++) {
        g_autoptr(GString) text = g_string_new("before ");
        g_autofree char *wanted = n_bytes > 0 ? g_base64_encode(bytes, n_bytes) : g_strdup("");
        lake_api_values_append_base64(text, bytes, n_bytes);
        g_assert_true(g_str_has_prefix(text->str, "before "));
        g_assert_cmpstr(text->str + 7, ==, wanted);
        g_assert_cmpuint(text->len, ==, 7 + strlen(wanted));
        g_assert_cmpuint(strlen(wanted), ==, (n_bytes + 2) / 3 * 4);
        g_assert_null(strchr(text->str, '\n'));
    }
}

/* As g_bytes_get_data gives what is empty. */
static void
test_base64_of_nothing(void)
{
    g_autoptr(GString) text = g_string_new("=");

    lake_api_values_append_base64(text, NULL, 0);
    g_assert_cmpstr(text->str, ==, "=");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/api/values/numbers", test_numbers);
    g_test_add_func("/core/api/values/floats", test_floats);
    g_test_add_func("/core/api/values/floats-come-back", test_floats_come_back);
    g_test_add_func("/core/api/values/texts", test_texts);
    g_test_add_func("/core/api/values/bytes", test_bytes);
    g_test_add_func("/core/api/values/vectors", test_vectors);
    g_test_add_func("/core/api/values/dimensions", test_dimensions);
    g_test_add_func("/core/api/values/columns", test_columns);
    g_test_add_func("/core/api/values/column-of-words", test_column_of_words);
    g_test_add_func("/core/api/values/base64", test_base64);
    g_test_add_func("/core/api/values/base64-of-nothing", test_base64_of_nothing);
    return g_test_run();
}
