/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/error.h"

#include <errno.h>
#include <gio/gio.h>

static const struct {
    LakeErrorCode code;
    int expected;
} meanings[] = {
    {LAKE_ERROR_FAILED, EIO},
    {LAKE_ERROR_NOT_FOUND, ENOENT},
    {LAKE_ERROR_EXISTS, EEXIST},
    {LAKE_ERROR_NOT_EMPTY, ENOTEMPTY},
    {LAKE_ERROR_BAD_INPUT, EINVAL},
    {LAKE_ERROR_BAD_NAME, EILSEQ},
    {LAKE_ERROR_LONG_NAME, ENAMETOOLONG},
    {LAKE_ERROR_NO_ACCESS, EACCES},
    {LAKE_ERROR_REFUSED, EPERM},
    {LAKE_ERROR_READ_ONLY, EROFS},
    {LAKE_ERROR_TOO_BIG, EFBIG},
    {LAKE_ERROR_NO_SPACE, ENOSPC},
    {LAKE_ERROR_OFFLINE, EHOSTDOWN},
    {LAKE_ERROR_BUSY, EBUSY},
    {LAKE_ERROR_TIMED_OUT, ETIMEDOUT},
    {LAKE_ERROR_CANCELLED, EINTR},
    {LAKE_ERROR_STALE, ESTALE},
    {LAKE_ERROR_OTHER_TABLE, EXDEV},
    {LAKE_ERROR_UNSUPPORTED, EOPNOTSUPP},
};

static int
errno_of(GQuark domain, int code)
{
    g_autoptr(GError) error = g_error_new_literal(domain, code, "why");

    return fs_error_to_errno(error);
}

static void
test_codes(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(meanings); i++) {
        g_test_message("code %d", (int)meanings[i].code);
        g_assert_cmpint(errno_of(LAKE_ERROR, meanings[i].code), ==, meanings[i].expected);
    }
}

static void
test_every_code(void)
{
    for (int code = LAKE_ERROR_FAILED; code <= LAKE_ERROR_UNSUPPORTED; code++) {
        g_assert_cmpint(meanings[code].code, ==, code);
        for (int other = LAKE_ERROR_FAILED; other < code; other++)
            g_assert_cmpint(errno_of(LAKE_ERROR, code), !=, errno_of(LAKE_ERROR, other));
    }
    g_assert_cmpint(G_N_ELEMENTS(meanings), ==, LAKE_ERROR_UNSUPPORTED + 1);
}

static void
test_never_success(void)
{
    for (int code = -1000; code <= 1000; code++) {
        g_assert_cmpint(errno_of(LAKE_ERROR, code), >, 0);
        g_assert_cmpint(errno_of(G_IO_ERROR, code), >, 0);
        g_assert_cmpint(errno_of(G_FILE_ERROR, code), >, 0);
    }
}

static void
test_other_domains(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) cancelled = NULL;

    g_cancellable_cancel(cancellable);
    g_assert_true(g_cancellable_set_error_if_cancelled(cancellable, &cancelled));
    g_assert_cmpint(fs_error_to_errno(cancelled), ==, EINTR);
    g_assert_cmpint(errno_of(G_IO_ERROR, G_IO_ERROR_NOT_FOUND), ==, EIO);
    g_assert_cmpint(errno_of(G_FILE_ERROR, G_FILE_ERROR_NOENT), ==, EIO);
    /* The number of GIO's cancellation says nothing in another domain. */
    g_assert_cmpint(errno_of(G_FILE_ERROR, G_IO_ERROR_CANCELLED), ==, EIO);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/error/a-code-says-what-the-caller-can-do", test_codes);
    g_test_add_func("/fs/error/every-code-has-an-errno-of-its-own", test_every_code);
    g_test_add_func("/fs/error/no-error-is-success", test_never_success);
    g_test_add_func(
        "/fs/error/other-domains-are-an-interrupt-or-a-failure", test_other_domains);
    return g_test_run();
}
