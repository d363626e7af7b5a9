/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/xattr.h: extended attributes as the ledger keeps them: a JSON object, names to base64
 * values. Pure; any thread. NULL stands for an object without members. */

#include <glib.h>

/* Only user.* can be set; the rest belongs to the kernel and is not kept. */
gboolean fs_xattr_is_kept(const char *name);

/* The value, owned by the caller; NULL: not set. */
GBytes *fs_xattr_get(const char *json, const char *name);
/* The object with name set, or removed (value NULL); NULL when nothing is left. Caller frees.
 */
char *fs_xattr_with(const char *json, const char *name, const void *value, gsize n_bytes);
/* All names but user.deeplake.*, each followed by a NUL, as listxattr(2) wants them. */
GByteArray *fs_xattr_names(const char *json);
