/* SPDX-License-Identifier: Apache-2.0 */
/* .deeplake/: how to use this mount, how it fares, and the barrier. */
#include "core/error.h"
#include "fs/failures.h"
#include "fs/metrics.h"
#include "fs/node/document.h"
#include <cjson/cJSON.h>
#include <string.h>
#include <unistd.h>

static const char readme[] =
    "This folder is a Deeplake workspace: tables are folders, SQL is a file.\n"
    "\n"
    "Look around\n"
    "  ls                              the tables and views\n"
    "  cat docs/schema.json            columns of docs: name, type, key\n"
    "  cat docs/info.json              rows, bytes, indexes\n"
    "  cat docs/query.sql              its first 100 rows, as JSON\n"
    "  ls docs/rows/1                  the row with that key: a file per value\n"
    "\n"
    "Put files in: each becomes rows of the table\n"
    "  mkdir ingest/docs               opens a drop zone; the first file makes the table\n"
    "  cp notes.md ingest/docs/        text: one row per 1000 characters, 200 overlap\n"
    "  rsync -a folder/ ingest/docs/   again and again: only what changed is sent\n"
    "  cp: a non-zero exit means that nothing went in; the reason is in\n"
    "  ingest/docs/notes.md.error and in .deeplake/errors.jsonl\n"
    "  rm ingest/docs/notes.md         deletes that file's rows\n"
    "  echo '{\"chunk_size\": 500}' > ingest/docs/.ingest.json\n"
    "                                  options for files that come later; with\n"
    "                                  {\"format\": \"rows\"} .csv and .jsonl files hold rows\n"
    "\n"
    "Ask\n"
    "  echo 'SELECT count(*) FROM docs' > query.sql\n"
    "  cat query.sql                   runs it: a JSON array, one row per line\n"
    "  cat query.jsonl                 the same, one object per line\n"
    "  cat query.csv                   the same as CSV\n"
    "  echo 'UPDATE docs SET …' > query.sql\n"
    "                                  a statement that changes data runs once, at that close\n"
    "  cat 'docs/.select/id,text/.where/id > 5/.limit/9/results.json'\n"
    "                                  the same without writing a query; %25 is a %\n"
    "  mkdir docs/indexes/text.bm25    for keyword search, best first:\n"
    "  cat 'docs/.search/some words/results.json'\n"
    "  -- $1 = \"abc\"                   first lines of this form are the parameters\n"
    "\n"
    "Change tables\n"
    "  mkdir t                         an empty table\n"
    "  mkdir t/indexes/id.hash         makes an index; rmdir drops it\n"
    "  mv t u                          renames it\n"
    "  rmdir u                         drops it, rows and all (rm -r never does)\n"
    "\n"
    "Here in .deeplake\n"
    "  status.json                     workspace, server, connections, work in progress\n"
    "  ingest.jsonl                    files being ingested, and the last 100 that were\n"
    "  errors.jsonl                    the last 1000 failures, with reason and hint\n"
    "  metrics                         requests, bytes and ingests, as Prometheus reads them\n"
    "  wait                            reading it returns when all is committed and durable\n";

static char *
render_readme(FsNode *document, FsCall *call, GError **error)
{
    return g_strdup(readme);
}

static void
add_extension(cJSON *object, const LakeExtension *extension)
{
    if (extension->version)
        cJSON_AddStringToObject(object, "extension", extension->version);
    else
        cJSON_AddNullToObject(object, "extension");
    if (extension->trouble)
        cJSON_AddStringToObject(object, "extension_trouble", extension->trouble);
}

static char *
render_status(FsNode *document, FsCall *call, GError **error)
{
    FsContext *context = document->context;
    LakeWorkspace *workspace = context->workspace;
    LakeTransport *transport = lake_workspace_transport(workspace);
    LakeTransportStatus status;
    cJSON *object = cJSON_CreateObject();
    gint64 uptime_ns = fs_node_now_ns() - context->started_ns;

    lake_transport_status(transport, &status);
    cJSON_AddStringToObject(object, "workspace", lake_workspace_config(workspace)->workspace);
    cJSON_AddStringToObject(object, "transport", lake_transport_name(transport));
    cJSON_AddStringToObject(object, "server_version", status.server_version);
    cJSON_AddStringToObject(object, "freshness",
        lake_changes_are_heard(lake_workspace_changes(workspace)) ? "notifications"
                                                                  : "timeouts");
    add_extension(object, lake_workspace_extension(workspace));
    cJSON *connections = cJSON_AddObjectToObject(object, "connections");
    cJSON_AddNumberToObject(connections, "open", status.n_open);
    cJSON_AddNumberToObject(connections, "in_use", status.n_in_use);
    cJSON_AddNumberToObject(connections, "max", status.n_max);
    cJSON_AddStringToObject(object, "state_dir", lake_workspace_config(workspace)->state_dir);
    cJSON_AddNumberToObject(object, "pid", getpid());
    cJSON_AddNumberToObject(object, "uptime_seconds", (double)(uptime_ns / 1000000000));
    cJSON_AddNumberToObject(
        object, "ingest_in_progress", lake_jobs_n_running(lake_workspace_jobs(workspace)));
    cJSON_AddNumberToObject(object, "errors", (double)fs_failures_count(context->failures));
    cJSON_AddBoolToObject(object, "read_only", lake_workspace_config(workspace)->read_only);
    cJSON_AddStringToObject(object, "version", DEEPLAKEFS_VERSION);
    char *printed = cJSON_Print(object);
    char *text = g_strconcat(printed, "\n", NULL);
    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

static char *
render_errors(FsNode *document, FsCall *call, GError **error)
{
    return fs_failures_to_jsonl(document->context->failures);
}

static char *
render_ingests(FsNode *document, FsCall *call, GError **error)
{
    return lake_jobs_to_jsonl(lake_workspace_jobs(document->context->workspace));
}

static char *
render_metrics(FsNode *document, FsCall *call, GError **error)
{
    FsContext *context = document->context;
    FsMetricsGauges gauges = {
        .n_jobs = lake_jobs_n_running(lake_workspace_jobs(context->workspace)),
        .uptime_seconds = (double)(fs_node_now_ns() - context->started_ns) / 1e9,
    };

    lake_transport_status(lake_workspace_transport(context->workspace), &gauges.connections);
    return fs_metrics_to_text(context->metrics, &gauges);
}

static char *
render_wait(FsNode *document, FsCall *call, GError **error)
{
    LakeWorkspace *workspace = document->context->workspace;

    if (!fs_call_may_block(call))
        return NULL;
    if (!lake_jobs_wait(lake_workspace_jobs(workspace), -1, call->cancellable)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_CANCELLED, "interrupted");
        return NULL;
    }
    if (!lake_workspace_sync(workspace, call->cancellable, error))
        return NULL;
    return g_strdup("{\"in_progress\": 0, \"durable\": true}\n");
}

static const struct {
    const char *name;
    FsDocumentRender render;
    gboolean waits;
    gboolean is_private;
} documents[] = {
    {"README", render_readme, FALSE, FALSE},
    {"errors.jsonl", render_errors, FALSE, TRUE},
    {"ingest.jsonl", render_ingests, FALSE, TRUE},
    {"metrics", render_metrics, FALSE, TRUE},
    {"status.json", render_status, FALSE, FALSE},
    {"wait", render_wait, TRUE, TRUE},
};

static FsNode *
control_lookup(FsNode *folder, FsCall *call, const char *name, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++) {
        if (strcmp(name, documents[i].name) != 0)
            continue;
        FsNode *document =
            fs_document_child(folder, name, documents[i].render, documents[i].waits);
        if (documents[i].is_private)
            fs_document_make_private(document);
        return document;
    }
    return NULL;
}

static GPtrArray *
control_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error)
{
    GPtrArray *listed = g_ptr_array_new_with_free_func((GDestroyNotify)fs_listed_free);

    for (gsize i = 0; i < G_N_ELEMENTS(documents); i++)
        g_ptr_array_add(listed, fs_listed_new(documents[i].name, FALSE));
    *ret_is_last = TRUE;
    return listed;
}

const FsNodeClass fs_node_control = {
    .name = "control",
    .size = sizeof(FsNode),
    .is_folder = TRUE,
    .timeout_seconds = 60,
    .attributes = fs_node_folder_attributes,
    .lookup = control_lookup,
    .list = control_list,
};
