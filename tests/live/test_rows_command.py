# SPDX-License-Identifier: Apache-2.0
"""README.md, Commands: deeplakefs ingest --format, --schema and --index; they do what the options
of a drop zone do (fs/SEMANTICS.md, Ingest, Files of rows)."""

import json
import os

import pytest

from support import files
from support.mount import wait_for


@pytest.fixture
def ingest(backend, mount):
    def call(*arguments):
        return backend.command("ingest", *arguments, workspace=mount.workspace)
    return call


@pytest.fixture
def source(work):
    return files.write(os.path.join(work, "a.csv"), "n,t\n1,x\n2,\n")


def select(mount, table, columns):
    return mount.sql(f'SELECT {columns} FROM "{mount.workspace}"."{table}" ORDER BY id')


def wait_for_labels(mount, table, expected):
    """Of another process, so it may take a second until the mount shows them."""
    def labels():
        try:
            names = os.listdir(mount.at(table, "indexes"))
        except FileNotFoundError:
            return []
        return sorted(name for name in names if "." in name)
    wait_for(lambda: labels() == expected, 5, f"the indexes {expected}")


def test_rows_and_indexes(ingest, mount, table, source):
    """Files of rows; Indexes of a drop zone."""
    ran = ingest("--format", "rows", "--index", "n=btree,t=hash", table, source).ok()
    assert json.loads(ran.out)["row_count"] == 2
    assert select(mount, table, "n, t") == [(1, "x"), (2, None)]
    wait_for_labels(mount, table, ["n.btree", "t.hash"])
    ingest("--format", "rows", "--index", '{"n": "brin"}', table, source).ok()
    wait_for_labels(mount, table, ["n.brin", "n.btree", "t.hash"])
    assert mount.n_rows(table) == 2


def test_a_schema_as_text_and_as_a_file(ingest, mount, table, source, work):
    """Files of rows: schema."""
    ingest("--format=rows", '--schema={"n": "FLOAT64"}', table, source).ok()
    assert select(mount, table, "pg_typeof(n)::text, n")[0] == ("double precision", 1.0)
    path = files.write(os.path.join(work, "schema.json"), '{"n": "TEXT", "t": "TEXT"}')
    ingest("--format=rows", "--schema", path, table + "_b", source).ok()
    assert select(mount, table + "_b", "n") == [("1",), ("2",)]


def test_those_of_the_drop_zone_come_first(ingest, mount, table, source):
    """Options of a drop zone: for deeplakefs ingest, and before its options."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, ".ingest.json"), '{"schema": {"n": "INT32"}, "format": "rows"}')
    ingest("--format=files", table, source).ok()
    assert select(mount, table, "pg_typeof(n)::text")[0] == ("integer",)


@pytest.mark.parametrize("options, words", [
    (["--format", "row"], ["format", "rows"]),
    (["--schema", '{"n": "INT64"}'], ["FILE", "rows"]),
    (["--format", "rows", "--schema", '{"n": "INTEGER"}'], ["INTEGER"]),
    (["--format", "rows", "--schema", '{"n"'], ["--schema", "JSON"]),
    (["--schema", "/does/not/exist"], ["--schema", "/does/not/exist"]),
    (["--index", "text=btre"], ["btre"]),
    (["--index", "nothing=btree"], ["nothing"]),
    (["--index", "["], ["--index", "JSON"]),
])
def test_a_mistake_is_told_before_anything_is_read(ingest, mount, table, source, options, words):
    """Files of rows; Indexes of a drop zone."""
    ran = ingest(*options, table, source)
    assert ran.code == 1
    assert all(word in ran.err for word in words), ran.err
    assert not mount.table_exists(table)


def test_the_index_of_a_type_needs_the_extension(ingest, mount, table, source):
    """Indexes of a drop zone: text alone means bm25, and what to do where it is not there."""
    has_extension = mount.sql("SELECT 1 FROM pg_am WHERE amname = 'deeplake_index'")
    ran = ingest("--index", "text", table, source)
    if has_extension:
        assert ran.code == 0, ran.err
        wait_for_labels(mount, table, ["text.bm25"])
    else:
        assert ran.code == 1 and "deeplake_index" in ran.err
        assert not mount.table_exists(table)


def test_a_file_that_does_not_fit_is_named(ingest, mount, table, source, work):
    """Files of rows: line and column, and the other files are taken."""
    bad = files.write(os.path.join(work, "b.csv"), "n,t\n5,x\nsix,y\n")
    ran = ingest("--format", "rows", "--schema", '{"n": "INT64"}', table, source, bad)
    assert ran.code == 1
    assert all(word in ran.err for word in ("b.csv", "line 3", '"n"', "six"))
    assert select(mount, table, "n") == [(1,), (2,)]
