"""What the documents say exists: every command line parses, every link leads somewhere, every Python block compiles."""

import re
import shlex
from pathlib import Path

import pytest

from maquette.cli import build_parser

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


COMMANDS = {
    f"{name}: {line}": line
    for name, text in TEXTS.items()
    for block in blocks(text, "sh")
    for line in block.splitlines()
    if line.startswith("maquette ")
}


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_command_lines_parse(line):
    args = build_parser().parse_args(shlex.split(line)[1:])
    assert args.command == line.split()[1] and callable(args.run)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name]) if "://" not in target]
    missing = [target for target in targets if target and not ((ROOT / name).parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("name", TEXTS)
def test_python_blocks_compile(name):
    for block in blocks(TEXTS[name], "python"):
        compile(block if not block.rstrip().endswith('"""') else f"{block}    ...\n", name, "exec")


def test_the_documents_show_every_command():
    shown = {line.split()[1] for line in COMMANDS.values()}
    assert shown == {"generate", "demo", "app", "masks", "models", "evaluate", "benchmark", "report", "data", "train"}
