/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sqlstate.h"

static void
test_meanings(void)
{
    static const struct {
        const char *sqlstate;
        LakeErrorCode code;
    } cases[] = {
        {"08006", LAKE_ERROR_OFFLINE},
        {"22P02", LAKE_ERROR_BAD_INPUT},
        {"23505", LAKE_ERROR_BAD_INPUT},
        {"25006", LAKE_ERROR_READ_ONLY},
        {"25P03", LAKE_ERROR_TIMED_OUT},
        {"28000", LAKE_ERROR_NO_ACCESS},
        {"28P01", LAKE_ERROR_NO_ACCESS},
        {"2BP01", LAKE_ERROR_BAD_INPUT},
        {"3D000", LAKE_ERROR_NOT_FOUND},
        {"3F000", LAKE_ERROR_NOT_FOUND},
        {"40001", LAKE_ERROR_BUSY},
        {"40P01", LAKE_ERROR_BUSY},
        {"42501", LAKE_ERROR_NO_ACCESS},
        {"42601", LAKE_ERROR_BAD_INPUT},
        {"42622", LAKE_ERROR_LONG_NAME},
        {"42703", LAKE_ERROR_BAD_INPUT},
        {"42710", LAKE_ERROR_EXISTS},
        {"42P01", LAKE_ERROR_NOT_FOUND},
        {"42P06", LAKE_ERROR_EXISTS},
        {"42P07", LAKE_ERROR_EXISTS},
        {"53100", LAKE_ERROR_NO_SPACE},
        {"53200", LAKE_ERROR_BUSY},
        {"53300", LAKE_ERROR_BUSY},
        {"54000", LAKE_ERROR_TOO_BIG},
        {"55P03", LAKE_ERROR_BUSY},
        {"57014", LAKE_ERROR_CANCELLED},
        {"57P01", LAKE_ERROR_OFFLINE},
        {"57P03", LAKE_ERROR_OFFLINE},
        {"0A000", LAKE_ERROR_UNSUPPORTED},
        {"P0001", LAKE_ERROR_BAD_INPUT},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].sqlstate);
        g_assert_cmpint(lake_sqlstate_code(cases[i].sqlstate), ==, cases[i].code);
    }
}

static void
test_unknown(void)
{
    static const char *const unknown[] = {"XX000", "58030", "25001", "55000", "57000", "F0000",
        "2B000", "3B001", "", "0", "4", NULL};

    for (gsize i = 0; unknown[i]; i++) {
        g_test_message("%s", unknown[i]);
        g_assert_cmpint(lake_sqlstate_code(unknown[i]), ==, LAKE_ERROR_FAILED);
    }
    g_assert_cmpint(lake_sqlstate_code(NULL), ==, LAKE_ERROR_FAILED);
}

static void
test_class(void)
{
    static const char *const general[] = {"08006", "42501", "42P01", "57014", "82800", "2", ""};

    g_assert_cmpint(lake_sqlstate_class("28000"), ==, LAKE_ERROR_CLASS_CREDENTIALS);
    g_assert_cmpint(lake_sqlstate_class("28P01"), ==, LAKE_ERROR_CLASS_CREDENTIALS);
    for (gsize i = 0; i < G_N_ELEMENTS(general); i++)
        g_assert_cmpint(lake_sqlstate_class(general[i]), ==, LAKE_ERROR_CLASS_GENERAL);
    g_assert_cmpint(lake_sqlstate_class(NULL), ==, LAKE_ERROR_CLASS_GENERAL);
}

static void
test_messages(void)
{
    static const struct {
        const char *message, *sqlstate;
    } cases[] = {
        {"relation \"t\" already exists", "42P07"},
        {"relation \"t\" does not exist", "42P01"},
        {"column \"c\" of relation \"t\" already exists", "42701"},
        {"column \"c\" of relation \"t\" does not exist", "42703"},
        {"column t.c does not exist", "42703"},
        {"schema \"s\" does not exist", "3F000"},
        {"function f(integer) does not exist", "42883"},
        {"type \"x\" already exists", "42710"},
        {"duplicate key value violates unique constraint \"k\"", "23505"},
        {"cannot execute INSERT in a read-only transaction", "25006"},
        {"permission denied for table t", "42501"},
        {"canceling statement due to statement timeout", "57014"},
        {"deadlock detected", "40P01"},
        {"does not exist relation \"", "42704"},
        {"failed to connect to `host=db`: hostname resolving error", "08001"},
        {"write tcp 10.0.0.1:5432: broken pipe", "08006"},
        {"unexpected EOF", "08006"},
        {"conn closed", "08003"},
        {"syntax error: unexpected EOF", "42601"},
        {"vector::at out of range", NULL},
        {"", NULL},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++)
        g_assert_cmpstr(lake_sqlstate_from_message(cases[i].message), ==, cases[i].sqlstate);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/core/sqlstate/an-exception-counts-before-its-class", test_meanings);
    g_test_add_func("/core/sqlstate/what-nobody-can-act-on-is-failed", test_unknown);
    g_test_add_func("/core/sqlstate/only-authorization-is-about-credentials", test_class);
    g_test_add_func("/core/sqlstate/known-messages-have-one", test_messages);
    return g_test_run();
}
