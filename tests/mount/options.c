/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/options.h"

#include "core/error.h"
#include "mount/files.h"
#include "mount/help.h"
#include "mount/log.h"
#include "mount/mountpoint.h"
#include "mount/registry.h"
#include "mount/secret.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Parses words of a command line, NULL at the end. */
static MountOptions *
parse(GError **error, const char *first, ...)
{
    const char *argv[32] = {first};
    int argc = 1;
    va_list rest;

    va_start(rest, first);
    while ((argv[argc] = va_arg(rest, const char *)))
        argc++;
    va_end(rest);
    return mount_options_parse(argc, (char *const *)argv, error);
}

#define PARSE(...) parse(&error, __VA_ARGS__, NULL)

/* The last value that was chosen for a setting; "" for a flag without one. */
static const char *
get_setting(const MountOptions *options, const char *name)
{
    const char *value = NULL;

    for (guint i = 0; i + 1 < options->settings->len; i += 2) {
        if (g_str_equal(options->settings->pdata[i], name))
            value = options->settings->pdata[i + 1] ? options->settings->pdata[i + 1] : "";
    }
    return value;
}

static void
assert_refused(MountOptions *options, GError **error, const char *part)
{
    g_assert_null(options);
    g_assert_error(*error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    if (!strstr((*error)->message, part))
        g_error("\"%s\" is not in: %s", part, (*error)->message);
    g_assert_null(strchr((*error)->message, '\n'));
    g_clear_error(error);
}

static void
test_options_stand_anywhere(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options = PARSE("deeplakefs", "--workspace", "w", "mount", "-f",
        "--state-dir=/s", "a", "--pool_size", "4", "/mnt", "-oro,chunk_size=5");

    g_assert_no_error(error);
    g_assert_cmpint(options->command->id, ==, MOUNT_COMMAND_MOUNT);
    g_assert_true(options->is_foreground);
    g_assert_cmpuint(options->arguments->len, ==, 2);
    g_assert_cmpstr(options->arguments->pdata[0], ==, "a");
    g_assert_cmpstr(options->arguments->pdata[1], ==, "/mnt");
    g_assert_cmpstr(get_setting(options, "workspace"), ==, "w");
    g_assert_cmpstr(get_setting(options, "state_dir"), ==, "/s");
    g_assert_cmpstr(get_setting(options, "pool_size"), ==, "4");
    g_assert_cmpstr(get_setting(options, "chunk_size"), ==, "5");
    g_assert_cmpstr(get_setting(options, "ro"), ==, "");
}

static void
test_letters_can_be_joined(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options = PARSE("deeplakefs", "mount", "-fdv", "/mnt");

    g_assert_no_error(error);
    g_assert_true(options->is_foreground && options->is_debug && options->is_verbose);
}

static void
test_parameters_may_be_negative(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options =
        PARSE("deeplakefs", "query", "SELECT $1, $2", "-5", "--", "--jsonl");

    g_assert_no_error(error);
    g_assert_cmpuint(options->arguments->len, ==, 3);
    g_assert_cmpstr(options->arguments->pdata[1], ==, "-5");
    g_assert_cmpstr(options->arguments->pdata[2], ==, "--jsonl");
    g_assert_false(options->is_jsonl);
}

static void
test_the_workspace_argument_wins(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options = PARSE("deeplakefs", "mount", "--config", "/dev/null",
        "--workspace", "option", "--state-dir", "relative", "argument", "/mnt");
    g_assert_no_error(error);

    g_autoptr(LakeConfig) config = mount_options_config(options, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(config->workspace, ==, "argument");
    g_assert_true(g_path_is_absolute(config->state_dir));
}

static void
test_words_split_at_plain_commas(void)
{
    g_auto(GStrv) parts = mount_options_split("ro,fsname=a\\,b,x=c\\\\,,d\\e");

    g_assert_cmpuint(g_strv_length(parts), ==, 5);
    g_assert_cmpstr(parts[0], ==, "ro");
    g_assert_cmpstr(parts[1], ==, "fsname=a,b");
    g_assert_cmpstr(parts[2], ==, "x=c\\");
    g_assert_cmpstr(parts[3], ==, "");
    g_assert_cmpstr(parts[4], ==, "d\\e");
}

static void
test_words_reach_who_they_concern(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options = PARSE("deeplakefs", "mount", "/mnt", "-o",
        "rw,user=me,auto,_netdev,x-systemd.automount,nofail,relatime,nonempty,no_drop,"
        "allow_other,nosuid,noatime,fsname=a\\,b,default_permissions,dsn=host=x user=y");

    g_assert_no_error(error);
    g_assert_true(options->allows_non_empty);
    g_assert_cmpstr(options->fuse_words->str, ==,
        "allow_other,nosuid,noatime,fsname=a\\,b,default_permissions");
    g_assert_cmpstr(get_setting(options, "no_drop"), ==, "");
    g_assert_cmpstr(get_setting(options, "dsn"), ==, "host=x user=y");
    g_assert_null(get_setting(options, "ro"));
}

static void
test_words_of_fuse_belong_to_mount(void)
{
    g_autoptr(GError) error = NULL;

    assert_refused(PARSE("deeplakefs", "tables", "-o", "allow_other"), &error, "allow_other");
    assert_refused(PARSE("deeplakefs", "mount", "/m", "-o", "ro,pool_size"), &error, "value");
}

static void
test_unknown_names_the_nearest(void)
{
    g_autoptr(GError) error = NULL;

    assert_refused(
        PARSE("deeplakefs", "mount", "--stat-dir", "/s", "/m"), &error, "--state-dir");
    assert_refused(
        PARSE("deeplakefs", "mount", "--stat-dir", "/s", "/m"), &error, "--stat-dir");
    assert_refused(PARSE("deeplakefs", "umount", "--laxy", "/m"), &error, "--lazy");
    assert_refused(
        PARSE("deeplakefs", "mount", "/m", "-o", "alow_other"), &error, "allow_other");
    assert_refused(PARSE("deeplakefs", "muont", "/m"), &error, "mount");
    assert_refused(PARSE("deeplakefs", "mount", "-x", "/m"), &error, "-x");
    assert_refused(
        PARSE("deeplakefs", "mount", "--a\nb", "/m"), &error, "characters that no name has");
    /* An option of another command is unknown here. */
    assert_refused(PARSE("deeplakefs", "drop", "--jsonl", "t"), &error, "--jsonl");
}

static void
test_arguments_are_counted(void)
{
    g_autoptr(GError) error = NULL;

    assert_refused(PARSE("deeplakefs"), &error, "no command");
    assert_refused(PARSE("deeplakefs", "mount"), &error, "MOUNTPOINT");
    assert_refused(PARSE("deeplakefs", "mount", "a", "b", "c"), &error, "too many");
    assert_refused(PARSE("deeplakefs", "ingest", "t"), &error, "PATH");
    assert_refused(PARSE("deeplakefs", "query"), &error, "SQL");
    assert_refused(PARSE("deeplakefs", "tables", "x"), &error, "too many");
    assert_refused(PARSE("deeplakefs", "tables", "--workspace"), &error, "needs a value");
    assert_refused(PARSE("deeplakefs", "tables", "--json=1"), &error, "no value");
    assert_refused(PARSE("deeplakefs", "tables", "--log-level", "loud"), &error, "loud");

    g_autoptr(MountOptions) by_file = PARSE("deeplakefs", "query", "--file", "q.sql");
    g_assert_no_error(error);
    g_assert_cmpuint(by_file->arguments->len, ==, 0);
}

static const char *const dsns_with_secret[] = {
    "host=a password=hunter2",
    "host=a PASSWORD = 'hunter2'",
    "password=hunter2",
    "options='-c a=b' sslpassword=hunter2",
    "postgresql://me:hunter2@host/db",
    "postgres://me:hunter2@a,b/db?sslmode=require",
    "postgresql://host/db?user=me&password=hunter2",
    "postgresql://host/db?%70assword=hunter2",
    "postgresql://me:hunt/er2@host/db",
    "postgresql://me:hunt@er2@host/db",
};

static const char *const dsns_without_secret[] = {
    "host=a user=b",
    "service=lake",
    "passfile=/home/me/.pgpass",
    "application_name='password=x'",
    "application_name=password\\ =x",
    "postgresql://me@host:5432/db",
    "postgresql://[::1]:5432/db",
    "postgresql://host/db?passfile=/x",
    "",
};

static void
test_passwords_are_found(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(dsns_with_secret); i++) {
        if (!mount_secret_in_dsn(dsns_with_secret[i]))
            g_error("a password went unnoticed in: %s", dsns_with_secret[i]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(dsns_without_secret); i++) {
        if (mount_secret_in_dsn(dsns_without_secret[i]))
            g_error("there is no password in: %s", dsns_without_secret[i]);
    }
}

static void
test_passwords_are_refused(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(dsns_with_secret); i++) {
        g_autoptr(GError) error = NULL;
        assert_refused(
            PARSE("deeplakefs", "tables", "--dsn", dsns_with_secret[i]), &error, "PGPASSFILE");

        g_autoptr(GString) word = g_string_new("dsn=");
        g_string_append(word, dsns_with_secret[i]);
        g_string_replace(word, ",", "\\,", 0);
        g_assert_null(PARSE("deeplakefs", "mount", "/m", "-o", word->str));
        g_assert_nonnull(strstr(error->message, "DEEPLAKE_DSN"));
        g_assert_null(strstr(error->message, "er2"));
    }
}

#define TOKEN "eyJhbGciOiJub25lIn0.eyJPcmdJRCI6Im8ifQ.s3ntinel"

static void
test_tokens_are_refused(void)
{
    static const char *const options[] = {"--token=" TOKEN, "--token=s3ntinel",
        "--api-key=s3ntinel", "--deeplake_api_key=" TOKEN, "--token-file=" TOKEN,
        "--workspace=" TOKEN, "--api-url=https://h/" TOKEN, "-otoken=s3ntinel",
        "-oapi_key=" TOKEN, "-oro,token_file=" TOKEN};

    for (gsize i = 0; i < G_N_ELEMENTS(options); i++) {
        g_autoptr(GError) error = NULL;
        g_test_message("%s", options[i]);
        g_assert_null(PARSE("deeplakefs", "mount", options[i], "/m"));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(strstr(error->message, "DEEPLAKE_API_KEY"));
        g_assert_nonnull(strstr(error->message, "--token-file"));
        g_assert_null(strstr(error->message, "s3ntinel"));
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(PARSE("mount.deeplakefs", "w", "/m", "-s", "-o", "token=s3ntinel"));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_clear_error(&error);

    g_autoptr(MountOptions) by_file = PARSE("deeplakefs", "tables", "--token-file", "/a.b.c");
    g_assert_no_error(error);
    g_assert_cmpstr(get_setting(by_file, "token_file"), ==, "/a.b.c");
    g_autoptr(MountOptions) parameter = PARSE("deeplakefs", "query", "SELECT $1", TOKEN);
    g_assert_no_error(error);
    g_assert_cmpstr(parameter->arguments->pdata[1], ==, TOKEN);
}

static void
test_tokens_are_hidden(void)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"deeplakefs", "deeplakefs"},
        {"--token", "--token"},
        {"s3ntinel", "xxxxxxxx"},
        {"--token=s3ntinel", "--token=xxxxxxxx"},
        {"-otoken_file=eyJa.eyJb.s3,ro", "-otoken_file=xxxxxxxxxxxx,ro"},
        {"eyJa.eyJb. and eyJa.b.c", "xxxxxxxxxx and xxxxxxxx"},
        {"eyJa.eyJb eyJa.", "eyJa.eyJb eyJa."},
        {"--token-file=/x/y", "--token-file=/x/y"},
        {"--api-key", "--api-key"},
    };
    char *argv[G_N_ELEMENTS(cases) + 1] = {NULL};

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        argv[i] = g_strdup(cases[i].before);
    mount_secret_hide_tokens(G_N_ELEMENTS(cases), argv);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpstr(argv[i], ==, cases[i].after);
        g_free(argv[i]);
    }
}

static void
test_mount_can_call(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options =
        PARSE("/sbin/mount.deeplakefs", "w", "/mnt", "-sfnv", "-o", "rw,bogus,allow_other");

    g_assert_no_error(error);
    g_assert_true(options->is_helper);
    g_assert_cmpint(options->command->id, ==, MOUNT_COMMAND_MOUNT);
    g_assert_cmpuint(options->arguments->len, ==, 2);
    g_assert_true(options->is_fake && options->is_sloppy && options->is_verbose);
    g_assert_false(options->is_foreground);
    g_assert_cmpstr(options->fuse_words->str, ==, "allow_other");

    g_autoptr(MountOptions) typed =
        PARSE("mount.fuse.deeplakefs", "w", "/mnt", "-t", "fuse.deeplakefs", "-o", "ro");
    g_assert_no_error(error);
    g_assert_cmpstr(get_setting(typed, "ro"), ==, "");

    assert_refused(PARSE("mount.deeplakefs", "w", "/m", "-o", "bogus"), &error, "bogus");
    assert_refused(PARSE("mount.deeplakefs"), &error, "missing");
}

static void
test_help_has_every_option(void)
{
    gsize n_settings, n_commands, n_options;
    const LakeConfigSetting *settings = lake_config_settings(&n_settings);
    const MountCommand *commands = mount_options_commands(&n_commands);
    const MountOption *options = mount_options_table(&n_options);
    g_autofree char *all = mount_help_text(NULL);

    for (gsize i = 0; i < n_commands; i++) {
        g_autofree char *help = mount_help_text(&commands[i]);
        g_assert_nonnull(strstr(all, commands[i].summary));
        for (gsize j = 0; j < n_settings; j++) {
            g_autofree char *name = g_strdelimit(g_strdup(settings[j].name), "_", '-');
            g_autofree char *option = g_strconcat("--", name, NULL);
            g_assert_nonnull(strstr(help, option));
        }
        for (gsize j = 0; j < n_options; j++) {
            if (!options[j].long_name || !(options[j].commands & (1u << commands[i].id)))
                continue;
            g_autofree char *option = g_strconcat("--", options[j].long_name, NULL);
            g_assert_nonnull(strstr(help, option));
        }
        g_auto(GStrv) lines = g_strsplit(help, "\n", -1);
        for (char **line = lines; *line; line++)
            g_assert_cmpint(g_utf8_strlen(*line, -1), <=, MOUNT_HELP_COLUMNS);
    }
}

static void
test_mountinfo_is_unescaped(void)
{
    g_autoptr(GPtrArray) all = mount_mountpoint_parse(
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        "bad line\n"
        "90 27 0:50 / /mnt/a\\040b\\134c rw shared:1 master:2 - fuse.deeplakefs w\\0411 rw\n");

    g_assert_cmpuint(all->len, ==, 2);
    const MountMountpoint *mountpoint = all->pdata[1];
    g_assert_cmpstr(mountpoint->target, ==, "/mnt/a b\\c");
    g_assert_cmpstr(mountpoint->type, ==, "fuse.deeplakefs");
    g_assert_cmpstr(mountpoint->source, ==, "w!1");

    g_autofree char *open_end = mount_mountpoint_unescape("a\\04");
    g_assert_cmpstr(open_end, ==, "a\\04");
}

static void
test_mountpoint_is_checked(void)
{
    g_autofree char *folder = g_dir_make_tmp(NULL, NULL);
    g_autofree char *file = g_build_filename(folder, "file", NULL);
    g_autofree char *state_dir = g_build_filename(folder, "not", "yet", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_null(mount_mountpoint_check("/proc", FALSE, "/s", &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_EXISTS);
    g_clear_error(&error);

    g_assert_null(mount_mountpoint_check(file, FALSE, "/s", &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
    g_clear_error(&error);

    g_assert_null(mount_mountpoint_check(folder, FALSE, state_dir, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_clear_error(&error);

    g_autofree char *empty = mount_mountpoint_check(folder, FALSE, "/s", &error);
    g_assert_no_error(error);
    g_assert_true(g_path_is_absolute(empty));

    g_assert_true(g_file_set_contents(file, "x", -1, NULL));
    g_assert_null(mount_mountpoint_check(file, FALSE, "/s", &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_clear_error(&error);

    g_assert_null(mount_mountpoint_check(folder, FALSE, "/s", &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_EMPTY);
    g_assert_nonnull(strstr(lake_error_facts(error)->hint, "nonempty"));
    g_clear_error(&error);

    g_autofree char *over = mount_mountpoint_check(folder, TRUE, "/s", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(over, ==, empty);

    g_unlink(file);
    g_rmdir(folder);
}

static guint n_skipped, n_failed;

static void
count_tells(const char *source, const char *reason, gboolean is_failure)
{
    n_skipped += !is_failure;
    n_failed += is_failure != FALSE;
}

static void
make(const char *folder, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *above = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(above, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, name, -1, NULL));
}

static void
assert_paths(const MountFiles *files, const char *expected)
{
    g_autoptr(GString) paths = g_string_new(NULL);

    for (guint i = 0; i < files->files->len; i++) {
        const MountFile *file = files->files->pdata[i];
        g_string_append_printf(paths, "%s%s", i ? " " : "", file->path);
    }
    g_assert_cmpstr(paths->str, ==, expected);
}

static void
remove_tree(const char *path)
{
    g_autoptr(GDir) folder =
        g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
    const char *name;

    while (folder && (name = g_dir_read_name(folder))) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        remove_tree(below);
    }
    g_remove(path);
}

static void
test_files_are_named_as_by_cp(void)
{
    g_autofree char *folder = g_dir_make_tmp(NULL, NULL);
    g_autofree char *top = g_build_filename(folder, "top", NULL);
    g_autofree char *inside = g_build_filename(top, ".", NULL);
    g_autofree char *deep = g_build_filename(top, "b", "deep.txt", NULL);
    g_autofree char *link = g_build_filename(top, "link", NULL);

    make(top, "z.txt");
    make(top, "b/deep.txt");
    make(top, ".hidden/secret.txt");
    make(top, "half.part");
    g_assert_cmpint(symlink("z.txt", link), ==, 0);

    n_skipped = n_failed = 0;
    g_autoptr(MountFiles) whole = mount_files_new(count_tells);
    mount_files_add(whole, top);
    assert_paths(whole, "top/b/deep.txt top/z.txt");
    g_assert_cmpuint(whole->folders->len, ==, 2);
    g_assert_cmpuint(n_skipped, ==, 3);
    g_assert_cmpuint(n_failed, ==, 0);
    g_assert_cmpint(whole->total_bytes, ==, strlen("z.txt") + strlen("b/deep.txt"));

    g_autoptr(MountFiles) content = mount_files_new(count_tells);
    mount_files_add(content, inside);
    assert_paths(content, "b/deep.txt z.txt");

    /* A link that was named is followed; two sources for one path are not. */
    g_autoptr(MountFiles) single = mount_files_new(count_tells);
    mount_files_add(single, deep);
    mount_files_add(single, link);
    mount_files_add(single, deep);
    mount_files_add(single, "/nowhere/at all");
    assert_paths(single, "deep.txt link");
    g_assert_cmpuint(single->n_failed, ==, 2);
    g_assert_cmpuint(n_failed, ==, 2);

    remove_tree(folder);
}

static void
test_log_is_one_line(void)
{
    g_autofree char *line = mount_log_format(
        G_GINT64_CONSTANT(1700000000123456), G_LOG_LEVEL_MESSAGE, 7, "a\nb\x1b[1m\tc");
    g_assert_cmpstr(line, ==, "2023-11-14T22:13:20.123Z warning [7] a b [1m c\n");
}

/* In a process of its own: it moves stderr. */
static void
test_log_is_rotated(void)
{
    g_autofree char *folder = g_dir_make_tmp(NULL, NULL);
    g_autofree char *path = g_build_filename(folder, "deeplakefs.log", NULL);
    g_autofree char *old_path = g_strconcat(path, ".1", NULL);
    g_autofree char *text = NULL;
    g_autofree char *old_text = NULL;
    int status;

    pid_t child = fork();
    if (child == 0) {
        mount_log_init("info");
        if (!mount_log_to_file_of_size(folder, 100, NULL))
            _exit(1);
        g_debug("not shown");
        g_info("first %0100d", 0);
        g_message("second");
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_true(g_file_get_contents(old_path, &old_text, NULL, NULL));
    g_assert_nonnull(strstr(old_text, " info ["));
    g_assert_null(strstr(old_text, "not shown"));
    g_assert_null(strstr(old_text, "second"));
    g_assert_true(g_str_has_suffix(text, "second\n"));
    remove_tree(folder);
}

static void
test_registry_forgets_the_dead(void)
{
    g_autofree char *folder = g_dir_make_tmp(NULL, NULL);
    g_autoptr(GError) error = NULL;
    int status;

    pid_t child = fork();
    if (child == 0) {
        MountRegistryEntry *own = mount_registry_entry_new("/mnt/dead", "w");
        _exit(mount_registry_write(folder, own, NULL) ? 0 : 1);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);

    g_autoptr(MountRegistryEntry) own = mount_registry_entry_new("/mnt/\xff lake", "w\"1");
    own->n_left = 3;
    g_assert_true(mount_registry_write(folder, own, &error));
    g_assert_no_error(error);

    g_autoptr(GPtrArray) entries = mount_registry_list(folder);
    g_assert_cmpuint(entries->len, ==, 1);
    g_autoptr(MountRegistryEntry) found = mount_registry_find(folder, "/mnt/\xff lake");
    g_assert_nonnull(found);
    g_assert_cmpint(found->pid, ==, getpid());
    g_assert_cmpstr(found->workspace, ==, "w\"1");
    g_assert_cmpuint(found->n_left, ==, 3);
    g_assert_true(mount_registry_is_alive(found));
    g_assert_null(mount_registry_find(folder, "/mnt/dead"));

    found->start_time++; /* the pid has come to someone else */
    g_assert_false(mount_registry_is_alive(found));

    mount_registry_remove(folder, own);
    g_autoptr(GPtrArray) none = mount_registry_list(folder);
    g_assert_cmpuint(none->len, ==, 0);
    remove_tree(folder);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount/options/stand-anywhere", test_options_stand_anywhere);
    g_test_add_func("/mount/options/letters-can-be-joined", test_letters_can_be_joined);
    g_test_add_func(
        "/mount/options/parameters-may-be-negative", test_parameters_may_be_negative);
    g_test_add_func("/mount/options/workspace-argument-wins", test_the_workspace_argument_wins);
    g_test_add_func(
        "/mount/options/words-split-at-plain-commas", test_words_split_at_plain_commas);
    g_test_add_func(
        "/mount/options/words-reach-who-they-concern", test_words_reach_who_they_concern);
    g_test_add_func(
        "/mount/options/words-of-fuse-belong-to-mount", test_words_of_fuse_belong_to_mount);
    g_test_add_func("/mount/options/unknown-names-the-nearest", test_unknown_names_the_nearest);
    g_test_add_func("/mount/options/arguments-are-counted", test_arguments_are_counted);
    g_test_add_func("/mount/options/mount-can-call", test_mount_can_call);
    g_test_add_func("/mount/secret/passwords-are-found", test_passwords_are_found);
    g_test_add_func("/mount/secret/passwords-are-refused", test_passwords_are_refused);
    g_test_add_func("/mount/secret/tokens-are-refused", test_tokens_are_refused);
    g_test_add_func("/mount/secret/tokens-are-hidden", test_tokens_are_hidden);
    g_test_add_func("/mount/help/has-every-option", test_help_has_every_option);
    g_test_add_func("/mount/mountpoint/mountinfo-is-unescaped", test_mountinfo_is_unescaped);
    g_test_add_func("/mount/mountpoint/is-checked", test_mountpoint_is_checked);
    g_test_add_func("/mount/files/are-named-as-by-cp", test_files_are_named_as_by_cp);
    g_test_add_func("/mount/log/is-one-line", test_log_is_one_line);
    g_test_add_func("/mount/log/is-rotated", test_log_is_rotated);
    g_test_add_func("/mount/registry/forgets-the-dead", test_registry_forgets_the_dead);
    return g_test_run();
}
