/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/error.h"

static int
drop(MountSession *session)
{
    g_autoptr(GError) error = NULL;
    const char *name = session->options->arguments->pdata[0];

    if (session->config->read_only || session->config->no_drop) {
        lake_error_set(&error, LAKE_ERROR_CLASS_TABLE,
            session->config->read_only ? LAKE_ERROR_READ_ONLY : LAKE_ERROR_NO_ACCESS,
            "table %s stays: the setting %s is on", name,
            session->config->read_only ? "read_only" : "no_drop");
        return mount_commands_fail(session->options, error, MOUNT_EXIT_USAGE);
    }

    LakeCatalog *catalog = lake_workspace_catalog(session->workspace);
    if (lake_catalog_drop(catalog, name, session->cancellable, &error))
        return MOUNT_EXIT_OK;
    if (session->options->if_exists && g_error_matches(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return MOUNT_EXIT_OK;
    return mount_commands_fail(session->options, error, mount_commands_exit_status(error));
}

int
mount_commands_drop(const MountOptions *options)
{
    return mount_commands_with_workspace(options, drop);
}
