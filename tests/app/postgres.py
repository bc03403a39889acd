"""A PostgreSQL server of a test's own, on this machine alone."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Postgres:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def run(self, program, *arguments):
        command = [str(PROGRAMS[-1] / program), *arguments]
        if os.geteuid() == 0:  # which the server refuses to be
            command = ["runuser", "-u", "postgres", "--", *command]
        # its output would keep a pipe open as long as the server lives
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "-D", str(self.folder / "db"), "-o", options, "-l", log, "-w", "start")

    def stop(self, how="immediate"):
        self.run("pg_ctl", "-D", str(self.folder / "db"), "-m", how, "-w", "stop")

    def create(self, name):
        """The address of a new database."""
        self.run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", name)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"


@contextlib.contextmanager
def running():
    """A new server for the body."""
    if not PROGRAMS:
        pytest.skip("no postgresql here")
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    server = Postgres(folder)
    try:
        server.run("initdb", "-D", str(folder / "db"), "-A", "trust", "-U", "postgres")
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
