/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fault.h"

#ifdef LAKE_FAULTS

#include <signal.h>
#include <string.h>
#include <unistd.h>

typedef enum { ANSWER, KILL, SLEEP } Act;

typedef struct {
    char *name;
    guint at; /* the pass that acts, from 1 */
    Act act;
    guint sleep_ms;
    guint n_passes; /* atomic */
} Fault;

/* Set once, then constant but for n_passes. */
static Fault *faults;
static guint n_faults;

static gboolean
parse_act(const char *text, Fault *fault)
{
    guint64 number = 0;

    if (strcmp(text, "kill") == 0) {
        fault->act = KILL;
        return TRUE;
    }
    if (!g_str_has_prefix(text, "sleep=") ||
        !g_ascii_string_to_unsigned(
            text + strlen("sleep="), 10, 0, G_MAXUINT / 1000, &number, NULL))
        return FALSE;
    fault->act = SLEEP;
    fault->sleep_ms = (guint)number;
    return TRUE;
}

static gboolean
parse_fault(const char *text, Fault *fault)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 3);
    guint64 number = 1;

    if (!parts[0] || !*parts[0])
        return FALSE;
    if (parts[1] && !g_ascii_string_to_unsigned(parts[1], 10, 1, G_MAXUINT, &number, NULL))
        return FALSE;

    *fault = (Fault){.name = g_strdup(parts[0]), .at = (guint)number, .act = ANSWER};
    return !parts[1] || !parts[2] || parse_act(parts[2], fault);
}

static void
parse_all(const char *text)
{
    g_auto(GStrv) entries = g_strsplit(text, ",", -1);

    faults = g_new0(Fault, g_strv_length(entries));
    for (gsize i = 0; entries[i]; i++) {
        /* A fault that never happens would make a test that cannot fail. */
        if (!parse_fault(entries[i], &faults[n_faults]))
            g_error("LAKE_FAULT: '%s' is not name[:n[:kill|:sleep=MS]]", entries[i]);
        n_faults++;
    }
}

static gboolean
happen(const Fault *fault)
{
    switch (fault->act) {
    case ANSWER:
        return TRUE;
    case KILL:
        kill(getpid(), SIGKILL);
        return FALSE;
    case SLEEP:
        g_usleep((gulong)fault->sleep_ms * 1000);
        return FALSE;
    }
    g_assert_not_reached();
}

gboolean
lake_fault(const char *name)
{
    static gsize is_parsed;
    gboolean answer = FALSE;

    if (g_once_init_enter(&is_parsed)) {
        const char *text = g_getenv("LAKE_FAULT");
        if (text && *text)
            parse_all(text);
        g_once_init_leave(&is_parsed, 1);
    }

    for (guint i = 0; i < n_faults; i++)
        if (strcmp(faults[i].name, name) == 0 &&
            (guint)g_atomic_int_add(&faults[i].n_passes, 1) + 1 == faults[i].at)
            answer = happen(&faults[i]) || answer;
    return answer;
}

#endif
