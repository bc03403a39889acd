import numpy as np
import pytest

from maquette.data.catalogue import Catalogue
from maquette.data.rooms import compose_room, roles_of, room_shell
from maquette.data.scenes import placed_vertices
from tests.data.toys import Toys, toy
from tests.data.toys import trimesh as t


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.of(Toys.many())


def test_roles_come_from_names(catalogue: Catalogue) -> None:
    roles = {
        role: [catalogue.names[i] for i in members] for role, members in roles_of(catalogue).items()
    }
    assert roles["chair"] == ["chair-block"] and roles["table"] == ["table-toy"]
    assert roles["wall"] == ["cabinet-box"] and roles["floor"] == [
        "cabinet-box",
        "bin",
    ]  # "box" is a word of the floor's


def test_a_library_without_names_gets_roles_from_shapes() -> None:
    flat = toy(t.creation.box((1.0, 0.5, 0.8)), "a")
    tall = toy(t.creation.box((0.5, 1.0, 0.5)), "b")
    roles = roles_of(Catalogue.of(Toys((flat, tall))))
    assert (
        roles["table"].tolist() == [0]
        and roles["chair"].tolist() == [1]
        and len(roles["wall"]) == 2
    )


def test_everything_is_inside_of_the_room(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(0)
    for _ in range(80):
        scene = compose_room(catalogue, rng)
        assert scene.shell is not None
        for placement in scene.placements:
            corners = placed_vertices(catalogue, placement)[:, [0, 2]]
            assert (corners >= scene.shell.box[0] - 1e-5).all() and (
                corners <= scene.shell.box[1] + 1e-5
            ).all()


def test_cabinets_have_their_back_to_a_wall_and_look_inwards(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(1)
    cabinets = 0
    for _ in range(60):
        scene = compose_room(catalogue, rng)
        for placement in scene.placements:
            size = np.linalg.norm(placement.world_from_asset[:3, 0])
            lifted = placed_vertices(catalogue, placement)[:, 1].min() > 0.01
            if (
                catalogue.names[placement.asset] != "cabinet-box" or lifted or size < 1.21
            ):  # smaller ones may be scattered
                continue
            cabinets += 1
            front = placement.world_from_asset[[0, 2], 2] / size
            half = scene.shell.box[1]
            wall_distance = half[np.abs(front).argmax()]
            back = placed_vertices(catalogue, placement)[:, [0, 2]] @ -front
            assert wall_distance - back.max() == pytest.approx(0.04, abs=1e-4)
    assert cabinets > 30


def test_chairs_face_the_table(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(2)
    cosines = []
    for _ in range(60):
        scene = compose_room(catalogue, rng)
        tables = [p for p in scene.placements if catalogue.names[p.asset] == "table-toy"]
        for chair in (p for p in scene.placements if catalogue.names[p.asset] == "chair-block"):
            if (
                not tables or chair.world_from_asset[1, 3] > 0.6
            ):  # on a table: put there as a small object
                continue
            front = chair.world_from_asset[[0, 2], 2] / np.linalg.norm(
                chair.world_from_asset[[0, 2], 2]
            )
            towards = tables[0].world_from_asset[[0, 2], 3] - chair.world_from_asset[[0, 2], 3]
            cosines.append(front @ towards / np.linalg.norm(towards))
    assert len(cosines) > 30 and np.median(cosines) > 0.95


def test_walls_face_inwards_and_are_upright() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        shell = room_shell(np.array([2.0, 1.5]), rng)
        a, b, c = (shell.vertices[shell.faces[:, k]].astype(float) for k in range(3))
        normal = np.cross(b - a, c - a)
        upright = np.abs(normal[:, 1]) < 1e-6
        inwards = np.einsum("fc,fc->f", normal, np.array([0.0, 1.0, 0.0]) - a)
        assert (
            upright.sum() >= 8 and (inwards[upright] > 0).all() and (normal[~upright, 1] > 0).all()
        )
        assert shell.vertices[:, 1].min() >= 0.0
