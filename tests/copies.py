"""Processes for the pools of the tests, and for commands that are sent signals: copies of one that
has imported everything, which takes the others four seconds each.
"""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys

# What ``coarse_fields`` changes.
FIELDS = {"fuse": ("RESOLUTION", "PIXELS", "MIRRORED"), "mirror": ("ANGLES", "OFFSETS")}
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


def stage_named(name):
    """The module, which imports torch."""
    return importlib.import_module(f"maquette.stages.{name}")


class Copies:
    """Instead of a context of multiprocessing."""

    def __init__(self):
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(EVERYTHING))
        self.Pipe = self.context.Pipe

    def Process(self, target, args):  # noqa: N802 (the name that multiprocessing gives it)
        """One that has the environment of this moment, and fields as coarse."""
        fields = {
            (stage, name): getattr(stage_named(stage), name)
            for stage, names in FIELDS.items()
            for name in names
        }
        return self.context.Process(target=begin, args=(dict(os.environ), fields, target, args))


def begin(environment, fields, target, args):
    """In a process of its own."""
    os.environ.clear()
    os.environ.update(environment)
    for (stage, name), value in fields.items():
        setattr(stage_named(stage), name, value)
    target(*args)


# Commands that are sent signals


def as_users(arguments, deaf):
    """A maquette command as a program of its own; ``deaf``: to Ctrl-C, as shells start background
    jobs. And what runs these tests may be such a job.
    """
    handler = signal.SIG_IGN if deaf else signal.SIG_DFL
    return subprocess.Popen(
        [sys.executable, "-m", "maquette", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


class Copied:
    """The same as a copy, and its pool is of its copies. What is here of ``subprocess.Popen`` is as
    there.
    """

    def __init__(self, arguments, deaf):
        streams = [multiprocessing.Pipe(duplex=False) for _ in range(2)]
        ends = [end for _, end in streams]
        self.process = Copies().Process(run_command, (arguments, deaf, *ends))
        self.process.start()
        for end in ends:
            end.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(read.fileno())) for read, _ in streams)

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def terminate(self):
        self.process.terminate()

    def communicate(self, timeout):
        said = self.stdout.read(), self.stderr.read()
        self.process.join(timeout)
        self.returncode = self.process.exitcode
        return said

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()
        self.process.close()
        self.stdout.close()
        self.stderr.close()


def run_command(arguments, deaf, out, err):
    """In a process of its own."""
    from maquette.cli import main
    from maquette.execute import processes

    signal.signal(signal.SIGINT, signal.SIG_IGN if deaf else signal.default_int_handler)
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
    processes.START = multiprocessing.get_context("fork")
    sys.exit(main(arguments))
