# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Tenets: nothing is lost or doubled when `deeplakefs ingest` meets trouble."""

import os
import re

import pytest

from support import files
from support.fixtures import new_database
from support.mount import LEDGER, PROGRAM, Backend, environment
from support.wire import AFTER, BEFORE, Wire, nth


@pytest.fixture
def line(own_postgres):
    """A backend whose connections pass through a Wire."""
    dsn = new_database(own_postgres)
    with Wire(own_postgres) as wire:
        backend = Backend("external", verify_dsn=dsn,
                          dsn=own_postgres.dsn(dsn.rpartition("dbname=")[2], wire.socket_dir))
        yield backend, wire
        wire.resume()
        backend.destroy()


def make(work, n_files, size):
    contents = {f"{n}.{'txt' if n % 2 else 'bin'}": files.text(size, n).encode()
                for n in range(n_files)}
    for name, content in contents.items():
        files.write(os.path.join(work, name), content)
    return contents


def assert_whole(backend, contents, good):
    """All of good is there, whole and once; what else is there is whole; no row is nobody's."""
    connection = backend.connect()
    cursor = connection.cursor()
    cursor.execute("SELECT to_regclass('live.t'), to_regclass(%s)", ("live." + LEDGER,))
    if None in cursor.fetchone():
        assert not good
        return
    cursor.execute("SET search_path = live")
    cursor.execute(f"SELECT path, file_id, n_rows FROM {LEDGER} WHERE kind <> 'folder'")
    entries = {path: (file_id, n_rows) for path, file_id, n_rows in cursor.fetchall()}
    assert good <= set(entries), f"lost: {sorted(good - set(entries))}"
    for path, (file_id, n_rows) in entries.items():
        cursor.execute("SELECT * FROM t WHERE file_id = %s", (str(file_id),))
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        assert len(rows) == n_rows
        if files.is_text(path):
            found = sorted((row["chunk_index"], row["text"]) for row in rows)
            assert found == files.expected_rows(contents[path].decode())
        else:
            assert [bytes(row["data"]) for row in rows] == [contents[path]]
    cursor.execute("SELECT count(*) FROM t")
    assert cursor.fetchone()[0] == sum(n_rows for _, n_rows in entries.values())
    connection.close()


def good_files(ran, contents):
    """What the command reported as good."""
    return set(contents) if ran.code == 0 else set()


@pytest.mark.parametrize("count", range(5, 13))
def test_a_command_without_a_server_accounts_for_every_file(line, work, count):
    """Tenets: nothing fails silently: a file is there, or named, or counted as not tried."""
    backend, wire = line
    contents = make(work, 6, 3_000)
    wire.cut_when(nth(count, (b"Q", b"S", b"c"), AFTER))
    ran = backend.command("ingest", "t", *(os.path.join(work, name) for name in contents))
    named = {name for name in contents if f" {name}:" in ran.err or f"/{name}:" in ran.err}
    not_tried = re.search(r"files not tried: (\d+)", ran.err)
    cursor = backend.connect().cursor()
    cursor.execute("SELECT to_regclass(%s)", ("live." + LEDGER,))
    n_there = 0
    if cursor.fetchone()[0]:
        cursor.execute(f"SELECT count(*) FROM live.{LEDGER} WHERE kind <> 'folder'")
        n_there = cursor.fetchone()[0]
    n_missing = len(named) + int(not_tried[1] if not_tried else 0)
    assert n_there + n_missing == 6, f"{ran!r}"
    # A cut question that only reads is asked again on a new line; then nothing has gone wrong.
    assert ran.code != 0 or n_there == 6, f"{ran!r}"


@pytest.mark.parametrize("verdict", [BEFORE, AFTER])
@pytest.mark.parametrize("count", range(1, 13))
@pytest.mark.parametrize("size", [3_000, 400_000])
def test_a_line_cut_at_any_answer_loses_and_doubles_nothing(line, work, verdict, count, size):
    """When the server is away: a COPY whose COMMIT answer was lost is looked up."""
    backend, wire = line
    contents = make(work, 6, size)
    wire.cut_when(nth(count, (b"Q", b"S", b"c"), verdict))
    paths = [os.path.join(work, name) for name in contents]
    ran = backend.command("ingest", "t", *paths)
    assert_whole(backend, contents, good_files(ran, contents))
    wire.cut_when(None)
    backend.command("ingest", "t", *paths).ok()
    assert_whole(backend, contents, set(contents))


# The points where a process can die with most at stake (core/fault.h).
POINTS = ["ingest-between-batches", "ingest-before-commit", "ingest-after-commit"]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("what", ["kill", "fail"])
def test_a_command_at_a_fault_point_leaves_whole_files(line, work, point, count, what):
    """Tenets: a file's rows are there entirely or not at all."""
    if point.encode() not in files.read(PROGRAM):
        pytest.skip(f"the program has no fault point {point}")
    backend, _ = line
    contents = make(work, 4, 3_000_000 if "batches" in point else 400_000)
    paths = [os.path.join(work, name) for name in contents]
    fault = f"{point}:{count}" + (":kill" if what == "kill" else "")
    ran = backend.command("ingest", "t", *paths, env=environment(LAKE_FAULT=fault))
    if what == "kill":
        assert ran.code == -9, "the fault point was never passed"
    assert_whole(backend, contents, good_files(ran, contents) if what == "fail" else set())
    backend.command("ingest", "t", *paths).ok()
    assert_whole(backend, contents, set(contents))
