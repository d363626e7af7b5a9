/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/sniff.h"

#include <string.h>

typedef struct {
    const char *name;
    const char *bytes;
    gsize n_bytes;
} Sample;

#define SAMPLE(name, bytes)                                                                    \
    {                                                                                          \
        name, bytes, sizeof bytes - 1                                                          \
    }

static const Sample samples[] = {
    SAMPLE("an empty file", ""),
    SAMPLE("zeros", "\0"),
    SAMPLE("zeros", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    SAMPLE("a JPEG image", "\xff\xd8\xff\xe0"),
    SAMPLE("a PNG image", "\x89PNG\r\n\x1a\n"),
    SAMPLE("a GIF image", "GIF87a"),
    SAMPLE("a GIF image", "GIF89a"),
    SAMPLE("a BMP image", "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"),
    SAMPLE("a BMP image", "BM\0\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0"),
    SAMPLE("text", "BMW builds cars, not boats"),
    SAMPLE("a WebP image", "RIFF\1\2\3\4WEBPVP8 "),
    SAMPLE("an AVI file", "RIFF\1\2\3\4AVI LIST"),
    SAMPLE("a WAV sound", "RIFF\1\2\3\4WAVEfmt "),
    SAMPLE("an MP4 or QuickTime file", "\0\0\0\x18"
                                       "ftypisom"),
    SAMPLE("an MP4 or QuickTime file", "\0\0\0\x14"
                                       "ftypqt  "),
    SAMPLE("an MP4 or QuickTime file", "\0\0\0\1mdat\0\0\0\0"),
    SAMPLE("an MP4 or QuickTime file", "\0\1\2\3moov\0\0\0\0"),
    SAMPLE("a HEIF image", "\0\0\0\x18"
                           "ftypheic"),
    SAMPLE("an AVIF image", "\0\0\0\x18"
                            "ftypavif"),
    SAMPLE("a Matroska or WebM file", "\x1a\x45\xdf\xa3\x9f"),
    SAMPLE("a PDF document", "%PDF-1.7\n%\xe2\xe3\xcf\xd3"),
    SAMPLE("a PDF document", "\n\n some bytes before it \1\2 %PDF-1.4"),
    SAMPLE("a ZIP archive", "PK\3\4\x14\0"),
    SAMPLE("a bzip2 file", "BZh91AY&SY\1\2"),
    SAMPLE("HTML", "<!DOCTYPE html>\n<html>"),
    SAMPLE("HTML", "\xef\xbb\xbf\n  <HTML lang=\"en\">"),
    SAMPLE("an SVG drawing", "<svg xmlns=\"http://www.w3.org/2000/svg\">"),
    SAMPLE("XML", "<?xml version=\"1.0\"?>"),
    SAMPLE("text", "one\ttwo\r\nthree"),
    SAMPLE("text", "caf\xc3\xa9"),
    SAMPLE("text", "\xff\xfe"
                   "a\0b\0"),
    SAMPLE("text", "   "),
    SAMPLE(NULL, "\1\2\3\4"),
    SAMPLE(NULL, "text with a NUL\0 in it"),
    SAMPLE(NULL, "caf\xe9 is not UTF-8 \1"),
    SAMPLE(NULL, "RIFF\1\2\3\4ABCD\1"),
};

static void
test_samples(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(samples); i++) {
        g_autofree char *exact = g_memdup2(samples[i].bytes, samples[i].n_bytes);
        const char *found = lake_ingest_sniff(exact, samples[i].n_bytes);
        if (g_strcmp0(found, samples[i].name) != 0)
            g_error("sample %" G_GSIZE_FORMAT " is %s, but should be %s", i,
                found ? found : "unknown", samples[i].name ? samples[i].name : "unknown");
    }
}

static void
test_text_cut_in_a_character(void)
{
    char bytes[LAKE_INGEST_SNIFF_BYTES + 2];

    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes + LAKE_INGEST_SNIFF_BYTES - 1, "\xe2\x82\xac", 3);
    g_assert_cmpstr(lake_ingest_sniff(bytes, sizeof bytes), ==, "text");
    bytes[LAKE_INGEST_SNIFF_BYTES - 2] = '\xe2';
    g_assert_null(lake_ingest_sniff(bytes, sizeof bytes));
}

/* Reads nothing beyond what it was given: the address sanitizer looks on. */
static void
test_every_length(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(samples); i++)
        for (gsize n_bytes = 0; n_bytes <= samples[i].n_bytes; n_bytes++) {
            g_autofree char *exact = g_memdup2(samples[i].bytes, n_bytes);
            lake_ingest_sniff(exact, n_bytes);
        }
}

static void
test_packets(void)
{
    guint8 bytes[600] = {0};

    for (gsize i = 0; i < sizeof bytes; i += 188)
        bytes[i] = 0x47;
    bytes[1] = 1;
    g_assert_cmpstr(lake_ingest_sniff(bytes, sizeof bytes), ==, "an MPEG transport stream");
    bytes[188] = 0;
    g_assert_null(lake_ingest_sniff(bytes, sizeof bytes));
}

static void
test_extensions(void)
{
    static const struct {
        Sample sample;
        const char *extension;
    } known[] = {
        {SAMPLE("", "\x89PNG\r\n\x1a\n"), "png"},
        {SAMPLE("", "\xff\xd8\xff\xe0"), "jpg"},
        {SAMPLE("", "\0\0\0\x18"
                    "ftypmp42"),
            "mp4"},
        {SAMPLE("", "\0\0\0\x14"
                    "ftypqt  "),
            "mov"},
        {SAMPLE("", "\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm"), "webm"},
        {SAMPLE("", "\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska"), "mkv"},
        {SAMPLE("", "%PDF-1.7"), "pdf"},
        {SAMPLE("", "words"), "bin"},
        {SAMPLE("", ""), "bin"},
        {SAMPLE("", "\1\2\3"), "bin"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(known); i++)
        g_assert_cmpstr(
            lake_ingest_sniff_extension(known[i].sample.bytes, known[i].sample.n_bytes), ==,
            known[i].extension);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    g_test_add_func("/core/ingest/sniff/first-bytes-name-the-format", test_samples);
    g_test_add_func(
        "/core/ingest/sniff/text-may-end-in-a-character", test_text_cut_in_a_character);
    g_test_add_func("/core/ingest/sniff/any-length-is-safe", test_every_length);
    g_test_add_func(
        "/core/ingest/sniff/a-transport-stream-is-known-by-its-packets", test_packets);
    g_test_add_func("/core/ingest/sniff/first-bytes-name-an-extension", test_extensions);
    return g_test_run();
}
