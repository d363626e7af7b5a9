# SPDX-License-Identifier: Apache-2.0
"""What is costly to make, and never changed, is made once per run for all workers."""

import fcntl
import os
import shutil
import tempfile

FOLDER = "LIVE_SHARED_FOLDER"  # a variable of the environment, which workers inherit


def begin():
    if FOLDER not in os.environ:
        os.environ[FOLDER] = tempfile.mkdtemp(prefix="deeplakefs-shared-")
        os.chmod(os.environ[FOLDER], 0o755)


def end():
    folder = os.environ.pop(FOLDER, None)
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def made_once(name, make):
    """The path of what make(path) made; None outside of a run that shares. Whoever comes while
    another makes it waits."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    path, unfinished = os.path.join(folder, name), os.path.join(folder, "unfinished-" + name)
    with open(path + ".lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            make(unfinished)
            os.rename(unfinished, path)
    return path
