/** The camera of the photo: where it stands, and the projection that lays the 3D picture exactly over the photo in a view of any shape. */

import * as THREE from "../three/three.module.min.js";

const NONE = { x: 0, y: 0 };

/** Pose (position, quaternion) of glTF/three axes from an OpenCV pose, 4x4 nested rows, in scene units. */
export function poseFromOpenCV(worldFromCamera) {
  const matrix = new THREE.Matrix4().set(...worldFromCamera.flat());
  const elements = matrix.elements;
  for (let row = 0; row < 3; row++) {
    elements[4 + row] = -elements[4 + row]; // y down -> y up
    elements[8 + row] = -elements[8 + row]; // z forward -> z backward
  }
  const position = new THREE.Vector3(), quaternion = new THREE.Quaternion(), scale = new THREE.Vector3();
  matrix.decompose(position, quaternion, scale);
  return { position, quaternion };
}

/** The photo's rectangle in a view, in CSS pixels: as large as fits beside a margin {x, y}, centred. */
export function photoRectangle(photo, viewWidth, viewHeight, margin = NONE) {
  const scale = Math.max(Math.min((viewWidth - 2 * margin.x) / photo.width, (viewHeight - 2 * margin.y) / photo.height), 1e-3);
  const width = photo.width * scale, height = photo.height * scale;
  return { left: (viewWidth - width) / 2, top: (viewHeight - height) / 2, width, height, scale };
}

/** Set a PerspectiveCamera's projection so that the photo's pixels fall onto its rectangle in the view. */
export function projectLikePhoto(camera, photo, viewWidth, viewHeight, margin = NONE) {
  const rectangle = photoRectangle(photo, viewWidth, viewHeight, margin);
  const [[fx, , cx], [, fy, cy]] = photo.intrinsics;
  const k = rectangle.scale, near = camera.near;
  const left = (-(cx * k + rectangle.left) / (fx * k)) * near;
  const right = ((viewWidth - cx * k - rectangle.left) / (fx * k)) * near;
  const top = ((cy * k + rectangle.top) / (fy * k)) * near;
  const bottom = (-(viewHeight - cy * k - rectangle.top) / (fy * k)) * near;
  camera.projectionMatrix.makePerspective(left, right, top, bottom, near, camera.far);
  camera.projectionMatrixInverse.copy(camera.projectionMatrix).invert();
  return rectangle;
}

/** Vertical field of view in degrees of a centred view that shows the same as the photo's camera does in this view. */
export function fieldOfView(photo, viewWidth, viewHeight, margin = NONE) {
  const { scale } = photoRectangle(photo, viewWidth, viewHeight, margin);
  return THREE.MathUtils.radToDeg(2 * Math.atan(viewHeight / (2 * photo.intrinsics[1][1] * scale)));
}

/** The camera node of a GLB file as scene.json's camera: in scene units of the file, OpenCV axes. */
export function fromGltfCamera(node) {
  node.updateMatrixWorld(true);
  const { width = 1000 * node.aspect, height = 1000, intrinsics } = node.userData;
  const focal = height / (2 * Math.tan(THREE.MathUtils.degToRad(node.fov) / 2));
  const k = intrinsics ?? [focal, 0, width / 2, 0, focal, height / 2, 0, 0, 1];
  const e = node.matrixWorld.elements;
  const rows = [0, 1, 2].map((row) => [e[row], -e[4 + row], -e[8 + row], e[12 + row]]);
  return { width, height, intrinsics: [k.slice(0, 3), k.slice(3, 6), k.slice(6, 9)], world_from_camera: [...rows, [0, 0, 0, 1]] };
}
