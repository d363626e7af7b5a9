/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/rows.h: <table>/rows/<key>/<column>.<extension>: what its three kinds of node need of
 * each other. */

#include "fs/node.h"

/* What the server said of rows is believed this long. */
#define FS_ROWS_FRESH_US (300 * G_TIME_SPAN_MILLISECOND)

/* rows/ of the table's folder; NULL without an error when the table has no primary key. */
FsNode *fs_rows_child(FsNode *table, FsCall *call, GError **error);

/* The folder of one row, which holds what was found in it; found (consumed, here and below) may
 * be NULL: asked for when needed. key is copied. changes: as they were
 * before it was found. */
FsNode *fs_row_child(FsNode *rows, const char *name, LakeRowTable *table,
    const char *const *key, LakeRow *found, guint64 changes);

/* fs_cache_rows_changes() of the table that a node lies in. */
guint64 fs_rows_changes(FsNode *in_table);

/* What was found of the row just now. */
void fs_row_note(FsNode *row, LakeRowTable *table, const char *const *key, LakeRow *found);

/* A file of a row, for one version of it. */
FsNode *fs_value_child(FsNode *row, const char *name, LakeRowTable *table,
    const char *const *key, const char *version, const LakeRowValue *value);

/* "text.txt", "image.png", "row.json"; caller frees. */
char *fs_value_name(const LakeRowValue *value);
