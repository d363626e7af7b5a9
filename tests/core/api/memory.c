/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/memory.h"

#include <glib.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Small, and around where a piece becomes a mapping of its own. */
static const gsize sizes[] = {0, 1, 100, 65535, 65536, 65537, 1 << 20};

static gboolean
is_filled(const char *bytes, gsize n_bytes, char with)
{
    for (gsize i = 0; i < n_bytes; i++)
        if (bytes[i] != with)
            return FALSE;
    return TRUE;
}

static void
test_every_size_is_whole_and_aligned(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        char *bytes = lake_api_memory_malloc(sizes[i]);

        g_assert_nonnull(bytes);
        g_assert_cmpuint(GPOINTER_TO_SIZE(bytes) % _Alignof(max_align_t), ==, 0);
        memset(bytes, 'x', sizes[i]);
        g_assert_true(is_filled(bytes, sizes[i], 'x'));
        lake_api_memory_free(bytes);
    }
    lake_api_memory_free(NULL);
}

static void
test_what_grows_or_shrinks_keeps_its_bytes(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++)
        for (gsize j = 0; j < G_N_ELEMENTS(sizes); j++) {
            char *bytes = lake_api_memory_realloc(NULL, sizes[i]);

            memset(bytes, 'y', sizes[i]);
            bytes = lake_api_memory_realloc(bytes, sizes[j]);
            g_assert_nonnull(bytes);
            g_assert_true(is_filled(bytes, MIN(sizes[i], sizes[j]), 'y'));
            memset(bytes, 'z', sizes[j]);
            lake_api_memory_free(bytes);
        }
}

static void
test_cleared(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        char *dirty = lake_api_memory_malloc(sizes[i]);
        memset(dirty, 'x', sizes[i]);
        lake_api_memory_free(dirty);
        char *bytes = lake_api_memory_calloc(1, sizes[i]);
        g_assert_true(is_filled(bytes, sizes[i], '\0'));
        lake_api_memory_free(bytes);
    }
}

static void
test_text(void)
{
    g_autofree char *large = g_strnfill(70000, 'x');
    char *copy = lake_api_memory_strdup(large);

    g_assert_cmpstr(copy, ==, large);
    lake_api_memory_free(copy);
}

/* A size that wraps round would give less than was asked for. */
static void
test_more_than_there_is(void)
{
    g_assert_null(lake_api_memory_malloc(SIZE_MAX));
    g_assert_null(lake_api_memory_malloc(SIZE_MAX - 8));
    g_assert_null(lake_api_memory_calloc(SIZE_MAX / 2, 3));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/api/memory/every-size", test_every_size_is_whole_and_aligned);
    g_test_add_func(
        "/core/api/memory/grows-or-shrinks", test_what_grows_or_shrinks_keeps_its_bytes);
    g_test_add_func("/core/api/memory/cleared", test_cleared);
    g_test_add_func("/core/api/memory/text", test_text);
    g_test_add_func("/core/api/memory/more-than-there-is", test_more_than_there_is);
    return g_test_run();
}
