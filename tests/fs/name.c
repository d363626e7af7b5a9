/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/name.h"

#include "core/catalog.h"
#include "core/error.h"
#include <string.h>

#define N_RANDOM 20000

/* What a name is made of when it is to be difficult. */
static const char *const pieces[] = {"a", "Z", "0", "%", "%2", "%25", "%41", "/", "//", ".",
    "..", " ", "\n", "\\", "\"", "'", "\x01", "\x7f", "ingest", ".deeplake", "query", ".sql",
    ".json", ".jsonl", ".csv", ".text", "\xc3\xa4", "e\xcc\x81", "\xe6\xb9\x96",
    "\xf0\x9f\x8c\x8a"};

static const char *const reserved[] = {"ingest", ".deeplake", ".", "..", "query.sql", "a.sql",
    ".sql", "a.sql", "x.text.sql", "\xc3\xa4.sql"};

static char *
random_name(void)
{
    GString *name = g_string_new(NULL);
    guint n_pieces = (guint)g_test_rand_int_range(1, 12);

    for (guint i = 0; i < n_pieces; i++) {
        const char *piece = pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))];
        if (name->len + strlen(piece) <= LAKE_CATALOG_NAME_MAX_BYTES)
            g_string_append(name, piece);
    }
    return g_string_free(name, FALSE);
}

static void
assert_returns(const char *table)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = fs_name_from_table(table);
    g_autofree char *again = fs_name_to_table(name, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(again, ==, table);
    g_assert_null(strchr(name, '/'));
    g_assert_cmpstr(name, !=, "");
    g_assert_cmpstr(name, !=, ".");
    g_assert_cmpstr(name, !=, "..");
    g_assert_cmpstr(name, !=, "ingest");
    g_assert_cmpstr(name, !=, ".deeplake");
}

static void
test_round_trip(void)
{
    for (guint i = 0; i < N_RANDOM; i++) {
        g_autofree char *table = random_name();
        assert_returns(table);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(reserved); i++)
        assert_returns(reserved[i]);
}

static void
test_unique(void)
{
    g_autoptr(GHashTable) tables =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (guint i = 0; i < N_RANDOM; i++) {
        char *table = random_name();
        char *name = fs_name_from_table(table);
        const char *other = g_hash_table_lookup(tables, name);

        if (other)
            g_assert_cmpstr(other, ==, table);
        g_hash_table_replace(tables, name, table);
    }
}

static void
assert_name(const char *table, const char *expected)
{
    g_autofree char *name = fs_name_from_table(table);

    g_assert_cmpstr(name, ==, expected);
}

static void
test_exact(void)
{
    static const char *const plain[] = {"docs", "Docs", "two words", "ingest2", "Ingest",
        ".hidden", "...", "query.SQL", "sql", "a.sql.txt", "json", "it's \"quoted\" \\ here",
        "gr\xc3\xb6\xc3\x9f"
        "e"};

    for (gsize i = 0; i < G_N_ELEMENTS(plain); i++) {
        assert_name(plain[i], plain[i]);
        g_assert_false(fs_name_is_reserved(plain[i]));
    }
}

static void
test_escapes(void)
{
    assert_name("a/b", "a%2Fb");
    assert_name("/", "%2F");
    assert_name("100%", "100%25");
    assert_name("%2F", "%252F");
}

static void
test_reserved(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(reserved); i++)
        g_assert_true(fs_name_is_reserved(reserved[i]));
    assert_name("ingest", "%69ngest");
    assert_name(".deeplake", "%2Edeeplake");
    assert_name(".", "%2E");
    assert_name("..", "%2E.");
    assert_name("query.sql", "%71uery.sql");
    assert_name("a.csv", "a.csv");
}

/* What shows is found again: an escaped name is a table's, not a query's. */
static void
test_escaped(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(reserved); i++) {
        g_autofree char *name = fs_name_from_table(reserved[i]);
        g_autofree char *shown = g_strescape(name, NULL);

        g_test_message("%s", shown);
        g_assert_false(fs_name_is_reserved(name));
    }
    /* Starts like an escape, and is none. */
    g_assert_true(fs_name_is_reserved("%.sql"));
    g_assert_true(fs_name_is_reserved("%zz.sql"));
    g_assert_true(fs_name_is_reserved("a%41.sql"));
}

static void
assert_refused(const char *name, LakeErrorCode code)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *table = fs_name_to_table(name, &error);

    g_autofree char *shown = g_strescape(name, NULL);

    g_test_message("%s", shown);
    g_assert_error(error, LAKE_ERROR, (int)code);
    g_assert_null(table);
}

static void
test_other_spellings(void)
{
    static const char *const others[] = {"%61", "a%62", "a%2fb", "%2f", "%69ngesT", "ingest",
        ".deeplake", ".", "..", "a.sql", "%", "a%", "a%2", "a%zz", "%2", "%2E%2E", "%2Ehidden",
        "%%", "%25%", "a%00b", "%00"};

    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        assert_refused(others[i], LAKE_ERROR_BAD_INPUT);
}

static void
test_hidden(void)
{
    assert_refused("", LAKE_ERROR_BAD_INPUT);
    assert_refused("deeplakefs_ledger", LAKE_ERROR_BAD_INPUT);
    assert_refused("pg_deeplake_x", LAKE_ERROR_BAD_INPUT);
}

static void
test_length(void)
{
    char table[LAKE_CATALOG_NAME_MAX_BYTES + 2];

    memset(table, '/', sizeof table);
    table[LAKE_CATALOG_NAME_MAX_BYTES] = '\0';
    /* The limit is the table's: its file name may have three times as many. */
    assert_returns(table);

    table[LAKE_CATALOG_NAME_MAX_BYTES] = 'a';
    table[LAKE_CATALOG_NAME_MAX_BYTES + 1] = '\0';
    g_autofree char *name = fs_name_from_table(table);
    assert_refused(name, LAKE_ERROR_LONG_NAME);

    /* 32 characters, and 64 bytes. */
    for (guint i = 0; i < 64; i += 2)
        memcpy(table + i, "\xc3\xa4", 2);
    assert_refused(table, LAKE_ERROR_LONG_NAME);
}

static void
test_bytes(void)
{
    static const char *const wrong[] = {
        "\xff", "a\xc3", "\xc3(", "\xed\xa0\x80", "%FF", "a%C3"};

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        assert_refused(wrong[i], LAKE_ERROR_BAD_NAME);
}

static void
assert_key(const char *const *key, const char *expected)
{
    g_autofree char *name = fs_name_from_key(key);
    g_auto(GStrv) again = fs_name_to_key(name, g_strv_length((char **)key));

    g_assert_cmpstr(name, ==, expected);
    g_assert_nonnull(again);
    g_assert_true(g_strv_equal((const char *const *)again, key));
}

static void
test_keys(void)
{
    assert_key((const char *[]){"12", NULL}, "12");
    assert_key((const char *[]){"a,b", "50%", NULL}, "a%2Cb,50%25");
    assert_key((const char *[]){"", NULL}, "%");
    assert_key((const char *[]){"", "", NULL}, "%,%");
    assert_key((const char *[]){"..", "a/.", NULL}, "%2E.,a%2F.");
    assert_key((const char *[]){"two\nlines\x7f", NULL}, "two%0Alines%7F");
    assert_key((const char *[]){"\xc3\xa4", NULL}, "\xc3\xa4");
}

static void
test_other_keys(void)
{
    static const char *const wrong[] = {"", "a,b", "%61", "%2c", "%00", "a%00", "a%", "%2",
        "%zz", ".", "..", "a\nb", "\xff", "%FF", "%%"};

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++)
        g_assert_null(fs_name_to_key(wrong[i], 1));
    g_assert_null(fs_name_to_key("a", 2));
    g_assert_null(fs_name_to_key("a,", 2));
    g_assert_null(fs_name_to_key("a,b,c", 2));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/name/every-table-comes-back-from-its-file-name", test_round_trip);
    g_test_add_func("/fs/name/no-two-tables-share-a-file-name", test_unique);
    g_test_add_func("/fs/name/a-plain-name-is-exact", test_exact);
    g_test_add_func("/fs/name/slash-and-percent-are-escaped", test_escapes);
    g_test_add_func("/fs/name/a-reserved-name-has-its-first-byte-escaped", test_reserved);
    g_test_add_func("/fs/name/an-escaped-name-is-a-tables", test_escaped);
    g_test_add_func("/fs/name/another-spelling-is-refused", test_other_spellings);
    g_test_add_func("/fs/name/what-is-hidden-has-no-file-name", test_hidden);
    g_test_add_func("/fs/name/a-table-has-at-most-63-bytes", test_length);
    g_test_add_func("/fs/name/a-name-must-be-utf-8", test_bytes);
    g_test_add_func("/fs/name/every-key-comes-back-from-its-file-name", test_keys);
    g_test_add_func("/fs/name/a-key-has-one-spelling", test_other_keys);
    return g_test_run();
}
