"""Releases on the disk: what is read from their files, what is refused, and how long
networks stay.
"""

import json

import pytest
import torch

from maquette.checkpoints.catalogue import release
from maquette.checkpoints.memory import MemoryPlan
from maquette.checkpoints.released import Networks, PublishedSet, load_part, open_release
from maquette.errors import CheckpointError
from tests.checkpoints.tiny_releases import write_midi, write_triposg
from tests.checkpoints.tiny_trellis import write_iscene, write_trellis

CPU = torch.device("cpu")
WRITERS = {
    "trellis-iscene": write_iscene,
    "midi-3d": write_midi,
    "trellis-large": write_trellis,
    "triposg": write_triposg,
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return {name: write(tmp_path_factory.mktemp(name)) for name, write in WRITERS.items()}


@pytest.mark.parametrize("name", WRITERS)
def test_every_network_loads_from_its_file(roots, name):
    released = open_release(release(name), roots[name])
    sizes = released.size().sizes
    for part in released.parts.values():
        network = load_part(part, torch.float32)
        assert not network.training and all(
            not p.is_meta and not p.requires_grad for p in network.parameters()
        )
        assert (
            sum(p.numel() for p in network.parameters()) <= sizes[part.name]
        )  # files may hold more: buffers, mask tokens


@pytest.mark.parametrize("name", WRITERS)
def test_only_large_matrices_are_halved(roots, name):
    """Norms, embeddings, first and last layers keep float32 in any plan, as the releases store
    them.
    """
    for part in open_release(release(name), roots[name]).parts.values():
        state = load_part(part, torch.bfloat16).state_dict()
        halves = [key for key, tensor in state.items() if tensor.dtype == torch.bfloat16]
        assert halves and not [
            key
            for key in halves
            if "norm" in key.rpartition(".")[0].rpartition(".")[2] and "gamma" in key
        ]
        assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {
            torch.bfloat16,
            torch.float32,
        }


def test_staged_networks_leave_and_others_stay(roots):
    released = open_release(release("triposg"), roots["triposg"])
    for staged in (True, False):
        networks = Networks(released, MemoryPlan(staged=staged), CPU)
        with networks.stage("image", "dino") as (first,):
            pass
        with networks.stage("image", "dino") as (second,):
            assert (first is second) != staged
        assert set(networks.report()["measured_mb"]) == {"image"}


def test_settings_are_read_and_not_assumed(roots, tmp_path):
    root = write_triposg(tmp_path)
    path = root / "TripoSG" / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"shift": 3.0}))
    assert open_release(release("triposg"), root).settings["scheduler"]["shift"] == 3.0


@pytest.mark.parametrize(
    "lost", ["pipeline.json", "ckpts/slat_flow.json", "ckpts/slat_flow.safetensors"]
)
def test_a_lost_file_is_named(tmp_path, lost):
    root = write_trellis(tmp_path)
    (root / "TRELLIS-image-large" / lost).unlink()
    with pytest.raises(
        CheckpointError, match="TRELLIS-image-large" if lost == "pipeline.json" else lost
    ):
        open_release(release("trellis-large"), root)


def test_a_configuration_of_another_program_is_named(tmp_path):
    root = write_trellis(tmp_path)
    path = root / "TRELLIS-image-large" / "pipeline.json"
    path.write_text(json.dumps({"args": {"models": {}}}))
    with pytest.raises(CheckpointError, match=r"pipeline\.json has no sparse_structure_flow_model"):
        open_release(release("trellis-large"), root)


def test_both_class_names_of_trellis_are_read(tmp_path):
    root = write_trellis(tmp_path)
    path = root / "TRELLIS-image-large" / "ckpts" / "slat_dec_mesh.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"name": f"Elastic{content['name']}"}))
    assert "mesh-decoder" in open_release(release("trellis-large"), root).parts


def test_a_file_of_another_network_is_named(tmp_path):
    root = write_trellis(tmp_path)
    folder = root / "TRELLIS-image-large" / "ckpts"
    (folder / "slat_flow.safetensors").write_bytes((folder / "ss_dec.safetensors").read_bytes())
    part = open_release(release("trellis-large"), root).parts["slat-flow"]
    with pytest.raises(CheckpointError, match=r"slat_flow\.safetensors: .*missing"):
        load_part(part, torch.float32)


def test_yaml_is_read_when_the_extra_is_there(tmp_path):
    yaml = pytest.importorskip("yaml")
    root = write_iscene(tmp_path)
    path = root / "IScene" / "config.yml"
    path.write_text(yaml.safe_dump(json.loads(path.read_text())))
    assert (
        open_release(release("trellis-iscene"), root)
        .parts["structure-flow"]
        .config["args"]["scene_context_attn_num"]
        == 2
    )
    path.write_text("a: [1")
    with pytest.raises(CheckpointError, match="is not YAML"):
        open_release(release("trellis-iscene"), root)


def test_provenance_names_every_file_or_its_size(roots):
    found = open_release(release("midi-3d"), roots["midi-3d"]).provenance()
    assert found["name"] == "midi-3d" and set(found["sha256"]) == {"clip", "dino", "flow", "vae"}


@pytest.fixture
def read(monkeypatch):
    """The names of the networks that are read, in their order."""
    found = []

    def noted(part, dtype):
        found.append(part.name)
        return load_part(part, dtype)

    monkeypatch.setattr("maquette.checkpoints.released.load_part", noted)
    return found


def test_a_second_photo_reads_no_network_again(roots, read):
    models = PublishedSet(open_release(release("triposg"), roots["triposg"]), None)
    for objects in (2, 3):
        networks = models.networks(CPU, objects, 2**40, "fp32")
        assert not networks.plan.staged
        for part in ("dino", "flow", "vae"):
            with networks.stage(part, part):
                pass
        assert set(networks.report()["measured_mb"]) == {"dino", "flow", "vae"}
    assert read == ["dino", "flow", "vae"]
    with models.networks(CPU, 2, 2**40, "bf16").stage("image", "dino") as (half,):
        assert half.state_dict()["blocks.0.attn.to_qkv.weight"].dtype is torch.bfloat16
    assert read[3:] == ["dino"]  # in another precision it is another network


def test_a_plan_of_stages_keeps_nothing_that_an_earlier_one_has_left(roots, read, monkeypatch):
    models = PublishedSet(open_release(release("triposg"), roots["triposg"]), None)
    with models.networks(CPU, 2, 2**40, "fp32").stage("image", "dino") as (network,):
        loaded = sum(p.nbytes for p in network.parameters())
    asked = []

    def staged(*given, loaded, **options):
        asked.append(loaded)
        return MemoryPlan(staged=True)

    monkeypatch.setattr("maquette.checkpoints.released.choose_plan", staged)
    networks = models.networks(CPU, 2)
    assert networks.held == {} and asked[0] >= loaded  # the plan knew that it was there
    with networks.stage("image", "dino"):
        assert len(networks.held) == 1
    assert networks.held == {} and read == ["dino", "dino"]
