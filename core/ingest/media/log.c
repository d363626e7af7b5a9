/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/log.h"

#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <string.h>

#define TEXT_BYTES 256
/* No table or frame of an honest file is larger: a frame of the most pixels that are decoded
 * has 16 bits, four planes, and 512 MiB. */
#define ALLOCATION_MAX_BYTES ((size_t)640 * 1024 * 1024)

static GPrivate last_text = G_PRIVATE_INIT(g_free);

static char *
text_of_thread(void)
{
    char *text = g_private_get(&last_text);

    if (!text) {
        text = g_malloc0(TEXT_BYTES);
        g_private_set(&last_text, text);
    }
    return text;
}

static void G_GNUC_PRINTF(3, 0)
    keep_text(void *context, int level, const char *format, va_list arguments)
{
    if (level > AV_LOG_ERROR)
        return;

    char text[TEXT_BYTES];
    g_vsnprintf(text, sizeof text, format, arguments);
    g_strstrip(text);
    if (!*text)
        return;

    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_strdelimit(valid, "\r\n\t", ' ');
    g_strlcpy(text_of_thread(), valid, TEXT_BYTES);

    /* Made valid it is longer, and may have been cut inside a character. */
    const char *end;
    if (!g_utf8_validate(text_of_thread(), -1, &end))
        text_of_thread()[end - text_of_thread()] = '\0';
}

void
lake_media_log_init(void)
{
    static gsize is_done = 0;

    if (!g_once_init_enter(&is_done))
        return;
    av_log_set_callback(keep_text);
    av_max_alloc(ALLOCATION_MAX_BYTES);
    g_once_init_leave(&is_done, 1);
}

void
lake_media_log_clear(void)
{
    text_of_thread()[0] = '\0';
}

const char *
lake_media_log_last(void)
{
    return text_of_thread();
}

void
lake_media_log_error(GError **error, LakeErrorCode code, int av_error, const char *format, ...)
{
    char meaning[AV_ERROR_MAX_STRING_SIZE] = "";
    const char *said = lake_media_log_last();
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);

    if (!*said && av_strerror(av_error, meaning, sizeof meaning) < 0)
        g_snprintf(meaning, sizeof meaning, "error %d", av_error);
    lake_error_set(
        error, LAKE_ERROR_CLASS_INGEST, code, "%s: %s", message, *said ? said : meaning);
}
