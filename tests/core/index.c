/* SPDX-License-Identifier: Apache-2.0 */
#include "core/index.h"

#include "core/error.h"
#include <string.h>

static void
test_definitions(void)
{
    static const struct {
        const char *label, *columns, *method;
    } good[] = {
        {"file_id.btree", "file_id", "btree"},
        {"a,b.btree", "a|b", "btree"},
        {"a.b.hash", "a.b", "hash"},
        {"a%2Cb%2Fc%25.brin", "a,b/c%", "brin"},
        {"größe, x.bm25", "größe| x", "bm25"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(good); i++) {
        g_auto(GStrv) columns = NULL;
        g_autofree char *method = NULL;
        g_autoptr(GError) error = NULL;

        g_assert_true(lake_index_parse(good[i].label, &columns, &method, &error));
        g_assert_no_error(error);
        g_autofree char *joined = g_strjoinv("|", columns);
        g_assert_cmpstr(joined, ==, good[i].columns);
        g_assert_cmpstr(method, ==, good[i].method);
    }
}

static void
assert_refused(const char *label, LakeErrorCode code)
{
    char *untouched = NULL;
    GStrv columns = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_false(lake_index_parse(label, &columns, &untouched, &error));
    g_assert_error(error, LAKE_ERROR, (int)code);
    g_assert_null(columns);
    g_assert_null(untouched);
}

static void
test_what_is_no_definition(void)
{
    static const char *const bad[] = {"", "file_id", ".btree", "a.", "a,.btree", ",a.btree",
        "a,,b.btree",
        /* Other spellings of what has one already. */
        "%61.btree", "a%2cb.btree", "a%.btree", "a%2.btree", "a/b.btree", "a%00.btree"};
    g_autofree char *letters = g_strnfill(LAKE_INDEX_LABEL_MAX_BYTES, 'a');
    g_autofree char *long_label = g_strconcat(letters, ".x", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_refused(bad[i], LAKE_ERROR_BAD_INPUT);
    assert_refused(long_label, LAKE_ERROR_LONG_NAME);
    assert_refused("a\xff.btree", LAKE_ERROR_BAD_NAME);
}

static void
test_names_of_others_are_no_definitions(void)
{
    static const char *const names[] = {"docs_pkey", "file_id.btree", ".", "a/b%2E"};
    static const char *const labels[] = {"docs_pkey", "file_id%2Ebtree", "%2E", "a%2Fb%252E"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *label = lake_index_label_of_name(names[i]);
        g_assert_cmpstr(label, ==, labels[i]);
        assert_refused(label, LAKE_ERROR_BAD_INPUT);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/index/definitions", test_definitions);
    g_test_add_func("/core/index/what-is-no-definition", test_what_is_no_definition);
    g_test_add_func("/core/index/names-of-others-are-no-definitions",
        test_names_of_others_are_no_definitions);
    return g_test_run();
}
