# SPDX-License-Identifier: Apache-2.0
"""Hybrid search: its values are those of the definition, computed here from the rows."""

import math
import random
import re

import numpy
import pytest
from support.database import literal, nodes
from support.ranking import SLOW, ranked, topk_nodes

WORDS = ("lake deep file row table query index page mount ingest vector text score rank merge "
         "scan heap wal lock snapshot").split()
N_DIMENSIONS = 8


def rows_of(n_rows, seed=1):
    choose = random.Random(seed)
    for number in range(1, n_rows + 1):
        vector = None if number % 41 == 0 else [choose.gauss(0, 1) for _ in range(N_DIMENSIONS)]
        text = None if number % 37 == 0 else " ".join(
            WORDS[min(int(choose.expovariate(0.2)), len(WORDS) - 1)]
            for _ in range(choose.randint(1, 12)))
        yield number, vector, text


def fill(db, n_rows=1500, seed=1, name="docs"):
    for number, vector, text in rows_of(n_rows, seed):
        db.sql(f"INSERT INTO {name} (id, e, body) VALUES (%s, %s, %s)", (number, vector, text))
    db.sql(f"ANALYZE {name}")


def make(db, n_rows=1500):
    db.sql("CREATE TABLE docs (id int, e float4[], body text)")
    db.sql("BEGIN")
    fill(db, n_rows)
    db.sql("COMMIT")


def add_index(db, name="docs"):
    db.sql(f"CREATE INDEX ON {name} USING deeplake_index (body) WITH (index_type = 'bm25')")


@pytest.fixture
def docs(db):
    make(db)
    return db


# --- the definition ---

def tokens(text):
    return re.findall(r"\w+", text.lower())


def bm25(rows, query, k1=1.5, b=0.75):
    """Of each row's text, None where that is NULL."""
    documents = {number: tokens(text) for number, _, text in rows if text is not None}
    mean = sum(map(len, documents.values())) / len(documents)
    scores = {}
    for number, words in documents.items():
        score = 0.0
        for term in tokens(query):
            n_here = words.count(term)
            n_having = sum(term in other for other in documents.values()) if n_here else 0
            if n_here:
                idf = max(1e-6, math.log((len(documents) - n_having + 0.5) / (n_having + 0.5)))
                score += idf * n_here * (k1 + 1) / (
                    n_here + k1 * (1 - b + b * len(words) / mean))
        scores[number] = float(numpy.float32(score))
    return scores


def cosines(rows, query):
    query = numpy.array(query, dtype=numpy.float64)
    return {number: float(numpy.float32(
        numpy.dot(vector, query) / numpy.linalg.norm(vector) / numpy.linalg.norm(query)))
        for number, vector, _ in
        ((n, None if v is None else numpy.array(v, dtype=numpy.float32).astype(float), t)
         for n, v, t in rows) if vector is not None}


def measure(fusion, scores, is_text):
    """From the candidates' scores to a function of a score."""
    if not scores:
        return lambda score: 0.0
    high, low = max(scores), min(scores)
    if fusion == "softmax":
        total = sum(math.exp(score - high) for score in scores)
        return lambda score: math.exp(score - high) / total
    if fusion == "minmax":
        return lambda score: (0.0 if score < low else
                              (score - low) / (high - low) if high > low else 1.0)
    return lambda score: (0.0 if is_text and score <= 0 else
                          1 / (61 + sum(other > score for other in scores)))


def hybrid(rows, vector, text, weights, n_wanted=100, fusion="softmax", by_text=None):
    """The value of every row, by number; rows are in the order of the table."""
    by_vector = cosines(rows, vector)
    by_text = by_text or bm25(rows, text)
    place = {number: at for at, (number, _, _) in enumerate(rows)}

    def best(scores):
        return sorted(scores, key=lambda number: (-scores[number], place[number]))[:n_wanted]

    candidates = set(best(by_vector)) | set(best(
        {number: score for number, score in by_text.items() if score > 0}))
    of_vector = measure(fusion, [by_vector[n] for n in candidates if n in by_vector], False)
    of_text = measure(fusion, [by_text[n] for n in candidates if n in by_text], True)
    return {number: (weights[0] * of_vector(by_vector[number]) if number in by_vector else 0.0)
            + (weights[1] * of_text(by_text[number]) if number in by_text else 0.0)
            for number, _, _ in rows}


def agree(found, expected):
    """found: (id, value), best first."""
    values = [value for _, value in found]
    assert values == sorted(values, reverse=True)
    for number, value in found:
        assert value == pytest.approx(expected[number], rel=2e-5, abs=1e-9), number
    worst = values[-1]
    missing = [number for number in expected if number not in dict(found)]
    assert all(expected[number] <= worst * (1 + 2e-5) + 1e-9 for number in missing)


QUERY = [1.0, -0.5, 0.25, 0, 0.75, -1, 0.1, 0.3]
WORDS_ASKED = "heap snapshot merge"
RIGHT = f"deeplake_hybrid_record('{literal(QUERY)}'::float4[], '{WORDS_ASKED}', 0.7, 0.3)"


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("fusion", ["softmax", "minmax", "rrf"])
@pytest.mark.parametrize("limit, n_wanted", [(1, 100), (10, 100), (250, 250), (5000, 5000)])
def test_the_values_are_those_of_the_definition(docs, with_index, fusion, limit, n_wanted):
    if with_index:
        add_index(docs)
    docs.sql(f"SET deeplake.hybrid_fusion = {fusion}")
    found = docs.sql(f"SELECT id, (e, body)::deeplake_hybrid_record <#> {RIGHT} AS score"
                     f" FROM docs ORDER BY score DESC LIMIT {limit}")
    assert len(found) == min(limit, 1500)
    agree(found, hybrid(list(rows_of(1500)), QUERY, WORDS_ASKED, (0.7, 0.3), n_wanted, fusion))


@pytest.mark.parametrize("left", ["(e, body)::deeplake_hybrid_record", "(e, body)",
                                  "ROW(e, body)::deeplake_hybrid_record"])
@pytest.mark.parametrize("right, weights", [
    (RIGHT, (0.7, 0.3)),
    (f"deeplake_hybrid_record('{literal(QUERY)}'::float4[], '{WORDS_ASKED}')", (0.5, 0.5)),
    (f"('{literal(QUERY)}', '{WORDS_ASKED}', 0.4, 0.6)::deeplake_hybrid_record_weighted",
     (0.4, 0.6)),
    (f"('{literal(QUERY)}', '{WORDS_ASKED}')::deeplake_hybrid_record", (1, 1)),
    (f"deeplake_hybrid_record('{literal(QUERY)}'::float4[], '{WORDS_ASKED}', 0, 2)", (0, 2)),
    (f"deeplake_hybrid_record('{literal(QUERY)}'::float4[], '{WORDS_ASKED}', 1, -1)", (1, -1)),
])
def test_every_spelling(docs, left, right, weights):
    add_index(docs)
    found = docs.sql(f"SELECT id, {left} <#> {right} AS score FROM docs"
                     " ORDER BY score DESC LIMIT 30")
    agree(found, hybrid(list(rows_of(1500)), QUERY, WORDS_ASKED, weights))


def test_a_value_is_the_same_in_every_query(docs):
    add_index(docs)
    expression = f"(e, body)::deeplake_hybrid_record <#> {RIGHT}"
    expected = dict(docs.sql(f"SELECT id, {expression} FROM docs"))
    agree(sorted(expected.items(), key=lambda row: -row[1]),
          hybrid(list(rows_of(1500)), QUERY, WORDS_ASKED, (0.7, 0.3)))
    for statement in [
            f"SELECT id, {expression} FROM docs WHERE id % 10 = 3",
            f"SELECT id, {expression} AS s FROM docs ORDER BY s LIMIT 10",
            f"SELECT id, {expression} AS s FROM docs ORDER BY s DESC LIMIT 10 OFFSET 200",
            f"WITH x AS (SELECT id, {expression} AS s FROM docs) SELECT * FROM x"
            " ORDER BY s DESC LIMIT 50",
            f"SELECT d.id, {expression} AS s FROM docs d JOIN generate_series(1, 30) g"
            " ON d.id = g ORDER BY s DESC",
            f"SELECT id, s FROM (SELECT id, {expression} AS s FROM docs OFFSET 0) x"]:
        for settings in ["SET enable_indexscan = on", "SET enable_indexscan = off",
                         "SET max_parallel_workers_per_gather = 0", "SET enable_hashjoin = off"]:
            docs.sql(settings)
            rows = docs.sql(statement)
            assert rows and all(expected[number] == value for number, value in rows), statement


@pytest.mark.parametrize("with_index", [True, False])
def test_topk_gives_what_a_scan_and_a_sort_give(docs, with_index):
    if with_index:
        add_index(docs)
    docs.sql("SET enable_sort = off")
    score = f"(e, body)::deeplake_hybrid_record <#> {RIGHT} AS score"
    for fusion in ["softmax", "minmax", "rrf"]:
        docs.sql(f"SET deeplake.hybrid_fusion = {fusion}")
        for statement in [
                f"SELECT id, {score} FROM docs ORDER BY score DESC LIMIT 5",
                f"SELECT id, body, e, {score} FROM docs ORDER BY score DESC LIMIT 150",
                f"SELECT id, {score} FROM docs ORDER BY score DESC LIMIT 10 OFFSET 90",
                f"SELECT id, {score} FROM docs ORDER BY score DESC NULLS LAST LIMIT 2000",
                f"SELECT id, {score} FROM docs WHERE id % 50 = 7 ORDER BY score DESC LIMIT 9",
                f"SELECT d.id, d.e, {score} FROM docs d JOIN generate_series(1, 900) g"
                " ON d.id = g ORDER BY score DESC LIMIT 20",
                f"WITH x AS (SELECT id, {score} FROM docs) SELECT * FROM x"
                " ORDER BY score DESC LIMIT 10"]:
            assert ranked(docs, statement)


@pytest.mark.parametrize("weights", ["1, -1", "-1, -1", "-0.5, 2", "0, 0"])
def test_a_negative_weight_sorts_everything(docs, weights):
    docs.sql("SET enable_sort = off")
    ranked(docs, f"SELECT id, (e, body) <#> deeplake_hybrid_record('{literal(QUERY)}'::float4[],"
                 f" 'heap', {weights}) AS score FROM docs ORDER BY score DESC LIMIT 300")


def test_explain_tells_of_the_candidates(docs):
    plan = docs.explain_json(f"SELECT id FROM docs ORDER BY (e, body) <#> {RIGHT} DESC LIMIT 120",
                             analyze=True)
    node, = topk_nodes(plan)
    assert node["Candidates per Side"] == 120
    assert node["Limit Hint"] == 120
    assert node["Order By"].startswith("((e, body) <#> ")
    assert 0 < node["Rows before Sorting"] <= 120


def test_a_second_key_and_a_null_query(docs):
    statement = (f"SELECT id, (e, body) <#> {RIGHT} AS score FROM docs ORDER BY score DESC, id"
                 " LIMIT 130")
    assert "Incremental Sort" in [node["Node Type"]
                                  for node in nodes(docs.explain_json(statement))]
    found = docs.sql(statement)
    docs.sql(SLOW)
    assert docs.sql(statement) == found
    docs.sql("RESET enable_indexscan; SET plan_cache_mode = force_generic_plan")
    docs.sql("PREPARE p(text) AS SELECT id, (e, body) <#> deeplake_hybrid_record("
             f"'{literal(QUERY)}'::float4[], $1) AS score FROM docs ORDER BY score DESC LIMIT 7")
    assert [score for _, score in docs.sql("EXECUTE p(NULL)")] == [None] * 7
    assert None not in [score for _, score in docs.sql("EXECUTE p('heap')")]


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_parameters_give_the_same_in_every_plan(docs, mode):
    """A LIMIT that is a parameter does not change a value."""
    add_index(docs)
    docs.sql(f"SET plan_cache_mode = {mode}")
    docs.sql("PREPARE p(float4[], text, int) AS SELECT id, (e, body)::deeplake_hybrid_record <#>"
             " deeplake_hybrid_record($1, $2, 0.7, 0.3) AS score FROM docs"
             " ORDER BY score DESC LIMIT $3")
    found = docs.sql("EXECUTE p(%s, %s, 400)", (QUERY, WORDS_ASKED))
    assert len(found) == 400
    agree(found, hybrid(list(rows_of(1500)), QUERY, WORDS_ASKED, (0.7, 0.3), 100))


@pytest.mark.parametrize("words", ["", "nothing of this", "lake", "LAKE lake deep, deep"])
def test_texts_that_match_nothing_or_nearly_all(docs, words):
    right = f"deeplake_hybrid_record('{literal(QUERY)}'::float4[], '{words}', 0.5, 0.5)"
    expected = hybrid(list(rows_of(1500)), QUERY, words, (0.5, 0.5))
    for indexed in (False, True):
        if indexed:
            add_index(docs)
        agree(docs.sql(f"SELECT id, (e, body) <#> {right} AS score FROM docs"
                       " ORDER BY score DESC LIMIT 20"), expected)


def test_what_is_null_adds_nothing(docs):
    assert docs.value("SELECT (e, body) <#> NULL::deeplake_hybrid_record_weighted"
                      " FROM docs WHERE id = 1") is None
    text_only = docs.value(f"SELECT (e, body) <#> (NULL, '{WORDS_ASKED}', 1, 0.3)"
                           "::deeplake_hybrid_record_weighted FROM docs WHERE id = 41")
    assert text_only is not None
    docs.sql("INSERT INTO docs VALUES (9999, NULL, NULL)")
    assert docs.value(f"SELECT (e, body) <#> {RIGHT} FROM docs WHERE id = 9999") == 0
    error = docs.error(f"SELECT (e, body) <#> ('{literal(QUERY)}', 'a', NULL, 1)"
                       "::deeplake_hybrid_record_weighted FROM docs")
    assert error.pgcode == "22023"


def test_changes_of_the_transaction_count(docs):
    add_index(docs)
    docs.sql("BEGIN")
    docs.sql("UPDATE docs SET body = 'heap heap snapshot', e = %s WHERE id = 5", (QUERY,))
    docs.sql("DELETE FROM docs WHERE id % 2 = 0")
    best = docs.sql(f"SELECT id, (e, body) <#> {RIGHT} AS score FROM docs"
                    " ORDER BY score DESC LIMIT 1")
    assert best[0][0] == 5
    docs.sql("ROLLBACK")


def test_partitions_have_one_set_of_candidates(db):
    db.sql("CREATE TABLE docs (id int, e float4[], body text) PARTITION BY RANGE (id)")
    db.sql("CREATE TABLE low PARTITION OF docs FOR VALUES FROM (0) TO (700)")
    db.sql("CREATE TABLE high (body text, gone int, e float4[], id int)")
    db.sql("ALTER TABLE high DROP COLUMN gone")
    db.sql("ALTER TABLE docs ATTACH PARTITION high DEFAULT")
    db.sql("BEGIN")
    fill(db)
    db.sql("COMMIT")
    rows = list(rows_of(1500))
    statement = (f"SELECT id, (e, body) <#> {RIGHT} AS score FROM docs"
                 " ORDER BY score DESC LIMIT 30")
    agree(db.sql(statement), hybrid(rows, QUERY, WORDS_ASKED, (0.7, 0.3)))
    # With indexes each partition has its own statistics of words.
    add_index(db)
    by_text = bm25([row for row in rows if row[0] < 700], WORDS_ASKED)
    by_text.update(bm25([row for row in rows if row[0] >= 700], WORDS_ASKED))
    agree(db.sql(statement), hybrid(rows, QUERY, WORDS_ASKED, (0.7, 0.3), by_text=by_text))


def test_an_index_that_is_newer_than_the_snapshot(db):
    """It has the newest texts of rows whose older ones the snapshot sees."""
    db.sql("CREATE TABLE docs (id int, e float4[], body text) WITH (fillfactor = 40)")
    db.sql("BEGIN")
    fill(db)
    db.sql("COMMIT")
    old = db.connect(enable_sort="off")
    db.sql("BEGIN ISOLATION LEVEL REPEATABLE READ", connection=old)
    db.sql("SELECT count(*) FROM docs", connection=old)
    db.sql("UPDATE docs SET body = 'lake' WHERE body ~ 'heap|snapshot|merge'")
    add_index(db)
    assert db.value("SELECT indcheckxmin FROM pg_index WHERE indrelid = 'docs'::regclass")
    statement = (f"SELECT id, (e, body) <#> {RIGHT.replace('0.7, 0.3', '0.1, 0.9')} AS score"
                 " FROM docs ORDER BY score DESC LIMIT 200")
    assert len(topk_nodes(db.explain_json(statement, connection=old))) == 1
    found = db.sql(statement, connection=old)
    db.sql(SLOW, connection=old)
    expected = db.sql(statement, connection=old)
    assert [score for _, score in found] == [score for _, score in expected]
    db.sql("ROLLBACK", connection=old)


def test_only_a_parent_has_candidates_of_its_own(db):
    db.sql("CREATE TABLE docs (id int, e float4[], body text); CREATE TABLE child () INHERITS (docs)")
    db.sql("BEGIN")
    fill(db, 300)
    db.sql("INSERT INTO child SELECT 1000 + n, ARRAY[n, 1, 2, 3, 4, 5, 6, 7],"
           " 'heap snapshot merge ' || n FROM generate_series(1, 500) n")
    db.sql("COMMIT")
    expected = hybrid(list(rows_of(300)), QUERY, WORDS_ASKED, (0.7, 0.3))
    statement = (f"SELECT id, (e, body) <#> {RIGHT} AS score FROM ONLY docs"
                 " ORDER BY score DESC LIMIT 30")
    for settings in ["SET enable_sort = off", SLOW]:
        db.sql(settings)
        assert len(topk_nodes(db.explain_json(statement))) == (settings != SLOW)
        agree(db.sql(statement), expected)
    both = db.sql(statement.replace("ONLY", ""))
    assert any(number > 1000 for number, _ in both)


def test_another_session_s_temporary_child_is_no_part_of_a_table(docs):
    statement = (f"SELECT id, (e, body) <#> {RIGHT} AS score FROM docs"
                 " ORDER BY score DESC LIMIT 30")
    other = docs.connect()
    docs.sql("CREATE TEMP TABLE mine () INHERITS (docs);"
             f" INSERT INTO mine VALUES (7777, '{literal(QUERY)}', '{WORDS_ASKED}')",
             connection=other)
    assert docs.sql(statement, connection=other)[0][0] == 7777
    agree(docs.sql(statement), hybrid(list(rows_of(1500)), QUERY, WORDS_ASKED, (0.7, 0.3)))


def test_a_domain_of_vectors_and_a_view(db):
    db.sql("CREATE TABLE base (id int, e embedding, body varchar)")
    db.sql("CREATE VIEW docs AS SELECT id, e, body FROM base")
    db.sql("BEGIN")
    fill(db, name="base")
    db.sql("COMMIT")
    found = db.sql(f"SELECT id, (e, body)::deeplake_hybrid_record <#> {RIGHT} AS score FROM docs"
                   " ORDER BY score DESC LIMIT 30")
    agree(found, hybrid(list(rows_of(1500)), QUERY, WORDS_ASKED, (0.7, 0.3)))


def test_another_query_per_row_of_a_join(docs):
    add_index(docs)
    docs.sql("CREATE TABLE asked (number int, v float4[], words text)")
    docs.sql("INSERT INTO asked VALUES (1, %s, 'heap'), (2, %s, 'wal lock')",
             (QUERY, list(reversed(QUERY))))
    docs.sql("SET enable_sort = off")
    found = docs.sql("SELECT number, best.* FROM asked, LATERAL (SELECT id, (e, body) <#>"
                     " deeplake_hybrid_record(v, words) AS score FROM docs ORDER BY score DESC"
                     " LIMIT 5) best ORDER BY number, score DESC")
    rows = list(rows_of(1500))
    agree([row[1:] for row in found if row[0] == 1], hybrid(rows, QUERY, "heap", (0.5, 0.5)))
    agree([row[1:] for row in found if row[0] == 2],
          hybrid(rows, list(reversed(QUERY)), "wal lock", (0.5, 0.5)))


def test_without_preload_the_values_are_the_same(docs):
    add_index(docs)
    statement = (f"SELECT id, (e, body) <#> {RIGHT} AS score FROM docs ORDER BY score DESC, id"
                 " LIMIT 30")
    assert docs.sql(statement, connection=docs.connect(preload=False)) == docs.sql(statement)


def test_a_hybrid_index_is_accepted_and_changes_nothing(docs):
    add_index(docs)
    statement = (f"SELECT id, (e, body)::deeplake_hybrid_record <#> {RIGHT} AS score FROM docs"
                 " ORDER BY score DESC, id LIMIT 30")
    before = docs.sql(statement)
    docs.sql("CREATE INDEX ON docs USING deeplake_index"
             " (((e, body)::deeplake_hybrid_record) deeplake_hybrid_ops)")
    docs.sql("CREATE INDEX ON docs USING deeplake_index (e)")
    docs.sql("SET enable_seqscan = off; SET enable_sort = off")
    assert docs.sql(statement) == before


def test_two_values_are_no_row_of_a_table(db):
    assert db.value(f"SELECT ('{{1}}'::float4[], 'a'::text)::deeplake_hybrid_record <#>"
                    f" {RIGHT}") == 0
    assert any("no row of a table" in notice for notice in db.connection.notices)


def test_the_function_of_plans_is_not_for_users(docs):
    call = ("deeplake_hybrid_search_in('{1}', 'a', deeplake_hybrid_record('{1}'::float4[], 'a'),"
            " 'docs', 'docs'::regclass, 2::int2, 3::int2, 100)")
    assert docs.error(f"SELECT {call}").pgcode == "42501"


def test_vectors_of_another_length_are_refused(docs):
    error = docs.error("SELECT (e, body) <#> deeplake_hybrid_record('{1,2}'::float4[], 'heap')"
                       " FROM docs")
    assert error.pgcode == "2202E"


def test_the_privileges_of_the_table_hold(docs):
    docs.sql("CREATE ROLE watcher")
    docs.sql("SET ROLE watcher")
    assert docs.error(f"SELECT (e, body) <#> {RIGHT} FROM docs").pgcode == "42501"
    docs.sql("RESET ROLE; DROP ROLE watcher")
