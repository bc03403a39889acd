"""What the documents say exists: every command line parses, every link leads somewhere, and every
Python block uses what there is.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

from maquette.app.settings import ServerSettings
from maquette.cli import build_parser
from maquette.cli.export import SIMULATED
from maquette.cli.generate import GENERATED
from maquette.declare import declarations, table
from maquette.given.fit import KNOWN
from maquette.options import (
    FileSpace,
    GeometryOptions,
    ScaleOptions,
    SceneOptions,
    SimulationOptions,
    Surroundings,
)
from maquette.options.benchmark import BenchmarkOptions
from maquette.options.data import DataSetOptions, ImportOptions
from maquette.options.training import CoherentOptions, LoopConfig, MidiOptions, RunOptions
from maquette.pipeline import Options
from maquette.serve.settings import ServeSettings
from tests.test_architecture import ORDER

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def lines_of(block: str) -> list[str]:
    """The lines of a shell block; a backslash at its end goes on in the next."""
    return [" ".join(line.split()) for line in block.replace("\\\n", " ").splitlines()]


COMMANDS = {
    f"{name}: {line}": line
    for name, text in TEXTS.items()
    for block in blocks(text, "sh")
    for line in lines_of(block)
    if line.startswith("maquette ")
}


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_command_lines_parse(line):
    args = build_parser().parse_args(shlex.split(line)[1:])
    assert args.command == line.split()[1] and callable(args.run)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    targets = [
        target.partition("#")[0]
        for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name])
        if "://" not in target
    ]
    missing = [
        target for target in targets if target and not ((ROOT / name).parent / target).exists()
    ]
    assert missing == []


def shown_names(tree: ast.AST) -> dict[str, object]:
    """What the imports of a block bind, as objects; an import that fails fails the test."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {
                alias.name: importlib.import_module(alias.name)
                for alias in node.names
                if alias.name == "maquette"
            }
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "maquette":
            module = importlib.import_module(node.module)
            found |= {
                alias.asname or alias.name: getattr(module, alias.name) for alias in node.names
            }
    return found


def resolved(node: ast.expr, names: dict[str, object]) -> object | None:
    """The object that ``a.b.c`` means, None when its first name is the example's own;
    AttributeError when there is no such thing.
    """
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolved(node.value, names)
        return None if owner is None else getattr(owner, node.attr)
    return None


PYTHON = {
    f"{name}, block {k}": block
    for name, text in TEXTS.items()
    for k, block in enumerate(blocks(text, "python"), 1)
}


@pytest.mark.parametrize("block", PYTHON.values(), ids=PYTHON)
def test_python_blocks_use_what_there_is(block):
    """Imports work, attributes of ours exist, and functions of ours take the arguments that they
    are shown with.
    """
    tree = ast.parse(block if not block.rstrip().endswith('"""') else f"{block}    ...\n")
    names = shown_names(tree)
    for node in ast.walk(tree):
        target = resolved(node.func if isinstance(node, ast.Call) else node, names)
        if isinstance(node, ast.Call) and callable(target):
            parameters = inspect.signature(target).parameters
            known = set(parameters)
            if "options" in parameters:
                known |= {f.name for f in dataclasses.fields(Options)} | set(KNOWN)
            assert {keyword.arg for keyword in node.keywords if keyword.arg} <= known, ast.unparse(
                node
            )


def test_the_documents_show_every_command():
    shown = {line.split()[1] for line in COMMANDS.values()}
    assert shown == {
        "generate",
        "demo",
        "export",
        "settle",
        "view",
        "app",
        "serve",
        "masks",
        "models",
        "evaluate",
        "geometry",
        "benchmark",
        "report",
        "data",
        "train",
    }


@pytest.mark.parametrize(
    ("page", "options", "names"),
    [
        ("cli", SceneOptions, (*GENERATED, "device")),
        ("cli", FileSpace, None),
        ("cli", GeometryOptions, None),
        ("cli", ScaleOptions, None),
        ("cli", Surroundings, None),
        ("simulation", ScaleOptions, None),
        ("simulation", SimulationOptions, SIMULATED),
        ("cli", ServerSettings, None),
        ("cli", ServeSettings, None),
        ("cli", BenchmarkOptions, None),
        ("cli", ImportOptions, None),
        ("cli", DataSetOptions, None),
        ("training", LoopConfig, None),
        ("training", RunOptions, [name for name in declarations(RunOptions) if name != "network"]),
        ("training", MidiOptions, None),
        ("training", CoherentOptions, None),
    ],
)
def test_tables_of_options_are_those_of_the_declarations(page, options, names):
    assert table(options, names) in TEXTS[f"docs/{page}.md"]


def test_the_oldest_versions_that_are_tried_are_those_that_are_promised():
    promised = re.findall(r'^  "([\w-]+)>=([\d.]+)', (ROOT / "pyproject.toml").read_text(), re.M)
    pins = (ROOT / ".ci" / "oldest.txt").read_text()
    tried = dict(re.findall(r"^([\w-]+)==([\d.]+?)(?:\.\*)?$", pins, re.M))
    for package, version in promised:
        assert tried[package].startswith(version), package


def test_the_figure_of_the_architecture_has_the_rooms_in_their_order():
    figure = TEXTS["docs/architecture.md"].split("```")[1]
    left = [re.split(r"(?<=\S) {4,}", line.strip())[0] for line in figure.splitlines()]
    rooms = [word for line in left for word in re.findall(r"[a-z]+", line) if word in ORDER]
    first = list(dict.fromkeys(rooms))
    assert first == [room for room in ORDER if room in first] and set(first) == set(ORDER)


def test_the_architecture_names_files_that_are_there():
    named = re.findall(r"`([a-z_0-9]+/[a-z_0-9/]*(?:\.py)?)`", TEXTS["docs/architecture.md"])
    package = ROOT / "src" / "maquette"
    missing = [path for path in named if not ((package / path).exists() or (ROOT / path).exists())]
    assert len(named) > 30 and missing == []
