/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/error.h"
#include "mount/help.h"
#include "mount/log.h"
#include "mount/signals.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Servers speak in several lines, and names may hold anything: what would move the cursor is
 * one space. */
static void
append_line(GString *into, const char *text)
{
    for (; *text; text++) {
        if (!g_ascii_iscntrl(*text))
            g_string_append_c(into, *text);
        else if (into->str[into->len - 1] != ' ' && text[1])
            g_string_append_c(into, ' ');
    }
}

char *
mount_commands_format_error(const char *command, const GError *error)
{
    const LakeErrorFacts *facts = lake_error_facts(error);
    GString *text = g_string_new("deeplakefs: ");

    if (command)
        g_string_append_printf(text, "%s: ", command);
    append_line(text, error->message);
    if (facts && facts->sqlstate && !strstr(error->message, facts->sqlstate))
        g_string_append_printf(text, " (SQLSTATE %s)", facts->sqlstate);
    g_string_append_c(text, '\n');
    if (facts && facts->detail && !strstr(error->message, facts->detail)) {
        g_string_append(text, "  detail: ");
        append_line(text, facts->detail);
        g_string_append_c(text, '\n');
    }
    if (facts && facts->hint) {
        g_string_append(text, "  hint: ");
        append_line(text, facts->hint);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

int
mount_commands_fail(const MountOptions *options, const GError *error, int status)
{
    g_autofree char *text = mount_commands_format_error(options->command->name, error);

    fputs(text, stderr);
    return g_error_matches(error, LAKE_ERROR, LAKE_ERROR_CANCELLED) ||
                   g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
               ? MOUNT_EXIT_INTERRUPTED
               : status;
}

int
mount_commands_exit_status(const GError *error)
{
    if (error->domain != LAKE_ERROR)
        return MOUNT_EXIT_SYSTEM;

    switch ((LakeErrorCode)error->code) {
    case LAKE_ERROR_FAILED:
    case LAKE_ERROR_NO_SPACE:
    case LAKE_ERROR_OFFLINE:
    case LAKE_ERROR_BUSY:
        return MOUNT_EXIT_SYSTEM;
    case LAKE_ERROR_CANCELLED:
        return MOUNT_EXIT_INTERRUPTED;
    case LAKE_ERROR_NOT_FOUND:
    case LAKE_ERROR_EXISTS:
    case LAKE_ERROR_NOT_EMPTY:
    case LAKE_ERROR_BAD_INPUT:
    case LAKE_ERROR_BAD_NAME:
    case LAKE_ERROR_LONG_NAME:
    case LAKE_ERROR_NO_ACCESS:
    case LAKE_ERROR_REFUSED:
    case LAKE_ERROR_READ_ONLY:
    case LAKE_ERROR_TOO_BIG:
    case LAKE_ERROR_TIMED_OUT:
    case LAKE_ERROR_STALE:
    case LAKE_ERROR_OTHER_TABLE:
    case LAKE_ERROR_UNSUPPORTED:
        return MOUNT_EXIT_USAGE;
    }
    return MOUNT_EXIT_SYSTEM;
}

gboolean
mount_commands_print(const MountOptions *options, const void *text, gsize n_bytes)
{
    const char *at = text;

    while (n_bytes > 0) {
        gssize n_written = write(STDOUT_FILENO, at, n_bytes);
        if (n_written < 0 && errno == EINTR && !mount_signals_received())
            continue;
        if (n_written < 0) {
            int saved_errno = errno;
            if (saved_errno != EPIPE && saved_errno != EINTR)
                fprintf(stderr, "deeplakefs: %s: cannot write the output: %s\n",
                    options->command ? options->command->name : "help",
                    g_strerror(saved_errno));
            return FALSE;
        }
        at += n_written;
        n_bytes -= (gsize)n_written;
    }
    return TRUE;
}

int
mount_commands_with_workspace(const MountOptions *options, MountSessionFunc run)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeConfig) config = mount_options_config(options, &error);
    if (!config)
        return mount_commands_fail(options, error, MOUNT_EXIT_USAGE);

    /* Never freed: the thread that waits for signals may use it until the program ends. */
    GCancellable *cancellable = g_cancellable_new();
    mount_signals_init(cancellable);

    g_autoptr(LakeWorkspace) workspace = lake_workspace_open(config, cancellable, &error);
    if (!workspace)
        return mount_commands_fail(options, error, MOUNT_EXIT_SYSTEM);

    MountSession session = {
        .options = options,
        .config = config,
        .cancellable = cancellable,
        .workspace = workspace,
    };
    int status = run(&session);
    return mount_signals_received() ? MOUNT_EXIT_INTERRUPTED : status;
}

static int
run_help(const MountOptions *options)
{
    const MountCommand *command = options->command;

    if (command && command->id == MOUNT_COMMAND_HELP && !options->is_help) {
        const char *name = options->arguments->len ? options->arguments->pdata[0] : NULL;
        command = name ? mount_options_find_command(name) : NULL;
        if (name && !command) {
            g_autofree char *shown = g_strescape(name, NULL);
            fprintf(
                stderr, "deeplakefs: help: unknown command %s; see deeplakefs --help\n", shown);
            return MOUNT_EXIT_USAGE;
        }
    }

    g_autofree char *text = mount_help_text(command);
    return mount_commands_print(options, text, strlen(text)) ? MOUNT_EXIT_OK
                                                             : MOUNT_EXIT_SYSTEM;
}

int
mount_commands_run(const MountOptions *options)
{
    static const char version[] = "deeplakefs " DEEPLAKEFS_VERSION "\n";

    if (options->is_version)
        return mount_commands_print(options, version, strlen(version)) ? MOUNT_EXIT_OK
                                                                       : MOUNT_EXIT_SYSTEM;
    if (options->is_help)
        return run_help(options);

    mount_log_init(options->is_verbose ? "debug" : options->log_level);
    switch (options->command->id) {
    case MOUNT_COMMAND_MOUNT:
        return mount_commands_mount(options);
    case MOUNT_COMMAND_UMOUNT:
        return mount_commands_umount(options);
    case MOUNT_COMMAND_TABLES:
        return mount_commands_tables(options);
    case MOUNT_COMMAND_QUERY:
        return mount_commands_query(options);
    case MOUNT_COMMAND_INGEST:
        return mount_commands_ingest(options);
    case MOUNT_COMMAND_DROP:
        return mount_commands_drop(options);
    case MOUNT_COMMAND_STATUS:
        return mount_commands_status(options);
    case MOUNT_COMMAND_HELP:
        return run_help(options);
    }
    g_assert_not_reached();
}
