# SPDX-License-Identifier: Apache-2.0
"""bm25 against the formula on every document, while rows come, change and go."""

import random
import threading

import pytest

from support.bm25 import Model

QUERIES = ["w1", "w2 w3", "w5 w40 w900", "w1 w2 w3 w4 w5 w6 w7 w8", "w700 w1", "w4321 w77 w77",
           "w1200", "w30 w31 w32", "absent w9", "w2500 w2600 w2700 w2800 w1 w2"]


class Rows:
    """A table, and every version of a row that the index has."""

    def __init__(self, db):
        self.db, self.generator = db, random.Random(11)
        self.model, self.current, self.n_versions = Model(), {}, 0
        db.sql("CREATE TABLE d (id int, version int, t text)")

    def text(self):
        draw = self.generator.paretovariate
        return " ".join(f"w{int(draw(0.4)) % 5000}" for _ in range(self.generator.randint(3, 40)))

    def insert(self, ids):
        lines = []
        for key in ids:
            self.n_versions += 1
            text = None if self.n_versions % 97 == 0 else self.text()
            self.model.add((key, self.n_versions), text)
            self.current[key] = self.n_versions
            lines.append(f"{key}\t{self.n_versions}\t" + (r"\N" if text is None else text) + "\n")
        self.db.copy_in("COPY d FROM STDIN", "".join(lines))

    def update(self, ids):
        # One statement, so that new versions are written where old ones are.
        changes = []
        for key in ids:
            self.n_versions += 1
            text = self.text()
            self.model.add((key, self.n_versions), text)
            self.current[key] = self.n_versions
            changes.append((key, self.n_versions, text))
        with self.db.connection.cursor() as cursor:
            values = ",".join(cursor.mogrify("(%s, %s, %s)", change).decode()
                              for change in changes)
            cursor.execute(f"""UPDATE d SET version = v.version, t = v.t
                FROM (VALUES {values}) v (id, version, t) WHERE d.id = v.id""")

    def delete(self, ids):
        self.db.sql("DELETE FROM d WHERE id = ANY (%s)", (list(ids),))
        for key in ids:
            del self.current[key]

    def vacuum(self):
        # Where few pages have dead rows, VACUUM leaves them to the next one otherwise.
        self.db.sql("VACUUM (INDEX_CLEANUP ON) d")

    def forget_dead(self):
        for key, version in list(self.model.counts):
            if self.current.get(key) != version:
                self.model.remove((key, version))

    def search(self, query, n_wanted=0):
        return self.db.sql("""SELECT d.id, d.version, e.score, d.ctid::text
            FROM deeplake_bm25_entries('i', %s, %s) WITH ORDINALITY AS e (tid, score, n)
            JOIN d ON d.ctid = e.tid WHERE e.score IS NOT NULL ORDER BY e.n""",
            (query, n_wanted))

    def verify_scorer(self, query, found):
        """To the last bit."""
        for key, _, score, _ in found[:5] + found[-5:]:
            assert score == self.db.value(
                "SELECT deeplake_bm25_score('i', %s, t) FROM d WHERE id = %s", (query, key))

    def verify(self, is_exact=True):
        self.db.sql("SELECT deeplake_index_check('i')")
        for query in QUERIES:
            found = self.search(query)
            wanted = {each: score for each, score in self.model.scores(query).items()
                      if self.current.get(each[0]) == each[1]}
            assert {(key, version) for key, version, _, _ in found} == set(wanted)
            self.verify_scorer(query, found)
            order = [(-score, *map(int, tid[1:-1].split(","))) for _, _, score, tid in found]
            assert order == sorted(order)
            if is_exact:
                assert {(key, version): score for key, version, score, _ in found} == (
                    pytest.approx(wanted, rel=3e-7, abs=1e-12))
            for n_wanted in (1, 150):
                assert self.search(query, n_wanted) == found
        nulls = self.db.value("""SELECT count(*) FROM deeplake_bm25_entries('i', 'x') e
            JOIN d ON d.ctid = e.tid WHERE e.score IS NULL""")
        assert nulls == self.db.value("SELECT count(*) FROM d WHERE t IS NULL")


@pytest.fixture
def rows(db):
    made = Rows(db)
    made.insert(range(10000))
    db.sql("CREATE INDEX i ON d USING deeplake_index (t) WITH (index_type = 'bm25')")
    return made


def test_a_life_of_an_index(rows):
    rows.verify()

    rows.insert(range(20000, 23000))
    rows.verify()

    rows.delete(range(0, 9000, 11))
    rows.update(range(20500, 21500))
    rows.update(range(1, 9000, 22))
    rows.verify()

    rows.vacuum()
    rows.verify(is_exact=False)

    rows.insert(range(30000, 31000))
    rows.db.sql("SELECT deeplake_index_merge('i')")
    rows.forget_dead()
    rows.verify()

    rows.insert(range(40000, 40200))
    rows.delete(range(40000, 40100))
    rows.vacuum()
    rows.db.sql("SELECT deeplake_index_merge('i')")
    rows.forget_dead()
    rows.verify()

    rows.db.sql("REINDEX INDEX i")
    rows.verify()


def test_many_small_segments(rows):
    for start in range(50000, 52000, 100):
        rows.insert(range(start, start + 100))
        rows.vacuum()
    rows.delete(range(50000, 51000, 40))
    rows.vacuum()
    rows.verify(is_exact=False)
    assert rows.db.value("SELECT n_segments FROM deeplake_bm25_statistics('i')") > 2
    rows.db.sql("SELECT deeplake_index_merge('i')")
    rows.forget_dead()
    rows.verify()


def test_create_index_concurrently_while_rows_come(rows):
    rows.db.sql("DROP INDEX i")
    other = rows.db.connect()
    other.autocommit = False
    cursor = other.cursor()
    cursor.execute("INSERT INTO d VALUES (90000, 0, 'w1 w2 early')")
    third = rows.db.connect()

    done = threading.Thread(target=lambda: rows.db.sql(
        "CREATE INDEX CONCURRENTLY i ON d USING deeplake_index (t) WITH (index_type = 'bm25')",
        connection=third))
    done.start()
    for key in range(300):
        cursor.execute("INSERT INTO d VALUES (%s, 0, 'w1 w2 late')", (91000 + key,))
    other.commit()
    for key in range(300):
        rows.db.sql("INSERT INTO d VALUES (%s, 0, 'w1 w2 later')", (92000 + key,))
    done.join()
    assert rows.db.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass")
    rows.db.sql("SELECT deeplake_index_check('i')")
    found = rows.db.value("""SELECT count(*) FROM deeplake_bm25_entries('i', 'early late later') e
        JOIN d ON d.ctid = e.tid WHERE e.score IS NOT NULL""")
    assert found == 601
