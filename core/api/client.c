/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/client.h"

#include "core/api/error.h"
#include "core/api/lag.h"
#include "core/secret.h"
#include <cjson/cJSON.h>
#include <string.h>

#define DEFAULT_AT_ONCE 5
#define BACKOFF_MS 500 /* doubled with every try */
#define BACKOFF_MAX_MS 8000
#define RETRY_AFTER_MAX_MS (60 * 1000)
#define SAME_ANSWER_US (200 * G_TIME_SPAN_MILLISECOND)
#define CONTROL_TIMEOUT_MS 10000 /* as interactive calls have in core/pg/ */
#define CONTROL_MAX_BYTES (1024 * 1024)

struct LakeApiClient {
    char *url;
    char *workspace;
    char *staging_dir;
    gint64 connect_timeout_ms;
    LakeToken *token; /* NULL: none */
    LakeHttp *http;

    GMutex lock;        /* guards all below */
    char *organization; /* once set, it stays */
    gint64 n_requests;
    gint64 n_retries;
    gint64 failed_at_us; /* of the last attempt to connect that failed; 0: none since */
    GError *failure;
};

/* One question, whatever it is about. */
typedef struct {
    const char *method;
    const char *path;
    const char *body; /* NULL: none */
    gsize body_bytes;
    gboolean is_anonymous; /* without a token and an organization */
    gboolean is_about_workspace;
    gboolean is_repeatable;
    gboolean is_interactive;
    gint64 timeout_ms;
    gint64 max_answer_bytes;
} Question;

/* The tries of a question. */
typedef struct {
    const Question *question;
    gint64 begun_us;
    gint64 deadline_us; /* 0: none */
    int n_tries;
    gboolean was_renewed; /* the token, for its sake */
    guint token_version;

    /* Of the last try. */
    LakeApiVerdict verdict;
    int status;
    gint64 retry_after_ms;
} Attempts;

LakeApiClient *
lake_api_client_new(const LakeApiOptions *options)
{
    LakeApiClient *client = g_new0(LakeApiClient, 1);
    LakeHttpOptions http = {
        .ca_file = options->ca_file,
        .connect_timeout_ms = options->connect_timeout_ms,
        .n_at_once = options->n_at_once ? options->n_at_once : DEFAULT_AT_ONCE,
    };

    client->url = g_strdup(options->url);
    client->workspace = g_strdup(options->workspace);
    client->staging_dir = g_strdup(options->staging_dir);
    client->connect_timeout_ms = options->connect_timeout_ms;
    client->token = options->token ? lake_token_ref(options->token) : NULL;
    client->http = lake_http_new(&http);
    g_mutex_init(&client->lock);
    return client;
}

void
lake_api_client_free(LakeApiClient *client)
{
    if (!client)
        return;
    lake_http_free(client->http);
    lake_token_unref(client->token);
    g_clear_error(&client->failure);
    g_mutex_clear(&client->lock);
    g_free(client->organization);
    g_free(client->url);
    g_free(client->workspace);
    g_free(client->staging_dir);
    g_free(client);
}

/* Borrowed; NULL before it was found. */
static const char *
get_organization(LakeApiClient *client)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&client->lock);

    return client->organization;
}

/* FALSE with the answer that others just had, so that a folder of a thousand files does not
 * wait a thousand times for a service that is away. */
static gboolean
may_try(LakeApiClient *client, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&client->lock);

    if (!client->failure || g_get_monotonic_time() - client->failed_at_us > SAME_ANSWER_US)
        return TRUE;
    g_propagate_error(error, g_error_copy(client->failure));
    return FALSE;
}

static void
note_try(LakeApiClient *client, gboolean is_retry)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&client->lock);

    client->n_requests++;
    client->n_retries += is_retry;
}

/* failure: of connecting; NULL: there was a connection. */
static void
note_line(LakeApiClient *client, const GError *failure)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&client->lock);

    g_clear_error(&client->failure);
    if (failure) {
        client->failure = g_error_copy(failure);
        client->failed_at_us = g_get_monotonic_time();
    }
}

/* "Name: value" each, NULL at the end; some borrowed from the two above. */
typedef struct {
    char *authorization; /* a secret */
    char *organization;
    const char *list[6];
} Headers;

static void
headers_clear(Headers *headers)
{
    lake_secret_free(headers->authorization);
    g_free(headers->organization);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Headers, headers_clear)

/* FALSE: there is no token, or it has expired. */
static gboolean
identify(LakeApiClient *client, Headers *headers, guint *ret_version, GError **error)
{
    const char *organization = get_organization(client);

    if (!client->token) {
        g_autoptr(LakeToken) none = lake_token_new(NULL, error);
        return FALSE;
    }
    if (!lake_token_check_expiry(client->token, g_get_real_time() / G_USEC_PER_SEC, error))
        return FALSE;
    headers->authorization = lake_token_dup_header(client->token, ret_version);
    if (organization)
        headers->organization = g_strconcat("X-Activeloop-Org-Id: ", organization, NULL);
    return TRUE;
}

static gboolean
make_headers(LakeApiClient *client, Attempts *attempts, Headers *headers, GError **error)
{
    const Question *question = attempts->question;
    guint n = 0;

    if (!question->is_anonymous && !identify(client, headers, &attempts->token_version, error))
        return FALSE;
    headers->list[n++] = "X-Deeplake-Client: deeplakefs/" DEEPLAKEFS_VERSION;
    headers->list[n++] = "Accept: application/json";
    if (question->body)
        headers->list[n++] = "Content-Type: application/json";
    if (headers->authorization)
        headers->list[n++] = headers->authorization;
    if (headers->organization)
        headers->list[n++] = headers->organization;
    return TRUE;
}

static gint64
get_left_ms(const Attempts *attempts)
{
    if (!attempts->deadline_us)
        return 0;
    return MAX((attempts->deadline_us - g_get_monotonic_time()) / 1000, 1);
}

/* The hint of the specification's "Troubleshooting". */
static void
judge_line(LakeApiClient *client, Attempts *attempts, gboolean was_sent, GError *failure)
{
    gboolean is_offline = g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE);

    attempts->verdict = (LakeApiVerdict){.is_passing = is_offline, .is_unexecuted = !was_sent};
    if (is_offline && !was_sent) {
        lake_error_hint(failure, "Try: curl %s/health", client->url);
        note_line(client, failure);
    }
}

/* One try; the answer's body, or NULL and what attempts says. */
static LakeSpool *
try_once(LakeApiClient *client, Attempts *attempts, const Headers *headers,
    GCancellable *cancellable, GError **error)
{
    const Question *question = attempts->question;
    g_autofree char *url = g_strconcat(client->url, question->path, NULL);
    g_autoptr(LakeSpool) into = lake_spool_new(client->staging_dir);
    g_auto(LakeHttpAnswer) answer = {0};
    g_autoptr(GError) failure = NULL;
    const LakeHttpRequest request = {
        .method = question->method,
        .url = url,
        .headers = headers->list,
        .body = question->body,
        .body_bytes = question->body_bytes,
        .timeout_ms = get_left_ms(attempts),
        .max_answer_bytes = question->max_answer_bytes,
        .is_repeatable = question->is_repeatable,
        .is_interactive = question->is_interactive,
        .into = into,
    };

    if (!lake_http_send(client->http, &request, &answer, cancellable, &failure)) {
        judge_line(client, attempts, answer.was_sent, failure);
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    note_line(client, NULL);
    attempts->status = answer.status;
    attempts->retry_after_ms = answer.retry_after_ms;
    if (!lake_api_error_check(
            &answer, into, question->is_about_workspace, &attempts->verdict, error))
        return NULL;
    return g_steal_pointer(&into);
}

/* Whether the token was changed since it was refused: then it is worth one more try. */
static gboolean
renew_token(LakeApiClient *client, Attempts *attempts, GError *failure)
{
    g_autoptr(GError) trouble = NULL;

    if (attempts->status != 401 || attempts->was_renewed)
        return FALSE;
    attempts->was_renewed = TRUE;
    if (lake_token_renew(client->token, attempts->token_version, &trouble))
        return TRUE;

    const char *file = lake_token_file(client->token);
    if (trouble)
        lake_error_hint(
            failure, "%s was read again, without success: %s", file, trouble->message);
    else if (file)
        lake_error_hint(failure, "Put a new token into %s; it is read again by itself.", file);
    else
        lake_error_hint(failure,
            "Set DEEPLAKE_API_KEY to a new token (https://app.deeplake.ai) and start again.");
    return FALSE;
}

/* How long to wait before the next try; -1: there is to be none. */
static gint64
get_pause_ms(const LakeApiClient *client, const Attempts *attempts)
{
    const Question *question = attempts->question;

    if (!attempts->verdict.is_passing || attempts->n_tries >= LAKE_API_TRIES_MAX)
        return -1;
    if (!question->is_repeatable && !attempts->verdict.is_unexecuted)
        return -1;
    if (attempts->retry_after_ms > RETRY_AFTER_MAX_MS)
        return -1;

    /* All of it by chance, so that those who failed together do not come back together. */
    gint32 limit_ms = MIN(BACKOFF_MS << (attempts->n_tries - 1), BACKOFF_MAX_MS);
    gint64 pause_ms = g_random_int_range(0, limit_ms + 1) + MAX(attempts->retry_after_ms, 0);
    gint64 ends_us = g_get_monotonic_time() + pause_ms * 1000;
    if (attempts->deadline_us && ends_us >= attempts->deadline_us)
        return -1;
    if (question->is_interactive &&
        ends_us >= attempts->begun_us + client->connect_timeout_ms * 1000)
        return -1;
    return pause_ms;
}

/* What the caller cannot see in the error otherwise. */
static void
finish_error(const Attempts *attempts, GError *failure)
{
    if (attempts->retry_after_ms > 0)
        lake_error_hint(failure, "The service asks to wait for %" G_GINT64_FORMAT " s.",
            attempts->retry_after_ms / 1000);
    if (!attempts->question->is_repeatable && !attempts->verdict.is_unexecuted &&
        (g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_OFFLINE) ||
            g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_TIMED_OUT)))
        lake_error_hint(
            failure, "It may have been executed all the same: look before you repeat it.");
}

static LakeSpool *
try_again(LakeApiClient *client, Attempts *attempts, GCancellable *cancellable, GError **error)
{
    g_auto(Headers) headers = {0};

    attempts->verdict = (LakeApiVerdict){0};
    attempts->status = 0;
    attempts->retry_after_ms = -1;
    if (!make_headers(client, attempts, &headers, error))
        return NULL;
    note_try(client, attempts->n_tries > 0);
    attempts->n_tries++;
    return try_once(client, attempts, &headers, cancellable, error);
}

/* The body of a successful answer. */
static LakeSpool *
ask(LakeApiClient *client, const Question *question, GCancellable *cancellable, GError **error)
{
    gint64 now = g_get_monotonic_time();
    Attempts attempts = {
        .question = question,
        .begun_us = now,
        .deadline_us = question->timeout_ms > 0 ? now + question->timeout_ms * 1000 : 0,
    };

    if (!may_try(client, error))
        return NULL;
    for (;;) {
        g_autoptr(GError) failure = NULL;
        LakeSpool *answer = try_again(client, &attempts, cancellable, &failure);
        if (answer)
            return answer;
        if (renew_token(client, &attempts, failure))
            continue;

        gint64 pause_ms = get_pause_ms(client, &attempts);
        if (pause_ms < 0) {
            finish_error(&attempts, failure);
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
        gint64 until_us = g_get_monotonic_time() + pause_ms * 1000;
        if (!lake_api_lag_wait_until(until_us, cancellable, error))
            return NULL;
    }
}

static cJSON *
parse(LakeSpool *answer)
{
    gint64 size_bytes = MIN(lake_spool_size(answer), CONTROL_MAX_BYTES);
    g_autofree char *text = g_malloc((gsize)size_bytes + 1);
    gssize n_bytes = lake_spool_read(answer, 0, text, (gsize)size_bytes, NULL);

    return cJSON_ParseWithLength(text, (gsize)MAX(n_bytes, 0));
}

/* The first of the organizations that /me lists. */
static char *
parse_organization(LakeSpool *answer)
{
    cJSON *object = parse(answer);
    const cJSON *first =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(object, "organizations"), 0);
    const char *text = cJSON_GetStringValue(first);
    char *organization = text && *text && g_str_is_ascii(text) ? g_strdup(text) : NULL;

    cJSON_Delete(object);
    return organization;
}

static char *
ask_organization(LakeApiClient *client, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;
    const Question me = {
        .method = "GET",
        .path = "/me",
        .is_repeatable = TRUE,
        .is_interactive = TRUE,
        .timeout_ms = CONTROL_TIMEOUT_MS,
        .max_answer_bytes = CONTROL_MAX_BYTES,
    };
    g_autoptr(LakeSpool) answer = ask(client, &me, cancellable, &failure);
    char *organization = answer ? parse_organization(answer) : NULL;

    if (organization)
        return organization;
    if (failure && !g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    lake_error_set(
        error, LAKE_ERROR_CLASS_AUTH, LAKE_ERROR_NO_ACCESS, "Token does not contain org_id");
    if (error)
        lake_error_hint(*error,
            "Use a token with the claim OrgID; GET %s/me knows of no "
            "organization either.",
            client->url);
    return NULL;
}

static gboolean
find_organization(LakeApiClient *client, GCancellable *cancellable, GError **error)
{
    if (get_organization(client))
        return TRUE;

    g_autofree char *organization =
        client->token ? lake_token_dup_organization(client->token) : NULL;
    if (!organization)
        organization = ask_organization(client, cancellable, error);
    if (!organization)
        return FALSE;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&client->lock);
    if (!client->organization)
        client->organization = g_steal_pointer(&organization);
    return TRUE;
}

static gboolean
make_workspace(LakeApiClient *client, GCancellable *cancellable, GError **error)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "id", client->workspace);
    cJSON_AddStringToObject(object, "name", client->workspace);
    char *body = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);

    const Question make = {
        .method = "POST",
        .path = "/workspaces",
        .body = body,
        .body_bytes = strlen(body),
        .is_about_workspace = TRUE,
        .is_repeatable = TRUE, /* the second time it is there already */
        .is_interactive = TRUE,
        .timeout_ms = CONTROL_TIMEOUT_MS,
        .max_answer_bytes = CONTROL_MAX_BYTES,
    };
    g_autoptr(GError) failure = NULL;
    g_autoptr(LakeSpool) answer = ask(client, &make, cancellable, &failure);
    cJSON_free(body);
    if (answer || g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_EXISTS))
        return TRUE;
    g_propagate_prefixed_error(
        error, g_steal_pointer(&failure), "making the workspace %s: ", client->workspace);
    return FALSE;
}

/* A name that could be a way through the path of a URL, however it is escaped, is none. */
static gboolean
check_workspace(const LakeApiClient *client, GError **error)
{
    const char *name = client->workspace;

    if (!name || !*name) {
        lake_error_bad_input(error, LAKE_ERROR_CLASS_GENERAL, "workspace_id required");
        if (error)
            lake_error_hint(*error,
                "Name it: DEEPLAKE_WORKSPACE, --workspace, or mount's first "
                "argument.");
        return FALSE;
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return lake_error_bad_input(
            error, LAKE_ERROR_CLASS_WORKSPACE, "a workspace cannot be called %s", name);
    return TRUE;
}

/* The workspace's path and what is below it; caller frees. */
static char *
make_path(const LakeApiClient *client, const char *below)
{
    g_autofree char *escaped = g_uri_escape_string(client->workspace, NULL, FALSE);

    return g_strconcat("/workspaces/", escaped, below, NULL);
}

gboolean
lake_api_client_open(
    LakeApiClient *client, gboolean read_only, GCancellable *cancellable, GError **error)
{
    g_autoptr(GError) failure = NULL;

    if (!check_workspace(client, error) || !find_organization(client, cancellable, error))
        return FALSE;

    g_autofree char *path = make_path(client, "");
    const Question find = {
        .method = "GET",
        .path = path,
        .is_about_workspace = TRUE,
        .is_repeatable = TRUE,
        .is_interactive = TRUE,
        .timeout_ms = CONTROL_TIMEOUT_MS,
        .max_answer_bytes = CONTROL_MAX_BYTES,
    };
    g_autoptr(LakeSpool) answer = ask(client, &find, cancellable, &failure);
    if (answer)
        return TRUE;
    if (!read_only && g_error_matches(failure, LAKE_ERROR, LAKE_ERROR_NOT_FOUND))
        return make_workspace(client, cancellable, error);
    if (lake_error_facts(failure)->class == LAKE_ERROR_CLASS_WORKSPACE)
        g_prefix_error(&failure, "the workspace %s%s: ", client->workspace,
            read_only ? ", which a read-only mount does not make" : "");
    g_propagate_error(error, g_steal_pointer(&failure));
    return FALSE;
}

LakeSpool *
lake_api_client_query(
    LakeApiClient *client, const LakeApiCall *call, GCancellable *cancellable, GError **error)
{
    if (!check_workspace(client, error))
        return NULL;

    g_autofree char *path =
        make_path(client, call->is_batch ? "/tables/query/batch" : "/tables/query");
    const Question query = {
        .method = "POST",
        .path = path,
        .body = call->body,
        .body_bytes = call->body_bytes,
        .is_repeatable = call->is_repeatable,
        .is_interactive = call->is_interactive,
        .timeout_ms = call->timeout_ms,
        .max_answer_bytes = call->max_answer_bytes,
    };
    return ask(client, &query, cancellable, error);
}

gboolean
lake_api_client_health(
    LakeApiClient *client, gint64 timeout_ms, GCancellable *cancellable, GError **error)
{
    const Question health = {
        .method = "GET",
        .path = "/health",
        .is_anonymous = TRUE,
        .is_interactive = TRUE,
        .is_repeatable = TRUE,
        .timeout_ms = timeout_ms,
        .max_answer_bytes = CONTROL_MAX_BYTES,
    };
    g_autoptr(LakeSpool) answer = ask(client, &health, cancellable, error);

    return answer != NULL;
}

void
lake_api_client_status(LakeApiClient *client, LakeApiStatus *ret_status)
{
    LakeHttpStatus http;
    lake_http_status(client->http, &http);

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&client->lock);
    *ret_status = (LakeApiStatus){
        .n_requests = client->n_requests,
        .n_retries = client->n_retries,
        .n_connections = http.n_connections,
        .n_under_way = http.n_under_way,
        .n_at_once = http.n_at_once,
    };
}
