import numpy as np
import trimesh

from maquette.geometry.connectivity import components, edges_of, proper, without_unused


def test_components_are_those_of_an_independent_search():
    balls = [trimesh.creation.icosphere(1), trimesh.creation.box(), trimesh.creation.cone(1, 1)]
    mesh = trimesh.util.concatenate(balls)
    found = components(edges_of(mesh.faces), len(mesh.vertices))
    expected = np.repeat(range(3), [len(ball.vertices) for ball in balls])
    assert np.array_equal(found, expected)
    assert len(np.unique(components(np.zeros((0, 2), int), 4))) == 4


def test_every_face_has_its_three_edges_in_order():
    edges = edges_of(np.array([[4, 7, 9]]))
    assert edges.tolist() == [[4, 7], [7, 9], [9, 4]]
    faces = np.array([[4, 7, 9], [4, 4, 9], [4, 9, 4], [9, 4, 4], [1, 2, 3]])
    assert proper(faces).tolist() == [[4, 7, 9], [1, 2, 3]]


def test_unused_vertices_go_and_the_surface_stays():
    box = trimesh.creation.box()
    vertices, faces = without_unused(np.asarray(box.vertices), np.asarray(box.faces[:3]))
    assert set(faces.flat) == set(range(len(vertices)))
    assert np.array_equal(vertices[faces], box.vertices[box.faces[:3]])
