/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/memory.h"

#include <glib.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LARGE_BYTES ((size_t)64 * 1024)

/* What stands before each piece. */
typedef union {
    size_t n_bytes; /* of the piece */
    max_align_t alignment;
} Header;

static Header *
header_of(void *memory)
{
    return (Header *)memory - 1;
}

static gboolean
is_large(size_t n_bytes)
{
    return n_bytes >= LARGE_BYTES;
}

/* A large piece is a mapping of its own: only whole pages can be kept out of a dump, and whole
 * pages in the middle of the heap would tear it into parts that nothing fits in. */
static Header *
map(size_t n_bytes)
{
    void *mapped =
        mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapped == MAP_FAILED)
        return NULL;
    (void)madvise(mapped, n_bytes, MADV_DONTDUMP);
    return mapped;
}

void *
lake_api_memory_malloc(size_t n_bytes)
{
    if (n_bytes > G_MAXSIZE - sizeof(Header))
        return NULL;

    size_t n_with_header = sizeof(Header) + n_bytes;
    Header *header = is_large(n_bytes) ? map(n_with_header) : malloc(n_with_header);
    if (!header)
        return NULL;
    header->n_bytes = n_bytes;
    return header + 1;
}

void
lake_api_memory_free(void *memory)
{
    if (!memory)
        return;

    Header *header = header_of(memory);
    size_t n_bytes = header->n_bytes;
    if (is_large(n_bytes)) {
        munmap(header, sizeof(Header) + n_bytes);
        return;
    }
    explicit_bzero(memory, n_bytes);
    free(header);
}

void *
lake_api_memory_realloc(void *memory, size_t n_bytes)
{
    void *moved = lake_api_memory_malloc(n_bytes);

    if (!moved || !memory)
        return moved;
    memcpy(moved, memory, MIN(n_bytes, header_of(memory)->n_bytes));
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
