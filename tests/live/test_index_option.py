# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Indexes of a drop zone: the option index."""

import errno
import json
import os
import threading

import pytest

from support import files

NAME = ".ingest.json"


def put(zone, options):
    descriptor = os.open(os.path.join(zone, NAME), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, json.dumps(options).encode())
    finally:
        os.close(descriptor)


def refused(change, code=errno.EINVAL):
    with pytest.raises(OSError) as refusal:
        change()
    assert refusal.value.errno == code


def made(mount, table):
    """The labels of indexes that have one."""
    return sorted(name for name in os.listdir(mount.at(table, "indexes")) if "." in name)


def clauses(mount, table):
    return [row[0] for row in mount.sql(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = %s",
        mount.workspace, table)]


def test_they_come_with_the_first_rows(mount, table, zone):
    """Ingest, Indexes of a drop zone."""
    put(zone, {"format": "rows", "index": {"n": "btree", "t": {"index_type": "hash"}}})
    assert not mount.table_exists(table)
    files.write(os.path.join(zone, "a.csv"), "n,t\n1,x\n")
    assert made(mount, table) == ["n.btree", "t.hash"]
    assert any("USING hash (t)" in clause for clause in clauses(mount, table))
    files.write(os.path.join(zone, "b.csv"), "n,t\n2,y\n")
    assert made(mount, table) == ["n.btree", "t.hash"]
    assert len(clauses(mount, table)) == 4


def test_they_come_with_their_column(mount, table, zone):
    """Ingest, Indexes of a drop zone: made when a later kind of file adds the column."""
    put(zone, {"index": {"chunk_index": "brin", "filename": "btree"}})
    files.write(os.path.join(zone, "a.txt"), "some text")
    assert made(mount, table) == ["chunk_index.brin"]
    files.write(os.path.join(zone, "a.bin"), b"\0\1")
    assert made(mount, table) == ["chunk_index.brin", "filename.btree"]


def test_writing_the_option_makes_those_of_a_table_that_is_there(mount, table, zone):
    """Ingest, Indexes of a drop zone: when the option is written."""
    files.write(os.path.join(zone, "a.txt"), "some text")
    put(zone, {"index": {"chunk_index": "btree"}})
    assert made(mount, table) == ["chunk_index.btree"]
    put(zone, {"index": {"chunk_index": "btree", "file_id": "hash"}})
    assert made(mount, table) == ["chunk_index.btree", "file_id.hash"]


def test_all_or_none_are_made(mount, table, zone):
    """Ingest, Indexes of a drop zone: a failure leaves none, and the old options."""
    files.write(os.path.join(zone, "a.txt"), "some text")
    put(zone, {"pdf_dpi": 72})
    refused(lambda: put(zone, {"index": {"chunk_index": "btree", "text": "gin"}}))
    assert "gin" in files.read(os.path.join(zone, NAME + ".error")).decode()
    assert made(mount, table) == []
    assert json.loads(files.read(os.path.join(zone, NAME))) == {"pdf_dpi": 72}


def test_one_that_cannot_be_leaves_no_row(mount, table, zone):
    """Ingest, Indexes of a drop zone: rows and indexes, or neither."""
    put(zone, {"format": "rows", "index": {"n": "gin"}})
    refused(lambda: files.write(os.path.join(zone, "a.csv"), "n\n1\n"))
    assert not mount.table_exists(table)
    assert mount.ledger(table, "a.csv") is None
    put(zone, {"format": "rows", "index": {"missing": "btree"}})
    refused(lambda: files.write(os.path.join(zone, "a.csv"), "n\n1\n"))
    assert "missing" in files.read(os.path.join(zone, "a.csv.error")).decode()
    assert not mount.table_exists(table)


@pytest.mark.parametrize("index, words, code", [
    ({"missing": "btree"}, ["missing"], errno.EINVAL),
    ({"text": "btre"}, ["btre", "btree"], errno.EINVAL),
    (["text"], ["deeplake_index", "btree"], errno.EOPNOTSUPP),
    ({"text": "bm25"}, ["deeplake_index"], errno.EOPNOTSUPP),
    ("text", ["index"], errno.EINVAL),
    ([1], ["index"], errno.EINVAL),
    (["text", "text"], ["twice"], errno.EINVAL),
])
@pytest.mark.parametrize("is_there", [True, False])
def test_wrong_ones_are_refused_when_written(mount, table, zone, index, words, code, is_there):
    """Ingest, Indexes of a drop zone: EINVAL, EOPNOTSUPP."""
    mount.sql("DROP EXTENSION IF EXISTS pg_deeplake")
    assert mount.sql("SELECT 1 FROM pg_am WHERE amname = 'deeplake_index'") == []
    if is_there:
        files.write(os.path.join(zone, "a.txt"), "some text")
    refused(lambda: put(zone, {"index": index}), code)
    reason = files.read(os.path.join(zone, NAME + ".error")).decode()
    assert all(word in reason for word in words), reason
    assert not os.path.exists(os.path.join(zone, NAME))


def test_one_that_was_dropped_stays_dropped(mount, table, zone):
    """Ingest, Indexes of a drop zone: until the option is written again."""
    put(zone, {"index": {"file_id": "btree"}})
    files.write(os.path.join(zone, "a.txt"), "some text")
    os.rmdir(mount.at(table, "indexes", "file_id.btree"))
    files.write(os.path.join(zone, "b.txt"), "more text")
    assert made(mount, table) == []
    put(zone, {"index": {"file_id": "btree"}})
    assert made(mount, table) == ["file_id.btree"]


def test_files_that_make_the_table_at_once_make_each_once(mount, table, zone):
    """Ingest, Indexes of a drop zone."""
    put(zone, {"format": "rows", "index": {"n": "btree"}})
    failures = []

    def copy(number):
        try:
            files.write(os.path.join(zone, f"{number}.csv"), f"n\n{number}\n")
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert mount.n_rows(table) == 8
    assert made(mount, table) == ["n.btree"]
    assert len(clauses(mount, table)) == 3
