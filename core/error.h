/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/error.h: what went wrong, said so that a caller can act on it.
 *
 * One GError domain. The code says what can be done about it; the facts beside it carry the
 * class of the Deeplake specification ("Error Handling") and what PostgreSQL said, field by
 * field. Any thread.
 */

#include <glib.h>

#define LAKE_ERROR (lake_error_quark())

/* What the caller can do. Becomes errno in fs/error.c and an exit status in mount/. */
typedef enum {
    LAKE_ERROR_FAILED,      /* none of the below: a bug, or a server's internal error */
    LAKE_ERROR_NOT_FOUND,   /* no such table, file, row */
    LAKE_ERROR_EXISTS,      /* the name is taken */
    LAKE_ERROR_NOT_EMPTY,   /* a folder that must be empty is not */
    LAKE_ERROR_BAD_INPUT,   /* what was given is wrong; giving it again will not help */
    LAKE_ERROR_BAD_NAME,    /* a name that is not UTF-8 */
    LAKE_ERROR_LONG_NAME,   /* a name beyond its limit */
    LAKE_ERROR_NO_ACCESS,   /* this role or user may not */
    LAKE_ERROR_REFUSED,     /* nobody may: the operation has no meaning here */
    LAKE_ERROR_READ_ONLY,   /* the workspace, or the transaction, is read-only */
    LAKE_ERROR_TOO_BIG,     /* larger than the kind or a limit allows */
    LAKE_ERROR_NO_SPACE,    /* no room to stage, or on the server's disk */
    LAKE_ERROR_OFFLINE,     /* the server could not be reached; worth trying again */
    LAKE_ERROR_BUSY,        /* a limit of things at once; worth trying again */
    LAKE_ERROR_TIMED_OUT,   /* a time limit of ours or the server's */
    LAKE_ERROR_CANCELLED,   /* the user interrupted */
    LAKE_ERROR_STALE,       /* it became another since it was found: find it again */
    LAKE_ERROR_OTHER_TABLE, /* cannot be moved across drop zones: copy instead */
    LAKE_ERROR_UNSUPPORTED, /* not offered here */
} LakeErrorCode;

/* The classes of the specification; GENERAL is its ManagedServiceError. */
typedef enum {
    LAKE_ERROR_CLASS_GENERAL,
    LAKE_ERROR_CLASS_AUTH,
    LAKE_ERROR_CLASS_TOKEN,
    LAKE_ERROR_CLASS_CREDENTIALS,
    LAKE_ERROR_CLASS_WORKSPACE,
    LAKE_ERROR_CLASS_TABLE,
    LAKE_ERROR_CLASS_INGEST,
} LakeErrorClass;

/* What PostgreSQL says of an error; each NULL or 0 where it said nothing. Owned by the GError.
 */
typedef struct {
    LakeErrorClass class;
    char *sqlstate; /* five characters; Appendix A of the PostgreSQL manual */
    char *message;  /* the server's primary message, without our prefixes */
    char *detail;
    char *hint;
    int position; /* 1-based character in the statement */
} LakeErrorFacts;

GQuark lake_error_quark(void);

/* Sets *error (when error is not NULL) with this class and code. */
void lake_error_set(GError **error, LakeErrorClass class, LakeErrorCode code,
    const char *format, ...) G_GNUC_PRINTF(4, 5);

/* As lake_error_set with BAD_INPUT. Returns FALSE, so that a check can end with it. */
gboolean lake_error_bad_input(GError **error, LakeErrorClass class, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* As lake_error_set; facts->class counts too, and the texts are copied. */
void lake_error_set_facts(GError **error, LakeErrorCode code, const LakeErrorFacts *facts,
    const char *format, ...) G_GNUC_PRINTF(4, 5);

/* What is known beside the message, borrowed from error; NULL when it is of another domain. */
const LakeErrorFacts *lake_error_facts(const GError *error);

/* Says what to do about it; replaces a hint that is there. error may be of another domain: then
 * nothing happens. */
void lake_error_hint(GError *error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* "IngestError", "ManagedServiceError" …: the specification's name of the error's class. */
const char *lake_error_class_name(const GError *error);

/* errno of a system call as a code: ENOSPC and EDQUOT give NO_SPACE, EACCES NO_ACCESS … */
LakeErrorCode lake_error_code_from_errno(int saved_errno);
