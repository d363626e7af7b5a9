# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Which kind: an image is one row, with its bytes as they are."""

import glob
import json
import os
import shutil

import pytest

from support import files
from support.mount import ROOT, run, shell, wait_for

CORPUS = os.path.join(ROOT, "tests", "fuzz", "corpus", "image")
GOOD = {os.path.basename(path): files.read(path)
        for path in sorted(glob.glob(os.path.join(CORPUS, "good-*")))}
ONE_OF_EACH = ("good-baseline.jpg", "good-rgb.png", "good-animated.gif", "good-24.bmp",
               "good-lossy.webp")


def rows(mount, table, path):
    entry = mount.ledger(table, path)
    return [(bytes(image), name, text) for image, name, text in mount.sql(
        f'SELECT image, filename, text FROM "{table}" WHERE file_id = %s', entry["file_id"])]


def reason(mount, table, name):
    """What <name>.error says."""
    return files.read(mount.zone(table, name + ".error")).decode()


def assert_refused(mount, table, name, content, words):
    """EINVAL, the reason beside it, and nothing in the table."""
    source = os.path.join(mount.backend.folder, "source", name)
    ran = run("cp", files.write(source, content), mount.zone(table))
    assert ran.code != 0 and "Invalid argument" in ran.err, (name, len(content), ran)
    assert words in reason(mount, table, name)
    assert mount.ledger(table, name) is None
    assert not mount.table_exists(table) or mount.n_orphans(table) == 0


def test_there_is_a_sample_of_every_format():
    """So that the tests below say what they seem to say."""
    endings = {name.rpartition(".")[2] for name in GOOD}
    assert endings == {"jpg", "png", "gif", "bmp", "webp"}
    assert len(GOOD) >= 25


def test_every_image_is_one_row_with_its_bytes(mount, table, zone, work):
    """Which kind; Afterwards: reading it returns its bytes."""
    for name, content in GOOD.items():
        files.write(os.path.join(work, "images", "deep", name), content)
    shell('cp -r "$1"/. "$2"/', os.path.join(work, "images"), zone).ok()
    assert mount.ledger_paths(table) == sorted("deep/" + name for name in GOOD)
    for name, content in GOOD.items():
        path = "deep/" + name
        assert rows(mount, table, path) == [(content, path, None)]
        entry = mount.ledger(table, path)
        assert (entry["kind"], entry["n_rows"]) == ("image", 1)
        assert entry["content_hash"] == files.sha256(content)
        assert files.read(os.path.join(zone, path)) == content
    assert mount.n_rows(table) == len(GOOD)


def test_columns_are_those_of_the_chunking_table(mount, table, zone):
    """Which kind: columns exactly as there, in that order; bytes are stored as they are."""
    files.write(os.path.join(zone, "a.png"), GOOD["good-rgb.png"])
    found = mount.sql(
        "SELECT attname, attstorage FROM pg_attribute WHERE attrelid = %s::regclass "
        "AND attnum > 0 ORDER BY attnum", f'"{table}"')
    assert [row[0] for row in found] == ["id", "file_id", "image", "filename", "text"]
    assert dict(found)["image"] == "e"
    shown = {column["name"]: column["type"]
             for column in json.loads(files.read(mount.at(table, "schema.json")))}
    assert shown["file_id"] == shown["filename"] == shown["text"] == "TEXT"


@pytest.mark.parametrize("extension", ["jpg", "JPEG", "Png", "gif", "bmp", "webp"])
def test_the_extension_decides_that_it_is_an_image(mount, table, zone, extension):
    """Which kind: in capitals or not. Another image format than the name says is an image."""
    content = GOOD["good-rgb.png"]
    name = "a." + extension
    files.write(os.path.join(zone, name), content)
    assert rows(mount, table, name) == [(content, name, None)]
    assert mount.ledger(table, name)["kind"] == "image"


def test_an_image_under_a_name_of_no_kind_is_other(mount, table, zone):
    """Which kind: the extension decides."""
    files.write(os.path.join(zone, "a.tiff"), GOOD["good-rgb.png"])
    assert mount.data(table, "a.tiff") == [(GOOD["good-rgb.png"], "a.tiff")]


def test_a_large_image_is_whole(mount, table, zone, work):
    """Which kind: beyond what is held in memory too. The scan of this one is as long as it
    takes."""
    frame = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x10\0\x10\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0"
    content = frame + files.binary(9_000_001).replace(b"\xff", b"\xff\0") + b"\xff\xd9"
    shutil.copy(files.write(os.path.join(work, "large.jpg"), content), zone)
    assert rows(mount, table, "large.jpg") == [(content, "large.jpg", None)]
    assert files.read(os.path.join(zone, "large.jpg")) == content


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_an_image_that_is_cut_off_is_refused(mount, table, zone, name):
    """Refusals: not readable as its kind: EINVAL, and the reason."""
    content = GOOD[name]
    for part in range(1, 20):
        assert_refused(mount, table, name, content[:len(content) * part // 20],
                       "cut off" if part > 3 else "image")
    assert mount.ledger_paths(table) == []
    files.write(os.path.join(zone, name), content)
    assert rows(mount, table, name) == [(content, name, None)]
    assert not os.path.exists(os.path.join(zone, name + ".error"))


STRANGERS = {
    "zeros": (bytes(5000), "zeros"),
    "a PDF": (b"%PDF-1.7\n1 0 obj\n", "a PDF document"),
    "an MP4": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "an MP4 or QuickTime file"),
    "HTML": (b"<!DOCTYPE html><title>404</title>", "HTML"),
    "text": (b"BMP is a format of Windows", "text"),
    "noise": (b"\1\2\3\4" + files.binary(3000), "it begins with the bytes 01 02 03 04"),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_what_is_no_image_is_refused_and_named(mount, table, zone, what):
    """Refusals: not readable as its kind: EINVAL; what it looks like instead."""
    content, words = STRANGERS[what]
    for extension in ("jpg", "jpeg", "png", "gif", "bmp", "webp"):
        assert_refused(mount, table, "a." + extension, content, words)


def test_an_empty_image_is_refused(mount, table, zone, work):
    """Refusals; When: an empty file that its kind cannot be is refused at close() already."""
    for extension in ("jpg", "jpeg", "png", "gif", "bmp", "webp"):
        name = "a." + extension
        empty = files.write(os.path.join(work, name), b"")
        copied = run("cp", empty, zone)
        assert copied.code != 0 and "Invalid argument" in copied.err
        assert "the file is empty" in reason(mount, table, name)
        synced = run("dd", "if=" + empty, "of=" + os.path.join(zone, name), "conv=fsync")
        assert synced.code != 0 and "Invalid argument" in synced.err
    assert mount.ledger_paths(table) == []
    assert not mount.table_exists(table)


def test_random_bytes_after_the_first_are_refused(mount, table, zone):
    """Refusals; the first bytes alone do not make an image."""
    for name in ONE_OF_EACH:
        assert_refused(mount, table, name, GOOD[name][:12] + files.binary(50_000), "")


def test_a_bad_image_leaves_the_good_one_it_was_to_replace(mount, table, zone):
    """Atomic and repeatable: the rows remain if the new ones are refused."""
    good = GOOD["good-rgb.png"]
    files.write(os.path.join(zone, "a.png"), good)
    before = mount.ledger(table, "a.png")["file_id"]
    with pytest.raises(OSError, match="Invalid argument"):
        files.write(os.path.join(zone, "a.png"), good[:-5])
    assert rows(mount, table, "a.png") == [(good, "a.png", None)]
    assert mount.ledger(table, "a.png")["file_id"] == before


def test_images_and_texts_share_a_table(mount, table, zone):
    """Which kind: a table that receives several kinds has the columns of all of them."""
    files.write(os.path.join(zone, "a.txt"), "a lake")
    files.write(os.path.join(zone, "a.png"), GOOD["good-rgb.png"])
    files.write(os.path.join(zone, "a.bin"), b"bytes")
    assert mount.chunks(table, "a.txt") == [(0, "a lake")]
    assert rows(mount, table, "a.png") == [(GOOD["good-rgb.png"], "a.png", None)]
    assert mount.data(table, "a.bin") == [(b"bytes", "a.bin")]
    for name in ("a.txt", "a.png", "a.bin"):
        assert mount.sql(f'SELECT count(*) FROM "{table}" WHERE file_id = %s',
                         mount.ledger(table, name)["file_id"]) == [(1,)]
