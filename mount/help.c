/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/help.h"

#include <string.h>

#define INDENT 28 /* where explanations begin */

/* Adds text word by word, from column on, wrapped, later lines indented; ends the line. */
static void
add_wrapped(GString *into, const char *text, glong column, guint indent)
{
    g_auto(GStrv) parts = g_strsplit(text, " ", -1);
    gboolean is_first = TRUE;

    for (char **part = parts; *part; part++) {
        glong n_columns = g_utf8_strlen(*part, -1);
        if (!is_first && column + 1 + n_columns > MOUNT_HELP_COLUMNS - 1) {
            g_string_append_printf(into, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!is_first) {
            g_string_append_c(into, ' ');
            column++;
        }
        g_string_append(into, *part);
        column += n_columns;
        is_first = FALSE;
    }
    g_string_append_c(into, '\n');
}

static void
add_entry(GString *into, const char *left, const char *right)
{
    glong n_columns = g_utf8_strlen(left, -1);

    g_string_append(into, left);
    if (n_columns + 2 > INDENT) {
        g_string_append_printf(into, "\n%*s", INDENT, "");
    } else {
        g_string_append_printf(into, "%*s", (int)(INDENT - n_columns), "");
    }
    add_wrapped(into, right, INDENT, INDENT);
}

static void
add_option(GString *into, const MountOption *option)
{
    g_autoptr(GString) left = g_string_new("  ");

    if (option->short_name)
        g_string_append_printf(left, "-%c", option->short_name);
    else
        g_string_append(left, "  ");
    if (option->long_name)
        g_string_append_printf(
            left, "%s--%s", option->short_name ? ", " : "  ", option->long_name);
    if (option->argument)
        g_string_append_printf(left, " %s", option->argument);
    add_entry(into, left->str, option->help);
}

static void
add_setting(GString *into, const LakeConfigSetting *setting)
{
    g_autofree char *name = g_strdelimit(g_strdup(setting->name), "_", '-');
    g_autofree char *left = g_strdup_printf("      --%s%s%s", name,
        setting->argument ? " " : "", setting->argument ? setting->argument : "");
    g_autoptr(GString) right = g_string_new(setting->help);

    if (setting->default_value && setting->type != LAKE_CONFIG_FLAG)
        g_string_append_printf(right, " [default: %s]", setting->default_value);
    if (setting->environment)
        g_string_append_printf(right, " [environment: %s]", setting->environment);
    add_entry(into, left, right->str);
}

static void
add_settings(GString *into)
{
    gsize n_settings;
    const LakeConfigSetting *settings = lake_config_settings(&n_settings);

    g_string_append(into, "\nSettings:\n");
    for (gsize i = 0; i < n_settings; i++)
        add_setting(into, &settings[i]);
    g_string_append_c(into, '\n');
    add_wrapped(into,
        "Each setting can also stand in the configuration file and after -o, there with '_' "
        "for "
        "'-'. The command line comes before the environment, that before the file.",
        0, 0);
}

/* The options whose set of commands passes. */
static void
add_options(GString *into, const char *title, guint mask, gboolean is_common)
{
    gsize n_options;
    const MountOption *options = mount_options_table(&n_options);

    g_string_append(into, title);
    for (gsize i = 0; i < n_options; i++) {
        if ((options[i].commands == ~0u) == is_common && (options[i].commands & mask))
            add_option(into, &options[i]);
    }
}

static gboolean
has_own_options(const MountCommand *command)
{
    gsize n_options;
    const MountOption *options = mount_options_table(&n_options);

    for (gsize i = 0; i < n_options; i++) {
        if (options[i].commands != ~0u && (options[i].commands & (1u << command->id)))
            return TRUE;
    }
    return FALSE;
}

/* What the table cannot say. */
static const char *
get_details(MountCommandId id)
{
    switch (id) {
    case MOUNT_COMMAND_MOUNT:
        return "Returns when the mount answers. After -o come settings and the words of "
               "mount(8): "
               "ro, nonempty, allow_other, allow_root, default_permissions, fsname=NAME, "
               "noexec "
               "and so on; those that concern fstab alone are ignored.";
    case MOUNT_COMMAND_UMOUNT:
        return "Refuses while the mount is in use. Otherwise returns when every file that was "
               "being ingested has become rows and the daemon has left.";
    case MOUNT_COMMAND_TABLES:
        return "One name per line.";
    case MOUNT_COMMAND_QUERY:
        return "SQL is one statement; - reads it from standard input. PARAMETERs are the "
               "values "
               "of $1, $2 and so on; without any, leading lines such as -- $1 = \"abc\" give "
               "them. "
               "A statement that changes data runs once.";
    case MOUNT_COMMAND_INGEST:
        return "Folders are taken with all that is below them, under their own name, as cp -r "
               "does; DIR/. is taken without it. The same file again changes nothing; other "
               "content replaces its rows. On a terminal it shows how far it is, with a bar "
               "for each file that takes long. Options that the drop zone has in its "
               ".ingest.json come before those given here. Prints table_name, row_count and "
               "dataset_path.";
    case MOUNT_COMMAND_DROP:
        return "The table's rows, its indexes and what is known of its files go together.";
    case MOUNT_COMMAND_STATUS:
        return "With --watch it shows how far each file is that the mounts of the state "
               "folder are ingesting, or the mount at MOUNTPOINT, whatever its state folder. "
               "It ends when they are unmounted, or with Ctrl-C. Where the output is no "
               "terminal, and with --json, it prints a JSON object per line whenever "
               "something has changed: a file as .deeplake/ingest.jsonl has it, with its "
               "mountpoint; or a mount's state: serving, silent (no answer for 2 s), "
               "unreadable, draining or gone.";
    case MOUNT_COMMAND_HELP:
        return NULL;
    }
    g_assert_not_reached();
}

static char *
make_command_text(const MountCommand *command)
{
    GString *text = g_string_new(NULL);
    const char *details = get_details(command->id);

    g_string_append_printf(text, "Usage: deeplakefs %s [OPTIONS]%s%s\n\n", command->name,
        *command->arguments ? " " : "", command->arguments);
    g_autofree char *summary = g_strdup_printf("%s.", command->summary);
    summary[0] = g_ascii_toupper(summary[0]);
    add_wrapped(text, summary, 0, 0);
    if (details)
        add_wrapped(text, details, 0, 0);

    if (has_own_options(command))
        add_options(text, "\nOptions:\n", 1u << command->id, FALSE);
    add_options(text, "\nOptions of every command:\n", ~0u, TRUE);
    add_settings(text);
    return g_string_free(text, FALSE);
}

char *
mount_help_text(const MountCommand *command)
{
    if (command)
        return make_command_text(command);

    GString *text =
        g_string_new("Usage: deeplakefs COMMAND [OPTIONS] [ARGUMENT...]\n\n"
                     "Mounts a Deeplake workspace as a folder, and works on it from "
                     "the command line.\n\nCommands:\n");
    gsize n_commands;
    const MountCommand *commands = mount_options_commands(&n_commands);
    for (gsize i = 0; i < n_commands; i++) {
        g_autofree char *left =
            g_strdup_printf("  %s %s", commands[i].name, commands[i].arguments);
        add_entry(text, left, commands[i].summary);
    }

    add_options(text, "\nOptions:\n", ~0u, TRUE);
    add_settings(text);
    g_string_append(text,
        "\nExit status: 0 done; 1 wrong use, or the operation failed; 2 a system "
        "error;\n32 the mount failed; 130 interrupted.\n"
        "\nHelp on one command: deeplakefs help COMMAND\n");
    return g_string_free(text, FALSE);
}
