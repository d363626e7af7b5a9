/* SPDX-License-Identifier: Apache-2.0 */

/* tests/fuzz/text.c: any bytes as a text file: the decoder and the chunks, against what can be
 * said of them without decoding the same way. */

#include "core/error.h"
#include "core/ingest/decode.h"
#include "core/ingest/normaliser.h"
#include "tests/fuzz/driver.h"

#include <string.h>

static const LakeIngestSettings sizes[] = {{1, 0}, {3, 2}, {7, 3}, {1000, 200}};

/* What a decoder refuses is refused for a reason. */
static void
check_refusal(const guint8 *data, gsize n_bytes, const GError *error)
{
    gboolean is_marked = n_bytes >= 2 && ((data[0] == 0xff && data[1] == 0xfe) ||
                                             (data[0] == 0xfe && data[1] == 0xff));

    CHECK(error && error->domain == LAKE_ERROR && error->code == LAKE_ERROR_BAD_INPUT);
    CHECK(lake_error_facts(error)->class == LAKE_ERROR_CLASS_INGEST);
    CHECK(strstr(error->message, "byte offset "));
    CHECK(is_marked || memchr(data, '\0', n_bytes));
}

static gboolean
is_between(guint character, guint first, guint last)
{
    return first <= character && character <= last;
}

/* The text against the bytes it came from. */
static void
check_text(const guint8 *data, gsize n_bytes, const char *encoding, const GString *text)
{
    const char *bytes = (const char *)data;

    if (g_str_has_prefix(encoding, "UTF-8")) {
        gsize n_mark = strcmp(encoding, "UTF-8") == 0 ? 0 : 3;
        CHECK(text->len == n_bytes - n_mark);
        CHECK(memcmp(text->str, bytes + n_mark, text->len) == 0);
    } else if (strcmp(encoding, "windows-1252") == 0) {
        const char *at = text->str;
        CHECK(!g_utf8_validate_len(bytes, n_bytes, NULL));
        for (gsize i = 0; i < n_bytes; i++, at = g_utf8_next_char(at))
            CHECK(is_between(data[i], 0x80, 0x9f) || g_utf8_get_char(at) == data[i]);
        CHECK(at == text->str + text->len);
    } else {
        gsize n_expected;
        gsize n_mark = g_str_has_prefix(encoding, "UTF-32") ? 4 : 2;
        g_autofree char *expected = g_convert(bytes + n_mark, (gssize)(n_bytes - n_mark),
            "UTF-8", encoding, NULL, &n_expected, NULL);
        CHECK(expected && n_expected == text->len);
        CHECK(memcmp(expected, text->str, n_expected) == 0);
    }
}

/* The whole text, or NULL where it is refused. */
static GString *
decode(LakeSpool *content, const guint8 *data, gsize n_bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeTextDecoder) decoder = lake_text_decoder_open(content, NULL, &error);
    GString *text;
    gsize n_before;

    if (!decoder) {
        check_refusal(data, n_bytes, error);
        return NULL;
    }

    text = g_string_new(NULL);
    do {
        n_before = text->len;
        CHECK(lake_text_decoder_read(decoder, text, NULL, NULL));
        CHECK(g_utf8_validate_len(text->str + n_before, text->len - n_before, NULL));
    } while (text->len > n_before);
    CHECK(
        lake_text_decoder_n_characters(decoder) == g_utf8_strlen(text->str, (gssize)text->len));
    check_text(data, n_bytes, lake_text_decoder_encoding(decoder), text);
    return text;
}

/* The rows' texts, one after the other, against windows of text. */
static void
check_rows(const LakeRows *rows, const LakeIngestSettings *settings, const GString *text)
{
    const GByteArray *elements = lake_rows_elements(rows, 2);
    gint64 step = settings->chunk_size - settings->chunk_overlap;
    gint64 n_left = g_utf8_strlen(text->str, (gssize)text->len);
    gint64 n_rows =
        n_left == 0 ? 0 : 1 + MAX(0, (n_left - settings->chunk_size + step - 1) / step);
    g_autoptr(GString) joined = g_string_new(NULL);
    const char *window = text->str;
    gsize at = 0;

    CHECK(lake_rows_count(rows) == n_rows);
    for (gint64 i = 0; i < n_rows; i++, n_left -= step) {
        guint32 length_field;
        memcpy(&length_field, elements->data + at, sizeof length_field);
        gsize length = g_ntohl(length_field);
        const char *chunk = (const char *)elements->data + at + 4;
        gint64 n_characters = MIN(n_left, settings->chunk_size);

        CHECK(g_utf8_validate_len(chunk, length, NULL));
        CHECK(g_utf8_strlen(chunk, (gssize)length) == n_characters);
        CHECK(length <= (gsize)(text->str + text->len - window));
        CHECK(memcmp(chunk, window, length) == 0);

        gint64 n_overlap = i == 0 ? 0 : settings->chunk_overlap;
        const char *fresh = g_utf8_offset_to_pointer(chunk, n_overlap);
        g_string_append_len(joined, fresh, (gssize)(chunk + length - fresh));
        at += 4 + length;
        if (i + 1 < n_rows)
            window = g_utf8_offset_to_pointer(window, step);
    }
    CHECK(at == elements->len);
    CHECK(g_string_equal(joined, text));
}

static void
check_chunks(LakeSpool *content, const LakeIngestSettings *settings, const GString *text)
{
    const LakeNormaliser *kind = &lake_ingest_text;
    LakeNormaliserInput input = {"id", "a.txt", content, *settings};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    LakeNormaliserFacts facts = {0};

    gpointer state = kind->open(&input, NULL, NULL);
    CHECK((state != NULL) == (text != NULL));
    if (!state)
        return;

    for (gboolean is_done = FALSE; !is_done;)
        CHECK(kind->next_row(state, rows, &is_done, NULL, NULL));
    kind->facts(state, &facts);
    kind->close(state);
    CHECK(facts.n_rows_total == lake_rows_count(rows));
    g_free(facts.encoding);
    check_rows(rows, settings, text);
}

static void
run(const guint8 *data, gsize n_bytes, const LakeIngestSettings *settings, gsize n_settings)
{
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());

    CHECK(lake_spool_append(content, data, n_bytes, NULL));
    GString *text = decode(content, data, n_bytes);
    for (gsize i = 0; i < n_settings; i++)
        check_chunks(content, &settings[i], text);
    if (text)
        g_string_free(text, TRUE);
}

/* Bytes of the input over and over, until they are more than two blocks of the decoder: now its
 * characters lie on the borders. Only some inputs, for it takes long. */
static void
run_repeated(const guint8 *data, gsize n_bytes)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    guint sum = 0;

    for (gsize i = 0; i < n_bytes; i++)
        sum = sum * 31 + data[i];
    if (n_bytes == 0 || sum % 32 != 0)
        return;

    while (all->len <= 2 * 64 * 1024 + 16)
        g_byte_array_append(all, data, (guint)n_bytes);
    run(all->data, all->len, &sizes[G_N_ELEMENTS(sizes) - 1], 1);
}

int
LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes)
{
    static const guint8 nothing[1] = {0};

    run(n_bytes > 0 ? data : nothing, n_bytes, sizes, G_N_ELEMENTS(sizes));
    run_repeated(data, n_bytes);
    return 0;
}
