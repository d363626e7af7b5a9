/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/answer.h"

#include "core/error.h"
#include "core/json_scan.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define JSON_OID 114              /* pg_type.dat */
#define RELEASE_BYTES (256 << 10) /* a multiple of every page size */
#define ERROR_SHOWN_BYTES 1000

/* A value, and its text: in the arena of its result, but for bytes. */
typedef struct {
    const char *json; /* into the answer; NULL: SQL NULL */
    gsize json_bytes;
    const char *bytes;
    gsize text_at, text_bytes;
} Cell;

typedef struct {
    LakeResult base;
    guint n_columns, n_rows;
    char **names;
    gint64 n_affected;
    GArray *cells;  /* of Cell, row by row */
    GString *arena; /* texts, each with a NUL behind it */
    gboolean *are_bytes;
    GPtrArray
        *bytes; /* values of such columns; an arena would take twice the room of large ones */
    gboolean has_json; /* the answer outlives it */
} ApiResult;

struct LakeApiAnswer {
    LakeSpool *body;
    const char *text; /* n_bytes of it */
    gsize n_bytes;
    gboolean is_mapped;
    gsize n_released; /* from the start, not in memory any more */
    GPtrArray *names;
    LakeJsonScan rows; /* behind the bracket that opens them, or behind a row; at NULL: none */
    gint64 row_count;  /* -1: not said */
    ApiResult *row;    /* what next_row lends */
};

/* --- results --- */

static const Cell *
cell_of(const LakeResult *result, guint row, guint column)
{
    const ApiResult *own = (const ApiResult *)result;

    return &g_array_index(own->cells, Cell, (gsize)row * own->n_columns + column);
}

static void
result_free(LakeResult *result)
{
    ApiResult *own = (ApiResult *)result;

    g_strfreev(own->names);
    g_array_unref(own->cells);
    g_string_free(own->arena, TRUE);
    g_free(own->are_bytes);
    g_ptr_array_unref(own->bytes);
    g_free(own);
}

static guint
result_n_rows(const LakeResult *result)
{
    return ((const ApiResult *)result)->n_rows;
}

static guint
result_n_columns(const LakeResult *result)
{
    return ((const ApiResult *)result)->n_columns;
}

static const char *
result_column_name(const LakeResult *result, guint column)
{
    return ((const ApiResult *)result)->names[column];
}

static guint32
result_column_oid(const LakeResult *result, guint column)
{
    return JSON_OID;
}

static const char *
result_text(const LakeResult *result, guint row, guint column)
{
    const Cell *cell = cell_of(result, row, column);

    if (!cell->json)
        return NULL;
    return cell->bytes ? cell->bytes : ((const ApiResult *)result)->arena->str + cell->text_at;
}

static gsize
result_length(const LakeResult *result, guint row, guint column)
{
    const Cell *cell = cell_of(result, row, column);

    return cell->json ? cell->text_bytes : 0;
}

static const char *
result_json(const LakeResult *result, guint row, guint column, gsize *ret_n_bytes)
{
    const Cell *cell = cell_of(result, row, column);

    g_assert(((const ApiResult *)result)->has_json);
    *ret_n_bytes = cell->json_bytes;
    return cell->json;
}

static gint64
result_n_affected(const LakeResult *result)
{
    return ((const ApiResult *)result)->n_affected;
}

static const LakeResultClass result_class = {
    .free = result_free,
    .n_rows = result_n_rows,
    .n_columns = result_n_columns,
    .column_name = result_column_name,
    .column_oid = result_column_oid,
    .text = result_text,
    .length = result_length,
    .n_affected = result_n_affected,
    .json = result_json,
};

static ApiResult *
new_result(const GPtrArray *names, gint64 n_affected)
{
    ApiResult *result = g_new0(ApiResult, 1);

    result->base.class = &result_class;
    result->n_columns = names ? names->len : 0;
    result->names = g_new0(char *, result->n_columns + 1);
    for (guint i = 0; i < result->n_columns; i++)
        result->names[i] = g_strdup(names->pdata[i]);
    result->n_affected = n_affected;
    result->cells = g_array_new(FALSE, FALSE, sizeof(Cell));
    result->arena = g_string_new(NULL);
    result->are_bytes = g_new0(gboolean, result->n_columns + 1);
    result->bytes = g_ptr_array_new_with_free_func(g_free);
    return result;
}

LakeResult *
lake_api_answer_new_empty(gint64 n_affected)
{
    return &new_result(NULL, n_affected)->base;
}

/* --- reading --- */

static gboolean fail(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean
fail(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *what = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_FAILED,
        "the service's answer cannot be understood: %s", what);
    if (error)
        lake_error_hint(*error, "look whether api_url is that of a Deeplake service");
    return FALSE;
}

static gboolean
fail_scan(const LakeApiAnswer *answer, const LakeJsonScan *scan, LakeJsonScanStatus status,
    GError **error)
{
    return fail(error, "%s, at byte %zu of %zu",
        status == LAKE_JSON_SCAN_SHORT ? "it was cut" : scan->reason,
        (gsize)(scan->at - answer->text), answer->n_bytes);
}

static gboolean
load(LakeApiAnswer *answer, LakeSpool *body, GError **error)
{
    int fd = lake_spool_fd(body);

    answer->n_bytes = (gsize)lake_spool_size(body);
    if (answer->n_bytes == 0)
        return TRUE;
    if (fd >= 0) {
        void *mapped = mmap(NULL, answer->n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (mapped == MAP_FAILED)
            return fail(error, "it could not be mapped: %s", g_strerror(errno));
        answer->text = mapped;
        answer->is_mapped = TRUE;
        return TRUE;
    }
    char *copy = g_malloc(answer->n_bytes);
    answer->text = copy;
    gssize n_read = lake_spool_read(body, 0, copy, answer->n_bytes, error);
    return n_read == (gssize)answer->n_bytes || (n_read >= 0 && fail(error, "it was cut"));
}

static LakeJsonScan
scan_of(const char *at, const char *end)
{
    return (LakeJsonScan){.at = at, .end = end, .keeps_escapes = TRUE};
}

static gboolean
take_names(LakeApiAnswer *answer, const LakeJsonScanValue *columns, GError **error)
{
    LakeJsonScan scan = scan_of(columns->text + 1, columns->text + columns->n_bytes);

    for (lake_json_scan_skip_space(&scan); *scan.at != ']';) {
        LakeJsonScanValue name;
        LakeJsonScanStatus status = lake_json_scan_value(&scan, &name);

        if (status != LAKE_JSON_SCAN_GOOD)
            return fail_scan(answer, &scan, status, error);
        if (name.kind != LAKE_JSON_SCAN_STRING)
            return fail(error, "the name of a column is no string");
        GString *decoded = g_string_new(NULL);
        lake_json_scan_decode(&name, decoded);
        g_ptr_array_add(answer->names, g_string_free(decoded, FALSE));
        lake_json_scan_skip_space(&scan);
        if (*scan.at == ',')
            scan.at++;
    }
    return TRUE;
}

/* What was read up to here is given back: of a large answer no more than a part is in memory.
 */
static void
release(LakeApiAnswer *answer, const char *at)
{
    gsize n_passed = (gsize)(at - answer->text) & ~(gsize)(RELEASE_BYTES - 1);

    if (!answer->is_mapped || n_passed <= answer->n_released)
        return;
    (void)madvise((char *)answer->text + answer->n_released, n_passed - answer->n_released,
        MADV_DONTNEED);
    answer->n_released = n_passed;
}

/* Looks at each row once, so that later none can be short or bad. At the opening bracket. */
static gboolean
scan_rows(LakeApiAnswer *answer, LakeJsonScan *scan, GError **error)
{
    scan->at++;
    answer->rows = scan_of(scan->at, scan->end);
    lake_json_scan_skip_space(scan);
    for (gboolean has_ended = scan->at < scan->end && *scan->at == ']'; !has_ended;) {
        LakeJsonScanValue row;
        LakeJsonScanStatus status = lake_json_scan_value(scan, &row);

        if (status == LAKE_JSON_SCAN_GOOD) {
            lake_json_scan_skip_space(scan);
            status = scan->at < scan->end ? status : LAKE_JSON_SCAN_SHORT;
        }
        if (status != LAKE_JSON_SCAN_GOOD)
            return fail_scan(answer, scan, status, error);
        if (row.kind != LAKE_JSON_SCAN_ARRAY)
            return fail(error, "a row is no array");
        has_ended = *scan->at == ']';
        if (!has_ended && *scan->at != ',')
            return fail(error, "expected , or ] at byte %zu", (gsize)(scan->at - answer->text));
        scan->at += !has_ended;
        release(answer, scan->at);
    }
    scan->at++;
    return TRUE;
}

static const char *const member_names[] = {"columns", "rows", "row_count", "error"};
enum { COLUMNS, ROWS, ROW_COUNT, ERROR, N_MEMBERS };

/* Which of the members a key names; N_MEMBERS: none of them. */
static guint
find_member(const LakeJsonScanValue *key)
{
    guint number = 0;

    while (
        number < N_MEMBERS && (strlen(member_names[number]) != key->n_bytes ||
                                  memcmp(member_names[number], key->text, key->n_bytes) != 0))
        number++;
    return number;
}

/* At the value of member `number`. */
static gboolean
take_member(LakeApiAnswer *answer, guint number, LakeJsonScan *scan, GError **error)
{
    LakeJsonScanValue value;

    if (number == ROWS && scan->at < scan->end && *scan->at == '[')
        return scan_rows(answer, scan, error);
    LakeJsonScanStatus status = lake_json_scan_value(scan, &value);
    if (status != LAKE_JSON_SCAN_GOOD)
        return fail_scan(answer, scan, status, error);
    if (value.kind == LAKE_JSON_SCAN_NULL || number == N_MEMBERS)
        return TRUE;
    if (number == ERROR)
        return fail(error, "it has status 200, and says what went wrong: %.*s",
            (int)MIN(value.n_bytes, ERROR_SHOWN_BYTES), value.text);
    gboolean is_number = number == ROW_COUNT;
    if (value.kind != (is_number ? LAKE_JSON_SCAN_NUMBER : LAKE_JSON_SCAN_ARRAY))
        return fail(
            error, "\"%s\" is no %s", member_names[number], is_number ? "number" : "array");
    if (number == COLUMNS)
        return take_names(answer, &value, error);
    answer->row_count = g_ascii_strtoll(value.text, NULL, 10);
    return TRUE;
}

/* Passes over this character, and the space around it. */
static gboolean
expect(LakeApiAnswer *answer, LakeJsonScan *scan, char character, GError **error)
{
    lake_json_scan_skip_space(scan);
    if (scan->at >= scan->end)
        return fail_scan(answer, scan, LAKE_JSON_SCAN_SHORT, error);
    if (*scan->at != character)
        return fail(error, "expected %c at byte %zu of %zu", character,
            (gsize)(scan->at - answer->text), answer->n_bytes);
    scan->at++;
    lake_json_scan_skip_space(scan);
    return TRUE;
}

static gboolean
parse_members(LakeApiAnswer *answer, LakeJsonScan *scan, GError **error)
{
    gboolean are_there[N_MEMBERS + 1] = {FALSE};

    for (gboolean has_ended = scan->at < scan->end && *scan->at == '}'; !has_ended;) {
        LakeJsonScanValue key;
        LakeJsonScanStatus status = lake_json_scan_value(scan, &key);

        if (status != LAKE_JSON_SCAN_GOOD)
            return fail_scan(answer, scan, status, error);
        if (key.kind != LAKE_JSON_SCAN_STRING)
            return fail(error, "expected a name in double quotes");
        guint number = find_member(&key);
        if (number < N_MEMBERS && are_there[number])
            return fail(error, "\"%s\" is there twice", member_names[number]);
        are_there[number] = TRUE;
        if (!expect(answer, scan, ':', error) || !take_member(answer, number, scan, error))
            return FALSE;
        lake_json_scan_skip_space(scan);
        has_ended = scan->at < scan->end && *scan->at == '}';
        if (!has_ended && !expect(answer, scan, ',', error))
            return FALSE;
    }
    scan->at++;
    return TRUE;
}

static gboolean
parse(LakeApiAnswer *answer, GError **error)
{
    if (answer->n_bytes == 0)
        return TRUE;

    LakeJsonScan scan = scan_of(answer->text, answer->text + answer->n_bytes);

    lake_json_scan_skip_space(&scan);
    if (scan.at == scan.end)
        return TRUE;
    if (!expect(answer, &scan, '{', error) || !parse_members(answer, &scan, error))
        return FALSE;
    answer->n_released = 0;
    lake_json_scan_skip_space(&scan);
    if (scan.at == scan.end)
        return TRUE;
    scan.reason = "something follows it";
    return fail_scan(answer, &scan, LAKE_JSON_SCAN_BAD, error);
}

LakeApiAnswer *
lake_api_answer_new(LakeSpool *body, GError **error)
{
    g_autoptr(LakeApiAnswer) answer = g_new0(LakeApiAnswer, 1);

    answer->body = lake_spool_ref(body);
    answer->names = g_ptr_array_new_with_free_func(g_free);
    answer->row_count = -1;
    if (!load(answer, body, error) || !parse(answer, error))
        return NULL;
    answer->row = new_result(answer->names, answer->row_count);
    answer->row->has_json = TRUE;
    return g_steal_pointer(&answer);
}

void
lake_api_answer_free(LakeApiAnswer *answer)
{
    if (!answer)
        return;
    if (answer->row)
        result_free(&answer->row->base);
    g_ptr_array_unref(answer->names);
    if (answer->is_mapped)
        munmap((void *)answer->text, answer->n_bytes);
    else
        g_free((void *)answer->text);
    lake_spool_unref(answer->body);
    g_free(answer);
}

gboolean
lake_api_answer_has_rows(const LakeApiAnswer *answer)
{
    LakeJsonScan rows = answer->rows;

    if (!rows.at)
        return FALSE;
    lake_json_scan_skip_space(&rows);
    return *rows.at != ']';
}

gint64
lake_api_answer_n_affected(const LakeApiAnswer *answer)
{
    return answer->row_count;
}

/* --- rows --- */

/* Strictly: GLib's decoder passes over what it does not know, so half a value would be taken
 * for the whole. */
static gboolean
is_base64(const char *text, gsize n_bytes)
{
    gsize n_padding = 0;

    if (n_bytes % 4 != 0)
        return FALSE;
    while (n_padding < MIN(n_bytes, 2) && text[n_bytes - 1 - n_padding] == '=')
        n_padding++;
    for (gsize i = 0; i < n_bytes - n_padding; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '+' && text[i] != '/')
            return FALSE;
    return TRUE;
}

/* The bytes of a cell, with a NUL behind them. */
static gboolean
decode_base64(ApiResult *result, Cell *cell, const char *text, gsize n_bytes)
{
    gint state = 0;
    guint save = 0;

    if (!is_base64(text, n_bytes))
        return FALSE;
    char *bytes = g_malloc(n_bytes / 4 * 3 + 1);
    g_ptr_array_add(result->bytes, bytes);
    cell->bytes = bytes;
    cell->text_bytes = g_base64_decode_step(text, n_bytes, (guchar *)bytes, &state, &save);
    bytes[cell->text_bytes] = '\0';
    return TRUE;
}

static gboolean
take_bytes(ApiResult *result, Cell *cell, const LakeJsonScanValue *value, GError **error)
{
    gboolean is_good = FALSE;

    if (value->kind == LAKE_JSON_SCAN_STRING && value->has_escapes) {
        g_autoptr(GString) decoded = g_string_new(NULL);
        lake_json_scan_decode(value, decoded);
        is_good = decode_base64(result, cell, decoded->str, decoded->len);
    } else if (value->kind == LAKE_JSON_SCAN_STRING) {
        is_good = decode_base64(result, cell, value->text, value->n_bytes);
    }
    return is_good || fail(error, "a value that is bytes is not base64");
}

static void
take_text(ApiResult *result, Cell *cell, const LakeJsonScanValue *value)
{
    GString *arena = result->arena;

    cell->text_at = arena->len;
    switch (value->kind) {
    case LAKE_JSON_SCAN_NULL:
        break;
    case LAKE_JSON_SCAN_FALSE:
        g_string_append_c(arena, 'f');
        break;
    case LAKE_JSON_SCAN_TRUE:
        g_string_append_c(arena, 't');
        break;
    case LAKE_JSON_SCAN_STRING:
        if (value->has_escapes) {
            lake_json_scan_decode(value, arena);
            break;
        }
        G_GNUC_FALLTHROUGH;
    case LAKE_JSON_SCAN_NUMBER:
    case LAKE_JSON_SCAN_ARRAY:
    case LAKE_JSON_SCAN_OBJECT:
    case LAKE_JSON_SCAN_FIELD:
        g_string_append_len(arena, value->text, (gssize)value->n_bytes);
        break;
    }
    cell->text_bytes = arena->len - cell->text_at;
    g_string_append_c(arena, '\0');
}

/* A string's token has its quotes around it. */
static void
set_json(Cell *cell, const LakeJsonScanValue *value)
{
    gboolean is_string = value->kind == LAKE_JSON_SCAN_STRING;

    if (value->kind == LAKE_JSON_SCAN_NULL)
        return;
    cell->json = value->text - is_string;
    cell->json_bytes = value->n_bytes + 2 * is_string;
}

/* One value more of the row that begins with cell number n_before. */
static gboolean
take_cell(ApiResult *result, guint n_before, const LakeJsonScanValue *value, GError **error)
{
    guint column = result->cells->len - n_before;
    Cell cell = {0};

    if (column >= result->n_columns)
        return fail(error, "a row has more values than there are columns");
    set_json(&cell, value);
    if (cell.json && result->are_bytes[column]) {
        if (!take_bytes(result, &cell, value, error))
            return FALSE;
    } else if (cell.json) {
        take_text(result, &cell, value);
    }
    g_array_append_val(result->cells, cell);
    return TRUE;
}

/* Adds the next row to result; FALSE without an error: there is none. */
static gboolean
take_row(LakeApiAnswer *answer, ApiResult *result, GError **error)
{
    LakeJsonScan *rows = &answer->rows;
    LakeJsonScanValue row;
    guint n_before = result->cells->len;

    if (!lake_api_answer_has_rows(answer))
        return FALSE;
    release(answer, rows->at);
    /* All was scanned once, so nothing here can be short or bad. */
    LakeJsonScanStatus status = lake_json_scan_value(rows, &row);
    g_assert(status == LAKE_JSON_SCAN_GOOD);
    lake_json_scan_skip_space(rows);
    rows->at += *rows->at == ',';
    if (row.kind != LAKE_JSON_SCAN_ARRAY)
        return fail(error, "a row is no array");

    LakeJsonScan scan = scan_of(row.text + 1, row.text + row.n_bytes);
    for (lake_json_scan_skip_space(&scan); *scan.at != ']';) {
        LakeJsonScanValue value;
        status = lake_json_scan_value(&scan, &value);
        g_assert(status == LAKE_JSON_SCAN_GOOD);
        if (!take_cell(result, n_before, &value, error))
            return FALSE;
        lake_json_scan_skip_space(&scan);
        scan.at += *scan.at == ',';
        lake_json_scan_skip_space(&scan);
    }
    if (result->cells->len - n_before != result->n_columns)
        return fail(error, "a row has fewer values than there are columns");
    result->n_rows++;
    return TRUE;
}

LakeResult *
lake_api_answer_take(
    LakeApiAnswer *answer, const LakeStatement *statement, guint n_max, GError **error)
{
    g_autoptr(GError) failure = NULL;
    ApiResult *result = new_result(answer->names, answer->row_count);
    const GArray *bytes = statement->bytes_columns;

    for (guint i = 0; bytes && i < bytes->len; i++)
        if (g_array_index(bytes, guint, i) < result->n_columns)
            result->are_bytes[g_array_index(bytes, guint, i)] = TRUE;
    while (result->n_rows < n_max && take_row(answer, result, &failure))
        ;
    if (failure) {
        result_free(&result->base);
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    /* What RETURNING gives is what was touched, whatever the service counts. */
    if (result->n_columns > 0)
        result->n_affected = result->n_rows;
    return &result->base;
}

const LakeResult *
lake_api_answer_columns(LakeApiAnswer *answer)
{
    return &answer->row->base;
}

const LakeResult *
lake_api_answer_next_row(LakeApiAnswer *answer, GError **error)
{
    ApiResult *row = answer->row;

    g_array_set_size(row->cells, 0);
    g_string_truncate(row->arena, 0);
    row->n_rows = 0;
    return take_row(answer, row, error) ? &row->base : NULL;
}
