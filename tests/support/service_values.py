# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL's values, in their text form, as the JSON of the stand-in for the service.

Numbers are passed on digit by digit: no value goes through a float.
"""

import base64
import re
from json.encoder import encode_basestring

BOOL, BYTEA, JSON, JSONB = 16, 17, 114, 3802
NUMBERS = frozenset((20, 21, 23, 26, 700, 701, 1700))  # int8/2/4, oid, float4/8, numeric
TIMESTAMPS = frozenset((1114, 1184))
FIRST_KNOWN_TYPE = 16384  # FirstNormalObjectId: types above were made by somebody

_NOT_NUMBERS = frozenset((b"NaN", b"Infinity", b"-Infinity"))
_NUMERIC_ARRAY = re.compile(rb"[-+0-9.eE,{}]+\Z")
_BRACES = bytes.maketrans(b"{}", b"[]")
_ESCAPED = re.compile(rb"[<>&]|\xe2\x80[\xa8\xa9]")
_ZONE = re.compile(rb"([+-]\d\d)(?= BC\Z|\Z)")


def string(value):
    """As Go's encoder writes it, in which the service is written: it escapes what HTML would
    mind, so a client that compares bytes instead of decoding is found out."""
    made = encode_basestring(value.decode()).encode()
    if _ESCAPED.search(made):
        made = _ESCAPED.sub(
            lambda found: f"\\u{ord(found.group().decode()):04x}".encode(), made)
    return made


def number(value):
    return b'"%b"' % value if value in _NOT_NUMBERS else value


def boolean(value):
    return b"true" if value == b"t" else b"false"


def as_it_is(value):
    return value


def binary(value):
    if not value.startswith(b"\\x"):
        raise ValueError("bytea_output is not hex")
    return b'"%b"' % base64.b64encode(bytes.fromhex(value[2:].decode()))


def timestamp(value):
    """As to_json writes it: a T between, and minutes in every zone."""
    return b'"%b"' % value.replace(b" ", b"T", 1)


def timestamp_with_zone(value):
    value = value.replace(b" ", b"T", 1)
    date, t, time = value.partition(b"T")
    return b'"%b"' % (date + t + _ZONE.sub(rb"\1:00", time) if t else value)


_SCALARS = {BOOL: boolean, BYTEA: binary, JSON: as_it_is, JSONB: as_it_is,
            1114: timestamp, 1184: timestamp_with_zone,
            **{oid: number for oid in NUMBERS}}


def scalar(oid):
    """What encodes a value of this type that is no array."""
    return _SCALARS.get(oid, string)


def array(element_oid, delimiter=b","):
    """What encodes arrays of this element type."""
    encode = scalar(element_oid)
    is_numeric = element_oid in NUMBERS
    mark = re.escape(delimiter)
    token = re.compile(rb'([{}])|"((?:[^"\\]|\\.)*)"|((?:[^{}"\\' + mark + rb']|\\.)+)|' + mark,
                       re.DOTALL)

    def run(text):
        if text.startswith(b"["):  # lower bounds that are not 1: [0:2]={1,2,3}
            text = text[text.index(b"=") + 1:]
        if is_numeric and _NUMERIC_ARRAY.match(text):
            return text.translate(_BRACES)
        made = []
        for found in token.finditer(text):
            brace, quoted, bare = found.groups()
            if brace:
                made.append(brace.translate(_BRACES))
            elif quoted is not None:
                made.append(encode(re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)))
            elif bare is not None:
                made.append(b"null" if bare == b"NULL" else encode(bare))
            else:
                made.append(b",")
        return b"".join(made)

    return run


class Encoders:
    """What encodes the values of each type; array types are found by asking the server once.
    One per database; threads may share it."""

    # A domain as an element type counts as what it is made of, as it does in a column.
    QUESTION = (b"WITH RECURSIVE element AS ("
                b"SELECT e.oid, e.typtype, e.typbasetype, e.typdelim FROM pg_type a JOIN pg_type e"
                b" ON e.oid = a.typelem WHERE a.oid = $1::oid AND a.typlen = -1"
                b" AND a.typsubscript = 'array_subscript_handler'::regproc"
                b" AND a.typcategory = 'A' AND a.oid NOT IN (22, 30) UNION ALL"
                b" SELECT b.oid, b.typtype, b.typbasetype, b.typdelim FROM element d"
                b" JOIN pg_type b ON d.typtype = 'd' AND b.oid = d.typbasetype)"
                b" SELECT oid, typdelim FROM element WHERE typtype <> 'd'")

    def __init__(self):
        self._known = dict(_SCALARS)
        self._known[25] = self._known[1043] = string  # text, varchar

    def of(self, oid, session):
        encode = self._known.get(oid)
        if encode is None:
            found = session.run(self.QUESTION, (str(oid).encode(),)).rows()
            encode = array(int(found[0][0]), found[0][1]) if found else string
            self._known[oid] = encode
        return encode

    def answer(self, result, session, is_empty=False):
        """The body of an answer with rows."""
        columns = result.columns()
        encoders = [(index, self.of(oid, session)) for index, (_, oid) in enumerate(columns)]
        value = result.value
        rows = []
        for row in range(0 if is_empty else result.n_rows):
            cells = []
            for index, encode in encoders:
                found = value(row, index)
                cells.append(b"null" if found is None else encode(found))
            rows.append(b"[" + b",".join(cells) + b"]")
        return b'{"columns":[%b],"rows":[%b],"row_count":%d}' % (
            b",".join(string(name) for name, _ in columns), b",".join(rows), len(rows))
