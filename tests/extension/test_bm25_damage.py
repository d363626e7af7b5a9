# SPDX-License-Identifier: Apache-2.0
"""bm25 on a damaged disk: deeplake_index_check sees it, and no search takes the server down."""

import os
import random
import struct

import psycopg2

N_INDEXES = 40
HEAD = 48  # the server's page header and ours
POSTINGS = 0x0112  # bm25/page.h
QUERIES = ("alpha", "w7 v3 u40", "v1 v2 v3 w1 w2 w3")


def damage(path, generator):
    """Another byte somewhere in what a page holds."""
    with open(path, "r+b") as file:
        n_pages = os.path.getsize(path) // 8192
        while True:
            page = generator.randrange(1, n_pages)
            file.seek(page * 8192 + 12)
            end = struct.unpack("H", file.read(2))[0]
            if end > HEAD:
                break
        place = page * 8192 + generator.randrange(HEAD, end)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << generator.randrange(8))]))


def kind_of(file, page):
    file.seek(page * 8192 + 24 + 6)
    return struct.unpack("H", file.read(2))[0]


def answers(db, index, queries=QUERIES):
    return [db.sql("SELECT * FROM deeplake_bm25_entries(%s, %s)", (index, query))
            for query in queries]


def test_every_damage_is_seen_or_does_not_matter(own_server, own_db):
    own_db.sql("CREATE TABLE d (id int, t text)")
    insert = """INSERT INTO d SELECT n, CASE WHEN n % 50 > 0 THEN 'alpha w' || n % 101 || ' v' ||
        n % 7 || ' ' || repeat('u' || n || ' ', n % 20) END FROM generate_series(1, 1500) n"""
    own_db.sql(insert)
    for n in range(N_INDEXES):
        own_db.sql(f"CREATE INDEX i{n} ON d USING deeplake_index (t) WITH (index_type = 'bm25')")
    own_db.sql(insert.replace("1500", "200"))
    right = answers(own_db, "i0")
    paths = own_db.column("""SELECT pg_relation_filepath(indexrelid) FROM pg_index
        WHERE indrelid = 'd'::regclass ORDER BY indexrelid""")
    own_db.close()
    own_server.stop()
    generator = random.Random(5)
    for path in paths[1:]:
        damage(os.path.join(own_server.data, path), generator)
    own_server.start()

    assert own_db.value("SELECT deeplake_index_check('i0')") == 1700
    n_seen = 0
    for n in range(1, N_INDEXES):
        try:
            found = answers(own_db, f"i{n}")
        except psycopg2.Error as error:
            assert error.pgcode in ("XX001", "XX002"), error
            found = None
        try:
            own_db.sql(f"SELECT deeplake_index_check('i{n}')")
            assert found == right, f"the damage of i{n} was not seen"
        except psycopg2.Error as error:
            assert error.pgcode in ("XX001", "XX002"), error
            n_seen += 1
    assert n_seen > N_INDEXES * 0.8
    own_db.sql("REINDEX TABLE d")
    for n in range(N_INDEXES):
        assert own_db.value(f"SELECT deeplake_index_check('i{n}')") == 1700


def test_postings_beyond_the_last_document_are_seen(own_server, own_db):
    """Numbers that add up to a valid one again after 2^32."""
    own_db.sql("CREATE TABLE d (id int, t text)")
    own_db.sql("INSERT INTO d SELECT n, 'w' || n / 2 FROM generate_series(1, 200) n")
    own_db.sql("CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25')")
    path = os.path.join(own_server.data, own_db.value("SELECT pg_relation_filepath('i')"))
    own_db.close()
    own_server.stop()
    with open(path, "r+b") as file:
        page, = [page for page in range(os.path.getsize(path) // 8192)
                 if kind_of(file, page) == POSTINGS]
        file.seek(page * 8192 + HEAD)
        first, n_more, doc_bits, tf_bits = struct.unpack("IBBB", file.read(7))
        assert (first, n_more, doc_bits, tf_bits) == (1, 1, 0, 0)
        file.seek(page * 8192 + HEAD)
        file.write(struct.pack("I", 2**32 - 1))
    own_server.start()
    for statement in ("SELECT deeplake_index_check('i')",
                      "SELECT * FROM deeplake_bm25_entries('i', 'w1')"):
        assert own_db.error(statement).pgcode == "XX002"
    own_db.sql("INSERT INTO d VALUES (201, 'w1')")
    assert own_db.error("SELECT deeplake_index_merge('i')").pgcode == "XX002"


def test_a_lost_metapage_is_an_error(own_server, own_db):
    own_db.sql("CREATE TABLE d (t text)")
    own_db.sql("INSERT INTO d SELECT 'alpha w' || n FROM generate_series(1, 1000) n")
    own_db.sql("CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25')")
    path = own_db.value("SELECT pg_relation_filepath('i')")
    own_db.close()
    own_server.stop()
    with open(os.path.join(own_server.data, path), "r+b") as file:
        file.write(b"\0" * 8192)
    own_server.start()
    for statement in ("SELECT * FROM deeplake_bm25_entries('i', 'alpha')",
                      "INSERT INTO d VALUES ('beta')", "SELECT deeplake_index_check('i')"):
        error = own_db.error(statement)
        assert error.pgcode == "XX002" and "REINDEX" in error.diag.message_hint
    own_db.sql("REINDEX INDEX i")
    own_db.sql("INSERT INTO d VALUES ('beta')")
    assert own_db.value("SELECT deeplake_index_check('i')") == 1001
