# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, The service, Reads that lag: nobody misses what he himself did."""

import contextlib
import json
import os
import subprocess
import time

import pytest

from support import files
from support.fixtures import add_extension
from support.mount import Backend, Mount, run, wait_for
from support.service import AFTER, Service, statement
from support.service_database import LaggingPostgres

LAG_SECONDS = float(os.environ.get("SERVICE_LAG", "1"))
READ_LAG = f"{LAG_SECONDS * 1000 + 800:.0f}ms"


@pytest.fixture(scope="module")
def lagging(programs):
    with LaggingPostgres(LAG_SECONDS, programs) as made:
        yield made


@pytest.fixture(scope="module")
def backend(lagging):
    dsn, standby_dsn = lagging.new_database("lagging")
    lagging.set_lag(0)
    add_extension(dsn)
    made = Backend("service", verify_dsn=dsn, service=Service(dsn, standby_dsn))
    made.read_lag = READ_LAG
    yield made
    made.destroy()
    made.service.assert_clean()


@pytest.fixture(scope="module")
def mount(backend, lagging):
    one = Mount(backend).start()
    lagging.primary.wait_for_replay(lagging.standby)
    lagging.set_lag(LAG_SECONDS)
    yield one
    one.teardown()


@contextlib.contextmanager
def timed(what):
    started = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - started:.2f} s")


def ls(folder):
    return run("ls", "-A", folder).ok().out.split()


def test_a_file_is_there_as_soon_as_it_was_copied_and_gone_when_removed(mount, work, backend):
    """cp, ls, stat, cat, cp over it, mv, rm, each right after the one before."""
    zone = mount.zone("steps")
    first = files.write(os.path.join(work, "a.txt"), files.text(3000, 1))
    second = files.write(os.path.join(work, "b.txt"), files.text(5000, 2))
    with timed("mkdir of a zone"):
        run("mkdir", zone).ok()
    with timed("cp, which makes the table"):
        run("cp", first, zone).ok()
    with timed("ls"):
        assert ls(zone) == ["a.txt"]
    with timed("stat"):
        assert os.stat(os.path.join(zone, "a.txt")).st_size == os.stat(first).st_size
    with timed("cat"):
        run("cmp", first, os.path.join(zone, "a.txt")).ok()
    with timed("cp over it"):
        run("cp", second, os.path.join(zone, "a.txt")).ok()
    with timed("cat again"):
        run("cmp", second, os.path.join(zone, "a.txt")).ok()
    assert mount.chunks("steps", "a.txt") == files.expected_rows(files.text(5000, 2))
    with timed("mv"):
        run("mv", os.path.join(zone, "a.txt"), os.path.join(zone, "c.txt")).ok()
    with timed("ls after mv"):
        assert ls(zone) == ["c.txt"]
    with timed("cat after mv"):
        run("cmp", second, os.path.join(zone, "c.txt")).ok()
    assert not os.path.exists(os.path.join(zone, "a.txt"))
    with timed("rm"):
        run("rm", os.path.join(zone, "c.txt")).ok()
    with timed("ls after rm"):
        assert ls(zone) == []
    assert not os.path.exists(os.path.join(zone, "c.txt"))
    assert mount.n_rows("steps") == 0
    with timed("cp under the name of what was removed"):
        run("cp", first, os.path.join(zone, "c.txt")).ok()
    run("cmp", first, os.path.join(zone, "c.txt")).ok()
    assert mount.chunks("steps", "c.txt") == files.expected_rows(files.text(3000, 1))
    assert mount.n_orphans("steps") == 0
    assert backend.service.n_on_standby > 0


def test_tables_and_folders_are_there_at_once(mount):
    """mkdir, rmdir and mv of tables and of folders of a drop zone."""
    with timed("mkdir of a table"):
        run("mkdir", mount.at("made")).ok()
    with timed("ls of the root"):
        assert "made" in ls(mount.path)
    with timed("schema.json"):
        assert json.loads(files.read(mount.at("made", "schema.json")))[0]["name"] == "id"
    with timed("mv of a table"):
        run("mv", mount.at("made"), mount.at("moved")).ok()
    names = ls(mount.path)
    assert "moved" in names and "made" not in names
    with timed("mkdir -p in its zone"):
        run("mkdir", "-p", mount.zone("moved", "a", "b")).ok()
    assert ls(mount.zone("moved")) == ["a"] and ls(mount.zone("moved", "a")) == ["b"]
    with timed("rmdir of a folder"):
        run("rmdir", mount.zone("moved", "a", "b")).ok()
    assert ls(mount.zone("moved", "a")) == []
    run("rmdir", mount.zone("moved", "a")).ok()
    with timed("rmdir of a table"):
        run("rmdir", mount.at("moved")).ok()
    assert "moved" not in ls(mount.path) and not os.path.exists(mount.zone("moved"))
    with timed("mkdir of the dropped table's name"):
        run("mkdir", mount.at("moved")).ok()
    assert "moved" in ls(mount.path)


def test_a_second_rsync_transfers_nothing(mount, work):
    """rsync -a twice, the second right after the first."""
    contents = files.tree(os.path.join(work, "tree"), 60, seed=3)
    command = ["rsync", "-a", "--stats", os.path.join(work, "tree") + "/", mount.zone("synced")]
    os.mkdir(mount.zone("synced"))
    with timed("rsync of 60 files"):
        assert "files transferred: 60" in run(*command).ok().out
    with timed("rsync again"):
        assert "files transferred: 0" in run(*command).ok().out
    assert mount.ledger_paths("synced") == sorted(contents)
    assert mount.n_orphans("synced") == 0
    with timed("diff -r"):
        run("diff", "-r", os.path.join(work, "tree"), mount.zone("synced")).ok()


def test_queries_rows_and_counts_have_what_was_just_copied(mount, work):
    """query.sql, rows/, info.json right after cp; and without it after rm."""
    zone = mount.zone("asked")
    os.mkdir(zone)
    path = files.write(os.path.join(work, "a.bin"), b"one")
    files.write(mount.at("n.sql"), "SELECT 1 AS n")
    run("cp", path, zone).ok()
    with timed("query.sql"):
        assert len(json.loads(files.read(mount.at("asked", "query.sql")))) == 1
    run("cp", path, os.path.join(zone, "b.bin")).ok()
    with timed("info.json"):
        found = json.loads(files.read(mount.at("asked", "info.json")))
    assert found["row_count"] == 2 and found["ingested_files"] == 2
    run("cp", path, os.path.join(zone, "c.bin")).ok()
    with timed("rows"):
        keys = ls(mount.at("asked", "rows"))
    assert len(keys) == 3
    assert files.read(mount.at("asked", "rows", keys[-1], "data.bin")) == b"one"
    run("rm", os.path.join(zone, "b.bin")).ok()
    with timed("a query after rm"):
        files.write(mount.at("n.sql"), "SELECT count(*) AS n FROM asked")
        assert json.loads(files.read(mount.at("n.sql"))) == [{"n": 2}]
    files.write(mount.at("n.sql"), "DELETE FROM asked WHERE filename = 'c.bin'")
    with timed("the rows after a query that deletes"):
        assert len(ls(mount.at("asked", "rows"))) == 1
    with timed("rmdir of a row"):
        os.rmdir(mount.at("asked", "rows", keys[0]))
    assert ls(mount.at("asked", "rows")) == []


def test_commands_that_follow_each_other_see_what_the_one_before_did(backend, work):
    """deeplakefs ingest; deeplakefs query: the first waits until all servers have it."""
    path = files.write(os.path.join(work, "a.txt"), files.text(2600, 5))
    with timed("ingest"):
        backend.command("ingest", "by_command", path).ok()
    with timed("query"):
        ran = backend.command("query", "SELECT count(*) AS n FROM by_command").ok()
    assert json.loads(ran.out) == [{"n": len(files.expected_rows(files.text(2600, 5)))}]
    backend.command("ingest", "by_command", path).ok()
    assert "by_command" in backend.command("tables").ok().out.split()
    backend.command("query", "INSERT INTO by_command (text) VALUES ('x')").ok()
    ran = backend.command("query", "SELECT count(*) AS n FROM by_command").ok()
    assert json.loads(ran.out) == [{"n": 1 + len(files.expected_rows(files.text(2600, 5)))}]
    with timed("drop"):
        backend.command("drop", "by_command").ok()
    assert "by_command" not in backend.command("tables").ok().out.split()


def test_the_options_of_a_zone_and_its_index_count_at_once(mount, work):
    """.ingest.json and indexes/ right before the file that they are for."""
    os.mkdir(mount.zone("chosen"))
    with timed(".ingest.json"):
        files.write(mount.zone("chosen", ".ingest.json"),
                    '{"chunk_size": 500, "chunk_overlap": 0}')
    files.write(mount.zone("chosen", "a.txt"), files.text(1700, 9))
    assert mount.chunks("chosen", "a.txt") == files.expected_rows(files.text(1700, 9), 500, 0)
    with timed("mkdir of an index"):
        os.mkdir(mount.at("chosen", "indexes", "file_id.btree"))
    assert "file_id.btree" in ls(mount.at("chosen", "indexes"))


def test_copying_over_many_files_does_not_wait_after_each(mount, work):
    """What the ledger remembers needs no wait: files that are replaced, and large ones."""
    zone = mount.zone("again")
    os.mkdir(zone)
    names = [f"{number}.txt" for number in range(6)]
    for name in names:
        files.write(os.path.join(zone, name), files.text(1500, 1))
    time.sleep(LAG_SECONDS + 1)
    started = time.monotonic()
    for name in names:
        files.write(os.path.join(zone, name), files.text(2500, 2))
    seconds = time.monotonic() - started
    assert seconds < 2 * LAG_SECONDS, f"{len(names)} files took {seconds:.1f} s"
    assert ls(zone) == names
    for name in names:
        assert mount.chunks("again", name) == files.expected_rows(files.text(2500, 2))
    assert mount.n_orphans("again") == 0


def test_what_failed_lets_nobody_forget_what_was_just_copied(mount, work):
    """rmdir or mv of a table that others depend on, a statement that is wrong: nothing has changed,
    so the file is still known, and copying over it need not find out by failing and waiting."""
    zone = mount.zone("kept")
    os.mkdir(zone)
    files.write(os.path.join(zone, "first.txt"), "makes the table")
    mount.sql("CREATE VIEW on_kept AS SELECT * FROM kept")
    time.sleep(LAG_SECONDS + 1)
    failing = {
        "a.txt": lambda: os.rmdir(mount.at("kept")),
        "b.txt": lambda: files.write(mount.at("wrong.sql"), "DELETE FROM nowhere"),
        "c.txt": lambda: os.rename(mount.at("kept"), mount.at("on_kept")),
    }
    for name, act in failing.items():
        files.write(os.path.join(zone, name), "one")
        with pytest.raises(OSError):
            act()
        started = time.monotonic()
        files.write(os.path.join(zone, name), "another")
        assert time.monotonic() - started < LAG_SECONDS / 2
        assert mount.chunks("kept", name) == [(0, "another")]
    assert ls(zone) == ["a.txt", "b.txt", "c.txt", "first.txt"]


def gone(mount, table, name):
    """As another client removes a file."""
    mount.sql(f'DELETE FROM "{table}" WHERE file_id = %s', mount.ledger(table, name)["file_id"])
    mount.sql("DELETE FROM deeplakefs_ledger WHERE table_name = %s AND name = %s", table, name)


def test_what_others_did_to_a_file_is_met_and_not_stumbled_over(mount, work):
    """Another client removes or replaces a file right after we copied it: cp over it, rm."""
    zone = mount.zone("shared")
    os.mkdir(zone)
    path = files.write(os.path.join(work, "a.txt"), files.text(2500, 1))
    other = files.write(os.path.join(work, "b.txt"), files.text(3500, 2))
    for name in ("a.txt", "b.txt", "c.txt"):
        run("cp", path, os.path.join(zone, name)).ok()
    gone(mount, "shared", "a.txt")
    with timed("cp over what others have removed"):
        run("cp", other, os.path.join(zone, "a.txt")).ok()
    assert mount.chunks("shared", "a.txt") == files.expected_rows(files.text(3500, 2))
    run("cp", path, os.path.join(zone, "b.txt")).ok()
    mount.sql("UPDATE shared SET file_id = 'theirs' WHERE file_id = %s",
              mount.ledger("shared", "b.txt")["file_id"])
    mount.sql("UPDATE deeplakefs_ledger SET file_id = 'theirs', content_hash = 'other'"
              " WHERE table_name = 'shared' AND name = 'b.txt'")
    with timed("cp over what others have replaced"):
        run("cp", other, os.path.join(zone, "b.txt")).ok()
    assert mount.chunks("shared", "b.txt") == files.expected_rows(files.text(3500, 2))
    run("cp", other, os.path.join(zone, "c.txt")).ok()
    gone(mount, "shared", "c.txt")
    with pytest.raises(FileNotFoundError):
        os.unlink(os.path.join(zone, "c.txt"))
    assert ls(zone) == ["a.txt", "b.txt"]
    assert mount.n_orphans("shared") == 0


CHANGES = statement("INSERT INTO|^DO|^UPDATE|^DELETE")


@pytest.fixture
def service(backend):
    yield backend.service
    backend.service.clear()


def test_lost_answers_to_changes_that_follow_each_other(mount, service, work):
    """The service, Repeating: of what was changed moments before, what is remembered does not
    count."""
    zone = mount.zone("lost")
    os.mkdir(zone)
    first = files.write(os.path.join(work, "a.txt"), files.text(2500, 1))
    second = files.write(os.path.join(work, "b.txt"), files.text(3500, 2))
    run("cp", first, os.path.join(zone, "a.txt")).ok()
    service.cut(AFTER, when=CHANGES)
    run("cp", second, os.path.join(zone, "a.txt")).ok()
    assert service.n_faults_left() == 0
    assert mount.chunks("lost", "a.txt") == files.expected_rows(files.text(3500, 2))
    run("cmp", second, os.path.join(zone, "a.txt")).ok()
    for _ in range(2):
        service.cut(AFTER, when=CHANGES)
        os.mkdir(os.path.join(zone, "folder"))
        assert ls(zone) == ["a.txt", "folder"]
        service.cut(AFTER, when=CHANGES)
        os.rmdir(os.path.join(zone, "folder"))
        assert ls(zone) == ["a.txt"]
    assert service.n_faults_left() == 0
    assert mount.n_orphans("lost") == 0


def test_what_others_put_in_the_place_of_a_file_whose_mv_was_lost_stays(mount, service, work):
    """The service, Repeating: what did not happen is done again, and nothing else."""
    zone = mount.zone("moving")
    os.mkdir(zone)
    path = files.write(os.path.join(work, "a.bin"), b"ours")
    run("cp", path, os.path.join(zone, "a.bin")).ok()
    ours = mount.ledger("moving", "a.bin")["file_id"]
    service.cut(AFTER, when=statement("^DO"))
    moving = subprocess.Popen(["mv", os.path.join(zone, "a.bin"), os.path.join(zone, "b.bin")])
    wait_for(lambda: mount.ledger("moving", "b.bin"), 10, "the mv that nobody answers for")
    mount.sql("INSERT INTO moving (file_id, data, filename) VALUES ('theirs', 'x', 'a.bin')")
    mount.sql("INSERT INTO deeplakefs_ledger (table_name, folder, name, file_id, kind, n_rows)"
              " VALUES ('moving', '', 'a.bin', 'theirs', 'other', 1)")
    assert moving.wait(60) == 0
    assert mount.ledger("moving", "b.bin")["file_id"] == ours
    assert mount.ledger("moving", "a.bin")["file_id"] == "theirs"
    assert mount.n_rows("moving") == 2 and mount.n_orphans("moving") == 0


def test_two_at_a_time_neither_lose_nor_double(mount, work):
    """cp -r by two processes at once, then rm -r of one of the trees."""
    made = {name: files.tree(os.path.join(work, name), 25, seed=index)
            for index, name in enumerate(("left", "right"))}
    os.mkdir(mount.zone("both"))
    copies = [subprocess.Popen(["cp", "-r", os.path.join(work, name), mount.zone("both")])
              for name in made]
    assert [copy.wait(60) for copy in copies] == [0, 0]
    assert mount.ledger_paths("both") == sorted(
        os.path.join(name, path) for name, contents in made.items() for path in contents)
    run("rm", "-r", mount.zone("both", "left")).ok()
    assert ls(mount.zone("both")) == ["right"]
    run("diff", "-r", os.path.join(work, "right"), mount.zone("both", "right")).ok()
    assert mount.n_orphans("both") == 0
