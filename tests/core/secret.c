/* SPDX-License-Identifier: Apache-2.0 */
#include "core/secret.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

#define VARIABLE "LAKE_TEST_SECRET"
#define SECRET "s3ntinel"

static void
test_copies(void)
{
    static const char *const texts[] = {"", "a", SECRET, NULL};

    for (gsize i = 0; texts[i]; i++) {
        char *copy = lake_secret_dup(texts[i], -1);
        g_assert_cmpstr(copy, ==, texts[i]);
        lake_secret_free(copy);
    }
    g_autofree char *large = g_strnfill(100000, 'x');
    char *copy = lake_secret_dup(large, 70000);
    g_assert_cmpuint(strlen(copy), ==, 70000);
    lake_secret_free(copy);
    g_assert_null(lake_secret_dup(NULL, -1));
    lake_secret_free(NULL);
}

/* The flag dd (VM_DONTDUMP) of the pages at address, in /proc/self/smaps. */
static gboolean
is_left_out_of_dumps(const char *address)
{
    g_autofree char *text = NULL;
    gboolean is_within = FALSE;

    g_assert_true(g_file_get_contents("/proc/self/smaps", &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (gsize i = 0; lines[i]; i++) {
        guint64 begin, end;
        if (sscanf(lines[i], "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x ", &begin,
                &end) == 2)
            is_within = begin <= (guintptr)address && (guintptr)address < end;
        else if (is_within && g_str_has_prefix(lines[i], "VmFlags:"))
            return strstr(lines[i], " dd") != NULL;
    }
    return FALSE;
}

static void
test_not_in_core_dumps(void)
{
    g_autofree char *ordinary = g_strdup(SECRET);
    char *secret = lake_secret_dup(SECRET, -1);

    g_assert_true(is_left_out_of_dumps(secret));
    g_assert_false(is_left_out_of_dumps(ordinary));
    lake_secret_free(secret);
}

/* In a process of its own, whose environment held it from the start. */
static void
test_variable_is_gone(void)
{
    if (g_getenv(VARIABLE)) {
        g_autofree char *block = NULL;
        gsize n_bytes;

        lake_secret_unset_variable(VARIABLE);
        g_assert_null(g_getenv(VARIABLE));
        g_assert_cmpstr(g_getenv(VARIABLE "_2"), ==, "stays");
        g_assert_true(g_file_get_contents("/proc/self/environ", &block, &n_bytes, NULL));
        g_assert_null(memmem(block, n_bytes, SECRET, strlen(SECRET)));
        g_assert_nonnull(
            memmem(block, n_bytes, VARIABLE "_2=stays", strlen(VARIABLE "_2=stays")));
        return;
    }

    g_setenv(VARIABLE, SECRET, TRUE);
    g_setenv(VARIABLE "_2", "stays", TRUE);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
    g_unsetenv(VARIABLE);
    g_unsetenv(VARIABLE "_2");
    lake_secret_unset_variable(VARIABLE);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/secret/copies-are-whole", test_copies);
    g_test_add_func("/core/secret/no-core-dump-has-it", test_not_in_core_dumps);
    g_test_add_func("/core/secret/the-environment-forgets-it", test_variable_is_gone);
    return g_test_run();
}
