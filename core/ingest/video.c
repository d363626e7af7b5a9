/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/video.c: the kind video: segments of some seconds, each a file that plays on its
 * own, with a thumbnail and what its subtitles say.
 *
 * Cutting is reading and writing, and done here; thumbnails are decoded and encoded by the
 * workers, a few segments ahead of the row that is asked for. */

#include "core/error.h"
#include "core/ingest/media.h"
#include "core/ingest/normaliser.h"

#include <string.h>

/* A part gives up on its own long before. */
#define THUMBNAIL_TIMEOUT_MS (60 * 1000)
#define NOTES_MAX 10

typedef struct {
    LakeMediaSegment *segment;
    GBytes *thumbnail; /* NULL: there is none */
    char *reason;      /* why */
} Part;

typedef struct {
    const LakeNormaliserInput *input;
    LakeMedia *media;
    LakeIngestSequence *thumbnails; /* of Part */
    gint64 chunk_index;             /* of the next row */
    gboolean is_cut;                /* the last segment has been cut off */
    gboolean is_done;
    GString *notes; /* on thumbnails, one line each */
    guint n_notes;
} VideoReader;

static const LakeColumn columns[] = {
    {"file_id", LAKE_TYPE_TEXT},
    {"chunk_index", LAKE_TYPE_INT32},
    {"start_time", LAKE_TYPE_FLOAT64},
    {"end_time", LAKE_TYPE_FLOAT64},
    {"video_data", LAKE_TYPE_VIDEO},
    {"thumbnail", LAKE_TYPE_IMAGE},
    {"text", LAKE_TYPE_TEXT},
};

static const char *const extensions[] = {"mp4", "mov", "avi", "mkv", "webm", NULL};

static void
free_part(gpointer data)
{
    Part *part = data;

    lake_media_segment_free(part->segment);
    g_clear_pointer(&part->thumbnail, g_bytes_unref);
    g_free(part->reason);
    g_free(part);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Part, free_part)

static gboolean
draw(gpointer data, gpointer user_data, GCancellable *stop, GError **error)
{
    Part *part = data;

    part->thumbnail = lake_media_still_draw(part->segment->still, stop, &part->reason);
    if (!g_cancellable_is_cancelled(stop))
        return TRUE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    return FALSE;
}

static void
close_video(gpointer state)
{
    VideoReader *reader = state;

    lake_ingest_sequence_free(reader->thumbnails);
    lake_media_close(reader->media);
    g_string_free(reader->notes, TRUE);
    g_free(reader);
}

static gpointer
open_video(const LakeNormaliserInput *input, GCancellable *cancellable, GError **error)
{
    if (!lake_ingest_settings_check(&input->settings, error))
        return NULL;
    LakeMedia *media = lake_media_open(input->content, input->settings.segment_seconds,
        input->staging_dir, cancellable, error);
    if (!media)
        return NULL;

    VideoReader *reader = g_new0(VideoReader, 1);
    reader->input = input;
    reader->media = media;
    reader->notes = g_string_new(NULL);
    reader->thumbnails = lake_ingest_sequence_new(
        input->workers, draw, free_part, NULL, THUMBNAIL_TIMEOUT_MS, cancellable);
    return reader;
}

/* Cuts segments off until enough are in the hands of the workers. */
static gboolean
cut_ahead(VideoReader *reader, GCancellable *cancellable, GError **error)
{
    while (!reader->is_cut && !lake_ingest_sequence_is_full(reader->thumbnails)) {
        LakeMediaSegment *segment;
        if (!lake_media_next(reader->media, &segment, cancellable, error))
            return FALSE;
        if (!segment) {
            reader->is_cut = TRUE;
            break;
        }
        Part *part = g_new0(Part, 1);
        part->segment = segment;
        lake_ingest_sequence_push(reader->thumbnails, part);
    }
    return TRUE;
}

static void
add_row(VideoReader *reader, LakeRows *rows, const Part *part)
{
    const LakeMediaSegment *segment = part->segment;

    lake_rows_add_text(rows, reader->input->file_id, strlen(reader->input->file_id));
    lake_rows_add_int32(rows, (gint32)reader->chunk_index);
    lake_rows_add_float64(rows, segment->start);
    lake_rows_add_float64(rows, segment->end);
    lake_rows_add_spool(rows, segment->data);
    if (part->thumbnail)
        lake_rows_add_bytes(
            rows, g_bytes_get_data(part->thumbnail, NULL), g_bytes_get_size(part->thumbnail));
    else
        lake_rows_add_null(rows);
    if (segment->text)
        lake_rows_add_text(rows, segment->text, strlen(segment->text));
    else
        lake_rows_add_null(rows);
}

static gboolean
next_row(gpointer state, LakeRows *rows, gboolean *ret_done, GCancellable *cancellable,
    GError **error)
{
    VideoReader *reader = state;

    if (!cut_ahead(reader, cancellable, error))
        return FALSE;
    *ret_done = reader->is_done = lake_ingest_sequence_n_pending(reader->thumbnails) == 0;
    if (*ret_done)
        return TRUE;

    g_autoptr(Part) part = lake_ingest_sequence_pop(reader->thumbnails, error);
    if (!part)
        return FALSE;
    add_row(reader, rows, part);
    if (!part->thumbnail && reader->n_notes++ < NOTES_MAX)
        g_string_append_printf(reader->notes,
            "%ssegment %" G_GINT64_FORMAT " has no thumbnail: %s",
            reader->notes->len > 0 ? "\n" : "", reader->chunk_index,
            part->reason ? part->reason : "it could not be drawn");
    reader->chunk_index++;
    return TRUE;
}

static void
facts(gpointer state, LakeNormaliserFacts *ret_facts)
{
    VideoReader *reader = state;
    const GPtrArray *of_file = lake_media_notes(reader->media);
    g_autoptr(GString) notes = g_string_new(NULL);

    for (guint i = 0; i < of_file->len && i < NOTES_MAX; i++)
        g_string_append_printf(
            notes, "%s%s", i > 0 ? "\n" : "", (const char *)of_file->pdata[i]);
    if (notes->len > 0 && reader->notes->len > 0)
        g_string_append_c(notes, '\n');
    g_string_append(notes, reader->notes->str);
    guint n_more = (of_file->len > NOTES_MAX ? of_file->len - NOTES_MAX : 0) +
                   (reader->n_notes > NOTES_MAX ? reader->n_notes - NOTES_MAX : 0);
    if (n_more > 0)
        g_string_append_printf(notes, "\nand %u more", n_more);

    ret_facts->encoding = NULL;
    ret_facts->notes = notes->len > 0 ? g_strdup(notes->str) : NULL;
    ret_facts->n_rows_total = reader->is_done ? reader->chunk_index : -1;
    ret_facts->bytes_read = lake_media_bytes_read(reader->media);
}

static char *
settings_json(const LakeIngestSettings *settings)
{
    return g_strdup_printf(
        "{\"segment_seconds\": %" G_GINT64_FORMAT "}", settings->segment_seconds);
}

const LakeNormaliser lake_ingest_video = {
    .kind = "video",
    .columns = columns,
    .n_columns = G_N_ELEMENTS(columns),
    .extensions = extensions,
    .refuses_empty = TRUE,
    .is_slow = TRUE,
    .open = open_video,
    .next_row = next_row,
    .facts = facts,
    .close = close_video,
    .settings_json = settings_json,
};
