# SPDX-License-Identifier: Apache-2.0
"""Files for psql's \\copy: the rows that a peer inserts. Making them is not timed: a user of \\copy
would need to, but how quickly depends on the tool, not on \\copy.
"""

import os
import struct

HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
TRAILER = struct.pack("!h", -1)


def binary_value(value):
    """One field of COPY BINARY: text, bytes, integer, double precision, or None for NULL."""
    if value is None:
        return struct.pack("!i", -1)
    if isinstance(value, str):
        value = value.encode()
    elif isinstance(value, int):
        value = struct.pack("!i", value)
    elif isinstance(value, float):
        value = struct.pack("!d", value)
    return struct.pack("!i", len(value)) + value


def write_binary(path, rows):
    """rows: iterable of lists of values."""
    with open(path, "wb") as file:
        file.write(HEADER)
        for row in rows:
            file.write(struct.pack("!h", len(row)) + b"".join(map(binary_value, row)))
        file.write(TRAILER)
    os.chmod(path, 0o644)
    return path


def text_value(value):
    """One field of COPY's default form; bytea in hexadecimal, as pg_dump writes it."""
    if value is None:
        return b"\\N"
    if isinstance(value, bytes):
        return b"\\\\x" + value.hex().encode()
    text = str(value)
    for what, how in (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        text = text.replace(what, how)
    return text.encode()


def write_text(path, rows):
    with open(path, "wb") as file:
        for row in rows:
            file.write(b"\t".join(map(text_value, row)) + b"\n")
    os.chmod(path, 0o644)
    return path
