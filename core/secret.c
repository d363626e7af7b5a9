/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What lies at the beginning of a secret's pages. */
typedef struct {
    gsize n_mapped_bytes;
    char text[];
} Pages;

char *
lake_secret_dup(const char *text, gssize n_bytes)
{
    if (!text)
        return NULL;

    gsize length = n_bytes < 0 ? strlen(text) : (gsize)n_bytes;
    gsize page_bytes = (gsize)sysconf(_SC_PAGESIZE);
    gsize n_wanted = offsetof(Pages, text) + length + 1;
    gsize n_mapped = (n_wanted + page_bytes - 1) / page_bytes * page_bytes;
    Pages *pages =
        mmap(NULL, n_mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        g_error("no memory for a secret of %" G_GSIZE_FORMAT " bytes", length);

    /* Either may be refused, by an old kernel or a low limit: the text is needed all the same.
     */
    (void)madvise(pages, n_mapped, MADV_DONTDUMP);
    (void)mlock(pages, n_mapped);
    pages->n_mapped_bytes = n_mapped;
    memcpy(pages->text, text, length);
    return pages->text;
}

void
lake_secret_free(char *secret)
{
    if (!secret)
        return;

    Pages *pages = (Pages *)(void *)(secret - offsetof(Pages, text));
    gsize n_mapped = pages->n_mapped_bytes;
    explicit_bzero(pages, n_mapped);
    munmap(pages, n_mapped);
}

void
lake_secret_unset_variable(const char *variable)
{
    gsize n_name = strlen(variable);

    /* unsetenv only drops the pointer; the bytes would stay where the kernel shows them. */
    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, variable, n_name) == 0 && (*entry)[n_name] == '=')
            explicit_bzero(*entry + n_name + 1, strlen(*entry + n_name + 1));
    unsetenv(variable);
}
