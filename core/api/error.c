/* SPDX-License-Identifier: Apache-2.0 */
#include "core/api/error.h"

#include "core/sqlstate.h"
#include <cjson/cJSON.h>
#include <string.h>

#define TEXT_MAX_BYTES 4000

/* What one answer says. */
typedef struct {
    int status;
    gboolean is_page; /* a web page */
    char *text;       /* the reason given; NULL: none */
    cJSON *object;    /* NULL: no JSON object came */
} Refusal;

static void
refusal_clear(Refusal *refusal)
{
    g_free(refusal->text);
    cJSON_Delete(refusal->object);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Refusal, refusal_clear)

/* By its type, or where that says nothing of use, by how it begins. */
static gboolean
is_page(const LakeHttpAnswer *answer, LakeSpool *body)
{
    char begin[64];
    g_autofree char *type =
        answer->content_type ? g_ascii_strdown(answer->content_type, -1) : NULL;

    if (type && strstr(type, "html"))
        return TRUE;
    if (type && strstr(type, "json"))
        return FALSE;

    gssize n_bytes = lake_spool_read(body, 0, begin, sizeof begin - 1, NULL);
    begin[MAX(n_bytes, 0)] = '\0';
    return begin[strspn(begin, " \t\r\n")] == '<';
}

static char *
read_body(LakeSpool *body)
{
    g_autofree char *bytes = g_malloc(LAKE_API_ERROR_MAX_BYTES);
    gssize n_bytes = lake_spool_read(body, 0, bytes, LAKE_API_ERROR_MAX_BYTES, NULL);

    return g_utf8_make_valid(bytes, MAX(n_bytes, 0));
}

static const char *
find_text(const cJSON *object)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(object, "error");
    const cJSON *const places[] = {
        error,
        cJSON_GetObjectItemCaseSensitive(error, "message"),
        cJSON_GetObjectItemCaseSensitive(object, "message"),
        cJSON_GetObjectItemCaseSensitive(object, "detail"),
    };

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        const char *text = cJSON_GetStringValue(places[i]);
        if (text && *text)
            return text;
    }
    return NULL;
}

/* A reason in as many bytes as a message stands; caller frees. */
static char *
dup_text(const char *text)
{
    g_autofree char *cut = g_strndup(text, TEXT_MAX_BYTES);
    char *valid = g_utf8_make_valid(cut, -1);

    for (char *at = valid; *at; at++)
        if ((guchar)*at < ' ' && *at != '\n' && *at != '\t')
            *at = ' ';
    return g_strstrip(valid);
}

static Refusal
read_refusal(const LakeHttpAnswer *answer, LakeSpool *body)
{
    Refusal refusal = {.status = answer->status, .is_page = is_page(answer, body)};

    if (refusal.is_page)
        return refusal;
    g_autofree char *bytes = read_body(body);
    refusal.object = cJSON_Parse(bytes);
    const char *text = refusal.object ? find_text(refusal.object) : bytes;
    if (text && *text)
        refusal.text = dup_text(text);
    return refusal;
}

static void
give_hint(GError **error, const char *hint)
{
    if (error)
        lake_error_hint(*error, "%s", hint);
}

static void
set_page(const Refusal *refusal, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_NO_ACCESS,
        "a proxy answered with a web page (status %d), not the service", refusal->status);
    give_hint(error, "See --api-url and the variables https_proxy and no_proxy; the network "
                     "may want you to sign in with a browser.");
}

/* Without what the service and PostgreSQL put before the message; borrowed. */
static const char *
skip_prefixes(const char *text)
{
    static const char *const prefixes[] = {"Database error: ", "ERROR: ", "FATAL: ", "PANIC: "};

    for (gsize i = 0; i < G_N_ELEMENTS(prefixes); i++)
        if (g_str_has_prefix(text, prefixes[i]))
            text += strlen(prefixes[i]);
    return text + strspn(text, " ");
}

/* The five characters of "… (SQLSTATE 42P01)", and what stands before them; caller frees. */
static char *
split_sqlstate(const char *text, char **ret_message)
{
    static const char mark[] = " (SQLSTATE ";
    const char *at = g_strrstr(text, mark);
    const char *code = at ? at + strlen(mark) : NULL;

    if (!code || strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || code[5] != ')')
        return NULL;
    *ret_message = g_strndup(text, (gsize)(at - text));
    return g_strndup(code, 5);
}

/* FALSE: it is not PostgreSQL that speaks. */
static gboolean
set_database_error(const Refusal *refusal, LakeApiVerdict *verdict, GError **error)
{
    if (!refusal->text)
        return FALSE;
    const char *text = skip_prefixes(refusal->text);
    g_autofree char *message = NULL;
    g_autofree char *sqlstate = split_sqlstate(text, &message);

    if (!sqlstate && refusal->status == 500) {
        sqlstate = g_strdup(lake_sqlstate_from_message(text));
        message = g_strdup(text);
    }
    if (!sqlstate && !g_str_has_prefix(refusal->text, "Database error: "))
        return FALSE;

    LakeErrorFacts facts = {
        .class = lake_sqlstate_class(sqlstate), .sqlstate = sqlstate, .message = message};
    LakeErrorCode code = lake_sqlstate_code(sqlstate);
    if (code == LAKE_ERROR_CANCELLED)
        code = LAKE_ERROR_TIMED_OUT; /* it was not we who asked it to stop */
    if (sqlstate)
        lake_error_set_facts(error, code, &facts, "%s (SQLSTATE %s)", message, sqlstate);
    else
        lake_error_set_facts(error, code, &facts, "%s", message);
    /* The service has lost its own server. */
    *verdict = (LakeApiVerdict){
        .is_passing = code == LAKE_ERROR_OFFLINE,
        .is_unexecuted = code != LAKE_ERROR_OFFLINE, /* an error undoes the statement */
    };
    return TRUE;
}

static void
set_payment(const Refusal *refusal, GError **error)
{
    const cJSON *balance = cJSON_GetObjectItemCaseSensitive(refusal->object, "balance_cents");
    g_autofree char *amount = cJSON_IsNumber(balance) ? g_strdup_printf(" (balance: %.2f)",
                                                            balance->valuedouble / 100)
                                                      : g_strdup("");

    lake_error_set(error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_REFUSED,
        "the service wants to be paid: %s%s",
        refusal->text ? refusal->text : "the account has no balance", amount);
    give_hint(error, "Top up the account at https://app.deeplake.ai; nothing was changed.");
}

static void
set_unauthorized(const Refusal *refusal, GError **error)
{
    const char *text = refusal->text ? refusal->text : "the service gives no reason";
    g_autofree char *lower = g_ascii_strdown(text, -1);

    lake_error_set(error, LAKE_ERROR_CLASS_AUTH, LAKE_ERROR_NO_ACCESS, "Token %s: %s",
        strstr(lower, "expired") ? "expired" : "invalid",
        refusal->is_page ? "a web page came with status 401" : text);
}

static void
set_not_found(const Refusal *refusal, gboolean is_about_workspace, GError **error)
{
    gboolean is_workspace =
        is_about_workspace || (refusal->text && strstr(refusal->text, "workspace"));

    lake_error_set(error, is_workspace ? LAKE_ERROR_CLASS_WORKSPACE : LAKE_ERROR_CLASS_TABLE,
        LAKE_ERROR_NOT_FOUND, "%s",
        refusal->text ? refusal->text : "the service knows no such thing (status 404)");
    if (is_workspace)
        give_hint(error, "See that the workspace is spelled right, and that the token is of "
                         "its organization.");
}

/* What every status means but those that have words of their own. */
static const struct {
    int status;
    LakeErrorCode code;
    const char *meaning, *hint;
} meanings[] = {
    {400, LAKE_ERROR_BAD_INPUT, "the service takes it for wrong", NULL},
    {403, LAKE_ERROR_NO_ACCESS, "the service does not allow it",
        "See that the token may do it, and that it is of this organization."},
    {408, LAKE_ERROR_OFFLINE, "the service did not wait for all of the request", NULL},
    {409, LAKE_ERROR_EXISTS, "it is there already", NULL},
    {413, LAKE_ERROR_TOO_BIG, "the service takes no request as large", NULL},
    {429, LAKE_ERROR_BUSY, "the service is asked too much at once", "Try again later."},
};

static void
set_by_status(const Refusal *refusal, LakeErrorClass class, GError **error)
{
    LakeErrorCode code = refusal->status >= 500 && refusal->status != 501 ? LAKE_ERROR_OFFLINE
                                                                          : LAKE_ERROR_FAILED;
    const char *meaning =
        code == LAKE_ERROR_OFFLINE ? "the service is in trouble" : "the service refuses";
    const char *hint = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS(meanings); i++)
        if (meanings[i].status == refusal->status) {
            code = meanings[i].code;
            meaning = meanings[i].meaning;
            hint = meanings[i].hint;
        }
    if (refusal->status / 100 == 3) {
        meaning = "the service sends us elsewhere, where the token must not go";
        hint = "Set --api-url to where the service is.";
    }
    lake_error_set(error, class, code, "%s: %s (status %d)", meaning,
        refusal->is_page ? "a web page came"
        : refusal->text  ? refusal->text
                         : "no reason given",
        refusal->status);
    if (hint)
        give_hint(error, hint);
}

/* Web pages with any other status mean what the status means, whoever wrote them. */
static gboolean
is_of_a_proxy(int status)
{
    return status < 500 && status / 100 != 3 && status != 408 && status != 413 && status != 429;
}

static void
set_refusal(const Refusal *refusal, gboolean is_about_workspace, GError **error)
{
    gboolean is_hidden = is_about_workspace && refusal->status == 403;

    if (refusal->status == 401)
        set_unauthorized(refusal, error);
    else if (refusal->is_page && is_of_a_proxy(refusal->status))
        set_page(refusal, error);
    else if (refusal->status == 402)
        set_payment(refusal, error);
    else if (refusal->status == 404)
        set_not_found(refusal, is_about_workspace, error);
    else
        set_by_status(
            refusal, is_hidden ? LAKE_ERROR_CLASS_WORKSPACE : LAKE_ERROR_CLASS_GENERAL, error);
}

/* A page with 403 comes from balancers too, now and then. */
static gboolean
is_passing(const Refusal *refusal)
{
    int status = refusal->status;

    return status == 408 || status == 429 || (status >= 500 && status != 501) ||
           (status == 403 && refusal->is_page);
}

gboolean
lake_api_error_check(const LakeHttpAnswer *answer, LakeSpool *body, gboolean is_about_workspace,
    LakeApiVerdict *ret_verdict, GError **error)
{
    int status = answer->status;

    if (status / 100 == 2 && !is_page(answer, body))
        return TRUE;

    g_auto(Refusal) refusal = read_refusal(answer, body);
    if (set_database_error(&refusal, ret_verdict, error))
        return FALSE;
    set_refusal(&refusal, is_about_workspace, error);
    *ret_verdict = (LakeApiVerdict){
        .is_passing = is_passing(&refusal),
        .is_unexecuted = status == 429 || (status == 503 && answer->retry_after_ms >= 0),
    };
    return FALSE;
}
