/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/subtitles.h"

#include "core/ingest/media/log.h"

#include <libavcodec/avcodec.h>
#include <string.h>

#define TEXT_MAX_BYTES (16 * 1024 * 1024)
#define EVENTS_MAX 1000000

typedef struct {
    double start; /* seconds from the file's start */
    guint number; /* in the order of the file */
    char *text;
} Event;

struct LakeMediaSubtitles {
    GArray *events; /* of Event, by start */
    guint n_taken;
    gsize n_bytes;
};

static void
clear_event(gpointer data)
{
    g_free(((Event *)data)->text);
}

void
lake_media_subtitles_free(LakeMediaSubtitles *subtitles)
{
    if (!subtitles)
        return;
    g_array_unref(subtitles->events);
    g_free(subtitles);
}

/* Skips fields that end in commas. */
static const char *
skip_fields(const char *at, guint n_fields)
{
    for (; at && n_fields > 0; n_fields--) {
        at = strchr(at, ',');
        at = at ? at + 1 : NULL;
    }
    return at;
}

/* Appends the text of one line of ASS: "ReadOrder,Layer,Style,Name,MarginL,MarginR,MarginV,
 * Effect,Text", which is what every decoder of text subtitles makes of them. */
static void
append_plain(GString *text, const char *dialogue)
{
    const char *at = skip_fields(dialogue, 8);

    while (at && *at) {
        const char *closing = *at == '{' ? strchr(at, '}') : NULL;
        if (closing) {
            at = closing + 1;
        } else if (at[0] == '\\' && (at[1] == 'N' || at[1] == 'n')) {
            g_string_append_c(text, '\n');
            at += 2;
        } else if (at[0] == '\\' && at[1] == 'h') {
            g_string_append_c(text, ' ');
            at += 2;
        } else {
            if (*at != '\r')
                g_string_append_c(text, *at);
            at++;
        }
    }
}

/* Valid UTF-8 without blank lines at either end; NULL when nothing is left. */
static char *
clean(GString *text)
{
    g_autofree char *converted = NULL;

    g_strstrip(text->str);
    if (!*text->str)
        return NULL;
    if (g_utf8_validate(text->str, -1, NULL))
        return g_strdup(text->str);
    converted = g_convert(text->str, -1, "UTF-8", "WINDOWS-1252", NULL, NULL, NULL);
    return converted ? g_steal_pointer(&converted) : g_utf8_make_valid(text->str, -1);
}

static char *
decode(AVCodecContext *decoder, AVPacket *packet)
{
    g_autoptr(GString) text = g_string_new(NULL);
    AVSubtitle subtitle = {0};
    int has_text = 0;

    if (avcodec_decode_subtitle2(decoder, &subtitle, &has_text, packet) < 0 || !has_text)
        return NULL;
    for (guint i = 0; i < subtitle.num_rects; i++) {
        const AVSubtitleRect *rectangle = subtitle.rects[i];
        if (text->len > 0)
            g_string_append_c(text, '\n');
        if (rectangle->ass)
            append_plain(text, rectangle->ass);
        else if (rectangle->text)
            g_string_append(text, rectangle->text);
    }
    avsubtitle_free(&subtitle);
    return clean(text);
}

/* FALSE: no more is taken. */
static gboolean
add_event(LakeMediaSubtitles *subtitles, double start, char *text)
{
    Event event = {start, subtitles->events->len, text};

    subtitles->n_bytes += strlen(text);
    g_array_append_val(subtitles->events, event);
    return subtitles->n_bytes <= TEXT_MAX_BYTES && subtitles->events->len < EVENTS_MAX;
}

static gint
compare_events(gconstpointer a, gconstpointer b)
{
    const Event *first = a;
    const Event *second = b;

    if (first->start != second->start)
        return first->start < second->start ? -1 : 1;
    return first->number < second->number ? -1 : first->number > second->number;
}

static gboolean
is_text(const AVStream *stream)
{
    const AVCodecDescriptor *codec = avcodec_descriptor_get(stream->codecpar->codec_id);

    return stream->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE && codec &&
           codec->props & AV_CODEC_PROP_TEXT_SUB && avcodec_find_decoder(codec->id);
}

/* The index of the track, or -1. */
static int
find_track(LakeMediaSource *source)
{
    const AVFormatContext *format = source->input->format;
    const AVStream *other = NULL;
    int first = -1;

    for (int i = 0; i < (int)format->nb_streams; i++) {
        const AVStream *stream = format->streams[i];
        if (stream->codecpar->codec_type == AVMEDIA_TYPE_SUBTITLE && !is_text(stream))
            other = stream;
        if (!is_text(stream))
            continue;
        if (stream->disposition & AV_DISPOSITION_DEFAULT)
            return i;
        if (first < 0)
            first = i;
    }
    if (first < 0 && other)
        g_ptr_array_add(source->notes,
            g_strdup_printf("subtitle track %d (%s) is pictures, so there is no text of it",
                other->index + 1, avcodec_get_name(other->codecpar->codec_id)));
    return first;
}

static AVCodecContext *
open_decoder(const AVStream *stream)
{
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    AVCodecContext *decoder = avcodec_alloc_context3(codec);

    if (!decoder)
        return NULL;
    decoder->pkt_timebase = stream->time_base;
    /* Old files are in other encodings: looked at afterwards. */
    decoder->sub_charenc_mode = FF_SUB_CHARENC_MODE_IGNORE;
    if (avcodec_parameters_to_context(decoder, stream->codecpar) < 0 ||
        avcodec_open2(decoder, codec, NULL) < 0)
        avcodec_free_context(&decoder);
    return decoder;
}

static gboolean
read_events(LakeMediaSubtitles *subtitles, LakeMediaSource *source, LakeMediaInput *input,
    AVCodecContext *decoder, GError **error)
{
    AVPacket *packet = av_packet_alloc();
    gboolean is_done = FALSE;
    gboolean is_good = TRUE;

    while (is_good && !is_done) {
        is_good = lake_media_input_read(input, packet, &is_done, error);
        if (!is_good || is_done)
            break;
        const AVStream *stream = input->format->streams[packet->stream_index];
        gboolean is_ours = stream->discard != AVDISCARD_ALL && packet->pts != AV_NOPTS_VALUE;
        char *text = is_ours ? decode(decoder, packet) : NULL;
        double start = lake_media_source_seconds(source, packet->pts, stream->time_base);
        if (text && !add_event(subtitles, start, text)) {
            g_ptr_array_add(source->notes,
                g_strdup_printf(
                    "subtitles after %.1f s are left out: they are too long", start));
            is_done = TRUE;
        }
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return is_good;
}

LakeMediaSubtitles *
lake_media_subtitles_read(LakeMediaSource *source, GCancellable *cancellable, GError **error)
{
    g_autoptr(LakeMediaSubtitles) subtitles = g_new0(LakeMediaSubtitles, 1);
    int found = find_track(source);

    subtitles->events = g_array_new(FALSE, FALSE, sizeof(Event));
    g_array_set_clear_func(subtitles->events, clear_event);
    if (found < 0)
        return g_steal_pointer(&subtitles);

    g_autoptr(LakeMediaInput) input = lake_media_input_open(
        source->input->content, source->input->container, cancellable, error);
    if (!input)
        return NULL;
    for (int i = 0; i < (int)input->format->nb_streams; i++)
        if (i != found)
            input->format->streams[i]->discard = AVDISCARD_ALL;

    AVCodecContext *decoder = found < (int)input->format->nb_streams
                                  ? open_decoder(input->format->streams[found])
                                  : NULL;
    gboolean is_good = !decoder || read_events(subtitles, source, input, decoder, error);
    avcodec_free_context(&decoder);
    if (!is_good)
        return NULL;
    g_array_sort(subtitles->events, compare_events);
    return g_steal_pointer(&subtitles);
}

char *
lake_media_subtitles_take(LakeMediaSubtitles *subtitles, double end)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (; subtitles->n_taken < subtitles->events->len; subtitles->n_taken++) {
        Event *event = &g_array_index(subtitles->events, Event, subtitles->n_taken);
        if (event->start >= end)
            break;
        if (text->len > 0)
            g_string_append_c(text, '\n');
        g_string_append(text, event->text);
        g_clear_pointer(&event->text, g_free);
    }
    return text->len > 0 ? g_strdup(text->str) : NULL;
}
