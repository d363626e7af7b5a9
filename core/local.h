/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/local.h: folders of this machine that an option names, and the files in them.
 *
 * They are read with the rights of this process, so whoever lets somebody name one decides
 * first whether he may. Truth about mounts comes from /proc/self/mountinfo and
 * /proc/self/fdinfo (proc(5)). Any thread; a folder serves one at a time.
 */

#include "core/spool.h"

/* What the kernel calls a mount of this program. */
#define LAKE_LOCAL_OWN_TYPE "fuse.deeplakefs"

typedef struct LakeLocalFolder LakeLocalFolder;

/* path is absolute; its symbolic links are followed, but not onto a mount of deeplakefs: a
 * daemon that reads its own mount would wait for itself.
 *   BAD_INPUT  not absolute, not there, no folder, on a mount of deeplakefs
 *   NO_ACCESS  this process may not */
LakeLocalFolder *lake_local_folder_open(const char *path, GError **error);
/* NULL is allowed. */
void lake_local_folder_free(LakeLocalFolder *folder);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeLocalFolder, lake_local_folder_free)

/* The regular file name below folder, '/' between parts. Nothing outside of it: no "..", no
 * symbolic link, no mount of deeplakefs. What would make an opener wait (a FIFO) does not.
 *   BAD_INPUT  no such name, not there, no regular file
 *   NO_ACCESS  this process may not */
LakeSpool *
lake_local_folder_open_file(LakeLocalFolder *folder, const char *name, GError **error);

/* The same without opening it; what it may be read by is not looked at. */
gboolean lake_local_folder_has_file(LakeLocalFolder *folder, const char *name, GError **error);
