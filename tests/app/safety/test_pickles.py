"""Nothing is ever unpickled: an array of objects is refused, and the object in it is never made."""

import io
import json
import pickle
import zipfile

import numpy as np
import pytest


class Bomb:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def numpy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.fixture
def bomb(tmp_path):
    return tmp_path / "exploded", np.array([[Bomb(tmp_path / "exploded")]], object)


def test_pickled_masks_are_refused(server, bomb):
    path, array = bomb
    archive = io.BytesIO()
    np.savez(archive, masks=array)
    photo = server.photo(masked=False)
    for name, content in (
        ("m.npy", numpy_bytes(array)),
        ("m.npz", archive.getvalue()),
        ("m.pkl", pickle.dumps(Bomb(path))),
    ):
        answer = server.send(f"/api/photos/{photo}/masks/import", [("file", name, content)])
        assert answer.status in (415, 422)
    assert not path.exists()


def test_pickled_states_of_scenes_are_refused(server, bomb):
    path, array = bomb
    saved = server.get(f"/api/scenes/{server.scene()['id']}/export?format=json").body
    state = io.BytesIO()
    stream = io.BytesIO()
    np.savez(state, cube=array)
    with zipfile.ZipFile(io.BytesIO(saved)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = state.getvalue() if name.endswith(".npz") else old.read(name)
            if name == "scene.json":  # without the sums of its files
                content = json.dumps({**json.loads(content), "files": {}})
            new.writestr(name, content)
    answer = server.send("/api/scenes", [("file", "s.zip", stream.getvalue())])
    assert answer.status == 422 and "objects" in answer.message
    assert not path.exists()
