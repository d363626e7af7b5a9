/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/media/container.h"

#include "core/error.h"
#include "core/ingest/sniff.h"

#include <string.h>

#define WINDOW_BYTES (64 * 1024)
/* Tables and attachments are held in memory while the file is read: those of two days of video
 * are less. Of Matroska's tables a few bytes can become hundreds, so there they are bounded
 * apart. */
#define TABLES_MAX_BYTES (256 * 1024 * 1024)
#define ELEMENT_MAX_BYTES (16 * 1024 * 1024)
#define TRACKS_MAX 1000
/* Of an edit list each entry can take the whole track once more. */
#define EDITED_SAMPLES_MAX (100 * 1000 * 1000)
#define BOX_DEPTH_MAX 12 /* the demuxer gives up at 10 */
#define UNKNOWN_SIZE G_MAXINT64

#define FOURCC(a, b, c, d)                                                                     \
    ((guint32)(a) << 24 | (guint32)(b) << 16 | (guint32)(c) << 8 | (guint32)(d))

typedef struct {
    LakeSpool *content;
    gint64 size_bytes;
    GCancellable *cancellable;
    guint8 *window;
    gint64 window_start;
    gsize window_bytes;

    gint64 tables_bytes;
    guint64 n_samples; /* of all tracks */
    guint64 n_track_samples;
    guint64 n_track_edits;
    guint32 track_id; /* of the track that is looked at; 0: none yet */
    gboolean has_movie;
} Scan;

static void
scan_clear(Scan *scan)
{
    g_free(scan->window);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scan, scan_clear)

static gboolean G_GNUC_PRINTF(2, 3) refuse(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT, "%s", message);
    return FALSE;
}

static gboolean
refuse_cut(const Scan *scan, const char *what, gint64 at, gint64 end, GError **error)
{
    refuse(error,
        "the file is cut off: %s at byte %" G_GINT64_FORMAT " ends at byte %" G_GINT64_FORMAT
        ", but the file has %" G_GINT64_FORMAT,
        what, at, end, scan->size_bytes);
    if (error)
        lake_error_hint(*error, "copy or download it again, completely");
    return FALSE;
}

static gboolean
refuse_counts(GError **error)
{
    refuse(error, "its tables list more frames than the file has room for");
    if (error)
        lake_error_hint(*error, "the file is damaged, or made to do harm; remux it with ffmpeg "
                                "-i old -c copy new");
    return FALSE;
}

/* n_bytes at offset, to be read until the next call; NULL without an error: the file ends
 * before. n_bytes is at most WINDOW_BYTES. */
static const guint8 *
peek(Scan *scan, gint64 offset, gsize n_bytes, GError **error)
{
    if (offset < 0 || offset > scan->size_bytes - (gint64)n_bytes)
        return NULL;
    if (offset >= scan->window_start &&
        offset + (gint64)n_bytes <= scan->window_start + (gint64)scan->window_bytes)
        return scan->window + (offset - scan->window_start);

    if (g_cancellable_is_cancelled(scan->cancellable)) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_CANCELLED, "interrupted");
        return NULL;
    }
    /* Where headers lie far apart, reading what is between them would cost most of the time. */
    gboolean is_near = offset == 0 || offset - scan->window_start < 2 * WINDOW_BYTES;
    gssize n = lake_spool_read(
        scan->content, offset, scan->window, is_near ? WINDOW_BYTES : MAX(n_bytes, 512), error);
    scan->window_start = offset;
    scan->window_bytes = (gsize)MAX(n, 0);
    return n >= (gssize)n_bytes ? scan->window : NULL;
}

static guint32
be32(const guint8 *at)
{
    return FOURCC(at[0], at[1], at[2], at[3]);
}

static guint64
be64(const guint8 *at)
{
    return (guint64)be32(at) << 32 | be32(at + 4);
}

static guint32
le32(const guint8 *at)
{
    return FOURCC(at[3], at[2], at[1], at[0]);
}

static gboolean
is_printable(guint32 fourcc)
{
    for (guint shift = 0; shift < 32; shift += 8)
        if (!g_ascii_isprint((char)(fourcc >> shift)) && (guchar)(fourcc >> shift) != 0xa9)
            return FALSE;
    return TRUE;
}

static gboolean
add_tables(Scan *scan, gint64 n_bytes, gint64 most, GError **error)
{
    scan->tables_bytes += n_bytes;
    if (n_bytes <= most && scan->tables_bytes <= TABLES_MAX_BYTES)
        return TRUE;

    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
        "the tables of the file are too large: one has %" G_GINT64_FORMAT " bytes", n_bytes);
    if (error)
        lake_error_hint(*error, "split the file, or remove what is attached to it");
    return FALSE;
}

/* A box: its head read, its end known. */
typedef struct {
    guint32 type;
    gint64 body;
    gint64 end; /* may lie beyond the file */
} Box;

/* FALSE with an error; FALSE without: no whole head before end. */
static gboolean
read_box(Scan *scan, gint64 at, gint64 end, Box *box, GError **error)
{
    const guint8 *head = at <= end - 8 ? peek(scan, at, 8, error) : NULL;

    if (!head)
        return FALSE;
    guint64 n_bytes = be32(head);
    box->type = be32(head + 4);
    box->body = at + 8;
    if (n_bytes == 1) {
        head = peek(scan, at, 16, error);
        if (!head)
            return FALSE;
        n_bytes = be64(head + 8);
        box->body = at + 16;
    } else if (n_bytes == 0) {
        box->end = end;
        return TRUE;
    }
    box->end = n_bytes > (guint64)(G_MAXINT64 - at) ? G_MAXINT64 : at + (gint64)n_bytes;
    return TRUE;
}

/* The demuxer reads every box wherever it stands, so all that hold others are looked into. */
static gboolean
holds_boxes(guint32 type)
{
    static const guint32 types[] = {FOURCC('m', 'o', 'o', 'v'), FOURCC('t', 'r', 'a', 'k'),
        FOURCC('m', 'd', 'i', 'a'), FOURCC('m', 'i', 'n', 'f'), FOURCC('s', 't', 'b', 'l'),
        FOURCC('e', 'd', 't', 's'), FOURCC('m', 'o', 'o', 'f'), FOURCC('t', 'r', 'a', 'f'),
        FOURCC('m', 'v', 'e', 'x'), FOURCC('d', 'i', 'n', 'f'), FOURCC('u', 'd', 't', 'a'),
        FOURCC('m', 'e', 't', 'a'), FOURCC('i', 'l', 's', 't'), FOURCC('t', 'a', 'p', 't'),
        FOURCC('s', 'i', 'n', 'f'), FOURCC('s', 'c', 'h', 'i'), FOURCC('i', 'p', 'r', 'o'),
        FOURCC('w', 'a', 'v', 'e')};

    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (types[i] == type)
            return TRUE;
    return FALSE;
}

/* Takes from a box what is needed of it. */
static gboolean
look_into(Scan *scan, const Box *box, GError **error)
{
    gboolean is_sizes =
        box->type == FOURCC('s', 't', 's', 'z') || box->type == FOURCC('s', 't', 'z', '2');
    gboolean is_run = box->type == FOURCC('t', 'r', 'u', 'n');
    gboolean is_edits = box->type == FOURCC('e', 'l', 's', 't');
    gboolean is_track = box->type == FOURCC('t', 'k', 'h', 'd');
    gint64 at = box->body + (is_sizes ? 8 : 4);

    if (!is_sizes && !is_run && !is_edits && !is_track)
        return TRUE;
    const guint8 *version = peek(scan, box->body, 1, error);
    if (is_track && version)
        at = box->body + (*version == 1 ? 20 : 12);
    const guint8 *field = version ? peek(scan, at, 4, error) : NULL;
    if (!field)
        return !*error;

    if (is_track) {
        scan->track_id = be32(field);
    } else if (is_edits) {
        scan->n_track_edits += be32(field);
    } else {
        scan->n_samples += be32(field);
        scan->n_track_samples += be32(field);
    }
    return scan->n_samples <= (guint64)scan->size_bytes || refuse_counts(error);
}

/* What the boxes of a track have said. */
static gboolean
check_track(const Scan *scan, gint64 at, GError **error)
{
    if (scan->n_track_edits > 1 &&
        scan->n_track_samples > EDITED_SAMPLES_MAX / scan->n_track_edits)
        return refuse_counts(error);
    /* Without a number, the demuxer would look for one billions of times. */
    if (scan->track_id == 0 || scan->track_id > G_MAXINT32)
        return refuse(error,
            "the track at byte %" G_GINT64_FORMAT " has no number: its header is damaged", at);
    return TRUE;
}

/* The boxes of a movie header or a fragment, as deep as tables lie. What is inconsistent there
 * is taken as the demuxer takes it. */
static gboolean
scan_boxes(Scan *scan, gint64 at, gint64 end, guint depth, GError **error)
{
    Box box;

    for (; read_box(scan, at, end, &box, error); at = box.end) {
        gboolean is_track = box.type == FOURCC('t', 'r', 'a', 'k');
        box.end = MIN(box.end, end);
        if (box.end < box.body)
            return TRUE;
        if (box.type == FOURCC('c', 'm', 'o', 'v')) {
            refuse(error, "its movie header is compressed, which is not read here");
            lake_error_hint(*error, "remux it: ffmpeg -i old -c copy new");
            return FALSE;
        }
        if (is_track)
            scan->n_track_samples = scan->n_track_edits = scan->track_id = 0;
        if (!holds_boxes(box.type)) {
            if (!look_into(scan, &box, error))
                return FALSE;
            continue;
        }
        /* Of these some writers give a version first, like other boxes have. */
        const guint8 *first = peek(scan, box.body, 4, NULL);
        gboolean has_version =
            box.type == FOURCC('m', 'e', 't', 'a') && first && be32(first) == 0;
        if (depth < BOX_DEPTH_MAX &&
            !scan_boxes(scan, box.body + (has_version ? 4 : 0), box.end, depth + 1, error))
            return FALSE;
        if (is_track && !check_track(scan, at, error))
            return FALSE;
    }
    return !*error;
}

static gboolean
check_mp4(Scan *scan, GError **error)
{
    g_autoptr(GError) local = NULL;
    gint64 at = 0;
    Box box;

    for (; read_box(scan, at, scan->size_bytes, &box, &local); at = box.end) {
        /* Zeros or the like after the last box harm nobody. */
        if (box.type == 0 || (!is_printable(box.type) && scan->has_movie))
            break;
        char name[] = {'b', 'o', 'x', ' ', '\'', (char)(box.type >> 24), (char)(box.type >> 16),
            (char)(box.type >> 8), (char)box.type, '\'', '\0'};
        g_autofree char *valid = g_utf8_make_valid(name, -1);
        if (box.end < box.body)
            return refuse(error, "%s at byte %" G_GINT64_FORMAT " is damaged", valid, at);
        if (box.end > scan->size_bytes)
            return refuse_cut(scan, valid, at, box.end, error);

        gboolean is_movie = box.type == FOURCC('m', 'o', 'o', 'v');
        scan->has_movie |= is_movie;
        if (is_movie && !add_tables(scan, box.end - at, TABLES_MAX_BYTES, error))
            return FALSE;
        if (holds_boxes(box.type) && !scan_boxes(scan, at, box.end, 1, error))
            return FALSE;
    }
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (!scan->has_movie) {
        refuse(
            error, "the file has no movie header (moov): it was not finished, or is cut off");
        if (error)
            lake_error_hint(*error, "record, copy or download it again, completely");
        return FALSE;
    }
    if (at < scan->size_bytes && scan->size_bytes - at < 8 && *peek(scan, at, 1, NULL) != 0)
        return refuse_cut(scan, "a box", at, at + 8, error);
    return TRUE;
}

/* An EBML element. */
typedef struct {
    guint32 id; /* with its marker bits, as the specification writes it */
    gint64 body;
    gint64 end; /* UNKNOWN_SIZE; may lie beyond the file */
} Element;

#define ID_EBML 0x1a45dfa3
#define ID_SEGMENT 0x18538067
#define ID_CLUSTER 0x1f43b675
#define ID_TRACKS 0x1654ae6b
#define ID_ATTACHMENTS 0x1941a469

/* The ids that stand directly in a segment. */
static gboolean
is_top_level(guint32 id)
{
    static const guint32 ids[] = {0x114d9b74, 0x1549a966, ID_TRACKS, ID_CLUSTER, 0x1c53bb6b,
        ID_ATTACHMENTS, 0x1043a770, 0x1254c367, ID_EBML, ID_SEGMENT};

    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++)
        if (ids[i] == id)
            return TRUE;
    return FALSE;
}

/* FALSE without an error: the file ends in it, or it is none. */
static gboolean
read_element(Scan *scan, gint64 at, Element *element, GError **error)
{
    const guint8 *first = peek(scan, at, 1, error);
    guint n_id = first ? (guint)__builtin_clz((guint)*first | 1) - 23 : 0;
    if (!first || n_id > 4)
        return FALSE;
    const guint8 *head = peek(scan, at, n_id + 1, error);
    if (!head)
        return FALSE;

    element->id = 0;
    for (guint i = 0; i < n_id; i++)
        element->id = element->id << 8 | head[i];
    if (head[n_id] == 0)
        return FALSE;
    guint n_size = (guint)__builtin_clz(head[n_id]) - 23;
    head = peek(scan, at, n_id + n_size, error);
    if (!head)
        return FALSE;

    guint64 n_bytes = head[n_id] & (0xffu >> n_size);
    for (guint i = 1; i < n_size; i++)
        n_bytes = n_bytes << 8 | head[n_id + i];
    element->body = at + n_id + n_size;
    if (n_bytes == (G_GUINT64_CONSTANT(1) << 7 * n_size) - 1)
        element->end = UNKNOWN_SIZE;
    else
        element->end = element->body + (gint64)n_bytes;
    return TRUE;
}

static gboolean
check_tracks(Scan *scan, const Element *tracks, GError **error)
{
    Element track;
    guint n_tracks = 0;

    for (gint64 at = tracks->body; at < tracks->end; at = track.end) {
        if (!read_element(scan, at, &track, error) || track.end > tracks->end)
            return !*error;
        if (++n_tracks > TRACKS_MAX)
            return refuse(error, "the file has more than %d tracks", TRACKS_MAX);
    }
    return TRUE;
}

/* FALSE with an error: it is not one that a demuxer may read. */
static gboolean
check_table(Scan *scan, const Element *element, GError **error)
{
    gint64 most = element->id == ID_ATTACHMENTS ? TABLES_MAX_BYTES : ELEMENT_MAX_BYTES;

    if (!is_top_level(element->id) || element->id == ID_CLUSTER)
        return TRUE;
    return add_tables(scan, element->end - element->body, most, error) &&
           (element->id != ID_TRACKS || check_tracks(scan, element, error));
}

/* The elements of a segment, and of clusters that do not say how long they are. */
static gboolean
scan_elements(Scan *scan, gint64 at, gint64 end, GError **error)
{
    g_autoptr(GError) local = NULL;
    gboolean is_sized = end != UNKNOWN_SIZE;
    Element element;

    end = MIN(end, scan->size_bytes);
    while (at < end && read_element(scan, at, &element, &local)) {
        gboolean is_top = is_top_level(element.id);
        if (element.end == UNKNOWN_SIZE) {
            at = element.body;
            continue;
        }
        if (element.end > scan->size_bytes)
            return refuse_cut(
                scan, is_top ? "a Matroska element" : "a block", at, element.end, error);
        if (!check_table(scan, &element, error))
            return FALSE;
        at = element.end;
    }
    if (local) {
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (!is_sized && at < end && scan->size_bytes - at < 12)
        return refuse_cut(scan, "a Matroska element", at, scan->size_bytes + 1, error);
    return TRUE;
}

static gboolean
check_matroska(Scan *scan, GError **error)
{
    gint64 at = 0;
    Element element;

    while (read_element(scan, at, &element, error)) {
        if (element.id == ID_SEGMENT) {
            if (element.end != UNKNOWN_SIZE && element.end > scan->size_bytes)
                return refuse_cut(scan, "the Matroska segment", at, element.end, error);
            return scan_elements(scan, element.body, element.end, error);
        }
        if (element.end > scan->size_bytes)
            return refuse_cut(scan, "the Matroska header", at, element.end, error);
        at = element.end;
    }
    if (error && *error)
        return FALSE;
    return refuse(error, "the file has a Matroska header and nothing after it: it is cut off");
}

static gboolean
is_open_ended(guint32 n_bytes)
{
    return n_bytes == 0 || n_bytes == G_MAXUINT32;
}

/* The chunks of a recording that could not go back to write how long it became. */
static gboolean
scan_chunks(Scan *scan, gint64 at, GError **error)
{
    gboolean has_index = FALSE;
    const guint8 *head;

    while ((head = peek(scan, at, 8, error))) {
        guint32 n_bytes = le32(head + 4);
        has_index |= memcmp(head, "idx1", 4) == 0;
        gboolean is_list = memcmp(head, "LIST", 4) == 0 || memcmp(head, "RIFF", 4) == 0;
        gint64 end = at + 8 + n_bytes;
        if (is_list && (is_open_ended(n_bytes) || end > scan->size_bytes)) {
            at += 12;
            continue;
        }
        if (end > scan->size_bytes)
            return refuse_cut(scan, "a chunk", at, end, error);
        at = end + (n_bytes & 1);
    }
    if (error && *error)
        return FALSE;
    if (at < scan->size_bytes)
        return refuse_cut(scan, "a chunk", at, at + 8, error);
    if (has_index)
        return TRUE;
    refuse(error, "the file has no index at its end: it was not finished, or is cut off");
    if (error)
        lake_error_hint(*error, "to keep what there is of it: ffmpeg -i old -c copy new.avi");
    return FALSE;
}

/* One RIFF chunk after the other: large files have several. */
static gboolean
check_avi(Scan *scan, GError **error)
{
    const guint8 *head;
    gint64 at = 0;

    while ((head = peek(scan, at, 12, error)) && memcmp(head, "RIFF", 4) == 0) {
        guint32 n_bytes = le32(head + 4);
        if (is_open_ended(n_bytes))
            return scan_chunks(scan, at, error);
        gint64 end = at + 8 + n_bytes;
        if (end > scan->size_bytes)
            return refuse_cut(scan, "the RIFF chunk", at, end, error);
        at = end + (n_bytes & 1);
    }
    return !error || !*error;
}

static LakeMediaContainer
recognise(const guint8 *head, gsize n_bytes)
{
    static const char boxes[][5] = {
        "ftyp", "moov", "mdat", "free", "skip", "wide", "pnot", "styp", "moof", "uuid"};

    if (n_bytes < 12)
        return LAKE_MEDIA_UNKNOWN;
    if (be32(head) == ID_EBML)
        return LAKE_MEDIA_MATROSKA;
    if (memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "AVI", 3) == 0)
        return LAKE_MEDIA_AVI;
    for (gsize i = 0; i < G_N_ELEMENTS(boxes); i++)
        if (memcmp(head + 4, boxes[i], 4) == 0)
            return LAKE_MEDIA_MP4;
    return LAKE_MEDIA_UNKNOWN;
}

static void
refuse_unknown(const guint8 *head, gsize n_bytes, GError **error)
{
    const char *looks_like = lake_ingest_sniff(head, n_bytes);

    refuse(error, "it is %s%s, and no video in MP4, QuickTime, Matroska, WebM or AVI",
        n_bytes == 0 ? "an empty file"
        : looks_like ? looks_like
                     : "something unknown",
        n_bytes > 0 && n_bytes < 12 ? " of a few bytes" : "");
    if (error)
        lake_error_hint(*error, "give it the extension of what it is, or convert it: ffmpeg -i "
                                "old -c copy new.mkv");
}

LakeMediaContainer
lake_media_container_check(LakeSpool *content, GCancellable *cancellable, GError **error)
{
    g_auto(Scan) scan = {.content = content, .cancellable = cancellable};
    g_autoptr(GError) local = NULL;
    gboolean is_good = FALSE;

    scan.size_bytes = lake_spool_size(content);
    scan.window = g_malloc(WINDOW_BYTES);
    gsize n_head = (gsize)MIN(scan.size_bytes, LAKE_INGEST_SNIFF_BYTES);
    const guint8 *head = peek(&scan, 0, n_head, &local);
    LakeMediaContainer container = head ? recognise(head, n_head) : LAKE_MEDIA_UNKNOWN;

    switch (container) {
    case LAKE_MEDIA_MP4:
        is_good = check_mp4(&scan, &local);
        break;
    case LAKE_MEDIA_MATROSKA:
        is_good = check_matroska(&scan, &local);
        break;
    case LAKE_MEDIA_AVI:
        is_good = check_avi(&scan, &local);
        break;
    case LAKE_MEDIA_UNKNOWN:
        if (!local)
            refuse_unknown(head, n_head, &local);
        break;
    }
    if (is_good)
        return container;
    if (!lake_error_facts(local)->hint)
        lake_error_hint(local, "see whether it plays; copy or download it again");
    g_propagate_error(error, g_steal_pointer(&local));
    return LAKE_MEDIA_UNKNOWN;
}
