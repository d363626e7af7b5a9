/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/changeset.h: which tables and drop zones of a workspace have changed, and in what way;
 * and that as the text of an announcement (NOTIFY).
 *
 * Says no more than the names of tables, which pg_class shows to every role anyway: whoever may
 * connect may listen. Anyone may announce too, so what is read here may be anything. Bounded:
 * too much is "everything". Not for several threads at once.
 */

#include <glib.h>

#define LAKE_CHANGESET_TEXT_MAX_BYTES 7999 /* NOTIFY_PAYLOAD_MAX_LENGTH - 1, async.c */

typedef enum {
    LAKE_CHANGE_TABLE = 1 << 0, /* made, dropped, renamed; or its drop zone was */
    LAKE_CHANGE_FILES = 1 << 1, /* what its drop zone shows, or its options */
    LAKE_CHANGE_ROWS =
        1 << 2, /* rows that were there, columns, indexes; not: rows were added */
    LAKE_CHANGE_ALL = LAKE_CHANGE_TABLE | LAKE_CHANGE_FILES | LAKE_CHANGE_ROWS,
} LakeChangeKind;

typedef struct {
    gboolean is_everything; /* then tables is empty */
    GHashTable *tables;     /* name → LakeChangeKind as pointer */
} LakeChangeset;

LakeChangeset *lake_changeset_new(void);
void lake_changeset_free(LakeChangeset *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeChangeset, lake_changeset_free)

/* table NULL: everything. */
void lake_changeset_add(LakeChangeset *set, const char *table, guint kinds);
void lake_changeset_merge(LakeChangeset *into, const LakeChangeset *from);
gboolean lake_changeset_is_empty(const LakeChangeset *set);

/* At most LAKE_CHANGESET_TEXT_MAX_BYTES of ASCII; says "everything" where the names take more.
 * sender: a UUID. Caller frees. */
char *lake_changeset_encode(const LakeChangeset *set, const char *sender);

/* NULL when text is not what lake_changeset_encode() gives. */
LakeChangeset *lake_changeset_decode(const char *text, char **ret_sender);
