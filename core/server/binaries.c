/* SPDX-License-Identifier: Apache-2.0 */
#include "core/server/binaries.h"
#include "core/error.h"

#include <errno.h>
#include <glib-unix.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEBIAN_FOLDER "/usr/lib/postgresql"
#define PACKAGE "postgresql-15"
#define LAST_LINES 8
#define CANNOT_BECOME 126 /* exit status of a child that could not become the user */

static LakeServerUser *
find_self(void)
{
    LakeServerUser *user = g_new0(LakeServerUser, 1);

    user->name = g_strdup(g_get_user_name());
    user->home = g_strdup(g_get_home_dir());
    user->uid = geteuid();
    user->gid = getegid();
    return user;
}

LakeServerUser *
lake_server_user_find(const char *server_user, GError **error)
{
    if (geteuid() != 0)
        return find_self();

    g_autofree struct passwd *entry = g_unix_get_passwd_entry(server_user, NULL);
    if (!entry || entry->pw_uid == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            entry ? "server_user: '%s' is root, and PostgreSQL refuses to run as root"
                  : "server_user: there is no account '%s'",
            server_user);
        if (error)
            lake_error_hint(*error, "Name an unprivileged account with server_user.");
        return NULL;
    }

    g_autoptr(LakeServerUser) user = g_new0(LakeServerUser, 1);
    user->name = g_strdup(entry->pw_name);
    user->home = g_strdup(entry->pw_dir);
    user->uid = entry->pw_uid;
    user->gid = entry->pw_gid;
    user->is_other = TRUE;

    user->n_groups = 0;
    getgrouplist(user->name, user->gid, NULL, &user->n_groups);
    user->groups = g_new0(gid_t, user->n_groups + 1);
    if (getgrouplist(user->name, user->gid, user->groups, &user->n_groups) < 0)
        user->n_groups = 0;
    return g_steal_pointer(&user);
}

void
lake_server_user_free(LakeServerUser *user)
{
    if (!user)
        return;

    g_free(user->name);
    g_free(user->home);
    g_free(user->groups);
    g_free(user);
}

/* In a forked child: system calls only. */
static void
become(const LakeServerUser *user)
{
    if (user->is_other && (setgroups((size_t)user->n_groups, user->groups) < 0 ||
                              setresgid(user->gid, user->gid, user->gid) < 0 ||
                              setresuid(user->uid, user->uid, user->uid) < 0))
        _exit(CANNOT_BECOME);
}

gboolean
lake_server_user_can_enter(const LakeServerUser *user, const char *folder)
{
    int status = 0;

    if (!user->is_other)
        return access(folder, X_OK) == 0;

    pid_t pid = fork();
    if (pid == 0) {
        become(user);
        _exit(access(folder, X_OK) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return FALSE;
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* In a forked child: system calls only. */
static void
prepare_child(gpointer user_data)
{
    const LakeServerUser *user = user_data;
    sigset_t none;

    /* Threads of libfuse block the signals that would stop a program. */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    /* Away from the terminal: a Ctrl-C there is ours to act on. */
    setsid();
    umask(S_IRWXG | S_IRWXO);
    become(user);

    /* Nothing goes on working in the folder once we were killed. After become, which undoes it;
     * the server itself is no child of ours but of pg_ctl, and stays. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* In English, so that a full disk is recognised; and no variable of ours, which may be a
 * secret. */
static GStrv
child_environment(const LakeServerUser *user)
{
    const char *path = g_getenv("PATH");
    const char *time_zone = g_getenv("TZ");
    GStrv environment = NULL;

    environment = g_environ_setenv(
        environment, "PATH", path ? path : "/usr/local/bin:/usr/bin:/bin", TRUE);
    environment = g_environ_setenv(environment, "HOME", user->home, TRUE);
    environment = g_environ_setenv(environment, "LC_ALL", "C", TRUE);
    if (time_zone)
        environment = g_environ_setenv(environment, "TZ", time_zone, TRUE);
    return environment;
}

static char *
last_lines(const char *output)
{
    g_autofree char *text = g_strstrip(g_strdup(output));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint n_lines = g_strv_length(lines);

    return g_strjoinv("\n", lines + (n_lines > LAST_LINES ? n_lines - LAST_LINES : 0));
}

void
lake_server_binaries_set_failed(const char *what, const char *output, GError **error)
{
    gboolean is_full =
        strstr(output, "No space left on device") || strstr(output, "Disk quota exceeded");
    g_autofree char *end = last_lines(output);

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL,
        is_full ? LAKE_ERROR_NO_SPACE : LAKE_ERROR_FAILED, "%s: %s", what,
        *end ? end : "it printed nothing");
    if (error && is_full)
        lake_error_hint(*error, "Free space there, or choose another folder with state_dir.");
}

/* Waits for the end of process. Returns FALSE when it was interrupted; it has ended then too.
 */
static gboolean
finish(GSubprocess *process, char **ret_output, GCancellable *cancellable)
{
    /* Not g_subprocess_communicate(): with a cancellable, GLib 2.74 may wait for ever for the
     * lock of a context that is gone. */
    GInputStream *pipe = g_subprocess_get_stdout_pipe(process);
    g_autoptr(GByteArray) printed = g_byte_array_new();
    guint8 piece[4096];
    gssize n_read;

    while ((n_read = g_input_stream_read(pipe, piece, sizeof piece, cancellable, NULL)) > 0)
        g_byte_array_append(printed, piece, (guint)n_read);
    /* pg_ctl answers SIGINT by stopping the server it is starting, initdb by tidying up. */
    if (n_read < 0)
        g_subprocess_send_signal(process, SIGINT);
    g_subprocess_wait(process, NULL, NULL);
    if (n_read < 0 && g_cancellable_is_cancelled(cancellable))
        return FALSE;
    *ret_output = printed->len > 0
                      ? g_utf8_make_valid((const char *)printed->data, (gssize)printed->len)
                      : g_strdup("");
    return TRUE;
}

gboolean
lake_server_binaries_run(const LakeServerUser *user, const char *folder,
    const char *const *arguments, char **ret_output, GCancellable *cancellable, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
        G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
    g_auto(GStrv) environment = child_environment(user);
    g_autofree char *output = NULL;
    g_autoptr(GError) trouble = NULL;

    g_subprocess_launcher_set_environ(launcher, environment);
    g_subprocess_launcher_set_cwd(launcher, folder);
    g_subprocess_launcher_set_child_setup(launcher, prepare_child, (gpointer)user, NULL);

    g_autoptr(GSubprocess) process =
        g_subprocess_launcher_spawnv(launcher, arguments, &trouble);
    if (!process) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
            "could not run %s: %s", arguments[0], trouble->message);
        return FALSE;
    }

    if (!finish(process, &output, cancellable)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }

    gboolean is_good = g_subprocess_get_successful(process);
    if (!is_good) {
        g_autofree char *what = g_strdup_printf("%s failed", arguments[0]);
        lake_server_binaries_set_failed(what, output, error);
    }
    if (ret_output)
        *ret_output = g_steal_pointer(&output);
    return is_good;
}

static gboolean
holds_programs(const char *folder)
{
    static const char *const programs[] = {"initdb", "postgres", "pg_ctl"};

    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        g_autofree char *path = g_build_filename(folder, programs[i], NULL);
        if (!g_file_test(path, G_FILE_TEST_IS_EXECUTABLE))
            return FALSE;
    }
    return TRUE;
}

/* Takes folder. */
static void
add_candidate(GPtrArray *candidates, char *folder)
{
    g_autofree char *owned = folder;

    if (owned && holds_programs(owned) &&
        !g_ptr_array_find_with_equal_func(candidates, owned, g_str_equal, NULL))
        g_ptr_array_add(candidates, g_steal_pointer(&owned));
}

static void
add_pg_config(GPtrArray *candidates, const LakeServerUser *user, GCancellable *cancellable)
{
    g_autofree char *pg_config = g_find_program_in_path("pg_config");
    const char *const arguments[] = {pg_config, "--bindir", NULL};
    char *output = NULL;

    if (pg_config && lake_server_binaries_run(user, "/", arguments, &output, cancellable, NULL))
        add_candidate(candidates, g_strstrip(output));
    else
        g_free(output);
}

gboolean
lake_server_binaries_have_library(
    const char *folder, const char *name, const LakeServerUser *user, GCancellable *cancellable)
{
    /* The one beside postgres, which like it looks relative to where it lies. */
    g_autofree char *pg_config = g_build_filename(folder, "pg_config", NULL);
    const char *const arguments[] = {pg_config, "--pkglibdir", NULL};
    g_autofree char *output = NULL;

    if (!g_file_test(pg_config, G_FILE_TEST_IS_EXECUTABLE) ||
        !lake_server_binaries_run(user, "/", arguments, &output, cancellable, NULL))
        return FALSE;
    g_autofree char *file = g_strconcat(name, ".so", NULL);
    g_autofree char *path = g_build_filename(g_strstrip(output), file, NULL);
    return g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

static int
compare_versions_down(gconstpointer a, gconstpointer b)
{
    const int *left = a, *right = b;

    return (*left < *right) - (*left > *right);
}

static void
add_debian(GPtrArray *candidates)
{
    g_autoptr(GDir) folder = g_dir_open(DEBIAN_FOLDER, 0, NULL);
    g_autoptr(GArray) versions = g_array_new(FALSE, FALSE, sizeof(int));
    const char *name = NULL;

    while (folder && (name = g_dir_read_name(folder))) {
        int version = atoi(name);
        if (version > 0)
            g_array_append_val(versions, version);
    }
    g_array_sort(versions, compare_versions_down);

    for (guint i = 0; i < versions->len; i++)
        add_candidate(candidates,
            g_strdup_printf(DEBIAN_FOLDER "/%d/bin", g_array_index(versions, int, i)));
}

static void
add_path(GPtrArray *candidates)
{
    g_autofree char *postgres = g_find_program_in_path("postgres");

    if (postgres)
        add_candidate(candidates, g_path_get_dirname(postgres));
}

/* The major version of the programs in folder, 0 when they do not say. */
static int
major_of(const char *folder, const LakeServerUser *user, GCancellable *cancellable)
{
    g_autofree char *postgres = g_build_filename(folder, "postgres", NULL);
    const char *const arguments[] = {postgres, "--version", NULL};
    g_autofree char *output = NULL;

    if (!lake_server_binaries_run(user, "/", arguments, &output, cancellable, NULL))
        return 0;
    const char *number = strpbrk(output, "0123456789");
    return number ? atoi(number) : 0;
}

static void
set_missing(const char *server_bin_dir, int major, GError **error)
{
    if (server_bin_dir)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND,
            "server_bin_dir: %s does not hold initdb, postgres and pg_ctl", server_bin_dir);
    else
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND,
            "PostgreSQL's server programs (initdb, postgres, pg_ctl) are not installed");

    if (error && major)
        lake_error_hint(*error, "apt-get install postgresql-%d", major);
    else if (error)
        lake_error_hint(*error, "apt-get install " PACKAGE);
}

char *
lake_server_binaries_find(const char *server_bin_dir, int major, const LakeServerUser *user,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(GPtrArray) candidates = g_ptr_array_new_with_free_func(g_free);

    if (server_bin_dir) {
        add_candidate(candidates, g_strdup(server_bin_dir));
    } else {
        add_pg_config(candidates, user, cancellable);
        add_debian(candidates);
        add_path(candidates);
    }
    if (candidates->len == 0) {
        set_missing(server_bin_dir, major, error);
        return NULL;
    }

    for (guint i = 0; i < candidates->len; i++) {
        const char *folder = g_ptr_array_index(candidates, i);
        if (major == 0 || major_of(folder, user, cancellable) == major)
            return g_strdup(folder);
    }

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
        "the cluster was made by PostgreSQL %d, and %s holds another version", major,
        (const char *)g_ptr_array_index(candidates, 0));
    if (error)
        lake_error_hint(*error, "apt-get install postgresql-%d", major);
    return NULL;
}
