/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/listen.h: a connection that does nothing but LISTEN. One thread. */

#include "core/pg.h"

/* Connects, and hands over what arrives, until the line is lost, the sink ends it or it is
 * cancelled; *error says which. Does not start a private server that is not there: whoever asks
 * it something does. */
void lake_pg_listen(const LakePgOptions *options, const char *channel,
    const LakeListenSink *sink, gpointer user_data, GCancellable *cancellable, GError **error);
