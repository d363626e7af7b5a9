/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/still.h"

#include "core/ingest/media/log.h"

#include <libavcodec/avcodec.h>
#include <libavutil/display.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <string.h>

/* Where the key frame alone gives no picture, the next ones may. */
#define KEPT_MAX_PACKETS 16
#define KEPT_MAX_BYTES (4 * 1024 * 1024)
#define PIXELS_MAX (8192 * 8192)
#define PIXELS_LEAST 2 /* of the shorter side */
#define DRAW_MAX_US (10 * G_USEC_PER_SEC)
/* The quantiser of MPEG, 1 to 31, that comes nearest to what others call quality 80. */
#define JPEG_QUANTISER 3

struct LakeMediaStill {
    AVCodecParameters *parameters;
    GPtrArray *packets; /* of AVPacket */
    gsize n_bytes;
    AVRational unit;
    AVRational aspect; /* of a sample; 0: the frame says it */
    gint32 matrix[9];  /* as av_display_rotation_get() takes it */
    gboolean has_matrix;
};

static void
free_packet(gpointer packet)
{
    AVPacket *owned = packet;

    av_packet_free(&owned);
}

LakeMediaStill *
lake_media_still_new(const LakeMediaTrack *track)
{
    LakeMediaStill *still = g_new0(LakeMediaStill, 1);
    size_t n_bytes = 0;
    const uint8_t *matrix =
        av_stream_get_side_data(track->stream, AV_PKT_DATA_DISPLAYMATRIX, &n_bytes);

    still->parameters = avcodec_parameters_alloc();
    if (!still->parameters || avcodec_parameters_copy(still->parameters, track->parameters) < 0)
        g_error("no memory");
    still->packets = g_ptr_array_new_with_free_func(free_packet);
    still->unit = track->unit;
    still->aspect = av_guess_sample_aspect_ratio(NULL, track->stream, NULL);
    still->has_matrix = matrix && n_bytes >= sizeof still->matrix;
    if (still->has_matrix)
        memcpy(still->matrix, matrix, sizeof still->matrix);
    return still;
}

void
lake_media_still_free(LakeMediaStill *still)
{
    if (!still)
        return;
    avcodec_parameters_free(&still->parameters);
    g_ptr_array_unref(still->packets);
    g_free(still);
}

void
lake_media_still_add(LakeMediaStill *still, const AVPacket *packet)
{
    gboolean is_first = still->packets->len == 0;

    if (!is_first && (still->packets->len >= KEPT_MAX_PACKETS ||
                         still->n_bytes + (gsize)packet->size > KEPT_MAX_BYTES))
        return;
    AVPacket *kept = av_packet_clone(packet);
    if (!kept)
        g_error("no memory");
    /* A frame that players pass over on their way to the first one is better than none. */
    kept->flags &= ~AV_PKT_FLAG_DISCARD;
    g_ptr_array_add(still->packets, kept);
    still->n_bytes += (gsize)packet->size;
}

static void
free_decoder(AVCodecContext *decoder)
{
    avcodec_free_context(&decoder);
}

static void
free_frame(AVFrame *frame)
{
    av_frame_free(&frame);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(AVCodecContext, free_decoder)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AVFrame, free_frame)

static AVCodecContext *
open_decoder(const LakeMediaStill *still, char **ret_reason)
{
    const AVCodec *codec = avcodec_find_decoder(still->parameters->codec_id);
    g_autoptr(AVCodecContext) decoder = codec ? avcodec_alloc_context3(codec) : NULL;

    if (!decoder) {
        *ret_reason = g_strdup_printf(
            "there is no decoder for %s", avcodec_get_name(still->parameters->codec_id));
        return NULL;
    }
    if (avcodec_parameters_to_context(decoder, still->parameters) < 0) {
        *ret_reason = g_strdup("its parameters are damaged");
        return NULL;
    }
    decoder->thread_count = 1;
    decoder->max_pixels = PIXELS_MAX;
    decoder->pkt_timebase = still->unit;
    if (avcodec_open2(decoder, codec, NULL) < 0) {
        *ret_reason = g_strdup_printf("its decoder does not start: %s", lake_media_log_last());
        return NULL;
    }
    return g_steal_pointer(&decoder);
}

static gboolean
is_too_late(gint64 deadline_us, GCancellable *cancellable)
{
    return g_get_monotonic_time() > deadline_us || g_cancellable_is_cancelled(cancellable);
}

/* The first frame of the first n_packets, or NULL. */
static AVFrame *
decode(const LakeMediaStill *still, guint n_packets, gint64 deadline_us,
    GCancellable *cancellable, char **ret_reason)
{
    g_autoptr(AVCodecContext) decoder = open_decoder(still, ret_reason);
    g_autoptr(AVFrame) frame = av_frame_alloc();

    if (!decoder || !frame)
        return NULL;
    /* One round more: without a packet the decoder gives what it holds back. */
    for (guint i = 0; i <= n_packets && !is_too_late(deadline_us, cancellable); i++) {
        const AVPacket *packet = i < n_packets ? still->packets->pdata[i] : NULL;
        int sent = avcodec_send_packet(decoder, packet);
        int received = avcodec_receive_frame(decoder, frame);
        if (received >= 0 && frame->width > 0 && frame->height > 0)
            return g_steal_pointer(&frame);
        if (sent == AVERROR_EOF)
            break;
    }
    *ret_reason = g_strdup_printf("no frame could be decoded%s%s",
        *lake_media_log_last() ? ": " : "", lake_media_log_last());
    return NULL;
}

static AVFrame *
new_picture(int width, int height)
{
    g_autoptr(AVFrame) picture = av_frame_alloc();

    if (!picture)
        return NULL;
    /* What JFIF wants: full range, chroma halved both ways. */
    picture->format = AV_PIX_FMT_YUVJ420P;
    picture->width = width;
    picture->height = height;
    picture->color_range = AVCOL_RANGE_JPEG;
    picture->colorspace = AVCOL_SPC_BT470BG;
    picture->sample_aspect_ratio = (AVRational){1, 1};
    return av_frame_get_buffer(picture, 0) < 0 ? NULL : g_steal_pointer(&picture);
}

/* The size of the thumbnail before it is turned upright. */
static void
choose_size(const LakeMediaStill *still, const AVFrame *frame, int *ret_width, int *ret_height)
{
    AVRational aspect = still->aspect.num > 0 ? still->aspect : frame->sample_aspect_ratio;
    double width = frame->width;
    double height = frame->height;

    if (aspect.num > 0 && aspect.den > 0)
        width *= av_q2d(aspect);
    double scale = LAKE_MEDIA_THUMBNAIL_PIXELS / MAX(width, height);
    *ret_width = CLAMP((int)lround(width * scale), PIXELS_LEAST, LAKE_MEDIA_THUMBNAIL_PIXELS);
    *ret_height = CLAMP((int)lround(height * scale), PIXELS_LEAST, LAKE_MEDIA_THUMBNAIL_PIXELS);
}

static int
matrix_of(const AVFrame *frame)
{
    if (frame->colorspace != AVCOL_SPC_UNSPECIFIED && frame->colorspace != AVCOL_SPC_RESERVED)
        return (int)frame->colorspace;
    /* What players assume where nothing is said. */
    return frame->height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601;
}

static gboolean
is_full_range(const AVFrame *frame)
{
    const AVPixFmtDescriptor *format = av_pix_fmt_desc_get(frame->format);

    return frame->color_range == AVCOL_RANGE_JPEG ||
           (format && g_str_has_prefix(format->name, "yuvj"));
}

static void
free_scaler(struct SwsContext *scaler)
{
    sws_freeContext(scaler);
}

typedef struct SwsContext Scaler;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scaler, free_scaler)

static AVFrame *
scale(const LakeMediaStill *still, const AVFrame *frame, char **ret_reason)
{
    int width, height;

    choose_size(still, frame, &width, &height);
    g_autoptr(AVFrame) picture = new_picture(width, height);
    gboolean is_smaller = width <= frame->width && height <= frame->height;
    int method = (is_smaller ? SWS_AREA : SWS_BICUBIC) | SWS_ACCURATE_RND | SWS_BITEXACT;
    g_autoptr(Scaler) scaler =
        picture ? sws_getContext(frame->width, frame->height, frame->format, width, height,
                      picture->format, method, NULL, NULL, NULL)
                : NULL;
    if (!scaler) {
        *ret_reason = g_strdup_printf("its pixels cannot be converted: %s",
            av_get_pix_fmt_name(frame->format) ? av_get_pix_fmt_name(frame->format) : "?");
        return NULL;
    }

    sws_setColorspaceDetails(scaler, sws_getCoefficients(matrix_of(frame)),
        is_full_range(frame), sws_getCoefficients(SWS_CS_ITU601), 1, 0, 1 << 16, 1 << 16);
    int n_lines = sws_scale(scaler, (const uint8_t *const *)frame->data, frame->linesize, 0,
        frame->height, picture->data, picture->linesize);
    if (n_lines <= 0) {
        *ret_reason = g_strdup("its pixels cannot be scaled");
        return NULL;
    }
    return g_steal_pointer(&picture);
}

/* One plane: each pixel of `to` comes from where the matrix has it in `from`. */
static void
turn_plane(const guint8 *from, int from_stride, guint8 *to, int to_stride, int width,
    int height, const gint32 *matrix, gboolean is_across)
{
    gboolean is_mirrored = (is_across ? matrix[3] : matrix[0]) < 0;
    gboolean is_upside_down = (is_across ? matrix[1] : matrix[4]) < 0;

    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int column = is_mirrored ? width - 1 - x : x;
            int line = is_upside_down ? height - 1 - y : y;
            to[y * to_stride + x] = is_across ? from[column * from_stride + line]
                                              : from[line * from_stride + column];
        }
}

/* The picture turned as the file asks for, by the nearest quarter, and mirrored. A point (x, y)
 * is shown at (a x + c y, b x + d y); the matrix is a b u, c d v, … */
static AVFrame *
turn(const LakeMediaStill *still, AVFrame *picture)
{
    const gint32 *matrix = still->matrix;
    gboolean is_across = still->has_matrix && ABS((gint64)matrix[1]) > ABS((gint64)matrix[0]);

    if (!still->has_matrix || (!is_across && matrix[0] >= 0 && matrix[4] >= 0))
        return av_frame_clone(picture);

    AVFrame *turned = is_across ? new_picture(picture->height, picture->width)
                                : new_picture(picture->width, picture->height);
    for (int i = 0; turned && i < 3; i++) {
        int halved = i > 0;
        turn_plane(picture->data[i], picture->linesize[i], turned->data[i], turned->linesize[i],
            (turned->width + halved) >> halved, (turned->height + halved) >> halved, matrix,
            is_across);
    }
    return turned;
}

static GBytes *
encode(const AVFrame *picture, char **ret_reason)
{
    const AVCodec *codec = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    g_autoptr(AVCodecContext) encoder = codec ? avcodec_alloc_context3(codec) : NULL;
    AVPacket *packet = av_packet_alloc();
    GBytes *jpeg = NULL;

    if (encoder && packet) {
        encoder->width = picture->width;
        encoder->height = picture->height;
        encoder->pix_fmt = picture->format;
        encoder->color_range = picture->color_range;
        encoder->time_base = (AVRational){1, 25};
        encoder->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
        encoder->global_quality = FF_QP2LAMBDA * JPEG_QUANTISER;
        encoder->thread_count = 1;
        if (avcodec_open2(encoder, codec, NULL) >= 0 &&
            avcodec_send_frame(encoder, picture) >= 0 &&
            avcodec_receive_packet(encoder, packet) >= 0)
            jpeg = g_bytes_new(packet->data, (gsize)packet->size);
    }
    av_packet_free(&packet);
    if (!jpeg)
        *ret_reason = g_strdup_printf("it cannot be made a JPEG: %s", lake_media_log_last());
    return jpeg;
}

GBytes *
lake_media_still_draw(const LakeMediaStill *still, GCancellable *cancellable, char **ret_reason)
{
    gint64 deadline_us = g_get_monotonic_time() + DRAW_MAX_US;
    guint n_packets = still->packets->len;

    *ret_reason = NULL;
    lake_media_log_clear();
    g_autoptr(AVFrame) frame =
        decode(still, MIN(n_packets, 1), deadline_us, cancellable, ret_reason);
    if (!frame && n_packets > 1) {
        g_clear_pointer(ret_reason, g_free);
        frame = decode(still, n_packets, deadline_us, cancellable, ret_reason);
    }
    g_autoptr(AVFrame) picture = frame ? scale(still, frame, ret_reason) : NULL;
    if (!picture)
        return NULL;

    g_clear_pointer(ret_reason, g_free);
    g_autoptr(AVFrame) upright = turn(still, picture);
    if (upright)
        upright->quality = FF_QP2LAMBDA * JPEG_QUANTISER;
    return upright ? encode(upright, ret_reason) : NULL;
}
