/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/pg_deeplake/topk.h: ORDER BY column <#> query DESC, best first, from an index.
 *
 * The planner matches an index's ORDER BY operators to ascending keys only.
 * set_rel_pathlist_hook adds a CustomPath "Deeplake TopK" for the first pathkey where that is
 * ours and descending. Its custom_scan_tlist carries the score, so that it is computed once;
 * root->limit_tuples is a hint and no more: the scan goes on for as long as somebody asks. The
 * rows and their order are those of a sequential scan and a sort (equal scores in any order):
 *
 *   NULLs    where the ORDER BY puts them
 *   matches  from the index, by descending score, those that the snapshot sees and the filter
 * lets through the rest rows that match no term score 0, and come after the matches by a scan
 * of the table that leaves out what was given already
 */

/* Called by _PG_init. */
void deeplake_topk_install(void);
