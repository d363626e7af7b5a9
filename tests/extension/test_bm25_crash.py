# SPDX-License-Identifier: Apache-2.0
"""bm25 after kill -9 at any moment, on a standby, and with many at it at once."""

import random
import threading
import time

import psycopg2
import pytest

TEXT = "'alpha w' || n % 101 || ' v' || n % 7 || ' ' || repeat('u' || n || ' ', n % 20)"


def prepare(db, n_rows=3000):
    db.sql("CREATE TABLE d (id int, t text)")
    db.sql(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, {n_rows}) n")
    create(db)


def create(db):
    db.sql("CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25')")


def verify(db, connection=None):
    """The index is whole, and has what the table has."""
    db.sql("SELECT deeplake_index_check('i')", connection=connection)
    compare(db, connection)


def compare(db, connection=None):
    for word in ("alpha", "w7", "v3"):
        found, there = db.sql(f"""SELECT
            (SELECT array_agg(d.id ORDER BY d.id) FROM deeplake_bm25_entries('i', '{word}') e
                JOIN d ON d.ctid = e.tid WHERE e.score IS NOT NULL),
            (SELECT array_agg(id ORDER BY id) FROM d WHERE t ~ '\\m{word}\\M')""",
            connection=connection)[0]
        assert found == there, f"{word}: the index has other rows than the table"


def restart(server, db):
    db.close()  # its connections do not know yet that the server is gone
    server.start()


def run_until_killed(server, db, work, seconds):
    """Calls work(connection, n) again and again, and kills the server meanwhile."""
    connection = db.connect()
    said = []

    def loop():
        try:
            for n in range(1000000):
                work(connection, n)
                said.append(n)
        except psycopg2.Error as error:
            said.append(error)

    thread = threading.Thread(target=loop)
    thread.start()
    time.sleep(seconds)
    server.kill9()
    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(said[-1], (psycopg2.OperationalError, psycopg2.InterfaceError)), said[-1]
    restart(server, db)
    return said[:-1]


def works():
    def build(connection, n):
        connection.cursor().execute(
            "REINDEX INDEX i" if n % 2 else "REINDEX INDEX CONCURRENTLY i")

    def insert(connection, n):
        connection.cursor().execute(f"""INSERT INTO d SELECT n, {TEXT}
            FROM generate_series({n * 40 + 10000}, {n * 40 + 10039}) n""")

    def vacuum(connection, n):
        cursor = connection.cursor()
        cursor.execute(f"UPDATE d SET t = t || ' x{n}' WHERE id % 13 = {n % 13}")
        # One that takes several pages while it is pending.
        cursor.execute("DELETE FROM d WHERE id = 77777")
        cursor.execute("""INSERT INTO d SELECT 77777, string_agg(md5(n::text), ' ')
            FROM generate_series(1, 3000) n""")
        if n % 2:
            cursor.execute("DELETE FROM d WHERE id = 77777")
        cursor.execute("VACUUM (INDEX_CLEANUP ON) d")

    def merge(connection, n):
        cursor = connection.cursor()
        cursor.execute(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, 300) n")
        cursor.execute("SELECT deeplake_index_merge('i')")

    return {"build": build, "insert": insert, "vacuum": vacuum, "merge": merge}


@pytest.mark.parametrize("work", ["build", "insert", "vacuum", "merge"])
def test_kill_9(own_server, own_db, work):
    prepare(own_db)
    generator = random.Random(work)
    for _ in range(3):
        done = run_until_killed(
            own_server, own_db, works()[work], generator.uniform(0.3, 1.5))
        if work == "insert" and done:
            # What was said to be there is there.
            last = done[-1] * 40 + 10039
            assert own_db.value("SELECT count(*) FROM d WHERE id = %s", (last,)) >= 1
            own_db.sql("DELETE FROM d WHERE id >= 10000")
        own_db.sql("DROP INDEX IF EXISTS i_ccnew, i_ccnew1, i_ccold")
        verify(own_db)
        own_db.sql("VACUUM d")
        verify(own_db)
        own_db.sql("SELECT deeplake_index_merge('i')")
        verify(own_db)


@pytest.mark.parametrize("settings", [
    {"wal_consistency_checking": "all"}, {"wal_level": "minimal", "max_wal_senders": 0}])
def test_what_is_replayed_is_what_was_written(server_with, settings):
    """Page by page, as the server itself compares them; and with a WAL that leaves out what is
    made in the transaction that made the table."""
    with server_with(**settings) as (server, db):
        db.sql("CHECKPOINT; BEGIN")
        prepare(db)
        db.sql("CREATE TABLE o (id int, e float4[], j jsonb, t text)")
        db.sql("CREATE INDEX o_id ON o USING deeplake_index (id);"
               " CREATE INDEX o_e ON o USING deeplake_index (e);"
               " CREATE INDEX o_j ON o USING deeplake_index (j);"
               " CREATE INDEX o_t ON o USING deeplake_index (t) WITH (index_type = exact_text)")
        fill = """INSERT INTO o SELECT n, ARRAY[n, 1], jsonb_build_object('n', n), 'x' || n
            FROM generate_series(1, 1000) n"""
        db.sql(fill)
        db.sql("INSERT INTO d SELECT n, 'alpha ' || n FROM generate_series(1, 4000) n")
        db.sql("COMMIT")
        for _ in range(2):
            server.kill9()
            restart(server, db)
            assert "inconsistent page" not in server.read_log()
            db.sql("DROP INDEX IF EXISTS i_ccnew, i_ccnew1, i_ccold")
            verify(db)
            for column in ("id", "e", "j", "t"):
                db.sql(f"SELECT deeplake_index_check('o_{column}')")
            for n in range(2):
                for work in works().values():
                    work(db.connection, n)
                db.sql("INSERT INTO d VALUES (1, NULL)")
                db.sql(fill + "; DELETE FROM o WHERE id % 7 = 1")
                db.sql("VACUUM (INDEX_CLEANUP ON) o")


def test_an_unlogged_index_is_empty_after_a_crash(own_server, own_db):
    own_db.sql("CREATE UNLOGGED TABLE d (id int, t text)")
    own_db.sql(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, 2000) n")
    create(own_db)
    own_db.sql("CHECKPOINT")
    own_server.kill9()
    restart(own_server, own_db)
    assert own_db.value("SELECT deeplake_index_check('i')") == 0
    own_db.sql(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, 2000) n")
    verify(own_db)


def test_a_cancelled_merge_leaves_the_index_as_it_was(own_db):
    prepare(own_db, 30000)
    other = own_db.connect(statement_timeout="15ms")
    n_cancelled = 0
    for n in range(20):
        own_db.sql(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, 100) n")
        try:
            own_db.sql("SELECT deeplake_index_merge('i')", connection=other)
        except psycopg2.errors.QueryCanceled:
            n_cancelled += 1
    assert n_cancelled > 0
    verify(own_db)
    own_db.sql("VACUUM d")
    own_db.sql("SELECT deeplake_index_merge('i')")
    verify(own_db)
    assert own_db.value("SELECT n_segments FROM deeplake_bm25_statistics('i')") == 1


def test_an_interrupted_vacuum_leaves_a_long_pending_document_dead(db):
    """VACUUM had come to some of its pages: what the others hold belongs to no other row."""
    db.sql("CREATE TABLE d (id int, t text)")
    create(db)
    db.sql("INSERT INTO d VALUES (1, 'lake one')")
    db.sql("""INSERT INTO d SELECT 2, string_agg(md5(n::text) || ' lake', ' ')
        FROM generate_series(1, 10000) n""")
    db.sql("DELETE FROM d WHERE id = 2")
    slow = db.connect(vacuum_cost_delay="20ms", vacuum_cost_limit="1", statement_timeout="500ms")
    error = db.error("VACUUM (INDEX_CLEANUP ON) d", connection=slow)
    assert error.pgcode == "57014" and 'vacuuming index "i"' in error.diag.context
    db.sql("INSERT INTO d VALUES (3, 'lake lake')")
    assert db.value("SELECT deeplake_index_check('i')") == 2
    db.sql("SELECT deeplake_index_merge('i')")
    assert db.value("SELECT deeplake_index_check('i')") == 2
    tokens = db.value("SELECT n_tokens FROM deeplake_bm25_statistics('i')")
    assert tokens == 4
    assert [score is not None for _, score in
            db.sql("SELECT * FROM deeplake_bm25_entries('i', 'lake')")] == [True, True]


def test_an_interrupted_vacuum_of_the_first_pending_document(db):
    db.sql("CREATE TABLE d (id int, t text)")
    create(db)
    db.sql("""INSERT INTO d SELECT 2, string_agg(md5(n::text), ' ')
        FROM generate_series(1, 10000) n""")
    db.sql("DELETE FROM d")
    slow = db.connect(vacuum_cost_delay="20ms", vacuum_cost_limit="1", statement_timeout="500ms")
    error = db.error("VACUUM (INDEX_CLEANUP ON) d", connection=slow)
    assert error.pgcode == "57014" and 'vacuuming index "i"' in error.diag.context
    db.sql("SELECT deeplake_index_merge('i')")
    assert db.value("SELECT deeplake_index_check('i')") == 0


def test_many_write_and_read_at_once(own_db):
    prepare(own_db, 2000)
    stop = threading.Event()
    failures = []

    def started(function, *arguments):
        def run():
            connection = own_db.connect()
            try:
                while not stop.is_set():
                    function(connection, *arguments)
            except Exception as error:
                failures.append(repr(error))
                stop.set()
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def write(connection, number):
        generator = random.Random()
        cursor = connection.cursor()
        first = generator.randrange(100000)
        cursor.execute(f"""INSERT INTO d SELECT n * 4 + {number}, {TEXT}
            FROM generate_series({first}, {first + generator.randrange(150)}) n""")
        cursor.execute(f"DELETE FROM d WHERE id % 4 = {number} AND id % 5 = {first % 5}")
        cursor.execute(
            f"UPDATE d SET t = t || ' z' WHERE id % 4 = {number} AND id % 17 = {first % 17}")

    def read(connection):
        cursor = connection.cursor()
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        compare(own_db, connection)
        cursor.execute("COMMIT")

    def tidy(connection):
        cursor = connection.cursor()
        cursor.execute("VACUUM d")
        cursor.execute("SELECT deeplake_index_merge('i')")
        time.sleep(0.2)

    threads = [started(write, number) for number in range(4)]
    threads += [started(read), started(read), started(tidy)]
    stop.wait(12)
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []
    verify(own_db)


def test_a_standby_answers_the_same(own_server, own_db):
    prepare(own_db)
    standby = own_server.standby()
    try:
        standby.start()
        connection = psycopg2.connect(standby.dsn(own_db.name))
        connection.autocommit = True
        for n in range(4):
            own_db.sql(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, 1500) n")
            own_db.sql(f"DELETE FROM d WHERE id % 9 = {n}")
            if n % 2:
                own_db.sql("VACUUM d")
            if n == 3:
                own_db.sql("SELECT deeplake_index_merge('i')")
            own_server.wait_for_replay(standby)
            verify(own_db, connection)
            for query in ("alpha w5", "v2 w11 u40"):
                search = f"SELECT * FROM deeplake_bm25_entries('i', '{query}')"
                assert own_db.sql(search) == own_db.sql(search, connection=connection)
        error = own_db.error("SELECT deeplake_index_merge('i')", connection=connection)
        assert error.pgcode == "25006"
        connection.close()
    finally:
        standby.destroy()


def test_a_standby_reads_while_the_primary_merges(own_server, own_db):
    """Never other rows: at worst an error that says to try again."""
    prepare(own_db)
    standby = own_server.standby()
    stop = threading.Event()

    def write():
        connection = own_db.connect()
        cursor = connection.cursor()
        n = 0
        while not stop.is_set():
            cursor.execute(f"UPDATE d SET t = t || ' y' WHERE id % 3 = {n % 3}")
            cursor.execute("VACUUM d")
            cursor.execute("SELECT deeplake_index_merge('i')")
            n += 1

    try:
        standby.start()
        connection = psycopg2.connect(standby.dsn(own_db.name))
        connection.autocommit = True
        thread = threading.Thread(target=write)
        thread.start()
        n_right = 0
        deadline = time.monotonic() + 8
        try:
            while time.monotonic() < deadline:
                try:
                    connection.cursor().execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                    compare(own_db, connection)
                    n_right += 1
                except psycopg2.Error as error:
                    assert error.pgcode in ("40001", "40P01"), error
                    if connection.closed:
                        connection = psycopg2.connect(standby.dsn(own_db.name))
                        connection.autocommit = True
                if not connection.closed:
                    connection.cursor().execute("ROLLBACK")
        finally:
            stop.set()
            thread.join(60)
        assert n_right > 0
        connection.close()
    finally:
        standby.destroy()


def test_a_long_scan_on_a_standby_is_told_to_try_again(own_server, own_db):
    """The primary does not wait for it, and uses the pages that it still wants anew."""
    prepare(own_db)
    standby = own_server.standby()
    try:
        standby.start()
        connection = psycopg2.connect(standby.dsn(own_db.name))
        cursor = connection.cursor()
        cursor.execute("""DECLARE c CURSOR FOR
            SELECT id, t <#> 'alpha' AS score FROM d ORDER BY score DESC""")
        cursor.execute("FETCH 5 FROM c")
        assert len(cursor.fetchall()) == 5
        for _ in range(6):
            own_db.sql(f"INSERT INTO d SELECT n, {TEXT} FROM generate_series(1, 1500) n")
            own_db.sql("SELECT deeplake_index_merge('i')")
        own_server.wait_for_replay(standby)
        with pytest.raises(psycopg2.errors.SerializationFailure) as failure:
            cursor.execute("FETCH ALL FROM c")
        assert "again" in failure.value.diag.message_hint
        connection.rollback()
        cursor.execute("SELECT count(*) FROM (SELECT id FROM d ORDER BY t <#> 'alpha' DESC) s")
        assert cursor.fetchone()[0] == 12000
        connection.close()
    finally:
        standby.destroy()
