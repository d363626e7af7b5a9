/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/commands/commands.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE_BYTES (256 * 1024)
#define CARET_MAX_COLUMNS 76

/* All of a descriptor, but not much more than a query may hold: the parser refuses the rest. */
static GString *
read_all(int fd, const char *name, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[8192];

    while (text->len <= LAKE_QUERY_MAX_BYTES) {
        gssize n_read = read(fd, buffer, sizeof buffer);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read < 0) {
            lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(errno),
                "cannot read %s: %s", name, g_strerror(errno));
            return NULL;
        }
        if (n_read == 0)
            break;
        g_string_append_len(text, buffer, n_read);
    }
    return g_steal_pointer(&text);
}

static GString *
read_file(const char *name, GError **error)
{
    if (g_str_equal(name, "-"))
        return read_all(STDIN_FILENO, "standard input", error);

    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, lake_error_code_from_errno(errno),
            "cannot open %s: %s", name, g_strerror(errno));
        return NULL;
    }
    GString *text = read_all(fd, name, error);
    close(fd);
    return text;
}

/* SQL from the command line, a file or standard input; parameters from the command line or,
 * where it has none, from the SQL's leading comments. */
static LakeQuery *
make_query(const MountOptions *options, GError **error)
{
    g_autoptr(GString) text = NULL;
    guint n_before = options->file ? 0 : 1;

    if (options->file)
        text = read_file(options->file, error);
    else if (g_str_equal(options->arguments->pdata[0], "-"))
        text = read_file("-", error);
    else
        text = g_string_new(options->arguments->pdata[0]);
    if (!text)
        return NULL;

    /* Parsing also checks size and encoding, so it comes first in both cases. */
    g_autoptr(LakeQuery) query = lake_query_parse(text->str, text->len, error);
    if (!query || options->arguments->len == n_before)
        return g_steal_pointer(&query);
    return lake_query_new(text->str, (const char *const *)options->arguments->pdata + n_before,
        options->arguments->len - n_before);
}

/* The line of sql that position (1-based, in characters) is in, and a caret below it. */
static void
print_caret(const char *sql, int position)
{
    if (position < 1 || !g_utf8_validate(sql, -1, NULL) || position > g_utf8_strlen(sql, -1))
        return;

    const char *at = g_utf8_offset_to_pointer(sql, position - 1);
    const char *line = at;
    while (line > sql && line[-1] != '\n')
        line--;
    glong column = g_utf8_pointer_to_offset(line, at);

    /* Of a long line, the part around the position. */
    if (column > CARET_MAX_COLUMNS - 16) {
        line = g_utf8_offset_to_pointer(at, -(CARET_MAX_COLUMNS / 2));
        column = CARET_MAX_COLUMNS / 2;
    }
    const char *end = line;
    for (int n = 0; *end && *end != '\n' && n < CARET_MAX_COLUMNS; n++)
        end = g_utf8_next_char(end);

    g_autofree char *shown = g_strdelimit(g_strndup(line, (gsize)(end - line)), "\t\r", ' ');
    fprintf(stderr, "  %s\n  %*s^\n", shown, (int)column, "");
}

static int
fail_query(MountSession *session, const LakeQuery *query, const GError *error)
{
    const LakeErrorFacts *facts = lake_error_facts(error);

    int status =
        mount_commands_fail(session->options, error, mount_commands_exit_status(error));
    if (facts)
        print_caret(query->sql, facts->position);
    return status;
}

static int
print_spool(MountSession *session, LakeSpool *spool)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *piece = g_malloc(PIECE_BYTES);
    gint64 offset = 0;
    gssize n_read;

    while ((n_read = lake_spool_read(spool, offset, piece, PIECE_BYTES, &error)) > 0) {
        if (!mount_commands_print(session->options, piece, (gsize)n_read))
            return MOUNT_EXIT_SYSTEM;
        offset += n_read;
    }
    return n_read < 0 ? mount_commands_fail(session->options, error, MOUNT_EXIT_SYSTEM)
                      : MOUNT_EXIT_OK;
}

static LakeQueryFormat
chosen_format(const MountOptions *options)
{
    if (options->is_csv)
        return LAKE_QUERY_CSV;
    return options->is_jsonl ? LAKE_QUERY_JSONL : LAKE_QUERY_JSON;
}

static int
run_query(MountSession *session)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(LakeQuery) query = make_query(session->options, &error);
    if (!query)
        return mount_commands_fail(session->options, error, MOUNT_EXIT_USAGE);

    g_autoptr(LakeSpool) into = lake_spool_new(lake_workspace_spool_dir(session->workspace));
    LakeQueryOutcome outcome = {0};
    if (!lake_workspace_query(session->workspace, query, chosen_format(session->options),
            session->config->read_only ? LAKE_QUERY_READ_ONLY : LAKE_QUERY_MAY_CHANGE, into,
            &outcome, session->cancellable, &error))
        return fail_query(session, query, error);

    g_debug("%" G_GINT64_FORMAT " rows, %" G_GINT64_FORMAT " changed", outcome.n_rows,
        outcome.n_affected);
    return print_spool(session, into);
}

int
mount_commands_query(const MountOptions *options)
{
    if (options->is_csv && options->is_jsonl) {
        g_autoptr(GError) error = NULL;
        lake_error_bad_input(&error, LAKE_ERROR_CLASS_GENERAL,
            "--csv and --jsonl exclude each other: a result has one format");
        return mount_commands_fail(options, error, MOUNT_EXIT_USAGE);
    }
    return mount_commands_with_workspace(options, run_query);
}
