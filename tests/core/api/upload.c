/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/upload.h"

#include "core/error.h"
#include "tests/core/api/canned.h"
#include <cjson/cJSON.h>
#include <string.h>

#define INLINE_BYTES (64 << 10)
#define PART_BYTES (1 << 20)
#define REQUEST_MAX_BYTES (16 << 20)
#define N_SENDERS 3
#define BROKEN "{\"error\":\"Database error: ERROR: disk full (SQLSTATE 53100)\"}"

static const LakeColumn columns[] = {
    {"n", LAKE_TYPE_INT64}, {"b", LAKE_TYPE_BINARY}, {"t\"", LAKE_TYPE_TEXT}};
#define N_COLUMNS 3

/* What arrived. */
typedef struct {
    GHashTable *rows;  /* row number → cJSON of the row's array, owned */
    GHashTable *parts; /* "row column part" → GByteArray */
    gint64 n_staged;
    char *id; /* of the upload */
} Arrived;

typedef struct {
    CannedService *service;
    LakeApiSession session;
    LakeApiUpload *upload;
    LakeRows *rows;
    GPtrArray *statements; /* what moves the rows */
    Arrived arrived;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->service = canned_service_new();
    canned_service_open_session(fixture->service, &fixture->session);
    fixture->upload = lake_api_upload_new(
        &fixture->session, "\"s\".\"t\"", "\"s\".\"staging\"", columns, N_COLUMNS, NULL);
    fixture->rows = lake_rows_new(columns, N_COLUMNS);
    fixture->statements = g_ptr_array_new_with_free_func((GDestroyNotify)lake_statement_free);
    fixture->arrived = (Arrived){
        .rows = g_hash_table_new_full(
            g_int64_hash, g_int64_equal, g_free, (GDestroyNotify)cJSON_Delete),
        .parts = g_hash_table_new_full(
            g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_byte_array_unref),
    };
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    lake_api_upload_free(fixture->upload, FALSE);
    g_hash_table_unref(fixture->arrived.rows);
    g_hash_table_unref(fixture->arrived.parts);
    g_free(fixture->arrived.id);
    lake_rows_free(fixture->rows);
    g_ptr_array_unref(fixture->statements);
    canned_service_close_session(&fixture->session);
    canned_service_free(fixture->service);
}

/* --- values --- */

static guint8
byte_at(gsize i)
{
    return (guint8)(i * 31 + i / 4096);
}

static char *
dup_bytes(gsize n_bytes)
{
    char *bytes = g_malloc(n_bytes + 1);

    for (gsize i = 0; i < n_bytes; i++)
        bytes[i] = (char)byte_at(i);
    return bytes;
}

/* Of two bytes each, so that parts end within characters; what JSON escapes is among them. */
static char *
dup_text(gsize n_bytes)
{
    char *text = g_malloc(n_bytes + 1);

    for (gsize i = 0; i + 1 < n_bytes; i += 2)
        memcpy(text + i, i % 64 == 6 ? "\"\\" : i % 64 == 8 ? "'\n" : "\xc3\xa4", 2);
    if (n_bytes % 2)
        text[n_bytes - 1] = 'x';
    text[n_bytes] = '\0';
    return text;
}

/* Row number n: bytes and a text of this size each; -1: NULL. */
static void
add_row(Fixture *fixture, gint64 n, gint64 n_bytes, gboolean by_spool)
{
    lake_rows_add_int64(fixture->rows, n);
    if (n_bytes < 0) {
        lake_rows_add_null(fixture->rows);
        lake_rows_add_null(fixture->rows);
        return;
    }
    g_autofree char *bytes = dup_bytes((gsize)n_bytes);
    g_autofree char *text = dup_text((gsize)n_bytes);
    if (by_spool) {
        g_autoptr(LakeSpool) spool = lake_spool_new(g_get_tmp_dir());
        g_assert_true(lake_spool_append(spool, bytes, (gsize)n_bytes, NULL));
        lake_rows_add_spool(fixture->rows, spool);
    } else {
        lake_rows_add_bytes(fixture->rows, bytes, (gsize)n_bytes);
    }
    lake_rows_add_text(fixture->rows, text, (gsize)n_bytes);
}

static void
send_rows(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;

    lake_api_upload_rows(fixture->upload, fixture->rows, &error);
    g_assert_no_error(error);
    lake_rows_clear(fixture->rows);
}

static void
end_upload(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;

    lake_api_upload_end(fixture->upload, fixture->statements, &error);
    g_assert_no_error(error);
}

/* --- what arrives --- */

static gint64
number_of(const cJSON *element)
{
    g_assert_true(cJSON_IsString(element));
    return g_ascii_strtoll(element->valuestring, NULL, 10);
}

static void
take_element(Arrived *arrived, const cJSON *element)
{
    g_assert_cmpint(cJSON_GetArraySize(element), ==, 6);
    const cJSON *row = cJSON_GetArrayItem(element, 4);
    const cJSON *bytes = cJSON_GetArrayItem(element, 5);
    gint64 row_number = number_of(cJSON_GetArrayItem(element, 1));
    gint64 column = number_of(cJSON_GetArrayItem(element, 2));
    gint64 part = number_of(cJSON_GetArrayItem(element, 3));
    const char *id = cJSON_GetArrayItem(element, 0)->valuestring;

    if (!arrived->id)
        arrived->id = g_strdup(id);
    g_assert_cmpstr(id, ==, arrived->id);
    arrived->n_staged++;
    if (column < 0) {
        g_assert_true(cJSON_IsNull(bytes));
        g_assert_cmpint(part, ==, 0);
        cJSON *parsed = cJSON_Parse(row->valuestring);
        g_assert_true(cJSON_IsArray(parsed));
        /* Consecutive ones, of which row_number is the first. */
        for (cJSON *one; (one = cJSON_DetachItemFromArray(parsed, 0)); row_number++)
            g_assert_true(g_hash_table_insert(
                arrived->rows, g_memdup2(&row_number, sizeof row_number), one));
        cJSON_Delete(parsed);
        return;
    }
    g_assert_true(cJSON_IsNull(row));
    gsize n_bytes;
    guint8 *decoded = g_base64_decode(bytes->valuestring, &n_bytes);
    g_assert_cmpuint(n_bytes, <=, PART_BYTES);
    g_assert_true(g_hash_table_insert(arrived->parts,
        g_strdup_printf("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT,
            row_number, column, part),
        g_byte_array_new_take(decoded, n_bytes)));
}

static void
take_list(Arrived *arrived, const cJSON *list)
{
    const cJSON *element;

    g_assert_true(cJSON_IsArray(list));
    cJSON_ArrayForEach(element, list) take_element(arrived, element);
}

static void
take_requests(Fixture *fixture)
{
    for (guint i = 0; i < canned_service_n_requests(fixture->service); i++) {
        g_autofree char *head = canned_service_dup_head(fixture->service, i);
        g_autofree char *body = canned_service_dup_body(fixture->service, i);
        cJSON *parsed = cJSON_Parse(body);

        g_assert_true(
            g_str_has_prefix(head, "POST /workspaces/ws/tables/query/batch HTTP/1.1\n"));
        g_assert_cmpuint(strlen(body), <, REQUEST_MAX_BYTES);
        g_assert_nonnull(strstr(
            cJSON_GetObjectItem(parsed, "query")->valuestring, "ON CONFLICT DO NOTHING"));
        take_list(&fixture->arrived, cJSON_GetObjectItem(parsed, "params_batch"));
        cJSON_Delete(parsed);
    }
}

static const cJSON *
get_value(Fixture *fixture, gint64 row_number, int column)
{
    const cJSON *row = g_hash_table_lookup(fixture->arrived.rows, &row_number);

    g_assert_nonnull(row);
    g_assert_cmpint(cJSON_GetArraySize(row), ==, N_COLUMNS);
    return cJSON_GetArrayItem(row, column);
}

/* The value as the server puts it together; caller frees. */
static GByteArray *
dup_value(Fixture *fixture, gint64 row_number, int column)
{
    const cJSON *value = get_value(fixture, row_number, column);
    GByteArray *whole = g_byte_array_new();

    if (cJSON_IsString(value) && columns[column].type == LAKE_TYPE_BINARY) {
        gsize n_bytes = 0;
        g_autofree guint8 *bytes =
            *value->valuestring ? g_base64_decode(value->valuestring, &n_bytes) : NULL;
        return g_byte_array_append(whole, bytes, (guint)n_bytes);
    }
    if (cJSON_IsString(value))
        return g_byte_array_append(
            whole, (guint8 *)value->valuestring, (guint)strlen(value->valuestring));
    g_assert_true(cJSON_IsNumber(value));
    for (int part = 0; part < value->valueint; part++) {
        g_autofree char *key =
            g_strdup_printf("%" G_GINT64_FORMAT " %d %d", row_number, column, part);
        const GByteArray *piece = g_hash_table_lookup(fixture->arrived.parts, key);
        g_assert_nonnull(piece);
        g_byte_array_append(whole, piece->data, piece->len);
    }
    return whole;
}

static void
assert_row(Fixture *fixture, gint64 n, gint64 n_bytes)
{
    g_assert_cmpint(number_of(get_value(fixture, n, 0)), ==, n);
    if (n_bytes < 0) {
        g_assert_true(cJSON_IsNull(get_value(fixture, n, 1)));
        g_assert_true(cJSON_IsNull(get_value(fixture, n, 2)));
        return;
    }
    g_autofree char *bytes = dup_bytes((gsize)n_bytes);
    g_autofree char *text = dup_text((gsize)n_bytes);
    g_autoptr(GByteArray) found_bytes = dup_value(fixture, n, 1);
    g_autoptr(GByteArray) found_text = dup_value(fixture, n, 2);
    g_assert_cmpmem(found_bytes->data, found_bytes->len, bytes, n_bytes);
    g_assert_cmpmem(found_text->data, found_text->len, text, n_bytes);
    gboolean is_inline = n_bytes <= INLINE_BYTES;
    g_assert_true(cJSON_IsString(get_value(fixture, n, 1)) == is_inline);
    g_assert_true(cJSON_IsString(get_value(fixture, n, 2)) == is_inline);
}

static const char *
get_parameter(Fixture *fixture, guint statement, guint parameter)
{
    const LakeStatement *found = fixture->statements->pdata[statement];

    return g_array_index(found->parameters, LakeParameter, parameter).text;
}

/* The statement that moves says how many rows of the staging table, and of how many rows. */
static void
assert_moved(Fixture *fixture, guint index, gint64 n_rows)
{
    const LakeStatement *move = fixture->statements->pdata[index];
    const LakeStatement *removes = fixture->statements->pdata[index + 1];
    g_autofree char *n_staged = g_strdup_printf("%" G_GINT64_FORMAT, fixture->arrived.n_staged);

    g_assert_true(g_str_has_prefix(
        move->sql, "INSERT INTO \"s\".\"t\" (\"n\", \"b\", \"t\"\"\") SELECT "));
    g_assert_cmpint(move->n_expected, ==, n_rows);
    g_assert_cmpstr(get_parameter(fixture, index, 1), ==, n_staged);
    if (fixture->arrived.id)
        g_assert_cmpstr(get_parameter(fixture, index, 0), ==, fixture->arrived.id);
    g_assert_true(g_str_has_prefix(removes->sql, "DELETE FROM \"s\".\"staging\""));
    g_assert_cmpstr(get_parameter(fixture, index, 0), ==, get_parameter(fixture, index + 1, 0));
}

/* --- tests --- */

static void
test_few_rows_go_with_the_transaction(Fixture *fixture, gconstpointer unused)
{
    add_row(fixture, 0, 0, FALSE);
    add_row(fixture, 1, -1, FALSE);
    send_rows(fixture);
    add_row(fixture, 2, INLINE_BYTES + 1, FALSE);
    send_rows(fixture);
    end_upload(fixture);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
    g_assert_cmpuint(fixture->statements->len, ==, 3);
    cJSON *list = cJSON_Parse(get_parameter(fixture, 0, 0));
    take_list(&fixture->arrived, list);
    cJSON_Delete(list);
    assert_row(fixture, 0, 0);
    assert_row(fixture, 1, -1);
    assert_row(fixture, 2, INLINE_BYTES + 1);
    assert_moved(fixture, 1, 3);
    /* Nothing was left anywhere. */
    lake_api_upload_free(g_steal_pointer(&fixture->upload), FALSE);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
}

static void
test_no_rows(Fixture *fixture, gconstpointer unused)
{
    send_rows(fixture);
    end_upload(fixture);
    g_assert_cmpuint(fixture->statements->len, ==, 3);
    g_assert_cmpstr(get_parameter(fixture, 0, 0), ==, "[]");
    assert_moved(fixture, 1, 0);
}

/* At the borders of what is no part of its row, and of a part; in memory, spools, and rows that
 * were staged. */
static void
test_values_of_every_size(Fixture *fixture, gconstpointer unused)
{
    static const gint64 sizes[] = {0, 1, -1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1,
        PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 5 << 20};
    g_autoptr(LakeSpool) staging = lake_spool_new(g_get_tmp_dir());
    gint64 n = 0;

    for (guint way = 0; way < 3; way++) {
        for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
            add_row(fixture, n++, sizes[i], way == 1);
            if (way == 2 && i % 4 == 3)
                g_assert_true(lake_rows_stage(fixture->rows, staging, NULL));
        }
        send_rows(fixture);
    }
    end_upload(fixture);
    take_requests(fixture);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), >, 10);
    g_assert_cmpuint(canned_service_n_at_once(fixture->service), <=, N_SENDERS);
    g_assert_cmpuint(g_hash_table_size(fixture->arrived.rows), ==, n);
    for (gint64 row = 0; row < n; row++)
        assert_row(fixture, row, sizes[row % (gint64)G_N_ELEMENTS(sizes)]);
    g_assert_cmpuint(fixture->statements->len, ==, 2);
    assert_moved(fixture, 0, n);
    lake_api_upload_free(g_steal_pointer(&fixture->upload), TRUE);
}

/* A text of nothing but what is escaped, twice, still makes requests that the service takes. */
static void
test_text_that_grows(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *text = g_strnfill(INLINE_BYTES, '\x01');

    for (gint64 n = 0; n < 60; n++) {
        lake_rows_add_int64(fixture->rows, n);
        lake_rows_add_null(fixture->rows);
        lake_rows_add_text(fixture->rows, text, INLINE_BYTES);
        send_rows(fixture);
    }
    end_upload(fixture);
    take_requests(fixture);
    g_assert_cmpuint(g_hash_table_size(fixture->arrived.rows), ==, 60);
    g_assert_cmpstr(get_value(fixture, 59, 2)->valuestring, ==, text);
}

static void
add_slow(Fixture *fixture, guint count, gulong delay_ms)
{
    static const char text[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";

    for (guint i = 0; i < count; i++)
        canned_service_add(
            fixture->service, &(CannedAnswer){.text = text, .delay_ms = delay_ms});
}

typedef struct {
    Fixture *fixture;
    gint n_sent; /* rows of a MiB; atomic */
} Feeder;

static gpointer
feed(gpointer data)
{
    Feeder *feeder = data;
    g_autofree char *bytes = g_malloc0(1 << 20);

    for (gint64 n = 0; n < 80; n++) {
        lake_rows_add_int64(feeder->fixture->rows, n);
        lake_rows_add_bytes(feeder->fixture->rows, bytes, 1 << 20);
        lake_rows_add_null(feeder->fixture->rows);
        send_rows(feeder->fixture);
        g_atomic_int_inc(&feeder->n_sent);
    }
    return NULL;
}

/* While the service does not answer no more is taken than fits in what waits for it. */
static void
test_memory_is_bounded(Fixture *fixture, gconstpointer unused)
{
    Feeder feeder = {.fixture = fixture};

    add_slow(fixture, N_SENDERS, 2000);
    GThread *thread = g_thread_new("feed", feed, &feeder);
    canned_service_wait(fixture->service, N_SENDERS);
    g_usleep(800 * 1000);
    g_assert_cmpint(g_atomic_int_get(&feeder.n_sent), <=, 32);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, N_SENDERS);
    g_thread_join(thread);
    end_upload(fixture);
    take_requests(fixture);
    g_assert_cmpuint(g_hash_table_size(fixture->arrived.rows), ==, 80);
}

/* --- failing --- */

/* TRUE where request number index removes what the upload has left. */
static gboolean
is_removal(Fixture *fixture, guint index)
{
    g_autofree char *body = canned_service_dup_body(fixture->service, index);
    cJSON *parsed = cJSON_Parse(body);
    g_autofree char *query = g_strdup(cJSON_GetObjectItem(parsed, "query")->valuestring);

    cJSON_Delete(parsed);
    return g_strcmp0(query, "DELETE FROM \"s\".\"staging\" WHERE upload = $1") == 0;
}

static void
test_failing_batch_ends_it(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    gboolean is_good = TRUE;
    guint n_rows = 0;

    canned_service_add_json(fixture->service, 500, NULL, BROKEN);
    for (; is_good && n_rows < 100; n_rows++) {
        add_row(fixture, n_rows, 1 << 20, FALSE);
        is_good = lake_api_upload_rows(fixture->upload, fixture->rows, &error);
        lake_rows_clear(fixture->rows);
        g_usleep(10 * 1000);
    }
    g_assert_false(is_good);
    g_assert_cmpuint(n_rows, <, 60);
    g_assert_cmpstr(lake_error_facts(error)->sqlstate, ==, "53100");
    guint n_before = canned_service_n_requests(fixture->service);
    lake_api_upload_free(g_steal_pointer(&fixture->upload), FALSE);
    guint n_requests = canned_service_n_requests(fixture->service);
    g_assert_cmpuint(n_requests, >, n_before);
    g_assert_true(is_removal(fixture, n_requests - 1));
}

/* Only its end can tell. */
static void
test_last_batch_fails(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    g_autofree char *bytes = dup_bytes(2 * PART_BYTES);

    lake_rows_add_int64(fixture->rows, 0);
    lake_rows_add_bytes(fixture->rows, bytes, 2 * PART_BYTES);
    lake_rows_add_null(fixture->rows);
    for (guint i = 0; i < 2; i++)
        canned_service_add_json(fixture->service, 500, NULL, BROKEN);
    send_rows(fixture);
    g_assert_false(lake_api_upload_end(fixture->upload, fixture->statements, &error));
    g_assert_cmpstr(lake_error_facts(error)->sqlstate, ==, "53100");
    g_assert_cmpuint(fixture->statements->len, ==, 0);
}

static void
test_leftovers_are_removed_unless_committed(Fixture *fixture, gconstpointer is_committed)
{
    add_row(fixture, 0, 5 << 20, FALSE);
    send_rows(fixture);
    end_upload(fixture);
    guint n_before = canned_service_n_requests(fixture->service);
    g_assert_cmpuint(n_before, >, 0);
    lake_api_upload_free(g_steal_pointer(&fixture->upload), is_committed != NULL);
    guint n_requests = canned_service_n_requests(fixture->service);
    g_assert_cmpuint(n_requests, ==, n_before + (is_committed ? 0 : 1));
    if (!is_committed)
        g_assert_true(is_removal(fixture, n_requests - 1));
}

static void
test_cancelled(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    lake_api_upload_free(fixture->upload, FALSE);
    fixture->upload = lake_api_upload_new(
        &fixture->session, "\"s\".\"t\"", "\"s\".\"staging\"", columns, N_COLUMNS, cancellable);
    add_row(fixture, 0, 5 << 20, FALSE);
    add_slow(fixture, 4, 3000);
    send_rows(fixture);
    canned_service_wait(fixture->service, 1);
    g_cancellable_cancel(cancellable);
    g_assert_false(lake_api_upload_end(fixture->upload, fixture->statements, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
}

int
main(int argc, char **argv)
{
#define ADD(name, function)                                                                    \
    g_test_add("/core/api/upload/" name, Fixture, NULL, set_up, function, tear_down)
    g_test_init(&argc, &argv, NULL);
    ADD("few-rows-go-with-the-transaction", test_few_rows_go_with_the_transaction);
    ADD("no-rows", test_no_rows);
    ADD("values-of-every-size", test_values_of_every_size);
    ADD("text-that-grows", test_text_that_grows);
    ADD("memory-is-bounded", test_memory_is_bounded);
    ADD("failing-batch-ends-it", test_failing_batch_ends_it);
    ADD("last-batch-fails", test_last_batch_fails);
    g_test_add("/core/api/upload/leftovers-are-removed", Fixture, NULL, set_up,
        test_leftovers_are_removed_unless_committed, tear_down);
    g_test_add("/core/api/upload/nothing-is-removed-after-commit", Fixture, "committed", set_up,
        test_leftovers_are_removed_unless_committed, tear_down);
    ADD("cancelled", test_cancelled);
    return g_test_run();
}
