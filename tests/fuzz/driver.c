/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/driver.h"

#include <string.h>

void
fuzz_check_rows(const LakeRows *rows)
{
    for (guint column = 0; column < lake_rows_n_columns(rows); column++) {
        const GByteArray *elements = lake_rows_elements(rows, column);
        gboolean is_text = lake_rows_column(rows, column)->type == LAKE_TYPE_TEXT;
        guint at = 0;

        for (guint row = 0; row < lake_rows_count(rows); row++) {
            guint32 length_field;
            CHECK(sizeof length_field <= elements->len - at);
            memcpy(&length_field, elements->data + at, sizeof length_field);
            guint32 length = g_ntohl(length_field);
            at += sizeof length_field;
            if (length == G_MAXUINT32)
                continue;
            CHECK(length <= elements->len - at);
            CHECK(!is_text ||
                  g_utf8_validate_len((const char *)elements->data + at, length, NULL));
            at += length;
        }
        CHECK(at == elements->len);
    }
}

#ifndef LAKE_LIBFUZZER

/* Runs a file, or the files of a folder; returns how many. */
static guint
run_path(const char *path)
{
    g_autofree char *content = NULL;
    g_autoptr(GError) error = NULL;
    gsize n_bytes;
    guint n_files = 0;

    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_autoptr(GDir) folder = g_dir_open(path, 0, &error);
        if (!folder)
            g_error("%s", error->message);
        for (const char *name; (name = g_dir_read_name(folder));) {
            g_autofree char *below = g_build_filename(path, name, NULL);
            n_files += run_path(below);
        }
        return n_files;
    }

    if (!g_file_get_contents(path, &content, &n_bytes, &error))
        g_error("%s", error->message);
    LLVMFuzzerTestOneInput((const guint8 *)content, n_bytes);
    return 1;
}

int
main(int argc, char **argv)
{
    guint n_files = 0;

    for (int i = 1; i < argc; i++)
        n_files += run_path(argv[i]);
    if (n_files == 0) {
        g_printerr("usage: %s FILE|FOLDER...\n", argv[0]);
        return 2;
    }
    g_print("%u inputs held\n", n_files);
    return 0;
}

#endif
