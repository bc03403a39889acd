import numpy as np
import trimesh

from maquette.geometry.transforms import rotation_x, rotation_y
from maquette.render.assemble import assemble, vertex_normals
from tests.document.scenes import make_scene


def test_every_vertex_stands_where_its_instance_puts_it():
    instances = make_scene().instances
    whole = assemble(instances)
    world = [
        trimesh.transform_points(np.asarray(i.mesh.vertices), i.world_from_instance)
        for i in instances
    ]
    assert np.abs(whole.vertices - np.concatenate(world)).max() < 1e-6
    assert np.array_equal(np.bincount(whole.face_instance), [len(i.mesh.faces) for i in instances])
    for position, instance in enumerate(instances):
        triangles = whole.vertices[whole.faces[whole.face_instance == position]]
        assert np.abs(triangles - world[position][np.asarray(instance.mesh.faces)]).max() < 1e-6


def test_colours_are_those_of_the_vertices():
    ball = make_scene().instances[0]
    assert np.array_equal(
        assemble([ball]).colors, np.asarray(ball.mesh.visual.vertex_colors)[:, :3]
    )


def test_nothing_is_an_empty_mesh():
    whole = assemble([])
    assert (
        whole.vertices.shape == (0, 3)
        and whole.faces.shape == (0, 3)
        and whole.colors.shape == (0, 3)
        and len(whole.face_instance) == 0
    )


def test_normals_of_a_sphere_are_its_radii():
    ball = trimesh.creation.icosphere(3)
    normals = vertex_normals(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert np.abs(normals - ball.vertices).max() < 0.02


def test_normals_turn_with_the_mesh_and_do_not_grow_with_it():
    mesh = trimesh.creation.torus(0.6, 0.2, major_sections=12, minor_sections=8)
    turn = rotation_y(0.7) @ rotation_x(-0.4)
    faces = np.asarray(mesh.faces)
    normals = vertex_normals(np.asarray(mesh.vertices), faces)
    assert (
        np.abs(vertex_normals(5.0 * mesh.vertices @ turn.T, faces) - normals @ turn.T).max() < 1e-5
    )
    assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 1e-5
    assert np.abs(vertex_normals(np.asarray(mesh.vertices), faces[:, ::-1]) + normals).max() < 1e-6


def test_a_face_without_area_says_nothing():
    flat = vertex_normals(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    assert np.array_equal(flat, np.zeros((3, 3)))
