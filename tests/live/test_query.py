# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Queries: a file that holds a statement, and gives its result."""

import contextlib
import json
import mmap
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import files
from support.mount import run, shell, wait_for


@pytest.fixture
def query(mount, table):
    """The query.sql of a table of this test's own; writes, reads and knows its path."""
    mount.sql(f'CREATE TABLE "{table}" (id bigint PRIMARY KEY, name text, raw bytea)')
    mount.sql(f"""INSERT INTO "{table}" SELECT n, 'name ' || n, '\\x00ff' """
              "FROM generate_series(1, 120) n")
    path = mount.at(table, "query.sql")
    wait_for(lambda: os.path.exists(path), 2, "query.sql of the new table")
    return Query(path)


class Query:
    def __init__(self, path):
        self.path = path

    def define(self, sql):
        files.write(self.path, sql)

    def read(self):
        return files.read(self.path).decode()

    def ask(self, sql):
        self.define(sql)
        return json.loads(self.read())


def test_the_default_query_of_a_table_is_its_first_rows_without_media(query):
    """Queries: SELECT * of the table, media columns left out, by key, LIMIT 100."""
    rows = json.loads(query.read())
    assert rows == [{"id": n, "name": f"name {n}"} for n in range(1, 101)]


def test_the_default_query_of_the_root_lists_tables_with_their_rows(mount, query, table):
    """Queries: at the root, the list of tables with their row counts."""
    found = json.loads(files.read(mount.at("query.sql")))
    mine = [row for row in found if table in row.values()]
    assert len(mine) == 1
    assert 120 in mine[0].values()


def test_a_written_query_is_run_at_each_open(mount, query, table):
    """Queries: a statement that only reads runs at each open()."""
    query.define(f'SELECT count(*) AS n FROM "{table}"')
    assert json.loads(query.read()) == [{"n": 120}]
    mount.sql(f'DELETE FROM "{table}" WHERE id > 7')
    assert json.loads(query.read()) == [{"n": 7}]


def test_the_result_is_an_array_with_one_row_per_line(query):
    """Queries: an array, one object per row, one row per line; no rows is []."""
    query.define("SELECT n, n * n AS square FROM generate_series(1, 3) n")
    text = query.read()
    assert json.loads(text) == [{"n": n, "square": n * n} for n in (1, 2, 3)]
    assert sum("square" in line for line in text.splitlines()) == 3
    assert max(line.count("square") for line in text.splitlines()) == 1
    assert text.endswith("\n")


def test_no_rows_is_an_empty_array(query):
    """Queries."""
    query.define("SELECT 1 AS one WHERE false")
    assert query.read().strip() == "[]"


def test_parameters_come_from_leading_comments(query):
    """Queries: leading comment lines -- $1 = "abc" give parameters as JSON values."""
    assert query.ask('-- $1 = "a \\"quoted\\" \\u00e4"\n-- $2 = 41\n-- $3 = null\n'
                     "-- $4 = true\n-- $5 = [1.5, 2]\n-- a plain comment\n"
                     "SELECT $1::text AS a, $2::int + 1 AS b, $3::text AS c, $4::bool AS d, "
                     "$5::float4[] AS e") == [
        {"a": 'a "quoted" ä', "b": 42, "c": None, "d": True, "e": [1.5, 2]}]


def test_a_parameter_is_never_pasted_into_the_statement(mount, query, table):
    """Queries: parameters are values."""
    sql = f"""-- $1 = "'; DROP TABLE \\"{table}\\"; --"\nSELECT $1::text AS a"""
    assert query.ask(sql) == [{"a": f"'; DROP TABLE \"{table}\"; --"}]
    assert mount.n_rows(table) == 120


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
def test_values_have_the_json_forms_of_postgresql(mount, query, table):
    """Queries, JSON forms."""
    name = f"{table}_type"
    mount.sql(f'CREATE TYPE "{name}" AS (n int, word text, nothing text)')
    query.define("""SELECT 1::int4 AS i, 9223372036854775807 AS big,
        12345678901234567890.0123456789::numeric AS exact, 0.1::float8 AS f, true AS b,
        'tab\t "q" \\ é 🦆' AS t, NULL::text AS nothing, '{"a": [1, null]}'::jsonb AS j,
        ARRAY[[1,2],[3,NULL]] AS grid, ARRAY['a,b', 'c"d', NULL] AS words,
        ROW(1, 'x y', NULL)::"{name}" AS composite, '2024-02-29'::date AS day,
        '2024-02-29 12:34:56.789+00'::timestamptz AT TIME ZONE 'UTC' AS stamp,
        '\\x00ff10'::bytea AS raw, 'NaN'::float8 AS nan, '-Infinity'::float8 AS minus,
        'NaN'::numeric AS nnan, int4range(1, 5) AS span,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u,
        chr(1) AS control""".replace("{name}", name))
    text = query.read()
    row = json.loads(text)[0]
    assert '"big":9223372036854775807' in text.replace(" ", "")
    assert '"exact":12345678901234567890.0123456789' in text.replace(" ", "")
    assert (row["i"], row["f"], row["b"], row["nothing"]) == (1, 0.1, True, None)
    assert row["t"] == 'tab\t "q" \\ é 🦆'
    assert row["j"] == {"a": [1, None]}
    assert row["grid"] == [[1, 2], [3, None]]
    assert row["words"] == ["a,b", 'c"d', None]
    assert row["composite"] == {"n": 1, "word": "x y", "nothing": None}
    assert (row["stamp"], row["day"]) == ("2024-02-29T12:34:56.789", "2024-02-29")
    assert row["raw"] == "AP8Q"
    assert (row["nan"], row["minus"], row["nnan"]) == ("NaN", "-Infinity", "NaN")
    assert (row["span"], row["control"]) == ("[1,5)", "\x01")
    assert row["u"] == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def test_a_row_without_a_name_is_a_string(query):
    """Queries, JSON forms: an anonymous ROW(…) is a string."""
    assert query.ask("SELECT ROW(1, 'x') AS r") == [{"r": "(1,x)"}]


def test_a_timestamp_with_time_zone_is_iso_8601(query):
    """Queries, JSON forms: timestamps ISO 8601."""
    row = query.ask("SELECT '2024-02-29 12:34:56+00'::timestamptz AS t")[0]
    assert row["t"].startswith("2024-02-29T") and row["t"][-6] in "+-"


def test_duplicate_column_names_are_numbered(query):
    """Queries, JSON forms: the later gets _2."""
    assert query.ask("SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a") == [
        {"a": 1, "a_2": 2, "b": 3, "a_3": 4}]


def test_query_jsonl_gives_one_object_per_line(mount, query, table):
    """Queries: X.jsonl beside it (found, not listed) gives the same result in that form."""
    query.define("SELECT n FROM generate_series(1, 3) n")
    text = files.read(mount.at(table, "query.jsonl")).decode()
    assert [json.loads(line) for line in text.splitlines()] == [{"n": n} for n in (1, 2, 3)]
    assert "query.jsonl" not in os.listdir(mount.at(table))


LARGE = "SELECT n, repeat('ä', 50) AS text FROM generate_series(1, 5000) n"


@pytest.mark.parametrize("script", [
    'cat "$1"', 'cp "$1" "$2/c" && cat "$2/c"', 'dd if="$1" bs=777 status=none',
    'head -c 100000000 "$1"', 'tail -c +1 "$1"', 'rsync -a "$1" "$2/r" && cat "$2/r"',
    'cat "$1" > /dev/null && tar -C "${1%/*}" -c query.sql | tar -xO',
    '/usr/bin/python3 -c "import sys; sys.stdout.write(open(sys.argv[1]).read())" "$1"',
    '/usr/bin/python3 -c "import shutil, sys; '
    'shutil.copyfile(sys.argv[1], sys.argv[2])" "$1" "$2/s" && cat "$2/s"',
    '/usr/bin/python3 -c "import mmap, sys; f = open(sys.argv[1]); '
    'm = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ); '
    'sys.stdout.buffer.write(m[:])" "$1"',
    'grep "" "$1"', 'jq -c . "$1" > /dev/null && cat "$1"', 'sed "" "$1"'],
    ids=["cat", "cp", "dd", "head", "tail", "rsync", "tar", "python", "sendfile", "mmap",
         "grep", "jq", "sed"])
def test_every_tool_reads_the_whole_result(query, work, script):
    """Queries: the result is complete at open: the size is exact; mmap and sendfile work."""
    query.define(LARGE)
    ran = shell(script, query.path, work).ok()
    assert json.loads(ran.out) == [{"n": n, "text": "ä" * 50} for n in range(1, 5001)]


def test_the_size_is_exact_after_open_and_remembered_after_close(query):
    """Queries: from then on the size is exact; before, stat gives that of the last result."""
    query.define(LARGE)
    with open(query.path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        assert len(file.read()) == size
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped.size() == size
    assert os.stat(query.path).st_size == size
    assert int(run("wc", "-c", query.path).ok().out.split()[0]) == size


def test_wc_c_is_right_without_a_read_before(query):
    """Queries: wc -c trusts the size alone."""
    query.define("SELECT repeat('x', 1000) AS x")
    assert int(run("wc", "-c", query.path).ok().out.split()[0]) == len(query.read().encode())


@pytest.mark.parametrize("sql, text", [
    ("SELEKT 1", "syntax error"), ("SELECT * FROM no_such_table", "no_such_table"),
    ("SELECT 1; SELECT 2", ""), ("", ""), ("-- $1 = {broken\nSELECT $1", ""),
    ("-- $2 = 1\nSELECT 1", "")])
def test_a_broken_statement_fails_the_writer_s_close(query, sql, text):
    """Queries, An error: the writer's close fails (EINVAL)."""
    ran = shell('cat > "$1"', query.path, stdin=sql.encode() or b"\n")
    assert ran.code != 0, f"{ran!r}"
    assert "Invalid argument" in ran.err
    reader = run("cat", query.path)
    assert reader.code != 0
    assert text in json.loads(reader.out)["error"]["message"]


def test_a_reader_of_a_failing_query_gets_the_reason_and_a_non_zero_exit(mount, query, table):
    """Queries, An error: {"error": …} as the file's text, and then EIO."""
    mount.sql(f'CREATE TABLE "{table}_gone" (n int)')
    query.define(f'SELECT n FROM "{table}_gone"')
    assert query.read().strip() == "[]"
    mount.sql(f'DROP TABLE "{table}_gone"')
    ran = run("cat", query.path)
    assert ran.code != 0
    assert "Input/output error" in ran.err
    error = json.loads(ran.out)["error"]
    assert error["sqlstate"] == "42P01"
    assert f"{table}_gone" in error["message"]
    assert {"detail", "hint", "position"} <= set(error)


def test_an_error_at_run_time_is_told_to_the_reader(query):
    """Queries, An error."""
    shell('cat > "$1"', query.path,
          stdin=b"SELECT 1 / (n - 3) AS x FROM generate_series(1, 5) n")
    ran = run("cat", query.path)
    assert ran.code != 0
    assert json.loads(ran.out)["error"]["sqlstate"] == "22012"


def test_an_update_runs_exactly_once(mount, query, table):
    """Queries: a statement that changes data runs exactly once, when its file is closed."""
    query.define(f'UPDATE "{table}" SET id = id + 1000 WHERE id <= 3 RETURNING id')
    assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE id BETWEEN 1001 AND 1003') == [(3,)]
    for _ in range(3):
        assert sorted(row["id"] for row in json.loads(query.read())) == [1001, 1002, 1003]
    run("cp", query.path, "/dev/null").ok()
    assert mount.sql(f'SELECT max(id) FROM "{table}"') == [(1003,)]


def test_a_changing_function_in_a_select_runs_exactly_once(mount, query, table):
    """Queries: which of the two it is, the server says (SQLSTATE 25006)."""
    mount.sql(f'CREATE TABLE "{table}_calls" (n int)')
    mount.sql(f'CREATE FUNCTION "{table}_call"() RETURNS int LANGUAGE sql AS '
              f'$$ INSERT INTO "{mount.workspace}"."{table}_calls" VALUES (1) RETURNING n $$')
    query.define(f'SELECT "{table}_call"() AS n')
    for _ in range(3):
        assert json.loads(query.read()) == [{"n": 1}]
    assert mount.n_rows(f"{table}_calls") == 1


def test_ddl_runs_once_and_reads_as_empty(mount, query, table):
    """Queries: a statement that gives no rows."""
    query.define(f'CREATE TABLE "{table}_new" (n int)')
    assert mount.table_exists(f"{table}_new")
    assert json.loads(query.read()) == []
    assert json.loads(query.read()) == []


def test_a_shell_redirect_with_two_commands_defines_once(mount, query, table):
    """Queries: FLUSH comes more than once from a shell; the statement still runs once."""
    shell('( printf "INSERT INTO \\"%s\\" (id) " "$2"; '
          'printf "VALUES (777) RETURNING id" ) > "$1"', query.path, table).ok()
    assert json.loads(query.read()) == [{"id": 777}]
    assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE id = 777') == [(1,)]


def test_a_read_write_handle_is_private(query):
    """Queries: write the SQL, seek to 0, read the result."""
    query.define("SELECT 'saved' AS who")
    one, two = (os.open(query.path, os.O_RDWR) for _ in range(2))
    try:
        os.pwrite(one, b"SELECT 'one' AS who", 0)
        os.pwrite(two, b"SELECT 'two' AS who", 0)
        assert json.loads(os.pread(one, 1000, 0)) == [{"who": "one"}]
        assert json.loads(os.pread(two, 1000, 0)) == [{"who": "two"}]
        assert json.loads(query.read()) == [{"who": "saved"}]
    finally:
        os.close(one)
        os.close(two)
    assert json.loads(query.read()) == [{"who": "saved"}]


def test_two_readers_each_get_their_own_result(mount, query, table):
    """Queries: one snapshot; a later open does not change what an earlier one reads."""
    query.define(f'SELECT count(*) AS n FROM "{table}"')
    with open(query.path, "rb") as first:
        mount.sql(f'DELETE FROM "{table}" WHERE id > 5')
        with open(query.path, "rb") as second:
            assert json.loads(second.read()) == [{"n": 5}]
        assert json.loads(first.read()) == [{"n": 120}]


def test_many_programs_ask_different_things_at_once(query):
    """Queries: two programs never disturb each other."""
    def ask(number):
        handle = os.open(query.path, os.O_RDWR)
        try:
            os.write(handle, f"SELECT {number} AS n, pg_sleep(0.01)::text AS s".encode())
            os.lseek(handle, 0, os.SEEK_SET)
            return json.loads(os.read(handle, 1000))[0]["n"]
        finally:
            os.close(handle)

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(64))) == list(range(64))


def test_rm_brings_the_default_back(query):
    """Queries: rm removes them; query.sql itself goes back to its default."""
    query.define("SELECT 1 AS one")
    assert json.loads(query.read()) == [{"one": 1}]
    os.unlink(query.path)
    assert len(json.loads(query.read())) == 100
    with pytest.raises(PermissionError):
        os.unlink(query.path)
    assert len(json.loads(query.read())) == 100


def test_tar_of_a_query_comes_to_an_end(query, work):
    """Queries: tar needs --overwrite for a query.sql."""
    files.write(os.path.join(work, "query.sql"), "SELECT 7 AS it")
    archive = os.path.join(work, "a.tar")
    run("tar", "-C", work, "-cf", archive, "query.sql").ok()
    folder = os.path.dirname(query.path)
    assert run("tar", "-C", folder, "-xf", archive, timeout=20).code == 2
    assert len(json.loads(query.read())) == 100
    run("tar", "-C", folder, "--overwrite", "-xf", archive, timeout=20).ok()
    assert json.loads(query.read()) == [{"it": 7}]


def test_a_name_taken_by_prepare_disturbs_nobody(mount, table):
    """Queries: what a statement does to its session stays with it."""
    mount.sql(f'CREATE TABLE "{table}" (id int PRIMARY KEY)')
    for number in range(40):
        with contextlib.suppress(OSError):  # the name may be taken by now
            files.write(mount.at("query.sql"), f"PREPARE lake_{number} AS SELECT 1")
    wait_for(lambda: os.path.isdir(mount.at(table)), 2, "the folder")
    assert os.listdir(mount.at(table, "rows")) == []
    mount.sql(f'INSERT INTO "{table}" SELECT generate_series(1, 9)')
    assert len(os.listdir(mount.at(table, "rows"))) == 9
    assert files.read(mount.at(table, "rows", "3", "id.txt")) == b"3"
    os.unlink(mount.at("query.sql"))


def test_a_definition_survives_the_mount(mount, another_mount, table):
    """Queries: saved queries last as long as the workspace's state folder does."""
    one = another_mount()
    files.write(one.at("query.sql"), "SELECT 'kept' AS it")
    one.umount().ok()
    two = another_mount(workspace=one.workspace)
    assert json.loads(files.read(two.at("query.sql"))) == [{"it": "kept"}]


def test_the_search_path_is_the_workspace(mount, query, table):
    """Queries: search_path is the workspace's schema, then public."""
    assert query.ask("SELECT current_schemas(false)::text[] AS path") == [
        {"path": [mount.workspace, "public"]}]
    assert query.ask(f'SELECT count(*) AS n FROM "{table}"') == [{"n": 120}]


def test_a_query_takes_no_more_than_its_time(mount, another_mount):
    """Queries: query_timeout bounds it, with a clear error."""
    one = another_mount(options=["-o", "query_timeout=1s"])
    ran = shell('printf "SELECT pg_sleep(30)::text AS s" > "$1"; cat "$1"', one.at("query.sql"),
                timeout=25)
    assert ran.code != 0
    assert "the query took longer than query_timeout, 1000 ms" in ran.out


def test_a_result_larger_than_the_limit_is_refused(another_mount):
    """Queries: max_result_bytes bounds it, with a clear error."""
    one = another_mount(options=["-o", "max_result_bytes=100KiB"])
    shell('printf %s "SELECT repeat(\'x\', 1000) AS x FROM generate_series(1, 1000)" > "$1"',
          one.at("query.sql"))
    ran = run("cat", one.at("query.sql"))
    assert ran.code != 0
    assert "max_result_bytes" in ran.out


def test_a_statement_over_one_mebibyte_is_refused(query):
    """Queries: one statement, at most 1 MiB."""
    ran = shell('cat > "$1"', query.path, stdin=b"SELECT 1 AS one --" + b"x" * (1 << 20))
    assert ran.code != 0


def running(mount, mark):
    return mount.sql("SELECT pid FROM pg_stat_activity WHERE query LIKE %s "
                     "AND state = 'active' AND pid <> pg_backend_pid()", f"%{mark}%")


def test_ctrl_c_cancels_on_the_server(mount, query, table):
    """Queries: Ctrl-C cancels on the server."""
    mark = f"mark_{table}"
    mount.sql(f'CREATE TABLE "{table}_delay" (seconds float8)')
    query.define(f'SELECT pg_sleep(seconds)::text AS "{mark}" FROM "{table}_delay"')
    mount.sql(f'INSERT INTO "{table}_delay" VALUES (60)')
    reader = subprocess.Popen(["cat", query.path], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: running(mount, mark), 10, "the query to run")
        started = time.monotonic()
        reader.send_signal(signal.SIGINT)
        reader.wait(10)
        wait_for(lambda: not running(mount, mark), 5, "the query to be cancelled")
        assert time.monotonic() - started < 6
    finally:
        if reader.poll() is None:
            reader.kill()
        mount.sql(f'DELETE FROM "{table}_delay"')
    assert query.read().strip() == "[]"


@pytest.mark.alone
def test_a_slow_query_does_not_hold_up_the_mount(mount, query, table):
    """Tenets: ordinary tools work, while others wait for their results."""
    mount.sql(f'CREATE TABLE "{table}_delay" (seconds float8)')
    query.define(f'SELECT pg_sleep(seconds)::text AS s FROM "{table}_delay"')
    mount.sql(f'INSERT INTO "{table}_delay" VALUES (2.5)')
    readers = [subprocess.Popen(["cat", query.path], stdout=subprocess.DEVNULL)
               for _ in range(12)]
    time.sleep(0.3)
    started = time.monotonic()
    os.listdir(mount.path)
    os.listdir(mount.at(table))
    assert time.monotonic() - started < 1.5
    for reader in readers:
        assert reader.wait(60) == 0
