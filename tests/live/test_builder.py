# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Queries, Builder: the specification's fluent queries as a path."""

import errno
import json
import os
import signal
import subprocess
import time
from urllib.parse import quote

import pytest

from support import files
from support.fixtures import new_database
from support.mount import Backend, Mount, run, wait_for

N_ROWS = 120


@pytest.fixture
def videos(mount, table):
    """A table with segments of two files; its folder."""
    make(mount, table)
    folder = mount.at(table)
    wait_for(lambda: os.path.isdir(folder), 2, "the new table")
    return folder


def make(mount, table):
    name = table.replace('"', '""')
    mount.sql(f'CREATE TABLE "{name}" (id bigint PRIMARY KEY, file_id text, '
              'start_time float8, text text, "Odd name" int)')
    # psycopg2 is given no parameters, so % stands for itself.
    mount.sql(f"""INSERT INTO "{name}" SELECT n, CASE WHEN n % 2 = 0 THEN 'abc' ELSE 'it''s' END,
              n, 'deep/100% ' || n, -n FROM generate_series(1, {N_ROWS}) n""")


def path_of(folder, *parts, results="results.json"):
    return os.path.join(folder, *parts, results)


def ask(folder, *parts, **more):
    return json.loads(files.read(path_of(folder, *parts, **more)))


def ids(folder, *parts):
    return [row["id"] for row in ask(folder, ".select/id", ".order_by/id", *parts)]


def refused(folder, *parts):
    """What cat shows of a query that is wrong; it fails with EIO after that."""
    ran = run("cat", path_of(folder, *parts))
    assert ran.code != 0
    assert "Input/output error" in ran.err
    return json.loads(ran.out)["error"]


def test_every_method_in_one_path(videos):
    """Queries, Builder: the methods of the specification."""
    assert ask(videos, ".select/id,text", ".where/start_time > 60", ".where/file_id = 'abc'",
               ".order_by/start_time ASC", ".limit/3", ".offset/2") == [
        {"id": n, "text": f"deep/100% {n}"} for n in (66, 68, 70)]


def test_methods_come_in_any_order(videos):
    """Queries, Builder: any of them, in any order."""
    assert ask(videos, ".offset/1", ".limit/2", ".order_by/id DESC", ".where/id < 10",
               ".select/id") == [{"id": 8}, {"id": 7}]


def test_without_a_method_all_rows_are_given(videos):
    """Queries, Builder: results.json in the table's folder is the whole table, all columns."""
    rows = ask(videos)
    assert len(rows) == N_ROWS
    assert sorted(rows[0]) == sorted(["id", "file_id", "start_time", "text", "Odd name"])


def test_a_saved_query_of_that_name_comes_first(mount, videos):
    """Queries, Builder: unless there is a query results.sql."""
    assert len(ask(videos)) == N_ROWS
    files.write(os.path.join(videos, "results.sql"), "SELECT 1 AS mine")
    assert ask(videos) == [{"mine": 1}]
    os.unlink(os.path.join(videos, "results.sql"))
    assert len(ask(videos)) == N_ROWS


def test_conditions_are_joined_by_and_and_keys_follow_each_other(videos):
    """Queries, Builder: several .where are joined by AND, several .order_by follow."""
    assert ids(videos, ".where/id = 1 OR id = 2", ".where/id = 2 OR id = 3") == [2]
    rows = ask(videos, ".select/id", ".order_by/file_id DESC", ".order_by/id DESC", ".limit/2")
    assert rows == [{"id": 119}, {"id": 117}]


def test_a_plain_name_is_a_column_and_anything_else_an_expression(videos):
    """Queries, Builder: plain names and expressions."""
    assert ask(videos, '.select/id,"Odd name",upper(file_id) AS Big,count(*) OVER () AS "n, all"',
               ".limit/1", ".order_by/lower(text) DESC NULLS LAST, id") == [
        {"id": 99, "Odd name": -99, "Big": "IT'S", "n, all": N_ROWS}]
    assert ask(videos, ".select/count(*)") == [{"count": N_ROWS}]
    assert sorted(ask(videos, ".select/*", ".limit/1")[0])[0] == "Odd name"


def test_parameters_are_values(videos):
    """Queries, Builder: .param gives a parameter of the condition before it."""
    assert ids(videos, ".where/file_id = $1 AND id < $2", ".param/it's", ".param/6") == [1, 3, 5]
    assert ids(videos, ".where/file_id = $1", ".param/abc", ".where/id = $1", ".param/4") == [4]
    assert ids(videos, ".where/file_id = $1", ".param/' OR true --") == []


def test_a_param_stands_only_after_its_condition(videos):
    """Queries, Builder: elsewhere there is none."""
    for parts in ([".param/x"], [".limit/1", ".param/x"], [".select/id", ".param/x"]):
        with pytest.raises(FileNotFoundError):
            ask(videos, *parts)
    assert "up to $1, and 0 .param" in refused(videos, ".where/id = $1")["message"]
    assert "up to $0, and 1 .param" in refused(videos, ".where/id = 1", ".param/1")["message"]


def test_parts_are_percent_encoded(videos):
    """Queries, Builder: %2F is a slash, %25 a percent sign; any byte can be written so."""
    assert ids(videos, ".where/text = 'deep%2F100%25 7'") == [7]
    assert ids(videos, ".where/text LIKE '%25 11%25'") == [11] + list(range(110, 120))
    for condition in ("text = 'deep/100% 7'", "id = 7 /* ü🦆 */", "\"id\"=7"):
        assert ids(videos, ".where/" + quote(condition, safe="")) == [7]
    assert ids(videos, ".where/file_id <> $1 AND id < 2", ".param/%2E%2E") == [1]


def test_a_percent_sign_alone_is_refused_with_a_hint(videos):
    """Queries, Builder: a % that encodes nothing is refused."""
    for part in ("text LIKE '%machine%'", "id = 7%", "id = 7%2", "id = '%ff'", "id = 7%00"):
        assert "%25" in refused(videos, ".where/" + part)["hint"]


def test_quotes_and_unicode(mount, videos, table):
    """Queries, Builder: values are taken as they are written."""
    mount.sql(f"""UPDATE "{table}" SET text = 'Ŝtono "🦆" \\ it''s' WHERE id = 5""")
    for condition in ("text = 'Ŝtono \"🦆\" \\ it''s'", "text = E'Ŝtono \"🦆\" \\\\ it\\'s'",
                      "text = $$Ŝtono \"🦆\" \\ it's$$", "text = $ŝ$Ŝtono \"🦆\" \\ it's$ŝ$"):
        assert ids(videos, ".where/" + condition) == [5]
    assert ids(videos, ".where/text = $1", ".param/Ŝtono \"🦆\" \\ it's") == [5]


HOSTILE = [
    "1=1) ; DROP TABLE {t}; --", "1=1; DROP TABLE {t}", "1=1 -- ", "1=1 /* ", "1=1) OR (1=1",
    "$$", "$a$ $b$", "id = E'\\'", "id = E'x'\n'\\') OR ('a' = 'a'", "'", "\"", "(", "id[1)",
    "1=1 /* /* */", "1E'\\'", "id = 1, true", " ",
]


def test_a_condition_stays_within_itself(mount, videos, table):
    """Queries, Builder: an expression closes what it opens, and goes no further."""
    for part in HOSTILE:
        part = part.format(t=f'"{table}"').replace("/", "%2F")
        error = refused(videos, ".where/" + part, ".limit/1")
        # Told by the mount, before a server was asked.
        assert error["sqlstate"] is None, part
        assert ".where/" in error["message"]
    assert mount.n_rows(table) == N_ROWS


def test_lists_stay_within_themselves(mount, videos, table):
    """Queries, Builder: neither columns nor keys say anything about the rest."""
    for parts in ([".select/id FROM pg_class UNION SELECT id"], [".select/1 INTO made"],
                  [".order_by/id LIMIT 1"], [".order_by/id FOR UPDATE"],
                  [".select/id; DROP TABLE x"], [".select/id) --"], [".select/id,"]):
        assert refused(videos, *parts)["message"]
    assert len(ask(videos, ".order_by/id")) == N_ROWS


def test_nothing_is_changed(mount, videos, table):
    """Queries, Builder: read only, whatever an expression calls."""
    name = f"{table}_change"
    mount.sql(f"""CREATE FUNCTION "{name}"() RETURNS bool LANGUAGE sql AS
              'DELETE FROM "{table}" RETURNING true'""")
    assert refused(videos, f'.where/"{name}"()')["sqlstate"] == "25006"
    assert mount.n_rows(table) == N_ROWS


def test_a_wrong_number_is_refused_with_the_reason(videos):
    """Queries, Builder: .limit and .offset are whole numbers from 0 on."""
    for value in ("abc", "-1", "1.5", " 1", "+1", "ALL", "9223372036854775808"):
        for method in (".limit", ".offset"):
            error = refused(videos, f"{method}/{value}")
            assert f"{method}/{value}: it is not a whole number" in error["message"]


def test_zero_rows(videos):
    """Queries, Builder."""
    assert files.read(path_of(videos, ".limit/0")) == b"[]\n"
    assert files.read(path_of(videos, ".offset/1000")) == b"[]\n"


def test_what_there_is_one_of_is_given_once(videos):
    """Queries, Builder: .select, .limit and .offset once."""
    for part in (".select/id", ".limit/1", ".offset/1"):
        assert "second time" in refused(videos, part, ".where/true", part)["message"]


def test_a_wrong_column_is_told_as_queries_tell_it(videos):
    """Queries, An error: JSON as the text, and then EIO."""
    error = refused(videos, ".select/nothing")
    assert error["sqlstate"] == "42703"
    assert "nothing" in error["message"]
    assert set(error) == {"class", "sqlstate", "message", "detail", "hint", "position"}


def test_other_forms_of_the_result(videos):
    """Queries, Builder: results.jsonl, results.csv, the statement in results.sql.text."""
    parts = [".where/id < $1", ".param/3", ".select/id", ".order_by/id"]
    lines = files.read(path_of(videos, *parts, results="results.jsonl")).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"id": 1}, {"id": 2}]
    lines = files.read(path_of(videos, *parts, results="results.csv")).decode().splitlines()
    assert lines == ["id", "1", "2"]

    text = files.read(path_of(videos, *parts, results="results.sql.text"))
    files.write(os.path.join(videos, "query.sql"), text)
    assert ask(videos, results="query.sql") == [{"id": 1}, {"id": 2}]


def test_the_result_is_complete_and_its_size_exact_after_open(videos, work):
    """Queries: the result is complete when open() returns."""
    path = path_of(videos, ".where/id > 10")
    with open(path, "rb") as result:
        size = os.fstat(result.fileno()).st_size
        assert len(result.read()) == size > 1000
    assert os.stat(path).st_size == size
    target = os.path.join(work, "copy.json")
    for command in (["cp", path, target], ["rsync", path, target], ["dd", f"if={path}",
                                                                   f"of={target}"]):
        run(*command).ok()
        assert len(json.loads(files.read(target))) == 110
        os.unlink(target)


def test_each_open_asks_again(mount, videos, table):
    """Queries: it runs again at each open()."""
    assert len(ask(videos, ".where/id <= 10")) == 10
    mount.sql(f'DELETE FROM "{table}" WHERE id <= 4')
    assert len(ask(videos, ".where/id <= 10")) == 6
    with open(path_of(videos, ".select/id", ".where/id <= 6"), "rb") as first:
        mount.sql(f'DELETE FROM "{table}" WHERE id = 6')
        assert ids(videos, ".where/id <= 6") == [5]
        assert len(json.loads(first.read())) == 2


def test_builder_folders_are_found_and_not_listed(videos):
    """Queries, Builder: found, and not listed; a value's folder shows what may follow."""
    assert not [name for name in os.listdir(videos) if name.startswith((".", "results"))]
    for method in (".select", ".where", ".order_by", ".limit", ".offset", ".search"):
        assert os.path.isdir(os.path.join(videos, method))
        assert os.listdir(os.path.join(videos, method)) == []
    methods = {".select", ".where", ".order_by", ".limit", ".offset", ".search"}
    results = {name for name in os.listdir(os.path.join(videos, ".limit/1"))
               if not name.startswith(".")}
    assert results == {f"results.{form}" for form in ("csv", "json", "jsonl", "sql.text")}
    assert set(os.listdir(os.path.join(videos, ".limit/1"))) == methods | results
    assert set(os.listdir(os.path.join(videos, ".where/true"))) == (
        methods | results | {".param"})
    assert "results.json" in run("find", os.path.join(videos, ".where/true")).ok().out
    for name in (".having", ".SELECT", "results.xml", "results"):
        assert not os.path.lexists(os.path.join(videos, name))
        assert not os.path.lexists(os.path.join(videos, ".limit/1", name))


def test_nothing_there_can_be_changed(mount, videos, table):
    """Queries, Builder: read only."""
    folder = os.path.join(videos, ".limit/1")
    for change in (lambda: files.write(os.path.join(folder, "results.json"), "x"),
                   lambda: files.write(os.path.join(folder, "new.sql"), "SELECT 1"),
                   lambda: os.unlink(os.path.join(folder, "results.json")),
                   lambda: os.mkdir(os.path.join(folder, "new")),
                   lambda: os.rmdir(folder),
                   lambda: os.rename(folder, os.path.join(videos, ".limit/2")),
                   lambda: os.rmdir(os.path.join(videos, ".limit"))):
        with pytest.raises(PermissionError):
            change()
    run("rm", "-rf", os.path.join(videos, ".where"))
    assert mount.n_rows(table) == N_ROWS


def test_a_name_that_is_not_utf_8(videos):
    """Queries, Builder: EILSEQ."""
    with pytest.raises(OSError) as caught:
        os.stat(os.fsencode(videos) + b"/.where/\xff")
    assert caught.value.errno == errno.EILSEQ


def test_a_part_longer_than_a_name_can_be(videos):
    """Queries, Builder: ENAMETOOLONG."""
    assert ids(videos, ".where/id = 1 " + " " * 900) == [1]
    with pytest.raises(OSError) as caught:
        ask(videos, ".where/id = 1 " + " " * 5000)
    assert caught.value.errno == errno.ENAMETOOLONG


def test_long_paths(videos):
    """Queries, Builder: as long as paths can be."""
    parts = [f".where/id <> {n}" for n in range(2, N_ROWS + 1)]
    parts += [".where/" + "id=1 OR " * 20 + "id = 1"] * 10
    assert 3500 < len(path_of(videos, *parts)) < 4096
    assert ids(videos, *parts) == [1]
    condition = "id = 1 OR id IN (" + ",".join(str(n) for n in range(1000, 1045)) + ")"
    assert 200 < len(condition) < 256
    assert ids(videos, ".where/" + condition) == [1]


def test_the_depth_is_bounded(videos):
    """Queries, Builder: at most 500 parts."""
    at = os.open(videos, os.O_PATH)
    reached = 0
    try:
        with pytest.raises(OSError) as caught:
            for _ in range(10000):
                below = os.open(".where/true", os.O_PATH, dir_fd=at)
                os.close(at)
                at = below
                reached += 1
        assert (caught.value.errno, reached) == (errno.ENAMETOOLONG, 500)
        result = os.open("results.jsonl", os.O_RDONLY, dir_fd=at)
        assert os.read(result, 1 << 20).count(b"\n") == N_ROWS
        os.close(result)
    finally:
        os.close(at)


def test_a_view_has_it_too(mount, videos, table):
    """Queries, Builder: of tables and views."""
    mount.sql(f'CREATE VIEW "{table}_view" AS SELECT id, -id AS minus FROM "{table}"')
    view = mount.at(f"{table}_view")
    wait_for(lambda: os.path.isdir(view), 2, "the view")
    try:
        assert ask(view, ".where/minus < -119") == [{"id": 120, "minus": -120}]
    finally:
        mount.sql(f'DROP VIEW "{table}_view"')


@pytest.mark.parametrize("name, shown", [
    ("{t} 'x' \"y\" ü", "{t} 'x' \"y\" ü"), ("{t}%a/b", "{t}%25a%2Fb"), (".where {t}", ".where {t}"),
    ("{t}.sql", None)])
def test_tables_with_odd_names(mount, table, name, shown):
    """Queries, Builder; Names."""
    name = name.format(t=table)
    shown = shown.format(t=table) if shown else f"%{ord(name[0]):02X}{name[1:]}"
    make(mount, name)
    wait_for(lambda: os.path.isdir(mount.at(shown)), 2, "the table")
    assert ids(mount.at(shown), ".where/id <= 2") == [1, 2]


def test_a_renamed_and_a_dropped_table(mount, videos, table):
    """Queries, Builder; Tables."""
    assert ids(videos, ".where/id = 1") == [1]
    os.rename(videos, mount.at(f"{table}_new"))
    assert ids(mount.at(f"{table}_new"), ".where/id = 1") == [1]
    os.rmdir(mount.at(f"{table}_new"))
    with pytest.raises(FileNotFoundError):
        ids(mount.at(f"{table}_new"), ".where/id = 1")


def test_a_read_only_mount_has_it_too(mount, another_mount, videos, table):
    """Queries, Builder; Tables: a mount with -o ro refuses changes, and nothing else."""
    one = another_mount(workspace=mount.workspace, options=["-o", "ro"])
    assert ids(one.at(table), ".where/id = 1") == [1]


def running(mount, mark):
    return mount.sql("SELECT pid FROM pg_stat_activity WHERE query LIKE %s "
                     "AND state = 'active' AND pid <> pg_backend_pid()", f"%{mark}%")


def test_ctrl_c_cancels_on_the_server(mount, videos, table):
    """Queries: Ctrl-C cancels it on the server."""
    mark = f"mark_{table}"
    path = path_of(videos, f'.select/pg_sleep(id)::text AS "{mark}"', ".where/id > 60")
    reader = subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL,
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


def test_limits_of_queries_hold(another_mount, mount, videos, table):
    """Queries: query_timeout and max_result_bytes bound a query."""
    one = another_mount(workspace=mount.workspace,
                        options=["-o", "query_timeout=1s,max_result_bytes=1KiB"])
    folder = one.at(table)
    assert ids(folder, ".limit/1")
    ran = run("cat", path_of(folder))
    assert ran.code != 0 and "max_result_bytes" in ran.out
    ran = run("cat", path_of(folder, ".select/pg_sleep(30)::text"), timeout=25)
    assert ran.code != 0 and "the query took longer than query_timeout, 1000 ms" in ran.out


@pytest.fixture
def lonely(own_postgres):
    """A mount whose server can be taken away."""
    backend = Backend("external", dsn=new_database(own_postgres))
    one = Mount(backend, options=["-o", "connect_timeout=3s"]).start()
    yield one
    one.teardown()
    backend.destroy()


def test_without_a_server_the_open_fails(lonely, own_postgres):
    """When the server is away: EHOSTDOWN, never an empty result."""
    make(lonely, "t")
    wait_for(lambda: os.path.isdir(lonely.at("t")), 2, "the table")
    assert ids(lonely.at("t"), ".where/id = 1") == [1]
    own_postgres.kill9()
    with pytest.raises(OSError) as caught:
        ids(lonely.at("t"), ".where/id = 1")
    assert caught.value.errno == errno.EHOSTDOWN
