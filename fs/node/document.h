/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/document.h: a file whose text is made when it is asked for: schema.json, status.json,
 * a
 * `.error` file. Read-only; exact size; made anew at every open.
 */

#include "fs/node.h"

/* Makes the text; caller frees. May ask the server only when call->may_block
 * (fs_call_may_block). */
typedef char *(*FsDocumentRender)(FsNode *document, FsCall *call, GError **error);

/* A reference to the document `name` of folder, made where it is new. A `waits` document is not
 * made for a mere stat: its size is then that of its last text. */
FsNode *
fs_document_child(FsNode *folder, const char *name, FsDocumentRender render, gboolean waits);
/* Only those may read it who may write queries: it shows what all users of the mount do. */
void fs_document_make_private(FsNode *document);
