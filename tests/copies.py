"""Processes for the pools of the tests: copies of one that has imported everything, which takes the
others four seconds each.
"""

import multiprocessing
import os

# What their tasks need; imported once, when the first of them is asked for.
EVERYTHING = (
    "pytest",
    "maquette.pipeline",
    "maquette.batch.run",
    "maquette.evaluate.benchmark",
    "maquette.evaluate.protocols",
    "maquette.evaluate.score",
    "maquette.data.library",
    "maquette.data.shards",
    "torch._dynamo",  # which optimisers import
    "maquette.train.loop",
    "maquette.train.stored",
    "tests.evaluate.scenes",
    "tests.tiny",
    "tests.warm",
)


def offered() -> bool:
    """Whether this system can copy a process."""
    return "forkserver" in multiprocessing.get_all_start_methods()


class Copies:
    """Instead of a context of multiprocessing."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(EVERYTHING))
        self.Pipe = self.context.Pipe

    def Process(self, target, args):  # noqa: N802 (the name that multiprocessing gives it)
        """One that has the environment of this moment."""
        return self.context.Process(target=begin, args=(dict(os.environ), target, args))


def begin(environment, target, args):
    """In a process of its own."""
    os.environ.clear()
    os.environ.update(environment)
    target(*args)
