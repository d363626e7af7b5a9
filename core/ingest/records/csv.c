/* SPDX-License-Identifier: Apache-2.0 */
#include "core/ingest/records/csv.h"

#include <string.h>

typedef struct {
    char *at, *end;
    gboolean is_last;
    char separator;
    gboolean has_doubled; /* some field has "" */
    gboolean has_ended;   /* that was the last field of the record */
    const char *reason;
} Scanner;

static LakeRecordCsvStatus
bad(Scanner *scanner, const char *reason)
{
    scanner->reason = reason;
    return LAKE_RECORD_CSV_BAD;
}

/* At what follows a field. */
static LakeRecordCsvStatus
scan_end(Scanner *scanner)
{
    if (scanner->at == scanner->end) {
        scanner->has_ended = TRUE;
        return scanner->is_last ? LAKE_RECORD_CSV_GOOD : LAKE_RECORD_CSV_SHORT;
    }
    if (*scanner->at == scanner->separator) {
        scanner->at++;
        return LAKE_RECORD_CSV_GOOD;
    }
    scanner->has_ended = TRUE;
    if (*scanner->at == '\r') {
        if (scanner->at + 1 == scanner->end && !scanner->is_last)
            return LAKE_RECORD_CSV_SHORT;
        scanner->at++;
        if (scanner->at == scanner->end)
            return LAKE_RECORD_CSV_GOOD;
        if (*scanner->at != '\n')
            return bad(scanner, "a carriage return stands where no line ends");
    }
    if (*scanner->at != '\n')
        return bad(scanner, *scanner->at == '"'
                                ? "a quote stands within a field that is not quoted"
                                : "text stands behind a field's closing quote");
    scanner->at++;
    return LAKE_RECORD_CSV_GOOD;
}

/* At the opening quote. */
static LakeRecordCsvStatus
scan_quoted(Scanner *scanner, LakeJsonScanValue *ret_field)
{
    char *begin = scanner->at + 1;
    char *quote = begin;

    ret_field->has_escapes = TRUE;
    for (;; quote += 2) {
        quote = memchr(quote, '"', (gsize)(scanner->end - quote));
        if (!quote && scanner->is_last)
            return bad(scanner, "a quote is opened here and not closed");
        if (!quote || (quote + 1 == scanner->end && !scanner->is_last))
            return LAKE_RECORD_CSV_SHORT;
        if (quote + 1 == scanner->end || quote[1] != '"')
            break;
        scanner->has_doubled = TRUE;
    }
    ret_field->kind = LAKE_JSON_SCAN_FIELD;
    ret_field->text = begin;
    ret_field->n_bytes = (gsize)(quote - begin);
    scanner->at = quote + 1;
    return LAKE_RECORD_CSV_GOOD;
}

static void
scan_plain(Scanner *scanner, LakeJsonScanValue *ret_field)
{
    char *at = scanner->at;
    char separator = scanner->separator;

    while (at < scanner->end && *at != separator && *at != '\n' && *at != '\r' && *at != '"')
        at++;
    ret_field->text = scanner->at;
    ret_field->n_bytes = (gsize)(at - scanner->at);
    ret_field->kind = at > scanner->at ? LAKE_JSON_SCAN_FIELD : LAKE_JSON_SCAN_NULL;
    scanner->at = at;
}

/* "" becomes " in place. What is left over is blank: the bytes count as they are for whoever
 * counts lines. */
static void
undouble(LakeJsonScanValue *field)
{
    char *from = (char *)field->text;
    const char *end = from + field->n_bytes;
    char *to = from;

    while (from < end) {
        char byte = *from++;
        from += byte == '"';
        *to++ = byte;
    }
    field->n_bytes = (gsize)(to - field->text);
    memset(to, ' ', (gsize)(end - to));
}

LakeRecordCsvStatus
lake_record_csv_next(char *at, char *end, gboolean is_last, char separator, GArray *fields,
    char **ret_at, const char **ret_reason)
{
    Scanner scanner = {.at = at, .end = end, .is_last = is_last, .separator = separator};
    LakeRecordCsvStatus status = LAKE_RECORD_CSV_GOOD;

    g_array_set_size(fields, 0);
    while (status == LAKE_RECORD_CSV_GOOD && !scanner.has_ended) {
        LakeJsonScanValue field = {0};
        if (scanner.at < end && *scanner.at == '"')
            status = scan_quoted(&scanner, &field);
        else
            scan_plain(&scanner, &field);
        if (status == LAKE_RECORD_CSV_GOOD)
            status = scan_end(&scanner);
        if (status == LAKE_RECORD_CSV_GOOD)
            g_array_append_val(fields, field);
    }
    /* Not before: a short record is begun anew. */
    for (guint i = 0; status == LAKE_RECORD_CSV_GOOD && scanner.has_doubled && i < fields->len;
         i++) {
        LakeJsonScanValue *field = &g_array_index(fields, LakeJsonScanValue, i);
        if (field->has_escapes)
            undouble(field);
    }
    *ret_at = scanner.at;
    *ret_reason = scanner.reason;
    return status;
}
