/* SPDX-License-Identifier: Apache-2.0 */
#include "core/json_scan.h"

#include <string.h>

static LakeJsonScanStatus
scan(const char *text, gsize n_bytes, LakeJsonScanValue *ret_value, gsize *ret_n_read)
{
    LakeJsonScan json = {.at = text, .end = text + n_bytes};
    LakeJsonScanStatus status = lake_json_scan_value(&json, ret_value);

    g_assert_true(json.at >= text && json.at <= text + n_bytes);
    g_assert_true((status == LAKE_JSON_SCAN_BAD) == (json.reason != NULL));
    *ret_n_read = (gsize)(json.at - text);
    return status;
}

static void
test_values_are_pieces_of_the_text(void)
{
    static const struct {
        const char *text;
        LakeJsonScanKind kind;
        const char *piece;
    } good[] = {
        {"null ", LAKE_JSON_SCAN_NULL, "null"},
        {" true,", LAKE_JSON_SCAN_TRUE, "true"},
        {"\n\t\rfalse]", LAKE_JSON_SCAN_FALSE, "false"},
        {"-0 ", LAKE_JSON_SCAN_NUMBER, "-0"},
        {"123456789012345678901234567890,", LAKE_JSON_SCAN_NUMBER,
            "123456789012345678901234567890"},
        {"-1.5E+300}", LAKE_JSON_SCAN_NUMBER, "-1.5E+300"},
        {"\"a\\\"\\u20ac\" ", LAKE_JSON_SCAN_STRING, "a\\\"\\u20ac"},
        {"\"\"", LAKE_JSON_SCAN_STRING, ""},
        {"[ ]", LAKE_JSON_SCAN_ARRAY, "[ ]"},
        {"[1, [\"]\"], {}] ", LAKE_JSON_SCAN_ARRAY, "[1, [\"]\"], {}]"},
        {"{\"a\" : {\"b\":[]} , \"\":1}x", LAKE_JSON_SCAN_OBJECT,
            "{\"a\" : {\"b\":[]} , \"\":1}"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        LakeJsonScanValue value;
        gsize n_read;
        g_assert_cmpint(
            scan(good[i].text, strlen(good[i].text), &value, &n_read), ==, LAKE_JSON_SCAN_GOOD);
        g_assert_cmpint(value.kind, ==, good[i].kind);
        g_assert_cmpmem(value.text, value.n_bytes, good[i].piece, strlen(good[i].piece));
    }
}

static void
test_what_is_not_json(void)
{
    static const char *const bad[] = {"NaN", "Infinity", "-Infinity ", "nul ", "True", "01 ",
        "1. ", ".5", "+1", "1e ", "- ", "'a'", "[1,]", "[,]", "{,}", "{\"a\":1,}", "{a:1}",
        "{\"a\" 1}", "{\"a\":}", "[1 2]", "{\"a\":1 \"b\":2}", "\"\\x\"", "\"\\u12g4\"",
        "\"\\u0000\"", "\"\\udc00\"", "\"\\ud800abcdefgh\"", "\"\\ud800\\u0041\"", "\"a\nb\"",
        "\"\t\"", "]", "}", ":", "\"\\\x01\""};

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        LakeJsonScanValue value;
        gsize n_read;
        g_assert_cmpint(scan(bad[i], strlen(bad[i]), &value, &n_read), ==, LAKE_JSON_SCAN_BAD);
    }
}

/* In memory of exactly that size, so that the sanitizer sees a step too far. */
static void
test_cut_at_every_length_it_is_short(void)
{
    static const char whole[] = "{\"a\\u20ac\\ud83d\\ude00\": [1.5e-3, \"x\\n\", true, null, "
                                "{\"b\": false}], \"c\": -12, \"d\": {}}";

    for (gsize n_bytes = 0; n_bytes < sizeof whole - 1; n_bytes++) {
        g_autofree char *piece = g_memdup2(whole, n_bytes);
        LakeJsonScanValue value;
        gsize n_read;
        g_assert_cmpint(scan(piece, n_bytes, &value, &n_read), ==, LAKE_JSON_SCAN_SHORT);
    }
    LakeJsonScanValue value;
    gsize n_read;
    g_assert_cmpint(scan(whole, sizeof whole - 1, &value, &n_read), ==, LAKE_JSON_SCAN_GOOD);
    g_assert_cmpuint(n_read, ==, sizeof whole - 1);
}

static void
test_deep_nesting_is_bounded(void)
{
    for (guint depth = LAKE_JSON_SCAN_MAX_DEPTH - 1; depth < 200000; depth *= 3) {
        g_autofree char *open = g_strnfill(depth, '[');
        g_autofree char *close = g_strnfill(depth, ']');
        g_autofree char *text = g_strconcat(open, close, NULL);
        LakeJsonScanValue value;
        gsize n_read;
        g_assert_cmpint(scan(text, strlen(text), &value, &n_read), ==,
            depth <= LAKE_JSON_SCAN_MAX_DEPTH ? LAKE_JSON_SCAN_GOOD : LAKE_JSON_SCAN_BAD);
    }
}

static void
test_members_of_an_object(void)
{
    static const char text[] = " {\"a\": 1, \"b\": [\"x\"], \"c\": \"\"} ";
    LakeJsonScan json = {.at = text, .end = text + sizeof text - 1};
    LakeJsonScan list = {.at = "[]", .end = json.at + 2};
    g_autoptr(GArray) members = g_array_new(FALSE, FALSE, sizeof(LakeJsonScanMember));

    g_assert_cmpint(lake_json_scan_object(&json, members), ==, LAKE_JSON_SCAN_GOOD);
    g_assert_cmpuint(members->len, ==, 3);
    LakeJsonScanMember *second = &g_array_index(members, LakeJsonScanMember, 1);
    g_assert_cmpmem(second->key.text, second->key.n_bytes, "b", 1);
    g_assert_cmpint(second->value.kind, ==, LAKE_JSON_SCAN_ARRAY);
    g_assert_false(second->value.is_vector);
    g_assert_cmpint(lake_json_scan_object(&list, members), ==, LAKE_JSON_SCAN_BAD);
}

static void
test_strings_are_decoded(void)
{
    static const char text[] = "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u20AC\\ud83d\\ude00 z\"";
    g_autoptr(GString) decoded = g_string_new(NULL);
    LakeJsonScanValue value;
    gsize n_read;

    g_assert_cmpint(scan(text, sizeof text - 1, &value, &n_read), ==, LAKE_JSON_SCAN_GOOD);
    g_assert_true(value.has_escapes);
    lake_json_scan_decode(&value, decoded);
    g_assert_cmpstr(decoded->str, ==, "\"\\/\b\f\n\r\tA\xe2\x82\xac\xf0\x9f\x98\x80 z");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func(
        "/core/json_scan/values-are-pieces-of-the-text", test_values_are_pieces_of_the_text);
    g_test_add_func("/core/json_scan/what-is-not-json", test_what_is_not_json);
    g_test_add_func("/core/json_scan/cut-at-every-length-it-is-short",
        test_cut_at_every_length_it_is_short);
    g_test_add_func("/core/json_scan/deep-nesting-is-bounded", test_deep_nesting_is_bounded);
    g_test_add_func("/core/json_scan/members-of-an-object", test_members_of_an_object);
    g_test_add_func("/core/json_scan/strings-are-decoded", test_strings_are_decoded);
    return g_test_run();
}
