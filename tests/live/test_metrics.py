# SPDX-License-Identifier: Apache-2.0
"""fs/SEMANTICS.md, Control: .deeplake/metrics, read as Prometheus reads it."""

import os
import re

import pytest

from support import files

LINE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|'
                  r'\\[\\"n])*",?)*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
PARTS = ("_bucket", "_sum", "_count")


def parse(text):
    """({family: type}, {(name, labels): value}) of text; what breaks the format fails."""
    types, helps, samples = {}, set(), {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            assert name not in helps and words
            helps.add(name)
            continue
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name in helps and name not in types
            assert kind in ("counter", "gauge", "histogram")
            types[name] = kind
            family = name
            continue
        found = LINE.fullmatch(line)
        assert found, line
        name, labels, value = found.groups()
        key = (name, frozenset(LABEL.findall(labels or "")))
        assert key not in samples, line
        parts = PARTS if types[family] == "histogram" else ("",)
        assert name in {family + part for part in parts}, f"{line!r} under {family}"
        samples[key] = float(value)
    return types, samples


def metrics(mount):
    return parse(files.read(mount.at(".deeplake", "metrics")).decode())


def value(samples, name, **labels):
    return samples.get(("deeplakefs_" + name, frozenset(labels.items())), 0)


def test_metrics_are_in_the_format_of_prometheus(mount):
    """Control."""
    types, samples = metrics(mount)
    assert all(name.startswith("deeplakefs_") for name in types)
    assert types["deeplakefs_request_seconds"] == "histogram"
    for name, kind in types.items():
        if kind == "counter":
            assert name.endswith("_total")
    assert value(samples, "connections_max") >= value(samples, "connections_open") > 0
    assert value(samples, "uptime_seconds") > 0
    assert [key for key in samples if key[0] == "deeplakefs_build_info"]


def test_histograms_are_cumulative_and_add_up(mount):
    """Control."""
    os.listdir(mount.path)
    _, samples = metrics(mount)
    buckets = {}
    for (name, labels), count in samples.items():
        if name == "deeplakefs_request_seconds_bucket":
            named = dict(labels)
            buckets.setdefault(named["operation"], []).append((float(named["le"]), count))
    assert {"lookup", "open", "read", "readdir", "write", "flush"} <= set(buckets)
    for operation, found in buckets.items():
        counts = [count for _, count in sorted(found)]
        assert counts == sorted(counts)
        assert sorted(found)[-1] == (
            float("inf"), value(samples, "request_seconds_count", operation=operation))
        total = value(samples, "request_seconds_sum", operation=operation)
        assert (total > 0) == (counts[-1] > 0) or total == 0
    assert value(samples, "request_seconds_count", operation="readdir") > 0
    assert value(samples, "request_seconds_sum", operation="readdir") > 0


def test_counters_never_fall(mount, table, zone):
    """Control: counters begin at 0 with the mount and never fall."""
    types, before = metrics(mount)
    files.write(os.path.join(zone, "a.bin"), b"x")
    _, after = metrics(mount)
    for key, count in before.items():
        family = next((name for name in types if key[0].startswith(name)), key[0])
        if types[family] != "gauge":
            assert after[key] >= count, key


def test_bytes_rows_and_files_are_counted(mount, table, zone):
    """Control: bytes read and written, files, bytes and rows of ingests by kind."""
    content = files.ascii_text(2500).encode()
    _, before = metrics(mount)
    path = files.write(os.path.join(zone, "a.txt"), content)
    assert files.read(path) == content
    _, after = metrics(mount)

    def grown(name, **labels):
        return value(after, name, **labels) - value(before, name, **labels)

    assert grown("written_bytes_total") == len(content)
    assert grown("read_bytes_total") >= len(content)
    assert grown("ingest_files_total", kind="text", outcome="done") == 1
    assert grown("ingest_bytes_total", kind="text", outcome="done") == len(content)
    assert grown("ingest_rows_total", kind="text") == mount.n_rows(table) == 3
    assert grown("request_seconds_count", operation="create") == 1
    assert grown("request_seconds_count", operation="write") >= 1
    assert value(after, "ingest_jobs") == 0


def test_a_refusal_is_counted_by_operation_and_errno(mount, table, zone):
    """Control: the errors that requests got, per operation; ingests by outcome."""
    _, before = metrics(mount)
    with pytest.raises(OSError):
        files.write(os.path.join(zone, "a.txt"), b"no\0text")
    with pytest.raises(OSError):
        os.rmdir(os.path.join(mount.path, "ingest"))
    _, after = metrics(mount)
    for name, labels in (
            ("request_errors_total", {"operation": "flush", "errno": "EINVAL"}),
            ("ingest_files_total", {"kind": "text", "outcome": "failed"})):
        assert value(after, name, **labels) - value(before, name, **labels) == 1, name
    assert value(after, "request_errors_total", operation="rmdir", errno="EPERM") - \
        value(before, "request_errors_total", operation="rmdir", errno="EPERM") == 1


def test_metrics_cannot_be_changed(mount):
    """Control: nothing here can be changed or removed."""
    with pytest.raises(PermissionError):
        os.unlink(mount.at(".deeplake", "metrics"))
