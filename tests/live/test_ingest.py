# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest: whatever tool copies, the rows are exactly the file's."""

import os
import shutil
import stat
import time

import pytest

from support import files
from support.checks import assert_ingested, assert_not_ingested, assert_reads_back
from support.mount import run, shell, wait_for

SOURCE = {
    "notes.txt": files.text(12_345, 1).encode(),
    "short.md": b"# ten\xc3\xa4\n",
    "exact.txt": files.text(1000, 2).encode(),
    "one-more.csv": files.text(1001, 3).encode(),
    "page.HTML": files.text(70_000, 4).encode(),
    "blob.bin": files.binary(300_003, 5),
    "small.dat": files.binary(17, 6),
    "noextension": b"text without an extension is kind other\n",
}

COPIERS = {
    "cp": 'cp "$1"/* "$2"/',
    "cp -a": 'cp -a "$1"/. "$2"/',
    "cp -r": 'cp -r "$1"/. "$2"/',
    "rsync -a": 'rsync -a "$1"/ "$2"/',
    "rsync -aX": 'rsync -aX "$1"/ "$2"/',
    "rsync --inplace": 'rsync -a --inplace "$1"/ "$2"/',
    "rsync --append": 'rsync -a --append "$1"/ "$2"/',
    "rsync --delay-updates": 'rsync -a --delay-updates "$1"/ "$2"/',
    "rsync --partial --fsync": 'rsync -a --partial --fsync "$1"/ "$2"/',
    "tar -x": 'tar -C "$1" -cf - . | tar -C "$2" -xf -',
    "mv": 'mv "$1"/* "$2"/',
    "dd": 'for f in "$1"/*; do dd if="$f" of="$2/${f##*/}" bs=7k status=none || exit; done',
    "dd conv=fsync": 'for f in "$1"/*; do '
                     'dd if="$f" of="$2/${f##*/}" conv=fsync status=none || exit; done',
    "tee": 'set -o pipefail; for f in "$1"/*; do '
           'tee "$2/${f##*/}" < "$f" > /dev/null || exit; done',
    "install": 'install -m 644 "$1"/* "$2"/',
    "shutil.copy2": '/usr/bin/python3 -c "import os, shutil, sys; '
                    '[shutil.copy2(os.path.join(sys.argv[1], n), sys.argv[2]) '
                    'for n in os.listdir(sys.argv[1])]" "$1" "$2"',
    "cmd > file": 'for f in "$1"/*; do cat "$f" > "$2/${f##*/}" || exit; done',
    "{ a; b; } > file": 'for f in "$1"/*; do '
                        '{ head -c 9 "$f"; tail -c +10 "$f"; } > "$2/${f##*/}" || exit; done',
    "( a; b ) > file": 'for f in "$1"/*; do '
                       '( head -c 9 "$f"; tail -c +10 "$f" ) > "$2/${f##*/}" || exit; done',
    "split --filter": 'for f in "$1"/*; do '
                      'split -b 1M --filter="cat > \\"$2/${f##*/}\\"" "$f" || exit; done',
}


@pytest.fixture
def source(work):
    folder = os.path.join(work, "source")
    for name, content in SOURCE.items():
        files.write(os.path.join(folder, name), content)
    return folder


def file_ids(mount, table):
    return {path: (mount.ledger(table, path)["file_id"],
                   mount.sql(f'SELECT min(id), max(id) FROM "{table}" WHERE file_id = %s',
                             mount.ledger(table, path)["file_id"])[0])
            for path in mount.ledger_paths(table)}


@pytest.mark.parametrize("tool", COPIERS)
def test_every_tool_gives_exactly_the_expected_rows(mount, table, zone, source, tool):
    """Ingest; Which kind; When."""
    shell(COPIERS[tool], source, zone).ok()
    assert mount.ledger_paths(table) == sorted(SOURCE)
    for name, content in SOURCE.items():
        assert_ingested(mount, table, name, content)
        assert_reads_back(mount, table, name, content)
    assert sorted(os.listdir(zone)) == sorted(SOURCE)
    assert mount.n_orphans(table) == 0


def test_columns_are_those_of_the_chunking_table(mount, table, zone):
    """Ingest, Which kind: columns exactly as there, in that order."""
    def columns():
        return mount.sql("SELECT column_name, data_type FROM information_schema.columns WHERE "
                         "table_schema = %s AND table_name = %s ORDER BY ordinal_position",
                         mount.workspace, table)

    files.write(os.path.join(zone, "a.txt"), "text")
    assert columns() == [("id", "bigint"), ("file_id", "text"), ("chunk_index", "integer"),
                         ("text", "text")]
    files.write(os.path.join(zone, "a.bin"), b"bytes")
    both = dict(columns())
    assert both == {"id": "bigint", "file_id": "text", "chunk_index": "integer", "text": "text",
                    "data": "bytea", "filename": "text"}
    assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE data IS NULL AND filename IS NULL '
                     "AND text = 'text' AND chunk_index = 0") == [(1,)]
    assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE text IS NULL '
                     "AND chunk_index IS NULL AND data = 'bytes'") == [(1,)]


def test_a_table_of_binary_files_has_the_columns_of_other(mount, table, zone):
    """Ingest, Which kind: id is the identity key, media columns are STORAGE EXTERNAL."""
    files.write(os.path.join(zone, "a.bin"), b"bytes")
    found = mount.sql(
        "SELECT attname, format_type(atttypid, atttypmod), attstorage, attidentity <> '' "
        "FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        f'"{table}"')
    assert [row[:2] for row in found] == [("id", "bigint"), ("file_id", "text"),
                                          ("data", "bytea"), ("filename", "text")]
    assert found[0][3] is True
    assert found[2][2] == "e"
    assert mount.sql("SELECT count(*) FROM pg_index WHERE indrelid = %s::regclass "
                     "AND indisprimary", f'"{table}"') == [(1,)]


def test_file_ids_are_uuids_one_per_source_file(mount, table, zone, source):
    """Ingest, Which kind."""
    shell(COPIERS["cp"], source, zone).ok()
    found = [row[0] for row in mount.sql(f'SELECT DISTINCT file_id::uuid::text FROM "{table}"')]
    assert len(found) == len(SOURCE)


def test_a_second_rsync_transfers_nothing(mount, table, zone, source):
    """Ingest, Atomic and repeatable: a second rsync -a of an unchanged tree transfers
    nothing."""
    first = shell('rsync -ai "$1"/ "$2"/', source, zone).ok()
    assert len(first.out.splitlines()) >= len(SOURCE)
    before = file_ids(mount, table)
    assert shell('rsync -ai "$1"/ "$2"/', source, zone).ok().out == ""
    assert file_ids(mount, table) == before


def test_copying_twice_doubles_nothing(mount, table, zone, source):
    """Ingest, Atomic and repeatable: the same hash is a no-op."""
    shell(COPIERS["cp"], source, zone).ok()
    before, n_rows = file_ids(mount, table), mount.n_rows(table)
    shell(COPIERS["cp"], source, zone).ok()
    assert (file_ids(mount, table), mount.n_rows(table)) == (before, n_rows)


def test_one_changed_file_replaces_only_its_own_rows(mount, table, zone, source):
    """Ingest, Atomic and repeatable: other content replaces that file's rows."""
    shell('rsync -a "$1"/ "$2"/', source, zone).ok()
    before = file_ids(mount, table)
    changed = files.text(2_222, 99).encode()
    files.write(os.path.join(source, "notes.txt"), changed)
    out = shell('rsync -ai "$1"/ "$2"/', source, zone).ok().out.splitlines()
    assert [line.split()[-1] for line in out] == ["notes.txt"]
    assert_ingested(mount, table, "notes.txt", changed)
    after = file_ids(mount, table)
    assert after.pop("notes.txt") != before.pop("notes.txt")
    assert after == before
    assert mount.n_orphans(table) == 0


def test_rsync_delete_deletes_the_rows(mount, table, zone, source):
    """Ingest, Afterwards: rm deletes that file's rows."""
    shell('rsync -a "$1"/ "$2"/', source, zone).ok()
    os.unlink(os.path.join(source, "page.HTML"))
    shell('rsync -a --delete "$1"/ "$2"/', source, zone).ok()
    assert "page.HTML" not in mount.ledger_paths(table)
    assert mount.n_orphans(table) == 0
    assert len(mount.ledger_paths(table)) == len(SOURCE) - 1


def test_rsync_inplace_over_an_older_version_gives_the_new_rows(mount, table, zone, source):
    """Ingest, When: shorter content by --inplace ends in a truncate."""
    shell('rsync -a --inplace "$1"/ "$2"/', source, zone).ok()
    changed = files.text(1_500, 98).encode()
    files.write(os.path.join(source, "page.HTML"), changed)
    shell('rsync -a --inplace --no-whole-file "$1"/ "$2"/', source, zone).ok()
    assert_ingested(mount, table, "page.HTML", changed)
    assert shell('rsync -ai "$1"/ "$2"/', source, zone).ok().out == ""


@pytest.mark.parametrize("name", ["empty.txt", "empty.bin"])
@pytest.mark.parametrize("script", ['cp "$1" "$2"', ': > "$2"', 'touch "$2"',
                                    'rsync -a "$1" "$2"'],
                         ids=["cp", "redirect", "touch", "rsync"])
def test_an_empty_file_is_a_file(mount, table, zone, work, name, script):
    """Ingest, Afterwards: the file stays visible with its source's size."""
    source, target = files.write(os.path.join(work, name), b""), os.path.join(zone, name)
    shell(script, source, target).ok()
    assert os.stat(target).st_size == 0
    assert os.listdir(zone) == [name]
    entry = wait_for(lambda: mount.ledger(table, name), what="the entry of the empty file")
    assert (entry["size_bytes"], entry["content_hash"]) == (0, files.sha256(b""))
    assert files.read(target) == b""
    if mount.table_exists(table):
        assert mount.n_rows(table) == entry["n_rows"]


@pytest.mark.parametrize("encoding, codec, mark", [
    ("UTF-8", "utf-8", b""), ("UTF-8 with BOM", "utf-8", b"\xef\xbb\xbf"),
    ("UTF-16LE", "utf-16-le", b"\xff\xfe"), ("UTF-16BE", "utf-16-be", b"\xfe\xff"),
    ("UTF-32LE", "utf-32-le", b"\xff\xfe\0\0"), ("UTF-32BE", "utf-32-be", b"\0\0\xfe\xff")])
def test_text_of_any_encoding_becomes_its_characters(mount, table, zone, encoding, codec, mark):
    """Ingest, Which kind: text in UTF-8 or by its byte order mark; the ledger names the
    encoding."""
    characters = files.text(3_000, 7)
    content = mark + characters.encode(codec)
    files.write(os.path.join(zone, "a.txt"), content)
    assert_ingested(mount, table, "a.txt", content, characters)
    assert mount.ledger(table, "a.txt")["encoding"] == encoding


def test_text_that_is_no_utf8_is_windows_1252(mount, table, zone):
    """Ingest, Which kind."""
    characters = "Größe: 5 € – naïve\n" * 200
    content = characters.encode("windows-1252")
    files.write(os.path.join(zone, "a.txt"), content)
    assert_ingested(mount, table, "a.txt", content, characters)
    assert mount.ledger(table, "a.txt")["encoding"] == "windows-1252"


def test_text_whose_bytes_the_rows_do_not_hold_refuses_to_be_read(mount, table, zone):
    """Ingest, Afterwards: reading returns the bytes where the rows hold them; otherwise
    EPERM."""
    files.write(os.path.join(zone, "a.txt"), "größe\n".encode("windows-1252"))
    with pytest.raises(PermissionError):
        files.read(os.path.join(zone, "a.txt"))
    ran = run("cat", os.path.join(zone, "a.txt"))
    assert ran.code != 0 and "Operation not permitted" in ran.err


def test_nul_in_a_text_file_is_refused_with_a_reason(mount, table, zone, work):
    """Ingest, Refusals: EINVAL; the reason stands in <name>.error and in errors.jsonl."""
    source = files.write(os.path.join(work, "bad.txt"), b"hello\0world")
    ran = run("cp", source, zone)
    assert ran.code != 0
    assert "Invalid argument" in ran.err
    assert_not_ingested(mount, table, "bad.txt")
    reason = files.read(os.path.join(zone, "bad.txt.error")).decode()
    assert "NUL" in reason
    assert "bad.txt.error" in os.listdir(zone)
    assert "bad.txt" in files.read(mount.at(".deeplake", "errors.jsonl")).decode()
    files.write(source, b"hello world")
    run("cp", source, zone).ok()
    assert_ingested(mount, table, "bad.txt", b"hello world")
    assert os.listdir(zone) == ["bad.txt"]


def test_an_error_file_can_be_removed(mount, table, zone):
    """Ingest, Refusals: until a good copy replaces it or it is removed."""
    with pytest.raises(OSError, match="Invalid argument"):
        files.write(os.path.join(zone, "bad.md"), b"\0")
    os.unlink(os.path.join(zone, "bad.md.error"))
    assert not os.path.exists(os.path.join(zone, "bad.md.error"))


def test_a_file_that_is_moved_to_a_refused_name_takes_the_reason_away(zone):
    """Ingest, Refusals: <name>.error goes when a good file takes its name, by mv too."""
    with pytest.raises(OSError):
        files.write(os.path.join(zone, "a.txt"), b"\0")
    files.write(os.path.join(zone, "good.txt"), b"good")
    assert os.path.exists(os.path.join(zone, "a.txt.error"))
    os.rename(os.path.join(zone, "good.txt"), os.path.join(zone, "a.txt"))
    assert os.listdir(zone) == ["a.txt"]


def test_a_listing_never_misses_a_file_that_is_just_being_entered(zone):
    """Ingest, When; Tenets: an empty file is entered by its release, after close has returned."""
    for number in range(100):
        name = f"{number}.txt"
        os.close(os.open(os.path.join(zone, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        for _ in range(3):
            assert name in os.listdir(zone)
        os.unlink(os.path.join(zone, name))


def test_a_name_of_another_kind_is_ingested_again_when_it_is_copied_again(mount, table, zone):
    """Ingest, Atomic and repeatable: once mv gave it a name of another kind."""
    files.write(os.path.join(zone, "a.bin"), b"words")
    os.rename(os.path.join(zone, "a.bin"), os.path.join(zone, "a.txt"))
    assert mount.ledger(table, "a.txt")["kind"] == "other"
    files.write(os.path.join(zone, "a.txt"), b"words")
    assert mount.ledger(table, "a.txt")["kind"] == "text"
    assert mount.chunks(table, "a.txt") == files.expected_rows("words")
    assert mount.n_rows(table) == 1


@pytest.mark.parametrize("tool, script", [
    ("cp", 'cp "$1" "$2"'), ("mv", 'mv "$1" "$2"'), ("dd", 'dd if="$1" of="$2"/bad.txt'),
    ("tee", 'tee "$2"/bad.txt < "$1"'), ("cat", 'cat "$1" > "$2"/bad.txt'),
    ("rsync", 'rsync -a "$1" "$2"'), ("tar", 'tar -C "${1%/*}" -c bad.txt | tar -C "$2" -x'),
    ("install", 'install "$1" "$2"'), 
    ("python", '/usr/bin/python3 -c "import shutil, sys; '
               'shutil.copy(sys.argv[1], sys.argv[2])" "$1" "$2"')])
def test_every_tool_hears_of_a_refusal(mount, table, zone, work, tool, script):
    """Ingest, Refusals are the exit code of whoever copied."""
    source = files.write(os.path.join(work, "bad.txt"), b"hello\0world")
    ran = shell(script, source, zone)
    assert ran.code != 0, f"{ran!r}"
    assert "Invalid argument" in ran.err
    assert_not_ingested(mount, table, "bad.txt")
    assert os.path.exists(source)


def test_a_refused_new_version_leaves_the_old_rows(mount, table, zone):
    """Ingest, Atomic: a file's rows are there entirely or not at all."""
    path = os.path.join(zone, "a.txt")
    files.write(path, b"good")
    with pytest.raises(OSError, match="Invalid argument"):
        files.write(path, b"ba\0d")
    assert mount.chunks(table, "a.txt") == [(0, "good")]


@pytest.mark.parametrize("name", [".a.txt.AbCdEf", "a.part", "a.txt.tmp", "a.txt~", ".nfs0001",
                                  ".hidden"])
def test_temporary_names_are_never_ingested(mount, table, zone, name):
    """Ingest, When: temporary names are never ingested."""
    path = os.path.join(zone, name)
    files.write(path, b"not yet")
    assert os.stat(path).st_size == 7
    assert files.read(path) == b"not yet"
    assert mount.ledger_paths(table) == []
    os.rename(path, os.path.join(zone, "a.txt"))
    assert_ingested(mount, table, "a.txt", b"not yet")
    assert os.listdir(zone) == ["a.txt"]


def test_a_refused_rename_to_a_final_name_is_told(mount, table, zone):
    """Ingest, When: the verdict comes from rename()."""
    files.write(os.path.join(zone, "a.tmp"), b"\0")
    with pytest.raises(OSError, match="Invalid argument"):
        os.rename(os.path.join(zone, "a.tmp"), os.path.join(zone, "a.txt"))
    assert_not_ingested(mount, table, "a.txt")


def test_rm_deletes_the_rows_of_that_file_alone(mount, table, zone):
    """Ingest, Afterwards."""
    for name in ("a.txt", "b.txt", "c.bin"):
        files.write(os.path.join(zone, name), name.encode() * 300)
    os.unlink(os.path.join(zone, "a.txt"))
    os.unlink(os.path.join(zone, "c.bin"))
    assert mount.ledger_paths(table) == ["b.txt"]
    assert_ingested(mount, table, "b.txt", b"b.txt" * 300)
    assert mount.n_rows(table) == len(files.expected_chunks("b.txt" * 300))
    assert os.listdir(zone) == ["b.txt"]


def test_mv_within_a_zone_renames_and_keeps_the_file_id(mount, table, zone):
    """Ingest, Afterwards: mv inside a drop zone renames (file_id stays)."""
    files.write(os.path.join(zone, "a.bin"), b"same bytes")
    before = mount.ledger(table, "a.bin")
    ids = mount.sql(f'SELECT id FROM "{table}"')
    os.mkdir(os.path.join(zone, "sub"))
    run("mv", os.path.join(zone, "a.bin"), os.path.join(zone, "sub", "b.bin")).ok()
    assert mount.ledger(table, "a.bin") is None
    assert mount.ledger(table, "sub/b.bin")["file_id"] == before["file_id"]
    assert mount.data(table, "sub/b.bin") == [(b"same bytes", "sub/b.bin")]
    assert mount.sql(f'SELECT id FROM "{table}"') == ids
    assert sorted(os.listdir(zone)) == ["sub"]


def test_mv_of_a_folder_takes_its_files_along(mount, table, zone):
    """Ingest, Afterwards: sub-folders are kept."""
    for name in ("a/1.bin", "a/b/2.bin", "a/b/3.txt"):
        files.write(os.path.join(zone, name), name.encode())
    run("mv", os.path.join(zone, "a"), os.path.join(zone, "z")).ok()
    assert mount.ledger_paths(table) == ["z/1.bin", "z/b/2.bin", "z/b/3.txt"]
    assert mount.data(table, "z/b/2.bin") == [(b"a/b/2.bin", "z/b/2.bin")]
    assert files.read(os.path.join(zone, "z/b/3.txt")) == b"a/b/3.txt"


def test_mv_over_another_file_replaces_it(mount, table, zone):
    """Ingest, Afterwards; Atomic."""
    files.write(os.path.join(zone, "a.bin"), b"new")
    files.write(os.path.join(zone, "b.bin"), b"old")
    os.rename(os.path.join(zone, "a.bin"), os.path.join(zone, "b.bin"))
    assert mount.ledger_paths(table) == ["b.bin"]
    assert mount.data(table, "b.bin") == [(b"new", "b.bin")]
    assert mount.n_rows(table) == 1


def test_mv_to_another_zone_moves_the_rows(mount, table, zone):
    """Ingest, Afterwards: to another drop zone: EXDEV, so that mv copies."""
    content = files.text(5_000, 8).encode()
    files.write(os.path.join(zone, "a.txt"), content)
    other = table[:50] + "_to"
    os.mkdir(mount.zone(other))
    with pytest.raises(OSError, match="cross-device"):
        os.rename(os.path.join(zone, "a.txt"), mount.zone(other, "a.txt"))
    run("mv", os.path.join(zone, "a.txt"), mount.zone(other)).ok()
    assert_ingested(mount, other, "a.txt", content)
    assert mount.n_rows(table) == 0
    assert mount.ledger_paths(table) == []


def test_nested_folders_are_kept(mount, table, zone, work):
    """Ingest, Afterwards: sub-folders are kept; filename is the path below the drop zone."""
    for name in ("top.txt", "a/b/c/deep.bin", "a/b/other.txt", "empty/.keep"):
        files.write(os.path.join(work, "tree", name), name.encode())
    os.makedirs(os.path.join(work, "tree", "hollow", "inside"))
    run("cp", "-r", os.path.join(work, "tree") + "/.", zone).ok()
    assert mount.ledger_paths(table) == ["a/b/c/deep.bin", "a/b/other.txt", "top.txt"]
    assert mount.data(table, "a/b/c/deep.bin") == [(b"a/b/c/deep.bin", "a/b/c/deep.bin")]
    assert os.path.isdir(os.path.join(zone, "hollow", "inside"))
    assert mount.ledger(table, "hollow/inside")["kind"] == "folder"


def test_mkdir_p_makes_zone_and_folders(mount, table):
    """Tables: mkdir -p and cp -r work."""
    run("mkdir", "-p", mount.zone(table, "a", "b")).ok()
    run("mkdir", "-p", mount.zone(table, "a", "b")).ok()
    assert os.listdir(mount.zone(table)) == ["a"]
    assert table in os.listdir(mount.at("ingest"))


def test_rmdir_wants_an_empty_folder(mount, table, zone):
    """Ingest, Afterwards."""
    files.write(os.path.join(zone, "a", "b.txt"), b"x")
    with pytest.raises(OSError, match="not empty"):
        os.rmdir(os.path.join(zone, "a"))
    os.unlink(os.path.join(zone, "a", "b.txt"))
    os.rmdir(os.path.join(zone, "a"))
    assert os.listdir(zone) == []


def test_rmdir_of_a_zone_leaves_the_table(mount, table, zone):
    """Ingest, Afterwards: rmdir ingest/<t> works when it is empty and leaves the table."""
    files.write(os.path.join(zone, "a.txt"), b"x")
    with pytest.raises(OSError, match="not empty"):
        os.rmdir(zone)
    os.unlink(os.path.join(zone, "a.txt"))
    os.rmdir(zone)
    assert mount.table_exists(table)
    assert os.path.isdir(mount.at(table))


def test_rm_r_in_a_zone_deletes_files_and_folders(mount, table, zone, source):
    """Ingest, Afterwards: rm deletes that file's rows."""
    shell('mkdir "$2/sub" && cp "$1"/* "$2/sub"', source, zone).ok()
    run("rm", "-r", os.path.join(zone, "sub")).ok()
    assert os.listdir(zone) == []
    assert mount.n_rows(table) == 0


def test_attributes_are_kept(mount, table, zone):
    """Ingest, Afterwards: chmod, chown, utimens and user.* xattrs are accepted and kept."""
    path = os.path.join(zone, "a.txt")
    files.write(path, b"x")
    os.chmod(path, 0o640)
    os.chown(path, 1234, 4321)
    os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_001_987_654_321))
    os.setxattr(path, "user.colour", b"gr\xc3\xbcn\0x")
    found = os.stat(path)
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert (found.st_uid, found.st_gid) == (1234, 4321)
    assert found.st_mtime_ns == 1_600_000_001_987_654_321
    assert os.getxattr(path, "user.colour") == b"gr\xc3\xbcn\0x"
    assert "user.colour" in os.listxattr(path)
    entry = mount.ledger(table, "a.txt")
    assert entry["mtime_ns"] == 1_600_000_001_987_654_321
    assert (stat.S_IMODE(entry["mode"]), entry["uid"], entry["gid"]) == (0o640, 1234, 4321)
    os.removexattr(path, "user.colour")
    assert "user.colour" not in os.listxattr(path)
    assert mount.chunks(table, "a.txt") == [(0, "x")]


def test_cp_a_keeps_mode_and_time(mount, table, zone, work):
    """Ingest, Afterwards: the file stays visible with its source's size, mtime and mode."""
    source = files.write(os.path.join(work, "a.bin"), b"x" * 5000)
    os.chmod(source, 0o751)
    os.utime(source, ns=(1_500_000_000_000_000_001, 1_500_000_000_000_000_001))
    run("cp", "-a", source, zone).ok()
    found = os.stat(os.path.join(zone, "a.bin"))
    assert (stat.S_IMODE(found.st_mode), found.st_size) == (0o751, 5000)
    assert found.st_mtime_ns == 1_500_000_000_000_000_001
    assert found.st_blocks * 512 >= 5000
    assert found.st_blksize == 1 << 20


def test_append_extends_the_rows(mount, table, zone):
    """Ingest, When."""
    path = os.path.join(zone, "log.txt")
    first, more = files.text(1_700, 9), files.text(900, 10)
    files.write(path, first)
    shell('cat >> "$1"', path, stdin=more.encode()).ok()
    assert_ingested(mount, table, "log.txt", (first + more).encode())
    assert_reads_back(mount, table, "log.txt", (first + more).encode())


def test_bytes_may_come_in_any_order(mount, table, zone):
    """Ingest, When: bytes go to a private staging file, in any order."""
    content = bytearray(files.binary(1_000_000, 11))
    content[400_000:600_000] = bytes(200_000)
    with open(os.path.join(zone, "a.bin"), "wb", buffering=0) as file:
        for start in (900_000, 0, 600_000, 300_000, 100_000, 200_000, 700_000, 800_000):
            file.seek(start)
            file.write(content[start:start + 100_000])
    assert_ingested(mount, table, "a.bin", bytes(content))
    assert_reads_back(mount, table, "a.bin", bytes(content))


def test_a_sparse_file_reads_as_zeros(mount, table, zone):
    """Ingest, When."""
    path = os.path.join(zone, "a.bin")
    shell('truncate -s 300000 "$1" && printf end | dd of="$1" bs=1 seek=299997 conv=notrunc '
          'status=none', path).ok()
    assert_ingested(mount, table, "a.bin", bytes(299_997) + b"end")


def test_a_change_in_the_middle_keeps_the_rest(mount, table, zone):
    """Ingest, When: an ingested file opened for writing without O_TRUNC has its old bytes."""
    path = os.path.join(zone, "a.bin")
    content = bytearray(files.binary(200_000, 12))
    files.write(path, bytes(content))
    with open(path, "r+b", buffering=0) as file:
        file.seek(100_000)
        file.write(b"patched")
    content[100_000:100_007] = b"patched"
    assert_ingested(mount, table, "a.bin", bytes(content))


@pytest.mark.parametrize("size", [0, 500, 1500, 5000])
def test_truncate_changes_the_rows(mount, table, zone, size):
    """Ingest, When; Atomic."""
    path = os.path.join(zone, "a.bin")
    content = files.binary(2_000, 13)
    files.write(path, content)
    os.truncate(path, size)
    expected = content[:size] + bytes(max(0, size - len(content)))
    wait_for(lambda: mount.ledger(table, "a.bin")["size_bytes"] == size, what="the new size")
    assert os.stat(path).st_size == size
    assert_reads_back(mount, table, "a.bin", expected)


def test_what_is_written_can_be_read_before_the_close(mount, table, zone):
    """Ingest, When."""
    with open(os.path.join(zone, "a.txt"), "w+b", buffering=0) as file:
        file.write(b"0123456789")
        assert os.fstat(file.fileno()).st_size == 10
        file.seek(4)
        assert file.read(3) == b"456"
        assert mount.ledger(table, "a.txt") is None
    assert_ingested(mount, table, "a.txt", b"0123456789")


def test_a_file_is_visible_while_it_is_written(mount, table, zone):
    """Ingest, When: rsync and shells stat what they have just made."""
    path = os.path.join(zone, "a.txt")
    with open(path, "wb", buffering=0) as file:
        file.write(b"12345")
        assert os.stat(path).st_size == 5
        assert os.listdir(zone) == ["a.txt"]


def test_rows_are_visible_to_everyone_when_close_returns(mount, table, zone):
    """Ingest, Durability: after close() the rows are visible to everyone."""
    for number in range(50):
        files.write(os.path.join(zone, f"{number}.txt"), f"number {number}")
        assert mount.chunks(table, f"{number}.txt") == [(0, f"number {number}")]


@pytest.mark.parametrize("name", ["with space.txt", "grün 数据 🦆.txt", "new\nline.bin",
                                  "100%.txt", "%2F.txt", "back\\slash.bin", "quo'te\".txt",
                                  "-dash.txt",
                                  "a" * 251 + ".txt", "two.dots.tar.bin", "tab\there.bin"])
def test_any_file_name_works(mount, table, zone, work, name):
    """Ingest: filename is the path below the drop zone."""
    source = files.write(os.path.join(work, name), b"content of it")
    run("cp", "--", source, zone).ok()
    assert os.listdir(zone) == [name]
    assert_ingested(mount, table, name, b"content of it")
    assert_reads_back(mount, table, name, b"content of it")


def test_a_file_name_that_is_not_utf8_is_refused(mount, table, zone):
    """Namespace, Names: not UTF-8: EILSEQ."""
    with pytest.raises(OSError) as caught:
        os.close(os.open(os.fsencode(zone) + b"/bad\xff.txt", os.O_CREAT | os.O_WRONLY))
    assert caught.value.errno == 84
    assert os.listdir(zone) == []


@pytest.mark.parametrize("name, file_name", [
    ("Grün und Blau", "Grün und Blau"), ("a%b", "a%25b"), ("a/b", "a%2Fb"),
    ("ingest", "%69ngest"), ('quo"te', 'quo"te'), ("UPPER", "UPPER"), ("x.sql", "%78.sql")])
def test_a_table_of_any_name_takes_files(mount, name, file_name):
    """Namespace, Names: the mapping of a table's name to a file name is reversible."""
    os.mkdir(mount.zone(file_name))
    files.write(mount.zone(file_name, "a.bin"), b"bytes")
    quoted = name.replace('"', '""')
    assert mount.sql(f'SELECT data FROM "{quoted}"')[0][0].tobytes() == b"bytes"
    assert file_name in os.listdir(mount.path)
    assert file_name in os.listdir(mount.at("ingest"))
    os.rmdir(mount.at(file_name))
    assert file_name not in os.listdir(mount.path)


def test_a_table_name_of_more_than_63_bytes_is_refused(mount):
    """Namespace, Names: more than 63 bytes: ENAMETOOLONG, never truncated."""
    for name in ("x" * 64, "ä" * 32):
        with pytest.raises(OSError) as caught:
            os.mkdir(mount.zone(name))
        assert caught.value.errno == 36
    os.mkdir(mount.zone("y" * 63))


def test_a_table_that_file_ingest_did_not_make_takes_no_files(mount, table, work):
    """Tables: it has no file_id column: EINVAL, with the reason."""
    mount.sql(f'CREATE TABLE "{table}" (id bigint PRIMARY KEY, price numeric)')
    source = files.write(os.path.join(work, "a.txt"), b"x")
    time.sleep(1.1)
    ran = shell('cp "$1" "$2"/a.txt', source, mount.zone(table))
    assert ran.code != 0
    assert "Invalid argument" in ran.err
    assert "file_id" in files.read(mount.at(".deeplake", "errors.jsonl")).decode()
    assert mount.n_rows(table) == 0


def test_an_empty_table_made_by_mkdir_takes_files(mount, table, work):
    """Tables: every table is a drop zone already; one with only the id column also takes
    files."""
    os.mkdir(mount.at(table))
    source = files.write(os.path.join(work, "a.txt"), b"x")
    run("cp", source, mount.zone(table) + "/").ok()
    assert_ingested(mount, table, "a.txt", b"x")


def test_a_known_table_needs_no_mkdir(mount, table, work):
    """Tables: cp a.pdf ingest/manuals/ needs no mkdir when manuals exists."""
    mount.sql(f'CREATE TABLE "{table}" (id bigint GENERATED BY DEFAULT AS IDENTITY '
              "PRIMARY KEY, file_id text, chunk_index integer, text text)")
    time.sleep(1.1)
    run("cp", files.write(os.path.join(work, "a.txt"), b"x"), mount.zone(table) + "/").ok()
    assert_ingested(mount, table, "a.txt", b"x")


def test_files_directly_in_ingest_are_refused(mount, work):
    """Ingest, Refusals: directly in ingest/: EPERM."""
    ran = run("cp", files.write(os.path.join(work, "a.txt"), b"x"), mount.at("ingest"))
    assert ran.code != 0
    assert "Operation not permitted" in ran.err


def test_rows_deleted_by_sql_come_back_with_the_same_file(mount, table, zone, work):
    """Ingest, Atomic and repeatable: the same content is a no-op only while its rows are
    there."""
    content = files.text(4_000, 14).encode()
    source = files.write(os.path.join(work, "a.txt"), content)
    run("cp", source, zone).ok()
    mount.sql(f'DELETE FROM "{table}"')
    run("cp", source, zone).ok()
    assert_ingested(mount, table, "a.txt", content)


def test_touch_of_an_ingested_file_changes_its_time_alone(mount, table, zone):
    """Ingest, Atomic and repeatable: same hash only updates mtime."""
    path = os.path.join(zone, "a.txt")
    files.write(path, b"x" * 3000)
    before = file_ids(mount, table)
    run("touch", "-d", "2020-01-01T00:00:00Z", path).ok()
    assert os.stat(path).st_mtime == 1577836800
    assert file_ids(mount, table) == before


def test_fsync_makes_the_file_durable_and_returns_its_verdict(mount, table, zone):
    """Ingest, Durability: after fsync() on the file or folder the rows survive power loss."""
    handle = os.open(os.path.join(zone, "a.txt"), os.O_CREAT | os.O_WRONLY)
    os.write(handle, b"hello")
    os.fsync(handle)
    os.close(handle)
    assert_ingested(mount, table, "a.txt", b"hello")
    folder = os.open(zone, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def test_a_writer_killed_before_its_close_leaves_no_row(mount, table, zone):
    """Ingest, Interrupt: a file whose writer was killed is not ingested and leaves
    name.error."""
    ran = run("/usr/bin/python3", "-c", "import os, sys; handle = os.open(sys.argv[1], 65); "
              "os.write(handle, b'hello'); os.kill(os.getpid(), 9)", os.path.join(zone,
              "a.txt"))
    assert ran.code == -9
    wait_for(lambda: os.path.exists(os.path.join(zone, "a.txt.error")), what="a.txt.error")
    assert_not_ingested(mount, table, "a.txt")


def test_a_writer_killed_after_its_bytes_were_ingested_changes_nothing(mount, table, zone):
    """Ingest, When: a FLUSH with nothing written since does nothing, whoever sends it."""
    ran = shell('exec 3> "$1"; printf hello >&3; kill -9 $$', os.path.join(zone, "a.txt"))
    assert ran.code == -9
    assert_ingested(mount, table, "a.txt", b"hello")
    time.sleep(0.3)
    assert os.listdir(zone) == ["a.txt"]


def test_the_reads_of_an_ingested_file_suit_every_tool(mount, table, zone, work):
    """Ingest, Afterwards: reading returns its bytes."""
    content = files.binary(3_000_017, 15)
    files.write(os.path.join(zone, "a.bin"), content)
    source, back = os.path.join(zone, "a.bin"), os.path.join(work, "back")
    for script in ('cp "$1" "$2"', 'cat "$1" > "$2"', 'dd if="$1" of="$2" status=none',
                   'rsync -a "$1" "$2"', 'tar -C "${1%/*}" -c a.bin | tar -xO > "$2"'):
        shell(script, source, back).ok()
        assert files.read(back) == content, script
        os.unlink(back)
    shutil.copyfile(source, back)
    assert files.read(back) == content
    assert shell('tail -c 17 "$1" | cmp - <(tail -c 17 "$2")', source, back).code == 0


def test_grep_and_find_work_in_a_zone(mount, table, zone):
    """Tenets: ordinary tools work."""
    files.write(os.path.join(zone, "a", "x.txt"), "the needle\n")
    files.write(os.path.join(zone, "b", "y.txt"), "hay\n")
    found = shell('grep -rl needle "$1"', zone).ok().out
    assert found == os.path.join(zone, "a", "x.txt") + "\n"
    assert len(shell('find "$1" -type f', zone).ok().out.splitlines()) == 2
    assert shell('du -sb --apparent-size "$1/a/x.txt"', zone).ok().out.split()[0] == "11"


def test_a_large_file_passes_whole(mount, table, zone, work):
    """Ingest: memory is bounded whatever the file's size."""
    source = os.path.join(work, "big.bin")
    shell('head -c 67108864 /dev/urandom > "$1"', source).ok()
    run("cp", source, zone).ok()
    assert run("cmp", source, os.path.join(zone, "big.bin")).code == 0
    found = mount.sql("SELECT octet_length(data), encode(sha256(data), 'hex') "
                      f'FROM "{table}"')
    assert found == [(67108864, run("sha256sum", source).out.split()[0])]
