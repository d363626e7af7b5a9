/* SPDX-License-Identifier: Apache-2.0 */
#include "core/extension.h"

static void
columns_are_of_the_domains_where_there_are_some(void)
{
    static const struct {
        LakeType type;
        const char *without, *with;
    } expected[] = {
        {LAKE_TYPE_IMAGE, "bytea", "\"my schema\".image"},
        {LAKE_TYPE_VIDEO, "bytea", "\"my schema\".video"},
        {LAKE_TYPE_POLYGON, "bytea", "\"my schema\".deeplake_polygon"},
        {LAKE_TYPE_CLASS_LABEL, "integer", "\"my schema\".class_label"},
        /* float4[] and bytea in the specification too. */
        {LAKE_TYPE_EMBEDDING, "real[]", "real[]"},
        {LAKE_TYPE_BINARY, "bytea", "bytea"},
        {LAKE_TYPE_TEXT, "text", "text"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autofree char *without = lake_extension_dup_type(NULL, expected[i].type);
        g_autofree char *with = lake_extension_dup_type("\"my schema\"", expected[i].type);
        g_assert_cmpstr(without, ==, expected[i].without);
        g_assert_cmpstr(with, ==, expected[i].with);
    }
}

/* What is written into CREATE TABLE is read back as the same type. */
static void
domains_are_found_by_their_qualified_name(void)
{
    for (int type = LAKE_TYPE_TEXT; type < LAKE_TYPE_OTHER; type++) {
        g_autofree char *name = lake_extension_dup_type("public", (LakeType)type);
        g_assert_cmpint(lake_type_from_sql(name), ==, type);
    }
}

int
main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/extension/columns-are-of-the-domains-where-there-are-some",
        columns_are_of_the_domains_where_there_are_some);
    g_test_add_func("/core/extension/domains-are-found-by-their-qualified-name",
        domains_are_found_by_their_qualified_name);
    return g_test_run();
}
