/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/extension.h: pg_deeplake, the server's extension for search, as the database of a
 * workspace has it or not. Everything else works without.
 *
 * Nothing is cached: it may be created and dropped while we look on. Any thread.
 */

#include "core/transport.h"
#include "core/type.h"

#define LAKE_EXTENSION_NAME "pg_deeplake"

typedef struct {
    char *version; /* NULL: this database does not have it */
    char *schema;  /* where its types and operators are, quoted; NULL with version */
    char *trouble; /* why it could not be created, NULL where it was not tried or went well */
} LakeExtension;

/* Looks, and with may_create makes it in the schema public where the server has its files.
 * That it cannot be made is no error: a workspace is as good without as it was. Caller frees.
 */
LakeExtension *lake_extension_open(
    LakeTransport *transport, gboolean may_create, GCancellable *cancellable, GError **error);
void lake_extension_free(LakeExtension *extension);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeExtension, lake_extension_free)

/* One row (version, quoted schema) or none, for whoever is in a transaction. */
LakeStatement *lake_extension_statement(void);

/* What CREATE TABLE takes for a column: the domain in schema (quoted), or the base type where
 * schema is NULL or there is no domain. Caller frees. */
char *lake_extension_dup_type(const char *schema, LakeType type);
