"""What deploy/ holds, as far as it can be tried without a cluster: files parse, keep the rules of
their schemas, and every command in them is one of ours.
"""

import importlib
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from maquette import __version__
from maquette.cli import build_parser

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCRIPTS = sorted(DEPLOY.glob("*.sh"))
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123
UNITS = {"": 1.0, "m": 1e-3, "Mi": 2.0**20, "Gi": 2.0**30}
# options of sbatch and their values, by its manual
SBATCH = {
    "job-name": r"[\w-]+",
    "array": r"\d+-\d+(%\d+)?",
    "nodes": r"\d+",
    "ntasks-per-node": r"\d+",
    "gpus-per-node": r"\d+",
    "cpus-per-task": r"\d+",
    "mem": r"\d+[KMGT]?",
    "time": r"(\d+-)?\d\d:\d\d:\d\d",
    "requeue": None,
    "output": r"[\w-]+(%A_%a|%j)\.log",
}
SHELL = {
    "$((JOB_COMPLETION_INDEX + 1))": "3",
    "$SLURM_CPUS_PER_TASK": "4",
    "$SLURM_ARRAY_TASK_ID": "2",
    "$SLURM_ARRAY_TASK_COUNT": "8",
}


def documents(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")))


def commands_in(text):
    """The maquette commands of a shell line, with values in the places of variables."""
    for variable, value in SHELL.items():
        text = text.replace(variable, value)
    for line in text.replace("\\\n", " ").splitlines():
        found = re.search(r"(?:^|exec |-m )(maquette .*)", line.strip())
        if found and not line.lstrip().startswith("#"):
            yield shlex.split(found[1])[1:]


def pods(document):
    """The templates of pods of a document, by where they stand."""
    if document["kind"] == "Job":
        return {"job": document["spec"]["template"]}
    cluster = document["spec"]["rayClusterSpec"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    return {
        name: group["template"]
        for name, group in {"head": cluster["headGroupSpec"], **groups}.items()
    }


def quantity(text):
    number, unit = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", text).groups()
    return float(number) * UNITS[unit]


EVERY = [
    pytest.param(document, id=document["metadata"]["name"])
    for name in ("kuberay.yaml", "indexed-job.yaml")
    for document in documents(name)
]


@pytest.mark.parametrize("document", EVERY)
def test_pods_have_what_the_schema_requires(document):
    assert DNS_LABEL.fullmatch(document["metadata"]["name"])
    for template in pods(document).values():
        (container,) = template["spec"]["containers"]
        assert DNS_LABEL.fullmatch(container["name"])
        assert container["image"] == f"maquette:{__version__}"
        asked, most = (container["resources"][which] for which in ("requests", "limits"))
        assert asked.keys() == most.keys() == {"cpu", "memory"}
        assert all(quantity(asked[key]) <= quantity(most[key]) for key in asked)
        assert all(DNS_LABEL.fullmatch(e["secretRef"]["name"]) for e in container["envFrom"])


def test_the_indexed_job_makes_every_share_once():
    shares, merge = documents("indexed-job.yaml")
    for job in (shares, merge):
        assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"  # for a limit per index
    spec = shares["spec"]
    assert spec["completionMode"] == "Indexed" and spec["parallelism"] <= spec["completions"]
    script = spec["template"]["spec"]["containers"][0]["args"][0]
    assert f"--shard $((JOB_COMPLETION_INDEX + 1))/{spec['completions']}" in script
    merging = merge["spec"]["template"]["spec"]["containers"][0]["args"][0]
    before = [next(commands_in(text)) for text in (script, merging)]
    assert before[0][: before[0].index("--jobs")] == before[1][:-1]  # of the same photos


def test_the_ray_job_is_one_of_kuberay():
    (job,) = documents("kuberay.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    least = re.search(r'"ray>=([\d.]+)"', PROJECT)[1]
    versions = [tuple(map(int, text.split("."))) for text in (cluster["rayVersion"], least)]
    assert versions[0] >= versions[1]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    values = [value for group in groups for value in group["rayStartParams"].values()]
    assert all(isinstance(value, str) for value in values)  # the operator refuses numbers
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_every_command_is_one_of_ours():
    texts = [documents("kuberay.yaml")[0]["spec"]["entrypoint"]]
    texts += [
        pods(d)["job"]["spec"]["containers"][0]["args"][0] for d in documents("indexed-job.yaml")
    ]
    texts += [script.read_text(encoding="utf-8") for script in SCRIPTS]
    texts.append((DEPLOY / "Containerfile").read_text(encoding="utf-8"))
    found = [command for text in texts for command in commands_in(text)]
    assert len(found) == 5
    for command in found:
        build_parser().parse_args(command)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_slurm_reads_the_options_and_the_shell_the_rest(script):
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert options == lines[1 : 1 + len(options)]  # sbatch stops reading at the first command
    for line in options:
        name, _, value = line.removeprefix("#SBATCH --").partition("=")
        pattern = SBATCH[name]
        assert (value == "") if pattern is None else re.fullmatch(pattern, value), line
    subprocess.run([shutil.which("bash"), "-n", str(script)], check=True)


def test_shares_of_the_array_begin_with_one():
    text = (DEPLOY / "slurm-array.sh").read_text(encoding="utf-8")
    assert re.search(r"--array=1-\d+$", text, re.MULTILINE)


def test_the_container_is_made_of_what_is_there():
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and line[0] != "#"]
    steps = [name for name, _ in lines]
    known = {"FROM", "RUN", "COPY", "USER", "WORKDIR", "ENV", "ENTRYPOINT", "CMD"}
    assert steps[0] == "FROM" and set(steps) <= known
    assert steps.index("USER") < steps.index("ENTRYPOINT")  # nobody runs it as root
    for name, rest in lines:
        if name == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1])
        if name in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(rest), list)
    extras = re.search(r"/source\[([\w,]+)\]", text)[1].split(",")
    assert all(re.search(rf"^{extra} = \[", PROJECT, re.MULTILINE) for extra in extras)
    version = re.search(r"FROM python:(\d+)\.(\d+)", text).groups()
    assert tuple(map(int, version)) >= (3, 10)


@pytest.mark.tools
@pytest.mark.parametrize("document", EVERY)
def test_kubernetes_knows_every_field(document):
    """By the models of its own client; of KubeRay's kinds the pods."""
    models = importlib.import_module("kubernetes.client.models") if has_client() else None
    if models is None:
        pytest.skip("no client of kubernetes")

    def check(value, kind):
        if found := re.fullmatch(r"list\[(\w+)\]", kind):
            for each in value:
                check(each, found[1])
        elif hasattr(models, kind):
            model = getattr(models, kind)
            fields = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
            assert value.keys() <= fields.keys(), (kind, value.keys() - fields.keys())
            for key, each in value.items():
                check(each, fields[key])

    if document["kind"] == "Job":
        check(document, "V1Job")
    for template in pods(document).values():
        check(template, "V1PodTemplateSpec")


def has_client():
    return importlib.util.find_spec("kubernetes") is not None
