/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* tests/core/pg/canned.h: a transport without a server: a function of the test answers.
 *
 * It lies behind the door to libpq because a result is one of libpq's. Any thread; so must the
 * test's function be. */

#include "core/transport.h"

/* The rows, or NULL and *error. */
typedef LakeResult *(*CannedAnswer)(
    const LakeStatement *statement, gpointer user_data, GError **error);

/* Single statements, and several at once, which are answered as the last of them; nothing else.
 */
LakeTransport *canned_transport_new(CannedAnswer answer, gpointer user_data);

/* Rows of n_columns texts each (NULL: SQL NULL), row by row; values are copied. */
LakeResult *canned_result_new(guint n_columns, const char *const *values, gsize n_values);
