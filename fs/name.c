/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/name.h"

#include "core/catalog.h"
#include "core/error.h"
#include <string.h>

static gboolean
is_taken(const char *name)
{
    static const char *const reserved[] = {"ingest", ".deeplake", ".", ".."};

    for (gsize i = 0; i < G_N_ELEMENTS(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return TRUE;
    return g_str_has_suffix(name, ".sql");
}

char *
fs_name_from_table(const char *table)
{
    GString *name = g_string_new(NULL);
    /* All bytes of the first character, so that the rest stays UTF-8. */
    const char *plain = is_taken(table) ? g_utf8_next_char(table) : table;

    for (const char *byte = table; *byte; byte++)
        if (*byte == '%' || *byte == '/' || byte < plain)
            g_string_append_printf(name, "%%%02X", (guchar)*byte);
        else
            g_string_append_c(name, *byte);
    return g_string_free(name, FALSE);
}

static char *
decode(const char *name)
{
    GString *table = g_string_new(NULL);

    for (const char *byte = name; *byte; byte++) {
        int high = *byte == '%' ? g_ascii_xdigit_value(byte[1]) : -1;
        int low = high >= 0 ? g_ascii_xdigit_value(byte[2]) : -1;

        if (low >= 0)
            byte += 2;
        g_string_append_c(table, low >= 0 ? (char)(high << 4 | low) : *byte);
    }
    return g_string_free(table, FALSE);
}

gboolean
fs_name_is_reserved(const char *name)
{
    g_autofree char *table = *name == '%' ? decode(name) : NULL;
    g_autofree char *escaped = table ? fs_name_from_table(table) : NULL;

    /* "%71uery.sql" still ends in ".sql", and is how the table "query.sql" shows. */
    return is_taken(name) && g_strcmp0(escaped, name) != 0;
}

char *
fs_name_to_table(const char *name, GError **error)
{
    g_autofree char *table = decode(name);
    g_autofree char *again = NULL;

    if (!lake_catalog_check_name(table, error))
        return NULL;
    /* One table, one file name: what does not come back the same is another spelling. */
    again = fs_name_from_table(table);
    if (strcmp(again, name) != 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_BAD_INPUT,
            "\"%s\" is not how a table's name is written here; it would be \"%s\"", name,
            again);
        return NULL;
    }
    return g_steal_pointer(&table);
}

static void
append_part(GString *name, const char *part)
{
    if (!*part)
        g_string_append_c(name, '%');
    for (const char *byte = part; *byte; byte++)
        if (strchr("%,/", *byte) || g_ascii_iscntrl(*byte) || (byte == part && *byte == '.'))
            g_string_append_printf(name, "%%%02X", (guchar)*byte);
        else
            g_string_append_c(name, *byte);
}

char *
fs_name_from_key(const char *const *key)
{
    GString *name = g_string_new(NULL);

    for (const char *const *part = key; *part; part++) {
        if (part != key)
            g_string_append_c(name, ',');
        append_part(name, *part);
    }
    return g_string_free(name, FALSE);
}

char **
fs_name_to_key(const char *name, guint n_parts)
{
    g_auto(GStrv) key = g_strsplit(name, ",", -1);
    g_autofree char *again = NULL;

    if (!g_utf8_validate(name, -1, NULL) || g_strv_length(key) != n_parts)
        return NULL;
    for (char **part = key; *part; part++) {
        char *plain = strcmp(*part, "%") == 0 ? g_strdup("") : decode(*part);
        g_free(*part);
        *part = plain;
        if (!g_utf8_validate(plain, -1, NULL))
            return NULL;
    }
    /* One key, one name. It also finds "%00", which ended its part early. */
    again = fs_name_from_key((const char *const *)key);
    return strcmp(again, name) == 0 ? g_steal_pointer(&key) : NULL;
}

char *
fs_name_from_column(const char *column)
{
    GString *name = g_string_new(NULL);

    append_part(name, column);
    return g_string_free(name, FALSE);
}
