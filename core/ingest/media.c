/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media.h"

#include "core/ingest/media/container.h"
#include "core/ingest/media/output.h"
#include "core/ingest/media/source.h"
#include "core/ingest/media/still.h"
#include "core/ingest/media/subtitles.h"

#include <math.h>

/* A header may say a little more than there is. */
#define DURATION_EXCESS_SECONDS 2.0
#define DURATION_EXCESS_SHARE 0.1

struct LakeMedia {
    LakeMediaSource *source;
    LakeMediaSubtitles *subtitles;
    char *staging_dir;

    LakeMediaOutput *output; /* of the segment that is open; NULL: none is */
    LakeMediaStill *still;
    gint64 start_ticks; /* of the segment that is open, or is next */
    AVRational start_unit;
    double start;         /* the same in seconds from the file's start */
    double end;           /* of the last frame so far */
    gint64 n_main_frames; /* of the main track, in all segments */
    gboolean is_first;    /* the next segment is the first */
    gboolean is_done;
};

void
lake_media_close(LakeMedia *media)
{
    if (!media)
        return;
    lake_media_output_close(media->output);
    lake_media_still_free(media->still);
    lake_media_subtitles_free(media->subtitles);
    lake_media_source_close(media->source);
    g_free(media->staging_dir);
    g_free(media);
}

static void
set_start(LakeMedia *media, gint64 ticks, AVRational unit)
{
    media->start_ticks = ticks;
    media->start_unit = unit;
    media->start = lake_media_source_seconds(media->source, ticks, unit);
}

LakeMedia *
lake_media_open(LakeSpool *content, gint64 segment_seconds, const char *staging_dir,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeMedia) media = g_new0(LakeMedia, 1);
    LakeMediaContainer container = lake_media_container_check(content, cancellable, error);

    if (container == LAKE_MEDIA_UNKNOWN)
        return NULL;
    media->staging_dir = g_strdup(staging_dir);
    media->is_first = TRUE;
    media->source =
        lake_media_source_open(content, container, (double)segment_seconds, cancellable, error);
    if (!media->source)
        return NULL;
    set_start(media, media->source->start_ticks, media->source->start_unit);
    media->subtitles = lake_media_subtitles_read(media->source, cancellable, error);
    return media->subtitles ? g_steal_pointer(&media) : NULL;
}

void
lake_media_segment_free(LakeMediaSegment *segment)
{
    if (!segment)
        return;
    lake_spool_unref(segment->data);
    lake_media_still_free(segment->still);
    g_free(segment->text);
    g_free(segment);
}

static guint
index_of(const LakeMediaSource *source, const LakeMediaTrack *track)
{
    guint index = 0;

    g_ptr_array_find(source->tracks, track, &index);
    return index;
}

static gboolean
begin_segment(LakeMedia *media, GError **error)
{
    const LakeMediaSource *source = media->source;

    media->output = lake_media_output_open(source->tracks, media->staging_dir,
        media->start_ticks, media->start_unit, media->is_first, error);
    if (!media->output)
        return FALSE;
    media->still = lake_media_still_new(source->main);
    media->is_first = FALSE;
    return TRUE;
}

/* The open segment, complete; NULL with an error. */
static LakeMediaSegment *
end_segment(LakeMedia *media, double end, gboolean is_last, GError **error)
{
    LakeSpool *data = lake_media_output_finish(media->output, error);

    g_clear_pointer(&media->output, lake_media_output_close);
    if (!data)
        return NULL;
    LakeMediaSegment *segment = g_new0(LakeMediaSegment, 1);
    segment->data = data;
    segment->start = media->start;
    segment->end = MAX(end, media->start);
    segment->text = lake_media_subtitles_take(media->subtitles, is_last ? INFINITY : end);
    segment->still = g_steal_pointer(&media->still);
    return segment;
}

/* Moves a track's head into the open segment. */
static gboolean
pass_packet(LakeMedia *media, LakeMediaTrack *track, AVPacket *packet, GError **error)
{
    guint index = index_of(media->source, track);

    if (!lake_media_output_write(media->output, index, packet, error)) {
        g_prefix_error(error, "%.3f s into the file: ",
            lake_media_source_seconds(media->source, packet->pts, track->unit));
        return FALSE;
    }
    if (track->is_main) {
        lake_media_still_add(media->still, packet);
        media->n_main_frames++;
    }
    double end = lake_media_source_seconds(
        media->source, packet->pts + lake_media_track_duration(track, packet), track->unit);
    if (!(packet->flags & AV_PKT_FLAG_DISCARD))
        media->end = MAX(media->end, end);
    return TRUE;
}

/* What shows only when all has been read. */
static gboolean
finish(LakeMedia *media, GError **error)
{
    LakeMediaSource *source = media->source;
    double declared = (double)source->input->format->duration / AV_TIME_BASE;

    media->is_done = TRUE;
    if (media->n_main_frames == 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
            "the video track has no frames");
        if (error)
            lake_error_hint(*error, "see whether it plays; copy or download it again");
        return FALSE;
    }
    if (source->input->format->duration != AV_NOPTS_VALUE &&
        declared >
            media->end + MAX(DURATION_EXCESS_SECONDS, media->end * DURATION_EXCESS_SHARE))
        g_ptr_array_add(source->notes,
            g_strdup_printf(
                "the header says %.1f s, but the frames end at %.1f s", declared, media->end));
    if (source->main->n_mended > 0)
        g_ptr_array_add(
            source->notes, g_strdup_printf("the times of %" G_GINT64_FORMAT
                                           " frames were out of order and have been mended",
                               source->main->n_mended));
    return TRUE;
}

/* Goes on to the next cut, or to the end: then *ret_next, the packet that the next segment
 * begins with, is NULL. */
static gboolean
fill_segment(LakeMedia *media, const AVPacket **ret_next, GError **error)
{
    for (;;) {
        LakeMediaTrack *track;
        gboolean is_cut;

        *ret_next = NULL;
        if (!lake_media_source_next(media->source, &track, &is_cut, error))
            return FALSE;
        if (!track)
            return TRUE;
        const AVPacket *head = lake_media_track_head(track);
        if (is_cut && media->output) {
            *ret_next = head;
            return TRUE;
        }
        /* Before the segment is begun: its parameters may come with this packet. */
        AVPacket *packet = lake_media_track_pop(track);
        gboolean is_good = (media->output || begin_segment(media, error)) &&
                           pass_packet(media, track, packet, error);
        av_packet_free(&packet);
        if (!is_good)
            return FALSE;
    }
}

gboolean
lake_media_next(
    LakeMedia *media, LakeMediaSegment **ret_segment, GCancellable *cancellable, GError **error)
{
    const AVPacket *next;

    *ret_segment = NULL;
    if (media->is_done)
        return TRUE;
    media->source->input->cancellable = cancellable;
    if (!fill_segment(media, &next, error))
        return FALSE;
    if (!next && !finish(media, error))
        return FALSE;

    AVRational unit = media->source->main->unit;
    double end = next ? lake_media_source_seconds(media->source, next->pts, unit) : media->end;
    *ret_segment = end_segment(media, end, !next, error);
    if (next)
        set_start(media, next->pts, unit);
    return *ret_segment != NULL;
}

const GPtrArray *
lake_media_notes(const LakeMedia *media)
{
    return media->source->notes;
}

gint64
lake_media_bytes_read(const LakeMedia *media)
{
    return MIN(media->source->input->position, lake_spool_size(media->source->input->content));
}
