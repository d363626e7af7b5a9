/* SPDX-License-Identifier: Apache-2.0 */

#include "fs/cache.h"

#include "core/error.h"
#include "tests/core/pg/canned.h"
#include <string.h>

#define N_THREADS 4
/* Longer than anything fresh lasts. */
#define STALE_US (FS_CACHE_FRESH_US + 20 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    CannedServer *server;
    LakeCatalog *catalog;
    FsCache *cache;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GError) error = NULL;

    fixture->server = canned_server_new();
    fixture->server->user_data = fixture;
    fixture->catalog =
        lake_catalog_open(&fixture->server->transport, "public", FALSE, NULL, &error);
    g_assert_no_error(error);
    fixture->cache = fs_cache_new(fixture->catalog);
}

static void
tear_down(Fixture *fixture, gconstpointer user_data)
{
    fs_cache_free(fixture->cache);
    lake_catalog_free(fixture->catalog);
    canned_server_free(fixture->server);
}

static int
n_asked(const gint *counter)
{
    return g_atomic_int_get(counter);
}

/* --- what this mount does --- */

static void
put(Fixture *fixture, const char *zone, const char *path, gint64 size_bytes)
{
    g_autoptr(LakeLedgerEntry) entry = lake_ledger_entry_new(path);

    entry->size_bytes = size_bytes;
    fs_cache_put_entry(fixture->cache, zone, entry);
}

/* The size of an entry; -1 where there is none. */
static gint64
size_of(Fixture *fixture, const char *zone, const char *path)
{
    FsCall call = {.may_block = TRUE};
    g_autoptr(LakeLedgerEntry) entry = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(fs_cache_find_entry(fixture->cache, &call, zone, path, &entry, &error));
    g_assert_no_error(error);
    return entry ? entry->size_bytes : -1;
}

/* Names of a folder, joined by blanks; caller frees. */
static char *
list(Fixture *fixture, const char *zone, const char *folder)
{
    FsCall call = {.may_block = TRUE};
    GString *names = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    gboolean is_last = FALSE;
    g_autoptr(GPtrArray) entries =
        fs_cache_list_entries(fixture->cache, &call, zone, folder, NULL, &is_last, &error);

    g_assert_no_error(error);
    g_assert_true(is_last);
    for (guint i = 0; i < entries->len; i++)
        g_string_append_printf(
            names, "%s%s", i ? " " : "", ((LakeLedgerEntry *)entries->pdata[i])->name);
    return g_string_free(names, FALSE);
}

static void
assert_listed(Fixture *fixture, const char *zone, const char *folder, const char *expected)
{
    g_autofree char *names = list(fixture, zone, folder);

    g_assert_cmpstr(names, ==, expected);
}

/* "name" of a table, "name?" of a zone without one, "name!" of a view. */
static void
assert_tables(Fixture *fixture, const char *expected)
{
    FsCall call = {.may_block = TRUE};
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) names = g_string_new(NULL);
    g_autoptr(GPtrArray) tables = fs_cache_list_tables(fixture->cache, &call, &error);

    g_assert_no_error(error);
    for (guint i = 0; i < tables->len; i++) {
        const FsCacheTable *table = tables->pdata[i];
        g_assert_cmpint(table->is_zone, ==, !table->is_view);
        g_string_append_printf(names, "%s%s%s", i ? " " : "", table->name,
            table->is_view     ? "!"
            : table->has_table ? ""
                               : "?");
    }
    g_assert_cmpstr(names->str, ==, expected);
}

/* --- tables --- */

static void
test_tables(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_table(fixture->server, "b");
    canned_server_add_table(fixture->server, "view");
    g_ptr_array_add(fixture->server->zones, g_strdup("a"));
    g_ptr_array_add(fixture->server->zones, g_strdup("b"));
    g_ptr_array_add(fixture->server->zones, g_strdup("z"));
    assert_tables(fixture, "a? b view! z?");
}

static void
test_find_table(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {.may_block = TRUE};
    FsCacheTable *found = NULL;

    for (guint i = 0; i < 9; i++) {
        g_autofree char *name = g_strdup_printf("t%u", i);
        canned_server_add_table(fixture->server, name);
    }
    for (guint i = 0; i < 9; i++) {
        g_autofree char *name = g_strdup_printf("t%u", i);
        g_assert_true(fs_cache_find_table(fixture->cache, &call, name, &found, NULL));
        g_assert_cmpstr(found->name, ==, name);
        g_assert_true(found->has_table);
        fs_cache_table_free(found);
    }
    g_assert_true(fs_cache_find_table(fixture->cache, &call, "t", &found, NULL));
    g_assert_null(found);
    g_assert_true(fs_cache_find_table(fixture->cache, &call, "t9", &found, NULL));
    g_assert_null(found);
}

/* A slow machine may take longer between two calls than anything stays fresh: then once more.
 */
static void
test_tables_fresh(Fixture *fixture, gconstpointer user_data)
{
    gint64 start_us;
    int n_questions;

    do {
        g_usleep(STALE_US);
        start_us = g_get_monotonic_time();
        n_questions = n_asked(&fixture->server->n_table_questions);
        assert_tables(fixture, "");
        assert_tables(fixture, "");
    } while (g_get_monotonic_time() - start_us >= FS_CACHE_FRESH_US);
    g_assert_cmpint(n_asked(&fixture->server->n_table_questions), ==, n_questions + 1);
}

static void
test_tables_of_others(Fixture *fixture, gconstpointer user_data)
{
    assert_tables(fixture, "");
    canned_server_add_table(fixture->server, "a");
    g_usleep(STALE_US);
    assert_tables(fixture, "a");
}

static void
test_own_table(Fixture *fixture, gconstpointer user_data)
{
    assert_tables(fixture, "");
    canned_server_add_table(fixture->server, "a");
    fs_cache_tables_changed(fixture->cache);
    assert_tables(fixture, "a");
    canned_server_add_table(fixture->server, "b");
    fs_cache_note_table(fixture->cache, "b");
    assert_tables(fixture, "a b");
}

static void
test_known_table(Fixture *fixture, gconstpointer user_data)
{
    gint64 start_us;
    int n_questions;

    canned_server_add_table(fixture->server, "a");
    do {
        g_usleep(STALE_US);
        start_us = g_get_monotonic_time();
        n_questions = n_asked(&fixture->server->n_table_questions);
        assert_tables(fixture, "a");
        fs_cache_note_table(fixture->cache, "a");
        assert_tables(fixture, "a");
    } while (g_get_monotonic_time() - start_us >= FS_CACHE_FRESH_US);
    g_assert_cmpint(n_asked(&fixture->server->n_table_questions), ==, n_questions + 1);
}

static void
make_table_meanwhile(gpointer user_data)
{
    Fixture *fixture = user_data;

    canned_server_add_table(fixture->server, "new");
    fs_cache_tables_changed(fixture->cache);
}

static void
test_tables_meanwhile(Fixture *fixture, gconstpointer user_data)
{
    fixture->server->meanwhile = make_table_meanwhile;
    assert_tables(fixture, "new");
    g_assert_cmpint(n_asked(&fixture->server->n_table_questions), ==, 2);
}

static void
test_tables_offline(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {.may_block = TRUE};
    g_autoptr(GError) error = NULL;
    FsCacheTable *found = NULL;

    canned_server_add_table(fixture->server, "a");
    assert_tables(fixture, "a");
    canned_server_set_offline(fixture->server, TRUE);
    g_usleep(STALE_US);
    g_assert_null(fs_cache_list_tables(fixture->cache, &call, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    g_clear_error(&error);
    g_assert_false(fs_cache_find_table(fixture->cache, &call, "a", &found, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    canned_server_set_offline(fixture->server, FALSE);
    assert_tables(fixture, "a");
}

static void
test_loop(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    FsCacheTable *found = NULL;
    gboolean is_last;
    FsCall calls[4] = {{.may_block = FALSE}};

    g_assert_null(fs_cache_list_tables(fixture->cache, &calls[0], &error));
    g_assert_false(fs_cache_find_table(fixture->cache, &calls[1], "a", &found, &error));
    g_assert_null(
        fs_cache_list_entries(fixture->cache, &calls[2], "docs", "", NULL, &is_last, &error));
    g_assert_false(fs_cache_find_entry(fixture->cache, &calls[3], "docs", "a", &entry, &error));
    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++)
        g_assert_true(calls[i].would_block);
    g_assert_no_error(error);
    g_assert_cmpint(n_asked(&fixture->server->n_table_questions), ==, 0);
    g_assert_cmpint(n_asked(&fixture->server->n_list_questions), ==, 0);
}

static void
test_loop_fresh(Fixture *fixture, gconstpointer user_data)
{
    gint64 start_us;
    FsCall call;

    canned_server_add_entry(fixture->server, "docs", "a", 5);
    do {
        g_autoptr(LakeLedgerEntry) entry = NULL;

        call = (FsCall){.may_block = FALSE};
        g_usleep(STALE_US);
        start_us = g_get_monotonic_time();
        g_assert_cmpint(size_of(fixture, "docs", "a"), ==, 5);
        if (fs_cache_find_entry(fixture->cache, &call, "docs", "a", &entry, NULL))
            g_assert_cmpint(entry->size_bytes, ==, 5);
    } while (g_get_monotonic_time() - start_us >= FS_CACHE_FRESH_US);
    g_assert_false(call.would_block);
}

/* --- entries --- */

static void
test_entries(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "", -1);
    canned_server_add_entry(fixture->server, "docs", "b", 2);
    canned_server_add_entry(fixture->server, "docs", "a", 1);
    canned_server_add_entry(fixture->server, "docs", "x", -1);
    canned_server_add_entry(fixture->server, "docs", "x/c", 3);
    canned_server_add_entry(fixture->server, "other", "d", 4);

    assert_listed(fixture, "docs", "", "a b x");
    assert_listed(fixture, "docs", "x", "c");
    assert_listed(fixture, "docs", "y", "");
    assert_listed(fixture, "other", "", "d");
    g_assert_cmpint(size_of(fixture, "docs", "x/c"), ==, 3);
    g_assert_cmpint(size_of(fixture, "docs", "c"), ==, -1);
    g_assert_cmpint(size_of(fixture, "docs", ""), ==, 0);
    g_assert_cmpint(size_of(fixture, "other", ""), ==, -1);
}

static void
test_after(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {.may_block = TRUE};
    gboolean is_last = FALSE;

    canned_server_add_entry(fixture->server, "docs", "a", 1);
    canned_server_add_entry(fixture->server, "docs", "b", 2);
    canned_server_add_entry(fixture->server, "docs", "c", 3);
    g_autoptr(GPtrArray) entries =
        fs_cache_list_entries(fixture->cache, &call, "docs", "", "a", &is_last, NULL);
    g_assert_true(is_last);
    g_assert_cmpuint(entries->len, ==, 2);
    g_assert_cmpstr(((LakeLedgerEntry *)entries->pdata[0])->name, ==, "b");
}

/* Table names with slashes, and with what keys are joined by. */
static void
test_zones(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "a", "b/c", 1);
    canned_server_add_entry(fixture->server, "a/b", "c", 2);
    canned_server_add_entry(fixture->server, "a\001", "d", 3);
    canned_server_add_entry(fixture->server, "a", "\001/d", 4);

    g_assert_cmpint(size_of(fixture, "a", "b/c"), ==, 1);
    g_assert_cmpint(size_of(fixture, "a/b", "c"), ==, 2);
    g_assert_cmpint(size_of(fixture, "a\001", "d"), ==, 3);
    g_assert_cmpint(size_of(fixture, "a", "\001/d"), ==, 4);
}

static void
test_one_question(Fixture *fixture, gconstpointer user_data)
{
    gint64 start_us;
    int n_questions;

    canned_server_add_entry(fixture->server, "docs", "a", 1);
    do {
        g_usleep(STALE_US);
        start_us = g_get_monotonic_time();
        n_questions = n_asked(&fixture->server->n_list_questions);
        for (guint i = 0; i < 10; i++) {
            g_assert_cmpint(size_of(fixture, "docs", "a"), ==, 1);
            g_assert_cmpint(size_of(fixture, "docs", "none"), ==, -1);
        }
    } while (g_get_monotonic_time() - start_us >= FS_CACHE_FRESH_US);
    g_assert_cmpint(n_asked(&fixture->server->n_list_questions), ==, n_questions + 1);
}

static void
test_entries_of_others(Fixture *fixture, gconstpointer user_data)
{
    g_assert_cmpint(size_of(fixture, "docs", "a"), ==, -1);
    canned_server_add_entry(fixture->server, "docs", "a", 1);
    g_usleep(STALE_US);
    g_assert_cmpint(size_of(fixture, "docs", "a"), ==, 1);
    canned_server_clear_entries(fixture->server);
    g_usleep(STALE_US);
    assert_listed(fixture, "docs", "", "");
}

/* Lists the folder; whether the answer was marked as one that has changed since. */
static gboolean
is_marked(Fixture *fixture, const char *zone, const char *folder)
{
    FsCall call = {.may_block = TRUE};
    g_autoptr(GError) error = NULL;
    gboolean is_last = FALSE;
    g_autoptr(GPtrArray) entries =
        fs_cache_list_entries(fixture->cache, &call, zone, folder, NULL, &is_last, &error);

    g_assert_no_error(error);
    return call.is_outdated;
}

static void
announce_meanwhile(gpointer user_data)
{
    fs_cache_zone_changed(((Fixture *)user_data)->cache, "docs");
}

static void
test_changed_meanwhile(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "x/a", 1);
    g_assert_false(is_marked(fixture, "docs", "x"));
    fs_cache_zone_changed(fixture->cache, "docs");
    fixture->server->meanwhile = announce_meanwhile;
    g_assert_true(is_marked(fixture, "docs", "x"));
    g_usleep(1000); /* the clock's resolution */
    g_assert_false(is_marked(fixture, "docs", "x"));
}

static void
test_costly_changed(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "x/a", 1);
    /* Four times that is more than half a second. */
    fixture->server->delay_us = 300 * G_TIME_SPAN_MILLISECOND;
    g_assert_false(is_marked(fixture, "docs", "x"));
    int n_questions = n_asked(&fixture->server->n_list_questions);
    gint64 start_us = g_get_monotonic_time();

    fs_cache_zone_changed(fixture->cache, "docs");
    gboolean is_old = is_marked(fixture, "docs", "x");
    if (g_get_monotonic_time() - start_us < 100 * G_TIME_SPAN_MILLISECOND) {
        g_assert_true(is_old);
        g_assert_cmpint(n_asked(&fixture->server->n_list_questions), ==, n_questions);
    }
    g_usleep(220 * G_TIME_SPAN_MILLISECOND);
    g_assert_false(is_marked(fixture, "docs", "x"));
    g_assert_cmpint(n_asked(&fixture->server->n_list_questions), >, n_questions);
}

static void
test_costly(Fixture *fixture, gconstpointer user_data)
{
    gint64 start_us;
    int n_questions;

    canned_server_add_entry(fixture->server, "docs", "x/a", 1);
    fixture->server->delay_us = 60 * G_TIME_SPAN_MILLISECOND;
    /* Twenty times what the reading took is more than the limit, a second. */
    do {
        g_usleep(G_TIME_SPAN_SECOND);
        start_us = g_get_monotonic_time();
        assert_listed(fixture, "docs", "x", "a");
        n_questions = n_asked(&fixture->server->n_list_questions);
        g_usleep(STALE_US);
        assert_listed(fixture, "docs", "x", "a");
    } while (g_get_monotonic_time() - start_us >= G_TIME_SPAN_SECOND);
    g_assert_cmpint(n_asked(&fixture->server->n_list_questions), ==, n_questions);

    g_usleep(G_TIME_SPAN_SECOND);
    assert_listed(fixture, "docs", "x", "a");
    g_assert_cmpint(n_asked(&fixture->server->n_list_questions), ==, n_questions + 1);
}

static void
test_own_entry(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "old", 1);
    assert_listed(fixture, "docs", "", "old");
    canned_server_add_entry(fixture->server, "docs", "new", 2);
    put(fixture, "docs", "new", 2);
    assert_listed(fixture, "docs", "", "new old");
    put(fixture, "docs", "new", 3);
    g_assert_cmpint(size_of(fixture, "docs", "new"), ==, 3);
    fs_cache_remove_entry(fixture->cache, "docs", "old");
    canned_server_clear_entries(fixture->server);
    canned_server_add_entry(fixture->server, "docs", "new", 3);
    assert_listed(fixture, "docs", "", "new");
}

static void
change_meanwhile(gpointer user_data)
{
    Fixture *fixture = user_data;

    canned_server_clear_entries(fixture->server);
    canned_server_add_entry(fixture->server, "docs", "kept", 1);
    canned_server_add_entry(fixture->server, "docs", "new", 2);
    put(fixture, "docs", "new", 2);
    fs_cache_remove_entry(fixture->cache, "docs", "gone");
}

/* The reading has "gone" and lacks "new": it was made before. */
static void
test_meanwhile(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "kept", 1);
    canned_server_add_entry(fixture->server, "docs", "gone", 1);
    fixture->server->meanwhile = change_meanwhile;
    assert_listed(fixture, "docs", "", "kept new");
    g_assert_cmpint(size_of(fixture, "docs", "gone"), ==, -1);
}

static void
forget_meanwhile(gpointer user_data)
{
    Fixture *fixture = user_data;

    canned_server_clear_entries(fixture->server);
    fs_cache_forget_zone(fixture->cache, "docs");
}

static void
test_forgotten_meanwhile(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "x/a", 1);
    fixture->server->meanwhile = forget_meanwhile;
    /* What this call gets may be from before; what the next one gets may not. */
    g_free(list(fixture, "docs", "x"));
    assert_listed(fixture, "docs", "x", "");
}

static void
put_and_forget_meanwhile(gpointer user_data)
{
    Fixture *fixture = user_data;

    put(fixture, "docs", "x/a", 2);
    fs_cache_forget_zone(fixture->cache, "docs");
}

static void
test_put_and_forgotten_meanwhile(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "x/a", 1);
    canned_server_add_entry(fixture->server, "docs", "x/b", 1);
    fixture->server->meanwhile = put_and_forget_meanwhile;
    /* What was there all the time is there for everyone, old or new. */
    assert_listed(fixture, "docs", "x", "a b");
}

static void
read_meanwhile(gpointer user_data)
{
    Fixture *fixture = user_data;

    canned_server_clear_entries(fixture->server);
    g_usleep(STALE_US); /* a reading that takes so long is believed for a while */
    assert_listed(fixture, "docs", "x", "");
}

static void
test_overtaken_reading(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "x/a", 1);
    fixture->server->meanwhile = read_meanwhile;
    /* As old as the call, or newer. */
    assert_listed(fixture, "docs", "x", "");
    assert_listed(fixture, "docs", "x", "");
}

static void
test_forget(Fixture *fixture, gconstpointer user_data)
{
    canned_server_add_entry(fixture->server, "docs", "a", 1);
    canned_server_add_entry(fixture->server, "docs", "x/b", 1);
    canned_server_add_entry(fixture->server, "docs2", "c", 1);
    assert_listed(fixture, "docs", "", "a");
    assert_listed(fixture, "docs", "x", "b");
    canned_server_clear_entries(fixture->server);
    fs_cache_forget_zone(fixture->cache, "docs");
    assert_listed(fixture, "docs", "", "");
    assert_listed(fixture, "docs", "x", "");
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "x/b"), ==, LAKE_INGEST_NEW);
}

static void
test_expectation(Fixture *fixture, gconstpointer user_data)
{
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "a"), ==, LAKE_INGEST_UNKNOWN);
    put(fixture, "docs", "b", 1);
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "b"), ==, LAKE_INGEST_KNOWN);
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "a"), ==, LAKE_INGEST_UNKNOWN);
    canned_server_add_entry(fixture->server, "docs", "a", 1);
    assert_listed(fixture, "docs", "", "a");
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "a"), ==, LAKE_INGEST_KNOWN);
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "c"), ==, LAKE_INGEST_NEW);
    fs_cache_remove_entry(fixture->cache, "docs", "a");
    g_assert_cmpint(fs_cache_expectation(fixture->cache, "docs", "a"), ==, LAKE_INGEST_NEW);
    g_assert_cmpint(n_asked(&fixture->server->n_list_questions), ==, 1);
}

static void
test_entries_offline(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {.may_block = TRUE};
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeLedgerEntry) entry = NULL;
    gboolean is_last;

    canned_server_set_offline(fixture->server, TRUE);
    g_assert_null(
        fs_cache_list_entries(fixture->cache, &call, "docs", "", NULL, &is_last, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    g_clear_error(&error);
    g_assert_false(fs_cache_find_entry(fixture->cache, &call, "docs", "a", &entry, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    g_assert_null(entry);
    canned_server_set_offline(fixture->server, FALSE);
    assert_listed(fixture, "docs", "", "");
}

/* --- folders too large to hold --- */

static void
fill(Fixture *fixture, guint n_entries)
{
    canned_server_add_entry(fixture->server, "docs", "", -1);
    for (guint i = 0; i < n_entries; i++) {
        g_autofree char *name = g_strdup_printf("f%05u", i);
        canned_server_add_entry(fixture->server, "docs", name, i);
    }
}

static void
test_large(Fixture *fixture, gconstpointer user_data)
{
    fill(fixture, FS_CACHE_FOLDER_MAX + 1);
    g_assert_cmpint(size_of(fixture, "docs", "f00007"), ==, 7);
    g_assert_cmpint(size_of(fixture, "docs", "f20000"), ==, 20000);
    g_assert_cmpint(size_of(fixture, "docs", "none"), ==, -1);
    g_assert_cmpint(size_of(fixture, "docs", ""), ==, 0);
    g_assert_cmpint(n_asked(&fixture->server->n_find_questions), >=, 3);
    g_assert_cmpint(
        fs_cache_expectation(fixture->cache, "docs", "none"), ==, LAKE_INGEST_UNKNOWN);
}

static void
test_large_listing(Fixture *fixture, gconstpointer user_data)
{
    FsCall call = {.may_block = TRUE};
    g_autofree char *after = NULL;
    gboolean is_last = FALSE;
    guint n_entries = 0;

    fill(fixture, FS_CACHE_FOLDER_MAX + 1);
    while (!is_last) {
        g_autoptr(GPtrArray) entries =
            fs_cache_list_entries(fixture->cache, &call, "docs", "", after, &is_last, NULL);

        g_assert_nonnull(entries);
        for (guint i = 0; i < entries->len; i++, n_entries++) {
            const LakeLedgerEntry *entry = entries->pdata[i];
            g_assert_cmpint(entry->size_bytes, ==, n_entries);
            g_free(after);
            after = g_strdup(entry->name);
        }
    }
    g_assert_cmpuint(n_entries, ==, FS_CACHE_FOLDER_MAX + 1);
}

static void
test_growing_large(Fixture *fixture, gconstpointer user_data)
{
    fill(fixture, FS_CACHE_FOLDER_MAX - 1);
    g_assert_cmpint(size_of(fixture, "docs", "new1"), ==, -1);
    canned_server_add_entry(fixture->server, "docs", "new1", 1);
    put(fixture, "docs", "new1", 1);
    canned_server_add_entry(fixture->server, "docs", "new2", 2);
    put(fixture, "docs", "new2", 2);

    g_assert_cmpint(size_of(fixture, "docs", "new1"), ==, 1);
    g_assert_cmpint(size_of(fixture, "docs", "new2"), ==, 2);
    g_assert_cmpint(size_of(fixture, "docs", "f00007"), ==, 7);
    g_assert_cmpint(size_of(fixture, "docs", ""), ==, 0);
}

/* --- threads --- */

static gpointer
use_cache(gpointer user_data)
{
    Fixture *fixture = user_data;
    gint64 end_us = g_get_monotonic_time() + 2 * FS_CACHE_FRESH_US;

    for (guint i = 0; g_get_monotonic_time() < end_us; i++) {
        g_autofree char *path = g_strdup_printf("x/f%u", i % 5);

        put(fixture, "docs", path, i);
        g_free(list(fixture, "docs", "x"));
        (void)size_of(fixture, "docs", path);
        (void)fs_cache_expectation(fixture->cache, "docs", path);
        fs_cache_remove_entry(fixture->cache, "docs", path);
        fs_cache_note_table(fixture->cache, i % 3 ? "docs" : "new");
        assert_tables(fixture, "docs");
        if (i % 7 == 0)
            fs_cache_forget_zone(fixture->cache, "docs");
    }
    return NULL;
}

static void
test_threads(Fixture *fixture, gconstpointer user_data)
{
    GThread *threads[N_THREADS];

    canned_server_add_table(fixture->server, "docs");
    canned_server_add_entry(fixture->server, "docs", "x/kept", 1);
    for (guint i = 0; i < N_THREADS; i++)
        threads[i] = g_thread_new("cache", use_cache, fixture);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(threads[i]);
    assert_listed(fixture, "docs", "x", "kept");
}

#define ADD(path, function)                                                                    \
    g_test_add("/fs/cache/" path, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("tables/zones-without-a-table-are-among-them", test_tables);
    ADD("tables/each-is-found-by-its-exact-name", test_find_table);
    ADD("tables/fresh-ones-are-not-asked-for", test_tables_fresh);
    ADD("tables/what-others-make-shows", test_tables_of_others);
    ADD("tables/what-this-mount-makes-shows-at-once", test_own_table);
    ADD("tables/a-known-one-costs-no-question", test_known_table);
    ADD("tables/one-made-while-they-are-read-is-not-missed", test_tables_meanwhile);
    ADD("tables/an-unreachable-server-is-no-empty-list", test_tables_offline);
    ADD("the-loop-does-not-ask", test_loop);
    ADD("the-loop-answers-what-is-fresh", test_loop_fresh);
    ADD("entries/are-of-one-folder", test_entries);
    ADD("entries/a-listing-goes-on-after-a-name", test_after);
    ADD("entries/zones-with-slashes-do-not-mix", test_zones);
    ADD("entries/a-folder-is-one-question", test_one_question);
    ADD("entries/what-others-change-shows", test_entries_of_others);
    ADD("entries/a-costly-folder-is-believed-longer", test_costly);
    ADD("entries/what-changed-while-it-was-read-is-marked", test_changed_meanwhile);
    ADD("entries/a-costly-folder-that-changed-is-marked-until-it-is-read-anew",
        test_costly_changed);
    ADD("entries/what-this-mount-changes-shows-at-once", test_own_entry);
    ADD("entries/changes-during-a-reading-are-not-lost", test_meanwhile);
    ADD("entries/a-zone-forgotten-during-a-reading-is-read-again", test_forgotten_meanwhile);
    ADD("entries/what-was-put-before-a-zone-was-forgotten-is-not-lost-to-a-reading",
        test_put_and_forgotten_meanwhile);
    ADD("entries/a-reading-that-was-overtaken-replaces-nothing", test_overtaken_reading);
    ADD("entries/a-forgotten-zone-is-asked-for-again", test_forget);
    ADD("entries/an-expectation-costs-no-question", test_expectation);
    ADD("entries/an-unreachable-server-is-no-empty-folder", test_entries_offline);
    ADD("large/each-name-is-asked-for", test_large);
    ADD("large/a-listing-has-each-once", test_large_listing);
    ADD("large/a-folder-may-grow-into-one", test_growing_large);
    ADD("any-thread-may-call", test_threads);
    return g_test_run();
}
