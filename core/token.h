/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/token.h: the token that the service knows us by: a JSON Web Token (RFC 7519), from the
 * environment or from a file.
 *
 * Its claims are read, not verified: that is for the service. The text leaves this file only as
 * the Authorization header; no error quotes any of it. It lies in memory as core/secret.h says.
 *
 * Ref-counted; any thread, one lock.
 */

#include <glib.h>

#define LAKE_TOKEN_FILE_MAX_BYTES (64 * 1024) /* headers of most servers end at 8 to 64 KiB */

typedef struct LakeToken LakeToken;

/* Of text; space around it does not count.
 *   NO_ACCESS  class AUTH, "Token required": text is NULL or empty
 *   BAD_INPUT  class TOKEN: not three parts, or its claims are no JSON object */
LakeToken *lake_token_new(const char *text, GError **error);

/* Of a file that holds nothing else. As ssh does with private keys, one that belongs to us and
 * that the group or others may read is refused (NO_ACCESS). Also as lake_token_new, and
 * NOT_FOUND, BAD_INPUT (no regular file) and what reading can bring, all class TOKEN. */
LakeToken *lake_token_new_from_file(const char *path, GError **error);

LakeToken *lake_token_ref(LakeToken *token);
void lake_token_unref(LakeToken *token);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeToken, lake_token_unref)

/* The claim OrgID; NULL: there is none, and GET /me knows. Caller frees. */
char *lake_token_dup_organization(LakeToken *token);

/* FALSE with NO_ACCESS, class AUTH, "Token expired …" when its claim exp was more than a minute
 * before now_s (seconds since 1970): clocks may differ by so much. A file is read again first.
 */
gboolean lake_token_check_expiry(LakeToken *token, gint64 now_s, GError **error);

/* "Authorization: Bearer …", for lake_secret_free. *ret_version says which text this is. */
char *lake_token_dup_header(LakeToken *token, guint *ret_version);

/* After the service has refused the text of that version: TRUE when there is another one now,
 * perhaps as the file was read again. FALSE without an error: it is the same, or no file.
 * FALSE with an error: as lake_token_new_from_file; the former text stays. */
gboolean lake_token_renew(LakeToken *token, guint version, GError **error);

/* Where a new one is to be put, for hints: the file's path, or NULL. Borrowed. */
const char *lake_token_file(const LakeToken *token);
