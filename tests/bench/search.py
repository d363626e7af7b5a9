# SPDX-License-Identifier: Apache-2.0
"""The step search: a bm25 index against GIN and ts_rank, on a server with this build's extension.

The text is dictionaries of Debian's: definitions, examples and quotations in English. What both
sides do is the same: no stemming and no stop words (the configuration simple), rows that have any
of a query's words, and the best ten. The peer has no jit, whose compilation would cost it more
than it brings, and memory enough that its bitmaps keep every row.

Left out of the peer's time: what making the stored column takes when its rows are written, but
where they are inserted.
"""

import collections
import gzip
import os
import random
import re
import statistics
import time

from bench.harness import Against, judged
from support import bm25, relocated
from support.database import Database, node_types
from support.postgres import Postgres
from support.ranking import topk_nodes

DICTIONARIES = ("gcide", "wn", "foldoc", "jargon")
FOLDERS = ("/usr/share/dictd", os.path.join(relocated.BUILD, "dictionaries"))
CHUNK_CHARACTERS = 500
INSERTED = 10_000
SEED = 4
SAMPLED = 2000  # chunks that tell how common a word is
SHARES = (0.01, 0.1)  # of the chunks have a common word
QUERIES = 20
QUERY_WORDS = (1, 3, 8)
TOP = 10
ASKED_QUERY = 1 / 10
ASKED_BUILD = 2.0
SETTINGS = {
    "session_preload_libraries": "pg_deeplake",
    "wal_level": "replica",
    "max_wal_size": "8GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "work_mem": "64MB",
    "autovacuum": "off",  # in the middle of one side's turn
    "jit": "off",
}
# By the name that the report gives them: table, columns beside id and text, index.
SIDES = {
    "ours": ("ours", "", "deeplake_index (text) WITH (index_type = 'bm25')"),
    "GIN of text": ("of_text", "", "gin (to_tsvector('simple', text))"),
    "GIN of column": (
        "of_column",
        ", words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED",
        "gin (words)"),
}
PEERS = [name for name in SIDES if name != "ours"]


def find_text(bench):
    """All dictionaries, one after the other, their lines joined; None and a note without them."""
    found = []
    for name in DICTIONARIES:
        paths = [os.path.join(folder, name + ".dict.dz") for folder in FOLDERS]
        path = next((path for path in paths if os.path.exists(path)), None)
        if path is None:
            bench.notes.append(f"no {paths[0]} and no {paths[1]}: scripts/setup --bench; search "
                               "is not measured")
            return None
        with gzip.open(path, "rt", encoding="utf-8", errors="replace") as lines:
            found.append(" ".join(re.sub(r"[\s\0]+", " ", lines.read()).split()))
    return " ".join(found)


def cut(text, count):
    """count pieces of whole words, evenly from all of text: where it is short of that, each
    begins within the one before. Also the share that two neighbours have in common."""
    step = (len(text) - 2 * CHUNK_CHARACTERS) / count
    pieces = []
    for number in range(count):
        start = text.index(" ", int(number * step)) + 1
        pieces.append(text[start:text.rindex(" ", start, start + CHUNK_CHARACTERS)])
    return pieces, max(0.0, 1 - step / CHUNK_CHARACTERS)


def make_queries(pieces, chance):
    """{n words: queries}, of words that are common: not so much that they were stop words."""
    sample = chance.sample(pieces, min(SAMPLED, len(pieces)))
    shares = collections.Counter(word for piece in sample for word in set(bm25.words(piece)))
    words = sorted(word for word, n in shares.items() if re.fullmatch("[a-z]{3,}", word)
                   and SHARES[0] <= n / len(sample) <= SHARES[1])
    return {n: [chance.sample(words, n) for _ in range(QUERIES)] for n in QUERY_WORDS}


class Tables:
    """The same rows in one table for each side, and batches of rows to insert."""

    def __init__(self, bench, database, text):
        self.bench = bench
        self.database = database
        self.count = bench.options.chunks
        n_batches = bench.options.pairs
        pieces, self.overlap = cut(text, self.count + n_batches * INSERTED)
        chance = random.Random(SEED)
        late = chance.sample(range(len(pieces)), n_batches * INSERTED)
        self.queries = make_queries(pieces, chance)
        self.fill(pieces, late)

    def sql(self, statement, parameters=None):
        return self.database.sql(statement, parameters)

    def fill(self, pieces, late):
        def lines(numbers):
            return "".join(f"{number}\t" + pieces[number].replace("\\", "\\\\") + "\n"
                           for number in numbers)

        def load(table, numbers):
            self.sql(f"CREATE TABLE {table} (id int, text text)")
            self.database.copy_in(f"COPY {table} FROM STDIN", lines(numbers))
            self.sql(f"VACUUM {table}")

        self.sql("CREATE EXTENSION pg_deeplake")
        is_late = set(late)
        load("rows", (number for number in range(len(pieces)) if number not in is_late))
        for batch in range(self.bench.options.pairs):
            load(f"late_{batch}", late[batch * INSERTED:(batch + 1) * INSERTED])
        for table, columns, _ in SIDES.values():
            self.sql(f"CREATE TABLE {table} (id int, text text{columns})")
            self.sql(f"INSERT INTO {table} SELECT id, text FROM rows")
            self.sql(f"VACUUM ANALYZE {table}")

    def timed(self, statement):
        self.bench.settle()
        started = time.perf_counter()
        self.sql(statement)
        return time.perf_counter() - started

    def build(self, name):
        table, _, definition = SIDES[name]
        self.sql(f"DROP INDEX IF EXISTS {table}_index")
        return self.timed(f"CREATE INDEX {table}_index ON {table} USING {definition}")

    def insert(self, name, batch):
        return self.timed(f"INSERT INTO {SIDES[name][0]} SELECT id, text FROM late_{batch}")

    def index_bytes(self, name):
        return self.sql(f"SELECT pg_relation_size('{SIDES[name][0]}_index')")[0][0]


def by_score(words):
    return ("SELECT id, text, text <#> %(query)s AS score FROM ours ORDER BY score DESC "
            f"LIMIT {TOP}", {"query": " ".join(words)})


def by_rank(words):
    return ("SELECT id, text, ts_rank(words, query) AS rank FROM of_column, "
            "to_tsquery('simple', %(query)s) query WHERE words @@ query "
            f"ORDER BY rank DESC LIMIT {TOP}", {"query": " | ".join(words)})


def check_queries(tables, queries):
    """Rows that are wrong would not be compared, nor plans that do not use the index."""
    scanned = 0
    for words in queries:
        for side, statement in (("ours", by_score(words)), ("ts_rank", by_rank(words))):
            rows = tables.sql(*statement)
            if len(rows) != TOP:
                raise SystemExit(f"{side}: {len(rows)} rows instead of {TOP} by {words}")
            for number, text, _ in rows:
                if not set(words) & set(bm25.words(text)):
                    raise SystemExit(f"{side}: row {number} has none of {words}:\n{text}")
        if not topk_nodes(tables.database.explain_json(*by_score(words))):
            raise SystemExit(f"the bm25 index is not used for {words}")
        plan = tables.database.explain_json(*by_rank(words))
        scanned += "Bitmap Index Scan" not in node_types(plan)
    if scanned:
        tables.bench.notes.append(f"search: {scanned} of {len(queries)} queries of "
                                  f"{len(queries[0])} words were no scan of GIN")


def measure_queries(bench, tables, n_words):
    queries = tables.queries[n_words]
    check_queries(tables, queries)

    def median_of(statement):
        """Of the seconds of one query, with what it reads in memory: see check_queries()."""
        def act(number):
            seconds = []
            for words in queries:
                started = time.perf_counter()
                tables.sql(*statement(words))
                seconds.append(time.perf_counter() - started)
            return statistics.median(seconds)
        return act

    bench.settle()
    seconds, peak = bench.pairs(median_of(by_score), {"ts_rank": median_of(by_rank)})
    bench.report("search", f"top {TOP} of {tables.count} chunks by {n_words} common "
                 f"word{'s' if n_words > 1 else ''}, each in {SHARES[0]:.0%} to {SHARES[1]:.0%} "
                 f"of them; median of {QUERIES} queries", seconds, peak, {"queries": QUERIES},
                 [Against("ts_rank", asked=ASKED_QUERY)], unit="ms")


def measure_build(bench, tables):
    seconds, peak = bench.pairs(
        lambda number: tables.build("ours"),
        {name: lambda number, name=name: tables.build(name) for name in PEERS})
    ours = tables.index_bytes("ours")
    sizes = []
    for name in PEERS:
        theirs = tables.index_bytes(name)
        sizes.append(judged(f"size of the index / {name} ({ours / 2**20:.1f} / "
                            f"{theirs / 2**20:.1f} MiB)", ours / theirs, None,
                            bytes=[ours, theirs]))
    shared = f", of which neighbours share {tables.overlap:.0%}" if tables.overlap else ""
    bench.report("search", f"index of {tables.count} chunks of {CHUNK_CHARACTERS} characters"
                 + shared, seconds, peak, {"rows": tables.count},
                 [Against(name, asked=ASKED_BUILD) for name in PEERS], also=sizes)


def measure_insert(bench, tables):
    seconds, peak = bench.pairs(
        lambda number: tables.insert("ours", number),
        {name: lambda number, name=name: tables.insert(name, number) for name in PEERS})
    bench.report("search", f"insert of {INSERTED} rows into the table of {tables.count}, with "
                 "its index", seconds, peak, {"rows": INSERTED},
                 [Against(name) for name in PEERS])


def step(bench):
    reason = relocated.why_not()
    if reason:
        bench.notes.append(f"{reason}; search is not measured")
        return
    text = find_text(bench)
    if text is None:
        return
    with relocated.Relocated() as made, Postgres(
            fsync=True, parent=bench.folder, settings=SETTINGS,
            programs=made.programs) as server, bench.on_server(server):
        server.create_database("search")
        database = Database(server, "search")
        tables = Tables(bench, database, text)
        measure_build(bench, tables)
        for n_words in QUERY_WORDS:
            measure_queries(bench, tables, n_words)
        measure_insert(bench, tables)
        database.close()
