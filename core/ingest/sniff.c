/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/sniff.h"

#include <string.h>

typedef struct {
    const char *name;
    const char *bytes;
    guint8 n_bytes;
    guint16 offset;
} Magic;

#define MAGIC(name, offset, bytes)                                                             \
    {                                                                                          \
        name, bytes, sizeof bytes - 1, offset                                                  \
    }

/* Fixed bytes at a fixed place; the first that fits. What is too short to mean anything in a
 * text stands in functions below. */
static const Magic magics[] = {
    MAGIC("a JPEG image", 0, "\xff\xd8\xff"),
    MAGIC("a PNG image", 0, "\x89PNG\r\n\x1a\n"),
    MAGIC("a GIF image", 0, "GIF87a"),
    MAGIC("a GIF image", 0, "GIF89a"),
    MAGIC("a TIFF image", 0, "II*\0"),
    MAGIC("a TIFF image", 0, "MM\0*"),
    MAGIC("a JPEG 2000 image", 0, "\0\0\0\x0cjP  \r\n\x87\n"),
    MAGIC("a JPEG 2000 image", 0, "\xff\x4f\xff\x51"),
    MAGIC("a JPEG XL image", 0, "\0\0\0\x0cJXL \r\n\x87\n"),
    MAGIC("a Photoshop image", 0, "8BPS"),
    MAGIC("an icon", 0, "\0\0\1\0"),
    MAGIC("a Matroska or WebM file", 0, "\x1a\x45\xdf\xa3"),
    MAGIC("a Flash video", 0, "FLV\1"),
    MAGIC("a Windows Media file", 0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    MAGIC("an MPEG video", 0, "\0\0\1\xba"),
    MAGIC("an MPEG video", 0, "\0\0\1\xb3"),
    MAGIC("an Ogg file", 0, "OggS"),
    MAGIC("a FLAC sound", 0, "fLaC"),
    MAGIC("an MP3 sound", 0, "ID3"),
    MAGIC("a ZIP archive", 0, "PK\3\4"),
    MAGIC("a ZIP archive", 0, "PK\5\6"),
    MAGIC("a gzip file", 0, "\x1f\x8b\x08"),
    MAGIC("a bzip2 file", 4, "1AY&SY"), /* pi, after "BZh" and a digit */
    MAGIC("an xz file", 0,
        "\xfd"
        "7zXZ\0"),
    MAGIC("a Zstandard file", 0, "\x28\xb5\x2f\xfd"),
    MAGIC("a 7-Zip archive", 0, "7z\xbc\xaf\x27\x1c"),
    MAGIC("a RAR archive", 0, "Rar!\x1a\x07"),
    MAGIC("a tar archive", 257, "ustar"),
    MAGIC("an Office document of the older kind", 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    MAGIC("an RTF document", 0, "{\\rtf"),
    MAGIC("a PostScript document", 0, "%!PS"),
    MAGIC("an SQLite database", 0, "SQLite format 3\0"),
    MAGIC("a program", 0,
        "\x7f"
        "ELF"),
};

/* How texts of some kinds begin, in small letters, after what is white. */
static const Magic openings[] = {
    MAGIC("HTML", 0, "<!doctype html"),
    MAGIC("HTML", 0, "<html"),
    MAGIC("HTML", 0, "<head"),
    MAGIC("HTML", 0, "<body"),
    MAGIC("an SVG drawing", 0, "<svg"),
    MAGIC("XML", 0, "<?xml"),
};

static gboolean
is_at(const guint8 *bytes, gsize n_bytes, gsize offset, const char *wanted, gsize n_wanted)
{
    return offset + n_wanted <= n_bytes && memcmp(bytes + offset, wanted, n_wanted) == 0;
}

static const char *
find_magic(const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < G_N_ELEMENTS(magics); i++)
        if (is_at(bytes, n_bytes, magics[i].offset, magics[i].bytes, magics[i].n_bytes))
            return magics[i].name;
    return NULL;
}

/* RIFF holds many formats, which its ninth byte begins to name. */
static const char *
find_riff(const guint8 *bytes, gsize n_bytes)
{
    if (!is_at(bytes, n_bytes, 0, "RIFF", 4))
        return NULL;
    if (is_at(bytes, n_bytes, 8, "WEBP", 4))
        return "a WebP image";
    if (is_at(bytes, n_bytes, 8, "AVI ", 4))
        return "an AVI file";
    if (is_at(bytes, n_bytes, 8, "WAVE", 4))
        return "a WAV sound";
    return NULL;
}

/* Files of boxes, each with its length and then its name (ISO/IEC 14496-12). Old QuickTime
 * files begin with any box. */
static const char *
find_boxes(const guint8 *bytes, gsize n_bytes)
{
    static const char *const boxes[] = {"moov", "mdat", "wide", "free", "skip", "pnot"};

    if (is_at(bytes, n_bytes, 4, "ftyp", 4)) {
        if (is_at(bytes, n_bytes, 8, "avif", 4) || is_at(bytes, n_bytes, 8, "avis", 4))
            return "an AVIF image";
        if (is_at(bytes, n_bytes, 8, "hei", 3) || is_at(bytes, n_bytes, 8, "hev", 3) ||
            is_at(bytes, n_bytes, 8, "mif1", 4) || is_at(bytes, n_bytes, 8, "msf1", 4))
            return "a HEIF image";
        return "an MP4 or QuickTime file";
    }
    for (gsize i = 0; i < G_N_ELEMENTS(boxes); i++)
        if (is_at(bytes, n_bytes, 4, boxes[i], 4) && bytes[0] < 0x20)
            return "an MP4 or QuickTime file";
    return NULL;
}

/* "BM" begins many a text; the size of the second header, at byte 14, does not. */
static const char *
find_bmp(const guint8 *bytes, gsize n_bytes)
{
    if (is_at(bytes, n_bytes, 0, "BM", 2) && n_bytes >= 18 && bytes[14] >= 12 &&
        bytes[14] <= 124 && bytes[15] == 0 && bytes[16] == 0 && bytes[17] == 0)
        return "a BMP image";
    return NULL;
}

/* A transport stream has packets of 188 bytes that begin with 0x47. */
static const char *
find_transport_stream(const guint8 *bytes, gsize n_bytes)
{
    for (gsize i = 0; i < 4; i++)
        if (!is_at(bytes, n_bytes, i * 188, "\x47", 1))
            return NULL;
    return "an MPEG transport stream";
}

/* Readers find a PDF's header anywhere in the first 1024 bytes. */
static const char *
find_pdf(const guint8 *bytes, gsize n_bytes)
{
    return g_strstr_len((const char *)bytes, (gssize)n_bytes, "%PDF-") ? "a PDF document"
                                                                       : NULL;
}

static gboolean
is_zeros(const guint8 *bytes, gsize n_bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, n_bytes - 1) == 0;
}

/* UTF-8, or what was cut in the middle of a character, without control characters. */
static gboolean
is_text(const guint8 *bytes, gsize n_bytes)
{
    const char *end;

    for (gsize i = 0; i < n_bytes; i++)
        if (bytes[i] < ' ' && !memchr("\t\n\f\r\x1b", bytes[i], 5))
            return FALSE;
    return g_utf8_validate_len((const char *)bytes, n_bytes, &end) ||
           (end + 4 > (const char *)bytes + n_bytes &&
               g_utf8_get_char_validated(end, (const char *)bytes + n_bytes - end) ==
                   (gunichar)-2);
}

static const char *
find_text(const guint8 *bytes, gsize n_bytes)
{
    gsize start = is_at(bytes, n_bytes, 0, "\xef\xbb\xbf", 3) ? 3 : 0;

    while (start < n_bytes && g_ascii_isspace(bytes[start]))
        start++;
    for (gsize i = 0; i < G_N_ELEMENTS(openings); i++)
        if (openings[i].n_bytes <= n_bytes - start &&
            g_ascii_strncasecmp(
                (const char *)bytes + start, openings[i].bytes, openings[i].n_bytes) == 0)
            return openings[i].name;
    if (is_text(bytes, n_bytes) || is_at(bytes, n_bytes, 0, "\xff\xfe", 2) ||
        is_at(bytes, n_bytes, 0, "\xfe\xff", 2))
        return "text";
    return NULL;
}

const char *
lake_ingest_sniff(const void *bytes, gsize n_bytes)
{
    static const char *(*const finders[])(const guint8 *, gsize) = {find_magic, find_riff,
        find_boxes, find_bmp, find_transport_stream, find_pdf, find_text};

    if (n_bytes == 0)
        return "an empty file";
    n_bytes = MIN(n_bytes, LAKE_INGEST_SNIFF_BYTES);
    if (is_zeros(bytes, n_bytes))
        return "zeros";

    for (gsize i = 0; i < G_N_ELEMENTS(finders); i++) {
        const char *found = finders[i](bytes, n_bytes);
        if (found)
            return found;
    }
    return NULL;
}

/* Of what lake_ingest_sniff says; what has several is decided below. */
static const struct {
    const char *name, *extension;
} extensions[] = {
    {"a JPEG image", "jpg"},
    {"a PNG image", "png"},
    {"a GIF image", "gif"},
    {"a TIFF image", "tiff"},
    {"a JPEG 2000 image", "jp2"},
    {"a JPEG XL image", "jxl"},
    {"a Photoshop image", "psd"},
    {"an icon", "ico"},
    {"a WebP image", "webp"},
    {"an AVIF image", "avif"},
    {"a HEIF image", "heic"},
    {"a BMP image", "bmp"},
    {"an SVG drawing", "svg"},
    {"a Matroska or WebM file", "mkv"},
    {"an MP4 or QuickTime file", "mp4"},
    {"an AVI file", "avi"},
    {"a Flash video", "flv"},
    {"a Windows Media file", "wmv"},
    {"an MPEG video", "mpg"},
    {"an MPEG transport stream", "ts"},
    {"an Ogg file", "ogg"},
    {"a FLAC sound", "flac"},
    {"an MP3 sound", "mp3"},
    {"a WAV sound", "wav"},
    {"a PDF document", "pdf"},
    {"a PostScript document", "ps"},
    {"an RTF document", "rtf"},
    {"HTML", "html"},
    {"XML", "xml"},
    {"a ZIP archive", "zip"},
    {"a gzip file", "gz"},
    {"a bzip2 file", "bz2"},
    {"an xz file", "xz"},
    {"a Zstandard file", "zst"},
    {"a 7-Zip archive", "7z"},
    {"a RAR archive", "rar"},
    {"a tar archive", "tar"},
    {"an SQLite database", "sqlite"},
};

const char *
lake_ingest_sniff_extension(const void *bytes, gsize n_bytes)
{
    const char *name = lake_ingest_sniff(bytes, n_bytes);

    if (is_at(bytes, n_bytes, 4, "ftypqt  ", 8))
        return "mov";
    for (gsize i = 0; i < G_N_ELEMENTS(extensions); i++)
        if (g_strcmp0(name, extensions[i].name) == 0) {
            /* The document type is one of the first elements, and in clear. */
            gboolean is_webm = strcmp(extensions[i].extension, "mkv") == 0 &&
                               memmem(bytes, MIN(n_bytes, 64), "webm", strlen("webm")) != NULL;
            return is_webm ? "webm" : extensions[i].extension;
        }
    return "bin";
}
