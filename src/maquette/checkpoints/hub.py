"""The Hugging Face hub as maquette sees it: a listing and a download. The only module that talks to
a network.

In the flow: catalogue -> ``fetch`` asks a Hub -> files in a folder. Tests give ``fetch`` a hub of
their own.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from maquette.errors import (
    CheckpointError,
    MaquetteError,
    MissingExtraError,
    OutputError,
    reason_of,
)

INSTALL = "pip install 'maquette[hub]'"
PARTS = ".parts"  # folder of what has come of files that are not whole yet


@dataclass(frozen=True)
class RemoteFile:
    """What a hub says of a file."""

    path: str
    size: int
    sha256: str | None  # None for small files, which hubs do not sum


class Hub(Protocol):
    """Where files come from."""

    def listing(self, repository: str, revision: str | None) -> tuple[str, dict[str, RemoteFile]]:
        """Return the commit of a revision (None = the newest) and its files by path."""

    def licence(self, repository: str) -> str:
        """Return what the card of a repository says of its licence."""

    def download(
        self,
        repository: str,
        commit: str,
        path: str,
        folder: Path,
        size: int,
    ) -> None:
        """Bring one file of ``size`` bytes to ``folder / path``, going on with what an earlier try
        has left.
        """


class HuggingFace:
    """The Hugging Face hub, through its own client."""

    def __init__(self, endpoint: str | None = None, quiet: bool = False):
        try:
            import huggingface_hub
            import huggingface_hub.errors
            import huggingface_hub.file_download
            import huggingface_hub.utils
        except ImportError as error:
            raise MissingExtraError(
                f"fetching needs huggingface_hub: {INSTALL}; or pass --weights FOLDER with the "
                "files"
            ) from error
        self._hub = huggingface_hub
        self._endpoint = endpoint
        if quiet:
            huggingface_hub.utils.disable_progress_bars()

    def listing(self, repository: str, revision: str | None) -> tuple[str, dict[str, RemoteFile]]:
        """Return the commit of a revision and its files by path. CheckpointError in one line when
        that is not possible.
        """
        try:
            info = self._hub.HfApi(endpoint=self._endpoint).model_info(
                repository, revision=revision, files_metadata=True
            )
        except (self._hub.errors.HTTPError, OSError) as error:
            raise self._explained(error, repository, revision) from error
        files = {}
        for said in info.siblings or ():
            sha256 = said.lfs.sha256 if said.lfs else None
            files[said.rfilename] = RemoteFile(said.rfilename, said.size or 0, sha256)
        if info.sha is None:
            raise CheckpointError(f"{repository}: the hub names no commit; try again later")
        return info.sha, files

    def licence(self, repository: str) -> str:
        """What the card of a repository says of its licence."""
        try:
            card = self._hub.HfApi(endpoint=self._endpoint).model_info(repository).card_data
        except (self._hub.errors.HTTPError, OSError) as error:
            raise self._explained(error, repository, "") from error
        told = {} if card is None else card.to_dict()
        return str(told.get("license_name") or told.get("license") or "not said: ask its makers")

    def download(
        self,
        repository: str,
        commit: str,
        path: str,
        folder: Path,
        size: int,
    ) -> None:
        """Bring one file; what an earlier try has left is continued.

        The client's own ``hf_hub_download`` begins a broken file of gigabytes anew; its
        ``http_get`` takes what is there.
        """
        part = folder / PARTS / f"{commit[:12]}-{path.replace('/', '-')}"
        target = folder / path
        url = self._hub.hf_hub_url(repository, path, revision=commit, endpoint=self._endpoint)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "ab") as file:
                if file.tell() < size or not size:
                    self._hub.file_download.http_get(
                        url,
                        file,
                        resume_size=file.tell(),
                        headers=self._hub.utils.build_hf_headers(),
                        expected_size=size or None,
                        displayed_filename=path,
                    )
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
        except (self._hub.errors.HTTPError, self._hub.errors.EntryNotFoundError, OSError) as error:
            raise self._explained(error, repository, commit) from error
        if not any(part.parent.iterdir()):
            part.parent.rmdir()

    def _explained(
        self,
        error: Exception,
        repository: str,
        revision: str | None,
    ) -> MaquetteError:
        """One line for what a client's exception means."""
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return OutputError(
                f"{repository}: the disk is full; make room or choose another disk with "
                "--to FOLDER, then repeat"
            )
        errors = self._hub.errors
        meanings = {
            errors.GatedRepoError: "wants its terms accepted: do that on its page, `hf auth login`,"
            " "
            "and fetch again",
            errors.RepositoryNotFoundError: "is not on the hub, or not open to you; log in with "
            "`hf auth login` or report it",
            errors.RevisionNotFoundError: f"has no revision {revision}; the pinned commit is gone, "
            "report it",
        }
        for kind, meaning in meanings.items():
            if isinstance(error, kind):
                return CheckpointError(f"{repository} {meaning}")
        return CheckpointError(
            f"cannot reach {repository} ({reason_of(error)}); check the network and repeat the "
            "command, which goes on where it was, or pass --weights FOLDER with the files"
        )
