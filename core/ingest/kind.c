/* SPDX-License-Identifier: Apache-2.0 */

/* core/ingest/kind.c: names of files and what they mean: the kind by the extension, and which
 * names are never ingested. Also which settings can be. */

#include "core/ingest/normaliser.h"

#include "core/error.h"

#include <string.h>

/* Every kind of the format "files"; the last takes what no other does. */
static const LakeNormaliser *const kinds[] = {
    &lake_ingest_video,
    &lake_ingest_image,
    &lake_ingest_pdf,
    &lake_ingest_text,
    &lake_ingest_other,
};

/* The one kind of each other format. */
static const LakeNormaliser *
kind_of_format(LakeFormat format)
{
    switch (format) {
    case LAKE_FORMAT_FILES:
        return NULL;
    case LAKE_FORMAT_ROWS:
        return &lake_ingest_records;
    case LAKE_FORMAT_COCO_PANOPTIC:
        return &lake_ingest_coco;
    }
    g_assert_not_reached();
}

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Without the dot; "" when there is none. A dot that starts the name makes a hidden file, no
 * extension. */
static const char *
extension_of(const char *path)
{
    const char *name = last_part(path);
    const char *dot = strrchr(name, '.');

    return dot && dot != name ? dot + 1 : "";
}

static gboolean
has_extension(const LakeNormaliser *kind, const char *extension)
{
    for (const char *const *known = kind->extensions; *known; known++)
        if (g_ascii_strcasecmp(*known, extension) == 0)
            return TRUE;
    return FALSE;
}

const LakeNormaliser *
lake_ingest_kind_of(const char *path)
{
    const char *extension = extension_of(path);

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (!kinds[i]->extensions || has_extension(kinds[i], extension))
            return kinds[i];
    g_assert_not_reached();
}

const LakeNormaliser *
lake_ingest_kind_for(const char *path, const LakeIngestSettings *settings)
{
    const LakeNormaliser *kind = kind_of_format(lake_schema_format(settings->schema));

    return kind ? kind : lake_ingest_kind_of(path);
}

const LakeNormaliser *
lake_ingest_kind_named(const char *kind)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i]->kind, kind) == 0)
            return kinds[i];
    for (LakeFormat format = LAKE_FORMAT_ROWS; format <= LAKE_FORMAT_COCO_PANOPTIC; format++)
        if (strcmp(kind_of_format(format)->kind, kind) == 0)
            return kind_of_format(format);
    return NULL;
}

gboolean
lake_ingest_is_temporary(const char *path)
{
    const char *name = last_part(path);

    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (*part == '.')
            return TRUE;
    }
    return g_str_has_suffix(name, ".part") || g_str_has_suffix(name, ".tmp") ||
           g_str_has_suffix(name, "~");
}

/* A chunk of this many characters fits in a value, whatever the characters. */
#define CHUNK_SIZE_MAX (LAKE_ROWS_VALUE_MAX_BYTES / 4)

void
lake_ingest_settings_clear(LakeIngestSettings *settings)
{
    g_clear_pointer(&settings->schema, lake_schema_unref);
}

gboolean
lake_ingest_settings_check(const LakeIngestSettings *settings, GError **error)
{
    if (settings->chunk_size < 1 || settings->chunk_size > CHUNK_SIZE_MAX) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
            "chunk_size is %" G_GINT64_FORMAT
            ", but a chunk has at least 1 and at most %" G_GINT64_FORMAT " characters",
            settings->chunk_size, CHUNK_SIZE_MAX);
        return FALSE;
    }
    if (settings->chunk_overlap < 0 || settings->chunk_overlap >= settings->chunk_size) {
        lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_BAD_INPUT,
            "chunk_overlap is %" G_GINT64_FORMAT
            ", but has to be at least 0 and less than chunk_size, which is %" G_GINT64_FORMAT,
            settings->chunk_overlap, settings->chunk_size);
        return FALSE;
    }
    return TRUE;
}

gboolean
lake_ingest_takes_empty(const char *path)
{
    return !lake_ingest_kind_of(path)->refuses_empty;
}

gboolean
lake_ingest_check_value(gint64 size_bytes, GError **error)
{
    if (size_bytes <= LAKE_ROWS_VALUE_MAX_BYTES)
        return TRUE;

    lake_error_set(error, LAKE_ERROR_CLASS_INGEST, LAKE_ERROR_TOO_BIG,
        "the file has %" G_GINT64_FORMAT
        " bytes, but a file of this kind is one value, and a value has at most "
        "%" G_GINT64_FORMAT,
        size_bytes, LAKE_ROWS_VALUE_MAX_BYTES);
    if (error)
        lake_error_hint(*error, "split the file, or keep it elsewhere and ingest its path");
    return FALSE;
}

const char *
lake_ingest_kind_name(const char *path)
{
    return lake_ingest_kind_of(path)->kind;
}

const char *
lake_ingest_kind_with(const char *path, const LakeIngestSettings *settings)
{
    return lake_ingest_kind_for(path, settings)->kind;
}

static gboolean
has_column(const LakeNormaliser *kind, const char *name)
{
    for (guint i = 0; i < kind->n_columns; i++)
        if (strcmp(kind->columns[i].name, name) == 0)
            return TRUE;
    return FALSE;
}

gboolean
lake_ingest_is_column(LakeFormat format, const char *name)
{
    const LakeNormaliser *kind = kind_of_format(format);

    if (kind)
        return has_column(kind, name) || strcmp(name, "id") == 0;
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (has_column(kinds[i], name))
            return TRUE;
    return strcmp(name, "id") == 0;
}
