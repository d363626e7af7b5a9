# SPDX-License-Identifier: Apache-2.0
"""The step json: a large result as JSON, from the server to a file."""

import os

from bench.harness import Against
from support import files
from support.mount import PROGRAM


def make_rows(bench):
    """A table of four columns, read once so that nobody pays for the disk."""
    bench.mount.sql("DROP TABLE IF EXISTS result")
    bench.mount.sql(
        "CREATE TABLE result AS SELECT n::int AS id, 'row ' || n || ' of the table' AS text, "
        "sqrt(n) AS value, '2024-01-01 00:00:00+00'::timestamptz + n * interval '1.5 s' AS at "
        f"FROM generate_series(1, {bench.options.rows}) n")
    bench.mount.sql("VACUUM ANALYZE result")
    bench.mount.sql("SELECT sum(length(text)) FROM result")


def same_rows(bench, one, other, what):
    """Timed commands that gave different things would not be compared."""
    found = [sum(1 for _ in open(path, "rb")) for path in (one, other)]
    if found != [bench.options.rows] * 2:
        raise SystemExit(f"{what} and psql gave {found} rows of {bench.options.rows}")


def step(bench):
    if not bench.has_psql:
        return
    make_rows(bench)
    statement = "SELECT id, text, value, at FROM result"
    query = bench.mount.at("bench_json.sql")
    files.write(query, statement)
    by_mount, by_command, by_psql = (bench.at(name) for name in
                                     ("mount.json", "command.json", "psql.json"))

    def through(script, path):
        return bench.timed(["sh", "-c", script + ' > "$0"', path])

    def psql(number):
        return through(f"psql -qX -d '{bench.dsn}' -c 'COPY (SELECT row_to_json(t) FROM "
                       "(SELECT id, text, value, at FROM bench.result) t) TO STDOUT'", by_psql)

    def cat(number):
        return through(f"cat '{bench.mount.at('bench_json.json')}'", by_mount)

    def command(number):
        options = " ".join(f"'{one}'" for one in bench.backend.options())
        return through(f"'{PROGRAM}' query {options} --workspace bench '{statement}'",
                       by_command)

    for what, ours, path in (("cat of query.json", cat, by_mount),
                             ("deeplakefs query", command, by_command)):
        seconds, peak = bench.pairs(ours, {"psql": psql})
        same_rows(bench, path, by_psql, what)
        bench.report("json", f"{bench.options.rows} rows by {what}, against psql's copy of "
                     "row_to_json", seconds, peak,
                     {"rows": bench.options.rows, "bytes": os.path.getsize(path)},
                     [Against("psql", asked=1.0)])
