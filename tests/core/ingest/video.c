/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"
#include "core/ingest/media.h"
#include "core/ingest/normaliser.h"

#include <string.h>

/* The fixtures are also what the fuzz test starts from; tests/fuzz/corpus/video. */

typedef struct {
    double start;
    double end;
    GBytes *data;
    GBytes *thumbnail; /* NULL: none */
    char *text;        /* NULL: none */
} Row;

static void
free_row(gpointer data)
{
    Row *row = data;

    g_bytes_unref(row->data);
    g_clear_pointer(&row->thumbnail, g_bytes_unref);
    g_free(row->text);
    g_free(row);
}

static char *
load(const char *name, gsize *ret_bytes)
{
    g_autofree char *path =
        g_test_build_filename(G_TEST_DIST, "fuzz", "corpus", "video", name, NULL);
    g_autoptr(GError) error = NULL;
    char *content = NULL;

    g_file_get_contents(path, &content, ret_bytes, &error);
    g_assert_no_error(error);
    return content;
}

static gboolean
collect(const void *data, gsize n_bytes, gpointer user_data, GError **error)
{
    g_byte_array_append(user_data, data, (guint)n_bytes);
    return TRUE;
}

/* The next field of a COPY BINARY row; NULL for NULL. */
static GBytes *
next_field(const guint8 **at)
{
    guint32 length;

    memcpy(&length, *at, sizeof length);
    length = g_ntohl(length);
    *at += sizeof length;
    if (length == G_MAXUINT32)
        return NULL;
    *at += length;
    return g_bytes_new(*at - length, length);
}

static double
take_double(const guint8 **at)
{
    g_autoptr(GBytes) field = next_field(at);
    guint64 bits;
    double value;

    g_assert_cmpuint(g_bytes_get_size(field), ==, sizeof bits);
    memcpy(&bits, g_bytes_get_data(field, NULL), sizeof bits);
    bits = GUINT64_FROM_BE(bits);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static Row *
parse_row(const LakeRows *rows, guint32 expected_index)
{
    g_autoptr(GByteArray) copy = g_byte_array_new();
    Row *row = g_new0(Row, 1);

    g_assert_true(lake_rows_write_copy(rows, collect, copy, NULL));
    const guint8 *at = copy->data + 2;
    g_autoptr(GBytes) file_id = next_field(&at);
    g_autoptr(GBytes) index = next_field(&at);
    g_assert_cmpmem(g_bytes_get_data(file_id, NULL), g_bytes_get_size(file_id), "the id", 6);
    expected_index = g_htonl(expected_index);
    g_assert_cmpmem(g_bytes_get_data(index, NULL), g_bytes_get_size(index), &expected_index, 4);
    row->start = take_double(&at);
    row->end = take_double(&at);
    row->data = next_field(&at);
    row->thumbnail = next_field(&at);
    g_autoptr(GBytes) text = next_field(&at);
    if (text)
        row->text = g_strndup(g_bytes_get_data(text, NULL), g_bytes_get_size(text));
    g_assert_true(at == copy->data + copy->len);
    return row;
}

/* All rows of a video, of Row; NULL with *error. notes may be NULL. */
static GPtrArray *
cut(const void *bytes, gsize n_bytes, gint64 segment_seconds, char **ret_notes, GError **error)
{
    const LakeNormaliser *kind = &lake_ingest_video;
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(2);
    LakeNormaliserInput input = {"the id", "a.mp4", content,
        {1000, 200, 300, 1000, segment_seconds}, workers, g_get_tmp_dir()};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(free_row);
    LakeNormaliserFacts facts = {.n_rows_total = -1};
    gboolean is_good = TRUE;

    g_assert_true(lake_spool_append(content, bytes, n_bytes, NULL));
    gpointer state = kind->open(&input, NULL, error);
    if (!state)
        return NULL;
    for (gboolean is_done = FALSE; is_good && !is_done;) {
        lake_rows_clear(rows);
        is_good = kind->next_row(state, rows, &is_done, NULL, error);
        if (is_good && !is_done)
            g_ptr_array_add(found, parse_row(rows, found->len));
    }
    kind->facts(state, &facts);
    kind->close(state);
    if (ret_notes)
        *ret_notes = g_steal_pointer(&facts.notes);
    g_free(facts.notes);
    if (!is_good)
        return NULL;
    g_assert_cmpint(facts.n_rows_total, ==, found->len);
    g_assert_cmpint(facts.bytes_read, <=, (gint64)n_bytes);
    return g_steal_pointer(&found);
}

static GPtrArray *
cut_file(const char *name, gint64 segment_seconds, char **ret_notes)
{
    g_autoptr(GError) error = NULL;
    gsize n_bytes;
    g_autofree char *bytes = load(name, &n_bytes);
    GPtrArray *rows = cut(bytes, n_bytes, segment_seconds, ret_notes, &error);

    g_assert_no_error(error);
    return rows;
}

static void
assert_times(
    const char *name, gint64 segment_seconds, guint n_rows, const double *starts, double end)
{
    g_autoptr(GPtrArray) rows = cut_file(name, segment_seconds, NULL);

    g_assert_cmpuint(rows->len, ==, n_rows);
    for (guint i = 0; i < n_rows; i++) {
        const Row *row = rows->pdata[i];
        const Row *next = i + 1 < n_rows ? rows->pdata[i + 1] : NULL;
        g_assert_cmpfloat_with_epsilon(row->start, starts[i], 1e-6);
        g_assert_cmpfloat_with_epsilon(row->end, next ? next->start : end, 1e-6);
    }
}

static void
test_times(void)
{
    assert_times("h264-aac.mp4", 1, 3, (const double[]){0, 1, 2}, 3);
    assert_times("h264-aac.mp4", 2, 2, (const double[]){0, 2}, 3);
    assert_times("h264-aac.mp4", 3, 1, (const double[]){0}, 3);
    assert_times("h264-aac.mp4", 10, 1, (const double[]){0}, 3);
    assert_times("h264-aac.mp4", G_MAXINT32, 1, (const double[]){0}, 3);
    assert_times("hevc.mp4", 1, 3, (const double[]){0, 1, 2}, 3);
    assert_times("mpeg4-mp3.avi", 1, 3, (const double[]){0, 1, 2.8}, 3.1);
    assert_times("open-gop.mkv", 1, 3, (const double[]){0, 2, 4}, 6);
    assert_times("packed-b-frames.avi", 2, 2, (const double[]){0, 2.3}, 4.1);
    /* No edit list: the first frame comes after what the decoder needs to put it in order. */
    assert_times("fragmented.mp4", 1, 3, (const double[]){0, 1.2, 2.2}, 3.208);
}

static const char *
kind_of(const Row *row)
{
    gsize n_bytes;
    const char *bytes = g_bytes_get_data(row->data, &n_bytes);

    g_assert_cmpuint(n_bytes, >, 64);
    if (memcmp(bytes + 4, "ftyp", 4) == 0)
        return "mp4";
    g_assert_cmpmem(bytes, 4, "\x1a\x45\xdf\xa3", 4);
    return memmem(bytes, 64, "webm", 4) ? "webm" : "matroska";
}

static void
test_containers(void)
{
    static const char *const expected[][2] = {{"h264-aac.mp4", "mp4"}, {"hevc.mp4", "mp4"},
        {"mpeg4-mp3.avi", "mp4"}, {"subtitles.mkv", "mp4"}, {"vp9-opus.webm", "mp4"},
        {"vp8-vorbis.webm", "webm"}, {"mjpeg-pcm.mov", "matroska"}};

    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autoptr(GPtrArray) rows = cut_file(expected[i][0], 1, NULL);
        for (guint j = 0; j < rows->len; j++)
            g_assert_cmpstr(kind_of(rows->pdata[j]), ==, expected[i][1]);
    }
}

/* A segment is a video itself: as one segment of its own it is what it was. */
static void
test_again(void)
{
    static const char *const names[] = {
        "h264-aac.mp4", "hevc.mp4", "vp9-opus.webm", "vp8-vorbis.webm", "mjpeg-pcm.mov"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GPtrArray) rows = cut_file(names[i], 1, NULL);
        for (guint j = 0; j < rows->len; j++) {
            const Row *row = rows->pdata[j];
            gsize n_bytes;
            const void *bytes = g_bytes_get_data(row->data, &n_bytes);
            g_autoptr(GPtrArray) again = cut(bytes, n_bytes, 10, NULL, NULL);
            g_assert_nonnull(again);
            g_assert_cmpuint(again->len, ==, 1);
            const Row *same = again->pdata[0];
            g_assert_cmpfloat_with_epsilon(same->end, row->end - row->start, 0.11);
            g_assert_true(g_bytes_equal(same->thumbnail, row->thumbnail));
        }
    }
}

static void
test_same_bytes(void)
{
    g_autoptr(GPtrArray) first = cut_file("mjpeg-pcm.mov", 1, NULL);
    g_autoptr(GPtrArray) second = cut_file("mjpeg-pcm.mov", 1, NULL);

    g_assert_cmpuint(first->len, ==, second->len);
    for (guint i = 0; i < first->len; i++) {
        const Row *one = first->pdata[i];
        const Row *other = second->pdata[i];
        g_assert_true(g_bytes_equal(one->data, other->data));
        g_assert_true(g_bytes_equal(one->thumbnail, other->thumbnail));
    }
}

/* Width and height of a JPEG, from its frame header. */
static void
assert_jpeg(GBytes *jpeg, guint width, guint height)
{
    gsize n_bytes;
    const guint8 *bytes = g_bytes_get_data(jpeg, &n_bytes);
    const guint8 *frame = memmem(bytes, n_bytes, "\xff\xc0", 2);

    g_assert_cmpmem(bytes, 3, "\xff\xd8\xff", 3);
    g_assert_cmpmem(bytes + n_bytes - 2, 2, "\xff\xd9", 2);
    g_assert_nonnull(frame);
    g_assert_cmpuint((guint)frame[5] << 8 | frame[6], ==, height);
    g_assert_cmpuint((guint)frame[7] << 8 | frame[8], ==, width);
    /* Three components, the first with twice the lines and columns of the others. */
    g_assert_cmpuint(frame[9], ==, 3);
    g_assert_cmpuint(frame[11], ==, 0x22);
    g_assert_cmpuint(frame[14], ==, 0x11);
    g_assert_cmpuint(frame[17], ==, 0x11);
}

static void
test_thumbnails(void)
{
    static const struct {
        const char *name;
        guint width, height;
    } expected[] = {{"h264-aac.mp4", 320, 240}, {"mjpeg-pcm.mov", 320, 240},
        {"anamorphic.mp4", 320, 120}, {"rotated.mp4", 120, 320}};

    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autoptr(GPtrArray) rows = cut_file(expected[i].name, 1, NULL);
        for (guint j = 0; j < rows->len; j++) {
            const Row *row = rows->pdata[j];
            assert_jpeg(row->thumbnail, expected[i].width, expected[i].height);
        }
    }
}

static void
test_texts(void)
{
    static const char *const expected[] = {"first", "second line\nand another", "last äöü"};
    g_autoptr(GPtrArray) rows = cut_file("subtitles.mkv", 1, NULL);
    g_autoptr(GPtrArray) silent = cut_file("h264-aac.mp4", 1, NULL);

    g_assert_cmpuint(rows->len, ==, G_N_ELEMENTS(expected));
    for (guint i = 0; i < rows->len; i++)
        g_assert_cmpstr(((const Row *)rows->pdata[i])->text, ==, expected[i]);
    for (guint i = 0; i < silent->len; i++)
        g_assert_null(((const Row *)silent->pdata[i])->text);
}

/* Its order is found out even where sound comes for seconds before it. */
static void
test_late_picture(void)
{
    g_autofree char *notes = NULL;
    g_autoptr(GPtrArray) rows = cut_file("late-video.mkv", 1, &notes);

    g_assert_cmpuint(rows->len, ==, 3);
    g_assert_cmpstr(notes, ==, NULL);
}

static void
test_notes(void)
{
    g_autofree char *notes = NULL;
    g_autofree char *nothing = NULL;
    g_autoptr(GPtrArray) two = cut_file("two-videos.mkv", 1, &notes);
    g_autoptr(GPtrArray) one = cut_file("h264-aac.mp4", 1, &nothing);

    g_assert_nonnull(strstr(notes, "second video track"));
    g_assert_null(nothing);
}

static void
assert_refused(const void *bytes, gsize n_bytes, const char *word)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(cut(bytes, n_bytes, 1, NULL, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpint(lake_error_facts(error)->class, ==, LAKE_ERROR_CLASS_INGEST);
    if (!strstr(error->message, word))
        g_error("\"%s\" is not in \"%s\"", word, error->message);
}

static void
test_cut_off(void)
{
    static const char *const names[] = {"h264-aac.mp4", "fragmented.mp4", "hevc.mp4",
        "mjpeg-pcm.mov", "mpeg4-mp3.avi", "recording.avi", "subtitles.mkv", "vp8-vorbis.webm",
        "vp9-opus.webm"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        gsize n_bytes;
        g_autofree char *bytes = load(names[i], &n_bytes);
        for (gsize part = 1; part < 20; part++)
            assert_refused(bytes, n_bytes * part / 20, "");
        assert_refused(bytes, n_bytes - 1, "cut off");
    }
}

static void
test_refusals(void)
{
    gsize n_bytes;
    g_autofree char *sound = load("audio-only.mp4", &n_bytes);

    assert_refused(sound, n_bytes, "no video track");
    assert_refused("", 0, "empty");
    assert_refused("plain text, and not a video", 27, "text");
    assert_refused("\x89PNG\r\n\x1a\n0000000000000000", 24, "PNG");
}

/* Puts another number over the one at an offset behind the first `name`. */
static void
patch(char *bytes, gsize n_bytes, const char *name, gsize offset, guint32 number)
{
    char *at = memmem(bytes, n_bytes, name, strlen(name));

    g_assert_nonnull(at);
    number = g_htonl(number);
    memcpy(at + offset, &number, sizeof number);
}

static void
test_lies(void)
{
    gsize n_bytes;
    g_autofree char *frames = load("anamorphic.mp4", &n_bytes);
    g_autofree char *size = load("anamorphic.mp4", &n_bytes);
    g_autofree char *edits = load("anamorphic.mp4", &n_bytes);
    g_autoptr(GError) error = NULL;

    patch(frames, n_bytes, "stsz", 8, 1);
    patch(frames, n_bytes, "stsz", 12, 0xffffff00);
    assert_refused(frames, n_bytes, "more frames than");

    patch(size, n_bytes, "avc1", 28, 0xffffffff);
    g_autoptr(GPtrArray) rows = cut(size, n_bytes, 1, NULL, &error);
    g_assert_no_error(error);
    assert_jpeg(((const Row *)rows->pdata[0])->thumbnail, 320, 120);

    patch(edits, n_bytes, "elst", 8, 0x7fffffff);
    assert_refused(edits, n_bytes, "more frames than");
}

static void
test_cancelled(void)
{
    const LakeNormaliser *kind = &lake_ingest_video;
    g_autoptr(LakeSpool) content = lake_spool_new(g_get_tmp_dir());
    g_autoptr(LakeIngestWorkers) workers = lake_ingest_workers_new(2);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) at_once = NULL;
    LakeNormaliserInput input = {
        "the id", "a.mp4", content, {1000, 200, 300, 1000, 1}, workers, g_get_tmp_dir()};
    g_autoptr(LakeRows) rows = lake_rows_new(kind->columns, kind->n_columns);
    gboolean is_done = FALSE;
    gsize n_bytes;
    g_autofree char *bytes = load("h264-aac.mp4", &n_bytes);

    g_assert_true(lake_spool_append(content, bytes, n_bytes, NULL));
    gpointer state = kind->open(&input, cancellable, &error);
    g_assert_no_error(error);
    g_cancellable_cancel(cancellable);
    g_assert_false(kind->next_row(state, rows, &is_done, cancellable, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    kind->close(state);
    g_assert_null(kind->open(&input, cancellable, &at_once));
    g_assert_error(at_once, LAKE_ERROR, LAKE_ERROR_CANCELLED);
}

static gpointer
cut_all(gpointer data)
{
    static const char *const names[] = {
        "h264-aac.mp4", "vp9-opus.webm", "mpeg4-mp3.avi", "subtitles.mkv", "hevc.mp4"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GPtrArray) rows = cut_file(names[i], 1, NULL);
        g_assert_cmpuint(rows->len, ==, 3);
    }
    return NULL;
}

static void
test_threads(void)
{
    GThread *threads[4];

    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("cut", cut_all, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func(
        "/core/ingest/video/segments-begin-at-key-frames-after-multiples", test_times);
    g_test_add_func(
        "/core/ingest/video/container-is-one-that-takes-the-codecs", test_containers);
    g_test_add_func("/core/ingest/video/segments-are-videos", test_again);
    g_test_add_func("/core/ingest/video/same-file-same-bytes", test_same_bytes);
    g_test_add_func("/core/ingest/video/thumbnails-are-upright-and-square", test_thumbnails);
    g_test_add_func("/core/ingest/video/texts-are-in-their-segments", test_texts);
    g_test_add_func("/core/ingest/video/pictures-that-begin-late", test_late_picture);
    g_test_add_func("/core/ingest/video/notes-name-what-is-left-out", test_notes);
    g_test_add_func("/core/ingest/video/cut-off-files-are-refused", test_cut_off);
    g_test_add_func("/core/ingest/video/what-is-no-video-is-refused", test_refusals);
    g_test_add_func("/core/ingest/video/headers-that-lie-do-no-harm", test_lies);
    g_test_add_func("/core/ingest/video/cancelled", test_cancelled);
    g_test_add_func("/core/ingest/video/several-files-at-once", test_threads);
    return g_test_run();
}
