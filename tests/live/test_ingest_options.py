# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Ingest, Options of a drop zone: .ingest.json."""

import errno
import json
import os

import pytest

from support import files
from support.mount import run, shell, wait_for

NAME = ".ingest.json"
TEXT = files.ascii_text(2500, 7)


def put(zone, text):
    """Written as a program would, so that an error of close() is seen."""
    descriptor = os.open(os.path.join(zone, NAME), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, text if isinstance(text, bytes) else text.encode())
    finally:
        os.close(descriptor)


def get(zone):
    return files.read(os.path.join(zone, NAME)).decode()


def assert_chunks(mount, table, name, size, overlap):
    assert mount.chunks(table, name) == files.expected_rows(TEXT, size, overlap)


def effective(zone):
    return json.loads(run("cat", os.path.join(zone, ".ingest.effective.json")).ok().out)


def test_what_counts_can_be_read(mount, table):
    """Ingest, Options of a drop zone: .ingest.effective.json is found, and not listed."""
    zone = mount.zone(table)
    os.mkdir(zone)
    assert not os.path.exists(os.path.join(zone, NAME))
    assert effective(zone) == {
        "chunk_size": 1000, "chunk_overlap": 200, "pdf_dpi": 300, "segment_seconds": 10,
        "schema": None, "format": "files", "index": [], "images_dir": None, "masks_dir": None}
    shown = files.read(os.path.join(zone, ".ingest.effective.json")).decode()
    put(zone, '{"pdf_dpi": 72}')
    assert effective(zone)["pdf_dpi"] == 72
    assert effective(zone)["chunk_size"] == 1000
    with pytest.raises(PermissionError):
        files.write(os.path.join(zone, ".ingest.effective.json"), "{}")
    put(zone, shown)
    assert effective(zone)["pdf_dpi"] == 300
    assert os.listdir(zone) == [NAME]


def test_they_count_for_files_that_come_later(mount, table):
    """Ingest, Options of a drop zone."""
    zone = mount.zone(table)
    os.mkdir(zone)
    files.write(os.path.join(zone, "before.txt"), TEXT)
    put(zone, '{"chunk_size": 300, "chunk_overlap": 50}\n')
    files.write(os.path.join(zone, "after.txt"), TEXT)
    assert_chunks(mount, table, "before.txt", 1000, 200)
    assert_chunks(mount, table, "after.txt", 300, 50)
    assert mount.ledger(table, "after.txt")["settings"] == {
        "chunk_size": 300, "chunk_overlap": 50}
    assert sorted(os.listdir(zone)) == [NAME, "after.txt", "before.txt"]
    assert json.loads(files.read(mount.at(table, "info.json")))["ingested_files"] == 2


def test_reading_gives_the_bytes_that_were_written(mount, table):
    """Ingest, Options of a drop zone."""
    zone = mount.zone(table)
    os.mkdir(zone)
    text = ' {"pdf_dpi" : 72,\n"schema": {"path": "FILE"}, "index": null}'
    put(zone, text)
    assert get(zone) == text
    assert os.stat(os.path.join(zone, NAME)).st_size == len(text)
    with open(os.path.join(zone, NAME), "r+", encoding="utf-8") as file:
        changed = file.read().replace("72", "90")
        file.seek(0)
        file.write(changed)
    assert json.loads(get(zone))["pdf_dpi"] == 90


@pytest.mark.parametrize("text, words", [
    ('{"chunksize": 100}', ["chunksize", "chunk_size"]),
    ('{"chunk_size": "100"}', ["chunk_size", "whole number"]),
    ('{"chunk_size": 10.5}', ["chunk_size", "whole number"]),
    ('{"chunk_size": 0}', ["chunk_size", "at least 1"]),
    ('{"chunk_size": 100}', ["chunk_overlap", "less than chunk_size"]),
    ('{"pdf_dpi": 9}', ["pdf_dpi", "at least 10"]),
    ('{"pdf_dpi": 1e9}', ["pdf_dpi", "at most 2400"]),
    ('{"segment_seconds": -1}', ["segment_seconds", "at least 1"]),
    ('{"chunk_size": 500, "chunk_size": 600}', ["chunk_size", "twice"]),
    ('{"schema": {"a": "INT64"}}', ["schema", "FILE"]),
    ('{"schema": 1}', ["schema", "object"]),
    ('{"format": "coco"}', ["format", "rows", "coco_panoptic"]),
    ('{"image_dir": "/tmp"}', ["image_dir", 'did you mean "images_dir"?']),
    ('[1]', ["object"]),
    ('{"chunk_size": 500,\n', ["not JSON", "line"]),
    (b'{"chunk_size": 500} \xff', ["UTF-8"]),
    (b'{"chunk_size": 500}\0', ["options"]),
])
def test_wrong_ones_are_refused_and_the_old_ones_stay(mount, table, text, words):
    """Ingest, Options of a drop zone: EINVAL at close, with the reason."""
    zone = mount.zone(table)
    os.mkdir(zone)
    good = '{"chunk_size": 400, "chunk_overlap": 150}'
    put(zone, good)
    with pytest.raises(OSError) as refusal:
        put(zone, text)
    assert refusal.value.errno == errno.EINVAL
    reason = files.read(os.path.join(zone, NAME + ".error")).decode()
    assert all(word in reason for word in words), reason
    assert get(zone) == good
    files.write(os.path.join(zone, "a.txt"), TEXT)
    assert_chunks(mount, table, "a.txt", 400, 150)
    put(zone, good)
    assert NAME + ".error" not in os.listdir(zone)


def test_too_long_ones_are_refused(mount, table):
    """Ingest, Options of a drop zone: at most 64 KiB."""
    zone = mount.zone(table)
    os.mkdir(zone)
    with pytest.raises(OSError) as refusal:
        put(zone, '{"chunk_size": 500' + " " * 65536 + "}")
    assert refusal.value.errno == errno.EINVAL
    assert os.listdir(zone) in ([], [NAME + ".error"])


def test_rm_goes_back_to_the_mount(mount, table):
    """Ingest, Options of a drop zone: rm."""
    zone = mount.zone(table)
    os.mkdir(zone)
    put(zone, '{"chunk_size": 300, "chunk_overlap": 0}')
    assert effective(zone)["chunk_size"] == 300
    with pytest.raises(OSError) as refusal:
        os.rmdir(zone)
    assert refusal.value.errno == errno.ENOTEMPTY
    os.remove(os.path.join(zone, NAME))
    assert os.listdir(zone) == []
    assert not os.path.exists(os.path.join(zone, NAME))
    assert effective(zone)["chunk_size"] == 1000
    files.write(os.path.join(zone, "a.txt"), TEXT)
    assert_chunks(mount, table, "a.txt", 1000, 200)
    put(zone, "{}")
    run("rm", "-r", zone).ok()
    assert mount.n_rows(table) == 0


def test_an_empty_one_sets_nothing(mount, table):
    """Ingest, Options of a drop zone."""
    zone = mount.zone(table)
    os.mkdir(zone)
    put(zone, '{"chunk_size": 300, "chunk_overlap": 0}')
    assert os.listdir(zone) == [NAME]
    shell(': > "$1"', os.path.join(zone, NAME)).ok()
    wait_for(lambda: effective(zone)["chunk_size"] == 1000, 2, "the options to go")
    assert os.stat(os.path.join(zone, NAME)).st_size == 0
    put(zone, '{"chunk_size": 300, "chunk_overlap": 0}')
    os.truncate(os.path.join(zone, NAME), 0)
    assert effective(zone)["chunk_size"] == 1000
    assert get(zone) == ""


def test_they_survive_a_remount_and_count_for_other_mounts_and_commands(
        another_mount, backend, work, table):
    """Ingest, Options of a drop zone: every mount of the workspace, and deeplakefs ingest."""
    first = another_mount(options=["-o", "chunk_size=800"])
    os.mkdir(first.zone(table))
    put(first.zone(table), '{"chunk_overlap": 100}')
    first.umount().ok()
    second = another_mount(first.workspace)
    assert json.loads(get(second.zone(table))) == {"chunk_overlap": 100}
    files.write(second.zone(table, "a.txt"), TEXT)
    assert_chunks(second, table, "a.txt", 1000, 100)
    source = files.write(os.path.join(work, "b.txt"), TEXT)
    backend.command("ingest", table, source, workspace=first.workspace).ok()
    assert_chunks(second, table, "b.txt", 1000, 100)
    third = another_mount(first.workspace)
    put(third.zone(table), '{"chunk_size": 500, "chunk_overlap": 10}')
    wait_for(lambda: "500" in get(second.zone(table)), 1.5, "the other mount to hear of it")
    files.write(second.zone(table, "c.txt"), TEXT)
    assert_chunks(second, table, "c.txt", 500, 10)


def test_options_that_do_not_go_with_the_mount_refuse_files(another_mount, table):
    """Ingest, Options of a drop zone."""
    first = another_mount()
    os.mkdir(first.zone(table))
    put(first.zone(table), '{"chunk_overlap": 500}')
    second = another_mount(first.workspace, options=["-o", "chunk_size=400,chunk_overlap=0"])
    with pytest.raises(OSError) as refusal:
        files.write(second.zone(table, "a.txt"), TEXT)
    assert refusal.value.errno == errno.EINVAL
    assert NAME in files.read(second.zone(table, "a.txt.error")).decode()


@pytest.mark.parametrize("tool", [
    'cp -r "$1" "$2"', 'cp -a "$1" "$2"', 'rsync -a "$1"/ "$2"/', 'rsync -a --inplace "$1"/ "$2"/',
    'mkdir "$2" && tar -C "$1" -cf - . | tar -C "$2" -xf -'])
def test_copies_of_a_whole_zone_take_them_along(mount, table, tool):
    """Ingest, Options of a drop zone."""
    source, target = mount.zone(table), mount.zone(table + "_copy")
    os.mkdir(source)
    put(source, '{"chunk_size": 300, "chunk_overlap": 50}')
    files.write(os.path.join(source, "a.txt"), TEXT)
    shell(f"set -o pipefail; {tool}", source, target, timeout=30).ok()
    assert get(target) == get(source)
    assert sorted(os.listdir(target)) == [NAME, "a.txt"]
    assert mount.n_rows(table + "_copy") > 0


def test_a_second_rsync_sends_nothing(mount, table, work):
    """Ingest, Options of a drop zone: time and mode are kept."""
    zone = mount.zone(table)
    os.mkdir(zone)
    files.write(os.path.join(work, "from", NAME), '{"chunk_size": 300, "chunk_overlap": 50}')
    files.write(os.path.join(work, "from", "a.txt"), TEXT)
    os.chmod(os.path.join(work, "from", NAME), 0o640)
    os.utime(os.path.join(work, "from", NAME), (1_600_000_000, 1_600_000_000))
    first = run("rsync", "-ai", os.path.join(work, "from") + "/", zone + "/").ok()
    assert NAME in first.out
    status = os.stat(os.path.join(zone, NAME))
    assert (status.st_mtime, status.st_mode & 0o777) == (1_600_000_000, 0o640)
    second = run("rsync", "-ai", os.path.join(work, "from") + "/", zone + "/").ok()
    assert NAME not in second.out


def test_they_go_with_their_table(mount, table):
    """Ingest, Options of a drop zone: rename and rmdir of the table."""
    os.mkdir(mount.at(table))
    put(mount.zone(table), '{"chunk_size": 300, "chunk_overlap": 50}')
    os.rename(mount.at(table), mount.at(table + "_new"))
    assert "300" in get(mount.zone(table + "_new"))
    os.rmdir(mount.at(table + "_new"))
    os.mkdir(mount.at(table + "_new"))
    assert effective(mount.zone(table + "_new"))["chunk_size"] == 1000


def test_there_are_none_deeper_and_none_are_moved(mount, table):
    """Ingest, Options of a drop zone: of the whole zone only."""
    zone = mount.zone(table)
    os.makedirs(os.path.join(zone, "sub"))
    with pytest.raises(PermissionError):
        put(os.path.join(zone, "sub"), "{}")
    put(zone, "{}")
    with pytest.raises(OSError) as refusal:
        os.rename(os.path.join(zone, NAME), os.path.join(zone, "x.json"))
    assert refusal.value.errno == errno.EXDEV


def test_a_read_only_mount_shows_and_refuses(another_mount, table):
    """Ingest, Options of a drop zone; Tables: -o ro."""
    writer = another_mount()
    os.mkdir(writer.zone(table))
    put(writer.zone(table), '{"pdf_dpi": 72}')
    reader = another_mount(writer.workspace, options=["-o", "ro"])
    assert get(reader.zone(table)) == '{"pdf_dpi": 72}'
    for change in (lambda: put(reader.zone(table), "{}"),
                   lambda: os.remove(reader.zone(table, NAME))):
        with pytest.raises(OSError) as refusal:
            change()
        assert refusal.value.errno == errno.EROFS
