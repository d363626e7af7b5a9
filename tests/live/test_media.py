# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Rows: large values, read on end and by several at once."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from support import files
from support.mount import run, wait_for

MIB = 1 << 20


def rows(mount, table, *parts):
    return mount.at(table, "rows", *parts)


def fill(mount, table, contents, storage="EXTERNAL"):
    """A row with a bytea for each of contents, keys from 0; their paths."""
    mount.sql(f'CREATE TABLE "{table}" (id int PRIMARY KEY, data bytea)')
    mount.sql(f'ALTER TABLE "{table}" ALTER data SET STORAGE {storage}')
    for key, content in enumerate(contents):
        mount.sql(f'INSERT INTO "{table}" VALUES (%s, %s)', key, content)
    paths = [rows(mount, table, str(key), "data.bin") for key in range(len(contents))]
    wait_for(lambda: os.path.exists(paths[-1]), 3, "the last row")
    return paths


def peak_kib(mount):
    with open(f"/proc/{mount.daemon_pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])


# Of our programs, and of the stand-in for the service.
OURS = ("application_name IN ('deeplakefs', 'deeplake-stand-in') "
        "AND datname = current_database()")


def backends(mount, where="true"):
    """Pids of the server's processes for the daemons of this database."""
    return {row[0] for row in mount.sql(
        f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND {where}")}


def statements_that_wait(mount):
    """For a lock, to read a value."""
    return backends(mount, "wait_event_type = 'Lock' AND query LIKE '%substring%'")


def test_many_large_values_are_read_at_once_in_bounded_memory(mount, another_mount, table):
    """Rows: windows of all open files together are at most 24 MiB."""
    contents = [files.binary(7 * MIB + number, number) for number in range(20)]
    fill(mount, table, contents)
    other = another_mount(workspace=mount.workspace)
    paths = [rows(other, table, str(key), "data.bin") for key in range(20)]
    os.stat(paths[0])
    before = peak_kib(other)
    readers = [subprocess.Popen(["sha256sum", path], stdout=subprocess.PIPE, text=True)
               for path in paths]
    sums = [reader.communicate(timeout=100)[0].split()[0] for reader in readers]
    assert sums == [files.sha256(content) for content in contents]
    assert peak_kib(other) - before < 48 * 1024


def test_many_open_files_hold_a_bounded_memory(mount, another_mount, table):
    """Rows: beyond 24 MiB a read gets just what it asks for."""
    content = files.binary(3 * MIB)
    fill(mount, table, [content])
    mount.sql(f'INSERT INTO "{table}" SELECT n, data FROM "{table}", generate_series(1, 59) n')
    other = another_mount(workspace=mount.workspace)
    before = peak_kib(other)
    opened = [open(rows(other, table, str(key), "data.bin"), "rb", buffering=0)
              for key in range(60)]
    for file in opened:
        assert os.pread(file.fileno(), 10, 0) == content[:10]
    assert peak_kib(other) - before < 48 * 1024
    for file in opened:
        assert os.pread(file.fileno(), 700_000, 2 * MIB - 300_000) == \
            content[2 * MIB - 300_000:2 * MIB + 400_000]
        file.close()
    assert peak_kib(other) - before < 48 * 1024


@pytest.mark.parametrize("storage", ["MAIN", "EXTENDED", "EXTERNAL"])
def test_values_that_the_server_compressed_are_read_on_end_and_anywhere(mount, table, storage):
    """Rows: sizes are exact, and any range can be read."""
    content = b"".join(b"%d abc\n" % (number * 7919) for number in range(800_000))
    assert len(content) > 5 * MIB
    path, = fill(mount, table, [content], storage)
    (stored, whole), = mount.sql(f'SELECT pg_column_size(data), octet_length(data) FROM "{table}"')
    assert (stored < whole) == (storage != "EXTERNAL")
    with open(path, "rb", buffering=0) as file:
        for start in (5 * MIB - 7, MIB, 2 * MIB - 5, 4 * MIB + 1):
            assert os.pread(file.fileno(), 100, start) == content[start:start + 100]
    assert files.read(path) == content


def test_texts_of_several_windows_are_read_on_end(mount, table):
    """Rows: text is UTF-8; 16 MiB of it come at a time."""
    mount.sql(f'CREATE TABLE "{table}" (id int PRIMARY KEY, t text)')
    text = files.text(14 * MIB)
    assert len(text.encode()) > 17 * MIB
    mount.sql(f'INSERT INTO "{table}" VALUES (1, %s)', text)
    wait_for(lambda: os.path.exists(rows(mount, table, "1", "t.txt")), 3, "the row")
    assert files.sha256(files.read(rows(mount, table, "1", "t.txt"))) == \
        files.sha256(text.encode())
    whole, = mount.sql(f'SELECT to_json(q)::text FROM "{table}" q')[0]
    assert files.sha256(files.read(rows(mount, table, "1", "row.json"))) == \
        files.sha256(whole.encode() + b"\n")


def test_looking_at_the_first_bytes_costs_no_connection(mount, table):
    """Rows: what a closed file was fetching is let finish, when that is soon."""
    paths = fill(mount, table, [files.binary(2 * MIB + 5, number) for number in range(12)])
    for path in paths:
        files.read(path)
    before = backends(mount)
    assert before
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        run("head", "-c", "100", path).ok()
    assert backends(mount) >= before


def test_a_line_that_is_cut_while_a_value_is_read_is_not_seen(mount, table):
    """Rows; When the server is away: what can be asked again is."""
    content = files.binary(60 * MIB)
    path, = fill(mount, table, [content])
    stop = threading.Event()
    cut = []

    def cut_lines():
        while not stop.wait(0.1):
            cut.extend(mount.sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS} "
                "AND query LIKE '%%generate_series%%' AND state = 'active'"))

    thread = threading.Thread(target=cut_lines)
    thread.start()
    try:
        for _ in range(40):
            with open(path, "rb", buffering=0) as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert files.sha256(files.read(path)) == files.sha256(content)
            if len(cut) > 2:
                break
    finally:
        stop.set()
        thread.join()
    assert len(cut) > 2


# As programs that do not catch Ctrl-C.
READS_FAR = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
file = os.open(sys.argv[1], os.O_RDONLY)
os.pread(file, 10, 0)
print("begun", flush=True)
sys.stdin.read(1)
os.pread(file, 10, int(sys.argv[2]))
"""


@contextlib.contextmanager
def locked(mount, table):
    """Whoever reads the table waits."""
    holder = mount.backend.connect()
    holder.autocommit = False
    holder.cursor().execute(f'LOCK TABLE "{mount.workspace}"."{table}"')
    try:
        yield
    finally:
        holder.close()


@pytest.mark.parametrize("offset", [8 * MIB, 2 * MIB])
def test_a_read_that_waits_for_the_server_can_be_interrupted(mount, table, offset):
    """Tenets: Ctrl-C ends what waits."""
    content = files.binary(9 * MIB)
    path, = fill(mount, table, [content])
    reader = subprocess.Popen([sys.executable, "-c", READS_FAR, path, str(offset)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    assert reader.stdout.readline() == b"begun\n"
    with locked(mount, table):
        reader.stdin.write(b"x")
        reader.stdin.flush()
        wait_for(lambda: statements_that_wait(mount), 5, "a statement that waits")
        time.sleep(0.3)
        assert reader.poll() is None and statements_that_wait(mount)
        started = time.monotonic()
        reader.send_signal(signal.SIGINT)
        assert reader.wait(10) == -signal.SIGINT
        assert time.monotonic() - started < 2
    # The kernel's reads ahead are nobody's, and cannot be interrupted; they end by themselves.
    wait_for(lambda: not statements_that_wait(mount), 3, "the statement to end")
    assert files.read(path) == content
    reader.communicate()


def test_an_open_that_waits_for_the_server_can_be_interrupted(mount, table):
    """Tenets: Ctrl-C ends what waits, here and on the server."""
    content = files.binary(3 * MIB)
    path, = fill(mount, table, [content])
    with locked(mount, table):
        reader = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL)
        wait_for(lambda: statements_that_wait(mount), 5, "a statement that waits")
        reader.send_signal(signal.SIGINT)
        assert reader.wait(10) == -signal.SIGINT
        wait_for(lambda: not statements_that_wait(mount), 3, "the statement to end")
    assert files.read(path) == content
