/* SPDX-License-Identifier: Apache-2.0 */
#include "core/changeset.h"

#include "core/changes.h"
#include <string.h>

#define SENDER "0b0e7e3c-63a3-4a3a-9d9c-0f8f6b6f2a11"

static guint
kinds_of(const LakeChangeset *set, const char *table)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(set->tables, table));
}

static void
test_what_is_said_is_what_is_heard(void)
{
    static const char *const names[] = {
        "docs", "a b", "100%", "a:b", "x*y", "Füße", "tf:r", "\"'\\\n", "*"};
    g_autoptr(LakeChangeset) set = lake_changeset_new();
    g_autofree char *sender = NULL;

    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        lake_changeset_add(set, names[i], 1 + i % LAKE_CHANGE_ALL);
    g_autofree char *text = lake_changeset_encode(set, SENDER);
    g_autoptr(LakeChangeset) heard = lake_changeset_decode(text, &sender);

    g_assert_nonnull(heard);
    g_assert_cmpstr(sender, ==, SENDER);
    g_assert_false(heard->is_everything);
    g_assert_cmpuint(g_hash_table_size(heard->tables), ==, G_N_ELEMENTS(names));
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        g_assert_cmpuint(kinds_of(heard, names[i]), ==, 1 + i % LAKE_CHANGE_ALL);
}

static void
test_nothing_can_be_said(void)
{
    g_autoptr(LakeChangeset) set = lake_changeset_new();
    g_autofree char *text = lake_changeset_encode(set, SENDER);
    g_autofree char *sender = NULL;
    g_autoptr(LakeChangeset) heard = lake_changeset_decode(text, &sender);

    g_assert_nonnull(heard);
    g_assert_true(lake_changeset_is_empty(heard));
}

static void
test_kinds_add_up(void)
{
    g_autoptr(LakeChangeset) set = lake_changeset_new();
    g_autoptr(LakeChangeset) more = lake_changeset_new();

    g_assert_true(lake_changeset_is_empty(set));
    lake_changeset_add(set, "a", LAKE_CHANGE_FILES);
    lake_changeset_add(set, "a", LAKE_CHANGE_ROWS);
    lake_changeset_add(more, "a", LAKE_CHANGE_TABLE);
    lake_changeset_add(more, "b", LAKE_CHANGE_ROWS);
    lake_changeset_merge(set, more);
    g_assert_cmpuint(kinds_of(set, "a"), ==, LAKE_CHANGE_ALL);
    g_assert_cmpuint(kinds_of(set, "b"), ==, LAKE_CHANGE_ROWS);

    lake_changeset_add(more, NULL, LAKE_CHANGE_ALL);
    lake_changeset_merge(set, more);
    g_assert_true(set->is_everything);
    g_assert_false(lake_changeset_is_empty(set));
    lake_changeset_add(set, "c", LAKE_CHANGE_ROWS);
    g_assert_cmpuint(g_hash_table_size(set->tables), ==, 0);
}

/* However many, and however long their names. */
static void
test_too_much_is_everything(void)
{
    static const guint numbers[] = {30, 60, 256, 257, 5000};

    for (gsize i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(LakeChangeset) set = lake_changeset_new();
        g_autofree char *sender = NULL;

        for (guint n = 0; n < numbers[i]; n++) {
            g_autofree char *name =
                g_strdup_printf("%s%05u", "%%%%%%%%%%%%%%%%%%%%%%%%%%%%", n);
            lake_changeset_add(set, name, LAKE_CHANGE_ROWS);
        }
        g_assert_cmpuint(g_hash_table_size(set->tables), <=, 256);
        g_autofree char *text = lake_changeset_encode(set, SENDER);
        g_assert_cmpuint(strlen(text), <=, LAKE_CHANGESET_TEXT_MAX_BYTES);
        g_autoptr(LakeChangeset) heard = lake_changeset_decode(text, &sender);
        g_assert_nonnull(heard);
        g_assert_true(heard->is_everything == (numbers[i] > 60));
        g_assert_cmpuint(
            g_hash_table_size(heard->tables), ==, heard->is_everything ? 0 : numbers[i]);
    }
}

static void
test_what_strangers_say_is_ignored(void)
{
    static const char *const texts[] = {"", " ", "hello", "deeplakefs/1", "deeplakefs/1 ",
        "deeplakefs/1 me t:a", "deeplakefs/2 " SENDER " t:a", "deeplakefs/1 " SENDER " ",
        "deeplakefs/1 " SENDER " t:a ", "deeplakefs/1  " SENDER " t:a",
        "deeplakefs/1 " SENDER " a", "deeplakefs/1 " SENDER " :a",
        "deeplakefs/1 " SENDER " x:a", "deeplakefs/1 " SENDER " tx:a",
        "deeplakefs/1 " SENDER " t:", "deeplakefs/1 " SENDER " t:%",
        "deeplakefs/1 " SENDER " t:%zz", "deeplakefs/1 " SENDER " t:%00",
        "deeplakefs/1 " SENDER " t:%ff%fe", "deeplakefs/1 " SENDER " t:a t",
        "deeplakefs/1 " SENDER " t:deeplakefs_ledger",
        "deeplakefs/1 " SENDER
        " t:0123456789012345678901234567890123456789012345678901234567890123"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        char *sender = NULL;
        LakeChangeset *heard = lake_changeset_decode(texts[i], &sender);

        if (heard)
            g_error("taken: \"%s\"", texts[i]);
        g_assert_null(sender);
    }
}

/* Whatever is cut off, or set to another byte: never a crash, never a name that no table has.
 */
static void
test_damaged_texts_do_no_harm(void)
{
    g_autoptr(LakeChangeset) set = lake_changeset_new();

    lake_changeset_add(set, "a/b%", LAKE_CHANGE_ALL);
    lake_changeset_add(set, "Füße", LAKE_CHANGE_FILES);
    g_autofree char *text = lake_changeset_encode(set, SENDER);
    for (gsize at = 0; at < strlen(text); at++)
        for (int byte = 0; byte < 256; byte++) {
            g_autofree char *damaged = g_strdup(text);
            g_autofree char *sender = NULL;

            damaged[at] = (char)byte;
            g_autoptr(LakeChangeset) heard = lake_changeset_decode(damaged, &sender);
            if (!heard)
                continue;
            GHashTableIter iterator;
            gpointer name;
            g_hash_table_iter_init(&iterator, heard->tables);
            while (g_hash_table_iter_next(&iterator, &name, NULL)) {
                g_assert_true(g_utf8_validate(name, -1, NULL));
                g_assert_cmpuint(strlen(name), <=, 63);
            }
        }
}

static void
test_a_flood_of_names_is_bounded(void)
{
    g_autoptr(LakeChangeset) all = lake_changeset_new();

    for (guint n = 0; n < 100000; n++) {
        g_autofree char *text = g_strdup_printf("deeplakefs/1 " SENDER " r:t%u", n);
        g_autofree char *sender = NULL;
        g_autoptr(LakeChangeset) heard = lake_changeset_decode(text, &sender);

        g_assert_nonnull(heard);
        lake_changeset_merge(all, heard);
        g_assert_cmpuint(g_hash_table_size(all->tables), <=, 256);
    }
    g_assert_true(all->is_everything);
}

static void
test_a_channel_is_an_identifier_for_every_name(void)
{
    static const char *const names[] = {"live", "Live", "a b", "Füße", "\"; DROP TABLE x; --",
        "012345678901234567890123456789012345678901234567890123456789012",
        "012345678901234567890123456789012345678901234567890123456789013"};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        char *channel = lake_changes_channel(names[i]);

        g_assert_cmpuint(strlen(channel), <=, 63);
        g_assert_cmpuint(
            strspn(channel, "abcdefghijklmnopqrstuvwxyz_0123456789"), ==, strlen(channel));
        g_assert_true(g_hash_table_add(seen, channel));
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func(
        "/core/changeset/what-is-said-is-what-is-heard", test_what_is_said_is_what_is_heard);
    g_test_add_func("/core/changeset/nothing-can-be-said", test_nothing_can_be_said);
    g_test_add_func("/core/changeset/kinds-add-up", test_kinds_add_up);
    g_test_add_func("/core/changeset/too-much-is-everything", test_too_much_is_everything);
    g_test_add_func(
        "/core/changeset/what-strangers-say-is-ignored", test_what_strangers_say_is_ignored);
    g_test_add_func("/core/changeset/damaged-texts-do-no-harm", test_damaged_texts_do_no_harm);
    g_test_add_func(
        "/core/changeset/a-flood-of-names-is-bounded", test_a_flood_of_names_is_bounded);
    g_test_add_func("/core/changeset/a-channel-is-an-identifier-for-every-name",
        test_a_channel_is_an_identifier_for_every_name);
    return g_test_run();
}
