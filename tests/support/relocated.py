# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL that has this build's extension, without a change to the installed one.

A server finds its libraries and its share folder relative to its own program. So copies of the
programs stand in a folder of our own, beside links to everything else, and the extension.
"""

import json
import os
import shutil
import subprocess
import tempfile

from support.mount import ROOT

BUILD = os.environ.get("DEEPLAKEFS_BUILD", os.path.join(ROOT, "build"))
LIBRARY = os.path.join(BUILD, "core", "pg_deeplake", "pg_deeplake.so")
SOURCES = os.path.join(ROOT, "core", "pg_deeplake")


def why_not():
    """Why there is nothing to test, or None."""
    if not os.path.exists(LIBRARY):
        return f"no extension at {LIBRARY}: build it, or set DEEPLAKEFS_BUILD"
    return None


def _folders():
    """Of the server that the extension was built for: as its pg_config says."""
    with open(os.path.join(BUILD, "core", "pg_deeplake", "server.json"),
              encoding="utf-8") as text:
        pg_config = json.load(text)["pg_config"]
    return [subprocess.run([pg_config, option], check=True, capture_output=True, text=True,
                           timeout=30).stdout.strip()
            for option in ("--bindir", "--pkglibdir", "--sharedir")]


def _link_all(source, target):
    os.makedirs(target)
    for name in os.listdir(source):
        os.symlink(os.path.join(source, name), os.path.join(target, name))


def _remove(source, folder):
    target = os.path.join(folder, os.path.basename(source))
    if os.path.lexists(target):
        os.unlink(target)
    return target


def _replace(source, folder):
    target = _remove(source, folder)
    shutil.copy(source, target)
    os.chmod(target, 0o644)


class Relocated:
    """Use as a context manager; programs is the folder of its postgres."""

    def __init__(self, has_extension=True):
        binaries, libraries, share = _folders()
        above = os.path.commonpath([binaries, libraries, share])
        self.folder = tempfile.mkdtemp(prefix="deeplakefs-programs-")
        os.chmod(self.folder, 0o755)

        def moved(folder):
            return os.path.join(self.folder, os.path.relpath(folder, above))

        self.programs = moved(binaries)
        # Copies: a program follows a link to where it thinks it lies.
        shutil.copytree(binaries, self.programs)
        _link_all(libraries, moved(libraries))
        _link_all(share, moved(share))
        extension = os.path.join(moved(share), "extension")
        os.unlink(extension)
        _link_all(os.path.join(share, "extension"), extension)

        files = [os.path.join(SOURCES, name) for name in os.listdir(SOURCES)
                 if name.endswith((".control", ".sql"))]
        for source, target in [(LIBRARY, moved(libraries))] + [(one, extension) for one in files]:
            if has_extension:
                _replace(source, target)
            else:
                _remove(source, target)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.folder, ignore_errors=True)
