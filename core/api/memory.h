/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/api/memory.h: the memory that libcurl works in. It copies each request, and so the
 * token, into buffers of its own: a small one that grows and is then given back, and a large
 * one that every connection keeps. So all of it is overwritten before it is given back, and
 * large pieces are left out of core dumps, as core/secret.h does with the token itself.
 *
 * The functions are what curl_global_init_mem() takes. Any thread.
 */

#include <stddef.h>

void *lake_api_memory_malloc(size_t n_bytes);
void lake_api_memory_free(void *memory);
void *lake_api_memory_realloc(void *memory, size_t n_bytes);
char *lake_api_memory_strdup(const char *text);
void *lake_api_memory_calloc(size_t n, size_t n_bytes);
