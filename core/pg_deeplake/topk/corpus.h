/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk/corpus.h: BM25 without an index: the statistics are counted by reading
 * every document once. Same formula, tokens ('unicode') and constants as an index without
 * options; see bm25.h.
 */

#include "core/pg_deeplake/module.h"

typedef struct DeeplakeCorpus DeeplakeCorpus;

/* In the current memory context. */
DeeplakeCorpus *deeplake_corpus_new(const char *query, int query_size);
/* First of every document … */
void deeplake_corpus_count(DeeplakeCorpus *corpus, const char *document, int document_size);
/* … then any. */
float4 deeplake_corpus_score(DeeplakeCorpus *corpus, const char *document, int document_size);
