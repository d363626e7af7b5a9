/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* mount/help.h: help in at most 80 columns, made from the table of options. */

#include "mount/options.h"

#define MOUNT_HELP_COLUMNS 80

/* Help on one command, or on all where command is NULL; caller frees. */
char *mount_help_text(const MountCommand *command);
