# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, The service, Repeating; and When the server is away."""

import errno
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from support import files
from support.checks import assert_ingested
from support.fixtures import make_backend, tear_down
from support.mount import Mount, run, wait_for
from support.service import AFTER, BEFORE, MIDDLE, statement

BOUND_SECONDS = 30
CHANGES = statement("INSERT INTO|^DO|^UPDATE|^DELETE")


@pytest.fixture(scope="module")
def backend(postgres):
    made = make_backend("service", postgres)
    yield made
    tear_down(made)


@pytest.fixture(scope="module")
def shared_mount(backend):
    return Mount(backend, options=["-o", "connect_timeout=3s"]).start()


@pytest.fixture
def service(backend):
    yield backend.service
    backend.service.clear()
    backend.service.come_back()


def errno_of(act):
    """Which errno act fails with, and how long it takes; 0 when it does not fail."""
    started = time.monotonic()
    try:
        act()
        number = 0
    except OSError as error:
        number = error.errno
    return number, time.monotonic() - started


# Reads

TROUBLES = {
    "429": lambda service, **more: service.fail(429, retry_after=1, **more),
    "502 page": lambda service, **more: service.fail(502, is_html=True, **more),
    "503 page": lambda service, **more: service.fail(503, is_html=True, retry_after=0, **more),
    "504 page": lambda service, **more: service.fail(504, is_html=True, **more),
    "403 page": lambda service, **more: service.fail(403, is_html=True, **more),
    "cut before": lambda service, **more: service.cut(BEFORE, **more),
    "cut in the middle": lambda service, **more: service.cut(MIDDLE, **more),
    "cut after": lambda service, **more: service.cut(AFTER, **more),
    "reset": lambda service, **more: service.cut(AFTER, with_reset=True, **more),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_read_survives_what_passes(mount, service, zone, trouble):
    """Listings, lookups, file contents and queries, each with the trouble before it."""
    content = files.text(3000, 1).encode()
    files.write(os.path.join(zone, "a.txt"), content)
    time.sleep(1.1)
    for act in (lambda: os.listdir(zone) == ["a.txt"],
                lambda: files.read(os.path.join(zone, "a.txt")) == content,
                lambda: len(json.loads(files.read(mount.at("query.sql")))) > 0):
        TROUBLES[trouble](service)
        assert act()
        assert service.n_faults_left() == 0


# Ingests


def n_of(mount, table, name):
    """Rows of the file by its file_id of the ledger, and rows of nobody."""
    entry = mount.ledger(table, name)
    if not entry:
        return 0, mount.n_orphans(table)
    return mount.sql(f'SELECT count(*) FROM "{table}" WHERE file_id = %s',
                     entry["file_id"])[0][0], mount.n_orphans(table)


LOSSES = {
    "502 before": lambda service: service.fail(502, is_html=True, when=CHANGES),
    "502 after": lambda service: service.fail(502, is_html=True, when=CHANGES, after=True),
    "504 after": lambda service: service.fail(504, is_html=True, when=CHANGES, after=True),
    "503 before": lambda service: service.fail(503, when=CHANGES),
    "503 with Retry-After": lambda service: service.fail(503, when=CHANGES, retry_after=1),
    "429": lambda service: service.fail(429, when=CHANGES, retry_after=1),
    "500 after": lambda service: service.fail(500, when=CHANGES, after=True),
    "cut before": lambda service: service.cut(BEFORE, when=CHANGES),
    "cut in the middle": lambda service: service.cut(MIDDLE, when=CHANGES),
    "cut after": lambda service: service.cut(AFTER, when=CHANGES),
    "reset after": lambda service: service.cut(AFTER, when=CHANGES, with_reset=True),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_an_ingest_survives_a_lost_answer(mount, service, zone, table, loss):
    """A new file, another content, and the same again: the ledger is asked what happened,
    and what did not happen is done. Never lost, never doubled, and cp hears of nothing."""
    files.write(os.path.join(zone, "first.txt"), "makes the table")
    path = os.path.join(zone, "a.txt")
    for content in (files.text(2500, 1), files.text(4500, 2), files.text(4500, 2)):
        LOSSES[loss](service)
        files.write(path, content)
        assert service.n_faults_left() == 0
        assert_ingested(mount, table, "a.txt", content.encode())
        assert n_of(mount, table, "a.txt") == (len(files.expected_rows(content)), 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_mv_and_rm_survive_a_lost_answer(mount, service, zone, table, loss):
    """The service, Repeating: done once, and seen at once."""
    files.write(os.path.join(zone, "a.txt"), "one row")
    file_id = mount.ledger(table, "a.txt")["file_id"]
    LOSSES[loss](service)
    os.rename(os.path.join(zone, "a.txt"), os.path.join(zone, "b.txt"))
    assert service.n_faults_left() == 0
    assert os.listdir(zone) == mount.ledger_paths(table) == ["b.txt"]
    assert mount.ledger(table, "b.txt")["file_id"] == file_id
    assert (mount.n_rows(table), mount.n_orphans(table)) == (1, 0)
    LOSSES[loss](service)
    os.unlink(os.path.join(zone, "b.txt"))
    assert service.n_faults_left() == 0
    assert os.listdir(zone) == mount.ledger_paths(table) == []
    assert mount.n_rows(table) == 0


def test_what_a_lost_answer_to_mv_and_rm_did_shows_at_once(mount, service, zone, table):
    """Freshness: also where the service stays away, so that nobody can say what happened."""
    for name in ("a.txt", "b.txt"):
        files.write(os.path.join(zone, name), "one row")
    for act in (lambda: os.rename(os.path.join(zone, "a.txt"), os.path.join(zone, "c.txt")),
                lambda: os.unlink(os.path.join(zone, "b.txt"))):
        changes = []

        def is_change(request):
            changes.extend([request] * CHANGES(request))
            return CHANGES(request)

        service.cut(AFTER, when=is_change)
        service.fail(502, n=None, is_html=True, when=lambda request: changes)
        assert errno_of(act)[0] == errno.EHOSTDOWN
        service.clear()
        assert os.listdir(zone) == mount.ledger_paths(table)
    assert mount.ledger_paths(table) == ["c.txt"]


@pytest.mark.parametrize("where", [BEFORE, MIDDLE, AFTER])
def test_copies_that_go_together_survive_a_lost_answer(mount, service, work, table, where):
    """Many files in one request, whose answer is lost, several times."""
    contents = files.tree(os.path.join(work, "many"), 120, seed=4)
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "first.txt"), "makes the table")
    for _ in range(6):
        service.cut(where, when=CHANGES)
    run("bash", "-c", 'cd "$1" && find . -type f | xargs -P 8 -n 10 cp --parents -t "$2"',
        "bash", os.path.join(work, "many"), mount.zone(table), timeout=90)
    wait_for(lambda: run("rsync", "-a", os.path.join(work, "many") + "/", mount.zone(table),
                         timeout=90).code == 0, 60, "a good rsync after the cuts")
    assert service.n_faults_left() == 0
    assert mount.ledger_paths(table) == sorted([*contents, "first.txt"])
    for name, content in contents.items():
        assert_ingested(mount, table, name, content)
    assert mount.n_orphans(table) == 0


def test_connections_cut_again_and_again_during_rsync(mount, service, work, table):
    """What rsync reports as done is there once; and a second rsync transfers nothing."""
    contents = files.tree(os.path.join(work, "many"), 150, seed=5)
    os.mkdir(mount.zone(table))
    command = ["rsync", "-a", os.path.join(work, "many") + "/", mount.zone(table)]
    copying = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while copying.poll() is None:
        time.sleep(0.2)
        service.cut_connections()
    wait_for(lambda: run(*command, timeout=90).code == 0, 60, "a good rsync after the cuts")
    assert "files transferred: 0" in run(*command, "--stats").ok().out
    for name, content in contents.items():
        assert_ingested(mount, table, name, content)
    assert mount.n_orphans(table) == 0
    assert mount.n_rows(table) == sum(mount.ledger(table, name)["n_rows"] for name in contents)


def test_an_answer_that_nobody_understands_is_looked_up(mount, service, zone, table):
    """The service, Repeating: it was done, whatever the answer to it says."""
    files.write(os.path.join(zone, "first.txt"), "makes the table")
    for name, body in ("a.txt", {"rows": 7}), ("b.txt", {"error": "who knows"}):
        content = files.text(2500, len(name))
        service.fail(200, when=CHANGES, body=body, after=True)
        files.write(os.path.join(zone, name), content)
        assert service.n_faults_left() == 0
        assert_ingested(mount, table, name, content.encode())
    assert mount.n_orphans(table) == 0


def test_an_ingest_that_is_interrupted_when_it_has_happened_is_no_failure(
        mount, service, zone, table, work):
    """Interrupt: EINTR, and no row; but where the service has done it already, it is done."""
    files.write(os.path.join(zone, "first.txt"), "makes the table")
    content = files.text(2500, 3)
    path = files.write(os.path.join(work, "a.txt"), content)
    service.slow(20, when=CHANGES)
    copying = subprocess.Popen(["cp", path, zone])
    wait_for(lambda: mount.ledger(table, "a.txt"), 20, "what nobody has heard of yet")
    copying.send_signal(signal.SIGINT)
    copying.wait(30)
    assert service.n_faults_left() == 0
    assert_ingested(mount, table, "a.txt", content.encode())
    assert not os.path.exists(os.path.join(zone, "a.txt.error"))
    assert files.read(os.path.join(zone, "a.txt")) == content.encode()


@pytest.mark.parametrize("loss", LOSSES)
def test_mkdir_and_rmdir_in_a_drop_zone_survive_a_lost_answer(
        mount, service, zone, table, loss):
    """The service, Repeating: done once, and no EEXIST or ENOENT of our own making."""
    LOSSES[loss](service)
    os.mkdir(os.path.join(zone, "folder"))
    assert service.n_faults_left() == 0
    assert os.listdir(zone) == ["folder"]
    assert mount.ledger(table, "folder")["kind"] == "folder"
    with pytest.raises(FileExistsError):
        os.mkdir(os.path.join(zone, "folder"))
    LOSSES[loss](service)
    os.rmdir(os.path.join(zone, "folder"))
    assert service.n_faults_left() == 0
    assert os.listdir(zone) == [] and mount.ledger(table, "folder") is None
    files.write(os.path.join(zone, "a.txt"), "makes the table")
    os.mkdir(os.path.join(zone, "full"))
    files.write(os.path.join(zone, "full", "a.txt"), "in it")
    LOSSES[loss](service)
    with pytest.raises(OSError) as refused:
        os.rmdir(os.path.join(zone, "full"))
    service.clear()
    assert refused.value.errno == errno.ENOTEMPTY


# Away

ACTS = {
    "ls of the root": lambda mount, table: os.listdir(mount.path),
    "ls of a zone": lambda mount, table: os.listdir(mount.zone(table)),
    "ls of rows": lambda mount, table: os.listdir(mount.at(table, "rows")),
    "stat of a file": lambda mount, table: os.stat(mount.zone(table, "a.txt")),
    "stat of what never was": lambda mount, table: os.stat(mount.zone(table, "never.txt")),
    "cat of a file": lambda mount, table: files.read(mount.zone(table, "a.txt")),
    "info.json": lambda mount, table: files.read(mount.at(table, "info.json")),
    "cp of a file": lambda mount, table: files.write(mount.zone(table, "new.txt"), b"new"),
    "mkdir": lambda mount, table: os.mkdir(mount.at(table + "_2")),
    "rmdir": lambda mount, table: os.rmdir(mount.at(table)),
    "rm": lambda mount, table: os.unlink(mount.zone(table, "a.txt")),
}


def test_everything_says_that_the_service_is_away_and_works_again_without_remount(
        mount, service, zone, table):
    """When the server is away: EHOSTDOWN; never an empty listing, or ENOENT."""
    files.write(os.path.join(zone, "a.txt"), b"hello")
    time.sleep(1.2)
    service.go_away()
    found = {name: errno_of(lambda act=act: act(mount, table)) for name, act in ACTS.items()}
    assert {name: number for name, (number, _) in found.items()} == dict.fromkeys(
        ACTS, errno.EHOSTDOWN)
    assert max(seconds for _, seconds in found.values()) < BOUND_SECONDS
    ran = run("cat", mount.at("query.sql"), timeout=BOUND_SECONDS)
    assert ran.code != 0 and ran.out == ""
    errors = files.read(mount.at(".deeplake", "errors.jsonl")).decode()
    assert f'"errno":{errno.EHOSTDOWN}' in errors and f"Try: curl {service.url}/health" in errors
    assert json.loads(files.read(mount.at(".deeplake", "status.json")))["transport"] == "service"
    service.come_back()
    wait_for(lambda: errno_of(lambda: os.listdir(mount.path))[0] == 0, 10, "recovery")
    assert files.read(os.path.join(zone, "a.txt")) == b"hello"
    assert os.listdir(zone) == ["a.txt"]
    files.write(os.path.join(zone, "new.txt"), b"new")
    assert mount.chunks(table, "new.txt") == [(0, "new")]
    assert not mount.table_exists(table + "_2")


def test_a_service_that_is_away_for_a_moment_is_waited_for(mount, service, zone, table):
    """The service, Repeating: no connection, so nothing can have been executed."""
    files.write(os.path.join(zone, "first.txt"), b"makes the table")
    with open(os.path.join(zone, "a.txt"), "wb") as file:
        file.write(b"hello")
        service.go_away()
        threading.Timer(0.2, service.come_back).start()
    assert mount.chunks(table, "a.txt") == [(0, "hello")]


def test_umount_works_while_the_service_is_away(backend, another_mount, service):
    """Unmount."""
    one = another_mount("leaving")
    service.go_away()
    one.umount(timeout=60).ok()


def test_a_mount_of_a_service_that_is_away_fails_and_says_so(backend, service):
    """When the server is away: at the start it is an error, with what to try."""
    service.go_away()
    ran = backend.command("tables", "-o", "connect_timeout=2s", timeout=30)
    service.come_back()
    assert ran.code == 2 and f"Try: curl {service.url}/health" in ran.err
    assert "the service cannot be reached" in ran.err


def test_postgresql_away_behind_the_service(fresh_backend, own_postgres):
    """When the server is away: as the service says it, with 503 and 500."""
    made = make_backend("service", own_postgres)
    one = Mount(made, options=["-o", "connect_timeout=3s"]).start()
    try:
        os.mkdir(one.zone("t"))
        files.write(one.zone("t", "a.txt"), b"hello")
        time.sleep(1.2)
        own_postgres.stop()
        assert errno_of(lambda: os.listdir(one.zone("t")))[0] == errno.EHOSTDOWN
        assert errno_of(lambda: os.stat(one.zone("t", "b.txt")))[0] == errno.EHOSTDOWN
        own_postgres.start()
        one.forget_connection()
        wait_for(lambda: errno_of(lambda: os.listdir(one.zone("t")))[0] == 0, 20, "recovery")
        assert files.read(one.zone("t", "a.txt")) == b"hello"
    finally:
        one.teardown()
        tear_down(made)
