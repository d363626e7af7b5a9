# SPDX-License-Identifier: Apache-2.0
"""Index type bm25: its words, its scores, and what SQL does to an index."""

import random
import time

import pytest

from support.bm25 import Model, words

# 26 documents of 121 words: as many as the golden values were measured on, with as many words
# in those that match. "machine" is in one of them, "learning" in three.
FILLER = """amber birch cedar delta ember fjord grove heron inlet jetty knoll ledge maple niche
    orbit perch quartz ridge spruce tundra umber vale willow yonder zenith""".split()
GOLDEN = {0: "Machine Learning amber birch", 1: "cedar learning delta ember fjord",
          2: "grove heron inlet LEARNING jetty knoll"}
GOLDEN_SCORES = {0: 5.057182, 1: 1.8425648, 2: 1.6849195}


def golden_documents():
    documents = dict(GOLDEN)
    n_left = 121 - sum(len(words(text)) for text in documents.values())
    for key in range(3, 26):
        n_words = n_left // (26 - key)
        n_left -= n_words
        documents[key] = ", ".join(FILLER[(key + i) % len(FILLER)] for i in range(n_words))
    assert sum(len(words(text)) for text in documents.values()) == 121
    return documents


def create(db, documents, options="", kind=""):
    db.sql(f"CREATE {kind} TABLE d (id int, t text)")
    fill(db, documents)
    db.sql(f"CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25'{options})")


def fill(db, documents):
    with db.connection.cursor() as cursor:
        for start in range(0, len(documents), 1000):
            part = list(documents.items())[start:start + 1000]
            cursor.execute("INSERT INTO d VALUES " + ",".join(
                cursor.mogrify("(%s, %s)", row).decode() for row in part))


def search(db, query, n_wanted=0, connection=None):
    """[(id, score)] of the rows that are there, best first, as the index has them."""
    return db.sql("""SELECT d.id, e.score FROM deeplake_bm25_entries('i', %s, %s)
        WITH ORDINALITY AS e (tid, score, n) JOIN d ON d.ctid = e.tid
        WHERE e.score IS NOT NULL ORDER BY e.n""", (query, n_wanted), connection)


def nulls(db):
    return sorted(db.column("""SELECT d.id FROM deeplake_bm25_entries('i', 'x') e
        JOIN d ON d.ctid = e.tid WHERE e.score IS NULL"""))


def check(db, n_entries=None):
    found = db.value("SELECT deeplake_index_check('i')")
    assert n_entries is None or found == n_entries


def agree(found, wanted):
    """found: [(id, score)], best first; wanted: {id: score}."""
    assert {key: score for key, score in found} == pytest.approx(wanted, rel=3e-7, abs=1e-12)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)


def statistics(db):
    names = ("n_documents", "n_tokens", "n_segments", "n_pending", "n_dead", "n_nulls")
    return dict(zip(names, db.sql("SELECT * FROM deeplake_bm25_statistics('i')")[0]))


# --- words ---

@pytest.mark.parametrize("text, wanted", [
    ("Hello, World-wide/web", ["hello", "world", "wide", "web"]),
    ("x_y 12.5 don't", ["x", "y", "12", "5", "don", "t"]),
    ("ÄÖÜ straße ΣΊΣΥΦΟΣ Москва", ["äöü", "straße", "σίσυφοσ", "москва"]),
    ("日本語、テスト हिन्दी ٣٤", ["日本語", "テスト", "हिन्दी", "٣٤"]),
    ("İstanbul ǅ Ⅷ ½ ② a\u0301b", ["istanbul", "ǆ", "a\u0301b"]),
    ("", []), (" \t\n—…😀", []), ("a" * 300 + " b", ["a" * 255, "b"]),
    ("ä" * 200 + "x b", ["ä" * 127, "b"]),
])
def test_unicode_words(db, text, wanted):
    assert db.column("SELECT deeplake_bm25_tokens('unicode', %s)", (text,)) == wanted


def test_unicode_words_are_those_of_the_character_database(db):
    generator = random.Random(1)
    # Scripts that no newer Unicode has changed.
    blocks = [(0x20, 0x24f), (0x370, 0x52f), (0x5d0, 0x5ea), (0x904, 0x939), (0x3041, 0x30ff),
              (0x4e00, 0x9fa5), (0xac00, 0xd7a3), (0x10400, 0x1044f), (0x1d400, 0x1d4ff)]
    for _ in range(200):
        first, last = generator.choice(blocks)
        text = "".join(chr(generator.randint(first, last)) for _ in range(40))
        assert db.column("SELECT deeplake_bm25_tokens('unicode', %s)", (text,)) == words(text)


def test_a_text_search_configuration(db):
    sentence = "The quick foxes are running"
    assert db.column("SELECT deeplake_bm25_tokens('english', %s)", (sentence,)) == [
        "quick", "fox", "run"]
    assert db.column("SELECT deeplake_bm25_tokens('pg_catalog.simple', %s)", (sentence,)) == (
        sentence.lower().split())
    db.sql("CREATE TEXT SEARCH CONFIGURATION mine (COPY = pg_catalog.german)")
    assert db.column("SELECT deeplake_bm25_tokens('public.mine', 'Die Häuser')") == ["haus"]


def test_a_configuration_is_not_looked_for_in_the_search_path(db):
    db.sql("CREATE TEXT SEARCH CONFIGURATION mine (COPY = pg_catalog.german)")
    error = db.error("SELECT deeplake_bm25_tokens('mine', 'Häuser')")
    assert error.pgcode == "42704"
    assert "schema" in error.diag.message_hint


@pytest.mark.parametrize("encoding, name", [("LATIN1", "latin"), ("SQL_ASCII", "bytes")])
def test_another_encoding(server, encoding, name):
    connection = server.connect("postgres")
    cursor = connection.cursor()
    cursor.execute(f"""CREATE DATABASE bm25_{name} ENCODING {encoding} LC_COLLATE 'C'
        LC_CTYPE 'C' TEMPLATE template0""")
    inner = server.connect(f"bm25_{name}")
    cursor = inner.cursor()
    cursor.execute("CREATE EXTENSION pg_deeplake")
    inner.set_client_encoding("UTF8")
    cursor.execute("CREATE TABLE d (t text)")
    cursor.execute("INSERT INTO d VALUES ('Große Häuser'), ('kleine HÄUSER'), ('nichts')")
    cursor.execute("CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25')")
    cursor.execute("SELECT count(*) FROM deeplake_bm25_entries('i', 'häuser')")
    # Of bytes it is not known which letters they are, so that only A to Z are lower-cased.
    assert cursor.fetchone()[0] == (2 if encoding == "LATIN1" else 1)
    cursor.execute("SELECT deeplake_index_check('i')")
    assert cursor.fetchone()[0] == 3
    cursor.execute("SELECT array_agg(w) FROM deeplake_bm25_tokens('unicode', 'große häuser') w")
    assert cursor.fetchone()[0] == ["große", "häuser"]
    inner.close()
    connection.cursor().execute(f"DROP DATABASE bm25_{name} WITH (FORCE)")
    connection.close()


def test_a_byte_that_is_no_character_ends_a_word(server):
    """WIN1252 leaves five bytes without a character, which a table may hold all the same."""
    connection = server.connect("postgres")
    connection.cursor().execute("""CREATE DATABASE bm25_undefined ENCODING WIN1252 LC_COLLATE 'C'
        LC_CTYPE 'C' TEMPLATE template0""")
    inner = server.connect("bm25_undefined")
    cursor = inner.cursor()
    cursor.execute("CREATE EXTENSION pg_deeplake; CREATE TABLE d (t text)")
    cursor.execute("INSERT INTO d VALUES ('Häuser' || chr(129) || 'am' || chr(129) || chr(141))")
    cursor.execute("CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25')")
    cursor.execute("INSERT INTO d SELECT t || ' See' FROM d")
    cursor.execute("SELECT deeplake_index_check('i')")
    assert cursor.fetchone()[0] == 2
    cursor.execute("SELECT n_tokens FROM deeplake_bm25_statistics('i')")
    assert cursor.fetchone()[0] == 5
    cursor.execute("SELECT count(*) FROM d WHERE t <#> 'häuser am' > 0")
    assert cursor.fetchone()[0] == 2
    inner.close()
    connection.cursor().execute("DROP DATABASE bm25_undefined WITH (FORCE)")
    connection.close()


def test_one_very_long_word_can_be_cancelled(db):
    db.sql("CREATE TABLE d (t text)")
    db.sql("ALTER TABLE d ALTER t SET STORAGE EXTERNAL")
    db.sql("INSERT INTO d VALUES (repeat('ä', 40000000))")
    start = time.monotonic()
    assert db.value("SELECT count(*) FROM d, deeplake_bm25_tokens('unicode', t)") == 1
    whole = time.monotonic() - start
    db.sql("SET statement_timeout = %s", (int(whole * 1000 / 3),))
    start = time.monotonic()
    error = db.error("SELECT count(*) FROM d, deeplake_bm25_tokens('unicode', t)")
    assert error.pgcode == "57014"
    assert time.monotonic() - start < whole * 0.8


# --- scores ---

def test_golden_values_with_other_words(db):
    """Upstream splits at one of - and /, here both do: one word more in 121."""
    documents = golden_documents()
    documents[25] = "jetty-knoll/ledge " + documents[25].split(" ", 2)[2]
    assert sum(len(words(text)) for text in documents.values()) == 122
    create(db, documents)
    assert dict(search(db, "machine learning")) == pytest.approx(GOLDEN_SCORES, rel=0.01)


def test_golden_values(db):
    create(db, golden_documents())
    found = dict(search(db, "machine learning"))
    assert found == pytest.approx(GOLDEN_SCORES, rel=1.2e-7)


def test_golden_values_one_by_one(db):
    create(db, {})
    fill(db, golden_documents())
    assert statistics(db)["n_pending"] == 26
    assert dict(search(db, "machine learning")) == pytest.approx(GOLDEN_SCORES, rel=1.2e-7)


def test_a_scorer_gives_what_a_scan_gives(db):
    create(db, golden_documents())
    for key, score in search(db, "machine learning amber"):
        assert score == db.value(
            "SELECT deeplake_bm25_score('i', 'machine learning amber', t) FROM d WHERE id = %s",
            (key,))
    assert db.value("SELECT deeplake_bm25_score('i', 'machine', 'nothing of it')") == 0


def test_options_change_scores_at_once(db):
    create(db, golden_documents(), ", k1 = 1.2, b = 0.3")
    agree(search(db, "learning amber"),
          Model(golden_documents(), 1.2, 0.3).scores("learning amber"))
    db.sql("ALTER INDEX i SET (k1 = 0.5, b = 1)")
    agree(search(db, "learning amber"),
          Model(golden_documents(), 0.5, 1).scores("learning amber"))


def test_a_tokenizer_stays_until_reindex(db):
    create(db, {1: "running foxes", 2: "a fox runs"}, ", tokenizer = 'english'")
    assert {key for key, _ in search(db, "run")} == {1, 2}
    db.sql("ALTER INDEX i SET (tokenizer = 'unicode')")
    db.sql("INSERT INTO d VALUES (3, 'he was running')")
    assert {key for key, _ in search(db, "run")} == {1, 2, 3}
    check(db, 3)
    db.sql("REINDEX INDEX i")
    assert {key for key, _ in search(db, "run")} == set()
    assert {key for key, _ in search(db, "running")} == {1, 3}


def test_an_unknown_tokenizer_is_an_error(db):
    db.sql("CREATE TABLE d (t text)")
    error = db.error("""CREATE INDEX ON d USING deeplake_index (t)
        WITH (index_type = 'bm25', tokenizer = 'klingon')""")
    assert error.pgcode in ("42704", "22023")
    assert "klingon" in error.diag.message_primary


def test_a_word_that_is_everywhere_still_counts_a_little(db):
    create(db, {key: "common " + "filler " * key for key in range(8)})
    found = search(db, "common")
    assert len(found) == 8 and all(score > 0 for _, score in found)


def test_a_word_twice_in_the_query_counts_twice(db):
    create(db, golden_documents())
    once, twice = dict(search(db, "machine")), dict(search(db, "machine, machine"))
    assert twice[0] == pytest.approx(2 * once[0])
    agree(search(db, "amber birch amber"), Model(golden_documents()).scores("amber birch amber"))


def test_empty_queries_and_empty_documents(db):
    create(db, {1: "", 2: "  --- ", 3: "word", 4: None})
    assert search(db, "") == [] and search(db, " …") == [] and search(db, "absent") == []
    assert [key for key, _ in search(db, "word")] == [3]
    assert nulls(db) == [4]
    assert statistics(db) == {"n_documents": 3, "n_tokens": 1, "n_segments": 1, "n_pending": 0,
                              "n_dead": 0, "n_nulls": 1}
    check(db, 4)


def test_an_empty_index(db):
    create(db, {})
    assert search(db, "word") == [] and nulls(db) == []
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    db.sql("SELECT deeplake_index_merge('i')")
    check(db, 0)
    assert statistics(db)["n_segments"] == 0


def test_equal_scores_are_in_order_of_tids(db):
    create(db, {key: "same words here" for key in range(3000)})
    fill(db, {key: "same words here" for key in range(3000, 3500)})
    for n_wanted in (1, 7, 600, 0):
        tids = db.column("SELECT tid FROM deeplake_bm25_entries('i', 'words', %s)", (n_wanted,))
        places = [tuple(map(int, tid[1:-1].split(","))) for tid in tids]
        assert len(places) == 3500 and places == sorted(places)


def test_rows_of_null(db):
    create(db, {key: None if key % 3 else "word" for key in range(1000)})
    fill(db, {key: None for key in range(1000, 1010)})
    wanted = [key for key in range(1000) if key % 3] + list(range(1000, 1010))
    assert nulls(db) == wanted
    db.sql("DELETE FROM d WHERE id < 100 OR id = 1005")
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    check(db)
    assert nulls(db) == [key for key in wanted if key >= 100 and key != 1005]
    db.sql("SELECT deeplake_index_merge('i')")
    assert nulls(db) == [key for key in wanted if key >= 100 and key != 1005]
    assert statistics(db)["n_nulls"] == len(wanted) - 67


# --- long ones ---

def long_documents():
    """One of which takes many pages, in the chain of pending documents too."""
    generator = random.Random(2)
    return {1: " ".join(f"w{generator.randrange(10**9)}" for _ in range(20000)) + " needle",
            2: "needle " * 100000, 3: "short needle",
            4: " ".join("x" * 254 + chr(97 + n) for n in range(26)) * 20}


@pytest.mark.parametrize("is_built", [True, False])
def test_long_documents(db, is_built):
    documents = long_documents()
    create(db, documents if is_built else {})
    if not is_built:
        fill(db, documents)
    for _ in range(2):
        check(db, 4)
        agree(search(db, "needle"), Model(documents).scores("needle"))
        assert [key for key, _ in search(db, "x" * 254 + "c")] == [4]
        db.sql("SELECT deeplake_index_merge('i')")


def test_a_long_query(db):
    documents = {key: f"word{key} word{key + 1} common" for key in range(2000)}
    create(db, documents)
    query = " ".join(f"word{key}" for key in range(0, 3000, 2))
    agree(search(db, query), Model(documents).scores(query))


def test_a_long_query_needs_memory_for_what_matches_only(db):
    """A document as the query: every word of it is in some of the others, pending or not."""
    create(db, {})
    documents = {key: f"word{key} word{key * 7919 % 9000} common" for key in range(9000)}
    query = " ".join(f"word{key}" for key in reversed(range(9000)))
    for start in range(0, 9000, 3000):
        fill(db, {key: documents[key] for key in range(start, start + 3000)})
    assert statistics(db)["n_pending"] > 3000
    wanted = Model(documents).scores(query)
    for _ in range(2):
        reader = db.connect()
        found = search(db, query, 9000, reader)
        agree(found, wanted)
        pid = db.value("SELECT pg_backend_pid()", connection=reader)
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            peak_kb, = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
        assert peak_kb < 120 * 1024
        db.sql("SELECT deeplake_index_merge('i')")
        assert statistics(db)["n_pending"] == 0


# --- what SQL does ---

DOCUMENTS = {key: f"alpha w{key % 17} v{key % 5} " + "beta " * (key % 4) for key in range(1500)}


def verify(db, documents, n_entries=None):
    check(db, n_entries)
    for query in ("alpha beta", "w3 v4 w3", "beta"):
        agree(search(db, query), Model(documents).scores(query))


@pytest.mark.parametrize("kind", ["", "UNLOGGED", "TEMPORARY"])
def test_kinds_of_tables(db, kind):
    create(db, DOCUMENTS, kind=kind)
    verify(db, DOCUMENTS, 1500)
    more = {key: f"alpha w3 beta {key}" for key in range(2000, 4000)}
    fill(db, more)
    verify(db, {**DOCUMENTS, **more}, 3500)
    db.sql("DELETE FROM d WHERE id < 700")
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    db.sql("SELECT deeplake_index_merge('i')")
    verify(db, {key: text for key, text in {**DOCUMENTS, **more}.items() if key >= 700}, 2800)


@pytest.mark.parametrize("statement", [
    "REINDEX INDEX i", "REINDEX INDEX CONCURRENTLY i", "VACUUM FULL d", "REINDEX TABLE d",
    "CLUSTER d USING by_id", "ALTER TABLE d ALTER id TYPE bigint",
])
def test_statements_that_write_an_index_anew(db, statement):
    create(db, DOCUMENTS)
    db.sql("CREATE INDEX by_id ON d (id)")
    fill(db, {key: "alpha v1" for key in range(2000, 2100)})
    db.sql("DELETE FROM d WHERE id % 10 = 0")
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    db.sql(statement)
    left = {**DOCUMENTS, **{key: "alpha v1" for key in range(2000, 2100)}}
    verify(db, {key: text for key, text in left.items() if key % 10}, 1440)
    assert statistics(db)["n_segments"] == 1


def test_truncate(db):
    create(db, DOCUMENTS)
    db.sql("TRUNCATE d")
    assert search(db, "alpha") == []
    fill(db, golden_documents())
    verify(db, golden_documents(), 26)


def test_a_rolled_back_truncate(db):
    create(db, DOCUMENTS)
    db.sql("BEGIN")
    db.sql("TRUNCATE d")
    fill(db, golden_documents())
    verify(db, golden_documents())
    db.sql("ROLLBACK")
    verify(db, DOCUMENTS)


def test_an_aborted_insert_is_not_seen_and_goes_with_vacuum(db):
    create(db, DOCUMENTS)
    db.sql("BEGIN")
    fill(db, {key: "alpha" for key in range(5000, 5100)})
    db.sql("ROLLBACK")
    assert {key for key, _ in search(db, "alpha")} == set(DOCUMENTS)
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    db.sql("SELECT deeplake_index_merge('i')")
    verify(db, DOCUMENTS, 1500)


def test_an_expression_and_a_predicate(db):
    db.sql("CREATE TABLE d (id int, a text, b text)")
    db.sql("""INSERT INTO d SELECT n, 'left' || n % 5, 'right' || n % 7
        FROM generate_series(1, 500) n""")
    db.sql("""CREATE INDEX i ON d USING deeplake_index ((a || ' ' || b))
        WITH (index_type = 'bm25') WHERE id % 2 = 0""")
    db.sql("INSERT INTO d VALUES (1000, 'left1', 'right1'), (1001, 'left1', 'right1')")
    found = {key for key, _ in search(db, "left1")}
    assert found == {n for n in [*range(1, 501)] if n % 5 == 1 and n % 2 == 0} | {1000}
    check(db, 251)


def test_hot_updates(db):
    create(db, DOCUMENTS)
    db.sql("ALTER TABLE d SET (fillfactor = 50)")
    db.sql("VACUUM FULL d")
    db.sql("UPDATE d SET id = id + 10000")
    check(db, 1500)
    db.sql("REINDEX INDEX i")
    check(db, 1500)


def test_merge_is_for_the_owner_of_a_bm25_index(db):
    create(db, DOCUMENTS)
    db.sql("CREATE TABLE e (n int PRIMARY KEY)")
    assert db.error("SELECT deeplake_index_merge('e_pkey')").pgcode == "42809"
    assert db.error("SELECT deeplake_index_merge('d')").pgcode == "42809"
    db.sql("CREATE ROLE somebody")
    for call in ("merge('i')", "merge('i'::regclass)"):
        db.sql("SET ROLE somebody")
        assert db.error(f"SELECT deeplake_index_{call}").pgcode == "42501"
        assert db.error("SELECT deeplake_bm25_entries('i', 'alpha')").pgcode == "42501"
        db.sql("RESET ROLE")
    db.sql("DROP ROLE somebody")


@pytest.mark.parametrize("call", [
    "index_check({})", "index_merge({})", "bm25_statistics({})", "bm25_entries({}, 'a', 1, 1)",
    "bm25_score({}, 'a', 'b')"])
def test_functions_refuse_what_is_no_index_of_ours(db, call):
    db.sql("CREATE TABLE p (id int PRIMARY KEY, t text) PARTITION BY RANGE (id);"
           " CREATE TABLE part PARTITION OF p DEFAULT; CREATE INDEX i ON p USING deeplake_index (t);"
           " CREATE SEQUENCE s; CREATE VIEW v AS SELECT 1")
    toast = """(SELECT {}::regclass FROM pg_class c JOIN pg_index x ON x.indrelid = reltoastrelid
        WHERE c.oid = 'part'::regclass)"""
    for which in ["'i'", "'p'", "'part'", "'part_pkey'", "'s'", "'v'", "'pg_class_oid_index'",
                  toast.format("reltoastrelid"), toast.format("indexrelid")]:
        assert db.error("SELECT deeplake_" + call.format(which)).pgcode == "42809", which
    for which in ["0::regclass", "4000000000::regclass"]:
        assert db.error("SELECT deeplake_" + call.format(which)).pgcode in ("42809", "XX000")
    db.sql("SELECT deeplake_" + call.format("'part_t_idx'"))


# --- segments ---

def test_inserts_become_segments_which_stay_few(db):
    create(db, {})
    documents = {}
    for start in range(0, 24000, 1000):
        more = {key: f"alpha w{key} v{key % 100} " + " ".join(
            f"r{(key * 7919 + i * 104729) % 50021}" for i in range(40))
            for key in range(start, start + 1000)}
        fill(db, more)
        documents.update(more)
    now = statistics(db)
    assert now["n_documents"] == 24000
    assert 1 <= now["n_segments"] <= 16 and now["n_pending"] < 4000
    check(db, 24000)
    agree(search(db, "v77 w1077 r5"), Model(documents).scores("v77 w1077 r5"))
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    assert statistics(db)["n_pending"] == 0
    db.sql("SELECT deeplake_index_merge('i')")
    assert statistics(db)["n_segments"] == 1
    check(db, 24000)


def test_pages_are_used_again(db):
    create(db, {key: f"alpha beta{key} gamma{key % 50}" for key in range(5000)})
    sizes = []
    for _ in range(12):
        db.sql("UPDATE d SET t = t || ''")
        db.sql("VACUUM (INDEX_CLEANUP ON) d")
        db.sql("SELECT deeplake_index_merge('i')")
        sizes.append(db.value("SELECT pg_relation_size('i')"))
    assert max(sizes[6:]) <= max(sizes[:6]) * 1.1


def test_one_transaction_uses_pages_of_pending_documents_again(db):
    create(db, {})
    db.sql("BEGIN")
    for n in range(10):
        db.sql(f"""INSERT INTO d SELECT n, (SELECT string_agg('w' || (n * k) % 997, ' ')
            FROM generate_series(1, 60) k) FROM generate_series({n * 1000 + 1}, {n * 1000 + 1000}) n""")
    db.sql("COMMIT")
    grown = db.value("SELECT pg_relation_size('i')")
    db.sql("REINDEX INDEX i")
    # Beside the index: what was merged, level by level, and one chain.
    assert grown < 5 * db.value("SELECT pg_relation_size('i')")
    check(db)


def test_statistics_are_exact_after_a_merge(db):
    create(db, DOCUMENTS)
    db.sql("DELETE FROM d WHERE id % 20 = 0")
    assert statistics(db)["n_documents"] == 1500
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    now = statistics(db)
    assert now["n_documents"] == 1500 and now["n_dead"] == 75
    db.sql("SELECT deeplake_index_merge('i')")
    now = statistics(db)
    assert now["n_documents"] == 1425 and now["n_dead"] == 0


def test_vacuum_writes_anew_what_has_many_dead(db):
    create(db, DOCUMENTS)
    db.sql("DELETE FROM d WHERE id % 5 = 0")
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    assert statistics(db)["n_documents"] == 1200
    verify(db, {key: text for key, text in DOCUMENTS.items() if key % 5}, 1200)


def test_all_rows_deleted(db):
    create(db, DOCUMENTS)
    db.sql("DELETE FROM d")
    db.sql("VACUUM (INDEX_CLEANUP ON) d")
    assert statistics(db)["n_documents"] == 0 and search(db, "alpha") == []
    check(db, 0)
    fill(db, golden_documents())
    verify(db, golden_documents(), 26)


@pytest.mark.parametrize("memory", ["1MB", "64MB"])
def test_a_build_that_does_not_fit_in_memory_is_the_same(db, memory):
    generator = random.Random(3)
    documents = {key: " ".join(f"w{int(generator.paretovariate(0.5))}" for _ in range(30))
                 for key in range(6000)}
    db.sql(f"SET maintenance_work_mem = '{memory}'")
    create(db, documents)
    check(db, 6000)
    model = Model(documents)
    for query in ("w1", "w2 w3 w50", "w1 w1000 w7"):
        agree(search(db, query), model.scores(query))
