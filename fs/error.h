/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/error.h: the one table from core's errors to errno. */

#include "core/error.h"

/* Never 0. Errors of other domains (GIO's cancellation, GLib's files) are EINTR or EIO. */
int fs_error_to_errno(const GError *error);
