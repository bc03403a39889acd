import numpy as np
import pytest
import trimesh

from maquette.data.catalogue import Catalogue, seamless_normals
from maquette.errors import InputError
from tests.data.toys import Toys, toy, toy_table


def test_an_empty_library_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        Catalogue.of(Toys(()))


def test_only_wide_flat_tops_are_tables() -> None:
    assets = (
        toy_table(),
        toy(trimesh.creation.icosphere()),
        toy(trimesh.creation.box((1, 0.4, 1))),
        toy(trimesh.creation.cone(0.5, 0.5)),
    )
    assert Catalogue.of(Toys(assets)).tables.tolist() == [0, 2]


def test_normals_point_outwards_across_seams() -> None:
    sphere = trimesh.creation.icosphere(3)
    soup = (
        sphere.vertices[sphere.faces].reshape(-1, 3).astype(np.float32)
    )  # every triangle has its own corners
    normals = seamless_normals(soup, np.arange(len(soup)).reshape(-1, 3))
    assert (np.einsum("vc,vc->v", normals, soup) > 0.999).all()
