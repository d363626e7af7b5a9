/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/source.h"

#include "core/ingest/media/log.h"

#include <math.h>

/* What waits in the queues, at most (a single packet may be more). */
#define QUEUED_MAX_BYTES (16 * 1024 * 1024)
#define QUEUED_MAX_PACKETS 20000
/* Less than a tick of any video. */
#define EPSILON_SECONDS 1e-6
/* A clock that begins at most so much below 0 does so for what an audio decoder needs before
 * the first sound. */
#define PRIMING_MAX_SECONDS 1.0

void
lake_media_source_close(LakeMediaSource *source)
{
    if (!source)
        return;
    g_ptr_array_unref(source->tracks);
    g_ptr_array_unref(source->notes);
    lake_media_input_close(source->input);
    g_free(source);
}

static const char *
codec_name(const AVStream *stream)
{
    return avcodec_get_name(stream->codecpar->codec_id);
}

/* Subtitles and data are not in segments, nor are pictures that belong to a file as a whole. */
static void
discard_others(AVFormatContext *format)
{
    for (guint i = 0; i < format->nb_streams; i++) {
        AVStream *stream = format->streams[i];
        enum AVMediaType type = stream->codecpar->codec_type;
        if ((type != AVMEDIA_TYPE_VIDEO && type != AVMEDIA_TYPE_AUDIO) ||
            stream->disposition & AV_DISPOSITION_ATTACHED_PIC)
            stream->discard = AVDISCARD_ALL;
    }
}

static gboolean
refuse_track(GError **error, const char *message, const char *hint)
{
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "%s", message);
    if (error)
        lake_error_hint(*error, "%s", hint);
    return FALSE;
}

/* The index of the main video track, or -1. */
static int
find_main(const AVFormatContext *format, GError **error)
{
    /* Casts away const: it only looks. */
    int found =
        av_find_best_stream((AVFormatContext *)format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    const AVStream *stream = found >= 0 ? format->streams[found] : NULL;

    if (!stream || stream->disposition & AV_DISPOSITION_ATTACHED_PIC) {
        refuse_track(error, "the file has no video track",
            "to keep a file of audio whole, name it .m4a or .mka");
        return -1;
    }
    if (stream->codecpar->codec_id == AV_CODEC_ID_NONE) {
        refuse_track(error, "the codec of the video track is not known",
            "encode it again: ffmpeg -i old new.mp4");
        return -1;
    }
    if (stream->codecpar->width <= 0 || stream->codecpar->height <= 0) {
        refuse_track(error, "the video track has no frame that says how large it is",
            "see whether it plays, or encode it again: ffmpeg -i old new.mp4");
        return -1;
    }
    return found;
}

static gboolean
can_be_kept(const AVStream *stream)
{
    const AVCodecParameters *parameters = stream->codecpar;

    return parameters->codec_type == AVMEDIA_TYPE_AUDIO &&
           parameters->codec_id != AV_CODEC_ID_NONE && parameters->sample_rate > 0 &&
           parameters->ch_layout.nb_channels > 0;
}

static void
note_left_out(LakeMediaSource *source, const AVStream *stream)
{
    gboolean is_video = stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO;

    g_ptr_array_add(source->notes,
        g_strdup_printf("track %d (%s) is not in the segments: %s", stream->index + 1,
            codec_name(stream),
            is_video ? "it is a second video track" : "nothing is known of its sound"));
}

static gboolean
choose_tracks(LakeMediaSource *source, GError **error)
{
    AVFormatContext *format = source->input->format;
    gboolean is_avi = source->input->container == LAKE_MEDIA_AVI;
    int found = find_main(format, error);

    if (found < 0)
        return FALSE;
    for (int i = 0; i < (int)format->nb_streams; i++) {
        AVStream *stream = format->streams[i];
        if (stream->discard == AVDISCARD_ALL)
            continue;
        if (i != found && !can_be_kept(stream)) {
            note_left_out(source, stream);
            stream->discard = AVDISCARD_ALL;
            continue;
        }
        LakeMediaTrack *track = lake_media_track_new(stream, i == found, is_avi, error);
        if (!track)
            return FALSE;
        g_ptr_array_add(source->tracks, track);
        if (i == found)
            source->main = track;
    }
    return TRUE;
}

/* 0 on the file's clock, or its first frame where that comes later or long before. */
static void
find_start(LakeMediaSource *source)
{
    source->start_unit = source->main->unit;
    for (guint i = 0; i < source->tracks->len; i++) {
        const LakeMediaTrack *track = source->tracks->pdata[i];
        gint64 ticks = track->stream->start_time;
        if (ticks == AV_NOPTS_VALUE || ticks < -(G_MAXINT64 / 4) || ticks > G_MAXINT64 / 4)
            continue;
        if (i == 0 || source->start_ticks == AV_NOPTS_VALUE ||
            av_compare_ts(ticks, track->unit, source->start_ticks, source->start_unit) < 0) {
            source->start_ticks = ticks;
            source->start_unit = track->unit;
        }
    }
    if (source->start_ticks == AV_NOPTS_VALUE)
        source->start_ticks = 0;

    double seconds = (double)source->start_ticks * av_q2d(source->start_unit);
    if (seconds <= 0 && seconds >= -PRIMING_MAX_SECONDS)
        source->start_ticks = 0;
}

static void
free_track(gpointer track)
{
    lake_media_track_free(track);
}

LakeMediaSource *
lake_media_source_open(LakeSpool *content, LakeMediaContainer container, double segment_seconds,
    GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeMediaSource) source = g_new0(LakeMediaSource, 1);

    source->tracks = g_ptr_array_new_with_free_func(free_track);
    source->notes = g_ptr_array_new_with_free_func(g_free);
    source->segment_seconds = segment_seconds;
    source->first_open = -1;
    source->start_ticks = AV_NOPTS_VALUE;
    source->input = lake_media_input_open(content, container, cancellable, error);
    if (!source->input)
        return NULL;

    discard_others(source->input->format);
    int failed = avformat_find_stream_info(source->input->format, NULL);
    if (failed < 0 || source->input->error) {
        lake_media_input_fail(source->input, failed, "its tracks cannot be read", error);
        return NULL;
    }
    discard_others(source->input->format);
    if (!choose_tracks(source, error))
        return NULL;
    find_start(source);
    return g_steal_pointer(&source);
}

double
lake_media_source_seconds(const LakeMediaSource *source, gint64 ticks, AVRational unit)
{
    double start =
        (double)source->start_ticks * source->start_unit.num / source->start_unit.den;

    return (double)ticks * unit.num / unit.den - start;
}

static LakeMediaTrack *
find_track(const LakeMediaSource *source, int stream_index)
{
    for (guint i = 0; i < source->tracks->len; i++) {
        LakeMediaTrack *track = source->tracks->pdata[i];
        if (track->stream->index == stream_index)
            return track;
    }
    return NULL;
}

/* Reads one packet into its track's queue. */
static gboolean
read_packet(LakeMediaSource *source, GError **error)
{
    AVPacket *packet = av_packet_alloc();
    gboolean is_good = lake_media_input_read(source->input, packet, &source->is_at_end, error);

    for (guint i = 0; is_good && source->is_at_end && i < source->tracks->len; i++)
        is_good = lake_media_track_push(source->tracks->pdata[i], packet, error);
    if (is_good && !source->is_at_end && packet->data) {
        LakeMediaTrack *track = find_track(source, packet->stream_index);
        is_good = !track || lake_media_track_push(track, packet, error);
    }
    av_packet_free(&packet);
    return is_good;
}

/* The next boundary is the first multiple after a segment's start. */
static void
advance(LakeMediaSource *source, double start)
{
    double n_passed = floor((start + EPSILON_SECONDS) / source->segment_seconds);

    source->boundary = (MAX(n_passed, 0) + 1) * source->segment_seconds;
    source->first_open = -1;
}

/* Whether a segment begins with head. next is NULL at the end.
 *
 * After a key frame of an open group of pictures come frames that are shown before it and need
 * what was before it: cut there, they could not be decoded. Such a key frame is taken only
 * where none that is closed has come for a segment's length. */
static gboolean
judge(LakeMediaSource *source, const AVPacket *head, const AVPacket *next)
{
    double seconds = lake_media_source_seconds(source, head->pts, source->main->unit);

    if (!source->is_begun) {
        advance(source, seconds);
        return FALSE;
    }
    if (!(head->flags & AV_PKT_FLAG_KEY) || head->flags & AV_PKT_FLAG_DISCARD)
        return FALSE;
    if (!lake_media_track_changes(source->main, head)) {
        if (seconds + EPSILON_SECONDS < source->boundary)
            return FALSE;
        gboolean is_open = next && next->pts < head->pts;
        if (is_open && source->first_open < 0)
            source->first_open = seconds;
        if (is_open && seconds + EPSILON_SECONDS < source->first_open + source->segment_seconds)
            return FALSE;
    }
    advance(source, seconds);
    return TRUE;
}

/* The main track's head once it is judged; NULL: more has to be read for that. */
static const AVPacket *
judged_head(LakeMediaSource *source)
{
    const AVPacket *head = lake_media_track_head(source->main);
    const AVPacket *next = lake_media_track_second(source->main);

    if (!head || source->is_judged)
        return head;
    if (!next && !source->is_at_end && head->flags & AV_PKT_FLAG_KEY)
        return NULL;
    source->is_cut = judge(source, head, next);
    source->is_judged = TRUE;
    return head;
}

/* The track whose head is next; *ret_has_gaps when one has no head, and it could be of that. */
static LakeMediaTrack *
least_track(LakeMediaSource *source, gboolean *ret_has_gaps)
{
    LakeMediaTrack *least = NULL;
    gint64 least_ticks = 0;

    *ret_has_gaps = FALSE;
    for (guint i = 0; i < source->tracks->len; i++) {
        LakeMediaTrack *track = source->tracks->pdata[i];
        const AVPacket *head =
            track->is_main ? judged_head(source) : lake_media_track_head(track);
        if (!head) {
            *ret_has_gaps = TRUE;
            continue;
        }
        /* What is shown before a segment's first frame belongs before it. */
        gint64 ticks = track->is_main && !source->is_cut ? head->dts : head->pts;
        int order = least ? av_compare_ts(ticks, track->unit, least_ticks, least->unit) : -1;
        if (order < 0 || (order == 0 && track->is_main)) {
            least = track;
            least_ticks = ticks;
        }
    }
    return least;
}

static gboolean
is_full(const LakeMediaSource *source)
{
    gsize n_bytes = 0;
    guint n_packets = 0;

    for (guint i = 0; i < source->tracks->len; i++) {
        const LakeMediaTrack *track = source->tracks->pdata[i];
        n_bytes += track->n_bytes;
        n_packets += track->packets.length;
    }
    return n_bytes > QUEUED_MAX_BYTES || n_packets > QUEUED_MAX_PACKETS;
}

static gboolean
is_interrupted(const LakeMediaSource *source, GError **error)
{
    if (!g_cancellable_is_cancelled(source->input->cancellable))
        return FALSE;
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    return TRUE;
}

gboolean
lake_media_source_next(
    LakeMediaSource *source, LakeMediaTrack **ret_track, gboolean *ret_is_cut, GError **error)
{
    gboolean has_gaps;
    LakeMediaTrack *track;

    for (;;) {
        if (is_interrupted(source, error))
            return FALSE;
        track = least_track(source, &has_gaps);
        if (source->is_at_end || (track && (!has_gaps || is_full(source))))
            break;
        if (!read_packet(source, error))
            return FALSE;
    }

    *ret_track = track;
    *ret_is_cut = track == source->main && source->is_cut;
    if (track == source->main) {
        source->is_begun = TRUE;
        source->is_judged = FALSE;
        source->is_cut = FALSE;
    }
    return TRUE;
}
