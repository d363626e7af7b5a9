/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/watch.h"

#include "core/error.h"
#include "mount/bars.h"
#include "mount/commands/commands.h"
#include "mount/mountpoint.h"
#include "mount/probe.h"
#include "mount/registry.h"
#include "mount/terminal.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_US (2 * G_USEC_PER_SEC) /* a mount that takes longer shows as silent */
#define INTERVAL_MIN_S 0.1
#define INTERVAL_MAX_S 3600.0
#define HEAD_LINES 3 /* of a mount, beside its files: itself, all files, the last failure */

typedef enum {
    STATE_UNKNOWN, /* not asked yet */
    STATE_SERVING,
    STATE_SILENT,
    STATE_UNREADABLE,
    STATE_DRAINING, /* unmounted; its daemon finishes what was begun */
    STATE_GONE,
} State;

typedef struct {
    char *mountpoint;
    char *workspace; /* NULL: not known */
    int pid;         /* as the registry has it; 0: it has none */
    int daemon_pid;  /* as the mount itself said; 0: not yet */
    gboolean is_listed;
    guint n_left; /* while draining */
    MountProbe *probe;
    State state;
    State told_state;
    int failure;       /* errno, while unreadable */
    GPtrArray *files;  /* of cJSON: the last answer's lines */
    gboolean is_new;   /* nothing was answered before that */
    GHashTable *lines; /* id → of each file in the last answer, what make_line gave */
} Watched;

typedef struct {
    const MountOptions *options;
    const LakeConfig *config;
    GCancellable *cancellable;
    const char *mountpoint;  /* NULL: all */
    MountTerminal *terminal; /* NULL: JSON */
    gint64 interval_us;
    GPtrArray *mounts; /* of Watched */
} Watch;

static void
free_watched(gpointer data)
{
    Watched *mount = data;

    mount_probe_free(mount->probe);
    g_ptr_array_unref(mount->files);
    g_hash_table_unref(mount->lines);
    g_free(mount->workspace);
    g_free(mount->mountpoint);
    g_free(mount);
}

static Watched *
find_or_add(Watch *watch, const char *mountpoint, int pid)
{
    for (guint i = 0; i < watch->mounts->len; i++) {
        Watched *known = watch->mounts->pdata[i];
        if (known->pid == pid && g_str_equal(known->mountpoint, mountpoint))
            return known;
    }

    Watched *mount = g_new0(Watched, 1);
    mount->mountpoint = g_strdup(mountpoint);
    mount->pid = pid;
    mount->probe = mount_probe_new(mountpoint);
    mount->files = g_ptr_array_new_with_free_func((GDestroyNotify)cJSON_Delete);
    mount->lines = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    mount->is_new = TRUE;
    g_ptr_array_add(watch->mounts, mount);
    return mount;
}

static void
note_entry(Watch *watch, const MountRegistryEntry *entry)
{
    Watched *mount = find_or_add(watch, entry->mountpoint, entry->pid);

    mount->is_listed = TRUE;
    mount->n_left = entry->n_left;
    if (!mount->workspace)
        mount->workspace = g_strdup(entry->workspace);
    if (entry->is_draining)
        mount->state = STATE_DRAINING;
}

/* Those of the state folder; and the one that was named, whatever its state folder is. */
static void
list_mounts(Watch *watch)
{
    g_autoptr(GPtrArray) entries = mount_registry_list(watch->config->state_dir);
    gboolean is_found = FALSE;

    for (guint i = 0; i < watch->mounts->len; i++)
        ((Watched *)watch->mounts->pdata[i])->is_listed = FALSE;
    for (guint i = 0; i < entries->len; i++) {
        const MountRegistryEntry *entry = entries->pdata[i];
        if (watch->mountpoint && !g_str_equal(entry->mountpoint, watch->mountpoint))
            continue;
        note_entry(watch, entry);
        is_found = TRUE;
    }
    if (is_found || !watch->mountpoint)
        return;

    g_autoptr(MountMountpoint) mounted = mount_mountpoint_find(watch->mountpoint);
    if (mounted && g_str_equal(mounted->type, MOUNT_MOUNTPOINT_TYPE))
        find_or_add(watch, watch->mountpoint, 0)->is_listed = TRUE;
}

static void
ask_mounts(Watch *watch)
{
    for (guint i = 0; i < watch->mounts->len; i++) {
        Watched *mount = watch->mounts->pdata[i];
        if (!mount->is_listed)
            mount->state = STATE_GONE;
        else if (mount->state != STATE_DRAINING)
            mount_probe_ask(mount->probe);
    }
}

/* Waits until one of fds has something, until_us, or cancelled. */
static void
wait_for(Watch *watch, GArray *fds, gint64 until_us)
{
    GPollFD stop;
    gint64 left_us = until_us - g_get_monotonic_time();

    if (left_us <= 0)
        return;
    if (!g_cancellable_make_pollfd(watch->cancellable, &stop))
        g_error("cannot wait for signals: no file descriptor is left");
    g_array_append_val(fds, stop);
    g_poll((GPollFD *)(void *)fds->data, fds->len, (int)(left_us / 1000 + 1));
    g_cancellable_release_fd(watch->cancellable);
}

static void
parse_files(Watched *mount, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    g_ptr_array_set_size(mount->files, 0);
    for (char **line = lines; *line; line++) {
        cJSON *file = **line ? cJSON_Parse(*line) : NULL;
        if (cJSON_IsObject(file))
            g_ptr_array_add(mount->files, file);
        else
            cJSON_Delete(file);
    }
}

/* A daemon that was replaced by another, at the same place, counts its files anew. */
static void
parse_status(Watched *mount, const char *text)
{
    cJSON *status = cJSON_Parse(text);
    const cJSON *pid = cJSON_GetObjectItemCaseSensitive(status, "pid");
    const char *workspace =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(status, "workspace"));

    if (cJSON_IsNumber(pid)) {
        if (mount->daemon_pid && pid->valueint != mount->daemon_pid)
            g_hash_table_remove_all(mount->lines);
        mount->daemon_pid = pid->valueint;
    }
    if (workspace && !mount->workspace)
        mount->workspace = g_strdup(workspace);
    cJSON_Delete(status);
}

static gboolean
is_mounted(const Watched *mount)
{
    g_autoptr(MountMountpoint) mounted = mount_mountpoint_find(mount->mountpoint);
    return mounted && g_str_equal(mounted->type, MOUNT_MOUNTPOINT_TYPE);
}

static void
take_answer(Watched *mount)
{
    g_autofree char *ingests = NULL;
    g_autofree char *status = NULL;
    gint64 asked_us = mount_probe_asked_us(mount->probe);

    if (mount->state == STATE_GONE || mount->state == STATE_DRAINING)
        return;
    switch (mount_probe_take(mount->probe, &ingests, &status, &mount->failure)) {
    case MOUNT_PROBE_ANSWERED:
        mount->state = STATE_SERVING;
        parse_status(mount, status);
        parse_files(mount, ingests);
        break;
    case MOUNT_PROBE_FAILED:
        mount->state =
            mount->failure == ENOENT && !is_mounted(mount) ? STATE_DRAINING : STATE_UNREADABLE;
        break;
    case MOUNT_PROBE_PENDING:
        if (asked_us && g_get_monotonic_time() - asked_us >= ANSWER_US)
            mount->state = STATE_SILENT;
        break;
    }
}

static gboolean
is_awaited(const Watched *mount)
{
    return mount_probe_asked_us(mount->probe) && mount->state != STATE_SILENT &&
           mount->state != STATE_DRAINING && mount->state != STATE_GONE;
}

/* Returns when each mount has answered or is known to be silent. */
static void
await_answers(Watch *watch)
{
    while (!g_cancellable_is_cancelled(watch->cancellable)) {
        g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(GPollFD));
        gint64 until_us = 0;
        for (guint i = 0; i < watch->mounts->len; i++) {
            Watched *mount = watch->mounts->pdata[i];
            take_answer(mount);
            GPollFD fd = {.fd = mount_probe_fd(mount->probe), .events = G_IO_IN};
            if (!is_awaited(mount))
                continue;
            g_array_append_val(fds, fd);
            until_us = MAX(until_us, mount_probe_asked_us(mount->probe) + ANSWER_US);
        }
        if (fds->len == 0)
            return;
        wait_for(watch, fds, until_us);
    }
}

static const char *
get_text(const cJSON *file, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(file, name));
}

static double
get_number(const cJSON *file, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(file, name);
    return cJSON_IsNumber(item) ? item->valuedouble : -1;
}

static gboolean
is_running(const cJSON *file)
{
    const char *phase = get_text(file, "phase");
    return phase && !g_str_equal(phase, "done") && !g_str_equal(phase, "failed");
}

static char *
print_json(const cJSON *object)
{
    char *printed = cJSON_PrintUnformatted(object);
    char *text = g_strdup(printed);

    cJSON_free(printed);
    return text;
}

/* The file without what changes while nothing happens. */
static char *
make_line(const cJSON *file)
{
    cJSON *copy = cJSON_Duplicate(file, TRUE);
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "seconds");
    char *line = print_json(copy);

    cJSON_Delete(copy);
    return line;
}

/* Files that run come first. */
static guint
count_running(const Watched *mount)
{
    guint n_running = 0;

    while (n_running < mount->files->len && is_running(mount->files->pdata[n_running]))
        n_running++;
    return n_running;
}

/* Remembers file's line in lines; adds it to news where the last answer had another one. */
static void
note_file(const Watched *mount, cJSON *file, GHashTable *lines, GPtrArray *news)
{
    gint64 id = (gint64)get_number(file, "id");
    const char *old = g_hash_table_lookup(mount->lines, &id);
    char *line = make_line(file);

    /* What had ended before we came is no news. */
    if (old ? !g_str_equal(old, line) : !mount->is_new || is_running(file))
        g_ptr_array_add(news, file);
    g_hash_table_replace(lines, g_memdup2(&id, sizeof id), line);
}

/* The files, of cJSON and borrowed, of which the last answer has news: those that ended, in
 * that order, then those that run. Remembers that answer's files, and only them. */
static GPtrArray *
take_news(Watched *mount)
{
    GHashTable *lines = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    GPtrArray *news = g_ptr_array_new();
    guint n_running = count_running(mount);

    for (guint i = mount->files->len; i-- > n_running;)
        note_file(mount, mount->files->pdata[i], lines, news);
    for (guint i = 0; i < n_running; i++)
        note_file(mount, mount->files->pdata[i], lines, news);
    g_hash_table_unref(mount->lines);
    mount->lines = lines;
    mount->is_new = FALSE;
    return news;
}

/* --- bars --- */

static char *
describe_state(const Watched *mount, guint n_running)
{
    switch (mount->state) {
    case STATE_UNKNOWN:
        return g_strdup("not asked yet");
    case STATE_SERVING:
        return n_running ? g_strdup_printf("files being ingested: %u", n_running)
                         : g_strdup("nothing is being ingested");
    case STATE_SILENT:
        return g_strdup("does not answer");
    case STATE_UNREADABLE:
        return g_strdup_printf("cannot be read: %s", g_strerror(mount->failure));
    case STATE_DRAINING:
        return g_strdup_printf("unmounted; files still being ingested: %u", mount->n_left);
    case STATE_GONE:
        return g_strdup("no longer mounted");
    }
    g_assert_not_reached();
}

static MountBarsJob
describe_file(const cJSON *file)
{
    const char *path = get_text(file, "path");
    const char *phase = get_text(file, "phase");

    return (MountBarsJob){
        .name = path ? path : "",
        .phase = phase ? phase : "",
        .n_rows = (gint64)get_number(file, "rows_written"),
        .total = (gint64)get_number(file, "total"),
        .bytes = (gint64)get_number(file, "bytes"),
        .bytes_done = (gint64)get_number(file, "bytes_done"),
        .seconds = get_number(file, "seconds"),
    };
}

/* One bar for all that run. */
static void
add_sum(MountBars *bars, const Watched *mount, guint n_running)
{
    g_autofree char *name = g_strdup_printf("%u files", n_running);
    MountBarsSum sum = {.name = name};

    for (guint i = 0; i < n_running; i++) {
        MountBarsJob job = describe_file(mount->files->pdata[i]);
        sum.bytes += MAX(job.bytes, 0);
        sum.bytes_done +=
            (gint64)(MAX(mount_bars_fraction(&job), 0) * (double)MAX(job.bytes, 0));
        sum.seconds = MAX(sum.seconds, job.seconds);
    }
    mount_bars_add_sum(bars, 2, &sum);
}

static void
add_last_failure(MountBars *bars, const Watched *mount, guint n_running)
{
    for (guint i = n_running; i < mount->files->len; i++) {
        const char *message = get_text(mount->files->pdata[i], "error");
        if (!message)
            continue;
        g_autofree char *text = g_strdup_printf("last failure: %s", message);
        mount_bars_add_text(bars, 2, text);
        return;
    }
}

/* n_lines are at most for its files. */
static void
add_mount(MountBars *bars, const Watched *mount, guint n_lines)
{
    guint n_running = count_running(mount);
    g_autofree char *state = describe_state(mount, n_running);
    g_autofree char *head = g_strdup_printf("%s: %s (workspace %s)", mount->mountpoint, state,
        mount->workspace ? mount->workspace : "unknown");
    mount_bars_add_text(bars, 0, head);
    if (mount->state != STATE_SERVING)
        return;

    guint n_shown = n_running <= n_lines ? n_running : n_lines - 1;
    if (n_running > 1)
        add_sum(bars, mount, n_running);
    for (guint i = 0; i < n_shown; i++) {
        MountBarsJob job = describe_file(mount->files->pdata[i]);
        mount_bars_add_job(bars, n_running > 1 ? 4 : 2, &job);
    }
    if (n_shown < n_running) {
        g_autofree char *more = g_strdup_printf("… and %u more", n_running - n_shown);
        mount_bars_add_text(bars, 4, more);
    }
    add_last_failure(bars, mount, n_running);
}

static void
draw(Watch *watch)
{
    g_autoptr(MountBars) bars = mount_bars_new();
    g_autoptr(GString) above = g_string_new(NULL);
    guint n_columns;
    guint n_lines;

    mount_terminal_size(watch->terminal, &n_columns, &n_lines);
    guint share = n_lines / MAX(watch->mounts->len, 1);
    for (guint i = 0; i < watch->mounts->len; i++) {
        Watched *mount = watch->mounts->pdata[i];
        if (mount->state == STATE_GONE)
            g_string_append_printf(above, "%s: no longer mounted\n", mount->mountpoint);
        else
            add_mount(bars, mount, share > HEAD_LINES ? share - HEAD_LINES : 1);
    }
    g_autoptr(GPtrArray) lines = mount_bars_format(bars, n_columns, n_lines);
    mount_terminal_draw(watch->terminal, above->len ? above->str : NULL, lines);
}

/* --- JSON --- */

static const char *
name_state(State state)
{
    switch (state) {
    case STATE_UNKNOWN:
        return "unknown";
    case STATE_SERVING:
        return "serving";
    case STATE_SILENT:
        return "silent";
    case STATE_UNREADABLE:
        return "unreadable";
    case STATE_DRAINING:
        return "draining";
    case STATE_GONE:
        return "gone";
    }
    g_assert_not_reached();
}

/* Appends a line of the mount and object's members, which it takes away. */
static void
append_line(GString *into, const Watched *mount, cJSON *object)
{
    g_autofree char *mountpoint = g_utf8_make_valid(mount->mountpoint, -1);
    cJSON *whole = cJSON_CreateObject();

    cJSON_AddStringToObject(whole, "mountpoint", mountpoint);
    while (object->child) {
        cJSON *member = cJSON_DetachItemViaPointer(object, object->child);
        cJSON_AddItemToObject(whole, member->string, member);
    }
    g_autofree char *line = print_json(whole);
    g_string_append_printf(into, "%s\n", line);
    cJSON_Delete(whole);
}

static void
append_state(GString *into, Watched *mount)
{
    cJSON *object = cJSON_CreateObject();

    if (mount->workspace)
        cJSON_AddStringToObject(object, "workspace", mount->workspace);
    else
        cJSON_AddNullToObject(object, "workspace");
    cJSON_AddStringToObject(object, "state", name_state(mount->state));
    if (mount->state == STATE_UNREADABLE)
        cJSON_AddStringToObject(object, "error", g_strerror(mount->failure));
    append_line(into, mount, object);
    cJSON_Delete(object);
    mount->told_state = mount->state;
}

static gboolean
print_changes(Watch *watch)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < watch->mounts->len; i++) {
        Watched *mount = watch->mounts->pdata[i];
        if (mount->state != mount->told_state)
            append_state(text, mount);
        if (mount->state != STATE_SERVING)
            continue;
        g_autoptr(GPtrArray) news = take_news(mount);
        for (guint j = 0; j < news->len; j++)
            append_line(text, mount, news->pdata[j]);
    }
    return mount_commands_print(watch->options, text->str, text->len);
}

/* --- the command --- */

static void
forget_gone(Watch *watch)
{
    for (guint i = watch->mounts->len; i-- > 0;) {
        if (((Watched *)watch->mounts->pdata[i])->state == STATE_GONE)
            g_ptr_array_remove_index(watch->mounts, i);
    }
}

/* A mount whose daemon has died stays mounted, and will say no more. */
static const Watched *
find_dead(const Watch *watch)
{
    const Watched *only =
        watch->mountpoint && watch->mounts->len == 1 ? watch->mounts->pdata[0] : NULL;

    return only && only->state == STATE_UNREADABLE && only->failure == ENOTCONN ? only : NULL;
}

static int
fail_for(Watch *watch, LakeErrorCode code, const char *message, int status)
{
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&watch->terminal, mount_terminal_free);
    lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, code, "%s %s",
        watch->mountpoint ? watch->mountpoint : watch->config->state_dir, message);
    return mount_commands_fail(watch->options, error, status);
}

static int
run(Watch *watch)
{
    gboolean is_first = TRUE;

    while (!g_cancellable_is_cancelled(watch->cancellable)) {
        gint64 next_us = g_get_monotonic_time() + watch->interval_us;
        list_mounts(watch);
        ask_mounts(watch);
        if (is_first && watch->mounts->len == 0)
            return fail_for(watch, LAKE_ERROR_NOT_FOUND,
                watch->mountpoint ? "is no mount of deeplakefs"
                                  : "is a state folder of which nothing is mounted",
                MOUNT_EXIT_USAGE);
        is_first = FALSE;
        await_answers(watch);
        if (find_dead(watch))
            return fail_for(watch, LAKE_ERROR_OFFLINE, "is a mount whose daemon has died",
                MOUNT_EXIT_SYSTEM);

        if (watch->terminal)
            draw(watch);
        else if (!print_changes(watch))
            return MOUNT_EXIT_SYSTEM;
        forget_gone(watch);
        if (watch->mounts->len == 0)
            return MOUNT_EXIT_OK;
        g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(GPollFD));
        wait_for(watch, none, next_us);
    }
    return MOUNT_EXIT_INTERRUPTED;
}

static gboolean
parse_interval(const char *given, gint64 *ret_interval_us, GError **error)
{
    char *end = NULL;
    double seconds = given ? g_ascii_strtod(given, &end) : 1;

    if (given &&
        (end == given || *end || !(seconds >= INTERVAL_MIN_S) || seconds > INTERVAL_MAX_S)) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_BAD_INPUT,
            "--interval %s: must be seconds, from 0.1 to 3600", given);
        return FALSE;
    }
    *ret_interval_us = (gint64)(seconds * G_USEC_PER_SEC);
    return TRUE;
}

int
mount_watch_run(
    const MountOptions *options, const LakeConfig *config, GCancellable *cancellable)
{
    g_autoptr(GError) error = NULL;
    const char *given = options->arguments->len ? options->arguments->pdata[0] : NULL;
    g_autofree char *mountpoint = given ? mount_mountpoint_canonicalize(given) : NULL;
    Watch watch = {
        .options = options,
        .config = config,
        .cancellable = cancellable,
        .mountpoint = mountpoint,
    };

    if (given && !mountpoint)
        lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NOT_FOUND, "%s: %s", given,
            g_strerror(errno));
    if (error || !parse_interval(options->interval, &watch.interval_us, &error))
        return mount_commands_fail(options, error, MOUNT_EXIT_USAGE);

    watch.mounts = g_ptr_array_new_with_free_func(free_watched);
    if (!options->is_json)
        watch.terminal = mount_terminal_new(STDOUT_FILENO);
    int status = run(&watch);
    mount_terminal_free(watch.terminal);
    g_ptr_array_unref(watch.mounts);
    return status;
}
