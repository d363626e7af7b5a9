/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/decode.h"

#include "core/error.h"

#include <errno.h>
#include <string.h>

#define BLOCK_BYTES (64 * 1024)

typedef enum {
    FORM_UTF_8,
    FORM_WIDE, /* UTF-16 and UTF-32: iconv's work */
    FORM_WINDOWS_1252,
} Form;

typedef struct {
    const char *name; /* of a wide one: iconv's too */
    Form form;
    gsize unit_bytes;
    gsize n_mark;
    char mark[5];
} Encoding;

static const Encoding utf_8 = {"UTF-8", FORM_UTF_8, 1, 0, ""};
static const Encoding windows_1252 = {"windows-1252", FORM_WINDOWS_1252, 1, 0, ""};

/* UTF-32LE before UTF-16LE, whose mark is the start of its own. UTF-16LE text cannot be
 * mistaken for it: its first character would be NUL. */
static const Encoding marked[] = {
    {"UTF-8 with BOM", FORM_UTF_8, 1, 3, "\xef\xbb\xbf"},
    {"UTF-32LE", FORM_WIDE, 4, 4, "\xff\xfe\0\0"},
    {"UTF-32BE", FORM_WIDE, 4, 4, "\0\0\xfe\xff"},
    {"UTF-16LE", FORM_WIDE, 2, 2, "\xff\xfe"},
    {"UTF-16BE", FORM_WIDE, 2, 2, "\xfe\xff"},
};

struct LakeTextDecoder {
    LakeSpool *content; /* borrowed */
    gint64 size_bytes;
    const Encoding *encoding;
    GIConv converter;    /* (GIConv)-1 unless FORM_WIDE */
    gint64 offset;       /* of the next byte to decode */
    gint64 n_characters; /* counted so far while opening, then of all */
    char *block;         /* min(size_bytes, BLOCK_BYTES) */
    gint64 block_offset;
    gsize n_block;
};

/* The bytes at decoder->offset, up to a block of them; none at the end. A file that fits in one
 * block is read once. */
static gboolean
look(LakeTextDecoder *decoder, const char **ret_bytes, gsize *ret_n, GCancellable *cancellable,
    GError **error)
{
    gint64 n_left = decoder->size_bytes - decoder->offset;
    gint64 block_end = decoder->block_offset + (gint64)decoder->n_block;

    if (g_cancellable_is_cancelled(cancellable)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
        return FALSE;
    }

    if (n_left > 0 &&
        (decoder->offset < decoder->block_offset || block_end < decoder->size_bytes)) {
        gsize n_wanted = (gsize)MIN(n_left, BLOCK_BYTES);
        gssize n_read =
            lake_spool_read(decoder->content, decoder->offset, decoder->block, n_wanted, error);
        if (n_read < 0)
            return FALSE;
        if ((gsize)n_read < n_wanted) {
            lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_FAILED,
                "the file became shorter while it was read");
            return FALSE;
        }
        decoder->block_offset = decoder->offset;
        decoder->n_block = n_wanted;
    }

    *ret_bytes = decoder->block + (decoder->offset - decoder->block_offset);
    *ret_n = (gsize)(decoder->block_offset + (gint64)decoder->n_block - decoder->offset);
    return TRUE;
}

static gboolean
is_last(const LakeTextDecoder *decoder, gsize n_bytes)
{
    return decoder->offset + (gint64)n_bytes == decoder->size_bytes;
}

static gboolean
fail_nul(gint64 offset, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
        "not a text file: it has a NUL character at byte offset %" G_GINT64_FORMAT, offset);
    if (error)
        lake_error_hint(*error, "save it as UTF-8 without NUL characters, or give it an "
                                "extension that is not one of text, such as .bin");
    return FALSE;
}

/* Characters that begin in valid UTF-8: the bytes that do not continue one. Eight at a time. */
static gint64
count_characters(const char *bytes, gsize n_bytes)
{
    gsize n_continuing = 0;
    gsize i = 0;

    for (; i + 8 <= n_bytes; i += 8) {
        guint64 word;
        memcpy(&word, bytes + i, sizeof word);
        word = (word >> 7) & ~(word >> 6) & 0x0101010101010101u;
        n_continuing += (gsize)((word * 0x0101010101010101u) >> 56);
    }
    for (; i < n_bytes; i++)
        n_continuing += ((guchar)bytes[i] & 0xc0) == 0x80;
    return (gint64)(n_bytes - n_continuing);
}

/* Length of a start of bytes that is ASCII without NUL, a multiple of eight. */
static gsize
skip_ascii(const char *bytes, gsize n_bytes)
{
    gsize i = 0;

    for (; i + 8 <= n_bytes; i += 8) {
        guint64 word;
        memcpy(&word, bytes + i, sizeof word);
        /* A byte of 1 to 0x7f, and no other, has its high bit clear both now and one less. */
        if ((word | (word - 0x0101010101010101u)) & 0x8080808080808080u)
            break;
    }
    return i;
}

/* TRUE when bytes, which no character of UTF-8 ends in, are the start of one. */
static gboolean
is_cut(const char *bytes, gsize n_bytes)
{
    if ((guchar)bytes[0] < 0xc0 || n_bytes >= (gsize)g_utf8_skip[(guchar)bytes[0]])
        return FALSE;
    for (gsize i = 1; i < n_bytes; i++)
        if (((guchar)bytes[i] & 0xc0) != 0x80)
            return FALSE;
    return TRUE;
}

/* Checks from decoder->offset on: what lies before had no NUL. */
static gboolean
check_windows_1252(LakeTextDecoder *decoder, GCancellable *cancellable, GError **error)
{
    while (decoder->offset < decoder->size_bytes) {
        const char *bytes;
        gsize n_bytes;
        if (!look(decoder, &bytes, &n_bytes, cancellable, error))
            return FALSE;

        const char *nul = memchr(bytes, '\0', n_bytes);
        if (nul)
            return fail_nul(decoder->offset + (nul - bytes), error);
        decoder->offset += (gint64)n_bytes;
    }

    decoder->encoding = &windows_1252;
    decoder->n_characters = decoder->size_bytes;
    return TRUE;
}

static gboolean
check_utf_8(LakeTextDecoder *decoder, GCancellable *cancellable, GError **error)
{
    while (decoder->offset < decoder->size_bytes) {
        const char *bytes;
        gsize n_bytes;
        if (!look(decoder, &bytes, &n_bytes, cancellable, error))
            return FALSE;

        gsize n_ascii = skip_ascii(bytes, n_bytes);
        const char *end;
        if (!g_utf8_validate_len(bytes + n_ascii, n_bytes - n_ascii, &end)) {
            gsize n_rest = n_bytes - (gsize)(end - bytes);
            if (is_last(decoder, n_bytes) || !is_cut(end, n_rest))
                return check_windows_1252(decoder, cancellable, error);
        }

        gsize n_valid = (gsize)(end - bytes);
        decoder->n_characters += (gint64)n_ascii;
        decoder->n_characters += count_characters(bytes + n_ascii, n_valid - n_ascii);
        decoder->offset += (gint64)n_valid;
    }
    return TRUE;
}

/* Appends the whole characters of bytes to into. */
static gboolean
convert_wide(LakeTextDecoder *decoder, const char *bytes, gsize n_bytes, GString *into,
    gsize *ret_n_used, GError **error)
{
    gsize n_before = into->len;
    gsize n_room = n_bytes * 2; /* two bytes become at most three, four at most four */
    gsize n_in = n_bytes;
    char *in = (char *)bytes;

    g_string_set_size(into, n_before + n_room);
    char *out = into->str + n_before;
    errno = 0;
    gsize result = g_iconv(decoder->converter, &in, &n_in, &out, &n_room);
    int saved_errno = errno;
    g_string_set_size(into, (gsize)(out - into->str));

    gboolean is_cut_off = saved_errno == EINVAL && !is_last(decoder, n_bytes);
    if (result == (gsize)-1 && !is_cut_off) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
            "broken %s: no character at byte offset %" G_GINT64_FORMAT, decoder->encoding->name,
            decoder->offset + (in - bytes));
        return FALSE;
    }
    *ret_n_used = n_bytes - n_in;
    return TRUE;
}

/* How many bytes of the file the characters of text were. */
static gint64
wide_bytes(const Encoding *encoding, const char *text, gsize n_bytes)
{
    gint64 n_units = count_characters(text, n_bytes);

    if (encoding->unit_bytes == 2)
        for (gsize i = 0; i < n_bytes; i++)
            n_units += (guchar)text[i] >= 0xf0; /* beyond U+FFFF: two units */
    return n_units * (gint64)encoding->unit_bytes;
}

static gboolean
check_wide(LakeTextDecoder *decoder, GCancellable *cancellable, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);

    decoder->converter = g_iconv_open("UTF-8", decoder->encoding->name);
    if (decoder->converter == (GIConv)-1) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_UNSUPPORTED,
            "this system's iconv does not know %s", decoder->encoding->name);
        return FALSE;
    }

    while (decoder->offset < decoder->size_bytes) {
        const char *bytes;
        gsize n_bytes, n_used;

        g_string_truncate(text, 0);
        if (!look(decoder, &bytes, &n_bytes, cancellable, error) ||
            !convert_wide(decoder, bytes, n_bytes, text, &n_used, error))
            return FALSE;

        const char *nul = memchr(text->str, '\0', text->len);
        if (nul)
            return fail_nul(decoder->offset + wide_bytes(decoder->encoding, text->str,
                                                  (gsize)(nul - text->str)),
                error);
        decoder->n_characters += count_characters(text->str, text->len);
        decoder->offset += (gint64)n_used;
    }
    return TRUE;
}

static const Encoding *
find_mark(const char *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < G_N_ELEMENTS(marked); i++)
        if (n_bytes >= marked[i].n_mark && memcmp(bytes, marked[i].mark, marked[i].n_mark) == 0)
            return &marked[i];
    return &utf_8;
}

LakeTextDecoder *
lake_text_decoder_open(LakeSpool *content, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeTextDecoder) decoder = g_new0(LakeTextDecoder, 1);
    const char *bytes;
    gsize n_bytes;

    decoder->content = content;
    decoder->size_bytes = lake_spool_size(content);
    decoder->converter = (GIConv)-1;
    decoder->block = g_malloc((gsize)CLAMP(decoder->size_bytes, 1, BLOCK_BYTES));
    if (!look(decoder, &bytes, &n_bytes, cancellable, error))
        return NULL;

    decoder->encoding = find_mark(bytes, n_bytes);
    decoder->offset = (gint64)decoder->encoding->n_mark;
    gboolean is_fine = decoder->encoding->form == FORM_WIDE
                           ? check_wide(decoder, cancellable, error)
                           : check_utf_8(decoder, cancellable, error);
    if (!is_fine)
        return NULL;

    decoder->offset = (gint64)decoder->encoding->n_mark;
    return g_steal_pointer(&decoder);
}

void
lake_text_decoder_free(LakeTextDecoder *decoder)
{
    if (!decoder)
        return;

    if (decoder->converter != (GIConv)-1)
        g_iconv_close(decoder->converter);
    g_free(decoder->block);
    g_free(decoder);
}

const char *
lake_text_decoder_encoding(LakeTextDecoder *decoder)
{
    return decoder->encoding->name;
}

gint64
lake_text_decoder_n_characters(LakeTextDecoder *decoder)
{
    return decoder->n_characters;
}

/* The characters of bytes 0x80 to 0x9f, as the WHATWG Encoding Standard has them; the others
 * are their own number. */
static const guint16 windows_1252_high[32] = {
    0x20ac, 0x0081, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, /* 80 */
    0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x008d, 0x017d, 0x008f, /* 88 */
    0x0090, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, /* 90 */
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x009d, 0x017e, 0x0178, /* 98 */
};

static void
append_windows_1252(GString *into, const char *bytes, gsize n_bytes)
{
    gsize n_before = into->len;

    g_string_set_size(into, n_before + n_bytes * 3);
    char *out = into->str + n_before;
    for (gsize i = 0; i < n_bytes; i++) {
        guint character = (guchar)bytes[i];
        if (character >= 0x80 && character < 0xa0)
            character = windows_1252_high[character - 0x80];

        if (character < 0x80) {
            *out++ = (char)character;
        } else if (character < 0x800) {
            *out++ = (char)(0xc0 | character >> 6);
            *out++ = (char)(0x80 | (character & 0x3f));
        } else {
            *out++ = (char)(0xe0 | character >> 12);
            *out++ = (char)(0x80 | (character >> 6 & 0x3f));
            *out++ = (char)(0x80 | (character & 0x3f));
        }
    }
    g_string_set_size(into, (gsize)(out - into->str));
}

/* bytes less a character that their end cuts. */
static gsize
whole_bytes(const char *bytes, gsize n_bytes)
{
    for (gsize n_tail = 1; n_tail <= MIN(n_bytes, 3); n_tail++)
        if (is_cut(bytes + n_bytes - n_tail, n_tail))
            return n_bytes - n_tail;
    return n_bytes;
}

gboolean
lake_text_decoder_read(
    LakeTextDecoder *decoder, GString *into, GCancellable *cancellable, GError **error)
{
    const char *bytes;
    gsize n_bytes;

    if (!look(decoder, &bytes, &n_bytes, cancellable, error))
        return FALSE;

    gsize n_used = n_bytes;
    switch (decoder->encoding->form) {
    case FORM_UTF_8:
        if (!is_last(decoder, n_bytes))
            n_used = whole_bytes(bytes, n_bytes);
        g_string_append_len(into, bytes, (gssize)n_used);
        break;
    case FORM_WIDE:
        if (!convert_wide(decoder, bytes, n_bytes, into, &n_used, error))
            return FALSE;
        break;
    case FORM_WINDOWS_1252:
        append_windows_1252(into, bytes, n_bytes);
        break;
    }
    decoder->offset += (gint64)n_used;
    return TRUE;
}
