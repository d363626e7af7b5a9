/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg/sqlstate.h: what PostgreSQL's error codes mean for a caller: one table.
 * Source: Appendix A of the PostgreSQL 15 manual. */

#include "core/error.h"

/* sqlstate may be NULL: FAILED. */
LakeErrorCode lake_pg_sqlstate_code(const char *sqlstate);

/* CREDENTIALS for class 28, else GENERAL. */
LakeErrorClass lake_pg_sqlstate_class(const char *sqlstate);
