# SPDX-License-Identifier: Apache-2.0
"""Several handles, names and closes of one file at once, and tables changed behind our back."""

import errno
import json
import os
import time

import pytest

from support import files
from support.checks import assert_ingested
from support.mount import run, shell


def test_a_late_release_of_an_empty_handle_does_not_undo_what_came_after(mount, table, zone):
    """Ingest, When: an empty file is entered when its last handle is released."""
    for n in range(150):
        path = os.path.join(zone, f"{n}.bin")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC))
        with open(path, "wb") as file:
            file.write(b"hi")
    time.sleep(1.2)
    assert [n for n in range(150)
            if files.read(os.path.join(zone, f"{n}.bin")) != b"hi"] == []
    assert mount.n_rows(table) == 150


def test_an_appender_survives_readers_and_lookups(mount, table, zone):
    """Ingest, When."""
    path = os.path.join(zone, "log.bin")
    files.write(path, b"one\n")
    time.sleep(1)
    with open(path, "ab") as writer, open(path, "rb") as reader:
        assert reader.read() == b"one\n"
        time.sleep(1)
        os.stat(path)
        writer.write(b"two\n")
    assert_ingested(mount, table, "log.bin", b"one\ntwo\n")


def test_two_appenders_both_append(mount, table, zone):
    """Ingest, When: a file opened without being truncated begins with its old bytes."""
    path = os.path.join(zone, "log.bin")
    files.write(path, b"0\n")
    with open(path, "ab", buffering=0) as one, open(path, "ab", buffering=0) as two:
        for _ in range(3):
            one.write(b"1\n")
            two.write(b"2\n")
    time.sleep(1)
    assert sorted(files.read(path).split()) == [b"0", b"1", b"1", b"1", b"2", b"2", b"2"]
    assert mount.n_rows(table) == 1


def test_a_temporary_folder_that_gets_its_final_name_is_ingested_at_every_depth(
        mount, table, zone):
    """Ingest, When: at rename() from a temporary name to a final one."""
    os.makedirs(os.path.join(zone, ".stage", "sub", "deep"))
    contents = {"a.bin": b"a", "sub/b.bin": b"b", "sub/deep/c.txt": b"c"}
    for name, content in contents.items():
        files.write(os.path.join(zone, ".stage", name), content)
    assert not mount.table_exists(table) or mount.n_rows(table) == 0
    os.rename(os.path.join(zone, ".stage"), os.path.join(zone, "final"))
    for name, content in contents.items():
        assert_ingested(mount, table, f"final/{name}", content)


def test_rows_changed_by_sql_are_never_given_as_the_file(mount, table, zone):
    """Ingest, Afterwards: never wrong bytes."""
    path = os.path.join(zone, "a.txt")
    files.write(path, b"hello")
    mount.sql(f"UPDATE \"{table}\" SET text = 'HELLO'")
    time.sleep(1)
    with pytest.raises(OSError) as caught:
        files.read(path)
    assert caught.value.errno == 22


def test_a_file_whose_table_was_dropped_by_sql_is_ingested_again_once(mount, table, zone):
    """Ingest, Atomic and repeatable."""
    content = files.text(2_500, 3).encode()
    path = os.path.join(zone, "a.txt")
    for _ in range(3):
        files.write(path, content)
        mount.sql(f'DROP TABLE "{table}"')
        files.write(path, content)
        assert_ingested(mount, table, "a.txt", content)
        assert mount.n_rows(table) == len(files.expected_chunks(content.decode()))
        assert mount.n_orphans(table) == 0


def test_an_empty_file_can_be_copied_again_without_its_table(mount, table, zone, work):
    """Ingest, When: an empty file."""
    source = files.write(os.path.join(work, "empty.txt"), b"")
    for _ in range(2):
        run("cp", source, os.path.join(zone, "empty.txt")).ok()
        time.sleep(0.3)
    files.write(os.path.join(zone, "a.txt"), b"a")
    mount.sql(f'DROP TABLE "{table}"')
    run("rsync", "-a", "--ignore-times", source, zone + "/").ok()
    assert mount.ledger(table, "empty.txt")["n_rows"] == 0


def test_an_unlinked_file_that_is_open_is_still_a_file(mount, table, zone):
    """Tenets: ordinary tools work."""
    with open(os.path.join(zone, ".scratch"), "w+b", buffering=0) as file:
        file.write(b"abc")
        os.unlink(file.name)
        assert os.fstat(file.fileno()).st_size == 3
        os.ftruncate(file.fileno(), 1)
        os.fchmod(file.fileno(), 0o600)
        file.seek(0)
        assert file.read() == b"a"
    assert os.listdir(zone) == []


def test_removing_a_file_that_was_never_written_to_in_a_bare_table_works(mount, table):
    """Tables: a table that has nothing but the id column takes files."""
    os.mkdir(mount.at(table))
    path = mount.zone(table, "empty.bin.txt")
    shell(': > "$1"', path).ok()
    time.sleep(0.3)
    os.unlink(path)
    assert mount.ledger_paths(table) == []


def test_extended_attributes_of_ours_are_found_and_not_sent_along(mount, table, zone, work):
    """Ingest, Afterwards; a second rsync -aX transfers nothing."""
    os.mkdir(os.path.join(work, "src"))
    files.write(os.path.join(work, "src", "a.txt"), b"a")
    run("rsync", "-aX", os.path.join(work, "src") + "/", zone + "/").ok()
    assert os.getxattr(os.path.join(zone, "a.txt"), "user.deeplake.kind") == b"text"
    again = run("rsync", "-aXi", os.path.join(work, "src") + "/", zone + "/")
    again.ok()
    assert again.out == ""


def test_a_table_may_end_in_json(mount):
    """Names: only what ends in .sql means something else."""
    os.mkdir(mount.at("data.json"))
    files.write(mount.zone("data.json", "a.txt"), b"a")
    assert json.loads(files.read(mount.at("data.json", "query.sql")))[0]["text"] == "a"
    os.rmdir(mount.at("data.json"))


def test_new_bytes_under_a_temporary_name_that_was_final_move_as_one_file(mount, table, zone):
    """Ingest, Afterwards: mv inside a drop zone renames; nothing stays behind."""
    at = lambda name: os.path.join(zone, name)
    files.write(at("a.bin"), b"old")
    os.rename(at("a.bin"), at("a.part"))
    files.write(at("a.part"), b"new")
    os.rename(at("a.part"), at("b.part"))
    assert os.listdir(zone) == ["b.part"]
    assert files.read(at("b.part")) == b"new"
    os.rename(at("b.part"), at("c.bin"))
    assert os.listdir(zone) == ["c.bin"]
    assert_ingested(mount, table, "c.bin", b"new")
    assert mount.n_rows(table) == 1


def test_new_bytes_under_a_temporary_name_leave_no_former_ones_behind(mount, table, zone):
    """Tenets: nothing is lost or doubled. The renames of other files are what makes the mount
    forget what it knows of the folder."""
    at = lambda name: os.path.join(zone, name)
    files.write(at("other.bin"), b"other")
    os.mkdir(at("d"))
    files.write(at("a.bin"), b"old")
    os.rename(at("a.bin"), at("d/a.part"))
    with open(at("d/a.part"), "ab") as file:
        file.write(b" and new")
    os.rename(at("other.bin"), at("another.bin"))
    os.rename(at("d/a.part"), at("b.bin"))
    assert os.listdir(at("d")) == []
    assert mount.ledger_paths(table) == ["another.bin", "b.bin"]
    assert mount.n_rows(table) == 2
    assert_ingested(mount, table, "b.bin", b"old and new")


def test_a_file_that_is_replaced_under_a_temporary_name_takes_its_rows_along(
        mount, table, zone):
    """Ingest, Afterwards: a file that was there under the new name is removed with its rows."""
    at = lambda name: os.path.join(zone, name)
    files.write(at("a.bin"), b"old")
    os.rename(at("a.bin"), at("a.part"))
    assert mount.n_rows(table) == 1
    files.write(at("b.part"), b"new")
    os.rename(at("b.part"), at("a.part"))
    assert files.read(at("a.part")) == b"new"
    assert mount.n_rows(table) == 0


def test_a_folder_with_only_temporary_files_is_not_replaced_by_a_rename(mount, table, zone):
    """Tenets: ordinary tools work, and nothing is lost."""
    os.mkdir(os.path.join(zone, "full"))
    os.mkdir(os.path.join(zone, "empty"))
    files.write(os.path.join(zone, "full", "a.part"), b"waiting")
    with pytest.raises(OSError) as caught:
        os.rename(os.path.join(zone, "empty"), os.path.join(zone, "full"))
    assert caught.value.errno == errno.ENOTEMPTY
    assert files.read(os.path.join(zone, "full", "a.part")) == b"waiting"


def test_a_refused_rename_leaves_what_is_being_written_under_the_new_name(mount, table, zone):
    """Tenets: nothing is lost."""
    final = os.path.join(zone, "a.txt")
    waiting = files.write(os.path.join(zone, "a.part"), b"no\0text")
    with open(final, "wb") as writer:
        writer.write(b"one ")
        writer.flush()
        with pytest.raises(OSError) as caught:
            os.rename(waiting, final)
        assert caught.value.errno == errno.EINVAL
        writer.write(b"two")
    assert_ingested(mount, table, "a.txt", b"one two")
    assert files.read(waiting) == b"no\0text"


def test_a_late_release_of_an_empty_file_does_not_undo_a_truncate(mount, table, zone):
    """Ingest, When: an empty file is entered when its last handle is released."""
    for n in range(150):
        path = os.path.join(zone, f"{n}.bin")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL))
        os.truncate(path, 2)
    time.sleep(1.2)
    assert [n for n in range(150)
            if files.read(os.path.join(zone, f"{n}.bin")) != b"\0\0"] == []
    assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE length(data) = 2') == [(150,)]
