"""A PostgreSQL server that lives as long as the tests of a module."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

PASSWORD = "k-space"  # noqa: S105 - of a server that lives as long as the tests


@pytest.fixture(scope="module")
def server():
    """Address of an empty database."""
    pytest.importorskip("ase_db_backends", reason="the extra postgresql is not installed")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    user = _user()
    # Not in pytest's folder, which belongs to root alone where root runs the tests.
    folder = Path(tempfile.mkdtemp(prefix="smoacs-pg-"))
    password = folder / "password"
    password.write_text(PASSWORD)
    if user is not None:
        shutil.chown(folder, user)
        shutil.chown(password, user)
    port = free_port()
    data, log = folder / "data", folder / "log"

    def call(program, *arguments):
        subprocess.run(  # noqa: S603
            [programs / program, "-D", data, *arguments],
            check=True,
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    call("initdb", "-U", "smoacs", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync")
    options = f"-p {port} -h 127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    try:
        call("pg_ctl", "-w", "-l", log, "-o", options, "start")
        yield f"postgresql://smoacs:{PASSWORD}@127.0.0.1:{port}/postgres"
        call("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs():
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _user():
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
