# SPDX-License-Identifier: Apache-2.0
"""Index types exact_text and inverted: the same rows as a scan of the table, by the index."""

import pytest
from support.database import Database, node_types

OPERATORS = ["<", "<=", "=", ">=", ">"]


def fill(db, n_rows=3000):
    db.sql("CREATE TABLE t (id int, s int2, i int4, l int8, f float4, d float8, n numeric,"
           " u uuid, x text, j jsonb)")
    db.sql(f"""INSERT INTO t SELECT k, k % 50 - 25, k % 300 - 150, (k % 300 - 150) * 10000000000,
        (k % 40) / 8.0, (k % 40) / 8.0 - 2, (k % 100) / 7.0,
        ('00000000-0000-0000-0000-' || lpad((k % 200)::text, 12, '0'))::uuid, 'text ' || k % 250,
        jsonb_build_object('a', k % 20, 'tags', jsonb_build_array(k % 3, 'x' || k % 7))
        FROM generate_series(1, {n_rows}) k""")
    db.sql("INSERT INTO t (id) VALUES (-1), (-2)")
    db.sql("""INSERT INTO t (id, s, i, l, f, d, n, x) VALUES
        (-3, -32768, -2147483648, -9223372036854775808, 'NaN', 'NaN', 'NaN', ''),
        (-4, 32767, 2147483647, 9223372036854775807, 'Infinity', 'Infinity', 'Infinity', 'e'),
        (-5, 0, 0, 0, '-Infinity', '-Infinity', '-Infinity', repeat('long ', 100000)),
        (-6, 0, 0, 0, '-0', '-0', '0.00', 'Text 1')""")


@pytest.fixture
def filled(db):
    fill(db)
    for column in ["s", "i", "l", "f", "d", "n", "u", "j"]:
        db.sql(f"CREATE INDEX t_{column} ON t USING deeplake_index ({column})")
    db.sql("CREATE INDEX t_x ON t USING deeplake_index (x) WITH (index_type = 'exact_text')")
    db.sql("ANALYZE t")
    return db


def both_ways(db, condition, parameters=None):
    """The rows by a scan of the table; asserts that plain and bitmap index scans agree."""
    statement = f"SELECT id FROM t WHERE {condition} ORDER BY id"
    found = {}
    for kind in ["seqscan", "indexscan", "bitmapscan"]:
        for each in ["seqscan", "indexscan", "bitmapscan"]:
            db.sql(f"SET enable_{each} = {'on' if each == kind else 'off'}")
        found[kind] = db.column(statement, parameters)
        types = node_types(db.explain_json(statement, parameters))
        expected = {"seqscan": "Seq Scan", "indexscan": "Index Scan",
                    "bitmapscan": "Bitmap Index Scan"}[kind]
        assert expected in types, (kind, types)
    db.sql("RESET enable_seqscan; RESET enable_indexscan; RESET enable_bitmapscan")
    assert found["indexscan"] == found["seqscan"], condition
    assert found["bitmapscan"] == found["seqscan"], condition
    return found["seqscan"]


@pytest.mark.parametrize("column, operands", [
    ("s", ["'-5'::int2", "-5", "100000", "(-100000)::int8"]),
    ("i", ["7", "'7'::int2", "10000000000", "-2147483648"]),
    ("l", ["500000000000", "0", "'3'::int2", "(-9223372036854775808)"]),
    ("f", ["'1.25'::float4", "1.25", "'NaN'::float8", "'-Infinity'::float4"]),
    ("d", ["0", "0.5", "'0.25'::float4", "'NaN'", "'Infinity'"]),
    ("n", ["0", "1.0", "'NaN'", "'-Infinity'", "1e300"]),
])
def test_comparisons_of_numbers(filled, column, operands):
    found = [both_ways(filled, f"{column} {operator} {operand}")
             for operand in operands for operator in OPERATORS]
    assert any(found) and not all(found)


def test_an_equal_number_is_found(filled):
    assert len(both_ways(filled, "i = 7")) == 10
    assert len(both_ways(filled, "n = 1")) == 30
    assert both_ways(filled, "d = 0") == both_ways(filled, "d = '-0'::float8") != []


def test_ranges_and_lists(filled):
    assert len(both_ways(filled, "i BETWEEN 5 AND 9")) == 50
    assert len(both_ways(filled, "l > 0 AND l < 30000000000")) == 20
    assert both_ways(filled, "i > 9 AND i < 5") == []


def test_a_list_of_values_is_found_by_bitmap(filled):
    statement = "SELECT count(*) FROM t WHERE i IN (1, 2, 3)"
    filled.sql("SET enable_seqscan = off")
    assert "Bitmap Index Scan" in node_types(filled.explain_json(statement))
    assert filled.value(statement) == 30


def test_uuid_by_equality(filled):
    assert len(both_ways(filled, "u = '00000000-0000-0000-0000-000000000007'")) == 15
    assert both_ways(filled, "u = '00000000-0000-0000-0000-000000999999'") == []


def test_text_by_equality(filled):
    for condition, n_rows in [
            ("x = 'text 7'", 12), ("x = 'Text 7'", 0), ("x = 'Text 1'", 1), ("x = ''", 1),
            ("x = 'text'", 0), ("x = repeat('long ', 100000)", 1),
            ("x = 'text 7'::varchar", 12)]:
        assert len(both_ways(filled, condition)) == n_rows


def test_text_is_equal_by_the_collation_of_the_column(db):
    db.sql("CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2',"
           " deterministic = false)")
    db.sql("CREATE TABLE t (id int, x text COLLATE loose)")
    db.sql("INSERT INTO t VALUES (1, 'Straße'), (2, 'STRASSE'), (3, 'strasse'), (4, 'other')")
    db.sql("CREATE INDEX ON t USING deeplake_index (x) WITH (index_type = 'inverted')")
    assert both_ways(db, "x = 'Strasse'") == [2, 3]


def test_containment_on_text_is_never_the_index_s(filled):
    filled.sql("SET enable_seqscan = off")
    plan = filled.explain_json("SELECT id FROM t WHERE contains(x, 'ext 7')")
    assert node_types(plan) == ["Seq Scan"]
    assert filled.value("SELECT count(*) FROM t WHERE contains(x, 'ext 7')") == 132
    assert filled.value("SELECT count(*) FROM t WHERE x @> ''") == 3004


def test_containment_on_jsonb(filled):
    for condition in [
            """j @> '{"a": 3}'""", """j @> '{"tags": ["x2"]}'""",
            """j @> '{"tags": [1, "x2"]}'""", "j ? 'a'", "j ?| ARRAY['b', 'a']",
            "j ?& ARRAY['tags', 'a']", """j @? '$.a ? (@ == 3)'""", """j @@ '$.a == 3'""",
            "j @> '{}'"]:
        assert both_ways(filled, condition) != [], condition
    assert both_ways(filled, """j @> '{"none": 1}'""") == []


def test_null_is_no_match_and_no_error(filled):
    assert both_ways(filled, "x = (SELECT NULL::text)") == []
    assert filled.value("SELECT count(*) FROM t WHERE x IS NULL") == 2


def test_values_of_several_columns_together(db):
    fill(db)
    db.sql("CREATE INDEX ON t USING deeplake_index (i, x, j) WITH (index_type = 'inverted')")
    db.sql("ANALYZE t")
    assert both_ways(db, "i = -149 AND x = 'text 1'") != []
    both_ways(db, """x = 'text 9' AND j @> '{"a": 9}'""")
    both_ways(db, """i < 3 AND j @> '{"a": 9}'""")


def test_expression_and_partial_indexes(db):
    fill(db)
    db.sql("CREATE INDEX a ON t USING deeplake_index (lower(x)) WITH (index_type = 'exact')")
    db.sql("CREATE INDEX b ON t USING deeplake_index (i) WHERE s > 10")
    db.sql("ANALYZE t")
    assert both_ways(db, "lower(x) = 'text 1'") == sorted(
        db.column("SELECT id FROM t WHERE x ILIKE 'text 1'"))
    both_ways(db, "i = 11 AND s > 10")
    assert db.value("SELECT deeplake_index_check('a')") == 3004
    assert db.value("SELECT deeplake_index_check('b')") > 0


def test_no_index_of_values_serves_an_order(filled):
    """Neither by its own type's operator nor by that of bm25, which shares the class."""
    filled.sql("SET enable_seqscan = off; SET enable_sort = off")
    for statement in ["SELECT id FROM t ORDER BY i", "SELECT id FROM t ORDER BY x <#> 'text'"]:
        assert "Sort" in node_types(filled.explain_json(statement))
        assert "Index Scan" not in node_types(filled.explain_json(statement))


def changes(db):
    db.sql("UPDATE t SET x = 'changed', i = 12345, n = 3.5 WHERE id % 10 = 0 AND id > 0")
    db.sql("DELETE FROM t WHERE id % 10 = 1")
    db.sql("INSERT INTO t (id, x, i) SELECT k, 'new', k FROM generate_series(9001, 9200) k")
    db.sql("UPDATE t SET s = s WHERE id % 7 = 0")


@pytest.mark.parametrize("fastupdate", ["on", "off"])
def test_changes_vacuum_and_the_check(db, fastupdate):
    fill(db)
    db.sql("CREATE INDEX t_x ON t USING deeplake_index (x)"
           f" WITH (index_type = 'inverted', fastupdate = {fastupdate})")
    db.sql(f"CREATE INDEX t_i ON t USING deeplake_index (i) WITH (fastupdate = {fastupdate})")
    changes(db)
    assert len(both_ways(db, "x = 'changed'")) == 300
    for command in ["", "VACUUM t", "VACUUM FULL t", "REINDEX TABLE t",
                    "REINDEX INDEX CONCURRENTLY t_x", "CLUSTER t USING by_id"]:
        if command.startswith("CLUSTER"):
            db.sql("CREATE INDEX by_id ON t (id)")
        if command:
            db.sql(command)
        n_rows = db.value("SELECT count(x) FROM t")
        assert db.value("SELECT deeplake_index_check('t_x')") == n_rows, command
        assert db.value("SELECT deeplake_index_check('t_i')") == db.value(
            "SELECT count(i) FROM t"), command
        assert len(both_ways(db, "x = 'changed'")) == 300
        assert len(both_ways(db, "x = 'new'")) == 200
        both_ways(db, "i > 9000")


def test_the_check_sees_a_row_that_the_index_lost(filled):
    """A function that claims to be immutable changes its mind."""
    filled.sql("CREATE FUNCTION mine(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS"
               " 'BEGIN RETURN $1; END'")
    filled.sql("CREATE INDEX lost ON t USING deeplake_index (mine(x))"
               " WITH (index_type = 'exact_text')")
    assert filled.value("SELECT deeplake_index_check('lost')") == 3004
    filled.sql("CREATE OR REPLACE FUNCTION mine(text) RETURNS text LANGUAGE plpgsql"
               " IMMUTABLE AS $$BEGIN RETURN $1 || '!'; END$$")
    error = filled.error("SELECT deeplake_index_check('lost')")
    assert error.pgcode == "XX002" and "does not find" in error.diag.message_primary


def test_create_index_concurrently(db):
    fill(db)
    db.sql("CREATE INDEX CONCURRENTLY t_x ON t USING deeplake_index (x)"
           " WITH (index_type = 'exact')")
    assert db.value("SELECT deeplake_index_check('t_x')") == 3004
    assert len(both_ways(db, "x = 'text 7'")) == 12


def test_a_crash_loses_nothing(own_server, own_db):
    fill(own_db)
    own_db.sql("CREATE INDEX t_x ON t USING deeplake_index (x) WITH (index_type = 'exact')")
    own_db.sql("CREATE INDEX t_j ON t USING deeplake_index (j)")
    changes(own_db)
    n_rows = own_db.value("SELECT count(x) FROM t")
    own_db.close()
    own_server.kill9()
    own_server.start()
    assert own_db.value("SELECT deeplake_index_check('t_x')") == n_rows
    own_db.sql("SELECT deeplake_index_check('t_j')")
    assert len(both_ways(own_db, "x = 'changed'")) == 300


def test_a_standby_finds_the_same(own_server, own_db):
    fill(own_db)
    own_db.sql("CREATE INDEX t_x ON t USING deeplake_index (x) WITH (index_type = 'exact')")
    standby = own_server.standby()
    try:
        standby.start()
        changes(own_db)
        own_db.sql("VACUUM t")
        own_server.wait_for_replay(standby)
        there = Database(standby, own_db.name)
        assert len(both_ways(there, "x = 'changed'")) == 300
        assert there.value("SELECT deeplake_index_check('t_x')") == own_db.value(
            "SELECT count(x) FROM t")
        there.close()
    finally:
        standby.destroy()


def test_unlogged_tables_are_empty_after_a_crash(own_server, own_db):
    own_db.sql("CREATE UNLOGGED TABLE t (id int, x text, e float4[])")
    own_db.sql("CREATE INDEX t_x ON t USING deeplake_index (x) WITH (index_type = 'exact')")
    own_db.sql("CREATE INDEX t_e ON t USING deeplake_index (e)")
    own_db.sql("INSERT INTO t VALUES (1, 'a', '{1}')")
    own_db.close()
    own_server.kill9()
    own_server.start()
    assert own_db.value("SELECT count(*) FROM t") == 0
    assert own_db.value("SELECT deeplake_index_check('t_x')") == 0
    assert own_db.value("SELECT deeplake_index_check('t_e')") == 0
    own_db.sql("INSERT INTO t VALUES (2, 'a', '{1}')")
    assert both_ways(own_db, "x = 'a'") == [2]


def test_temporary_tables_and_partitions(db):
    db.sql("CREATE TEMP TABLE t (id int, x text)")
    db.sql("INSERT INTO t SELECT k, 'x' || k % 9 FROM generate_series(1, 500) k")
    db.sql("CREATE INDEX ON t USING deeplake_index (x) WITH (index_type = 'exact')")
    assert len(both_ways(db, "x = 'x1'")) == 56
    db.sql("DROP TABLE t")

    db.sql("CREATE TABLE t (id int, x text) PARTITION BY RANGE (id)")
    db.sql("CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (250)")
    db.sql("CREATE INDEX ON t USING deeplake_index (x) WITH (index_type = 'exact')")
    db.sql("CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (250) TO (1000)")
    db.sql("INSERT INTO t SELECT k, 'x' || k % 9 FROM generate_series(1, 500) k")
    assert len(both_ways(db, "x = 'x1'")) == 56
    assert db.value("SELECT deeplake_index_check('t2_x_idx')") == 251


def test_an_exclusion_constraint(db):
    db.sql("CREATE TABLE t (id int, EXCLUDE USING deeplake_index (id WITH =))")
    db.sql("INSERT INTO t SELECT generate_series(1, 100)")
    assert db.error("INSERT INTO t VALUES (7)").pgcode == "23P01"
    db.sql("DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (7)")
