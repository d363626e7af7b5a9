/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/options.h: the command line as a struct.
 *
 * One table of options (mount/options.c) and the settings of core/config.h make the parser and
 * the help (mount/help.c). Used by the main thread, before any other exists.
 */

#include "core/config.h"

typedef enum {
    MOUNT_COMMAND_MOUNT,
    MOUNT_COMMAND_UMOUNT,
    MOUNT_COMMAND_TABLES,
    MOUNT_COMMAND_QUERY,
    MOUNT_COMMAND_INGEST,
    MOUNT_COMMAND_DROP,
    MOUNT_COMMAND_STATUS,
    MOUNT_COMMAND_HELP,
} MountCommandId;

typedef struct {
    MountCommandId id;
    const char *name;
    const char *arguments; /* as help shows them */
    const char *summary;   /* one line, no full stop */
} MountCommand;

/* One option of the program; those of core/config.h come on top. */
typedef enum {
    MOUNT_OPTION_FLAG,  /* a gboolean of MountOptions */
    MOUNT_OPTION_TEXT,  /* a char * of MountOptions */
    MOUNT_OPTION_WORDS, /* -o */
    MOUNT_OPTION_NONE,  /* accepted, without effect */
} MountOptionKind;

typedef struct {
    const char *long_name; /* NULL: has a letter only */
    char short_name;       /* 0: has a long name only */
    MountOptionKind kind;
    const char *argument; /* placeholder for help; NULL: takes none */
    const char *help;     /* one line, no full stop */
    guint commands;       /* 1 << MountCommandId of each that takes it */
    gsize offset;         /* of its field in MountOptions */
} MountOption;

typedef struct {
    const MountCommand *command; /* NULL: none was named */
    gboolean is_helper;          /* called by mount(8), as mount.deeplakefs */
    GPtrArray *arguments;        /* of char *: what is no option, without the command */
    GPtrArray *settings; /* of char *: name, value, name, value …; value may be NULL */
    GString *fuse_words; /* comma-separated, escaped, for libfuse */
    char *config_file;
    char *log_level;
    char *file;                   /* holds the SQL */
    char *interval;               /* seconds */
    char *format;                 /* of ingest: "files", "rows" or "coco_panoptic" */
    char *schema;                 /* JSON, or the path of a file of it */
    char *index;                  /* JSON, or columns as in "text,file_id=btree" */
    char *images_dir, *masks_dir; /* as they were given */
    gboolean is_help;
    gboolean is_version;
    gboolean is_verbose;
    gboolean is_foreground;
    gboolean is_debug;
    gboolean allows_non_empty;
    gboolean is_fake;   /* mount -f: do all but mount */
    gboolean is_sloppy; /* mount -s: unknown words after -o are no error */
    gboolean is_lazy;
    gboolean is_json;
    gboolean is_jsonl;
    gboolean is_csv;
    gboolean is_long;
    gboolean if_exists;
    gboolean is_watch;
} MountOptions;

void mount_options_free(MountOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MountOptions, mount_options_free)

/* Parses argv; argv[0] decides whether mount(8) called.
 *   BAD_INPUT  an unknown command or option (the message names the nearest), a value that is
 * missing, a wrong number of arguments, a password */
MountOptions *mount_options_parse(int argc, char *const *argv, GError **error);

/* File, environment, then the command line: what was chosen in all.
 *   BAD_INPUT, NOT_FOUND  as core/config.h has them */
LakeConfig *mount_options_config(const MountOptions *options, GError **error);

/* Takes a list as it stands after -o: "ro,fsname=a\,b". */
gboolean mount_options_take_words(MountOptions *options, const char *list, GError **error);

/* Splits at commas; "\," is a comma and "\\" a backslash within a word. */
GStrv mount_options_split(const char *list);

const MountCommand *mount_options_commands(gsize *ret_n);
/* NULL when there is none of that name. */
const MountCommand *mount_options_find_command(const char *name);
const MountOption *mount_options_table(gsize *ret_n);
