/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/png/huffman.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    guint32 frequency;
    guint16 symbol;
} Leaf;

static int
compare_leaves(const void *left, const void *right)
{
    const Leaf *one = left;
    const Leaf *other = right;

    if (one->frequency != other->frequency)
        return one->frequency < other->frequency ? -1 : 1;
    return one->symbol - other->symbol;
}

/* The symbols that occur, the rarest first; returns how many. */
static guint
sort_leaves(Leaf *leaves, const guint32 *frequencies, guint n_symbols)
{
    guint n_leaves = 0;

    for (guint i = 0; i < n_symbols; i++)
        if (frequencies[i] > 0)
            leaves[n_leaves++] = (Leaf){frequencies[i], (guint16)i};
    for (guint i = 0; n_leaves < 2; i++)
        if (frequencies[i] == 0)
            leaves[n_leaves++] = (Leaf){1, (guint16)i};
    qsort(leaves, n_leaves, sizeof *leaves, compare_leaves);
    return n_leaves;
}

/* How many leaves lie how deep in the tree that joins the two rarest nodes over and over.
 * Joined nodes come about in order of their frequency, so two queues do. */
static void
count_depths(const Leaf *leaves, guint n_leaves, guint *counts)
{
    guint32 frequencies[LAKE_HUFFMAN_SYMBOLS_MAX]; /* of joined nodes */
    guint16 parents[2 * LAKE_HUFFMAN_SYMBOLS_MAX]; /* leaves first */
    guint8 depths[2 * LAKE_HUFFMAN_SYMBOLS_MAX];
    guint n_nodes = 2 * n_leaves - 1;
    guint leaf = 0;
    guint joined = 0;

    for (guint made = 0; made < n_leaves - 1; made++) {
        frequencies[made] = 0;
        for (guint child = 0; child < 2; child++) {
            gboolean takes_leaf =
                leaf < n_leaves &&
                (joined == made || leaves[leaf].frequency <= frequencies[joined]);
            frequencies[made] += takes_leaf ? leaves[leaf].frequency : frequencies[joined];
            parents[takes_leaf ? leaf++ : n_leaves + joined++] = (guint16)(n_leaves + made);
        }
    }

    depths[n_nodes - 1] = 0;
    for (guint node = n_nodes - 1; node-- > 0;) {
        depths[node] = depths[parents[node]] + 1;
        if (node < n_leaves)
            counts[depths[node]]++;
    }
}

/* Leaves that are too deep come up to max_bits; for each, one of those above goes down a step,
 * until all codes have room again. */
static void
limit_depths(guint *counts, guint max_bits)
{
    guint32 used = 0; /* of the 2^max_bits codes of that length */

    for (guint depth = max_bits + 1; depth <= LAKE_HUFFMAN_SYMBOLS_MAX; depth++)
        counts[max_bits] += counts[depth];
    for (guint depth = 1; depth <= max_bits; depth++)
        used += counts[depth] << (max_bits - depth);

    while (used > 1u << max_bits) {
        guint depth = max_bits - 1;
        while (counts[depth] == 0)
            depth--;
        counts[depth]--;
        counts[depth + 1] += 2;
        counts[max_bits]--;
        used--;
    }
}

static guint16
reverse(guint32 code, guint n_bits)
{
    guint32 reversed = 0;

    for (guint i = 0; i < n_bits; i++)
        reversed |= (code >> i & 1) << (n_bits - 1 - i);
    return (guint16)reversed;
}

static void
assign_codes(LakeHuffman *huffman, const guint *counts, guint n_symbols, guint max_bits)
{
    guint32 next[LAKE_HUFFMAN_BITS_MAX + 2] = {0};

    for (guint depth = 1; depth <= max_bits; depth++)
        next[depth + 1] = (next[depth] + counts[depth]) << 1;
    for (guint i = 0; i < n_symbols; i++) {
        guint n_bits = huffman->n_bits[i];
        if (n_bits > 0)
            huffman->bits[i] = reverse(next[n_bits]++, n_bits);
    }
}

void
lake_huffman_build(
    LakeHuffman *ret_huffman, const guint32 *frequencies, guint n_symbols, guint max_bits)
{
    Leaf leaves[LAKE_HUFFMAN_SYMBOLS_MAX];
    guint counts[LAKE_HUFFMAN_SYMBOLS_MAX + 1] = {0};
    guint n_leaves = sort_leaves(leaves, frequencies, n_symbols);
    guint leaf = 0;

    count_depths(leaves, n_leaves, counts);
    limit_depths(counts, max_bits);

    memset(ret_huffman, 0, sizeof *ret_huffman);
    for (guint depth = max_bits; depth > 0; depth--)
        for (guint i = 0; i < counts[depth]; i++)
            ret_huffman->n_bits[leaves[leaf++].symbol] = (guint8)depth;
    assign_codes(ret_huffman, counts, n_symbols, max_bits);
}
