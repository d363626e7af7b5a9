# SPDX-License-Identifier: Apache-2.0
"""The steps media, offsets and listing: values and listings below <table>/rows.

The peer of a value is bench-values, a client of libpq that does nothing else: one connection, one
prepared statement, binary results, written to /dev/null as cat writes them. It has the whole value
in memory, or reads substrings, as it is told.
"""

import os
import random
import statistics
import time

from bench.harness import Against, judged, status_of
from support import files

PIECE_BYTES = 8 << 20  # of a large value, for the peer
RANGE_BYTES = 64 << 10
SHARE = 0.7  # of the peer's throughput


def make_file(path, n_bytes):
    if not os.path.exists(path):
        with open(path, "wb") as file:
            for _ in range(0, n_bytes, 1 << 20):
                file.write(os.urandom(min(1 << 20, n_bytes - file.tell())))
    return path


def fill(bench, table, count, n_bytes):
    """A table of that many values, each a file that was copied in; their paths by key."""
    if not bench.mount.table_exists(table):
        folder = bench.at(table)
        os.mkdir(folder)
        bench.fill(table, [make_file(os.path.join(folder, f"{number}.bin"), n_bytes)
                           for number in range(count)], count)
        bench.mount.sql(f'VACUUM ANALYZE "{table}"')
    keys = [str(row[0]) for row in bench.mount.sql(f'SELECT id FROM "{table}" ORDER BY id')]
    return {key: bench.mount.at(table, "rows", key, "data.bin") for key in keys}


def has_peer(bench, step):
    if not os.access(bench.options.values, os.X_OK):
        bench.notes.append(f"no {bench.options.values}: meson compile -C build bench-values; "
                           f"{step} is measured alone")
    return os.access(bench.options.values, os.X_OK)


def forget_pages(paths):
    """Bytes of the mount that the kernel kept would not be asked for again."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def against_client(bench, table, paths, what, n_bytes, piece_bytes=None):
    """cat of paths against the client that reads the same values."""
    requests = files.write(bench.at("requests"), "".join(f"{key}\n" for key in paths))
    command = [bench.options.values, bench.dsn, f'bench."{table}"', "data"]
    command += [str(piece_bytes)] if piece_bytes else []

    def cat(number):
        forget_pages(paths.values())
        return bench.timed(["sh", "-c", 'exec cat "$@" > /dev/null', "sh", *paths.values()])

    def client(number):
        return bench.timed(["sh", "-c", 'from=$1; shift; exec "$@" < "$from" > /dev/null', "sh",
                            requests, *command])

    peers = {"libpq": client} if has_peer(bench, "media") else {}
    seconds, peak = bench.pairs(cat, peers)
    bench.report("media", what, seconds, peak, {"bytes": n_bytes},
                 [Against(*peers, asked=1 / SHARE)])


def step_media(bench):
    count, n_bytes = bench.options.values_count, bench.options.value_bytes
    paths = fill(bench, "media", count, n_bytes)
    against_client(bench, "media", paths, f"cat of {count} values of {n_bytes} bytes, against "
                   "each by one SELECT", count * n_bytes)

    large = bench.options.large_value_bytes
    paths = fill(bench, "large_media", 1, large)
    against_client(bench, "large_media", paths, f"cat of a value of {large} bytes, against "
                   f"substrings of {PIECE_BYTES} bytes", large, PIECE_BYTES)


def step_offsets(bench):
    """Short reads all over one large value: seconds of all of them."""
    large, count = bench.options.large_value_bytes, bench.options.offsets
    (key, path), = fill(bench, "large_media", 1, large).items()
    dice = random.Random(1)
    offsets = [dice.randrange(large - RANGE_BYTES) for _ in range(count)]
    requests = files.write(bench.at("requests"),
                           "".join(f"{key} {at} {RANGE_BYTES}\n" for at in offsets))
    before = status_of(bench.mount.daemon_pid)["VmRSS"]

    def ours(number):
        forget_pages([path])
        bench.settle()
        started = time.monotonic()
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            for at in offsets:
                os.pread(file.fileno(), RANGE_BYTES, at)
        return time.monotonic() - started

    def client(number):
        return bench.timed(["sh", "-c", 'from=$1; shift; exec "$@" < "$from" > /dev/null', "sh",
                            requests, bench.options.values, bench.dsn, 'bench."large_media"',
                            "data"])

    peers = {"libpq": client} if has_peer(bench, "offsets") else {}
    seconds, peak = bench.pairs(ours, peers)
    grown = peak["VmHWM"] - before
    bench.report("offsets", f"{count} reads of {RANGE_BYTES} bytes anywhere in a value of "
                 f"{large} bytes, {statistics.median(seconds['ours']) / count * 1e3:.2f} ms each",
                 seconds, peak, {"bytes": count * RANGE_BYTES},
                 also=[judged(f"memory that the daemon took for it / 32 MiB ({grown >> 20} MiB)",
                              grown / (32 << 20), 1.0)])


def first_name(path):
    """Seconds until a program has the first names; getdents brings some hundred at once."""
    started = time.monotonic()
    with os.scandir(path) as entries:
        next(entries)
    return time.monotonic() - started


def step_listing(bench):
    """The first names of a listing, and all of them."""
    count = bench.options.rows
    if not bench.mount.table_exists("many"):
        bench.mount.sql("CREATE TABLE many (id bigint PRIMARY KEY, t text)")
        bench.mount.sql("INSERT INTO many SELECT n, 'row ' || n FROM generate_series(1, %s) n",
                        count)
        bench.mount.sql("VACUUM ANALYZE many")
        time.sleep(1.2)  # until it shows
    path = bench.mount.at("many", "rows")
    firsts = []
    before = status_of(bench.mount.daemon_pid)["VmRSS"]

    def ours(number):
        bench.settle()
        firsts.append(first_name(path))
        listed = bench.at("listed")
        seconds = bench.timed(["sh", "-c", 'exec ls -f "$1" > "$2"', "sh", path, listed])
        with open(listed, "rb") as lines:
            found = sum(1 for line in lines if line not in (b".\n", b"..\n"))
        if found != count:
            raise SystemExit(f"{found} names of {count} rows")
        return seconds

    def psql(number):
        return bench.timed(["psql", "-qXAt", "-d", bench.dsn, "-o", "/dev/null", "-c",
                            "SELECT id FROM bench.many ORDER BY id"])

    seconds, peak = bench.pairs(ours, {"psql": psql} if bench.has_psql else {})
    grown = peak["VmHWM"] - before
    first = statistics.median(firsts)
    bench.report("listing", f"ls -f of {count} rows, against psql's list of their keys", seconds,
                 peak, {"files": count},
                 also=[judged(f"first names / 50 ms ({first * 1e3:.1f} ms)", first / 0.05, 1.0),
                       judged(f"memory that the daemon took for it / 32 MiB ({grown >> 20} MiB)",
                              grown / (32 << 20), 1.0)])
