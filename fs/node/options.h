/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/options.h: ingest/<table>/.ingest.json: the options of one drop zone.
 *
 * An entry of the ledger like any other file of the zone, so it is listed, copied and removed
 * as they are. What is written is checked, and counts from the close on. Beside it is found,
 * and not listed, .ingest.effective.json: all options that count, the mount's among them.
 */

#include "fs/node.h"

/* TRUE for the path, below its drop zone, of the options. */
gboolean fs_options_is_path(const char *path);

/* The node of a drop zone's options, with a reference; is_there: the ledger has them. NULL:
 * there are none, and nobody is writing any. */
FsNode *fs_options_lookup(FsNode *zone_folder, gboolean is_there);
/* path: below the drop zone. REFUSED where options cannot be. */
FsHandle *fs_options_create(FsNode *zone_folder, FsCall *call, const char *path,
    const LakeFileAttributes *attributes, int flags, GError **error);
/* OTHER_TABLE when one of the paths is that of options: mv and rsync copy then, and what is
 * written is checked. */
gboolean fs_options_check_move(const char *path, const char *new_path, GError **error);
gboolean fs_options_is_effective_path(const char *path);
/* The document, with a reference. */
FsNode *fs_options_effective(FsNode *zone_folder);
/* Back to the mount's settings. */
gboolean fs_options_remove(FsNode *zone_folder, FsCall *call, const char *zone, GError **error);
