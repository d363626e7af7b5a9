/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/track.h"

#include "core/ingest/media/log.h"

#include <string.h>

/* Frames that can be shown later than they are decoded: 16 in H.264 and H.265, and fields. */
#define REORDER_MAX_PACKETS 32
/* Times further out are as good as none: sums of them would overflow. */
#define TICKS_MAX (G_MAXINT64 / 4)
/* Times of a damaged or joined file that go back further cannot be mended. */
#define BACKWARDS_MAX_SECONDS 1.0
/* Kinds of MPEG-4 pictures. */
#define MPEG4_INTRA 0
#define MPEG4_BETWEEN 2

static AVBSFContext *
new_filter(const char *name, const AVStream *stream, GError **error)
{
    const AVBitStreamFilter *kind = av_bsf_get_by_name(name);
    AVBSFContext *filter = NULL;
    int failed = kind ? av_bsf_alloc(kind, &filter) : AVERROR_BSF_NOT_FOUND;

    if (failed >= 0)
        failed = avcodec_parameters_copy(filter->par_in, stream->codecpar);
    if (failed >= 0) {
        filter->time_base_in = stream->time_base;
        failed = av_bsf_init(filter);
    }
    if (failed >= 0)
        return filter;
    lake_media_log_error(
        error, LAKE_ERROR_BAD_INPUT, failed, "track %d cannot be read", stream->index + 1);
    av_bsf_free(&filter);
    return NULL;
}

LakeMediaTrack *
lake_media_track_new(AVStream *stream, gboolean is_main, gboolean is_avi, GError **error)
{
    g_autoptr(LakeMediaTrack) track = g_new0(LakeMediaTrack, 1);
    const AVCodecParameters *parameters = stream->codecpar;

    track->stream = stream;
    track->is_main = is_main;
    track->unit = stream->time_base;
    track->last_dts = AV_NOPTS_VALUE;
    track->parameters = avcodec_parameters_alloc();
    g_queue_init(&track->packets);
    if (is_avi && is_main)
        track->reorder = lake_media_reorder_new(stream);
    if (is_avi && parameters->codec_id == AV_CODEC_ID_MPEG4) {
        /* Some encoders put two frames into one AVI chunk, which other containers forbid. */
        track->filter = new_filter("mpeg4_unpack_bframes", stream, error);
        if (!track->filter)
            return NULL;
        parameters = track->filter->par_out;
    }
    if (!track->parameters || avcodec_parameters_copy(track->parameters, parameters) < 0)
        g_error("no memory");
    return g_steal_pointer(&track);
}

static void
free_packet(gpointer packet)
{
    AVPacket *owned = packet;

    av_packet_free(&owned);
}

void
lake_media_track_free(LakeMediaTrack *track)
{
    if (!track)
        return;
    g_queue_clear_full(&track->packets, free_packet);
    avcodec_parameters_free(&track->parameters);
    av_bsf_free(&track->filter);
    lake_media_reorder_free(track->reorder);
    g_free(track);
}

gint64
lake_media_track_duration(const LakeMediaTrack *track, const AVPacket *packet)
{
    AVRational rate = track->stream->avg_frame_rate;

    if (packet->duration > 0 && packet->duration < TICKS_MAX)
        return packet->duration;
    if (track->is_main && rate.num > 0 && rate.den > 0)
        return MAX(1, av_rescale_q(1, av_inv_q(rate), track->unit));
    return 1;
}

static gint64
sane_time(gint64 ticks)
{
    return ticks < -TICKS_MAX || ticks > TICKS_MAX ? AV_NOPTS_VALUE : ticks;
}

/* A packet that is shown before others which are decoded before it. Where presentation times
 * are missing, only such a one has its own: it is shown when it is decoded. */
static gboolean
is_between(const AVPacket *packet)
{
    return packet->pts != AV_NOPTS_VALUE && packet->pts == packet->dts;
}

/* A frame that others overtake is shown when the next such frame is decoded. FALSE: that one is
 * not known yet. */
static gboolean
settle_pts(LakeMediaTrack *track, GList *link, gboolean is_last_chance)
{
    AVPacket *packet = link->data;
    AVPacket *last = packet;
    gboolean is_alone = !link->next && track->last_dts == AV_NOPTS_VALUE;

    if (packet->pts != AV_NOPTS_VALUE)
        return TRUE;
    for (GList *next = link->next; next; next = next->next) {
        last = next->data;
        if (last->dts == AV_NOPTS_VALUE || is_between(last))
            continue;
        packet->pts = last->dts;
        return TRUE;
    }
    if (!is_last_chance)
        return FALSE;
    if (last->dts != AV_NOPTS_VALUE)
        packet->pts = last->dts + (is_alone ? 0 : lake_media_track_duration(track, last));
    else if (track->last_dts != AV_NOPTS_VALUE)
        packet->pts = track->last_dts + lake_media_track_duration(track, packet);
    else
        packet->pts = 0;
    return TRUE;
}

/* Counts back from the next decoding time that is known. */
static gboolean
settle_dts(LakeMediaTrack *track, GList *link, gboolean is_last_chance)
{
    AVPacket *packet = link->data;
    gint64 least = packet->pts;
    gint64 n_ticks = 0;

    if (packet->dts != AV_NOPTS_VALUE)
        return TRUE;
    for (GList *next = link; next; next = next->next) {
        const AVPacket *later = next->data;
        if (later->dts != AV_NOPTS_VALUE) {
            packet->dts = MIN(later->dts - n_ticks, packet->pts);
            return TRUE;
        }
        if (later->pts != AV_NOPTS_VALUE)
            least = MIN(least, later->pts - n_ticks);
        n_ticks += lake_media_track_duration(track, later);
    }
    if (is_last_chance)
        packet->dts = least;
    return is_last_chance;
}

static gboolean
refuse_jump(const LakeMediaTrack *track, gint64 dts, GError **error)
{
    double unit = av_q2d(track->unit);

    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
        "the times of track %d jump back from %.3f s to %.3f s", track->stream->index + 1,
        (double)track->last_dts * unit, (double)dts * unit);
    if (error)
        lake_error_hint(*error, "were files joined byte by byte? Join them with ffmpeg -f "
                                "concat, or encode it again");
    return FALSE;
}

/* Sets what is missing of the times. FALSE: that depends on what is not read yet. */
static gboolean
complete_times(LakeMediaTrack *track, GList *link, gboolean is_last_chance)
{
    AVPacket *packet = link->data;

    if (track->reorder && packet->dts != AV_NOPTS_VALUE) {
        if (!is_last_chance && track->n_unsettled <= LAKE_MEDIA_REORDER_MAX)
            return FALSE;
        lake_media_reorder_settle(
            track->reorder, link, lake_media_track_duration(track, packet));
        return TRUE;
    }
    if (!track->is_main && packet->pts == AV_NOPTS_VALUE)
        packet->pts = packet->dts;
    return settle_pts(track, link, is_last_chance) && settle_dts(track, link, is_last_chance);
}

/* Both times are there; now they fit the packet before and each other. */
static gboolean
order_times(LakeMediaTrack *track, AVPacket *packet, GError **error)
{
    gint64 dts = MIN(packet->dts, packet->pts);

    if (track->last_dts != AV_NOPTS_VALUE && dts <= track->last_dts) {
        if ((double)(track->last_dts - dts) * av_q2d(track->unit) > BACKWARDS_MAX_SECONDS)
            return refuse_jump(track, dts, error);
        dts = track->last_dts + 1;
        track->n_mended++;
    }
    packet->dts = dts;
    packet->pts = MAX(packet->pts, dts);
    track->last_dts = dts;
    return TRUE;
}

static gboolean
settle(LakeMediaTrack *track, gboolean is_at_end, GError **error)
{
    while (track->unsettled) {
        GList *link = track->unsettled;
        AVPacket *packet = link->data;
        gboolean is_last_chance =
            is_at_end || !track->is_main || track->n_unsettled > REORDER_MAX_PACKETS;

        if (!complete_times(track, link, is_last_chance))
            return TRUE;
        if (!order_times(track, packet, error))
            return FALSE;
        track->unsettled = link->next;
        track->n_unsettled--;
    }
    return TRUE;
}

/* The two bits behind the start code of an MPEG-4 picture (ISO/IEC 14496-2, 6.2.5) say how it
 * is predicted; -1: there is no picture. */
static int
coding_type(const AVPacket *packet)
{
    for (int i = 0; i + 4 < packet->size; i++)
        if (memcmp(packet->data + i, "\0\0\1\xb6", 4) == 0)
            return packet->data[i + 4] >> 6;
    return -1;
}

/* Taken apart, what was in one chunk has the time and the flag of another chunk, which is not
 * always one with such a picture. */
static void
correct_unpacked(const LakeMediaTrack *track, AVPacket *packet)
{
    int type = coding_type(packet);

    if (type < 0)
        return;
    if (type != MPEG4_INTRA)
        packet->flags &= ~AV_PKT_FLAG_KEY;
    if (type == MPEG4_BETWEEN)
        packet->pts = packet->dts;
    else if (track->stream->codecpar->video_delay > 0)
        packet->pts = AV_NOPTS_VALUE;
}

static gboolean
enqueue(LakeMediaTrack *track, AVPacket *packet, GError **error)
{
    AVPacket *queued = av_packet_alloc();

    if (!queued)
        g_error("no memory");
    av_packet_move_ref(queued, packet);
    if (av_packet_get_side_data(queued, AV_PKT_DATA_ENCRYPTION_INFO, NULL)) {
        av_packet_free(&queued);
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
            "track %d is encrypted", track->stream->index + 1);
        if (error)
            lake_error_hint(*error, "decrypt it first");
        return FALSE;
    }
    queued->pts = sane_time(queued->pts);
    queued->dts = sane_time(queued->dts);
    if (track->reorder)
        lake_media_reorder_look(track->reorder, queued);
    g_queue_push_tail(&track->packets, queued);
    track->n_bytes += (gsize)queued->size;
    track->n_unsettled++;
    if (!track->unsettled)
        track->unsettled = track->packets.tail;
    return TRUE;
}

static gboolean
push_filtered(LakeMediaTrack *track, AVPacket *packet, GError **error)
{
    int failed = av_bsf_send_packet(track->filter, packet->data ? packet : NULL);

    while (failed >= 0) {
        failed = av_bsf_receive_packet(track->filter, packet);
        if (failed >= 0)
            correct_unpacked(track, packet);
        if (failed >= 0 && !enqueue(track, packet, error))
            return FALSE;
    }
    if (failed == AVERROR(EAGAIN) || failed == AVERROR_EOF)
        return TRUE;
    av_packet_unref(packet);
    lake_media_log_error(error, LAKE_ERROR_BAD_INPUT, failed, "a frame of track %d is damaged",
        track->stream->index + 1);
    return FALSE;
}

gboolean
lake_media_track_push(LakeMediaTrack *track, AVPacket *packet, GError **error)
{
    gboolean is_at_end = !packet->data;

    if (track->filter) {
        if (!push_filtered(track, packet, error))
            return FALSE;
    } else if (!is_at_end && !enqueue(track, packet, error)) {
        return FALSE;
    }
    return settle(track, is_at_end, error);
}

const AVPacket *
lake_media_track_head(const LakeMediaTrack *track)
{
    const GList *head = track->packets.head;

    return head && head != track->unsettled ? head->data : NULL;
}

const AVPacket *
lake_media_track_second(const LakeMediaTrack *track)
{
    const GList *head = track->packets.head;

    if (!head || head == track->unsettled || !head->next || head->next == track->unsettled)
        return NULL;
    return head->next->data;
}

gboolean
lake_media_track_changes(const LakeMediaTrack *track, const AVPacket *packet)
{
    size_t n_bytes = 0;
    const uint8_t *data = av_packet_get_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA, &n_bytes);
    const AVCodecParameters *now = track->parameters;

    return data && n_bytes > 0 && n_bytes < G_MAXINT &&
           (n_bytes != (size_t)now->extradata_size ||
               memcmp(data, now->extradata, n_bytes) != 0);
}

AVPacket *
lake_media_track_pop(LakeMediaTrack *track)
{
    AVPacket *packet = g_queue_pop_head(&track->packets);

    track->n_bytes -= (gsize)packet->size;
    if (lake_media_track_changes(track, packet)) {
        size_t n_bytes = 0;
        const uint8_t *data =
            av_packet_get_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA, &n_bytes);
        av_freep(&track->parameters->extradata);
        track->parameters->extradata_size = 0;
        track->parameters->extradata = av_mallocz(n_bytes + AV_INPUT_BUFFER_PADDING_SIZE);
        if (!track->parameters->extradata)
            g_error("no memory");
        memcpy(track->parameters->extradata, data, n_bytes);
        track->parameters->extradata_size = (int)n_bytes;
    }
    return packet;
}
