/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/config.h: what the user chose, folded into one constant struct.
 *
 * Later beats earlier: built-in default, configuration file, environment, command line. Every
 * setting stands once, in the table of core/config.c; mount/options.c makes its options from
 * that table, so a setting cannot exist in one place only.
 *
 * Built by one thread; after that constant, and any thread may read it.
 */

#include <glib.h>

/* Pixels per inch of a page: below, text cannot be read; above, hardly any page fits. */
#define LAKE_CONFIG_PDF_DPI_MIN 10
#define LAKE_CONFIG_PDF_DPI_MAX 2400

typedef struct {
    char *workspace;  /* the schema; never empty */
    char *state_dir;  /* absolute; holds the private server, staging and saved queries */
    char *dsn;        /* libpq conninfo or URI; NULL: none. May hold a password */
    char *api_url;    /* of the service; http or https, no slash at its end; never NULL */
    char *token;      /* a secret (core/secret.h); NULL: none, or in token_file */
    char *token_file; /* absolute; NULL: none, or the token is above */
    char *ca_file;    /* absolute; authorities to trust instead of the system's; NULL: those */
    gint64 read_lag_ms;   /* how long the service may answer with what was there before */
    char *server_user;    /* runs the private server when we are root */
    char *server_bin_dir; /* holds initdb, postgres, pg_ctl; NULL: search */
    gint64 pool_size;     /* connections to the server at most */
    gint64 connect_timeout_ms;
    gint64 query_timeout_ms;
    gint64 max_result_bytes;
    gint64 drain_timeout_ms; /* how long an unmount waits for closes in progress */
    gint64 chunk_size;       /* characters */
    gint64 chunk_overlap;    /* characters; less than chunk_size */
    gint64 ingest_workers;   /* threads that make rows of pages and segments */
    gint64 pdf_dpi;
    gint64 pdf_max_pages;
    gint64 segment_seconds; /* of video */
    gint64 umask;           /* permissions that nobody has, but on ingested files */
    gint64 gid;             /* group of what is not ingested; -1: that of the process */
    gboolean read_only;
    gboolean no_drop;   /* rmdir of a table is refused */
    gboolean no_xattrs; /* the kernel is told that there are none, and stops asking */
} LakeConfig;

typedef enum {
    LAKE_CONFIG_TEXT,
    LAKE_CONFIG_FLAG,
    LAKE_CONFIG_COUNT,    /* 1, 2 … */
    LAKE_CONFIG_DURATION, /* seconds, or 500ms, 30s, 5min, 1h; kept in milliseconds */
    LAKE_CONFIG_SIZE,     /* bytes, or 64KiB, 10MiB, 4GiB */
    LAKE_CONFIG_MODE,     /* permissions, octal: 022, 0007 */
} LakeConfigType;

/* One setting. Its name is the key of the configuration file, the name after -o, and, with '-'
 * for
 * '_', the long option. */
typedef struct {
    const char *name;
    LakeConfigType type;
    const char *environment; /* variable, or NULL */
    const char
        *default_value;   /* as a user would write it; NULL: none, or worked out at run time */
    const char *argument; /* placeholder for help, NULL for a flag */
    const char *help;     /* one line, no full stop */
    gsize offset;         /* of its field in LakeConfig */
} LakeConfigSetting;

/* All settings, in the order that help shows them; *ret_n of them. */
const LakeConfigSetting *lake_config_settings(gsize *ret_n);

/* A config of defaults alone. state_dir is /var/lib/deeplakefs for root, else deeplakefs in the
 * XDG state folder. */
LakeConfig *lake_config_new(void);
void lake_config_free(LakeConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeConfig, lake_config_free)

/* Reads path (INI, group [deeplakefs]). Where path is NULL: $XDG_CONFIG_HOME/deeplakefs/config,
 * else /etc/deeplakefs.conf, and none is no error. BAD_INPUT  an unknown key or a value that
 * does not parse, with file and key NOT_FOUND  path was named and is not there */
gboolean lake_config_load_file(LakeConfig *config, const char *path, GError **error);

/* Takes the variables that the table names, and the token from DEEPLAKE_API_KEY, which is then
 * gone from the environment of this process and its children, /proc/<pid>/environ included. So
 * before there are threads. */
gboolean lake_config_load_environment(LakeConfig *config, GError **error);

/* Sets one by name; '-' and '_' are the same. value NULL is for flags.
 * The token is none: a command line and a file that others may read are no place for it.
 *   BAD_INPUT  no such setting (the message names the nearest), or the value does not parse */
gboolean
lake_config_set(LakeConfig *config, const char *name, const char *value, GError **error);

/* Whether name is what people call the token ("token", "api-key" …), which is no setting. */
gboolean lake_config_is_token(const char *name);

/* Checks what holds between settings (chunk_overlap < chunk_size …) and what a URL must be, and
 * makes paths absolute. */
gboolean lake_config_finish(LakeConfig *config, GError **error);

/* Which server is used. A dsn comes before a token, a token before the private server. */
typedef enum {
    LAKE_CONFIG_SERVER_EMBEDDED,
    LAKE_CONFIG_SERVER_POSTGRESQL,
    LAKE_CONFIG_SERVER_SERVICE,
} LakeConfigServer;

/* ret_why may be NULL; else it lends why in words: "dsn is set", "DEEPLAKE_API_KEY is set",
 * "token_file is set", "neither dsn nor token is set". */
LakeConfigServer lake_config_server(const LakeConfig *config, const char **ret_why);

/* "embedded", "postgresql" or "service". */
const char *lake_config_server_name(LakeConfigServer server);

/* The known name nearest to name by edit distance, or NULL when none is near. */
const char *lake_config_nearest(const char *name, const char *const *known);
