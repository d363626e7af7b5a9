/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/server/binaries.h: the programs of PostgreSQL: who runs them, where they lie, running
 * one.
 *
 * Any thread; a user and a folder are constant once found.
 */

#include <gio/gio.h>
#include <sys/types.h>

/* Who the server runs as: ourselves, or, when we are root, the configured account. */
typedef struct {
    char *name;
    char *home;
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* looked up before any fork: initgroups is not safe after one */
    int n_groups;
    gboolean is_other; /* we are root and become this user in the child */
} LakeServerUser;

/* server_user counts for root only.
 *   BAD_INPUT  no such account, or it is root too */
LakeServerUser *lake_server_user_find(const char *server_user, GError **error);
void lake_server_user_free(LakeServerUser *user);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeServerUser, lake_server_user_free)

/* Whether user may pass through (X_OK) folder, by any rule that the kernel knows. */
gboolean lake_server_user_can_enter(const LakeServerUser *user, const char *folder);

/* The folder of initdb, postgres and pg_ctl; caller frees. server_bin_dir NULL: pg_config's,
 * those of Debian from the highest version down, PATH. major 0: any version. NOT_FOUND  none;
 * the hint names the package BAD_INPUT  there are some, but of another major version */
char *lake_server_binaries_find(const char *server_bin_dir, int major,
    const LakeServerUser *user, GCancellable *cancellable, GError **error);

/* Whether the server of the programs in folder finds a library of this name (without ".so"). */
gboolean lake_server_binaries_have_library(const char *folder, const char *name,
    const LakeServerUser *user, GCancellable *cancellable);

/* Runs a program to its end as user, in folder, with an environment that holds no secrets.
 *
 * output (may be NULL) is what it printed, made UTF-8, whatever the outcome; caller frees. An
 * error ends with the last lines of it: CANCELLED  it was interrupted, and has ended NO_SPACE
 * it says that the disk is full FAILED     its exit status is not 0 */
gboolean lake_server_binaries_run(const LakeServerUser *user, const char *folder,
    const char *const *arguments, char **ret_output, GCancellable *cancellable, GError **error);

/* Sets FAILED, or NO_SPACE where output tells of a full disk; the message ends with output's
 * last lines. */
void lake_server_binaries_set_failed(const char *what, const char *output, GError **error);
