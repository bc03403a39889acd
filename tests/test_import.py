"""Importing maquette and asking for help are cheap: nothing heavy loads before it is used."""

import importlib
import json
import pkgutil
import resource
import subprocess
import sys

import pytest

import maquette

HEAVY = {"torch", "numba", "trimesh", "cv2", "skimage", "scipy", "PIL", "safetensors", "igl"}
COMMANDS = ("generate", "demo", "masks", "evaluate", "benchmark", "data", "train")
HELP = "import sys; from maquette.cli import main; sys.argv[0] = 'maquette'"


def modules_after(code: str) -> set[str]:
    """Top-level packages that are loaded after running code in a fresh interpreter."""
    report = (
        "import json, sys; print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    quietly = "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):"
    script = f"import contextlib, io\n{quietly}\n    {code}\n{report}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy():
    loaded = modules_after("import maquette; maquette.Scene, maquette.InputError")
    assert "maquette" in loaded and not loaded & HEAVY


@pytest.mark.parametrize(
    "arguments", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join
)
def test_help_loads_nothing_heavy(arguments):
    loaded = modules_after(f"{HELP}; main({arguments!r})")
    assert "argparse" in loaded and not loaded & HEAVY


def test_help_takes_less_than_a_second_of_processor_time():
    def seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    start = seconds()
    done = subprocess.run(
        [sys.executable, "-m", "maquette", "--help"], capture_output=True, text=True, check=True
    )
    assert seconds() - start < 1.0
    assert all(command in done.stdout for command in COMMANDS)


def test_every_public_name_is_there():
    for name in maquette.__all__:
        assert callable(getattr(maquette, name)), name
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = maquette.no_such_name


def test_every_module_imports_silently(capfd):
    for module in pkgutil.walk_packages(maquette.__path__, "maquette."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert capfd.readouterr() == ("", "")
