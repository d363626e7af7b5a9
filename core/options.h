/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/options.h: the ingest options of one drop zone, which count instead of the workspace's
 * settings.
 *
 * Kept as the text that was written, as an entry of the ledger (kind LAKE_OPTIONS_KIND), so
 * that every mount and command of the workspace has them. What others write is heard of within
 * half a second. Any thread; no lock is held while the server is asked.
 */

#include "core/ingest.h"

#define LAKE_OPTIONS_NAME ".ingest.json" /* the entry's, at the top of its drop zone */
#define LAKE_OPTIONS_KIND "options"
#define LAKE_OPTIONS_MAX_BYTES (64 * 1024) /* it is read before every file */

/* Puts what text (a JSON object; empty: nothing) names over *settings, which was the
 * workspace's, whose schema was borrowed; afterwards the caller clears it. BAD_INPUT: unknown
 * or twice, of a wrong type, or out of range; *settings is as before then. */
gboolean lake_options_parse(
    const char *text, gsize n_bytes, LakeIngestSettings *settings, GError **error);

/* All options as such a text; caller frees. */
char *lake_options_to_json(const LakeIngestSettings *settings);

/* What is known of the options of a workspace's drop zones. */
typedef struct LakeOptions LakeOptions;

/* settings: the workspace's. catalog is borrowed. */
LakeOptions *lake_options_new(LakeCatalog *catalog, const LakeIngestSettings *settings);
/* NULL is allowed. */
void lake_options_free(LakeOptions *options);

/* The settings that count for a drop zone now; the caller clears them.
 *   BAD_INPUT  what its options say does not go with the workspace's settings */
gboolean lake_options_get(LakeOptions *options, const char *zone,
    LakeIngestSettings *ret_settings, GCancellable *cancellable, GError **error);

/* Puts text over the workspace's settings, before any thread uses options: for a command that
 * has options of its own. BAD_INPUT as lake_options_parse(). */
gboolean lake_options_set_defaults(LakeOptions *options, const char *text, GError **error);

/* Whether the rows that a drop zone asks for can be in its table, which need not exist, and the
 * folders that it names be read; indexes that the table lacks are made. As lake_options_set().
 */
gboolean lake_options_prepare_table(
    LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error);

/* Whether text names folders of this machine: that is not for everybody. FALSE for one that
 * cannot be. */
gboolean lake_options_names_folders(LakeOptions *options, const char *text, gsize n_bytes);

/* The text that was written; "" where there is none. Caller frees. */
char *lake_options_dup_text(
    LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error);

/* Checks text, makes the indexes that it names and an existing table lacks, and keeps it;
 * returns its entry. On an error what was there stays:
 *   BAD_INPUT    as lake_options_parse(); a column of another type than the table's; an index
 *                of a column or method that is not there; a folder that is none
 *   NO_ACCESS    a folder that this process may not read
 *   UNSUPPORTED  an index type that needs an access method which the server does not have */
LakeLedgerEntry *
lake_options_set(LakeOptions *options, const char *zone, const char *text, gsize n_bytes,
    const LakeFileAttributes *attributes, GCancellable *cancellable, GError **error);

/* The drop zone was dropped or renamed, or others changed its options: ask again next time.
 * NULL: all of them. */
void lake_options_forget(LakeOptions *options, const char *zone);

/* Back to the workspace's settings; fine when there is nothing to remove. */
gboolean lake_options_remove(
    LakeOptions *options, const char *zone, GCancellable *cancellable, GError **error);
