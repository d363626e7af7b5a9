/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* tests/fuzz/driver.h: what every fuzz target has in common.
 *
 * A target defines LLVMFuzzerTestOneInput. With LAKE_LIBFUZZER defined libFuzzer brings main;
 * else driver.c does, which runs the files and folders of argv. */

#include "core/rows.h"
#include <glib.h>

int LLVMFuzzerTestOneInput(const guint8 *data, size_t n_bytes);

/* Every column has a value, or NULL, for each of the rows and nothing behind them; text is
 * UTF-8. */
void fuzz_check_rows(const LakeRows *rows);

/* As g_assert, which a release build may leave out. */
#define CHECK(claim)                                                                           \
    do {                                                                                       \
        if (!(claim))                                                                          \
            g_error("%s:%d: %s does not hold", __FILE__, __LINE__, #claim);                    \
    } while (0)
