/* SPDX-License-Identifier: Apache-2.0 */

#include "core/pg_deeplake/bm25/tokenize.h"

#include "core/pg_deeplake/bm25/unicode_table.h"

#include <catalog/namespace.h>
#include <catalog/pg_collation.h>
#include <mb/pg_wchar.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <tsearch/ts_utils.h>
#include <utils/memutils.h>
#include <utils/regproc.h>
#include <utils/varlena.h>

struct DeeplakeBm25Tokenizer {
    Oid configuration; /* invalid: 'unicode' */
};

/* --- 'unicode' --- */

static bool
is_word_character(uint32 code)
{
    int low = 0;
    int high = lengthof(word_ranges) - 1;

    while (low <= high) {
        int middle = (low + high) / 2;

        if (code < word_ranges[middle][0])
            high = middle - 1;
        else if (code > word_ranges[middle][1])
            low = middle + 1;
        else
            return true;
    }
    return false;
}

static uint32
lower(uint32 code)
{
    int low = 0;
    int high = lengthof(lower_ranges) - 1;

    while (low <= high) {
        int middle = (low + high) / 2;
        const int32 *range = lower_ranges[middle];

        if ((int32)code < range[0])
            high = middle - 1;
        else if ((int32)code > range[1])
            low = middle + 1;
        else
            return ((int32)code - range[0]) % range[2] ? code : code + (uint32)range[3];
    }
    return code;
}

/* One character's place in a token; 0 where it ends one, else how many bytes it is. */
static int
word_character(const char *text, int size, bool is_utf8, char *ret_lowered, int *ret_n_lowered)
{
    unsigned char first = (unsigned char)*text;
    int n_bytes;
    uint32 code;

    if (first < 128 || !is_utf8) {
        bool is_upper = first >= 'A' && first <= 'Z';
        bool is_word = is_upper || (first >= 'a' && first <= 'z') ||
                       (first >= '0' && first <= '9') || first >= 128;

        *ret_lowered = is_upper ? (char)(first + 32) : (char)first;
        *ret_n_lowered = 1;
        return is_word ? 1 : 0;
    }

    n_bytes = pg_utf_mblen((const unsigned char *)text);
    if (n_bytes > size)
        return 0;
    code = utf8_to_unicode((const unsigned char *)text);
    if (!is_word_character(code))
        return 0;
    code = lower(code);
    unicode_to_utf8(code, (unsigned char *)ret_lowered);
    *ret_n_lowered = pg_utf_mblen((const unsigned char *)ret_lowered);
    return n_bytes;
}

static void
run_unicode(
    const char *text, int size, bool is_utf8, DeeplakeTokenFunction function, void *data)
{
    char token[DEEPLAKE_BM25_TOKEN_MAX];
    int n_token = 0;
    bool is_cut = false;
    int at = 0, next_check = 0;

    while (at < size) {
        char lowered[4];
        int n_lowered = 0;
        int n_bytes = word_character(text + at, size - at, is_utf8, lowered, &n_lowered);

        if (at >= next_check) {
            CHECK_FOR_INTERRUPTS();
            next_check = at + 65536;
        }
        if (n_bytes > 0) {
            is_cut = is_cut || n_token + n_lowered > DEEPLAKE_BM25_TOKEN_MAX;
            if (!is_cut) {
                memcpy(token + n_token, lowered, n_lowered);
                n_token += n_lowered;
            }
            at += n_bytes;
            continue;
        }
        if (n_token > 0)
            function(token, n_token, data);
        n_token = 0;
        is_cut = false;
        at += is_utf8 ? pg_utf_mblen((const unsigned char *)text + at) : 1;
    }
    if (n_token > 0)
        function(token, n_token, data);
}

/* What has no character in UTF-8, as five bytes of WIN1252, ends a word: the table may hold it,
 * and so must the index. */
static char *
to_utf8(Oid conversion, int encoding, const char *text, int size)
{
    Size room = Min((Size)size * MAX_CONVERSION_GROWTH + 1, (Size)INT_MAX);
    char *converted = palloc_extended(room, MCXT_ALLOC_HUGE);
    Size n_converted = 0;
    int at = 0;

    for (;;) {
        at += pg_do_encoding_conversion_buf(conversion, encoding, PG_UTF8,
            (unsigned char *)unconstify(char *, text + at), size - at,
            (unsigned char *)converted + n_converted, (int)(room - n_converted), true);
        n_converted += strlen(converted + n_converted);
        if (at >= size || n_converted + 1 >= room)
            return converted;
        at += Min(pg_encoding_mblen(encoding, text + at), size - at);
        converted[n_converted++] = ' ';
        converted[n_converted] = '\0';
    }
}

/* --- a text search configuration --- */

static void
run_configuration(
    Oid configuration, const char *text, int size, DeeplakeTokenFunction function, void *data)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "bm25 words", ALLOCSET_DEFAULT_SIZES);
    MemoryContext previous = MemoryContextSwitchTo(context);
    ParsedText parsed = {.lenwords = Max(size / 6, 16)};

    if (parsed.lenwords > (int)(MaxAllocSize / sizeof(ParsedWord)))
        parsed.lenwords = (int)(MaxAllocSize / sizeof(ParsedWord));
    parsed.words = palloc(sizeof(ParsedWord) * (Size)parsed.lenwords);
    parsetext(configuration, &parsed, unconstify(char *, text), size);
    MemoryContextSwitchTo(previous);

    for (int i = 0; i < parsed.curwords; i++) {
        const ParsedWord *word = &parsed.words[i];
        int n_bytes = word->len;

        if (n_bytes > DEEPLAKE_BM25_TOKEN_MAX)
            n_bytes = pg_mbcliplen(word->word, n_bytes, DEEPLAKE_BM25_TOKEN_MAX);
        if (n_bytes > 0)
            function(word->word, n_bytes, data);
    }
    MemoryContextDelete(context);
}

static Oid
find_configuration(const char *name)
{
    List *names = stringToQualifiedNameList(name);
    Oid configuration;

    if (list_length(names) == 1)
        names = lcons(makeString(pstrdup("pg_catalog")), names);
    configuration = get_ts_config_oid(names, true);
    if (!OidIsValid(configuration))
        ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_OBJECT),
                errmsg("tokenizer \"%s\" is neither 'unicode' nor a text search configuration",
                    name),
                errhint("SELECT cfgname FROM pg_ts_config shows those of the server; one of "
                        "your own is written with its schema.")));
    return configuration;
}

/* --- what others call --- */

DeeplakeBm25Tokenizer *
deeplake_bm25_tokenizer(const char *name)
{
    DeeplakeBm25Tokenizer *tokenizer = palloc0(sizeof(*tokenizer));

    if (pg_strcasecmp(name, "unicode") != 0)
        tokenizer->configuration = find_configuration(name);
    return tokenizer;
}

void
deeplake_bm25_tokenizer_run(const DeeplakeBm25Tokenizer *tokenizer, const char *text, int size,
    DeeplakeTokenFunction function, void *data)
{
    int encoding = GetDatabaseEncoding();
    Oid conversion;
    char *converted;

    if (OidIsValid(tokenizer->configuration)) {
        run_configuration(tokenizer->configuration, text, size, function, data);
        return;
    }
    if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII) {
        run_unicode(text, size, encoding == PG_UTF8, function, data);
        return;
    }
    conversion = FindDefaultConversionProc(encoding, PG_UTF8);
    if (!OidIsValid(conversion)) {
        run_unicode(text, size, false, function, data);
        return;
    }
    converted = to_utf8(conversion, encoding, text, size);
    run_unicode(converted, (int)strlen(converted), true, function, data);
    pfree(converted);
}

void
deeplake_bm25_tokenize(const char *tokenizer, const char *text, int size,
    DeeplakeTokenFunction function, void *data)
{
    DeeplakeBm25Tokenizer *found = deeplake_bm25_tokenizer(tokenizer);

    deeplake_bm25_tokenizer_run(found, text, size, function, data);
    pfree(found);
}
