# SPDX-License-Identifier: Apache-2.0
"""A certification authority for tests, and a server's certificate of it."""

import atexit
import os
import shutil
import subprocess
import tempfile

from support.shared import made_once

NAMES = ("IP:127.0.0.1", "DNS:localhost")


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def _request(folder, name, subject, *more):
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", f"/CN={subject}",
             "-keyout", os.path.join(folder, name + ".key"),
             "-out", os.path.join(folder, name + ".pem"), *more)


def make(folder, names=NAMES):
    """ca.pem, which a client trusts, and server.pem with server.key, in a new folder."""
    os.mkdir(folder, 0o755)
    authority = os.path.join(folder, "ca")
    _request(folder, "ca", "deeplakefs tests",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _request(folder, "server", "deeplakefs service", "-CA", authority + ".pem",
             "-CAkey", authority + ".key", "-addext", "basicConstraints=critical,CA:FALSE",
             "-addext", "subjectAltName=" + ",".join(names))
    os.chmod(authority + ".pem", 0o644)


def shared_folder():
    """What make() made once for the run; outside of a run, in a folder of its own."""
    found = made_once("certificates", make)
    if not found:
        above = tempfile.mkdtemp(prefix="deeplakefs-certificates-")
        atexit.register(shutil.rmtree, above, ignore_errors=True)
        found = os.path.join(above, "made")
        make(found)
    return found
