/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/png.h"

#include "core/error.h"
#include "core/ingest/png/huffman.h"

#include <string.h>
#include <zlib.h>

static gboolean
collect(const void *bytes, gsize n_bytes, gpointer user_data, GError **error)
{
    g_byte_array_append(user_data, bytes, (guint)n_bytes);
    return TRUE;
}

static gboolean
refuse(const void *bytes, gsize n_bytes, gpointer user_data, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_SPACE, "full");
    return FALSE;
}

static guint32
read_uint32(const guint8 *at)
{
    guint32 value;

    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_BE(value);
}

/* rows_at_once rows at a time, and `gap` bytes between rows. */
static GByteArray *
encode(const guint8 *pixels, guint32 width, guint32 height, guint32 rows_at_once, gsize gap)
{
    GByteArray *file = g_byte_array_new();
    g_autoptr(LakePng) png = lake_png_new(width, height, 11811, collect, file);
    gsize row_bytes = (gsize)width * 3;
    gsize stride = row_bytes + gap;
    g_autofree guint8 *spaced = g_malloc0(stride * rows_at_once);

    for (guint32 y = 0; y < height; y += rows_at_once) {
        guint32 n_rows = MIN(rows_at_once, height - y);
        for (guint32 i = 0; i < n_rows; i++)
            memcpy(spaced + i * stride, pixels + (y + i) * row_bytes, row_bytes);
        g_assert_true(lake_png_add_rows(png, spaced, stride, n_rows, NULL));
    }
    g_assert_true(lake_png_finish(png, NULL));
    return file;
}

/* The bytes of all IDAT chunks; each chunk's frame is checked. */
static GByteArray *
take_apart(const GByteArray *file, guint32 width, guint32 height)
{
    GByteArray *data = g_byte_array_new();
    const guint8 *at = file->data + 8;
    const guint8 *end = file->data + file->len;

    g_assert_cmpmem(file->data, 8, "\x89PNG\r\n\x1a\n", 8);
    g_assert_cmpmem(at + 4, 4, "IHDR", 4);
    g_assert_cmpuint(read_uint32(at + 8), ==, width);
    g_assert_cmpuint(read_uint32(at + 12), ==, height);
    g_assert_cmpmem(at + 16, 5, "\x08\x02\0\0", 5);
    g_assert_cmpmem(at + 25 + 4, 4, "pHYs", 4);
    g_assert_cmpuint(read_uint32(at + 25 + 8), ==, 11811);

    while (at < end) {
        guint32 n_bytes = read_uint32(at);
        g_assert_cmpuint(n_bytes + 12, <=, end - at);
        g_assert_cmpuint(read_uint32(at + 8 + n_bytes), ==, crc32(0, at + 4, 4 + n_bytes));
        if (memcmp(at + 4, "IDAT", 4) == 0)
            g_byte_array_append(data, at + 8, n_bytes);
        at += 12 + n_bytes;
    }
    g_assert_cmpmem(end - 8, 4, "IEND", 4);
    return data;
}

/* The pixels of an encoded file, by zlib and the standard's filters. */
static guint8 *
decode(const GByteArray *file, guint32 width, guint32 height)
{
    g_autoptr(GByteArray) data = take_apart(file, width, height);
    gsize row_bytes = (gsize)width * 3;
    uLongf n_bytes = (row_bytes + 1) * height;
    g_autofree guint8 *filtered = g_malloc(n_bytes);
    guint8 *pixels = g_malloc(row_bytes * height);

    g_assert_cmpint(uncompress(filtered, &n_bytes, data->data, data->len), ==, Z_OK);
    g_assert_cmpuint(n_bytes, ==, (row_bytes + 1) * height);
    for (guint32 y = 0; y < height; y++) {
        const guint8 *from = filtered + y * (row_bytes + 1);
        guint8 *into = pixels + y * row_bytes;
        g_assert_cmpuint(from[0], <=, 2);
        for (gsize x = 0; x < row_bytes; x++) {
            guint8 beside = x >= 3 ? into[x - 3] : 0;
            guint8 above = y > 0 ? into[x - row_bytes] : 0;
            into[x] = from[1 + x] + (from[0] == 1 ? beside : from[0] == 2 ? above : 0);
        }
    }
    return pixels;
}

static gsize
assert_comes_back(const guint8 *pixels, guint32 width, guint32 height)
{
    g_autoptr(GByteArray) whole = encode(pixels, width, height, height, 0);
    g_autoptr(GByteArray) rows = encode(pixels, width, height, 1, 5);
    g_autofree guint8 *decoded = decode(whole, width, height);

    g_assert_cmpmem(whole->data, whole->len, rows->data, rows->len);
    g_assert_cmpmem(decoded, (gsize)width * height * 3, pixels, (gsize)width * height * 3);
    return whole->len;
}

static gsize
assert_filled_comes_back(
    guint32 width, guint32 height, void (*fill)(guint8 *, guint32, guint32))
{
    g_autofree guint8 *pixels = g_malloc((gsize)width * height * 3);

    fill(pixels, width, height);
    return assert_comes_back(pixels, width, height);
}

static void
fill_white(guint8 *pixels, guint32 width, guint32 height)
{
    memset(pixels, 0xff, (gsize)width * height * 3);
}

static void
fill_noise(guint8 *pixels, guint32 width, guint32 height)
{
    for (gsize i = 0; i < (gsize)width * height * 3; i++)
        pixels[i] = (guint8)g_test_rand_int();
}

static void
fill_gradient(guint8 *pixels, guint32 width, guint32 height)
{
    for (gsize i = 0; i < (gsize)width * height; i++) {
        pixels[3 * i] = (guint8)(i % width);
        pixels[3 * i + 1] = (guint8)(i / width);
        pixels[3 * i + 2] = (guint8)(i % width + i / width);
    }
}

/* Runs of few colours, of any length: short and long matches, and all that is between. */
static void
fill_runs(guint8 *pixels, guint32 width, guint32 height)
{
    gsize n_pixels = (gsize)width * height;

    for (gsize i = 0; i < n_pixels;) {
        gsize n_run = (gsize)g_test_rand_int_range(1, 1 << g_test_rand_int_range(1, 12));
        guint8 colour = (guint8)g_test_rand_int_range(0, 4);
        for (gsize end = MIN(n_pixels, i + n_run); i < end; i++)
            memset(pixels + 3 * i, colour * 80, 3);
    }
}

/* Few symbols, some of them much rarer than others: long codes. */
static void
fill_skewed(guint8 *pixels, guint32 width, guint32 height)
{
    for (gsize i = 0; i < (gsize)width * height * 3; i++) {
        guint32 bits = (guint32)g_test_rand_int() | 1u << 24;
        pixels[i] = (guint8)(__builtin_ctz(bits) * 8 + g_test_rand_int_range(0, 2));
    }
}

static void
test_pixels_come_back(void)
{
    static const guint32 sizes[][2] = {
        {1, 1}, {2, 3}, {3, 1000}, {1000, 2}, {85, 86}, {2550, 40}, {20000, 3}, {120000, 2}};
    void (*const fills[])(guint8 *, guint32, guint32) = {
        fill_white, fill_noise, fill_gradient, fill_runs, fill_skewed};

    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
        for (guint j = 0; j < G_N_ELEMENTS(fills); j++)
            assert_filled_comes_back(sizes[i][0], sizes[i][1], fills[j]);
}

static void
test_any_size(void)
{
    for (guint i = 0; i < 200; i++)
        assert_filled_comes_back((guint32)g_test_rand_int_range(1, 400),
            (guint32)g_test_rand_int_range(1, 60), i % 2 ? fill_runs : fill_skewed);
}

/* More than the 32 KiB that a match reaches back, and than one batch of rows, over and over. */
static void
test_large(void)
{
    gsize n_runs = assert_filled_comes_back(2550, 1000, fill_runs);
    gsize n_noise = assert_filled_comes_back(1000, 1000, fill_noise);

    g_assert_cmpuint(n_runs, <, 2550 * 1000 * 3 / 50);
    g_assert_cmpuint(n_noise, <, 1000 * 1000 * 3 + 1000 * 1000 * 3 / 100);
}

static void
test_white_costs_little(void)
{
    g_assert_cmpuint(assert_filled_comes_back(2550, 3300, fill_white), <, 40000);
}

static void
test_picture_is_filtered(void)
{
    /* As pixels that are all new it would hardly be smaller than they are. */
    g_assert_cmpuint(
        assert_filled_comes_back(1000, 1000, fill_gradient), <, 1000 * 1000 * 3 / 20);
}

static void
test_sink_fails(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakePng) png = lake_png_new(1, 1, 1, refuse, NULL);

    g_assert_true(lake_png_add_rows(png, (const guint8 *)"abc", 3, 1, NULL));
    g_assert_false(lake_png_finish(png, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_SPACE);
}

/* All codes of max_bits that there can be are used, and none twice. */
static void
assert_complete(const guint32 *frequencies, guint n_symbols, guint max_bits)
{
    LakeHuffman huffman;
    guint used = 0;

    lake_huffman_build(&huffman, frequencies, n_symbols, max_bits);
    for (guint i = 0; i < n_symbols; i++) {
        g_assert_cmpuint(huffman.n_bits[i], <=, max_bits);
        g_assert_true(huffman.n_bits[i] > 0 || frequencies[i] == 0);
        if (huffman.n_bits[i] > 0)
            used += 1u << (max_bits - huffman.n_bits[i]);
    }
    g_assert_cmpuint(used, ==, 1u << max_bits);
}

static void
test_codes_are_complete(void)
{
    guint32 frequencies[LAKE_HUFFMAN_SYMBOLS_MAX] = {0};

    assert_complete(frequencies, 19, 7);
    frequencies[7] = 5;
    assert_complete(frequencies, 19, 7);
    /* Fibonacci's numbers make the deepest of trees. */
    frequencies[0] = frequencies[1] = 1;
    for (guint i = 2; i < 40; i++)
        frequencies[i] = frequencies[i - 1] + frequencies[i - 2];
    assert_complete(frequencies, 19, 7);
    assert_complete(frequencies, 40, 15);
    for (guint i = 0; i < 1000; i++) {
        for (guint j = 0; j < G_N_ELEMENTS(frequencies); j++)
            frequencies[j] = (guint32)g_test_rand_int() >> g_test_rand_int_range(8, 32);
        assert_complete(frequencies, 286, 15);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/ingest/png/pixels-come-back", test_pixels_come_back);
    g_test_add_func("/core/ingest/png/of-any-size", test_any_size);
    g_test_add_func("/core/ingest/png/large-ones-too", test_large);
    g_test_add_func("/core/ingest/png/white-costs-little", test_white_costs_little);
    g_test_add_func("/core/ingest/png/a-picture-is-filtered", test_picture_is_filtered);
    g_test_add_func("/core/ingest/png/the-sink-may-fail", test_sink_fails);
    g_test_add_func("/core/ingest/png/codes-are-complete", test_codes_are_complete);
    return g_test_run();
}
