/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/records/reader.h"

#include "core/error.h"
#include "core/ingest/records/csv.h"
#include "core/ingest/records/window.h"
#include <string.h>

typedef enum {
    FORM_LINES, /* one object per line */
    FORM_ARRAY, /* one array of objects */
    FORM_CSV,
    FORM_TSV,
} Form;

static const struct {
    const char *extension;
    Form form;
} forms[] = {
    {".jsonl", FORM_LINES},
    {".ndjson", FORM_LINES},
    {".json", FORM_ARRAY},
    {".csv", FORM_CSV},
    {".tsv", FORM_TSV},
};

struct LakeRecordReader {
    Form form;
    LakeRecordWindow window;
    gsize n_bytes; /* of the record at hand, at the window's beginning */
    gboolean has_begun;
    gint64 n_records;
    GPtrArray *names;   /* of a CSV file's columns, of char*; NULL: not read yet */
    GArray *fields;     /* of LakeJsonScanValue */
    GArray *members;    /* of LakeJsonScanMember */
    GStringChunk *keys; /* of the record, where they had escapes */
};

static gboolean
find_form(const char *path, Form *ret_form)
{
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        gsize n_path = strlen(path);
        gsize n_extension = strlen(forms[i].extension);
        if (n_path > n_extension &&
            g_ascii_strcasecmp(path + n_path - n_extension, forms[i].extension) == 0) {
            *ret_form = forms[i].form;
            return TRUE;
        }
    }
    return FALSE;
}

LakeRecordReader *
lake_record_reader_new(LakeSpool *content, const char *path, GError **error)
{
    Form form;

    if (!find_form(path, &form)) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
            "this drop zone has the format \"rows\", and takes .jsonl, .ndjson, .json, .csv "
            "and "
            ".tsv files");
        if (error)
            lake_error_hint(*error,
                "copy other files into a drop zone without it: their kind makes their rows");
        return NULL;
    }
    LakeRecordReader *reader = g_new0(LakeRecordReader, 1);
    reader->form = form;
    lake_record_window_init(&reader->window, content);
    reader->fields = g_array_new(FALSE, FALSE, sizeof(LakeJsonScanValue));
    reader->members = g_array_new(FALSE, FALSE, sizeof(LakeJsonScanMember));
    reader->keys = g_string_chunk_new(256);
    return reader;
}

void
lake_record_reader_free(LakeRecordReader *reader)
{
    if (!reader)
        return;
    lake_record_window_clear(&reader->window);
    g_clear_pointer(&reader->names, g_ptr_array_unref);
    g_array_unref(reader->fields);
    g_array_unref(reader->members);
    g_string_chunk_free(reader->keys);
    g_free(reader);
}

guint64
lake_record_reader_line(const LakeRecordReader *reader)
{
    return reader->window.line;
}

guint64
lake_record_reader_line_of(const LakeRecordReader *reader, const char *at)
{
    const LakeRecordWindow *window = &reader->window;
    gboolean is_inside =
        at >= window->bytes + window->begin && at <= window->bytes + window->end;

    return is_inside ? lake_record_window_line_of(window, at) : window->line;
}

gint64
lake_record_reader_offset(const LakeRecordReader *reader)
{
    return reader->window.offset - (gint64)(reader->window.end - reader->window.begin);
}

static gboolean
fail(LakeRecordReader *reader, const char *at, const char *reason, GError **error)
{
    return lake_error_bad_input(error, LAKE_ERROR_CLASS_INGEST,
        "line %" G_GUINT64_FORMAT ": %s", lake_record_reader_line_of(reader, at), reason);
}

static char *
begin_of(const LakeRecordReader *reader)
{
    return reader->window.bytes + reader->window.begin;
}

static char *
end_of(const LakeRecordReader *reader)
{
    return reader->window.bytes + reader->window.end;
}

/* The record from `at` on is whole, and ends at `end`. */
static gboolean
take_record(LakeRecordReader *reader, const char *at, const char *end, GError **error)
{
    reader->n_bytes = (gsize)(end - begin_of(reader));
    reader->n_records++;
    return lake_record_is_text(at, (gsize)(end - at)) ||
           fail(reader, at,
               "the row that begins here is not UTF-8, or has a NUL in it: convert the file",
               error);
}

/* --- CSV --- */

static gboolean
take_names(LakeRecordReader *reader)
{
    reader->names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < reader->fields->len; i++) {
        const LakeJsonScanValue *field = &g_array_index(reader->fields, LakeJsonScanValue, i);
        g_ptr_array_add(reader->names, g_strndup(field->text, field->n_bytes));
    }
    return TRUE;
}

static gboolean
check_width(LakeRecordReader *reader, GError **error)
{
    if (reader->fields->len == reader->names->len)
        return TRUE;
    g_autofree char *reason = g_strdup_printf("%u fields, but the first line names %u columns",
        reader->fields->len, reader->names->len);
    return fail(reader, begin_of(reader), reason, error);
}

static void
add_fields(LakeRecordReader *reader, GArray *items, gboolean are_names)
{
    g_array_set_size(items, reader->fields->len);
    for (guint i = 0; i < reader->fields->len; i++) {
        LakeRecordItem *item = &g_array_index(items, LakeRecordItem, i);
        item->name = reader->names->pdata[i];
        item->name_bytes = strlen(item->name);
        item->value = g_array_index(reader->fields, LakeJsonScanValue, i);
        if (are_names)
            item->value = (LakeJsonScanValue){.kind = LAKE_JSON_SCAN_NULL};
    }
}

/* A line on which nothing stands; of a single column that is a value, NULL. */
static gboolean
is_blank(const LakeRecordReader *reader)
{
    return reader->fields->len == 1 &&
           g_array_index(reader->fields, LakeJsonScanValue, 0).kind == LAKE_JSON_SCAN_NULL &&
           (!reader->names || reader->names->len > 1);
}

static gboolean
next_csv(LakeRecordReader *reader, GArray *items, gboolean *ret_done, GError **error)
{
    LakeRecordWindow *window = &reader->window;
    char separator = reader->form == FORM_TSV ? '\t' : ',';
    const char *reason;
    char *at;

    for (;;) {
        *ret_done = window->begin == window->end && window->is_at_end;
        if (*ret_done)
            return TRUE;
        LakeRecordCsvStatus status = LAKE_RECORD_CSV_SHORT;
        if (window->begin < window->end)
            status = lake_record_csv_next(begin_of(reader), end_of(reader), window->is_at_end,
                separator, reader->fields, &at, &reason);
        if (status == LAKE_RECORD_CSV_BAD)
            return fail(reader, at, reason, error);
        if (status == LAKE_RECORD_CSV_SHORT && !lake_record_window_more(window, error))
            return FALSE;
        if (status == LAKE_RECORD_CSV_SHORT)
            continue;
        if (!take_record(reader, begin_of(reader), at, error))
            return FALSE;
        if (!is_blank(reader))
            break;
        lake_record_window_pass(window, reader->n_bytes);
        reader->n_bytes = 0;
    }
    gboolean are_names = !reader->names && take_names(reader);
    if (!check_width(reader, error))
        return FALSE;
    add_fields(reader, items, are_names);
    return TRUE;
}

/* --- JSON --- */

static void
add_members(LakeRecordReader *reader, GArray *items)
{
    g_string_chunk_clear(reader->keys);
    g_array_set_size(items, reader->members->len);
    for (guint i = 0; i < reader->members->len; i++) {
        LakeRecordItem *item = &g_array_index(items, LakeRecordItem, i);
        const LakeJsonScanMember *member =
            &g_array_index(reader->members, LakeJsonScanMember, i);

        item->value = member->value;
        item->name = member->key.text;
        item->name_bytes = member->key.n_bytes;
        if (member->key.has_escapes) {
            g_autoptr(GString) decoded = g_string_new(NULL);
            lake_json_scan_decode(&member->key, decoded);
            item->name =
                g_string_chunk_insert_len(reader->keys, decoded->str, (gssize)decoded->len);
            item->name_bytes = decoded->len;
        }
    }
}

/* The object of one line, and nothing behind it. */
static gboolean
take_line(LakeRecordReader *reader, const char *at, const char *end, GError **error)
{
    LakeJsonScan json = {.at = at, .end = end};
    LakeJsonScanStatus status = lake_json_scan_object(&json, reader->members);

    lake_json_scan_skip_space(&json);
    if (status == LAKE_JSON_SCAN_SHORT)
        return fail(reader, at, "the line ends before its object does", error);
    if (status == LAKE_JSON_SCAN_BAD)
        return fail(reader, json.at, json.reason, error);
    if (json.at < end)
        return fail(reader, json.at, "something follows the object of this line", error);
    return TRUE;
}

static gboolean
next_line(LakeRecordReader *reader, GArray *items, gboolean *ret_done, GError **error)
{
    LakeRecordWindow *window = &reader->window;

    for (;;) {
        gsize n_held = window->end - window->begin;
        char *feed = n_held > 0 ? memchr(begin_of(reader), '\n', n_held) : NULL;

        *ret_done = n_held == 0 && window->is_at_end;
        if (*ret_done)
            return TRUE;
        if (!feed && !window->is_at_end) {
            if (!lake_record_window_more(window, error))
                return FALSE;
            continue;
        }
        LakeJsonScan json = {.at = begin_of(reader), .end = feed ? feed : end_of(reader)};
        const char *next = json.end + (feed != NULL);
        lake_json_scan_skip_space(&json);
        if (json.at == json.end) {
            lake_record_window_pass(window, (gsize)(next - begin_of(reader)));
            continue;
        }
        if (!take_record(reader, json.at, next, error) ||
            !take_line(reader, json.at, json.end, error))
            return FALSE;
        add_members(reader, items);
        return TRUE;
    }
}

/* Up to the next object of the array, or *ret_done behind its end. */
static LakeJsonScanStatus
skip_to_object(LakeRecordReader *reader, LakeJsonScan *json, gboolean *ret_done)
{
    lake_json_scan_skip_space(json);
    if (json->at == json->end)
        return LAKE_JSON_SCAN_SHORT;
    char expected = !reader->has_begun ? '[' : ',';
    if (reader->has_begun && *json->at == ']') {
        json->at++;
        *ret_done = TRUE;
        return LAKE_JSON_SCAN_GOOD;
    }
    if (!reader->has_begun || reader->n_records > 0) {
        if (*json->at != expected) {
            json->reason =
                expected == '['
                    ? "a .json file of rows is an array of objects: [{...}, ...]; for "
                      "one object per line call it .jsonl"
                    : "expected , or ] behind a row";
            return LAKE_JSON_SCAN_BAD;
        }
        json->at++;
    }
    return LAKE_JSON_SCAN_GOOD;
}

static LakeJsonScanStatus
scan_element(LakeRecordReader *reader, LakeJsonScan *json, gboolean *ret_done)
{
    LakeJsonScanStatus status = skip_to_object(reader, json, ret_done);

    if (status != LAKE_JSON_SCAN_GOOD || *ret_done)
        return status;
    if (!reader->has_begun) {
        reader->has_begun = TRUE;
        lake_record_window_pass(&reader->window, (gsize)(json->at - begin_of(reader)));
        return scan_element(reader, json, ret_done);
    }
    return lake_json_scan_object(json, reader->members);
}

/* Behind the array: nothing but space. */
static gboolean
check_end(LakeRecordReader *reader, GError **error)
{
    LakeRecordWindow *window = &reader->window;

    do {
        LakeJsonScan json = {.at = begin_of(reader), .end = end_of(reader)};
        lake_json_scan_skip_space(&json);
        if (json.at < json.end)
            return fail(reader, json.at, "something follows the array of rows", error);
        lake_record_window_pass(window, window->end - window->begin);
        if (!lake_record_window_more(window, error))
            return FALSE;
    } while (!window->is_at_end);
    return TRUE;
}

static gboolean
next_element(LakeRecordReader *reader, GArray *items, gboolean *ret_done, GError **error)
{
    LakeRecordWindow *window = &reader->window;

    for (*ret_done = FALSE;;) {
        LakeJsonScan json = {.at = begin_of(reader), .end = end_of(reader)};
        g_array_set_size(reader->members, 0);
        LakeJsonScanStatus status = scan_element(reader, &json, ret_done);

        if (status == LAKE_JSON_SCAN_GOOD && *ret_done) {
            lake_record_window_pass(window, (gsize)(json.at - begin_of(reader)));
            return check_end(reader, error);
        }
        if (status == LAKE_JSON_SCAN_GOOD) {
            if (!take_record(reader, begin_of(reader), json.at, error))
                return FALSE;
            add_members(reader, items);
            return TRUE;
        }
        if (status == LAKE_JSON_SCAN_BAD)
            return fail(reader, json.at, json.reason, error);
        if (window->is_at_end)
            return fail(reader, json.end, "the file ends before its array of rows does", error);
        if (!lake_record_window_more(window, error))
            return FALSE;
    }
}

/* --- any --- */

/* The first block, and whether a byte order mark stands before it. */
static gboolean
begin(LakeRecordReader *reader, GError **error)
{
    LakeRecordWindow *window = &reader->window;

    if (!lake_record_window_more(window, error))
        return FALSE;
    if (window->end >= 3 && memcmp(window->bytes, "\xef\xbb\xbf", 3) == 0)
        lake_record_window_pass(window, 3);
    return TRUE;
}

gboolean
lake_record_reader_next(
    LakeRecordReader *reader, GArray *items, gboolean *ret_done, GError **error)
{
    LakeRecordWindow *window = &reader->window;

    g_array_set_size(items, 0);
    if (!window->bytes && !begin(reader, error))
        return FALSE;
    lake_record_window_pass(window, reader->n_bytes);
    reader->n_bytes = 0;
    g_array_set_size(reader->members, 0);
    *ret_done = lake_spool_size(window->content) == 0;
    if (*ret_done)
        return TRUE;
    switch (reader->form) {
    case FORM_LINES:
        return next_line(reader, items, ret_done, error);
    case FORM_ARRAY:
        return next_element(reader, items, ret_done, error);
    case FORM_CSV:
    case FORM_TSV:
        return next_csv(reader, items, ret_done, error);
    }
    g_assert_not_reached();
}
