/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/input.h"

#include "core/ingest/media/log.h"

#define BUFFER_BYTES (64 * 1024)
/* A demuxer that goes back and forth over the file is stopped at some point. */
#define READ_AGAIN_MAX 64
#define READ_MAX_BYTES ((gint64)1024 * 1024 * 1024)
#define N_STREAMS_MAX "200"
/* A track that begins late is looked into, too: without its first frames nothing is known of
 * the order in which they are shown. The bytes are the bound. */
#define PROBE_BYTES (8 * 1024 * 1024)
#define PROBE_TIME_MAX (3600 * (int64_t)AV_TIME_BASE)

static int
stop_reading(LakeMediaInput *input)
{
    if (!input->error && g_cancellable_is_cancelled(input->cancellable))
        lake_error_set(
            &input->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
    return input->error != NULL;
}

static int
is_interrupted(void *opaque)
{
    return stop_reading(opaque);
}

static int
read_content(void *opaque, uint8_t *buffer, int n_bytes)
{
    LakeMediaInput *input = opaque;
    gint64 most = READ_MAX_BYTES + READ_AGAIN_MAX * lake_spool_size(input->content);

    if (stop_reading(input))
        return AVERROR_EXIT;
    if (input->n_read > most) {
        lake_error_set(&input->error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
            "its structure makes a reader go over it again and again");
        lake_error_hint(input->error, "remux it: ffmpeg -i old -c copy new");
        return AVERROR_EXIT;
    }

    gssize n =
        lake_spool_read(input->content, input->position, buffer, (gsize)n_bytes, &input->error);
    if (n < 0)
        return AVERROR_EXIT;
    input->position += n;
    input->n_read += n;
    return n == 0 ? AVERROR_EOF : (int)n;
}

static int64_t
seek_content(void *opaque, int64_t offset, int whence)
{
    LakeMediaInput *input = opaque;
    gint64 size_bytes = lake_spool_size(input->content);

    if (whence == AVSEEK_SIZE)
        return size_bytes;
    whence &= ~AVSEEK_FORCE;
    gint64 from = whence == SEEK_CUR ? input->position : whence == SEEK_END ? size_bytes : 0;
    if (offset < -from || offset > G_MAXINT64 - from)
        return AVERROR(EINVAL);
    input->position = from + offset;
    return input->position;
}

/* A container may name other files; none of them is opened. */
static int
refuse_to_open(struct AVFormatContext *format, AVIOContext **ret_io, const char *url, int flags,
    AVDictionary **options)
{
    return AVERROR(EPERM);
}

static void
free_io(AVIOContext *io)
{
    if (!io)
        return;
    av_freep(&io->buffer);
    avio_context_free(&io);
}

void
lake_media_input_close(LakeMediaInput *input)
{
    if (!input)
        return;

    AVIOContext *io = input->format ? input->format->pb : NULL;
    avformat_close_input(&input->format);
    free_io(io);
    g_clear_error(&input->error);
    g_free(input);
}

static const char *
demuxer_name(LakeMediaContainer container)
{
    switch (container) {
    case LAKE_MEDIA_MP4:
        return "mov,mp4,m4a,3gp,3g2,mj2";
    case LAKE_MEDIA_MATROSKA:
        return "matroska,webm";
    case LAKE_MEDIA_AVI:
        return "avi";
    case LAKE_MEDIA_UNKNOWN:
        break;
    }
    return "";
}

void
lake_media_input_fail(LakeMediaInput *input, int av_error, const char *act, GError **error)
{
    if (input->error) {
        g_propagate_error(error, g_error_copy(input->error));
        return;
    }
    lake_media_log_error(error, LAKE_ERROR_BAD_INPUT, av_error, "%s", act);
    if (error)
        lake_error_hint(*error, "see whether it plays; ffmpeg -i old -c copy new repairs some "
                                "damage");
}

static AVFormatContext *
new_format(LakeMediaInput *input)
{
    AVFormatContext *format = avformat_alloc_context();
    uint8_t *buffer = av_malloc(BUFFER_BYTES);

    if (!format || !buffer)
        g_error("no memory");
    format->pb =
        avio_alloc_context(buffer, BUFFER_BYTES, 0, input, read_content, NULL, seek_content);
    if (!format->pb)
        g_error("no memory");
    format->flags |= AVFMT_FLAG_CUSTOM_IO;
    format->io_open = refuse_to_open;
    format->interrupt_callback = (AVIOInterruptCB){is_interrupted, input};
    format->probesize = PROBE_BYTES;
    format->max_analyze_duration = PROBE_TIME_MAX;
    return format;
}

LakeMediaInput *
lake_media_input_open(
    LakeSpool *content, LakeMediaContainer container, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeMediaInput) input = g_new0(LakeMediaInput, 1);
    const char *names = demuxer_name(container);
    g_auto(GStrv) each = g_strsplit(names, ",", 2);
    AVDictionary *options = NULL;

    lake_media_log_init();
    lake_media_log_clear();
    input->content = content;
    input->container = container;
    input->cancellable = cancellable;
    AVFormatContext *format = new_format(input);
    AVIOContext *io = format->pb;
    av_dict_set(&options, "format_whitelist", names, 0);
    av_dict_set(&options, "protocol_whitelist", "", 0);
    av_dict_set(&options, "max_streams", N_STREAMS_MAX, 0);
    int failed = avformat_open_input(&format, "", av_find_input_format(each[0]), &options);
    av_dict_free(&options);
    if (failed < 0) {
        free_io(io);
        lake_media_input_fail(input, failed, "the file's header cannot be read", error);
        return NULL;
    }
    input->format = format;
    return g_steal_pointer(&input);
}

/* "at byte 5120 (12.5 s)": where a packet was. */
static char *
describe_place(LakeMediaInput *input, const AVPacket *packet)
{
    gint64 at = packet->pos >= 0 ? packet->pos : avio_tell(input->format->pb);
    gint64 ticks = packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts;
    AVRational unit = {0, 1};

    if (packet->stream_index >= 0 && packet->stream_index < (int)input->format->nb_streams)
        unit = input->format->streams[packet->stream_index]->time_base;
    if (ticks == AV_NOPTS_VALUE || unit.num == 0)
        return g_strdup_printf("at byte %" G_GINT64_FORMAT, at);
    return g_strdup_printf(
        "at byte %" G_GINT64_FORMAT " (%.2f s)", at, (double)ticks * av_q2d(unit));
}

gboolean
lake_media_input_read(
    LakeMediaInput *input, AVPacket *packet, gboolean *ret_done, GError **error)
{
    lake_media_log_clear();
    int failed = av_read_frame(input->format, packet);

    *ret_done = failed == AVERROR_EOF && !input->error;
    if (*ret_done)
        return TRUE;
    if (failed >= 0 && !(packet->flags & AV_PKT_FLAG_CORRUPT))
        return TRUE;

    g_autofree char *place = describe_place(input, packet);
    g_autofree char *act = g_strdup_printf("the file is damaged or cut off %s", place);
    if (failed >= 0 && !*lake_media_log_last())
        failed = AVERROR_INVALIDDATA;
    lake_media_input_fail(input, failed, act, error);
    av_packet_unref(packet);
    return FALSE;
}
