# SPDX-License-Identifier: Apache-2.0
"""The step service: many small files to the Deeplake service, whose every request takes long.

The service is the tests' stand-in over the same PostgreSQL, in this process, with TLS; its latency
stands for the way there and back.
"""

import collections
import os
import re
import statistics

from bench.harness import Against, judged
from bench.plain import make_files
from support.mount import PROGRAM, Backend
from support.service import CONCURRENCY_LIMIT, Service

LATENCY_SECONDS = 0.020


def kind_of(statement):
    """What a statement does, without what it does it with."""
    words = re.sub(r"\$\w*\$|\"[^\"]*\"\.", "", statement).split()
    block = re.search(r"EXECUTE (\w+(?: \w+ AS \(\w+ \w+)?)", " ".join(words))
    return f"DO {block[1]}" if words[0] == "DO" and block else " ".join(words[:4])[:60]


class Counted:
    """What the runs of one step asked for."""

    def __init__(self):
        self.n_requests, self.n_at_once, self.n_throttled = [], 0, 0
        self.kinds = collections.Counter()

    def add(self, service):
        self.n_requests.append(len(service.requests))
        self.n_at_once = max(self.n_at_once, service.max_under_way)
        self.n_throttled = service.n_throttled
        self.kinds = collections.Counter(kind_of(one) for one in service.statements())
        if service.violations:
            raise SystemExit("against the protocol: " + "; ".join(service.violations[:5]))

    def facts(self, n_files):
        n_requests = statistics.median(self.n_requests)
        common = ", ".join(f"{count} {kind}" for kind, count in self.kinds.most_common(4))
        return {"requests": f"{n_requests:.0f}, {self.n_at_once} under way at most, "
                            f"{self.n_throttled} refused",
                "per request": f"{n_files / n_requests:.1f} files",
                "statements": f"of the last run: {common}"}


def ingest(bench, backend, table, source, n_rows):
    """Seconds of the command, which makes the table."""
    seconds = bench.timed([PROGRAM, "ingest", *backend.options(), "--workspace", "bench", table,
                           source + "/."], env=backend.environment())
    found = bench.mount.n_rows(table)
    if found != n_rows:
        raise SystemExit(f"{found} rows in {table}, {n_rows} were expected")
    return seconds


def step(bench):
    """All files; then all of them again, which are there already."""
    source, rows = make_files(bench)
    with open(rows, encoding="utf-8") as lines:
        n_rows = sum(1 for _ in lines)
    service = Service(bench.dsn)
    backend = Backend("service", verify_dsn=bench.dsn, parent=bench.folder, service=service)
    direct = Backend("external", dsn=bench.dsn, parent=bench.folder)
    try:
        compare(bench, backend, direct, source, n_rows, "")
        compare(bench, backend, direct, source, n_rows, " again")
    finally:
        direct.destroy()
        backend.destroy()


def compare(bench, backend, direct, source, n_rows, again):
    n_files = bench.options.files
    counted = Counted()

    def ours(number):
        backend.service.forget_requests()
        backend.service.latency = LATENCY_SECONDS
        seconds = ingest(bench, backend, f"service_{number}", source, n_rows)
        counted.add(backend.service)
        return seconds

    seconds, peak = bench.pairs(ours, {"--dsn": lambda number: ingest(
        bench, direct, f"direct_{number}", source, n_rows)})
    peak.update(VmHWM=0, VmRSS=0)  # the mount's daemon has no part in it
    alone = n_files * LATENCY_SECONDS / CONCURRENCY_LIMIT
    bench.report(
        "service", f"deeplakefs ingest of {n_files} text files{again} over a service that takes "
        f"{LATENCY_SECONDS * 1000:.0f} ms per request, against --dsn", seconds, peak,
        {"files": n_files, "rows": n_rows}, [Against("--dsn")],
        [judged(f"ours / {alone:.1f} s of waiting, were each file a request and "
                f"{CONCURRENCY_LIMIT} under way", statistics.median(seconds["ours"]) / alone,
                None)], facts=counted.facts(n_files))
