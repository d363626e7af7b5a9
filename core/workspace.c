/* SPDX-License-Identifier: Apache-2.0 */
#include "core/workspace.h"

#include "core/api.h"
#include "core/error.h"
#include "core/pg.h"
#include "core/server.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct LakeWorkspace {
    const LakeConfig *config;
    LakeServer *server; /* NULL with a DSN */
    LakeTransport *transport;
    LakeChanges *changes;
    LakeCatalog *catalog;
    LakeJobs *jobs;
    LakeOptions *options;
    LakeExtension *extension;
    LakeIngestWorkers *workers;
    char *spool_dir;
    char *queries_dir;
};

static gboolean
ensure_server(gpointer user_data, GCancellable *cancellable, GError **error)
{
    return lake_server_ensure(user_data, cancellable, error);
}

static gboolean
make_folder(const char *path, GError **error)
{
    if (g_mkdir_with_parents(path, 0700) == 0)
        return TRUE;

    int saved_errno = errno;
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(saved_errno),
        "cannot make the folder %s: %s", path, g_strerror(saved_errno));
    if (error)
        lake_error_hint(*error, "choose another state folder with --state-dir");
    return FALSE;
}

/* Where staged bytes lie in the clear: nobody else's folder, and nobody else may look in. */
static gboolean
check_owner(const char *path, GError **error)
{
    struct stat status;

    if (stat(path, &status) == 0 && status.st_uid == geteuid())
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_ACCESS,
        "the state folder %s belongs to another user", path);
    if (error)
        lake_error_hint(*error, "choose another one with --state-dir");
    return FALSE;
}

static gboolean
make_folders(LakeWorkspace *workspace, GError **error)
{
    const LakeConfig *config = workspace->config;
    g_autofree char *name = g_uri_escape_string(config->workspace, NULL, TRUE);

    workspace->spool_dir = g_build_filename(config->state_dir, "spool", NULL);
    workspace->queries_dir = g_build_filename(config->state_dir, "queries", name, NULL);
    return make_folder(config->state_dir, error) && check_owner(config->state_dir, error) &&
           make_folder(workspace->spool_dir, error) &&
           (config->read_only || make_folder(workspace->queries_dir, error));
}

static LakeTransport *
open_service(LakeWorkspace *workspace, GCancellable *cancellable, GError **error)
{
    const LakeConfig *config = workspace->config;
    g_autoptr(LakeToken) token = config->token
                                     ? lake_token_new(config->token, error)
                                     : lake_token_new_from_file(config->token_file, error);
    if (!token)
        return NULL;

    const LakeApiOptions api = {
        .url = config->api_url,
        .workspace = config->workspace,
        .token = token,
        .ca_file = config->ca_file,
        .connect_timeout_ms = config->connect_timeout_ms,
        .staging_dir = workspace->spool_dir,
    };
    const LakeApiTransportOptions options = {
        .api = &api,
        .read_lag_ms = config->read_lag_ms,
        .statement_timeout_ms = config->query_timeout_ms,
        .max_result_bytes = config->max_result_bytes,
        .read_only = config->read_only,
    };
    return lake_api_transport_open(&options, cancellable, error);
}

static LakeTransport *
open_postgresql(LakeWorkspace *workspace)
{
    const LakeConfig *config = workspace->config;
    g_autofree char *conninfo =
        workspace->server ? lake_server_dup_conninfo(workspace->server) : g_strdup(config->dsn);
    LakePgOptions options = {
        .is_embedded = workspace->server != NULL,
        .conninfo = conninfo,
        .schema = config->workspace,
        .pool_size = (guint)config->pool_size,
        .connect_timeout_ms = config->connect_timeout_ms,
        .statement_timeout_ms = config->query_timeout_ms,
        .read_only = config->read_only,
        .ensure = workspace->server ? ensure_server : NULL,
        .ensure_data = workspace->server,
    };

    return lake_pg_transport_new(&options);
}

static LakeOptions *
open_options(LakeWorkspace *workspace)
{
    const LakeConfig *config = workspace->config;
    LakeIngestSettings settings = {
        .chunk_size = config->chunk_size,
        .chunk_overlap = config->chunk_overlap,
        .pdf_dpi = config->pdf_dpi,
        .pdf_max_pages = config->pdf_max_pages,
        .segment_seconds = config->segment_seconds,
    };

    return lake_options_new(workspace->catalog, &settings);
}

LakeWorkspace *
lake_workspace_open(const LakeConfig *config, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeWorkspace) workspace = g_new0(LakeWorkspace, 1);
    LakeConfigServer server = lake_config_server(config, NULL);

    workspace->config = config;
    workspace->jobs = lake_jobs_new();
    workspace->workers = lake_ingest_workers_new((guint)config->ingest_workers);
    if (server == LAKE_CONFIG_SERVER_EMBEDDED) {
        workspace->server = lake_server_open(config, cancellable, error);
        if (!workspace->server)
            return NULL;
    }
    if (!make_folders(workspace, error))
        return NULL;
    workspace->transport = server == LAKE_CONFIG_SERVER_SERVICE
                               ? open_service(workspace, cancellable, error)
                               : open_postgresql(workspace);
    if (!workspace->transport)
        return NULL;
    workspace->catalog = lake_catalog_open(
        workspace->transport, config->workspace, config->read_only, cancellable, error);
    if (!workspace->catalog)
        return NULL;
    if (server == LAKE_CONFIG_SERVER_SERVICE)
        lake_catalog_set_lag(workspace->catalog, config->read_lag_ms);
    workspace->changes = lake_changes_new(workspace->transport, config->workspace);
    lake_catalog_set_changes(workspace->catalog, workspace->changes);
    workspace->extension = lake_extension_open(
        workspace->transport, workspace->server && !config->read_only, cancellable, error);
    if (!workspace->extension)
        return NULL;
    workspace->options = open_options(workspace);
    return g_steal_pointer(&workspace);
}

void
lake_workspace_close(LakeWorkspace *workspace)
{
    if (!workspace)
        return;
    lake_options_free(workspace->options);
    lake_changes_free(workspace->changes);
    lake_extension_free(workspace->extension);
    lake_catalog_free(workspace->catalog);
    /* Whoever looks next is to see what was done here. */
    if (workspace->transport)
        (void)lake_transport_settle(workspace->transport, NULL, NULL);
    lake_transport_free(workspace->transport);
    lake_server_close(workspace->server);
    lake_jobs_free(workspace->jobs);
    lake_ingest_workers_free(workspace->workers);
    g_free(workspace->spool_dir);
    g_free(workspace->queries_dir);
    g_free(workspace);
}

const LakeConfig *
lake_workspace_config(LakeWorkspace *workspace)
{
    return workspace->config;
}

LakeCatalog *
lake_workspace_catalog(LakeWorkspace *workspace)
{
    return workspace->catalog;
}

LakeTransport *
lake_workspace_transport(LakeWorkspace *workspace)
{
    return workspace->transport;
}

LakeChanges *
lake_workspace_changes(LakeWorkspace *workspace)
{
    return workspace->changes;
}

LakeJobs *
lake_workspace_jobs(LakeWorkspace *workspace)
{
    return workspace->jobs;
}

LakeOptions *
lake_workspace_options(LakeWorkspace *workspace)
{
    return workspace->options;
}

const LakeExtension *
lake_workspace_extension(LakeWorkspace *workspace)
{
    return workspace->extension;
}

const char *
lake_workspace_spool_dir(LakeWorkspace *workspace)
{
    return workspace->spool_dir;
}

const char *
lake_workspace_queries_dir(LakeWorkspace *workspace)
{
    return workspace->queries_dir;
}

guint
lake_workspace_n_files_at_once(LakeWorkspace *workspace)
{
    guint n_files = lake_transport_n_files_at_once(workspace->transport);

    /* One connection is always left for the short questions in between. */
    return lake_transport_defers(workspace->transport)
               ? n_files
               : CLAMP((guint)workspace->config->pool_size - 1, 1, n_files);
}

LakeLedgerEntry *
lake_workspace_ingest(
    LakeWorkspace *workspace, LakeIngestFile *file, GCancellable *cancellable, GError **error)
{
    if (!lake_options_get(workspace->options, file->table, &file->settings, cancellable, error))
        return NULL;
    file->kind = lake_ingest_kind_with(file->path, &file->settings);
    file->workers = workspace->workers;
    file->staging_dir = workspace->spool_dir;
    LakeIngestState state = {.kind = file->kind, .total = -1, .bytes_done = -1};
    if (file->progress)
        file->progress(&state, file->progress_data);
    LakeLedgerEntry *entry = lake_ingest_file(workspace->catalog, file, cancellable, error);
    lake_ingest_settings_clear(&file->settings);
    return entry;
}

gboolean
lake_workspace_query(LakeWorkspace *workspace, const LakeQuery *query, LakeQueryFormat format,
    LakeQueryMode mode, LakeSpool *into, LakeQueryOutcome *ret_outcome,
    GCancellable *cancellable, GError **error)
{
    const LakeConfig *config = workspace->config;
    const LakeQueryOptions options = {
        .format = format,
        .mode = config->read_only ? LAKE_QUERY_READ_ONLY : mode,
        .timeout_ms = config->query_timeout_ms,
        .max_result_bytes = config->max_result_bytes,
    };

    return lake_query_run(
        workspace->catalog, query, &options, into, ret_outcome, cancellable, error);
}

/* Commits that were not waited for are flushed by the next one that is, so make one that has
 * something to write: a message that no one decodes. Both in one statement, so one round trip.
 */
gboolean
lake_workspace_sync(LakeWorkspace *workspace, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT set_config('synchronous_commit', 'on', true),"
                           " pg_logical_emit_message(true, 'deeplakefs', 'sync')");

    /* What a service has answered is durable. */
    if (workspace->config->read_only || lake_transport_defers(workspace->transport))
        return TRUE;
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(
        workspace->transport, LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    if (!result)
        g_prefix_error(error, "flushing the server's log: ");
    return result != NULL;
}
