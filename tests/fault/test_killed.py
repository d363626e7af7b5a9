# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Tenets: nothing is lost or doubled, whoever dies."""

import os
import signal
import subprocess
import time

import pytest

from support import files
from support.checks import assert_ingested
from support.mount import Mount, environment, program, run, shell, wait_for
from support.postgres import wait_for_end


@pytest.fixture(params=["embedded", "external"])
def alone(request, fresh_backend):
    """A backend and a mount of it for this test alone."""
    backend = fresh_backend(request.param)
    return Mount(backend).start()


def assert_whole(mount, table, contents):
    """Every file of the ledger is one of contents, whole; no row is anyone else's."""
    for path in mount.ledger_paths(table):
        assert_ingested(mount, table, path, contents[path])
    assert mount.n_orphans(table) == 0
    assert mount.n_rows(table) == sum(mount.ledger(table, path)["n_rows"]
                                      for path in mount.ledger_paths(table))


def kill_during_copy(mount, work, after_files):
    contents = files.tree(os.path.join(work, "many"), 400, seed=7)
    os.mkdir(mount.zone("t"))
    copy = subprocess.Popen(["cp", "-rv", os.path.join(work, "many") + "/.", mount.zone("t")],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for _ in range(after_files):
        copy.stdout.readline()
    mount.kill9()
    copy.stdout.read()
    assert copy.wait(30) != 0
    return contents


@pytest.mark.parametrize("after_files", [3, 150])
def test_a_killed_daemon_leaves_whole_files_only(alone, work, after_files):
    """Ingest, Durability: a daemon killed before close returned leaves no row."""
    contents = kill_during_copy(alone, work, after_files)
    assert run("ls", alone.path).code != 0
    run("fusermount3", "-uz", alone.path).ok()
    again = Mount(alone.backend).start()
    assert_whole(again, "t", contents)
    assert len(again.ledger_paths("t")) >= after_files - 2
    spool = os.path.join(alone.backend.state_dir, "spool")
    assert not os.path.exists(spool) or os.listdir(spool) == []
    shell('rsync -a "$1"/ "$2"/', os.path.join(work, "many"), again.zone("t")).ok()
    assert again.ledger_paths("t") == sorted(contents)
    assert_whole(again, "t", contents)


def test_a_killed_daemon_is_named_by_umount_and_by_the_next_mount(alone):
    """Unmount: a mount whose daemon has died can be unmounted and mounted again."""
    alone.kill9()
    refused = program("mount", *alone.backend.options(), alone.workspace, alone.path)
    assert refused.code != 0
    assert alone.path in refused.err.splitlines()[0]
    alone.umount().ok()
    program("mount", *alone.backend.options(), alone.workspace, alone.path).ok()
    assert "ingest" in os.listdir(alone.path)
    alone.umount().ok()


def test_the_server_of_a_killed_daemon_is_taken_over(fresh_backend):
    """Unmount: a killed process counts as gone; the last one to leave stops the server."""
    backend = fresh_backend("embedded")
    first = Mount(backend).start()
    os.mkdir(first.zone("t"))
    files.write(first.zone("t", "a.txt"), b"kept")
    server_pid = backend.server.pid()
    first.kill9()
    run("fusermount3", "-uz", first.path).ok()
    assert backend.server.pid() == server_pid
    second = Mount(backend).start()
    assert files.read(second.zone("t", "a.txt")) == b"kept"
    second.umount().ok()
    wait_for(lambda: not backend.server.is_running(), 10, "the server to stop")


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_writer_leaves_no_row(alone, work, sent):
    """Ingest, Interrupt; the file whose writer was killed is not ingested."""
    os.mkdir(alone.zone("t"))
    writer = subprocess.Popen(
        ["bash", "-c", 'exec cat > "$1"', "bash", alone.zone("t", "a.bin")],
        stdin=subprocess.PIPE)
    writer.stdin.write(files.binary(3_000_000))
    writer.stdin.flush()
    wait_for(lambda: os.path.exists(alone.zone("t", "a.bin"))
             and os.stat(alone.zone("t", "a.bin")).st_size > 1_000_000, 10, "the first bytes")
    writer.send_signal(sent)
    assert writer.wait(10) == -sent
    wait_for(lambda: os.path.exists(alone.zone("t", "a.bin.error")), 10, "a.bin.error")
    assert alone.ledger_paths("t") == []
    assert not alone.table_exists("t") or alone.n_rows("t") == 0


def test_ctrl_c_during_a_long_close_cancels_the_ingest(alone, work):
    """Ingest, Interrupt: Ctrl-C during a long close cancels the ingest: EINTR, no row."""
    os.mkdir(alone.zone("t"))
    files.write(alone.zone("t", "first.txt"), b"x")
    blocker = alone.backend.connect()
    blocker.autocommit = False
    blocker.cursor().execute(f'LOCK TABLE "{alone.workspace}".t IN ACCESS EXCLUSIVE MODE')
    copy = subprocess.Popen(["cp", files.write(os.path.join(work, "a.txt"), b"hello"),
                             alone.zone("t", "a.txt")], stderr=subprocess.PIPE)
    try:
        time.sleep(1)
        assert copy.poll() is None, "the close did not wait for the lock"
        copy.send_signal(signal.SIGINT)
        copy.wait(10)
    finally:
        blocker.rollback()
        blocker.close()
    assert copy.returncode != 0
    time.sleep(0.5)
    assert alone.ledger_paths("t") == ["first.txt"]
    assert alone.n_rows("t") == 1
    run("cp", os.path.join(work, "a.txt"), alone.zone("t")).ok()
    assert alone.chunks("t", "a.txt") == [(0, "hello")]


def test_umount_finishes_a_close_in_progress(alone):
    """Unmount: closes in progress finish."""
    os.mkdir(alone.zone("t"))
    files.write(alone.zone("t", "first.txt"), b"x")
    blocker = alone.backend.connect()
    blocker.autocommit = False
    blocker.cursor().execute(f'LOCK TABLE "{alone.workspace}".t IN EXCLUSIVE MODE')
    writer = subprocess.Popen(["bash", "-c", 'printf hello > "$1"', "bash",
                               alone.zone("t", "second.txt")])
    time.sleep(0.7)
    assert writer.poll() is None
    os.kill(alone.daemon_pid, signal.SIGTERM)
    time.sleep(0.7)
    blocker.rollback()
    blocker.close()
    assert writer.wait(20) == 0
    assert wait_for_end(alone.pids, 20) == []
    again = Mount(alone.backend).start()
    assert again.chunks("t", "second.txt") == [(0, "hello")]


def test_a_drain_is_bounded(fresh_backend, work):
    """Unmount: bounded by drain_timeout; what was not finished leaves no row."""
    backend = fresh_backend("external")
    one = Mount(backend, options=["-o", "drain_timeout=2s"]).start()
    os.mkdir(one.zone("t"))
    files.write(one.zone("t", "first.txt"), b"x")
    blocker = backend.connect()
    blocker.autocommit = False
    blocker.cursor().execute(f'LOCK TABLE "{one.workspace}".t IN EXCLUSIVE MODE')
    writer = subprocess.Popen(["cp", files.write(os.path.join(work, "second.txt"), b"hello"),
                               one.zone("t")], stderr=subprocess.DEVNULL)
    time.sleep(0.7)
    started = time.monotonic()
    os.kill(one.daemon_pid, signal.SIGTERM)
    assert wait_for_end(one.pids, 15) == []
    assert 1.5 < time.monotonic() - started < 10
    blocker.rollback()
    blocker.close()
    assert writer.wait(10) != 0
    assert one.ledger_paths("t") == ["first.txt"]
    assert one.n_orphans("t") == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(alone, sent):
    """Unmount: SIGTERM, SIGINT: the mount goes, the daemon ends."""
    os.kill(alone.daemon_pid, sent)
    assert wait_for_end(alone.pids, 20) == []
    assert os.listdir(alone.path) == []


def test_two_mounts_share_the_embedded_server_and_the_last_stops_it(fresh_backend):
    """Unmount: the embedded server stops when its last mount leaves."""
    backend = fresh_backend("embedded")
    one, two = Mount(backend).start(), Mount(backend, "second").start()
    pid = backend.server.pid()
    os.mkdir(one.at("a"))
    os.mkdir(two.at("b"))
    assert (os.path.exists(two.at("a")), os.path.exists(one.at("b"))) == (False, False)
    one.umount().ok()
    assert backend.server.pid() == pid
    assert "b" in os.listdir(two.path)
    two.umount().ok()
    wait_for(lambda: not backend.server.is_running(), 10, "the server to stop")


def test_mounts_that_start_at_once_make_one_server(fresh_backend):
    """core/server.h: whoever creates or starts it holds a lock."""
    backend = fresh_backend("embedded")
    mounts = [Mount(backend, f"w{number}") for number in range(4)]
    starts = [subprocess.Popen(["/usr/bin/env", *_arguments(one)], env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
              for one in mounts]
    assert [start.wait(90) for start in starts] == [0] * 4
    from support.mount import daemons_of, live_mounts
    for one in mounts:
        live_mounts.append(one)
        one.pids = daemons_of(one.path)
        os.mkdir(one.at("t"))
    for one in mounts:
        one.umount().ok()
    wait_for(lambda: not backend.server.is_running(), 10, "the server to stop")


def _arguments(one):
    from support.mount import PROGRAM
    return [PROGRAM, "mount", *one.backend.options(), one.workspace, one.path]


# Named fault points (core/fault.h): the daemon dies at the worst of moments.

FAULTS = ["ingest-between-batches", "ingest-before-commit", "ingest-after-commit",
          "inbox-before-reply", "spool-write"]


@pytest.mark.parametrize("point", FAULTS)
def test_a_daemon_that_dies_at_a_fault_point_leaves_whole_files(fresh_backend, work, point):
    """Tenets: a file's rows are there entirely or not at all."""
    if point.encode() not in files.read(program_path()):
        pytest.skip(f"the program has no fault point {point}")
    backend = fresh_backend("external")
    one = Mount(backend, env={"LAKE_FAULT": f"{point}:2:kill"}).start()
    contents = {f"{n}.txt": files.text(3_000_000, n).encode() for n in range(4)}
    os.mkdir(one.zone("t"))
    for name, content in contents.items():
        run("cp", files.write(os.path.join(work, name), content), one.zone("t"))
    assert wait_for_end(one.pids, 5) == [], "the fault point was never passed twice"
    run("fusermount3", "-uz", one.path)
    again = Mount(backend).start()
    if again.table_exists("t"):
        assert_whole(again, "t", contents)
    shell('cp "$1"/*.txt "$2"', work, again.zone("t")).ok()
    assert again.ledger_paths("t") == sorted(contents)
    assert_whole(again, "t", contents)


def program_path():
    from support.mount import PROGRAM
    return PROGRAM
