/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"
#include "mount/secret.h"

#include <locale.h>
#include <malloc.h>
#include <stdio.h>

#define KEPT_BYTES ((gsize)2 * 1024 * 1024)

int
main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "");
    /* An arena per thread would keep what a burst of copies has used, thirty times over. */
    mallopt(M_ARENA_MAX, 2);
    /* As much as the largest block so far that was given back, the allocator keeps: so pieces
     * of values that come and go are not the kernel's each time, which would have to clear
     * them. */
    g_free(g_malloc(KEPT_BYTES));

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
