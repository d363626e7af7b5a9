/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/output.h"

#include "core/ingest/media/log.h"
#include "core/rows.h"

#include <libavcodec/avcodec.h>
#include <libavutil/intreadwrite.h>
#include <string.h>

#define BUFFER_BYTES (64 * 1024)
#define OPUS_PRE_SKIP_OFFSET 10 /* RFC 7845, 5.1 */

struct LakeMediaOutput {
    AVFormatContext *format;
    LakeSpool *spool;
    gint64 position;
    GError *error; /* why writing failed */
    const GPtrArray *tracks;
    gint64 start_ticks;
    AVRational start_unit;
    gint64 *last_dts; /* of each stream, in its unit */
    AVPacket *packet;
};

/* What players take in these containers, which is less than what can be written. */
static const enum AVCodecID mp4_codecs[] = {AV_CODEC_ID_H264, AV_CODEC_ID_HEVC, AV_CODEC_ID_AV1,
    AV_CODEC_ID_VP9, AV_CODEC_ID_MPEG4, AV_CODEC_ID_MPEG2VIDEO, AV_CODEC_ID_MPEG1VIDEO,
    AV_CODEC_ID_MJPEG, AV_CODEC_ID_AAC, AV_CODEC_ID_MP3, AV_CODEC_ID_MP2, AV_CODEC_ID_AC3,
    AV_CODEC_ID_EAC3, AV_CODEC_ID_OPUS, AV_CODEC_ID_FLAC, AV_CODEC_ID_ALAC, AV_CODEC_ID_NONE};
static const enum AVCodecID webm_codecs[] = {AV_CODEC_ID_VP8, AV_CODEC_ID_VP9, AV_CODEC_ID_AV1,
    AV_CODEC_ID_VORBIS, AV_CODEC_ID_OPUS, AV_CODEC_ID_NONE};

/* In the order in which they are tried; NULL: whatever can be written. */
static const struct {
    const char *muxer;
    const enum AVCodecID *codecs;
} containers[] = {{"mp4", mp4_codecs}, {"webm", webm_codecs}, {"matroska", NULL}};

static int
write_spool(void *opaque, uint8_t *data, int n_bytes)
{
    LakeMediaOutput *output = opaque;

    if (output->error)
        return AVERROR_EXIT;
    if (output->position + n_bytes > LAKE_ROWS_VALUE_MAX_BYTES) {
        lake_error_set(&output->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
            "one segment has more than %" G_GINT64_FORMAT
            " bytes, which is the most that a value can have",
            LAKE_ROWS_VALUE_MAX_BYTES);
        lake_error_hint(output->error,
            "choose a smaller segment_seconds; where the video has no "
            "key frames to cut at, encode it again with some: ffmpeg "
            "-i old -force_key_frames 'expr:gte(t,n_forced*5)' new");
        return AVERROR_EXIT;
    }
    if (!lake_spool_write(
            output->spool, output->position, data, (gsize)n_bytes, &output->error))
        return AVERROR_EXIT;
    output->position += n_bytes;
    return n_bytes;
}

static int64_t
seek_spool(void *opaque, int64_t offset, int whence)
{
    LakeMediaOutput *output = opaque;
    gint64 size_bytes = lake_spool_size(output->spool);

    if (whence == AVSEEK_SIZE)
        return size_bytes;
    whence &= ~AVSEEK_FORCE;
    output->position = offset + (whence == SEEK_CUR      ? output->position
                                    : whence == SEEK_END ? size_bytes
                                                         : 0);
    return output->position;
}

void
lake_media_output_close(LakeMediaOutput *output)
{
    if (!output)
        return;
    if (output->format) {
        AVIOContext *io = output->format->pb;
        /* What is still in its buffer is not wanted. */
        g_clear_error(&output->error);
        g_set_error_literal(&output->error, LAKE_ERROR, LAKE_ERROR_FAILED, "closed");
        avformat_free_context(output->format);
        av_freep(&io->buffer);
        avio_context_free(&io);
    }
    g_clear_error(&output->error);
    lake_spool_unref(output->spool);
    av_packet_free(&output->packet);
    g_free(output->last_dts);
    g_free(output);
}

static gboolean
fail(LakeMediaOutput *output, int av_error, const char *act, GError **error)
{
    if (output->error) {
        g_propagate_error(error, g_error_copy(output->error));
        return FALSE;
    }
    lake_media_log_error(error, LAKE_ERROR_BAD_INPUT, av_error, "%s", act);
    if (error)
        lake_error_hint(*error, "encode it again: ffmpeg -i old new.mp4");
    return FALSE;
}

/* What a stream says of its pictures beside the codec's own parameters. */
static void
copy_side_data(AVStream *to, const AVStream *from)
{
    static const enum AVPacketSideDataType kept[] = {AV_PKT_DATA_DISPLAYMATRIX,
        AV_PKT_DATA_MASTERING_DISPLAY_METADATA, AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
        AV_PKT_DATA_STEREO3D, AV_PKT_DATA_SPHERICAL, AV_PKT_DATA_DOVI_CONF};

    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        size_t n_bytes = 0;
        const uint8_t *data = av_stream_get_side_data(from, kept[i], &n_bytes);
        uint8_t *copy = data ? av_stream_new_side_data(to, kept[i], n_bytes) : NULL;
        if (copy)
            memcpy(copy, data, n_bytes);
    }
}

/* A tag that this container does not know for the codec would be refused. */
static guint32
tag_for(const AVOutputFormat *muxer, const AVCodecParameters *parameters)
{
    guint32 tag = parameters->codec_tag;

    if (muxer->codec_tag && av_codec_get_id(muxer->codec_tag, tag) == parameters->codec_id)
        return tag;
    /* The form of H.265 in MP4 that all players take. */
    if (g_str_equal(muxer->name, "mp4") && parameters->codec_id == AV_CODEC_ID_HEVC)
        return MKTAG('h', 'v', 'c', '1');
    return 0;
}

static gboolean
add_stream(LakeMediaOutput *output, const LakeMediaTrack *track, gboolean is_first)
{
    AVStream *stream = avformat_new_stream(output->format, NULL);
    AVCodecParameters *parameters = stream ? stream->codecpar : NULL;
    const AVDictionaryEntry *language;

    if (!stream || avcodec_parameters_copy(parameters, track->parameters) < 0)
        return FALSE;
    parameters->codec_tag = tag_for(output->format->oformat, track->parameters);
    stream->time_base = track->unit;
    stream->avg_frame_rate = track->stream->avg_frame_rate;
    stream->disposition = track->stream->disposition;
    if (track->is_main) {
        AVRational aspect = av_guess_sample_aspect_ratio(NULL, track->stream, NULL);
        stream->sample_aspect_ratio = parameters->sample_aspect_ratio = aspect;
    }
    if (!is_first) {
        /* Nothing before its first sound is to be thrown away. */
        parameters->initial_padding = 0;
        if (parameters->codec_id == AV_CODEC_ID_OPUS &&
            parameters->extradata_size >= OPUS_PRE_SKIP_OFFSET + 2)
            AV_WL16(parameters->extradata + OPUS_PRE_SKIP_OFFSET, 0);
    }
    copy_side_data(stream, track->stream);
    language = av_dict_get(track->stream->metadata, "language", NULL, 0);
    if (language)
        av_dict_set(&stream->metadata, "language", language->value, 0);
    return TRUE;
}

static gboolean
fits(gsize container, const AVOutputFormat *muxer, const GPtrArray *tracks)
{
    const enum AVCodecID *codecs = containers[container].codecs;

    for (guint i = 0; codecs && i < tracks->len; i++) {
        const LakeMediaTrack *track = tracks->pdata[i];
        enum AVCodecID wanted = track->parameters->codec_id;
        const enum AVCodecID *known = codecs;
        while (*known != AV_CODEC_ID_NONE && *known != wanted)
            known++;
        if (*known == AV_CODEC_ID_NONE ||
            avformat_query_codec(muxer, wanted, FF_COMPLIANCE_NORMAL) != 1)
            return FALSE;
    }
    return TRUE;
}

static LakeMediaOutput *
new_output(const AVOutputFormat *muxer, const GPtrArray *tracks, const char *staging_dir)
{
    LakeMediaOutput *output = g_new0(LakeMediaOutput, 1);
    uint8_t *buffer = av_malloc(BUFFER_BYTES);

    output->spool = lake_spool_new(staging_dir);
    output->tracks = tracks;
    output->packet = av_packet_alloc();
    output->last_dts = g_new(gint64, tracks->len);
    for (guint i = 0; i < tracks->len; i++)
        output->last_dts[i] = AV_NOPTS_VALUE;
    if (!buffer || !output->packet ||
        avformat_alloc_output_context2(&output->format, muxer, NULL, NULL) < 0)
        g_error("no memory");
    output->format->pb =
        avio_alloc_context(buffer, BUFFER_BYTES, 1, output, NULL, write_spool, seek_spool);
    if (!output->format->pb)
        g_error("no memory");
    output->format->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_CUSTOM_IO;
    return output;
}

/* NULL with an error: this container does not take these tracks. */
static LakeMediaOutput *
try_container(const AVOutputFormat *muxer, const GPtrArray *tracks, const char *staging_dir,
    gboolean is_first, GError **error)
{
    g_autoptr(LakeMediaOutput) output = new_output(muxer, tracks, staging_dir);
    int failed = 0;

    for (guint i = 0; i < tracks->len; i++)
        if (!add_stream(output, tracks->pdata[i], is_first))
            failed = AVERROR(ENOMEM);
    if (failed >= 0)
        failed = avformat_write_header(output->format, NULL);
    if (failed < 0 || output->error) {
        fail(output, failed, "its tracks cannot be put into a segment", error);
        return NULL;
    }
    return g_steal_pointer(&output);
}

LakeMediaOutput *
lake_media_output_open(const GPtrArray *tracks, const char *staging_dir, gint64 start_ticks,
    AVRational start_unit, gboolean is_first, GError **error)
{
    g_autoptr(GError) refused = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(containers); i++) {
        const AVOutputFormat *muxer = av_guess_format(containers[i].muxer, NULL, NULL);
        if (!muxer || !fits(i, muxer, tracks))
            continue;
        g_clear_error(&refused);
        lake_media_log_clear();
        LakeMediaOutput *output = try_container(muxer, tracks, staging_dir, is_first, &refused);
        if (output) {
            output->start_ticks = start_ticks;
            output->start_unit = start_unit;
            return output;
        }
    }
    g_propagate_error(error, g_steal_pointer(&refused));
    return NULL;
}

/* Two ticks of the file can be one of the segment's. */
static void
keep_rising(LakeMediaOutput *output, guint track)
{
    AVPacket *packet = output->packet;
    gint64 *last = &output->last_dts[track];

    if (*last != AV_NOPTS_VALUE && packet->dts <= *last)
        packet->dts = *last + 1;
    packet->pts = MAX(packet->pts, packet->dts);
    *last = packet->dts;
}

gboolean
lake_media_output_write(
    LakeMediaOutput *output, guint track, const AVPacket *packet, GError **error)
{
    const LakeMediaTrack *from = output->tracks->pdata[track];
    const AVStream *stream = output->format->streams[track];
    gint64 start = av_rescale_q(output->start_ticks, output->start_unit, from->unit);
    AVPacket *copy = output->packet;

    lake_media_log_clear();
    if (av_packet_ref(copy, packet) < 0)
        g_error("no memory");
    copy->stream_index = (int)track;
    copy->pos = -1;
    copy->pts -= start;
    copy->dts -= start;
    av_packet_rescale_ts(copy, from->unit, stream->time_base);
    keep_rising(output, track);

    int failed = av_write_frame(output->format, copy);
    av_packet_unref(copy);
    if (failed < 0 || output->error)
        return fail(output, failed, "a frame cannot be put into a segment", error);
    return TRUE;
}

LakeSpool *
lake_media_output_finish(LakeMediaOutput *output, GError **error)
{
    lake_media_log_clear();
    int failed = av_write_trailer(output->format);

    if (failed >= 0)
        avio_flush(output->format->pb);
    if (failed < 0 || output->error) {
        fail(output, failed, "a segment cannot be completed", error);
        return NULL;
    }
    return lake_spool_ref(output->spool);
}
