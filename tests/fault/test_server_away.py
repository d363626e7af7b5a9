# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, When the server is away."""

import errno
import os
import subprocess
import time

import pytest

from support import files
from support.checks import assert_ingested
from support.fixtures import new_database
from support.mount import Backend, Mount, program, run, wait_for
from support.wire import AFTER, BEFORE, Wire, nth

BOUND_SECONDS = 30


class Away:
    """A mount whose server can be taken away and given back."""

    def __init__(self, backend, server):
        self.mount = Mount(backend, options=["-o", "connect_timeout=3s"]).start()
        self.take_away = server.kill9
        self.server = server


@pytest.fixture
def external(own_postgres):
    backend = Backend("external", dsn=new_database(own_postgres))
    away = Away(backend, own_postgres)
    yield away
    away.mount.teardown()
    backend.destroy()


def errno_of(act):
    """Which errno act fails with, and how long it takes; 0 when it does not fail."""
    started = time.monotonic()
    try:
        act()
        number = 0
    except OSError as error:
        number = error.errno
    return number, time.monotonic() - started


ACTS = {
    "ls of the root": lambda mount: os.listdir(mount.path),
    "ls of a zone": lambda mount: os.listdir(mount.zone("t")),
    "ls of a table": lambda mount: files.read(mount.at("t", "info.json")),
    "stat of a file": lambda mount: os.stat(mount.zone("t", "a.txt")),
    "stat of what never was": lambda mount: os.stat(mount.zone("t", "never.txt")),
    "cat of a file": lambda mount: files.read(mount.zone("t", "a.txt")),
    "cp of a file": lambda mount: files.write(mount.zone("t", "new.txt"), b"new"),
    "mkdir": lambda mount: os.mkdir(mount.at("t2")),
    "rmdir": lambda mount: os.rmdir(mount.at("t")),
    "ls of rows": lambda mount: os.listdir(mount.at("t", "rows")),
    "cat of a row": lambda mount: files.read(mount.at("t", "rows", "1", "text.txt")),
    "rmdir of a row": lambda mount: os.rmdir(mount.at("t", "rows", "1")),
    "rm": lambda mount: os.unlink(mount.zone("t", "a.txt")),
}


def test_everything_says_that_the_server_is_away_and_works_again_without_remount(external):
    """Reads and writes give EHOSTDOWN after a bounded wait; never an empty listing, or
    ENOENT."""
    mount = external.mount
    os.mkdir(mount.zone("t"))
    files.write(mount.zone("t", "a.txt"), b"hello")
    run("cat", mount.at(".deeplake", "wait")).ok()  # a killed server keeps what is durable
    external.take_away()
    time.sleep(1.3)
    found = {name: errno_of(lambda act=act: act(mount)) for name, act in ACTS.items()}
    assert {name: number for name, (number, _) in found.items()} == dict.fromkeys(
        ACTS, errno.EHOSTDOWN)
    assert max(seconds for _, seconds in found.values()) < BOUND_SECONDS
    external.server.start()
    mount.forget_connection()
    wait_for(lambda: errno_of(lambda: os.listdir(mount.path))[0] == 0, 30, "recovery")
    wait_for(lambda: errno_of(lambda: files.read(mount.zone("t", "a.txt")))[0] == 0, 5, "a.txt")
    assert files.read(mount.zone("t", "a.txt")) == b"hello"
    files.write(mount.zone("t", "new.txt"), b"new")
    assert mount.chunks("t", "new.txt") == [(0, "new")]
    assert set(os.listdir(mount.zone("t"))) >= {"a.txt", "new.txt"}
    assert mount.table_exists("t") and not mount.table_exists("t2")


def test_a_query_says_that_the_server_is_away(external):
    """Queries, An error: EHOSTDOWN for the writer; the reader gets the reason."""
    mount = external.mount
    external.take_away()
    number, _ = errno_of(lambda: files.write(mount.at("query.sql"), b"SELECT 1"))
    assert number == errno.EHOSTDOWN
    ran = run("cat", mount.at("query.sql"), timeout=BOUND_SECONDS)
    assert ran.code != 0
    assert ran.out + ran.err


def test_the_control_files_answer_without_a_server(external):
    """Control: errors.jsonl and status.json are for exactly this moment."""
    mount = external.mount
    external.take_away()
    errno_of(lambda: os.listdir(mount.path))
    started = time.monotonic()
    assert b"workspace" in files.read(mount.at(".deeplake", "status.json"))
    assert files.read(mount.at(".deeplake", "errors.jsonl"))
    assert files.read(mount.at(".deeplake", "README"))
    assert time.monotonic() - started < 10


def test_umount_works_without_a_server(external):
    """Unmount."""
    external.take_away()
    external.mount.umount(timeout=60).ok()


def test_the_embedded_server_is_started_again(fresh_backend):
    """When the server is away: the mount stays, and needs no remount."""
    backend = fresh_backend("embedded")
    mount = Mount(backend).start()
    os.mkdir(mount.zone("t"))
    files.write(mount.zone("t", "a.txt"), b"hello")
    run("cat", mount.at(".deeplake", "wait")).ok()
    backend.server.kill9()
    mount.forget_connection()
    number, seconds = errno_of(lambda: os.listdir(mount.path))
    assert number in (0, errno.EHOSTDOWN) and seconds < BOUND_SECONDS
    wait_for(lambda: errno_of(lambda: files.read(mount.zone("t", "a.txt")))[0] == 0, 30,
             "the server to be back")
    assert files.read(mount.zone("t", "a.txt")) == b"hello"
    files.write(mount.zone("t", "b.txt"), b"after")
    assert mount.chunks("t", "b.txt") == [(0, "after")]
    mount.umount().ok()
    wait_for(lambda: not backend.server.is_running(), 10, "the server to stop")


@pytest.fixture
def line(own_postgres):
    """A mount whose connections pass through a Wire."""
    dsn = new_database(own_postgres)
    database = dsn.rpartition("dbname=")[2]
    with Wire(own_postgres) as wire:
        backend = Backend("external", dsn=own_postgres.dsn(database, wire.socket_dir),
                          verify_dsn=dsn)
        mount = Mount(backend, options=["-o", "connect_timeout=3s"]).start()
        yield mount, wire
        wire.resume()
        mount.teardown()
        backend.destroy()


def copy_each(mount, work, contents):
    """cp of each file by itself; the names that cp reported as good."""
    good = set()
    for name, content in contents.items():
        path = os.path.join(work, name)
        if not os.path.exists(path):
            files.write(path, content)
        if run("cp", path, mount.zone("t"), timeout=90).code == 0:
            good.add(name)
    return good


def assert_good_files_are_there_once(mount, contents, good):
    """What cp reported as good is there, whole and once; nothing is half there."""
    present = set(mount.ledger_paths("t"))
    assert good <= present, f"lost: {sorted(good - present)}"
    for name in present:
        assert_ingested(mount, "t", name, contents[name])
    assert mount.n_orphans("t") == 0
    assert mount.n_rows("t") == sum(mount.ledger("t", name)["n_rows"] for name in present)


# The messages after which a COMMIT can be lost: Query, Sync, Execute, CopyDone.
@pytest.mark.parametrize("verdict", [BEFORE, AFTER])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [3_000, 400_000])
def test_a_line_cut_at_any_answer_loses_and_doubles_nothing(line, work, verdict, count, size):
    """A COPY whose COMMIT answer was lost is looked up in the ledger before it is repeated."""
    mount, wire = line
    os.mkdir(mount.zone("t"))
    contents = {f"{n}.{'txt' if n % 2 else 'bin'}": files.text(size, n).encode()
                for n in range(6)}
    first = dict(list(contents.items())[:2])
    good = copy_each(mount, work, first)
    assert good == set(first)
    wire.cut_when(nth(count, (b"Q", b"S", b"c"), verdict))
    good |= copy_each(mount, work, dict(list(contents.items())[2:]))
    assert wire.n_cuts >= 1, "the trigger never fired"
    assert_good_files_are_there_once(mount, contents, good)
    assert len(good) >= 5, "one cut line costs more than one file"
    assert copy_each(mount, work, contents) == set(contents)
    assert_good_files_are_there_once(mount, contents, set(contents))


@pytest.mark.parametrize("verdict", [BEFORE, AFTER])
def test_a_lost_commit_is_looked_up(line, work, verdict):
    """A COPY whose COMMIT answer was lost is looked up in the ledger by its file_id."""
    mount, wire = line
    os.mkdir(mount.zone("t"))
    contents = {f"{n}.bin": files.binary(2_000_000, n) for n in range(3)}
    wire.cut_when(nth(2, (b"Q", b"P", b"B"), verdict, b"commit"))
    good = copy_each(mount, work, contents)
    assert_good_files_are_there_once(mount, contents, good)
    assert copy_each(mount, work, contents) == set(contents)
    assert_good_files_are_there_once(mount, contents, set(contents))


def test_a_line_cut_again_and_again_during_cp_r_loses_and_doubles_nothing(line, work):
    """Every file that cp reported as good is there exactly once, and none is half there."""
    mount, wire = line
    contents = files.tree(os.path.join(work, "many"), 600, seed=11)
    os.mkdir(mount.zone("t"))
    copy = subprocess.Popen(["cp", "-rv", os.path.join(work, "many") + "/.", mount.zone("t")],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while copy.poll() is None:
        time.sleep(0.15)
        wire.cut()
    complaints = copy.stderr.read().decode()
    bad = {name for name in contents if name in complaints}
    assert_good_files_are_there_once(mount, contents, set(contents) - bad)
    wait_for(lambda: run("rsync", "-a", os.path.join(work, "many") + "/", mount.zone("t"),
                         timeout=120).code == 0, 60, "a good rsync after the cuts")
    assert_good_files_are_there_once(mount, contents, set(contents))


def test_a_stalled_line_gives_ehostdown_in_bounded_time(line):
    """Reads and writes give EHOSTDOWN after a bounded wait."""
    mount, wire = line
    os.mkdir(mount.zone("t"))
    files.write(mount.zone("t", "a.txt"), b"x")
    time.sleep(1.2)
    wire.stall()
    number, seconds = errno_of(lambda: os.listdir(mount.path))
    assert number in (errno.EHOSTDOWN, errno.ETIMEDOUT)
    assert seconds < BOUND_SECONDS
    wire.resume()
    wait_for(lambda: errno_of(lambda: os.listdir(mount.zone("t")))[0] == 0, 30, "recovery")
    assert os.listdir(mount.zone("t")) == ["a.txt"]


def test_a_slow_line_is_slow_and_nothing_else(line, work):
    """Ingest."""
    mount, wire = line
    os.mkdir(mount.zone("t"))
    wire.slow(400_000)
    contents = {"a.bin": files.binary(600_000, 1), "b.txt": files.text(60_000, 2).encode()}
    assert copy_each(mount, work, contents) == set(contents)
    wire.resume()
    assert_good_files_are_there_once(mount, contents, set(contents))


def test_a_mount_without_a_server_fails_and_says_so(own_postgres):
    """When the server is away: at the start it is an error."""
    backend = Backend("external", dsn=own_postgres.dsn("postgres"))
    own_postgres.stop()
    path = os.path.join(backend.folder, "mnt")
    os.mkdir(path)
    ran = program("mount", *backend.options(), "-o", "connect_timeout=2s", path, timeout=60)
    assert ran.code != 0
    assert own_postgres.socket_dir in ran.err
    backend.destroy()
