/* SPDX-License-Identifier: Apache-2.0 */
#include "core/type.h"

static void
every_type_stands_at_its_own_place(void)
{
    for (int type = LAKE_TYPE_TEXT; type <= LAKE_TYPE_OTHER; type++)
        g_assert_cmpint(lake_type_info((LakeType)type)->type, ==, type);
}

/* The table "Data Types" of the specification. */
static void
names_are_those_of_the_specification(void)
{
    static const struct {
        const char *schema_name, *sql_name;
    } expected[] = {
        {"TEXT", "text"},
        {"INT32", "integer"},
        {"INT64", "bigint"},
        {"FLOAT32", "real"},
        {"FLOAT64", "double precision"},
        {"BOOL", "boolean"},
        {"BINARY", "bytea"},
        {"IMAGE", "bytea"},
        {"VIDEO", "bytea"},
        {"EMBEDDING", "real[]"},
        {"SEGMENT_MASK", "bytea"},
        {"BINARY_MASK", "bytea"},
        {"BOUNDING_BOX", "real[]"},
        {"CLASS_LABEL", "integer"},
        {"POLYGON", "bytea"},
        {"POINT", "real[]"},
        {"MESH", "bytea"},
        {"MEDICAL", "bytea"},
        {"JSONB", "jsonb"},
    };

    g_assert_cmpuint(G_N_ELEMENTS(expected), ==, LAKE_TYPE_OTHER);
    for (guint i = 0; i < G_N_ELEMENTS(expected); i++) {
        const LakeTypeInfo *info = lake_type_info((LakeType)i);
        g_assert_cmpstr(info->schema_name, ==, expected[i].schema_name);
        g_assert_cmpstr(info->sql_name, ==, expected[i].sql_name);
    }
}

static void
oids_follow_the_sql_name(void)
{
    for (int type = LAKE_TYPE_TEXT; type < LAKE_TYPE_OTHER; type++) {
        const LakeTypeInfo *info = lake_type_info((LakeType)type);
        const LakeTypeInfo *base = lake_type_info(lake_type_from_sql(info->sql_name));
        g_assert_cmpuint(info->base_oid, ==, base->base_oid);
        g_assert_cmpuint(info->array_oid, ==, base->array_oid);
        g_assert_cmpuint(info->base_oid, !=, 0);
    }
}

static void
every_type_is_found_by_what_makes_it_different(void)
{
    for (int type = LAKE_TYPE_TEXT; type < LAKE_TYPE_OTHER; type++) {
        const LakeTypeInfo *info = lake_type_info((LakeType)type);
        const char *name = info->domain ? info->domain : info->sql_name;
        g_assert_cmpint(lake_type_from_sql(name), ==, type);
    }
}

static void
domains_are_found_however_format_type_spells_them(void)
{
    g_assert_cmpint(lake_type_from_sql("public.image"), ==, LAKE_TYPE_IMAGE);
    g_assert_cmpint(lake_type_from_sql("public.\"IMAGE\""), ==, LAKE_TYPE_IMAGE);
    g_assert_cmpint(lake_type_from_sql("\"my.schema\".mesh"), ==, LAKE_TYPE_MESH);
    g_assert_cmpint(lake_type_from_sql("deeplake_point"), ==, LAKE_TYPE_POINT);
    g_assert_cmpint(lake_type_from_sql("embedding_2d"), ==, LAKE_TYPE_EMBEDDING);
}

static void
types_without_a_name_are_other(void)
{
    static const char *const names[] = {"numeric", "json", "point", "polygon", "public.text",
        "\"text\"", "integer[]", "real[", "image[]", "timestamp with time zone", "", "\"",
        "\"\"", "."};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        g_assert_cmpint(lake_type_from_sql(names[i]), ==, LAKE_TYPE_OTHER);
}

static void
schema_names_are_found_in_any_case(void)
{
    for (int type = LAKE_TYPE_TEXT; type < LAKE_TYPE_OTHER; type++) {
        const char *name = lake_type_info((LakeType)type)->schema_name;
        g_autofree char *lower = g_ascii_strdown(name, -1);
        g_assert_cmpint(lake_type_from_schema(name), ==, type);
        g_assert_cmpint(lake_type_from_schema(lower), ==, type);
    }
    g_assert_cmpint(lake_type_from_schema("Json"), ==, LAKE_TYPE_JSONB);
    g_assert_cmpint(lake_type_from_schema("OTHER"), ==, LAKE_TYPE_OTHER);
    g_assert_cmpint(lake_type_from_schema("FILE"), ==, LAKE_TYPE_OTHER);
    g_assert_cmpint(lake_type_from_schema("bigint"), ==, LAKE_TYPE_OTHER);
    g_assert_cmpint(lake_type_from_schema(""), ==, LAKE_TYPE_OTHER);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func(
        "/core/type/every-type-stands-at-its-own-place", every_type_stands_at_its_own_place);
    g_test_add_func("/core/type/names-are-those-of-the-specification",
        names_are_those_of_the_specification);
    g_test_add_func("/core/type/oids-follow-the-sql-name", oids_follow_the_sql_name);
    g_test_add_func("/core/type/every-type-is-found-by-what-makes-it-different",
        every_type_is_found_by_what_makes_it_different);
    g_test_add_func("/core/type/domains-are-found-however-format-type-spells-them",
        domains_are_found_however_format_type_spells_them);
    g_test_add_func(
        "/core/type/types-without-a-name-are-other", types_without_a_name_are_other);
    g_test_add_func(
        "/core/type/schema-names-are-found-in-any-case", schema_names_are_found_in_any_case);
    return g_test_run();
}
