/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/group.h: many small changes in one request, as databases group commits: while
 * requests are under way, what others want to change gathers, and goes together as the next.
 * So the time that a request takes limits how many requests there are, not how many files.
 *
 * Those of a group succeed together. When one of them fails, nothing has happened, and each is
 * tried by itself, so that an error is told to whom it belongs. A request is cancelled when all
 * of its changes are. Any thread.
 */

#include "core/api/session.h"

typedef struct LakeApiGroup LakeApiGroup;

LakeApiGroup *lake_api_group_new(LakeApiSession *session);
void lake_api_group_free(LakeApiGroup *group);

/* Runs a statement that is_groupable. *ret_is_done FALSE without an error: nothing has
 * happened, and the caller is to run it by itself: it is too large to share, or an error is to
 * be told apart. */
gboolean lake_api_group_run(LakeApiGroup *group, LakeStatement *statement,
    gboolean *ret_is_done, GCancellable *cancellable, GError **error);
