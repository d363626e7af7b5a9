# SPDX-License-Identifier: Apache-2.0
"""The access method deeplake_index: options, operator classes, what it refuses."""

import psycopg2
import pytest
from support.database import node_types

VALID = "bm25, exact_text, inverted, clustered, clustered_quantized, pooled_quantized"


@pytest.fixture
def table(db):
    db.sql("CREATE TABLE t (id int, body text, price numeric, key uuid, extra jsonb,"
           " e float4[], m embedding_2d)")
    db.sql("INSERT INTO t SELECT i, 'text ' || i % 10, i / 4.0, gen_random_uuid(),"
           " jsonb_build_object('k', i % 5), ARRAY[i, 1], ARRAY[[i, 1], [0, 1]]"
           " FROM generate_series(1, 500) i")
    db.sql("ANALYZE t")
    return db


def create(db, column, options=""):
    db.sql(f"CREATE INDEX i ON t USING deeplake_index ({column})"
           + (f" WITH ({options})" if options else ""))


@pytest.mark.parametrize("written", ["exact_text", "EXACT_Text", "exact", "inverted",
                                     "Inverted_Index"])
def test_index_type_takes_any_case_and_its_aliases(table, written):
    create(table, "body", f"index_type = '{written}'")
    assert table.value("SELECT deeplake_index_check('i')") == 500


@pytest.mark.parametrize("written", ["clustered", "quantized", "BINARY_QUANTIZED",
                                     "clustered_quantized", "pooled_quantized"])
def test_vector_types_are_accepted_with_a_notice(table, written):
    create(table, "e", f"index_type = '{written}'")
    assert any("holds nothing in this version" in notice
               for notice in table.connection.notices)
    assert table.value("SELECT deeplake_index_check('i')") == 0


def test_an_unknown_index_type_names_the_valid_ones(table):
    error = table.error("CREATE INDEX ON t USING deeplake_index (body)"
                        " WITH (index_type = 'hnsw')")
    assert error.pgcode == "22023"
    assert VALID in error.diag.message_detail


def test_an_unknown_option_is_refused(table):
    error = table.error("CREATE INDEX ON t USING deeplake_index (body) WITH (lists = 3)")
    assert error.pgcode == "22023" and '"lists"' in error.diag.message_primary


@pytest.mark.parametrize("column, written, valid", [
    ("id", "bm25", "'inverted' or 'exact_text'"),
    ("price", "clustered", "'inverted' or 'exact_text'"),
    ("key", "bm25", "'inverted' or 'exact_text'"),
    ("extra", "exact_text", "'inverted'"),
    ("body", "clustered", "'bm25', 'exact_text' or 'inverted'"),
    ("e", "bm25", "'clustered', 'clustered_quantized' or 'pooled_quantized'"),
    ("((e, body)::deeplake_hybrid_record)", "bm25", "no index_type at all"),
])
def test_an_index_type_of_another_column_type_is_refused(table, column, written, valid):
    error = table.error(f"CREATE INDEX ON t USING deeplake_index ({column})"
                        f" WITH (index_type = '{written}')")
    assert error.pgcode == "22023"
    assert f"invalid index type '{written}'" in error.diag.message_primary
    assert error.diag.message_hint == f"Use {valid}."


@pytest.mark.parametrize("options, word", [
    ("tokenizer = 'klingon'", "text search configuration"), ("k1 = -1", "k1"), ("b = 1.5", "b"),
    ("tokenizer = 'pg_catalog.klingon'", "text search configuration")])
def test_options_out_of_range_are_refused(table, options, word):
    error = table.error(f"CREATE INDEX ON t USING deeplake_index (body) WITH ({options})")
    assert error.pgcode in ("22023", "42704")
    assert word in error.diag.message_primary


@pytest.mark.parametrize("options", ["tokenizer = 'english'", "tokenizer = 'unicode'",
                                     "tokenizer = 'pg_catalog.simple', k1 = 2, b = 0"])
def test_options_are_accepted(table, options):
    create(table, "body", "index_type = 'exact_text', " + options)


@pytest.mark.parametrize("column, described", [
    ("e", "clustered_quantized"), ("m", "pooled_quantized"),
    ("((e, body)::deeplake_hybrid_record)", "hybrid")])
def test_the_default_is_by_the_type_of_the_column(table, column, described):
    create(table, column)
    assert any(f"'{described}' is accepted" in notice for notice in table.connection.notices)


@pytest.mark.parametrize("column", ["id", "price", "key", "extra"])
def test_the_default_of_values_is_inverted(table, column):
    create(table, column)
    assert table.value("SELECT deeplake_index_check('i')") == 500


def test_every_operator_class_validates(db):
    rows = db.sql("SELECT opcname, opcdefault, amvalidate(c.oid) FROM pg_opclass c"
                  " JOIN pg_am a ON a.oid = opcmethod WHERE amname = 'deeplake_index'")
    assert {name for name, _, _ in rows} >= {
        "deeplake_text_ops", "deeplake_vector_ops", "deeplake_hybrid_ops", "deeplake_uuid_ops",
        "deeplake_jsonb_ops", "deeplake_int4_ops", "deeplake_float8_ops",
        "deeplake_numeric_ops"}
    assert all(default and valid for _, default, valid in rows)


def test_validation_sees_an_operator_class_that_cannot_work(db):
    db.sql("CREATE OPERATOR CLASS broken FOR TYPE text USING deeplake_index AS OPERATOR 3 =")
    assert not db.value("SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'broken'")
    db.sql("CREATE OPERATOR CLASS crooked FOR TYPE text USING deeplake_index AS OPERATOR 3 =,"
           " FUNCTION 2 (text) textlen(text)")
    assert not db.value("SELECT amvalidate(oid) FROM pg_opclass WHERE opcname = 'crooked'")


def test_several_columns_are_for_values_only(table):
    create(table, "id, body, extra", "index_type = 'inverted'")
    assert table.value("SELECT deeplake_index_check('i')") == 1500
    error = table.error("CREATE INDEX ON t USING deeplake_index (e, e)")
    assert error.pgcode == "0A000" and "one column" in error.diag.message_primary


@pytest.mark.parametrize("statement, code", [
    ("CREATE UNIQUE INDEX ON t USING deeplake_index (id)", "0A000"),
    ("CREATE INDEX ON t USING deeplake_index (id) INCLUDE (body)", "0A000"),
    ("CREATE INDEX ON t USING deeplake_index (id DESC)", "0A000"),
    ("CREATE INDEX ON t USING deeplake_index ((id::text::bytea))", "42704"),
    ("SELECT deeplake_index_check('t')", "42809"),
    ("SELECT deeplake_index_check('btree')", "42809"),
])
def test_what_no_index_of_ours_can_be(table, statement, code):
    table.sql("CREATE INDEX btree ON t (id)")
    assert table.error(statement).pgcode == code


def test_another_index_type_after_the_build_is_seen(table):
    create(table, "body", "index_type = 'exact_text'")
    table.sql("CREATE INDEX v ON t USING deeplake_index (e)")
    table.sql("ALTER INDEX v SET (index_type = 'exact_text')")
    assert table.error("INSERT INTO t (e) VALUES ('{1}')").pgcode == "55000"
    assert table.error("SELECT deeplake_index_check('v')").pgcode == "55000"
    table.sql("ALTER INDEX v SET (index_type = 'clustered')")
    table.sql("INSERT INTO t (e) VALUES ('{1}')")
    table.sql("ALTER INDEX i SET (index_type = 'inverted')")
    assert table.value("SELECT deeplake_index_check('i')") == 500


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
def test_a_vector_index_changes_no_row_of_a_search(table, direction):
    search = ("SELECT id, e <#> '{3,1}' AS score FROM t"
              f" ORDER BY score {direction}, id LIMIT 20")
    before = table.sql(search)
    create(table, "e")
    table.sql("SET enable_seqscan = off")
    assert table.sql(search) == before
    assert "Index Scan" not in node_types(table.explain_json(search))


def test_only_the_owner_checks(table):
    create(table, "id")
    table.sql("CREATE ROLE reader; GRANT SELECT ON t TO reader")
    table.sql("SET ROLE reader")
    assert table.error("SELECT deeplake_index_check('i')").pgcode == "42501"
    table.sql("RESET ROLE")
    table.sql("DROP OWNED BY reader")
    table.sql("DROP ROLE reader")


def test_who_may_not_check_waits_for_no_lock(table):
    create(table, "id")
    writer = table.connect()
    writer.autocommit = False
    table.sql("INSERT INTO t (id) VALUES (1)", connection=writer)
    table.sql("CREATE ROLE passer")
    table.sql("SET lock_timeout = '200ms'")
    assert table.error("SELECT deeplake_index_check('i')").pgcode == "55P03"
    table.sql("SET ROLE passer")
    assert table.error("SELECT deeplake_index_check('i')").pgcode == "42501"
    table.sql("RESET ROLE; DROP ROLE passer")


@pytest.mark.parametrize("index_type", ["bm25", "exact_text"])
def test_the_check_runs_an_owner_s_expression_as_the_owner(db, index_type):
    """A superuser who checks an index does not lend its rights to the index's expression."""
    db.sql("DROP ROLE IF EXISTS author; CREATE ROLE author; GRANT CREATE ON SCHEMA public TO author; SET ROLE author")
    db.sql("CREATE TABLE a (t text); INSERT INTO a VALUES ('lake')")
    db.sql("""CREATE FUNCTION told(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS
        $$ BEGIN RAISE NOTICE 'as %', current_user;
           PERFORM set_config('search_path', 'nowhere', false);
           RETURN $1; END $$""")
    db.sql(f"CREATE INDEX i ON a USING deeplake_index (told(t)) WITH (index_type = {index_type})")
    db.sql("RESET ROLE")
    path = db.value("SHOW search_path")
    db.connection.notices.clear()
    assert db.value("SELECT deeplake_index_check('i')") == 1
    assert set(db.connection.notices) == {"NOTICE:  as author\n"}
    assert db.value("SHOW search_path") == path
    assert db.value("SELECT current_user") == "postgres"
    db.sql("DROP OWNED BY author; DROP ROLE author")


def test_a_damaged_vector_index_is_seen(own_db):
    own_db.sql("CREATE TABLE t (e float4[])")
    own_db.sql("CREATE INDEX i ON t USING deeplake_index (e)")
    path = own_db.value("SELECT current_setting('data_directory') || '/'"
                        " || pg_relation_filepath('i')")
    own_db.close()
    own_db.server.stop()
    with open(path, "r+b") as file:
        file.seek(24)
        file.write(b"\0\0\0\0")
    own_db.server.start()
    error = own_db.error("SELECT deeplake_index_check('i')")
    assert error.pgcode == "XX002"
    own_db.sql("REINDEX INDEX i")
    assert own_db.value("SELECT deeplake_index_check('i')") == 0


def test_create_index_without_preload(db):
    db.sql("CREATE TABLE t (body text)")
    other = db.connect(preload=False)
    db.sql("CREATE INDEX i ON t USING deeplake_index (body) WITH (index_type = 'exact')",
           connection=other)
    assert db.value("SELECT deeplake_index_check('i')", connection=db.connect(preload=False)) == 0


def test_dump_and_restore_of_an_index(table):
    """What pg_dump writes for an index is what made it."""
    create(table, "body", "index_type = 'exact_text', k1 = 1.2")
    definition = table.value("SELECT pg_get_indexdef('i'::regclass)")
    table.sql("DROP INDEX i")
    table.sql(definition)
    assert table.value("SELECT pg_get_indexdef('i'::regclass)") == definition
    with pytest.raises(psycopg2.Error):
        table.sql(definition)
