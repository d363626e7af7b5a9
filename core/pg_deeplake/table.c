/* SPDX-License-Identifier: Apache-2.0 */

/* core/pg_deeplake/table.c: create_deeplake_table(tablename, path). */

#include "core/pg_deeplake/module.h"

#include <utils/builtins.h>

PG_FUNCTION_INFO_V1(create_deeplake_table);

/* The path is not repeated: it may hold credentials. */
Datum
create_deeplake_table(PG_FUNCTION_ARGS)
{
    const char *table = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));

    ereport(ERROR,
        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
            errmsg("create_deeplake_table failed: table \"%s\" cannot be opened from a native "
                   "dataset",
                table),
            errdetail("Tables are stored by this server, with or without USING deeplake."),
            errhint(
                "Create it with CREATE TABLE … USING deeplake, and copy the rows into it.")));
}
