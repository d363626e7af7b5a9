/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fs/node/table.h: a table's folder: query.sql, schema.json, info.json. */

#include "fs/node.h"

/* The table that node lies in or is, under its exact name; NULL at the root. Caller frees. */
char *fs_table_dup_name(FsNode *node);
