/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/inbox_commit.h: a file of ingest/ between its first write and its rows. For
 * fs/node/inbox_file.c, which is the rest of it; others see fs/node/inbox.h. Any thread.
 */

#include "fs/node.h"

typedef struct {
    FsNode node;
    GMutex lock;                   /* guards all below, and the state of the file's handles */
    GCond let_go;                  /* is_held became FALSE */
    gboolean is_held;              /* fs_inbox_files_hold */
    gboolean is_unsaved;           /* the node is pinned exactly as long as this is TRUE */
    LakeFileAttributes attributes; /* while unsaved or open */
    char *xattrs;                  /* while unsaved or open for writing */
    LakeSpool *staged;             /* while unsaved: what was written last */
    LakeSpool *open_bytes;         /* of the writer that came last */
    guint64 version;               /* of the bytes: grows with each write */
    guint32 writer_uid; /* who began them; of several who wrote, one that did not mount */
    guint n_writers;
    gboolean is_rewritten; /* here, since it was last opened for reading */
    gboolean is_entered;   /* the ledger has an entry under its name, perhaps of former bytes */
    guint64 generation;    /* of drops: a handle from before one is dead */
} FsInboxFile;

LakeSpool *fs_inbox_commit_new_spool(FsNode *node);

/* With the file's lock held: what `staged` holds is newer than the ledger, or nothing is any
 * more. The second is for a caller that has a reference. */
void fs_inbox_commit_become_unsaved(FsInboxFile *file, LakeSpool *staged);
void fs_inbox_commit_become_saved(FsInboxFile *file);

/* fs_inbox_files_hold of one. */
gboolean fs_inbox_commit_hold(FsInboxFile *file, FsCall *call, GError **error);
void fs_inbox_commit_let_go(FsInboxFile *file);

/* Ingests content; the file is saved then, unless newer bytes were written meanwhile. The file
 * is held. */
gboolean fs_inbox_commit_spool(FsInboxFile *file, FsCall *call, const char *zone,
    const char *path, LakeSpool *content, GError **error);

/* With the file's lock held: a user writes to its bytes. Whoever is the only writer and begins
 * them sets writer_uid before. */
void fs_inbox_commit_note_writer(FsInboxFile *file, const FsCall *call);
/* Holds the file and ingests what handle wrote. TRUE without doing anything when the name is
 * temporary, the file is gone, or another handle emptied or wrote it later. */
gboolean fs_inbox_commit_handle(FsHandle *handle, FsCall *call, GError **error);
/* The entry's attributes into ledger and cache. */
gboolean fs_inbox_commit_attributes(
    FsNode *node, FsCall *call, const char *zone, LakeLedgerEntry *entry, GError **error);

/* truncate(2) by path of unsaved bytes; they are ingested at once, since the release of who
 * wrote them may be on its way already and would not see them. *ret_is_done FALSE: it is saved.
 */
gboolean fs_inbox_commit_resize(FsInboxFile *file, FsCall *call, const FsChange *change,
    gboolean *ret_is_done, GError **error);

/* What the ledger has of a file whose unsaved bytes were ingested under another name: gone.
 * was_entered: is_entered before that. */
gboolean fs_inbox_commit_forget_entry(FsContext *context, FsCall *call, const char *zone,
    const char *path, gboolean was_entered, GError **error);
/* What it has of a file whose unsaved bytes get another temporary name goes along, and makes
 * room under that. */
gboolean fs_inbox_commit_move_entry(FsContext *context, FsCall *call, const char *zone,
    const char *path, const char *new_path, GError **error);
