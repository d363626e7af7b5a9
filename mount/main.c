/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"
#include "mount/secret.h"

#include <locale.h>
#include <malloc.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    /* An arena per thread would keep what a burst of copies has used, thirty times over. */
    mallopt(M_ARENA_MAX, 2);

    g_autoptr(GError) error = NULL;
    g_autoptr(MountOptions) options = mount_options_parse(argc, argv, &error);
    mount_secret_hide_tokens(argc, argv); /* options has copies of what it took */
    if (!options) {
        g_autofree char *text = mount_commands_format_error(NULL, error);
        fputs(text, stderr);
        return MOUNT_EXIT_USAGE;
    }
    return mount_commands_run(options);
}
