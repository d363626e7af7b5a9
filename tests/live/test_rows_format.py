# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Files of rows: the option format "rows"."""

import errno
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from support import files
from support.mount import environment, run, shell, wait_for

ROWS = {"format": "rows"}


def put_options(zone, options):
    files.write(os.path.join(zone, ".ingest.json"), json.dumps(options))


@pytest.fixture
def rows_zone(zone):
    """A drop zone whose files hold rows."""
    put_options(zone, ROWS)
    return zone


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def types(mount, table):
    """The columns but file_id, with their types, in the table's order."""
    schema = json.loads(files.read(mount.at(table, "schema.json")))
    columns = schema if isinstance(schema, list) else schema["columns"]
    return [(one["name"], one["type"]) for one in columns if one["name"] != "file_id"]


def select(mount, table, columns, order="id"):
    return mount.sql(f'SELECT {columns} FROM "{mount.workspace}"."{table}" ORDER BY {order}')


def refusal_of(zone, name, content, code=errno.EINVAL):
    """What <name>.error says of a file that must be refused."""
    with pytest.raises(OSError) as refusal:
        files.write(os.path.join(zone, name), content)
    assert refusal.value.errno == code
    return files.read(os.path.join(zone, name + ".error")).decode()


def test_each_line_of_jsonl_is_a_row(mount, table, rows_zone):
    """Ingest, Files of rows: types from values; file_id, order, missing keys."""
    rows = [{"name": "Ärger \U0001f600", "age": 30, "score": 1, "ok": True,
             "v": [0.5, 1, -2e3], "more": {"a": [1, {"b": None}]}, "null": None},
            {"age": 9007199254740993, "score": 2.25, "ok": False, "v": [], "more": [1, "x"]},
            {"name": "a\"b\\\n\t\u20ac", "age": -9223372036854775808, "score": -0.0, "extra": "x"}]
    files.write(os.path.join(rows_zone, "a.jsonl"), "\ufeff" + jsonl(rows))
    assert types(mount, table) == [
        ("id", "INT64"), ("name", "TEXT"), ("age", "INT64"), ("score", "FLOAT64"), ("ok", "BOOL"),
        ("v", "EMBEDDING"), ("more", "JSONB"), ("null", "TEXT"), ("extra", "TEXT")]
    found = select(mount, table, 'name, age, score, ok, v, more, "null", extra, id')
    assert found == [
        (rows[0]["name"], 30, 1.0, True, [0.5, 1.0, -2000.0], rows[0]["more"], None, None, 1),
        (None, 9007199254740993, 2.25, False, [], [1, "x"], None, None, 2),
        (rows[2]["name"], -9223372036854775808, 0.0, None, None, None, None, "x", 3)]
    entry = mount.ledger(table, "a.jsonl")
    assert (entry["kind"], entry["n_rows"]) == ("rows", 3)
    assert {row[0] for row in select(mount, table, "file_id")} == {entry["file_id"]}
    attributes = os.getxattr(os.path.join(rows_zone, "a.jsonl"), "user.deeplake.kind")
    assert attributes == b"rows"


def test_a_json_array_of_objects(mount, table, rows_zone):
    """Ingest, Files of rows: .json."""
    text = ' [ {"a": 1, "b": {"c": "]"}},\n\n{"a": 2} ,{"b": [{}], "a":3}]\n \n'
    files.write(os.path.join(rows_zone, "A.JSON"), text)
    assert select(mount, table, "a, b") == [(1, {"c": "]"}), (2, None), (3, [{}])]
    files.write(os.path.join(rows_zone, "empty.json"), "[]")
    files.write(os.path.join(rows_zone, "none.json"), "")
    assert mount.n_rows(table) == 3
    assert mount.ledger(table, "empty.json")["n_rows"] == 0


@pytest.mark.parametrize("separator, name, end", [
    (",", "a.csv", "\n"), (",", "a.csv", "\r\n"), ("\t", "a.tsv", "\n")])
def test_csv_and_tsv(mount, table, rows_zone, separator, name, end):
    """Ingest, Files of rows: RFC 4180, types of columns, NULL and the empty string."""
    lines = [["n", "x", "flag", "code", "text"],
             ["1", "2", "true", "007", '"a ""quoted""' + end + separator + ' text"'],
             ["-5", "2.5e3", "FALSE", "12", '""'], ["", "", "", "", ""], ["3", "4", "", "5", "é"]]
    text = end.join(separator.join(line) for line in lines)
    files.write(os.path.join(rows_zone, name), text)
    assert types(mount, table) == [("id", "INT64"), ("n", "INT64"), ("x", "FLOAT64"),
                                   ("flag", "BOOL"), ("code", "TEXT"), ("text", "TEXT")]
    assert select(mount, table, "n, x, flag, code, text") == [
        (1, 2.0, True, "007", f'a "quoted"{end}{separator} text'), (-5, 2500.0, False, "12", ""),
        (None, None, None, None, None), (3, 4.0, None, "5", "é")]


def test_what_a_result_gives_can_be_copied_back(mount, table, rows_zone):
    """Ingest, Files of rows; Queries, CSV and JSON forms."""
    rows = [{"t": text, "n": n, "f": f} for text, n, f in
            [("", 1, 1.5), ("a,\"b\"\n", -2, 1e300), (None, None, None), ("é", 4, 0.1)]]
    files.write(os.path.join(rows_zone, "a.jsonl"), jsonl(rows))
    expected = select(mount, table, "t, n, f")
    for form in ("csv", "json", "jsonl"):
        copy = mount.zone(f"{table}_{form}")
        os.mkdir(copy)
        put_options(copy, ROWS)
        path = mount.at(table, ".select", "t,n,f", ".order_by", "id", f"results.{form}")
        shell('cat "$1" > "$2"', path, os.path.join(copy, f"b.{form}")).ok()
        assert select(mount, f"{table}_{form}", "t, n, f") == expected


def test_the_same_again_other_content_and_rm(mount, table, rows_zone):
    """Ingest, Atomic and repeatable; Files of rows."""
    path = os.path.join(rows_zone, "a.csv")
    files.write(path, "a\n1\n2\n")
    files.write(os.path.join(rows_zone, "b.csv"), "a\n10\n")
    before = select(mount, table, "id, a, file_id")
    files.write(path, "a\n1\n2\n")
    assert select(mount, table, "id, a, file_id") == before
    files.write(path, "a\n3\n")
    assert select(mount, table, "a", "a") == [(3,), (10,)]
    with pytest.raises(OSError):
        files.write(path, "a\nx\n")
    assert select(mount, table, "a", "a") == [(3,), (10,)]
    os.remove(path)
    assert select(mount, table, "a") == [(10,)]
    os.rename(os.path.join(rows_zone, "b.csv"), os.path.join(rows_zone, "c.csv"))
    assert mount.ledger_paths(table).count("c.csv") == 1
    with pytest.raises(PermissionError):
        files.read(os.path.join(rows_zone, "c.csv"))


def test_later_files_have_the_tables_types_and_may_add_columns(mount, table, rows_zone):
    """Ingest, Files of rows: the table's types count, new columns are added."""
    files.write(os.path.join(rows_zone, "a.jsonl"), jsonl([{"a": 1.5, "b": "x"}]))
    files.write(os.path.join(rows_zone, "b.jsonl"), jsonl([{"c": True, "a": 2}]))
    assert types(mount, table) == [("id", "INT64"), ("a", "FLOAT64"), ("b", "TEXT"), ("c", "BOOL")]
    assert select(mount, table, "a, b, c") == [(1.5, "x", None), (2.0, None, True)]
    reason = refusal_of(rows_zone, "c.jsonl", jsonl([{"a": 1}, {"a": "two"}]))
    assert "line 2" in reason and '"a"' in reason and "two" in reason


def test_rows_that_bring_an_id(mount, table, rows_zone):
    """Ingest, Files of rows: the key is then _id; a table's own id is not given."""
    files.write(os.path.join(rows_zone, "a.jsonl"),
                jsonl([{"id": "doc1", "text": "x"}, {"id": "doc1", "text": "y"}]))
    assert types(mount, table) == [("_id", "INT64"), ("id", "TEXT"), ("text", "TEXT")]
    assert select(mount, table, "_id, id, text", "_id") == [(1, "doc1", "x"), (2, "doc1", "y")]
    assert sorted(os.listdir(mount.at(table, "rows"))) == ["1", "2"]
    other = mount.zone(table + "_other")
    os.mkdir(other)
    put_options(other, ROWS)
    files.write(os.path.join(other, "a.csv"), "a\n1\n")
    assert "key" in refusal_of(other, "b.csv", "id,a\n1,2\n")


@pytest.mark.parametrize("name, content, words", [
    ("a.jsonl", '{"a": 1}\n{"a": 2\n{"a": 3}\n', ["line 2", "ends before"]),
    ("a.jsonl", '{"a": 1}\n[1]\n', ["line 2", "object"]),
    ("a.jsonl", '{"a": 1}\n{"a": NaN}\n', ["line 2", "NaN"]),
    ("a.jsonl", '{"a": 1}\n\n{"a": "\\u0000"}\n', ["line 3", "u0000"]),
    ("a.jsonl", '{"a": 1, "a": 2}\n', ["line 1", "twice"]),
    ("a.jsonl", '{"a": 1}\n{"a": "x"}\n', ["line 2", '"a"', "INT64", "x", "schema"]),
    ("a.jsonl", '{"a": 1}\n{"a": 9223372036854775808}\n', ["line 2", "9223372036854775808", "64"]),
    ("a.jsonl", '{"a": 1} x\n', ["line 1", "follows"]),
    ("a.jsonl", b'{"a": "\xff"}\n', ["line 1", "UTF-8"]),
    ("a.jsonl", '{"file_id": "x"}\n', ["line 1", "file_id"]),
    ("a.jsonl", '{"": 1}\n', ["line 1", "no name"]),
    ("a.jsonl", '{"' + "x" * 64 + '": 1}\n', ["line 1", "63"]),
    ("a.json", '{"a": 1}', ["line 1", "array", ".jsonl"]),
    ("a.json", '[{"a": 1},\n{"a": 2}', ["line 2", "ends before"]),
    ("a.json", '[{"a": 1}]\n\n[]', ["line 3", "follows"]),
    ("a.json", '[{"a": 1}\n{"a": 2}]', ["line 2", "expected"]),
    ("a.csv", "a,b\n1,2\n3\n", ["line 3", "1 fields", "2 columns"]),
    ("a.csv", "a,a\n1,2\n", ["twice"]),
    ("a.csv", 'a\n1\n"x\n', ["line 3", "quote"]),
    ("a.csv", 'a\nx"y"\n', ["line 2", "quote"]),
    ("a.csv", "a\n1\r2\n", ["line 2", "carriage return"]),
    ("a.csv", b"a\n\xe9\n", ["line 2", "UTF-8"]),
    ("a.csv", b"a\n1\0\n", ["line 2", "NUL"]),
    ("a.png", b"\x89PNG", [".csv", "rows"]),
    ("a.txt", "a,b", [".csv", "rows"]),
])
def test_a_refusal_names_line_and_column_and_leaves_nothing(mount, table, rows_zone, name,
                                                            content, words):
    """Ingest, Files of rows: EINVAL."""
    reason = refusal_of(rows_zone, name, content)
    assert all(word in reason for word in words), reason
    assert not mount.table_exists(table)
    assert mount.ledger(table, name) is None


def test_what_comes_after_the_sample_must_fit(mount, table, rows_zone):
    """Ingest, Files of rows: types are those of the rows that begin in the first MiB."""
    filler = jsonl([{"a": n, "t": "x" * 1000} for n in range(1200)])
    assert len(filler) > 1 << 20
    good = jsonl([{"a": 5}])
    files.write(os.path.join(rows_zone, "good.jsonl"), filler + good)
    assert mount.n_rows(table) == 1201
    for bad, words in (({"a": 1.5}, ["line 1201", '"a"', "1.5", "INT64", "schema"]),
                       ({"late": 1}, ["line 1201", "late", "schema"])):
        reason = refusal_of(rows_zone, "bad.jsonl", filler + jsonl([bad]))
        assert all(word in reason for word in words), reason
    assert mount.n_rows(table) == 1201
    assert mount.n_orphans(table) == 0


def test_one_value_larger_than_a_block(mount, table, rows_zone):
    """Ingest, Files of rows."""
    long_text = "lake \"x\"\n" * 300_000
    files.write(os.path.join(rows_zone, "a.jsonl"), jsonl([{"a": 1, "t": long_text}, {"a": 2}]))
    quoted = long_text.replace('"', '""')
    files.write(os.path.join(rows_zone, "b.csv"), f'a,t\n3,"{quoted}"\n4,\n')
    assert select(mount, table, "a, t") == [(1, long_text), (2, None), (3, long_text), (4, None)]


def test_a_row_of_more_than_100_mib(mount, table, rows_zone):
    """Ingest, Files of rows: EFBIG, and memory stays bounded."""
    reason = refusal_of(rows_zone, "a.jsonl", '{"a": "' + "x" * (101 << 20) + '"}\n', errno.EFBIG)
    assert "100 MiB" in reason and "line 1" in reason
    assert not mount.table_exists(table)


def test_many_rows_in_bounded_memory(another_mount, table):
    """Ingest, Files of rows: a file of 50 MB needs a few MiB of memory."""
    mount = another_mount()
    rows_zone = mount.zone(table)
    os.mkdir(rows_zone)
    put_options(rows_zone, ROWS)
    line = "%d,0.25,some words of a row that is copied,and more words of it\n"
    content = "n,x,t,u\n" + "".join(line % n for n in range(150_000)) * 5
    before = peak_bytes(mount.daemon_pid)
    files.write(os.path.join(rows_zone, "a.csv"), content)
    assert mount.n_rows(table) == 750_000
    assert select(mount, table, "count(*), sum(n), max(x)", "1") == [
        (750_000, 5 * sum(range(150_000)), 0.25)]
    assert peak_bytes(mount.daemon_pid) - before < 32 << 20
    jobs = [json.loads(line) for line in
            files.read(mount.at(".deeplake", "ingest.jsonl")).splitlines()]
    job = next(one for one in jobs if one["path"] == f"{table}/a.csv")
    assert (job["kind"], job["rows_written"], job["phase"]) == ("rows", 750_000, "done")


def peak_bytes(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_files_that_make_the_table_at_once(mount, table, rows_zone):
    """Ingest, Files of rows: whoever makes the table decides on its types, and no value is
    changed."""
    failures = []

    def copy(number):
        try:
            files.write(os.path.join(rows_zone, f"{number}.jsonl"),
                        jsonl([{"a": number, f"b{number % 3}": number}]))
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=copy, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert select(mount, table, "a, coalesce(b0, b1, b2)", "a") == [(n, n) for n in range(16)]


def test_a_killed_daemon_leaves_nothing(another_mount, table, work):
    """Ingest, Durability; Files of rows."""
    mount = another_mount(env={"LAKE_FAULT": "ingest-between-batches:2:kill"})
    os.mkdir(mount.zone(table))
    put_options(mount.zone(table), ROWS)
    source = files.write(os.path.join(work, "a.csv"), "a,t\n" + "1,some words\n" * 500_000)
    assert run("cp", source, mount.zone(table)).code != 0
    mount.teardown()
    again = another_mount(mount.workspace)
    assert not again.table_exists(table) or again.n_rows(table) == 0
    assert again.ledger(table, "a.csv") is None
    run("cp", source, again.zone(table)).ok()
    assert again.n_rows(table) == 500_000


def test_ctrl_c_leaves_nothing(mount, table, rows_zone, work):
    """Ingest, Interrupt; Files of rows."""
    source = files.write(os.path.join(work, "a.csv"), "a,t\n" + "1,some words\n" * 3_000_000)
    copy = subprocess.Popen(["cp", source, rows_zone], env=environment())

    def is_sending():
        jobs = files.read(mount.at(".deeplake", "ingest.jsonl")).decode()
        return any(f"{table}/a.csv" in line and '"sending"' in line for line in jobs.splitlines())

    wait_for(is_sending, 60, "rows to be sent")
    copy.send_signal(signal.SIGINT)
    assert copy.wait(30) != 0
    deadline = time.monotonic() + 10
    while mount.ledger(table, "a.csv") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert mount.ledger(table, "a.csv") is None
    assert not mount.table_exists(table) or mount.n_rows(table) == 0


def test_rsync_and_tar(mount, table, rows_zone, work):
    """Ingest, When; Files of rows."""
    source = os.path.join(work, "from")
    for number in range(3):
        files.write(os.path.join(source, "sub", f"{number}.csv"), f"n\n{number}\n")
    run("rsync", "-a", source + "/", rows_zone + "/").ok()
    assert run("rsync", "-ai", source + "/", rows_zone + "/").ok().out == ""
    assert select(mount, table, "n", "n") == [(0,), (1,), (2,)]
    run("rm", "-r", os.path.join(rows_zone, "sub")).ok()
    shell('tar -C "$1" -cf - sub | tar -C "$2" -xf -', source, rows_zone).ok()
    assert select(mount, table, "n", "n") == [(0,), (1,), (2,)]
