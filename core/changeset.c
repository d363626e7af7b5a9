/* SPDX-License-Identifier: Apache-2.0 */
#include "core/changeset.h"

#include "core/catalog.h"
#include <string.h>

#define MAGIC "deeplakefs/1" /* another number when the form changes: others then ignore it */
#define EVERYTHING "*"
/* More are everything: whoever hears it must look at each. */
#define TABLES_MAX 256

static const struct {
    char letter;
    LakeChangeKind kind;
} letters[] = {
    {'t', LAKE_CHANGE_TABLE},
    {'f', LAKE_CHANGE_FILES},
    {'r', LAKE_CHANGE_ROWS},
};

LakeChangeset *
lake_changeset_new(void)
{
    LakeChangeset *set = g_new0(LakeChangeset, 1);

    set->tables = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return set;
}

void
lake_changeset_free(LakeChangeset *set)
{
    if (!set)
        return;
    g_hash_table_unref(set->tables);
    g_free(set);
}

void
lake_changeset_add(LakeChangeset *set, const char *table, guint kinds)
{
    if (set->is_everything)
        return;
    guint former = table ? GPOINTER_TO_UINT(g_hash_table_lookup(set->tables, table)) : 0;

    if (!table || (!former && g_hash_table_size(set->tables) >= TABLES_MAX)) {
        set->is_everything = TRUE;
        g_hash_table_remove_all(set->tables);
    } else if ((former | kinds) != former) {
        g_hash_table_replace(set->tables, g_strdup(table), GUINT_TO_POINTER(former | kinds));
    }
}

void
lake_changeset_merge(LakeChangeset *into, const LakeChangeset *from)
{
    GHashTableIter iterator;
    gpointer table;
    gpointer kinds;

    if (from->is_everything)
        lake_changeset_add(into, NULL, LAKE_CHANGE_ALL);
    g_hash_table_iter_init(&iterator, from->tables);
    while (g_hash_table_iter_next(&iterator, &table, &kinds))
        lake_changeset_add(into, table, GPOINTER_TO_UINT(kinds));
}

gboolean
lake_changeset_is_empty(const LakeChangeset *set)
{
    return !set->is_everything && g_hash_table_size(set->tables) == 0;
}

/* " tf:name", the name percent-encoded. */
static void
append_table(GString *text, const char *table, guint kinds)
{
    g_string_append_c(text, ' ');
    for (gsize i = 0; i < G_N_ELEMENTS(letters); i++)
        if (kinds & letters[i].kind)
            g_string_append_c(text, letters[i].letter);
    g_string_append_c(text, ':');
    g_string_append_uri_escaped(text, table, NULL, FALSE);
}

char *
lake_changeset_encode(const LakeChangeset *set, const char *sender)
{
    GString *text = g_string_new(MAGIC " ");
    GHashTableIter iterator;
    gpointer table;
    gpointer kinds;

    g_string_append(text, sender);
    gsize n_before = text->len;
    g_hash_table_iter_init(&iterator, set->tables);
    while (g_hash_table_iter_next(&iterator, &table, &kinds))
        append_table(text, table, GPOINTER_TO_UINT(kinds));
    if (set->is_everything || text->len > LAKE_CHANGESET_TEXT_MAX_BYTES) {
        g_string_truncate(text, n_before);
        g_string_append(text, " " EVERYTHING);
    }
    return g_string_free(text, FALSE);
}

/* 0: not kinds. */
static guint
parse_kinds(const char *text, gsize n_bytes)
{
    guint kinds = 0;

    for (gsize i = 0; i < n_bytes; i++) {
        gsize known = 0;
        while (known < G_N_ELEMENTS(letters) && letters[known].letter != text[i])
            known++;
        if (known == G_N_ELEMENTS(letters))
            return 0;
        kinds |= letters[known].kind;
    }
    return kinds;
}

static gboolean
parse_table(LakeChangeset *set, const char *word)
{
    const char *colon = strchr(word, ':');
    guint kinds = colon ? parse_kinds(word, (gsize)(colon - word)) : 0;
    g_autofree char *table = kinds ? g_uri_unescape_string(colon + 1, NULL) : NULL;

    if (!table || !lake_catalog_check_name(table, NULL))
        return FALSE;
    lake_changeset_add(set, table, kinds);
    return TRUE;
}

LakeChangeset *
lake_changeset_decode(const char *text, char **ret_sender)
{
    g_autoptr(LakeChangeset) set = lake_changeset_new();

    if (strlen(text) > LAKE_CHANGESET_TEXT_MAX_BYTES)
        return NULL;
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    if (g_strv_length(words) < 2 || strcmp(words[0], MAGIC) != 0 ||
        !g_uuid_string_is_valid(words[1]))
        return NULL;
    for (char **word = words + 2; *word; word++) {
        if (strcmp(*word, EVERYTHING) == 0)
            lake_changeset_add(set, NULL, LAKE_CHANGE_ALL);
        else if (!parse_table(set, *word))
            return NULL;
    }
    *ret_sender = g_strdup(words[1]);
    return g_steal_pointer(&set);
}
