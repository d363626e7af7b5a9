# SPDX-License-Identifier: Apache-2.0
"""Whether "Deeplake TopK" gives what a scan and a sort give."""

import itertools

from support.database import nodes

SLOW = "SET enable_indexscan = off"  # takes the path away
FAST = "RESET enable_indexscan"


def topk_nodes(plan):
    return [node for node in nodes(plan)
            if node.get("Custom Plan Provider") == "Deeplake TopK"]


def same_ranking(found, expected, cut_before=False):
    """Rows end with the score; equal scores may come in any order, and LIMIT may cut them, as
    OFFSET may those before (cut_before)."""
    assert [row[-1] for row in found] == [row[-1] for row in expected]
    groups = [list(rows) for _, rows in itertools.groupby(expected, lambda row: row[-1])]
    at = 0
    for rows in groups:
        here = found[at:at + len(rows)]
        at += len(rows)
        if at < len(expected) and not (cut_before and at == len(rows)):
            assert sorted(here, key=repr) == sorted(rows, key=repr)
    assert len(set(map(repr, found))) == len(set(map(repr, expected)))


def ranked(db, statement, parameters=None, connection=None, n_nodes=1):
    """By the index; asserts that the plan says so and that a scan and a sort agree."""
    plan = db.explain_json(statement, parameters, connection)
    assert len(topk_nodes(plan)) == n_nodes, plan
    found = db.sql(statement, parameters, connection)
    db.sql(SLOW, connection=connection)
    db.sql("DISCARD PLANS", connection=connection)
    assert topk_nodes(db.explain_json(statement, parameters, connection)) == []
    expected = db.sql(statement, parameters, connection)
    db.sql(FAST, connection=connection)
    db.sql("DISCARD PLANS", connection=connection)
    same_ranking(found, expected, "OFFSET" in statement)
    return found
