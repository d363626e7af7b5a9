# SPDX-License-Identifier: Apache-2.0
"""Vectors: <#> on (float4[], float4[]), and its functions."""

import numpy
import pytest

from support.database import literal, node_types, nodes

GOLDEN = [("{4,5,6}", .97463185), ("{7,8,9}", .959412), ("{0,0,444}", .80178374)]


def similarity(db, left, right):
    return db.value("SELECT %s::float4[] <#> %s::float4[]", (left, right))


def is_near(found, golden):
    """Equal but for two units in the last place of a float4: the golden values were summed in
    float4."""
    found, golden = numpy.float32(found), numpy.float32(golden)
    return abs(found - golden) <= 2 * abs(numpy.spacing(golden))


def exact(left, right):
    """In float64, which is what the extension promises, rounded once."""
    left, right = (numpy.asarray(vector, numpy.float64) for vector in (left, right))
    return numpy.float32(left @ right / numpy.sqrt((left @ left) * (right @ right)))


@pytest.mark.parametrize("right, golden", GOLDEN)
def test_cosine_golden_values(db, right, golden):
    assert is_near(similarity(db, "{1,2,3}", right), golden)
    assert is_near(db.value("SELECT deeplake_cosine_similarity('{1,2,3}', %s::float4[])",
                            (right,)), golden)


def ramp(start, n_elements):
    return [(start + i) / 10 for i in range(n_elements)]


def test_golden_values_of_ramps(db):
    """Each further document begins a tenth higher; the first is the query itself."""
    golden = [1, .99493665, .98644006, .9782321, .9710608, .96495056, .95975995, .9553303,
              .95152277, .9482238]
    for start, score in enumerate(golden, 1):
        assert is_near(similarity(db, literal(ramp(start, 5)), literal(ramp(1, 5))), score)


def test_maxsim_golden_values(db):
    golden = [.99999994, .997096, .9912933, .9848203, .97851676, .97267884, .96738243,
              .9626168, .9583381, .954494]
    query = literal(ramp(1, 8))
    for start, score in enumerate(golden, 1):
        document = "{" + ",".join(literal(ramp(start + more, 8)) for more in (0, 2, 4)) + "}"
        assert is_near(similarity(db, document, "{" + query + "}"), score)
        assert similarity(db, document, query) == similarity(db, document, "{" + query + "}")


def test_maxsim_sums_the_best_of_each_query_vector(db):
    random = numpy.random.default_rng(7)
    for n_document, n_query, n_elements in ((1, 1, 1), (3, 2, 5), (40, 17, 33), (9, 64, 128)):
        document = random.standard_normal((n_document, n_elements)).astype(numpy.float32)
        query = random.standard_normal((n_query, n_elements)).astype(numpy.float32)
        wanted = sum(max(float(exact(one, two)) for one in document) for two in query)
        arguments = tuple("{" + ",".join(literal(one) for one in many) + "}"
                          for many in (document, query))
        assert db.value("SELECT %s::float4[] <#> %s::float4[]", arguments) == pytest.approx(
            wanted, rel=2e-7, abs=2e-7)
        assert db.value("SELECT deeplake_maxsim(%s::float4[], %s::float4[])",
                        arguments) == db.value("SELECT %s::float4[] <#> %s::float4[]", arguments)


@pytest.mark.parametrize("n_elements", [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 100, 768, 1536, 4099])
def test_cosine_is_that_of_float64_rounded_once(db, n_elements):
    random = numpy.random.default_rng(n_elements)
    left, right = random.standard_normal((2, n_elements)).astype(numpy.float32)
    found = numpy.float32(similarity(db, literal(left), literal(right)))
    assert found == exact(left, right)
    assert similarity(db, literal(left), literal(left)) == 1
    assert similarity(db, literal(left), literal(-left)) == -1


def test_large_and_small_elements_do_not_overflow(db):
    assert similarity(db, "{3e38,0}", "{3e38,3e38}") == pytest.approx(2 ** -.5, rel=1e-7)
    assert similarity(db, "{1e-44,0}", "{1e-44,1e-44}") == pytest.approx(2 ** -.5, rel=1e-7)
    assert similarity(db, "{3e38,3e38}", "{1e-44,1e-44}") == 1


@pytest.mark.parametrize("left", ["{0,0,0}", "{NaN,1,1}", "{Infinity,1,1}", "{-Infinity,1,0}"])
def test_a_vector_without_direction_has_similarity_0(db, left):
    assert similarity(db, left, "{1,2,3}") == 0
    assert similarity(db, "{1,2,3}", left) == 0
    assert similarity(db, left, left) == 0
    assert similarity(db, "{" + left + "}", "{{1,2,3}}") == 0


def test_null_has_no_similarity(db):
    assert db.value("SELECT NULL::float4[] <#> '{1}'::float4[]") is None
    assert db.value("SELECT '{1}'::float4[] <#> NULL::float4[]") is None


@pytest.mark.parametrize("left, right, words", [
    ("{1,2,3}", "{1,2}", ("3", "2")),
    ("{}", "{1,2}", ("0", "2")),
    ("{1,2}", "{}", ("2", "0")),
    ("{{1,2,3}}", "{{1,2}}", ("3", "2")),
    ("{{1,2,3}}", "{1,2}", ("3", "2")),
])
def test_vectors_of_different_length_are_refused_with_both_lengths(db, left, right, words):
    error = db.error("SELECT %s::float4[] <#> %s::float4[]", (left, right))
    assert error.pgcode == "2202E"
    assert f"{words[0]} elements on the left, {words[1]} on the right" in str(error)
    assert error.diag.message_hint


@pytest.mark.parametrize("left, right, code", [
    ("{1,NULL}", "{1,2}", "22004"),
    ("{1,2}", "{NULL,2}", "22004"),
    ("{{1,2},{NULL,2}}", "{1,2}", "22004"),
    ("{1,2}", "{{1,2}}", "2202E"),
    ("{{{1}}}", "{1}", "2202E"),
    ("{1}", "{{{1}}}", "2202E"),
])
def test_what_is_no_vector_is_refused(db, left, right, code):
    assert db.error("SELECT %s::float4[] <#> %s::float4[]", (left, right)).pgcode == code


def test_a_null_bitmap_without_nulls_is_a_vector(db):
    """array_replace and its like leave the bitmap behind."""
    assert db.value("SELECT array_replace('{1,NULL,3}'::float4[], NULL, 2)"
                    " <#> '{1,2,3}'::float4[]") == 1


def test_empty_arrays(db):
    assert similarity(db, "{}", "{}") == 0
    assert similarity(db, "{{1,2}}", "{}") == 0
    assert db.error("SELECT '{}'::float4[] <#> '{{1,2}}'::float4[]").pgcode == "2202E"


def test_cosine_similarity_takes_one_vector_each(db):
    assert db.error("SELECT deeplake_cosine_similarity('{{1}}', '{1}')").pgcode == "2202E"
    assert db.error("SELECT deeplake_cosine_similarity('{1}', '{{1}}')").pgcode == "2202E"


def test_maxsim_takes_one_vector_as_a_list_of_one(db):
    assert db.value("SELECT deeplake_maxsim('{1,2,3}', '{{4,5,6},{1,2,3}}')") == pytest.approx(
        1.97463185, rel=1e-7)


def test_other_arrays_and_domains_are_converted(db):
    db.sql("CREATE TABLE t (e embedding)")
    db.sql("INSERT INTO t VALUES ('{1,2,3}')")
    for right in ("ARRAY[4.0,5.0,6.0]", "ARRAY[4,5,6]", "'{4,5,6}'", "'{4,5,6}'::real[]",
                  "'{4,5,6}'::embedding"):
        assert db.value(f"SELECT e <#> {right} FROM t") == pytest.approx(.97463185, rel=1e-7)


def test_order_by_descending_is_best_first(db):
    random = numpy.random.default_rng(3)
    vectors = random.standard_normal((500, 24)).astype(numpy.float32)
    db.sql("CREATE TABLE t (id int, e float4[])")
    db.copy_vectors("t (id, e)", range(500), vectors)
    query = random.standard_normal(24).astype(numpy.float32)
    best = sorted(range(500), key=lambda i: -exact(vectors[i], query))[:10]
    assert db.column(f"""SELECT id, e <#> '{literal(query)}' AS score FROM t
                         ORDER BY score DESC LIMIT 10""") == best
    worst = sorted(range(500), key=lambda i: exact(vectors[i], query))[:10]
    assert db.column(f"""SELECT id, e <#> '{literal(query)}' AS score FROM t
                         ORDER BY score LIMIT 10""") == worst


def test_toasted_short_and_expanded_arrays_are_the_same_vector(db):
    random = numpy.random.default_rng(4)
    query, vector = random.standard_normal((2, 1500)).astype(numpy.float32)
    db.sql("CREATE TABLE t (storage text, e float4[])")
    wanted = exact(vector, query)
    for storage in ("PLAIN", "EXTERNAL", "EXTENDED", "MAIN"):
        db.sql(f"ALTER TABLE t ALTER e SET STORAGE {storage}")
        db.sql("INSERT INTO t VALUES (%s, %s::float4[])", (storage, literal(vector)))
    assert db.value("SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class"
                    " WHERE relname = 't'")
    for found in db.column("SELECT e <#> %s::float4[] FROM t", (literal(query),)):
        assert numpy.float32(found) == pytest.approx(wanted, rel=1e-7)
    short = "SELECT e <#> '{4,5,6}' FROM short"
    db.sql("CREATE TABLE short AS SELECT '{1,2,3}'::float4[] AS e, 'x' AS after")
    assert db.value(short) == pytest.approx(.97463185, rel=1e-7)
    db.sql("""CREATE FUNCTION expanded() RETURNS float4 LANGUAGE plpgsql AS $$
              DECLARE e float4[] := '{9,2,3}';
              BEGIN e[1] := 1; RETURN e <#> '{4,5,6}'; END $$""")
    assert db.value("SELECT expanded()") == pytest.approx(.97463185, rel=1e-7)


def test_a_large_table_is_searched_in_parallel(db):
    db.sql("CREATE TABLE t (id int, e float4[])")
    db.sql("""INSERT INTO t SELECT i, ARRAY(SELECT random() FROM generate_series(1, 64))
              FROM generate_series(1, 30000) i""")
    db.sql("ANALYZE t")
    query = "SELECT id FROM t ORDER BY e <#> (SELECT e FROM t WHERE id = 1) DESC LIMIT 5"
    query = query.replace("(SELECT e FROM t WHERE id = 1)", f"'{literal(range(64))}'")
    plan = db.explain_json(query)
    assert "Gather Merge" in node_types(plan)
    in_parallel = db.column(query)
    db.sql("SET max_parallel_workers_per_gather = 0")
    assert db.column(query) == in_parallel
    assert "Gather Merge" not in [node["Node Type"] for node in nodes(db.explain_json(query))]


@pytest.mark.parametrize("left, right, true", [
    ("{1,2}", "{2,3}", "lt le ne"),
    ("{1,2}", "{1,3}", "le"),
    ("{1,2}", "{1,2}", "le eq ge"),
    ("{3,2}", "{1,1}", "gt ge ne"),
    ("{1,5}", "{5,1}", "ne"),
    ("{NaN}", "{NaN}", "ne"),
    ("{}", "{}", "lt le eq ne ge gt"),
])
def test_comparisons_hold_for_every_element(db, left, right, true):
    for name in ("lt", "le", "eq", "ne", "ge", "gt"):
        assert db.value(f"SELECT deeplake_vector_{name}(%s::float4[], %s::float4[])",
                        (left, right)) == (name in true.split()), name
    wanted = 0 if "eq" in true else -1 if "lt" in true else 1
    assert db.value("SELECT deeplake_vector_compare(%s::float4[], %s::float4[])",
                    (left, right)) == wanted


def test_comparing_vectors_of_different_length_is_refused(db):
    assert db.error("SELECT deeplake_vector_eq('{1}', '{1,2}')").pgcode == "2202E"


def test_plain_sql_on_arrays_means_what_it_did(db):
    """No operators < or = of ours: arrays keep the server's order, hashes and merges."""
    assert db.value("SELECT '{1,5}'::float4[] < '{5,1}'::float4[]")
    assert db.value("SELECT '{1}'::float4[] = '{1,2}'::float4[]") is False
    db.sql("CREATE TABLE t (e float4[])")
    plan = db.explain_json("SELECT * FROM t a JOIN t b ON a.e = b.e")
    assert {"Hash Join", "Merge Join"} & set(node_types(plan))


def test_planning_the_operator_loads_the_library(db):
    """So that what it adds to the planner counts for the first query of a session too."""
    connection = db.connect(preload=False)
    db.sql("CREATE TABLE t (e float4[])")
    loaded = "SELECT count(*) FROM pg_settings WHERE name = 'deeplake.hybrid_fusion'"
    assert db.value(loaded, connection=connection) == 0
    db.explain_json("SELECT * FROM t ORDER BY e <#> '{1}' DESC LIMIT 1", connection=connection)
    assert db.value(loaded, connection=connection) == 1
