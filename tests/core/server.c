/* SPDX-License-Identifier: Apache-2.0 */

/* Drives a real PostgreSQL in a folder of its own; about 20 seconds. As root it runs as the
 * account postgres, else as ourselves. */
#include "core/server.h"
#include "core/error.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FOLDER_VARIABLE "LAKE_TEST_STATE_DIR" /* tells a process of the same test which one */

typedef struct {
    char *base;
    LakeConfig *config;
} Fixture;

static void
set_up_named(Fixture *fixture, const char *name)
{
    fixture->base = g_dir_make_tmp("server-XXXXXX", NULL);
    g_assert_nonnull(fixture->base);
    g_assert_cmpint(g_chmod(fixture->base, 0755), ==, 0);
    fixture->config = lake_config_new();
    g_free(fixture->config->state_dir);
    fixture->config->state_dir = g_build_filename(fixture->base, name, NULL);
}

static void
set_up(Fixture *fixture, gconstpointer user_data)
{
    set_up_named(fixture, user_data ? user_data : "state");
}

static void
tear_down(Fixture *fixture, gconstpointer user_data)
{
    const char *const arguments[] = {"rm", "-rf", "--", fixture->base, NULL};

    g_assert_true(g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
        NULL, NULL, NULL, NULL));
    lake_config_free(fixture->config);
    g_free(fixture->base);
}

static LakeServer *
open_server(const LakeConfig *config)
{
    g_autoptr(GError) error = NULL;
    LakeServer *server = lake_server_open(config, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(server);
    return server;
}

static void
assert_refused(const LakeConfig *config, LakeErrorCode code, const char *part)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(lake_server_open(config, NULL, &error));
    g_assert_error(error, LAKE_ERROR, (int)code);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, part));
}

/* What psql prints for sql, or NULL when it fails; caller frees. */
static char *
ask(LakeServer *server, const char *sql)
{
    g_autofree char *conninfo = lake_server_dup_conninfo(server);
    const char *const arguments[] = {"psql", "-X", "-A", "-t", "-d", conninfo, "-c", sql, NULL};
    char *output = NULL;
    int status = 0;

    g_assert_true(g_spawn_sync(NULL, (char **)arguments, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output, NULL, &status,
        NULL));
    if (!g_spawn_check_wait_status(status, NULL))
        g_clear_pointer(&output, g_free);
    return output ? g_strstrip(output) : NULL;
}

static void
assert_answer(LakeServer *server, const char *sql, const char *expected)
{
    g_autofree char *answer = ask(server, sql);

    g_assert_cmpstr(answer, ==, expected);
}

static char *
path_in(const Fixture *fixture, const char *name)
{
    return g_build_filename(fixture->config->state_dir, "server", name, NULL);
}

/* The postmaster's process, 0 when postmaster.pid is not there. */
static pid_t
postmaster(const Fixture *fixture)
{
    g_autofree char *path = path_in(fixture, "data/postmaster.pid");
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? atoi(text) : 0;
}

static void
kill_postmaster(const Fixture *fixture)
{
    pid_t pid = postmaster(fixture);

    g_assert_cmpint(pid, >, 1);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    for (int i = 0; i < 1000 && kill(pid, 0) == 0; i++) {
        g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
        g_autofree char *text = NULL;
        if (g_file_get_contents(path, &text, NULL, NULL) && strstr(text, ") Z "))
            break; /* nobody reaps orphans here */
        g_usleep(10 * 1000);
    }
}

static uid_t
owner_of(const char *path)
{
    struct stat status;

    g_assert_cmpint(lstat(path, &status), ==, 0);
    return status.st_uid;
}

static mode_t
mode_of(const char *path)
{
    struct stat status;

    g_assert_cmpint(lstat(path, &status), ==, 0);
    return status.st_mode & 07777;
}

/* Whether the server's folder holds a cluster that was not finished. */
static gboolean
has_leftovers(const Fixture *fixture)
{
    g_autofree char *path = path_in(fixture, "");
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name = NULL;

    while (folder && (name = g_dir_read_name(folder)))
        if (g_str_has_prefix(name, "data."))
            return TRUE;
    return FALSE;
}

/* Runs the test at path in a process of its own, on the same state folder. */
static void
run_beside(const Fixture *fixture, const char *path, const char *fault)
{
    setenv(FOLDER_VARIABLE, fixture->config->state_dir, 1);
    if (fault)
        setenv("LAKE_FAULT", fault, 1);
    g_test_trap_subprocess(path, 0, G_TEST_SUBPROCESS_DEFAULT);
    unsetenv("LAKE_FAULT");
    unsetenv(FOLDER_VARIABLE);
}

static LakeServer *
open_beside(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();

    g_free(config->state_dir);
    config->state_dir = g_strdup(g_getenv(FOLDER_VARIABLE));
    g_assert_nonnull(config->state_dir);
    return open_server(config);
}

static void
beside_opens_and_is_killed(void)
{
    assert_answer(open_beside(), "SELECT 1", "1");
    kill(getpid(), SIGKILL);
}

static void
beside_opens_and_closes(void)
{
    LakeServer *server = open_beside();

    assert_answer(server, "SELECT 1", "1");
    lake_server_close(server);
}

static void
test_created_and_answers(Fixture *fixture, gconstpointer user_data)
{
    mode_t old_mask = umask(S_IRWXG | S_IRWXO);
    LakeServer *server = open_server(fixture->config);
    umask(old_mask);

    g_autofree char *folder = path_in(fixture, "");
    g_autofree char *socket = path_in(fixture, "socket");
    g_autofree char *log = path_in(fixture, "server.log");

    assert_answer(server, "SELECT 6 * 7", "42");
    assert_answer(server, "SHOW server_encoding", "UTF8");
    assert_answer(server, "SHOW data_checksums", "on");
    assert_answer(server, "SHOW fsync", "on");
    assert_answer(server, "SHOW listen_addresses", "");
    assert_answer(server, "SHOW max_wal_size", "4GB");
    assert_answer(server, "SELECT upper('\303\251') = '\303\211'", "t");

    g_assert_cmpuint(owner_of(fixture->config->state_dir), ==, geteuid());
    g_assert_cmpuint(mode_of(fixture->config->state_dir), ==, geteuid() == 0 ? 0711 : 0755);
    g_assert_cmpuint(mode_of(folder), ==, 0700);
    g_assert_cmpuint(mode_of(socket), ==, 0700);
    g_assert_cmpuint(mode_of(log), ==, 0600);
    g_assert_true((owner_of(folder) == geteuid()) == (geteuid() != 0));
    g_assert_cmpuint(owner_of(folder), ==, owner_of(log));
    lake_server_close(server);
}

static void
test_environment_holds_no_secret(Fixture *fixture, gconstpointer user_data)
{
    setenv("DEEPLAKE_API_KEY", "hunter2", 1);
    setenv("PGPASSWORD", "hunter2", 1);
    LakeServer *server = open_server(fixture->config);
    unsetenv("DEEPLAKE_API_KEY");
    unsetenv("PGPASSWORD");

    g_autofree char *path = g_strdup_printf("/proc/%d/environ", postmaster(fixture));
    g_autofree char *environment = NULL;
    gsize n_bytes = 0;
    g_assert_true(g_file_get_contents(path, &environment, &n_bytes, NULL));
    g_assert_null(memmem(environment, n_bytes, "hunter2", strlen("hunter2")));
    g_assert_nonnull(memmem(environment, n_bytes, "PATH=", strlen("PATH=")));
    lake_server_close(server);
}

static void
test_last_close_stops(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *first = open_server(fixture->config);
    pid_t pid = postmaster(fixture);
    LakeServer *second = open_server(fixture->config);

    g_assert_cmpint(postmaster(fixture), ==, pid);
    assert_answer(first, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1");
    lake_server_close(first);
    assert_answer(second, "SELECT n FROM kept", "7");

    run_beside(fixture, "/core/server/subprocess/opens-and-closes", NULL);
    g_test_trap_assert_passed();
    assert_answer(second, "SELECT n FROM kept", "7");
    g_assert_cmpint(postmaster(fixture), ==, pid);

    lake_server_close(second);
    g_assert_cmpint(postmaster(fixture), ==, 0);

    LakeServer *third = open_server(fixture->config);
    assert_answer(third, "SELECT n FROM kept", "7");
    lake_server_close(third);
    g_assert_cmpint(postmaster(fixture), ==, 0);
}

static void
test_killed_user_counts_as_gone(Fixture *fixture, gconstpointer user_data)
{
    run_beside(fixture, "/core/server/subprocess/opens-and-is-killed", NULL);
    g_assert_false(g_test_trap_has_passed());
    pid_t pid = postmaster(fixture);
    g_assert_cmpint(pid, >, 1);

    LakeServer *server = open_server(fixture->config);
    g_assert_cmpint(postmaster(fixture), ==, pid);
    assert_answer(server, "SELECT 1", "1");
    lake_server_close(server);
    g_assert_cmpint(postmaster(fixture), ==, 0);
}

static void
test_killed_server_comes_back(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *server = open_server(fixture->config);
    g_autoptr(GError) error = NULL;

    assert_answer(server, "CREATE TABLE kept AS SELECT 7 AS n", "SELECT 1");
    g_assert_true(lake_server_ensure(server, NULL, &error));
    g_assert_no_error(error);

    for (int i = 0; i < 2; i++) {
        pid_t pid = postmaster(fixture);
        kill_postmaster(fixture);
        g_assert_null(ask(server, "SELECT 1"));
        g_assert_true(lake_server_ensure(server, NULL, &error));
        g_assert_no_error(error);
        g_assert_cmpint(postmaster(fixture), !=, pid);
        assert_answer(server, "SELECT n FROM kept", "7");
    }
    lake_server_close(server);
    g_assert_cmpint(postmaster(fixture), ==, 0);
}

/* A backend that computes does not see that its postmaster is gone, and holds the shared
 * memory. */
static void
test_busy_backend_is_waited_for(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *server = open_server(fixture->config);
    g_autofree char *conninfo = lake_server_dup_conninfo(server);
    const char *const arguments[] = {"psql", "-X", "-d", conninfo, "-c",
        "DO $$ DECLARE stop timestamptz := clock_timestamp() + '3 s'; "
        "BEGIN WHILE clock_timestamp() < stop LOOP END LOOP; END $$",
        NULL};
    g_autoptr(GError) error = NULL;
    GPid psql = 0;

    g_assert_true(g_spawn_async(NULL, (char **)arguments, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL |
            G_SPAWN_STDERR_TO_DEV_NULL,
        NULL, NULL, &psql, NULL));
    g_usleep(G_USEC_PER_SEC);
    gint64 start = g_get_monotonic_time();
    kill_postmaster(fixture);
    g_assert_true(lake_server_ensure(server, NULL, &error));
    g_assert_no_error(error);
    g_assert_cmpint(g_get_monotonic_time() - start, >, G_USEC_PER_SEC);
    assert_answer(server, "SELECT 1", "1");

    waitpid(psql, NULL, 0);
    lake_server_close(server);
}

static gpointer
ensure(gpointer server)
{
    return GINT_TO_POINTER(lake_server_ensure(server, NULL, NULL));
}

static void
test_threads_start_it_once(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *server = open_server(fixture->config);
    GThread *threads[8];

    kill_postmaster(fixture);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("ensure", ensure, server);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_assert_true(GPOINTER_TO_INT(g_thread_join(threads[i])));
    assert_answer(server, "SELECT 1", "1");
    lake_server_close(server);
}

/* After a reboot the number in postmaster.pid may be that of any process, of the same user too.
 */
static void
test_recycled_process_is_no_server(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *server = open_server(fixture->config);
    g_autofree char *path = path_in(fixture, "data/postmaster.pid");
    g_autofree char *text = NULL;
    const char *const arguments[] = {"sleep", "60", NULL};
    GPid sleeper = 0;

    g_assert_true(g_spawn_async(NULL, (char **)arguments, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &sleeper, NULL));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    kill_postmaster(fixture);
    g_autofree char *misleading = g_strdup_printf("%d%s", sleeper, strchr(text, '\n'));
    g_assert_true(g_file_set_contents(path, misleading, -1, NULL));

    g_autoptr(GError) error = NULL;
    g_assert_true(lake_server_ensure(server, NULL, &error));
    g_assert_no_error(error);
    assert_answer(server, "SELECT 1", "1");
    g_assert_cmpint(postmaster(fixture), !=, sleeper);
    g_assert_cmpint(kill(sleeper, SIGKILL), ==, 0);
    waitpid(sleeper, NULL, 0);
    lake_server_close(server);
}

static void
test_odd_path(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *server = open_server(fixture->config);
    g_autofree char *conninfo = lake_server_dup_conninfo(server);

    g_test_message("%s", conninfo);
    assert_answer(server, "SELECT 1", "1");
    run_beside(fixture, "/core/server/subprocess/opens-and-closes", NULL);
    g_test_trap_assert_passed();
    lake_server_close(server);
    g_assert_cmpint(postmaster(fixture), ==, 0);
}

/* What a short folder elsewhere is called is known; so it must not be taken from just anyone.
 */
static void
test_long_path_is_not_squatted(Fixture *fixture, gconstpointer user_data)
{
    LakeServer *server = open_server(fixture->config);
    g_autofree char *conninfo = lake_server_dup_conninfo(server);
    g_auto(GStrv) parts = g_strsplit(conninfo, "'", 3);

    g_assert_cmpuint(strlen(parts[1]), <, 60);
    g_assert_cmpuint(mode_of(parts[1]), ==, 0700);
    lake_server_close(server);
    g_assert_false(g_file_test(parts[1], G_FILE_TEST_EXISTS));

    if (geteuid() != 0) {
        g_test_skip("only root can make a folder that is someone else's");
        return;
    }
    g_assert_cmpint(g_mkdir(parts[1], 0777), ==, 0);
    g_assert_cmpint(chown(parts[1], 65534, 65534), ==, 0);
    assert_refused(fixture->config, LAKE_ERROR_NO_ACCESS, parts[1]);
    g_assert_cmpint(g_rmdir(parts[1]), ==, 0);
}

static void
test_foreign_state_folder(Fixture *fixture, gconstpointer user_data)
{
    if (geteuid() == 0) {
        g_assert_cmpint(g_mkdir(fixture->config->state_dir, 0755), ==, 0);
        g_assert_cmpint(chown(fixture->config->state_dir, 65534, 65534), ==, 0);
        assert_refused(fixture->config, LAKE_ERROR_NO_ACCESS, "65534");
    } else {
        g_free(fixture->config->state_dir);
        fixture->config->state_dir = g_strdup("/usr");
        assert_refused(fixture->config, LAKE_ERROR_NO_ACCESS, "belongs to root");
    }
    g_autofree char *made = path_in(fixture, "");
    g_assert_false(g_file_test(made, G_FILE_TEST_EXISTS));
}

static void
test_closed_way_is_named(Fixture *fixture, gconstpointer user_data)
{
    if (geteuid() != 0) {
        g_test_skip("only root runs the server as someone else");
        return;
    }
    g_assert_cmpint(g_chmod(fixture->base, 0700), ==, 0);
    assert_refused(fixture->config, LAKE_ERROR_NO_ACCESS, fixture->base);
    g_assert_false(g_file_test(fixture->config->state_dir, G_FILE_TEST_EXISTS));
}

static void
test_missing_programs(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GError) error = NULL;

    fixture->config->server_bin_dir = g_strdup(fixture->base);
    g_assert_null(lake_server_open(fixture->config, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
    g_assert_cmpstr(lake_error_facts(error)->hint, ==, "apt-get install postgresql-15");
    g_assert_false(g_file_test(fixture->config->state_dir, G_FILE_TEST_EXISTS));
}

static void
test_missing_account(Fixture *fixture, gconstpointer user_data)
{
    if (geteuid() != 0) {
        g_test_skip("server_user counts for root only");
        return;
    }
    g_free(fixture->config->server_user);
    fixture->config->server_user = g_strdup("no-such-account");
    assert_refused(fixture->config, LAKE_ERROR_BAD_INPUT, "no-such-account");
    g_free(fixture->config->server_user);
    fixture->config->server_user = g_strdup("root");
    assert_refused(fixture->config, LAKE_ERROR_BAD_INPUT, "refuses");
}

static void
test_other_major_version(Fixture *fixture, gconstpointer user_data)
{
    g_autofree char *path = path_in(fixture, "data/PG_VERSION");

    lake_server_close(open_server(fixture->config));
    g_assert_true(g_file_set_contents(path, "9999\n", -1, NULL));
    assert_refused(fixture->config, LAKE_ERROR_BAD_INPUT, "9999");
}

static void
test_broken_server_shows_its_log(Fixture *fixture, gconstpointer user_data)
{
    g_autofree char *path = path_in(fixture, "data/postgresql.conf");

    lake_server_close(open_server(fixture->config));
    g_assert_true(g_file_set_contents(path, "no_such_setting = 1\n", -1, NULL));
    g_assert_cmpint(g_chmod(path, 0644), ==, 0);
    assert_refused(fixture->config, LAKE_ERROR_FAILED, "no_such_setting");
    g_assert_cmpint(postmaster(fixture), ==, 0);
}

static void
test_killed_creation_leaves_nothing_half_done(Fixture *fixture, gconstpointer user_data)
{
    g_autofree char *data = path_in(fixture, "data");

    run_beside(fixture, "/core/server/subprocess/opens-and-closes", "server-created:1:kill");
    g_assert_false(g_test_trap_has_passed());
    g_assert_false(g_file_test(data, G_FILE_TEST_EXISTS));
    g_assert_true(has_leftovers(fixture));

    LakeServer *server = open_server(fixture->config);
    g_assert_false(has_leftovers(fixture));
    assert_answer(server, "SELECT 1", "1");
    lake_server_close(server);
}

static void
test_wait_for_another_has_an_end(Fixture *fixture, gconstpointer user_data)
{
    g_autofree char *path = path_in(fixture, "change");
    LakeServer *server = open_server(fixture->config);
    int fd = open(path, O_RDWR | O_CLOEXEC);

    fixture->config->connect_timeout_ms = 50;
    g_assert_cmpint(flock(fd, LOCK_EX), ==, 0);
    assert_refused(fixture->config, LAKE_ERROR_TIMED_OUT, "another process");
    close(fd);
    lake_server_close(server);
    g_assert_cmpint(postmaster(fixture), ==, 0);
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(300 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
test_creation_can_be_interrupted(Fixture *fixture, gconstpointer user_data)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);

    g_assert_null(lake_server_open(fixture->config, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_thread_join(thread);
    g_assert_false(has_leftovers(fixture));
    g_assert_cmpint(postmaster(fixture), ==, 0);
    lake_server_close(open_server(fixture->config));
}

#define ADD(name, data, function)                                                              \
    g_test_add("/core/server/" name, Fixture, data, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    static const char long_name[] = "a-folder-name-that-leaves-no-room-for-the-name-of-a-"
                                    "socket-as-those-may-have-no-more-than/"
                                    "one-hundred-and-seven-bytes";

    g_test_init(&argc, &argv, NULL);

    ADD("new-cluster-answers", NULL, test_created_and_answers);
    ADD("environment-holds-no-secret", NULL, test_environment_holds_no_secret);
    ADD("last-close-stops", NULL, test_last_close_stops);
    ADD("killed-user-counts-as-gone", NULL, test_killed_user_counts_as_gone);
    ADD("killed-server-comes-back", NULL, test_killed_server_comes_back);
    ADD("busy-backend-is-waited-for", NULL, test_busy_backend_is_waited_for);
    ADD("threads-start-it-once", NULL, test_threads_start_it_once);
    ADD("recycled-process-is-no-server", NULL, test_recycled_process_is_no_server);
    ADD("path-may-hold-any-character", "it's \"a\" $HOME \\ `x` \303\251", test_odd_path);
    ADD("path-may-hold-a-comma", "a,b", test_odd_path);
    ADD("long-path-works", long_name, test_odd_path);
    ADD("long-path-is-not-squatted", long_name, test_long_path_is_not_squatted);
    ADD("foreign-state-folder-is-refused", NULL, test_foreign_state_folder);
    ADD("closed-way-is-named", NULL, test_closed_way_is_named);
    ADD("missing-programs-name-the-package", NULL, test_missing_programs);
    ADD("missing-account-is-refused", NULL, test_missing_account);
    ADD("other-major-version-is-refused", NULL, test_other_major_version);
    ADD("broken-server-shows-its-log", NULL, test_broken_server_shows_its_log);
    ADD("wait-for-another-has-an-end", NULL, test_wait_for_another_has_an_end);
    ADD("killed-creation-leaves-nothing-half-done", NULL,
        test_killed_creation_leaves_nothing_half_done);
    ADD("creation-can-be-interrupted", NULL, test_creation_can_be_interrupted);

    g_test_add_func("/core/server/subprocess/opens-and-closes", beside_opens_and_closes);
    g_test_add_func("/core/server/subprocess/opens-and-is-killed", beside_opens_and_is_killed);
    return g_test_run();
}
