/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/client.h"

#include "tests/core/api/canned.h"
#include <glib/gstdio.h>
#include <string.h>

/* {"OrgID":"org-1"}, {}, and {"exp":1500000000}, signed "s3ntinel". */
#define HEAD "eyJhbGciOiJub25lIn0."
#define TOKEN HEAD "eyJPcmdJRCI6Im9yZy0xIn0.s3ntinel"
#define OTHER_TOKEN HEAD "eyJPcmdJRCI6Im9yZy0xIn0.s3ntinel2"
#define TOKEN_WITHOUT_CLAIM HEAD "e30.s3ntinel"
#define OLD_TOKEN HEAD "eyJleHAiOjE1MDAwMDAwMDB9.s3ntinel"

#define PAGE "<!DOCTYPE html><html><body>s3ntinel</body></html>"

typedef struct {
    CannedService *service;
    LakeApiClient *client;
    GError *error;
} Fixture;

static LakeApiClient *
make_client(const char *url, LakeToken *token, const char *workspace)
{
    const LakeApiOptions options = {
        .url = url,
        .workspace = workspace,
        .token = token,
        .connect_timeout_ms = 5000,
        .staging_dir = g_get_tmp_dir(),
    };

    return lake_api_client_new(&options);
}

static void
use_token(Fixture *fixture, const char *text, const char *workspace)
{
    g_autoptr(LakeToken) token = text ? lake_token_new(text, NULL) : NULL;

    g_assert_true(!text || token);
    lake_api_client_free(fixture->client);
    fixture->client = make_client(canned_service_url(fixture->service), token, workspace);
}

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->service = canned_service_new();
    use_token(fixture, TOKEN, "ws");
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    if (fixture->error) {
        const LakeErrorFacts *facts = lake_error_facts(fixture->error);
        g_assert_null(strstr(fixture->error->message, "s3ntinel"));
        g_assert_null(facts->hint ? strstr(facts->hint, "s3ntinel") : NULL);
    }
    g_clear_error(&fixture->error);
    lake_api_client_free(fixture->client);
    canned_service_free(fixture->service);
}

static const LakeApiCall statement = {
    .body = "{\"query\":\"SELECT 1\"}", .body_bytes = 20, .timeout_ms = 20000};
static const LakeApiCall repeatable = {.body = "{\"query\":\"SELECT 1\"}",
    .body_bytes = 20,
    .timeout_ms = 20000,
    .is_repeatable = TRUE};

static char *
dup_answer(LakeSpool *spool)
{
    gint64 size_bytes = lake_spool_size(spool);
    char *text = g_malloc0((gsize)size_bytes + 1);

    g_assert_cmpint(lake_spool_read(spool, 0, text, (gsize)size_bytes, NULL), ==, size_bytes);
    return text;
}

static gboolean
query(Fixture *fixture, const LakeApiCall *call)
{
    g_clear_error(&fixture->error);
    g_autoptr(LakeSpool) answer =
        lake_api_client_query(fixture->client, call, NULL, &fixture->error);

    g_assert_true(!answer == (fixture->error != NULL));
    return answer != NULL;
}

static void
assert_error(Fixture *fixture, LakeErrorCode code, const char *class, const char *message)
{
    g_assert_error(fixture->error, LAKE_ERROR, (int)code);
    g_assert_cmpstr(lake_error_class_name(fixture->error), ==, class);
    g_assert_cmpstr(fixture->error->message, ==, message);
}

static void
assert_hint(Fixture *fixture, const char *part)
{
    const char *hint = lake_error_facts(fixture->error)->hint;

    g_assert_nonnull(hint);
    if (!strstr(hint, part))
        g_error("no \"%s\" in the hint: %s", part, hint);
}

static void
assert_asked(Fixture *fixture, guint index, const char *line, const char *const *headers)
{
    g_autofree char *head = canned_service_dup_head(fixture->service, index);
    g_autofree char *first = g_strconcat(line, " HTTP/1.1\n", NULL);

    g_assert_true(g_str_has_prefix(head, first));
    for (; headers && *headers; headers++) {
        g_autofree char *whole = g_strdup_printf("\n%s\n", *headers);
        if (!strstr(head, whole))
            g_error("no header \"%s\" in:\n%s", *headers, head);
    }
}

/* ---- opening ---- */

static void
test_open_takes_the_claim(Fixture *fixture, gconstpointer unused)
{
    static const char *const headers[] = {"Authorization: Bearer " TOKEN,
        "X-Activeloop-Org-Id: org-1", "Accept: application/json",
        "X-Deeplake-Client: deeplakefs/" DEEPLAKEFS_VERSION, NULL};

    g_assert_true(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 1);
    assert_asked(fixture, 0, "GET /workspaces/ws", headers);
}

static void
test_open_asks_who_we_are(Fixture *fixture, gconstpointer unused)
{
    static const char *const with[] = {"X-Activeloop-Org-Id: org-2", NULL};

    use_token(fixture, TOKEN_WITHOUT_CLAIM, "ws");
    canned_service_add_json(
        fixture->service, 200, NULL, "{\"id\":\"u\",\"organizations\":[\"org-2\",\"org-3\"]}");
    g_assert_true(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    assert_asked(fixture, 0, "GET /me", NULL);
    assert_asked(fixture, 1, "GET /workspaces/ws", with);
    g_autofree char *head = canned_service_dup_head(fixture->service, 0);
    g_assert_null(strstr(head, "X-Activeloop-Org-Id"));

    g_assert_true(query(fixture, &statement));
    assert_asked(fixture, 2, "POST /workspaces/ws/tables/query", with);
}

static void
test_no_organization(Fixture *fixture, gconstpointer unused)
{
    static const char *const answers[] = {"{\"organizations\":[]}", "{}", "[]", "no json",
        "{\"organizations\":[\"\"]}", "{\"organizations\":[7]}",
        "{\"organizations\":[\"\xc3\xa9\"]}"};

    use_token(fixture, TOKEN_WITHOUT_CLAIM, "ws");
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++) {
        canned_service_add_json(fixture->service, 200, NULL, answers[i]);
        g_clear_error(&fixture->error);
        g_assert_false(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
        assert_error(
            fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token does not contain org_id");
        assert_hint(fixture, "OrgID");
        assert_hint(fixture, "/me");
    }
    canned_service_add_json(fixture->service, 404, NULL, "{\"error\":\"Not found: /me\"}");
    g_clear_error(&fixture->error);
    g_assert_false(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    assert_error(fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token does not contain org_id");
}

static void
test_missing_workspace_is_made(Fixture *fixture, gconstpointer unused)
{
    use_token(fixture, TOKEN, "a b/\"c");
    canned_service_add_json(
        fixture->service, 404, NULL, "{\"error\":\"Not found: /workspaces/x\"}");
    canned_service_add_json(fixture->service, 201, NULL, "{}");
    g_assert_true(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    assert_asked(fixture, 0, "GET /workspaces/a%20b%2F%22c", NULL);
    assert_asked(fixture, 1, "POST /workspaces", NULL);
    g_autofree char *body = canned_service_dup_body(fixture->service, 1);
    g_assert_cmpstr(body, ==, "{\"id\":\"a b/\\\"c\",\"name\":\"a b/\\\"c\"}");
}

/* Somebody else was quicker. */
static void
test_workspace_that_is_there_after_all(Fixture *fixture, gconstpointer unused)
{
    canned_service_add_json(fixture->service, 404, NULL, "{\"error\":\"Not found\"}");
    canned_service_add_json(fixture->service, 409, NULL, "{\"error\":\"exists\"}");
    g_assert_true(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
}

static void
test_read_only_makes_no_workspace(Fixture *fixture, gconstpointer unused)
{
    canned_service_add_json(
        fixture->service, 404, NULL, "{\"error\":\"Not found: /workspaces/ws\"}");
    g_assert_false(lake_api_client_open(fixture->client, TRUE, NULL, &fixture->error));
    assert_error(fixture, LAKE_ERROR_NOT_FOUND, "WorkspaceError",
        "the workspace ws, which a read-only mount does not make: Not found: /workspaces/ws");
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 1);
}

static void
test_workspace_of_others(Fixture *fixture, gconstpointer unused)
{
    canned_service_add_json(fixture->service, 403, NULL, "{\"error\":\"not a member\"}");
    g_assert_false(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    assert_error(fixture, LAKE_ERROR_NO_ACCESS, "WorkspaceError",
        "the workspace ws: the service does not allow it: not a member (status 403)");
}

static void
test_no_workspace(Fixture *fixture, gconstpointer unused)
{
    static const char *const names[] = {NULL, ""};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        use_token(fixture, TOKEN, names[i]);
        g_clear_error(&fixture->error);
        g_assert_false(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
        assert_error(
            fixture, LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "workspace_id required");
        assert_hint(fixture, "DEEPLAKE_WORKSPACE");
    }
    use_token(fixture, TOKEN, "..");
    g_clear_error(&fixture->error);
    g_assert_false(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
}

static void
test_no_token(Fixture *fixture, gconstpointer unused)
{
    use_token(fixture, NULL, "ws");
    g_assert_false(lake_api_client_open(fixture->client, FALSE, NULL, &fixture->error));
    assert_error(fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token required");
    assert_hint(fixture, "DEEPLAKE_API_KEY");
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
}

static void
test_expired_beforehand(Fixture *fixture, gconstpointer unused)
{
    use_token(fixture, OLD_TOKEN, "ws");
    g_assert_false(query(fixture, &repeatable));
    assert_error(
        fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token expired on 2017-07-14 02:40:00 UTC");
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 0);
}

/* ---- queries ---- */

static void
test_query(Fixture *fixture, gconstpointer unused)
{
    static const char *const headers[] = {"Content-Type: application/json",
        "Authorization: Bearer " TOKEN, "X-Activeloop-Org-Id: org-1", NULL};
    LakeApiCall batch = statement;

    g_assert_true(lake_api_client_open(fixture->client, FALSE, NULL, NULL));
    canned_service_add_json(fixture->service, 200, NULL, "{\"row_count\":1}");
    g_autoptr(LakeSpool) answer =
        lake_api_client_query(fixture->client, &statement, NULL, &fixture->error);
    g_assert_no_error(fixture->error);
    g_autofree char *text = dup_answer(answer);
    g_assert_cmpstr(text, ==, "{\"row_count\":1}");
    assert_asked(fixture, 1, "POST /workspaces/ws/tables/query", headers);
    g_autofree char *body = canned_service_dup_body(fixture->service, 1);
    g_assert_cmpstr(body, ==, statement.body);

    batch.is_batch = TRUE;
    g_assert_true(query(fixture, &batch));
    assert_asked(fixture, 2, "POST /workspaces/ws/tables/query/batch", headers);
    g_assert_cmpuint(canned_service_n_connections(fixture->service), ==, 1);
}

static void
test_nothing_comes_back(Fixture *fixture, gconstpointer unused)
{
    canned_service_add(
        fixture->service, &(CannedAnswer){.text = "HTTP/1.1 204 No Content\r\n\r\n"});
    g_autoptr(LakeSpool) answer =
        lake_api_client_query(fixture->client, &statement, NULL, &fixture->error);
    g_assert_no_error(fixture->error);
    g_assert_cmpint(lake_spool_size(answer), ==, 0);
}

/* long: a table of what one answer becomes, without repeating */
static void
test_errors(Fixture *fixture, gconstpointer unused)
{
    static const struct {
        int status;
        const char *body;
        LakeErrorCode code;
        const char *class, *sqlstate, *message;
    } cases[] = {
        {500,
            "{\"error\":\"Database error: ERROR: relation \\\"t\\\" does not exist (SQLSTATE "
            "42P01)\"}",
            LAKE_ERROR_NOT_FOUND, "ManagedServiceError", "42P01",
            "relation \"t\" does not exist (SQLSTATE 42P01)"},
        {500,
            "{\"error\":\"Database error: ERROR: password authentication failed (SQLSTATE "
            "28P01)\"}",
            LAKE_ERROR_NO_ACCESS, "CredentialsError", "28P01",
            "password authentication failed (SQLSTATE 28P01)"},
        {500, "{\"error\":\"ERROR: it says (SQLSTATE 12345) within (SQLSTATE 22P02)\"}",
            LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "22P02",
            "it says (SQLSTATE 12345) within (SQLSTATE 22P02)"},
        {400, "{\"error\":\"ERROR: syntax error at or near \\\"x\\\" (SQLSTATE 42601)\"}",
            LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "42601",
            "syntax error at or near \"x\" (SQLSTATE 42601)"},
        {500, "{\"error\":\"Database error: relation \\\"t\\\" already exists\"}",
            LAKE_ERROR_EXISTS, "ManagedServiceError", "42P07",
            "relation \"t\" already exists (SQLSTATE 42P07)"},
        {500, "{\"error\":\"column \\\"c\\\" of relation \\\"t\\\" already exists\"}",
            LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "42701",
            "column \"c\" of relation \"t\" already exists (SQLSTATE 42701)"},
        {500, "{\"error\":\"column \\\"c\\\" of relation \\\"t\\\" does not exist\"}",
            LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "42703",
            "column \"c\" of relation \"t\" does not exist (SQLSTATE 42703)"},
        {500,
            "{\"error\":\"duplicate key value violates unique constraint "
            "\\\"pg_class_relname_nsp_index\\\"\"}",
            LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "23505",
            "duplicate key value violates unique constraint \"pg_class_relname_nsp_index\" "
            "(SQLSTATE 23505)"},
        {500, "{\"error\":\"Database error: Failed to insert tuple: vector::at out of range\"}",
            LAKE_ERROR_FAILED, "ManagedServiceError", NULL,
            "Failed to insert tuple: vector::at out of range"},
        {500,
            "{\"error\":\"Database error: ERROR: canceling statement due to statement timeout "
            "(SQLSTATE 57014)\"}",
            LAKE_ERROR_TIMED_OUT, "ManagedServiceError", "57014",
            "canceling statement due to statement timeout (SQLSTATE 57014)"},
        {500, "{\"error\":\"Database error: ERROR: a\\u0007\\nb (SQLSTATE P0001)\"}",
            LAKE_ERROR_BAD_INPUT, "ManagedServiceError", "P0001", "a \nb (SQLSTATE P0001)"},
        {400, "{\"error\":\"query is required\"}", LAKE_ERROR_BAD_INPUT, "ManagedServiceError",
            NULL, "the service takes it for wrong: query is required (status 400)"},
        {400, "not json at all", LAKE_ERROR_BAD_INPUT, "ManagedServiceError", NULL,
            "the service takes it for wrong: not json at all (status 400)"},
        {400, "{\"error\":{\"message\":\"within\"}}", LAKE_ERROR_BAD_INPUT,
            "ManagedServiceError", NULL, "the service takes it for wrong: within (status 400)"},
        {400, "{}", LAKE_ERROR_BAD_INPUT, "ManagedServiceError", NULL,
            "the service takes it for wrong: no reason given (status 400)"},
        {402, "{\"balance_cents\":0,\"error\":\"insufficient balance, please top up\"}",
            LAKE_ERROR_REFUSED, "ManagedServiceError", NULL,
            "the service wants to be paid: insufficient balance, please top up (balance: "
            "0.00)"},
        {403, "{\"error\":\"read only token\"}", LAKE_ERROR_NO_ACCESS, "ManagedServiceError",
            NULL, "the service does not allow it: read only token (status 403)"},
        {404, "{\"error\":\"Not found: /workspaces/ws/tables\"}", LAKE_ERROR_NOT_FOUND,
            "WorkspaceError", NULL, "Not found: /workspaces/ws/tables"},
        {404, "{\"error\":\"no table t\"}", LAKE_ERROR_NOT_FOUND, "TableError", NULL,
            "no table t"},
        {409, "{\"error\":\"table exists\"}", LAKE_ERROR_EXISTS, "ManagedServiceError", NULL,
            "it is there already: table exists (status 409)"},
        {413, "{\"error\":\"request too large\"}", LAKE_ERROR_TOO_BIG, "ManagedServiceError",
            NULL, "the service takes no request as large: request too large (status 413)"},
        {418, "{\"error\":\"tea\"}", LAKE_ERROR_FAILED, "ManagedServiceError", NULL,
            "the service refuses: tea (status 418)"},
        {301, "{}", LAKE_ERROR_FAILED, "ManagedServiceError", NULL,
            "the service sends us elsewhere, where the token must not go: no reason given "
            "(status 301)"},
        {500, "{\"error\":\"internal\"}", LAKE_ERROR_OFFLINE, "ManagedServiceError", NULL,
            "the service is in trouble: internal (status 500)"},
        {504, "{}", LAKE_ERROR_OFFLINE, "ManagedServiceError", NULL,
            "the service is in trouble: no reason given (status 504)"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%d %s", cases[i].status, cases[i].body);
        canned_service_add_json(fixture->service, cases[i].status, NULL, cases[i].body);
        g_assert_false(query(fixture, &statement));
        assert_error(fixture, cases[i].code, cases[i].class, cases[i].message);
        const LakeErrorFacts *facts = lake_error_facts(fixture->error);
        g_assert_cmpstr(facts->sqlstate, ==, cases[i].sqlstate);
        if (cases[i].sqlstate) {
            g_autofree char *whole =
                g_strdup_printf("%s (SQLSTATE %s)", facts->message, facts->sqlstate);
            g_assert_cmpstr(whole, ==, cases[i].message);
        }
        g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, i + 1);
    }
}

static void
test_pages_are_not_quoted(Fixture *fixture, gconstpointer unused)
{
    static const struct {
        int status;
        const char *type;
        LakeErrorCode code;
        const char *part;
    } cases[] = {
        {403, "text/html; charset=utf-8", LAKE_ERROR_NO_ACCESS,
            "proxy answered with a web page"},
        {200, "Text/HTML", LAKE_ERROR_NO_ACCESS, "proxy answered with a web page"},
        {200, "text/plain", LAKE_ERROR_NO_ACCESS, "proxy answered with a web page"},
        {404, "text/html", LAKE_ERROR_NO_ACCESS, "proxy answered with a web page"},
        {400, "application/octet-stream", LAKE_ERROR_NO_ACCESS,
            "proxy answered with a web page"},
        {413, "text/html", LAKE_ERROR_TOO_BIG, "a web page came (status 413)"},
        {502, "text/html", LAKE_ERROR_OFFLINE, "a web page came (status 502)"},
        {500, "text/html", LAKE_ERROR_OFFLINE, "a web page came (status 500)"},
        {401, "text/html", LAKE_ERROR_NO_ACCESS, "Token invalid"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%d %s", cases[i].status, cases[i].type);
        canned_service_add_body(fixture->service, cases[i].status, cases[i].type, PAGE);
        g_assert_false(query(fixture, &statement));
        g_assert_error(fixture->error, LAKE_ERROR, (int)cases[i].code);
        g_assert_nonnull(strstr(fixture->error->message, cases[i].part));
        g_assert_null(strstr(fixture->error->message, "<"));
        g_assert_null(strstr(fixture->error->message, "s3ntinel"));
    }
}

/* ---- the token is refused ---- */

static void
test_refused_token(Fixture *fixture, gconstpointer unused)
{
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"token is expired\"}");
    g_assert_false(query(fixture, &repeatable));
    assert_error(fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token expired: token is expired");
    assert_hint(fixture, "DEEPLAKE_API_KEY");
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"invalid token\"}");
    g_assert_false(query(fixture, &repeatable));
    assert_error(fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token invalid: invalid token");
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 2);
}

static void
write_token(const char *path, const char *text)
{
    g_assert_true(
        g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
}

static void
test_refused_token_of_a_file(Fixture *fixture, gconstpointer unused)
{
    static const char *const renewed[] = {"Authorization: Bearer " OTHER_TOKEN, NULL};
    g_autofree char *folder = g_dir_make_tmp("client-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "token", NULL);

    write_token(path, TOKEN);
    g_autoptr(LakeToken) token = lake_token_new_from_file(path, NULL);
    lake_api_client_free(fixture->client);
    fixture->client = make_client(canned_service_url(fixture->service), token, "ws");

    /* The same text: once, and no more. */
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"token is expired\"}");
    g_assert_false(query(fixture, &statement));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
    assert_hint(fixture, path);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 1);

    /* Another one: again, though the statement is not repeatable, as nothing was executed. */
    write_token(path, OTHER_TOKEN "\n");
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"token is expired\"}");
    g_assert_true(query(fixture, &statement));
    assert_asked(fixture, 2, "POST /workspaces/ws/tables/query", renewed);

    /* And that one is refused too: once more at most. */
    write_token(path, TOKEN);
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"invalid token\"}");
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"invalid token\"}");
    g_assert_false(query(fixture, &statement));
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 5);

    g_unlink(path);
    canned_service_add_json(fixture->service, 401, NULL, "{\"error\":\"invalid token\"}");
    g_assert_false(query(fixture, &statement));
    assert_hint(fixture, "No such file");
    g_rmdir(folder);
}

/* ---- repeating ---- */

static void
test_what_passes_is_repeated(Fixture *fixture, gconstpointer unused)
{
    static const int statuses[] = {429, 500, 502, 503, 504, 408};
    LakeApiStatus status;

    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++) {
        canned_service_add_json(fixture->service, statuses[i], NULL, "{\"error\":\"soon\"}");
        g_assert_true(query(fixture, &repeatable));
        g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 2 * (i + 1));
    }
    canned_service_add_body(fixture->service, 403, "text/html", PAGE);
    g_assert_true(query(fixture, &repeatable));
    canned_service_add(fixture->service, &(CannedAnswer){.is_last = TRUE});
    g_assert_true(query(fixture, &repeatable));
    lake_api_client_status(fixture->client, &status);
    g_assert_cmpint(status.n_requests, >=, 14);
    g_assert_cmpint(status.n_retries, >=, 7);
    g_assert_cmpuint(status.n_at_once, ==, 5);
    g_assert_cmpuint(status.n_under_way, ==, 0);
}

static void
test_three_tries(Fixture *fixture, gconstpointer unused)
{
    for (guint i = 0; i < 4; i++)
        canned_service_add_body(fixture->service, 503, "text/html", PAGE);
    g_assert_false(query(fixture, &repeatable));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 3);
}

static void
test_what_cannot_be_repeated_is_not(Fixture *fixture, gconstpointer unused)
{
    static const int statuses[] = {500, 502, 503, 504};

    for (guint i = 0; i < G_N_ELEMENTS(statuses); i++) {
        canned_service_add_json(fixture->service, statuses[i], NULL, "{}");
        g_assert_false(query(fixture, &statement));
        g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
        assert_hint(fixture, "may have been executed");
        g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, i + 1);
    }
    canned_service_add(fixture->service, &(CannedAnswer){.is_last = TRUE});
    g_assert_false(query(fixture, &statement));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    assert_hint(fixture, "may have been executed");

    /* What the database has stopped was undone. */
    canned_service_add_json(fixture->service, 500, NULL,
        "{\"error\":\"ERROR: canceling statement due to statement timeout (SQLSTATE 57014)\"}");
    g_assert_false(query(fixture, &statement));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_TIMED_OUT);
    g_assert_null(lake_error_facts(fixture->error)->hint);
}

/* 429, and 503 with a time, are said before anything is done. */
static void
test_what_was_not_executed_is_repeated(Fixture *fixture, gconstpointer unused)
{
    gint64 began = g_get_monotonic_time();

    canned_service_add_json(fixture->service, 429, NULL, "{}");
    g_assert_true(query(fixture, &statement));
    g_assert_cmpint(g_get_monotonic_time() - began, <, G_TIME_SPAN_SECOND);
    canned_service_add_json(fixture->service, 503, "Retry-After: 1\r\n", "{}");
    began = g_get_monotonic_time();
    g_assert_true(query(fixture, &statement));
    g_assert_cmpint(g_get_monotonic_time() - began, >=, G_TIME_SPAN_SECOND);
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 4);
}

static void
test_long_waits_are_not_waited_for(Fixture *fixture, gconstpointer unused)
{
    LakeApiCall interactive = repeatable;
    gint64 began = g_get_monotonic_time();

    interactive.is_interactive = TRUE;
    canned_service_add_json(fixture->service, 429, "Retry-After: 30\r\n", "{}");
    g_assert_false(query(fixture, &interactive));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_BUSY);
    assert_hint(fixture, "30 s");
    canned_service_add_json(fixture->service, 503, "Retry-After: 3600\r\n", "{}");
    g_assert_false(query(fixture, &repeatable));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    assert_hint(fixture, "3600 s");
    g_assert_cmpint(g_get_monotonic_time() - began, <, G_TIME_SPAN_SECOND);
}

/* A time limit is one for all tries. */
static void
test_time_is_up_for_all_tries(Fixture *fixture, gconstpointer unused)
{
    LakeApiCall hurried = repeatable;
    gint64 began = g_get_monotonic_time();

    hurried.timeout_ms = 600;
    canned_service_add_json(fixture->service, 503, "Retry-After: 1\r\n", "{}");
    g_assert_false(query(fixture, &hurried));
    canned_service_add(fixture->service, &(CannedAnswer){.delay_ms = 1500});
    hurried.is_repeatable = FALSE;
    g_assert_false(query(fixture, &hurried));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_TIMED_OUT);
    assert_hint(fixture, "may have been executed");
    g_assert_cmpint(g_get_monotonic_time() - began, <, 1400 * G_TIME_SPAN_MILLISECOND);
}

static void
test_databases_errors_are_not_repeated(Fixture *fixture, gconstpointer unused)
{
    static const char *const texts[] = {"Database error: Failed to insert",
        "ERROR: deadlock detected (SQLSTATE 40P01)", "relation \\\"t\\\" does not exist"};

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *body = g_strdup_printf("{\"error\":\"%s\"}", texts[i]);
        canned_service_add_json(fixture->service, 500, NULL, body);
        g_assert_false(query(fixture, &repeatable));
        g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, i + 1);
    }
    /* But when the service has lost its own server, it may find it again. */
    canned_service_add_json(fixture->service, 500, NULL,
        "{\"error\":\"FATAL: terminating connection due to administrator command (SQLSTATE "
        "57P01)\"}");
    g_assert_true(query(fixture, &repeatable));
    canned_service_add_json(
        fixture->service, 500, NULL, "{\"error\":\"Database error: unexpected EOF\"}");
    g_assert_true(query(fixture, &repeatable));
}

/* Nobody knows what became of the statement. */
static void
test_database_lost_during_a_change(Fixture *fixture, gconstpointer unused)
{
    canned_service_add_json(
        fixture->service, 500, NULL, "{\"error\":\"Database error: unexpected EOF\"}");
    g_assert_false(query(fixture, &statement));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    assert_hint(fixture, "may have been executed");
    g_assert_cmpuint(canned_service_n_requests(fixture->service), ==, 1);
}

static void
test_nobody_there(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *dead = canned_service_dup_dead_url();
    g_autoptr(LakeToken) token = lake_token_new(TOKEN, NULL);
    LakeApiStatus status;

    lake_api_client_free(fixture->client);
    fixture->client = make_client(dead, token, "ws");
    g_assert_false(query(fixture, &statement));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    assert_hint(fixture, "/health");
    lake_api_client_status(fixture->client, &status);
    g_assert_cmpint(status.n_requests, ==, 3); /* nothing was executed: as often as it can */

    /* Who asks right afterwards is told the same at once. */
    g_assert_false(query(fixture, &statement));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_OFFLINE);
    lake_api_client_status(fixture->client, &status);
    g_assert_cmpint(status.n_requests, ==, 3);
}

static gpointer
cancel_soon(gpointer cancellable)
{
    g_usleep(100 * 1000);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static void
test_cancelled_between_tries(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    gint64 began = g_get_monotonic_time();

    canned_service_add_json(fixture->service, 429, "Retry-After: 10\r\n", "{}");
    GThread *thread = g_thread_new("cancel", cancel_soon, cancellable);
    g_assert_null(
        lake_api_client_query(fixture->client, &statement, cancellable, &fixture->error));
    g_thread_join(thread);
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_CANCELLED);
    g_assert_cmpint(g_get_monotonic_time() - began, <, G_TIME_SPAN_SECOND);
}

static void
test_health(Fixture *fixture, gconstpointer unused)
{
    const char *url = canned_service_url(fixture->service);

    canned_service_add_json(fixture->service, 200, NULL, "{\"status\":\"ok\"}");
    g_assert_true(lake_api_check_health(url, NULL, 2000, NULL, &fixture->error));
    assert_asked(fixture, 0, "GET /health", NULL);
    g_autofree char *head = canned_service_dup_head(fixture->service, 0);
    g_assert_null(strstr(head, "Authorization"));

    canned_service_add_body(fixture->service, 200, "text/html", PAGE);
    g_assert_false(lake_api_client_health(fixture->client, 2000, NULL, &fixture->error));
    g_assert_error(fixture->error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
    g_clear_error(&fixture->error);

    gint64 began = g_get_monotonic_time();
    canned_service_add(fixture->service, &(CannedAnswer){.delay_ms = 1500});
    g_assert_false(lake_api_check_health(url, NULL, 300, NULL, &fixture->error));
    g_assert_cmpint(g_get_monotonic_time() - began, <, 1400 * G_TIME_SPAN_MILLISECOND);
}

#define ADD(name, function)                                                                    \
    g_test_add("/core/api/client/" name, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_setenv("no_proxy", "*", TRUE);

    ADD("organization-is-the-tokens-claim", test_open_takes_the_claim);
    ADD("organization-is-what-me-says", test_open_asks_who_we_are);
    ADD("no-organization-is-an-auth-error", test_no_organization);
    ADD("missing-workspace-is-made", test_missing_workspace_is_made);
    ADD("workspace-that-others-made-is-as-good", test_workspace_that_is_there_after_all);
    ADD("read-only-makes-no-workspace", test_read_only_makes_no_workspace);
    ADD("workspace-of-others-is-no-access", test_workspace_of_others);
    ADD("workspace-must-be-named", test_no_workspace);
    ADD("token-must-be-given", test_no_token);
    ADD("expired-token-asks-nobody", test_expired_beforehand);
    ADD("query-and-batch-are-posted", test_query);
    ADD("204-is-an-empty-answer", test_nothing_comes_back);
    ADD("errors-have-code-class-and-sqlstate", test_errors);
    ADD("web-pages-are-not-quoted", test_pages_are_not_quoted);
    ADD("refused-token-says-what-to-do", test_refused_token);
    ADD("refused-token-is-read-again-once", test_refused_token_of_a_file);
    ADD("what-passes-is-repeated", test_what_passes_is_repeated);
    ADD("three-tries-are-all", test_three_tries);
    ADD("what-may-have-happened-is-not-repeated", test_what_cannot_be_repeated_is_not);
    ADD("what-did-not-happen-is-repeated", test_what_was_not_executed_is_repeated);
    ADD("long-waits-are-not-waited-for", test_long_waits_are_not_waited_for);
    ADD("one-time-limit-for-all-tries", test_time_is_up_for_all_tries);
    ADD("errors-of-the-database-are-not-repeated", test_databases_errors_are_not_repeated);
    ADD("database-that-is-lost-during-a-change", test_database_lost_during_a_change);
    ADD("service-that-is-away-is-offline", test_nobody_there);
    ADD("pauses-can-be-cancelled", test_cancelled_between_tries);
    ADD("health-needs-no-token", test_health);
    return g_test_run();
}
