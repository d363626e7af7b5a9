/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/ingest/sniff.h: what a file is by its first bytes, whatever its name says. For messages,
 * and for recognising the formats of one kind. Any thread.
 */

#include <glib.h>

/* As many of a file's first bytes are worth passing, no more are looked at. */
#define LAKE_INGEST_SNIFF_BYTES 1024

/* "a PDF document", "an MP4 or QuickTime file", "a PNG image", "text", "an empty file" …, to
 * follow "it is "; NULL when nothing is known of them. Constant. */
const char *lake_ingest_sniff(const void *bytes, gsize n_bytes);
