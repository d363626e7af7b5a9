/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/pdf/memory.h"

#include <stdlib.h>

/* Before what MuPDF gets, which has to be aligned as malloc does. */
struct LakePdfBlock {
    LakePdfBlock *next;
    LakePdfBlock *previous;
    gsize n_bytes; /* with this */
    gsize unused;
};

G_STATIC_ASSERT(sizeof(LakePdfBlock) % 16 == 0);

/* The mutex is held, as for the next two. */
static gboolean
is_within(const LakePdfMemory *memory, gsize n_bytes)
{
    return n_bytes <= LAKE_PDF_MEMORY_MAX_BYTES &&
           memory->n_bytes <= LAKE_PDF_MEMORY_MAX_BYTES - n_bytes;
}

static void
enter(LakePdfMemory *memory, LakePdfBlock *block)
{
    block->previous = NULL;
    block->next = memory->first;
    if (block->next)
        block->next->previous = block;
    memory->first = block;
    memory->n_bytes += block->n_bytes;
}

static void
leave(LakePdfMemory *memory, LakePdfBlock *block)
{
    if (block->previous)
        block->previous->next = block->next;
    else
        memory->first = block->next;
    if (block->next)
        block->next->previous = block->previous;
    memory->n_bytes -= block->n_bytes;
}

/* old may be NULL. NULL when there is no room: then old is as it was. */
static LakePdfBlock *
replace(LakePdfMemory *memory, LakePdfBlock *old, gsize n_bytes)
{
    LakePdfBlock *block = NULL;

    g_mutex_lock(&memory->mutex);
    if (is_within(memory, n_bytes)) {
        if (old)
            leave(memory, old);
        block = realloc(old, n_bytes);
        if (block)
            block->n_bytes = n_bytes;
        if (block || old)
            enter(memory, block ? block : old);
    }
    g_mutex_unlock(&memory->mutex);
    return block;
}

static void *
resize(void *user, void *bytes, size_t n_bytes)
{
    LakePdfBlock *old = bytes ? (LakePdfBlock *)bytes - 1 : NULL;
    LakePdfBlock *block = NULL;

    if (n_bytes <= LAKE_PDF_MEMORY_MAX_BYTES)
        block = replace(user, old, n_bytes + sizeof *block);
    return block ? block + 1 : NULL;
}

static void *
allocate(void *user, size_t n_bytes)
{
    return resize(user, NULL, n_bytes);
}

static void
release(void *user, void *bytes)
{
    LakePdfMemory *memory = user;
    LakePdfBlock *block = bytes ? (LakePdfBlock *)bytes - 1 : NULL;

    if (!block)
        return;
    g_mutex_lock(&memory->mutex);
    leave(memory, block);
    g_mutex_unlock(&memory->mutex);
    free(block);
}

void
lake_pdf_memory_init(LakePdfMemory *memory, fz_alloc_context *ret_alloc)
{
    g_mutex_init(&memory->mutex);
    memory->n_bytes = 0;
    memory->first = NULL;
    ret_alloc->user = memory;
    ret_alloc->malloc = allocate;
    ret_alloc->realloc = resize;
    ret_alloc->free = release;
}

void
lake_pdf_memory_clear(LakePdfMemory *memory)
{
    while (memory->first)
        release(memory, memory->first + 1);
    g_mutex_clear(&memory->mutex);
}
