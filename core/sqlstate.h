/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/sqlstate.h: what PostgreSQL's error codes mean for a caller: one table, for whatever way
 * they came: libpq, or the text of a service.
 * Source: Appendix A of the PostgreSQL 15 manual. Any thread.
 */

#include "core/error.h"

/* sqlstate may be NULL: FAILED. */
LakeErrorCode lake_sqlstate_code(const char *sqlstate);

/* CREDENTIALS for class 28, else GENERAL. */
LakeErrorClass lake_sqlstate_class(const char *sqlstate);

/* The code that belongs to one of PostgreSQL's own messages in English ("relation "x" does not
 * exist"), or of a driver's about its connection, for who is told no code. NULL: not one that a
 * caller acts on. */
const char *lake_sqlstate_from_message(const char *message);
