/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/query.h"

#include <string.h>

#define FROM "\"lake\".\"t\""
#define N_PARTS_MAX 8

#define S(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_SELECT, text                                                                \
    }
#define W(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_WHERE, text                                                                 \
    }
#define P(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_PARAM, text                                                                 \
    }
#define O(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_ORDER_BY, text                                                              \
    }
#define L(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_LIMIT, text                                                                 \
    }
#define F(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_OFFSET, text                                                                \
    }

#define X(text)                                                                                \
    {                                                                                          \
        LAKE_QUERY_SEARCH, text                                                                \
    }

static char searched_columns[] = "\"id\", \"text\"";
static char searched_column[] = "\"text\"";
static char search_operator[] = "<#>";
static const LakeSearch search = {searched_columns, searched_column, search_operator};

typedef struct {
    LakeQueryPart parts[N_PARTS_MAX]; /* up to the first without a value */
    const char *expected;             /* after "SELECT "; or what a message contains */
} Example;

static guint
count(const Example *example)
{
    guint n_parts = 0;

    while (n_parts < N_PARTS_MAX && example->parts[n_parts].value)
        n_parts++;
    return n_parts;
}

static void
assert_built(const Example *examples, gsize n_examples)
{
    for (gsize i = 0; i < n_examples; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(LakeQuery) query =
            lake_query_build(FROM, &search, examples[i].parts, count(&examples[i]), &error);
        g_autofree char *expected = g_strconcat("SELECT ", examples[i].expected, NULL);

        g_assert_no_error(error);
        g_assert_cmpstr(query->sql, ==, expected);
    }
}

static void
assert_refused(const Example *examples, gsize n_examples)
{
    for (gsize i = 0; i < n_examples; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(LakeQuery) query =
            lake_query_build(FROM, &search, examples[i].parts, count(&examples[i]), &error);

        if (query)
            g_test_message("taken: %s", query->sql);
        g_assert_null(query);
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        if (!strstr(error->message, examples[i].expected))
            g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, examples[i].expected));
    }
}

static void
any_subset_in_any_order(void)
{
    static const Example examples[] = {
        {{{0}}, "* FROM " FROM},
        {{S("id,text")}, "\"id\", \"text\" FROM " FROM},
        {{L("10")}, "* FROM " FROM " LIMIT 10"},
        {{F("20"), L("010"), S(" id , * ")}, "\"id\", * FROM " FROM " LIMIT 10 OFFSET 20"},
        {{L("9223372036854775807"), F("0")},
            "* FROM " FROM " LIMIT 9223372036854775807 OFFSET 0"},
        {{S("id"), W("start_time > 60"), W("file_id = 'abc'"), O("start_time ASC"), L("10"),
             F("20")},
            "\"id\" FROM " FROM " WHERE (start_time > 60) AND (file_id = 'abc')"
            " ORDER BY \"start_time\" ASC LIMIT 10 OFFSET 20"},
        {{O("a"), W("x"), O("b desc"), W("y")},
            "* FROM " FROM " WHERE (x) AND (y) ORDER BY \"a\", \"b\" DESC"},
    };

    assert_built(examples, G_N_ELEMENTS(examples));
}

static void
plain_names_are_quoted_and_expressions_stand_in_parentheses(void)
{
    static const Example examples[] = {
        {{S("Größe,order,\"odd, \"\"name\"")},
            "\"Größe\", \"order\", (\"odd, \"\"name\") FROM " FROM},
        {{S("count(*),coalesce(a, b) as n")},
            "(count(*)), (coalesce(a, b)) AS \"n\" FROM " FROM},
        {{S("a || ',' AS \"A,B\",cast(x AS int)")},
            "(a || ',') AS \"A,B\", (cast(x AS int)) FROM " FROM},
        {{S("cast(x AS int) AS as,as")}, "(cast(x AS int)) AS \"as\", \"as\" FROM " FROM},
        {{S("id FROM other UNION SELECT id")}, "(id FROM other UNION SELECT id) FROM " FROM},
        {{S("a[1,2],'it''s, fine',$$a,b$$,$q$ $$, $q$")},
            "(a[1,2]), ('it''s, fine'), ($$a,b$$), ($q$ $$, $q$) FROM " FROM},
    };

    assert_built(examples, G_N_ELEMENTS(examples));
}

static void
sort_keys_keep_their_direction(void)
{
    static const Example examples[] = {
        {{O("a ASC, b Desc ,c")}, "* FROM " FROM " ORDER BY \"a\" ASC, \"b\" DESC, \"c\""},
        {{O("lower(a) DESC NULLS LAST,b nulls first")},
            "* FROM " FROM " ORDER BY (lower(a)) DESC NULLS LAST, \"b\" NULLS FIRST"},
        {{O("desc"), O("desc desc"), O("last")},
            "* FROM " FROM " ORDER BY \"desc\", \"desc\" DESC, \"last\""},
        {{O("a LIMIT 5")}, "* FROM " FROM " ORDER BY (a LIMIT 5)"},
        {{O("2")}, "* FROM " FROM " ORDER BY (2)"},
    };

    assert_built(examples, G_N_ELEMENTS(examples));
}

static void
what_is_in_quotes_and_comments_is_left_alone(void)
{
    static const char *const conditions[] = {
        "a = ';)' AND b = '--' AND c = '/*'",
        "a = E'\\'' || E'x\\\\'",
        "a = e'\\') OR true -- '",
        "a = 'back\\' AND b = 'x'",
        "a = $$ ; ) ' $$ AND b = $ab$ $a$ab$",
        "\"a)\" = 1 AND \"$1\" = U&'\\0041'",
        "1 = 1 /* ) ; ' /* nested */ -- */ AND true",
        "1 = 1 -- ) ; '\n AND true",
        "a$1 = 1 AND b$$c = 2 AND d -1 > - 2",
        "value->'it' @> '{}' AND tags[1:2] && ARRAY['a', 'b']",
        "a = 'one'\n'two\\' AND true",
        "text = 'Ŝtono 🦆'",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(conditions); i++) {
        LakeQueryPart part = W(conditions[i]);
        g_autoptr(GError) error = NULL;
        g_autoptr(LakeQuery) query = lake_query_build(FROM, NULL, &part, 1, &error);
        g_autofree char *expected =
            g_strconcat("SELECT * FROM " FROM " WHERE (", conditions[i], ")", NULL);

        g_assert_no_error(error);
        g_assert_cmpstr(query->sql, ==, expected);
    }
}

static void
a_condition_cannot_leave_its_parentheses(void)
{
    static const Example examples[] = {
        {{W("1=1) ; DROP TABLE t")}, "closes what is not open"},
        {{W("1=1; DROP TABLE t")}, "semicolon"},
        {{W("1=1 -- ")}, "end of line"},
        {{W("1=1 *--")}, "end of line"},
        {{W("1=1 /* x")}, "not closed"},
        {{W("1=1 /*/")}, "not closed"},
        {{W("1=1 /* /* */")}, "not closed"},
        {{W("(1=1")}, "not closed"},
        {{W("(a[1)]")}, "closes what is not open"},
        {{W("a = 'x")}, "not closed"},
        {{W("a = 'x''")}, "not closed"},
        {{W("a = \"x")}, "not closed"},
        {{W("a = E'\\'")}, "not closed"},
        {{W("a = 1E'\\'")}, "not closed"},
        {{W("a = $$")}, "not closed"},
        {{W("a = $x$ $y$")}, "not closed"},
        {{W("a = $1$$ ")}, "not closed"},
        /* Were the second part read as a string of its own, its quote would end elsewhere. */
        {{W("a = E'x'\n'\\') OR (a = '")}, "one piece"},
        {{W("a = E'x' -- c\n 'y'")}, "one piece"},
        {{W("'a\\') OR (true")}, "closes what is not open"},
        {{W("xE'\\') OR true --'")}, "closes what is not open"},
        {{W("true, false")}, "comma"},
        {{W("\t ")}, "blank"},
        {{W("/* nothing */")}, "blank"},
        {{S("id) FROM x --")}, "closes what is not open"},
        {{O("id) ; --")}, "closes what is not open"},
        {{S("id,;")}, "semicolon"},
    };

    assert_refused(examples, G_N_ELEMENTS(examples));
}

static void
lists_have_no_gaps(void)
{
    static const Example examples[] = {
        {{S("id,")}, ".select/id,: nothing"},
        {{S(",id")}, "nothing"},
        {{S("a,,b")}, "nothing"},
        {{O("a, ,b")}, "nothing"},
        {{S(" ")}, "blank"},
    };

    assert_refused(examples, G_N_ELEMENTS(examples));
}

static void
limit_and_offset_are_whole_numbers(void)
{
    static const char *const wrong[] = {
        "", "abc", "-1", "+1", " 1", "1 ", "1.5", "1e3", "0x10", "ALL", "9223372036854775808"};

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        const Example examples[] = {
            {{L(wrong[i])}, "whole number"},
            {{F(wrong[i])}, "whole number"},
        };
        assert_refused(examples, G_N_ELEMENTS(examples));
    }
}

static void
what_there_is_one_of_is_given_once(void)
{
    static const Example examples[] = {
        {{S("a"), S("b")}, ".select/b: it is given a second time"},
        {{L("1"), W("x"), L("1")}, ".limit/1: it is given a second time"},
        {{F("1"), F("2")}, ".offset/2: it is given a second time"},
        {{X("a"), L("1"), X("a")}, ".search/a: it is given a second time"},
    };

    assert_refused(examples, G_N_ELEMENTS(examples));
}

static void
parameters_belong_to_the_condition_before_them(void)
{
    static const LakeQueryPart parts[] = {W("a = $1 AND b = $2 AND c = '$1'"), P("x"),
        P("y'; --"), L("1"), W("d IN ($1, $1)"), P("")};
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeQuery) query =
        lake_query_build(FROM, NULL, parts, G_N_ELEMENTS(parts), &error);

    g_assert_no_error(error);
    g_assert_cmpstr(query->sql, ==,
        "SELECT * FROM " FROM " WHERE (a = $1 AND b = $2 AND c = '$1') AND (d IN ($3, $3))"
        " LIMIT 1");
    g_assert_cmpuint(query->parameters->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 0), ==, "x");
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 1), ==, "y'; --");
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 2), ==, "");
}

static void
parameters_are_as_many_as_the_condition_has(void)
{
    static const Example examples[] = {
        {{W("a = $1")}, "up to $1, and 0 .param"},
        {{W("a = $1"), L("1")}, "up to $1, and 0 .param"},
        {{W("a = $2"), P("x")}, "up to $2, and 1 .param"},
        {{W("a"), P("x")}, "up to $0, and 1 .param"},
        {{P("x"), W("a = $1")}, "does not follow"},
        {{W("a = $1"), L("1"), P("x")}, "up to $1, and 0 .param"},
        {{W("a = $1"), P("x"), L("1"), P("x")}, "does not follow"},
        {{W("a = $0")}, "not a parameter"},
        {{W("a = $65536")}, "not a parameter"},
        {{W("a = $99999999999999999999")}, "not a parameter"},
        {{S("$1")}, "in conditions"},
        {{O("$1")}, "in conditions"},
    };

    assert_refused(examples, G_N_ELEMENTS(examples));
}

static void
a_search_is_a_condition_a_sort_key_and_a_column(void)
{
    static const Example examples[] = {
        {{X("salty lake")},
            "\"id\", \"text\", \"text\" <#> $1 AS score FROM " FROM
            " WHERE (\"text\" <#> $1 > 0) ORDER BY \"text\" <#> $1 DESC LIMIT 10"},
        {{S("count(*)"), L("0"), F("5"), X("a"), O("id")},
            "(count(*)), \"text\" <#> $1 AS score FROM " FROM
            " WHERE (\"text\" <#> $1 > 0) ORDER BY \"text\" <#> $1 DESC, \"id\" LIMIT 0 OFFSET "
            "5"},
        {{S("*"), O("id"), X("a"), W("true")},
            "*, \"text\" <#> $1 AS score FROM " FROM
            " WHERE (\"text\" <#> $1 > 0) AND (true) ORDER BY \"id\", \"text\" <#> $1 DESC"
            " LIMIT 10"},
    };

    assert_built(examples, G_N_ELEMENTS(examples));
}

static void
words_are_a_parameter_among_the_others(void)
{
    static const LakeQueryPart parts[] = {
        W("a = $1"), P("x"), X("it's; -- $1"), W("b = $1"), P("y")};
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeQuery) query =
        lake_query_build(FROM, &search, parts, G_N_ELEMENTS(parts), &error);

    g_assert_no_error(error);
    g_assert_cmpstr(query->sql, ==,
        "SELECT \"id\", \"text\", \"text\" <#> $2 AS score FROM " FROM
        " WHERE (a = $1) AND (\"text\" <#> $2 > 0) AND (b = $3)"
        " ORDER BY \"text\" <#> $2 DESC LIMIT 10");
    g_assert_cmpuint(query->parameters->len, ==, 3);
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 0), ==, "x");
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 1), ==, "it's; -- $1");
    g_assert_cmpstr(g_ptr_array_index(query->parameters, 2), ==, "y");
}

static void
a_search_takes_no_parameters(void)
{
    static const Example examples[] = {
        {{X("a"), P("x")}, "does not follow"},
        {{W("a = $1"), X("a"), P("x")}, "up to $1, and 0 .param"},
    };

    assert_refused(examples, G_N_ELEMENTS(examples));
}

static void
a_statement_over_the_limit_is_refused(void)
{
    g_autofree char *value = g_strnfill(LAKE_QUERY_MAX_BYTES, '1');
    LakeQueryPart part = W(value);
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeQuery) query = lake_query_build(FROM, NULL, &part, 1, &error);

    g_assert_null(query);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_nonnull(strstr(error->message, "at most"));
}

static void
the_text_parses_to_the_same_query(void)
{
    static const LakeQueryPart parts[] = {
        W("a = $1 OR b = $2"), P("two\nlines \"q\" \\ 🦆"), P("41")};
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeQuery) built =
        lake_query_build(FROM, NULL, parts, G_N_ELEMENTS(parts), &error);
    g_autofree char *text = lake_query_to_text(built);
    g_autoptr(LakeQuery) parsed = lake_query_parse(text, strlen(text), &error);

    g_assert_no_error(error);
    g_assert_nonnull(strstr(parsed->sql, built->sql));
    g_assert_cmpuint(parsed->parameters->len, ==, 2);
    for (guint i = 0; i < 2; i++)
        g_assert_cmpstr(g_ptr_array_index(parsed->parameters, i), ==, parts[i + 1].value);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add_func("/core/query/builder/" name, function)
    ADD("any-subset-in-any-order", any_subset_in_any_order);
    ADD("plain-names-are-quoted-and-expressions-stand-in-parentheses",
        plain_names_are_quoted_and_expressions_stand_in_parentheses);
    ADD("sort-keys-keep-their-direction", sort_keys_keep_their_direction);
    ADD("what-is-in-quotes-and-comments-is-left-alone",
        what_is_in_quotes_and_comments_is_left_alone);
    ADD("a-condition-cannot-leave-its-parentheses", a_condition_cannot_leave_its_parentheses);
    ADD("lists-have-no-gaps", lists_have_no_gaps);
    ADD("limit-and-offset-are-whole-numbers", limit_and_offset_are_whole_numbers);
    ADD("what-there-is-one-of-is-given-once", what_there_is_one_of_is_given_once);
    ADD("parameters-belong-to-the-condition-before-them",
        parameters_belong_to_the_condition_before_them);
    ADD("parameters-are-as-many-as-the-condition-has",
        parameters_are_as_many_as_the_condition_has);
    ADD("a-search-is-a-condition-a-sort-key-and-a-column",
        a_search_is_a_condition_a_sort_key_and_a_column);
    ADD("words-are-a-parameter-among-the-others", words_are_a_parameter_among_the_others);
    ADD("a-search-takes-no-parameters", a_search_takes_no_parameters);
    ADD("a-statement-over-the-limit-is-refused", a_statement_over_the_limit_is_refused);
    ADD("the-text-parses-to-the-same-query", the_text_parses_to_the_same_query);
    return g_test_run();
}
