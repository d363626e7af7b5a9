/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"
#include "core/error.h"
#include "core/secret.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define GROUP "deeplakefs"
#define SYSTEM_FILE "/etc/deeplakefs.conf"
#define SYSTEM_STATE_DIR "/var/lib/deeplakefs"
#define NAME_MAX_CHARACTERS 64
#define WORKSPACE_MAX_BYTES 63 /* PostgreSQL's NAMEDATALEN - 1 */
#define POOL_SIZE_MIN 2        /* one connection is kept for listings */
#define POOL_SIZE_MAX 1000
#define INGEST_WORKERS_MAX 256
#define TOKEN_VARIABLE "DEEPLAKE_API_KEY"

#define FIELD(name) G_STRUCT_OFFSET(LakeConfig, name)

/* Every setting, once. The dsn may hold a password: no message of this file quotes the value of
 * a LAKE_CONFIG_TEXT. */
static const LakeConfigSetting settings[] = {
    {"workspace", LAKE_CONFIG_TEXT, "DEEPLAKE_WORKSPACE", "default", "NAME",
        "workspace to use, a schema of the server", FIELD(workspace)},
    {"state_dir", LAKE_CONFIG_TEXT, "DEEPLAKEFS_STATE_DIR", NULL, "DIR",
        "folder for the private server, staging, queries", FIELD(state_dir)},
    {"dsn", LAKE_CONFIG_TEXT, "DEEPLAKE_DSN", NULL, "CONNINFO",
        "server to use; passwords: by file or environment", FIELD(dsn)},
    {"api_url", LAKE_CONFIG_TEXT, "DEEPLAKE_API_URL", "https://api.deeplake.ai", "URL",
        "the service to use where there is a token", FIELD(api_url)},
    {"token_file", LAKE_CONFIG_TEXT, NULL, NULL, "FILE",
        "file of the token; or set DEEPLAKE_API_KEY", FIELD(token_file)},
    {"ca_file", LAKE_CONFIG_TEXT, NULL, NULL, "FILE",
        "authorities that the service is checked against", FIELD(ca_file)},
    {"read_lag", LAKE_CONFIG_DURATION, NULL, "5s", "TIME",
        "how long the service may show what was before", FIELD(read_lag_ms)},
    {"server_user", LAKE_CONFIG_TEXT, NULL, "postgres", "USER",
        "who runs the private server when root mounts", FIELD(server_user)},
    {"server_bin_dir", LAKE_CONFIG_TEXT, NULL, NULL, "DIR",
        "folder of initdb, postgres and pg_ctl", FIELD(server_bin_dir)},
    {"pool_size", LAKE_CONFIG_COUNT, NULL, "8", "N", "connections to the server at most",
        FIELD(pool_size)},
    {"connect_timeout", LAKE_CONFIG_DURATION, NULL, "5s", "TIME",
        "how long to wait for a connection", FIELD(connect_timeout_ms)},
    {"query_timeout", LAKE_CONFIG_DURATION, NULL, "5min", "TIME",
        "how long a query may run; 0: no limit", FIELD(query_timeout_ms)},
    {"max_result_bytes", LAKE_CONFIG_SIZE, NULL, "4GiB", "SIZE",
        "how large a result may become", FIELD(max_result_bytes)},
    {"drain_timeout", LAKE_CONFIG_DURATION, NULL, "30s", "TIME",
        "how long an unmount waits for files being closed", FIELD(drain_timeout_ms)},
    {"chunk_size", LAKE_CONFIG_COUNT, NULL, "1000", "N", "characters in a chunk of text",
        FIELD(chunk_size)},
    {"chunk_overlap", LAKE_CONFIG_COUNT, NULL, "200", "N",
        "characters that a chunk repeats of the one before", FIELD(chunk_overlap)},
    {"ingest_workers", LAKE_CONFIG_COUNT, NULL, "4", "N",
        "threads that make rows of pages and segments", FIELD(ingest_workers)},
    {"pdf_dpi", LAKE_CONFIG_COUNT, NULL, "300", "N", "pixels per inch of a PDF page's image",
        FIELD(pdf_dpi)},
    {"pdf_max_pages", LAKE_CONFIG_COUNT, NULL, "20000", "N", "a PDF of more pages is refused",
        FIELD(pdf_max_pages)},
    {"segment_seconds", LAKE_CONFIG_COUNT, NULL, "10", "N", "length of a video segment",
        FIELD(segment_seconds)},
    {"umask", LAKE_CONFIG_MODE, NULL, "022", "MODE",
        "rights that others and the group do not get", FIELD(umask)},
    {"gid", LAKE_CONFIG_COUNT, NULL, NULL, "GID", "group of all but ingested files",
        FIELD(gid)},
    {"ro", LAKE_CONFIG_FLAG, NULL, NULL, NULL, "change nothing", FIELD(read_only)},
    {"no_drop", LAKE_CONFIG_FLAG, NULL, NULL, NULL, "refuse rmdir of a table", FIELD(no_drop)},
    {"no_xattrs", LAKE_CONFIG_FLAG, NULL, NULL, NULL, "keep no user.* attributes; faster ls -l",
        FIELD(no_xattrs)},
};

typedef struct {
    const char *suffix;
    gint64 factor;
} Unit;

static const Unit duration_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60 * 1000}, {"h", 60 * 60 * 1000}, {NULL, 0}};

static const Unit size_units[] = {{"", 1}, {"KiB", G_GINT64_CONSTANT(1) << 10},
    {"MiB", G_GINT64_CONSTANT(1) << 20}, {"GiB", G_GINT64_CONSTANT(1) << 30},
    {"TiB", G_GINT64_CONSTANT(1) << 40}, {NULL, 0}};

static const Unit count_units[] = {{"", 1}, {NULL, 0}};

const LakeConfigSetting *
lake_config_settings(gsize *ret_n)
{
    *ret_n = G_N_ELEMENTS(settings);
    return settings;
}

LakeConfig *
lake_config_new(void)
{
    LakeConfig *config = g_new0(LakeConfig, 1);

    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++)
        if (settings[i].default_value) {
            gboolean is_good =
                lake_config_set(config, settings[i].name, settings[i].default_value, NULL);
            g_assert(is_good);
        }

    config->gid = -1;
    if (geteuid() == 0)
        config->state_dir = g_strdup(SYSTEM_STATE_DIR);
    else
        config->state_dir = g_build_filename(g_get_user_state_dir(), "deeplakefs", NULL);

    return config;
}

void
lake_config_free(LakeConfig *config)
{
    if (!config)
        return;

    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++)
        if (settings[i].type == LAKE_CONFIG_TEXT)
            g_free(G_STRUCT_MEMBER(char *, config, settings[i].offset));
    lake_secret_free(config->token);
    g_free(config);
}

static char
fold(char c)
{
    return c == '-' ? '_' : c;
}

static gboolean
is_same_name(const char *a, const char *b)
{
    while (*a && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return fold(*a) == fold(*b);
}

gboolean
lake_config_is_token(const char *name)
{
    static const char *const names[] = {"token", "api_key", "api_token", "deeplake_api_key",
        "deeplake_token", "deeplake_api_token", "access_token", "bearer_token"};
    g_autofree char *lower = g_ascii_strdown(name, -1);

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (is_same_name(names[i], lower))
            return TRUE;
    return FALSE;
}

static const LakeConfigSetting *
find_setting(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++)
        if (is_same_name(settings[i].name, name))
            return &settings[i];
    return NULL;
}

/* Whether it can be quoted: a stray part of a dsn that ended up where a name belongs cannot. */
static gboolean
looks_like_name(const char *name)
{
    gsize length =
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return length > 0 && length <= NAME_MAX_CHARACTERS && !name[length];
}

static void
set_unknown(const char *name, GError **error)
{
    const char *known[G_N_ELEMENTS(settings) + 1] = {NULL};

    if (lake_config_is_token(name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_AUTH, LAKE_ERROR_BAD_INPUT,
            "the token is no setting, as others can read command lines and files; set the "
            "environment variable " TOKEN_VARIABLE ", or name a file with --token-file");
        return;
    }
    if (!looks_like_name(name)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "the name of a setting has letters, digits, '_' and '-' only");
        return;
    }

    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++)
        known[i] = settings[i].name;
    const char *nearest = lake_config_nearest(name, known);

    if (nearest)
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "unknown setting '%s'; did you mean '%s'?", name, nearest);
    else
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "unknown setting '%s'", name);
}

static gboolean
parse_number(const char *value, const Unit *units, gint64 *ret_number)
{
    char *rest = NULL;

    if (!g_ascii_isdigit(*value))
        return FALSE;
    errno = 0;
    gint64 number = g_ascii_strtoll(value, &rest, 10);
    if (errno)
        return FALSE;

    for (const Unit *unit = units; unit->suffix; unit++)
        if (g_ascii_strcasecmp(rest, unit->suffix) == 0) {
            if (number > G_MAXINT64 / unit->factor)
                return FALSE;
            *ret_number = number * unit->factor;
            return TRUE;
        }
    return FALSE;
}

static gboolean
parse_flag(const char *value, gboolean *ret_flag)
{
    static const char *const yes[] = {"true", "yes", "on", "1", NULL};
    static const char *const no[] = {"false", "no", "off", "0", NULL};

    *ret_flag = !value || g_strv_contains(yes, value);
    return *ret_flag || g_strv_contains(no, value);
}

/* For a message; what does not look like any value may be half of a dsn. Caller frees. */
static char *
dup_shown(const char *value)
{
    gsize n_harmless =
        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+. ");

    return value[n_harmless] ? g_strdup("what was given") : g_strdup_printf("'%.64s'", value);
}

static gboolean
set_number(LakeConfig *config, const LakeConfigSetting *setting, const char *value,
    const Unit *units, const char *expected, GError **error)
{
    if (parse_number(value, units, &G_STRUCT_MEMBER(gint64, config, setting->offset)))
        return TRUE;

    g_autofree char *shown = dup_shown(value);
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT, "%s: %s is not %s",
        setting->name, shown, expected);
    return FALSE;
}

static gboolean
set_mode(
    LakeConfig *config, const LakeConfigSetting *setting, const char *value, GError **error)
{
    gsize n_digits = strspn(value, "01234567");
    guint64 mode = g_ascii_strtoull(value, NULL, 8);

    if (n_digits > 0 && n_digits <= 4 && !value[n_digits] && mode <= 0777) {
        G_STRUCT_MEMBER(gint64, config, setting->offset) = (gint64)mode;
        return TRUE;
    }
    g_autofree char *shown = dup_shown(value);
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
        "%s: %s is not octal, such as 022 or 0007", setting->name, shown);
    return FALSE;
}

static gboolean
set_value(
    LakeConfig *config, const LakeConfigSetting *setting, const char *value, GError **error)
{
    g_autofree char *shown = value ? dup_shown(value) : NULL;
    char **text = NULL;

    switch (setting->type) {
    case LAKE_CONFIG_FLAG:
        if (parse_flag(value, &G_STRUCT_MEMBER(gboolean, config, setting->offset)))
            return TRUE;
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "%s: %s is neither true nor false", setting->name, shown);
        return FALSE;
    case LAKE_CONFIG_TEXT:
        text = &G_STRUCT_MEMBER(char *, config, setting->offset);
        g_free(*text);
        *text = *value ? g_strdup(value) : NULL;
        if (text == &config->token_file && *value)
            g_clear_pointer(&config->token, lake_secret_free); /* the later one counts */
        return TRUE;
    case LAKE_CONFIG_COUNT:
        return set_number(config, setting, value, count_units, "a whole number", error);
    case LAKE_CONFIG_DURATION:
        return set_number(config, setting, value, duration_units,
            "a time such as 30, 500ms, 30s, 5min or 1h", error);
    case LAKE_CONFIG_SIZE:
        return set_number(config, setting, value, size_units,
            "a size such as 4096, 64KiB, 10MiB or 4GiB", error);
    case LAKE_CONFIG_MODE:
        return set_mode(config, setting, value, error);
    }
    g_assert_not_reached();
}

gboolean
lake_config_set(LakeConfig *config, const char *name, const char *value, GError **error)
{
    const LakeConfigSetting *setting = find_setting(name);

    if (!setting) {
        set_unknown(name, error);
        return FALSE;
    }
    if (!value && setting->type != LAKE_CONFIG_FLAG) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "%s needs a value: %s=%s", setting->name, setting->name, setting->argument);
        return FALSE;
    }
    return set_value(config, setting, value, error);
}

/* One line of the file, stripped. GKeyFile is not used: it quotes lines that it does not
 * understand, and such a line may be half of a dsn. */
static gboolean
take_line(LakeConfig *config, char *line, gboolean *is_in_group, GError **error)
{
    char *equals = strchr(line, '=');

    if (!*line || *line == '#' || *line == ';')
        return TRUE;

    if (*line == '[') {
        *is_in_group = g_strcmp0(line, "[" GROUP "]") == 0;
        if (!*is_in_group)
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
                "the only group is [" GROUP "]");
        return *is_in_group;
    }

    if (!*is_in_group || !equals) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            *is_in_group ? "expected name = value" : "expected the line [" GROUP "] first");
        return FALSE;
    }

    *equals = '\0';
    return lake_config_set(config, g_strstrip(line), g_strstrip(equals + 1), error);
}

static gboolean
take_text(LakeConfig *config, const char *path, const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    gboolean is_in_group = FALSE;

    for (gsize i = 0; lines[i]; i++)
        if (!take_line(config, g_strstrip(lines[i]), &is_in_group, error)) {
            g_prefix_error(error, "%s, line %" G_GSIZE_FORMAT ": ", path, i + 1);
            return FALSE;
        }
    return TRUE;
}

static LakeErrorCode
code_from_file_error(const GError *trouble)
{
    if (g_error_matches(trouble, G_FILE_ERROR, G_FILE_ERROR_NOENT) ||
        g_error_matches(trouble, G_FILE_ERROR, G_FILE_ERROR_NOTDIR))
        return LAKE_ERROR_NOT_FOUND;
    if (g_error_matches(trouble, G_FILE_ERROR, G_FILE_ERROR_ACCES) ||
        g_error_matches(trouble, G_FILE_ERROR, G_FILE_ERROR_PERM))
        return LAKE_ERROR_NO_ACCESS;
    return LAKE_ERROR_FAILED;
}

static gboolean
load_one(LakeConfig *config, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_autoptr(GError) trouble = NULL;

    if (g_file_get_contents(path, &text, NULL, &trouble))
        return take_text(config, path, text, error);

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, code_from_file_error(trouble),
        "configuration file: %s", trouble->message);
    return FALSE;
}

gboolean
lake_config_load_file(LakeConfig *config, const char *path, GError **error)
{
    if (path)
        return load_one(config, path, error);

    g_autofree char *own =
        g_build_filename(g_get_user_config_dir(), "deeplakefs", "config", NULL);
    const char *const places[] = {own, SYSTEM_FILE};

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GError) trouble = NULL;
        if (load_one(config, places[i], &trouble))
            return TRUE;
        if (!g_error_matches(trouble, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&trouble));
            return FALSE;
        }
    }
    return TRUE;
}

static void
take_token(LakeConfig *config)
{
    const char *token = g_getenv(TOKEN_VARIABLE);

    if (token && *token) {
        lake_secret_free(config->token);
        config->token = lake_secret_dup(token, -1);
        g_clear_pointer(&config->token_file, g_free); /* the later one counts */
    }
    lake_secret_unset_variable(TOKEN_VARIABLE);
}

gboolean
lake_config_load_environment(LakeConfig *config, GError **error)
{
    take_token(config);
    for (gsize i = 0; i < G_N_ELEMENTS(settings); i++) {
        const char *variable = settings[i].environment;
        const char *value = variable ? g_getenv(variable) : NULL;

        /* An empty variable is the shell's way to unset one. */
        if (!value || !*value)
            continue;
        if (!set_value(config, &settings[i], value, error)) {
            g_prefix_error(error, "environment variable %s: ", variable);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean
check_workspace(const LakeConfig *config, GError **error)
{
    const char *name = config->workspace;

    if (!name) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "workspace_id required");
        if (error)
            lake_error_hint(*error, "Name it: --workspace, DEEPLAKE_WORKSPACE, or the first "
                                    "argument of mount.");
        return FALSE;
    }
    if (!g_utf8_validate(name, -1, NULL)) {
        lake_error_set(error, LAKE_ERROR_CLASS_WORKSPACE, LAKE_ERROR_BAD_NAME,
            "workspace: its name is not UTF-8");
        return FALSE;
    }
    if (strlen(name) > WORKSPACE_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_WORKSPACE, LAKE_ERROR_LONG_NAME,
            "workspace: its name has %" G_GSIZE_FORMAT " bytes, at most %d can be",
            strlen(name), WORKSPACE_MAX_BYTES);
        return FALSE;
    }
    return TRUE;
}

static gboolean
is_web_address(const char *url)
{
    g_autoptr(GUri) uri =
        g_uri_parse(url, G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED, NULL);

    for (const char *at = url; *at; at++)
        if ((guchar)*at <= ' ' || *at == 0x7f) /* which GUri lets pass */
            return FALSE;
    if (!uri || !g_uri_get_host(uri) || !*g_uri_get_host(uri))
        return FALSE;
    return (g_str_equal(g_uri_get_scheme(uri), "https") ||
               g_str_equal(g_uri_get_scheme(uri), "http")) &&
           !g_uri_get_query(uri) && !g_uri_get_fragment(uri);
}

/* The URL is not repeated: where it is wrong, it may be anything. */
static gboolean
check_api_url(LakeConfig *config, GError **error)
{
    const char *url = config->api_url;

    if (!url)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "api_url is empty");
    if (strchr(url, '@'))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "api_url: no user and no password stand in it; the token is all that is needed");
    if (!is_web_address(url))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "api_url: it must be https://HOST or http://HOST, with a port and a path if need "
            "be");

    for (gsize n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
        config->api_url[n - 1] = '\0';
    return TRUE;
}

/* Since a daemon's folder is the root. */
static void
make_absolute(char **path)
{
    char *given = *path;

    *path = given ? g_canonicalize_filename(given, NULL) : NULL;
    g_free(given);
}

/* Whether minimum <= value <= maximum. */
static gboolean
check_range(const char *name, gint64 value, gint64 minimum, gint64 maximum, GError **error)
{
    if (value >= minimum && value <= maximum)
        return TRUE;

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
        value < minimum ? "%s must be at least %" G_GINT64_FORMAT
                        : "%s must be at most %" G_GINT64_FORMAT,
        name, value < minimum ? minimum : maximum);
    return FALSE;
}

gboolean
lake_config_finish(LakeConfig *config, GError **error)
{
    if (!check_workspace(config, error) || !check_api_url(config, error))
        return FALSE;
    if (!config->state_dir || !config->server_user) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT, "%s is empty",
            config->state_dir ? "server_user" : "state_dir");
        return FALSE;
    }
    if (!check_range("pool_size", config->pool_size, POOL_SIZE_MIN, POOL_SIZE_MAX, error) ||
        !check_range("connect_timeout (milliseconds)", config->connect_timeout_ms, 1,
            G_MAXINT32, error) ||
        !check_range(
            "query_timeout (milliseconds)", config->query_timeout_ms, 0, G_MAXINT32, error) ||
        !check_range(
            "drain_timeout (milliseconds)", config->drain_timeout_ms, 0, G_MAXINT32, error) ||
        !check_range("read_lag (milliseconds)", config->read_lag_ms, 0, G_MAXINT32, error) ||
        !check_range("max_result_bytes", config->max_result_bytes, 1, G_MAXINT64, error) ||
        !check_range("chunk_size", config->chunk_size, 1, G_MAXINT32, error) ||
        !check_range("ingest_workers", config->ingest_workers, 1, INGEST_WORKERS_MAX, error) ||
        !check_range("pdf_dpi", config->pdf_dpi, LAKE_CONFIG_PDF_DPI_MIN,
            LAKE_CONFIG_PDF_DPI_MAX, error) ||
        !check_range("pdf_max_pages", config->pdf_max_pages, 1, G_MAXINT32, error) ||
        !check_range("gid", config->gid, -1, G_MAXUINT32 - 1, error) ||
        !check_range("segment_seconds", config->segment_seconds, 1, G_MAXINT32, error))
        return FALSE;
    if (config->chunk_overlap >= config->chunk_size) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "chunk_overlap (%" G_GINT64_FORMAT
            ") must be less than chunk_size (%" G_GINT64_FORMAT ")",
            config->chunk_overlap, config->chunk_size);
        return FALSE;
    }

    make_absolute(&config->state_dir);
    make_absolute(&config->token_file);
    make_absolute(&config->ca_file);
    return TRUE;
}

LakeConfigServer
lake_config_server(const LakeConfig *config, const char **ret_why)
{
    LakeConfigServer server = config->dsn ? LAKE_CONFIG_SERVER_POSTGRESQL
                              : config->token || config->token_file
                                  ? LAKE_CONFIG_SERVER_SERVICE
                                  : LAKE_CONFIG_SERVER_EMBEDDED;

    if (ret_why)
        *ret_why = config->dsn          ? "dsn is set"
                   : config->token      ? TOKEN_VARIABLE " is set"
                   : config->token_file ? "token_file is set"
                                        : "neither dsn nor token is set";
    return server;
}

const char *
lake_config_server_name(LakeConfigServer server)
{
    switch (server) {
    case LAKE_CONFIG_SERVER_EMBEDDED:
        return "embedded";
    case LAKE_CONFIG_SERVER_POSTGRESQL:
        return "postgresql";
    case LAKE_CONFIG_SERVER_SERVICE:
        return "service";
    }
    g_assert_not_reached();
}

/* How many characters must be inserted, removed or replaced to make b of a. */
static guint
edit_distance(const char *a, const char *b)
{
    guint row[NAME_MAX_CHARACTERS + 1];
    guint length = (guint)strlen(b);

    for (guint j = 0; j <= length; j++)
        row[j] = j;

    for (guint i = 0; a[i]; i++) {
        guint diagonal = row[0];
        row[0] = i + 1;
        for (guint j = 0; j < length; j++) {
            guint replaced = diagonal + (fold(a[i]) != fold(b[j]));
            diagonal = row[j + 1];
            row[j + 1] = MIN(replaced, MIN(row[j], row[j + 1]) + 1);
        }
    }
    return row[length];
}

const char *
lake_config_nearest(const char *name, const char *const *known)
{
    const char *nearest = NULL;
    gsize length = strlen(name);

    if (length > NAME_MAX_CHARACTERS)
        return NULL;

    /* A third of the name may be wrong; more than that is another word. */
    guint limit = ((guint)length + 2) / 3;
    for (; *known; known++) {
        if (strlen(*known) > NAME_MAX_CHARACTERS)
            continue;
        guint distance = edit_distance(name, *known);
        if (nearest ? distance < limit : distance <= limit) {
            nearest = *known;
            limit = distance;
        }
    }
    return nearest;
}
