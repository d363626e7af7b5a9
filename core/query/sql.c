/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/query.h"
#include "core/query/json_form.h"

#include <cjson/cJSON.h>
#include <string.h>

/* The protocol counts parameters in 16 bits. */
#define N_PARAMETERS_MAX 65535
/* MAXDIM of PostgreSQL. */
#define MAX_DIMENSIONS 6

static LakeQuery *
new_query(const char *sql, gsize n_bytes)
{
    LakeQuery *query = g_new0(LakeQuery, 1);

    query->sql = g_strndup(sql, n_bytes);
    query->parameters = g_ptr_array_new_with_free_func(g_free);
    return query;
}

LakeQuery *
lake_query_new(const char *sql, const char *const *parameters, guint n_parameters)
{
    LakeQuery *query = new_query(sql, strlen(sql));

    for (guint i = 0; i < n_parameters; i++)
        g_ptr_array_add(query->parameters, g_strdup(parameters[i]));
    return query;
}

void
lake_query_free(LakeQuery *query)
{
    if (!query)
        return;

    g_free(query->sql);
    g_ptr_array_unref(query->parameters);
    g_free(query);
}

/* ---- JSON values as text for PostgreSQL ---- */

/* The shape of nested arrays of numbers: extents[d] values at depth d. */
typedef struct {
    int n_dimensions; /* known once a number was met, else 0 */
    int extents[MAX_DIMENSIONS];
} Shape;

/* Whether value is an array that PostgreSQL could hold: numbers at one depth, and arrays at the
 * same depth of the same length. */
static gboolean
is_number_array(const cJSON *value, int depth, Shape *shape)
{
    int n_values = cJSON_GetArraySize(value);

    if (depth >= MAX_DIMENSIONS || n_values == 0)
        return FALSE;
    if (shape->extents[depth] == 0)
        shape->extents[depth] = n_values;
    if (shape->extents[depth] != n_values)
        return FALSE;

    for (const cJSON *child = value->child; child; child = child->next) {
        if (cJSON_IsArray(child)) {
            if (!is_number_array(child, depth + 1, shape))
                return FALSE;
            continue;
        }
        if (!cJSON_IsNumber(child))
            return FALSE;
        if (shape->n_dimensions == 0)
            shape->n_dimensions = depth + 1;
        if (shape->n_dimensions != depth + 1)
            return FALSE;
    }
    return TRUE;
}

/* `[1, [2.50]]` as `{1,{2.50}}`: the digits stay as they are. NULL: one of them is no number.
 */
static char *
dup_array_literal(const char *text)
{
    g_autoptr(GString) literal = g_string_new(NULL);

    while (*text) {
        gsize n_number = strcspn(text, "[], \t\n\r");
        /* cJSON takes numbers that JSON does not have, such as 01. */
        if (n_number > 0 && !lake_json_is_number(text, n_number))
            return NULL;
        g_string_append_len(literal, text, (gssize)n_number);
        text += n_number;

        if (*text == '[')
            g_string_append_c(literal, '{');
        else if (*text == ']')
            g_string_append_c(literal, '}');
        else if (*text == ',')
            g_string_append_c(literal, ',');
        if (*text)
            text++;
    }
    return g_string_free(g_steal_pointer(&literal), FALSE);
}

/* Whether a string in text has the escape \u0000, which PostgreSQL's text cannot hold. */
static gboolean
has_nul_escape(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p != '\\')
            continue;
        if (g_str_has_prefix(p, "\\u0000"))
            return TRUE;
        if (p[1])
            p++;
    }
    return FALSE;
}

/* The value's text for PostgreSQL; NULL for SQL NULL and for what it cannot be. */
static char *
dup_text(const cJSON *value, const char *json)
{
    Shape shape = {0};

    if (cJSON_IsNull(value))
        return NULL;
    if (cJSON_IsString(value))
        return has_nul_escape(json) ? NULL : g_strdup(value->valuestring);
    if (cJSON_IsNumber(value))
        return lake_json_is_number(json, strlen(json)) ? g_strdup(json) : NULL;
    if (cJSON_IsArray(value) && is_number_array(value, 0, &shape))
        return dup_array_literal(json);
    return g_strdup(json); /* true, false, and what is JSON for the server too */
}

/* The message leaves the value out: it may be long, and it may be a secret. */
static gboolean
value_to_text(const char *json, guint number, guint line, char **ret_text, GError **error)
{
    cJSON *value = cJSON_ParseWithOpts(json, NULL, TRUE);
    gboolean is_null = cJSON_IsNull(value);
    gboolean is_string = cJSON_IsString(value);

    *ret_text = value ? dup_text(value, json) : NULL;
    cJSON_Delete(value);
    if (*ret_text || is_null)
        return TRUE;

    lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "line %u: the value of $%u %s", line,
        number, is_string ? "has a NUL (\\u0000), which text cannot hold" : "is not JSON");
    if (error && !is_string)
        lake_error_hint(
            *error, "Strings stand in double quotes, as in: -- $%u = \"abc\"", number);
    return FALSE;
}

/* ---- The leading lines ---- */

typedef struct {
    char *text;
    guint line; /* 0: not given */
} Parameter;

static void
clear_parameter(gpointer data)
{
    g_free(((Parameter *)data)->text);
}

/* Splits `-- $1 = "abc"`; FALSE when the comment is none of that kind. */
static gboolean
split_parameter(const char *line, char **ret_number, char **ret_json)
{
    const char *number = line + strspn(line, " \t");

    if (!g_str_has_prefix(number, "--"))
        return FALSE;
    number += 2;
    number += strspn(number, " \t");
    if (*number != '$')
        return FALSE;
    number++;

    gsize n_digits = strspn(number, "0123456789");
    const char *equals = number + n_digits + strspn(number + n_digits, " \t");
    if (n_digits == 0 || *equals != '=')
        return FALSE;

    *ret_number = g_strndup(number, n_digits);
    *ret_json = g_strstrip(g_strdup(equals + 1));
    return TRUE;
}

/* Takes the parameter that the line gives, if it gives one. */
static gboolean
parse_line(const char *line, guint line_number, GArray *parameters, GError **error)
{
    g_autofree char *number_text = NULL;
    g_autofree char *json = NULL;
    g_autofree char *text = NULL;
    guint64 number;

    if (!split_parameter(line, &number_text, &json))
        return TRUE;

    if (!g_ascii_string_to_unsigned(number_text, 10, 1, N_PARAMETERS_MAX, &number, NULL))
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "line %u: $%s is not a parameter: they go from $1 to $%d", line_number, number_text,
            N_PARAMETERS_MAX);
    if (!value_to_text(json, (guint)number, line_number, &text, error))
        return FALSE;

    if (parameters->len < number)
        g_array_set_size(parameters, (guint)number);
    Parameter *parameter = &g_array_index(parameters, Parameter, number - 1);
    if (parameter->line)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "line %u: $%u is given a second time, after line %u", line_number, (guint)number,
            parameter->line);
    parameter->text = g_steal_pointer(&text);
    parameter->line = line_number;
    return TRUE;
}

/* Reads the blank lines and comments at the start. *ret_is_empty: there is nothing after them.
 */
static gboolean
parse_leading_lines(const char *sql, GArray *parameters, gboolean *ret_is_empty, GError **error)
{
    const char *p = sql;

    for (guint line_number = 1; *p; line_number++) {
        gsize n_line = strcspn(p, "\n");
        g_autofree char *line = g_strndup(p, n_line);
        gsize n_blank = strspn(line, " \t\r\f\v");

        if (line[n_blank] && !g_str_has_prefix(line + n_blank, "--"))
            break;
        if (!parse_line(line, line_number, parameters, error))
            return FALSE;
        p += n_line + (p[n_line] ? 1 : 0);
    }
    *ret_is_empty = *p == '\0';
    return TRUE;
}

static gboolean
take_parameters(LakeQuery *query, GArray *parameters, GError **error)
{
    for (guint i = 0; i < parameters->len; i++) {
        Parameter *parameter = &g_array_index(parameters, Parameter, i);
        if (!parameter->line) {
            guint later = i;
            while (!g_array_index(parameters, Parameter, later).line)
                later++;
            return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
                "line %u: $%u is given, but $%u is not",
                g_array_index(parameters, Parameter, later).line, later + 1, i + 1);
        }
        g_ptr_array_add(query->parameters, g_steal_pointer(&parameter->text));
    }
    return TRUE;
}

/* The number of the line in which at stands. */
static guint
line_of(const char *text, const char *at)
{
    guint line = 1;

    while ((text = memchr(text, '\n', (gsize)(at - text)))) {
        line++;
        text++;
    }
    return line;
}

static gboolean
check_text(const char *text, gsize n_bytes, GError **error)
{
    const char *invalid;

    if (n_bytes > LAKE_QUERY_MAX_BYTES)
        return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "the query has %" G_GSIZE_FORMAT " bytes; at most %d are taken", n_bytes,
            LAKE_QUERY_MAX_BYTES);
    if (g_utf8_validate(text, (gssize)n_bytes, &invalid))
        return TRUE;
    return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "line %u: the query %s",
        line_of(text, invalid), *invalid == '\0' ? "has a NUL byte" : "is not UTF-8");
}

LakeQuery *
lake_query_parse(const char *text, gsize n_bytes, GError **error)
{
    gboolean is_empty;

    if (!check_text(text, n_bytes, error))
        return NULL;

    g_autoptr(LakeQuery) query = new_query(text, n_bytes);
    g_autoptr(GArray) parameters = g_array_new(FALSE, TRUE, sizeof(Parameter));
    g_array_set_clear_func(parameters, clear_parameter);
    if (!parse_leading_lines(query->sql, parameters, &is_empty, error))
        return NULL;
    if (is_empty) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "the query is empty: line 1 and all that follow are blank or comments");
        return NULL;
    }
    if (!take_parameters(query, parameters, error))
        return NULL;
    return g_steal_pointer(&query);
}
