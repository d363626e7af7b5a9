/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/decode.h"

#include "core/error.h"

#include <string.h>

static LakeSpool *
new_spool(const void *bytes, gsize n_bytes)
{
    LakeSpool *spool = lake_spool_new(g_get_tmp_dir());
    g_autoptr(GError) error = NULL;

    lake_spool_append(spool, bytes, n_bytes, &error);
    g_assert_no_error(error);
    return spool;
}

/* All text of bytes; checks the encoding's name, and the number of characters. */
static GString *
decode(const void *bytes, gsize n_bytes, const char *encoding)
{
    g_autoptr(LakeSpool) spool = new_spool(bytes, n_bytes);
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeTextDecoder) decoder = lake_text_decoder_open(spool, NULL, &error);
    GString *text = g_string_new(NULL);
    gsize n_before;

    g_assert_no_error(error);
    g_assert_cmpstr(lake_text_decoder_encoding(decoder), ==, encoding);
    do {
        n_before = text->len;
        lake_text_decoder_read(decoder, text, NULL, &error);
        g_assert_no_error(error);
        g_assert_true(g_utf8_validate_len(text->str, text->len, NULL));
    } while (text->len > n_before);
    g_assert_cmpint(lake_text_decoder_n_characters(decoder), ==,
        g_utf8_strlen(text->str, (gssize)text->len));
    return text;
}

typedef struct {
    const char *name; /* of the encoding */
    const char *bytes;
    gsize n_bytes;
    const char *text;
} Sample;

#define SAMPLE(name, bytes, text)                                                              \
    {                                                                                          \
        name, bytes, sizeof bytes - 1, text                                                    \
    }

static const Sample samples[] = {
    SAMPLE("UTF-8", "", ""),
    SAMPLE("UTF-8", "a\r\nb\tc\n", "a\r\nb\tc\n"),
    SAMPLE("UTF-8", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
    SAMPLE("UTF-8", "e\xcc\x81 is not composed", "e\xcc\x81 is not composed"),
    SAMPLE("UTF-8 with BOM",
        "\xef\xbb\xbf"
        "a",
        "a"),
    SAMPLE("UTF-8 with BOM", "\xef\xbb\xbf", ""),
    SAMPLE("UTF-8 with BOM", "\xef\xbb\xbf\xef\xbb\xbf", "\xef\xbb\xbf"),
    SAMPLE("UTF-16LE",
        "\xff\xfe"
        "a\0\xe9\0\x3d\xd8\x00\xde",
        "a\xc3\xa9\xf0\x9f\x98\x80"),
    SAMPLE("UTF-16LE", "\xff\xfe", ""),
    SAMPLE("UTF-16BE", "\xfe\xff\0a\0\xe9\xd8\x3d\xde\x00", "a\xc3\xa9\xf0\x9f\x98\x80"),
    SAMPLE("UTF-32LE",
        "\xff\xfe\0\0"
        "a\0\0\0\0\xf6\1\0",
        "a\xf0\x9f\x98\x80"),
    SAMPLE("UTF-32BE", "\0\0\xfe\xff\0\0\0a\0\1\xf6\0", "a\xf0\x9f\x98\x80"),
    SAMPLE("windows-1252", "caf\xe9", "caf\xc3\xa9"),
    SAMPLE("windows-1252", "\x80 \x99", "\xe2\x82\xac \xe2\x84\xa2"),
    SAMPLE("windows-1252", "\x81\x8d\x8f\x90\x9d", "\xc2\x81\xc2\x8d\xc2\x8f\xc2\x90\xc2\x9d"),
    /* What is almost UTF-8: cut at the end, overlong, a surrogate, beyond U+10FFFF. */
    SAMPLE("windows-1252", "a\xc3", "a\xc3\x83"),
    SAMPLE("windows-1252", "\xc0\xaf", "\xc3\x80\xc2\xaf"),
    SAMPLE("windows-1252", "\xed\xa0\x80", "\xc3\xad\xc2\xa0\xe2\x82\xac"),
    SAMPLE("windows-1252", "\xf4\x90\x80\x80", "\xc3\xb4\xc2\x90\xe2\x82\xac\xe2\x82\xac"),
    /* A mark promises, the bytes do not keep it: then the mark is text too. */
    SAMPLE("windows-1252", "\xef\xbb\xbf\xff", "\xc3\xaf\xc2\xbb\xc2\xbf\xc3\xbf"),
};

static void
test_samples(gconstpointer data)
{
    const Sample *sample = data;
    g_autoptr(GString) text = decode(sample->bytes, sample->n_bytes, sample->name);

    g_assert_cmpmem(text->str, text->len, sample->text, strlen(sample->text));
}

static void
test_windows_1252(void)
{
    guint8 bytes[255];
    g_autofree char *expected = NULL;

    /* iconv's table is another's; it lacks the five bytes that have no character. */
    for (guint i = 0; i < sizeof bytes; i++) {
        guint8 byte = (guint8)(i + 1);
        bytes[i] = memchr("\x81\x8d\x8f\x90\x9d", byte, 5) ? 'x' : byte;
    }
    expected = g_convert((char *)bytes, sizeof bytes, "UTF-8", "CP1252", NULL, NULL, NULL);
    g_assert_nonnull(expected);

    g_autoptr(GString) text = decode(bytes, sizeof bytes, "windows-1252");
    g_assert_cmpmem(text->str, text->len, expected, strlen(expected));
}

/* Characters of one, two, three and four bytes, so shifted by a first ASCII part that each of
 * them lies on the border of a block in turn. */
static void
test_blocks(gconstpointer data)
{
    const char *encoding = data;
    const char *charset = g_str_has_prefix(encoding, "UTF-8") ? "UTF-8" : encoding;

    for (guint shift = 0; shift < 12; shift++) {
        g_autoptr(GString) expected = g_string_new(NULL);
        for (guint i = 0; i < shift; i++)
            g_string_append_c(expected, 'a');
        while (expected->len < 150 * 1000)
            g_string_append(expected, "z\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");

        gsize n_bytes;
        g_autoptr(GString) marked =
            g_string_new(strcmp(encoding, "UTF-8") ? "\xef\xbb\xbf" : "");
        g_string_append_len(marked, expected->str, (gssize)expected->len);
        g_autofree char *bytes =
            g_convert(marked->str, (gssize)marked->len, charset, "UTF-8", NULL, &n_bytes, NULL);
        g_assert_nonnull(bytes);

        g_autoptr(GString) text = decode(bytes, n_bytes, encoding);
        g_assert_cmpmem(text->str, text->len, expected->str, expected->len);
    }
}

static void
test_late_windows_1252(void)
{
    g_autoptr(GString) bytes = g_string_new(NULL);

    while (bytes->len < 200 * 1000)
        g_string_append(bytes, "\xc3\xa9");
    g_string_append(bytes, "\xe9");
    g_autoptr(GString) text = decode(bytes->str, bytes->len, "windows-1252");
    g_assert_cmpuint(text->len, ==, 200 * 1000 * 2 + 2);
    g_assert_true(g_str_has_prefix(text->str, "\xc3\x83\xc2\xa9\xc3\x83\xc2\xa9"));
    g_assert_true(g_str_has_suffix(text->str, "\xc2\xa9\xc3\xa9"));
}

/* Asserts that bytes are refused, with this offset in the message. */
static void
assert_refused(const void *bytes, gsize n_bytes, const char *what, gint64 offset)
{
    g_autoptr(LakeSpool) spool = new_spool(bytes, n_bytes);
    g_autoptr(GError) error = NULL;
    g_autofree char *end = g_strdup_printf("%s at byte offset %" G_GINT64_FORMAT, what, offset);

    g_assert_null(lake_text_decoder_open(spool, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpint(lake_error_facts(error)->class, ==, LAKE_ERROR_CLASS_INGEST);
    if (!g_str_has_suffix(error->message, end))
        g_error("\"%s\" does not end in \"%s\"", error->message, end);
}

static void
test_nul(void)
{
    static const struct {
        const char *bytes;
        gsize n_bytes;
        gint64 offset;
    } cases[] = {
        {"\0", 1, 0},
        {"abc\0def", 7, 3},
        {"0123456789abcdef\0", 17, 16},
        {"caf\xe9 \0", 6, 5},
        {"\xef\xbb\xbf"
         "a\0",
            5, 4},
        {"a\xe2\0", 3, 2},
        {"\xff\xfe"
         "a\0\0\0",
            6, 4},
        {"\xff\xfe\x3d\xd8\x00\xde\0\0", 8, 6},
        {"\xfe\xff\0a\0\0", 6, 4},
        {"\xff\xfe\0\0a\0\0\0\0\0\0\0", 12, 8},
        {"\0\0\xfe\xff\0\1\xf6\0\0\0\0\0", 12, 8},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_refused(cases[i].bytes, cases[i].n_bytes, "NUL character", cases[i].offset);
}

static void
test_late_nul(void)
{
    static const gint64 offsets[] = {65533, 65534, 65535, 65536, 65537, 131071, 131072, 199999};

    for (gsize i = 0; i < G_N_ELEMENTS(offsets); i++) {
        g_autofree char *bytes = g_strnfill(200 * 1000, 'a');
        bytes[offsets[i]] = '\0';
        assert_refused(bytes, 200 * 1000, "NUL character", offsets[i]);
        if (offsets[i] > 1) {
            bytes[offsets[i] - 1] = '\xe2'; /* looks like a character cut by the block's end */
            assert_refused(bytes, 200 * 1000, "NUL character", offsets[i]);
            bytes[0] = '\xff';
            assert_refused(bytes, 200 * 1000, "NUL character", offsets[i]);
        }
    }
}

static void
test_broken_wide(void)
{
    static const struct {
        const char *bytes;
        gsize n_bytes;
        gint64 offset;
    } cases[] = {
        {"\xff\xfe"
         "a\0b",
            5, 4},            /* half a unit */
        {"\xff\xfe\0", 3, 2}, /* the same, after the mark */
        {"\xff\xfe"
         "a\0\x3d\xd8",
            6, 4}, /* half a pair */
        {"\xff\xfe"
         "a\0\x3d\xd8"
         "b\0",
            8, 4},                     /* a pair's first half, then a letter */
        {"\xfe\xff\xde\x00\0a", 6, 2}, /* a pair's second half alone */
        {"\xff\xfe\0\0a\0\0", 7, 4}, {"\xff\xfe\0\0a\0\0\0\0\xd8\0\0", 12, 8}, /* a surrogate */
        {"\0\0\xfe\xff\0\x11\0\0", 8, 4}, /* beyond U+10FFFF */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        assert_refused(cases[i].bytes, cases[i].n_bytes, "no character", cases[i].offset);
}

static void
test_late_broken_wide(void)
{
    g_autoptr(GString) bytes = g_string_new("\xff\xfe");

    while (bytes->len < 140002)
        g_string_append_len(bytes, "a\0", 2);
    g_string_append_len(bytes,
        "\x00\xdc"
        "b\0",
        4);
    assert_refused(bytes->str, bytes->len, "no character", 140002);
}

static void
test_cancelled(void)
{
    g_autoptr(LakeSpool) spool = new_spool("abc", 3);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    g_assert_null(lake_text_decoder_open(spool, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
}

static void
test_pieces(void)
{
    g_autofree char *bytes = g_strnfill(1000 * 1000, 'a');
    g_autoptr(LakeSpool) spool = new_spool(bytes, 1000 * 1000);
    g_autoptr(LakeTextDecoder) decoder = lake_text_decoder_open(spool, NULL, NULL);
    g_autoptr(GString) text = g_string_new("kept ");

    g_assert_true(lake_text_decoder_read(decoder, text, NULL, NULL));
    g_assert_true(g_str_has_prefix(text->str, "kept aaa"));
    g_assert_cmpuint(text->len, ==, 5 + 64 * 1024);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(samples); i++) {
        g_autofree char *name =
            g_strdup_printf("/core/ingest/decode/encoding-is-found/%s-%zu", samples[i].name, i);
        g_test_add_data_func(name, &samples[i], test_samples);
    }
    g_test_add_func("/core/ingest/decode/windows-1252-agrees-with-iconv", test_windows_1252);
    g_test_add_data_func(
        "/core/ingest/decode/blocks-cut-no-character/utf-8", "UTF-8", test_blocks);
    g_test_add_data_func(
        "/core/ingest/decode/blocks-cut-no-character/utf-8-bom", "UTF-8 with BOM", test_blocks);
    g_test_add_data_func(
        "/core/ingest/decode/blocks-cut-no-character/utf-16le", "UTF-16LE", test_blocks);
    g_test_add_data_func(
        "/core/ingest/decode/blocks-cut-no-character/utf-16be", "UTF-16BE", test_blocks);
    g_test_add_data_func(
        "/core/ingest/decode/blocks-cut-no-character/utf-32le", "UTF-32LE", test_blocks);
    g_test_add_data_func(
        "/core/ingest/decode/blocks-cut-no-character/utf-32be", "UTF-32BE", test_blocks);
    g_test_add_func(
        "/core/ingest/decode/last-byte-decides-for-windows-1252", test_late_windows_1252);
    g_test_add_func("/core/ingest/decode/nul-is-refused-with-its-offset", test_nul);
    g_test_add_func("/core/ingest/decode/nul-is-found-in-every-block", test_late_nul);
    g_test_add_func("/core/ingest/decode/broken-utf-16-and-32-are-refused", test_broken_wide);
    g_test_add_func(
        "/core/ingest/decode/offset-counts-from-the-file-s-start", test_late_broken_wide);
    g_test_add_func("/core/ingest/decode/cancelled-is-an-error", test_cancelled);
    g_test_add_func("/core/ingest/decode/read-appends-one-block", test_pieces);
    return g_test_run();
}
