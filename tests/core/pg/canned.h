/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* tests/core/pg/canned.h: a server in memory for those who read the catalog and the ledger:
 * tables, drop zones and entries, questions counted. What others would change by SQL a test
 * changes here.
 *
 * It lies behind the door to libpq because a result is one of libpq's. Any thread. */

#include "core/transport.h"

typedef struct {
    LakeTransport transport;
    GMutex lock;        /* guards what is here until the counters */
    GPtrArray *tables;  /* of char*; a view's name begins with "view" */
    GPtrArray *zones;   /* of char* */
    GPtrArray *entries; /* private to canned.c */
    gboolean is_offline;
    gulong delay_us; /* of each answer */
    /* Called once, without the lock, when the next answer was made and has not been heard. */
    void (*meanwhile)(gpointer user_data);
    gpointer user_data;
    /* Atomic: */
    gint n_table_questions, n_list_questions, n_find_questions;
} CannedServer;

CannedServer *canned_server_new(void);
void canned_server_free(CannedServer *server);

void canned_server_add_table(CannedServer *server, const char *name);
/* size_bytes -1: a folder. */
void canned_server_add_entry(
    CannedServer *server, const char *zone, const char *path, gint64 size_bytes);
void canned_server_clear_entries(CannedServer *server);
void canned_server_set_offline(CannedServer *server, gboolean is_offline);
