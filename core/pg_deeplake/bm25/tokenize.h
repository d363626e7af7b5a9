/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/tokenize.h: a tokenizer that was looked up once.
 *
 * 'unicode' goes by a table of our own (unicode_table.h): PostgreSQL 15 has no character
 * classes apart from the locale's, and ICU's, like the locale's, change with the machine's
 * libraries, under an index that was written by the old ones. Its tokens are UTF-8 whatever the
 * database's encoding; in a SQL_ASCII database every byte above 127 is a letter.
 *
 * A text search configuration is found by its qualified name, in pg_catalog where there is no
 * schema: never by search_path, which differs between whoever inserts and whoever searches.
 */

#include "core/pg_deeplake/bm25.h"

typedef struct DeeplakeBm25Tokenizer DeeplakeBm25Tokenizer;

/* In the current memory context. ERRCODE_UNDEFINED_OBJECT: no such configuration. */
DeeplakeBm25Tokenizer *deeplake_bm25_tokenizer(const char *name);
/* Calls function for each token, in order. What it takes in memory is freed. */
void deeplake_bm25_tokenizer_run(const DeeplakeBm25Tokenizer *tokenizer, const char *text,
    int size, DeeplakeTokenFunction function, void *data);
