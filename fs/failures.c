/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/failures.h"

#include <cjson/cJSON.h>
#include <string.h>

struct FsFailures {
    GMutex lock;  /* guards all below */
    GQueue lines; /* of char*, oldest first */
    guint64 n_ever;
    GHashTable *refusals; /* "zone//path" → text: a zone may have slashes, a path no two */
    GQueue refusal_order; /* of keys, borrowed from refusals; oldest first */
};

FsFailures *
fs_failures_new(void)
{
    FsFailures *failures = g_new0(FsFailures, 1);

    g_mutex_init(&failures->lock);
    g_queue_init(&failures->lines);
    g_queue_init(&failures->refusal_order);
    failures->refusals = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return failures;
}

void
fs_failures_free(FsFailures *failures)
{
    g_queue_clear_full(&failures->lines, g_free);
    g_queue_clear(&failures->refusal_order);
    g_hash_table_unref(failures->refusals);
    g_mutex_clear(&failures->lock);
    g_free(failures);
}

static void
add_text(cJSON *object, const char *name, const char *text)
{
    if (text)
        cJSON_AddStringToObject(object, name, text);
    else
        cJSON_AddNullToObject(object, name);
}

static char *
to_line(const FsFailure *failure)
{
    const LakeErrorFacts *facts = lake_error_facts(failure->error);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format_iso8601(now);
    cJSON *object = cJSON_CreateObject();

    cJSON_AddStringToObject(object, "time", time);
    cJSON_AddStringToObject(object, "op", failure->operation);
    cJSON_AddStringToObject(object, "path", failure->path);
    cJSON_AddNumberToObject(object, "uid", failure->uid);
    cJSON_AddNumberToObject(object, "pid", failure->pid);
    cJSON_AddNumberToObject(object, "errno", failure->saved_errno);
    cJSON_AddStringToObject(object, "class", lake_error_class_name(failure->error));
    add_text(object, "sqlstate", facts ? facts->sqlstate : NULL);
    cJSON_AddStringToObject(object, "message", failure->error->message);
    add_text(object, "hint", facts ? facts->hint : NULL);
    char *line = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    return line;
}

void
fs_failures_add(FsFailures *failures, const FsFailure *failure)
{
    char *line = to_line(failure);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);

    g_queue_push_tail(&failures->lines, g_strdup(line));
    cJSON_free(line);
    failures->n_ever++;
    if (g_queue_get_length(&failures->lines) > FS_FAILURES_MAX)
        g_free(g_queue_pop_head(&failures->lines));
}

char *
fs_failures_to_jsonl(FsFailures *failures)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);
    GString *text = g_string_new(NULL);

    for (const GList *item = failures->lines.head; item; item = item->next)
        g_string_append_printf(text, "%s\n", (const char *)item->data);
    return g_string_free(text, FALSE);
}

guint64
fs_failures_count(FsFailures *failures)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);

    return failures->n_ever;
}

/* With the lock held. */
static gboolean
forget_refusal(FsFailures *failures, const char *key)
{
    gpointer owned = NULL;

    if (!g_hash_table_lookup_extended(failures->refusals, key, &owned, NULL))
        return FALSE;
    g_queue_remove(&failures->refusal_order, owned);
    g_hash_table_remove(failures->refusals, key);
    return TRUE;
}

void
fs_failures_refuse(
    FsFailures *failures, const char *zone, const char *path, const GError *error)
{
    const LakeErrorFacts *facts = lake_error_facts(error);
    char *key = g_strconcat(zone, "//", path, NULL);
    gboolean has_hint = facts && facts->hint;
    char *text = g_strconcat(lake_error_class_name(error), ": ", error->message, "\n",
        has_hint ? "Hint: " : "", has_hint ? facts->hint : "", has_hint ? "\n" : "", NULL);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);

    (void)forget_refusal(failures, key);
    if (g_hash_table_size(failures->refusals) >= FS_FAILURES_REFUSALS_MAX)
        (void)forget_refusal(failures, g_queue_peek_head(&failures->refusal_order));
    g_hash_table_insert(failures->refusals, key, text);
    g_queue_push_tail(&failures->refusal_order, key);
}

gboolean
fs_failures_forgive(FsFailures *failures, const char *zone, const char *path)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);

    /* The way of every good close: no key is built where nothing was ever refused. */
    if (g_hash_table_size(failures->refusals) == 0)
        return FALSE;
    g_autofree char *key = g_strconcat(zone, "//", path, NULL);
    return forget_refusal(failures, key);
}

char *
fs_failures_reason(FsFailures *failures, const char *zone, const char *path)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);

    if (g_hash_table_size(failures->refusals) == 0)
        return NULL;
    g_autofree char *key = g_strconcat(zone, "//", path, NULL);
    return g_strdup(g_hash_table_lookup(failures->refusals, key));
}

GPtrArray *
fs_failures_refused(FsFailures *failures, const char *zone, const char *folder)
{
    g_autofree char *prefix = g_strconcat(zone, "//", folder, *folder ? "/" : "", NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&failures->lock);

    for (const GList *item = failures->refusal_order.head; item; item = item->next) {
        const char *key = item->data;
        const char *name = key + strlen(prefix);

        if (g_str_has_prefix(key, prefix) && !strchr(name, '/'))
            g_ptr_array_add(names, g_strdup(name));
    }
    return names;
}
