/* SPDX-License-Identifier: Apache-2.0 */
#include "core/changes.h"

#include "core/error.h"
#include <signal.h>
#include <string.h>

#define ANNOUNCE_INTERVAL_US (50 * G_TIME_SPAN_MILLISECOND)
/* What is left at the end: a command should not hang on a server that went away. */
#define LAST_WORDS_US (2 * G_TIME_SPAN_SECOND)
/* After a lost connection, and doubled with every attempt that fails: up to the first where
 * there is no server, up to the second where it refuses, or nothing is heard. */
#define PAUSE_US (100 * G_TIME_SPAN_MILLISECOND)
#define PAUSE_OFFLINE_MAX_US (2 * G_TIME_SPAN_SECOND)
#define PAUSE_REFUSED_MAX_US (60 * G_TIME_SPAN_SECOND)
/* An announcement to ourselves shows that announcements come through. */
#define PROBE_INTERVAL_US (30 * G_TIME_SPAN_SECOND)
#define PROBE_LIMIT_US (5 * G_TIME_SPAN_SECOND)

struct LakeChanges {
    LakeTransport *transport;
    char *channel;
    char *sender; /* who we are on it */

    GMutex lock; /* guards what follows up to the listener's own */
    GCond woken;
    LakeChangeset *pending; /* not announced yet */
    gboolean is_ending;
    gboolean are_words_out;
    GThread *announcer; /* NULL: nothing was ever noted */
    const LakeChangesWatch *watch;
    gpointer watch_data;
    gboolean are_heard;

    GThread *listener;
    GCancellable *listener_stop;
    GCancellable *announcer_stop;
    /* The listener's own. */
    gint64 probed_at_us;
    gboolean is_probe_heard;
};

char *
lake_changes_channel(const char *workspace)
{
    /* A schema's name may take all of the 63 bytes that the channel's has, and any character.
     */
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, workspace, -1);

    return g_strdup_printf("deeplakefs_%.32s", digest);
}

LakeChanges *
lake_changes_new(LakeTransport *transport, const char *workspace)
{
    LakeChanges *changes = g_new0(LakeChanges, 1);

    changes->transport = transport;
    changes->channel = lake_changes_channel(workspace);
    changes->sender = g_uuid_string_random();
    changes->pending = lake_changeset_new();
    changes->announcer_stop = g_cancellable_new();
    g_mutex_init(&changes->lock);
    g_cond_init(&changes->woken);
    return changes;
}

/* Signals are for the threads that expect them. */
static GThread *
start_thread(const char *name, GThreadFunc run, gpointer data)
{
    sigset_t all;
    sigset_t former;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    GThread *thread = g_thread_new(name, run, data);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return thread;
}

/* --- announcing --- */

static gboolean
announce(
    LakeChanges *changes, const LakeChangeset *set, GCancellable *cancellable, GError **error)
{
    g_autofree char *text = lake_changeset_encode(set, changes->sender);
    g_autoptr(LakeStatement) statement = lake_statement_new("SELECT pg_notify($1, $2)");

    lake_statement_add_text(statement, changes->channel);
    lake_statement_add_text(statement, text);
    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) result = lake_transport_run(
        changes->transport, LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    return result != NULL;
}

/* With the lock held. What there is to announce, once it is time; NULL: at the end. */
static LakeChangeset *
wait_for_changes(LakeChanges *changes, gint64 not_before_us)
{
    for (;;) {
        gboolean is_any = !lake_changeset_is_empty(changes->pending);

        if (changes->is_ending && !is_any)
            return NULL;
        if (is_any && (changes->is_ending || g_get_monotonic_time() >= not_before_us)) {
            LakeChangeset *set = changes->pending;
            changes->pending = lake_changeset_new();
            return set;
        }
        if (is_any)
            g_cond_wait_until(&changes->woken, &changes->lock, not_before_us);
        else
            g_cond_wait(&changes->woken, &changes->lock);
    }
}

static gpointer
run_announcer(gpointer data)
{
    LakeChanges *changes = data;
    gint64 not_before_us = 0;

    g_mutex_lock(&changes->lock);
    for (;;) {
        g_autoptr(LakeChangeset) set = wait_for_changes(changes, not_before_us);
        if (!set)
            break;
        g_mutex_unlock(&changes->lock);
        /* When it cannot be said, others find out by looking. */
        (void)announce(changes, set, changes->announcer_stop, NULL);
        g_mutex_lock(&changes->lock);
        not_before_us = g_get_monotonic_time() + ANNOUNCE_INTERVAL_US;
    }
    changes->are_words_out = TRUE;
    g_cond_broadcast(&changes->woken);
    g_mutex_unlock(&changes->lock);
    return NULL;
}

void
lake_changes_note(LakeChanges *changes, const char *table, guint kinds)
{
    const LakeChangesWatch *watch;
    gpointer watch_data;

    gboolean can_tell = lake_transport_can_listen(changes->transport);

    g_mutex_lock(&changes->lock);
    if (can_tell)
        lake_changeset_add(changes->pending, table, kinds);
    if (can_tell && !changes->announcer)
        changes->announcer = start_thread("announcer", run_announcer, changes);
    g_cond_broadcast(&changes->woken);
    watch = changes->watch;
    watch_data = changes->watch_data;
    g_mutex_unlock(&changes->lock);
    if (watch)
        watch->noted(table, kinds, watch_data);
}

static void
end_announcer(LakeChanges *changes)
{
    gint64 until = g_get_monotonic_time() + LAST_WORDS_US;

    if (!changes->announcer)
        return;
    g_mutex_lock(&changes->lock);
    changes->is_ending = TRUE;
    g_cond_broadcast(&changes->woken);
    while (!changes->are_words_out)
        if (!g_cond_wait_until(&changes->woken, &changes->lock, until))
            break;
    g_mutex_unlock(&changes->lock);
    g_cancellable_cancel(changes->announcer_stop);
    g_thread_join(changes->announcer);
}

/* --- listening --- */

static void
set_heard(LakeChanges *changes, gboolean are_heard)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);

    changes->are_heard = are_heard;
}

/* Over another connection: what a pooler gives back to us on the same one proves nothing. */
static gboolean
probe(gpointer user_data, GError **error)
{
    LakeChanges *changes = user_data;
    g_autoptr(LakeChangeset) nothing = lake_changeset_new();

    changes->is_probe_heard = FALSE;
    changes->probed_at_us = g_get_monotonic_time();
    return announce(changes, nothing, changes->listener_stop, error);
}

/* What was announced while we were not listening is lost. */
static void
begin_to_hear(LakeChanges *changes)
{
    g_autoptr(LakeChangeset) everything = lake_changeset_new();

    changes->is_probe_heard = TRUE;
    if (lake_changes_are_heard(changes))
        return;
    set_heard(changes, TRUE);
    lake_changeset_add(everything, NULL, LAKE_CHANGE_ALL);
    changes->watch->heard(everything, changes->watch_data);
}

static void
hear(const char *text, gpointer user_data)
{
    LakeChanges *changes = user_data;
    g_autofree char *sender = NULL;
    g_autoptr(LakeChangeset) set = lake_changeset_decode(text, &sender);

    if (!set)
        return;
    if (strcmp(sender, changes->sender) == 0)
        begin_to_hear(changes);
    else if (!lake_changeset_is_empty(set))
        changes->watch->heard(set, changes->watch_data);
}

static gboolean
check_line(gpointer user_data, GError **error)
{
    LakeChanges *changes = user_data;
    gint64 age_us = g_get_monotonic_time() - changes->probed_at_us;

    if (changes->is_probe_heard)
        return age_us < PROBE_INTERVAL_US || probe(changes, error);
    if (age_us < PROBE_LIMIT_US)
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_UNSUPPORTED,
        "announcements do not come through");
    return FALSE;
}

static gint64
next_pause(gint64 pause_us, const GError *failure)
{
    gboolean is_offline = g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE);

    return MIN(pause_us * 2, is_offline ? PAUSE_OFFLINE_MAX_US : PAUSE_REFUSED_MAX_US);
}

static void
pause_listening(LakeChanges *changes, gint64 pause_us)
{
    gint64 until = g_get_monotonic_time() + pause_us;
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);

    while (!g_cancellable_is_cancelled(changes->listener_stop))
        if (!g_cond_wait_until(&changes->woken, &changes->lock, until))
            return;
}

static gpointer
run_listener(gpointer data)
{
    static const LakeListenSink sink = {.begin = probe, .heard = hear, .idle = check_line};
    LakeChanges *changes = data;
    gint64 pause_us = PAUSE_US;

    while (!g_cancellable_is_cancelled(changes->listener_stop)) {
        g_autoptr(GError) failure = NULL;

        lake_transport_listen(changes->transport, changes->channel, &sink, changes,
            changes->listener_stop, &failure);
        if (lake_changes_are_heard(changes))
            pause_us = PAUSE_US;
        set_heard(changes, FALSE);
        pause_listening(changes, pause_us);
        pause_us = next_pause(pause_us, failure);
    }
    return NULL;
}

void
lake_changes_watch(LakeChanges *changes, const LakeChangesWatch *watch, gpointer user_data)
{
    g_mutex_lock(&changes->lock);
    changes->watch = watch;
    changes->watch_data = user_data;
    g_mutex_unlock(&changes->lock);
    changes->listener_stop = g_cancellable_new();
    changes->listener = start_thread("listener", run_listener, changes);
}

void
lake_changes_unwatch(LakeChanges *changes)
{
    g_mutex_lock(&changes->lock);
    g_cancellable_cancel(changes->listener_stop);
    g_cond_broadcast(&changes->woken);
    g_mutex_unlock(&changes->lock);
    g_thread_join(g_steal_pointer(&changes->listener));
    g_clear_object(&changes->listener_stop);

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);
    changes->watch = NULL;
}

gboolean
lake_changes_are_heard(LakeChanges *changes)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&changes->lock);

    return changes->are_heard;
}

void
lake_changes_free(LakeChanges *changes)
{
    if (!changes)
        return;
    g_assert(!changes->listener);
    end_announcer(changes);
    lake_changeset_free(changes->pending);
    g_object_unref(changes->announcer_stop);
    g_mutex_clear(&changes->lock);
    g_cond_clear(&changes->woken);
    g_free(changes->channel);
    g_free(changes->sender);
    g_free(changes);
}
