# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Indexes: a table's indexes are folders."""

import errno
import json
import os
import signal
import subprocess

import pytest

from support import files
from support.mount import environment, run, shell, wait_for


@pytest.fixture
def filled(mount, table):
    """A table with rows of one text."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), files.ascii_text(3000, 1))
    return table


def names(mount, table):
    return sorted(os.listdir(mount.at(table, "indexes")))


def on_server(mount, table):
    return mount.sql("SELECT indexdef FROM pg_indexes WHERE schemaname = %s AND tablename = %s "
                     "ORDER BY indexname", mount.workspace, table)


def made_here(mount, table):
    """Ingest makes two by itself: that of the key, and one of file_id."""
    return [row for row in on_server(mount, table) if '"deeplakefs_' in row[0]]


def test_mkdir_makes_the_index_that_the_name_defines(mount, filled):
    """Indexes: mkdir; definition.sql and info.json."""
    before = names(mount, filled)
    os.mkdir(mount.at(filled, "indexes", "file_id.btree"))
    assert names(mount, filled) == sorted(before + ["file_id.btree"])
    assert any("USING btree (file_id)" in row[0] for row in on_server(mount, filled))
    folder = mount.at(filled, "indexes", "file_id.btree")
    assert sorted(os.listdir(folder)) == ["definition.sql", "info.json"]
    definition = files.read(os.path.join(folder, "definition.sql")).decode()
    assert "USING btree (file_id)" in definition
    assert os.stat(os.path.join(folder, "definition.sql")).st_size == len(definition)
    info = json.loads(files.read(os.path.join(folder, "info.json")))
    assert info["method"] == "btree" and info["columns"] == ["file_id"]
    assert info["is_valid"] is True and info["is_primary"] is False
    assert info["size_bytes"] > 0 and info["n_scans"] == 0
    assert info["name"] in json.dumps(json.loads(files.read(mount.at(filled, "info.json"))))


@pytest.mark.parametrize("name, clause", [
    ("file_id,chunk_index.btree", "btree (file_id, chunk_index)"),
    ("file_id.hash", "hash (file_id)"), ("chunk_index.brin", "brin (chunk_index)")])
def test_several_columns_and_every_method_of_the_server(mount, filled, name, clause):
    """Indexes."""
    run("mkdir", mount.at(filled, "indexes", name)).ok()
    assert name in names(mount, filled)
    assert any(f"USING {clause}" in row[0] for row in on_server(mount, filled))


def test_mkdir_of_what_exists_gives_eexist(mount, filled):
    """Indexes."""
    os.mkdir(mount.at(filled, "indexes", "file_id.btree"))
    with pytest.raises(FileExistsError):
        os.mkdir(mount.at(filled, "indexes", "file_id.btree"))
    assert names(mount, filled).count("file_id.btree") == 1
    assert len(made_here(mount, filled)) == 1


@pytest.mark.parametrize("name, code", [
    ("missing.btree", errno.EINVAL), ("file_id.btre", errno.EINVAL), ("file_id", errno.EINVAL),
    ("file_id.", errno.EINVAL), (",file_id.btree", errno.EINVAL), (".btree", errno.EINVAL),
    ("%66ile_id.btree", errno.EINVAL), ("text.gin", errno.EINVAL),
    ("file_id,text.hash", errno.EOPNOTSUPP), ("x" * 250 + ".btree", errno.ENAMETOOLONG)])
def test_a_failure_says_why_and_leaves_nothing(mount, filled, name, code):
    """Indexes."""
    before = on_server(mount, filled)
    with pytest.raises(OSError) as refusal:
        os.mkdir(mount.at(filled, "indexes", name))
    assert refusal.value.errno == code
    assert on_server(mount, filled) == before
    last = json.loads(files.read(mount.at(".deeplake", "errors.jsonl")).splitlines()[-1])
    assert last["message"] and last["op"] == "mkdir"


@pytest.mark.parametrize("kind", ["bm25", "embedding_index", "exact_text", "inverted"])
def test_types_of_the_extension_need_its_access_method(mount, filled, kind):
    """Indexes: EOPNOTSUPP as long as the server has no deeplake_index."""
    mount.sql("DROP EXTENSION IF EXISTS pg_deeplake")
    assert mount.sql("SELECT 1 FROM pg_am WHERE amname = 'deeplake_index'") == []
    with pytest.raises(OSError) as refusal:
        os.mkdir(mount.at(filled, "indexes", f"text.{kind}"))
    assert refusal.value.errno == errno.EOPNOTSUPP
    assert "deeplake_index" in files.read(mount.at(".deeplake", "errors.jsonl")).decode()


@pytest.mark.parametrize("kind", ["bm25", "exact_text", "inverted"])
def test_types_of_the_extension_are_made_where_it_is(mount, filled, kind):
    """Indexes: USING deeplake_index WITH (index_type = …)."""
    if not mount.sql("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_deeplake'"):
        pytest.skip("the extension was not built")
    mount.sql("CREATE EXTENSION IF NOT EXISTS pg_deeplake SCHEMA public")
    name = f"text.{kind}"
    os.mkdir(mount.at(filled, "indexes", name))
    assert name in names(mount, filled)
    assert any(f"USING deeplake_index (text) WITH (index_type={kind})" in row[0]
               for row in on_server(mount, filled))
    os.rmdir(mount.at(filled, "indexes", name))
    assert made_here(mount, filled) == []


def test_rmdir_drops_and_rm_r_does_not(mount, filled):
    """Indexes: rmdir; files inside are not written or removed: EPERM."""
    folder = mount.at(filled, "indexes", "file_id.btree")
    os.mkdir(folder)
    assert run("rm", "-r", folder).code != 0
    for change in (lambda: os.remove(os.path.join(folder, "info.json")),
                   lambda: files.write(os.path.join(folder, "info.json"), b"x"),
                   lambda: files.write(os.path.join(folder, "new"), b"x")):
        with pytest.raises(PermissionError):
            change()
    assert "file_id.btree" in names(mount, filled)
    os.rmdir(folder)
    assert "file_id.btree" not in names(mount, filled)
    assert made_here(mount, filled) == []
    with pytest.raises(FileNotFoundError):
        os.rmdir(folder)


def test_the_primary_key_stays(mount, filled):
    """Indexes: EPERM for the index of a constraint."""
    key = f"{filled}_pkey"
    assert key in names(mount, filled)
    assert json.loads(files.read(mount.at(filled, "indexes", key, "info.json")))["is_primary"]
    with pytest.raises(PermissionError):
        os.rmdir(mount.at(filled, "indexes", key))
    assert key in names(mount, filled)


def test_indexes_made_elsewhere_show_under_their_own_name(mount, filled):
    """Indexes: reversible names that collide with no definition."""
    odd = f"{filled}.a/b%.btree"
    mount.sql(f'CREATE INDEX "{odd}" ON "{filled}" (lower(text))')
    shown = odd.replace("%", "%25").replace("/", "%2F").replace(".", "%2E")
    wait_for(lambda: shown in names(mount, filled), 2, "the index in the listing")
    info = json.loads(files.read(mount.at(filled, "indexes", shown, "info.json")))
    assert info["name"] == odd and info["columns"] == ["lower(text)"]
    os.rmdir(mount.at(filled, "indexes", shown))
    assert shown not in names(mount, filled)


def test_columns_with_odd_names(mount, table):
    """Indexes: '%', ',' and '/' of a column are percent-encoded."""
    mount.sql(f'CREATE TABLE "{table}" ("a,b/c%d.e ""f" int)')
    wait_for(lambda: os.path.isdir(mount.at(table)), 2, "the table")
    os.mkdir(mount.at(table, "indexes", 'a%2Cb%2Fc%25d.e "f.btree'))
    assert names(mount, table) == ['a%2Cb%2Fc%25d.e "f.btree']
    info = json.loads(run("cat", mount.at(table, "indexes", 'a%2Cb%2Fc%25d.e "f.btree',
                                          "info.json")).ok().out)
    assert info["columns"] == ['a,b/c%d.e "f']


def test_indexes_follow_their_table(mount, filled):
    """Indexes: a rename of the table, and its name used again."""
    os.mkdir(mount.at(filled, "indexes", "file_id.btree"))
    os.rename(mount.at(filled), mount.at(filled + "_new"))
    assert "file_id.btree" in names(mount, filled + "_new")
    os.mkdir(mount.zone(filled))
    files.write(mount.zone(filled, "a.txt"), b"text")
    os.mkdir(mount.at(filled, "indexes", "file_id.btree"))
    assert "file_id.btree" in names(mount, filled)


def test_ctrl_c_cancels_and_leaves_nothing(mount, filled):
    """Indexes: it waits for the server, and can be interrupted."""
    holder = mount.backend.connect()
    holder.autocommit = False
    cursor = holder.cursor()
    cursor.execute(f'LOCK TABLE "{mount.workspace}"."{filled}" IN ROW EXCLUSIVE MODE')
    making = subprocess.Popen(["mkdir", mount.at(filled, "indexes", "file_id.btree")],
                              env=environment(), stderr=subprocess.PIPE)
    wait_for(lambda: mount.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
                               "AND query LIKE '%CREATE INDEX%'"), 10, "the index to wait")
    making.send_signal(signal.SIGINT)
    making.communicate(timeout=20)
    assert making.returncode != 0
    wait_for(lambda: not mount.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = "
                                   "'Lock' AND query LIKE '%CREATE INDEX%'"), 10,
             "the server to give up")
    holder.rollback()
    holder.close()
    assert made_here(mount, filled) == []
    os.mkdir(mount.at(filled, "indexes", "file_id.btree"))


def test_two_that_make_the_same_make_one(mount, filled):
    """Indexes."""
    shell('for i in 1 2 3 4; do mkdir "$1" 2> /dev/null & done; wait',
          mount.at(filled, "indexes", "file_id.btree")).ok()
    assert len(made_here(mount, filled)) == 1


def test_a_view_has_none(mount, table):
    """Indexes."""
    mount.sql(f'CREATE VIEW "{table}" AS SELECT 1 AS one')
    wait_for(lambda: os.path.isdir(mount.at(table)), 2, "the view")
    assert names(mount, table) == []
    with pytest.raises(OSError) as refusal:
        os.mkdir(mount.at(table, "indexes", "one.btree"))
    assert refusal.value.errno == errno.EINVAL


def test_a_read_only_mount_changes_none(another_mount, table):
    """Indexes; Tables: -o ro."""
    writer = another_mount()
    os.mkdir(writer.zone(table))
    files.write(writer.zone(table, "a.txt"), b"text")
    os.mkdir(writer.at(table, "indexes", "file_id.btree"))
    reader = another_mount(writer.workspace, options=["-o", "ro"])
    assert "file_id.btree" in names(reader, table)
    for change in (lambda: os.mkdir(reader.at(table, "indexes", "text.hash")),
                   lambda: os.rmdir(reader.at(table, "indexes", "file_id.btree"))):
        with pytest.raises(OSError) as refusal:
            change()
        assert refusal.value.errno == errno.EROFS
