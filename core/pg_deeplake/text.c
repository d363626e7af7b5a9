/* SPDX-License-Identifier: Apache-2.0 */

/* core/pg_deeplake/text.c: contains(text, text) and text @> text: the bytes of one within those
 * of the other, whatever the collation. In UTF-8 a whole character matches only itself, so this
 * is right for characters too. */

#include "core/pg_deeplake/module.h"

#include <string.h>

PG_FUNCTION_INFO_V1(deeplake_text_contains);

Datum
deeplake_text_contains(PG_FUNCTION_ARGS)
{
    text *haystack = PG_GETARG_TEXT_PP(0);
    text *needle = PG_GETARG_TEXT_PP(1);

    /* An empty needle is in every text, an empty one included. */
    bool is_there = memmem(VARDATA_ANY(haystack), VARSIZE_ANY_EXHDR(haystack),
                        VARDATA_ANY(needle), VARSIZE_ANY_EXHDR(needle)) != NULL;
    PG_FREE_IF_COPY(haystack, 0);
    PG_FREE_IF_COPY(needle, 1);
    PG_RETURN_BOOL(is_there);
}
