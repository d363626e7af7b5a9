/* SPDX-License-Identifier: Apache-2.0 */
#include "core/query/to_csv.h"

#include <string.h>

static void
assert_record(const char *const *texts, guint n_columns, const char *expected)
{
    g_autofree gsize *lengths = g_new0(gsize, n_columns + 1);
    g_autoptr(GString) into = g_string_new("before\n");

    for (guint i = 0; i < n_columns; i++)
        lengths[i] = texts[i] ? strlen(texts[i]) : 0;
    lake_csv_append_record(into, texts, lengths, n_columns);
    g_assert_true(g_str_has_prefix(into->str, "before\n"));
    g_assert_cmpstr(into->str + strlen("before\n"), ==, expected);
    g_assert_cmpuint(into->len, ==, strlen(into->str));
}

#define ASSERT_RECORD(expected, ...)                                                           \
    do {                                                                                       \
        const char *const texts[] = {__VA_ARGS__};                                             \
        assert_record(texts, G_N_ELEMENTS(texts), expected);                                   \
    } while (0)

static void
test_plain(void)
{
    ASSERT_RECORD("1\n", "1");
    ASSERT_RECORD("1,two words,3.5\n", "1", "two words", "3.5");
    ASSERT_RECORD("\xc3\xa4,'q',a\\b,;\t\n", "\xc3\xa4", "'q'", "a\\b", ";\t");
}

static void
test_null(void)
{
    ASSERT_RECORD("\n", NULL);
    ASSERT_RECORD("\"\"\n", "");
    ASSERT_RECORD(",\"\",,x\n", NULL, "", NULL, "x");
}

/* Each special character at each place of a text that is longer than a machine word. */
static void
test_quoted(void)
{
    static const char specials[] = ",\n\r";

    for (gsize at = 0; at < 20; at++) {
        char text[] = "abcdefghijklmnopqrst";
        for (gsize i = 0; i < sizeof specials - 1; i++) {
            text[at] = specials[i];
            g_autofree char *expected = g_strdup_printf("\"%s\"\n", text);
            ASSERT_RECORD(expected, text);
        }
        text[at] = '"';
        g_autofree char *head = g_strndup(text, at);
        g_autofree char *expected = g_strdup_printf("\"%s\"\"%s\"\n", head, text + at + 1);
        ASSERT_RECORD(expected, text);
    }
    ASSERT_RECORD("\"\"\"\"\n", "\"");
    ASSERT_RECORD("\"\"\"\"\"\"\n", "\"\"");
}

static void
test_neighbours(void)
{
    /* One bit away from a special character, or above it with the highest bit set. */
    ASSERT_RECORD("-+(!# \x0c\x0b\n", "-+(!# \x0c\x0b");
    ASSERT_RECORD("\xac\xa2\x8a\x8d\xac\xa2\x8a\x8d\n", "\xac\xa2\x8a\x8d\xac\xa2\x8a\x8d");
}

static void
test_end_mark(void)
{
    ASSERT_RECORD("\"\\.\"\n", "\\.");
    ASSERT_RECORD("a,\"\\.\",\\.x,x\\.\n", "a", "\\.", "\\.x", "x\\.");
}

static void
test_no_columns(void)
{
    assert_record(NULL, 0, "");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/query/to_csv/plain-values-are-not-quoted", test_plain);
    g_test_add_func("/core/query/to_csv/null-is-nothing-and-empty-is-two-quotes", test_null);
    g_test_add_func("/core/query/to_csv/what-would-split-is-quoted", test_quoted);
    g_test_add_func("/core/query/to_csv/what-looks-like-it-is-not-quoted", test_neighbours);
    g_test_add_func("/core/query/to_csv/copy-s-end-mark-is-quoted", test_end_mark);
    g_test_add_func("/core/query/to_csv/no-columns-is-no-record", test_no_columns);
    return g_test_run();
}
