/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/reorder.h"

#include <libavcodec/avcodec.h>

struct LakeMediaReorder {
    AVCodecParserContext *parser;
    AVCodecContext *codec; /* what the parser keeps its state in */
    gint64 n_refreshes;
    gint64 before[LAKE_MEDIA_REORDER_MAX]; /* places of the last settled packets, a ring */
    guint n_settled;
    gint64 delay; /* frames that the decoder holds back */
};

LakeMediaReorder *
lake_media_reorder_new(const AVStream *stream)
{
    enum AVCodecID id = stream->codecpar->codec_id;

    if (id != AV_CODEC_ID_H264 && id != AV_CODEC_ID_HEVC)
        return NULL;

    LakeMediaReorder *reorder = g_new0(LakeMediaReorder, 1);
    reorder->parser = av_parser_init((int)id);
    reorder->codec = avcodec_alloc_context3(NULL);
    reorder->delay = CLAMP(stream->codecpar->video_delay, 0, LAKE_MEDIA_REORDER_MAX);
    if (!reorder->parser || !reorder->codec ||
        avcodec_parameters_to_context(reorder->codec, stream->codecpar) < 0) {
        lake_media_reorder_free(reorder);
        return NULL;
    }
    reorder->parser->flags |= PARSER_FLAG_COMPLETE_FRAMES;
    return reorder;
}

void
lake_media_reorder_free(LakeMediaReorder *reorder)
{
    if (!reorder)
        return;
    if (reorder->parser)
        av_parser_close(reorder->parser);
    avcodec_free_context(&reorder->codec);
    g_free(reorder);
}

void
lake_media_reorder_look(LakeMediaReorder *reorder, AVPacket *packet)
{
    uint8_t *data;
    int n_bytes;

    av_parser_parse2(reorder->parser, reorder->codec, &data, &n_bytes, packet->data,
        packet->size, packet->pts, packet->dts, packet->pos);
    gint64 number = reorder->parser->output_picture_number;
    if (packet->flags & AV_PKT_FLAG_KEY && number == 0)
        reorder->n_refreshes++;
    packet->pos = (reorder->n_refreshes << 32) + number;
}

void
lake_media_reorder_settle(LakeMediaReorder *reorder, GList *link, gint64 duration)
{
    AVPacket *packet = link->data;
    guint n_before = MIN(reorder->n_settled, LAKE_MEDIA_REORDER_MAX);
    const GList *next = link->next;
    gint64 n_moved = 0;

    for (guint i = 0; i < LAKE_MEDIA_REORDER_MAX && next; i++, next = next->next)
        n_moved += ((const AVPacket *)next->data)->pos < packet->pos;
    for (guint i = 0; i < n_before; i++)
        n_moved -= reorder->before[i] > packet->pos;
    reorder->before[reorder->n_settled++ % LAKE_MEDIA_REORDER_MAX] = packet->pos;

    packet->pts = packet->dts + n_moved * duration;
    packet->dts -= reorder->delay * duration;
}
