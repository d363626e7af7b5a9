/* SPDX-License-Identifier: Apache-2.0 */
#include "core/local.h"

#include "core/error.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of files to read; all below it goes with it. */
typedef struct {
    char *path;
} Fixture;

static char *
at(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->path, name, NULL);
}

static void
make_file(const Fixture *fixture, const char *name, const char *content)
{
    g_autofree char *path = at(fixture, name);

    g_assert_true(g_file_set_contents(path, content, -1, NULL));
}

static void
make_folder(const Fixture *fixture, const char *name)
{
    g_autofree char *path = at(fixture, name);

    g_assert_cmpint(g_mkdir(path, 0755), ==, 0);
}

static void
make_link(const Fixture *fixture, const char *name, const char *target)
{
    g_autofree char *path = at(fixture, name);

    g_assert_cmpint(symlink(target, path), ==, 0);
}

static void
set_up(Fixture *fixture, gconstpointer data)
{
    g_autofree char *fifo = NULL;

    fixture->path = g_dir_make_tmp("deeplakefs-local-XXXXXX", NULL);
    g_assert_nonnull(fixture->path);
    make_folder(fixture, "data");
    make_folder(fixture, "data/sub");
    make_file(fixture, "outside", "secret");
    make_file(fixture, "data/a", "hello");
    make_file(fixture, "data/sub/b", "");
    make_link(fixture, "link", "data");
    make_link(fixture, "data/out", "../outside");
    make_link(fixture, "data/up", "..");
    make_link(fixture, "loop", "loop");
    fifo = at(fixture, "data/fifo");
    g_assert_cmpint(mkfifo(fifo, 0644), ==, 0);
}

static void
tear_down(Fixture *fixture, gconstpointer data)
{
    static const char *const made[] = {"data/fifo", "loop", "data/up", "data/out", "link",
        "data/sub/b", "data/a", "outside", "data/sub", "data", "."};

    for (gsize i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *path = at(fixture, made[i]);
        (void)g_remove(path);
    }
    (void)g_rmdir(fixture->path);
    g_free(fixture->path);
}

static LakeLocalFolder *
open_good(const Fixture *fixture, const char *name)
{
    g_autofree char *path = at(fixture, name);
    g_autoptr(GError) error = NULL;
    LakeLocalFolder *folder = lake_local_folder_open(path, &error);

    g_assert_no_error(error);
    g_assert_nonnull(folder);
    return folder;
}

static void
assert_reads(LakeLocalFolder *folder, const char *name, const char *content)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeSpool) spool = lake_local_folder_open_file(folder, name, &error);
    char found[16];

    g_assert_no_error(error);
    g_assert_true(lake_local_folder_has_file(folder, name, NULL));
    gssize n_read = lake_spool_read(spool, 0, found, sizeof found, NULL);
    g_assert_cmpmem(found, (gsize)n_read, content, strlen(content));
}

static void
assert_refuses(LakeLocalFolder *folder, const char *name, const char *word)
{
    for (guint i = 0; i < 2; i++) {
        g_autoptr(GError) error = NULL;

        if (i == 0)
            g_assert_null(lake_local_folder_open_file(folder, name, &error));
        else
            g_assert_false(lake_local_folder_has_file(folder, name, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(lake_error_facts(error)->hint);
        if (!strstr(error->message, word) || !strstr(error->message, name))
            g_error("\"%s\" does not say \"%s\" of \"%s\"", error->message, word, name);
    }
}

static void
test_files(Fixture *fixture, gconstpointer data)
{
    g_autoptr(LakeLocalFolder) folder = open_good(fixture, "data");

    assert_reads(folder, "a", "hello");
    assert_reads(folder, "sub/b", "");
    assert_refuses(folder, "none", "No such file");
    assert_refuses(folder, "sub", "no regular file");
    assert_refuses(folder, "sub/none", "No such file");
    assert_refuses(folder, "a/b", "Not a directory");
}

static void
test_nothing_leads_out(Fixture *fixture, gconstpointer data)
{
    g_autoptr(LakeLocalFolder) folder = open_good(fixture, "data");
    g_autofree char *absolute = at(fixture, "data/a");

    assert_refuses(folder, "../outside", "leads out");
    assert_refuses(folder, "sub/../a", "leads out");
    assert_refuses(folder, "..", "leads out");
    assert_refuses(folder, absolute, "leads out");
    assert_refuses(folder, "", "no name");
    assert_refuses(folder, ".", "no name of a file");
    assert_refuses(folder, "sub//b", "no name of a file");
    assert_refuses(folder, "sub/", "no name of a file");
    assert_refuses(folder, "out", "symbolic link");
    assert_refuses(folder, "up/outside", "up/outside");
}

/* A FIFO that nobody writes to would hold whoever opens it. */
static void
test_a_fifo_does_not_hold(Fixture *fixture, gconstpointer data)
{
    g_autoptr(LakeLocalFolder) folder = open_good(fixture, "data");

    assert_refuses(folder, "fifo", "no regular file");
}

static void
test_links_to_a_folder(Fixture *fixture, gconstpointer data)
{
    static const char *const names[] = {
        "link", "link/", "./data//", "link/sub/..", "data/up/data", "link/up/link"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(LakeLocalFolder) folder = open_good(fixture, names[i]);
        assert_reads(folder, "a", "hello");
    }
    g_autoptr(LakeLocalFolder) root = lake_local_folder_open("/", NULL);
    g_assert_nonnull(root);
}

static void
test_what_is_no_folder(Fixture *fixture, gconstpointer data)
{
    static const struct {
        const char *name, *word;
    } bad[] = {
        {"none", "No such file"},
        {"none/more", "No such file"},
        {"outside", "no folder"},
        {"outside/more", "no folder"},
        {"loop", "symbolic links"},
    };
    g_autoptr(GError) relative = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *path = at(fixture, bad[i].name);
        g_autoptr(GError) error = NULL;

        g_assert_null(lake_local_folder_open(path, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(strstr(error->message, path));
        if (!strstr(error->message, bad[i].word))
            g_error("\"%s\" does not say \"%s\"", error->message, bad[i].word);
    }
    g_assert_null(lake_local_folder_open("data", &relative));
    g_assert_error(relative, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(relative->message, "absolute"));
}

static void
test_rights(Fixture *fixture, gconstpointer data)
{
    g_autofree char *sub = at(fixture, "data/sub");
    g_autoptr(GError) error = NULL;

    if (geteuid() == 0) {
        g_test_skip("root may do all");
        return;
    }
    g_assert_cmpint(g_chmod(sub, 0), ==, 0);
    g_assert_null(lake_local_folder_open(sub, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
    g_assert_cmpint(g_chmod(sub, 0755), ==, 0);
}

#define ADD(name, test) g_test_add("/core/local/" name, Fixture, NULL, set_up, test, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("files-are-read", test_files);
    ADD("nothing-leads-out-of-a-folder", test_nothing_leads_out);
    ADD("a-fifo-does-not-hold", test_a_fifo_does_not_hold);
    ADD("links-to-a-folder-are-followed", test_links_to_a_folder);
    ADD("what-is-no-folder-is-refused", test_what_is_no_folder);
    ADD("rights-are-no-access", test_rights);
    return g_test_run();
}
