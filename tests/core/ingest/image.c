/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/image/formats.h"
#include "core/ingest/normaliser.h"

#include <string.h>

static const char file_id[] = "0d9f3c52-0000-4000-8000-000000000001";

static LakeSpool *
new_spool(const void *bytes, gsize n_bytes)
{
    LakeSpool *spool = lake_spool_new(g_get_tmp_dir());

    g_assert_true(n_bytes == 0 || lake_spool_append(spool, bytes, n_bytes, NULL));
    return spool;
}

/* One value of a row as lake_rows_elements() has it: asserts that it is this, returns what
 * follows. */
static void
assert_value(const LakeRows *rows, guint column, const void *bytes, gsize n_bytes)
{
    const GByteArray *elements = lake_rows_elements(rows, column);
    guint32 length;

    g_assert_cmpuint(elements->len, >=, 4);
    memcpy(&length, elements->data, 4);
    if (!bytes) {
        g_assert_cmpuint(length, ==, 0xffffffff);
        return;
    }
    g_assert_cmpmem(elements->data + 4, elements->len - 4, bytes, n_bytes);
    g_assert_cmpuint(g_ntohl(length), ==, n_bytes);
}

/* Ingests; TRUE when a row came of it, which is checked; *ret_notes is owned by the caller. */
static gboolean
ingest(const char *path, const void *bytes, gsize n_bytes, char **ret_notes, GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_image;
    g_autoptr(LakeSpool) spool = new_spool(bytes, n_bytes);
    LakeNormaliserInput input = {.file_id = file_id, .path = path, .content = spool};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    LakeNormaliserFacts facts = {.n_rows_total = -1};
    gboolean is_done = FALSE;

    gpointer state = kind->open(&input, NULL, error);
    if (!state)
        return FALSE;

    g_assert_true(kind->next_row(state, rows, &is_done, NULL, error));
    g_assert_false(is_done);
    g_assert_true(kind->next_row(state, rows, &is_done, NULL, error));
    g_assert_true(is_done);
    kind->facts(state, &facts);
    kind->close(state);

    g_assert_cmpuint(lake_rows_count(rows), ==, 1);
    g_assert_cmpint(facts.n_rows_total, ==, 1);
    g_assert_null(facts.encoding);
    if (!lake_rows_has_spool(rows)) {
        assert_value(rows, 0, file_id, strlen(file_id));
        assert_value(rows, 1, bytes, n_bytes);
        assert_value(rows, 2, path, strlen(path));
        assert_value(rows, 3, NULL, 0);
    }
    *ret_notes = facts.notes;
    return TRUE;
}

/* Asserts that bytes are refused, and that the message has these words. */
static void
assert_refused(const char *path, const void *bytes, gsize n_bytes, const char *words)
{
    g_autoptr(GError) error = NULL;
    char *notes;

    if (ingest(path, bytes, n_bytes, &notes, &error))
        g_error("%s of %" G_GSIZE_FORMAT " bytes was taken", path, n_bytes);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpint(lake_error_facts(error)->class, ==, LAKE_ERROR_CLASS_INGEST);
    g_assert_nonnull(lake_error_facts(error)->hint);
    if (words && !strstr(error->message, words))
        g_error("\"%s\" does not say \"%s\"", error->message, words);
}

static void
assert_taken(const char *path, const void *bytes, gsize n_bytes, const char *expected_notes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *notes = NULL;

    ingest(path, bytes, n_bytes, &notes, &error);
    if (error)
        g_error("%s: %s", path, error->message);
    g_assert_cmpstr(notes, ==, expected_notes);
}

typedef void (*SampleTest)(const char *name, const char *bytes, gsize n_bytes);

/* Runs test for each file of the fuzzer's corpus whose name begins so. */
static void
each_sample(const char *prefix, SampleTest test)
{
    g_autofree char *folder =
        g_test_build_filename(G_TEST_DIST, "fuzz", "corpus", "image", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) names = g_dir_open(folder, 0, &error);
    guint n_samples = 0;

    g_assert_no_error(error);
    for (const char *name; (name = g_dir_read_name(names));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_autofree char *bytes = NULL;
        gsize n_bytes;

        if (!g_str_has_prefix(name, prefix))
            continue;
        g_assert_true(g_file_get_contents(path, &bytes, &n_bytes, NULL));
        test(name, bytes, n_bytes);
        n_samples++;
    }
    g_assert_cmpuint(n_samples, >=, 4);
}

static void
take_sample(const char *name, const char *bytes, gsize n_bytes)
{
    assert_taken(name, bytes, n_bytes, NULL);
}

static void
test_good(void)
{
    each_sample("good-", take_sample);
}

static void
refuse_sample(const char *name, const char *bytes, gsize n_bytes)
{
    assert_refused(name, bytes, n_bytes, "");
}

static void
test_bad(void)
{
    each_sample("bad-", refuse_sample);
    each_sample("cut", refuse_sample);
}

static gboolean
is_taken(const char *name, const char *bytes, gsize n_bytes)
{
    g_autoptr(GError) error = NULL;
    char *notes;

    if (ingest(name, bytes, n_bytes, &notes, &error)) {
        g_free(notes);
        return TRUE;
    }
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    return FALSE;
}

/* From some length on all is there, and before it nothing is taken. What may be missing is the
 * padding at the end of a BMP or WebP, and the pictures after the first in a JPEG. */
static void
cut_sample(const char *name, const char *bytes, gsize n_bytes)
{
    gsize n_whole = n_bytes;

    while (n_whole > 0 && is_taken(name, bytes, n_whole - 1))
        n_whole--;
    if (strcmp(name, "good-two-pictures.jpg") == 0)
        g_assert_cmpmem(bytes + n_whole - 2, 2, "\xff\xd9", 2);
    else
        g_assert_cmpuint(n_whole + 3, >=, n_bytes);
    for (gsize n = 0; n < n_whole; n++)
        g_assert_false(is_taken(name, bytes, n));
}

static void
test_cut_anywhere(void)
{
    each_sample("good-", cut_sample);
}

/* What follows the end does no harm. */
static void
lengthen_sample(const char *name, const char *bytes, gsize n_bytes)
{
    g_autoptr(GByteArray) longer = g_byte_array_new();

    g_byte_array_append(longer, (const guint8 *)bytes, (guint)n_bytes);
    for (guint i = 0; i < 50000; i++) /* several windows */
        g_byte_array_append(longer, (const guint8 *)"\xff\0\1", i % 3 + 1);
    assert_taken(name, longer->data, longer->len, NULL);
}

static void
test_trailing_bytes(void)
{
    each_sample("good-", lengthen_sample);
}

/* The least JPEG: a frame of 16 x 16 and one component, a scan. */
#define JPEG_FRAME "\xff\xc0\0\x0b\x08\0\x10\0\x10\1\1\x11\0"
#define JPEG_SCAN "\xff\xda\0\x08\1\1\0\0\x3f\0"
#define JPEG_BEGIN "\xff\xd8"
#define JPEG_END "\xff\xd9"

typedef struct {
    const char *words; /* of the error; NULL: it is taken */
    const char *bytes;
    gsize n_bytes;
} Case;

#define CASE(words, bytes)                                                                     \
    {                                                                                          \
        words, bytes, sizeof bytes - 1                                                         \
    }

static void
check_cases(const char *path, const Case *cases, gsize n_cases)
{
    for (gsize i = 0; i < n_cases; i++) {
        if (cases[i].words)
            assert_refused(path, cases[i].bytes, cases[i].n_bytes, cases[i].words);
        else
            assert_taken(path, cases[i].bytes, cases[i].n_bytes, NULL);
    }
}

static void
test_jpeg(void)
{
    static const Case cases[] = {
        CASE(NULL, JPEG_BEGIN JPEG_FRAME JPEG_SCAN "abc" JPEG_END),
        /* zero in the data, restarts, fill bytes, bytes between segments */
        CASE(NULL, JPEG_BEGIN JPEG_FRAME JPEG_SCAN "a\xff\0b\xff\xd0"
                                                   "c\xff\xd7\xff\0" JPEG_END),
        CASE(NULL, JPEG_BEGIN "\xff\xff" JPEG_FRAME "\0\0\0" JPEG_SCAN "a\xff" JPEG_END),
        /* arithmetic, lossless, progressive, 12 bits, several scans */
        CASE(NULL, JPEG_BEGIN
            "\xff\xc9\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xcc\0\4\0\1" JPEG_SCAN "a" JPEG_END),
        CASE(
            NULL, JPEG_BEGIN "\xff\xc3\0\x0b\x10\0\x10\0\x10\1\1\x11\0" JPEG_SCAN "a" JPEG_END),
        CASE(NULL, JPEG_BEGIN "\xff\xc1\0\x0b\x0c\0\x10\0\x10\1\1\x11\0" JPEG_SCAN
                              "a\xff\xc4\0\4\xff\xd9" JPEG_SCAN "b" JPEG_END),
        /* lines after the first scan */
        CASE(NULL, JPEG_BEGIN "\xff\xc0\0\x0b\x08\0\0\0\x10\1\1\x11\0" JPEG_SCAN
                              "a\xff\xdc\0\4\0\x10" JPEG_END),
        CASE("16 x 0 pixels",
            JPEG_BEGIN "\xff\xc0\0\x0b\x08\0\0\0\x10\1\1\x11\0" JPEG_SCAN "a" JPEG_END),
        CASE("0 x 16 pixels",
            JPEG_BEGIN "\xff\xc0\0\x0b\x08\0\x10\0\0\1\1\x11\0" JPEG_SCAN "a" JPEG_END),
        CASE("without the marker of the image's end", JPEG_BEGIN JPEG_FRAME JPEG_SCAN "abc"),
        CASE(
            "without the marker of the image's end", JPEG_BEGIN JPEG_FRAME JPEG_SCAN "abc\xff"),
        CASE("without a picture", JPEG_BEGIN JPEG_FRAME JPEG_END),
        CASE("byte offset 4 comes before any frame", JPEG_BEGIN JPEG_SCAN "a" JPEG_END),
        CASE("no frame header at byte offset 4",
            JPEG_BEGIN "\xff\xc0\0\x0b\x08\0\x10\0\x10\2\1\x11\0" JPEG_SCAN "a" JPEG_END),
        CASE("no scan header at byte offset 17",
            JPEG_BEGIN JPEG_FRAME "\xff\xda\0\x09\1\1\0\0\x3f\0"
                                  "ab" JPEG_END),
        CASE("no room for its own length", JPEG_BEGIN "\xff\xe0\0\1" JPEG_FRAME),
        CASE("is to reach byte offset 65539", JPEG_BEGIN "\xff\xe0\xff\xff" JPEG_FRAME),
        CASE("another image begins at byte offset 26",
            JPEG_BEGIN JPEG_FRAME JPEG_SCAN "a" JPEG_BEGIN JPEG_FRAME JPEG_SCAN JPEG_END),
        CASE("no marker of JPEG at byte offset 2: ff 02", JPEG_BEGIN "\xff\2" JPEG_FRAME),
    };

    check_cases("a.jpg", cases, G_N_ELEMENTS(cases));
}

#define PNG_BEGIN "\x89PNG\r\n\x1a\n"
/* 60000 x 60000 pixels of one bit: what is inside is nobody's business. */
#define PNG_HEADER "\0\0\0\x0dIHDR\0\0\xea\x60\0\0\xea\x60\1\0\0\0\0\xa8\xa9\x48\xef"
#define PNG_DATA "\0\0\0\1IDAT\0\0\0\0\0"
#define PNG_END "\0\0\0\0IEND\xae\x42\x60\x82"

static void
test_png(void)
{
    static const Case cases[] = {
        CASE(NULL, PNG_BEGIN PNG_HEADER PNG_DATA PNG_END),
        CASE("not that of IHDR", PNG_BEGIN
            "\0\0\0\x0dIHDR\0\0\xea\x61\0\0\xea\x60\1\0\0\0\0\xa8\xa9\x48\xef" PNG_DATA
                PNG_END),
        CASE("no chunk IHDR", PNG_BEGIN PNG_DATA PNG_HEADER PNG_END),
        CASE("without a chunk IDAT", PNG_BEGIN PNG_HEADER PNG_END),
        CASE("without a chunk IEND", PNG_BEGIN PNG_HEADER PNG_DATA),
        CASE("the chunk IDAT at byte offset 33 is to reach byte offset 46",
            PNG_BEGIN PNG_HEADER "\0\0\0\1IDAT\0\0\0\0"),
        CASE("the chunk IEND at byte offset 46",
            PNG_BEGIN PNG_HEADER PNG_DATA "\0\0\0\0IEND\xae"),
        CASE("no chunk at byte offset 33",
            PNG_BEGIN PNG_HEADER "\0\0\0\1ID1T\0\0\0\0\0" PNG_END),
        CASE("no chunk at byte offset 33", PNG_BEGIN PNG_HEADER "\x80\0\0\0IDAT" PNG_END),
    };

    check_cases("a.png", cases, G_N_ELEMENTS(cases));
}

#define GIF_BEGIN "GIF89a\2\0\2\0\0\0\0"
#define GIF_PICTURE                                                                            \
    ",\0\0\0\0\2\0\2\0\x80"                                                                    \
    "abcdef"                                                                                   \
    "\2\2\x44\1\0"

static void
test_gif(void)
{
    static const Case cases[] = {
        CASE(NULL, GIF_BEGIN GIF_PICTURE ";"),
        CASE(NULL, GIF_BEGIN "!\xf9\4\0\0\0\0\0" GIF_PICTURE "\0" GIF_PICTURE ";"),
        CASE("a block or the trailer at byte offset 34", GIF_BEGIN GIF_PICTURE),
        CASE("without a picture", GIF_BEGIN ";"),
        CASE("0 x 2 pixels", "GIF87a\0\0\2\0\0\0\0" GIF_PICTURE ";"),
        CASE("no block of GIF at byte offset 13: 78", GIF_BEGIN "x" GIF_PICTURE ";"),
        CASE("no pixels of GIF at byte offset 23", GIF_BEGIN ",\0\0\0\0\2\0\2\0\0\x0f\1\1\0;"),
        CASE("cut off: a block", GIF_BEGIN GIF_PICTURE "!\xfe\xff"
                                                       "abc"),
        CASE("cut off: a block or the trailer", "GIF89a\2\0\2\0\xf7\0\0" GIF_PICTURE ";"),
    };

    check_cases("a.gif", cases, G_N_ELEMENTS(cases));
}

#define BMP(pixels, header) "BM\0\0\0\0\0\0\0\0" pixels "\0\0\0" header

static void
test_bmp(void)
{
    static const Case cases[] = {
        CASE(NULL, BMP("\x1a", "\x0c\0\0\0\1\0\1\0\1\0\x18\0") "abc"),
        CASE("is to reach byte offset 29", BMP("\x1a", "\x0c\0\0\0\1\0\1\0\1\0\x18\0") "ab"),
        CASE("0 x 1 pixels", BMP("\x1a", "\x0c\0\0\0\0\0\1\0\1\0\x18\0") "abc"),
        CASE("inside its header", BMP("\x19", "\x0c\0\0\0\1\0\1\0\1\0\x18\0") "abc"),
        CASE("7 bits per pixel", BMP("\x1a", "\x0c\0\0\0\1\0\1\0\1\0\7\0") "abc"),
        CASE("no header of BMP has 13 bytes",
            BMP("\x1b", "\x0d\0\0\0\1\0\1\0\1\0\x18\0") "abcd"),
        CASE(
            "-1 x 1 pixels", BMP("\x1e", "\x10\0\0\0\xff\xff\xff\xff\1\0\0\0\1\0\x18\0") "abc"),
        CASE("how long its compressed pixels are",
            BMP("\x26", "\x18\0\0\0\1\0\0\0\1\0\0\0\1\0\x08\0\1\0\0\0\0\0\0\0") "abcd"),
        CASE("is to reach byte offset 43",
            BMP("\x26", "\x18\0\0\0\1\0\0\0\1\0\0\0\1\0\x08\0\1\0\0\0\5\0\0\0") "abcd"),
    };

    check_cases("a.bmp", cases, G_N_ELEMENTS(cases));
}

#define WEBP_LOSSLESS "VP8L\5\0\0\0\x2f\0\0\0\0\0"

static void
test_webp(void)
{
    static const Case cases[] = {
        CASE(NULL, "RIFF\x12\0\0\0WEBP" WEBP_LOSSLESS),
        CASE("cut off: the container at byte offset 0 is to reach byte offset 27",
            "RIFF\x13\0\0\0WEBP" WEBP_LOSSLESS),
        CASE("reaches beyond its container", "RIFF\x10\0\0\0WEBP" WEBP_LOSSLESS),
        CASE("no lossless picture at byte offset 20",
            "RIFF\x12\0\0\0WEBPVP8L\5\0\0\0\x2e\0\0\0\0\0"),
        CASE("no key frame at byte offset 20",
            "RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\1\0\0\x9d\x01\x2a\1\0\1\0"),
        CASE("0 x 1 pixels", "RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\0\0\1\0"),
        CASE("too short", "RIFF\x10\0\0\0WEBPVP8L\4\0\0\0\x2f\0\0\0"),
        CASE("no picture begins", "RIFF\x10\0\0\0WEBPEXIF\4\0\0\0\x2f\0\0\0"),
        CASE("without a picture", "RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\1\0\0\1\0\0"),
        CASE("without a picture", "RIFF\4\0\0\0WEBP"),
    };

    check_cases("a.webp", cases, G_N_ELEMENTS(cases));
}

static void
test_other_name(void)
{
    static const char png[] = PNG_BEGIN PNG_HEADER PNG_DATA PNG_END;
    static const char jpeg[] = JPEG_BEGIN JPEG_FRAME JPEG_SCAN "abc" JPEG_END;

    assert_taken("a/b.jpg", png, sizeof png - 1, "is a PNG image, whatever its name says");
    assert_taken("b.webp", jpeg, sizeof jpeg - 1, "is a JPEG image, whatever its name says");
    assert_taken("b.JPEG", jpeg, sizeof jpeg - 1, NULL);
}

static void
test_strangers(void)
{
    static const Case cases[] = {
        CASE("the file is empty, not an image", ""),
        CASE("its content is zeros", "\0\0\0\0\0\0\0\0"),
        CASE("its content is text", "no picture"),
        CASE("its content is HTML", "<html><body>Not found"),
        CASE("its content is a PDF document", "%PDF-1.7"),
        CASE("its content is an MP4 or QuickTime file", "\0\0\0\x18"
                                                        "ftypmp42"),
        CASE("its content is a TIFF image", "II*\0\1\2\3\4"),
        CASE("it begins with the bytes 01 02 03 04 05 06 07 08", "\1\2\3\4\5\6\7\x08\x09"),
        CASE("it begins with the bytes ff d8", "\xff\xd8"),
    };

    check_cases("a.jpg", cases, G_N_ELEMENTS(cases));
}

/* A JPEG whose scan has n_bytes, every 256th of them 0xff and a zero. */
static GByteArray *
make_jpeg(guint n_bytes)
{
    static const char begin[] = JPEG_BEGIN JPEG_FRAME JPEG_SCAN;
    GByteArray *jpeg = g_byte_array_new();

    g_byte_array_append(jpeg, (const guint8 *)begin, sizeof begin - 1);
    guint first = jpeg->len;
    g_byte_array_set_size(jpeg, first + n_bytes);
    for (guint i = 0; i < n_bytes; i++)
        jpeg->data[first + i] = i % 256 == 254 ? 0xff : i % 256 == 255 ? 0 : (guint8)(i % 255);
    g_byte_array_append(jpeg, (const guint8 *)JPEG_END, 2);
    return jpeg;
}

/* The end's two bytes on both sides of a window's border, and files too large for memory. */
static void
test_windows(void)
{
    for (guint n_bytes = 1200 * 1024; n_bytes < 1200 * 1024 + 40; n_bytes++) {
        g_autoptr(GByteArray) jpeg = make_jpeg(n_bytes);
        assert_taken("a.jpg", jpeg->data, jpeg->len, NULL);
        assert_refused("a.jpg", jpeg->data, jpeg->len - 1, "without the marker");
    }
}

static void
test_cancel(void)
{
    g_autoptr(GByteArray) jpeg = make_jpeg(2 * 1024 * 1024);
    g_autoptr(LakeSpool) spool = new_spool(jpeg->data, jpeg->len);
    LakeNormaliserInput input = {.file_id = file_id, .path = "a.jpg", .content = spool};
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    g_cancellable_cancel(cancellable);
    g_assert_null(lake_ingest_image.open(&input, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
}

/* A sparse file of a value's greatest size, and one byte more. */
static void
test_too_big(void)
{
    g_autoptr(GByteArray) jpeg = make_jpeg(1000);
    g_autoptr(LakeSpool) spool = new_spool(jpeg->data, jpeg->len);
    LakeNormaliserInput input = {.file_id = file_id, .path = "a.jpg", .content = spool};
    g_autoptr(GError) error = NULL;

    g_assert_true(lake_spool_truncate(spool, LAKE_ROWS_VALUE_MAX_BYTES, NULL));
    gpointer state = lake_ingest_image.open(&input, NULL, &error);
    g_assert_no_error(error);
    lake_ingest_image.close(state);

    g_assert_true(lake_spool_truncate(spool, LAKE_ROWS_VALUE_MAX_BYTES + 1, NULL));
    g_assert_null(lake_ingest_image.open(&input, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_TOO_BIG);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/core/ingest/image/real-images-are-taken-as-they-are", test_good);
    g_test_add_func("/core/ingest/image/broken-images-are-refused", test_bad);
    g_test_add_func("/core/ingest/image/cut-at-any-byte-is-refused", test_cut_anywhere);
    g_test_add_func("/core/ingest/image/bytes-after-the-end-are-kept", test_trailing_bytes);
    g_test_add_func("/core/ingest/image/jpeg-markers", test_jpeg);
    g_test_add_func("/core/ingest/image/png-chunks", test_png);
    g_test_add_func("/core/ingest/image/gif-blocks", test_gif);
    g_test_add_func("/core/ingest/image/bmp-headers", test_bmp);
    g_test_add_func("/core/ingest/image/webp-chunks", test_webp);
    g_test_add_func("/core/ingest/image/another-image-format-is-noted", test_other_name);
    g_test_add_func("/core/ingest/image/strangers-are-named", test_strangers);
    g_test_add_func("/core/ingest/image/windows-meet-in-a-marker", test_windows);
    g_test_add_func("/core/ingest/image/a-check-can-be-cancelled", test_cancel);
    g_test_add_func("/core/ingest/image/larger-than-a-value-is-too-big", test_too_big);
    return g_test_run();
}
