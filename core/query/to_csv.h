/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/query/to_csv.h: values in PostgreSQL's text form as records of CSV (RFC 4180), which end
 * in a line feed, as those of psql --csv and COPY … CSV do.
 *
 * NULL is an empty field and an empty string is "", so that COPY … CSV reads back what was
 * there. Else a value is quoted only where it must be. Any thread.
 */

#include <glib.h>

/* Appends one record; texts[i] NULL is NULL. lengths[i] in bytes. No columns: nothing. */
void lake_csv_append_record(
    GString *into, const char *const *texts, const gsize *lengths, guint n_columns);
