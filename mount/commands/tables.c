/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/query.h"

#include <string.h>

typedef struct {
    const MountOptions *options;
    GString *text;
    gboolean is_first;
} Listing;

static const char *
get_kind_name(LakeTableKind kind)
{
    switch (kind) {
    case LAKE_TABLE_TABLE:
        return "table";
    case LAKE_TABLE_VIEW:
        return "view";
    }
    g_assert_not_reached();
}

/* n_rows is -1 where it was not asked for. */
static void
add_table(Listing *listing, const LakeTableName *table, gint64 n_rows)
{
    if (!listing->options->is_json) {
        if (n_rows >= 0)
            g_string_append_printf(listing->text, "%-5s %12" G_GINT64_FORMAT "  ",
                get_kind_name(table->kind), n_rows);
        g_string_append_printf(listing->text, "%s\n", table->name);
        return;
    }

    g_string_append(listing->text, listing->is_first ? "" : ",\n ");
    listing->is_first = FALSE;
    if (n_rows >= 0)
        g_string_append(listing->text, "{\"table_name\":");
    lake_json_append_string(listing->text, table->name, strlen(table->name));
    if (n_rows >= 0)
        g_string_append_printf(listing->text,
            ",\"kind\":\"%s\",\"row_count\":%" G_GINT64_FORMAT "}", get_kind_name(table->kind),
            n_rows);
}

static int
list_tables(MountSession *session)
{
    g_autoptr(GError) error = NULL;
    LakeCatalog *catalog = lake_workspace_catalog(session->workspace);
    g_autoptr(GPtrArray) tables = lake_catalog_list(catalog, session->cancellable, &error);
    if (!tables)
        return mount_commands_fail(session->options, error, mount_commands_exit_status(error));

    g_autoptr(GString) text = g_string_new(session->options->is_json ? "[" : "");
    Listing listing = {.options = session->options, .text = text, .is_first = TRUE};
    for (guint i = 0; i < tables->len; i++) {
        const LakeTableName *table = tables->pdata[i];
        gint64 n_rows = -1;
        if (session->options->is_long) {
            n_rows = lake_catalog_count(catalog, table->name, session->cancellable, &error);
            if (n_rows < 0)
                return mount_commands_fail(
                    session->options, error, mount_commands_exit_status(error));
        }
        add_table(&listing, table, n_rows);
    }
    if (session->options->is_json)
        g_string_append(text, "]\n");

    return mount_commands_print(session->options, text->str, text->len) ? MOUNT_EXIT_OK
                                                                        : MOUNT_EXIT_SYSTEM;
}

int
mount_commands_tables(const MountOptions *options)
{
    return mount_commands_with_workspace(options, list_tables);
}
