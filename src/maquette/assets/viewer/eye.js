/** Where a viewer looks from: orbiting, flights from one place to another, and the view of the photo's own camera. */

import * as THREE from "../three/three.module.min.js";
import { OrbitControls } from "../three/OrbitControls.js";
import { fieldOfView, photoRectangle, poseFromOpenCV, projectLikePhoto } from "./photo-camera.js";

const FLIGHT = 420; // milliseconds
const FREE_FIELD = 38; // degrees, of a view that is not the photo's
const ROOM = 1.12; // around what is framed
const TURN = 0.9; // of OrbitControls: about a minute for a turn

const reducedMotion = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Eye {
  #flight = null;
  #photo = null; // {width, height, intrinsics, world_from_camera}

  constructor(viewer) {
    this.viewer = viewer;
    this.blend = 1; // of the 3D picture over the photo
    this.margin = { x: 0, y: 0 }; // CSS pixels beside and above the photo in the photo's view
    this.photoMode = false;
    this.camera = new THREE.PerspectiveCamera(FREE_FIELD, 1, 0.01, 100);
    this.camera.position.set(0.9, 0.7, 1.6);
    this.controls = new OrbitControls(this.camera, viewer.canvas);
    Object.assign(this.controls, { enableDamping: true, dampingFactor: 0.12, zoomToCursor: true, rotateSpeed: 0.9, maxPolarAngle: Math.PI * 0.58 });
    this.controls.addEventListener("change", () => this.#orbited());
    this.controls.addEventListener("start", () => this.turn(false));
    this.controls.autoRotateSpeed = TURN;
  }

  /** Go slowly around the scene until it is touched. Whoever wants less motion sees it standing. */
  turn(on) {
    const turning = on && !reducedMotion();
    if (turning === this.controls.autoRotate) return;
    this.controls.autoRotate = turning;
    this.viewer.emit("turn", turning);
    this.viewer.invalidate();
  }

  get turning() {
    return this.controls.autoRotate;
  }

  /** Tell the photo's camera (null: there is none); a view that has shown nothing yet starts there. */
  setPhotoCamera(camera) {
    this.#photo = camera;
    if (!camera) this.#setPhotoMode(false);
    else if (!this.placed || this.photoMode) this.viewPhoto(false);
  }

  get hasPhotoCamera() {
    return this.#photo !== null;
  }

  /** Distances that suit a scene of this size. */
  setReach(extent) {
    Object.assign(this.controls, { minDistance: extent * 0.05, maxDistance: extent * 20 });
    Object.assign(this.camera, { near: extent * 0.01, far: extent * 60 });
    this.camera.updateProjectionMatrix();
  }

  /** The photo's rectangle in the view, in CSS pixels. */
  photoRectangle() {
    return photoRectangle(this.#photo, this.viewer.width, this.viewer.height, this.margin);
  }

  viewPhoto(animated = true) {
    const { viewer } = this;
    if (!this.#photo || !viewer.width) return;
    const { position, quaternion } = poseFromOpenCV(this.#photo.world_from_camera);
    const forward = new THREE.Vector3(0, 0, -1).applyQuaternion(quaternion);
    const box = viewer.box();
    const middle = box.isEmpty() ? new THREE.Vector3() : box.getCenter(new THREE.Vector3());
    const depth = Math.max(middle.sub(position).dot(forward), this.camera.near * 10);
    const fov = fieldOfView(this.#photo, viewer.width, viewer.height, this.margin);
    this.#fly({ position, target: position.clone().addScaledVector(forward, depth), fov }, animated, true);
  }

  /** Look at a box, from the present direction or another. */
  frame(box, animated = true, direction = this.camera.position.clone().sub(this.controls.target)) {
    if (box.isEmpty() || !this.viewer.width) return;
    const backward = direction.clone().normalize();
    const right = new THREE.Vector3(0, 1, 0).cross(backward).normalize(), up = backward.clone().cross(right);
    const target = box.getCenter(new THREE.Vector3()), size = box.getSize(new THREE.Vector3()).multiplyScalar(0.5 * ROOM);
    const tangent = Math.tan((FREE_FIELD * Math.PI) / 360), aspect = this.viewer.width / this.viewer.height;
    let distance = this.camera.near * 2;
    for (let corner = 0; corner < 8; corner++) {
      const from = new THREE.Vector3(corner & 1 ? 1 : -1, corner & 2 ? 1 : -1, corner & 4 ? 1 : -1).multiply(size);
      distance = Math.max(distance, from.dot(backward) + Math.max(Math.abs(from.dot(right)) / aspect, Math.abs(from.dot(up))) / tangent);
    }
    this.#fly({ position: target.clone().addScaledVector(backward, distance), target, fov: FREE_FIELD }, animated);
  }

  /** Look at a box from a direction. */
  viewFrom(box, x, y, z, animated = true) {
    this.frame(box, animated, new THREE.Vector3(x, y, z));
  }

  state() {
    return { position: this.camera.position.clone(), target: this.controls.target.clone(), fov: this.camera.fov, photo: this.photoMode };
  }

  /** Look from where another view looks. */
  adopt(state) {
    this.#flight = null;
    this.#apply(state);
    this.#setPhotoMode(state.photo);
  }

  /** One step in time; tells whether there will be another. */
  advance(now) {
    if (!this.#flight) {
      if (!this.photoMode) this.controls.update(Math.min(now - (this.before ?? now), 100) / 1000);
      this.before = now;
      return this.turning;
    }
    const { start, goal, since, photo } = this.#flight;
    const share = Math.min(Math.max(now - since, 0) / FLIGHT, 1), eased = share * share * (3 - 2 * share);
    this.#apply({ position: start.position.clone().lerp(goal.position, eased), target: start.target.clone().lerp(goal.target, eased),
                  fov: start.fov + (goal.fov - start.fov) * eased }); // prettier-ignore
    if (share === 1) this.#arrive(photo);
    this.viewer.emit("camera");
    return share < 1;
  }

  /** Before drawing: in the photo's view the projection is the photo's, pixel for pixel. */
  project() {
    this.camera.updateMatrixWorld();
    if (this.photoMode) projectLikePhoto(this.camera, this.#photo, this.viewer.width, this.viewer.height, this.margin);
  }

  resized() {
    this.camera.aspect = this.viewer.width / this.viewer.height;
    this.camera.updateProjectionMatrix();
    if (this.photoMode || (this.#photo && !this.placed)) this.viewPhoto(false);
  }

  /** Put the photo where the objects are drawn. */
  layoutPhoto() {
    const { photoImage, canvas } = this.viewer;
    const shown = this.photoMode && photoImage.hasAttribute("src");
    photoImage.hidden = !shown;
    canvas.style.opacity = shown ? String(this.blend) : "";
    if (shown) {
      const { left, top, width, height } = this.photoRectangle();
      Object.assign(photoImage.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    }
    this.viewer.invalidate();
  }

  #apply({ position, target, fov }) {
    this.placed = true;
    this.camera.position.copy(position);
    this.controls.target.copy(target);
    this.camera.lookAt(target);
    this.camera.fov = fov;
    this.camera.updateProjectionMatrix();
    this.viewer.invalidate();
  }

  #fly(goal, animated, photo = false) {
    const start = this.state();
    this.#setPhotoMode(false);
    const still = !animated || document.hidden || reducedMotion();
    if (still) {
      this.#apply(goal);
      this.#arrive(photo);
      this.viewer.emit("camera");
    } else {
      this.#flight = { start, goal, photo, since: performance.now() };
      this.viewer.invalidate();
    }
  }

  #arrive(photo) {
    this.#flight = null;
    this.#setPhotoMode(photo);
  }

  #orbited() {
    if (this.#flight) return;
    this.#setPhotoMode(false);
    this.viewer.emit("camera");
    this.viewer.invalidate();
  }

  #setPhotoMode(on) {
    if (on) this.turn(false);
    const changed = on !== this.photoMode;
    this.photoMode = on;
    if (changed) {
      if (!on) this.camera.updateProjectionMatrix();
      this.viewer.emit("photo", on);
    }
    this.layoutPhoto();
  }

  dispose() {
    this.controls.dispose();
  }
}
