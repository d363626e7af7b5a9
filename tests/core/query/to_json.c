/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/to_json.h"
#include "core/query.h"

#include "core/error.h"

#include <cjson/cJSON.h>
#include <string.h>

/* OIDs of pg_type.dat, and types of our own beyond the built-in ones. */
enum {
    BOOL = 16,
    BYTEA = 17,
    INT8 = 20,
    INT2VECTOR = 22,
    INT4 = 23,
    TEXT = 25,
    OIDVECTOR = 30,
    JSON = 114,
    BOX_ARRAY = 1020,
    FLOAT4_ARRAY = 1021,
    INT4_ARRAY = 1007,
    TEXT_ARRAY = 1009,
    DATE = 1082,
    TIMESTAMP = 1114,
    TIMESTAMPTZ = 1184,
    NUMERIC = 1700,
    BYTEA_ARRAY = 1001,
    JSONB_ARRAY = 3807,
    PAIR = 20000, /* composite (number int4, "te""xt" text) */
    PAIR_ARRAY,
    IMAGE, /* domain over bytea */
    IMAGE_ARRAY,
    MOOD, /* enum */
    NEST, /* composite (pairs pair[], image image) */
    LOOP, /* composite that contains an array of itself: only a broken lookup says so */
    LOOP_ARRAY,
    EMPTY, /* composite without fields */
    BROKEN,
};

static const LakeJsonType types[] = {
    {.oid = PAIR,
        .kind = 'c',
        .delimiter = ',',
        .n_fields = 2,
        .field_names = (char *[]){(char *)"number", (char *)"te\"xt"},
        .field_oids = (guint32[]){INT4, TEXT}},
    {.oid = PAIR_ARRAY, .kind = 'b', .delimiter = ',', .element = PAIR},
    {.oid = IMAGE, .kind = 'd', .delimiter = ',', .base = BYTEA},
    {.oid = IMAGE_ARRAY, .kind = 'b', .delimiter = ',', .element = IMAGE},
    {.oid = MOOD, .kind = 'e', .delimiter = ','},
    {.oid = NEST,
        .kind = 'c',
        .delimiter = ',',
        .n_fields = 2,
        .field_names = (char *[]){(char *)"pairs", (char *)"image"},
        .field_oids = (guint32[]){PAIR_ARRAY, IMAGE}},
    {.oid = LOOP,
        .kind = 'c',
        .delimiter = ',',
        .n_fields = 1,
        .field_names = (char *[]){(char *)"loops"},
        .field_oids = (guint32[]){LOOP_ARRAY}},
    {.oid = LOOP_ARRAY, .kind = 'b', .delimiter = ',', .element = LOOP},
    {.oid = EMPTY, .kind = 'c', .delimiter = ','},
};

static guint n_lookups;

static const LakeJsonType *
lookup(guint32 oid, gpointer user_data, GError **error)
{
    n_lookups++;
    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        if (types[i].oid == oid)
            return &types[i];
    }
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE, "no such type");
    return NULL;
}

/* One value of one column, without the object around it. The text is copied into memory of
 * exactly its length, so that a sanitizer sees any byte read beyond. */
static char *
encode_bytes(guint32 oid, const char *text, gsize n_bytes)
{
    static const char *const names[] = {"v"};
    g_autoptr(LakeJsonEncoder) encoder = lake_json_encoder_new(lookup, NULL);
    g_autoptr(GString) row = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    char *exact = g_malloc(MAX(n_bytes, 1));

    memcpy(exact, text, n_bytes);
    lake_json_encoder_set_columns(encoder, names, &oid, 1, &error);
    g_assert_no_error(error);
    lake_json_encoder_row(encoder, (const char *const[]){exact}, &n_bytes, row, &error);
    g_assert_no_error(error);
    g_free(exact);

    g_assert_true(g_str_has_prefix(row->str, "{\"v\":"));
    g_assert_true(g_str_has_suffix(row->str, "}"));
    g_assert_cmpuint(strlen(row->str), ==, row->len);
    return g_strndup(row->str + 5, row->len - 6);
}

static void
assert_encodes(guint32 oid, const char *text, const char *expected)
{
    g_autofree char *json = encode_bytes(oid, text, strlen(text));

    g_assert_cmpstr(json, ==, expected);
}

static void
numbers_keep_their_digits(void)
{
    g_autofree char *digits = g_strnfill(1000, '9');

    assert_encodes(INT8, "-9223372036854775808", "-9223372036854775808");
    assert_encodes(NUMERIC, digits, digits);
    assert_encodes(NUMERIC, "-0.10", "-0.10");
    assert_encodes(NUMERIC, "1e+20", "1e+20");
}

static void
what_is_no_json_number_is_a_string(void)
{
    static const char *const texts[] = {"NaN", "Infinity", "-Infinity", "", "-", "01", "1.",
        ".5", "1e", "1e+", "+1", "0x1", "1 ", "1,2", "--1"};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *expected = g_strdup_printf("\"%s\"", texts[i]);
        assert_encodes(NUMERIC, texts[i], expected);
    }
}

static void
booleans(void)
{
    assert_encodes(BOOL, "t", "true");
    assert_encodes(BOOL, "f", "false");
    assert_encodes(BOOL, "x", "\"x\"");
}

static void
timestamps_are_iso_8601(void)
{
    assert_encodes(DATE, "2026-01-01", "\"2026-01-01\"");
    assert_encodes(TIMESTAMP, "2026-01-01 00:00:00", "\"2026-01-01T00:00:00\"");
    assert_encodes(TIMESTAMP, "12026-01-01 00:00:00.5", "\"12026-01-01T00:00:00.5\"");
    assert_encodes(TIMESTAMP, "0044-03-15 12:00:00 BC", "\"0044-03-15T12:00:00 BC\"");
    assert_encodes(TIMESTAMPTZ, "2026-01-01 00:00:00+00", "\"2026-01-01T00:00:00+00:00\"");
    assert_encodes(
        TIMESTAMPTZ, "2026-01-01 00:00:00.25-03:30", "\"2026-01-01T00:00:00.25-03:30\"");
    assert_encodes(
        TIMESTAMPTZ, "1800-01-01 00:00:00+05:53:28", "\"1800-01-01T00:00:00+05:53:28\"");
    assert_encodes(
        TIMESTAMPTZ, "0001-01-01 00:00:00+01 BC", "\"0001-01-01T00:00:00+01:00 BC\"");
}

static void
other_timestamps_stay_as_they_are(void)
{
    static const char *const texts[] = {"infinity", "-infinity", "", "2026-01-01",
        "2026-01-01 ", "Wed Dec 17 07:37:16 1997 PST", "12/17/1997 07:37:16 PST",
        "2026-01-01 00:00:00", "2026-01-01 +00", "2026-01-01 00:00:00+00 AD",
        "2026-0x-01 00:00:00+00", "2026-01-01 0"};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *expected = g_strdup_printf("\"%s\"", texts[i]);
        assert_encodes(TIMESTAMPTZ, texts[i], expected);
    }
}

static void
bytes_are_base64(void)
{
    assert_encodes(BYTEA, "\\x", "\"\"");
    assert_encodes(BYTEA, "\\x00", "\"AA==\"");
    assert_encodes(BYTEA, "\\x00fF", "\"AP8=\"");
    assert_encodes(BYTEA, "\\x666f6f", "\"Zm9v\"");
    assert_encodes(BYTEA, "\\x666f6f62", "\"Zm9vYg==\"");
    assert_encodes(IMAGE, "\\x666f6f", "\"Zm9v\"");
    assert_encodes(BYTEA_ARRAY, "{\"\\\\x666f6f\",NULL}", "[\"Zm9v\",null]");
}

static void
bytes_in_escape_form_are_base64_too(void)
{
    assert_encodes(BYTEA, "foo", "\"Zm9v\"");
    assert_encodes(BYTEA, "f\\157o", "\"Zm9v\"");
    assert_encodes(BYTEA, "\\\\x", "\"XHg=\"");
    assert_encodes(BYTEA, "\\000\\377", "\"AP8=\"");
}

static void
bytes_of_no_form_are_a_string(void)
{
    static const char *const texts[] = {
        "\\x0", "\\x0g", "\\", "\\1", "\\12", "\\400", "a\\189"};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GString) expected = g_string_new(NULL);
        lake_json_append_string(expected, texts[i], strlen(texts[i]));
        assert_encodes(BYTEA, texts[i], expected->str);
    }
}

static void
random_bytes_decode_to_themselves(void)
{
    for (guint n_bytes = 0; n_bytes < 200; n_bytes++) {
        g_autoptr(GString) text = g_string_new("\\x");
        g_autofree guchar *bytes = g_malloc(n_bytes + 1);
        for (guint i = 0; i < n_bytes; i++) {
            bytes[i] = (guchar)g_test_rand_int_range(0, 256);
            g_string_append_printf(text, "%02x", bytes[i]);
        }

        g_autofree char *encoded = g_base64_encode(bytes, n_bytes);
        g_autofree char *expected = g_strdup_printf("\"%s\"", encoded);
        assert_encodes(BYTEA, text->str, expected);
    }
}

static void
json_stays_on_one_line(void)
{
    assert_encodes(JSON, "{\"a\": 1,\r\n \"b\":\n[]}", "{\"a\": 1,   \"b\": []}");
    assert_encodes(JSON, "\"x\\ny\"", "\"x\\ny\"");
    assert_encodes(JSON, "\n1\n", " 1 ");
    assert_encodes(JSONB_ARRAY, "{\"{\\\"a\\\": \\\"\\\\\\\\\\\"}\",null,NULL}",
        "[{\"a\": \"\\\\\"},null,null]");
}

static void
arrays(void)
{
    assert_encodes(INT4_ARRAY, "{}", "[]");
    assert_encodes(INT4_ARRAY, "{1,NULL,-3}", "[1,null,-3]");
    assert_encodes(INT4_ARRAY, "{{1,2},{3,4}}", "[[1,2],[3,4]]");
    assert_encodes(INT4_ARRAY, "[2:3]={7,8}", "[7,8]");
    assert_encodes(INT4_ARRAY, "[-1:0][2:2]={{7},{8}}", "[[7],[8]]");
    assert_encodes(
        FLOAT4_ARRAY, "{0.5,NaN,-Infinity,1e-10}", "[0.5,\"NaN\",\"-Infinity\",1e-10]");
    assert_encodes(BOX_ARRAY, "{(3,4),(1,2);(1,1),(0,0)}", "[\"(3,4),(1,2)\",\"(1,1),(0,0)\"]");
    assert_encodes(INT2VECTOR, "1 -2 3", "[1,-2,3]");
    assert_encodes(OIDVECTOR, "1 2", "[\"1\",\"2\"]");
    assert_encodes(OIDVECTOR, "", "[]");
}

static void
quoted_elements(void)
{
    assert_encodes(TEXT_ARRAY, "{\"\",\"NULL\",null}", "[\"\",\"NULL\",\"null\"]");
    assert_encodes(
        TEXT_ARRAY, "{\"a,b\",\"{}\",\"\\\"\",\"\\\\\"}", "[\"a,b\",\"{}\",\"\\\"\",\"\\\\\"]");
    assert_encodes(TEXT_ARRAY, "{\"a\\b\\\\c\\\"d\"}", "[\"ab\\\\c\\\"d\"]");
}

static void
composites(void)
{
    assert_encodes(PAIR, "(1,x)", "{\"number\":1,\"te\\\"xt\":\"x\"}");
    assert_encodes(PAIR, "(,)", "{\"number\":null,\"te\\\"xt\":null}");
    assert_encodes(PAIR, "(,\"\")", "{\"number\":null,\"te\\\"xt\":\"\"}");
    assert_encodes(PAIR, "(1,\"a \"\"b\"\" \\\\ (),\")",
        "{\"number\":1,\"te\\\"xt\":\"a \\\"b\\\" \\\\ (),\"}");
    assert_encodes(PAIR_ARRAY, "{\"(1,x)\",NULL}", "[{\"number\":1,\"te\\\"xt\":\"x\"},null]");
    assert_encodes(NEST, "(\"{\"\"(1,\\\\\"\"a b\\\\\"\")\"\"}\",\"\\\\x00\")",
        "{\"pairs\":[{\"number\":1,\"te\\\"xt\":\"a b\"}],\"image\":\"AA==\"}");
    assert_encodes(EMPTY, "()", "{}");
    assert_encodes(MOOD, "so, so", "\"so, so\"");
}

static void
malformed_text_is_a_string(void)
{
    static const char *const arrays_texts[] = {"", "{", "}", "{1", "{1,", "{1,}", "{,1}",
        "{1}}", "{1}x", "{\"", "{\"a", "{\"a\\", "{\"a\\\"", "{\"a\"", "{\"a\"x}", "{a\"b}",
        "{a\\b}", "{a{b}", "[", "[1:2]", "[1:2]=", "[1:2]={", "1", "{{1},{2}",
        "{{{{{{{1}}}}}}}", "{{", "{{}"};
    static const char *const composite_texts[] = {"", "(", ")", "(1", "(1,", "(1)", "(1,2",
        "(1,2,3)", "(1,2)x", "(\"", "(\"a", "(\"a\\", "(\"a\"", "(\"a\"\"", "(1,\"a\"b)",
        "(1,a\"b)", "((,)", "()"};

    for (guint i = 0; i < G_N_ELEMENTS(arrays_texts); i++) {
        g_autoptr(GString) expected = g_string_new(NULL);
        lake_json_append_string(expected, arrays_texts[i], strlen(arrays_texts[i]));
        assert_encodes(TEXT_ARRAY, arrays_texts[i], expected->str);
    }
    for (guint i = 0; i < G_N_ELEMENTS(composite_texts); i++) {
        g_autoptr(GString) expected = g_string_new(NULL);
        lake_json_append_string(expected, composite_texts[i], strlen(composite_texts[i]));
        assert_encodes(PAIR, composite_texts[i], expected->str);
    }
}

static void
any_text_gives_json(void)
{
    static const guint32 oids[] = {INT4_ARRAY, TEXT_ARRAY, BYTEA_ARRAY, PAIR, PAIR_ARRAY, NEST,
        LOOP, TIMESTAMPTZ, NUMERIC, BYTEA};
    static const char letters[] = "{}(),\"\\[]=:;1-+. aNULL\n\t\x01";

    for (int round = 0; round < 20000; round++) {
        char text[64];
        gsize n_bytes = (gsize)g_test_rand_int_range(0, sizeof text);
        for (gsize i = 0; i < n_bytes; i++)
            text[i] = letters[g_test_rand_int_range(0, sizeof letters - 1)];

        g_autofree char *json =
            encode_bytes(oids[g_test_rand_int_range(0, G_N_ELEMENTS(oids))], text, n_bytes);
        cJSON *parsed = cJSON_ParseWithOpts(json, NULL, TRUE);
        if (!parsed)
            g_test_message("%.*s gave %s", (int)n_bytes, text, json);
        g_assert_nonnull(parsed);
        g_assert_null(strchr(json, '\n'));
        cJSON_Delete(parsed);
    }
}

/* Each level doubles the quotes that it finds: this is what `(…)` of LOOP in LOOP looks like.
 */
static void
deep_nesting_ends(void)
{
    g_autofree char *opening = g_strnfill(100000, '(');
    g_autofree char *braces = g_strnfill(100000, '{');
    g_autofree char *quoted = g_strdup_printf("\"%s\"", opening);
    g_autofree char *quoted_braces = g_strdup_printf("\"%s\"", braces);

    assert_encodes(LOOP, opening, quoted);
    assert_encodes(TEXT_ARRAY, braces, quoted_braces);

    /* Each level of LOOP in an array in LOOP is quoted twice, so this grows by four. */
    g_autoptr(GString) text = g_string_new("()");
    for (int level = 0; level < 7; level++) {
        g_autofree char *escaped = g_strescape(text->str, NULL);
        g_string_printf(text, "({\"%s\"})", escaped);
        g_autofree char *field = g_strescape(text->str + 1, NULL);
        field[strlen(field) - 1] = '\0';
        g_string_printf(text, "(\"%s\")", field);
    }
    g_autofree char *json = encode_bytes(LOOP, text->str, text->len);
    g_assert_true(g_str_has_prefix(json, "{\"loops\":[{\"loops\":[{\"loops\":["));
}

/* The slow and plain way to escape. */
static char *
escape_slowly(const char *text, gsize n_bytes)
{
    GString *json = g_string_new("\"");

    for (gsize i = 0; i < n_bytes; i++) {
        guchar c = (guchar)text[i];
        const char *short_form = c ? strchr("\bb\ff\nn\rr\tt\"\"\\\\", c) : NULL;
        if (short_form && c < 0x20)
            g_string_append_printf(json, "\\%c", short_form[1]);
        else if (c == '"' || c == '\\')
            g_string_append_printf(json, "\\%c", c);
        else if (c < 0x20)
            g_string_append_printf(json, "\\u%04x", c);
        else
            g_string_append_c(json, (char)c);
    }
    g_string_append_c(json, '"');
    return g_string_free(json, FALSE);
}

static void
every_byte_is_escaped_as_postgresql_does(void)
{
    for (int c = 0; c < 256; c++) {
        for (gsize at = 0; at < 17; at++) {
            char text[17];
            g_autoptr(GString) json = g_string_new(NULL);
            memset(text, 'x', sizeof text);
            text[at] = (char)c;

            g_autofree char *expected = escape_slowly(text, sizeof text);
            lake_json_append_string(json, text, sizeof text);
            g_assert_cmpstr(json->str, ==, expected);
        }
    }
}

static void
random_strings_are_escaped_alike(void)
{
    g_autoptr(GString) json = g_string_new(NULL);

    for (int round = 0; round < 20000; round++) {
        gsize n_bytes = (gsize)g_test_rand_int_range(0, 80);
        int n_special = g_test_rand_int_range(1, 20);
        char *text = g_malloc(n_bytes + 1);
        for (gsize i = 0; i < n_bytes; i++)
            text[i] =
                (char)(g_test_rand_int_range(0, n_special) ? g_test_rand_int_range(0x20, 0x100)
                                                           : g_test_rand_int_range(0, 0x60));

        g_autofree char *expected = escape_slowly(text, n_bytes);
        gsize start = json->len;
        char *exact = g_memdup2(text, MAX(n_bytes, 1));
        lake_json_append_string(json, exact, n_bytes);
        g_assert_cmpstr(json->str + start, ==, expected);
        g_free(exact);
        g_free(text);
    }
}

static void
separators_of_unicode_stay(void)
{
    assert_encodes(TEXT, "\u2028\u2029 \x7f é 日 😀", "\"\u2028\u2029 \x7f é 日 😀\"");
}

static void
later_names_get_a_number(void)
{
    static const char *const names[] = {"a", "a", "b\"", "a", "a_2", "b\""};
    static const guint32 oids[] = {INT4, INT4, INT4, INT4, INT4, INT4};
    static const char *const texts[] = {"1", "2", "3", "4", "5", NULL};
    static const gsize lengths[] = {1, 1, 1, 1, 1, 0};
    g_autoptr(LakeJsonEncoder) encoder = lake_json_encoder_new(NULL, NULL);
    g_autoptr(GString) row = g_string_new(NULL);

    g_assert_true(
        lake_json_encoder_set_columns(encoder, names, oids, G_N_ELEMENTS(names), NULL));
    g_assert_true(lake_json_encoder_row(encoder, texts, lengths, row, NULL));
    g_assert_cmpstr(
        row->str, ==, "{\"a\":1,\"a_2\":2,\"b\\\"\":3,\"a_3\":4,\"a_2_2\":5,\"b\\\"_2\":null}");
}

static void
a_row_without_columns_is_an_empty_object(void)
{
    g_autoptr(LakeJsonEncoder) encoder = lake_json_encoder_new(NULL, NULL);
    g_autoptr(GString) row = g_string_new(NULL);

    g_assert_true(lake_json_encoder_set_columns(encoder, NULL, NULL, 0, NULL));
    g_assert_true(lake_json_encoder_row(encoder, NULL, NULL, row, NULL));
    g_assert_cmpstr(row->str, ==, "{}");
}

static void
types_are_asked_for_once(void)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    static const guint32 oids[] = {NEST, PAIR, IMAGE_ARRAY, MOOD};
    g_autoptr(LakeJsonEncoder) encoder = lake_json_encoder_new(lookup, NULL);

    n_lookups = 0;
    g_assert_true(lake_json_encoder_set_columns(encoder, names, oids, 4, NULL));
    g_assert_cmpuint(n_lookups, ==, 6);
    g_assert_true(lake_json_encoder_set_columns(encoder, names, oids, 4, NULL));
    g_assert_cmpuint(n_lookups, ==, 6);
}

static void
a_failed_lookup_is_an_error_and_asked_again(void)
{
    static const char *const names[] = {"fine", "broken"};
    static const guint32 oids[] = {PAIR, BROKEN};
    g_autoptr(LakeJsonEncoder) encoder = lake_json_encoder_new(lookup, NULL);
    g_autoptr(GString) row = g_string_new(NULL);

    for (int round = 0; round < 2; round++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(lake_json_encoder_set_columns(encoder, names, oids, 2, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
        g_assert_nonnull(strstr(error->message, "broken"));
    }

    g_autoptr(GError) error = NULL;
    g_assert_false(lake_json_encoder_row(encoder, NULL, NULL, row, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_FAILED);
    g_assert_cmpuint(row->len, ==, 0);
}

#define CLAIM(name, function) g_test_add_func("/core/query/to_json/" name, function)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CLAIM("numbers-keep-their-digits", numbers_keep_their_digits);
    CLAIM("what-is-no-json-number-is-a-string", what_is_no_json_number_is_a_string);
    CLAIM("booleans", booleans);
    CLAIM("timestamps-are-iso-8601", timestamps_are_iso_8601);
    CLAIM("other-timestamps-stay-as-they-are", other_timestamps_stay_as_they_are);
    CLAIM("bytes-are-base64", bytes_are_base64);
    CLAIM("bytes-in-escape-form-are-base64-too", bytes_in_escape_form_are_base64_too);
    CLAIM("bytes-of-no-form-are-a-string", bytes_of_no_form_are_a_string);
    CLAIM("random-bytes-decode-to-themselves", random_bytes_decode_to_themselves);
    CLAIM("json-stays-on-one-line", json_stays_on_one_line);
    CLAIM("arrays", arrays);
    CLAIM("quoted-elements", quoted_elements);
    CLAIM("composites", composites);
    CLAIM("malformed-text-is-a-string", malformed_text_is_a_string);
    CLAIM("any-text-gives-json", any_text_gives_json);
    CLAIM("deep-nesting-ends", deep_nesting_ends);
    CLAIM("every-byte-is-escaped-as-postgresql-does", every_byte_is_escaped_as_postgresql_does);
    CLAIM("random-strings-are-escaped-alike", random_strings_are_escaped_alike);
    CLAIM("separators-of-unicode-stay", separators_of_unicode_stay);
    CLAIM("later-names-get-a-number", later_names_get_a_number);
    CLAIM("a-row-without-columns-is-an-empty-object", a_row_without_columns_is_an_empty_object);
    CLAIM("types-are-asked-for-once", types_are_asked_for_once);
    CLAIM("a-failed-lookup-is-an-error-and-asked-again",
        a_failed_lookup_is_an_error_and_asked_again);
    return g_test_run();
}
