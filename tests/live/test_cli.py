# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md and the program's help: the command line does what the files do."""

import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

from support import files
from support.mount import (PROGRAM, daemons_of, is_mounted, program, run, shell, wait_for,
                           environment)


@pytest.fixture
def command(backend, mount):
    """Runs a command on the module's backend, whose server the mount keeps up."""
    return lambda name, *arguments, **options: backend.command(name, *arguments, **options)


def assert_refused(ran, *words):
    """Non-zero, nothing on stdout, and one line on stderr that says what it is about; below it
    only what the server adds, indented."""
    assert ran.code != 0, f"{ran!r}"
    assert ran.out == ""
    first, *others = ran.err.splitlines() or [""]
    assert first.startswith("deeplakefs: "), f"{ran!r}"
    assert all(line.startswith("  ") for line in others), f"{ran!r}"
    for word in words:
        assert word.lower() in ran.err.lower(), f"{word!r} is not in {ran!r}"


# Commands

def test_tables_lists_one_name_per_line(command, mount, table):
    """Tables: the same tables as ls."""
    os.mkdir(mount.at(table))
    assert table in command("tables").ok().out.splitlines()
    shown = set(command("tables").ok().out.splitlines())
    assert shown <= set(os.listdir(mount.path))
    assert table in json.dumps(json.loads(command("tables", "--json").ok().out))


def test_query_prints_json(command, table):
    """Queries: the command gives what the file gives."""
    ran = command("query", "SELECT n FROM generate_series(1, 2) n").ok()
    assert json.loads(ran.out) == [{"n": 1}, {"n": 2}]
    assert json.loads(command("query", "SELECT 1 AS one WHERE false").ok().out) == []
    ran = command("query", "--jsonl", "SELECT n FROM generate_series(1, 2) n").ok()
    assert [json.loads(line) for line in ran.out.splitlines()] == [{"n": 1}, {"n": 2}]


def test_query_takes_parameters(command):
    """Queries: parameters are values, never pasted."""
    ran = command("query", "SELECT $1::text AS a, $2::int + 1 AS b", "it's", "41").ok()
    assert json.loads(ran.out) == [{"a": "it's", "b": 42}]


def test_query_reads_sql_from_stdin_and_file(command, work):
    """Command line: SQL - is standard input."""
    assert json.loads(command("query", "-", stdin=b"SELECT 7 AS n").ok().out) == [{"n": 7}]
    path = files.write(os.path.join(work, "q.sql"), '-- $1 = "abc"\nSELECT $1::text AS a')
    assert json.loads(command("query", "--file", path).ok().out) == [{"a": "abc"}]


def test_query_changes_data_once(command, mount, table):
    """Queries: a statement that changes data runs exactly once."""
    command("query", f'CREATE TABLE "{table}" (n int)').ok()
    ran = command("query", f'INSERT INTO "{table}" VALUES (1), (2) RETURNING n').ok()
    assert json.loads(ran.out) == [{"n": 1}, {"n": 2}]
    assert mount.n_rows(table) == 2


def test_query_tells_of_an_error(command):
    """Queries, An error."""
    ran = command("query", "SELECT * FROM no_such_table")
    assert ran.code != 0
    assert "no_such_table" in ran.err
    assert_refused(command("query", "SELEKT 1"), "syntax error")
    assert_refused(command("query", "SELECT 1; SELECT 2"))


def test_ingest_gives_the_rows_that_cp_gives(command, mount, table, work):
    """Ingest: the command line and the mount never disagree."""
    source = os.path.join(work, "docs")
    contents = {"a.txt": files.text(3_000, 1).encode(), "sub/b.bin": files.binary(5_000, 2)}
    for name, content in contents.items():
        files.write(os.path.join(source, name), content)
    ran = command("ingest", table, source + "/.").ok()
    assert json.loads(ran.out)["table_name"] == table
    assert json.loads(ran.out)["row_count"] == mount.n_rows(table) == 5
    assert json.loads(ran.out)["dataset_path"].endswith(f"/{mount.workspace}/{table}")
    assert mount.ledger_paths(table) == ["a.txt", "sub/b.bin"]
    assert mount.chunks(table, "a.txt") == files.expected_rows(contents["a.txt"].decode())
    assert mount.data(table, "sub/b.bin") == [(contents["sub/b.bin"], "sub/b.bin")]
    wait_for(lambda: os.path.exists(mount.zone(table, "a.txt")), 2, "a.txt in the mount")
    assert files.read(mount.zone(table, "a.txt")) == contents["a.txt"]
    shell('rsync -a "$1"/ "$2"/', source, mount.zone(table)).ok()
    assert mount.n_rows(table) == 5


def test_ingest_takes_a_folder_under_its_own_name(command, mount, table, work):
    """Command line: folders are taken as cp -r does."""
    files.write(os.path.join(work, "docs", "a.txt"), b"x")
    command("ingest", table, os.path.join(work, "docs")).ok()
    assert mount.ledger_paths(table) == ["docs/a.txt"]


def test_ingest_twice_changes_nothing(command, mount, table, work):
    """Ingest, Atomic and repeatable."""
    path = files.write(os.path.join(work, "a.txt"), files.text(5_000, 3))
    command("ingest", table, path).ok()
    before = mount.sql(f'SELECT min(id), count(*) FROM "{table}"')
    command("ingest", table, path).ok()
    assert mount.sql(f'SELECT min(id), count(*) FROM "{table}"') == before


def test_ingest_of_a_tree_again_does_what_is_left_to_do(command, mount, table, work):
    """Ingest, Atomic and repeatable: what is there stays, what changed is replaced, what was
    deleted by SQL comes back, what is new is added."""
    folder = pathlib.Path(work) / "tree"
    for number in range(12):
        files.write(str(folder / f"part{number % 3}" / f"{number}.txt"), f"text {number}".encode())
    command("ingest", table, str(folder)).ok()

    def rows():
        return {path: (file_id, text) for path, file_id, text in mount.sql(
            f'SELECT path, t.file_id, text FROM "{table}" t JOIN deeplakefs_ledger l '
            f"ON l.file_id = t.file_id WHERE l.table_name = %s", table)}

    before = rows()
    assert len(before) == 12
    mount.sql(f'DELETE FROM "{table}" WHERE text = %s', "text 3")
    files.write(str(folder / "part1" / "4.txt"), b"other text")
    files.write(str(folder / "part2" / "5.txt"), b"text 6")
    os.utime(folder / "part0" / "6.txt", (1_000_000_000, 1_000_000_000))
    files.write(str(folder / "part3" / "new.txt"), b"new")
    command("ingest", table, str(folder)).ok()

    after = rows()
    kept = {path for path in before if after[path] == before[path]}
    assert before.keys() - kept == {"tree/part0/3.txt", "tree/part1/4.txt", "tree/part2/5.txt"}
    assert after["tree/part0/3.txt"][1] == "text 3"
    assert after["tree/part1/4.txt"][1] == "other text"
    assert after["tree/part2/5.txt"][1] == "text 6"
    assert after["tree/part3/new.txt"][1] == "new"
    assert len(after) == 13
    assert mount.sql(f'SELECT count(*) FROM "{table}"')[0][0] == 13
    wait_for(lambda: os.stat(mount.at("ingest", table, "tree/part0/6.txt")).st_mtime
             == 1_000_000_000, 5, "the time that was set")


def test_ingest_takes_sizes(command, mount, table, work):
    """Ingest, Options: chunk_size and chunk_overlap."""
    text = files.text(1_000, 4)
    path = files.write(os.path.join(work, "a.txt"), text)
    command("ingest", "--chunk-size", "300", "--chunk-overlap", "50", table, path).ok()
    assert mount.chunks(table, "a.txt") == files.expected_rows(text, 300, 50)
    assert mount.ledger(table, "a.txt")["settings"] == {"chunk_size": 300, "chunk_overlap": 50}
    assert_refused(command("ingest", "--chunk-size", "50", "--chunk-overlap", "50", table,
                           path), "chunk")


def test_ingest_tells_of_each_file_that_failed(command, mount, table, work):
    """Ingest, Refusals: the exit code is not 0, and the good files are there."""
    good = files.write(os.path.join(work, "good.txt"), b"x")
    bad = files.write(os.path.join(work, "bad.txt"), b"\0")
    ran = command("ingest", table, good, bad)
    assert ran.code != 0
    assert "bad.txt" in ran.err and "NUL" in ran.err
    assert mount.ledger_paths(table) == ["good.txt"]
    ran = command("ingest", table, os.path.join(work, "missing.txt"))
    assert ran.code != 0
    assert "missing.txt" in ran.err


def test_drop_drops(command, mount, table):
    """Tables: as rmdir."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), b"x")
    command("drop", table).ok()
    assert not mount.table_exists(table)
    assert mount.ledger_paths(table) == []
    assert_refused(command("drop", table), table)
    command("drop", "--if-exists", table).ok()


def test_status_names_the_mounts(command, mount):
    """Command line: status shows the server, the state folder and its mounts."""
    ran = command("status").ok()
    assert mount.path in ran.out
    found = json.loads(command("status", "--json").ok().out)
    assert mount.path in json.dumps(found)
    assert mount.daemon_pid in [one["pid"] for one in found["mounts"]]


@pytest.mark.parametrize("is_well", [True, False])
def test_status_says_which_server_and_why(work, is_well):
    """Command line: a token selects the service, whose health alone is asked for."""
    asked = []

    class Service(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(200 if is_well else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"status":"ok"}')

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{service.server_port}"
        env = environment(DEEPLAKE_API_KEY="eyJh.e30.x", DEEPLAKE_API_URL=url + "/",
                          no_proxy="*")
        text = program("status", "--state-dir", work, env=env)
        found = program("status", "--state-dir", work, "--json", env=env)
        service.shutdown()
    assert text.code == found.code == (0 if is_well else 2)
    assert "service, as DEEPLAKE_API_KEY is set" in text.out
    assert f"{url}, {'healthy' if is_well else 'not healthy'}" in text.out
    said = json.loads(found.out)
    assert said["transport"] == "service" and said["reason"] == "DEEPLAKE_API_KEY is set"
    assert said["api_url"] == url and said["healthy"] is is_well
    assert asked == [("/health", None)] * 2

    said = json.loads(program("status", "--state-dir", work, "--json").ok().out)
    assert said["transport"] == "embedded"
    assert said["reason"] == "neither dsn nor token is set"


def test_help_fits_eighty_columns():
    """Command line: help fits 80 columns and names every command."""
    text = program("--help").ok().out
    for name in ("mount", "umount", "tables", "query", "ingest", "drop", "status"):
        assert name in text
        own = program(name, "--help").ok().out
        assert max(len(line) for line in own.splitlines()) <= 80
    assert max(len(line) for line in text.splitlines()) <= 80
    assert program("--version").ok().out.startswith("deeplakefs ")


# Mistakes

@pytest.mark.parametrize("arguments, words", [
    (["mount", "--stat-dir", "/x", "/mnt"], ["--stat-dir", "--state-dir"]),
    (["mount", "-o", "no_dorp", "/mnt"], ["no_dorp", "no_drop"]),
    (["mount", "-o", "chunk_size=many", "/mnt"], ["chunk_size"]),
    (["mount", "-o", "chunk_size=100,chunk_overlap=100", "/mnt"], ["chunk_overlap"]),
    (["mount"], ["mountpoint"]), (["mount", "a", "b", "c"], []),
    (["mout", "/mnt"], ["mout", "mount"]), (["umount"], ["mountpoint"]),
    (["query"], ["sql"]), (["drop"], ["table"]), (["ingest", "t"], []), ([], []),
    (["tables", "--config", "/nonexistent/config"], ["/nonexistent/config"])])
def test_a_mistake_is_named_in_one_line(arguments, words):
    """Command line: one line naming it and the nearest known."""
    ran = program(*arguments)
    if arguments:
        assert_refused(ran, *words)
    else:
        assert ran.code != 0


def test_a_password_on_the_command_line_is_refused_unrepeated(work):
    """Command line: secrets by file or environment, never argv."""
    for dsn in ("host=/x password=hunter2secret", "postgresql://me:hunter2secret@h/d"):
        ran = program("tables", "--state-dir", work + "/s", "--dsn", dsn)
        assert_refused(ran, "password")
        assert "hunter2secret" not in ran.err


# Refused mounts leave nothing behind

@pytest.fixture
def bare():
    """A folder for a mount that is to fail: state, mnt."""
    folder = tempfile.mkdtemp(prefix="deeplakefs-bare-")
    os.chmod(folder, 0o755)
    os.mkdir(os.path.join(folder, "mnt"))
    yield folder
    if is_mounted(folder + "/mnt"):
        subprocess.run(["fusermount3", "-uz", folder + "/mnt"], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def processes_that_name(text):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as cmdline:
                    if text.encode() in cmdline.read():
                        found.append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def assert_nothing_left(folder):
    wait_for(lambda: not processes_that_name(folder), 5, f"the processes of {folder} to end")
    assert not is_mounted(os.path.join(folder, "mnt"))


def test_a_missing_mountpoint_is_refused(bare):
    """Command line: error texts are one line."""
    assert_refused(program("mount", "--state-dir", bare + "/state", bare + "/none"),
                   bare + "/none")
    assert_nothing_left(bare)
    assert not os.path.exists(bare + "/state/server/data")


def test_a_mountpoint_that_is_no_folder_is_refused(bare):
    files.write(bare + "/file", b"")
    assert_refused(program("mount", "--state-dir", bare + "/state", bare + "/file"), "/file")
    assert_nothing_left(bare)
    assert not os.path.exists(bare + "/state/server/data")


def test_a_mountpoint_that_is_not_empty_is_refused_without_nonempty(bare, postgres):
    files.write(bare + "/mnt/file", b"")
    ran = program("mount", "--state-dir", bare + "/state", bare + "/mnt")
    assert_refused(ran, "empty")
    assert_nothing_left(bare)
    assert files.read(bare + "/mnt/file") == b""
    dsn = postgres.create_database("nonempty_" + os.path.basename(bare).replace("-", "_")[-12:])
    program("mount", "--state-dir", bare + "/state", "--dsn", dsn, "-o", "nonempty",
            bare + "/mnt").ok()
    assert "query.sql" in os.listdir(bare + "/mnt")
    program("umount", "--state-dir", bare + "/state", bare + "/mnt").ok()
    assert os.listdir(bare + "/mnt") == ["file"]


def test_a_second_mount_on_the_same_folder_is_refused(backend, mount):
    ran = program("mount", *backend.options(), "another", mount.path,
                  env=backend.environment())
    assert_refused(ran, mount.path)
    assert daemons_of(mount.path) == mount.pids
    assert "ingest" in os.listdir(mount.path)


def test_a_state_folder_of_someone_else_is_refused(bare):
    """core/server.h: NO_ACCESS: the state folder is someone else's."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.mkdir(bare + "/state", 0o700)
    shutil.chown(bare + "/state", "nobody", "nogroup")
    before = sorted(os.listdir(bare + "/state"))
    assert_refused(program("mount", "--state-dir", bare + "/state", bare + "/mnt"),
                   bare + "/state")
    assert_nothing_left(bare)
    assert sorted(os.listdir(bare + "/state")) == before


@pytest.mark.parametrize("how", ["path", "option"])
def test_a_missing_postgresql_is_named_with_its_package(bare, how):
    """core/server.h: NOT_FOUND: no PostgreSQL programs; the hint names the package."""
    more, env = [], environment()
    if how == "option":
        more = ["-o", "server_bin_dir=/nonexistent"]
    else:
        env = environment(PATH="/nonexistent")
        if os.path.isdir("/usr/lib/postgresql"):
            pytest.skip("PostgreSQL lies where the distribution puts it; PATH does not matter")
    ran = program("mount", "--state-dir", bare + "/state", *more, bare + "/mnt", env=env)
    assert_refused(ran, "postgresql")
    assert_nothing_left(bare)
    assert not os.path.exists(bare + "/state/server/data/PG_VERSION")


def test_a_server_that_refuses_is_named(bare):
    """When the server is away: at the start it is an error, in bounded time."""
    started = time.monotonic()
    ran = program("mount", "--state-dir", bare + "/state", "--dsn",
                  f"host={bare} port=5432 dbname=none", "-o", "connect_timeout=2s",
                  bare + "/mnt", timeout=60)
    assert_refused(ran, bare)
    assert time.monotonic() - started < 20
    assert_nothing_left(bare)
    assert "password" not in ran.err


def test_a_database_that_does_not_exist_is_named(bare, postgres):
    ran = program("mount", "--state-dir", bare + "/state", "--dsn",
                  postgres.dsn("no_such_database"), bare + "/mnt")
    assert_refused(ran, "no_such_database")
    assert_nothing_left(bare)


def test_umount_of_what_is_not_mounted_is_refused(bare):
    assert_refused(program("umount", bare + "/mnt"), bare + "/mnt")
    assert_refused(program("umount", bare + "/none"), bare + "/none")


# Mount and unmount

def test_a_mount_leaves_nothing_behind(bare):
    """Unmount: staging is removed, the embedded server stops when its last mount leaves."""
    state, mountpoint = bare + "/state", bare + "/mnt"
    program("mount", "--state-dir", state, mountpoint, timeout=90).ok()
    os.mkdir(mountpoint + "/ingest/t")
    files.write(mountpoint + "/ingest/t/a.bin", files.binary(300_000))
    files.write(mountpoint + "/ingest/t/.b.tmp", files.binary(300_000))
    program("umount", mountpoint).ok()
    assert_nothing_left(bare)
    assert os.listdir(mountpoint) == []
    for folder in ("spool", "mounts", "server/socket"):
        path = os.path.join(state, folder)
        assert not os.path.exists(path) or os.listdir(path) == []
    program("mount", "--state-dir", state, mountpoint, timeout=90).ok()
    assert os.listdir(mountpoint + "/ingest/t") == ["a.bin"]
    assert files.read(mountpoint + "/ingest/t/a.bin") == files.binary(300_000)
    run("fusermount3", "-u", mountpoint).ok()
    assert_nothing_left(bare)


def test_umount_without_a_state_folder_finds_the_daemon(bare, postgres):
    """Unmount: umount returns when the daemon has left, whatever its state folder."""
    dsn = postgres.create_database("umount_" + os.path.basename(bare).replace("-", "_")[-12:])
    program("mount", "--state-dir", bare + "/state", "--dsn", dsn, bare + "/mnt").ok()
    program("umount", bare + "/mnt").ok()
    assert not is_mounted(bare + "/mnt")
    assert_nothing_left(bare)


def test_umount_of_a_busy_mount_is_refused(another_mount):
    """Unmount: refuses while the mount is in use."""
    one = another_mount()
    with open(one.at("query.sql"), "rb"):
        assert_refused(one.umount(), "use")
        assert "ingest" in os.listdir(one.path)
    one.umount().ok()


def test_the_default_workspace_needs_no_name(bare, postgres):
    """Command line: mount [OPTIONS] [WORKSPACE] MOUNTPOINT."""
    dsn = postgres.create_database("default_" + os.path.basename(bare).replace("-", "_")[-12:])
    program("mount", "--state-dir", bare + "/state", "--dsn", dsn, bare + "/mnt").ok()
    os.mkdir(bare + "/mnt/made_here")
    ran = program("tables", "--state-dir", bare + "/state", "--dsn", dsn).ok()
    assert ran.out.splitlines() == ["made_here"]
    program("umount", "--state-dir", bare + "/state", bare + "/mnt").ok()


def test_others_see_nothing_without_allow_other(another_mount):
    """Command line: -o allow_other."""
    if os.geteuid() != 0:
        pytest.skip("only root can become someone else")
    closed, opened = another_mount(), another_mount(options=["-o", "allow_other"])
    assert run("ls", closed.path, user="nobody").code != 0
    assert "ingest" in run("ls", opened.path, user="nobody").ok().out


def test_commands_start_and_stop_the_embedded_server_themselves(fresh_backend, work):
    """Command line: no mount is needed."""
    backend = fresh_backend("embedded")
    path = files.write(os.path.join(work, "a.txt"), b"x")
    backend.command("ingest", "notes", path).ok()
    assert backend.command("tables").ok().out.splitlines() == ["notes"]
    assert not backend.server.is_running()
    assert json.loads(backend.command("query", "SELECT text FROM notes").ok().out) == [
        {"text": "x"}]
    assert not backend.server.is_running()


def test_output_that_nobody_reads_is_no_disaster(command):
    """Command line: a closed pipe ends it quietly."""
    ran = shell(f'"{PROGRAM}" query --help | head -n 1; exit ${{PIPESTATUS[0]}}')
    assert "Segmentation" not in ran.err
    assert ran.err == "" or "pipe" in ran.err.lower()
