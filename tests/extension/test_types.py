# SPDX-License-Identifier: Apache-2.0
"""Domains, text within text, hybrid records, the table access method."""

import os
import subprocess

import pytest

DOMAINS = {
    "image": "bytea", "video": "bytea", "file": "bytea", "segment_mask": "bytea",
    "binary_mask": "bytea", "mesh": "bytea", "medical": "bytea", "deeplake_polygon": "bytea",
    "bounding_box": "real[]", "deeplake_point": "real[]", "embedding": "real[]",
    "embedding_2d": "real[]", "class_label": "integer", "file_id": "uuid",
}
VALUES = {"bytea": r"\x00ff", "real[]": "{1,2.5}", "integer": "7",
          "uuid": "0000f25a-1d3c-4c5e-9f7a-0123456789ab"}


def test_every_domain_is_of_its_base_type(db):
    found = dict(db.sql("""SELECT typname, format_type(typbasetype, typtypmod) FROM pg_type
        WHERE typtype = 'd' AND typnamespace = 'public'::regnamespace"""))
    assert found == DOMAINS


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_keeps_a_value(db, name):
    value = "{{1,2.5}}" if name == "embedding_2d" else VALUES[DOMAINS[name]]
    db.sql(f"CREATE TABLE t (v {name.upper()})")
    db.sql("INSERT INTO t VALUES (%s), (NULL)", (value,))
    assert db.column("SELECT v::text FROM t ORDER BY v IS NULL") == [value, None]


@pytest.mark.parametrize("name, value", [
    ("embedding", "{{1,2}}"), ("embedding", "{}"), ("embedding_2d", "{1,2}"),
    ("embedding_2d", "{}"), ("embedding_2d", "{{{1}}}"),
])
def test_an_embedding_has_its_dimensions(db, name, value):
    error = db.error(f"SELECT %s::{name}", (value,))
    assert error.pgcode == "23514"
    assert error.diag.constraint_name.startswith(name + "_has_")


@pytest.mark.parametrize("haystack, needle, is_there", [
    ("machine learning", "learn", True), ("machine learning", "Learn", False),
    ("abc", "", True), ("", "", True), ("", "a", False), ("abc", "abcd", False),
    ("größe", "öß", True), ("100%", "0%", True), ("100%", "_0%", False),
    ("a\nb", "\nb", True), ("x" * 300000 + "y", "xy", True),
])
def test_contains_is_a_substring_of_bytes(db, haystack, needle, is_there):
    arguments = (haystack, needle)
    assert db.value("SELECT contains(%s, %s)", arguments) is is_there
    assert db.value("SELECT %s::text @> %s", arguments) is is_there
    assert db.value("SELECT deeplake_text_contains(%s, %s)", arguments) is is_there


def test_contains_of_null_is_null(db):
    assert db.sql("SELECT contains(NULL, 'a'), contains('a', NULL), 'a'::text @> NULL") == [
        (None, None, None)]


def test_contains_is_the_operator_for_the_planner(db):
    db.sql("CREATE TABLE t (a text)")
    plan = db.explain_json("SELECT * FROM t WHERE contains(a, 'x')")
    assert plan["Filter"] == "(a @> 'x'::text)"


def test_contains_is_estimated_from_statistics(db):
    db.sql("""CREATE TABLE t AS SELECT CASE WHEN i % 2 = 0 THEN 'an even number' ELSE 'odd' END
              AS a FROM generate_series(1, 1000) i""")
    db.sql("ANALYZE t")
    rows = db.explain_json("SELECT * FROM t WHERE a @> 'even'")["Plan Rows"]
    assert 400 < rows < 600


def test_jsonb_and_arrays_still_contain_what_they_did(db):
    assert db.value("SELECT '{\"a\": 1, \"b\": 2}'::jsonb @> '{\"a\": 1}'")
    assert db.value("SELECT ARRAY[1,2] @> ARRAY[2]")
    assert db.value("SELECT ARRAY['a','b'] @> ARRAY['b']")


def test_constructors_of_hybrid_records(db):
    text = "SELECT deeplake_hybrid_record({})::text"
    assert db.value(text.format("'{1,2}', 'a b'")) == '("{1,2}","a b",0.5,0.5)'
    assert db.value(text.format("'{1,2}', 'a b', 0.7, 0.3")) == '("{1,2}","a b",0.7,0.3)'
    assert db.value(text.format("'{1,2}', NULL, 0.7, 0.3")) is None
    assert db.error(text.format("'{1,2}', 'a', 'NaN', 0.3")).pgcode == "22023"


def test_a_constructor_over_columns(db):
    db.sql("CREATE TABLE t AS SELECT ARRAY[i, 1]::float4[] AS e, 'w' || i AS w"
           " FROM generate_series(1, 3) i")
    assert db.column("SELECT (deeplake_hybrid_record(e, w)).text_value FROM t ORDER BY w") == [
        "w1", "w2", "w3"]


def test_hybrid_records_are_cast_both_ways(db):
    plain = "('{1,2}', 'a')::deeplake_hybrid_record"
    assert db.value(f"SELECT {plain}::deeplake_hybrid_record_weighted::text") == (
        '("{1,2}",a,1,1)')
    weighted = "('{1,2}', 'a', 0.4, 0.6)::deeplake_hybrid_record_weighted"
    assert db.value(f"SELECT {weighted}::text") == '("{1,2}",a,0.4,0.6)'
    assert db.value(f"SELECT {weighted}::deeplake_hybrid_record::text") == '("{1,2}",a)'


def test_null_fields_survive_a_cast(db):
    assert db.value("SELECT ROW(NULL, 'a')::deeplake_hybrid_record"
                    "::deeplake_hybrid_record_weighted::text") == "(,a,1,1)"
    assert db.value("SELECT ROW('{1}', NULL)::deeplake_hybrid_record"
                    "::deeplake_hybrid_record_weighted::text") == "({1},,1,1)"
    assert db.value("SELECT ROW('{1}', NULL, NULL, 1)::deeplake_hybrid_record_weighted"
                    "::deeplake_hybrid_record::text") == "({1},)"


def test_a_toasted_vector_fits_into_a_record(db):
    db.sql("CREATE TABLE t AS SELECT array_agg(i::float4) AS e FROM generate_series(1, 5000) i")
    assert db.value("""SELECT ((e, 'x')::deeplake_hybrid_record::deeplake_hybrid_record_weighted)
                       .embedding = e FROM t""")


def test_a_table_of_ours_does_what_a_heap_does(db):
    db.sql("CREATE TABLE t (id serial PRIMARY KEY, e embedding, w text UNIQUE) USING deeplake")
    assert db.value("SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam"
                    " WHERE relname = 't'") == "deeplake"
    db.sql("INSERT INTO t (e, w) SELECT ARRAY[i, 2 * i], 'w' || i FROM generate_series(1, 100) i")
    db.sql("INSERT INTO t (w, e) VALUES ('w1', '{0,1}') ON CONFLICT (w) DO UPDATE"
           " SET e = EXCLUDED.e")
    assert db.value("SELECT e FROM t WHERE w = 'w1'") == [0, 1]
    db.copy_in("COPY t (e, w) FROM STDIN", "{1,1}\tcopied\n")
    db.sql("DELETE FROM t WHERE id % 2 = 0 AND id <= 100")
    db.sql("UPDATE t SET w = repeat(md5(w), 1000) WHERE id = 3")
    for statement in ("VACUUM t", "VACUUM FULL t", "CLUSTER t USING t_pkey", "ANALYZE t",
                      "ALTER TABLE t ADD COLUMN n int DEFAULT 5", "CREATE INDEX ON t (n)",
                      "ALTER TABLE t ALTER n TYPE bigint", "CREATE INDEX CONCURRENTLY ON t (w)",
                      "TRUNCATE t", "DROP TABLE t"):
        if statement == "TRUNCATE t":
            assert db.value("SELECT count(*) FROM t WHERE n = 5") == 51
            assert db.value("SELECT length(w) FROM t WHERE id = 3") == 32000
        db.sql(statement)


def test_the_default_access_method_can_be_ours(db):
    db.sql("SET default_table_access_method = deeplake")
    db.sql("CREATE TABLE t AS SELECT 1 AS id")
    db.sql("CREATE MATERIALIZED VIEW v AS SELECT * FROM t")
    assert db.column("SELECT id FROM v") == [1]


def test_create_deeplake_table_says_what_to_do(db):
    error = db.error("SELECT create_deeplake_table('t', 's3://key:secret@bucket/path')")
    assert error.pgcode == "0A000"
    assert "create_deeplake_table failed" in str(error) and '"t"' in str(error)
    assert "USING deeplake" in error.diag.message_hint
    assert "secret" not in str(error)
    assert db.error("SELECT create_deeplake_table(NULL, NULL)").pgcode == "0A000"


def test_settings(db):
    assert db.value("SHOW deeplake.root_path") == ""
    db.sql("SET deeplake.root_path = '/data'")
    assert db.value("SHOW deeplake.root_path") == "/data"
    assert db.value("SHOW deeplake.hybrid_fusion") == "softmax"
    assert db.error("SET deeplake.hybrid_fusion = 'none'").pgcode == "22023"
    assert db.error("SET deeplake.typo = 1").pgcode == "42602"


def test_functions_say_honestly_what_they_are(db):
    """Immutable, parallel safe and strict, but for the one that only fails."""
    odd = db.column("""SELECT p.proname FROM pg_proc p JOIN pg_depend d
        ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
        JOIN pg_language l ON l.oid = p.prolang
        WHERE p.proname ~ '^(deeplake_(vector|hybrid_record|similarity|cosine|maxsim|text))'
        AND (provolatile <> 'i' OR proparallel <> 's' OR NOT proisstrict)""")
    assert odd == []


def test_it_lives_in_the_schema_that_is_asked_for(plain_db):
    plain_db.sql("CREATE SCHEMA search")
    plain_db.sql("CREATE EXTENSION pg_deeplake SCHEMA search")
    assert plain_db.error("SELECT '{1}'::float4[] <#> '{1}'::float4[]").pgcode == "42883"
    plain_db.sql("SET search_path = public, search")
    assert plain_db.value("SELECT '{1}'::float4[] <#> '{1}'::float4[]") == 1
    assert plain_db.value("SELECT contains('abc', 'b')")
    plain_db.sql("DROP EXTENSION pg_deeplake")
    assert plain_db.value("SELECT count(*) FROM pg_type WHERE typnamespace ="
                          " 'search'::regnamespace") == 0


def test_it_calls_nobody_else_s_functions(plain_db):
    """One that fits a domain's check better than the server's own, made before the extension."""
    plain_db.sql("""CREATE FUNCTION array_ndims(real[]) RETURNS int IMMUTABLE LANGUAGE sql
        AS 'SELECT 1'""")
    plain_db.sql("CREATE EXTENSION pg_deeplake")
    assert plain_db.error("SELECT '{{1},{2}}'::embedding").pgcode == "23514"
    assert plain_db.value("SELECT '{{1},{2}}'::embedding_2d") == [[1], [2]]


def test_a_dump_is_restored(db, programs):
    db.sql("""CREATE TABLE t (id int PRIMARY KEY, e embedding, i image, h deeplake_hybrid_record)
              USING deeplake""")
    db.sql(r"INSERT INTO t VALUES (1, '{1,2}', '\x89', ('{1}', 'a'))")
    db.sql("CREATE VIEW v AS SELECT id, e <#> '{1,2}' AS score, contains('ab', 'b') FROM t")
    dump = subprocess.run([os.path.join(programs, "pg_dump"), "-d", db.server.dsn(db.name)],
                          check=True, capture_output=True).stdout
    db.sql("CREATE DATABASE restored TEMPLATE template0")
    try:
        target = db.server.dsn("restored")
        subprocess.run([os.path.join(programs, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1",
                        "-d", target], input=dump, check=True, capture_output=True)
        again = subprocess.run([os.path.join(programs, "pg_dump"), "-d", target], check=True,
                               capture_output=True).stdout
        # Newer versions of pg_dump guard the text with a word of chance.
        assert ([line for line in again.splitlines() if not line.startswith(b"\\")]
                == [line for line in dump.splitlines() if not line.startswith(b"\\")])
        with db.server.connect("restored") as connection:
            assert db.sql("SELECT * FROM v", connection=connection) == [(1, 1, True)]
    finally:
        db.sql("DROP DATABASE IF EXISTS restored WITH (FORCE)")


def test_the_owner_of_a_database_creates_it_without_being_superuser(plain_db):
    plain_db.sql(f"""DROP ROLE IF EXISTS ordinary; CREATE ROLE ordinary LOGIN;
                     ALTER DATABASE {plain_db.name} OWNER TO ordinary""")
    try:
        connection = plain_db.connect(role="ordinary")
        assert plain_db.value("SELECT current_user", connection=connection) == "ordinary"
        plain_db.sql("CREATE EXTENSION pg_deeplake", connection=connection)
        plain_db.sql("CREATE SCHEMA own", connection=connection)
        plain_db.sql("CREATE TABLE own.t (e embedding) USING deeplake", connection=connection)
        assert plain_db.value("SELECT '{1}'::float4[] <#> '{1}'", connection=connection) == 1
    finally:
        plain_db.close()
        plain_db.sql(f"ALTER DATABASE {plain_db.name} OWNER TO postgres;"
                     "DROP OWNED BY ordinary CASCADE; DROP ROLE ordinary")


def test_tables_of_ours_can_be_temporary_unlogged_and_partitioned(db):
    db.sql("CREATE TEMPORARY TABLE a (e embedding) USING deeplake")
    db.sql("CREATE UNLOGGED TABLE b (e embedding) USING deeplake")
    db.sql("CREATE TABLE c (id int, e embedding) PARTITION BY RANGE (id)")
    for low in (0, 10):
        db.sql(f"CREATE TABLE c{low} PARTITION OF c FOR VALUES FROM ({low}) TO ({low + 10})"
               " USING deeplake")
    db.sql("INSERT INTO c SELECT i, ARRAY[1, i] FROM generate_series(0, 19) i")
    assert db.column("SELECT id FROM c ORDER BY e <#> '{1,12}' DESC LIMIT 1") == [12]
    for table in "ab":
        db.sql(f"INSERT INTO {table} VALUES ('{{1,2}}')")
        assert db.column(f"SELECT e <#> '{{1,2}}' FROM {table}") == [1]
