import io
import json

import pytest
import torch

from maquette.checkpoints.catalogue import ReleasedFile
from maquette.checkpoints.fetch import (
    PIN_FILE,
    any_repository,
    check_release,
    check_space,
    fetch,
    locate,
    read_pin,
    survey,
)
from maquette.checkpoints.hub import RemoteFile
from maquette.errors import CheckpointError, InputError, OutputError
from tests.checkpoints.releases import BLOB, COMMIT, FakeHub, release, sha256

FILES = {"config.json": b"{}", "model.safetensors": BLOB, "README.md": b"hello"}
KNOWN = release(
    ReleasedFile("config.json", about=2), ReleasedFile("model.safetensors", len(BLOB), sha256(BLOB))
)
UNKNOWN = release(
    ReleasedFile("config.json", about=2),
    ReleasedFile("model.safetensors", about=10**6),
    revision=None,
)


def bring(wanted, root, hub):
    said = []
    fetch(survey(wanted, root, hub), root, hub, said.append)
    return said


def test_what_is_needed_arrives_and_only_that(tmp_path):
    hub = FakeHub(FILES)
    assert bring(KNOWN, tmp_path, hub) == []
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == BLOB
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        PIN_FILE,
        "config.json",
        "model.safetensors",
    ]
    assert read_pin(tmp_path / "model").revision == COMMIT and check_release(KNOWN, tmp_path) == []
    assert locate(KNOWN, tmp_path) == {"someone/model": tmp_path / "model"}


def test_a_complete_model_asks_nobody(tmp_path):
    bring(KNOWN, tmp_path, FakeHub(FILES))
    assert survey(KNOWN, tmp_path, None) == []


def test_an_interrupted_fetch_continues_with_the_missing_file(tmp_path):
    bring(KNOWN, tmp_path, FakeHub(FILES))
    (tmp_path / "model" / "model.safetensors").unlink()
    hub = FakeHub(FILES)
    bring(KNOWN, tmp_path, hub)
    assert hub.downloads == ["model.safetensors"]


def test_the_first_fetch_pins_what_nobody_had_recorded_and_says_so(tmp_path):
    said = bring(UNKNOWN, tmp_path, FakeHub(FILES))
    assert len(said) == 1 and sha256(BLOB) in said[0] and "recorded" in said[0]
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match="arrived damaged"
    ):  # the same commit with other content
        bring(UNKNOWN, tmp_path, FakeHub(FILES | {"model.safetensors": BLOB[::-1]}))


def test_content_that_differs_from_the_catalogue_is_refused_before_it_comes(tmp_path):
    for content in (BLOB[::-1], BLOB + b"x"):
        hub = FakeHub(FILES | {"model.safetensors": content})
        with pytest.raises(CheckpointError, match="the catalogue says"):
            survey(KNOWN, tmp_path, hub)
        assert hub.downloads == []


def test_a_file_that_is_damaged_on_the_way_is_named_and_deleted(tmp_path):
    class Noisy(FakeHub):
        def download(self, repository, commit, path, folder, size):
            super().download(repository, commit, path, folder, size)
            (folder / path).write_bytes(self.files[path][:-1])

    with pytest.raises(CheckpointError, match=r"model\.safetensors arrived damaged"):
        bring(KNOWN, tmp_path, Noisy(FILES))
    assert not (tmp_path / "model" / "model.safetensors").exists()


def test_a_file_that_changes_on_the_disk_is_found(tmp_path):
    bring(KNOWN, tmp_path, FakeHub(FILES))
    (tmp_path / "model" / "model.safetensors").write_bytes(BLOB[::-1])
    (tmp_path / "model" / "config.json").unlink()
    wrong = check_release(KNOWN, tmp_path)
    assert (
        len(wrong) == 2
        and any("missing" in line for line in wrong)
        and any("sha256" in line for line in wrong)
    )


def test_a_repository_that_lost_a_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        survey(KNOWN, tmp_path, FakeHub({"config.json": b"{}"}))


@pytest.mark.parametrize(
    "variant",
    [
        {"model.fp16.safetensors": BLOB},
        {
            "model.safetensors.index.json": b"{}",
            "model-00001-of-00002.safetensors": BLOB,
            "model-00002-of-00002.safetensors": BLOB[::-1],
        },
    ],
)
def test_half_precision_and_shards_stand_in_for_the_one_file(tmp_path, variant):
    hub = FakeHub({"config.json": b"{}"} | variant)
    bring(UNKNOWN, tmp_path, hub)
    assert set(read_pin(tmp_path / "model").files) == set(hub.files)
    assert survey(UNKNOWN, tmp_path, None) == []


def test_a_fetch_that_stopped_between_two_shards_goes_on(tmp_path):
    index = json.dumps(
        {
            "weight_map": {
                "a": "model-00001-of-00002.safetensors",
                "b": "model-00002-of-00002.safetensors",
            }
        }
    ).encode()
    hub = FakeHub(
        {
            "config.json": b"{}",
            "model.safetensors.index.json": index,
            "model-00001-of-00002.safetensors": BLOB,
            "model-00002-of-00002.safetensors": BLOB[::-1],
        }
    )
    fetch(survey(UNKNOWN, tmp_path, hub)[:-1], tmp_path, hub)
    assert [missing.path for missing in survey(UNKNOWN, tmp_path, hub)] == [
        "model-00002-of-00002.safetensors"
    ]
    bring(UNKNOWN, tmp_path, hub)
    assert survey(UNKNOWN, tmp_path, None) == []


def test_pickles_become_safetensors(tmp_path):
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(3.0)}, buffer)
    hub = FakeHub({"index.json": b"{}", "ckpts/denoiser.pt": buffer.getvalue()})
    wanted = release(
        ReleasedFile("index.json", about=9), ReleasedFile("ckpts/denoiser.pt", about=9)
    )
    said = bring(wanted, tmp_path, hub)
    folder = tmp_path / "model"
    assert any("is a pickle; its 1 tensors" in line for line in said)
    assert (folder / "ckpts" / "denoiser.safetensors").is_file() and not (
        folder / "ckpts" / "denoiser.pt"
    ).exists()
    assert survey(wanted, tmp_path, None) == [] and check_release(wanted, tmp_path) == []


def test_a_sum_is_held_to_where_the_commit_is_not_known(tmp_path):
    wanted = release(
        ReleasedFile("config.json", about=2),
        ReleasedFile("model.safetensors", None, sha256(BLOB), 10**6),
        revision=None,
    )
    assert [missing.trusted for missing in survey(wanted, tmp_path, FakeHub(FILES))] == [
        False,
        True,
    ]
    with pytest.raises(CheckpointError, match="the catalogue says"):
        survey(wanted, tmp_path, FakeHub(FILES | {"model.safetensors": BLOB[::-1]}))


def test_a_disk_that_is_too_small_is_named_before_anything_comes(tmp_path):
    with pytest.raises(OutputError, match=r"GB are free"):
        check_space(10**18, tmp_path / "not" / "yet")


def test_what_is_missing_names_the_command(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"someone/model should stand in .*maquette models fetch model --to"
    ):
        locate(KNOWN, tmp_path)


def test_a_folder_may_be_the_repository_itself(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert locate(KNOWN, tmp_path) == {"someone/model": tmp_path}


def test_a_damaged_record_is_named(tmp_path):
    bring(KNOWN, tmp_path, FakeHub(FILES))
    (tmp_path / "model" / PIN_FILE).write_text("{}")
    with pytest.raises(CheckpointError, match="damaged"):
        survey(KNOWN, tmp_path, FakeHub(FILES))


def test_any_repository_is_described_before_it_is_fetched():
    class Small(FakeHub):
        def listing(self, repository, revision):
            names = ["config.json", "README.md", "model.safetensors", "model.fp16.safetensors"]
            names += ["vocab.txt", "pytorch_model.bin", "onnx/model.onnx"]
            return "c" * 40, {name: RemoteFile(name, 1000, None) for name in names}

        def licence(self, repository):
            return "apache-2.0"

    found = any_repository("someone/eye", Small({}))
    (source,) = found.sources
    assert [file.path for file in source.files] == ["config.json", "vocab.txt", "model.safetensors"]
    assert "apache-2.0" in found.licence and found.bytes == 3000
    with pytest.raises(InputError, match="OWNER/NAME"):
        any_repository("no-such-model", Small({}))
