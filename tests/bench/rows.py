# SPDX-License-Identifier: Apache-2.0
"""The step rows: a CSV file of rows by cp into a drop zone of the format rows."""

import json
import os
import random

from bench.harness import Against
from support import files


def make_rows(bench):
    source = bench.at("rows.csv")
    if not os.path.exists(source):
        chance = random.Random(7)
        with open(source, "w", encoding="ascii") as file:
            file.write("n,x,t\n")
            for number in range(bench.options.rows):
                file.write(f"{number},{chance.random() * 1000:.6f},row {number} of the table\n")
        os.chmod(source, 0o644)
    return source


def new_zone(bench, table):
    os.mkdir(bench.mount.zone(table))
    files.write(bench.mount.zone(table, ".ingest.json"), json.dumps({"format": "rows"}))


def step(bench):
    source = make_rows(bench)
    count = bench.options.rows
    new_zone(bench, "rows_template")
    files.write(bench.mount.zone("rows_template", "a.csv"), "n,x,t\n1,0.5,a\n")

    def ours(number):
        table = f"rows_{number}"
        new_zone(bench, table)
        seconds = bench.timed(["cp", source, bench.mount.zone(table)])
        found = bench.mount.n_rows(table)
        if found != count:
            raise SystemExit(f"{found} rows in {table}, {count} were expected")
        os.rmdir(bench.mount.at(table))
        return seconds

    def copy(number):
        """Into a table of the same definition, where file_id is NULL."""
        bench.mount.sql('DROP TABLE IF EXISTS "copied_rows"')
        bench.mount.sql('CREATE TABLE "copied_rows" (LIKE "rows_template" INCLUDING ALL)')
        seconds = bench.psql_copy("n, x, t", "copied_rows", source, "FORMAT csv, HEADER")
        bench.mount.sql('DROP TABLE "copied_rows"')
        return seconds

    seconds, peak = bench.pairs(ours, {"\\copy csv": copy} if bench.has_psql else {})
    bench.report("rows", f"cp of one CSV file of {count} rows (int, float, text)", seconds, peak,
                 {"bytes": os.path.getsize(source)},
                 against=[Against("\\copy csv", asked=1.3)] if bench.has_psql else None)
