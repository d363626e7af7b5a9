/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/records/value.h"

#include <math.h>
#include <string.h>

/* One value of JSON, or of a CSV file, as hexadecimal digits of its binary form; "null", or
 * NULL where it is refused. */
static char *
convert(LakeType type, const char *text, gboolean is_field, gboolean takes_any)
{
    const LakeColumn column = {"a", type};
    g_autoptr(LakeRows) rows = lake_rows_new(&column, 1);
    g_autoptr(GString) scratch = g_string_new("left over");
    g_autofree char *ended = g_strconcat(text, is_field ? "," : " ", NULL);
    LakeJsonScan json = {.at = ended, .end = ended + strlen(ended)};
    LakeJsonScanValue value = {
        .kind = LAKE_JSON_SCAN_FIELD, .text = ended, .n_bytes = strlen(text)};
    guint32 length_field;

    if (!is_field)
        g_assert_cmpint(lake_json_scan_value(&json, &value), ==, LAKE_JSON_SCAN_GOOD);
    const char *reason = lake_record_add_value(rows, type, takes_any, &value, scratch);
    g_assert_cmpuint(lake_rows_count(rows), ==, reason ? 0 : 1);
    if (reason)
        return NULL;
    const GByteArray *elements = lake_rows_elements(rows, 0);
    memcpy(&length_field, elements->data, sizeof length_field);
    if (length_field == G_MAXUINT32)
        return g_strdup("null");
    g_assert_cmpuint(g_ntohl(length_field), ==, elements->len - sizeof length_field);
    GString *digits = g_string_new(NULL);
    for (guint i = sizeof length_field; i < elements->len; i++)
        g_string_append_printf(digits, "%02x", elements->data[i]);
    return g_string_free(digits, FALSE);
}

static const struct {
    LakeType type;
    const char *text;
    const char *expected; /* NULL: refused */
} from_json[] =
    {
        {LAKE_TYPE_TEXT, "\"ab\"", "6162"},
        {LAKE_TYPE_TEXT, "\"\\n\"", "0a"},
        {LAKE_TYPE_TEXT, "1", NULL},
        {LAKE_TYPE_TEXT, "null", "null"},
        {LAKE_TYPE_INT64, "9223372036854775807", "7fffffffffffffff"},
        {LAKE_TYPE_INT64, "-9223372036854775808", "8000000000000000"},
        {LAKE_TYPE_INT64, "9223372036854775808", NULL},
        {LAKE_TYPE_INT64, "-9223372036854775809", NULL},
        {LAKE_TYPE_INT64, "99999999999999999999999", NULL},
        {LAKE_TYPE_INT64, "2.0", "0000000000000002"},
        {LAKE_TYPE_INT64, "1e3", "00000000000003e8"},
        {LAKE_TYPE_INT64, "1.5", NULL},
        {LAKE_TYPE_INT64, "1e300", NULL},
        {LAKE_TYPE_INT64, "\"1\"", NULL},
        {LAKE_TYPE_INT64, "true", NULL},
        {LAKE_TYPE_INT32, "-1", "ffffffff"},
        {LAKE_TYPE_INT32, "2147483648", NULL},
        {LAKE_TYPE_CLASS_LABEL, "7", "00000007"},
        {LAKE_TYPE_FLOAT64, "1", "3ff0000000000000"},
        {LAKE_TYPE_FLOAT64, "-0", "8000000000000000"},
        {LAKE_TYPE_FLOAT64, "0.1", "3fb999999999999a"},
        {LAKE_TYPE_FLOAT64, "1e-400", "0000000000000000"},
        {LAKE_TYPE_FLOAT64, "1e400", NULL},
        {LAKE_TYPE_FLOAT64, "\"NaN\"", "7ff8000000000000"},
        {LAKE_TYPE_FLOAT64, "\"-Infinity\"", "fff0000000000000"},
        {LAKE_TYPE_FLOAT64, "\"1\"", NULL},
        {LAKE_TYPE_FLOAT32, "0.1", "3dcccccd"},
        {LAKE_TYPE_FLOAT32, "1e39", NULL},
        {LAKE_TYPE_BOOL, "true", "01"},
        {LAKE_TYPE_BOOL, "false", "00"},
        {LAKE_TYPE_BOOL, "1", NULL},
        {LAKE_TYPE_BOOL, "\"true\"", NULL},
        {LAKE_TYPE_BINARY, "\"AAEC/w==\"", "000102ff"},
        {LAKE_TYPE_IMAGE, "\"\"", ""},
        {LAKE_TYPE_MESH, "\"\\/\\/\\/\\/\"", "ffffff"},
        {LAKE_TYPE_BINARY, "\"AAE\"", NULL},
        {LAKE_TYPE_BINARY, "\"A===\"", NULL},
        {LAKE_TYPE_BINARY, "\"AA E\"", NULL},
        {LAKE_TYPE_BINARY, "\"\\\\x00\"", NULL},
        {LAKE_TYPE_BINARY, "[0]", NULL},
        {LAKE_TYPE_EMBEDDING, "[]", "0000000000000000000002bc"},
        {LAKE_TYPE_EMBEDDING, "[1, -2]",
            "0000000100000000000002bc0000000200000001000000043f80000000000004c0000000"},
        {LAKE_TYPE_EMBEDDING, "[1, null]", NULL},
        {LAKE_TYPE_EMBEDDING, "[[1]]", NULL},
        {LAKE_TYPE_EMBEDDING, "[1e39]", NULL},
        {LAKE_TYPE_POINT, "1", NULL},
        {LAKE_TYPE_JSONB, "{\"a\": 1}", "017b2261223a20317d"},
        {LAKE_TYPE_JSONB, "\"a\"", "01226122"},
        {LAKE_TYPE_JSONB, "1.50", "01312e3530"},
},
  from_csv[] = {
      {LAKE_TYPE_TEXT, "a\\n", "615c6e"},
      {LAKE_TYPE_TEXT, "", ""},
      {LAKE_TYPE_INT64, "+5", "0000000000000005"},
      {LAKE_TYPE_INT64, "", NULL},
      {LAKE_TYPE_INT64, "-", NULL},
      {LAKE_TYPE_INT64, " 5", NULL},
      {LAKE_TYPE_INT64, "5.0", NULL},
      {LAKE_TYPE_INT64, "0x10", NULL},
      {LAKE_TYPE_FLOAT64, "5.", "4014000000000000"},
      {LAKE_TYPE_FLOAT64, "123456789012345678", "437b69b4ba630f35"},
      {LAKE_TYPE_FLOAT64, "0.30000000000000004", "3fd3333333333334"},
      {LAKE_TYPE_FLOAT64, "nan", "7ff8000000000000"},
      {LAKE_TYPE_FLOAT64, "inf", "7ff0000000000000"},
      {LAKE_TYPE_FLOAT64, "0x1p3", NULL},
      {LAKE_TYPE_FLOAT64, "1e", NULL},
      {LAKE_TYPE_FLOAT64, "nano", NULL},
      {LAKE_TYPE_FLOAT64, ".", NULL},
      {LAKE_TYPE_BOOL, "t", "01"},
      {LAKE_TYPE_BOOL, "OFF", "00"},
      {LAKE_TYPE_BOOL, "2", NULL},
      {LAKE_TYPE_BINARY, "\\x00Ff", "00ff"},
      {LAKE_TYPE_BINARY, "\\x0", NULL},
      {LAKE_TYPE_BINARY, "\\xgg", NULL},
      {LAKE_TYPE_BINARY, "AAEC", "000102"},
      {LAKE_TYPE_BINARY, "*", NULL},
      {LAKE_TYPE_BOUNDING_BOX, "{1.5}",
          "0000000100000000000002bc0000000100000001000000043fc00000"},
      {LAKE_TYPE_EMBEDDING, "[ 1 ]",
          "0000000100000000000002bc0000000100000001000000043f800000"},
      {LAKE_TYPE_EMBEDDING, "[1,]", NULL},
      {LAKE_TYPE_EMBEDDING, "[1 2]", NULL},
      {LAKE_TYPE_EMBEDDING, "[1}", NULL},
      {LAKE_TYPE_EMBEDDING, "[,1]", NULL},
      {LAKE_TYPE_EMBEDDING, "[", NULL},
      {LAKE_TYPE_JSONB, "[1, 2]", "015b312c20325d20"},
      {LAKE_TYPE_JSONB, "12", "01313220"},
      {LAKE_TYPE_JSONB, "[1] 2", NULL},
      {LAKE_TYPE_JSONB, "{", NULL},
      {LAKE_TYPE_JSONB, "", NULL},
};

static void
test_values_of_json(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(from_json); i++) {
        g_autofree char *found = convert(from_json[i].type, from_json[i].text, FALSE, FALSE);
        g_test_message("%s", from_json[i].text);
        g_assert_cmpstr(found, ==, from_json[i].expected);
    }
}

static void
test_values_of_csv(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(from_csv); i++) {
        g_autofree char *found = convert(from_csv[i].type, from_csv[i].text, TRUE, FALSE);
        g_test_message("%s", from_csv[i].text);
        g_assert_cmpstr(found, ==, from_csv[i].expected);
    }
}

static void
test_text_that_takes_any(void)
{
    g_autofree char *number = convert(LAKE_TYPE_TEXT, "1.50", FALSE, TRUE);
    g_autofree char *list = convert(LAKE_TYPE_TEXT, "[ 1]", FALSE, TRUE);
    g_autofree char *string = convert(LAKE_TYPE_TEXT, "\"a\"", FALSE, TRUE);

    g_assert_cmpstr(number, ==, "312e3530");
    g_assert_cmpstr(list, ==, "5b20315d");
    g_assert_cmpstr(string, ==, "61");
}

/* As strtod() reads them, digit for digit. */
static void
test_numbers_are_read_exactly(void)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);

    for (guint i = 0; i < 20000; i++) {
        g_autofree char *text =
            g_strdup_printf("%s%.*f", i % 2 ? "-" : "", (int)g_rand_int_range(random, 0, 18),
                g_rand_double(random) * pow(10, g_rand_int_range(random, -5, 17)));
        double expected = g_ascii_strtod(text, NULL);
        guint64 bits;
        memcpy(&bits, &expected, sizeof bits);
        g_autofree char *digits = g_strdup_printf("%016" G_GINT64_MODIFIER "x", bits);
        g_autofree char *found = convert(LAKE_TYPE_FLOAT64, text, TRUE, FALSE);
        g_assert_cmpstr(found, ==, digits);
    }
}

/* The type after all of the values, which are separated by spaces; OTHER where there is none.
 */
static LakeType
infer(const char *texts, gboolean are_fields)
{
    g_auto(GStrv) list = g_strsplit(texts, " ", -1);
    LakeType type = LAKE_TYPE_OTHER;

    for (guint i = 0; list[i]; i++) {
        g_autofree char *ended = g_strconcat(list[i], " ", NULL);
        LakeJsonScan json = {.at = ended, .end = ended + strlen(ended)};
        LakeJsonScanValue value = {
            .kind = LAKE_JSON_SCAN_FIELD, .text = ended, .n_bytes = strlen(list[i])};
        if (!are_fields)
            lake_json_scan_value(&json, &value);
        if (!lake_record_widen(&type, &value))
            return LAKE_TYPE_OTHER;
    }
    return type;
}

static void
test_types_are_told_from_values(void)
{
    g_assert_cmpint(infer("1 null 2", FALSE), ==, LAKE_TYPE_INT64);
    g_assert_cmpint(infer("1 2.5 3", FALSE), ==, LAKE_TYPE_FLOAT64);
    g_assert_cmpint(infer("2.5 3", FALSE), ==, LAKE_TYPE_FLOAT64);
    g_assert_cmpint(infer("true null", FALSE), ==, LAKE_TYPE_BOOL);
    g_assert_cmpint(infer("\"1\"", FALSE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("[1,2] []", FALSE), ==, LAKE_TYPE_EMBEDDING);
    g_assert_cmpint(infer("[1,2] [\"a\"] {}", FALSE), ==, LAKE_TYPE_JSONB);
    g_assert_cmpint(infer("{} [1]", FALSE), ==, LAKE_TYPE_JSONB);
    g_assert_cmpint(infer("null", FALSE), ==, LAKE_TYPE_OTHER);
    g_assert_cmpint(infer("1 \"a\"", FALSE), ==, LAKE_TYPE_OTHER);
    g_assert_cmpint(infer("true 1", FALSE), ==, LAKE_TYPE_OTHER);
    g_assert_cmpint(infer("\"a\" {}", FALSE), ==, LAKE_TYPE_OTHER);

    g_assert_cmpint(infer("1 -20", TRUE), ==, LAKE_TYPE_INT64);
    g_assert_cmpint(infer("1 2e5", TRUE), ==, LAKE_TYPE_FLOAT64);
    g_assert_cmpint(infer("0 0.5 -0", TRUE), ==, LAKE_TYPE_FLOAT64);
    g_assert_cmpint(infer(".5 -.25 5.", TRUE), ==, LAKE_TYPE_FLOAT64);
    g_assert_cmpint(infer(".", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer(".5.6", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("true FALSE", TRUE), ==, LAKE_TYPE_BOOL);
    g_assert_cmpint(infer("true 1", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("1 x", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("007", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("+5", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("-", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("nan", TRUE), ==, LAKE_TYPE_TEXT);
    g_assert_cmpint(infer("12345678901234567890", TRUE), ==, LAKE_TYPE_TEXT);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/ingest/records/value/values-of-json", test_values_of_json);
    g_test_add_func("/core/ingest/records/value/values-of-csv", test_values_of_csv);
    g_test_add_func("/core/ingest/records/value/text-that-takes-any", test_text_that_takes_any);
    g_test_add_func(
        "/core/ingest/records/value/numbers-are-read-exactly", test_numbers_are_read_exactly);
    g_test_add_func("/core/ingest/records/value/types-are-told-from-values",
        test_types_are_told_from_values);
    return g_test_run();
}
