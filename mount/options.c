/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/options.h"

#include "core/error.h"
#include "mount/secret.h"

#include <string.h>

#define FOR(command) (1u << MOUNT_COMMAND_##command)
#define FOR_HELPER (1u << 30) /* mount.deeplakefs has the letters of mount(8) */
#define FOR_ALL (~0u)

static const MountCommand commands[] = {
    {MOUNT_COMMAND_MOUNT, "mount", "[WORKSPACE] MOUNTPOINT", "mount a workspace as a folder"},
    {MOUNT_COMMAND_UMOUNT, "umount", "MOUNTPOINT", "unmount it; returns when all is written"},
    {MOUNT_COMMAND_TABLES, "tables", "", "list the workspace's tables"},
    {MOUNT_COMMAND_QUERY, "query", "SQL [PARAMETER...]",
        "run one statement and print its result as JSON"},
    {MOUNT_COMMAND_INGEST, "ingest", "TABLE PATH...", "make rows of files and folders"},
    {MOUNT_COMMAND_DROP, "drop", "TABLE", "drop a table with all its rows"},
    {MOUNT_COMMAND_STATUS, "status", "[MOUNTPOINT]",
        "show the server, the state folder and its mounts"},
    {MOUNT_COMMAND_HELP, "help", "[COMMAND]", "show help on a command"},
};

#define FIELD(name) offsetof(MountOptions, name)

static const MountOption table[] = {
    {"help", 'h', MOUNT_OPTION_FLAG, NULL, "show this help", FOR_ALL, FIELD(is_help)},
    {"version", 'V', MOUNT_OPTION_FLAG, NULL, "show the version", FOR_ALL, FIELD(is_version)},
    {"config", 0, MOUNT_OPTION_TEXT, "FILE", "read settings from FILE", FOR_ALL,
        FIELD(config_file)},
    {"log-level", 0, MOUNT_OPTION_TEXT, "LEVEL",
        "log what is at least this grave: error, warning, info (the default) or debug", FOR_ALL,
        FIELD(log_level)},
    {"verbose", 'v', MOUNT_OPTION_FLAG, NULL, "same as --log-level debug", FOR_ALL,
        FIELD(is_verbose)},
    {NULL, 'o', MOUNT_OPTION_WORDS, "WORD[,WORD...]",
        "settings as name=value, flags by name; \"\\,\" is a comma within a value", FOR_ALL, 0},
    {"foreground", 'f', MOUNT_OPTION_FLAG, NULL, "stay in the foreground, log to stderr",
        FOR(MOUNT), FIELD(is_foreground)},
    {"debug", 'd', MOUNT_OPTION_FLAG, NULL, "trace every request on stderr; implies -f",
        FOR(MOUNT), FIELD(is_debug)},
    {"nonempty", 0, MOUNT_OPTION_FLAG, NULL, "mount over a folder that is not empty",
        FOR(MOUNT) | FOR_HELPER, FIELD(allows_non_empty)},
    {NULL, 'f', MOUNT_OPTION_FLAG, NULL, "do all but mount", FOR_HELPER, FIELD(is_fake)},
    {NULL, 's', MOUNT_OPTION_FLAG, NULL, "ignore unknown words after -o", FOR_HELPER,
        FIELD(is_sloppy)},
    {NULL, 'n', MOUNT_OPTION_NONE, NULL, "accepted: there is no mtab to write", FOR_HELPER, 0},
    {NULL, 't', MOUNT_OPTION_NONE, "TYPE", "accepted: the type is known", FOR_HELPER, 0},
    {"lazy", 'l', MOUNT_OPTION_FLAG, NULL, "detach now, leave when nobody uses it any more",
        FOR(UMOUNT), FIELD(is_lazy)},
    {"json", 0, MOUNT_OPTION_FLAG, NULL, "print JSON", FOR(TABLES) | FOR(STATUS),
        FIELD(is_json)},
    {"long", 'l', MOUNT_OPTION_FLAG, NULL, "show kind and number of rows too", FOR(TABLES),
        FIELD(is_long)},
    {"jsonl", 0, MOUNT_OPTION_FLAG, NULL, "print one JSON object per line", FOR(QUERY),
        FIELD(is_jsonl)},
    {"csv", 0, MOUNT_OPTION_FLAG, NULL, "print CSV, with a line of names", FOR(QUERY),
        FIELD(is_csv)},
    {"file", 0, MOUNT_OPTION_TEXT, "FILE", "read the SQL from FILE; - is standard input",
        FOR(QUERY), FIELD(file)},
    {"format", 0, MOUNT_OPTION_TEXT, "FORMAT",
        "what the files are: files (by their extension; the default); rows: JSON Lines, JSON, "
        "CSV and TSV files whose records become rows; coco_panoptic: JSON files with the "
        "annotations of a data set",
        FOR(INGEST), FIELD(format)},
    {"schema", 0, MOUNT_OPTION_TEXT, "JSON|FILE",
        "with --format rows: types of columns, as {\"name\": \"TEXT\", \"age\": \"INT64\"}",
        FOR(INGEST), FIELD(schema)},
    {"images-dir", 0, MOUNT_OPTION_TEXT, "DIR",
        "with --format coco_panoptic: the folder of the images", FOR(INGEST),
        FIELD(images_dir)},
    {"masks-dir", 0, MOUNT_OPTION_TEXT, "DIR",
        "with --format coco_panoptic: the folder of the masks", FOR(INGEST), FIELD(masks_dir)},
    {"index", 0, MOUNT_OPTION_TEXT, "LIST",
        "indexes that the table is to have: COLUMN[=METHOD][,...], or JSON", FOR(INGEST),
        FIELD(index)},
    {"watch", 0, MOUNT_OPTION_FLAG, NULL, "show what the mounts are ingesting, until they go",
        FOR(STATUS), FIELD(is_watch)},
    {"interval", 0, MOUNT_OPTION_TEXT, "SECONDS",
        "with --watch: how often to look, from 0.1 to 3600 [default: 1]", FOR(STATUS),
        FIELD(interval)},
    {"if-exists", 0, MOUNT_OPTION_FLAG, NULL, "a table that is not there is no error",
        FOR(DROP), FIELD(if_exists)},
};

/* What mount(8) and fstab(5) may put after -o. */
typedef enum {
    WORD_IGNORED, /* for mount(8) itself, or what we do anyway */
    WORD_FUSE,    /* for libfuse */
} WordKind;

static const struct {
    const char *name;
    WordKind kind;
} words[] = {
    {"allow_other", WORD_FUSE},
    {"allow_root", WORD_FUSE},
    {"auto_unmount", WORD_FUSE},
    {"default_permissions", WORD_FUSE},
    {"fsname", WORD_FUSE},
    {"subtype", WORD_FUSE},
    {"context", WORD_FUSE},
    {"dev", WORD_FUSE},
    {"nodev", WORD_FUSE},
    {"suid", WORD_FUSE},
    {"nosuid", WORD_FUSE},
    {"exec", WORD_FUSE},
    {"noexec", WORD_FUSE},
    {"atime", WORD_FUSE},
    {"noatime", WORD_FUSE},
    {"sync", WORD_FUSE},
    {"async", WORD_FUSE},
    {"dirsync", WORD_FUSE},
    {"rw", WORD_IGNORED},
    {"auto", WORD_IGNORED},
    {"noauto", WORD_IGNORED},
    {"defaults", WORD_IGNORED},
    {"user", WORD_IGNORED},
    {"nouser", WORD_IGNORED},
    {"users", WORD_IGNORED},
    {"owner", WORD_IGNORED},
    {"group", WORD_IGNORED},
    {"nofail", WORD_IGNORED},
    {"_netdev", WORD_IGNORED},
    {"comment", WORD_IGNORED},
    {"relatime", WORD_IGNORED},
    {"norelatime", WORD_IGNORED},
    {"strictatime", WORD_IGNORED},
    {"nostrictatime", WORD_IGNORED},
    {"lazytime", WORD_IGNORED},
    {"nolazytime", WORD_IGNORED},
    {"diratime", WORD_IGNORED},
    {"nodiratime", WORD_IGNORED},
    {"iversion", WORD_IGNORED},
    {"noiversion", WORD_IGNORED},
    {"silent", WORD_IGNORED},
    {"loud", WORD_IGNORED},
};

const MountCommand *
mount_options_commands(gsize *ret_n)
{
    *ret_n = G_N_ELEMENTS(commands);
    return commands;
}

const MountOption *
mount_options_table(gsize *ret_n)
{
    *ret_n = G_N_ELEMENTS(table);
    return table;
}

const MountCommand *
mount_options_find_command(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (g_str_equal(commands[i].name, name))
            return &commands[i];
    }
    return NULL;
}

void
mount_options_free(MountOptions *options)
{
    if (!options)
        return;
    g_ptr_array_unref(options->arguments);
    g_ptr_array_unref(options->settings);
    g_string_free(options->fuse_words, TRUE);
    g_free(options->config_file);
    g_free(options->log_level);
    g_free(options->file);
    g_free(options->interval);
    g_free(options->format);
    g_free(options->schema);
    g_free(options->index);
    g_free(options->images_dir);
    g_free(options->masks_dir);
    g_free(options);
}

/* What is unknown may be anything, a piece of a DSN too: only what could be a name is shown. */
static gboolean
complain_unknown(const char *what, const char *name, const char *nearest, GError **error)
{
    gsize n_harmless =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");
    g_autofree char *shown =
        name[n_harmless] ? g_strdup("(with characters that no name has)") : g_strdup(name);

    if (nearest)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "unknown %s %s; the nearest known is %s", what, shown, nearest);
    return lake_error_bad_input(
        error, LAKE_ERROR_CLASS_GENERAL, "unknown %s %s; see deeplakefs --help", what, shown);
}

/* Which commands' options count now. Before a command is named: those that all have. */
static gboolean
is_taken(const MountOptions *options, const MountOption *option)
{
    if (options->is_helper)
        return (option->commands & FOR_HELPER) != 0;
    if (!options->command)
        return option->commands == FOR_ALL;
    return (option->commands & (1u << options->command->id)) != 0;
}

static gboolean
names_equal(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
            return FALSE;
    }
    return *a == *b;
}

static const MountOption *
find_long(const MountOptions *options, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].long_name && is_taken(options, &table[i]) &&
            names_equal(table[i].long_name, name))
            return &table[i];
    }
    return NULL;
}

static const LakeConfigSetting *
find_setting(const char *name)
{
    gsize n_settings;
    const LakeConfigSetting *settings = lake_config_settings(&n_settings);

    for (gsize i = 0; i < n_settings; i++) {
        if (names_equal(settings[i].name, name))
            return &settings[i];
    }
    return NULL;
}

/* The nearest name in the form it has after prefix: "--state-dir", or state_dir after -o. */
static char *
dup_nearest(const MountOptions *options, const char *name, gboolean is_word)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new_with_free_func(g_free);
    gsize n_settings;
    const LakeConfigSetting *settings = lake_config_settings(&n_settings);

    for (gsize i = 0; i < n_settings; i++)
        g_ptr_array_add(known, g_strdup(settings[i].name));
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].long_name && is_taken(options, &table[i]))
            g_ptr_array_add(known, g_strdup(table[i].long_name));
    }
    for (gsize i = 0; is_word && i < G_N_ELEMENTS(words); i++)
        g_ptr_array_add(known, g_strdup(words[i].name));
    for (guint i = 0; i < known->len; i++)
        g_strdelimit(known->pdata[i], is_word ? "-" : "_", is_word ? '_' : '-');
    g_ptr_array_add(known, NULL);

    const char *nearest = lake_config_nearest(name, (const char *const *)known->pdata);
    return nearest ? g_strconcat(is_word ? "" : "--", nearest, NULL) : NULL;
}

static gboolean
check_workspace(const char *value, GError **error)
{
    if (!mount_secret_in_dsn(value))
        return TRUE;
    return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
        "a workspace was expected, and this is a DSN with a password; see --dsn");
}

/* Said of --token and the like, and of a token where another value belongs. */
static gboolean
refuse_token(GError **error)
{
    return lake_error_bad_input(error, LAKE_ERROR_CLASS_AUTH,
        "a token in a command line can be read by every user of this machine; set the "
        "environment variable DEEPLAKE_API_KEY, or name a file with --token-file");
}

static gboolean
take_setting(
    MountOptions *options, const LakeConfigSetting *setting, const char *value, GError **error)
{
    gboolean is_dsn = setting->offset == offsetof(LakeConfig, dsn);

    if (is_dsn && value && mount_secret_in_dsn(value)) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "a password in a command line can be read by every user of this machine; "
            "use PGPASSFILE, a service file or DEEPLAKE_DSN");
        return FALSE;
    }
    if (value && mount_secret_is_token(value))
        return refuse_token(error);
    if (setting->offset == offsetof(LakeConfig, workspace) && value &&
        !check_workspace(value, error))
        return FALSE;
    g_ptr_array_add(options->settings, g_strdup(setting->name));
    g_ptr_array_add(options->settings, g_strdup(value));
    return TRUE;
}

static gboolean
take_option(MountOptions *options, const MountOption *option, const char *value, GError **error)
{
    char *field = (char *)options + option->offset;

    switch (option->kind) {
    case MOUNT_OPTION_FLAG:
        *(gboolean *)(void *)field = TRUE;
        return TRUE;
    case MOUNT_OPTION_TEXT:
        g_free(*(char **)(void *)field);
        *(char **)(void *)field = g_strdup(value);
        return TRUE;
    case MOUNT_OPTION_WORDS:
        return mount_options_take_words(options, value, error);
    case MOUNT_OPTION_NONE:
        return TRUE;
    }
    g_assert_not_reached();
}

GStrv
mount_options_split(const char *list)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autoptr(GString) word = g_string_new(NULL);

    for (const char *at = list; *at; at++) {
        if (*at == '\\' && (at[1] == ',' || at[1] == '\\')) {
            g_string_append_c(word, *++at);
        } else if (*at == ',') {
            g_strv_builder_add(builder, word->str);
            g_string_truncate(word, 0);
        } else {
            g_string_append_c(word, *at);
        }
    }
    g_strv_builder_add(builder, word->str);
    return g_strv_builder_end(builder);
}

static void
add_fuse_word(MountOptions *options, const char *word)
{
    if (options->fuse_words->len)
        g_string_append_c(options->fuse_words, ',');
    for (; *word; word++) {
        if (*word == ',' || *word == '\\')
            g_string_append_c(options->fuse_words, '\\');
        g_string_append_c(options->fuse_words, *word);
    }
}

/* A word of mount(8); "ro" is a setting. FALSE when it is none. */
static gboolean
take_mount_word(MountOptions *options, const char *word, const char *name)
{
    if (g_str_has_prefix(name, "x-") || g_str_has_prefix(name, "X-"))
        return TRUE;

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        if (!g_str_equal(words[i].name, name))
            continue;
        if (words[i].kind == WORD_FUSE)
            add_fuse_word(options, word);
        return TRUE;
    }
    return FALSE;
}

static gboolean
take_word(MountOptions *options, const char *word, GError **error)
{
    const char *equals = strchr(word, '=');
    g_autofree char *name = equals ? g_strndup(word, (gsize)(equals - word)) : g_strdup(word);
    const char *value = equals ? equals + 1 : NULL;
    gboolean is_mount =
        options->is_helper || (options->command && options->command->id == MOUNT_COMMAND_MOUNT);

    if (is_mount && take_mount_word(options, word, name))
        return TRUE;

    const MountOption *option = find_long(options, name);
    if (option && option->offset != offsetof(MountOptions, is_help)) {
        if (!option->argument == !value)
            return take_option(options, option, value, error);
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "-o %s %s", name,
            value ? "takes no value" : "needs a value");
    }

    const LakeConfigSetting *setting = find_setting(name);
    if (setting) {
        if (value || setting->type == LAKE_CONFIG_FLAG)
            return take_setting(options, setting, value, error);
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "-o %s needs a value", name);
    }

    if (lake_config_is_token(name))
        return refuse_token(error);
    if (options->is_sloppy)
        return TRUE;
    g_autofree char *nearest = dup_nearest(options, name, TRUE);
    return complain_unknown("option -o", name, nearest, error);
}

gboolean
mount_options_take_words(MountOptions *options, const char *list, GError **error)
{
    g_auto(GStrv) parts = mount_options_split(list);

    for (char **part = parts; *part; part++) {
        if (**part && !take_word(options, *part, error))
            return FALSE;
    }
    return TRUE;
}

/* argv, and how far it was read. */
typedef struct {
    char *const *argv;
    int argc;
    int at;
} Reader;

static gboolean
next_value(Reader *reader, const char *option, const char **ret_value, GError **error)
{
    if (reader->at + 1 >= reader->argc)
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "%s needs a value", option);
    *ret_value = reader->argv[++reader->at];
    return TRUE;
}

/* argv[at] is --name or --name=value. */
static gboolean
take_long(MountOptions *options, Reader *reader, GError **error)
{
    const char *given = reader->argv[reader->at] + 2;
    const char *equals = strchr(given, '=');
    g_autofree char *name =
        equals ? g_strndup(given, (gsize)(equals - given)) : g_strdup(given);
    g_autofree char *shown = g_strconcat("--", name, NULL);
    const char *value = equals ? equals + 1 : NULL;

    const MountOption *option = find_long(options, name);
    const LakeConfigSetting *setting = option ? NULL : find_setting(name);
    if (!option && lake_config_is_token(name))
        return refuse_token(error);
    if (!option && !setting) {
        g_autofree char *nearest = dup_nearest(options, name, FALSE);
        return complain_unknown("option", shown, nearest, error);
    }

    gboolean needs_value =
        option ? option->argument != NULL : setting->type != LAKE_CONFIG_FLAG;
    if (needs_value && !value && !next_value(reader, shown, &value, error))
        return FALSE;
    if (option && !option->argument && value)
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "%s takes no value", shown);

    return option ? take_option(options, option, value, error)
                  : take_setting(options, setting, value, error);
}

static const MountOption *
find_short(const MountOptions *options, char letter)
{
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].short_name == letter && is_taken(options, &table[i]))
            return &table[i];
    }
    return NULL;
}

/* argv[at] is -x, -xyz, -oWORDS or -o followed by the words. */
static gboolean
take_short(MountOptions *options, Reader *reader, GError **error)
{
    for (const char *letter = reader->argv[reader->at] + 1; *letter; letter++) {
        char shown[] = {'-', *letter, '\0'};
        const MountOption *option = find_short(options, *letter);
        if (!option)
            return complain_unknown("option", shown, NULL, error);

        if (!option->argument) {
            if (!take_option(options, option, NULL, error))
                return FALSE;
            continue;
        }

        const char *value = letter + 1;
        if (!*value && !next_value(reader, shown, &value, error))
            return FALSE;
        return take_option(options, option, value, error);
    }
    return TRUE;
}

/* The first argument is the command, unless mount(8) called. */
static gboolean
take_argument(MountOptions *options, const char *argument, GError **error)
{
    if (options->command) {
        g_ptr_array_add(options->arguments, g_strdup(argument));
        return TRUE;
    }

    options->command = mount_options_find_command(argument);
    if (options->command)
        return TRUE;

    const char *known[G_N_ELEMENTS(commands) + 1] = {NULL};
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        known[i] = commands[i].name;
    return complain_unknown("command", argument, lake_config_nearest(argument, known), error);
}

static gboolean
take_all(MountOptions *options, Reader *reader, GError **error)
{
    gboolean only_arguments = FALSE;

    for (; reader->at < reader->argc; reader->at++) {
        const char *given = reader->argv[reader->at];
        /* "-" is standard input, and -5 a parameter: no option is a digit. */
        gboolean is_option =
            !only_arguments && given[0] == '-' && given[1] && !g_ascii_isdigit(given[1]);

        if (!is_option) {
            if (!take_argument(options, given, error))
                return FALSE;
        } else if (g_str_equal(given, "--")) {
            only_arguments = TRUE;
        } else if (given[1] == '-') {
            if (!take_long(options, reader, error))
                return FALSE;
        } else if (!take_short(options, reader, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
check_arguments(MountOptions *options, GError **error)
{
    static const struct {
        guint n_min, n_max;
    } limits[] = {
        [MOUNT_COMMAND_MOUNT] = {1, 2},
        [MOUNT_COMMAND_UMOUNT] = {1, 1},
        [MOUNT_COMMAND_TABLES] = {0, 0},
        [MOUNT_COMMAND_QUERY] = {1, G_MAXUINT},
        [MOUNT_COMMAND_INGEST] = {2, G_MAXUINT},
        [MOUNT_COMMAND_DROP] = {1, 1},
        [MOUNT_COMMAND_STATUS] = {0, 1},
        [MOUNT_COMMAND_HELP] = {0, 1},
    };

    if (options->is_help || options->is_version)
        return TRUE;
    if (!options->command)
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "no command was given; see deeplakefs --help");

    guint n_given = options->arguments->len + (options->file != NULL);
    const char *wanted = *options->command->arguments ? options->command->arguments : "none";
    if (n_given < limits[options->command->id].n_min)
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "an argument is missing; it takes: %s", wanted);
    if (n_given > limits[options->command->id].n_max)
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "too many arguments; it takes: %s", wanted);

    static const char *const levels[] = {"error", "warning", "info", "debug", NULL};
    if (options->log_level && !g_strv_contains(levels, options->log_level))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "--log-level %s: must be error, warning, info or debug", options->log_level);
    return TRUE;
}

MountOptions *
mount_options_parse(int argc, char *const *argv, GError **error)
{
    g_autoptr(MountOptions) options = g_new0(MountOptions, 1);
    g_autofree char *program = g_path_get_basename(argc > 0 ? argv[0] : "deeplakefs");

    options->arguments = g_ptr_array_new_with_free_func(g_free);
    options->settings = g_ptr_array_new_with_free_func(g_free);
    options->fuse_words = g_string_new(NULL);
    options->is_helper = g_str_equal(program, "mount.deeplakefs") ||
                         g_str_equal(program, "mount.fuse.deeplakefs");
    if (options->is_helper)
        options->command = mount_options_find_command("mount");

    Reader reader = {.argv = argv, .argc = argc, .at = 1};
    if (!take_all(options, &reader, error) || !check_arguments(options, error)) {
        if (options->command)
            g_prefix_error(error, "%s: ", options->command->name);
        return NULL;
    }
    return g_steal_pointer(&options);
}

LakeConfig *
mount_options_config(const MountOptions *options, GError **error)
{
    g_autoptr(LakeConfig) config = lake_config_new();

    if (!lake_config_load_file(config, options->config_file, error) ||
        !lake_config_load_environment(config, error))
        return NULL;

    for (guint i = 0; i + 1 < options->settings->len; i += 2) {
        const char *name = options->settings->pdata[i];
        if (!lake_config_set(config, name, options->settings->pdata[i + 1], error))
            return NULL;
    }

    if (options->command && options->command->id == MOUNT_COMMAND_MOUNT &&
        options->arguments->len == 2 &&
        (!check_workspace(options->arguments->pdata[0], error) ||
            !lake_config_set(config, "workspace", options->arguments->pdata[0], error)))
        return NULL;

    return lake_config_finish(config, error) ? g_steal_pointer(&config) : NULL;
}
