/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/bm25/vacuum.h: takes dead rows out. */

#include "core/pg_deeplake/bm25.h"

IndexBulkDeleteResult *deeplake_bm25_bulk_delete(IndexVacuumInfo *info,
    IndexBulkDeleteResult *statistics, IndexBulkDeleteCallback callback, void *data);
IndexBulkDeleteResult *
deeplake_bm25_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *statistics);
