# SPDX-License-Identifier: Apache-2.0
"""Assertions about ingested files that several test files make."""

import os

from support import files


def assert_ingested(mount, table, path, content, characters=None):
    """The rows of one file are exactly those of the formula, and the ledger agrees.
    characters: the text where content is not UTF-8."""
    entry = mount.ledger(table, path)
    assert entry, f"{path} is not in the ledger; it has {mount.ledger_paths(table)}"
    if files.is_text(path):
        text = content.decode() if characters is None else characters
        expected = files.expected_rows(text)
        assert mount.chunks(table, path) == expected
        assert entry["kind"] == "text"
    else:
        expected = [(content, path)]
        assert mount.data(table, path) == expected
        assert entry["kind"] == "other"
    assert entry["n_rows"] == len(expected)
    assert entry["size_bytes"] == len(content)
    assert entry["content_hash"] == files.sha256(content)
    assert os.stat(mount.zone(table, path)).st_size == len(content)


def assert_reads_back(mount, table, path, content):
    assert files.read(mount.zone(table, path)) == content


def assert_not_ingested(mount, table, path):
    """No entry, and no row of anyone who has no entry."""
    assert mount.ledger(table, path) is None
    if mount.table_exists(table):
        assert mount.n_orphans(table) == 0
