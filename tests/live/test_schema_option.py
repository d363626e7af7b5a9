# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Files of rows: the option schema."""

import base64
import errno
import json
import os

import pytest

from support import files

NAME = ".ingest.json"


def put(zone, options):
    descriptor = os.open(os.path.join(zone, NAME), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, json.dumps(options).encode())
    finally:
        os.close(descriptor)


def put_schema(zone, schema):
    put(zone, {"format": "rows", "schema": schema})


def refused(change, code=errno.EINVAL):
    with pytest.raises(OSError) as refusal:
        change()
    assert refusal.value.errno == code


def reason_for(zone, name):
    return files.read(os.path.join(zone, name + ".error")).decode()


def columns(mount, table):
    """Names and types; of a domain, which a server with the extension has, what it is of."""
    return mount.sql("SELECT attname, format_type(coalesce(nullif(typbasetype, 0), atttypid), -1) "
                     "FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid "
                     "WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped "
                     "ORDER BY attnum", f'"{mount.workspace}"."{table}"')


def select(mount, table, names):
    return mount.sql(f'SELECT {names} FROM "{mount.workspace}"."{table}" ORDER BY id')


ALL = {"text": "TEXT", "i4": "INT32", "i8": "int64", "f4": "FLOAT32", "f8": "FLOAT64",
       "flag": "BOOL", "raw": "BINARY", "picture": "IMAGE", "clip": "VIDEO", "v": "EMBEDDING",
       "mask": "SEGMENT_MASK", "bits": "BINARY_MASK", "box": "BOUNDING_BOX",
       "label": "CLASS_LABEL", "shape": "POLYGON", "dot": "POINT", "mesh": "MESH",
       "scan": "MEDICAL", "more": "JSON"}
SQL_TYPES = ["text", "integer", "bigint", "real", "double precision", "boolean", "bytea", "bytea",
             "bytea", "real[]", "bytea", "bytea", "real[]", "integer", "bytea", "real[]", "bytea",
             "bytea", "jsonb"]


def test_every_type_and_the_order_of_the_columns(mount, table, zone):
    """Ingest, Files of rows: types and order of a new table's columns."""
    put_schema(zone, ALL)
    blob = base64.b64encode(b"\0\1\xff").decode()
    row = {name: blob for name in ALL} | {
        "more": {"a": 1}, "label": 7, "dot": [1, 2], "box": [0, 0, 1, 1.5], "v": [0.5], "f8": 1,
        "flag": True, "f4": "NaN", "i8": 2.0, "i4": -1, "text": "x"}
    backwards = dict(reversed(row.items()))
    files.write(os.path.join(zone, "a.jsonl"), json.dumps(backwards) + "\n{}\n")
    assert columns(mount, table) == [("id", "bigint"), ("file_id", "text")] + list(
        zip(ALL, SQL_TYPES))
    first, second = select(mount, table, ", ".join(ALL))
    value = dict(zip(ALL, first))
    for name in ("raw", "picture", "clip", "mask", "bits", "shape", "mesh", "scan"):
        assert bytes(value[name]) == b"\0\1\xff"
    assert (value["i4"], value["i8"], value["f8"], value["label"]) == (-1, 2, 1.0, 7)
    assert value["f4"] != value["f4"] and value["more"] == {"a": 1}
    assert (value["v"], value["box"], value["dot"]) == ([0.5], [0, 0, 1, 1.5], [1, 2])
    assert set(second) == {None}


def test_every_type_in_csv(mount, table, zone):
    """Ingest, Files of rows: values of CSV by schema."""
    put_schema(zone, {"flag": "BOOL", "f": "FLOAT32", "raw": "BINARY", "b": "BINARY",
                      "v": "EMBEDDING", "w": "EMBEDDING", "more": "JSONB", "code": "TEXT"})
    files.write(os.path.join(zone, "a.csv"),
                "code,flag,f,raw,b,v,w,more\n"
                '1,no,-inf,\\x00ff,AP8=,"[1,2]","{1,2}","{""a"": null}"\n')
    flag, number, raw, also, one, two, more, code = select(
        mount, table, "flag, f, raw, b, v, w, more, code")[0]
    assert (flag, number, code, more) == (False, float("-inf"), "1", {"a": None})
    assert bytes(raw) == bytes(also) == b"\0\xff"
    assert one == two == [1.0, 2.0]


def test_it_counts_before_what_values_ask_for(mount, table, zone):
    """Ingest, Files of rows: schema is the way out where types do not go together."""
    text = '{"a": 1}\n{"a": "x"}\n{"a": [1]}\n'
    put(zone, {"format": "rows"})
    refused(lambda: files.write(os.path.join(zone, "a.jsonl"), text))
    put_schema(zone, {"a": "TEXT", "late": "INT32"})
    files.write(os.path.join(zone, "a.jsonl"), text + '{"late": 5}\n')
    assert select(mount, table, "a, late") == [("1", None), ("x", None), ("[1]", None), (None, 5)]


def test_another_schema_makes_the_rows_anew(mount, table, zone):
    """Ingest, Files of rows: the same content with another schema."""
    put(zone, {"format": "rows"})
    text = '{"a": 1}\n'
    files.write(os.path.join(zone, "a.jsonl"), text)
    before = select(mount, table, "id, a")
    files.write(os.path.join(zone, "a.jsonl"), text)
    assert select(mount, table, "id, a") == before
    put_schema(zone, {"b": "INT32"})
    files.write(os.path.join(zone, "a.jsonl"), text)
    assert select(mount, table, "a, b") == [(1, None)]
    assert select(mount, table, "id, a") != before
    assert mount.ledger(table, "a.jsonl")["settings"] == {"schema": {"b": "INT32"}}


def test_a_contradiction_to_the_table(mount, table, zone):
    """Ingest, Files of rows: EINVAL when the option is written; else when the file comes."""
    put_schema(zone, {"a": "INT64"})
    files.write(os.path.join(zone, "a.csv"), "a\n1\n")
    refused(lambda: put_schema(zone, {"a": "TEXT"}))
    assert "INT64" in reason_for(zone, NAME) and '"a"' in reason_for(zone, NAME)
    put_schema(zone, {"b": "IMAGE"})
    files.write(os.path.join(zone, "b.csv"), "b\nAAEC\n")
    put_schema(zone, {"b": "BINARY"})
    other = mount.zone(table + "_other")
    os.mkdir(other)
    put_schema(other, {"a": "INT64"})
    mount.sql(f'CREATE TABLE "{mount.workspace}"."{table}_other" '
              "(id bigint generated by default as identity primary key, file_id text, a text)")
    refused(lambda: files.write(os.path.join(other, "a.csv"), "a\n1\n"))
    assert "schema" in reason_for(other, "a.csv")
    assert mount.n_rows(table + "_other") == 0


def test_a_table_that_was_made_elsewhere(mount, table, zone):
    """Ingest, Files of rows: columns of other types."""
    mount.sql(f'CREATE TABLE "{mount.workspace}"."{table}" '
              "(id bigint generated by default as identity primary key, file_id text, "
              "a varchar(5), b integer, at timestamptz DEFAULT now())")
    put(zone, {"format": "rows"})
    files.write(os.path.join(zone, "b.csv"), "b\n1\n")
    assert select(mount, table, "b, at IS NULL") == [(1, False)]
    refused(lambda: files.write(os.path.join(zone, "c.csv"), "b,at\n1,2024-01-01\n"))
    assert "timestamp" in reason_for(zone, "c.csv")
    refused(lambda: files.write(os.path.join(zone, "d.csv"), "b\n2147483648\n"))
    assert "INT32" in reason_for(zone, "d.csv")


@pytest.mark.parametrize("options, words", [
    ({"format": "rows", "schema": {"a": "INTEGER"}}, ["INTEGER", "INT32"]),
    ({"format": "rows", "schema": {"a": "FILE"}}, ["FILE"]),
    ({"format": "rows", "schema": {"file_id": "TEXT"}}, ["file_id"]),
    ({"format": "rows", "schema": {"x" * 64: "TEXT"}}, ["63"]),
    ({"format": "rows", "schema": []}, ["object"]),
    ({"schema": {"a": "TEXT"}}, ["FILE", "rows"]),
    ({"format": "row"}, ["rows"]),
])
def test_wrong_ones_are_refused(zone, options, words):
    """Ingest, Options of a drop zone; Files of rows."""
    refused(lambda: put(zone, options))
    reason = reason_for(zone, NAME)
    assert all(word in reason for word in words), reason


def test_what_counts_can_be_read_and_written(zone):
    """Ingest, Options of a drop zone: .ingest.effective.json."""
    put_schema(zone, {"b": "TEXT", "a": "INT64"})
    shown = files.read(os.path.join(zone, ".ingest.effective.json")).decode()
    effective = json.loads(shown)
    assert effective["format"] == "rows"
    assert list(effective["schema"].items()) == [("b", "TEXT"), ("a", "INT64")]
    files.write(os.path.join(zone, NAME), shown)
    assert files.read(os.path.join(zone, ".ingest.effective.json")).decode() == shown
