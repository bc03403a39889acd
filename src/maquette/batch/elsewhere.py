"""A job whose files lie in an object store (execute/store.py): they come to this machine, and what
was made goes where it belongs, the document last.

In the flow: Job -> the same job with local files, while it is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from maquette.batch.finished import DOCUMENT, Outcome
from maquette.batch.pairs import GEOMETRY_SUFFIXES, Job
from maquette.execute.store import brought_here, is_far, local_copy, path_at
from maquette.types import JsonObject


def _known(job: Job) -> dict[str, Path]:
    """The files of what is known of a photo's geometry."""
    named = {word: getattr(job.geometry, word) for word in GEOMETRY_SUFFIXES}
    return {word: path_at(name) for word, name in named.items() if name is not None}


def is_elsewhere(job: Job) -> bool:
    """Whether any file of a job is not on this machine's file system."""
    given = [job.photo, job.folder, *_known(job).values()]
    return any(map(is_far, given)) or (job.masks is not None and is_far(job.masks))


@contextlib.contextmanager
def brought(job: Job) -> Iterator[Job]:
    """The job with local files; what has changed in its folder is sent there at the end. InputError
    when a file is not there, OutputError when nothing can be written.
    """
    with contextlib.ExitStack() as stack:
        photo = stack.enter_context(brought_here(job.photo))
        masks = None if job.masks is None else stack.enter_context(brought_here(job.masks))
        known: JsonObject = {}
        for word, path in _known(job).items():
            known[word] = str(stack.enter_context(brought_here(path)))
        folder = stack.enter_context(local_copy(job.folder, DOCUMENT))
        geometry = replace(job.geometry, **known)
        yield replace(
            job,
            photo=photo,
            masks=masks,
            folder=folder,
            geometry=geometry,
        )


def renamed(outcome: Outcome, here: Job, job: Job) -> Outcome:
    """An outcome of the local job ``here``, in the names of the job itself."""
    files = tuple(name.replace(str(here.folder), str(job.folder)) for name in outcome.files)
    return replace(
        outcome,
        photo=str(job.photo),
        masks=str(job.masks or ""),
        folder=str(job.folder),
        files=files,
    )
