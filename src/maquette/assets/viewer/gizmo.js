/** The handles that move, turn and scale the selected object. Scales stay uniform: an object's place is a similarity. */

import { TransformControls } from "../three/TransformControls.js";

export class Gizmo {
  #tool = "select";
  #before = null; // the scale at the start of a drag

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
    this.controls.detach();
    this.controls.dispose();
    this.viewer.scene.remove(this.helper);
  }
}
