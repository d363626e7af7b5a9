/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/index/options.h: WITH (…) of an index of ours. */

#include "core/pg_deeplake/index.h"

void deeplake_index_options_install(void);

/* amoptions. */
bytea *deeplake_index_parse_options(Datum options, bool validate);

/* Raises an ERROR when the index's type does not go with its columns. */
void deeplake_index_check_columns(Relation index);
