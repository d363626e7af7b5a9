/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/lexer.h: where the tokens of an SQL expression begin and end, after the rules of
 * PostgreSQL's src/backend/parser/scan.l with standard_conforming_strings on (which
 * core/pg/connection.c sets). Enough to tell that an expression cannot leave the parentheses
 * that it will be put in; what it means is the server's business. Pure; any thread.
 */

#include <glib.h>

typedef enum {
    LAKE_LEXER_END,
    LAKE_LEXER_SPACE,     /* blanks and comments */
    LAKE_LEXER_WORD,      /* a key word or a plain name */
    LAKE_LEXER_QUOTED,    /* a string of any kind, or a quoted name */
    LAKE_LEXER_PARAMETER, /* $1 */
    LAKE_LEXER_COMMA,     /* outside of all parentheses and brackets */
    LAKE_LEXER_OTHER,     /* a digit, a byte of an operator, a parenthesis */
} LakeLexerTokenKind;

typedef struct {
    LakeLexerTokenKind kind;
    const char *start; /* into the text */
    gsize n_bytes;
    guint depth; /* open parentheses and brackets; those of the token itself count */
} LakeLexerToken;

typedef struct {
    const char *at;
    GString *open; /* '(' and '[' that are not closed yet */
} LakeLexer;

/* text is borrowed for as long as the lexer is used. */
void lake_lexer_init(LakeLexer *lexer, const char *text);
void lake_lexer_clear(LakeLexer *lexer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(LakeLexer, lake_lexer_clear)

/* The next token; END after the last, again and again.
 *   BAD_INPUT  a parenthesis, a quote or a comment that is not closed, or closes what is not
 *              open; a semicolon */
gboolean lake_lexer_next(LakeLexer *lexer, LakeLexerToken *ret_token, GError **error);

/* TRUE when the token is that word, in capitals or not. */
gboolean lake_lexer_token_is_word(const LakeLexerToken *token, const char *word);
