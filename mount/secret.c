/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/secret.h"

#include "core/config.h"
#include <string.h>

static gboolean
keyword_is_secret(const char *keyword, gsize n_bytes)
{
    static const char *const secrets[] = {"password", "sslpassword", "oauth_client_secret"};

    for (gsize i = 0; i < G_N_ELEMENTS(secrets); i++) {
        if (strlen(secrets[i]) == n_bytes && !g_ascii_strncasecmp(secrets[i], keyword, n_bytes))
            return TRUE;
    }
    return FALSE;
}

/* Steps over one value of a conninfo string: quoted or not, with backslash escapes. */
static const char *
skip_value(const char *at)
{
    gboolean is_quoted = *at == '\'';

    for (at += is_quoted; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (is_quoted ? *at == '\'' : g_ascii_isspace(*at))
            return at + is_quoted;
    }
    return at;
}

static const char *
skip_spaces(const char *at)
{
    while (g_ascii_isspace(*at))
        at++;
    return at;
}

static gboolean
conninfo_has_secret(const char *at)
{
    while (*(at = skip_spaces(at))) {
        const char *keyword = at;
        while (*at && *at != '=' && !g_ascii_isspace(*at))
            at++;
        gsize n_bytes = (gsize)(at - keyword);

        at = skip_spaces(at);
        if (*at != '=')
            continue; /* no value: libpq will say so */

        at = skip_spaces(at + 1);
        if (*at && keyword_is_secret(keyword, n_bytes))
            return TRUE;
        at = skip_value(at);
    }
    return FALSE;
}

/* user:secret@host, where several hosts may follow one another. */
static gboolean
authority_has_secret(const char *authority, gsize n_bytes)
{
    const char *at_sign = memrchr(authority, '@', n_bytes);
    if (!at_sign)
        return FALSE;

    const char *colon = memchr(authority, ':', (gsize)(at_sign - authority));
    return colon && colon + 1 < at_sign;
}

static gboolean
parameters_have_secret(const char *parameters)
{
    g_auto(GStrv) parts = g_strsplit(parameters, "&", -1);

    for (char **part = parts; *part; part++) {
        const char *equals = strchr(*part, '=');
        if (!equals || !equals[1])
            continue;
        /* libpq decodes the names too, so "%70assword" is one. */
        g_autofree char *keyword = g_uri_unescape_segment(*part, equals, NULL);
        if (!keyword || keyword_is_secret(keyword, strlen(keyword)))
            return TRUE;
    }
    return FALSE;
}

gboolean
mount_secret_in_dsn(const char *dsn)
{
    const char *uri = skip_spaces(dsn);
    if (!g_str_has_prefix(uri, "postgresql://") && !g_str_has_prefix(uri, "postgres://"))
        return conninfo_has_secret(dsn);

    const char *authority = strstr(uri, "://") + strlen("://");
    const char *parameters = strchr(authority, '?');

    /* A password may hold a slash that nobody encoded; then libpq refuses the URI, but the
     * password was given all the same. So all up to the parameters counts as the authority. */
    gsize n_bytes = parameters ? (gsize)(parameters - authority) : strlen(authority);
    return authority_has_secret(authority, n_bytes) ||
           (parameters && parameters_have_secret(parameters + 1));
}

/* Where the token in text begins, and in *ret_n_bytes how long it is; NULL: there is none. */
static char *
find_token(char *text, gsize *ret_n_bytes)
{
    static const char base64url[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    for (char *at = strstr(text, "eyJ"); at; at = strstr(at + 1, "eyJ")) {
        gsize n_first = strspn(at, base64url);
        gsize n_second = at[n_first] == '.' ? strspn(at + n_first + 1, base64url) : 0;
        gsize n = n_first + 1 + n_second;
        if (n_second == 0 || at[n] != '.')
            continue;
        *ret_n_bytes = n + 1 + strspn(at + n + 1, base64url);
        return at;
    }
    return NULL;
}

gboolean
mount_secret_is_token(const char *text)
{
    gsize n_bytes;

    return find_token((char *)text, &n_bytes) != NULL;
}

/* Whether argument is --token or the like, and where the value begins; NULL: in the next. */
static gboolean
is_token_option(char *argument, char **ret_value)
{
    if (!g_str_has_prefix(argument, "--"))
        return FALSE;

    char *equals = strchr(argument, '=');
    g_autofree char *name = equals ? g_strndup(argument + 2, (gsize)(equals - argument - 2))
                                   : g_strdup(argument + 2);
    *ret_value = equals ? equals + 1 : NULL;
    return lake_config_is_token(name);
}

static void
hide(char *text, gsize n_bytes)
{
    memset(text, 'x', n_bytes);
}

void
mount_secret_hide_tokens(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *value;
        gsize n_bytes;

        if (is_token_option(argv[i], &value)) {
            value = value ? value : i + 1 < argc ? argv[i + 1] : NULL;
            if (value)
                hide(value, strlen(value));
        }
        for (char *at = argv[i]; (at = find_token(at, &n_bytes)); at += n_bytes)
            hide(at, n_bytes);
    }
}
