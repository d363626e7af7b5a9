/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/upload.h"

#include "core/api/encode.h"
#include "core/api/values.h"
#include "core/error.h"
#include "core/query.h"
#include <string.h>

#define N_SENDERS 3             /* of the five requests that the service stands at once */
#define REQUEST_BYTES (2 << 20) /* of JSON; about this much, the service takes 16 MiB */
#define PART_BYTES (1 << 20)    /* of one value in a request */
#define INLINE_BYTES (64 << 10) /* a value of more is no part of its row's JSON */
#define ROWS_BYTES (256 << 10)  /* of JSON; so many rows are one of the staging table */
#define WAITING_MAX 1           /* requests that are made and not under way */
#define CLEAR_TIMEOUT_MS 10000
#define ROWS_COLUMN (-1) /* column_number of rows; else of a part of a value */

#define BATCH_BEGIN ",\"params_batch\":["

/* Where the stream of COPY BINARY is: what comes next is gathered in `field` until it is whole,
 * but of a long value no more than a part. */
typedef enum {
    AT_ROW,    /* the number of fields, 2 bytes */
    AT_LENGTH, /* 4 bytes; -1: NULL */
    AT_VALUE,
} Position;

struct LakeApiUpload {
    LakeApiSession *session;
    char *table, *staging;
    char *id; /* of what it puts into the staging table */
    const LakeColumn *columns;
    guint n_columns;
    GCancellable *cancellable;

    Position position;
    GByteArray *field;
    guint column;
    gint64 n_left; /* bytes of the value that did not come yet */
    gint64 n_part; /* parts of the value that are sent; 0: it has none */
    GString *row;  /* JSON array of the row's values so far */
    GString *rows; /* whole ones, joined by commas */
    gint64 n_rows; /* whole ones, all of them */
    gint64 first;  /* number of the first of rows */

    GString *batch;  /* JSON of a request, up to the end of its params_batch */
    guint n_batched; /* elements of it */
    gint64 n_staged; /* of rows and parts, in all batches */

    GThreadPool *senders;
    GMutex lock;
    GCond changed;
    guint n_waiting; /* guarded by lock: batches that are not sent yet */
    GError *failure; /* guarded by lock: the first one */
};

/* --- the staging table --- */

LakeStatement *
lake_api_upload_create_statement(const char *staging)
{
    return lake_statement_new_printf(
        "CREATE TABLE IF NOT EXISTS %s (upload text NOT NULL, row_number bigint NOT NULL,"
        " column_number integer NOT NULL, part bigint NOT NULL, row json, bytes bytea,"
        " staged_at timestamptz NOT NULL DEFAULT now(),"
        " PRIMARY KEY (upload, row_number, column_number, part))",
        staging);
}

LakeStatement *
lake_api_upload_clear_statement(const char *staging)
{
    return lake_statement_new_printf(
        "DELETE FROM %s WHERE staged_at < now() - interval '1 day'", staging);
}

/* --- sending --- */

/* A batch is the JSON of its request from the start, so that it need not be copied. */
static GString *
begin_batch(const LakeApiUpload *upload)
{
    g_autofree char *sql = g_strdup_printf(
        "INSERT INTO %s (upload, row_number, column_number, part, row, bytes)"
        " VALUES ($1, $2::bigint, $3::integer, $4::bigint, $5::json, decode($6, 'base64'))"
        " ON CONFLICT DO NOTHING",
        upload->staging);
    GString *batch = g_string_new("{\"query\":");

    lake_json_append_string(batch, sql, strlen(sql));
    g_string_append(batch, BATCH_BEGIN);
    return batch;
}

static gboolean
send_batch(LakeApiUpload *upload, const GString *batch, GError **error)
{
    LakeApiChange change = {
        .body = batch,
        .scope = LAKE_SCOPE_ROWS,
        .is_batch = TRUE,
        .is_repeatable = TRUE,
        .timeout_ms = upload->session->statement_timeout_ms,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(upload->session, &change, upload->cancellable, error);
    return answer != NULL;
}

static void
run_sender(gpointer data, gpointer user_data)
{
    LakeApiUpload *upload = user_data;
    GString *batch = data;
    g_autoptr(GError) failure = NULL;

    g_mutex_lock(&upload->lock);
    gboolean is_lost = upload->failure != NULL;
    g_mutex_unlock(&upload->lock);
    if (!is_lost)
        (void)send_batch(upload, batch, &failure);
    g_string_free(batch, TRUE);

    g_mutex_lock(&upload->lock);
    upload->n_waiting--;
    if (failure && !upload->failure)
        upload->failure = g_steal_pointer(&failure);
    g_cond_broadcast(&upload->changed);
    g_mutex_unlock(&upload->lock);
}

/* Waits until no more than n_max batches are on their way. */
static gboolean
wait_for_senders(LakeApiUpload *upload, guint n_max, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&upload->lock);

    while (upload->n_waiting > n_max)
        g_cond_wait(&upload->changed, &upload->lock);
    if (!upload->failure)
        return TRUE;
    if (error)
        *error = g_error_copy(upload->failure);
    return FALSE;
}

static gboolean
flush(LakeApiUpload *upload, GError **error)
{
    if (upload->n_batched == 0)
        return TRUE;
    g_string_append(upload->batch, "]}");
    if (!wait_for_senders(upload, N_SENDERS + WAITING_MAX - 1, error))
        return FALSE;
    if (!upload->senders)
        upload->senders = g_thread_pool_new(run_sender, upload, N_SENDERS, FALSE, NULL);
    g_mutex_lock(&upload->lock);
    upload->n_waiting++;
    g_mutex_unlock(&upload->lock);
    g_thread_pool_push(upload->senders, g_steal_pointer(&upload->batch), NULL);
    upload->batch = begin_batch(upload);
    upload->n_batched = 0;
    return TRUE;
}

/* One more row of the staging table, of which rows or bytes is given. */
static gboolean
stage(LakeApiUpload *upload, gint64 row_number, gint64 column_number, gint64 part,
    const GString *rows, const GByteArray *bytes, GError **error)
{
    GString *batch = upload->batch;

    g_string_append_printf(batch,
        "%s[\"%s\",\"%" G_GINT64_FORMAT "\",\"%" G_GINT64_FORMAT "\",\"%" G_GINT64_FORMAT "\",",
        upload->n_batched++ > 0 ? "," : "", upload->id, row_number, column_number, part);
    if (rows) {
        lake_json_append_string(batch, rows->str, rows->len);
        g_string_append(batch, ",null]");
    } else {
        g_string_append(batch, "null,\"");
        lake_api_values_append_base64(batch, bytes->data, bytes->len);
        g_string_append(batch, "\"]");
    }
    upload->n_staged++;
    return batch->len < REQUEST_BYTES || flush(upload, error);
}

/* --- the stream of COPY BINARY --- */

static LakeType
type_of(const LakeApiUpload *upload)
{
    return upload->columns[upload->column].type;
}

/* Those whose parts can be put together on the server. */
static gboolean
has_parts(LakeType type)
{
    return lake_api_values_is_bytes(type) || type == LAKE_TYPE_TEXT;
}

static void
append_value(LakeApiUpload *upload)
{
    const GByteArray *field = upload->field;

    if (lake_api_values_is_bytes(type_of(upload))) {
        g_string_append_c(upload->row, '"');
        lake_api_values_append_base64(upload->row, field->data, field->len);
        g_string_append_c(upload->row, '"');
        return;
    }
    g_autoptr(GString) text = g_string_new(NULL);
    lake_api_values_append(text, type_of(upload), field->data, field->len);
    lake_json_append_string(upload->row, text->str, text->len);
}

static gboolean
stage_rows(LakeApiUpload *upload, GError **error)
{
    if (upload->rows->len == 0)
        return TRUE;
    g_string_prepend_c(upload->rows, '[');
    g_string_append_c(upload->rows, ']');
    if (!stage(upload, upload->first, ROWS_COLUMN, 0, upload->rows, NULL, error))
        return FALSE;
    g_string_truncate(upload->rows, 0);
    upload->first = upload->n_rows;
    return TRUE;
}

static gboolean
end_row(LakeApiUpload *upload, GError **error)
{
    g_string_append_c(upload->row, ']');
    if (upload->rows->len > 0)
        g_string_append_c(upload->rows, ',');
    g_string_append_len(upload->rows, upload->row->str, (gssize)upload->row->len);
    upload->n_rows++;
    upload->position = AT_ROW;
    return upload->rows->len < ROWS_BYTES || stage_rows(upload, error);
}

static gboolean
end_field(LakeApiUpload *upload, GError **error)
{
    upload->position = AT_LENGTH;
    upload->column++;
    return upload->column < upload->n_columns || end_row(upload, error);
}

static gboolean
take_length(LakeApiUpload *upload, GError **error)
{
    guint32 bits;

    memcpy(&bits, upload->field->data, sizeof bits);
    g_byte_array_set_size(upload->field, 0);
    gint32 length = (gint32)GUINT32_FROM_BE(bits);
    if (upload->column > 0)
        g_string_append_c(upload->row, ',');
    if (length < 0) {
        g_string_append(upload->row, "null");
        return end_field(upload, error);
    }
    upload->position = AT_VALUE;
    upload->n_left = length;
    upload->n_part = 0;
    return TRUE;
}

/* A value in parts stands in its row as their number. */
static gboolean
take_value(LakeApiUpload *upload, GError **error)
{
    gboolean is_long = upload->n_part > 0 || upload->field->len > INLINE_BYTES;

    if (has_parts(type_of(upload)) && is_long) {
        if (upload->field->len > 0 && !stage(upload, upload->n_rows, upload->column,
                                          upload->n_part++, NULL, upload->field, error))
            return FALSE;
        if (upload->n_left == 0)
            g_string_append_printf(upload->row, "%" G_GINT64_FORMAT, upload->n_part);
    } else if (upload->n_left == 0) {
        append_value(upload);
    }
    if (upload->n_left > 0 && !has_parts(type_of(upload)))
        return TRUE; /* gathered whole, however long */
    g_byte_array_set_size(upload->field, 0);
    return upload->n_left > 0 || end_field(upload, error);
}

/* How many more bytes make what is being gathered complete. */
static gsize
n_wanted(const LakeApiUpload *upload)
{
    switch (upload->position) {
    case AT_ROW:
        return 2 - upload->field->len;
    case AT_LENGTH:
        return 4 - upload->field->len;
    case AT_VALUE:
        return has_parts(type_of(upload))
                   ? MIN((gsize)upload->n_left, PART_BYTES - upload->field->len)
                   : (gsize)upload->n_left;
    }
    g_assert_not_reached();
}

static gboolean
take_piece(LakeApiUpload *upload, GError **error)
{
    switch (upload->position) {
    case AT_ROW:
        g_byte_array_set_size(upload->field, 0);
        g_string_assign(upload->row, "[");
        upload->column = 0;
        upload->position = AT_LENGTH;
        return TRUE;
    case AT_LENGTH:
        return take_length(upload, error);
    case AT_VALUE:
        return take_value(upload, error);
    }
    g_assert_not_reached();
}

static gboolean
take_stream(const void *data, gsize n_bytes, gpointer user_data, GError **error)
{
    LakeApiUpload *upload = user_data;
    const guint8 *at = data;

    while (n_bytes > 0) {
        gsize n_taken = MIN(n_bytes, n_wanted(upload));

        g_byte_array_append(upload->field, at, (guint)n_taken);
        at += n_taken;
        n_bytes -= n_taken;
        if (upload->position == AT_VALUE)
            upload->n_left -= (gint64)n_taken;
        while (n_wanted(upload) == 0)
            if (!take_piece(upload, error))
                return FALSE;
    }
    return TRUE;
}

/* --- the face --- */

LakeApiUpload *
lake_api_upload_new(LakeApiSession *session, const char *table, const char *staging,
    const LakeColumn *columns, guint n_columns, GCancellable *cancellable)
{
    LakeApiUpload *upload = g_new0(LakeApiUpload, 1);

    upload->session = session;
    upload->table = g_strdup(table);
    upload->staging = g_strdup(staging);
    upload->id = g_uuid_string_random();
    upload->columns = columns;
    upload->n_columns = n_columns;
    g_set_object(&upload->cancellable, cancellable);
    upload->field = g_byte_array_new();
    upload->row = g_string_new(NULL);
    upload->rows = g_string_new(NULL);
    upload->batch = begin_batch(upload);
    g_mutex_init(&upload->lock);
    g_cond_init(&upload->changed);
    return upload;
}

gboolean
lake_api_upload_rows(LakeApiUpload *upload, const LakeRows *rows, GError **error)
{
    return lake_rows_write_copy(rows, take_stream, upload, error);
}

/* Column k of the row r.value, which is the r.place-th (from 1) of s.row. */
static void
append_column(GString *sql, const LakeApiUpload *upload, guint k)
{
    LakeType type = upload->columns[k].type;
    gboolean is_bytes = lake_api_values_is_bytes(type);
    g_autofree char *parts = g_strdup_printf(
        "(SELECT string_agg(p.bytes, ''::bytea ORDER BY p.part) FROM %s AS p"
        " WHERE p.upload = s.upload AND p.row_number = s.row_number + r.place - 1"
        " AND p.column_number = %u)",
        upload->staging, k);

    if (!has_parts(type)) {
        g_string_append_printf(sql, "(r.value ->> %u)::%s", k, lake_type_info(type)->sql_name);
        return;
    }
    g_string_append_printf(sql, "CASE json_typeof(r.value -> %u) WHEN 'number' THEN ", k);
    g_string_append_printf(sql, is_bytes ? "%s" : "convert_from(%s, 'UTF8')", parts);
    g_string_append_printf(sql,
        is_bytes ? " ELSE decode(r.value ->> %u, 'base64') END" : " ELSE r.value ->> %u END",
        k);
}

static LakeStatement *
move_statement(const LakeApiUpload *upload)
{
    g_autoptr(GString) sql = g_string_new(NULL);

    g_string_append_printf(sql, "INSERT INTO %s (", upload->table);
    for (guint k = 0; k < upload->n_columns; k++) {
        g_autofree char *name = lake_statement_quote(upload->columns[k].name);
        g_string_append_printf(sql, "%s%s", k > 0 ? ", " : "", name);
    }
    g_string_append(sql, ") SELECT ");
    for (guint k = 0; k < upload->n_columns; k++) {
        g_string_append(sql, k > 0 ? ", " : "");
        append_column(sql, upload, k);
    }
    /* As many as were sent, or none: a server that lags would have fewer. */
    g_string_append_printf(sql,
        " FROM %s AS s CROSS JOIN LATERAL"
        " json_array_elements(s.row) WITH ORDINALITY AS r(value, place)"
        " WHERE s.upload = $1 AND s.column_number = %d AND"
        " (SELECT count(*) FROM %s AS a WHERE a.upload = $1) = $2::bigint"
        " ORDER BY s.row_number, r.place",
        upload->staging, ROWS_COLUMN, upload->staging);

    LakeStatement *statement = lake_statement_new(sql->str);
    lake_statement_add_text(statement, upload->id);
    lake_statement_add_int64(statement, upload->n_staged);
    statement->n_expected = upload->n_rows;
    statement->scope = LAKE_SCOPE_ROWS;
    return statement;
}

static LakeStatement *
remove_statement(const LakeApiUpload *upload)
{
    LakeStatement *statement =
        lake_statement_new_printf("DELETE FROM %s WHERE upload = $1", upload->staging);

    lake_statement_add_text(statement, upload->id);
    statement->is_repeatable = TRUE;
    statement->scope = LAKE_SCOPE_ROWS;
    return statement;
}

/* What is in the batch, put into the staging table by the transaction itself. */
static LakeStatement *
stage_statement(const LakeApiUpload *upload)
{
    const char *first = strstr(upload->batch->str, BATCH_BEGIN) + strlen(BATCH_BEGIN);
    g_autofree char *list = g_strconcat("[", first, "]", NULL);
    LakeStatement *statement = lake_statement_new_printf(
        "INSERT INTO %s (upload, row_number, column_number, part, row, bytes)"
        " SELECT v ->> 0, (v ->> 1)::bigint, (v ->> 2)::integer, (v ->> 3)::bigint,"
        " (v ->> 4)::json, decode(v ->> 5, 'base64') FROM json_array_elements($1::json) AS v",
        upload->staging);
    lake_statement_add_text(statement, list);
    statement->scope = LAKE_SCOPE_ROWS;
    return statement;
}

gboolean
lake_api_upload_end(LakeApiUpload *upload, GPtrArray *into, GError **error)
{
    gboolean is_small;

    g_assert(upload->position == AT_ROW);
    if (!stage_rows(upload, error))
        return FALSE;
    is_small = upload->senders == NULL;
    if (!is_small && !flush(upload, error))
        return FALSE;
    if (!wait_for_senders(upload, 0, error))
        return FALSE;
    if (is_small)
        g_ptr_array_add(into, stage_statement(upload));
    g_ptr_array_add(into, move_statement(upload));
    g_ptr_array_add(into, remove_statement(upload));
    return TRUE;
}

static void
remove_staged(LakeApiUpload *upload)
{
    g_autoptr(LakeStatement) remove = remove_statement(upload);
    g_autoptr(GString) body = g_string_new(NULL);

    lake_api_encode_statement(body, remove, NULL, CLEAR_TIMEOUT_MS);
    LakeApiChange change = {
        .body = body,
        .scope = LAKE_SCOPE_ROWS,
        .is_repeatable = TRUE,
        .timeout_ms = CLEAR_TIMEOUT_MS,
    };
    g_autoptr(LakeApiAnswer) answer =
        lake_api_session_change(upload->session, &change, NULL, NULL);
}

void
lake_api_upload_free(LakeApiUpload *upload, gboolean is_committed)
{
    if (!upload)
        return;
    (void)wait_for_senders(upload, 0, NULL);
    if (upload->senders) {
        g_thread_pool_free(upload->senders, FALSE, TRUE);
        if (!is_committed)
            remove_staged(upload);
    }
    g_clear_error(&upload->failure);
    g_clear_object(&upload->cancellable);
    g_byte_array_unref(upload->field);
    g_string_free(upload->row, TRUE);
    g_string_free(upload->rows, TRUE);
    g_string_free(upload->batch, TRUE);
    g_mutex_clear(&upload->lock);
    g_cond_clear(&upload->changed);
    g_free(upload->table);
    g_free(upload->staging);
    g_free(upload->id);
    g_free(upload);
}
