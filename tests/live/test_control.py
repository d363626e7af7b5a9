# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Control: what the mount says about itself."""

import json
import os
import subprocess
import time

import pytest

from support import files
from support.mount import run, wait_for


def control(mount, name):
    return files.read(mount.at(".deeplake", name)).decode()


def status(mount):
    return json.loads(control(mount, "status.json"))


def test_the_control_folder_lists_its_documents(mount):
    """Control."""
    assert {"README", "status.json", "errors.jsonl", "wait"} <= set(
        os.listdir(mount.at(".deeplake")))


def test_the_readme_says_how_to_use_this_mount(mount):
    """Control: README: one screen on how to use this mount."""
    text = control(mount, "README")
    assert 10 < len(text.splitlines()) <= 60
    for word in ("ingest", "query.sql", ".deeplake"):
        assert word in text


def test_status_json_says_workspace_transport_and_version(mount):
    """Control: workspace, transport, server version, connections, uptime, ingest in
    progress."""
    found = status(mount)
    text = json.dumps(found)
    assert found["workspace"] == mount.workspace
    assert {"embedded": "embedded", "external": "postgresql",
            "service": "service"}[mount.backend.kind] in text
    version = mount.sql("SHOW server_version")[0][0].split()[0]
    assert version in text


def test_no_secret_stands_in_the_control_files(mount):
    """Control: a conninfo may hold a password; nothing shows it."""
    for name in ("README", "status.json", "errors.jsonl"):
        assert "password" not in control(mount, name).lower()


def test_status_shows_the_ingest_in_progress(mount, table):
    """Control: ingest in progress."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "first.txt"), b"x")
    blocker = mount.backend.connect()
    blocker.autocommit = False
    blocker.cursor().execute(
        f'SET search_path = "{mount.workspace}"; LOCK TABLE "{table}" IN EXCLUSIVE MODE')
    writer = subprocess.Popen(["bash", "-c", 'printf hello > "$1"', "bash",
                               mount.zone(table, "second.txt")])
    try:
        wait_for(lambda: status(mount)["ingest_in_progress"] == 1, 10, "the ingest in status.json")
        waiter = subprocess.Popen(["cat", mount.at(".deeplake", "wait")],
                                  stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        assert waiter.poll() is None, "wait returned while an ingest was in progress"
    finally:
        blocker.rollback()
        blocker.close()
    assert writer.wait(30) == 0
    assert waiter.wait(30) == 0
    assert status(mount)["ingest_in_progress"] == 0
    assert mount.chunks(table, "second.txt") == [(0, "hello")]


def test_wait_returns_at_once_when_nothing_is_in_progress(mount):
    """Control: reading wait returns when nothing is in progress and all is durable."""
    started = time.monotonic()
    run("cat", mount.at(".deeplake", "wait")).ok()
    assert time.monotonic() - started < 5


def test_wait_makes_the_rows_durable(mount, table):
    """Ingest, Durability: after cat .deeplake/wait they survive power loss: the log is
    flushed."""
    os.mkdir(mount.zone(table))
    for number in range(20):
        files.write(mount.zone(table, f"{number}.txt"), b"x" * 3000)
    inserted = mount.sql("SELECT pg_current_wal_insert_lsn()")[0][0]
    run("cat", mount.at(".deeplake", "wait")).ok()
    assert mount.sql("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", inserted) == [(True,)]


def test_errors_jsonl_has_one_object_per_failure(mount, table):
    """Control: errors.jsonl: time, op, path, uid, pid, errno, sqlstate, message, hint."""
    os.mkdir(mount.zone(table))
    with pytest.raises(OSError):
        files.write(mount.zone(table, "bad.txt"), b"\0")
    lines = [json.loads(line) for line in control(mount, "errors.jsonl").splitlines()]
    mine = [line for line in lines if f"{table}/bad.txt" in line["path"]]
    assert len(mine) == 1
    assert {"time", "op", "path", "uid", "pid", "errno", "message"} <= set(mine[0])
    assert mine[0]["uid"] == os.geteuid()
    assert mine[0]["errno"] in (22, "EINVAL")
    assert "NUL" in mine[0]["message"]


def test_errors_jsonl_keeps_the_last_thousand(mount, table):
    """Control: the last 1000."""
    os.mkdir(mount.zone(table))
    path = mount.zone(table, "bad.txt")
    for _ in range(1010):
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(handle, b"\0")
        with pytest.raises(OSError):
            os.close(handle)
    lines = control(mount, "errors.jsonl").splitlines()
    assert len(lines) == 1000
    assert all(json.loads(line)["path"].endswith("bad.txt") for line in lines)


def ingests(mount):
    return [json.loads(line) for line in control(mount, "ingest.jsonl").splitlines()]


@pytest.fixture
def slow_mount(another_mount, table):
    """A mount on which a large text takes some seconds to be sent."""
    return another_mount(workspace=table, env={"LAKE_FAULT": SLOW})


# Longer than what a reading takes, several times.
SLOW = ",".join(f"ingest-between-batches:{number}:sleep=250" for number in range(1, 100))


def test_ingest_jsonl_shows_the_rows_grow(slow_mount, table, work):
    """Control: ingest.jsonl: a line for each file that is being ingested."""
    content = files.ascii_text(8_000_000)
    source = files.write(os.path.join(work, "slow.txt"), content)
    os.mkdir(slow_mount.zone(table))
    copier = subprocess.Popen(["cp", source, slow_mount.zone(table)])
    seen = []
    while copier.poll() is None:
        # A new process each time, as a user's shell does.
        text = run("cat", slow_mount.at(".deeplake", "ingest.jsonl")).ok().out
        seen += [json.loads(line) for line in text.splitlines()]
        time.sleep(0.05)
    assert copier.returncode == 0

    assert {line["path"] for line in seen} == {f"{table}/slow.txt"}
    assert {line["phase"] for line in seen} <= {"reading", "sending", "done"}
    for name in ("rows_written", "bytes_done", "seconds"):
        values = [line[name] or 0 for line in seen]
        assert values == sorted(values), f"{name} went back: {values}"
    between = {line["rows_written"] for line in seen
               if 0 < line["rows_written"] < (line["total"] or 0)}
    assert len(between) >= 4, between

    n_rows = len(files.expected_chunks(content))
    assert {line["total"] for line in seen if line["phase"] == "sending"} == {n_rows}
    last = ingests(slow_mount)[0]
    assert (last["phase"], last["rows_written"], last["total"]) == ("done", n_rows, n_rows)
    assert last["bytes"] == last["bytes_done"] == len(content)
    assert (last["kind"], last["error"], last["notes"]) == ("text", None, None)


def test_ingest_jsonl_is_whole_for_readers_at_the_same_time(slow_mount, table, work):
    """Control; Tenets: one reader's text is not another's."""
    source = files.write(os.path.join(work, "slow.txt"), files.ascii_text(6_000_000))
    os.mkdir(slow_mount.zone(table))
    copier = subprocess.Popen(["cp", source, slow_mount.zone(table)])
    n_read = 0
    while copier.poll() is None:
        readers = [subprocess.Popen(["cat", slow_mount.at(".deeplake", "ingest.jsonl")],
                                    stdout=subprocess.PIPE) for _ in range(4)]
        for reader in readers:
            text = reader.communicate(timeout=20)[0].decode()
            assert reader.returncode == 0
            assert text == "" or text.endswith("\n")
            n_read += len([json.loads(line) for line in text.splitlines()])
    assert copier.returncode == 0
    assert n_read >= 8


def test_ingest_jsonl_tells_why_a_file_failed(mount, table):
    """Control: phase, error."""
    os.mkdir(mount.zone(table))
    with pytest.raises(OSError):
        files.write(mount.zone(table, "bad.txt"), b"\0")
    files.write(mount.zone(table, "good.txt"), b"x")
    good, bad = ingests(mount)[:2]
    assert (bad["path"], bad["phase"]) == (f"{table}/bad.txt", "failed")
    assert "NUL" in bad["error"]
    assert (good["path"], good["phase"], good["error"]) == (f"{table}/good.txt", "done", None)
    assert good["id"] > bad["id"]


def test_an_ingested_file_tells_its_file_id_rows_and_kind(mount, table):
    """Control: user.deeplake.* xattrs on an ingested file: file_id, rows, kind."""
    os.mkdir(mount.zone(table))
    path = mount.zone(table, "a.txt")
    files.write(path, "x" * 2500)
    assert os.getxattr(path, "user.deeplake.file_id").decode() == mount.ledger(
        table, "a.txt")["file_id"]
    assert os.getxattr(path, "user.deeplake.rows") == b"3"
    assert os.getxattr(path, "user.deeplake.kind") == b"text"


def test_control_documents_cannot_be_changed(mount):
    """Control."""
    for name in ("README", "status.json", "errors.jsonl"):
        with pytest.raises(OSError):
            files.write(mount.at(".deeplake", name), b"x")
        with pytest.raises(OSError):
            os.unlink(mount.at(".deeplake", name))
    with pytest.raises(OSError):
        os.rmdir(mount.at(".deeplake"))
    with pytest.raises(OSError):
        os.rmdir(mount.at("ingest"))


@pytest.mark.parametrize("name", ["README", "status.json", "errors.jsonl"])
def test_control_documents_suit_every_tool(mount, work, name):
    """Tenets: ordinary tools work."""
    path = mount.at(".deeplake", name)
    for script in ('cp "$1" "$2"', 'rsync "$1" "$2"', 'cat "$1" > "$2"'):
        run("bash", "-c", script, "bash", path, os.path.join(work, "copy")).ok()
        copied = files.read(os.path.join(work, "copy"))
        if name == "README":
            assert copied == files.read(path)
        if name == "status.json":
            json.loads(copied)
