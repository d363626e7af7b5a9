/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/changes.h: one workspace's changes, told to its other clients and heard from them, by
 * LISTEN and NOTIFY on a channel of the workspace.
 *
 * Announced after the commit and from a thread of its own, since a NOTIFY holds a lock of the
 * whole database until its transaction has ended: inside of those of ingests it would make them
 * queue. The first change is announced at once, those of the next 50 ms together. An
 * announcement may get lost (a client that is killed, a server that is away): whoever needs to
 * know looks again after a while in any case. What is heard may come from anyone, and is never
 * more than a reason to look again.
 *
 * Any thread, but for new, free, watch and unwatch, which belong to one.
 */

#include "core/changeset.h"
#include "core/transport.h"

typedef struct LakeChanges LakeChanges;

/* transport is borrowed. Nothing is asked of it before the first change or watch. */
LakeChanges *lake_changes_new(LakeTransport *transport, const char *workspace);
/* Announces what is left, for two seconds at most. NULL is allowed. */
void lake_changes_free(LakeChanges *changes);

/* table NULL: everything. kinds: LakeChangeKind. Never waits. */
void lake_changes_note(LakeChanges *changes, const char *table, guint kinds);

typedef struct {
    /* Of lake_changes_note(), on its caller's thread. table NULL: everything. */
    void (*noted)(const char *table, guint kinds, gpointer user_data);
    /* Of others, on the listener's thread, which should not be kept long. Everything, when it
     * begins to hear. */
    void (*heard)(const LakeChangeset *set, gpointer user_data);
} LakeChangesWatch;

/* Listens from here on, with a connection of its own, and connects again when it is lost. watch
 * is borrowed until unwatch, which returns when no call of heard is under way. */
void
lake_changes_watch(LakeChanges *changes, const LakeChangesWatch *watch, gpointer user_data);
void lake_changes_unwatch(LakeChanges *changes);

/* FALSE while it does not, and for good where the server offers none (a standby, a pooler that
 * gives every transaction another connection): only what was heard of ourselves counts. */
gboolean lake_changes_are_heard(LakeChanges *changes);

/* The channel of a workspace: an identifier that needs no quotes, whatever the name. Caller
 * frees. */
char *lake_changes_channel(const char *workspace);
