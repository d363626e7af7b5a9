# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Freshness: what one mount shows of its own changes, another's, and SQL's."""

import errno
import json
import os
import statistics
import time

import psycopg2
import pytest

from support import files
from support.mount import Mount, shell, wait_for

LIMIT = 1.0  # seconds: the contract
POLLING = 0.2  # well below what timeouts alone take


@pytest.fixture(scope="module")
def other(backend, shared_mount):
    """A second mount of the same workspace."""
    made = Mount(backend).start()
    if backend.kind != "service":  # it announces nothing: timeouts are all there is
        wait_for(lambda: is_notified(made) and is_notified(shared_mount), 10, "notifications")
    yield made
    made.teardown()


@pytest.fixture
def pair(mount, other):
    """Where things are changed, and where they are seen."""
    if mount.backend.kind != "service":
        wait_for(lambda: is_notified(mount), 10, "notifications")
    return mount, other


def is_notified(mount):
    status = json.loads(files.read(mount.at(".deeplake", "status.json")))
    assert status["freshness"] in ("notifications", "timeouts")
    return status["freshness"] == "notifications"


def soon(condition, what):
    return wait_for(condition, LIMIT, what)


def exists(path):
    return os.path.lexists(path)


def content(path):
    try:
        return files.read(path)
    except FileNotFoundError:
        return None


def remove_by_sql(mount, table, name):
    """As another client does that announces nothing. The kernel still believes in the name."""
    file_id = mount.ledger(table, name)["file_id"]
    mount.sql(f'DELETE FROM "{table}" WHERE file_id = %s', file_id)
    mount.sql("DELETE FROM deeplakefs_ledger WHERE table_name = %s AND path = %s", table, name)


def test_a_file_that_others_removed_can_be_made_anew(mount, table, zone):
    """Freshness: whoever opens what others removed finds that out, and not an error."""
    path = files.write(os.path.join(zone, "a.bin"), b"old")
    files.write(os.path.join(zone, "b.bin"), b"other")
    os.stat(path)
    remove_by_sql(mount, table, "a.bin")
    time.sleep(0.3)  # longer than the mount believes it, and less than the kernel
    files.write(path, b"new")
    assert files.read(path) == b"new"
    assert mount.n_rows(table) == 2
    assert not any(json.loads(line)["path"].endswith(f"{table}/a.bin") for line in
                   files.read(mount.at(".deeplake", "errors.jsonl")).splitlines())


def test_what_stat_says_is_gone_is_gone_for_every_call(mount, table, zone, another_table):
    """Freshness: one call does not show what another denies."""
    files.write(os.path.join(zone, "a.bin"), b"old")
    path = os.path.join(zone, "b.bin")
    os.rename(os.path.join(zone, "a.bin"), path)  # the kernel asks for its attributes again
    remove_by_sql(mount, table, "b.bin")
    with pytest.raises(FileNotFoundError):
        os.stat(path)
    with pytest.raises(FileNotFoundError):  # not EXDEV
        os.rename(path, another_table)


@pytest.fixture
def another_table(mount, table):
    """A path in another drop zone."""
    os.mkdir(mount.zone(table + "_2"))
    return mount.zone(table + "_2", "b.bin")


def delay(change, seen):
    """Seconds from the end of a change until another mount shows it, its caches being warm."""
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        assert not seen(), "seen before it was done"
    change()
    done = time.monotonic()
    while not seen():
        assert time.monotonic() < done + LIMIT, f"not seen within {LIMIT} s"
    return time.monotonic() - done


# --- two mounts ---


def test_a_new_table_shows_elsewhere(pair, table):
    """Freshness: other clients' changes within a second."""
    here, there = pair
    assert table not in os.listdir(there.path) and not exists(there.zone(table))
    os.mkdir(here.at(table))
    soon(lambda: table in os.listdir(there.path), "the table in ls")
    soon(lambda: exists(there.at(table)) and exists(there.zone(table)), "its folders")


def test_a_dropped_table_goes_elsewhere(pair, table):
    """Freshness: though the kernel has just been told that it is there."""
    here, there = pair
    os.mkdir(here.at(table))
    soon(lambda: exists(there.at(table, "rows")) and exists(there.zone(table)), "the table")
    os.rmdir(here.at(table))
    soon(lambda: not exists(there.at(table)), "its folder to go")
    soon(lambda: not exists(there.zone(table)), "its drop zone to go")
    assert table not in os.listdir(there.path)


def test_a_renamed_table_moves_elsewhere(pair, table):
    """Freshness."""
    here, there = pair
    files.write(make_zone(here, table, "a.bin"), b"a")
    soon(lambda: content(there.zone(table, "a.bin")) == b"a", "the file")
    os.rename(here.at(table), here.at(table + "_new"))
    soon(lambda: content(there.zone(table + "_new", "a.bin")) == b"a", "its new name")
    soon(lambda: not exists(there.at(table)) and not exists(there.zone(table)), "its old name")


def make_zone(mount, table, *parts):
    if not exists(mount.zone(table)):
        os.mkdir(mount.zone(table))
    return mount.zone(table, *parts)


def test_a_name_that_was_not_there_appears_elsewhere(pair, table):
    """Freshness: the kernel forgets that there was no such name, too."""
    here, there = pair
    path = make_zone(here, table, "a.txt")
    soon(lambda: exists(there.zone(table)), "the drop zone")
    for _ in range(3):
        assert not exists(there.zone(table, "a.txt"))
    files.write(path, b"hello")
    soon(lambda: content(there.zone(table, "a.txt")) == b"hello", "the file")


def test_a_file_that_is_removed_goes_elsewhere(pair, table):
    """Freshness: from listings and by its name, with its rows."""
    here, there = pair
    path = make_zone(here, table, "a.txt")
    files.write(path, b"hello")
    soon(lambda: content(there.zone(table, "a.txt")) == b"hello", "the file")
    row = there.at(table, "rows", os.listdir(there.at(table, "rows"))[0])
    assert exists(row)
    os.unlink(path)
    soon(lambda: not exists(there.zone(table, "a.txt")), "the file to go")
    soon(lambda: os.listdir(there.zone(table)) == [], "the listing")
    soon(lambda: not exists(row), "its row to go")


def test_a_file_that_is_renamed_moves_elsewhere(pair, table):
    """Freshness: within folders too."""
    here, there = pair
    os.makedirs(make_zone(here, table, "d", "e"))
    files.write(here.zone(table, "d", "e", "a.bin"), b"a")
    soon(lambda: content(there.zone(table, "d", "e", "a.bin")) == b"a", "the file")
    os.rename(here.zone(table, "d"), here.zone(table, "f"))
    soon(lambda: content(there.zone(table, "f", "e", "a.bin")) == b"a", "its new name")
    soon(lambda: not exists(there.zone(table, "d", "e", "a.bin")), "its old name to go")


def test_new_bytes_and_attributes_show_elsewhere(pair, table):
    """Freshness: size, bytes, mode and times, whatever was seen just before."""
    here, there = pair
    path = make_zone(here, table, "a.bin")
    seen = there.zone(table, "a.bin")
    files.write(path, b"one")
    soon(lambda: content(seen) == b"one", "the file")
    assert os.stat(seen).st_size == 3
    files.write(path, b"a longer one")
    soon(lambda: os.stat(seen).st_size == 12 and content(seen) == b"a longer one", "the bytes")
    os.chmod(path, 0o600)
    os.utime(path, (5, 5))
    soon(lambda: os.stat(seen).st_mode & 0o777 == 0o600 and os.stat(seen).st_mtime == 5,
         "the attributes")


def test_a_file_that_is_open_keeps_its_bytes_and_the_next_reader_gets_the_new_ones(pair, table):
    """Freshness: no bytes of two versions, and nothing stale for who opens it later."""
    here, there = pair
    path = make_zone(here, table, "a.bin")
    seen = there.zone(table, "a.bin")
    files.write(path, b"one" * 1000)
    soon(lambda: content(seen) == b"one" * 1000, "the file")
    with open(seen, "rb", buffering=0) as reader:
        assert reader.read(3) == b"one"
        files.write(path, b"another")
        soon(lambda: content(seen) == b"another" and os.stat(seen).st_size == 7, "the bytes")
        assert reader.read() == b"one" * 999
    assert content(seen) == b"another"


def test_options_of_a_drop_zone_count_elsewhere(pair, table):
    """Freshness; Ingest, Options of a drop zone."""
    here, there = pair
    make_zone(here, table)
    soon(lambda: exists(there.zone(table)), "the drop zone")
    files.write(there.zone(table, "a.txt"), b"x" * 100)
    files.write(here.zone(table, ".ingest.json"), b'{"chunk_size": 50, "chunk_overlap": 0}')
    soon(lambda: exists(there.zone(table, ".ingest.json")), "the options")
    files.write(there.zone(table, "b.txt"), b"x" * 100)
    assert len(there.chunks(table, "b.txt")) == 2


def test_an_index_shows_elsewhere(pair, table):
    """Freshness; Indexes."""
    here, there = pair
    os.mkdir(here.at(table))
    index = there.at(table, "indexes", "id.hash")
    soon(lambda: exists(there.at(table)) and not exists(index), "the table")
    os.mkdir(here.at(table, "indexes", "id.hash"))
    soon(lambda: exists(index), "the index")
    os.rmdir(here.at(table, "indexes", "id.hash"))
    soon(lambda: not exists(index), "the index to go")


def test_what_a_query_changes_shows_elsewhere(pair, table):
    """Freshness: whatever its statement was."""
    here, there = pair
    files.write(here.at("query.sql"), f"CREATE TABLE {table} (id int PRIMARY KEY, a text)".encode())
    soon(lambda: exists(there.at(table)), "the table")
    files.write(here.at("query.sql"), f"INSERT INTO {table} VALUES (1, 'one')".encode())
    value = there.at(table, "rows", "1", "a.txt")
    soon(lambda: content(value) == b"one", "the row")
    files.write(here.at("query.sql"), f"UPDATE {table} SET a = 'two'".encode())
    soon(lambda: content(value) == b"two", "the new value")
    files.write(here.at("query.sql"), f"DELETE FROM {table}".encode())
    soon(lambda: not exists(os.path.dirname(value)), "the row to go")
    files.write(here.at("query.sql"), f"DROP TABLE {table}".encode())
    soon(lambda: not exists(there.at(table)), "the table to go")


@pytest.mark.not_by_service("it announces nothing")
def test_commands_announce_what_they_do(pair, backend, table, work):
    """Freshness: before they end."""
    _, there = pair
    source = files.write(os.path.join(work, "a.txt"), b"hello")
    assert not exists(there.at(table))
    backend.command("ingest", table, source).ok()
    soon(lambda: content(there.zone(table, "a.txt")) == b"hello", "the file")
    backend.command("drop", table).ok()
    soon(lambda: not exists(there.at(table)) and not exists(there.zone(table)), "the drop")


@pytest.mark.not_by_service("it announces nothing")
def test_a_notification_comes_before_any_timeout(pair, table):
    """Freshness: LISTEN and NOTIFY; status.json says so."""
    here, there = pair
    make_zone(here, table)
    soon(lambda: exists(there.zone(table)), "the drop zone")
    delays = []
    for n in range(7):
        path, seen = here.zone(table, f"{n}.bin"), there.zone(table, f"{n}.bin")
        delays.append(delay(lambda p=path: files.write(p, b"a"), lambda s=seen: exists(s)))
        delays.append(delay(lambda p=path: os.unlink(p), lambda s=seen: not exists(s)))
    assert statistics.median(delays) < POLLING, delays


@pytest.mark.not_by_service("it announces nothing")
def test_many_changes_at_once_all_arrive(pair, table):
    """Freshness: announcements are taken together, and none is forgotten."""
    here, there = pair
    make_zone(here, table)
    soon(lambda: exists(there.zone(table)), "the drop zone")
    names = {f"{n:03}.bin" for n in range(300)}
    assert not any(exists(there.zone(table, name)) for name in names)
    for name in sorted(names):
        files.write(here.zone(table, name), name.encode())
    soon(lambda: set(os.listdir(there.zone(table))) == names, "the listing")
    assert all(content(there.zone(table, name)) == name.encode() for name in names)


# --- SQL ---


def test_what_sql_changes_shows_within_a_second(pair, table):
    """Freshness: what other programs do is seen by timeouts."""
    _, there = pair
    assert not exists(there.at(table))
    there.sql(f"CREATE TABLE {table} (id int PRIMARY KEY, a text)")
    there.sql(f"INSERT INTO {table} VALUES (1, 'one')")
    value = there.at(table, "rows", "1", "a.txt")
    soon(lambda: content(value) == b"one", "the row")
    there.sql(f"UPDATE {table} SET a = 'two'")
    soon(lambda: content(value) == b"two", "the new value")
    there.sql(f"DELETE FROM {table}")
    soon(lambda: not exists(os.path.dirname(value)), "the row to go")
    there.sql(f"DROP TABLE {table}")
    soon(lambda: not exists(there.at(table)) and not exists(there.zone(table)), "the drop")


# --- own changes: no waiting anywhere ---


def test_own_tables_are_seen_at_once(mount, table):
    """Freshness: this mount's own changes."""
    for _ in range(5):
        assert not exists(mount.at(table)) and not exists(mount.zone(table))
        os.mkdir(mount.at(table))
        assert exists(mount.at(table)) and exists(mount.zone(table))
        assert table in os.listdir(mount.path) and table in os.listdir(mount.at("ingest"))
        os.rmdir(mount.at(table))
        assert not exists(mount.zone(table)) and not exists(mount.at(table))
        assert table not in os.listdir(mount.at("ingest"))


def test_own_rename_of_a_table_is_seen_in_ingest_at_once(mount, table):
    """Freshness."""
    files.write(make_zone(mount, table, "a.bin"), b"a")
    new = table + "_new"
    for old, name in [(table, new), (new, table)] * 3:
        assert content(mount.zone(old, "a.bin")) == b"a" and not exists(mount.zone(name))
        os.rename(mount.at(old), mount.at(name))
        assert not exists(mount.zone(old)) and content(mount.zone(name, "a.bin")) == b"a"
        assert exists(mount.at(name, "rows", "1")) and not exists(mount.at(old))


def test_own_queries_are_seen_at_once(mount, table):
    """Freshness: CREATE, INSERT, UPDATE, DELETE, ALTER and DROP in query.sql."""
    def run(statement):
        files.write(mount.at("query.sql"), statement.encode())

    row = mount.at(table, "rows", "1")
    for _ in range(3):
        assert not exists(mount.at(table)) and not exists(mount.zone(table))
        run(f"CREATE TABLE {table} (id int PRIMARY KEY, a text)")
        assert exists(mount.at(table)) and exists(mount.zone(table)) and not exists(row)
        run(f"INSERT INTO {table} VALUES (1, 'one')")
        assert content(os.path.join(row, "a.txt")) == b"one"
        run(f"UPDATE {table} SET a = 'two'")
        assert content(os.path.join(row, "a.txt")) == b"two"
        run(f"ALTER TABLE {table} ADD b text DEFAULT 'new'")
        assert sorted(os.listdir(row)) == ["a.txt", "b.txt", "id.txt", "row.json"]
        run(f"DELETE FROM {table}")
        assert not exists(row)
        run(f"DROP TABLE {table}")
        assert not exists(mount.at(table)) and not exists(mount.zone(table))
        assert table not in os.listdir(mount.path)


def test_own_query_that_drops_an_ingested_table_empties_its_drop_zone_at_once(mount, table):
    """Freshness."""
    files.write(make_zone(mount, table, "a.bin"), b"a")
    assert exists(mount.zone(table, "a.bin"))
    files.write(mount.at("query.sql"), f"DROP TABLE {table}".encode())
    assert not exists(mount.zone(table, "a.bin")) and os.listdir(mount.zone(table)) == []


def test_own_ingests_are_seen_under_rows_at_once(mount, table):
    """Freshness: rows that come, are replaced and go; and columns that are added."""
    path = make_zone(mount, table, "a.txt")
    rows = mount.at(table, "rows")
    for n in range(5):
        files.write(path, f"text {n}".encode())
        keys = os.listdir(rows)
        assert len(keys) == 1
        assert content(os.path.join(rows, keys[0], "text.txt")) == f"text {n}".encode()
        if n > 0:
            assert not exists(former)
        former = os.path.join(rows, keys[0])
        assert exists(former)
    files.write(mount.zone(table, "b.bin"), b"other")
    keys = sorted(os.listdir(rows), key=int)
    assert content(os.path.join(rows, keys[1], "data.bin")) == b"other"
    os.unlink(path)
    assert not exists(former) and len(os.listdir(rows)) == 1


def test_an_ingest_shows_in_the_mtime_of_its_table_at_once(mount, table):
    """Namespace, Attributes: the mtime of a table is the time of its last ingest."""
    for n in range(3):
        before = time.time()
        files.write(make_zone(mount, table, f"{n}.bin"), b"a")
        assert before - 0.1 <= os.stat(mount.at(table)).st_mtime <= time.time()


def test_a_folder_in_use_stays_what_it_is(pair, table):
    """Freshness: who works in a folder that others change is not disturbed."""
    here, there = pair
    os.makedirs(make_zone(here, table, "d"))
    soon(lambda: exists(there.zone(table, "d")), "the folder")
    script = ('cd "$1" && for n in $(seq 60); do '
              '[ "$(/bin/pwd)" = "$1" ] && [ "$(readlink /proc/self/cwd)" = "$1" ] '
              '|| exit 7; ls > /dev/null; sleep 0.02; done')
    done = []
    import threading
    worker = threading.Thread(
        target=lambda: done.append(shell(script, there.zone(table, "d")).code))
    worker.start()
    n = 0
    while worker.is_alive():
        files.write(here.zone(table, "d", f"{n}.bin"), b"a")
        os.rename(here.zone(table, "d", f"{n}.bin"), here.zone(table, "d", "last.bin"))
        n += 1
    worker.join()
    assert done == [0]
    assert n > 10


# --- when notifications do not come ---


def listeners(mount):
    return [row[0] for row in mount.sql(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' "
        "AND datname = current_database()")]


@pytest.mark.not_by_service("it announces nothing")
def test_a_listener_that_was_cut_off_listens_again(pair, table):
    """Freshness: and what changed meanwhile shows within a second all the same."""
    here, there = pair
    make_zone(here, table)
    soon(lambda: exists(there.zone(table)), "the drop zone")
    before = set(listeners(here))
    assert len(before) >= 2
    for pid in before:
        here.sql("SELECT pg_terminate_backend(%s)", pid)
    assert not exists(there.zone(table, "a.bin"))
    files.write(here.zone(table, "a.bin"), b"a")
    soon(lambda: content(there.zone(table, "a.bin")) == b"a", "the file")
    wait_for(lambda: is_notified(here) and is_notified(there), 10, "notifications")
    assert not before & set(listeners(here))
    delays = []
    for n in range(5):
        path, seen = here.zone(table, f"{n}.bin"), there.zone(table, f"{n}.bin")
        delays.append(delay(lambda p=path: files.write(p, b"a"), lambda s=seen: exists(s)))
    assert statistics.median(delays) < POLLING, delays


@pytest.mark.not_by_service("it announces nothing")
def test_what_strangers_announce_does_no_harm(pair, table):
    """Freshness: anyone may announce."""
    here, there = pair
    make_zone(here, table)
    soon(lambda: exists(there.zone(table)), "the drop zone")
    channel = here.sql("SELECT 'deeplakefs_' || left(encode(sha256(%s), 'hex'), 32)",
                       here.workspace.encode())[0][0]
    for text in ["", "hello", "deeplakefs/1", "deeplakefs/1 x t:a", "x" * 7999,
                 "deeplakefs/1 0b0e7e3c-63a3-4a3a-9d9c-0f8f6b6f2a11 t:%zz", "\n\t\\'",
                 "deeplakefs/1 0b0e7e3c-63a3-4a3a-9d9c-0f8f6b6f2a11 tfr:nosuch *"]:
        here.sql("SELECT pg_notify(%s, %s)", channel, text)
    here.sql("SELECT count(pg_notify(%s, "
             "'deeplakefs/1 0b0e7e3c-63a3-4a3a-9d9c-0f8f6b6f2a11 tfr:t' || n)) "
             "FROM generate_series(1, 20000) n", channel)
    files.write(here.zone(table, "a.bin"), b"a")
    soon(lambda: content(there.zone(table, "a.bin")) == b"a", "the file")
    assert is_notified(here) and is_notified(there)


def test_a_server_that_starts_anew_is_heard_again(own_postgres, fresh_backend):
    """Freshness; When the server is away."""
    backend = fresh_backend("external")
    backend.dsn = backend.verify_dsn = own_postgres.create_database("fresh")
    here, there = Mount(backend).start(), Mount(backend).start()
    wait_for(lambda: is_notified(here) and is_notified(there), 10, "notifications")
    os.mkdir(here.zone("t"))
    soon(lambda: exists(there.zone("t")), "the drop zone")
    own_postgres.restart()
    wait_for(lambda: can_list(there) and can_list(here), 20, "the server")
    assert not exists(there.zone("t", "a.bin"))
    # A listing may still have been one from before.
    wait_for(lambda: can_write(here), 20, "the server")
    soon(lambda: content(there.zone("t", "a.bin")) == b"a", "the file")
    wait_for(lambda: is_notified(here) and is_notified(there), 10, "notifications")


def can_write(mount):
    try:
        files.write(mount.zone("t", "a.bin"), b"a")
    except OSError as error:
        assert error.errno == errno.EHOSTDOWN
        return False
    return True


def can_list(mount):
    try:
        return os.listdir(mount.zone("t")) == []
    except OSError:
        return False


def test_a_role_without_a_connection_to_spare_falls_back_to_timeouts(own_postgres, fresh_backend):
    """Freshness: where notifications cannot be had, status.json says timeouts."""
    backend = fresh_backend("external")
    dsn = own_postgres.create_database("narrow")
    backend.dsn = backend.verify_dsn = dsn
    there = Mount(backend).start()
    wait_for(lambda: is_notified(there), 10, "notifications")
    with_role = psycopg2.connect(dsn)
    with_role.autocommit = True
    cursor = with_role.cursor()
    cursor.execute("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' "
                   "AND datname = current_database()")
    listener, = cursor.fetchall()
    cursor.execute("ALTER DATABASE narrow CONNECTION LIMIT 0")
    cursor.execute("SELECT pg_terminate_backend(%s)", listener)
    wait_for(lambda: not is_notified(there), 5, "timeouts")
    with_role.close()
