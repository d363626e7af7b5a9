/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/fault.h: named fault points for tests.
 *
 * LAKE_FAULT=name:n[,name:n …] in the environment makes the n-th pass of that point answer TRUE
 * (once; n defaults to 1; name:n:kill raises SIGKILL instead, name:n:sleep=MS sleeps and
 * answers FALSE). Compiled to FALSE without -Dtests=true. Any thread.
 */

#include <glib.h>

#ifdef LAKE_FAULTS
gboolean lake_fault(const char *name);
#else
#define lake_fault(name) FALSE
#endif
