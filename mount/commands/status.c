/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/api.h"
#include "core/error.h"
#include "mount/registry.h"
#include "mount/signals.h"
#include "mount/watch.h"

#include <cjson/cJSON.h>
#include <string.h>

#define HEALTH_MS 2000 /* how long the service may take to say that it is well */

typedef struct {
    const LakeConfig *config;
    LakeConfigServer server;
    const char *why;          /* this server */
    char *server_version;     /* NULL: no server, or it was not reached, or it does not say */
    gboolean is_service_well; /* where it is the service */
    GPtrArray *mounts;        /* of MountRegistryEntry */
} Status;

static const char *
get_phase(const MountRegistryEntry *mount)
{
    return mount->is_draining ? "draining" : "serving";
}

static char *
format_time(gint64 time_s)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(time_s);
    return g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
}

static char *
dup_valid(const char *path)
{
    return g_utf8_make_valid(path, -1);
}

static char *
format_json(const Status *status)
{
    cJSON *object = cJSON_CreateObject();
    g_autofree char *state_dir = dup_valid(status->config->state_dir);

    cJSON_AddStringToObject(object, "workspace", status->config->workspace);
    cJSON_AddStringToObject(object, "transport", lake_config_server_name(status->server));
    cJSON_AddStringToObject(object, "reason", status->why);
    if (status->server == LAKE_CONFIG_SERVER_SERVICE) {
        cJSON_AddStringToObject(object, "api_url", status->config->api_url);
        cJSON_AddBoolToObject(object, "healthy", status->is_service_well);
    }
    if (status->server_version)
        cJSON_AddStringToObject(object, "server_version", status->server_version);
    else
        cJSON_AddNullToObject(object, "server_version");
    cJSON_AddStringToObject(object, "state_dir", state_dir);

    cJSON *mounts = cJSON_AddArrayToObject(object, "mounts");
    for (guint i = 0; i < status->mounts->len; i++) {
        const MountRegistryEntry *mount = status->mounts->pdata[i];
        g_autofree char *mountpoint = dup_valid(mount->mountpoint);
        g_autofree char *mounted_at = format_time(mount->mounted_at_s);
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "mountpoint", mountpoint);
        cJSON_AddStringToObject(entry, "workspace", mount->workspace);
        cJSON_AddNumberToObject(entry, "pid", mount->pid);
        cJSON_AddStringToObject(entry, "mounted_at", mounted_at);
        cJSON_AddBoolToObject(entry, "read_only", mount->is_read_only);
        cJSON_AddStringToObject(entry, "phase", get_phase(mount));
        cJSON_AddItemToArray(mounts, entry);
    }

    char *made = cJSON_PrintUnformatted(object);
    char *text = g_strconcat(made, "\n", NULL);
    cJSON_free(made);
    cJSON_Delete(object);
    return text;
}

static char *
format_text(const Status *status)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "workspace:      %s\n", status->config->workspace);
    g_string_append_printf(text, "transport:      %s, as %s\n",
        lake_config_server_name(status->server), status->why);
    if (status->server == LAKE_CONFIG_SERVER_SERVICE)
        g_string_append_printf(text, "service:        %s, %s\n", status->config->api_url,
            status->is_service_well ? "healthy" : "not healthy");
    else
        g_string_append_printf(text, "server version: %s\n",
            status->server_version ? status->server_version : "none");
    g_string_append_printf(text, "state folder:   %s\n", status->config->state_dir);
    g_string_append_printf(text, "mounts:         %u\n", status->mounts->len);
    for (guint i = 0; i < status->mounts->len; i++) {
        const MountRegistryEntry *mount = status->mounts->pdata[i];
        g_autofree char *mounted_at = format_time(mount->mounted_at_s);
        g_string_append_printf(text, "  %s  workspace %s, pid %d, since %s, %s%s\n",
            mount->mountpoint, mount->workspace, mount->pid, mounted_at, get_phase(mount),
            mount->is_read_only ? ", read-only" : "");
    }
    return g_string_free(text, FALSE);
}

/* Status makes nothing: where no private server was ever made, there is none to ask. */
static gboolean
has_private_server(const LakeConfig *config)
{
    g_autofree char *data = g_build_filename(config->state_dir, "server", "data", NULL);
    return g_file_test(data, G_FILE_TEST_IS_DIR);
}

static gboolean
ask_server(Status *status, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeWorkspace) workspace =
        lake_workspace_open(status->config, cancellable, error);
    if (!workspace)
        return FALSE;

    LakeTransportStatus transport;
    lake_transport_status(lake_workspace_transport(workspace), &transport);
    status->server_version = g_strdup(transport.server_version);
    return TRUE;
}

/* The service is not asked for more, which costs and takes a token. */
static gboolean
ask(Status *status, GCancellable *cancellable, GError **error)
{
    const LakeConfig *config = status->config;

    switch (status->server) {
    case LAKE_CONFIG_SERVER_EMBEDDED:
        return !has_private_server(config) || ask_server(status, cancellable, error);
    case LAKE_CONFIG_SERVER_POSTGRESQL:
        return ask_server(status, cancellable, error);
    case LAKE_CONFIG_SERVER_SERVICE:
        status->is_service_well = lake_api_check_health(config->api_url, config->ca_file,
            MIN(config->connect_timeout_ms, HEALTH_MS), cancellable, error);
        return status->is_service_well;
    }
    g_assert_not_reached();
}

static gboolean
check_options(const MountOptions *options, GError **error)
{
    const char *which = options->arguments->len ? "MOUNTPOINT"
                        : options->interval     ? "--interval"
                                                : NULL;

    if (options->is_watch || !which)
        return TRUE;
    lake_error_set(
        error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT, "%s needs --watch", which);
    return FALSE;
}

int
mount_commands_status(const MountOptions *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeConfig) config =
        check_options(options, &error) ? mount_options_config(options, &error) : NULL;
    if (!config)
        return mount_commands_fail(options, error, MOUNT_EXIT_USAGE);

    GCancellable *cancellable = g_cancellable_new(); /* the signal thread's, to the end */
    mount_signals_init(cancellable);
    if (options->is_watch)
        return mount_watch_run(options, config, cancellable);

    g_autoptr(GPtrArray) mounts = mount_registry_list(config->state_dir);
    Status status = {
        .config = config,
        .mounts = mounts,
    };
    status.server = lake_config_server(config, &status.why);
    int exit_status = MOUNT_EXIT_OK;
    if (!ask(&status, cancellable, &error))
        exit_status = mount_commands_fail(options, error, MOUNT_EXIT_SYSTEM);

    g_autofree char *text = options->is_json ? format_json(&status) : format_text(&status);
    if (!mount_commands_print(options, text, strlen(text)))
        exit_status = MOUNT_EXIT_SYSTEM;
    g_free(status.server_version);
    return mount_signals_received() ? MOUNT_EXIT_INTERRUPTED : exit_status;
}
