# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Tenets: nothing is lost or doubled, however many copy at once."""

import os
import subprocess
import threading

import pytest

from support import files
from support.checks import assert_ingested
from support.mount import shell


@pytest.fixture
def zone(mount, table):
    os.mkdir(mount.zone(table))
    return mount.zone(table)


def test_fifty_processes_copy_at_once(mount, table, zone, work):
    """Ingest: all rows, each once."""
    contents = {}
    for number in range(50):
        name = f"{number}.txt" if number % 2 else f"{number}.bin"
        contents[name] = files.text(3_000 + number, number).encode()
        files.write(os.path.join(work, name), contents[name])
    copies = [subprocess.Popen(["cp", os.path.join(work, name), zone]) for name in contents]
    assert [copy.wait(120) for copy in copies] == [0] * 50
    assert mount.ledger_paths(table) == sorted(contents)
    for name, content in contents.items():
        assert_ingested(mount, table, name, content)
    assert mount.n_orphans(table) == 0
    assert mount.n_rows(table) == sum(mount.ledger(table, name)["n_rows"] for name in contents)


def test_the_first_files_of_a_new_table_may_come_at_once(mount, table, zone, work):
    """Ingest: the table is created by the first rows, once."""
    for number in range(24):
        files.write(os.path.join(work, f"{number}.txt"), f"text {number}")
        files.write(os.path.join(work, f"{number}.bin"), f"bytes {number}")
    copies = [subprocess.Popen(["cp", os.path.join(work, f"{number}.{extension}"), zone])
              for number in range(24) for extension in ("txt", "bin")]
    assert [copy.wait(120) for copy in copies] == [0] * 48
    assert mount.n_rows(table) == 48
    assert mount.n_orphans(table) == 0


def test_the_same_path_from_eight_processes_is_one_version(mount, table, zone, work):
    """Ingest, Atomic: exactly one version, whole."""
    versions = []
    for number in range(8):
        versions.append(files.text(5_000 + number, f"v{number}").encode())
        files.write(os.path.join(work, str(number), "same.txt"), versions[-1])
    for _ in range(5):
        copies = [subprocess.Popen(["cp", os.path.join(work, str(number), "same.txt"),
                                    os.path.join(zone, f".same.{number}.tmp")])
                  for number in range(8)]
        assert [copy.wait(60) for copy in copies] == [0] * 8
        moves = [subprocess.Popen(["mv", "-f", os.path.join(zone, f".same.{number}.tmp"),
                                   os.path.join(zone, "same.txt")]) for number in range(8)]
        assert [move.wait(60) for move in moves] == [0] * 8
        assert os.listdir(zone) == ["same.txt"]
        content = files.read(os.path.join(zone, "same.txt"))
        assert content in versions
        assert_ingested(mount, table, "same.txt", content)
        assert mount.n_orphans(table) == 0
        assert mount.n_rows(table) == len(files.expected_chunks(content.decode()))


def test_the_same_path_from_two_mounts_is_one_version(mount, another_mount, table, zone, work):
    """Ingest, Atomic: other clients too."""
    other = another_mount(workspace=mount.workspace)
    versions = [files.text(4_000 + n, f"m{n}").encode() for n in range(2)]
    for number, content in enumerate(versions):
        files.write(os.path.join(work, f"{number}.txt"), content)
    for _ in range(10):
        copies = [subprocess.Popen(["cp", os.path.join(work, f"{number}.txt"),
                                    one.zone(table, "same.txt")])
                  for number, one in enumerate((mount, other))]
        assert [copy.wait(60) for copy in copies] == [0, 0]
        assert mount.ledger_paths(table) == ["same.txt"]
        entry = mount.ledger(table, "same.txt")
        content = next(one for one in versions if files.sha256(one) == entry["content_hash"])
        assert mount.chunks(table, "same.txt") == files.expected_rows(content.decode())
        assert mount.n_orphans(table) == 0


def test_listing_goes_on_while_files_come_and_go(mount, table, zone):
    """Tables; Tenets: a listing has each name once."""
    failures = []

    def list_again_and_again(stop):
        while not stop.is_set():
            names = os.listdir(zone)
            if len(names) != len(set(names)):
                failures.append(names)

    stop = threading.Event()
    lister = threading.Thread(target=list_again_and_again, args=(stop,))
    lister.start()
    try:
        shell('for n in $(seq 1 120); do printf $n > "$1/$n.txt" || exit; done; '
              'for n in $(seq 1 2 120); do rm "$1/$n.txt" || exit; done', zone).ok()
    finally:
        stop.set()
        lister.join(30)
    assert not failures
    assert sorted(os.listdir(zone)) == sorted(f"{n}.txt" for n in range(2, 121, 2))
    assert mount.n_rows(table) == 60


def test_a_folder_of_many_files_lists_each_once(mount, table, zone, work):
    """Ingest: 3,000 files by one cp -a; ls shows each once."""
    made = files.tree(os.path.join(work, "many"), 3_000, seed=1, low=100, high=900)
    shell('cp -a "$1"/. "$2"/', os.path.join(work, "many"), zone, timeout=200).ok()
    assert sorted(os.listdir(zone)) == sorted(made)
    assert mount.n_rows(table) == 3_000
    out = shell('ls -l "$1" | tail -n +2', zone).ok().out.splitlines()
    assert {line.split()[-1]: int(line.split()[4]) for line in out} == {
        name: len(content) for name, content in made.items()}
    assert shell('rsync -ai "$1"/ "$2"/', os.path.join(work, "many"), zone).ok().out == ""
