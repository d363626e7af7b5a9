/* SPDX-License-Identifier: Apache-2.0 */
#include "core/lexer.h"

#include "core/error.h"
#include <string.h>

#define BLANKS " \t\n\r\f\v"

void
lake_lexer_init(LakeLexer *lexer, const char *text)
{
    lexer->at = text;
    lexer->open = g_string_new(NULL);
}

void
lake_lexer_clear(LakeLexer *lexer)
{
    if (lexer->open)
        g_string_free(lexer->open, TRUE);
    lexer->open = NULL;
}

static gboolean
starts_name(char byte)
{
    return g_ascii_isalpha(byte) || byte == '_' || (guchar)byte >= 0x80;
}

static gboolean
continues_tag(char byte)
{
    return starts_name(byte) || g_ascii_isdigit(byte);
}

static gboolean
continues_name(char byte)
{
    return continues_tag(byte) || byte == '$';
}

/* The end of the comment at `at`: -- up to the end of its line, or nested ones of the other
 * kind. */
static const char *
skip_comment(const char *at, GError **error)
{
    guint depth = 0;

    if (*at == '-') {
        const char *end = strpbrk(at, "\n\r");
        if (!end)
            lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
                "a comment (--) has no end of line, so that it would hide what follows");
        return end;
    }
    while (*at) {
        gboolean opens = at[0] == '/' && at[1] == '*';
        gboolean closes = at[0] == '*' && at[1] == '/';

        at += opens || closes ? 2 : 1;
        if (opens)
            depth++;
        if (closes && --depth == 0)
            return at;
    }
    lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "a comment (/*) is not closed");
    return NULL;
}

static gboolean
is_comment(const char *at)
{
    return (at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*');
}

static const char *
skip_space(const char *at, GError **error)
{
    for (;;) {
        at += strspn(at, BLANKS);
        if (!is_comment(at))
            return at;
        at = skip_comment(at, error);
        if (!at)
            return NULL;
    }
}

/* at: the opening quote. A doubled quote stands for itself. */
static const char *
skip_quoted(const char *at, gboolean has_escapes, GError **error)
{
    char quote = *at;

    for (const char *p = at + 1; *p; p++) {
        if (has_escapes && *p == '\\' && p[1])
            p++;
        else if (*p == quote && p[1] == quote)
            p++;
        else if (*p == quote)
            return p + 1;
    }
    lake_error_bad_input(
        error, LAKE_ERROR_CLASS_GENERAL, "a quote that %c opens is not closed", quote);
    return NULL;
}

/* E'…'. After a line break a string goes on in its next quotes, and those of this kind keep
 * their backslashes then: such a continuation is refused rather than followed. */
static const char *
skip_escaped(const char *at, GError **error)
{
    const char *end = skip_quoted(at, TRUE, error);
    const char *next = end ? skip_space(end, error) : NULL;

    if (next && *next == '\'') {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "a string E'…' is followed by another; write it in one piece");
        return NULL;
    }
    return next ? end : NULL;
}

/* at: a '$' that a tag's '$' follows. */
static const char *
skip_dollar_quoted(const char *at, gsize n_delimiter, GError **error)
{
    g_autofree char *delimiter = g_strndup(at, n_delimiter);
    const char *end = strstr(at + n_delimiter, delimiter);

    if (!end) {
        lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "a string that %s opens is not closed", delimiter);
        return NULL;
    }
    return end + n_delimiter;
}

/* Of the `$tag$` at `at`; 0: none. */
static gsize
delimiter_length(const char *at)
{
    const char *end = at + 1;

    if (starts_name(*end))
        while (continues_tag(*end))
            end++;
    return *end == '$' ? (gsize)(end - at) + 1 : 0;
}

static gboolean
take_bracket(LakeLexer *lexer, char byte, LakeLexerToken *token, GError **error)
{
    GString *open = lexer->open;

    if (byte == '(' || byte == '[') {
        g_string_append_c(open, byte);
        token->depth = (guint)open->len;
        return TRUE;
    }
    if (open->len == 0 || open->str[open->len - 1] != (byte == ')' ? '(' : '['))
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_GENERAL, "a %c closes what is not open", byte);
    g_string_truncate(open, open->len - 1);
    return TRUE;
}

static const char *
skip_while(const char *at, gboolean (*is_part)(char byte))
{
    while (is_part(*at))
        at++;
    return at;
}

static gboolean
is_digit(char byte)
{
    return g_ascii_isdigit(byte);
}

/* What begins with a byte that has no meaning beyond itself, or is a bracket. */
static const char *
take_byte(LakeLexer *lexer, LakeLexerToken *token, GError **error)
{
    const char *at = lexer->at;

    token->kind = *at == ',' && lexer->open->len == 0 ? LAKE_LEXER_COMMA : LAKE_LEXER_OTHER;
    if (*at == ';') {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL,
            "a semicolon stands outside of quotes; this is one expression");
        return NULL;
    }
    if (strchr("()[]", *at) && !take_bracket(lexer, *at, token, error))
        return NULL;
    return at + 1;
}

/* Returns where the token ends. */
static const char *
scan(LakeLexer *lexer, LakeLexerToken *token, GError **error)
{
    const char *at = lexer->at;
    gsize n_delimiter = *at == '$' ? delimiter_length(at) : 0;

    if (strchr(BLANKS, *at) || is_comment(at)) {
        token->kind = LAKE_LEXER_SPACE;
        return skip_space(at, error);
    }
    token->kind = LAKE_LEXER_QUOTED;
    if (*at == '\'' || *at == '"')
        return skip_quoted(at, FALSE, error);
    if ((*at == 'E' || *at == 'e') && at[1] == '\'')
        return skip_escaped(at + 1, error);
    if (n_delimiter > 0)
        return skip_dollar_quoted(at, n_delimiter, error);
    if (*at == '$' && g_ascii_isdigit(at[1])) {
        token->kind = LAKE_LEXER_PARAMETER;
        return skip_while(at + 1, is_digit);
    }
    if (starts_name(*at)) {
        token->kind = LAKE_LEXER_WORD;
        return skip_while(at, continues_name);
    }
    return take_byte(lexer, token, error);
}

gboolean
lake_lexer_next(LakeLexer *lexer, LakeLexerToken *ret_token, GError **error)
{
    LakeLexerToken token = {.start = lexer->at, .depth = (guint)lexer->open->len};
    const char *end;

    if (*lexer->at == '\0') {
        if (lexer->open->len > 0)
            return lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "a %c is not closed",
                lexer->open->str[lexer->open->len - 1]);
        token.kind = LAKE_LEXER_END;
        *ret_token = token;
        return TRUE;
    }
    end = scan(lexer, &token, error);
    if (!end)
        return FALSE;
    token.n_bytes = (gsize)(end - lexer->at);
    lexer->at = end;
    *ret_token = token;
    return TRUE;
}

gboolean
lake_lexer_token_is_word(const LakeLexerToken *token, const char *word)
{
    return token->kind == LAKE_LEXER_WORD && token->n_bytes == strlen(word) &&
           g_ascii_strncasecmp(token->start, word, token->n_bytes) == 0;
}
