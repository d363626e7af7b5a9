# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Queries, JSON forms: every value as PostgreSQL's own row_to_json writes it.

The server makes both sides, from the same statement with the same generated values. They must
mean the same: numbers to the last digit, strings to the last character. The exceptions are
those that SEMANTICS.md names.
"""

import base64
import decimal
import json
import random
import re

import pytest

from support import files

N_ROWS = 400

# What generated values are made of.
INTEGERS = {"smallint": 15, "integer": 31, "bigint": 63}
FLOATS = {
    "real": ["0", "-0", "1", "0.1", "1e-45", "1.1754944e-38", "3.4028235e38", "-3.4028235e38",
             "16777217", "1e10", "1e-5", "123456.7", "NaN", "Infinity", "-Infinity"],
    "double precision": ["0", "-0", "1", "0.1", "5e-324", "2.2250738585072014e-308",
                         "1.7976931348623157e308", "-1.7976931348623157e308", "1e15", "1e16",
                         "9007199254740993", "123456789.123456789", "1e-7", "NaN", "Infinity",
                         "-Infinity"],
}
NUMERICS = ["0", "0.000", "-0.5", "1e-1000", "1e1000", "-9.99e400", "NaN", "Infinity",
            "-Infinity", "1" * 400 + "." + "7" * 400, "0." + "0" * 900 + "1",
            "12345678901234567890.0123456789", "100", "1.10"]
STRINGS = ["", " ", "NULL", "null", "\\", "\\\\", '"', "''", "{", "}", "{}", "()", "(,)", ",",
           "a,b", "\t\n\r\b\f", "\x01\x1f\x7f", "é", "🦆", "\u2028\u2029", "\ufeff", "</script>",
           "\\u0041", "\\n", '"quoted"', "x" * 3000, "{1,2}", '[1, "2"]', "\\.", "\\x00"]
JSONS = ["null", "true", "0", "-1.50e+3", '""', '"\\u00e9\\n\\\\"', "[]", "{}", "[ 1 , [ ] ]",
         '{"a": {"b": [null, "x\\"y"]}}', '{\n"k"\n:\r\n[\t1\n]\n}', "12345678901234567890.12345",
         '{"": 1}', '"' + "z" * 2000 + '"']
MOMENTS = ["infinity", "-infinity", "0044-03-15 12:00:00 BC", "4713-01-01 00:00:00 BC",
           "0001-01-01 00:00:00", "1899-12-31 23:59:59.999999", "1970-01-01 00:00:00",
           "1936-06-01 12:34:56", "2024-02-29 12:34:56.5", "9999-12-31 23:59:59",
           "20000-01-01 00:00:00", "294276-12-31 00:00:00", "2024-07-01 00:00:00.000001"]
DATES = ["infinity", "-infinity", "0044-03-15 BC", "4713-01-01 BC", "0001-01-01", "1970-01-01",
         "2024-02-29", "9999-12-31", "5874897-12-31"]
TIMES = ["00:00:00", "12:34:56", "23:59:59.999999", "24:00:00", "01:02:03.5"]
INTERVALS = ["0", "1 year 2 mons 3 days 04:05:06.789", "-1 year", "-3 days", "-04:05:06",
             "1 mon -1 day 00:00:01", "178000000 years", "00:00:00.000001", "1000000:00:00"]
NETWORKS = ["127.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "192.168.1.5/24", "::ffff:1.2.3.4"]
SPANS = {"int4range": ["empty", "[1,5)", "(,)", "[1,)", "(,7)"],
         "int8range": ["empty", "[-9223372036854775808,9223372036854775806)"],
         "numrange": ["[1.10,2.200]", "(,-1e30]", "empty"],
         "daterange": ["[2024-01-01,infinity)", "empty"],
         "tsrange": ['["2024-01-01 00:00:00","2024-01-02 00:00:00.5")', "(,)"],
         "int4multirange": ["{}", "{[1,3),[7,9)}"]}
OTHERS = {"point": ["(1,2)", "(-1e300,NaN)"], "box": ["(1,2),(0,-1)"], "circle": ["<(1,2),3>"],
          "bit(5)": ["10110"], "varbit": ["1", "000"], "money": ["12.34", "-5"],
          "macaddr": ["08:00:2b:01:02:03"], "tsvector": ["'a':1 'b c':2"], "xml": ["<a>&lt;</a>"],
          "\"char\"": ["x"], "name": ["n"], "char(5)": ["ab"], "oid": ["4294967295"],
          "regtype": ["integer"], "int2vector": ["1 2 3", ""], "oidvector": ["4294967295 0"],
          "jsonpath": ["$.\"a\"[*]"], "timetz": ["12:34:56+05:30", "00:00:00-08"]}

# Types of our own, with the names of the specification where it has one.
MAKE = r'''
CREATE DOMAIN "image" AS bytea; CREATE DOMAIN "class_label" AS integer CHECK (value >= 0);
CREATE DOMAIN "bounding_box" AS real[]; CREATE DOMAIN "deeplake_point" AS real[];
CREATE DOMAIN "document" AS jsonb; CREATE DOMAIN "moment" AS timestamptz;
CREATE DOMAIN "twice" AS "class_label";
CREATE TYPE "mood, ""odd""" AS ENUM ('sad', 'so, so', 'q"uote', 'back\slash', '');
CREATE TYPE "pair" AS ("n, 1" bigint, "te""xt" text, "raw" bytea, "at" timestamptz);
CREATE TYPE "nest" AS ("pairs" "pair"[], "one" "pair", "j" json, "flags" bool[], "x" numeric,
    "label" "twice", "m" "mood, ""odd""", "none" text);
CREATE TYPE "none" AS ();
CREATE TYPE "span" AS RANGE (subtype = float8);
'''


def made_values(rng):
    """Expressions in SQL by type; literals as the server reads them."""
    def quoted(texts):
        return ["'" + text.replace("'", "''") + "'" for text in texts]

    def some_text():
        return "".join(rng.choice('ab,"\\{}() \n\té🦆NUL\'') for _ in range(rng.randrange(12)))

    found = {name: quoted(texts) for name, texts in
             {**FLOATS, **SPANS, **OTHERS, "json": JSONS, "jsonb": JSONS, "date": DATES,
              "time": TIMES, "interval": INTERVALS, "inet": NETWORKS, "timestamp": MOMENTS,
              "timestamptz": MOMENTS, "boolean": ["t", "f"],
              'mood, "odd"': ["sad", "so, so", 'q"uote', "back\\slash", ""],
              "span": ["[-1e300,NaN)", "empty"]}.items()}
    for name, bits in INTEGERS.items():
        found[name] = quoted([str(-2 ** bits), str(2 ** bits - 1), "0", "-1"] + [
            str(rng.randrange(-2 ** bits, 2 ** bits)) for _ in range(20)])
    for name, digits in (("real", 9), ("double precision", 17)):
        found[name] += quoted([f"{rng.uniform(-1, 1):.{digits}g}e{rng.randrange(-30, 30)}"
                               for _ in range(60)])
    found["numeric"] = quoted(NUMERICS + [
        f"{rng.randrange(-10 ** 40, 10 ** 40)}e{rng.randrange(-60, 60)}" for _ in range(40)])
    found["text"] = quoted(STRINGS + [some_text() for _ in range(80)])
    found["varchar"] = found["text"]
    found["bytea"] = quoted(["\\x" + rng.randbytes(n).hex() for n in range(40)])
    found["uuid"] = quoted([rng.randbytes(16).hex() for _ in range(10)])
    found["image"], found["class_label"] = found["bytea"], quoted(["0", "7", "2147483647"])
    found["twice"], found["document"] = found["class_label"], found["jsonb"]
    found["moment"] = found["timestamptz"]
    return found


def type_name(name):
    """As SQL takes it: ours are quoted."""
    own = ("image", "class_label", "twice", "document", "moment", "span")
    if name in own or "mood" in name:
        return '"' + name.replace('"', '""') + '"'
    return name


class Maker:
    """Statements that give a row of everything, N_ROWS times, always the same."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.values = made_values(self.rng)

    def scalar(self, name, null=0.1):
        if self.rng.random() < null:
            return f"NULL::{type_name(name)}"
        return f"{self.rng.choice(self.values[name])}::{type_name(name)}"

    def array(self, name):
        """NULL, empty, one or two dimensions, or lower bounds that are not 1."""
        shape, full = self.rng.randrange(6), type_name(name) + "[]"
        if shape == 0:
            return f"'{{}}'::{full}"
        row = [", ".join(self.scalar(name, 0.2) for _ in range(3)) for _ in range(2)]
        if shape == 1:
            return f"ARRAY[[{row[0]}], [{row[1]}]]::{full}"
        if shape == 2:
            return f"array_fill({self.scalar(name)}, ARRAY[2, 1, 2], ARRAY[0, -3, 5])"
        return f"ARRAY[{row[0]}]::{full}"

    def pair(self):
        return ("ROW(" + ", ".join(self.scalar(name, 0.3) for name in (
            "bigint", "text", "bytea", "timestamptz")) + ')::"pair"')

    def nest(self):
        pairs = ", ".join(self.pair() for _ in range(self.rng.randrange(3)))
        fields = [f'ARRAY[{pairs}]::"pair"[]', self.pair(), self.scalar("json"),
                  self.array("boolean"), self.scalar("numeric"), self.scalar("twice"),
                  self.scalar('mood, "odd"'), "NULL"]
        return f'ROW({", ".join(fields)})::"nest"'

    def row(self):
        columns = [f'{self.scalar(name)} AS "{number}, ""q"" \\ é"'
                   for number, name in enumerate(self.names())]
        columns += [f'{self.array(name)} AS "a{number}"' for number, name in
                    enumerate(self.names()) if name not in ("int2vector", "oidvector")]
        columns += [f"{self.nest()} AS nested",
                    f'ARRAY[{self.nest()}, NULL]::"nest"[] AS nests', 'ROW()::"none" AS none',
                    """'{1.5,NULL,NaN}'::"bounding_box" AS bounding""",
                    """'{{1,2},{-Infinity,1e-45}}'::"deeplake_point" AS points"""]
        return columns

    def names(self):
        return sorted(self.values)


def expect_bytes(value):
    return base64.b64encode(bytes.fromhex(value[2:])).decode()


IS_BYTES = re.compile(r"\\x([0-9a-f]{2})*\Z")


def as_ours(theirs, ours):
    """theirs with the documented exception, bytea, where the server has a bytea: what starts
    with \\x there and with something else here."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return {key: as_ours(value, ours.get(key)) for key, value in theirs.items()}
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return [as_ours(*both) for both in zip(theirs, ours)]
    if isinstance(theirs, str) and theirs != ours and IS_BYTES.match(theirs):
        return expect_bytes(theirs)
    return theirs


class Number(decimal.Decimal):
    """Equal only with the same digits: 1.10 is not 1.1, and -0 is not 0."""

    def __eq__(self, other):
        return isinstance(other, Number) and self.as_tuple() == other.as_tuple()

    __hash__ = decimal.Decimal.__hash__


def refuse(word):
    raise ValueError(f"{word} is not JSON")


def load(text):
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=refuse)


@pytest.fixture(scope="module")
def typed(shared_mount):
    """The mount, with our types in its workspace."""
    shared_mount.sql(MAKE)
    return shared_mount


def ask(mount, name, sql):
    files.write(mount.at(f"{name}.sql"), sql)
    return [load(line) for line in files.read(mount.at(f"{name}.jsonl")).split(b"\n") if line]


def server_says(mount, sql):
    mount.sql("SET intervalstyle = postgres")
    return [load(text) for text, in mount.sql(f"SELECT row_to_json(t)::text FROM ({sql}) t")]


def compare(mount, name, sql):
    ours, theirs = ask(mount, name, sql), server_says(mount, sql)
    assert len(ours) == len(theirs) > 0
    for number, (one, other) in enumerate(zip(ours, theirs)):
        assert list(one) == list(other)
        for key, value in one.items():
            assert value == as_ours(other[key], value), f"row {number}, column {key}"
    return ours


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
@pytest.mark.parametrize("seed", range(8))
def test_generated_rows_mean_what_row_to_json_says(typed, table, seed):
    """Queries, JSON forms: as PostgreSQL's own to_json writes them; bytea is base64."""
    maker = Maker(seed)
    n_columns = 0
    for number in range(N_ROWS // 8 // 2):
        row = maker.row()
        n_columns += len(row)
        compare(typed, f"{table}_{number % 2}", "SELECT " + ", ".join(row))
    assert n_columns > 2000


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
def test_every_value_of_the_list_once(typed, table):
    """Queries, JSON forms: the edges of every type, each of them."""
    for name, values in made_values(random.Random(99)).items():
        full = type_name(name)
        rows = ", ".join(f"({number}, {value}::{full})" for number, value in enumerate(values))
        compare(typed, table, f"SELECT i, v, CASE WHEN i < 0 THEN v END AS nothing FROM "
                              f"(VALUES {rows}) AS t(i, v) ORDER BY i")


def test_random_bits_as_floats(typed, table):
    """Queries, JSON forms: every float to the last digit, denormals, NaN and infinities too."""
    sql = ("SELECT n, (('x' || substr(md5(n::text), 1, 8))::bit(32)::int)::float8 * "
           "('1e' || (n % 300 - 250))::float8 AS scaled, "
           "(n * 5e-324)::float8 AS denormal, (n * 1.4e-45)::real AS small "
           "FROM generate_series(1, 20000) n")
    assert len(compare(typed, table, sql)) == 20000


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", "Europe/Amsterdam",
                                  "Pacific/Apia", "UTC"])
def test_timestamps_in_zones(typed, another_mount, zone):
    """Queries, JSON forms: timestamps in ISO 8601, with whatever offset the zone has then."""
    database = typed.sql("SELECT current_database()")[0][0]
    try:
        typed.sql(f'ALTER DATABASE "{database}" SET TimeZone = \'{zone}\'')
        one = another_mount()
        sql = "SELECT v AS zoned, ARRAY[v, NULL] AS many, v::timestamp AS plain FROM unnest(" \
              "ARRAY[" + ", ".join(f"'{text}'" for text in MOMENTS[:-2]) + \
              "]::timestamptz[]) v"
        assert one.sql("SHOW TimeZone") == [(zone,)]
        assert len(compare(one, "zones", sql)) == len(MOMENTS) - 2
    finally:
        typed.sql(f'ALTER DATABASE "{database}" RESET TimeZone')


@pytest.mark.not_by_service("it chooses how values look, and tells no types")
def test_a_bytea_is_base64_at_every_depth(typed, table):
    """Queries, JSON forms: bytea is base64, in arrays, composites and domains too."""
    row = ask(typed, table, """SELECT '\\x00ff'::bytea AS b, ARRAY['\\x01'::bytea, NULL] AS a,
        ROW(1, 't', '\\x02', NULL)::"pair" AS p, '\\x'::"image" AS i,
        '\\x4142'::text AS text""")[0]
    assert row == {"b": "AP8=", "a": ["AQ==", None], "i": "", "text": "\\x4142",
                   "p": {"n, 1": Number(1), "te\"xt": "t", "raw": "Ag==", "at": None}}


def test_a_cast_to_json_of_its_own_is_not_used(typed, table):
    """Queries, JSON forms: everything else as a string."""
    typed.sql(f"""CREATE TYPE "{table}" AS ENUM ('a');
        CREATE FUNCTION "{table}_json"("{table}") RETURNS json LANGUAGE sql IMMUTABLE AS
            $$ SELECT '{{"cast": 1}}'::json $$;
        CREATE CAST ("{table}" AS json) WITH FUNCTION "{table}_json"("{table}")""")
    sql = f"SELECT 'a'::\"{table}\" AS v"
    assert server_says(typed, sql) == [{"v": {"cast": Number(1)}}]
    assert ask(typed, table, sql) == [{"v": "a"}]
