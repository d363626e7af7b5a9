# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Rows: a folder per row, a file per value."""

import concurrent.futures
import errno
import json
import mmap
import os
import random
import shutil
import stat
import tarfile
import uuid

import pytest
from PIL import Image

from support import files, pdfs, videos
from support.mount import run, shell, wait_for

MIB = 1 << 20


def rows(mount, table, *parts):
    return mount.at(table, "rows", *parts)


def make(mount, table, columns):
    mount.sql(f'CREATE TABLE "{table}" ({columns})')
    wait_for(lambda: os.path.isdir(mount.at(table)), 2, "the table's folder")


def contents(folder):
    return {name: files.read(os.path.join(folder, name)) for name in os.listdir(folder)}


def rss_kib(mount):
    with open(f"/proc/{mount.daemon_pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def peak_kib(mount):
    with open(f"/proc/{mount.daemon_pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def assert_errno(number, act):
    with pytest.raises(OSError) as caught:
        act()
    assert caught.value.errno == number


def failures(mount, path):
    with open(mount.at(".deeplake", "errors.jsonl"), encoding="utf-8") as lines:
        return [one for one in map(json.loads, lines) if one["path"] == path]


def open_quietly(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))


def test_each_value_is_a_file_of_its_exact_size(mount, table):
    """Rows: a file per column that is not NULL."""
    make(mount, table, "id int PRIMARY KEY, t text, n numeric, f float8, b bool, j jsonb, "
                       "e real[], at timestamptz, u uuid, raw bytea, v varchar(9), c char(4), "
                       "empty text, nothing text, zero bytea")
    text = files.text(5000)
    raw = files.binary(3000)
    unique = uuid.uuid4()
    mount.sql(f'INSERT INTO "{table}" VALUES (7, %s, 12.50, \'NaN\', true, %s, %s, '
              "'2024-05-06 07:08:09.5+00', %s, %s, 'ä,b', 'x', '', NULL, '')", text,
              '{"a": [1, null]}', [0.5, -2], str(unique), raw)
    folder = rows(mount, table, "7")
    found = contents(folder)
    whole = found.pop("row.json")
    at = found.pop("at.txt").decode()
    assert at.startswith("2024-05-0") and "T" in at
    assert json.loads(found.pop("j.json")) == {"a": [1, None]}
    assert json.loads(found.pop("e.json")) == [0.5, -2]
    assert found == {"id.txt": b"7", "t.txt": text.encode(), "n.txt": b"12.50", "f.txt": b"NaN",
                     "b.txt": b"true", "u.txt": str(unique).encode(), "raw.bin": raw,
                     "v.txt": "ä,b".encode(), "c.txt": b"x   ", "empty.txt": b"",
                     "zero.bin": b""}
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        assert os.stat(path).st_size == len(files.read(path)), name
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o444
    files.write(mount.at(table, "one.sql"), "SELECT id, t, n, f, b, j, e, at, u, v, c, empty, "
                                            f'nothing FROM "{table}"')
    query = json.loads(files.read(mount.at(table, "one.sql")))
    assert json.loads(whole) == query[0]
    assert list(json.loads(whole)) == list(query[0])
    assert whole.endswith(b"}\n")


def test_bytes_are_named_by_what_they_begin_with(mount, table, zone, work):
    """Rows: bytes have the extension that their first bytes name."""
    picture = os.path.join(work, "p.png")
    Image.effect_noise((700, 700), 90).save(picture)
    videos.make(os.path.join(work, "v.mp4"), *videos.pictures(25), *videos.sound(25),
                *videos.H264, "-g", "30", *videos.AAC)
    files.write(os.path.join(work, "d.pdf"), pdfs.simple(2))
    for name in ("p.png", "v.mp4", "d.pdf"):
        shutil.copy(os.path.join(work, name), zone)
    wait_for(lambda: len(os.listdir(rows(mount, table))) == 6, 3, "six rows")
    seen = set()
    for key, image, video, thumbnail in mount.sql(
            f'SELECT id::text, image, video_data, thumbnail FROM "{table}"'):
        found = contents(rows(mount, table, key))
        for name, value in (("image.png", image), ("video_data.mp4", video),
                            ("thumbnail.jpg", thumbnail)):
            assert (name in found) == (value is not None)
            if value is not None:
                seen.add(name)
                assert files.sha256(found[name]) == files.sha256(bytes(value))
                assert os.stat(rows(mount, table, key, name)).st_size == len(value)
        assert json.loads(found["row.json"])["id"] == int(key)
        assert not {"image", "video_data", "thumbnail"} & set(json.loads(found["row.json"]))
    assert seen == {"image.png", "video_data.mp4", "thumbnail.jpg"}
    mount.sql(f'CREATE TABLE "{table}_more" (id int PRIMARY KEY, d bytea)')
    wait_for(lambda: os.path.isdir(rows(mount, table + "_more")), 2, "the other table")
    for number, (start, name) in enumerate((
            (files.read(os.path.join(work, "d.pdf")), "d.pdf"), (b"GIF89a..", "d.gif"),
            (b"PK\3\4....", "d.zip"), (b"plain words", "d.bin"),
            (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "d.webm"),
            (b"\0\0\0\x14ftypqt  ....", "d.mov"))):
        mount.sql(f'INSERT INTO "{table}_more" VALUES (%s, %s)', number, start)
        assert files.read(rows(mount, table + "_more", str(number), name)) == start


ODD = ("plain", "a,b", "50%", "a/b", ".", "..", ".hidden", "", "two\nlines", "ä 数据 🦆", "%2C", "%",
       "-rf", "a b'c\"d", "\\", "*", "tab\t", "query.sql", "x" * 250)


def test_text_keys_with_odd_characters_come_back(mount, table):
    """Rows: the name is the key; what a file name cannot have is percent-encoded."""
    make(mount, table, "k text PRIMARY KEY, n int")
    for number, key in enumerate(ODD):
        mount.sql(f'INSERT INTO "{table}" VALUES (%s, %s)', key, number)
    names = os.listdir(rows(mount, table))
    assert len(names) == len(set(names)) == len(ODD)
    assert {files.read(rows(mount, table, name, "k.txt")).decode() for name in names} == set(ODD)
    for name in ("plain", "a%2Cb", "50%25", "a%2Fb", "%2E", "%2E.", "%2Ehidden", "%",
                 "two%0Alines"):
        assert name in names
    for wrong in ("a%2cb", "%70lain", "50%", "a,b", "%00", "plain%", "nothing", "%C3",
                  b"\xff\xfe".decode("utf-8", "surrogateescape")):
        assert_errno(errno.ENOENT, lambda path=wrong: os.stat(rows(mount, table, path)))


def test_composite_and_uuid_keys(mount, table):
    """Rows: parts of a key are joined by commas."""
    make(mount, table, "n int, k text, u uuid, note text, PRIMARY KEY (k, n, u)")
    unique = str(uuid.uuid4())
    expected = {}
    for k in ("a", "b,c", ""):
        for n in (-1, 10):
            mount.sql(f'INSERT INTO "{table}" VALUES (%s, %s, %s, %s)', n, k, unique, f"{k}|{n}")
            expected[f"{k.replace(',', '%2C') or '%'},{n},{unique}"] = f"{k}|{n}"
    assert set(os.listdir(rows(mount, table))) == set(expected)
    for name, note in expected.items():
        assert files.read(rows(mount, table, name, "note.txt")).decode() == note
    for wrong in (f"a,x,{unique}", "a,1", f"a,-1,{unique},", f"a,-01,{unique}", f"a,5,{unique}",
                  f"a,99999999999,{unique}", f"a,-1,{unique.upper()}"):
        assert_errno(errno.ENOENT, lambda path=wrong: os.stat(rows(mount, table, path)))


def test_composite_keys_list_each_row_once_in_pages(mount, table):
    """Rows: each row is listed once."""
    make(mount, table, "a text, b bigint, PRIMARY KEY (a, b)")
    mount.sql(f'INSERT INTO "{table}" SELECT chr(97 + n % 7), n / 7 FROM generate_series(0, 4999) n')
    listed = os.listdir(rows(mount, table))
    assert len(listed) == 5000
    assert set(listed) == {f"{chr(97 + n % 7)},{n // 7}" for n in range(5000)}


def test_a_column_named_like_a_document_gives_way(mount, table):
    """Rows: names of columns are encoded as keys are."""
    make(mount, table, 'id int PRIMARY KEY, "row" jsonb, "a/b" text, ".x" text, "%" text, t text, '
                       "whole text")
    mount.sql(f'INSERT INTO "{table}" VALUES (1, \'[1]\', \'s\', \'d\', \'p\', \'t\', \'w\')')
    found = contents(rows(mount, table, "1"))
    assert json.loads(found.pop("row.json")) == {"id": 1, "row": [1], "a/b": "s", ".x": "d",
                                                 "%": "p", "t": "t", "whole": "w"}
    assert found == {"id.txt": b"1", "%72ow.json": b"[1]", "a%2Fb.txt": b"s", "%2Ex.txt": b"d",
                     "%25.txt": b"p", "t.txt": b"t", "whole.txt": b"w"}


def test_without_a_primary_key_there_are_no_rows(mount, table):
    """Rows: views and tables without a primary key have none."""
    make(mount, table, "id int PRIMARY KEY")
    assert "rows" in os.listdir(mount.at(table))
    mount.sql(f'CREATE TABLE "{table}_bare" (id int); '
              f'CREATE VIEW "{table}_view" AS SELECT * FROM "{table}"')
    for name in (table + "_bare", table + "_view"):
        wait_for(lambda one=name: os.path.isdir(mount.at(one)), 2, "the folder")
        assert "info.json" in os.listdir(mount.at(name))
        assert "rows" not in os.listdir(mount.at(name))
        assert_errno(errno.ENOENT, lambda one=name: os.stat(rows(mount, one)))


def big_row(mount, table, n_bytes, seed=0):
    make(mount, table, "id int PRIMARY KEY, data bytea, note text")
    mount.sql(f'ALTER TABLE "{table}" ALTER data SET STORAGE EXTERNAL')
    content = files.binary(n_bytes, seed)
    mount.sql(f'INSERT INTO "{table}" VALUES (1, %s)', content)
    return content, rows(mount, table, "1", "data.bin")


def test_any_range_can_be_read_and_memory_stays(mount, table):
    """Rows: reads of a range fetch a window around it."""
    content, path = big_row(mount, table, 40 * MIB + 12345)
    assert os.stat(path).st_size == len(content)
    files.read(path)
    before = rss_kib(mount)
    dice = random.Random(1)
    with open(path, "rb", buffering=0) as file:
        for _ in range(300):
            start, length = dice.randrange(len(content)), dice.choice((1, 100, 4096, 300000))
            assert os.pread(file.fileno(), length, start) == content[start:start + length]
        for edge in (2 * MIB, 4 * MIB, len(content)):
            assert os.pread(file.fileno(), 10, edge - 5) == content[edge - 5:edge + 5]
        assert os.pread(file.fileno(), 10, len(content)) == b""
    assert rss_kib(mount) - before < 16 * 1024
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
        assert files.sha256(view) == files.sha256(content)


def test_reading_a_large_value_never_holds_it(mount, another_mount, table):
    """Rows: a value is never whole in memory."""
    content, _ = big_row(mount, table, 150 * MIB)
    other = another_mount(workspace=mount.workspace)
    path = rows(other, table, "1", "data.bin")
    os.stat(path)
    before = peak_kib(other)
    assert run("sha256sum", path).ok().out.split()[0] == files.sha256(content)
    assert peak_kib(other) - before < 64 * 1024


def test_short_reads_here_and_there_fetch_what_they_ask_for(mount, table):
    """Rows: a short read away from those before it fetches no more than it asks for."""
    content, path = big_row(mount, table, 40 * MIB)

    def n_blocks():
        return mount.sql("SELECT toast_blks_hit + toast_blks_read FROM pg_statio_all_tables "
                         "WHERE relid = %s::regclass", f'"{table}"')[0][0]

    # 2 MiB are 263 blocks of the server's at least.
    dice = random.Random(2)
    with open(path, "rb", buffering=0) as file:
        def read():
            start = dice.randrange(len(content) - 4096)
            assert os.pread(file.fileno(), 4096, start) == content[start:start + 4096]
            return n_blocks()

        before = n_blocks()
        for _ in range(200):
            read()
        # The server counts when a second has passed, at the end of a statement.
        assert 200 * 2 < wait_for(lambda: max(0, read() - before - 200 * 2), 15, "a count") \
            < 200 * 100


@pytest.mark.slow
def test_a_value_of_half_a_gigabyte_is_read_in_bounded_memory(mount, another_mount, zone, table,
                                                              work):
    """Rows: a value is never whole in memory, be it read on end or anywhere."""
    source = os.path.join(work, "large.bin")
    with open(source, "wb") as file:
        for number in range(500):
            file.write(files.binary(1_000_000, number))
    run("cp", source, zone, timeout=200).ok()
    other = another_mount(workspace=mount.workspace)
    key, = os.listdir(rows(other, table))
    path = rows(other, table, key, "data.bin")
    assert os.stat(path).st_size == 500_000_000
    before = peak_kib(other)

    dice = random.Random(3)
    with open(path, "rb", buffering=0) as file, open(source, "rb", buffering=0) as expected:
        for _ in range(500):
            start, length = dice.randrange(500_000_000), dice.choice((1, 4096, 65536, 300_000))
            assert os.pread(file.fileno(), length, start) == \
                os.pread(expected.fileno(), length, start)
    assert peak_kib(other) - before < 32 * 1024
    run("cmp", source, path, timeout=200).ok()
    assert peak_kib(other) - before < 32 * 1024


def test_many_readers_at_once_get_what_is_there(mount, table):
    """Rows: any range can be read, by any number of readers."""
    content, path = big_row(mount, table, 24 * MIB + 77)
    wrong = []

    def read(number):
        dice = random.Random(number)
        own = os.open(path, os.O_RDONLY)
        for _ in range(40):
            start, length = dice.randrange(len(content)), dice.choice((10, 5000, 3 * MIB))
            for file in (own, shared):
                if os.pread(file, length, start) != content[start:start + length]:
                    wrong.append((number, start, length))
        os.close(own)

    shared = os.open(path, os.O_RDONLY)
    with concurrent.futures.ThreadPoolExecutor(6) as readers:
        list(readers.map(read, range(6)))
    os.close(shared)
    assert not wrong


def test_large_texts_are_read_as_utf8(mount, table):
    """Rows: text is UTF-8, and its size is that of its bytes."""
    make(mount, table, "id int PRIMARY KEY, t text")
    text = files.text(2_500_000)
    mount.sql(f'INSERT INTO "{table}" VALUES (1, %s)', text)
    path = rows(mount, table, "1", "t.txt")
    assert os.stat(path).st_size == len(text.encode())
    assert files.read(path) == text.encode()


def test_a_row_too_large_for_json_has_its_values(mount, table):
    """Rows: a row with more than 64 MiB besides bytes has no row.json."""
    make(mount, table, "id int PRIMARY KEY, t text")
    mount.sql(f"INSERT INTO \"{table}\" VALUES (1, repeat('0123456789abcdef', 4 * 1024 * 1024)), "
              "(2, repeat('0123456789abcdef', 4 * 1024 * 1024 - 2))")
    assert sorted(os.listdir(rows(mount, table, "1"))) == ["id.txt", "t.txt"]
    assert sorted(os.listdir(rows(mount, table, "2"))) == ["id.txt", "row.json", "t.txt"]
    with open(rows(mount, table, "1", "t.txt"), "rb", buffering=0) as file:
        assert os.fstat(file.fileno()).st_size == 64 * MIB
        assert os.pread(file.fileno(), 16, 50 * MIB) == b"0123456789abcdef"


@pytest.mark.parametrize("change", ["deleted", "changed"])
def test_a_row_that_changes_while_it_is_read_gives_an_error(mount, table, change):
    """Rows: never bytes of two versions."""
    content, path = big_row(mount, table, 12 * MIB)
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 1000, 0) == content[:1000]
        newer = files.binary(len(content), seed=9)
        if change == "deleted":
            mount.sql(f'DELETE FROM "{table}"')
        else:
            mount.sql(f'UPDATE "{table}" SET data = %s', newer)
            # Who opens it now gets the new bytes, while the first reader has the old ones.
            assert files.sha256(files.read(path)) == files.sha256(newer)
        assert_errno(errno.EIO, lambda: os.pread(file.fileno(), 1000, 9 * MIB))
    assert f"was {change} while" in files.read(mount.at(".deeplake", "errors.jsonl")).decode()
    if change == "deleted":
        wait_for(lambda: not os.path.exists(path), 1.5, "the file to go")


def test_a_changed_row_shows_its_new_values(mount, table):
    """Rows: what others change shows within a second, and a reader never gets a wrong size."""
    make(mount, table, "id int PRIMARY KEY, t text")
    mount.sql(f'INSERT INTO "{table}" VALUES (1, \'short\')')
    path = rows(mount, table, "1", "t.txt")
    for number in range(30):
        text = "x" * (number * 37 % 50) + str(number)
        assert os.path.exists(path)
        mount.sql(f'UPDATE "{table}" SET t = %s', text)
        assert files.read(path).decode() == text
    mount.sql(f'UPDATE "{table}" SET t = NULL')
    wait_for(lambda: not os.path.exists(path), 1.5, "the file to go")
    assert os.path.exists(rows(mount, table, "1", "row.json"))


def test_a_new_version_has_its_size_while_others_read_the_old_one(mount, table):
    """Rows: sizes are exact; whoever opens it later gets the new version."""
    make(mount, table, "id int PRIMARY KEY, t text")
    path = rows(mount, table, "1", "t.txt")
    mount.sql(f'INSERT INTO "{table}" VALUES (1, %s)', "x")
    for number in range(2, 12):
        with open(path, "rb", buffering=0) as old:
            assert len(old.read()) == number - 1
            mount.sql(f'UPDATE "{table}" SET t = %s', "x" * number)
            with open(path, "rb", buffering=0) as new:
                assert os.fstat(new.fileno()).st_size == number
                assert new.read() == b"x" * number
            assert os.stat(path).st_size == number
            assert os.fstat(old.fileno()).st_size == number - 1


@pytest.mark.parametrize("change", [
    "ALTER TABLE {0} DROP COLUMN data", "ALTER TABLE {0} RENAME data TO other",
    "DROP TABLE {0}", "ALTER TABLE {0} RENAME TO {0}_new"])
def test_a_table_that_is_altered_while_a_value_is_read_gives_an_error(mount, table, change):
    """Rows: when its table is altered or dropped, EIO; the reason names the file."""
    content, path = big_row(mount, table, 9 * MIB)
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 0) == content[:100]
        mount.sql(change.format(table))
        assert_errno(errno.EIO, lambda: [os.pread(file.fileno(), 100, offset * MIB)
                                         for offset in (8, 4, 6, 0)])
    assert failures(mount, f"{table}/rows/1/data.bin")


def test_an_error_of_a_replaced_version_names_the_file(mount, table):
    """Rows: the reason stands in errors.jsonl."""
    content, path = big_row(mount, table, 9 * MIB)
    with open(path, "rb", buffering=0) as file:
        assert os.pread(file.fileno(), 100, 0) == content[:100]
        mount.sql(f'UPDATE "{table}" SET note = 1')
        with open(path, "rb", buffering=0) as other:
            assert os.pread(other.fileno(), 9, 8 * MIB) == content[8 * MIB:8 * MIB + 9]
        assert_errno(errno.EIO, lambda: os.pread(file.fileno(), 100, 8 * MIB))
    assert "was changed" in failures(mount, f"{table}/rows/1/data.bin")[-1]["message"]


def test_rmdir_deletes_the_row(mount, another_mount, table):
    """Rows: rmdir deletes that row; no_drop does not concern it."""
    other = another_mount(workspace=mount.workspace, options=["-o", "no_drop"])
    make(mount, table, "id int PRIMARY KEY, t text")
    mount.sql(f'INSERT INTO "{table}" SELECT n, n FROM generate_series(1, 5) n')
    run("rmdir", rows(mount, table, "2")).ok()
    assert not os.path.exists(rows(mount, table, "2"))
    assert mount.sql(f'SELECT id FROM "{table}" ORDER BY id') == [(1,), (3,), (4,), (5,)]
    wait_for(lambda: os.path.isdir(rows(other, table)), 2, "rows of the other mount")
    os.rmdir(rows(other, table, "3"))
    assert sorted(os.listdir(rows(mount, table))) == ["1", "4", "5"]
    for wrong in ("2", "x", "04"):
        assert_errno(errno.ENOENT, lambda path=wrong: os.rmdir(rows(mount, table, path)))
    mount.sql(f'CREATE TABLE "{table}_other" (of int REFERENCES "{table}")')
    mount.sql(f'INSERT INTO "{table}_other" VALUES (4)')
    with pytest.raises(OSError):
        os.rmdir(rows(mount, table, "4"))
    assert mount.n_rows(table) == 3


def test_nothing_else_can_be_changed(mount, another_mount, table):
    """Rows: everything but rmdir is refused with EPERM; with -o ro that is too, with EROFS."""
    make(mount, table, "id int PRIMARY KEY, t text")
    mount.sql(f'INSERT INTO "{table}" VALUES (1, \'x\')')
    path = rows(mount, table, "1", "t.txt")
    for act in (lambda: os.unlink(path), lambda: open_quietly(path, os.O_WRONLY),
                lambda: open_quietly(path, os.O_RDWR), lambda: os.truncate(path, 0),
                lambda: os.chmod(path, 0o600), lambda: os.rename(path, path + "2"),
                lambda: files.write(rows(mount, table, "1", "new.txt"), b"x"),
                lambda: os.mkdir(rows(mount, table, "2")),
                lambda: os.mkdir(rows(mount, table, "1", "sub")),
                lambda: os.rmdir(rows(mount, table)),
                lambda: os.rename(rows(mount, table, "1"), rows(mount, table, "2"))):
        assert_errno(errno.EPERM, act)
    ran = run("rm", "-r", rows(mount, table))
    assert ran.code != 0 and "Operation not permitted" in ran.err
    assert mount.n_rows(table) == 1
    other = another_mount(workspace=mount.workspace, options=["-o", "ro"])
    assert files.read(rows(other, table, "1", "t.txt")) == b"x"
    assert_errno(errno.EROFS, lambda: os.rmdir(rows(other, table, "1")))
    assert mount.n_rows(table) == 1


def test_ordinary_tools_work_on_rows(mount, table, work):
    """Tenets; Rows."""
    make(mount, table, "id int PRIMARY KEY, t text, d bytea")
    for number in range(40):
        mount.sql(f'INSERT INTO "{table}" VALUES (%s, %s, %s)', number,
                  f"text {number} " + "needle" * (number == 17), files.binary(5000, number))
    folder = rows(mount, table)
    lines = run("ls", "-lR", folder).ok().out.splitlines()
    assert sum(line.endswith(".json") for line in lines) == 40
    found = run("find", folder, "-type", "f").ok().out.splitlines()
    assert len(found) == 40 * 4
    assert set(run("grep", "-rl", "needle", folder).ok().out.split()) == {
        rows(mount, table, "17", "row.json"), rows(mount, table, "17", "t.txt")}
    shell('cp -r "$1" "$2/copy" && tar -C "$1" -cf "$2/rows.tar" . && rsync -r "$1/" "$2/sync"',
          folder, work).ok()
    for copy in ("copy", "sync"):
        run("diff", "-r", folder, os.path.join(work, copy)).ok()
    with tarfile.open(os.path.join(work, "rows.tar")) as archive:
        members = [one for one in archive if one.isfile()]
        assert len(members) == 160
        assert archive.extractfile("./5/d.bin").read() == files.binary(5000, 5)


def test_rows_of_ingested_files(mount, table, zone):
    """Rows: what is ingested shows at once."""
    content = files.text(2500)
    files.write(os.path.join(zone, "a.txt"), content)
    listed = sorted(os.listdir(rows(mount, table)), key=int)
    texts = [files.read(rows(mount, table, key, "text.txt")).decode() for key in listed]
    assert texts == files.expected_chunks(content)
    assert [files.read(rows(mount, table, key, "chunk_index.txt")) for key in listed] == [
        str(index).encode() for index in range(len(listed))]


def check_many(mount, table, n_rows):
    make(mount, table, "id bigint PRIMARY KEY, t text")
    mount.sql(f'INSERT INTO "{table}" SELECT n, \'row \' || n FROM generate_series(1, %s) n',
              n_rows)
    before = rss_kib(mount)
    listed = run("ls", "-f", rows(mount, table), timeout=600).ok().out.split()
    names = [name for name in listed if name not in (".", "..")]
    assert len(names) == n_rows and len(set(names)) == n_rows
    assert rss_kib(mount) - before < 32 * 1024
    with os.scandir(rows(mount, table)) as entries:
        assert next(entries).is_dir()
    assert files.read(rows(mount, table, str(n_rows), "t.txt")).decode() == f"row {n_rows}"


def test_many_rows_list_in_bounded_memory(mount, table):
    """Rows: a listing is read page by page, each row once."""
    check_many(mount, table, 20_000)


@pytest.mark.slow
def test_a_million_rows_list_in_bounded_memory(mount, table):
    """Rows: a listing is read page by page, each row once."""
    check_many(mount, table, 1_000_000)


def test_rows_that_come_and_go_during_a_listing_do_not_disturb_it(mount, table):
    """Rows: each row once."""
    make(mount, table, "id int PRIMARY KEY")
    mount.sql(f'INSERT INTO "{table}" SELECT n * 10 FROM generate_series(1, 6000) n')
    seen = []
    with os.scandir(rows(mount, table)) as entries:
        for number, entry in enumerate(entries):
            seen.append(int(entry.name))
            if number == 100:
                mount.sql(f'DELETE FROM "{table}" WHERE id <= 500; '
                          f'INSERT INTO "{table}" SELECT n * 10 + 1 FROM generate_series(1, 6000) n')
    assert len(seen) == len(set(seen))
    assert {n * 10 for n in range(1, 6001)} <= set(seen)


def test_a_key_too_long_for_a_name_is_said(mount, table):
    """Rows: a name has at most 255 bytes; all others are listed."""
    make(mount, table, "k text PRIMARY KEY")
    mount.sql(f"INSERT INTO \"{table}\" VALUES ('a'), ('b' || repeat('x', 300)), ('c')")
    ran = run("ls", rows(mount, table))
    assert ran.code != 0 and "name too long" in ran.err and ran.out.split() == ["a", "c"]
    assert "301 bytes" in failures(mount, f"{table}/rows")[-1]["message"]
    mount.sql(f"DELETE FROM \"{table}\" WHERE k = 'a'")
    assert run("ls", rows(mount, table)).out.split() == ["c"]
    mount.sql(f"DELETE FROM \"{table}\" WHERE length(k) > 300")
    assert run("ls", rows(mount, table)).ok().out.split() == ["c"]


def test_pages_of_keys_too_long_do_not_end_a_listing(mount, table):
    """Rows: what can be listed is."""
    make(mount, table, "k text PRIMARY KEY")
    mount.sql(f"INSERT INTO \"{table}\" SELECT repeat(chr(228), 150) || n FROM "
              "generate_series(1, 2500) n")
    mount.sql(f"INSERT INTO \"{table}\" SELECT n::text || chr(228) FROM generate_series(1, 1500) n")
    names = []
    with pytest.raises(OSError) as caught, os.scandir(rows(mount, table)) as entries:
        for entry in entries:
            names.append(entry.name)
    assert caught.value.errno == errno.ENAMETOOLONG
    assert len(names) == 1500 and set(names) == {f"{n}ä" for n in range(1, 1501)}


@pytest.mark.parametrize("change", ["DROP TABLE {0}", "ALTER TABLE {0} RENAME TO {0}_new"])
def test_a_listing_that_breaks_off_does_not_look_complete(mount, table, change):
    """Rows: a listing that breaks off ends with EIO."""
    make(mount, table, "id int PRIMARY KEY")
    mount.sql(f"INSERT INTO {table} SELECT generate_series(1, 20000)")
    names = []
    with pytest.raises(OSError) as caught, os.scandir(rows(mount, table)) as entries:
        for entry in entries:
            if not names:
                mount.sql(change.format(table))
            names.append(entry.name)
    assert caught.value.errno == errno.EIO and 0 < len(names) < 20000


def test_keys_of_any_type(mount, table):
    """Rows: the key in PostgreSQL's text form."""
    mount.sql(f"CREATE TYPE {table}_pair AS (a int, b text); "
              f"CREATE DOMAIN {table}_small AS int CHECK (value < 100); "
              f"CREATE TYPE {table}_mood AS ENUM ('so, so', '.fine')")
    keys = {f"{table}_pair": ["(1,x)", '(2,"a/b")', '(3,"")'], f"{table}_small": ["7", "-7"],
            f"{table}_mood": ["so, so", ".fine"], "float8": ["NaN", "-0", "0.1", "1e-300"],
            "numeric": ["1.50", "NaN"], "bytea": ["\\x", "\\x00ff"], "date": ["infinity"],
            "int[]": ["{1,2}", "{}"], "int4range": ["[1,3)", "empty"], "char(4)": ["ab", ""],
            "inet": ["10.0.0.0/8"]}
    for number, (kind, values) in enumerate(keys.items()):
        make(mount, f"{table}_{number}", f"k {kind} PRIMARY KEY, v text")
        for value in values:
            mount.sql(f'INSERT INTO "{table}_{number}" VALUES (%s, %s)', value, value)
        folder = rows(mount, f"{table}_{number}")
        names = os.listdir(folder)
        assert len(names) == len(values), kind
        assert {files.read(os.path.join(folder, name, "v.txt")).decode()
                for name in names} == set(values), kind
        for wrong in ("x", "101", "(1", "-1.0", "{", "\\x0"):
            assert_errno(errno.ENOENT, lambda path=wrong: os.stat(os.path.join(folder, path)))
        for name in names:
            os.rmdir(os.path.join(folder, name))
        assert mount.n_rows(f"{table}_{number}") == 0, kind


def test_a_key_that_gets_another_type_is_found(mount, table):
    """Rows: what others change shows within a second."""
    make(mount, table, "id int PRIMARY KEY")
    mount.sql(f'INSERT INTO "{table}" VALUES (1)')
    for _ in range(20):
        assert os.listdir(rows(mount, table, "1")) and os.listdir(rows(mount, table)) == ["1"]
        assert not os.path.exists(rows(mount, table, "2"))
    mount.sql(f'ALTER TABLE "{table}" ALTER id TYPE bigint')
    mount.sql(f'INSERT INTO "{table}" SELECT 3000000000 + n FROM generate_series(1, 2500) n')
    wait_for(lambda: os.path.exists(rows(mount, table, "3000000001", "id.txt")), 2, "the row")
    assert len(os.listdir(rows(mount, table))) == 2501


def test_domains_are_what_they_are_made_of(mount, table):
    """Rows: a file for each value, by what it is."""
    mount.sql(f"CREATE DOMAIN {table}_a AS bytea; CREATE DOMAIN {table}_b AS {table}_a; "
              f"CREATE DOMAIN {table}_c AS jsonb; CREATE DOMAIN {table}_d AS int[]; "
              f"CREATE DOMAIN {table}_e AS text")
    make(mount, table, f"id int PRIMARY KEY, a {table}_a, b {table}_b, c {table}_c, "
                       f"d {table}_d, e {table}_e")
    mount.sql(f"INSERT INTO {table} VALUES (1, '\\x01', '\\x02', '[true]', '{{3,4}}', 'ä')")
    found = contents(rows(mount, table, "1"))
    assert found == {"id.txt": b"1", "a.bin": b"\x01", "b.bin": b"\x02", "c.json": b"[true]",
                     "d.json": b"[3,4]", "e.txt": "ä".encode(),
                     "row.json": '{"id":1,"c":[true],"d":[3,4],"e":"ä"}\n'.encode()}


def test_rows_of_heirs_are_their_own(mount, table):
    """Rows: rows of tables that inherit are in those tables' folders."""
    make(mount, table, "id int PRIMARY KEY, v text")
    mount.sql(f"CREATE TABLE {table}_heir (PRIMARY KEY (id)) INHERITS ({table}); "
              f"INSERT INTO {table} VALUES (1, 'own'); "
              f"INSERT INTO {table}_heir VALUES (1, 'heir'), (2, 'heir')")
    assert os.listdir(rows(mount, table)) == ["1"]
    assert files.read(rows(mount, table, "1", "v.txt")) == b"own"
    os.rmdir(rows(mount, table, "1"))
    assert_errno(errno.ENOENT, lambda: os.rmdir(rows(mount, table, "2")))
    assert mount.sql(f"SELECT id, v FROM {table} ORDER BY id") == [(1, "heir"), (2, "heir")]
    wait_for(lambda: os.path.isdir(mount.at(f"{table}_heir")), 2, "the heir's folder")
    assert files.read(rows(mount, f"{table}_heir", "1", "v.txt")) == b"heir"


def test_partitions_are_one_table(mount, table):
    """Rows: rows of partitions are rows of their table."""
    make(mount, table, "id int PRIMARY KEY, v text) PARTITION BY RANGE (id")
    for number in (0, 1):
        mount.sql(f"CREATE TABLE {table}_{number} PARTITION OF {table} "
                  f"FOR VALUES FROM ({number * 10}) TO ({number * 10 + 10})")
    mount.sql(f"INSERT INTO {table} VALUES (1, 'a'), (11, 'b')")
    assert os.listdir(rows(mount, table)) == ["1", "11"]
    assert files.read(rows(mount, table, "11", "v.txt")) == b"b"
    os.rmdir(rows(mount, table, "11"))
    assert os.listdir(rows(mount, table)) == ["1"] and mount.n_rows(f"{table}_1") == 0
