/* SPDX-License-Identifier: Apache-2.0 */
#include "core/recent.h"

#include <string.h>

#define LONG_MS 3600000 /* no test waits for it */

typedef struct {
    LakeRecent *recent;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->recent = lake_recent_new(LONG_MS);
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    lake_recent_free(fixture->recent);
}

static void
put(LakeRecent *recent, const char *table, const char *path, gint64 size_bytes)
{
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_new(path);

    entry->size_bytes = size_bytes;
    lake_recent_put(recent, table, entry);
}

/* The size of what is known of a path; -1: that it was removed, -2: nothing. */
static gint64
find(LakeRecent *recent, const char *table, const char *path)
{
    g_autoptr(LakeLedgerEntry) entry = NULL;

    if (!lake_recent_find(recent, table, path, &entry))
        return -2;
    if (entry)
        g_assert_cmpstr(entry->path, ==, path);
    return entry ? entry->size_bytes : -1;
}

/* What the server lists: names with blanks between them, size 0. */
static GPtrArray *
new_listing(const char *folder, const char *names)
{
    GPtrArray *listing =
        g_ptr_array_new_with_free_func((GDestroyNotify)lake_ledger_entry_unref);
    g_auto(GStrv) all = g_strsplit(names, " ", -1);

    for (char **name = all; *name; name++) {
        g_autofree char *path = *folder ? g_strconcat(folder, "/", *name, NULL) : NULL;
        if (**name)
            g_ptr_array_add(listing, lake_ledger_entry_new(path ? path : *name));
    }
    return listing;
}

/* names: what is there after correction, with the size behind a colon where it is not 0. */
static void
assert_corrected_in(LakeRecent *recent, const char *folder, const char *after, gboolean is_end,
    const char *listed, const char *names)
{
    g_autoptr(GPtrArray) listing = new_listing(folder, listed);
    g_autoptr(GString) found = g_string_new(NULL);

    lake_recent_correct(recent, "t", folder, after, is_end, g_get_monotonic_time(), listing);
    for (guint i = 0; i < listing->len; i++) {
        const LakeLedgerEntry *entry = listing->pdata[i];
        g_string_append_printf(found, "%s%s", i > 0 ? " " : "", entry->name);
        if (entry->size_bytes)
            g_string_append_printf(found, ":%" G_GINT64_FORMAT, entry->size_bytes);
    }
    g_assert_cmpstr(found->str, ==, names);
}

static void
assert_corrected(LakeRecent *recent, const char *after, gboolean is_end, const char *listed,
    const char *names)
{
    assert_corrected_in(recent, "", after, is_end, listed, names);
}

/* --- single paths --- */

static void
test_find(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    g_assert_cmpint(find(recent, "t", "a"), ==, -2);
    put(recent, "t", "a", 1);
    put(recent, "t", "x/a", 2);
    put(recent, "u", "a", 3);
    g_assert_cmpint(find(recent, "t", "a"), ==, 1);
    g_assert_cmpint(find(recent, "t", "x/a"), ==, 2);
    g_assert_cmpint(find(recent, "u", "a"), ==, 3);
    g_assert_cmpint(find(recent, "u", "x/a"), ==, -2);
    g_assert_cmpint(find(recent, "ta", ""), ==, -2);
    g_assert_cmpint(find(recent, "t", "A"), ==, -2);
}

static void
test_the_last_change_counts(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "a", 1);
    put(recent, "t", "a", 2);
    g_assert_cmpint(find(recent, "t", "a"), ==, 2);
    lake_recent_remove(recent, "t", "a");
    g_assert_cmpint(find(recent, "t", "a"), ==, -1);
    lake_recent_remove(recent, "t", "a");
    g_assert_cmpint(find(recent, "t", "a"), ==, -1);
    put(recent, "t", "a", 3);
    g_assert_cmpint(find(recent, "t", "a"), ==, 3);
    lake_recent_remove(recent, "t", "never/there");
    g_assert_cmpint(find(recent, "t", "never/there"), ==, -1);
}

static void
test_forget(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "a", 1);
    put(recent, "u", "a", 2);
    lake_recent_remove(recent, "t", "b");
    put(recent, "u", "b", 3);
    lake_recent_forget(recent, "t");
    g_assert_cmpint(find(recent, "t", "a"), ==, -2);
    g_assert_cmpint(find(recent, "t", "b"), ==, -2);
    g_assert_cmpint(find(recent, "u", "a"), ==, 2);
    g_assert_cmpint(find(recent, "u", "b"), ==, 3);
    lake_recent_forget(recent, NULL);
    g_assert_cmpint(find(recent, "u", "a"), ==, -2);
    assert_corrected(recent, NULL, TRUE, "c", "c");
    put(recent, "t", "a", 4);
    g_assert_cmpint(find(recent, "t", "a"), ==, 4);
}

/* After the lag and a second, from when each was last changed. */
static void
test_expiry(void)
{
    LakeRecent *recent = lake_recent_new(0);

    put(recent, "t", "a", 1);
    put(recent, "t", "b", 2);
    g_usleep(600 * 1000);
    g_assert_cmpint(find(recent, "t", "b"), ==, 2);
    put(recent, "t", "a", 3);
    g_usleep(500 * 1000);
    g_assert_cmpint(find(recent, "t", "b"), ==, -2);
    assert_corrected(recent, NULL, TRUE, "", "a:3");
    g_usleep(600 * 1000);
    assert_corrected(recent, NULL, TRUE, "", "");
    g_assert_cmpint(find(recent, "t", "a"), ==, -2);
    lake_recent_free(recent);
}

/* What was remembered when it was asked for counts, though it has expired meanwhile: the server
 * may have answered with what was there before. */
static void
test_listing_that_took_long(void)
{
    g_autoptr(LakeRecent) recent = lake_recent_new(0);
    g_autoptr(GPtrArray) listing = new_listing("", "b");
    g_autoptr(GPtrArray) zones = g_ptr_array_new_with_free_func(g_free);
    gint64 asked_us = g_get_monotonic_time();

    put(recent, "t", "a", 1);
    lake_recent_remove(recent, "t", "b");
    put(recent, "t", "", 0);
    g_usleep(1200 * 1000);
    g_assert_cmpint(find(recent, "t", "a"), ==, -2);
    lake_recent_correct(recent, "t", "", NULL, TRUE, asked_us, listing);
    g_assert_cmpuint(listing->len, ==, 1);
    g_assert_cmpstr(((LakeLedgerEntry *)listing->pdata[0])->name, ==, "a");
    lake_recent_correct_zones(recent, asked_us, zones);
    g_assert_cmpuint(zones->len, ==, 1);
    assert_corrected(recent, NULL, TRUE, "b", "b");
}

static void
test_nothing_is_remembered_without(void)
{
    LakeLedgerEntry *entry;
    g_autoptr(GPtrArray) zones = g_ptr_array_new();

    put(NULL, "t", "a", 1);
    lake_recent_remove(NULL, "t", "b");
    lake_recent_forget(NULL, NULL);
    g_assert_false(lake_recent_find(NULL, "t", "a", &entry));
    assert_corrected(NULL, NULL, TRUE, "b c", "b c");
    lake_recent_correct_zones(NULL, 0, zones);
    g_assert_cmpuint(zones->len, ==, 0);
    lake_recent_free(NULL);
}

/* Of what others did nothing is known, and of the rest all that was. */
static void
test_forgets_one_path(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "a", 1);
    put(recent, "t", "b", 2);
    put(recent, "u", "a", 3);
    lake_recent_remove(recent, "t", "c");
    lake_recent_forget_path(recent, "t", "a");
    lake_recent_forget_path(recent, "t", "c");
    lake_recent_forget_path(recent, "t", "never");
    lake_recent_forget_path(NULL, "t", "a");
    g_assert_cmpint(find(recent, "t", "a"), ==, -2);
    g_assert_cmpint(find(recent, "t", "c"), ==, -2);
    g_assert_cmpint(find(recent, "t", "b"), ==, 2);
    g_assert_cmpint(find(recent, "u", "a"), ==, 3);
    put(recent, "t", "a", 4);
    g_assert_cmpint(find(recent, "t", "a"), ==, 4);
}

/* --- listings --- */

static void
test_whole_listing(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "a", 1);
    put(recent, "t", "c", 2);
    put(recent, "t", "e", 3);
    lake_recent_remove(recent, "t", "d");
    lake_recent_remove(recent, "t", "gone");
    assert_corrected(recent, NULL, TRUE, "b c d", "a:1 b c:2 e:3");
    assert_corrected(recent, NULL, TRUE, "", "a:1 c:2 e:3");
    assert_corrected(recent, NULL, TRUE, "a c e", "a:1 c:2 e:3");
    assert_corrected(recent, NULL, TRUE, "d", "a:1 c:2 e:3");
}

/* A page goes from what is behind `after` up to the last that the server has; what is behind
 * that is of the next page. */
static void
test_borders_of_pages(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "b", 1);
    put(recent, "t", "d1", 2);
    put(recent, "t", "d", 3);
    put(recent, "t", "f", 4);
    assert_corrected(recent, NULL, FALSE, "a c d", "a b:1 c d:3");
    assert_corrected(recent, "d", FALSE, "e f", "d1:2 e f:4");
    assert_corrected(recent, "d", FALSE, "e", "d1:2 e");
    assert_corrected(recent, "b", FALSE, "c d", "c d:3");
    assert_corrected(recent, "e", TRUE, "", "f:4");
    assert_corrected(recent, "f", TRUE, "", "");
}

/* Its end stays where the server had it: what came behind its last entry is not lost. */
static void
test_last_of_a_page_is_removed(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    lake_recent_remove(recent, "t", "c");
    put(recent, "t", "bb", 1);
    put(recent, "t", "cc", 2);
    assert_corrected(recent, NULL, FALSE, "a b c", "a b bb:1");
    assert_corrected(recent, "c", FALSE, "d e", "cc:2 d e");
}

static void
test_whole_page_is_removed(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    lake_recent_remove(recent, "t", "a");
    lake_recent_remove(recent, "t", "b");
    lake_recent_remove(recent, "t", "c");
    put(recent, "t", "d", 1);
    assert_corrected(recent, NULL, FALSE, "a b c", "");
    assert_corrected(recent, "c", FALSE, "e", "d:1 e");
    assert_corrected(recent, NULL, TRUE, "a b c", "d:1");
}

/* Bytes decide, as on the server. */
static void
test_order_is_by_bytes(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "Z", 1);
    put(recent, "t", "a b", 2);
    put(recent, "t", "\xc3\xa4", 3);
    put(recent, "t", "a.b", 4);
    assert_corrected(recent, NULL, TRUE, "B a z", "B Z:1 a a b:2 a.b:4 z \xc3\xa4:3");
}

static void
test_folders_are_apart(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "t", "x/a", 1);
    put(recent, "t", "x/y/b", 2);
    put(recent, "u", "x/c", 3);
    put(recent, "t", "x", 4);
    put(recent, "t", "", 5);
    assert_corrected_in(recent, "x", NULL, TRUE, "b", "a:1 b");
    assert_corrected_in(recent, "x/y", NULL, TRUE, "", "b:2");
    assert_corrected_in(recent, "y", NULL, TRUE, "q", "q");
    /* The zone's own entry is nothing that lies in it. */
    assert_corrected(recent, NULL, TRUE, "", "x:4");
}

/* --- zones --- */

static void
assert_zones(LakeRecent *recent, const char *listed, const char *wanted)
{
    g_autoptr(GPtrArray) zones = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) all = g_strsplit(listed, " ", -1);

    for (char **name = all; *name; name++)
        if (**name)
            g_ptr_array_add(zones, g_strdup(*name));
    lake_recent_correct_zones(recent, g_get_monotonic_time(), zones);
    g_ptr_array_set_free_func(zones, NULL);
    g_ptr_array_add(zones, NULL);
    g_auto(GStrv) found = (GStrv)g_ptr_array_free(g_steal_pointer(&zones), FALSE);
    g_autofree char *names = g_strjoinv(" ", found);
    g_assert_cmpstr(names, ==, wanted);
}

static void
test_zones(Fixture *fixture, gconstpointer unused)
{
    LakeRecent *recent = fixture->recent;

    put(recent, "b", "", 0);
    put(recent, "d", "file", 0);
    put(recent, "c", "", 0);
    lake_recent_remove(recent, "a", "");
    lake_recent_remove(recent, "e", "file");
    assert_zones(recent, "", "b c");
    assert_zones(recent, "a c e", "b c e");
    lake_recent_remove(recent, "b", "");
    assert_zones(recent, "a b", "c");
    put(recent, "b", "", 0);
    lake_recent_forget(recent, "c");
    assert_zones(recent, "f", "b f");
}

/* --- many --- */

/* Against a listing that was always right. */
static void
test_as_a_model_has_it(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GTree) model = g_tree_new((GCompareFunc)strcmp);
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

    for (guint step = 0; step < 3000; step++) {
        const char *name = names[g_test_rand_int_range(0, G_N_ELEMENTS(names))];
        if (g_test_rand_bit()) {
            put(fixture->recent, "t", name, 7);
            g_tree_insert(model, (gpointer)name, (gpointer)name);
        } else {
            lake_recent_remove(fixture->recent, "t", name);
            g_tree_remove(model, name);
        }
        if (step < 100)
            continue;
        g_autoptr(GString) wanted = g_string_new(NULL);
        for (GTreeNode *at = g_tree_node_first(model); at; at = g_tree_node_next(at))
            g_string_append_printf(
                wanted, "%s%s:7", wanted->len > 0 ? " " : "", (char *)g_tree_node_key(at));
        assert_corrected(fixture->recent, NULL, TRUE, step % 2 ? "b c h" : "", wanted->str);
    }
}

/* Changing the newest of many costs what changing the oldest does: both are done while others
 * wait. */
static void
test_many(Fixture *fixture, gconstpointer unused)
{
    const guint n_files = 100000;
    gint64 begun_us = g_get_monotonic_time();

    for (guint i = 0; i < 2 * n_files; i++) {
        g_autofree char *path = g_strdup_printf("f%u", i < n_files ? i : 2 * n_files - 1 - i);
        put(fixture->recent, "t", path, 1 + i / n_files);
    }
    g_assert_cmpint(find(fixture->recent, "t", "f0"), ==, 2);
    g_assert_cmpint(g_get_monotonic_time() - begun_us, <, 10 * G_TIME_SPAN_SECOND);
}

static gpointer
run_thread(gpointer recent)
{
    for (guint i = 0; i < 2000; i++) {
        g_autofree char *path = g_strdup_printf("f%u", i % 50);
        g_autoptr(GPtrArray) listing = new_listing("", "f1 f2");
        put(recent, "t", path, 1);
        lake_recent_correct(recent, "t", "", NULL, TRUE, g_get_monotonic_time(), listing);
        if (i % 3 == 0)
            lake_recent_remove(recent, "t", path);
        (void)find(recent, "t", path);
        if (i % 500 == 0)
            lake_recent_forget(recent, "t");
    }
    return NULL;
}

static void
test_threads(Fixture *fixture, gconstpointer unused)
{
    GThread *threads[4];

    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("recent", run_thread, fixture->recent);
    for (guint i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int
main(int argc, char **argv)
{
#define ADD(name, function)                                                                    \
    g_test_add("/core/recent/" name, Fixture, NULL, set_up, function, tear_down)
    g_test_init(&argc, &argv, NULL);
    ADD("find", test_find);
    ADD("the-last-change-counts", test_the_last_change_counts);
    ADD("forget", test_forget);
    ADD("forgets-one-path", test_forgets_one_path);
    g_test_add_func("/core/recent/expiry", test_expiry);
    g_test_add_func("/core/recent/listing-that-took-long", test_listing_that_took_long);
    g_test_add_func(
        "/core/recent/nothing-is-remembered-without", test_nothing_is_remembered_without);
    ADD("whole-listing", test_whole_listing);
    ADD("borders-of-pages", test_borders_of_pages);
    ADD("last-of-a-page-is-removed", test_last_of_a_page_is_removed);
    ADD("whole-page-is-removed", test_whole_page_is_removed);
    ADD("order-is-by-bytes", test_order_is_by_bytes);
    ADD("folders-are-apart", test_folders_are_apart);
    ADD("zones", test_zones);
    ADD("as-a-model-has-it", test_as_a_model_has_it);
    ADD("many", test_many);
    ADD("threads", test_threads);
    return g_test_run();
}
