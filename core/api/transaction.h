/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/transaction.h: transactions over requests that are each one of their own.
 *
 * What is run in one waits until it is committed, and then goes as a single statement, a DO
 * block (core/api/encode.h): it happens as a whole or not at all. Only a SELECT that takes no
 * lock is answered at once, from outside, so from before the transaction. Whoever decides by
 * what such a SELECT said puts a condition into the change that follows, and n_expected.
 */

#include "core/api/session.h"

/* staging is quoted and qualified. */
LakeTransaction *lake_api_transaction_new(LakeApiSession *session, const char *staging);

/* Several at once, as a transaction that is committed right away: the last one's n_expected is
 * what its result says that it touched. */
LakeResult *lake_api_transaction_run_all(LakeApiSession *session, LakeTransportUse use,
    LakeStatement *const *statements, guint n_statements, GCancellable *cancellable,
    GError **error);
