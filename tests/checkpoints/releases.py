"""A hub of our own, and a small release on it: for tests of fetching, which care about files, not
networks.
"""

import hashlib
from pathlib import Path

from maquette.checkpoints.catalogue import HubRepository, Release, ReleasedFile
from maquette.checkpoints.hub import RemoteFile

COMMIT = "a" * 40
BLOB = bytes(range(256)) * 5000  # 1.28 MB, above what counts as small


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class FakeHub:
    """Repositories in memory; remembers what was asked."""

    def __init__(self, files: dict[str, bytes], commit: str = COMMIT):
        self.files = files
        self.commit = commit
        self.downloads = []

    def listing(self, repository, revision):
        listed = {
            p: RemoteFile(p, len(c), sha256(c) if len(c) > 2**20 else None)
            for p, c in self.files.items()
        }
        return revision or self.commit, listed

    def download(self, repository, commit, path, folder: Path, size: int):
        self.downloads.append(path)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(self.files[path])


def release(*files: ReleasedFile, revision: str | None = COMMIT) -> Release:
    source = HubRepository("someone/model", revision, files)
    return Release(
        "model", "Model", "A model.", True, "MIT", "none", "-", (source,), 1.0, "masks", (1.0, 0.5)
    )
