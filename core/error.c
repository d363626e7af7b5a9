/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"

#include <errno.h>

typedef LakeErrorFacts LakeErrorPrivate;

static void
lake_error_private_init(LakeErrorPrivate *facts)
{
    *facts = (LakeErrorFacts){0};
}

static void
lake_error_private_copy(const LakeErrorPrivate *from, LakeErrorPrivate *to)
{
    *to = (LakeErrorFacts){
        .class = from->class,
        .sqlstate = g_strdup(from->sqlstate),
        .message = g_strdup(from->message),
        .detail = g_strdup(from->detail),
        .hint = g_strdup(from->hint),
        .position = from->position,
    };
}

static void
lake_error_private_clear(LakeErrorPrivate *facts)
{
    g_free(facts->sqlstate);
    g_free(facts->message);
    g_free(facts->detail);
    g_free(facts->hint);
}

/* Defines lake_error_quark and lake_error_get_private. */
G_DEFINE_EXTENDED_ERROR(LakeError, lake_error)

static void
set_error(GError **error, LakeErrorCode code, const LakeErrorFacts *facts, const char *format,
    va_list arguments)
{
    if (!error)
        return;

    GError *made = g_error_new_valist(LAKE_ERROR, code, format, arguments);
    LakeErrorFacts *own = lake_error_get_private(made);
    lake_error_private_clear(own);
    lake_error_private_copy(facts, own);
    g_propagate_error(error, made);
}

void
lake_error_set(
    GError **error, LakeErrorClass class, LakeErrorCode code, const char *format, ...)
{
    LakeErrorFacts facts = {.class = class};
    va_list arguments;

    va_start(arguments, format);
    set_error(error, code, &facts, format, arguments);
    va_end(arguments);
}

gboolean
lake_error_bad_input(GError **error, LakeErrorClass class, const char *format, ...)
{
    LakeErrorFacts facts = {.class = class};
    va_list arguments;

    va_start(arguments, format);
    set_error(error, LAKE_ERROR_BAD_INPUT, &facts, format, arguments);
    va_end(arguments);
    return FALSE;
}

void
lake_error_set_facts(
    GError **error, LakeErrorCode code, const LakeErrorFacts *facts, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set_error(error, code, facts, format, arguments);
    va_end(arguments);
}

const LakeErrorFacts *
lake_error_facts(const GError *error)
{
    return error->domain == LAKE_ERROR ? lake_error_get_private(error) : NULL;
}

void
lake_error_hint(GError *error, const char *format, ...)
{
    va_list arguments;

    if (error->domain != LAKE_ERROR)
        return;

    LakeErrorFacts *facts = lake_error_get_private(error);
    g_free(facts->hint);
    va_start(arguments, format);
    facts->hint = g_strdup_vprintf(format, arguments);
    va_end(arguments);
}

const char *
lake_error_class_name(const GError *error)
{
    const LakeErrorFacts *facts = lake_error_facts(error);

    switch (facts ? facts->class : LAKE_ERROR_CLASS_GENERAL) {
    case LAKE_ERROR_CLASS_GENERAL:
        return "ManagedServiceError";
    case LAKE_ERROR_CLASS_AUTH:
        return "AuthError";
    case LAKE_ERROR_CLASS_TOKEN:
        return "TokenError";
    case LAKE_ERROR_CLASS_CREDENTIALS:
        return "CredentialsError";
    case LAKE_ERROR_CLASS_WORKSPACE:
        return "WorkspaceError";
    case LAKE_ERROR_CLASS_TABLE:
        return "TableError";
    case LAKE_ERROR_CLASS_INGEST:
        return "IngestError";
    }
    g_assert_not_reached();
}

LakeErrorCode
lake_error_code_from_errno(int saved_errno)
{
    switch (saved_errno) {
    case ENOENT:
    case ENOTDIR:
        return LAKE_ERROR_NOT_FOUND;
    case EEXIST:
        return LAKE_ERROR_EXISTS;
    case ENOTEMPTY:
        return LAKE_ERROR_NOT_EMPTY;
    case EACCES:
    case EPERM:
        return LAKE_ERROR_NO_ACCESS;
    case EROFS:
        return LAKE_ERROR_READ_ONLY;
    case EFBIG:
        return LAKE_ERROR_TOO_BIG;
    case ENOSPC:
    case EDQUOT:
        return LAKE_ERROR_NO_SPACE;
    case ENAMETOOLONG:
        return LAKE_ERROR_LONG_NAME;
    case EINVAL:
        return LAKE_ERROR_BAD_INPUT;
    default:
        return LAKE_ERROR_FAILED;
    }
}
