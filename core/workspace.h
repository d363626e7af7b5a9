/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* core/workspace.h: config + server + transport + catalog + jobs: the one object fs/ and mount/
 * hold.
 *
 * Open it after the last fork: it has connections and, with a private server, locks.
 * Any thread may use it; open and close belong to one.
 */

#include "core/config.h"
#include "core/extension.h"
#include "core/ingest.h"
#include "core/jobs.h"
#include "core/options.h"
#include "core/query.h"

typedef struct LakeWorkspace LakeWorkspace;

/* Starts or joins the private server unless config->dsn is set, connects once, and makes the
 * schema and ledger where missing. config is borrowed and must outlive the workspace. */
LakeWorkspace *
lake_workspace_open(const LakeConfig *config, GCancellable *cancellable, GError **error);
/* Announces the last changes, waits until others see them, closes connections, and stops the
 * private server when we were its last user. NULL is allowed. */
void lake_workspace_close(LakeWorkspace *workspace);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LakeWorkspace, lake_workspace_close)

const LakeConfig *lake_workspace_config(LakeWorkspace *workspace);
LakeCatalog *lake_workspace_catalog(LakeWorkspace *workspace);
LakeTransport *lake_workspace_transport(LakeWorkspace *workspace);
LakeChanges *lake_workspace_changes(LakeWorkspace *workspace);
LakeJobs *lake_workspace_jobs(LakeWorkspace *workspace);
LakeOptions *lake_workspace_options(LakeWorkspace *workspace);
/* As it was when the workspace was opened. In the database of the private server it is created
 * then; in any other one that is for its owner to decide. Borrowed. */
const LakeExtension *lake_workspace_extension(LakeWorkspace *workspace);

/* <state_dir>/spool, where staging files without names lie; borrowed. */
const char *lake_workspace_spool_dir(LakeWorkspace *workspace);
/* <state_dir>/queries/<workspace>, percent-encoded, where saved queries lie; borrowed. */
const char *lake_workspace_queries_dir(LakeWorkspace *workspace);

/* How many files are worth being ingested at once. */
guint lake_workspace_n_files_at_once(LakeWorkspace *workspace);

/* Ingests one file with the settings of its drop zone, which are filled into *file first. */
LakeLedgerEntry *lake_workspace_ingest(
    LakeWorkspace *workspace, LakeIngestFile *file, GCancellable *cancellable, GError **error);

/* Runs query with the workspace's limits. */
gboolean lake_workspace_query(LakeWorkspace *workspace, const LakeQuery *query,
    LakeQueryFormat format, LakeQueryMode mode, LakeSpool *into, LakeQueryOutcome *ret_outcome,
    GCancellable *cancellable, GError **error);

/* Returns when all that was committed so far would survive a power failure. */
gboolean
lake_workspace_sync(LakeWorkspace *workspace, GCancellable *cancellable, GError **error);
