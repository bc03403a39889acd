"""What the documents print runs: the blocks of each page in their order, in a folder as `make demo`
leaves it, with tiny networks in the place of the embedded ones.

A page's shell and Python blocks share the folder, and its Python blocks their names. What trains,
serves, measures for hours or downloads is not run; test_docs.py parses it.
"""

import contextlib
import functools
import hashlib
import io
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from maquette.batch import results
from maquette.checkpoints import embedded
from maquette.cli import main
from maquette.execute import store
from tests.execute.test_store import s3  # noqa: F401 (a fixture)
from tests.test_docs import ROOT, TEXTS, lines_of
from tests.tiny import write_photo

pytestmark = pytest.mark.usefixtures("coarse_fields", "few_points", "remembered_scenes")

BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
UNRUN = {"app", "serve", "train", "benchmark", "report", "data"}  # commands, by their first word
PUBLISHED = {"models fetch", "models check", "models convert", "models verify"}
# options that need files or machines of somebody else
FOREIGN = {"--engine", "--model", "--perception", "--prior", "--weights"}
SLOW = {
    f"docs/{page}.md" for page in ("cli", "comboverse", "evaluation", "python-api", "simulation")
}
NOT_WHOLE = {"docs/adding_a_method.md"}  # its Python is a skeleton; an example runs the whole
SCALE = "docs/scale.md"  # runs by itself, below: it builds data, and needs machines
EXTRAS = {"docs/simulation.md": ("coacd", "mujoco")}
PAGES = [
    pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
    for name, text in TEXTS.items()
    if BLOCK.search(text) and name not in {*NOT_WHOLE, SCALE}
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, tiny_weights, coarse_fields):
    """The folder of the demo; the embedded weights are tiny ones as long as tests of this file
    run.
    """
    weights = tmp_path_factory.mktemp("embedded")
    shutil.copytree(tiny_weights, weights, dirs_exist_ok=True)
    sums = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in weights.glob("*.safetensors")
    }
    (weights / "manifest.json").write_text(json.dumps(sums))
    folder = tmp_path_factory.mktemp("demo") / "out" / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "embedded_folder", lambda: weights)
        patch.setattr(results, "preview", functools.partial(results.preview, tile_height=48))
        assert main(["demo", "-o", str(folder), "--quiet"]) == 0
        yield folder


def is_run(words: list[str]) -> bool:
    """Whether a maquette command is run here."""
    command = " ".join(words[1:3])
    return not (words[1] in UNRUN or command in PUBLISHED or FOREIGN & set(words))


def run_shell(
    block: str,
    folder: Path,
    whole: Callable[[list[str]], bool] | None = None,
) -> None:
    """A shell block, line by line; maquette in this process, when ``whole`` (default: ``is_run``)
    says so.
    """
    for line in filter(None, (line.partition(" #")[0].strip() for line in lines_of(block))):
        words = shlex.split(line)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        elif words[:2] == ["pip", "install"]:
            for extra in re.fullmatch(r"maquette\[([\w,]+)\]", words[2])[1].split(","):
                declared = (ROOT / "pyproject.toml").read_text()
                assert re.search(rf"^{extra} = ", declared, re.MULTILINE)
        elif words[0] in (".", "cd"):  # the environment, and the folder in which this runs
            assert words[1] in (".venv/bin/activate", "out/demo")
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file()
        elif words[0] != "maquette":
            subprocess.run(line, shell=True, check=True, cwd=folder)
        elif is_run(words) if whole is None else whole(words):
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = main(words[1:])
            assert code == 0, f"{line}: {said.getvalue()}"


@pytest.mark.parametrize("name", PAGES)
def test_the_blocks_of_a_page_run_in_their_order(name, demo, tmp_path, monkeypatch):
    for module in EXTRAS.get(name, ()):
        pytest.importorskip(module)
    folder = tmp_path / "demo"
    shutil.copytree(demo, folder)
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for language, block in BLOCK.findall(TEXTS[name]):
        if language == "sh":
            run_shell(block, folder)
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize("cluster", [False, pytest.param(True, marks=pytest.mark.tools)])
def test_the_walk_to_a_cluster_at_scale(cluster, demo, tmp_path, monkeypatch, request):
    """Every line; without Ray and a server of S3 those that need none, with fsspec's memory as the
    bucket.
    """
    pytest.importorskip("igl")
    pytest.importorskip("upath")
    bucket = "s3://bucket"
    if cluster:
        pytest.importorskip("ray")
        request.getfixturevalue("s3")
    else:
        bucket = "memory://bucket"
    folder = tmp_path / "demo"
    _, masks = write_photo(folder, "photo.jpg", objects=1)  # a small one
    masks.rename(folder / "masks.png")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(store.Path, "home", lambda: tmp_path)
    for block in (found for language, found in BLOCK.findall(TEXTS[SCALE]) if language == "sh"):
        if "--engine ray" in block and not cluster:
            continue
        run_shell(block.replace("s3://bucket", bucket), folder, lambda words: words[1] != "serve")
    made = {path.name for path in (folder / "scenes").iterdir()}
    assert (
        made == {"first", "second"} and (store.path_at(bucket) / "scenes/first/scene.glb").exists()
    )


def test_the_demo_leaves_the_picture_and_its_truth(demo):
    assert {"photo.jpg", "masks.png", "depth.png", "camera.json", "truth.glb"} <= {
        path.name for path in demo.iterdir()
    }
