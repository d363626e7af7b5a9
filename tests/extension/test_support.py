# SPDX-License-Identifier: Apache-2.0
"""The tests' own tools."""

import numpy
import psycopg2
import pytest

from support.database import literal, node_types


def test_every_test_has_a_database_with_the_extension(db, plain_db):
    installed = "SELECT extversion FROM pg_extension WHERE extname = 'pg_deeplake'"
    assert db.column(installed) == ["1.0"]
    assert plain_db.column(installed) == []


def test_a_connection_chooses_whether_the_library_is_preloaded(db):
    setting = "SELECT count(*) FROM pg_settings WHERE name = 'deeplake.hybrid_fusion'"
    assert db.value(setting) == 1
    assert db.value(setting, connection=db.connect(preload=False)) == 0


def test_copy_vectors_keeps_every_bit(db):
    vectors = numpy.random.default_rng(1).standard_normal((50, 7)).astype(numpy.float32)
    db.sql("CREATE TABLE t (id int PRIMARY KEY, e float4[])")
    db.copy_vectors("t (id, e)", range(50), vectors)
    rows = db.sql("SELECT id, e FROM t ORDER BY id")
    assert [row[0] for row in rows] == list(range(50))
    assert numpy.array_equal(numpy.array([row[1] for row in rows], numpy.float32), vectors)
    assert db.value("SELECT count(*) FROM t WHERE e = %s::float4[]",
                    (literal(vectors[3]),)) == 1


def test_explain_json_and_error(db):
    assert "Seq Scan" in node_types(db.explain_json("SELECT * FROM pg_class ORDER BY relpages"))
    assert db.error("SELECT 1 / 0").pgcode == "22012"
    with pytest.raises(AssertionError):
        db.error("SELECT 1")


def test_a_killed_server_recovers_what_was_committed(own_server, own_db):
    own_db.sql("CREATE TABLE t (id int)")
    own_db.sql("INSERT INTO t VALUES (1)")
    own_server.kill9()
    with pytest.raises(psycopg2.Error):
        own_db.sql("SELECT 1")
    own_server.start()
    assert "not properly shut down" in own_server.read_log()
    assert own_db.column("SELECT id FROM t") == [1]
    own_db.sql("INSERT INTO t VALUES (2)")
    own_db.close()
    own_server.restart()
    assert own_db.column("SELECT id FROM t ORDER BY id") == [1, 2]


def test_a_standby_replays_what_was_committed(own_server, own_db):
    standby = own_server.standby()
    try:
        standby.start()
        own_db.sql("CREATE TABLE t AS SELECT 5 AS id")
        own_server.wait_for_replay(standby)
        with standby.connect(own_db.name) as connection:
            assert own_db.column("SELECT id FROM t", connection=connection) == [5]
            assert own_db.error("DELETE FROM t", connection=connection).pgcode == "25006"
    finally:
        standby.destroy()
