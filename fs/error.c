/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/error.h"

#include <errno.h>
#include <gio/gio.h>

int
fs_error_to_errno(const GError *error)
{
    if (error->domain == G_IO_ERROR && error->code == G_IO_ERROR_CANCELLED)
        return EINTR;
    if (error->domain != LAKE_ERROR)
        return EIO;

    /* No default: a new code does not compile until it has chosen. */
    switch ((LakeErrorCode)error->code) {
    case LAKE_ERROR_FAILED:
        return EIO;
    case LAKE_ERROR_NOT_FOUND:
        return ENOENT;
    case LAKE_ERROR_EXISTS:
        return EEXIST;
    case LAKE_ERROR_NOT_EMPTY:
        return ENOTEMPTY;
    case LAKE_ERROR_BAD_INPUT:
        return EINVAL;
    case LAKE_ERROR_BAD_NAME:
        return EILSEQ;
    case LAKE_ERROR_LONG_NAME:
        return ENAMETOOLONG;
    case LAKE_ERROR_NO_ACCESS:
        return EACCES;
    case LAKE_ERROR_REFUSED:
        return EPERM;
    case LAKE_ERROR_READ_ONLY:
        return EROFS;
    case LAKE_ERROR_TOO_BIG:
        return EFBIG;
    case LAKE_ERROR_NO_SPACE:
        return ENOSPC;
    case LAKE_ERROR_OFFLINE:
        return EHOSTDOWN;
    case LAKE_ERROR_BUSY:
        return EBUSY;
    case LAKE_ERROR_TIMED_OUT:
        return ETIMEDOUT;
    case LAKE_ERROR_CANCELLED:
        return EINTR;
    case LAKE_ERROR_STALE:
        return ESTALE;
    case LAKE_ERROR_OTHER_TABLE:
        return EXDEV;
    case LAKE_ERROR_UNSUPPORTED:
        return EOPNOTSUPP;
    }
    return EIO;
}
