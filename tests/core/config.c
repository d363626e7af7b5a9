/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"
#include "core/error.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "hunter2"

#define TOKEN "eyJhbGciOiJub25lIn0.e30.s3ntinel"
#define WORD "s3ntinel"

static const char *const variables[] = {"DEEPLAKE_WORKSPACE", "DEEPLAKEFS_STATE_DIR",
    "DEEPLAKE_DSN", "DEEPLAKE_API_URL", "DEEPLAKE_API_KEY"};

static void
unset_variables(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(variables); i++)
        g_unsetenv(variables[i]);
}

/* Writes text to a new file and loads it. */
static gboolean
load_text(LakeConfig *config, const char *text, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("config-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    gboolean is_good = lake_config_load_file(config, path, error);
    g_unlink(path);
    return is_good;
}

static void
assert_refused(const char *name, const char *value, const char *expected_message)
{
    g_autoptr(LakeConfig) config = lake_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(lake_config_set(config, name, value, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpstr(error->message, ==, expected_message);
}

static void
test_defaults(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(lake_config_finish(config, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(config->workspace, ==, "default");
    g_assert_cmpstr(config->server_user, ==, "postgres");
    g_assert_true(g_path_is_absolute(config->state_dir));
    g_assert_true(g_str_has_suffix(config->state_dir, "/deeplakefs"));
    g_assert_null(config->dsn);
    g_assert_null(config->server_bin_dir);
    g_assert_cmpstr(config->api_url, ==, "https://api.deeplake.ai");
    g_assert_null(config->token);
    g_assert_null(config->token_file);
    g_assert_null(config->ca_file);
    g_assert_cmpint(config->read_lag_ms, ==, 5000);
    g_assert_cmpint(config->pool_size, ==, 8);
    g_assert_cmpint(config->connect_timeout_ms, ==, 5000);
    g_assert_cmpint(config->query_timeout_ms, ==, 300000);
    g_assert_cmpint(config->max_result_bytes, ==, G_GINT64_CONSTANT(4294967296));
    g_assert_cmpint(config->drain_timeout_ms, ==, 30000);
    g_assert_cmpint(config->chunk_size, ==, 1000);
    g_assert_cmpint(config->chunk_overlap, ==, 200);
    g_assert_cmpint(config->umask, ==, 022);
    g_assert_cmpint(config->gid, ==, -1);
    g_assert_false(config->read_only);
    g_assert_false(config->no_drop);
}

static void
test_every_setting_has_its_own_field(void)
{
    gsize n = 0;
    const LakeConfigSetting *settings = lake_config_settings(&n);

    g_assert_cmpuint(n, >, 0);
    for (gsize i = 0; i < n; i++) {
        g_assert_cmpuint(settings[i].offset, <, sizeof(LakeConfig));
        g_assert_nonnull(settings[i].help);
        g_assert_false(g_str_has_suffix(settings[i].help, "."));
        g_assert_cmpuint(strlen(settings[i].help), <, 52);
        g_assert_true((settings[i].argument == NULL) == (settings[i].type == LAKE_CONFIG_FLAG));
        for (gsize j = 0; j < i; j++) {
            g_assert_cmpstr(settings[i].name, !=, settings[j].name);
            g_assert_cmpuint(settings[i].offset, !=, settings[j].offset);
        }
    }
}

static void
test_units(void)
{
    static const struct {
        const char *name, *value;
        gint64 expected;
    } cases[] = {
        {"query_timeout", "90", 90000},
        {"query_timeout", "500ms", 500},
        {"query_timeout", "30s", 30000},
        {"query-timeout", "5min", 300000},
        {"query_timeout", "1h", 3600000},
        {"query_timeout", "0", 0},
    };
    static const struct {
        const char *value;
        gint64 expected;
    } sizes[] = {{"4096", 4096}, {"64KiB", 65536}, {"10MiB", 10485760},
        {"4GiB", G_GINT64_CONSTANT(4294967296)}, {"1tib", G_GINT64_CONSTANT(1099511627776)}};
    g_autoptr(LakeConfig) config = lake_config_new();

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_true(lake_config_set(config, cases[i].name, cases[i].value, NULL));
        g_assert_cmpint(config->query_timeout_ms, ==, cases[i].expected);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_true(lake_config_set(config, "max-result-bytes", sizes[i].value, NULL));
        g_assert_cmpint(config->max_result_bytes, ==, sizes[i].expected);
    }
}

static void
test_bad_values_are_refused(void)
{
    static const char *const sizes[] = {
        "", "-1", "+1", "1.5GiB", "4GB", "KiB", "99999999999999999999", "9999999999TiB", " 1"};

    assert_refused("pool_size", "many", "pool_size: 'many' is not a whole number");
    assert_refused("pool_size", "0x10", "pool_size: '0x10' is not a whole number");
    assert_refused("ro", "maybe", "ro: 'maybe' is neither true nor false");
    assert_refused("query_timeout", "5 min",
        "query_timeout: '5 min' is not a time such as 30, 500ms, 30s, 5min or 1h");
    assert_refused("dsn", NULL, "dsn needs a value: dsn=CONNINFO");

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_assert_false(lake_config_set(config, "max_result_bytes", sizes[i], &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_cmpint(config->max_result_bytes, ==, G_GINT64_CONSTANT(4294967296));
    }
}

static void
test_modes(void)
{
    static const struct {
        const char *value;
        gint64 expected;
    } good[] = {{"0", 0}, {"22", 022}, {"022", 022}, {"0007", 07}, {"777", 0777}};
    static const char *const bad[] = {"", "8", "0x12", "1000", "07770", "-22", "u=rwx", "22 "};
    g_autoptr(LakeConfig) config = lake_config_new();

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_assert_true(lake_config_set(config, "umask", good[i].value, NULL));
        g_assert_cmpint(config->umask, ==, good[i].expected);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(lake_config_set(config, "umask", bad[i], &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(strstr(error->message, "octal"));
    }
    g_assert_true(lake_config_set(config, "gid", "0", NULL));
    g_assert_cmpint(config->gid, ==, 0);
    g_assert_true(lake_config_set(config, "gid", "4294967295", NULL));
    g_assert_false(lake_config_finish(config, NULL));
}

static void
test_flags(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();

    g_assert_true(lake_config_set(config, "ro", NULL, NULL));
    g_assert_true(config->read_only);
    g_assert_true(lake_config_set(config, "ro", "no", NULL));
    g_assert_false(config->read_only);
    g_assert_true(lake_config_set(config, "no-drop", "yes", NULL));
    g_assert_true(config->no_drop);
}

static void
test_unknown_names_the_nearest(void)
{
    assert_refused("worksapce", "x", "unknown setting 'worksapce'; did you mean 'workspace'?");
    assert_refused(
        "query-timout", "1", "unknown setting 'query-timout'; did you mean 'query_timeout'?");
    assert_refused("colour", "red", "unknown setting 'colour'");
    assert_refused("", "x", "the name of a setting has letters, digits, '_' and '-' only");
}

static void
test_nearest(void)
{
    static const char *const known[] = {"allow_other", "ro", "no_drop", NULL};
    g_autofree char *long_name = g_strnfill(5000, 'o');

    g_assert_cmpstr(lake_config_nearest("allow-other", known), ==, "allow_other");
    g_assert_cmpstr(lake_config_nearest("alow_othr", known), ==, "allow_other");
    g_assert_cmpstr(lake_config_nearest("nodrop", known), ==, "no_drop");
    g_assert_null(lake_config_nearest("banana", known));
    g_assert_null(lake_config_nearest("", known));
    g_assert_null(lake_config_nearest(long_name, known));
}

static void
test_file(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(load_text(config,
        "# a comment\n\n[deeplakefs]\n  workspace = my lake \r\nchunk-size=500\n"
        "; another\ndsn = host=/run user=a password='" SECRET "=x'\nro = true",
        &error));
    g_assert_no_error(error);
    g_assert_cmpstr(config->workspace, ==, "my lake");
    g_assert_cmpint(config->chunk_size, ==, 500);
    g_assert_cmpstr(config->dsn, ==, "host=/run user=a password='" SECRET "=x'");
    g_assert_true(config->read_only);
}

static void
test_file_errors_name_file_and_line(void)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"[deeplakefs]\nchunk_size = x\n", ", line 2: chunk_size: 'x' is not a whole number"},
        {"[deeplakefs]\n\nchunk_sice = 1\n",
            ", line 3: unknown setting 'chunk_sice'; did you mean 'chunk_size'?"},
        {"ro = true\n", ", line 1: expected the line [deeplakefs] first"},
        {"[deeplakefs]\nro\n", ", line 2: expected name = value"},
        {"[other]\n", ", line 1: the only group is [deeplakefs]"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_assert_false(load_text(config, cases[i].text, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_true(g_str_has_suffix(error->message, cases[i].expected));
        g_assert_true(g_str_has_prefix(error->message, g_get_tmp_dir()));
    }
}

static void
test_no_message_shows_the_dsn(void)
{
    static const char *const texts[] = {
        "[deeplakefs]\npostgresql://u:" SECRET "@host/db\n",
        "[deeplakefs]\npostgresql://u:" SECRET "@host/db?sslmode=require\n",
        "[deeplakefs]\nhost=h password=" SECRET "\n",
        "dsn = password=" SECRET "\n",
        "[deeplakefs]\ndsnn = password=" SECRET "\n",
        "[dsn=password=" SECRET "]\n",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_assert_false(load_text(config, texts[i], &error));
        g_assert_null(strstr(error->message, SECRET));
    }
}

static void
test_missing_file(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(lake_config_load_file(config, "/nonexistent/config", &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
    g_assert_nonnull(strstr(error->message, "/nonexistent/config"));
}

static void
test_environment_beats_the_file(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();
    g_autoptr(GError) error = NULL;

    g_assert_true(load_text(config, "[deeplakefs]\nworkspace = file\ndsn = file\n", NULL));
    g_setenv("DEEPLAKE_WORKSPACE", "environment", TRUE);
    g_setenv("DEEPLAKEFS_STATE_DIR", "relative/../state", TRUE);
    g_setenv("DEEPLAKE_DSN", "", TRUE);
    g_assert_true(lake_config_load_environment(config, &error));
    g_assert_no_error(error);
    unset_variables();

    g_assert_cmpstr(config->workspace, ==, "environment");
    g_assert_cmpstr(config->dsn, ==, "file");
    g_assert_true(lake_config_set(config, "dsn", "", NULL));
    g_assert_null(config->dsn);

    g_autofree char *here = g_get_current_dir();
    g_autofree char *expected = g_build_filename(here, "state", NULL);
    g_assert_true(lake_config_finish(config, NULL));
    g_assert_cmpstr(config->state_dir, ==, expected);
}

static void
test_finish_checks_what_holds_between(void)
{
    static const struct {
        const char *name, *value;
        LakeErrorCode code;
        const char *message;
    } cases[] = {
        {"chunk_overlap", "1000", LAKE_ERROR_BAD_INPUT,
            "chunk_overlap (1000) must be less than chunk_size (1000)"},
        {"chunk_size", "0", LAKE_ERROR_BAD_INPUT, "chunk_size must be at least 1"},
        {"pool_size", "1", LAKE_ERROR_BAD_INPUT, "pool_size must be at least 2"},
        {"pool_size", "1001", LAKE_ERROR_BAD_INPUT, "pool_size must be at most 1000"},
        {"connect_timeout", "0", LAKE_ERROR_BAD_INPUT,
            "connect_timeout (milliseconds) must be at least 1"},
        {"max_result_bytes", "0", LAKE_ERROR_BAD_INPUT, "max_result_bytes must be at least 1"},
        {"workspace", "", LAKE_ERROR_BAD_INPUT, "workspace_id required"},
        {"workspace", "\xff", LAKE_ERROR_BAD_NAME, "workspace: its name is not UTF-8"},
        {"workspace", "0123456789012345678901234567890123456789012345678901234567890123",
            LAKE_ERROR_LONG_NAME, "workspace: its name has 64 bytes, at most 63 can be"},
        {"state_dir", "", LAKE_ERROR_BAD_INPUT, "state_dir is empty"},
        {"server_user", "", LAKE_ERROR_BAD_INPUT, "server_user is empty"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_assert_true(lake_config_set(config, cases[i].name, cases[i].value, NULL));
        g_assert_false(lake_config_finish(config, &error));
        g_assert_error(error, LAKE_ERROR, (int)cases[i].code);
        g_assert_cmpstr(error->message, ==, cases[i].message);
    }

    g_autoptr(LakeConfig) config = lake_config_new();
    g_assert_true(lake_config_set(config, "chunk_overlap", "0", NULL));
    g_assert_true(lake_config_finish(config, NULL));
}

static void
assert_server(const LakeConfig *config, LakeConfigServer server, const char *why)
{
    const char *said = NULL;

    g_assert_cmpint(lake_config_server(config, &said), ==, server);
    g_assert_cmpint(lake_config_server(config, NULL), ==, server);
    g_assert_cmpstr(said, ==, why);
}

static void
test_choice_of_server(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();

    assert_server(config, LAKE_CONFIG_SERVER_EMBEDDED, "neither dsn nor token is set");
    g_assert_true(lake_config_set(config, "token-file", "/some/token", NULL));
    assert_server(config, LAKE_CONFIG_SERVER_SERVICE, "token_file is set");
    g_setenv("DEEPLAKE_API_KEY", TOKEN, TRUE);
    g_assert_true(lake_config_load_environment(config, NULL));
    assert_server(config, LAKE_CONFIG_SERVER_SERVICE, "DEEPLAKE_API_KEY is set");
    g_assert_true(lake_config_set(config, "dsn", "service=x", NULL));
    assert_server(config, LAKE_CONFIG_SERVER_POSTGRESQL, "dsn is set");

    g_assert_cmpstr(lake_config_server_name(LAKE_CONFIG_SERVER_EMBEDDED), ==, "embedded");
    g_assert_cmpstr(lake_config_server_name(LAKE_CONFIG_SERVER_POSTGRESQL), ==, "postgresql");
    g_assert_cmpstr(lake_config_server_name(LAKE_CONFIG_SERVER_SERVICE), ==, "service");
}

/* File, environment, command line. */
static void
test_later_token_counts(void)
{
    g_autoptr(LakeConfig) config = lake_config_new();

    g_assert_true(load_text(config, "[deeplakefs]\ntoken_file = of/the/file\n", NULL));
    g_assert_cmpstr(config->token_file, ==, "of/the/file");
    g_setenv("DEEPLAKE_API_KEY", "", TRUE);
    g_assert_true(lake_config_load_environment(config, NULL));
    g_assert_cmpstr(config->token_file, ==, "of/the/file");

    g_setenv("DEEPLAKE_API_KEY", TOKEN, TRUE);
    g_assert_true(lake_config_load_environment(config, NULL));
    g_assert_null(config->token_file);
    g_assert_cmpstr(config->token, ==, TOKEN);
    g_assert_null(g_getenv("DEEPLAKE_API_KEY"));

    g_assert_true(lake_config_set(config, "token_file", "given", NULL));
    g_assert_null(config->token);
    g_autofree char *absolute = g_canonicalize_filename("given", NULL);
    g_assert_true(lake_config_finish(config, NULL));
    g_assert_cmpstr(config->token_file, ==, absolute);
}

static void
test_token_is_no_setting(void)
{
    static const char *const names[] = {"token", "TOKEN", "api-key", "api_key", "api_token",
        "DEEPLAKE_API_KEY", "deeplake-token"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_autofree char *text = g_strdup_printf("[deeplakefs]\n%s = " TOKEN "\n", names[i]);

        g_assert_true(lake_config_is_token(names[i]));
        g_assert_false(lake_config_set(config, names[i], TOKEN, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_nonnull(strstr(error->message, "DEEPLAKE_API_KEY"));
        g_assert_nonnull(strstr(error->message, "--token-file"));
        g_assert_null(strstr(error->message, WORD));
        g_clear_error(&error);
        g_assert_false(load_text(config, text, &error));
        g_assert_nonnull(strstr(error->message, "line 2"));
        g_assert_null(strstr(error->message, WORD));
        g_assert_null(config->token);
    }
    g_assert_false(lake_config_is_token("token_file"));
    g_assert_false(lake_config_is_token("to"));
}

static void
test_api_url(void)
{
    static const struct {
        const char *given, *kept;
    } good[] = {
        {"http://custom:8080", "http://custom:8080"},
        {"https://api.deeplake.ai/", "https://api.deeplake.ai"},
        {"https://h/deep/lake///", "https://h/deep/lake"},
        {"HTTP://[::1]:80", "HTTP://[::1]:80"},
    };
    static const char *const bad[] = {"", "custom:8080", "ftp://h", "http://", "https:///x",
        "http://u:" WORD "@h", "http://" WORD "@h", "https://h?" WORD, "https://h#" WORD,
        "http://h " WORD, "file:///" WORD, WORD, "http://h:port" WORD};

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_assert_true(lake_config_set(config, "api_url", good[i].given, NULL));
        g_assert_true(lake_config_finish(config, &error));
        g_assert_no_error(error);
        g_assert_cmpstr(config->api_url, ==, good[i].kept);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(LakeConfig) config = lake_config_new();
        g_autoptr(GError) error = NULL;
        g_test_message("%s", bad[i]);
        g_assert_true(lake_config_set(config, "api_url", bad[i], NULL));
        g_assert_false(lake_config_finish(config, &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_true(g_str_has_prefix(error->message, "api_url"));
        g_assert_null(strstr(error->message, WORD));
    }
}

static void
assert_without_token(const char *where, const char *bytes, gsize n_bytes)
{
    if (memmem(bytes, n_bytes, WORD, strlen(WORD)))
        g_error("the token is in %s", where);
    g_assert_cmpuint(n_bytes, >, 0);
}

/* In a process of its own, whose environment held the token from the start. */
static void
test_no_environment_has_the_token(void)
{
    if (!g_test_subprocess()) {
        g_setenv("DEEPLAKE_API_KEY", TOKEN, TRUE);
        g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
        unset_variables();
        g_test_trap_assert_passed();
        return;
    }

    g_autoptr(LakeConfig) config = lake_config_new();
    g_autofree char *own = NULL, *of_child = NULL;
    gsize n_own, n_child;

    g_assert_true(lake_config_load_environment(config, NULL));
    g_assert_cmpstr(config->token, ==, TOKEN);
    g_assert_true(g_file_get_contents("/proc/self/environ", &own, &n_own, NULL));
    assert_without_token("/proc/self/environ", own, n_own);

    /* Not GSubprocess: it has a thread of GLib's, whose order ThreadSanitizer does not see. */
    char *arguments[] = {(char *)"cat", NULL};
    GPid child;
    int input, status;
    g_assert_true(g_spawn_async_with_pipes(NULL, arguments, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
        NULL, &child, &input, NULL, NULL, NULL));
    g_autofree char *path = g_strdup_printf("/proc/%d/environ", (int)child);
    g_assert_true(g_file_get_contents(path, &of_child, &n_child, NULL));
    assert_without_token("the child's environ", of_child, n_child);
    close(input);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_cmpint(status, ==, 0);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_test_subprocess())
        unset_variables();

    g_test_add_func("/core/config/defaults-are-those-of-the-manual", test_defaults);
    g_test_add_func(
        "/core/config/every-setting-has-its-own-field", test_every_setting_has_its_own_field);
    g_test_add_func("/core/config/times-and-sizes-take-units", test_units);
    g_test_add_func("/core/config/bad-values-are-refused", test_bad_values_are_refused);
    g_test_add_func("/core/config/modes-are-octal", test_modes);
    g_test_add_func("/core/config/flags-need-no-value", test_flags);
    g_test_add_func("/core/config/unknown-names-the-nearest", test_unknown_names_the_nearest);
    g_test_add_func("/core/config/nearest-is-near-or-nothing", test_nearest);
    g_test_add_func("/core/config/file-is-read", test_file);
    g_test_add_func(
        "/core/config/file-errors-name-file-and-line", test_file_errors_name_file_and_line);
    g_test_add_func("/core/config/no-message-shows-the-dsn", test_no_message_shows_the_dsn);
    g_test_add_func("/core/config/named-file-must-be-there", test_missing_file);
    g_test_add_func("/core/config/environment-beats-the-file", test_environment_beats_the_file);
    g_test_add_func(
        "/core/config/finish-checks-what-holds-between", test_finish_checks_what_holds_between);
    g_test_add_func("/core/config/dsn-comes-before-a-token", test_choice_of_server);
    g_test_add_func("/core/config/later-token-counts", test_later_token_counts);
    g_test_add_func("/core/config/token-is-no-setting", test_token_is_no_setting);
    g_test_add_func("/core/config/url-is-http-without-a-password", test_api_url);
    g_test_add_func(
        "/core/config/no-environment-has-the-token", test_no_environment_has_the_token);
    return g_test_run();
}
