/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/error.h"
#include "core/query.h"
#include "mount/files.h"
#include "mount/progress.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than that are for servers that are far away. */
#define FEW_AT_ONCE 8
/* As many files are looked up in the ledger at once, or folders entered; of fewer than the
 * second, each is tried as a new one. */
#define LOOKED_UP_AT_ONCE 500
#define FEW_TO_LOOK_UP 8

typedef struct {
    MountSession *session;
    const char *table;
    MountProgress *progress; /* has its own lock */
    GMutex mutex;            /* guards what follows */
    guint n_ingested;
    guint n_untried;
    int exit_status; /* the gravest so far */
    gboolean has_given_up;
} Batch;

/* One file on its way, in one thread. */
typedef struct {
    Batch *batch;
    const MountFile *file;
    gboolean is_looked_up;
    LakeLedgerEntry *known; /* NULL: the ledger had nothing of it */
    MountProgressJob *bar;
} FileJob;

static void
tell(const char *source, const char *reason, gboolean is_failure)
{
    g_autofree char *name = g_filename_display_name(source);
    fprintf(
        stderr, "deeplakefs: ingest: %s%s: %s\n", is_failure ? "" : "skipped ", name, reason);
}

static void
record_failure(Batch *batch, const MountFile *file, const GError *error)
{
    int status = mount_commands_exit_status(error);
    g_autofree char *name = g_filename_display_name(file->source);
    g_autoptr(GError) named = g_error_copy(error);

    if (!strstr(named->message, file->path))
        g_prefix_error(&named, "%s: ", name);
    g_autofree char *text = mount_commands_format_error("ingest", named);
    g_strchomp(text);

    g_mutex_lock(&batch->mutex);
    batch->exit_status = MAX(batch->exit_status, status);
    /* Without a server, or room, each further file would only wait and then fail the same way.
     */
    if (g_error_matches(error, LAKE_ERROR, LAKE_ERROR_OFFLINE) ||
        g_error_matches(error, LAKE_ERROR, LAKE_ERROR_NO_SPACE) ||
        g_error_matches(error, LAKE_ERROR, LAKE_ERROR_CANCELLED))
        batch->has_given_up = TRUE;
    g_mutex_unlock(&batch->mutex);

    mount_progress_print(batch->progress, text);
}

/* O_NONBLOCK: a FIFO that has taken the file's place since must not hold us. */
static LakeSpool *
open_source(const MountFile *file, struct stat *ret_status, GError **error)
{
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (file->is_given ? 0 : O_NOFOLLOW);
    int fd = open(file->source, flags);
    int saved_errno = errno;

    if (fd >= 0 && fstat(fd, ret_status) == 0 && S_ISREG(ret_status->st_mode)) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        return lake_spool_new_from_fd(fd, ret_status->st_size);
    }
    if (fd >= 0) {
        close(fd);
        saved_errno = EINVAL;
    }
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, lake_error_code_from_errno(saved_errno),
        "cannot open: %s", g_strerror(saved_errno));
    return NULL;
}

static LakeFileAttributes
get_attributes(const struct stat *status)
{
    return (LakeFileAttributes){
        .mode = status->st_mode,
        .uid = geteuid(), /* as cp has it: the copy belongs to who copied */
        .gid = getegid(),
        .mtime_ns = (gint64)status->st_mtim.tv_sec * 1000000000 + status->st_mtim.tv_nsec,
    };
}

static gboolean
ingest_file(FileJob *job, GError **error)
{
    MountSession *session = job->batch->session;
    struct stat status;
    g_autoptr(LakeSpool) content = open_source(job->file, &status, error);
    if (!content)
        return FALSE;

    LakeIngestFile file = {
        .table = job->batch->table,
        .path = job->file->path,
        .content = content,
        .attributes = get_attributes(&status),
        .expectation = !job->is_looked_up ? LAKE_INGEST_UNKNOWN
                       : job->known       ? LAKE_INGEST_KNOWN
                                          : LAKE_INGEST_NEW,
        .known = job->known,
        .progress = mount_progress_update,
        .progress_data = job->bar,
    };
    g_autoptr(LakeLedgerEntry) entry =
        lake_workspace_ingest(session->workspace, &file, session->cancellable, error);
    if (!entry)
        return FALSE;
    g_debug("%s: %" G_GINT64_FORMAT " rows", job->file->path, entry->n_rows);
    return TRUE;
}

static gboolean
may_try(Batch *batch)
{
    g_mutex_lock(&batch->mutex);
    gboolean has_given_up = batch->has_given_up;
    batch->n_untried += has_given_up;
    g_mutex_unlock(&batch->mutex);
    return !has_given_up;
}

static void
try_file(FileJob *job)
{
    g_autoptr(GError) error = NULL;

    job->bar =
        mount_progress_begin(job->batch->progress, job->file->path, job->file->status.st_size);
    if (ingest_file(job, &error)) {
        g_mutex_lock(&job->batch->mutex);
        job->batch->n_ingested++;
        g_mutex_unlock(&job->batch->mutex);
    } else {
        record_failure(job->batch, job->file, error);
    }
    mount_progress_end(job->bar);
}

static void
run_job(gpointer data, gpointer user_data)
{
    FileJob *job = data;

    if (may_try(job->batch))
        try_file(job);
    lake_ledger_entry_unref(job->known);
    g_free(job);
}

/* What the ledger has of n of them; NULL where it is not worth asking, or could not be asked:
 * then whoever tries one hears why. Of LakeLedgerEntry or NULL. */
static GPtrArray *
look_up(Batch *batch, const GPtrArray *files, guint first, guint n)
{
    LakeCatalog *catalog = lake_workspace_catalog(batch->session->workspace);
    g_autofree const char **paths = g_new(const char *, n);

    if (files->len < FEW_TO_LOOK_UP)
        return NULL;
    for (guint i = 0; i < n; i++)
        paths[i] = ((const MountFile *)files->pdata[first + i])->path;
    return lake_ledger_find_all(
        catalog, batch->table, paths, n, batch->session->cancellable, NULL);
}

/* n folders, from one on. */
static gboolean
add_some_folders(Batch *batch, const GPtrArray *folders, guint first, guint n)
{
    g_autofree const char **paths = g_new(const char *, n);
    g_autofree LakeFileAttributes *attributes = g_new(LakeFileAttributes, n);
    g_autoptr(GError) error = NULL;

    for (guint i = 0; i < n; i++) {
        const MountFile *folder = folders->pdata[first + i];

        if (!lake_ledger_check_path(folder->path, &error)) {
            record_failure(batch, folder, error);
            return FALSE;
        }
        paths[i] = folder->path;
        attributes[i] = get_attributes(&folder->status);
    }
    if (lake_ledger_add_folders(lake_workspace_catalog(batch->session->workspace), batch->table,
            paths, attributes, n, batch->session->cancellable, &error))
        return TRUE;
    record_failure(batch, folders->pdata[first], error);
    return FALSE;
}

/* Folders first: their attributes are kept, and empty ones exist, as with cp -r. */
static gboolean
add_folders(Batch *batch, const MountFiles *files)
{
    const GPtrArray *folders = files->folders;

    for (guint first = 0, n; first < folders->len; first += n) {
        n = MIN(folders->len - first, LOOKED_UP_AT_ONCE);
        if (!add_some_folders(batch, folders, first, n))
            return FALSE;
    }
    return TRUE;
}

/* Pushes n files, from one on, into pool; NULL: runs them here. */
static void
push_files(Batch *batch, const GPtrArray *files, guint first, guint n, GThreadPool *pool)
{
    g_autoptr(GPtrArray) known = look_up(batch, files, first, n);

    for (guint i = 0; i < n; i++) {
        FileJob *job = g_new0(FileJob, 1);

        job->batch = batch;
        job->file = files->pdata[first + i];
        job->is_looked_up = known != NULL;
        job->known = known ? g_steal_pointer(&known->pdata[i]) : NULL;
        if (pool)
            g_thread_pool_push(pool, job, NULL);
        else
            run_job(job, NULL);
    }
}

static void
run_batch(Batch *batch, const MountFiles *files)
{
    gint64 n_threads = lake_workspace_n_files_at_once(batch->session->workspace);
    g_autoptr(GError) error = NULL;
    GThreadPool *pool = g_thread_pool_new(run_job, NULL, (int)n_threads, TRUE, &error);
    if (!pool)
        g_error("cannot start threads: %s", error->message);

    batch->progress = mount_progress_new(files->files->len, files->total_bytes);
    /* The first one makes the table, which all of them would try to otherwise. */
    guint first = n_threads > FEW_AT_ONCE ? MIN(files->files->len, 1) : 0;
    if (first > 0)
        push_files(batch, files->files, 0, first, NULL);
    for (guint n; first < files->files->len; first += n) {
        n = MIN(files->files->len - first, LOOKED_UP_AT_ONCE);
        push_files(batch, files->files, first, n, pool);
    }
    g_thread_pool_free(pool, FALSE, TRUE);
    g_clear_pointer(&batch->progress, mount_progress_free);
}

static int
print_result(Batch *batch)
{
    MountSession *session = batch->session;
    LakeCatalog *catalog = lake_workspace_catalog(session->workspace);
    g_autoptr(GError) error = NULL;

    gint64 n_rows = lake_catalog_count(catalog, batch->table, session->cancellable, &error);
    /* Files without content leave no table. */
    if (n_rows < 0 && !g_error_matches(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return mount_commands_fail(session->options, error, mount_commands_exit_status(error));

    g_autofree char *dataset_path = lake_catalog_dataset_path(catalog, batch->table);
    g_autoptr(GString) text = g_string_new("{\"table_name\":");
    lake_json_append_string(text, batch->table, strlen(batch->table));
    g_string_append_printf(
        text, ",\"row_count\":%" G_GINT64_FORMAT ",\"dataset_path\":", MAX(n_rows, 0));
    lake_json_append_string(text, dataset_path, strlen(dataset_path));
    g_string_append(text, "}\n");
    return mount_commands_print(session->options, text->str, text->len) ? MOUNT_EXIT_OK
                                                                        : MOUNT_EXIT_SYSTEM;
}

/* --- options --- */

static cJSON *
parse_json(const char *name, const char *text, GError **error)
{
    cJSON *value = cJSON_ParseWithOpts(text, NULL, TRUE);

    if (!value)
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "--%s: this is not JSON", name);
    return value;
}

static cJSON *
read_schema(const char *given, GError **error)
{
    g_autofree char *content = NULL;
    g_autoptr(GError) failure = NULL;

    if (*given == '{')
        return parse_json("schema", given, error);
    if (!g_file_get_contents(given, &content, NULL, &failure)) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST, "--schema: %s", failure->message);
        if (error)
            lake_error_hint(*error, "give a file, or JSON as {\"name\": \"TEXT\"}");
        return NULL;
    }
    return parse_json("schema", content, error);
}

/* "text,file_id=btree" */
static cJSON *
read_indexes(const char *given, GError **error)
{
    if (*given == '{' || *given == '[')
        return parse_json("index", given, error);

    cJSON *indexes = cJSON_CreateObject();
    g_auto(GStrv) list = g_strsplit(given, ",", -1);
    for (guint i = 0; list[i]; i++) {
        char *equals = strrchr(list[i], '=');
        if (equals)
            *equals = '\0';
        cJSON_AddStringToObject(indexes, list[i], equals ? equals + 1 : "");
    }
    return indexes;
}

static gboolean
add_option(cJSON *object, const char *name, cJSON *value)
{
    return value && cJSON_AddItemToObject(object, name, value);
}

/* Options of drop zones have absolute paths, in UTF-8 as all JSON is. */
static cJSON *
name_folder(const char *option, const char *given, GError **error)
{
    g_autofree char *here = g_get_current_dir();
    g_autofree char *path =
        g_path_is_absolute(given) ? g_strdup(given) : g_build_filename(here, given, NULL);

    if (g_utf8_validate(path, -1, NULL))
        return cJSON_CreateString(path);
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_NAME,
        "--%s: the path is not UTF-8", option);
    return NULL;
}

/* The command's options as an .ingest.json has them; caller frees. */
static char *
dup_zone_options(const MountOptions *options, GError **error)
{
    cJSON *object = cJSON_CreateObject();
    gboolean is_good =
        (!options->format ||
            add_option(object, "format", cJSON_CreateString(options->format))) &&
        (!options->schema ||
            add_option(object, "schema", read_schema(options->schema, error))) &&
        (!options->index || add_option(object, "index", read_indexes(options->index, error))) &&
        (!options->images_dir || add_option(object, "images_dir",
                                     name_folder("images-dir", options->images_dir, error))) &&
        (!options->masks_dir || add_option(object, "masks_dir",
                                    name_folder("masks-dir", options->masks_dir, error)));
    char *printed = is_good ? cJSON_PrintUnformatted(object) : NULL;
    char *text = g_strdup(printed);

    cJSON_free(printed);
    cJSON_Delete(object);
    return text;
}

/* Whatever cannot be shows before any file is read. */
static gboolean
take_zone_options(MountSession *session, const char *table, GError **error)
{
    LakeOptions *options = lake_workspace_options(session->workspace);
    g_autofree char *text = dup_zone_options(session->options, error);

    return text && lake_options_set_defaults(options, text, error) &&
           lake_options_prepare_table(options, table, session->cancellable, error);
}

static int
ingest(MountSession *session)
{
    GPtrArray *arguments = session->options->arguments;
    Batch batch = {.session = session, .table = arguments->pdata[0]};
    g_autoptr(GError) error = NULL;

    if (session->config->read_only) {
        lake_error_set(&error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_READ_ONLY,
            "table %s takes no files: the setting read_only is on", batch.table);
        return mount_commands_fail(session->options, error, MOUNT_EXIT_USAGE);
    }

    if (!take_zone_options(session, batch.table, &error))
        return mount_commands_fail(session->options, error, mount_commands_exit_status(error));

    g_autoptr(MountFiles) files = mount_files_new(tell);
    for (guint i = 1; i < arguments->len; i++)
        mount_files_add(files, arguments->pdata[i]);
    if (files->n_failed)
        batch.exit_status = MOUNT_EXIT_USAGE;

    g_mutex_init(&batch.mutex);
    batch.progress = mount_progress_new(0, 0);
    gboolean has_folders = add_folders(&batch, files);
    g_clear_pointer(&batch.progress, mount_progress_free);
    if (has_folders)
        run_batch(&batch, files);
    g_mutex_clear(&batch.mutex);

    if (batch.n_untried)
        fprintf(stderr, "deeplakefs: ingest: files not tried: %u\n", batch.n_untried);
    if (g_cancellable_is_cancelled(session->cancellable))
        return MOUNT_EXIT_INTERRUPTED;
    int printed = batch.n_ingested ? print_result(&batch) : MOUNT_EXIT_OK;
    if (!batch.n_ingested && !batch.exit_status)
        fputs("deeplakefs: ingest: there were no files to ingest\n", stderr);
    return MAX(batch.exit_status, printed);
}

int
mount_commands_ingest(const MountOptions *options)
{
    return mount_commands_with_workspace(options, ingest);
}
