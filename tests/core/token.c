/* SPDX-License-Identifier: Apache-2.0 */
#include "core/token.h"

#include "core/error.h"
#include "core/secret.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_S G_GINT64_CONSTANT(1800000000)

static char *
encode(const char *bytes, gsize n_bytes)
{
    char *text = g_base64_encode((const guchar *)bytes, n_bytes);

    g_strdelimit(text, "+", '-');
    g_strdelimit(text, "/", '_');
    text[strcspn(text, "=")] = '\0';
    return text;
}

/* A token with these claims; caller frees. */
static char *
make(const char *claims)
{
    g_autofree char *first = encode("{\"alg\":\"none\"}", 14);
    g_autofree char *second = encode(claims, strlen(claims));

    return g_strdup_printf("%s.%s.c2lnbmF0dXJl", first, second);
}

static LakeToken *
open_token(const char *claims)
{
    g_autofree char *text = make(claims);
    g_autoptr(GError) error = NULL;
    LakeToken *token = lake_token_new(text, &error);

    g_assert_no_error(error);
    return token;
}

static void
test_claim_is_found(void)
{
    static const struct {
        const char *claims, *organization;
    } cases[] = {
        {"{\"OrgID\":\"0af0-11\"}", "0af0-11"},
        {"{\"OrgID\":\"o\",\"exp\":1}", "o"},
        {"{ }", NULL},
        {"{\"OrgID\":\"\"}", NULL},
        {"{\"OrgID\":7}", NULL},
        {"{\"OrgID\":null}", NULL},
        {"{\"orgid\":\"o\"}", NULL},
        /* Every padding, and what base64url writes otherwise: -_ */
        {"{\"OrgID\":\"a\"} ", "a"},
        {"{\"OrgID\":\"a\"}  ", "a"},
        {"{\"a\":\"\xc3\xbf\xc3\xbf>>>???\",\"OrgID\":\"a\"}", "a"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].claims);
        g_autoptr(LakeToken) token = open_token(cases[i].claims);
        g_autofree char *organization = lake_token_dup_organization(token);
        g_assert_cmpstr(organization, ==, cases[i].organization);
    }
}

static void
test_header(void)
{
    g_autofree char *text = make("{\"OrgID\":\"o\"}");
    g_autofree char *spaced = g_strconcat(" \t", text, "\r\n\n", NULL);
    g_autofree char *expected = g_strconcat("Authorization: Bearer ", text, NULL);
    g_autoptr(LakeToken) token = lake_token_new(spaced, NULL);
    guint version = 7;
    char *header = lake_token_dup_header(token, &version);

    g_assert_cmpstr(header, ==, expected);
    g_assert_cmpuint(version, ==, 0);
    lake_secret_free(header);
    g_assert_false(lake_token_renew(token, 0, NULL));
    g_assert_null(lake_token_file(token));
}

static void
test_malformed(void)
{
    g_autofree char *no_object = make("[1]");
    g_autofree char *no_json = make("OrgID");
    g_autofree char *half = make("{\"OrgID\":\"o");
    g_autofree char *good = make("{\"OrgID\":\"o\"}");
    g_autofree char *broken_line = g_strdup_printf("%.10s\n%s", good, good + 10);
    g_autofree char *with_break = make("{\"OrgID\":\"o\\r\\nX: y\"}");
    g_autofree char *four = g_strconcat(good, ".x", NULL);
    g_autofree char *prefixed = g_strconcat("Bearer ", good, NULL);
    const char *const texts[] = {"s3ntinel", "s3ntinel.x", "..", "a..b", "a.b.c", ".e30.x",
        "s3nt!nel.e30.x", "a.e30.x\x01", "a.%%.x", "a.e30=.x", "a.e.x", no_object, no_json,
        half, broken_line, with_break, four, prefixed, "a.e30.x y", "a.e30.\xff"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *shown = g_strescape(texts[i], NULL); /* TAP is UTF-8 */
        g_test_message("%s", shown);
        g_assert_null(lake_token_new(texts[i], &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
        g_assert_cmpstr(lake_error_class_name(error), ==, "TokenError");
        g_assert_true(g_str_has_prefix(error->message, "the token is malformed: "));
        g_assert_nonnull(lake_error_facts(error)->hint);
        g_assert_null(strstr(error->message, "s3ntinel"));
        g_assert_null(strstr(error->message, "s3nt!nel"));
    }
}

static void
test_missing(void)
{
    static const char *const texts[] = {NULL, "", " \n"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(lake_token_new(texts[i], &error));
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
        g_assert_cmpstr(lake_error_class_name(error), ==, "AuthError");
        g_assert_cmpstr(error->message, ==, "Token required");
        g_assert_nonnull(strstr(lake_error_facts(error)->hint, "DEEPLAKE_API_KEY"));
        g_assert_nonnull(strstr(lake_error_facts(error)->hint, "--token-file"));
    }
}

static void
test_expiry(void)
{
    static const struct {
        const char *claims;
        gboolean is_good;
    } cases[] = {
        {"{\"exp\":1800000001}", TRUE},
        {"{\"exp\":1799999990}", TRUE}, /* clocks differ */
        {"{\"exp\":1799999900}", FALSE},
        {"{\"exp\":1.5e9}", FALSE},
        {"{\"exp\":1}", FALSE},
        {"{}", TRUE},
        {"{\"exp\":0}", TRUE},
        {"{\"exp\":-5}", TRUE},
        {"{\"exp\":\"1\"}", TRUE},
        {"{\"exp\":1e300}", TRUE},
        {"{\"exp\":4e18}", TRUE},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(LakeToken) token = open_token(cases[i].claims);
        g_autoptr(GError) error = NULL;
        g_test_message("%s", cases[i].claims);
        g_assert_true(lake_token_check_expiry(token, NOW_S, &error) == cases[i].is_good);
        if (cases[i].is_good)
            continue;
        g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NO_ACCESS);
        g_assert_cmpstr(lake_error_class_name(error), ==, "AuthError");
        g_assert_true(g_str_has_prefix(error->message, "Token expired on "));
        g_assert_nonnull(strstr(lake_error_facts(error)->hint, "DEEPLAKE_API_KEY"));
    }
    g_autoptr(LakeToken) token = open_token("{\"exp\":1500000000}");
    g_autoptr(GError) error = NULL;
    g_assert_false(lake_token_check_expiry(token, NOW_S, &error));
    g_assert_cmpstr(error->message, ==, "Token expired on 2017-07-14 02:40:00 UTC");
}

typedef struct {
    char *folder, *path;
} Fixture;

static void
set_up(Fixture *fixture, gconstpointer unused)
{
    fixture->folder = g_dir_make_tmp("token-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->folder, "token", NULL);
}

static void
tear_down(Fixture *fixture, gconstpointer unused)
{
    g_unlink(fixture->path);
    g_rmdir(fixture->path);
    g_rmdir(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->path);
}

static void
write_claims(Fixture *fixture, const char *claims, int mode)
{
    g_autofree char *text = make(claims);
    g_autofree char *line = g_strconcat(text, "\n", NULL);

    g_assert_true(g_file_set_contents(fixture->path, line, -1, NULL));
    g_assert_cmpint(g_chmod(fixture->path, mode), ==, 0);
}

static void
assert_file_is_refused(
    Fixture *fixture, LakeErrorCode code, const char *class, const char *part)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(lake_token_new_from_file(fixture->path, &error));
    g_assert_error(error, LAKE_ERROR, (int)code);
    g_assert_cmpstr(lake_error_class_name(error), ==, class);
    g_assert_nonnull(strstr(error->message, fixture->path));
    g_assert_nonnull(strstr(error->message, part));
}

static void
test_file_is_read_again(Fixture *fixture, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;

    write_claims(fixture, "{\"OrgID\":\"one\"}", 0600);
    g_autoptr(LakeToken) token = lake_token_new_from_file(fixture->path, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(lake_token_file(token), ==, fixture->path);
    g_assert_false(lake_token_renew(token, 0, &error));
    g_assert_no_error(error);

    write_claims(fixture, "{\"OrgID\":\"two\"}", 0400);
    g_assert_true(lake_token_renew(token, 0, &error));
    g_autofree char *organization = lake_token_dup_organization(token);
    g_assert_cmpstr(organization, ==, "two");

    /* Who still used the first one is told that there is another, though the file is the same.
     */
    g_assert_true(lake_token_renew(token, 0, &error));
    g_assert_false(lake_token_renew(token, 1, &error));
    g_assert_no_error(error);

    g_unlink(fixture->path);
    g_assert_false(lake_token_renew(token, 1, &error));
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
    guint version;
    char *header = lake_token_dup_header(token, &version);
    g_assert_nonnull(header);
    lake_secret_free(header);
}

static void
test_expired_file_is_read_again(Fixture *fixture, gconstpointer unused)
{
    write_claims(fixture, "{\"exp\":1500000000}", 0600);
    g_autoptr(LakeToken) token = lake_token_new_from_file(fixture->path, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(lake_token_check_expiry(token, NOW_S, &error));
    g_assert_nonnull(strstr(lake_error_facts(error)->hint, fixture->path));
    write_claims(fixture, "{\"exp\":1900000000}", 0600);
    g_assert_true(lake_token_check_expiry(token, NOW_S, NULL));
}

static void
test_file_of_everybody_is_refused(Fixture *fixture, gconstpointer unused)
{
    static const int modes[] = {0644, 0640, 0604, 0620, 0602};

    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        write_claims(fixture, "{}", modes[i]);
        assert_file_is_refused(
            fixture, LAKE_ERROR_NO_ACCESS, "TokenError", "can be read or changed by others");
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(lake_token_new_from_file(fixture->path, &error));
    g_assert_nonnull(strstr(lake_error_facts(error)->hint, "chmod 600"));
}

static void
test_no_file(Fixture *fixture, gconstpointer unused)
{
    assert_file_is_refused(fixture, LAKE_ERROR_NOT_FOUND, "TokenError", "No such file");
    g_assert_cmpint(mkfifo(fixture->path, 0600), ==, 0);
    assert_file_is_refused(fixture, LAKE_ERROR_BAD_INPUT, "TokenError", "no regular file");
    g_unlink(fixture->path);
    g_assert_cmpint(g_mkdir(fixture->path, 0700), ==, 0);
    assert_file_is_refused(fixture, LAKE_ERROR_BAD_INPUT, "TokenError", "no regular file");
}

static void
test_odd_files(Fixture *fixture, gconstpointer unused)
{
    g_autofree char *large = g_strnfill(LAKE_TOKEN_FILE_MAX_BYTES + 1, 'x');

    g_assert_true(g_file_set_contents_full(
        fixture->path, " \n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    assert_file_is_refused(fixture, LAKE_ERROR_NO_ACCESS, "AuthError", "Token required");
    g_assert_true(g_file_set_contents_full(
        fixture->path, "s3ntinel\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    assert_file_is_refused(fixture, LAKE_ERROR_BAD_INPUT, "TokenError", "malformed");
    g_assert_true(g_file_set_contents_full(
        fixture->path, large, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    assert_file_is_refused(fixture, LAKE_ERROR_BAD_INPUT, "TokenError", "larger");
}

#define ADD(name, function)                                                                    \
    g_test_add("/core/token/" name, Fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/token/claims-are-read-without-verifying", test_claim_is_found);
    g_test_add_func("/core/token/header-has-the-text-alone", test_header);
    g_test_add_func("/core/token/what-is-malformed-is-refused-unquoted", test_malformed);
    g_test_add_func("/core/token/none-is-an-auth-error", test_missing);
    g_test_add_func("/core/token/expiry-is-noticed-beforehand", test_expiry);
    ADD("file-is-read-again", test_file_is_read_again);
    ADD("expired-file-is-read-again", test_expired_file_is_read_again);
    ADD("file-that-others-read-is-refused", test_file_of_everybody_is_refused);
    ADD("what-is-no-file-is-refused", test_no_file);
    ADD("empty-and-large-files-are-refused", test_odd_files);
    return g_test_run();
}
