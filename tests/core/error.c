/* SPDX-License-Identifier: Apache-2.0 */
#include "core/error.h"

#include <errno.h>
#include <gio/gio.h>

static void
test_set(void)
{
    g_autoptr(GError) error = NULL;

    lake_error_set(
        &error, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND, "no table \"%s\"", "docs");
    g_assert_error(error, LAKE_ERROR, LAKE_ERROR_NOT_FOUND);
    g_assert_cmpstr(error->message, ==, "no table \"docs\"");

    const LakeErrorFacts *facts = lake_error_facts(error);
    g_assert_nonnull(facts);
    g_assert_cmpint(facts->class, ==, LAKE_ERROR_CLASS_TABLE);
    g_assert_null(facts->sqlstate);
    g_assert_null(facts->hint);
    g_assert_cmpint(facts->position, ==, 0);

    lake_error_set(NULL, LAKE_ERROR_CLASS_TABLE, LAKE_ERROR_NOT_FOUND, "nobody listens");
}

static void
test_facts(void)
{
    char sqlstate[] = "42601";
    LakeErrorFacts given = {
        .class = LAKE_ERROR_CLASS_INGEST,
        .sqlstate = sqlstate,
        .message = (char *)"syntax error",
        .detail = (char *)"a detail",
        .position = 7,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) copy = NULL;

    lake_error_set_facts(&error, LAKE_ERROR_BAD_INPUT, &given, "cannot run it");
    sqlstate[0] = 'X';
    copy = g_error_copy(error);
    g_clear_error(&error);
    g_prefix_error(&copy, "query: ");

    const LakeErrorFacts *facts = lake_error_facts(copy);
    g_assert_error(copy, LAKE_ERROR, LAKE_ERROR_BAD_INPUT);
    g_assert_cmpstr(copy->message, ==, "query: cannot run it");
    g_assert_cmpint(facts->class, ==, LAKE_ERROR_CLASS_INGEST);
    g_assert_cmpstr(facts->sqlstate, ==, "42601");
    g_assert_cmpstr(facts->message, ==, "syntax error");
    g_assert_cmpstr(facts->detail, ==, "a detail");
    g_assert_null(facts->hint);
    g_assert_cmpint(facts->position, ==, 7);
}

static void
test_hint(void)
{
    g_autoptr(GError) error = NULL;

    lake_error_set(&error, LAKE_ERROR_CLASS_GENERAL, LAKE_ERROR_OFFLINE, "away");
    lake_error_hint(error, "wait %d s", 1);
    lake_error_hint(error, "wait %d s", 2);
    g_assert_cmpstr(lake_error_facts(error)->hint, ==, "wait 2 s");
}

static void
test_foreign(void)
{
    g_autoptr(GError) error = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_FAILED, "other");

    lake_error_hint(error, "ignored");
    g_assert_null(lake_error_facts(error));
    g_assert_cmpstr(lake_error_class_name(error), ==, "ManagedServiceError");
}

static void
test_class_names(void)
{
    static const struct {
        LakeErrorClass class;
        const char *name;
    } expected[] = {
        {LAKE_ERROR_CLASS_GENERAL, "ManagedServiceError"},
        {LAKE_ERROR_CLASS_AUTH, "AuthError"},
        {LAKE_ERROR_CLASS_TOKEN, "TokenError"},
        {LAKE_ERROR_CLASS_CREDENTIALS, "CredentialsError"},
        {LAKE_ERROR_CLASS_WORKSPACE, "WorkspaceError"},
        {LAKE_ERROR_CLASS_TABLE, "TableError"},
        {LAKE_ERROR_CLASS_INGEST, "IngestError"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_autoptr(GError) error = NULL;
        lake_error_set(&error, expected[i].class, LAKE_ERROR_FAILED, "x");
        g_assert_cmpstr(lake_error_class_name(error), ==, expected[i].name);
    }
}

static void
test_errno(void)
{
    static const struct {
        int saved_errno;
        LakeErrorCode code;
    } expected[] = {
        {ENOENT, LAKE_ERROR_NOT_FOUND},
        {ENOTDIR, LAKE_ERROR_NOT_FOUND},
        {EEXIST, LAKE_ERROR_EXISTS},
        {ENOTEMPTY, LAKE_ERROR_NOT_EMPTY},
        {EACCES, LAKE_ERROR_NO_ACCESS},
        {EPERM, LAKE_ERROR_NO_ACCESS},
        {EROFS, LAKE_ERROR_READ_ONLY},
        {EFBIG, LAKE_ERROR_TOO_BIG},
        {ENOSPC, LAKE_ERROR_NO_SPACE},
        {EDQUOT, LAKE_ERROR_NO_SPACE},
        {ENAMETOOLONG, LAKE_ERROR_LONG_NAME},
        {EINVAL, LAKE_ERROR_BAD_INPUT},
        {EIO, LAKE_ERROR_FAILED},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++)
        g_assert_cmpint(
            lake_error_code_from_errno(expected[i].saved_errno), ==, expected[i].code);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/error/carries-code-class-and-message", test_set);
    g_test_add_func("/core/error/facts-are-copied-and-survive-a-copy", test_facts);
    g_test_add_func("/core/error/later-hint-replaces-the-earlier", test_hint);
    g_test_add_func("/core/error/foreign-domain-is-general-and-takes-no-hint", test_foreign);
    g_test_add_func("/core/error/class-names-are-the-specification-s", test_class_names);
    g_test_add_func("/core/error/errno-becomes-what-can-be-done", test_errno);
    return g_test_run();
}
