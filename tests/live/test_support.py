# SPDX-License-Identifier: Apache-2.0
"""The tests' own tools: a test that stands on a broken one proves nothing."""

import time

import psycopg2
import pytest

from support import files
from support.wire import AFTER, BEFORE, Wire, nth

pytestmark = pytest.mark.needs_no_program


@pytest.mark.parametrize("length, count", [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2),
                                           (1800, 2), (1801, 3), (2600, 3), (2601, 4)])
def test_the_formula_gives_the_number_of_chunks(length, count):
    assert len(files.expected_chunks(files.text(length))) == count


def test_chunks_without_their_overlap_are_the_text_again():
    text = files.text(12345)
    chunks = files.expected_chunks(text)
    assert chunks[0] + "".join(chunk[200:] for chunk in chunks[1:]) == text
    assert all(len(chunk) == 1000 for chunk in chunks[:-1])


def test_the_same_seed_gives_the_same_file():
    assert files.text(500, 3) == files.text(500, 3) != files.text(500, 4)
    assert files.binary(500, 3) == files.binary(500, 3) != files.binary(500, 4)


@pytest.fixture
def line(postgres):
    database = "line"
    try:
        postgres.create_database(database)
    except psycopg2.errors.DuplicateDatabase:
        pass
    with Wire(postgres) as wire:
        connection = psycopg2.connect(postgres.dsn(database, wire.socket_dir))
        yield wire, connection, postgres.connect(database)


def test_the_wire_passes_on_what_it_does_not_cut(line):
    wire, through, _ = line
    cursor = through.cursor()
    cursor.execute("SELECT sum(n), max(repeat('x', 100000)) FROM generate_series(1, 1000) n")
    assert cursor.fetchone() == (500500, "x" * 100000)
    assert wire.n_lines() == 1


@pytest.mark.parametrize("verdict, n_rows", [(BEFORE, 0), (AFTER, 1)])
def test_a_commit_can_be_cut_before_and_after_it_happened(line, verdict, n_rows):
    wire, through, direct = line
    direct.cursor().execute("DROP TABLE IF EXISTS cut; CREATE TABLE cut (n int)")
    through.cursor().execute("INSERT INTO cut VALUES (1)")
    wire.cut_when(nth(1, (b"Q",), verdict, b"COMMIT"))
    with pytest.raises(psycopg2.OperationalError):
        through.commit()
    time.sleep(0.2)
    cursor = direct.cursor()
    cursor.execute("SELECT count(*) FROM cut")
    assert cursor.fetchone() == (n_rows,)


def test_a_stalled_wire_moves_again_after_resume(line):
    wire, through, _ = line
    wire.stall()
    started = time.monotonic()
    import threading
    threading.Timer(0.5, wire.resume).start()
    through.cursor().execute("SELECT 1")
    assert time.monotonic() - started > 0.4


def test_a_killed_server_starts_again_with_what_was_committed(own_postgres):
    connection = own_postgres.connect("postgres")
    connection.cursor().execute("CREATE TABLE kept AS SELECT 7 AS n")
    own_postgres.kill9()
    with pytest.raises(psycopg2.OperationalError):
        own_postgres.connect("postgres")
    own_postgres.start()
    cursor = own_postgres.connect("postgres").cursor()
    cursor.execute("SELECT n FROM kept")
    assert cursor.fetchone() == (7,)
