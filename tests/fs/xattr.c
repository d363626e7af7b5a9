/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/xattr.h"

#include <string.h>

static void
assert_value(const char *json, const char *name, const void *expected, gsize n_expected)
{
    g_autoptr(GBytes) value = fs_xattr_get(json, name);
    gsize n_bytes;

    g_assert_nonnull(value);
    const void *data = g_bytes_get_data(value, &n_bytes);
    g_assert_cmpmem(data, n_bytes, expected, n_expected);
}

static void
test_kept(void)
{
    static const char *const others[] = {"security.capability", "system.posix_acl_access",
        "trusted.x", "user", "User.x", "xuser.x", ""};

    g_assert_true(fs_xattr_is_kept("user.x"));
    g_assert_true(fs_xattr_is_kept("user.mime.type"));
    for (gsize i = 0; i < G_N_ELEMENTS(others); i++)
        g_assert_false(fs_xattr_is_kept(others[i]));
}

static void
test_any_bytes(void)
{
    guint8 value[256];
    g_autofree char *json = NULL;

    for (guint i = 0; i < sizeof value; i++)
        value[i] = (guint8)i;
    for (gsize n_bytes = 0; n_bytes <= sizeof value; n_bytes++) {
        g_free(json);
        json = fs_xattr_with(NULL, "user.x", value, n_bytes);
        assert_value(json, "user.x", value, n_bytes);
    }
}

static void
test_set(void)
{
    g_autofree char *one = fs_xattr_with(NULL, "user.a", "1", 1);
    g_autofree char *two = fs_xattr_with(one, "user.b", "22", 2);
    g_autofree char *changed = fs_xattr_with(two, "user.a", "333", 3);

    assert_value(changed, "user.a", "333", 3);
    assert_value(changed, "user.b", "22", 2);
    assert_value(two, "user.a", "1", 1);
}

static void
test_remove(void)
{
    g_autofree char *one = fs_xattr_with(NULL, "user.a", "1", 1);
    g_autofree char *two = fs_xattr_with(one, "user.b", "2", 1);
    g_autofree char *same = fs_xattr_with(two, "user.c", NULL, 0);
    g_autofree char *left = fs_xattr_with(two, "user.a", NULL, 0);
    g_autofree char *nothing = fs_xattr_with(left, "user.b", NULL, 0);

    assert_value(same, "user.a", "1", 1);
    g_assert_null(fs_xattr_get(left, "user.a"));
    assert_value(left, "user.b", "2", 1);
    g_assert_null(nothing);
}

static void
test_case(void)
{
    g_autofree char *one = fs_xattr_with(NULL, "user.a", "1", 1);
    g_autofree char *two = fs_xattr_with(one, "user.A", "2", 1);
    g_autofree char *left = fs_xattr_with(two, "user.A", NULL, 0);

    assert_value(two, "user.a", "1", 1);
    assert_value(two, "user.A", "2", 1);
    assert_value(left, "user.a", "1", 1);
    g_assert_null(fs_xattr_get(left, "user.A"));
}

static void
test_names(void)
{
    g_autofree char *one = fs_xattr_with(NULL, "user.b", "", 0);
    g_autofree char *two = fs_xattr_with(one, "user.a \"x\"", "1", 1);
    g_autoptr(GByteArray) names = fs_xattr_names(two);
    g_autoptr(GByteArray) none = fs_xattr_names(NULL);
    static const char expected[] = "user.b\0user.a \"x\"";

    g_assert_cmpmem(names->data, names->len, expected, sizeof expected);
    g_assert_cmpuint(none->len, ==, 0);
}

static void
test_nothing(void)
{
    static const char *const strange[] = {
        NULL, "{}", "", "not json", "{\"user.a\":1}", "{\"user.b\":\"MQ==\"}"};

    for (gsize i = 0; i < G_N_ELEMENTS(strange); i++) {
        g_autofree char *json = fs_xattr_with(strange[i], "user.a", "1", 1);

        g_assert_null(fs_xattr_get(strange[i], "user.a"));
        assert_value(json, "user.a", "1", 1);
    }
}

/* The ledger gives back what jsonb makes of it: blanks, another order. */
static void
test_jsonb(void)
{
    static const char json[] = "{\"user.a\": \"AP8=\", \"user.bb\": \"\"}";
    g_autofree char *left = fs_xattr_with(json, "user.bb", NULL, 0);

    assert_value(json, "user.a", "\x00\xff", 2);
    assert_value(json, "user.bb", "", 0);
    assert_value(left, "user.a", "\x00\xff", 2);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fs/xattr/only-user-attributes-are-kept", test_kept);
    g_test_add_func("/fs/xattr/a-value-is-any-bytes", test_any_bytes);
    g_test_add_func("/fs/xattr/setting-one-leaves-the-others", test_set);
    g_test_add_func("/fs/xattr/removing-the-last-leaves-nothing", test_remove);
    g_test_add_func("/fs/xattr/names-differ-by-case", test_case);
    g_test_add_func("/fs/xattr/each-listed-name-ends-in-nul", test_names);
    g_test_add_func("/fs/xattr/what-is-not-there-is-not-set", test_nothing);
    g_test_add_func("/fs/xattr/reads-what-jsonb-writes", test_jsonb);
    return g_test_run();
}
