# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Tables and Namespace: tables are folders."""

import errno
import json
import os
import stat
import time

import pytest

from support import files
from support.mount import LEDGER, run, wait_for


def names(mount):
    return set(os.listdir(mount.path))


def test_the_root_lists_tables_views_and_its_own_entries(mount, table):
    """Namespace; Tables: ls of the root lists tables and views."""
    os.mkdir(mount.at(table))
    mount.sql(f'CREATE VIEW "{table}_view" AS SELECT 1 AS one')
    wait_for(lambda: f"{table}_view" in names(mount), 2, "the view in the listing")
    assert {table, f"{table}_view", "ingest", "query.sql"} <= names(mount)
    assert os.path.isdir(mount.at(f"{table}_view"))
    assert os.path.isdir(mount.at(".deeplake"))
    assert os.path.isdir(mount.at("ingest"))
    assert os.path.isfile(mount.at("query.sql"))


def test_a_table_folder_has_its_documents(mount, table):
    """Namespace."""
    os.mkdir(mount.at(table))
    assert {"query.sql", "schema.json", "info.json"} <= set(os.listdir(mount.at(table)))


def test_mkdir_makes_a_table_with_the_id_column(mount, table):
    """Tables: mkdir creates an empty table (the id column only)."""
    os.mkdir(mount.at(table))
    assert mount.sql("SELECT column_name, data_type, is_identity "
                     "FROM information_schema.columns "
                     "WHERE table_schema = %s AND table_name = %s",
                     mount.workspace, table) == [("id", "bigint", "YES")]
    assert mount.n_rows(table) == 0


def test_mkdir_of_what_exists_gives_eexist(mount, table):
    """Tables."""
    os.mkdir(mount.at(table))
    with pytest.raises(FileExistsError):
        os.mkdir(mount.at(table))
    run("mkdir", "-p", mount.at(table)).ok()


def test_rmdir_drops_the_table_and_its_ledger_entries(mount, table):
    """Tables: rmdir drops the table, its indexes and its ledger entries; it needs not be
    empty."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), b"x")
    files.write(mount.zone(table, "sub", "b.bin"), b"x")
    mount.sql(f'CREATE INDEX ON "{table}" (file_id)')
    run("rmdir", mount.at(table)).ok()
    assert not mount.table_exists(table)
    assert mount.sql(f"SELECT count(*) FROM {LEDGER} WHERE table_name = %s", table) == [(0,)]
    assert table not in names(mount)
    assert not os.path.exists(mount.zone(table, "a.txt"))


def test_rmdir_drops_a_view(mount, table):
    """Tables."""
    mount.sql(f'CREATE VIEW "{table}" AS SELECT 1 AS one')
    wait_for(lambda: table in names(mount), 2, "the view in the listing")
    os.rmdir(mount.at(table))
    assert not mount.table_exists(table)


def test_a_dropped_name_can_be_used_again(mount, table):
    """Tables."""
    for content in (b"first", b"second"):
        os.mkdir(mount.zone(table))
        files.write(mount.zone(table, "a.txt"), content)
        assert mount.chunks(table, "a.txt") == [(0, content.decode())]
        os.rmdir(mount.at(table))
        assert table not in names(mount)


@pytest.mark.not_by_service("its errors have no details")
def test_rmdir_of_a_table_that_others_depend_on_is_refused(mount, table):
    """Tables: dropping is one transaction; nothing is dropped that was not named."""
    os.mkdir(mount.at(table))
    mount.sql(f'CREATE VIEW "{table}_view" AS SELECT * FROM "{table}"')
    with pytest.raises(OSError):
        os.rmdir(mount.at(table))
    assert mount.table_exists(table)
    assert f"{table}_view" in files.read(mount.at(".deeplake", "errors.jsonl")).decode()


def test_rm_r_never_drops_a_table(mount, table):
    """Tables: rm -r never drops: its first unlink gives EPERM."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), b"x")
    ran = run("rm", "-r", mount.at(table))
    assert ran.code != 0
    assert "Operation not permitted" in ran.err
    assert mount.n_rows(table) == 1


def test_mv_renames_the_table_with_its_files(mount, table):
    """Tables: mv old new at the root renames the table."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), b"x")
    run("mv", mount.at(table), mount.at(table + "_new")).ok()
    assert not mount.table_exists(table)
    assert mount.chunks(table + "_new", "a.txt") == [(0, "x")]
    assert files.read(mount.zone(table + "_new", "a.txt")) == b"x"
    assert table not in names(mount) and table + "_new" in names(mount)


def test_mv_over_an_existing_table_gives_eexist(mount, table):
    """Tables."""
    os.mkdir(mount.at(table))
    os.mkdir(mount.at(table + "_new"))
    with pytest.raises(OSError) as caught:
        os.rename(mount.at(table), mount.at(table + "_new"))
    assert caught.value.errno == errno.EEXIST
    assert mount.table_exists(table) and mount.table_exists(table + "_new")


def test_another_client_s_create_and_drop_show_within_a_second(mount, table):
    """Tables: what another client creates or drops shows within 1 s."""
    assert not os.path.exists(mount.at(table))
    assert table not in names(mount)
    mount.sql(f'CREATE TABLE "{table}" (id int)')
    wait_for(lambda: table in names(mount), 1.1, "the new table in the listing")
    wait_for(lambda: os.path.isdir(mount.at(table)), 1.1, "the new table's folder")
    mount.sql(f'DROP TABLE "{table}"')
    wait_for(lambda: table not in names(mount), 1.1, "the dropped table to leave the listing")
    wait_for(lambda: not os.path.exists(mount.at(table)), 1.1, "its folder to go")


def test_two_mounts_see_each_other_s_tables_and_files(mount, another_mount, table):
    """Tables: what another client creates or drops shows within 1 s."""
    other = another_mount(workspace=mount.workspace)
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), b"from the first")
    wait_for(lambda: table in names(other), 1.2, "the table in the other mount")
    wait_for(lambda: os.path.exists(other.zone(table, "a.txt")), 1.2, "the file there")
    assert files.read(other.zone(table, "a.txt")) == b"from the first"
    files.write(other.zone(table, "b.txt"), b"from the second")
    wait_for(lambda: sorted(os.listdir(mount.zone(table))) == ["a.txt", "b.txt"], 1.2, "b.txt")
    os.unlink(other.zone(table, "a.txt"))
    wait_for(lambda: not os.path.exists(mount.zone(table, "a.txt")), 1.2, "a.txt to go")
    os.rmdir(other.at(table))
    wait_for(lambda: table not in names(mount), 1.2, "the table to leave the first mount")


def test_the_ledger_is_hidden(mount, table):
    """Namespace, Names: the extension's own tables and the ledger are hidden."""
    os.mkdir(mount.zone(table))
    assert mount.table_exists(LEDGER)
    assert LEDGER not in names(mount)
    assert not os.path.exists(mount.at(LEDGER))
    assert LEDGER not in files.read(mount.at("query.sql")).decode()
    with pytest.raises(OSError):
        os.mkdir(mount.at(LEDGER))


def test_workspaces_are_apart(mount, another_mount, table):
    """Namespace: the root is the workspace."""
    other = another_mount()
    os.mkdir(mount.at(table))
    time.sleep(1.1)
    assert table not in names(other)
    os.mkdir(other.at(table))
    os.rmdir(other.at(table))
    assert mount.table_exists(table)


def test_read_only_mounts_refuse_every_change(mount, another_mount, table):
    """Tables: with -o ro: EROFS."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), b"x")
    other = another_mount(workspace=mount.workspace, options=["-o", "ro"])
    assert files.read(other.zone(table, "a.txt")) == b"x"
    assert json.loads(files.read(other.at(table, "query.sql")))[0]["text"] == "x"
    for act in (lambda: os.mkdir(other.at(table + "_2")), lambda: os.rmdir(other.at(table)),
                lambda: os.unlink(other.zone(table, "a.txt")),
                lambda: files.write(other.zone(table, "b.txt"), b"y"),
                lambda: os.rename(other.at(table), other.at(table + "_2")),
                lambda: os.chmod(other.zone(table, "a.txt"), 0o600)):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno == errno.EROFS
    assert mount.ledger_paths(table) == ["a.txt"]


def test_no_drop_mounts_refuse_rmdir_of_tables_alone(mount, another_mount, table):
    """Tables: with -o no_drop: EPERM."""
    other = another_mount(workspace=mount.workspace, options=["-o", "no_drop"])
    os.mkdir(other.zone(table))
    files.write(other.zone(table, "a.txt"), b"x")
    with pytest.raises(PermissionError) as caught:
        os.rmdir(other.at(table))
    assert caught.value.errno == errno.EPERM
    assert mount.n_rows(table) == 1
    os.unlink(other.zone(table, "a.txt"))
    os.rmdir(other.zone(table))


def test_schema_json_names_the_columns_in_order(mount, table):
    """Namespace: columns in order: name, type (the specification's), sql_type, nullable,
    key."""
    mount.sql(f'CREATE TABLE "{table}" (b text NOT NULL, a bigint PRIMARY KEY, f float8, '
              "t bool, e float4[], raw bytea, n int, r float4, d numeric(6,2))")
    wait_for(lambda: os.path.exists(mount.at(table, "schema.json")), 2, "schema.json")
    found = json.loads(files.read(mount.at(table, "schema.json")))
    columns = found["columns"] if isinstance(found, dict) else found
    assert [(one["name"], one["type"], one["sql_type"]) for one in columns][:8] == [
        ("b", "TEXT", "text"), ("a", "INT64", "bigint"), ("f", "FLOAT64", "double precision"),
        ("t", "BOOL", "boolean"), ("e", "EMBEDDING", "real[]"), ("raw", "BINARY", "bytea"),
        ("n", "INT32", "integer"), ("r", "FLOAT32", "real")]
    assert columns[8]["sql_type"] == "numeric(6,2)"
    assert [one["nullable"] for one in columns][:3] == [False, False, True]
    assert bool(columns[1]["key"]) and not columns[0]["key"]


def test_info_json_tells_of_rows_and_files(mount, table):
    """Namespace: info.json: table_name, row_count, dataset_path, size_bytes, indexes, files."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "a.txt"), "x" * 2500)
    files.write(mount.zone(table, "b.bin"), b"y")
    mount.sql(f'CREATE INDEX "{table}_index" ON "{table}" (file_id)')
    found = json.loads(files.read(mount.at(table, "info.json")))
    assert (found["table_name"], found["row_count"]) == (table, 4)
    assert found["dataset_path"].endswith(f"/{mount.workspace}/{table}")
    assert found["size_bytes"] > 0
    assert f"{table}_index" in json.dumps(found["indexes"])
    os.unlink(mount.zone(table, "b.bin"))
    assert json.loads(files.read(mount.at(table, "info.json")))["row_count"] == 3


@pytest.mark.parametrize("document", ["schema.json", "info.json"])
def test_documents_suit_every_tool(mount, table, work, document):
    """Tenets: ordinary tools work; sizes are exact."""
    os.mkdir(mount.at(table))
    path = mount.at(table, document)
    content = files.read(path)
    json.loads(content)
    assert content.endswith(b"\n")
    for script in ('cp "$1" "$2"', 'cat "$1" > "$2"', 'rsync "$1" "$2"',
                   '/usr/bin/python3 -c "import shutil, sys; '
                   'shutil.copyfile(sys.argv[1], sys.argv[2])" "$1" "$2"'):
        run("bash", "-c", script, "bash", path, os.path.join(work, "copy")).ok()
        assert files.read(os.path.join(work, "copy")) == content
    with pytest.raises(PermissionError):
        os.unlink(path)
    with pytest.raises(OSError):
        files.write(path, b"{}")


def test_stat_tells_owner_type_and_block_size(mount, table):
    """Namespace, Attributes: owner is who mounted; st_blksize is 1 MiB."""
    os.mkdir(mount.at(table))
    for path, is_folder in ((mount.path, True), (mount.at(table), True),
                            (mount.at("ingest"), True), (mount.at("query.sql"), False),
                            (mount.at(table, "info.json"), False)):
        found = os.stat(path)
        assert stat.S_ISDIR(found.st_mode) == is_folder
        assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())
        assert found.st_blksize == 1 << 20
        assert found.st_nlink >= 1
    assert os.stat(mount.at(table)).st_ino != os.stat(mount.at("ingest")).st_ino


def test_a_table_s_mtime_is_its_last_ingest(mount, table):
    """Namespace, Attributes: mtime of a table is the time of its last ingest."""
    os.mkdir(mount.zone(table))
    before = time.time()
    files.write(mount.zone(table, "a.txt"), b"x")
    wait_for(lambda: before - 1 <= os.stat(mount.at(table)).st_mtime <= time.time() + 1, 2.5,
             "the table's mtime to be now")
    time.sleep(1.2)
    assert before - 1 <= os.stat(mount.at(table)).st_mtime <= time.time() - 1


def test_statfs_tells_the_truth_of_the_disk(mount):
    """Namespace, Attributes: statfs tells the truth of the disk behind (never zeros)."""
    found, behind = os.statvfs(mount.path), os.statvfs(mount.backend.folder)
    assert found.f_blocks * found.f_frsize == behind.f_blocks * behind.f_frsize
    assert found.f_bavail > 0 and found.f_files > 0
    assert found.f_namemax >= 63
    assert run("df", mount.path).ok().out.splitlines()[1]


def test_unknown_names_are_enoent(mount, table):
    """Namespace."""
    for path in (mount.at(table), mount.at(table, "rowz"), mount.zone(table, "a.txt"),
                 mount.at(".deeplake", "nothing")):
        assert not os.path.exists(path)
        with pytest.raises(FileNotFoundError):
            os.stat(path)


def test_files_cannot_be_made_at_the_root_or_in_a_table(mount, table):
    """Namespace: only the drop zones take files."""
    os.mkdir(mount.at(table))
    for path in (mount.at("stray.txt"), mount.at(table, "stray.txt")):
        with pytest.raises(PermissionError):
            files.write(path, b"x")


def test_links_pipes_and_devices_are_refused_with_the_reason(mount, zone, table):
    """Namespace: there are files and folders alone: EPERM."""
    files.write(os.path.join(zone, "a.txt"), "a")
    for folder in (mount.path, zone, mount.at("ingest")):
        path = os.path.join(folder, f"{table}_new")
        for make in (lambda: os.symlink("a.txt", path), lambda: os.mkfifo(path),
                     lambda: os.link(os.path.join(zone, "a.txt"), path)):
            with pytest.raises(OSError) as caught:
                make()
            assert caught.value.errno == errno.EPERM
            assert not os.path.lexists(path)
    with open(mount.at(".deeplake", "errors.jsonl"), encoding="utf-8") as lines:
        told = [one for one in map(json.loads, lines) if one["path"].endswith(f"{table}_new")]
    assert [one["op"] for one in told] == ["symlink", "mknod", "link"] * 3


def test_the_tree_can_be_walked(mount, table):
    """Tenets: ordinary tools work: find, ls -laR."""
    os.mkdir(mount.zone(table))
    files.write(mount.zone(table, "sub", "a.txt"), b"x")
    for folder in (mount.at(table), mount.at("ingest"), mount.at(".deeplake")):
        run("ls", "-laR", folder).ok()
        run("find", folder, "-name", "none").ok()
    run("ls", "-la", mount.path).ok()
