/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/memory.h"

#include <glib.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_BYTES ((size_t)64 * 1024)

/* The whole pages of a large piece; only those are to be told of. */
static void
advise(void *memory, int advice)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    guintptr begin = ((guintptr)memory + page_bytes - 1) / page_bytes * page_bytes;
    guintptr end = ((guintptr)memory + malloc_usable_size(memory)) / page_bytes * page_bytes;

    if (end > begin)
        (void)madvise(GSIZE_TO_POINTER(begin), end - begin, advice);
}

void *
lake_api_memory_malloc(size_t n_bytes)
{
    void *memory = NULL;

    if (n_bytes < LARGE_BYTES)
        return malloc(n_bytes);
    /* From a page's beginning to another's end, so that no byte of it is dumped. */
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (n_bytes > G_MAXSIZE - page_bytes ||
        posix_memalign(
            &memory, page_bytes, (n_bytes + page_bytes - 1) / page_bytes * page_bytes))
        return NULL;
    advise(memory, MADV_DONTDUMP);
    return memory;
}

void
lake_api_memory_free(void *memory)
{
    if (!memory)
        return;
    explicit_bzero(memory, malloc_usable_size(memory));
    if (malloc_usable_size(memory) >= LARGE_BYTES)
        advise(memory, MADV_DODUMP); /* others may get it next */
    free(memory);
}

void *
lake_api_memory_realloc(void *memory, size_t n_bytes)
{
    void *moved = lake_api_memory_malloc(n_bytes);

    if (!moved || !memory)
        return moved;
    memcpy(moved, memory, MIN(n_bytes, malloc_usable_size(memory)));
    lake_api_memory_free(memory);
    return moved;
}

char *
lake_api_memory_strdup(const char *text)
{
    size_t n_bytes = strlen(text) + 1;
    char *copy = lake_api_memory_malloc(n_bytes);

    return copy ? memcpy(copy, text, n_bytes) : NULL;
}

void *
lake_api_memory_calloc(size_t n, size_t n_bytes)
{
    if (n_bytes > 0 && n > G_MAXSIZE / n_bytes)
        return NULL;
    void *memory = lake_api_memory_malloc(n * n_bytes);

    return memory ? memset(memory, 0, n * n_bytes) : NULL;
}
