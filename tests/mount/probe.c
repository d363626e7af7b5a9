/* SPDX-License-Identifier: Apache-2.0 */
#include "mount/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A folder that has what a mount has. */
typedef struct {
    char *top;
    char *folder;
    char *ingests;
    char *status;
} Place;

static void
make_place(Place *place)
{
    place->top = g_dir_make_tmp(NULL, NULL);
    place->folder = g_build_filename(place->top, ".deeplake", NULL);
    place->ingests = g_build_filename(place->folder, "ingest.jsonl", NULL);
    place->status = g_build_filename(place->folder, "status.json", NULL);
    g_assert_cmpint(g_mkdir(place->folder, 0700), ==, 0);
}

static void
remove_place(Place *place)
{
    g_unlink(place->ingests);
    g_unlink(place->status);
    g_rmdir(place->folder);
    g_rmdir(place->top);
    g_free(place->ingests);
    g_free(place->status);
    g_free(place->folder);
    g_free(place->top);
}

static MountProbeOutcome
await(MountProbe *probe, char **ret_ingests, char **ret_status, int *ret_errno)
{
    for (;;) {
        MountProbeOutcome outcome = mount_probe_take(probe, ret_ingests, ret_status, ret_errno);
        if (outcome != MOUNT_PROBE_PENDING)
            return outcome;
        struct pollfd fd = {.fd = mount_probe_fd(probe), .events = POLLIN};
        g_assert_cmpint(poll(&fd, 1, 10000), >, 0);
    }
}

static void
assert_no_process_is_left(void)
{
    g_assert_cmpint(waitpid(-1, NULL, WNOHANG), ==, -1);
    g_assert_cmpint(errno, ==, ECHILD);
}

static void
test_both_texts(void)
{
    Place place;
    g_autofree char *ingests = NULL;
    g_autofree char *status = NULL;
    g_autofree char *large = g_strnfill(300000, 'x');
    int failure = 0;
    make_place(&place);
    g_assert_true(g_file_set_contents(place.ingests, large, -1, NULL));
    g_assert_true(g_file_set_contents(place.status, "{}\n", -1, NULL));

    MountProbe *probe = mount_probe_new(place.top);
    g_assert_cmpint(mount_probe_fd(probe), ==, -1);
    g_assert_cmpint(
        mount_probe_take(probe, &ingests, &status, &failure), ==, MOUNT_PROBE_PENDING);
    mount_probe_ask(probe);
    g_assert_cmpint(mount_probe_asked_us(probe), >, 0);
    g_assert_cmpint(await(probe, &ingests, &status, &failure), ==, MOUNT_PROBE_ANSWERED);
    g_assert_cmpstr(ingests, ==, large);
    g_assert_cmpstr(status, ==, "{}\n");
    g_assert_cmpint(mount_probe_asked_us(probe), ==, 0);

    /* And again, of what is there then. */
    g_clear_pointer(&ingests, g_free);
    g_clear_pointer(&status, g_free);
    g_assert_true(g_file_set_contents(place.ingests, "", -1, NULL));
    mount_probe_ask(probe);
    g_assert_cmpint(await(probe, &ingests, &status, &failure), ==, MOUNT_PROBE_ANSWERED);
    g_assert_cmpstr(ingests, ==, "");

    mount_probe_free(probe);
    assert_no_process_is_left();
    remove_place(&place);
}

static void
test_failure(void)
{
    Place place;
    char *ingests = NULL;
    char *status = NULL;
    int failure = 0;
    make_place(&place);
    g_assert_true(g_file_set_contents(place.ingests, "{}\n", -1, NULL));

    MountProbe *probe = mount_probe_new(place.top);
    mount_probe_ask(probe);
    g_assert_cmpint(await(probe, &ingests, &status, &failure), ==, MOUNT_PROBE_FAILED);
    g_assert_cmpint(failure, ==, ENOENT);
    g_assert_null(ingests);
    mount_probe_free(probe);
    assert_no_process_is_left();
    remove_place(&place);
}

static void
test_hang(void)
{
    Place place;
    char *ingests = NULL;
    char *status = NULL;
    int failure = 0;
    make_place(&place);
    /* Opening a FIFO waits for who writes to it. */
    g_assert_cmpint(mkfifo(place.ingests, 0600), ==, 0);

    MountProbe *probe = mount_probe_new(place.top);
    mount_probe_ask(probe);
    gint64 asked_us = mount_probe_asked_us(probe);
    struct pollfd fd = {.fd = mount_probe_fd(probe), .events = POLLIN};
    g_assert_cmpint(poll(&fd, 1, 200), ==, 0);
    g_assert_cmpint(
        mount_probe_take(probe, &ingests, &status, &failure), ==, MOUNT_PROBE_PENDING);

    /* The question is still the same one. */
    mount_probe_ask(probe);
    g_assert_cmpint(mount_probe_asked_us(probe), ==, asked_us);

    gint64 left_us = g_get_monotonic_time();
    mount_probe_free(probe);
    g_assert_cmpint(g_get_monotonic_time() - left_us, <, G_USEC_PER_SEC);
    /* Its reader was ended. */
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    assert_no_process_is_left();
    remove_place(&place);
}

static void
test_late(void)
{
    Place place;
    g_autofree char *ingests = NULL;
    g_autofree char *status = NULL;
    int failure = 0;
    make_place(&place);
    g_assert_cmpint(mkfifo(place.ingests, 0600), ==, 0);
    g_assert_true(g_file_set_contents(place.status, "{}\n", -1, NULL));

    MountProbe *probe = mount_probe_new(place.top);
    mount_probe_ask(probe);
    g_usleep(100 * 1000);
    int fd = open(place.ingests, O_WRONLY | O_CLOEXEC);
    g_assert_cmpint(write(fd, "late\n", 5), ==, 5);
    close(fd);
    g_assert_cmpint(await(probe, &ingests, &status, &failure), ==, MOUNT_PROBE_ANSWERED);
    g_assert_cmpstr(ingests, ==, "late\n");
    mount_probe_free(probe);
    assert_no_process_is_left();
    remove_place(&place);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mount/probe/has-both-texts-each-time-anew", test_both_texts);
    g_test_add_func("/mount/probe/tells-why-it-cannot-read", test_failure);
    g_test_add_func("/mount/probe/one-that-hangs-holds-nobody", test_hang);
    g_test_add_func("/mount/probe/late-answer-counts", test_late);
    return g_test_run();
}
