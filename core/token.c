/* SPDX-License-Identifier: Apache-2.0 */
#include "core/token.h"

#include "core/error.h"
#include "core/secret.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER "Authorization: Bearer "
#define SPACE " \t\r\n"
#define CLOCK_DIFFERENCE_S 60

/* RFC 4648, 5: base64url. */
#define BASE64URL "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* One text and what it claims. */
typedef struct {
    char *header; /* a secret: HEADER and the text */
    char *organization;
    gint64 expires_s; /* 0: not said */
} Claims;

struct LakeToken {
    gint n_refs;
    char *path; /* NULL: no file */

    GMutex lock; /* guards all below */
    Claims claims;
    guint version;
};

static void
claims_clear(Claims *claims)
{
    lake_secret_free(claims->header);
    g_free(claims->organization);
    *claims = (Claims){0};
}

static gboolean
fail_malformed(const char *why, GError **error)
{
    lake_error_set(
        error, LAKE_ERROR_CLASS_TOKEN, LAKE_ERROR_BAD_INPUT, "the token is malformed: %s", why);
    if (error)
        lake_error_hint(
            *error, "Copy the whole token: three parts with two dots between, in one line.");
    return FALSE;
}

/* The bytes of a part in base64url without padding; caller frees. */
static guchar *
decode_part(const char *part, gsize length, gsize *ret_n_bytes)
{
    g_autofree char *padded = g_malloc0(length + 4);

    if (length == 0 || length % 4 == 1 || strspn(part, BASE64URL) < length)
        return NULL;
    memcpy(padded, part, length);
    for (char *at = padded; *at; at++)
        *at = *at == '-' ? '+' : *at == '_' ? '/' : *at;
    memset(padded + length, '=', (4 - length % 4) % 4);
    return g_base64_decode(padded, ret_n_bytes);
}

/* What becomes a header's value has nothing that could end it. */
static gboolean
is_header_value(const char *text)
{
    for (; *text; text++)
        if (*text < ' ' || *text > '~')
            return FALSE;
    return TRUE;
}

static gboolean
take_claims(Claims *claims, const cJSON *object, GError **error)
{
    const char *organization =
        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "OrgID"));
    const cJSON *expires = cJSON_GetObjectItemCaseSensitive(object, "exp");

    if (!cJSON_IsObject(object))
        return fail_malformed("its second part is no JSON object", error);
    if (organization && !is_header_value(organization))
        return fail_malformed("its claim OrgID has characters that no organization has", error);

    if (organization && *organization)
        claims->organization = g_strdup(organization);
    if (cJSON_IsNumber(expires) && expires->valuedouble >= 1 &&
        expires->valuedouble < (double)G_MAXINT64 / 2)
        claims->expires_s = (gint64)expires->valuedouble;
    return TRUE;
}

static gboolean
read_claims(Claims *claims, const char *text, gsize length, GError **error)
{
    const char *first = memchr(text, '.', length);
    const char *second =
        first ? memchr(first + 1, '.', length - (gsize)(first + 1 - text)) : NULL;
    const char *end = text + length;

    if (!second || memchr(second + 1, '.', (gsize)(end - second - 1)))
        return fail_malformed("it must have three parts with two dots between", error);
    gsize n_signature = (gsize)(end - second - 1);
    if (first == text || strspn(text, BASE64URL) < (gsize)(first - text) ||
        strspn(second + 1, BASE64URL) < n_signature)
        return fail_malformed("it has characters that no token has", error);

    gsize n_bytes = 0;
    g_autofree guchar *decoded = decode_part(first + 1, (gsize)(second - first - 1), &n_bytes);
    if (!decoded)
        return fail_malformed("its second part is not in base64url", error);

    cJSON *object = cJSON_ParseWithLength((const char *)decoded, n_bytes);
    gboolean is_good = take_claims(claims, object, error);
    cJSON_Delete(object);
    return is_good;
}

static gboolean
fail_missing(GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_AUTH, LAKE_ERROR_NO_ACCESS, "Token required");
    if (error)
        lake_error_hint(*error, "Set DEEPLAKE_API_KEY, or name a file with --token-file.");
    return FALSE;
}

/* Fills *claims, which is empty. */
static gboolean
claims_take_text(Claims *claims, const char *text, GError **error)
{
    if (!text)
        return fail_missing(error);

    const char *begin = text + strspn(text, SPACE);
    gsize length = strlen(begin);
    while (length > 0 && strchr(SPACE, begin[length - 1]))
        length--;
    if (length == 0)
        return fail_missing(error);
    if (!read_claims(claims, begin, length, error)) {
        claims_clear(claims);
        return FALSE;
    }

    char *joined = g_strdup_printf(HEADER "%.*s", (int)length, begin);
    claims->header = lake_secret_dup(joined, -1);
    explicit_bzero(joined, strlen(joined));
    g_free(joined);
    return TRUE;
}

static gboolean
fail_file(const char *path, int saved_errno, GError **error)
{
    lake_error_set(error, LAKE_ERROR_CLASS_TOKEN, lake_error_code_from_errno(saved_errno),
        "cannot read the token file %s: %s", path, g_strerror(saved_errno));
    return FALSE;
}

static gboolean
check_file(const char *path, const struct stat *status, GError **error)
{
    if (!S_ISREG(status->st_mode)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TOKEN, LAKE_ERROR_BAD_INPUT,
            "the token file %s is no regular file", path);
        return FALSE;
    }
    if (status->st_size > LAKE_TOKEN_FILE_MAX_BYTES) {
        lake_error_set(error, LAKE_ERROR_CLASS_TOKEN, LAKE_ERROR_BAD_INPUT,
            "the token file %s is larger than any token: more than %d bytes", path,
            LAKE_TOKEN_FILE_MAX_BYTES);
        return FALSE;
    }
    if (status->st_uid == geteuid() && (status->st_mode & 077)) {
        lake_error_set(error, LAKE_ERROR_CLASS_TOKEN, LAKE_ERROR_NO_ACCESS,
            "the token file %s can be read or changed by others (mode %04o)", path,
            (guint)status->st_mode & 07777);
        if (error)
            lake_error_hint(*error, "chmod 600 %s; ssh asks the same of a private key.", path);
        return FALSE;
    }
    return TRUE;
}

/* Reads up to n_bytes and ends them with a zero. errno, or 0. */
static int
read_all(int fd, char *into, gsize n_bytes)
{
    gsize n_done = 0;

    while (n_done < n_bytes) {
        gssize n_read = read(fd, into + n_done, n_bytes - n_done);
        if (n_read < 0 && errno == EINTR)
            continue;
        if (n_read < 0)
            return errno;
        if (n_read == 0)
            break;
        n_done += (gsize)n_read;
    }
    into[n_done] = '\0';
    return 0;
}

static gboolean
claims_take_open_file(Claims *claims, const char *path, int fd, GError **error)
{
    struct stat status;

    if (fstat(fd, &status) < 0)
        return fail_file(path, errno, error);
    if (!check_file(path, &status, error))
        return FALSE;

    char *text = g_malloc(LAKE_TOKEN_FILE_MAX_BYTES + 1);
    int trouble = read_all(fd, text, LAKE_TOKEN_FILE_MAX_BYTES);
    gboolean is_good =
        trouble ? fail_file(path, trouble, error) : claims_take_text(claims, text, error);
    explicit_bzero(text, LAKE_TOKEN_FILE_MAX_BYTES + 1);
    g_free(text);
    if (!is_good && !trouble)
        g_prefix_error(error, "token file %s: ", path);
    return is_good;
}

static gboolean
claims_take_file(Claims *claims, const char *path, GError **error)
{
    /* A pipe's other end may never come. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail_file(path, errno, error);

    gboolean is_good = claims_take_open_file(claims, path, fd, error);
    close(fd);
    return is_good;
}

static LakeToken *
token_new(Claims *claims, const char *path)
{
    LakeToken *token = g_new0(LakeToken, 1);

    token->n_refs = 1;
    token->path = g_strdup(path);
    token->claims = *claims;
    g_mutex_init(&token->lock);
    return token;
}

LakeToken *
lake_token_new(const char *text, GError **error)
{
    Claims claims = {0};

    return claims_take_text(&claims, text, error) ? token_new(&claims, NULL) : NULL;
}

LakeToken *
lake_token_new_from_file(const char *path, GError **error)
{
    Claims claims = {0};

    return claims_take_file(&claims, path, error) ? token_new(&claims, path) : NULL;
}

LakeToken *
lake_token_ref(LakeToken *token)
{
    g_atomic_int_inc(&token->n_refs);
    return token;
}

void
lake_token_unref(LakeToken *token)
{
    if (!token || !g_atomic_int_dec_and_test(&token->n_refs))
        return;
    claims_clear(&token->claims);
    g_mutex_clear(&token->lock);
    g_free(token->path);
    g_free(token);
}

char *
lake_token_dup_organization(LakeToken *token)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&token->lock);

    return g_strdup(token->claims.organization);
}

/* Whether another text is in use afterwards; on an error the former one stays. */
static gboolean
read_again(LakeToken *token, GError **error)
{
    Claims claims = {0};

    if (!token->path || !claims_take_file(&claims, token->path, error))
        return FALSE;

    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&token->lock);
    if (strcmp(claims.header, token->claims.header) == 0) {
        claims_clear(&claims);
        return FALSE;
    }
    claims_clear(&token->claims);
    token->claims = claims;
    token->version++;
    return TRUE;
}

static gint64
get_expiry(LakeToken *token)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&token->lock);

    return token->claims.expires_s;
}

static gboolean
has_expired(gint64 expires_s, gint64 now_s)
{
    return expires_s > 0 && now_s - expires_s > CLOCK_DIFFERENCE_S;
}

gboolean
lake_token_check_expiry(LakeToken *token, gint64 now_s, GError **error)
{
    gint64 expires_s = get_expiry(token);

    /* Where the file cannot be read either, the date says more than that. */
    if (has_expired(expires_s, now_s) && read_again(token, NULL))
        expires_s = get_expiry(token);
    if (!has_expired(expires_s, now_s))
        return TRUE;

    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(expires_s);
    g_autofree char *text = time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S UTC") : NULL;
    lake_error_set(error, LAKE_ERROR_CLASS_AUTH, LAKE_ERROR_NO_ACCESS, "Token expired on %s",
        text ? text : "a day long past");
    if (error && token->path)
        lake_error_hint(
            *error, "Put a new token into %s; it is read again by itself.", token->path);
    else if (error)
        lake_error_hint(*error, "Set DEEPLAKE_API_KEY to a new token and start again; a token "
                                "in a file (--token-file) can be changed meanwhile.");
    return FALSE;
}

char *
lake_token_dup_header(LakeToken *token, guint *ret_version)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&token->lock);

    *ret_version = token->version;
    return lake_secret_dup(token->claims.header, -1);
}

gboolean
lake_token_renew(LakeToken *token, guint version, GError **error)
{
    g_mutex_lock(&token->lock);
    gboolean is_newer = token->version != version;
    g_mutex_unlock(&token->lock);

    return is_newer || read_again(token, error);
}

const char *
lake_token_file(const LakeToken *token)
{
    return token->path;
}
