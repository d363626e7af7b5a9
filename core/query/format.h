/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query/format.h: what stands around the rows of a result, per format. Any thread.
 */

#include "core/query.h"

/* Before a row; n_rows: how many came before it. */
void lake_query_format_begin_row(GString *into, LakeQueryFormat format, gint64 n_rows);
void lake_query_format_end_row(GString *into, LakeQueryFormat format);
/* After the last of n_rows. */
void lake_query_format_end(GString *into, LakeQueryFormat format, gint64 n_rows);
