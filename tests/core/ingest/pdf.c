/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/normaliser.h"

#include <string.h>

static const char file_id[] = "0d9f3c52-0000-4000-8000-000000000001";
static LakeIngestWorkers *workers;

/* A PDF in the making: objects are numbered as they are added. */
typedef struct {
    GString *bytes;
    GArray *offsets; /* of guint */
} Maker;

static void
maker_begin(Maker *maker)
{
    maker->bytes = g_string_new("%PDF-1.7\n");
    maker->offsets = g_array_new(FALSE, FALSE, sizeof(guint));
}

static void
begin_object(Maker *maker)
{
    guint offset = (guint)maker->bytes->len;

    g_array_append_val(maker->offsets, offset);
    g_string_append_printf(maker->bytes, "%u 0 obj\n", maker->offsets->len);
}

static void add_object(Maker *maker, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void
add_object(Maker *maker, const char *format, ...)
{
    va_list arguments;

    begin_object(maker);
    va_start(arguments, format);
    g_string_append_vprintf(maker->bytes, format, arguments);
    va_end(arguments);
    g_string_append(maker->bytes, "\nendobj\n");
}

static void
add_stream(Maker *maker, const char *entries, const void *data, gsize n_bytes)
{
    begin_object(maker);
    g_string_append_printf(
        maker->bytes, "<< /Length %" G_GSIZE_FORMAT " %s >>\nstream\n", n_bytes, entries);
    g_string_append_len(maker->bytes, data, (gssize)n_bytes);
    g_string_append(maker->bytes, "\nendstream\nendobj\n");
}

/* The table and the end; object 1 is the catalogue. Returns the bytes. */
static GString *
maker_end(Maker *maker, const char *trailer)
{
    GString *bytes = g_steal_pointer(&maker->bytes);
    gsize table = bytes->len;

    g_string_append_printf(bytes, "xref\n0 %u\n0000000000 65535 f \n", maker->offsets->len + 1);
    for (guint i = 0; i < maker->offsets->len; i++)
        g_string_append_printf(
            bytes, "%010u 00000 n \n", g_array_index(maker->offsets, guint, i));
    g_string_append_printf(bytes,
        "trailer\n<< /Size %u /Root 1 0 R %s >>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n",
        maker->offsets->len + 1, trailer, table);
    g_array_unref(maker->offsets);
    return bytes;
}

/* Catalogue, n_pages pages with these entries whose content is the stream after the last page,
 * and a font F1: objects 1 and 2, the pages, the font. The caller adds the content. */
static void
begin_pages(Maker *maker, guint n_pages, const char *entries)
{
    maker_begin(maker);
    add_object(maker, "<< /Type /Catalog /Pages 2 0 R >>");
    begin_object(maker);
    g_string_append(maker->bytes, "<< /Type /Pages /Kids [");
    for (guint i = 0; i < n_pages; i++)
        g_string_append_printf(maker->bytes, "%u 0 R ", 3 + i);
    g_string_append_printf(maker->bytes, "] /Count %u >>\nendobj\n", n_pages);
    for (guint i = 0; i < n_pages; i++)
        add_object(maker, "<< /Type /Page /Parent 2 0 R /Contents %u 0 R %s >>",
            n_pages + 4 + (strstr(entries, "/Own") ? i : 0), entries);
    add_object(maker, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
}

#define FONT_OF_ONE "/Resources << /Font << /F1 4 0 R >> >>"
#define LETTER "/MediaBox [0 0 612 792] "

/* One page, with content. */
static GString *
make_page(const char *entries, const char *content)
{
    Maker maker;

    begin_pages(&maker, 1, entries);
    add_stream(&maker, "", content, strlen(content));
    return maker_end(&maker, "");
}

/* Pages that say "Page 0" and so on, an inch square. */
static GString *
make_pages(guint n_pages)
{
    g_autofree char *entries = g_strdup_printf(
        "/Own 1 /MediaBox [0 0 72 72] /Resources << /Font << /F1 %u 0 R >> >>", n_pages + 3);
    Maker maker;

    begin_pages(&maker, n_pages, entries);
    for (guint i = 0; i < n_pages; i++) {
        g_autofree char *content = g_strdup_printf("BT /F1 12 Tf 5 30 Td (Page %u) Tj ET", i);
        add_stream(&maker, "", content, strlen(content));
    }
    return maker_end(&maker, "");
}

typedef struct {
    guint32 width;
    guint32 height;
    char *text;
} Page;

static void
clear_page(gpointer data)
{
    Page *page = data;

    g_free(page->text);
}

static guint32
read_uint32(const guint8 *at)
{
    guint32 value;

    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_BE(value);
}

/* The row in rows as a page; its columns are checked. */
static void
take_page(const LakeRows *rows, GArray *pages)
{
    const GByteArray *image = lake_rows_elements(rows, 2);
    const GByteArray *text = lake_rows_elements(rows, 3);
    Page page;

    g_assert_cmpuint(lake_rows_count(rows), ==, 1);
    g_assert_cmpmem(lake_rows_elements(rows, 0)->data + 4, 36, file_id, 36);
    g_assert_cmpuint(read_uint32(lake_rows_elements(rows, 1)->data + 4), ==, pages->len);
    g_assert_cmpmem(image->data + 4, 8, "\x89PNG\r\n\x1a\n", 8);
    page.width = read_uint32(image->data + 4 + 16);
    page.height = read_uint32(image->data + 4 + 20);
    g_assert_true(g_utf8_validate((char *)text->data + 4, (gssize)text->len - 4, NULL));
    page.text = g_strndup((char *)text->data + 4, text->len - 4);
    g_array_append_val(pages, page);
}

static GArray *
read_rows(gpointer state, GCancellable *cancellable, GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_pdf;
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    g_autoptr(GArray) pages = g_array_new(FALSE, FALSE, sizeof(Page));

    g_array_set_clear_func(pages, clear_page);
    for (gboolean is_done = FALSE;;) {
        lake_rows_clear(rows);
        if (!kind->next_row(state, rows, &is_done, cancellable, error))
            return NULL;
        if (is_done)
            return g_steal_pointer(&pages);
        take_page(rows, pages);
    }
}

/* The pages of bytes, or NULL with *error. ret_notes may be NULL. */
static GArray *
read_pdf(const void *bytes, gsize n_bytes, gint64 dpi, gint64 max_pages, char **ret_notes,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeSpool) spool = lake_spool_new(g_get_tmp_dir());
    const LakeNormaliser *kind = &lake_ingest_pdf;
    LakeNormaliserInput input = {file_id, "a.pdf", spool,
        {.chunk_size = 1000,
            .chunk_overlap = 200,
            .pdf_dpi = dpi,
            .pdf_max_pages = max_pages,
            .segment_seconds = 10},
        workers, g_get_tmp_dir()};
    LakeNormaliserFacts facts = {.n_rows_total = -1};

    g_assert_true(lake_spool_append(spool, bytes, n_bytes, NULL));
    gpointer state = kind->open(&input, cancellable, error);
    if (!state)
        return NULL;

    GArray *pages = read_rows(state, cancellable, error);
    kind->facts(state, &facts);
    kind->close(state);
    g_assert_true(!pages || facts.n_rows_total == (gint64)pages->len);
    g_assert_true(!pages || facts.bytes_read == (gint64)n_bytes);
    if (ret_notes)
        *ret_notes = facts.notes;
    else
        g_free(facts.notes);
    return pages;
}

/* Takes bytes. */
static GArray *
assert_read(GString *bytes, gint64 dpi, const char *expected_notes)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *notes = NULL;
    GArray *pages = read_pdf(bytes->str, bytes->len, dpi, 1000, &notes, NULL, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(notes, ==, expected_notes);
    g_string_free(bytes, TRUE);
    return pages;
}

/* Takes bytes. */
static void
assert_refused(GString *bytes, LakeErrorCode code, const char *reason)
{
    g_autoptr(GError) error = NULL;
    GArray *pages = read_pdf(bytes->str, bytes->len, 72, 1000, NULL, NULL, &error);

    g_assert_null(pages);
    g_assert_error(error, LAKE_ERROR, (int)code);
    g_assert_cmpint(lake_error_facts(error)->class, ==, LAKE_ERROR_CLASS_INGEST);
    if (!strstr(error->message, reason))
        g_error("\"%s\" has no \"%s\"", error->message, reason);
    g_string_free(bytes, TRUE);
}

static void
assert_size(const char *entries, gint64 dpi, guint32 width, guint32 height)
{
    g_autoptr(GArray) pages = assert_read(make_page(entries, "0 0 9 9 re f"), dpi, NULL);

    g_assert_cmpuint(pages->len, ==, 1);
    g_assert_cmpuint(g_array_index(pages, Page, 0).width, ==, width);
    g_assert_cmpuint(g_array_index(pages, Page, 0).height, ==, height);
}

static void
test_page_is_a_row(void)
{
    g_autoptr(GArray) pages =
        assert_read(make_page(LETTER FONT_OF_ONE,
                        "BT /F1 12 Tf 72 700 Td (one line) Tj 0 -13 Td (and another) Tj ET"),
            300, NULL);

    g_assert_cmpuint(pages->len, ==, 1);
    g_assert_cmpstr(g_array_index(pages, Page, 0).text, ==, "one line\nand another\n\n");
}

static void
test_order(void)
{
    g_autoptr(GArray) pages = assert_read(make_pages(60), 72, NULL);

    g_assert_cmpuint(pages->len, ==, 60);
    for (guint i = 0; i < pages->len; i++) {
        g_autofree char *expected = g_strdup_printf("Page %u\n\n", i);
        g_assert_cmpstr(g_array_index(pages, Page, i).text, ==, expected);
    }
}

static void
test_sizes(void)
{
    assert_size(LETTER, 300, 2550, 3300);
    assert_size(LETTER, 72, 612, 792);
    assert_size(LETTER, 10, 85, 110);
    assert_size("", 72, 612, 792);
    assert_size(LETTER "/Rotate 90", 300, 3300, 2550);
    assert_size(LETTER "/Rotate 180", 72, 612, 792);
    assert_size(LETTER "/Rotate -90", 72, 792, 612);
    assert_size(LETTER "/CropBox [100 100 300 200]", 144, 400, 200);
    assert_size(LETTER "/CropBox [100 100 300 200] /Rotate 270", 144, 200, 400);
    assert_size(LETTER "/UserUnit 2.5", 72, 1530, 1980);
    assert_size("/MediaBox [72 792 0 0]", 72, 72, 792);
    assert_size("/MediaBox [0 0 595.276 841.89]", 300, 2481, 3508);
    assert_size("/MediaBox [0 0 0.5 0.5]", 72, 1, 1);
    assert_size("/MediaBox [0 0 1.5 500]", 10, 1, 70);
}

static void
test_lower_dpi(void)
{
    g_autoptr(GArray) pages = assert_read(make_page("/MediaBox [0 0 14400 14400]", "n"), 300,
        "page 1 is rendered at 70 DPI: at 300 DPI it would have 3600 megapixels, and a page "
        "has "
        "at most 200");
    g_assert_cmpuint(g_array_index(pages, Page, 0).width, ==, 14000);
    g_assert_cmpuint(g_array_index(pages, Page, 0).height, ==, 14000);
}

static void
test_absurd_size(void)
{
    g_autoptr(GArray) wide = assert_read(make_page("/MediaBox [0 0 1000000 1]", "n"), 300,
        "page 1 is rendered at 72 DPI: at 300 DPI it would be 4166667 x 4 pixels, and a side "
        "has "
        "at most 1000000");
    g_autoptr(GError) error = NULL;
    g_autofree char *notes = NULL;
    GString *bytes = make_page("/MediaBox [0 0 1000000000 1000000000]", "n");
    g_autoptr(GArray) vast = read_pdf(bytes->str, bytes->len, 300, 9, &notes, NULL, &error);

    g_string_free(bytes, TRUE);
    g_assert_no_error(error);
    g_assert_cmpuint(g_array_index(wide, Page, 0).width, ==, 1000000);
    g_assert_cmpuint(g_array_index(vast, Page, 0).width, <=, 1000000);
    g_assert_true(notes && strstr(notes, "page 1 is rendered at 0."));
}

static void
test_many_notes(void)
{
    Maker maker;

    begin_pages(&maker, 12, "/MediaBox [0 0 900000 2]");
    add_stream(&maker, "", "n", 1);
    g_autoptr(GString) bytes = maker_end(&maker, "");
    g_autofree char *notes = NULL;
    g_autoptr(GArray) pages = read_pdf(bytes->str, bytes->len, 300, 99, &notes, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(notes, "\n", -1);

    g_assert_cmpuint(pages->len, ==, 12);
    g_assert_cmpuint(g_strv_length(lines), ==, 11);
    g_assert_true(g_str_has_prefix(lines[9], "page 10 is rendered at "));
    g_assert_cmpstr(lines[10], ==, "and 2 more");
}

static void
test_other_files(void)
{
    assert_refused(g_string_new(""), LAKE_ERROR_BAD_INPUT, "an empty file");
    assert_refused(g_string_new("hello"), LAKE_ERROR_BAD_INPUT, "not a PDF");
    assert_refused(g_string_new("\x89PNG\r\n\x1a\n and more"), LAKE_ERROR_BAD_INPUT, "PNG");
    assert_refused(g_string_new("%PDF-1.4\n"), LAKE_ERROR_BAD_INPUT, "ends before its end");
    assert_refused(g_string_new("%PDF-1.4\n%%EOF\n"), LAKE_ERROR_BAD_INPUT, "");
}

static void
test_encrypted(void)
{
    Maker maker;

    begin_pages(&maker, 1, LETTER);
    add_stream(&maker, "", "n", 1);
    assert_refused(
        maker_end(&maker, "/ID [<00> <00>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 "
                          "/O (01234567890123456789012345678901) "
                          "/U (01234567890123456789012345678901) >>"),
        LAKE_ERROR_BAD_INPUT, "encrypted");
}

static void
test_cut_off(void)
{
    g_autoptr(GString) whole = make_pages(30);

    for (guint i = 0; i < 20; i++) {
        gsize n_bytes = whole->len * i / 20;
        assert_refused(g_string_new_len(whole->str, (gssize)n_bytes), LAKE_ERROR_BAD_INPUT,
            n_bytes == 0 ? "empty" : "ends before its end");
    }
    g_autoptr(GArray) pages =
        assert_read(g_string_new_len(whole->str, (gssize)whole->len), 72, NULL);
    g_assert_cmpuint(pages->len, ==, 30);
}

static void
test_cut_off_web_file(void)
{
    g_autoptr(GString) bytes = make_page(LETTER, "n");
    g_autofree char *mark =
        g_strdup_printf("0 0 obj\n<< /Linearized 1 /L %" G_GSIZE_FORMAT " /N 1 >>\nendobj\n",
            bytes->len + 5000);

    /* It opens as it is, but says that it should be longer. */
    g_string_insert(bytes, strlen("%PDF-1.7\n"), mark);
    assert_refused(g_string_new_len(bytes->str, (gssize)bytes->len), LAKE_ERROR_BAD_INPUT,
        "ends before its end");
}

static void
test_repaired(void)
{
    const char *note = "the PDF was damaged and has been repaired: compare its pages";
    GString *bytes = make_pages(5);
    g_autoptr(GArray) pages = NULL;

    /* The table of objects cannot be found. */
    strstr(bytes->str, "startxref")[10] = '9';
    pages = assert_read(bytes, 72, note);
    g_assert_cmpuint(pages->len, ==, 5);
}

static void
test_padded(void)
{
    GString *bytes = make_pages(5);
    g_autoptr(GArray) pages = NULL;

    for (guint i = 0; i < 5000; i++)
        g_string_append_c(bytes, '\0');
    pages =
        assert_read(bytes, 72, "the PDF was damaged and has been repaired: compare its pages");
    g_assert_cmpuint(pages->len, ==, 5);
}

static void
test_broken_content(void)
{
    g_autofree char *notes = NULL;
    GString *bytes =
        make_page(LETTER FONT_OF_ONE, "BT /F1 9 Tf (a) Tj ET ) >> ] no such thing");
    g_autoptr(GArray) pages = read_pdf(bytes->str, bytes->len, 72, 9, &notes, NULL, NULL);

    g_string_free(bytes, TRUE);
    g_assert_cmpuint(pages->len, ==, 1);
    g_assert_true(notes && g_str_has_prefix(notes, "page 1 is not complete: "));
}

/* n_kids of the same page, while the file claims to have `claimed`. */
static GString *
make_shared_page(guint n_kids, int claimed)
{
    Maker maker;

    maker_begin(&maker);
    add_object(&maker, "<< /Type /Catalog /Pages 2 0 R >>");
    begin_object(&maker);
    g_string_append_printf(maker.bytes, "<< /Type /Pages /Count %d /Kids [", claimed);
    for (guint i = 0; i < n_kids; i++)
        g_string_append(maker.bytes, "3 0 R ");
    g_string_append(maker.bytes, "] >>\nendobj\n");
    add_object(&maker, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>");
    return maker_end(&maker, "");
}

static void
test_too_many_pages(void)
{
    assert_refused(make_shared_page(1001, 1001), LAKE_ERROR_TOO_BIG, "more than 1000 pages");
    assert_refused(make_shared_page(100000, 100000), LAKE_ERROR_TOO_BIG, "more than 1000");
    assert_refused(make_shared_page(100000, 1), LAKE_ERROR_TOO_BIG, "more than 1000 pages");
    assert_refused(make_shared_page(0, 7), LAKE_ERROR_BAD_INPUT, "no pages");
}

static void
test_count_may_lie(void)
{
    static const int claims[] = {0, 1, 4, -5, 1000000000, 2147483647};

    for (guint i = 0; i < G_N_ELEMENTS(claims); i++) {
        g_autofree char *note = g_strdup_printf(
            "the PDF says that it has %d pages; 3 are there, and were taken", claims[i]);
        g_autoptr(GArray) pages = assert_read(make_shared_page(3, claims[i]), 72, note);
        g_assert_cmpuint(pages->len, ==, 3);
    }
    g_autoptr(GArray) most = assert_read(make_shared_page(1000, 1000), 72, NULL);
    g_assert_cmpuint(most->len, ==, 1000);
}

static void
test_tree_may_be_a_circle(void)
{
    Maker maker;

    maker_begin(&maker);
    add_object(&maker, "<< /Type /Catalog /Pages 2 0 R >>");
    add_object(&maker, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    add_object(&maker, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>");
    assert_refused(maker_end(&maker, ""), LAKE_ERROR_BAD_INPUT, "cannot be found");

    /* 100 ^ 10 visits, and no page. */
    maker_begin(&maker);
    add_object(&maker, "<< /Type /Catalog /Pages 2 0 R >>");
    for (guint i = 3; i < 13; i++) {
        begin_object(&maker);
        g_string_append(maker.bytes, "<< /Type /Pages /Count 1 /Kids [");
        for (guint j = 0; j < 100; j++)
            g_string_append_printf(maker.bytes, "%u 0 R ", i);
        g_string_append(maker.bytes, "] >>\nendobj\n");
    }
    add_object(&maker, "<< /Type /Pages /Kids [] /Count 0 >>");
    assert_refused(maker_end(&maker, ""), LAKE_ERROR_BAD_INPUT, "cannot be found");
}

/* n_bytes spaces, packed n_times over. */
static GByteArray *
pack(gsize n_bytes, guint n_times)
{
    GByteArray *packed = g_byte_array_new();

    g_byte_array_set_size(packed, (guint)n_bytes);
    memset(packed->data, ' ', n_bytes);
    for (guint i = 0; i < n_times; i++) {
        g_autoptr(GZlibCompressor) packer =
            g_zlib_compressor_new(G_ZLIB_COMPRESSOR_FORMAT_ZLIB, 9);
        GByteArray *smaller = g_byte_array_new();
        gsize n_read, n_written;
        g_byte_array_set_size(smaller, packed->len / 100 + 1000);
        g_assert_cmpint(
            g_converter_convert(G_CONVERTER(packer), packed->data, packed->len, smaller->data,
                smaller->len, G_CONVERTER_INPUT_AT_END, &n_read, &n_written, NULL),
            ==, G_CONVERTER_FINISHED);
        g_byte_array_set_size(smaller, (guint)n_written);
        g_byte_array_unref(packed);
        packed = smaller;
    }
    return packed;
}

static GString *
make_packed(guint n_times, const char *filters)
{
    g_autoptr(GByteArray) data = pack(64 * 1024 * 1024, n_times);
    g_autofree char *entries = g_strdup_printf("/Filter [%s]", filters);
    Maker maker;

    begin_pages(&maker, 1, "/MediaBox [0 0 72 72]");
    add_stream(&maker, entries, data->data, data->len);
    return maker_end(&maker, "");
}

static void
test_packed_over_and_over(void)
{
    g_autoptr(GArray) pages = assert_read(make_packed(1, "/FlateDecode"), 72, NULL);

    g_assert_cmpuint(pages->len, ==, 1);
    assert_refused(make_packed(3, "/FlateDecode /FlateDecode /FlateDecode"),
        LAKE_ERROR_BAD_INPUT, "compressed 3 times");
}

/* A page that shows an image of these bytes. */
static GString *
make_image(const char *entries, const void *data, gsize n_bytes)
{
    Maker maker;

    begin_pages(&maker, 1, LETTER "/Resources << /XObject << /I 6 0 R >> >>");
    add_stream(&maker, "", "9 0 0 9 0 0 cm /I Do", 20);
    add_stream(&maker, entries, data, n_bytes);
    return maker_end(&maker, "");
}

static void
test_huge_images(void)
{
    static const guint8 jpeg[] = {0xff, 0xd8, 0xff, 0xc2, 0, 17, 8, 0xff, 0xdc, 0xff, 0xdc, 3,
        1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 0, 0};
    static const guint8 jpeg_2000[] = {0xff, 0x4f, 0xff, 0x51, 0, 47, 0, 0, 0, 0, 0xea, 0x60, 0,
        0, 0xea, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 3, 7, 1, 1, 7, 1, 1, 7, 1, 1};

    assert_refused(make_image("/Subtype /Image /Width 9 /Height 9 /Filter /DCTDecode "
                              "/ColorSpace /DeviceRGB /BitsPerComponent 8",
                       jpeg, sizeof jpeg),
        LAKE_ERROR_BAD_INPUT, "65500 x 65500 pixels");
    assert_refused(make_image("/Subtype /Image /Width 9 /Height 9 /Filter /JPXDecode",
                       jpeg_2000, sizeof jpeg_2000),
        LAKE_ERROR_BAD_INPUT, "60000 x 60000 pixels");
}

static GString *
make_pattern(const char *step)
{
    static const char content[] = "/Pattern cs /P scn 0 0 612 792 re f";
    g_autofree char *entries =
        g_strdup_printf("/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 10 10] "
                        "/XStep %s /YStep %s /Resources << >>",
            step, step);
    Maker maker;

    begin_pages(&maker, 1, LETTER "/Resources << /Pattern << /P 6 0 R >> >>");
    add_stream(&maker, "", content, strlen(content));
    add_stream(&maker, entries, "0 0 5 5 re f", 12);
    return maker_end(&maker, "");
}

static void
test_tiny_steps(void)
{
    g_autoptr(GArray) pages = assert_read(make_pattern("10"), 72, NULL);

    g_assert_cmpuint(pages->len, ==, 1);
    assert_refused(make_pattern("0.0001"), LAKE_ERROR_BAD_INPUT, "repeated without measure");
    assert_refused(make_pattern("0.0000001"), LAKE_ERROR_BAD_INPUT, "repeated without measure");
}

/* A form in a form in a form; each draws the next one `width` times. */
static GString *
make_nested_forms(guint depth, guint width, const char *box, const char *entries)
{
    g_autoptr(GString) content = g_string_new(NULL);
    g_autofree char *page =
        g_strdup_printf("/MediaBox %s /Resources << /XObject << /X 6 0 R >> >>", box);
    Maker maker;

    for (guint i = 0; i < width; i++)
        g_string_append(content, "/X Do ");
    begin_pages(&maker, 1, page);
    add_stream(&maker, "", content->str, content->len);
    for (guint i = 0; i < depth; i++) {
        g_autofree char *all = g_strdup_printf("/Subtype /Form /BBox %s %s "
                                               "/Resources << /XObject << /X %u 0 R >> >>",
            box, entries, i + 7);
        add_stream(&maker, all, content->str, content->len);
    }
    g_autofree char *last = g_strdup_printf("/Subtype /Form /BBox %s", box);
    add_stream(&maker, last, "0 0 9 9 re f", 12);
    return maker_end(&maker, "");
}

/* Every group has pixels of its own, as many as the page. */
static void
test_memory_is_bounded(void)
{
    const char *group = "/Group << /S /Transparency /I true >>";
    g_autoptr(GArray) few =
        assert_read(make_nested_forms(2, 1, "[0 0 3000 3000]", group), 72, NULL);

    g_assert_cmpuint(few->len, ==, 1);
    assert_refused(make_nested_forms(40, 1, "[0 0 3000 3000]", group), LAKE_ERROR_TOO_BIG,
        "page 1 cannot be rendered: that takes more than 512 MiB of memory");
}

static gpointer
cancel_soon(gpointer data)
{
    g_usleep(G_USEC_PER_SEC / 2);
    g_cancellable_cancel(data);
    return NULL;
}

static void
assert_can_be_cancelled(GString *bytes)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    GArray *pages = read_pdf(bytes->str, bytes->len, 72, 1000, NULL, cancellable, &error);

    g_thread_join(thread);
    g_assert_null(pages);
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_string_free(bytes, TRUE);
}

/* A year's work, without this. */
static void
test_cancel(void)
{
    assert_can_be_cancelled(make_nested_forms(30, 10, "[0 0 99 99]", ""));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    workers = lake_ingest_workers_new(3);
    g_test_add_func("/core/ingest/pdf/a-page-is-a-row", test_page_is_a_row);
    g_test_add_func("/core/ingest/pdf/pages-keep-their-order", test_order);
    g_test_add_func("/core/ingest/pdf/sizes-are-those-of-the-page", test_sizes);
    g_test_add_func("/core/ingest/pdf/a-large-page-has-a-lower-dpi", test_lower_dpi);
    g_test_add_func("/core/ingest/pdf/so-has-an-absurd-one", test_absurd_size);
    g_test_add_func("/core/ingest/pdf/notes-are-few", test_many_notes);
    g_test_add_func("/core/ingest/pdf/other-files-are-refused", test_other_files);
    g_test_add_func("/core/ingest/pdf/encrypted-is-refused", test_encrypted);
    g_test_add_func("/core/ingest/pdf/cut-off-anywhere-is-refused", test_cut_off);
    g_test_add_func("/core/ingest/pdf/cut-off-web-file-is-refused", test_cut_off_web_file);
    g_test_add_func("/core/ingest/pdf/repaired-is-said", test_repaired);
    g_test_add_func("/core/ingest/pdf/padding-is-no-cut", test_padded);
    g_test_add_func("/core/ingest/pdf/broken-content-is-said", test_broken_content);
    g_test_add_func("/core/ingest/pdf/too-many-pages-are-refused", test_too_many_pages);
    g_test_add_func("/core/ingest/pdf/the-count-may-lie", test_count_may_lie);
    g_test_add_func("/core/ingest/pdf/the-tree-may-be-a-circle", test_tree_may_be_a_circle);
    g_test_add_func("/core/ingest/pdf/packed-over-and-over", test_packed_over_and_over);
    g_test_add_func("/core/ingest/pdf/huge-images-are-refused", test_huge_images);
    g_test_add_func("/core/ingest/pdf/memory-is-bounded", test_memory_is_bounded);
    g_test_add_func("/core/ingest/pdf/tiny-steps-are-refused", test_tiny_steps);
    g_test_add_func("/core/ingest/pdf/cancelling-ends-it", test_cancel);
    int status = g_test_run();
    lake_ingest_workers_free(workers);
    return status;
}
