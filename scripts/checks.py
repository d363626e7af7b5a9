# SPDX-License-Identifier: Apache-2.0
"""What the check-* scripts share: which files there are, C without its comments, TAP."""

import os
import re
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDERS = ("core", "fs", "mount", "tests")


def files(root, suffixes=(".c", ".h")):
    """Paths of our sources below root, with '/' and sorted."""
    found = []
    for folder in FOLDERS:
        for where, _, names in os.walk(os.path.join(root, folder)):
            found += [os.path.relpath(os.path.join(where, name), root)
                      for name in names if name.endswith(suffixes)]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


# A string comes first, so that a comment's opening inside one is no comment.
TOKEN = re.compile(
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.DOTALL)


def without_comments(text, keep_strings=True):
    """C text with comments (and strings) blanked; lines keep their numbers."""
    def blank(match):
        token = match.group()
        if token[0] != "/" and keep_strings:
            return token
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, text)


class Tap:
    """Numbers test points and remembers whether all were good."""

    def __init__(self, n_points):
        print("TAP version 13")
        print(f"1..{n_points}")
        self.n = 0
        self.is_good = True

    def point(self, name, complaints):
        self.n += 1
        self.is_good = self.is_good and not complaints
        print(f"{'not ok' if complaints else 'ok'} {self.n} - {name}")
        for complaint in complaints:
            print(f"# {complaint}")
        sys.stdout.flush()

    def exit(self):
        sys.exit(0 if self.is_good else 1)


def self_test(rules, examples):
    """Every rule must complain of its bad example, and of nothing in the good one.

    rules: {name: function(root) -> complaints}; examples: {name: ({path: bad text}, {path: good})}.
    """
    tap = Tap(len(rules))
    for name, rule in rules.items():
        bad, good = (complaints_of(rule, texts) for texts in examples[name])
        wrong = [] if bad else ["the bad example passed"]
        tap.point(f"self-test {name}", wrong + [f"the good example: {text}" for text in good])
    tap.exit()


def complaints_of(rule, texts):
    with tempfile.TemporaryDirectory(prefix="deeplakefs-check-") as root:
        for path, text in texts.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
        return rule(root)


def main(rules, examples):
    """[--self-test] [ROOT]"""
    arguments = sys.argv[1:]
    if "--self-test" in arguments:
        self_test(rules, examples)
    root = arguments[0] if arguments else ROOT
    if not files(root):
        sys.exit(f"{os.path.basename(sys.argv[0])}: no sources below {root}")
    tap = Tap(len(rules))
    for name, rule in rules.items():
        tap.point(name, rule(root))
    tap.exit()
