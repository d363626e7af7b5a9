# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Search: words as a path, `<table>/.search/<words>/results.json`."""

import csv
import io
import json
import os

import pytest

from support import files, relocated
from support.fixtures import tear_down
from support.mount import Backend, Mount, run, wait_for

pytestmark = pytest.mark.skipif(relocated.why_not() is not None,
                                reason=str(relocated.why_not()))

WITH_BM25 = "USING deeplake_index (text) WITH (index_type = 'bm25')"


@pytest.fixture(scope="module")
def searched(programs):
    """A mount on a private server, whose database has the extension."""
    backend = Backend("embedded", programs=programs)
    yield Mount(backend).start()
    tear_down(backend)


@pytest.fixture
def articles(searched, table):
    """The folder of a table with an index; of 40 rows that have networks, one is about them."""
    searched.sql(f'CREATE TABLE "{table}" (id int PRIMARY KEY, picture bytea, kind text, text text)')
    searched.sql(f"""INSERT INTO "{table}" SELECT n, '\\x00', 'even', 'networks of rivers ' || n
                 FROM generate_series(2, 80, 2) n""")
    searched.sql(f"""INSERT INTO "{table}" VALUES (1, NULL, 'odd', 'neural networks'),
                 (3, NULL, 'odd', 'garden'), (5, NULL, 'odd', NULL)""")
    searched.sql(f"""INSERT INTO "{table}" SELECT n, NULL, 'odd', 'chapter ' || n
                 FROM generate_series(101, 201, 2) n""")
    searched.sql(f'CREATE INDEX ON "{table}" {WITH_BM25}')
    return shown(searched, table)


def shown(mount, table):
    wait_for(lambda: os.path.isdir(mount.at(table)), 2, "the new table")
    return mount.at(table)


def path_of(folder, words, *parts, results="results.json"):
    return os.path.join(folder, f".search/{words}", *parts, results)


def search(folder, words, *parts):
    return json.loads(files.read(path_of(folder, words, *parts)))


def refused(folder, words, *parts):
    """What cat shows of a search that cannot be; it fails with EIO after that."""
    ran = run("cat", path_of(folder, words, *parts))
    assert ran.code != 0
    assert "Input/output error" in ran.err
    return json.loads(ran.out)["error"]


def test_the_best_rows_come_first_with_their_score(articles):
    """Search, Words as a path: columns without media, and the score; 10 rows."""
    rows = search(articles, "neural networks")
    assert len(rows) == 10
    assert rows[0].keys() == {"id", "kind", "text", "score"}
    assert (rows[0]["id"], rows[0]["text"]) == (1, "neural networks")
    assert rows[0]["score"] > rows[1]["score"] > 0
    assert all("networks" in row["text"] for row in rows)
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_rows_with_none_of_the_words_are_left_out(articles):
    """Search, Words as a path: only rows that have some of the words."""
    assert [row["id"] for row in search(articles, "garden")] == [3]
    assert len(search(articles, "garden networks", ".limit/1000")) == 42
    assert files.read(path_of(articles, "nowhere")) == b"[]\n"
    for nothing in (" ", "-", "%2F"):
        assert files.read(path_of(articles, nothing)) == b"[]\n"


def test_files_alone(searched):
    """README, A tour: an index is a folder, a search is a path."""
    os.mkdir(searched.zone("notes"))
    files.write(searched.zone("notes", "salt.txt"), b"A lake without an outflow grows salty.\n")
    files.write(searched.zone("notes", "reeds.txt"), b"Reeds grow along the shore.\n")
    os.mkdir(searched.at("notes", "indexes", "text.bm25"))
    rows = search(searched.at("notes"), "salty lake")
    assert [row["text"].split()[0] for row in rows] == ["A"]


def test_it_goes_with_the_other_methods(articles):
    """Search, Words as a path: .select, .where, .order_by, .limit and .offset, in any order."""
    assert search(articles, "networks", ".select/id", ".where/id < $1", ".param/3",
                  ".order_by/id DESC")[0].keys() == {"id", "score"}
    best = [row["id"] for row in search(articles, "networks", ".order_by/id", ".limit/5")]
    assert best == [1, 2, 4, 6, 8]
    path = os.path.join(articles, ".offset/1/.where/kind = $1 OR id < 5/.param/even/.select/id,text"
                        "/.search/networks/.order_by/id/.limit/2/results.json")
    assert [row["id"] for row in json.loads(files.read(path))] == [2, 4]
    path = os.path.join(articles, ".order_by/id DESC/.search/networks/.limit/2/results.json")
    assert [row["id"] for row in json.loads(files.read(path))] == [80, 78]
    assert search(articles, "networks", ".limit/0") == []
    assert search(articles, "networks", ".select/upper(kind) AS kind",
                  ".limit/1")[0]["kind"] == "ODD"


def test_pages_of_equal_scores_by_a_key(articles):
    """Search, Words as a path: .order_by decides among equal scores."""
    found = []
    for offset in range(0, 50, 10):
        found += [row["id"] for row in search(articles, "rivers", ".order_by/id",
                                              f".offset/{offset}")]
    assert found == list(range(2, 81, 2))


def test_every_form_of_a_result(searched, articles):
    """Search, Words as a path; Queries, Builder."""
    def form(name):
        return files.read(path_of(articles, "neural garden", ".order_by/id",
                                  results=f"results.{name}")).decode()

    rows = json.loads(form("json"))
    assert {row["id"] for row in rows} == {1, 3}
    assert [json.loads(line) for line in form("jsonl").splitlines()] == rows
    records = list(csv.DictReader(io.StringIO(form("csv"))))
    assert [int(record["id"]) for record in records] == [row["id"] for row in rows]
    assert list(records[0]) == ["id", "kind", "text", "score"]

    text = form("sql.text")
    first, statement = text.split("\n", 1)
    assert first == '-- $1 = "neural garden"'
    assert "garden" not in statement and '"text" <#> $1 AS score' in statement
    files.write(os.path.join(articles, "query.sql"), text.encode())
    assert json.loads(files.read(os.path.join(articles, "query.sql"))) == rows


def test_the_index_finds_them(searched, articles, table):
    """Search, Words as a path: by the index, without reading the table."""
    searched.sql(f"""INSERT INTO "{table}" SELECT n, NULL, 'more', md5(n::text)
                 FROM generate_series(1000, 20000) n""")
    searched.sql(f'ANALYZE "{table}"')
    text = files.read(path_of(articles, "neural networks", results="results.sql.text")).decode()
    statement = text.split("\n", 1)[1].replace("$1", "'neural networks'")
    plan = "\n".join(row[0] for row in searched.sql("EXPLAIN " + statement))
    assert "Deeplake TopK" in plan
    assert [row["id"] for row in search(articles, "neural")] == [1]


HOSTILE = ["'; DROP TABLE {t}; --", "$1", "neural' OR true --", "\\", '"', "$$", "neural) > 0 OR ("]


def test_words_are_a_value(searched, articles, table):
    """Search, Words as a path: sent as a value, percent-encoded."""
    n_rows = searched.n_rows(table)
    for words in HOSTILE:
        found = search(articles, words.format(t=table))
        assert [row["id"] for row in found] == ([1] if "neural" in words else []), words
    assert searched.n_rows(table) == n_rows
    searched.sql(f"""UPDATE "{table}" SET text = 'Ŝtono 湖 100 and/or' WHERE id = 3""")
    for words in ("ŝtono", "湖", "100%25", "or%2Fsomething", "%C5%9Dtono"):
        assert [row["id"] for row in search(articles, words)] == [3], words
    assert "%25" in refused(articles, "100% salt")["hint"]


def test_a_column_that_is_called_score(searched, table):
    """Search, Words as a path; Queries, JSON forms: the later one is score_2."""
    searched.sql(f'CREATE TABLE "{table}" (id int PRIMARY KEY, score text, text text)')
    searched.sql(f"""INSERT INTO "{table}" VALUES (1, 'z', 'lake'), (2, 'a', 'lake lake')""")
    searched.sql(f'CREATE INDEX ON "{table}" {WITH_BM25}')
    folder = shown(searched, table)
    rows = search(folder, "lake")
    assert [(row["id"], row["score"]) for row in rows] == [(2, "a"), (1, "z")]
    assert rows[0]["score_2"] > rows[1]["score_2"] > 0
    head = files.read(path_of(folder, "lake", results="results.csv")).decode().splitlines()[0]
    assert head == "id,score,text,score"


def test_of_several_columns_the_first_is_searched(searched, table):
    """Search, Words as a path: the first in the order of columns."""
    searched.sql(f'CREATE TABLE "{table}" (id int, title varchar(20), "Odd ""name" text, text text)')
    searched.sql(f"""INSERT INTO "{table}" VALUES (1, 'lake', 'sea', 'river'),
                 (2, 'sea', 'lake', 'x'), (3, 'river', 'x', 'lake')""")
    folder = shown(searched, table)
    for column, best in (("text", 3), ('"Odd ""name"', 2), ("title", 1)):
        searched.sql(f'CREATE INDEX ON "{table}" USING deeplake_index ({column})')
        assert [row["id"] for row in search(folder, "lake")] == [best]


def test_without_an_index_the_reason_says_how_to_make_one(searched, table):
    """Search, Words as a path: EINVAL as a query tells it, and the mkdir that helps."""
    searched.sql(f'CREATE TABLE "{table}" (id int PRIMARY KEY, text text)')
    searched.sql(f"""INSERT INTO "{table}" VALUES (1, 'lake')""")
    folder = shown(searched, table)
    # None of these is an index of the type bm25 on all rows of a column.
    for index in ("USING btree (text)", "USING deeplake_index (lower(text))",
                  "USING deeplake_index (text) WITH (index_type = 'exact_text')",
                  f"{WITH_BM25} WHERE id > 0"):
        searched.sql(f'CREATE INDEX ON "{table}" {index}')
    error = refused(folder, "lake")
    assert "bm25" in error["message"] and table in error["message"]
    assert error["hint"] == f"mkdir {table}/indexes/text.bm25"
    run("mkdir", searched.at(error["hint"].split()[1])).ok()
    assert [row["id"] for row in search(folder, "lake")] == [1]
    os.rmdir(os.path.join(folder, "indexes", "text.bm25"))
    assert "bm25" in refused(folder, "lake")["message"]


def test_a_view_is_told_so(searched, articles, table):
    """Search, Words as a path: a view has no index."""
    searched.sql(f'CREATE VIEW "{table}_view" AS SELECT * FROM "{table}"')
    folder = shown(searched, f"{table}_view")
    assert "view" in refused(folder, "garden")["hint"]
    searched.sql(f'DROP VIEW "{table}_view"')


def test_a_partitioned_table(searched, table):
    """Search, Words as a path."""
    searched.sql(f'CREATE TABLE "{table}" (id int, text text) PARTITION BY RANGE (id)')
    for part in range(2):
        searched.sql(f"""CREATE TABLE "{table}_{part}" PARTITION OF "{table}"
                     FOR VALUES FROM ({10 * part}) TO ({10 * part + 10})""")
    searched.sql(f'CREATE INDEX ON "{table}" {WITH_BM25}')
    searched.sql(f"""INSERT INTO "{table}" VALUES (1, 'lake'), (2, 'sea'), (11, 'a lake or two')""")
    assert {row["id"] for row in search(shown(searched, table), "lake")} == {1, 11}


def test_it_is_given_once(articles):
    """Search, Words as a path: once."""
    assert "second time" in refused(articles, "a", ".search/b")["message"]


def test_it_is_found_and_not_listed(articles):
    """Search, Words as a path; Queries, Builder: found, and not listed."""
    assert ".search" not in os.listdir(articles)
    assert os.listdir(os.path.join(articles, ".search")) == []
    below = os.listdir(os.path.join(articles, ".search/neural networks"))
    assert {".where", ".limit", "results.json", "results.csv"} <= set(below)
    assert ".param" not in below
    for change in (lambda: files.write(path_of(articles, "a"), "x"),
                   lambda: os.mkdir(os.path.join(articles, ".search/a/b"))):
        with pytest.raises(PermissionError):
            change()


def test_what_is_added_is_found(searched, articles, table):
    """Queries: it runs again at each open()."""
    assert search(articles, "estuary") == []
    searched.sql(f"""INSERT INTO "{table}" VALUES (1001, NULL, 'odd', 'an estuary')""")
    assert [row["id"] for row in search(articles, "estuary")] == [1001]
    searched.sql(f'DELETE FROM "{table}" WHERE id = 1001')
    assert search(articles, "estuary") == []


def test_a_read_only_mount_searches_too(searched, articles, table):
    """Search, Words as a path; Read-only."""
    one = Mount(searched.backend, searched.workspace,
                options=["-o", "ro"]).start()
    try:
        assert [row["id"] for row in search(one.at(table), "garden")] == [3]
    finally:
        one.teardown()


def test_a_database_without_the_extension(fresh_backend):
    """Search: without it there is no such search, and the reason says what is missing."""
    mount = Mount(fresh_backend("external")).start()
    mount.sql("CREATE TABLE notes (id int PRIMARY KEY, text text)")
    mount.sql("INSERT INTO notes VALUES (1, 'lake')")
    folder = shown(mount, "notes")
    error = refused(folder, "lake")
    assert "pg_deeplake" in error["message"] and error["sqlstate"] is None
    assert error["hint"].startswith("CREATE EXTENSION pg_deeplake")

    # In a schema where queries do not look for operators.
    mount.sql('CREATE SCHEMA "Else where"')
    mount.sql('CREATE EXTENSION pg_deeplake SCHEMA "Else where"')
    assert refused(folder, "lake")["hint"] == "mkdir notes/indexes/text.bm25"
    mount.sql("""CREATE INDEX ON notes USING deeplake_index (text "Else where".deeplake_text_ops)""")
    assert [row["id"] for row in search(folder, "lake")] == [1]
