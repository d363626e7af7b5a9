/* SPDX-License-Identifier: Apache-2.0 */
#include "core/extension.h"

#include "core/error.h"

LakeStatement *
lake_extension_statement(void)
{
    LakeStatement *statement = lake_statement_new(
        "SELECT e.extversion, pg_catalog.quote_ident(n.nspname)"
        " FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n"
        " ON n.oid = e.extnamespace WHERE e.extname = '" LAKE_EXTENSION_NAME "'");

    statement->is_prepared = TRUE;
    statement->is_repeatable = TRUE;
    return statement;
}

void
lake_extension_free(LakeExtension *extension)
{
    if (!extension)
        return;
    g_free(extension->version);
    g_free(extension->schema);
    g_free(extension->trouble);
    g_free(extension);
}

static gboolean
look(LakeExtension *extension, LakeTransport *transport, GCancellable *cancellable,
    GError **error)
{
    g_autoptr(LakeStatement) statement = lake_extension_statement();
    g_autoptr(LakeResult) found = lake_transport_run(
        transport, LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);

    if (found && lake_result_n_rows(found) > 0) {
        extension->version = g_strdup(lake_result_text(found, 0, 0));
        extension->schema = g_strdup(lake_result_text(found, 0, 1));
    }
    return found != NULL;
}

static gboolean
has_files(LakeTransport *transport, gboolean *ret_has_files, GCancellable *cancellable,
    GError **error)
{
    g_autoptr(LakeStatement) statement =
        lake_statement_new("SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions"
                           " WHERE name = '" LAKE_EXTENSION_NAME "')");

    statement->is_repeatable = TRUE;
    g_autoptr(LakeResult) found = lake_transport_run(
        transport, LAKE_TRANSPORT_INTERACTIVE, statement, cancellable, error);
    *ret_has_files = found && lake_result_bool(found, 0, 0);
    return found != NULL;
}

/* Several mounts begin at once: IF NOT EXISTS alone loses that race. */
static void
create(LakeExtension *extension, LakeTransport *transport, GCancellable *cancellable)
{
    g_autoptr(LakeStatement) lock = lake_statement_new(
        "SELECT pg_advisory_xact_lock(hashtextextended('deeplakefs " LAKE_EXTENSION_NAME
        "', 0))");
    g_autoptr(LakeStatement) make = lake_statement_new(
        "CREATE EXTENSION IF NOT EXISTS " LAKE_EXTENSION_NAME " SCHEMA public");
    LakeStatement *all[] = {lock, make};
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeResult) result = lake_transport_run_all(
        transport, LAKE_TRANSPORT_INTERACTIVE, all, G_N_ELEMENTS(all), cancellable, &failure);

    if (!result)
        extension->trouble = g_strdup(failure->message);
}

LakeExtension *
lake_extension_open(
    LakeTransport *transport, gboolean may_create, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeExtension) extension = g_new0(LakeExtension, 1);
    gboolean is_there = FALSE;

    if (!look(extension, transport, cancellable, error))
        return NULL;
    if (extension->version || !may_create)
        return g_steal_pointer(&extension);

    if (!has_files(transport, &is_there, cancellable, error))
        return NULL;
    if (is_there) {
        create(extension, transport, cancellable);
        if (!look(extension, transport, cancellable, error))
            return NULL;
    }
    return g_steal_pointer(&extension);
}

char *
lake_extension_dup_type(const char *schema, LakeType type)
{
    const LakeTypeInfo *info = lake_type_info(type);

    if (!schema || !info->domain)
        return g_strdup(info->sql_name);
    return g_strconcat(schema, ".", info->domain, NULL);
}
