# SPDX-License-Identifier: Apache-2.0
"""ORDER BY text <#> query DESC by "Deeplake TopK": the rows, their scores and their order are
those of a scan and a sort, in whatever form the query is written."""

import random
import threading

import psycopg2
import pytest
from support.database import nodes
from support.ranking import SLOW, ranked, same_ranking, topk_nodes

WORDS = ("lake deep file row table query index page mount ingest vector text score rank merge "
         "scan heap wal lock snapshot token term segment posting block buffer cache sort join "
         "plan").split()


def documents(n_rows, seed=1):
    choose = random.Random(seed)
    for number in range(1, n_rows + 1):
        if choose.random() < 0.02:
            text = None
        elif choose.random() < 0.01:
            text = ""
        else:
            # Common words and rare ones.
            text = " ".join(WORDS[min(int(choose.expovariate(0.15)), len(WORDS) - 1)]
                            for _ in range(choose.randint(2, 25)))
        yield number, number % 7, text


def copy_form(rows):
    return "".join("\t".join("\\N" if value is None else str(value) for value in row) + "\n"
                   for row in rows)


def fill(db, name="docs", n_rows=3000, seed=1):
    db.sql(f"CREATE TABLE {name} (id int, kind int, body text)")
    db.copy_in(f"COPY {name} FROM STDIN", copy_form(documents(n_rows, seed)))
    db.sql(f"CREATE INDEX {name}_body ON {name} USING deeplake_index (body)"
           " WITH (index_type = 'bm25')")
    db.sql(f"ANALYZE {name}")


@pytest.fixture
def docs(db):
    fill(db)
    return db


def test_the_best_come_first(docs):
    rows = ranked(docs, "SELECT id, body, body <#> 'snapshot lock' AS score FROM docs"
                        " WHERE body IS NOT NULL ORDER BY score DESC LIMIT 10")
    assert len(rows) == 10 and rows[0][-1] > rows[-1][-1] > 0
    assert "snapshot" in rows[0][1] or "lock" in rows[0][1]


def test_explain_shows_the_index_the_order_and_the_hint(docs):
    plan = docs.explain_json("SELECT id FROM docs ORDER BY body <#> 'wal' DESC LIMIT 5 OFFSET 2",
                             analyze=True)
    node, = topk_nodes(plan)
    assert node["Index"] == "docs_body"
    assert node["Order By"] == "(body <#> 'wal'::text) DESC"
    assert node["Limit Hint"] == 7
    assert node["Actual Rows"] == 7
    assert "Sort" not in [node["Node Type"] for node in nodes(plan)]


@pytest.mark.parametrize("query", [
    "wal", "lake deep", "plan plan join", "nothing matches this", "", "LAKE, Deep!", "wal " * 50])
def test_every_row_in_order(docs, query):
    """No LIMIT: matches, then the rest with 0; NULLs first, as DESC has them."""
    docs.sql("SET enable_seqscan = off; SET enable_sort = off")
    rows = ranked(docs, "SELECT id, body <#> %s AS score FROM docs ORDER BY score DESC",
                  (query,))
    docs.sql("RESET enable_seqscan; RESET enable_sort")
    assert len(rows) == 3000
    assert rows[0][1] is None and rows[-1][1] is not None


@pytest.mark.parametrize("order", ["DESC", "DESC NULLS FIRST", "DESC NULLS LAST"])
@pytest.mark.parametrize("limit", [1, 40, 100, 2999, 3001])
def test_nulls_stand_where_the_query_puts_them(docs, order, limit):
    docs.sql("SET enable_sort = off")
    rows = ranked(docs, f"SELECT id, body <#> 'cache' AS score FROM docs ORDER BY score {order}"
                        f" LIMIT {limit}")
    n_nulls = docs.value("SELECT count(*) FROM docs WHERE body IS NULL")
    scores = [score for _, score in rows]
    if "LAST" in order:
        assert scores[:40] == [score for score in scores[:40] if score is not None]
    else:
        assert scores[:n_nulls] == [None] * min(limit, n_nulls)


@pytest.mark.parametrize("order", ["ASC", "ASC NULLS FIRST", ""])
def test_ascending_is_worst_first_and_no_work_of_the_index(docs, order):
    docs.sql("SET enable_seqscan = off")
    statement = f"SELECT id, body <#> 'lake' AS score FROM docs ORDER BY score {order} LIMIT 9"
    plan = docs.explain_json(statement)
    assert [node["Node Type"] for node in nodes(plan)] == ["Limit", "Sort", "Seq Scan"]
    scores = [score for _, score in docs.sql(statement)]
    assert scores == ([None] * 9 if "FIRST" in order else [0] * 9)


def test_a_null_query_scores_null(docs):
    docs.sql("SET enable_seqscan = off; SET enable_sort = off")
    docs.sql("PREPARE p(text) AS SELECT id, body <#> $1 AS score FROM docs"
             " ORDER BY score DESC LIMIT 5")
    docs.sql("SET plan_cache_mode = force_generic_plan")
    assert [row[1] for row in docs.sql("EXECUTE p(NULL)")] == [None] * 5


@pytest.mark.parametrize("condition", [
    "kind = 3", "kind = 3 AND id % 10 = 1", "body LIKE '%heap%'", "contains(body, 'wal')",
    "body IS NOT NULL", "id < 50", "kind = 99", "body <#> 'heap' > 0.5", "body <#> 'wal' > 1"])
def test_filters_let_the_scan_go_on(docs, condition):
    docs.sql("SET enable_sort = off")
    rows = ranked(docs, f"SELECT id, body <#> 'wal' AS score FROM docs WHERE {condition}"
                        " ORDER BY score DESC NULLS LAST LIMIT 20")
    assert (rows == []) == (condition == "kind = 99")


@pytest.mark.parametrize("statement", [
    # The score once, twice, within an expression, or not at all.
    "SELECT id, 1 - (body <#> 'heap') AS inverse, body <#> 'heap' AS score FROM docs"
    " ORDER BY body <#> 'heap' DESC NULLS LAST LIMIT 10",
    "SELECT id, (body <#> 'heap')::numeric(9, 3) AS score FROM docs"
    " ORDER BY body <#> 'heap' DESC NULLS LAST LIMIT 10",
    "SELECT body <#> 'heap' AS score FROM docs ORDER BY body <#> 'heap' DESC LIMIT 70",
    # A view, common table expressions, subqueries.
    "SELECT * FROM (SELECT id, body <#> 'heap' AS score FROM docs) x"
    " ORDER BY score DESC NULLS LAST LIMIT 10",
    "WITH x AS (SELECT id, body <#> 'heap' AS score FROM docs)"
    " SELECT * FROM x ORDER BY score DESC NULLS LAST LIMIT 10",
    "WITH x AS MATERIALIZED (SELECT id, body <#> 'heap' AS score FROM docs"
    " ORDER BY score DESC NULLS LAST LIMIT 10) SELECT * FROM x",
    "SELECT * FROM (SELECT id, body <#> 'heap' AS score FROM docs"
    " ORDER BY score DESC NULLS LAST LIMIT 30) x WHERE id > 5 ORDER BY score DESC",
    # OFFSET; the whole row; system columns.
    "SELECT id, body <#> 'heap' AS score FROM docs ORDER BY score DESC NULLS LAST"
    " LIMIT 10 OFFSET 20",
    "SELECT docs, tableoid::regclass::text, ctid::text, body <#> 'heap' AS score FROM docs"
    " ORDER BY score DESC NULLS LAST LIMIT 10",
    # The query from elsewhere.
    "SELECT id, body <#> (SELECT min(body) FROM docs WHERE id < 9) AS score FROM docs"
    " ORDER BY score DESC NULLS LAST LIMIT 10",
    "SELECT id, body <#> ('he' || 'ap') AS score FROM docs"
    " ORDER BY score DESC NULLS LAST LIMIT 10",
    # Keys of grouping and windows.
    "SELECT id, rank() OVER (ORDER BY body <#> 'heap' DESC NULLS LAST) AS place,"
    " body <#> 'heap' AS score FROM docs ORDER BY score DESC NULLS LAST LIMIT 10",
])
def test_forms_of_a_query(docs, statement):
    docs.sql("SET enable_sort = off")
    assert ranked(docs, statement)


def test_a_view(docs):
    docs.sql("CREATE VIEW named AS SELECT id, kind, body AS content FROM docs WHERE kind < 5")
    assert ranked(docs, "SELECT id, content <#> 'heap' AS score FROM named"
                        " ORDER BY score DESC NULLS LAST LIMIT 10")


def test_a_second_key_sorts_what_is_equal(docs):
    statement = ("SELECT id, body <#> 'heap' AS score FROM docs"
                 " ORDER BY score DESC NULLS LAST, id LIMIT 30")
    plan = docs.explain_json(statement)
    assert [node["Node Type"] for node in nodes(plan)] == [
        "Limit", "Incremental Sort", "Custom Scan"]
    found = docs.sql(statement)
    docs.sql(SLOW)
    assert docs.sql(statement) == found


def test_joins(docs):
    docs.sql("CREATE TABLE kinds (kind int PRIMARY KEY, name text)")
    docs.sql("INSERT INTO kinds SELECT k, 'kind ' || k FROM generate_series(0, 6) k")
    docs.sql("ANALYZE kinds; SET enable_sort = off")
    rows = ranked(docs, "SELECT d.id, k.name, d.body <#> 'heap' AS score FROM docs d"
                        " JOIN kinds k USING (kind) ORDER BY score DESC NULLS LAST LIMIT 10")
    assert len(rows) == 10
    ranked(docs, "SELECT d.id, k.name, d.body <#> 'heap' AS score FROM docs d"
                 " LEFT JOIN kinds k ON k.kind = d.kind AND k.kind < 3"
                 " ORDER BY score DESC NULLS LAST LIMIT 10")


def test_an_outer_join_that_makes_the_score_null(docs):
    docs.sql("CREATE TABLE few (id int); INSERT INTO few SELECT generate_series(1, 3020)")
    statement = ("SELECT f.id, d.body <#> 'heap' AS score FROM few f LEFT JOIN docs d USING (id)"
                 " ORDER BY score DESC")
    rows = docs.sql(statement)
    assert len(rows) == 3020
    assert sum(score is None for _, score in rows) == 20 + docs.value(
        "SELECT count(*) FROM docs WHERE body IS NULL")


def test_lateral_has_its_own_best_per_row(docs):
    docs.sql("CREATE TABLE asked (number int, words text)")
    docs.sql("INSERT INTO asked VALUES (1, 'heap'), (2, 'wal plan'), (3, 'zzz'), (4, NULL),"
             " (5, 'sort')")
    statement = ("SELECT number, found.* FROM asked, LATERAL (SELECT id, body <#> words AS score"
                 " FROM docs ORDER BY body <#> words DESC NULLS LAST, id LIMIT 3) found"
                 " ORDER BY number, score DESC NULLS LAST, id")
    plan = docs.explain_json(statement)
    assert len(topk_nodes(plan)) == 1
    found = docs.sql(statement)
    docs.sql(SLOW)
    assert docs.sql(statement) == found
    assert len(found) == 15


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_prepared_statements(docs, mode):
    docs.sql(f"SET plan_cache_mode = {mode}; SET enable_sort = off")
    docs.sql("PREPARE p(text, int, int) AS SELECT id, body <#> $1 AS score FROM docs"
             " WHERE kind = $2 ORDER BY score DESC NULLS LAST LIMIT $3")
    for words, kind, limit in [("heap", 1, 3), ("wal plan", 2, 100), ("zz", 3, 5),
                               ("heap", 1, 1000)]:
        ranked(docs, f"EXECUTE p('{words}', {kind}, {limit})")


def test_partitions_are_merged(db):
    db.sql("CREATE TABLE docs (id int, kind int, body text) PARTITION BY LIST (kind)")
    db.sql("CREATE TABLE odd PARTITION OF docs FOR VALUES IN (1, 3, 5)")
    # Its columns stand elsewhere.
    db.sql("CREATE TABLE even (body text, extra int, kind int, id int)")
    db.sql("ALTER TABLE even DROP COLUMN extra")
    db.sql("ALTER TABLE docs ATTACH PARTITION even DEFAULT")
    db.copy_in("COPY docs FROM STDIN", copy_form(documents(3000)))
    db.sql("CREATE INDEX ON docs USING deeplake_index (body) WITH (index_type = 'bm25')")
    db.sql("ANALYZE docs")
    db.sql("SET enable_sort = off")
    statement = ("SELECT id, body <#> 'heap wal' AS score FROM docs"
                 " ORDER BY score DESC NULLS LAST LIMIT 15")
    assert "Merge Append" in [node["Node Type"] for node in nodes(db.explain_json(statement))]
    assert ranked(db, statement, n_nodes=2)
    ranked(db, "SELECT id, body <#> 'heap wal' AS score FROM docs WHERE kind = 3"
               " ORDER BY score DESC NULLS LAST LIMIT 15")
    # A partition by itself has the scores that it has in the whole.
    alone = dict(db.sql("SELECT id, body <#> 'heap wal' FROM odd WHERE body IS NOT NULL"))
    whole = dict(db.sql("SELECT id, body <#> 'heap wal' FROM docs WHERE kind IN (1, 3, 5)"
                        " AND body IS NOT NULL"))
    assert alone == whole


def test_children_by_inheritance(db):
    fill(db, n_rows=500)
    db.sql("CREATE TABLE child () INHERITS (docs)")
    db.copy_in("COPY child FROM STDIN", copy_form(documents(500, seed=2)))
    db.sql("CREATE INDEX ON child USING deeplake_index (body) WITH (index_type = 'bm25')")
    db.sql("ANALYZE; SET enable_sort = off; SET enable_seqscan = off")
    ranked(db, "SELECT id, tableoid::regclass::text, body <#> 'heap' AS score FROM docs"
               " ORDER BY score DESC NULLS LAST LIMIT 20", n_nodes=2)
    ranked(db, "SELECT id, body <#> 'heap' AS score FROM ONLY docs"
               " ORDER BY score DESC NULLS LAST LIMIT 20")


def test_an_index_on_an_expression(db):
    db.sql("CREATE TABLE docs (id int, title text, body text)")
    db.copy_in("COPY docs FROM STDIN", copy_form(documents(2000)))
    db.sql("CREATE INDEX ON docs USING deeplake_index ((title || ' ' || body))"
           " WITH (index_type = 'bm25')")
    db.sql("ANALYZE docs; SET enable_sort = off")
    ranked(db, "SELECT id, (title || ' ' || body) <#> 'heap 3' AS score FROM docs"
               " ORDER BY score DESC NULLS LAST LIMIT 20")


def test_a_varchar_column(db):
    db.sql("CREATE TABLE docs (id int, kind int, body varchar(400))")
    db.copy_in("COPY docs FROM STDIN", copy_form(documents(2000)))
    db.sql("CREATE INDEX ON docs USING deeplake_index (body) WITH (index_type = 'bm25')")
    db.sql("ANALYZE docs; SET enable_sort = off")
    ranked(db, "SELECT id, body <#> 'heap' AS score FROM docs"
               " ORDER BY score DESC NULLS LAST LIMIT 20")


def test_a_partial_index_gives_no_order_and_no_statistics(db):
    db.sql("CREATE TABLE docs (id int, kind int, body text)")
    db.copy_in("COPY docs FROM STDIN", copy_form(documents(500)))
    db.sql("CREATE INDEX ON docs USING deeplake_index (body) WITH (index_type = 'bm25')"
           " WHERE kind = 1")
    statement = ("SELECT id, body <#> 'heap' AS score FROM docs WHERE kind = 1 AND"
                 " body IS NOT NULL ORDER BY score DESC LIMIT 5")
    assert topk_nodes(db.explain_json(statement)) == []
    assert [score for _, score in db.sql(statement)] == [0] * 5


def test_changes_are_seen_at_once(docs):
    statement = ("SELECT id, body <#> 'zebra' AS score FROM docs"
                 " ORDER BY score DESC NULLS LAST LIMIT 5")
    docs.sql("SET enable_sort = off")
    docs.sql("BEGIN")
    docs.sql("INSERT INTO docs VALUES (9001, 1, 'a zebra'), (9002, 1, 'zebra zebra wal')")
    docs.sql("UPDATE docs SET body = 'one zebra more' WHERE id = 10")
    docs.sql("UPDATE docs SET kind = 77 WHERE id = 10")
    assert {row[0] for row in ranked(docs, statement)[:3]} == {9001, 9002, 10}
    docs.sql("DELETE FROM docs WHERE id = 9001")
    assert {row[0] for row in ranked(docs, statement)[:2]} == {9002, 10}
    docs.sql("ROLLBACK")
    assert [score for _, score in ranked(docs, statement)] == [0] * 5


def test_many_matches_beyond_work_mem(db):
    """The set of matches does not fit; nothing is given twice or left out."""
    fill(db, n_rows=40000)
    db.sql("SET work_mem = '64kB'; SET enable_sort = off; SET enable_seqscan = off")
    rows = ranked(db, "SELECT id, body <#> 'lake heap' AS score FROM docs ORDER BY score DESC")
    assert len({row[0] for row in rows}) == 40000


def test_without_preload_the_rows_are_the_same(docs):
    statement = ("SELECT id, body <#> 'heap' AS score FROM docs"
                 " ORDER BY score DESC NULLS LAST, id LIMIT 25")
    expected = docs.sql(statement)
    assert docs.sql(statement, connection=docs.connect(preload=False)) == expected


def test_without_an_index_the_score_is_0_with_one_notice(docs):
    docs.sql("DROP INDEX docs_body")
    docs.connection.notices.clear()
    rows = docs.sql("SELECT body <#> 'heap' AS score FROM docs WHERE body IS NOT NULL")
    assert {score for score, in rows} == {0}
    assert len(docs.connection.notices) == 1
    assert "bm25 index" in docs.connection.notices[0]
    docs.connection.notices.clear()
    assert docs.value("SELECT 'a'::text <#> 'a'::text") == 0
    assert len(docs.connection.notices) >= 1


def test_a_score_through_subqueries_is_by_the_statistics_of_the_column(docs):
    direct = docs.value("SELECT body <#> 'heap' FROM docs WHERE id = 8")
    for statement in [
            "WITH x AS MATERIALIZED (SELECT id, body FROM docs) SELECT body <#> 'heap' FROM x"
            " WHERE id = 8",
            "SELECT body <#> 'heap' FROM (SELECT id, body FROM docs OFFSET 0) x WHERE id = 8",
            "SELECT (SELECT d.body <#> 'heap') FROM docs d WHERE id = 8",
            "SELECT max(body <#> 'heap') FROM docs WHERE id = 8",
            "SELECT x.body <#> 'heap' FROM (docs d JOIN docs e USING (id)) JOIN docs x USING (id)"
            " WHERE id = 8"]:
        assert docs.value(statement) == direct, statement
    assert docs.sql("UPDATE docs SET kind = 0 WHERE id = 8 RETURNING body <#> 'heap'"
                    )[0][0] == direct


def test_what_is_no_column_has_no_statistics_and_no_error(docs):
    for statement in ["SELECT max(body) <#> 'heap' FROM docs",
                      "SELECT (SELECT lower(d.body) <#> 'heap') FROM docs d WHERE id = 8",
                      "SELECT (SELECT max(d.body || e.body) <#> 'heap' FROM docs e)"
                      " FROM docs d WHERE d.id = 8",
                      "SELECT (SELECT max(d.body) <#> 'heap') FROM docs d",
                      "SELECT (SELECT body FROM docs e WHERE e.id = d.id) <#> 'heap'"
                      " FROM docs d WHERE id = 8",
                      "SELECT (body || kind) <#> 'heap' FROM docs WHERE id = 8",
                      "SELECT string_agg(body, ' ') <#> 'heap' FROM docs GROUP BY id % 1",
                      "WITH RECURSIVE x(body) AS (SELECT 'a' UNION ALL SELECT body || 'b' FROM x"
                      " WHERE length(body) < 3) SELECT max(body <#> 'heap') FROM x",
                      "SELECT max(body <#> 'heap') FROM (SELECT body FROM docs UNION ALL"
                      " SELECT 'heap') x WHERE body <> ''",
                      "SELECT body <#> 'heap' FROM (VALUES ('heap')) x(body)"]:
        assert docs.value(statement) is not None, statement


def test_an_index_that_is_dropped_and_made_again(docs):
    docs.sql("SET plan_cache_mode = force_generic_plan; SET enable_sort = off")
    docs.sql("PREPARE p AS SELECT id, body <#> 'heap' AS score FROM docs"
             " ORDER BY score DESC NULLS LAST LIMIT 5")
    first = docs.sql("EXECUTE p")
    docs.sql("DROP INDEX docs_body")
    assert [score for _, score in docs.sql("EXECUTE p")] == [0] * 5
    docs.sql("CREATE INDEX other ON docs USING deeplake_index (body) WITH (index_type = 'bm25')")
    same_ranking(docs.sql("EXECUTE p"), first)


def test_a_prepared_statement_outlives_what_its_plan_stands_on(docs):
    docs.sql("SET plan_cache_mode = force_generic_plan; SET enable_sort = off")
    docs.sql("PREPARE p AS SELECT id FROM docs WHERE body IS NOT NULL"
             " ORDER BY body <#> 'snapshot lock' DESC, id LIMIT 10")
    expected = docs.sql("EXECUTE p")
    for statement in ["REINDEX INDEX docs_body", "REINDEX INDEX CONCURRENTLY docs_body",
                      "ALTER TABLE docs ALTER body TYPE varchar", "VACUUM FULL docs",
                      "ALTER TABLE docs ADD more int, DROP kind"]:
        docs.sql(statement)
        assert len(topk_nodes(docs.explain_json("EXECUTE p"))) == 1, statement
        assert docs.sql("EXECUTE p") == expected, statement
    docs.sql("ALTER INDEX docs_body RENAME TO other")
    assert topk_nodes(docs.explain_json("EXECUTE p"))[0]["Index"] == "other"
    docs.sql("DROP EXTENSION pg_deeplake CASCADE")
    assert docs.error("EXECUTE p").pgcode == "42883"
    assert len(docs.sql("SELECT id FROM docs ORDER BY id DESC LIMIT 3")) == 3
    docs.sql("CREATE EXTENSION pg_deeplake")
    assert docs.sql("EXECUTE p") == [(number,) for number in range(1, 12) if (number,) in docs.sql(
        "SELECT id FROM docs WHERE body IS NOT NULL")][:10]
    docs.sql("CREATE INDEX ON docs USING deeplake_index (body)")
    assert docs.sql("EXECUTE p") == expected


@pytest.mark.parametrize("limit, n_rows", [
    ("0", 0), ("NULL", 3000), ("ALL", 3000), ("9223372036854775807", 3000), ("(SELECT 3)", 3),
    ("1.5", 2), ("1 OFFSET 9223372036854775807", 0), ("2 OFFSET NULL", 2)])
def test_any_limit(docs, limit, n_rows):
    docs.sql("SET enable_sort = off; SET enable_seqscan = off")
    statement = f"SELECT id FROM docs ORDER BY body <#> 'heap' DESC LIMIT {limit}"
    assert len(topk_nodes(docs.explain_json(statement))) == 1
    assert len(docs.sql(statement)) == n_rows


def test_the_function_with_the_index_is_not_for_users(docs):
    docs.sql("CREATE ROLE stranger; GRANT CREATE ON SCHEMA public TO stranger")
    docs.sql("SET ROLE stranger")
    call = "deeplake_bm25_similarity_in('heap', 'heap', 'docs_body', 'docs'::regclass)"
    assert docs.error(f"SELECT {call}").pgcode == "42501"
    docs.sql("CREATE VIEW v AS SELECT body, deeplake_bm25_similarity_in(body, 'heap',"
             " 'docs_body', 'docs'::regclass) AS score FROM (VALUES ('heap')) x(body)")
    assert docs.error("SELECT * FROM v").pgcode == "42501"
    assert docs.error("SELECT body <#> 'heap' FROM docs").pgcode == "42501"
    docs.sql("RESET ROLE")
    docs.sql("CREATE VIEW allowed AS SELECT id, body FROM docs; GRANT SELECT ON allowed"
             " TO stranger")
    docs.sql("SET ROLE stranger")
    ranked(docs, "SELECT id, body <#> 'heap' AS score FROM allowed"
                 " ORDER BY score DESC NULLS LAST LIMIT 5")
    docs.sql("RESET ROLE; DROP OWNED BY stranger; DROP ROLE stranger")


def test_row_level_security_filters_within_the_scan(docs):
    docs.sql("CREATE ROLE limited; GRANT SELECT ON docs TO limited;"
             " ALTER TABLE docs ENABLE ROW LEVEL SECURITY;"
             " CREATE POLICY p ON docs TO limited USING (kind = 2)")
    docs.sql("SET enable_sort = off; SET ROLE limited")
    rows = ranked(docs, "SELECT kind, id, body <#> 'heap' AS score FROM docs"
                        " ORDER BY score DESC NULLS LAST LIMIT 20")
    assert {row[0] for row in rows} == {2}
    docs.sql("RESET ROLE; DROP OWNED BY limited; DROP ROLE limited")


LEAK = """CREATE FUNCTION leak(text) RETURNS bool COST 0.0000001 LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'seen %', $1; RETURN true; END $$"""


def seen_by(db):
    """What leak() was called with, and forgets it."""
    seen = {notice.partition("seen ")[2].rstrip("\n") for notice in db.connection.notices}
    db.connection.notices.clear()
    return seen


@pytest.mark.parametrize("score", ["body <#> 'heap'", "(e, body) <#> deeplake_hybrid_record("
                                   "'{1,2}'::float4[], 'heap wal')"])
@pytest.mark.parametrize("limit", [20, 5000])
def test_a_cheap_function_sees_no_row_that_is_not_for_its_user(docs, score, limit):
    """By a policy, and behind a view with a security barrier."""
    docs.sql("ALTER TABLE docs ADD e float4[]; UPDATE docs SET e = ARRAY[id, kind + 1]")
    allowed = set(docs.column("SELECT body FROM docs WHERE kind = 2 AND body IS NOT NULL"))
    docs.sql(LEAK)
    docs.sql("CREATE ROLE curious; GRANT SELECT ON docs TO curious;"
             " CREATE POLICY p ON docs TO curious USING (kind = 2);"
             " CREATE VIEW v WITH (security_barrier) AS SELECT * FROM docs WHERE kind = 2;"
             " GRANT SELECT ON v TO curious; SET enable_sort = off")
    for table in ("v", "docs"):
        docs.sql("ALTER TABLE docs ENABLE ROW LEVEL SECURITY; SET ROLE curious")
        statement = (f"SELECT kind, id, {score} AS score FROM {table} WHERE leak(body)"
                     f" ORDER BY score DESC NULLS LAST LIMIT {limit}")
        assert len(topk_nodes(docs.explain_json(statement))) == (table == "docs")
        docs.connection.notices = []
        rows = docs.sql(statement)
        assert len(rows) == min(limit, 429) and {row[0] for row in rows} == {2}
        seen = seen_by(docs)
        assert seen and seen <= allowed | {"<NULL>"}
        docs.sql("RESET ROLE")
    docs.sql("DROP OWNED BY curious; DROP ROLE curious")


def test_for_update_takes_the_newest_version(docs):
    """Another transaction changes the best row while this one waits for it."""
    statement = ("SELECT id, body <#> 'wal' AS score FROM docs WHERE kind < 100"
                 " ORDER BY body <#> 'wal' DESC NULLS LAST LIMIT 1 FOR UPDATE")
    assert len(topk_nodes(docs.explain_json(statement))) == 1
    (best, score), = docs.sql(statement)
    other = docs.connect()
    other.autocommit = False
    docs.sql("UPDATE docs SET body = 'wal nothing else here', kind = 50 WHERE id = %s", (best,),
             connection=other)
    found = []
    waiting = threading.Thread(target=lambda: found.extend(docs.sql(statement)))
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive()
    other.commit()
    waiting.join(20)
    assert found[0][0] == best
    assert found[0][1] == pytest.approx(
        docs.value("SELECT body <#> 'wal' FROM docs WHERE id = %s", (best,)), rel=0.02)
    assert found[0][1] != score


def test_a_cursor_goes_forwards_and_back(docs):
    docs.sql("BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id, body <#> 'heap' AS score FROM docs"
             " ORDER BY score DESC NULLS LAST, id LIMIT 50")
    first = docs.sql("FETCH 20 FROM c")
    docs.sql("MOVE 10 FROM c")
    docs.sql("MOVE ABSOLUTE 0 FROM c")
    assert docs.sql("FETCH 20 FROM c") == first
    docs.sql("COMMIT")


def test_serializable_sees_what_would_have_changed_the_best(docs):
    one, two = docs.connect(), docs.connect()
    for connection, mine, kind in [(one, 9001, 1), (two, 9002, 2)]:
        connection.autocommit = False
        connection.set_session(isolation_level="SERIALIZABLE")
        docs.sql("SELECT id FROM docs ORDER BY body <#> 'zebra' DESC NULLS LAST LIMIT 1",
                 connection=connection)
        docs.sql("INSERT INTO docs VALUES (%s, %s, 'zebra')", (mine, kind), connection=connection)
    one.commit()
    with pytest.raises(psycopg2.errors.SerializationFailure):
        two.commit()


def test_a_query_that_is_not_for_us_is_left_alone(docs):
    for statement in ["SELECT id FROM docs ORDER BY id DESC LIMIT 3",
                      "SELECT id FROM docs ORDER BY length(body) DESC LIMIT 3",
                      "SELECT id FROM docs ORDER BY body <#> random()::text DESC LIMIT 3",
                      "SELECT id FROM docs ORDER BY kind, body <#> 'heap' DESC LIMIT 3",
                      "SELECT id FROM docs TABLESAMPLE SYSTEM (50)"
                      " ORDER BY body <#> 'heap' DESC LIMIT 3",
                      "SELECT id FROM docs ORDER BY body <#> id::text DESC LIMIT 3"]:
        assert topk_nodes(docs.explain_json(statement)) == [], statement
        assert len(docs.sql(statement)) == 3


def test_parallel_workers_compute_the_same_scores(docs):
    statement = "SELECT id, body <#> 'heap wal' AS score FROM docs ORDER BY id"
    expected = docs.sql(statement)
    docs.sql("SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0;"
             " SET parallel_tuple_cost = 0; SET debug_parallel_query = on"
             if docs.connection.server_version >= 160000 else
             "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0;"
             " SET parallel_tuple_cost = 0; SET force_parallel_mode = on")
    assert any("Gather" in node["Node Type"] for node in nodes(docs.explain_json(statement)))
    assert docs.sql(statement) == expected


def test_explain_verbose_shows_what_is_called(docs):
    statement = "SELECT id, body <#> 'heap' AS score FROM docs ORDER BY score DESC LIMIT 3"
    lines = docs.column("EXPLAIN (VERBOSE) " + statement)
    assert any("deeplake_bm25_similarity_in(body, 'heap'::text" in line for line in lines)
    assert any("Order By: (docs.body <#> 'heap'::text) DESC" in line for line in lines)
    docs.sql("CREATE VIEW v AS SELECT id, body <#> 'heap' AS score FROM docs")
    assert "body <#> 'heap'::text" in docs.value("SELECT pg_get_viewdef('v'::regclass)")


def test_rows_change_while_a_cursor_is_open(docs):
    """Its snapshot's rows, though others are updated, deleted and vacuumed meanwhile."""
    statement = "SELECT id, body <#> 'heap' AS score FROM docs ORDER BY score DESC NULLS LAST"
    docs.sql("SET enable_sort = off; SET enable_seqscan = off")
    expected = docs.sql(statement)
    reader = docs.connect(enable_sort="off", enable_seqscan="off")
    reader.autocommit = False
    docs.sql("DECLARE c CURSOR FOR " + statement, connection=reader)
    found = docs.sql("FETCH 100 FROM c", connection=reader)
    docs.sql("UPDATE docs SET body = 'heap heap heap' WHERE id % 3 = 0")
    docs.sql("DELETE FROM docs WHERE id % 3 = 1")
    docs.sql("VACUUM docs")
    found += docs.sql("FETCH ALL FROM c", connection=reader)
    same_ranking(found, expected)
