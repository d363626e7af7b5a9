/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/inbox.h: ingest/, the drop zones in it, and the files that are copied there.
 *
 * A file that is being written is `unsaved`: its bytes are in a spool of the handle that writes
 * them, its attributes in the node, and the node is pinned. A commit (fs/node/inbox_file.c)
 * turns it into an entry of the ledger, and from then on attributes come from there. Files with
 * temporary names stay unsaved until they are renamed or removed.
 */

#include "fs/node.h"

/* Drop zone (the table's exact name) and path below it of a node in ingest/; caller frees both.
 * FALSE (NOT_FOUND) when the node was taken out of the tree. */
gboolean fs_inbox_locate(FsNode *node, char **ret_zone, char **ret_path, GError **error);

/* `<name>.error` beside a file says why it was refused. */
#define FS_INBOX_ERROR_SUFFIX ".error"

/* --- fs/node/inbox_list.c --- */

/* As FsNodeClass.list: sorted by name (strcmp). */
GPtrArray *fs_inbox_folder_list(
    FsNode *folder, FsCall *call, const char *after, gboolean *ret_is_last, GError **error);

/* --- fs/node/inbox_file.c --- */

/* The node of a file by this name, made where it is new. New reference. */
FsNode *fs_inbox_file_child(FsNode *folder, const char *name);
gboolean fs_inbox_file_is_unsaved(FsNode *file);
/* Whether the ledger has an entry under the name of an unsaved file, of its former bytes. */
gboolean fs_inbox_file_is_entered(FsNode *file);
/* Opens a file that is new or to be overwritten. */
FsHandle *fs_inbox_file_create(
    FsNode *file, FsCall *call, const LakeFileAttributes *attributes, int flags);
/* A held file is being committed, renamed or removed by its holder, and by nobody else: a close
 * waits, and then finds the file under its new name, or gone. No lock: the server may be asked
 * meanwhile, and waiting for it can be interrupted (CANCELLED). files, of FsNode, is sorted. */
gboolean fs_inbox_files_hold(GPtrArray *files, FsCall *call, GError **error);
void fs_inbox_files_let_go(GPtrArray *files);
/* Forgets unsaved bytes; handles that are still open on them will not be ingested. */
void fs_inbox_file_drop(FsNode *file);
/* Ingests the unsaved bytes, if any, of a file that the caller holds, as ingest/<zone>/<path>.
 */
gboolean fs_inbox_file_commit(
    FsNode *file, FsCall *call, const char *zone, const char *path, GError **error);

/* Attributes of a ledger's entry into a status. */
void fs_inbox_fill_status(
    FsNode *node, const LakeFileAttributes *attributes, gint64 size_bytes, struct stat *status);
/* Of a file or folder (mode says which) that call makes in one with the attributes `folder`
 * (NULL: in ingest/ itself): the caller's, or with the set-group-ID bit the folder's group. */
LakeFileAttributes
fs_inbox_new_attributes(const FsCall *call, guint32 mode, const LakeFileAttributes *folder);
/* change's fields but the size into attributes. */
void fs_inbox_apply_change(LakeFileAttributes *attributes, const FsChange *change);
