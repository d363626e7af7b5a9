# SPDX-License-Identifier: Apache-2.0
"""The steps files, large, list and rsync: text files, one large file of no kind, and listing."""

import os
import random
import struct
import subprocess
import uuid

from bench import copyfile
from support import files
from support.mount import Mount

PIECE_BYTES = 1 << 20


def make_files(bench):
    """The files, and the rows they become as one \\copy file."""
    source, rows = bench.at("files"), bench.at("rows.tsv")
    if os.path.isdir(source):
        return source, rows
    made = files.tree(source, bench.options.files, seed=0)

    def all_rows():
        for content in made.values():
            file_id = uuid.UUID(int=random.getrandbits(128), version=4)
            for index, chunk in files.expected_rows(content.decode()):
                yield [file_id, index, chunk]

    return source, copyfile.write_text(rows, all_rows())


def step_files(bench):
    source, rows = make_files(bench)
    with open(rows, encoding="utf-8") as lines:
        expected = sum(1 for _ in lines)

    def ours(number):
        return bench.fill(f"files_{number}", [source + "/."], expected)

    def through(number):
        target = os.path.join(bench.peer.path, f"files_{number}")
        os.mkdir(target)
        return bench.timed(["cp", "-r", source + "/.", target])

    def copy(number):
        bench.definition("a.txt", f"copied_{number}")
        return bench.psql_copy("file_id, chunk_index, text", f"copied_{number}", rows,
                               "FORMAT text")

    peers = {}
    if bench.peer:
        peers["pass-through"] = through
    if bench.has_psql:
        peers["\\copy"] = copy
    seconds, peak = bench.pairs(ours, peers)
    bench.report("files", f"cp -r of {bench.options.files} text files, {expected} rows",
                 seconds, peak, {"files": bench.options.files, "rows": expected})


def make_large(bench):
    """The file, and its row: piece by piece, as it may be larger than memory."""
    source, rows = bench.at("large.bin"), bench.at("large.copy")
    size = bench.options.bytes
    if os.path.exists(source):
        return source, rows
    with open(source, "wb") as plain, open(rows, "wb") as copy:
        copy.write(copyfile.HEADER + struct.pack("!h", 3))
        copy.write(copyfile.binary_value(str(uuid.uuid4())) + struct.pack("!i", size))
        left = size
        while left:
            piece = os.urandom(min(left, PIECE_BYTES))
            plain.write(piece)
            copy.write(piece)
            left -= len(piece)
        copy.write(copyfile.binary_value("large.bin") + copyfile.TRAILER)
    os.chmod(rows, 0o644)
    return source, rows


def step_large(bench):
    source, rows = make_large(bench)

    def ours(number):
        table = f"large_{number}"
        seconds = bench.fill(table, [source], 1)
        length = bench.mount.sql(f'SELECT octet_length(data) FROM "{table}"')[0][0]
        if length != bench.options.bytes:
            raise SystemExit(f"{length} bytes in {table}")
        os.rmdir(bench.mount.at(table))
        return seconds

    def copy(number):
        return bench.copied("file_id, data, filename", "copied_large", "a.bin", rows,
                            "FORMAT binary")

    seconds, peak = bench.pairs(ours, {"\\copy binary": copy} if bench.has_psql else {})
    bench.report("large", f"cp of one file of {bench.options.bytes} bytes", seconds, peak,
                 {"bytes": bench.options.bytes})


def filled(path, source):
    """path, with the files in it by rsync -a, so that times agree."""
    if not os.path.isdir(path):
        os.mkdir(path)
    subprocess.run(["rsync", "-a", source + "/", path], check=True)
    return path


def against_peer(bench, step, what, arguments, expect_empty=False):
    if not bench.has_tools(step, "rsync"):
        return
    source, _ = make_files(bench)
    ours = filled(bench.mount.zone("listed"), source)
    peers = {}
    if bench.peer:
        target = filled(os.path.join(bench.peer.path, "listed"), source)
        peers["pass-through"] = lambda number: bench.timed(
            arguments(source, target), expect_empty=expect_empty)
    seconds, peak = bench.pairs(
        lambda number: bench.timed(arguments(source, ours), expect_empty=expect_empty), peers)
    bench.report(step, what, seconds, peak, {"files": bench.options.files})


def step_list(bench):
    """Twice: ls -l asks for two extended attributes per file, which the pass-through has not."""
    def arguments(source, target):
        return ["ls", "-l", target]

    what = f"ls -l of {bench.options.files} files"
    against_peer(bench, "list", what, arguments)
    usual = bench.mount
    bench.mount = Mount(bench.backend, "bench", ["-o", "no_xattrs"]).start()
    try:
        against_peer(bench, "list", what + ", mounted with -o no_xattrs", arguments)
    finally:
        bench.mount.teardown()
        bench.mount = usual


def step_rsync(bench):
    against_peer(bench, "rsync", f"second rsync -ai of {bench.options.files} files",
                 lambda source, target: ["rsync", "-ai", source + "/", target],
                 expect_empty=True)
