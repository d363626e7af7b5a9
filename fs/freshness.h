/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/freshness.h: what was believed and is not true any more: forgotten by fs/cache.c, by the
 * nodes and by the kernel.
 *
 * Two threads tell the kernel, since it may make whoever does so wait for a request that is
 * being answered: one for changes of this mount, one for what others announce. Requests wait
 * for the first, and no longer than the kernel believes names anyway (FS_CACHE_KERNEL_SECONDS);
 * so it is no deadlock when one holds what the other needs. Only what the kernel was told
 * within that time is gone through: the rest it asks for by itself.
 */

#include "core/changes.h"
#include "fs/node.h"

/* How the kernel is told; both may wait for it, and fail without harm. */
typedef struct {
    /* The name is asked for again; who has it open, or works there, is not disturbed. */
    void (*expire_name)(gpointer kernel, FsNode *folder, const char *name);
    /* Never waits. */
    void (*expire_attributes)(gpointer kernel, FsNode *node);
} FsKernelCalls;

typedef struct FsFreshness FsFreshness;

/* From here on context->freshness, which was NULL. Listens to what others announce. */
void fs_freshness_begin(
    FsContext *context, FsNode *root, const FsKernelCalls *calls, gpointer kernel);
/* The kernel is told nothing more; what it is being told may need requests to be answered. */
void fs_freshness_end(FsContext *context);
/* Whether nothing is under way (any more). */
gboolean fs_freshness_is_idle(FsContext *context);
/* After the end, and without requests under way. */
void fs_freshness_free(FsContext *context);

/* All of the following do nothing without context->freshness. */

/* Until the kernel knows what this mount has changed so far. For requests that change what is
 * shown under other names than their own; without any lock. */
void fs_freshness_wait(FsContext *context);
/* The kernel was told that there is no such name. */
void fs_freshness_note_absence(FsNode *folder, const char *name);
/* Rows went into a table, which shows in its mtime. */
void fs_freshness_table_touched(FsContext *context, const char *table);
