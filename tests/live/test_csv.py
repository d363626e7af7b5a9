# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Queries, CSV: results as records of comma-separated values."""

import csv
import io
import json
import os
import shutil
import subprocess

import pytest

from support import files
from support.mount import environment, run, shell, wait_for

psql = pytest.mark.skipif(not shutil.which("psql"), reason="no psql to compare with")

# What every type looks like, with whatever CSV could stumble over; no empty string.
VALUES = r"""
SELECT n, 9223372036854775807 - n AS big, n * 1.10::numeric AS exact, n / 7.0::float8 AS f,
    n % 2 = 0 AS flag, nullif(n, 3) AS "with ""quotes"", and comma",
    'a,b "' || n || '" ' || chr(10) || 'line' || chr(13) || chr(10) || 'é 🦆' AS "two
lines", decode('00ff' || lpad(to_hex(n), 4, '0'), 'hex') AS raw,
    json_build_object('k', ARRAY[n, NULL]) AS j, ARRAY['x,y', NULL, 'c"d'] AS words,
    '2024-02-29 12:34:56.789+00'::timestamptz + n * interval '1 hour' AS stamp,
    '\.' AS mark, ' padded ' AS padded, 'NaN'::float8 AS nan, '-infinity'::date AS never,
    ROW(n, 'x, y') AS r, chr(1) || chr(9) AS control, 1 AS n, NULL AS nothing
FROM generate_series(1, 700) n"""


@pytest.fixture
def query(mount, table):
    """A query of this test's own in the folder of a table; .sql and its neighbours."""
    mount.sql(f'CREATE TABLE "{table}" (id bigint PRIMARY KEY, word text)')
    wait_for(lambda: os.path.exists(mount.at(table, "query.sql")), 2, "the new table's query")
    return Query(mount, mount.at(table, "mine"))


class Query:
    def __init__(self, mount, stem):
        self.mount = mount
        self.sql, self.csv = stem + ".sql", stem + ".csv"

    def ask(self, sql):
        files.write(self.sql, sql)
        return files.read(self.csv)

    def as_psql(self, sql, *options):
        """What psql says to the same statement, in the same schema."""
        backend = self.mount.backend
        with backend.connect() as connection:
            dsn = connection.dsn
        ran = subprocess.run(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-d", dsn, "-c", sql],
            capture_output=True, check=True, timeout=60,
            env=environment(PGOPTIONS=f'-c search_path="{self.mount.workspace}",public',
                            PGCLIENTENCODING="UTF8"))
        return ran.stdout


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
@psql
def test_it_is_what_psql_writes_byte_for_byte(query):
    """Queries, CSV: RFC 4180 as psql --csv writes it."""
    ours = query.ask(VALUES)
    assert ours == query.as_psql(VALUES, "--csv")
    assert ours.count(b"\r\n") == 700, "only those that are in the values"


@psql
def test_copy_writes_the_same_with_empty_strings(query):
    """Queries, CSV: NULL is an empty field and an empty string is "", as COPY … CSV has them."""
    sql = ("SELECT n, CASE n % 3 WHEN 0 THEN '' WHEN 1 THEN NULL ELSE 'x' END AS t, '' AS e, "
           "NULL AS nothing FROM generate_series(1, 9) n")
    ours = query.ask(sql)
    assert ours == query.as_psql(f"COPY ({sql}) TO STDOUT (FORMAT csv, HEADER)")
    assert ours.splitlines()[1:4] == [b'1,,"",', b'2,x,"",', b'3,"","",']
    assert query.as_psql(sql, "--csv") == ours.replace(b'""', b""), "the only difference"


@psql
def test_copy_reads_back_what_was_there(query, table):
    """Queries, CSV: COPY … CSV reads it back, NULL and empty strings included."""
    query.mount.sql(f'INSERT INTO "{table}" VALUES (1, NULL), (2, $$$$), (3, $$\\.$$), '
                    "(4, $$a\"b,c$$), (5, chr(13) || chr(10)), (6, $$ $$)")
    text = query.ask(f'SELECT * FROM "{table}" ORDER BY id')
    query.mount.sql(f'CREATE TABLE "{table}_back" (LIKE "{table}")')
    with query.mount.backend.connect() as connection, connection.cursor() as cursor:
        cursor.copy_expert(f'COPY "{query.mount.workspace}"."{table}_back" FROM STDIN '
                           "(FORMAT csv, HEADER)", io.BytesIO(text))
    assert query.mount.sql(f'TABLE "{table}_back" EXCEPT TABLE "{table}"') == []
    assert query.mount.n_rows(f"{table}_back") == 6


def test_a_program_that_reads_csv_gets_the_rows(query):
    """Queries, CSV: a line of names, then one record per row."""
    text = query.ask("SELECT n, repeat('\"x,', n) || chr(10) AS t FROM generate_series(1, 3) n")
    rows = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    assert rows == [{"n": str(n), "t": '"x,' * n + "\n"} for n in (1, 2, 3)]


def test_it_is_found_and_not_listed(query):
    """Namespace: <name>.csv beside <name>.sql is found, and not listed."""
    assert not os.path.exists(query.csv)
    query.ask("SELECT 1 AS one")
    assert os.path.exists(query.csv)
    listed = os.listdir(os.path.dirname(query.csv))
    assert "mine.sql" in listed and "mine.csv" not in listed
    with pytest.raises(PermissionError):
        files.write(query.csv, "x")


def test_the_default_query_has_one_too(query, table):
    """Queries: query.csv is the default query's result."""
    query.mount.sql(f"INSERT INTO \"{table}\" VALUES (7, 'w')")
    assert files.read(query.mount.at(table, "query.csv")) == b"id,word\n7,w\n"


def test_no_rows_is_the_line_of_names(query):
    """Queries, CSV: no rows is the line of names."""
    assert query.ask('SELECT 1 AS one, 2 AS "t,wo" WHERE false') == b'one,"t,wo"\n'


def test_duplicate_names_stay_as_they_are(query):
    """Queries, CSV: names are the statement's own."""
    assert query.ask("SELECT 1 AS a, 2 AS a") == b"a,a\n1,2\n"


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
def test_a_changing_statement_has_its_result_in_every_format(query, table):
    """Queries, CSV: a statement that changes data runs once, and its result is in each form."""
    text = query.ask(f'INSERT INTO "{table}" SELECT n, CASE n WHEN 1 THEN $$$$ WHEN 2 THEN '
                     "$$a,\"b$$ || chr(10) END FROM generate_series(1, 3) n "
                     "RETURNING id, word, '\\x0001'::bytea AS raw")
    expected = b'id,word,raw\n1,"",\\x0001\n2,"a,""b\n",\\x0001\n3,,\\x0001\n'
    assert text == expected
    rows = [{"id": 1, "word": "", "raw": "AAE="}, {"id": 2, "word": 'a,"b\n', "raw": "AAE="},
            {"id": 3, "word": None, "raw": "AAE="}]
    assert json.loads(files.read(query.sql)) == rows
    lines = files.read(query.sql[:-4] + ".jsonl").decode().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert files.read(query.csv) == expected
    assert query.mount.n_rows(table) == 3


def test_a_changing_statement_without_rows_has_the_names_or_nothing(query, table):
    """Queries, CSV: a statement that gives no table is an empty file."""
    assert query.ask(f'DELETE FROM "{table}" WHERE id < 0 RETURNING id') == b"id\n"
    assert json.loads(files.read(query.sql)) == []
    assert query.ask(f'CREATE TABLE "{table}_made" (n int)') == b""
    assert query.mount.table_exists(f"{table}_made")


def peak_bytes(pid, forget=False):
    """The most memory that was resident; forget: since now (proc(5), clear_refs)."""
    if forget:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as refs:
            refs.write("5")
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def test_a_large_result_of_a_change_is_kept_in_bounded_memory(query, table):
    """Queries: a result of any size; no program holds more than a part of it."""
    n_rows = 60_000
    query.mount.sql(f'INSERT INTO "{table}" SELECT n FROM generate_series(1, {n_rows}) n')
    files.read(query.mount.at("query.sql"))
    before = peak_bytes(query.mount.daemon_pid, forget=True)
    text = query.ask(f'UPDATE "{table}" SET word = repeat($$x$$, 1000) RETURNING *')
    assert len(text) > 60_000_000
    assert text.count(b"\n") == n_rows + 1
    assert peak_bytes(query.mount.daemon_pid) - before < 40_000_000


def test_the_size_is_exact_after_open(query):
    """Queries: from open on its size is exact."""
    files.write(query.sql, VALUES)
    with open(query.csv, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        assert size == len(file.read()) > 100_000
    assert os.stat(query.csv).st_size == size


def test_a_reader_of_a_failing_query_gets_the_reason(query, table):
    """Queries, An error: the reason as the text of the file, and then EIO."""
    query.mount.sql(f'CREATE TABLE "{table}_gone" (n int)')
    assert query.ask(f'SELECT n FROM "{table}_gone"') == b"n\n"
    query.mount.sql(f'DROP TABLE "{table}_gone"')
    ran = run("cat", query.csv)
    assert ran.code != 0
    assert "Input/output error" in ran.err
    assert json.loads(ran.out)["error"]["sqlstate"] == "42P01"


def test_an_error_after_many_rows_leaves_none_of_them(query):
    """Queries, An error: a result is whole, or it is the reason."""
    shell('cat > "$1"', query.sql, stdin=b"SELECT 1 / (n - 90000) AS x "
                                         b"FROM generate_series(1, 100000) n")
    ran = run("cat", query.csv)
    assert ran.code != 0
    assert json.loads(ran.out)["error"]["sqlstate"] == "22012"


@pytest.mark.not_by_service("values look otherwise, and what is too large to tell is done all the same")
def test_a_result_larger_than_the_limit_is_refused(another_mount):
    """Queries: max_result_bytes bounds it, to the byte, and a change is undone with it."""
    one = another_mount(options=["-o", "max_result_bytes=10004"])
    value = "decode(repeat('ab', %d), 'hex')"
    files.write(one.at("fits.sql"), f"SELECT {value % 4998} AS abcd")
    assert len(files.read(one.at("fits.csv"))) == 10004
    files.write(one.at("large.sql"), f"SELECT {value % 4999} AS abcd")
    assert len(files.read(one.at("large.sql"))) < 10004
    ran = run("cat", one.at("large.csv"))
    assert ran.code != 0
    assert "max_result_bytes" in ran.out

    one.sql("CREATE TABLE changed (abcd bytea)")
    change = f"INSERT INTO changed VALUES ({value}) RETURNING abcd"
    files.write(one.at("change.sql"), change % 4998)
    assert len(files.read(one.at("change.csv"))) == 10004
    refused = shell('cat > "$1"', one.at("change.sql"), stdin=(change % 4999).encode())
    assert refused.code != 0
    assert "File too large" in refused.err
    assert one.n_rows("changed") == 1


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
@psql
def test_the_command_prints_the_same(query):
    """Queries: the command line does the same."""
    ran = query.mount.backend.command("query", "--csv", VALUES,
                                      workspace=query.mount.workspace).ok()
    assert ran.out_bytes == query.as_psql(VALUES, "--csv")


def test_the_command_takes_one_format(query):
    """Queries: a result has one format."""
    ran = query.mount.backend.command("query", "--csv", "--jsonl", "SELECT 1")
    assert ran.code == 1
    assert ran.out == ""
    assert "--csv" in ran.err and "--jsonl" in ran.err
