/* SPDX-License-Identifier: Apache-2.0 */
/* The specification's QueryBuilder: parts in, one SELECT out.
 *
 * What is given as an expression ends up in parentheses of ours, and core/query/lexer.c sees to
 * it that it stays there: so a part can say what is selected, kept or compared, and nothing
 * about the rest of the statement. A sort direction and an alias cannot stand in parentheses,
 * and are taken off before.
 */
#include "core/error.h"
#include "core/lexer.h"
#include "core/query.h"
#include "core/statement.h"

#include <string.h>

typedef struct {
    const LakeSearch *search;
    char *score; /* NULL: nothing is searched for */
    GString *select, *where, *order_by;
    char *limit, *offset;
    GPtrArray *parameters; /* of const char* */
    /* The condition that .param now adds to. */
    gboolean takes_parameters;
    guint n_before; /* parameters of the conditions before it */
    guint n_wanted;
} Build;

/* Tokens without blanks at either end. */
typedef struct {
    const LakeLexerToken *tokens;
    guint n_tokens;
} Item;

static void
build_clear(Build *build)
{
    g_free(build->score);
    g_string_free(build->select, TRUE);
    g_string_free(build->where, TRUE);
    g_string_free(build->order_by, TRUE);
    g_free(build->limit);
    g_free(build->offset);
    g_ptr_array_unref(build->parameters);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Build, build_clear)

/* All tokens of text, the end not among them; of LakeLexerToken. */
static GArray *
tokenize(const char *text, gboolean may_have_parameters, GError **error)
{
    g_autoptr(GArray) tokens = g_array_new(FALSE, FALSE, sizeof(LakeLexerToken));
    g_auto(LakeLexer) lexer = {0};
    LakeLexerToken token;
    gboolean is_blank = TRUE;

    lake_lexer_init(&lexer, text);
    for (;;) {
        if (!lake_lexer_next(&lexer, &token, error))
            return NULL;
        if (token.kind == LAKE_LEXER_END)
            break;
        if (token.kind == LAKE_LEXER_PARAMETER && !may_have_parameters) {
            lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
                "%.*s: parameters stand in conditions (.where) only", (int)token.n_bytes,
                token.start);
            return NULL;
        }
        is_blank = is_blank && token.kind == LAKE_LEXER_SPACE;
        g_array_append_val(tokens, token);
    }
    if (is_blank) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "it is blank");
        return NULL;
    }
    return g_steal_pointer(&tokens);
}

static Item
trim(Item item)
{
    while (item.n_tokens > 0 && item.tokens[0].kind == LAKE_LEXER_SPACE) {
        item.tokens++;
        item.n_tokens--;
    }
    while (item.n_tokens > 0 && item.tokens[item.n_tokens - 1].kind == LAKE_LEXER_SPACE)
        item.n_tokens--;
    return item;
}

static void
append_item(GString *sql, Item item)
{
    const LakeLexerToken *last = &item.tokens[item.n_tokens - 1];

    g_string_append_len(
        sql, item.tokens->start, (gssize)(last->start + last->n_bytes - item.tokens->start));
}

static void
append_name(GString *sql, const LakeLexerToken *token)
{
    g_autofree char *name = g_strndup(token->start, token->n_bytes);
    g_autofree char *quoted = lake_statement_quote(name);

    g_string_append(sql, quoted);
}

/* A plain name is a column by exactly that name; anything else an expression. */
static void
append_expression(GString *sql, Item item)
{
    if (item.n_tokens == 1 && item.tokens->kind == LAKE_LEXER_WORD) {
        append_name(sql, item.tokens);
        return;
    }
    g_string_append_c(sql, '(');
    append_item(sql, item);
    g_string_append_c(sql, ')');
}

/* Takes `AS name` off the end; NULL when there is none. */
static const LakeLexerToken *
take_alias(Item *item)
{
    const LakeLexerToken *alias = &item->tokens[item->n_tokens - 1];
    Item rest = {item->tokens, item->n_tokens - 1};
    gboolean is_name = alias->kind == LAKE_LEXER_WORD ||
                       (alias->kind == LAKE_LEXER_QUOTED && *alias->start == '"');

    rest = trim(rest);
    if (!is_name || alias->depth > 0 || rest.n_tokens < 2 ||
        !lake_lexer_token_is_word(&rest.tokens[rest.n_tokens - 1], "AS"))
        return NULL;
    rest.n_tokens--;
    rest = trim(rest);
    if (rest.n_tokens == 0)
        return NULL;
    *item = rest;
    return alias;
}

static void
append_column(GString *sql, Item item)
{
    const LakeLexerToken *alias = take_alias(&item);

    if (item.n_tokens == 1 && *item.tokens->start == '*')
        g_string_append_c(sql, '*');
    else
        append_expression(sql, item);
    if (!alias)
        return;
    g_string_append(sql, " AS ");
    if (alias->kind == LAKE_LEXER_WORD)
        append_name(sql, alias);
    else
        g_string_append_len(sql, alias->start, (gssize)alias->n_bytes);
}

/* Takes one of two words off the end, but leaves something. NULL: neither is there. */
static const char *
take_word(Item *item, const char *one, const char *other)
{
    const LakeLexerToken *last = &item->tokens[item->n_tokens - 1];
    const char *found = lake_lexer_token_is_word(last, one)     ? one
                        : lake_lexer_token_is_word(last, other) ? other
                                                                : NULL;
    Item rest = trim((Item){item->tokens, item->n_tokens - 1});

    if (!found || rest.n_tokens == 0)
        return NULL;
    *item = rest;
    return found;
}

static void
append_sort_key(GString *sql, Item item)
{
    Item rest = item;
    const char *place = take_word(&rest, "FIRST", "LAST");
    const char *direction;

    place = place && take_word(&rest, "NULLS", "NULLS") ? place : NULL;
    if (place)
        item = rest;
    direction = take_word(&item, "ASC", "DESC");
    append_expression(sql, item);
    if (direction)
        g_string_append_printf(sql, " %s", direction);
    if (place)
        g_string_append_printf(sql, " NULLS %s", place);
}

/* Appends each of the items between commas. */
static gboolean
append_list(GString *sql, const char *value, void (*append)(GString *, Item), GError **error)
{
    g_autoptr(GArray) tokens = tokenize(value, FALSE, error);
    guint start = 0;

    if (!tokens)
        return FALSE;
    for (guint i = 0; i <= tokens->len; i++) {
        const LakeLexerToken *all = (const LakeLexerToken *)(gpointer)tokens->data;
        if (i < tokens->len && all[i].kind != LAKE_LEXER_COMMA)
            continue;
        Item item = trim((Item){all + start, i - start});
        if (item.n_tokens == 0)
            return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
                "nothing stands before or after one of its commas");
        if (sql->len > 0)
            g_string_append(sql, ", ");
        append(sql, item);
        start = i + 1;
    }
    return TRUE;
}

/* --- the methods --- */

static gboolean
refuse_second(GError **error)
{
    return lake_error_bad_input(
        error, LAKE_ERROR_CLASS_GENERAL, "it is given a second time, and there is only one");
}

static gboolean
add_select(Build *build, const char *value, GError **error)
{
    return build->select->len > 0 ? refuse_second(error)
                                  : append_list(build->select, value, append_column, error);
}

static gboolean
add_order_by(Build *build, const char *value, GError **error)
{
    return append_list(build->order_by, value, append_sort_key, error);
}

/* $1 of each condition is the first of its own .param: they are numbered through. */
static gboolean
append_parameter(Build *build, const LakeLexerToken *token, GError **error)
{
    g_autofree char *digits = g_strndup(token->start + 1, token->n_bytes - 1);
    guint64 number;

    if (!g_ascii_string_to_unsigned(digits, 10, 1, G_MAXUINT16, &number, NULL))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "$%s is not a parameter: they go from $1 to $%d", digits, G_MAXUINT16);
    build->n_wanted = MAX(build->n_wanted, (guint)number);
    g_string_append_printf(build->where, "$%u", build->n_before + (guint)number);
    return TRUE;
}

static gboolean
add_where(Build *build, const char *value, GError **error)
{
    g_autoptr(GArray) tokens = tokenize(value, TRUE, error);

    if (!tokens)
        return FALSE;
    build->takes_parameters = TRUE;
    build->n_before = build->parameters->len;
    build->n_wanted = 0;
    g_string_append(build->where, build->where->len > 0 ? " AND (" : "(");
    for (guint i = 0; i < tokens->len; i++) {
        const LakeLexerToken *token = &g_array_index(tokens, LakeLexerToken, i);
        if (token->kind == LAKE_LEXER_COMMA)
            return lake_error_bad_input(
                error, LAKE_ERROR_CLASS_GENERAL, "a comma; conditions are joined by AND or OR");
        if (token->kind != LAKE_LEXER_PARAMETER)
            g_string_append_len(build->where, token->start, (gssize)token->n_bytes);
        else if (!append_parameter(build, token, error))
            return FALSE;
    }
    g_string_append_c(build->where, ')');
    return TRUE;
}

static gboolean
add_param(Build *build, const char *value, GError **error)
{
    if (!build->takes_parameters)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "it does not follow the .where that it belongs to");
    g_ptr_array_add(build->parameters, (gpointer)value);
    return TRUE;
}

/* Before whatever is not a .param. */
static gboolean
end_where(Build *build, GError **error)
{
    guint n_given = build->parameters->len - build->n_before;

    if (!build->takes_parameters)
        return TRUE;
    build->takes_parameters = FALSE;
    if (n_given == build->n_wanted)
        return TRUE;
    lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
        "a condition (.where) has parameters up to $%u, and %u .param follow it",
        build->n_wanted, n_given);
    if (error)
        lake_error_hint(*error, "as in .where/file_id = $1/.param/abc");
    return FALSE;
}

static gboolean
set_number(char **number, const char *value, GError **error)
{
    guint64 parsed;

    if (*number)
        return refuse_second(error);
    /* Else a sign or a blank before the digits would pass. */
    if (strspn(value, "0123456789") != strlen(value) ||
        !g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &parsed, NULL))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "it is not a whole number from 0 to %" G_GINT64_FORMAT, G_MAXINT64);
    *number = g_strdup_printf("%" G_GUINT64_FORMAT, parsed);
    return TRUE;
}

/* The score is named by its expression, since a column may be called as it is. */
static gboolean
add_search(Build *build, const char *words, GError **error)
{
    const LakeSearch *search = build->search;

    g_return_val_if_fail(search, FALSE);
    if (build->score)
        return refuse_second(error);
    g_ptr_array_add(build->parameters, (gpointer)words);
    build->score =
        g_strdup_printf("%s %s $%u", search->column, search->operator, build->parameters->len);
    g_string_append_printf(
        build->where, "%s(%s > 0)", build->where->len > 0 ? " AND " : "", build->score);
    g_string_append_printf(
        build->order_by, "%s%s DESC", build->order_by->len > 0 ? ", " : "", build->score);
    return TRUE;
}

static gboolean
add_part(Build *build, const LakeQueryPart *part, GError **error)
{
    switch (part->method) {
    case LAKE_QUERY_SELECT:
        return add_select(build, part->value, error);
    case LAKE_QUERY_WHERE:
        return add_where(build, part->value, error);
    case LAKE_QUERY_PARAM:
        return add_param(build, part->value, error);
    case LAKE_QUERY_ORDER_BY:
        return add_order_by(build, part->value, error);
    case LAKE_QUERY_LIMIT:
        return set_number(&build->limit, part->value, error);
    case LAKE_QUERY_OFFSET:
        return set_number(&build->offset, part->value, error);
    case LAKE_QUERY_SEARCH:
        return add_search(build, part->value, error);
    }
    g_assert_not_reached();
}

const char *
lake_query_method_name(LakeQueryMethod method)
{
    switch (method) {
    case LAKE_QUERY_SELECT:
        return ".select";
    case LAKE_QUERY_WHERE:
        return ".where";
    case LAKE_QUERY_PARAM:
        return ".param";
    case LAKE_QUERY_ORDER_BY:
        return ".order_by";
    case LAKE_QUERY_LIMIT:
        return ".limit";
    case LAKE_QUERY_OFFSET:
        return ".offset";
    case LAKE_QUERY_SEARCH:
        return ".search";
    }
    g_assert_not_reached();
}

static void
append_clause(GString *sql, const char *words, const char *clause)
{
    if (clause && *clause)
        g_string_append_printf(sql, " %s %s", words, clause);
}

static LakeQuery *
finish(const Build *build, const char *from, GError **error)
{
    g_autoptr(GString) sql = g_string_new("SELECT ");

    if (build->select->len > 0)
        g_string_append(sql, build->select->str);
    else
        g_string_append(sql, build->score ? build->search->columns : "*");
    if (build->score)
        g_string_append_printf(sql, ", %s AS score", build->score);
    append_clause(sql, "FROM", from);
    append_clause(sql, "WHERE", build->where->str);
    append_clause(sql, "ORDER BY", build->order_by->str);
    append_clause(
        sql, "LIMIT", build->score && !build->limit ? LAKE_QUERY_SEARCH_LIMIT : build->limit);
    append_clause(sql, "OFFSET", build->offset);
    if (sql->len > LAKE_QUERY_MAX_BYTES) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "the statement has %" G_GSIZE_FORMAT " bytes; at most %d are taken", sql->len,
            LAKE_QUERY_MAX_BYTES);
        return NULL;
    }
    return lake_query_new(
        sql->str, (const char *const *)build->parameters->pdata, build->parameters->len);
}

LakeQuery *
lake_query_build(const char *from, const LakeSearch *search, const LakeQueryPart *parts,
    guint n_parts, GError **error)
{
    g_auto(Build) build = {
        .search = search,
        .select = g_string_new(NULL),
        .where = g_string_new(NULL),
        .order_by = g_string_new(NULL),
        .parameters = g_ptr_array_new(),
    };

    for (guint i = 0; i < n_parts; i++) {
        if (parts[i].method != LAKE_QUERY_PARAM && !end_where(&build, error))
            return NULL;
        if (!add_part(&build, &parts[i], error)) {
            g_prefix_error(
                error, "%s/%s: ", lake_query_method_name(parts[i].method), parts[i].value);
            return NULL;
        }
    }
    return end_where(&build, error) ? finish(&build, from, error) : NULL;
}

char *
lake_query_to_text(const LakeQuery *query)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < query->parameters->len; i++) {
        const char *value = g_ptr_array_index(query->parameters, i);
        g_string_append_printf(text, "-- $%u = ", i + 1);
        if (value)
            lake_json_append_string(text, value, strlen(value));
        else
            g_string_append(text, "null");
        g_string_append_c(text, '\n');
    }
    g_string_append_printf(text, "%s\n", query->sql);
    return g_string_free(text, FALSE);
}
