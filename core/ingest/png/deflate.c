/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/png/deflate.c: see the header for what it is good at.
 *
 * Bytes are collected behind the 32 KiB that a match may reach back to, made into tokens (a
 * byte, or a match) once there are many, and the tokens written with codes of their own once
 * there are many of them. */

#include "core/ingest/png/deflate.h"

#include "core/ingest/png/huffman.h"

#include <string.h>

#define WINDOW_BYTES 32768
#define BATCH_BYTES (256 * 1024) /* made into tokens at once */
#define MATCH_MIN_BYTES 4        /* found by hash; three bytes are hardly worth a distance */
#define MATCH_MAX_BYTES 258
#define PIXEL_BYTES 3
#define RUN_MIN_BYTES 12 /* of one colour; shorter ones may be part of a better match */
#define HASH_BITS 14
#define BLOCK_TOKENS (32 * 1024)
#define SLACK_BYTES 8 /* that may be read behind the last */
#define N_LITERALS 286
#define N_DISTANCES 30
#define N_LENGTHS 19
#define END_OF_BLOCK 256

struct LakeDeflate {
    GByteArray *output;
    guint64 bits; /* not yet in output, the first lowest */
    guint n_bits;

    guint8 *bytes; /* window, then what waits */
    gsize n_room;
    gsize n_window; /* bytes before those that wait */
    gsize n_waiting;
    guint32 base; /* position of bytes[0] in all that was added */

    guint32 recent[1 << HASH_BITS][2]; /* positions where four such bytes began, newest first */
    guint32 tokens[BLOCK_TOKENS];      /* a byte, or length << 16 | distance */
    guint n_tokens;
    guint32 literals[N_LITERALS]; /* how often each occurs in tokens */
    guint32 distances[N_DISTANCES];
    guint8 length_codes[MATCH_MAX_BYTES + 1]; /* less 257 */
    guint8
        distance_codes[512]; /* of distance - 1 below 256; then of its bits from the 7th on */
};

/* RFC 1951, 3.2.5: the first length and distance of each code, and the bits that follow it. */
static const guint16 first_lengths[] = {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
    35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const guint8 length_bits[] = {
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const guint16 first_distances[] = {1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129,
    193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const guint8 distance_bits[] = {0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8,
    8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

static void
fill_tables(LakeDeflate *deflate)
{
    for (guint code = 0; code < G_N_ELEMENTS(first_lengths); code++) {
        guint end = MIN(first_lengths[code] + (1u << length_bits[code]), MATCH_MAX_BYTES + 1u);
        for (guint length = first_lengths[code]; length < end; length++)
            deflate->length_codes[length] = (guint8)code;
    }
    for (guint code = 0; code < G_N_ELEMENTS(first_distances); code++) {
        guint first = first_distances[code] - 1u;
        for (guint i = first; i < first + (1u << distance_bits[code]); i++)
            deflate->distance_codes[i < 256 ? i : 256 + (i >> 7)] = (guint8)code;
    }
}

LakeDeflate *
lake_deflate_new(GByteArray *output)
{
    LakeDeflate *deflate = g_new0(LakeDeflate, 1);

    deflate->output = output;
    deflate->n_room = WINDOW_BYTES + BATCH_BYTES + SLACK_BYTES;
    deflate->bytes = g_malloc0(deflate->n_room);
    /* So far back that it is never within reach of what has position 0 in the hash. */
    deflate->base = 2 * WINDOW_BYTES;
    fill_tables(deflate);
    return deflate;
}

void
lake_deflate_free(LakeDeflate *deflate)
{
    if (!deflate)
        return;
    g_free(deflate->bytes);
    g_free(deflate);
}

/* n_bits is at most 48. There is room for eight bytes at *at. */
static inline void
put_bits(LakeDeflate *deflate, guint8 **at, guint64 bits, guint n_bits)
{
    deflate->bits |= bits << deflate->n_bits;
    deflate->n_bits += n_bits;
    guint64 ordered = GUINT64_TO_LE(deflate->bits);
    memcpy(*at, &ordered, sizeof ordered);
    *at += deflate->n_bits >> 3;
    deflate->bits >>= deflate->n_bits & ~7u;
    deflate->n_bits &= 7;
}

static guint
distance_code(const LakeDeflate *deflate, guint distance)
{
    guint i = distance - 1;

    return deflate->distance_codes[i < 256 ? i : 256 + (i >> 7)];
}

/* Lengths of codes, runs of them as 16 to 18 (RFC 1951, 3.2.7); returns how many bytes of
 * packed, each of which has its repetition in extra. */
static guint
pack_lengths(const guint8 *lengths, guint n_lengths, guint8 *packed, guint8 *extra)
{
    guint n_packed = 0;

    for (guint i = 0, n_same; i < n_lengths; i += n_same) {
        guint8 length = lengths[i];
        guint most = length == 0 ? 138 : 6;
        for (n_same = 1; i + n_same < n_lengths && lengths[i + n_same] == length; n_same++)
            if (n_same == most + (length > 0))
                break;
        if (length == 0 && n_same >= 3) {
            packed[n_packed] = n_same < 11 ? 17 : 18;
            extra[n_packed++] = (guint8)(n_same - (n_same < 11 ? 3 : 11));
        } else if (length > 0 && n_same >= 4) {
            packed[n_packed] = length;
            extra[n_packed++] = 0;
            packed[n_packed] = 16;
            extra[n_packed++] = (guint8)(n_same - 4);
        } else {
            n_same = 1;
            packed[n_packed] = length;
            extra[n_packed++] = 0;
        }
    }
    return n_packed;
}

static void
put_codes(LakeDeflate *deflate, guint8 **at, const LakeHuffman *literals,
    const LakeHuffman *distances)
{
    static const guint8 order[N_LENGTHS] = {
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    guint8 lengths[N_LITERALS + N_DISTANCES];
    guint8 packed[N_LITERALS + N_DISTANCES];
    guint8 extra[N_LITERALS + N_DISTANCES];
    guint32 frequencies[N_LENGTHS] = {0};
    LakeHuffman code;
    guint n_lengths = N_LENGTHS;

    memcpy(lengths, literals->n_bits, N_LITERALS);
    memcpy(lengths + N_LITERALS, distances->n_bits, N_DISTANCES);
    guint n_packed = pack_lengths(lengths, sizeof lengths, packed, extra);
    for (guint i = 0; i < n_packed; i++)
        frequencies[packed[i]]++;
    lake_huffman_build(&code, frequencies, N_LENGTHS, 7);
    while (code.n_bits[order[n_lengths - 1]] == 0)
        n_lengths--;

    put_bits(deflate, at, N_LITERALS - 257, 5);
    put_bits(deflate, at, N_DISTANCES - 1, 5);
    put_bits(deflate, at, n_lengths - 4, 4);
    for (guint i = 0; i < n_lengths; i++)
        put_bits(deflate, at, code.n_bits[order[i]], 3);
    for (guint i = 0; i < n_packed; i++) {
        put_bits(deflate, at, code.bits[packed[i]], code.n_bits[packed[i]]);
        if (packed[i] >= 16)
            put_bits(deflate, at, extra[i], packed[i] == 16 ? 2 : packed[i] == 17 ? 3 : 7);
    }
}

static inline void
put_match(LakeDeflate *deflate, guint8 **at, const LakeHuffman *literals,
    const LakeHuffman *distances, guint length, guint distance)
{
    guint code = deflate->length_codes[length];
    guint n_bits = literals->n_bits[257 + code];
    guint64 bits = literals->bits[257 + code];

    bits |= (guint64)(length - first_lengths[code]) << n_bits;
    n_bits += length_bits[code];
    code = distance_code(deflate, distance);
    bits |= (guint64)distances->bits[code] << n_bits;
    n_bits += distances->n_bits[code];
    bits |= (guint64)(distance - first_distances[code]) << n_bits;
    n_bits += distance_bits[code];
    put_bits(deflate, at, bits, n_bits);
}

static void
put_block(LakeDeflate *deflate, gboolean is_last)
{
    LakeHuffman literals, distances;
    GByteArray *output = deflate->output;
    guint n_before = output->len;

    deflate->literals[END_OF_BLOCK]++;
    lake_huffman_build(&literals, deflate->literals, N_LITERALS, LAKE_HUFFMAN_BITS_MAX);
    lake_huffman_build(&distances, deflate->distances, N_DISTANCES, LAKE_HUFFMAN_BITS_MAX);

    /* 48 bits are the longest token; codes and their lengths are less than 1024 bytes. */
    g_byte_array_set_size(output, n_before + 6 * deflate->n_tokens + 1024);
    guint8 *at = output->data + n_before;
    put_bits(deflate, &at, (guint64)is_last | 2 << 1, 3);
    put_codes(deflate, &at, &literals, &distances);
    for (guint i = 0; i < deflate->n_tokens; i++) {
        guint32 token = deflate->tokens[i];
        if (token < 256)
            put_bits(deflate, &at, literals.bits[token], literals.n_bits[token]);
        else
            put_match(deflate, &at, &literals, &distances, token >> 16, token & 0xffff);
    }
    put_bits(deflate, &at, literals.bits[END_OF_BLOCK], literals.n_bits[END_OF_BLOCK]);
    g_byte_array_set_size(output, (guint)(at - output->data));

    deflate->n_tokens = 0;
    memset(deflate->literals, 0, sizeof deflate->literals);
    memset(deflate->distances, 0, sizeof deflate->distances);
}

static inline void
add_literal(LakeDeflate *deflate, guint8 byte)
{
    if (deflate->n_tokens == BLOCK_TOKENS)
        put_block(deflate, FALSE);
    deflate->tokens[deflate->n_tokens++] = byte;
    deflate->literals[byte]++;
}

static inline void
add_match(LakeDeflate *deflate, guint length, guint distance)
{
    if (deflate->n_tokens == BLOCK_TOKENS)
        put_block(deflate, FALSE);
    deflate->tokens[deflate->n_tokens++] = length << 16 | distance;
    deflate->literals[257 + deflate->length_codes[length]]++;
    deflate->distances[distance_code(deflate, distance)]++;
}

/* How many bytes are the same at both, at most n_most. */
static inline gsize
count_same(const guint8 *one, const guint8 *other, gsize n_most)
{
    gsize n = 0;

    while (n + 8 <= n_most) {
        guint64 left, right;
        memcpy(&left, one + n, sizeof left);
        memcpy(&right, other + n, sizeof right);
        guint64 differences = GUINT64_FROM_LE(left ^ right);
        if (differences)
            return n + (gsize)(__builtin_ctzll(differences) >> 3);
        n += 8;
    }
    while (n < n_most && one[n] == other[n])
        n++;
    return n;
}

static inline guint32 *
bucket_of(LakeDeflate *deflate, const guint8 *at)
{
    guint32 four;

    memcpy(&four, at, sizeof four);
    return deflate->recent[four * 0x9e3779b1u >> (32 - HASH_BITS)];
}

static inline void
remember(LakeDeflate *deflate, const guint8 *at)
{
    guint32 *bucket = bucket_of(deflate, at);

    bucket[1] = bucket[0];
    bucket[0] = deflate->base + (guint32)(at - deflate->bytes);
}

/* The longest match of what is remembered; returns its length, 0: none. */
static inline gsize
find_match(LakeDeflate *deflate, const guint8 *at, gsize n_most, guint *ret_distance)
{
    guint32 *bucket = bucket_of(deflate, at);
    guint32 position = deflate->base + (guint32)(at - deflate->bytes);
    gsize longest = 0;

    for (guint i = 0; i < 2; i++) {
        guint32 distance = position - bucket[i];
        if (distance > WINDOW_BYTES || distance == 0)
            continue;
        gsize length = count_same(at, at - distance, n_most);
        if (length > longest) {
            longest = length;
            *ret_distance = distance;
        }
    }
    bucket[1] = bucket[0];
    bucket[0] = position;
    return longest >= MATCH_MIN_BYTES ? longest : 0;
}

/* A run of one colour, any length. */
static void
add_run(LakeDeflate *deflate, gsize n_bytes)
{
    while (n_bytes > 0) {
        gsize length = MIN(n_bytes, MATCH_MAX_BYTES);
        /* What remains has to be long enough for a match, too. */
        if (n_bytes > length && n_bytes - length < 3)
            length -= 3;
        add_match(deflate, (guint)length, PIXEL_BYTES);
        n_bytes -= length;
    }
}

/* What waits becomes tokens. */
static void
make_tokens(LakeDeflate *deflate)
{
    const guint8 *at = deflate->bytes + deflate->n_window;
    const guint8 *end = at + deflate->n_waiting;

    while (at < end) {
        gsize n_left = (gsize)(end - at);
        gsize n_back = (gsize)(at - deflate->bytes);
        gsize n_run = n_back >= PIXEL_BYTES ? count_same(at, at - PIXEL_BYTES, n_left) : 0;
        guint distance = 0;
        gsize n_match;

        if (n_run >= RUN_MIN_BYTES) {
            add_run(deflate, n_run);
            at += n_run;
            continue;
        }
        n_match = n_left >= MATCH_MIN_BYTES
                      ? find_match(deflate, at, MIN(n_left, MATCH_MAX_BYTES), &distance)
                      : 0;
        if (n_match == 0) {
            add_literal(deflate, *at++);
            continue;
        }
        add_match(deflate, (guint)n_match, distance);
        /* Pixel by pixel: what begins within one is found as often as not, and forgets more. */
        for (gsize i = PIXEL_BYTES; i < n_match && i + MATCH_MIN_BYTES <= n_left;
             i += PIXEL_BYTES)
            remember(deflate, at + i);
        at += n_match;
    }

    deflate->n_window += deflate->n_waiting;
    deflate->n_waiting = 0;
}

guint8 *
lake_deflate_reserve(LakeDeflate *deflate, gsize n_bytes)
{
    gsize n_needed = WINDOW_BYTES + MAX(n_bytes, BATCH_BYTES) + SLACK_BYTES;

    if (deflate->n_window + deflate->n_waiting + n_bytes + SLACK_BYTES > deflate->n_room) {
        make_tokens(deflate);
        gsize n_passed = deflate->n_window - MIN(deflate->n_window, WINDOW_BYTES);
        memmove(deflate->bytes, deflate->bytes + n_passed, deflate->n_window - n_passed);
        deflate->base += (guint32)n_passed;
        deflate->n_window -= n_passed;
    }
    if (deflate->n_room < n_needed) {
        deflate->bytes = g_realloc(deflate->bytes, n_needed);
        deflate->n_room = n_needed;
    }
    return deflate->bytes + deflate->n_window + deflate->n_waiting;
}

void
lake_deflate_add(LakeDeflate *deflate, gsize n_bytes)
{
    deflate->n_waiting += n_bytes;
}

void
lake_deflate_finish(LakeDeflate *deflate)
{
    guint8 last[8] = {0};
    guint8 *at = last;

    make_tokens(deflate);
    put_block(deflate, TRUE);
    put_bits(deflate, &at, 0, deflate->n_bits > 0 ? 8 - deflate->n_bits : 0);
    g_byte_array_append(deflate->output, last, (guint)(at - last));
}
