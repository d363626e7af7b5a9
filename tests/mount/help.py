# SPDX-License-Identifier: Apache-2.0
"""Help goes to stdout and fits 80 columns; a mistake is one line on stderr and exit status 1.

Usage: help.py PROGRAM
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

program = pathlib.Path(sys.argv[1]).resolve()
root = pathlib.Path(__file__).resolve().parents[2]
failures = []


def run(*arguments, name="deeplakefs"):
    """Runs the program under a name, with nothing of the caller's settings."""
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder, name)
        link.symlink_to(program)
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            [link, *arguments], env=environment, cwd=folder, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=30)


def expect(claim, is_true, *details):
    if not is_true:
        failures.append(claim)
        print("FAIL", claim, *details)


def settings():
    """The names in the table of core/config.c."""
    source = (root / "core" / "config.c").read_text()
    return re.findall(r'^\s*\{"([a-z_]+)", LAKE_CONFIG_', source, re.MULTILINE)


def commands():
    listed = run("--help").stdout.split("Commands:\n")[1].split("\n\n")[0]
    return re.findall(r"^  ([a-z]+)", listed, re.MULTILINE)


def check_help(*arguments):
    result = run(*arguments)
    shown = " ".join(arguments)
    expect(f"{shown} succeeds", result.returncode == 0, result)
    expect(f"{shown} says nothing on stderr", result.stderr == "", result.stderr)
    for line in result.stdout.splitlines():
        expect(f"{shown} fits 80 columns", len(line) <= 80, repr(line))
        expect(f"{shown} has no trailing spaces", line == line.rstrip(), repr(line))
    for setting in settings():
        option = "--" + setting.replace("_", "-")
        expect(f"{shown} names {option}", re.search(option + r"\b", result.stdout))


def check_refusal(arguments, *parts, name="deeplakefs", status=1):
    result = run(*arguments, name=name)
    shown = " ".join(arguments)
    expect(f"{shown} exits with {status}", result.returncode == status, result)
    expect(f"{shown} says nothing on stdout", result.stdout == "", result.stdout)
    lines = result.stderr.splitlines()
    expect(f"{shown} complains in one line", len(lines) == 1, result.stderr)
    expect(f"{shown} says who speaks", result.stderr.startswith("deeplakefs: "), result.stderr)
    for part in parts:
        expect(f"{shown} says {part}", part in result.stderr, result.stderr)


expect("there are settings", len(settings()) > 5, settings())
expect("there are commands", {"mount", "umount", "query", "help"} <= set(commands()), commands())

check_help("--help")
check_help("-h")
check_help("help")
for command in commands():
    check_help("help", command)
    check_help(command, "--help")

version = run("--version")
expect("--version names program and version",
       re.fullmatch(r"deeplakefs \d+\.\d+\.\d+\n", version.stdout), version)

check_refusal([], "no command")
check_refusal(["--bogus"], "--bogus")
check_refusal(["moount", "/mnt"], "moount", "mount")
check_refusal(["mount", "--stat-dir=/x", "/mnt"], "--stat-dir", "--state-dir")
check_refusal(["mount", "-o", "chunk_sise=3", "/mnt"], "chunk_sise", "chunk_size")
check_refusal(["tables", "--pool-size", "many"], "pool_size")
check_refusal(["tables", "--dsn", "host=x password=hunter2"], "PGPASSFILE")
check_refusal(["help", "bogus"], "bogus")
check_refusal(["w", "/nowhere", "-o", "bogus"], "bogus", name="mount.deeplakefs")
check_refusal(["mount", "/nowhere/at/all"], "/nowhere/at/all", status=32)
check_refusal(["w", "/nowhere", "-s", "-o", "bogus"], "/nowhere", name="mount.deeplakefs", status=32)
check_refusal(["umount", "."], "not mounted", status=32)

check_refusal(["tables", "--token", "hunter2"], "DEEPLAKE_API_KEY", "--token-file")
check_refusal(["mount", "-o", "token=hunter2", "/mnt"], "DEEPLAKE_API_KEY", "--token-file")

secret = run("tables", "--dsn", "postgresql://me:hunter2@host/db")
expect("a password is not repeated", "hunter2" not in secret.stdout + secret.stderr, secret)

with open("/dev/full", "w") as full:
    result = subprocess.run([program, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
expect("a full disk is an error", result.returncode == 2 and result.stderr != "", result)

sys.exit(1 if failures else 0)
