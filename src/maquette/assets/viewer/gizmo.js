/** The handles that move, turn and scale the selected object. Scales stay uniform: an object's place is a similarity. */

import { Vector3 } from "../three/three.module.min.js";
import { TransformControls } from "../three/TransformControls.js";

/** What arrow keys mean: along the ground as the view is turned, up and down. */
const WAYS = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 0, -1], ArrowDown: [0, 0, 1], PageUp: [0, 1, 0], PageDown: [0, -1, 0] };
const STEP = { translate: 0.01, rotate: Math.PI / 36, scale: 1.03 }; // of the scene's extent; radians; a factor
const LARGE = 5; // steps at once, with Shift
const REST = 300; // milliseconds without a key, after which the object has its place

export class Gizmo {
  #tool = "select";
  #before = null; // the scale at the start of a drag
  #rest = 0; // timer of the keys

  constructor(viewer) {
    this.viewer = viewer;
    this.controls = new TransformControls(viewer.camera, viewer.canvas);
    this.controls.setSize(0.85);
    this.controls.setSpace("world");
    this.helper = this.controls.getHelper();
    viewer.scene.add(this.helper);
    this.controls.addEventListener("dragging-changed", ({ value }) => this.#dragging(value));
    this.controls.addEventListener("objectChange", () => this.#changed());
    this.controls.addEventListener("change", () => viewer.invalidate());
  }

  /** Whether a handle is held or under the pointer, so that a click is not a selection. */
  get busy() {
    return this.controls.dragging || this.controls.axis !== null || this.dragged;
  }

  get tool() {
    return this.#tool;
  }

  /** select (no handles), translate, rotate or scale. */
  setTool(tool) {
    this.#tool = tool;
    if (tool !== "select") {
      this.controls.setMode(tool);
      this.controls.setSpace(tool === "scale" ? "local" : "world");
    }
    this.attach(this.viewer.node(this.viewer.selected));
  }

  /** Steps of movement when true: 0.05 of the scene, 15 degrees, a tenth. */
  setSnapping(on) {
    this.controls.setTranslationSnap(on ? (this.viewer.extent ?? 1) * 0.05 : null);
    this.controls.setRotationSnap(on ? Math.PI / 12 : null);
    this.controls.setScaleSnap(on ? 0.1 : null);
  }

  /** Move, turn or scale the selected object by a step, as an arrow key says; tells whether the key meant something. */
  nudge(key, large) {
    const { viewer } = this, node = viewer.node(viewer.selected), way = WAYS[key], count = large ? LARGE : 1;
    if (!node || !way || this.#tool === "select" || this.controls.dragging) return false;
    const [x, y, z] = way;
    if (this.#tool === "translate") {
      const right = new Vector3().setFromMatrixColumn(viewer.camera.matrixWorld, 0).setY(0).normalize();
      const near = right.clone().cross(new Vector3(0, 1, 0)); // on the ground, towards the eye
      const step = STEP.translate * count * (viewer.extent ?? 1);
      node.position.addScaledVector(right, x * step).addScaledVector(near, z * step).addScaledVector(new Vector3(0, 1, 0), y * step);
    } else if (this.#tool === "rotate") node.rotateOnWorldAxis(new Vector3(0, 1, 0), (x + z) * STEP.rotate * count);
    else node.scale.multiplyScalar(STEP.scale ** ((x + y - z) * count));
    node.updateMatrix();
    viewer.invalidate(true);
    clearTimeout(this.#rest);
    const { label } = node.userData;
    this.#rest = setTimeout(() => { if (viewer.node(label) === node) viewer.emit("transform", label, viewer.worldFromInstance(label)); }, REST);
    return true;
  }

  attach(node) {
    if (node && this.#tool !== "select") this.controls.attach(node);
    else this.controls.detach();
    this.viewer.invalidate();
  }

  #dragging(on) {
    const { viewer } = this, node = this.controls.object;
    viewer.eye.controls.enabled = !on;
    if (on) {
      this.#before = { scale: node.scale.clone(), matrix: node.matrix.clone() };
      this.dragged = true;
    } else {
      setTimeout(() => { this.dragged = false; }); // after the click that ends the drag
      node.updateMatrix();
      if (!node.matrix.equals(this.#before.matrix)) viewer.emit("transform", node.userData.label, viewer.worldFromInstance(node.userData.label));
    }
  }

  #changed() {
    const node = this.controls.object;
    if (this.#tool === "scale" && this.#before) {
      const factors = ["x", "y", "z"].map((axis) => node.scale[axis] / this.#before.scale[axis]);
      const factor = factors.reduce((most, one) => (Math.abs(one - 1) > Math.abs(most - 1) ? one : most), 1);
      node.scale.copy(this.#before.scale).multiplyScalar(Math.min(Math.max(factor, 0.05), 20));
    }
    this.viewer.invalidate(true);
  }

  dispose() {
    clearTimeout(this.#rest);
    this.controls.detach();
    this.controls.dispose();
    this.viewer.scene.remove(this.helper);
  }
}
