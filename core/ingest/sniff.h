/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/sniff.h: what a file is by its first bytes, whatever its name says. For messages,
 * and for recognising the formats of one kind. Any thread.
 */

#include "core/ingest.h"

/* No more than LAKE_INGEST_SNIFF_BYTES are looked at: "a PDF document", "an MP4 or QuickTime
 * file", "a PNG image", "text", "an empty file" …, to follow "it is "; NULL when nothing is
 * known of them. Constant. */
const char *lake_ingest_sniff(const void *bytes, gsize n_bytes);
