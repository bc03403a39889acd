/**
 * A 3D view of a maquette scene, for the page and for reports. No network of its own beyond the addresses it is given, no framework.
 *
 *   const viewer = new Viewer(element);
 *   await viewer.loadGlb("scene.glb");                     // a whole file: nodes instance_<label>, the camera node, extras
 *   await viewer.setInstances([{label, glb, world_from_instance, ...}], camera);   // or objects one by one, as the job API gives them
 *
 * Frame: the scene's (+Y up); matrices are 4x4 nested rows. Colours come from CSS variables of the element: --viewer-grid,
 * --viewer-grid-strength, --viewer-shadow, --viewer-accent. The background is the element's own. It draws only when something changed.
 * Ground, floor and walls have `around`: they are no objects (nobody picks or frames them), and look.around names the nodes that are shown.
 *
 * Events, by on(name, callback), which returns its own end: select (label or null), transform (label, world_from_instance),
 * camera, turn (true while the scene turns by itself), photo (true while the picture is seen as the photo's camera saw it), loading (number of files under way), drawn.
 */

import * as THREE from "../three/three.module.min.js";
import { GLTFLoader } from "../three/GLTFLoader.js";
import { Eye } from "./eye.js";
import { Gizmo } from "./gizmo.js";
import { Outline, paint } from "./looks.js";
import { fromGltfCamera } from "./photo-camera.js";
import { Ground, createEnvironment, createLights, createRenderer } from "./stage.js";

const CLICK_SLOP = 5; // CSS pixels a pointer may move and still click

export class Viewer {
  #listeners = new Map();
  #files = new Map(); // address -> promise of a parsed file
  #instances = new Map(); // label -> {record, node}
  #pending = new Map(); // label -> the address that is being loaded for it
  #frame = 0;
  #stale = true; // the contact shadow
  #units = 1; // lengths of the view per scene unit: metres_per_unit of a file that has it

  /** Build a view into an element, which gets a canvas that fills it. Throws an Error when the browser has no WebGL. */
  constructor(host, { label = "3D view of the scene" } = {}) {
    this.host = host;
    this.photoImage = Object.assign(document.createElement("img"), { className: "viewer-photo", alt: "", hidden: true, draggable: false });
    this.canvas = Object.assign(document.createElement("canvas"), { className: "viewer-canvas", tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.renderer = createRenderer(this.canvas);
    host.append(this.photoImage, this.canvas);
    this.scene = new THREE.Scene();
    this.scene.environment = createEnvironment(this.renderer);
    this.scene.environmentIntensity = 1;
    this.objects = new THREE.Group();
    this.around = new THREE.Group();
    this.ground = new Ground();
    this.ground.place(-0.3, { x: 0, z: 0 }, 1); // until there is something
    this.outline = new Outline(2.2);
    this.scene.add(this.objects, this.around, this.ground.group, this.outline.group, createLights());
    this.eye = new Eye(this);
    this.camera = this.eye.camera;
    this.gizmo = new Gizmo(this);
    this.look = { colouring: "photo", wireframe: false, grid: true, around: [] };
    this.selected = null;
    this.#listen();
    this.refreshTheme();
  }

  // Events

  on(name, callback) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(callback);
    return () => this.#listeners.get(name).delete(callback);
  }

  emit(name, ...values) {
    this.#listeners.get(name)?.forEach((callback) => callback(...values));
  }

  #listen() {
    this.resizer = new ResizeObserver(() => this.#resize());
    this.resizer.observe(this.host);
    let down = null;
    this.canvas.addEventListener("pointerdown", (event) => { down = event.isPrimary && event.button === 0 ? event : null; });
    this.canvas.addEventListener("pointerup", (event) => {
      const still = down && Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) <= CLICK_SLOP;
      if (still && !this.gizmo.busy) this.select(this.pick(event.clientX, event.clientY));
      down = null;
    });
    this.canvas.addEventListener("dblclick", (event) => {
      const label = this.pick(event.clientX, event.clientY);
      this.frame(label === null ? null : [label]);
    });
  }

  // What is in it

  /** Show a whole GLB file, by address or as an ArrayBuffer. Returns what its extras say: labels, failures, ground height. */
  async loadGlb(source) {
    const gltf = source instanceof ArrayBuffer ? await new GLTFLoader().parseAsync(source, "") : await this.#parsed(source);
    this.clear();
    const extras = gltf.scene.userData;
    this.#units = extras.metres_per_unit ?? 1;
    const camera = gltf.scene.children.find((node) => node.isCamera);
    for (const node of [...gltf.scene.children]) {
      if (node.isCamera) continue;
      const { label, confidence = null, name = "", seed, around = false } = node.userData;
      this.#place(label ?? this.#instances.size + 1, node, { label, confidence, node: node.name, name, seed, around });
    }
    this.#settle(extras.ground_height);
    if (camera) this.setCamera(fromGltfCamera(camera));
    return { labels: this.labels(), ...extras };
  }

  /**
   * Show these objects and no others: [{label, glb, world_from_instance, color, confidence, hidden}]. Files that are there already are
   * not fetched again. `camera` as in scene.json; ground is the height of the ground plane. Resolves when all are shown.
   */
  async setInstances(records, { camera = null, ground = null } = {}) {
    const wanted = new Set(records.map((record) => record.label));
    for (const label of this.labels()) if (!wanted.has(label)) this.removeInstance(label);
    for (const label of this.#pending.keys()) if (!wanted.has(label)) this.#pending.delete(label);
    if (camera) this.setCamera(camera);
    await Promise.all(records.map((record) => this.setInstance(record, false)));
    this.#settle(ground);
  }

  /** Show or change one object; see setInstances. */
  async setInstance(record, settle = true) {
    const there = this.#instances.get(record.label);
    if (there?.record.glb === record.glb) {
      this.#pending.delete(record.label);
      this.#place(record.label, there.node, record);
    } else {
      this.#pending.set(record.label, record.glb);
      const file = await this.#parsed(record.glb);
      if (this.#pending.get(record.label) !== record.glb) return; // something newer came meanwhile
      this.#pending.delete(record.label);
      const node = new THREE.Group();
      node.add(file.scene.clone(true));
      node.traverse((part) => { if (part.isMesh) part.userData = {}; }); // clones share userData.own otherwise
      this.#place(record.label, node, record);
    }
    if (settle) this.#settle();
  }

  #place(label, node, record) {
    if (this.#instances.get(label)?.node !== node) this.removeInstance(label, false);
    this.#instances.set(label, { record: { ...record, label }, node });
    node.userData.label = label;
    if (record.world_from_instance) {
      node.matrixAutoUpdate = true;
      new THREE.Matrix4().set(...record.world_from_instance.flat()).decompose(node.position, node.quaternion, node.scale);
    }
    node.visible = this.#shows(record);
    (record.around ? this.around : this.objects).add(node);
    node.traverse((part) => { if (part.isMesh) paint(part, this.#instances.get(label).record, this.look.colouring, this.look.wireframe); });
    if (label === this.selected) this.#highlight();
    this.invalidate(true);
  }

  #shows = ({ hidden, around, node }) => (around ? this.look.around.includes(node) : !hidden);

  /** Take an object out of the view. */
  removeInstance(label, deselect = true) {
    const there = this.#instances.get(label);
    if (!there) return;
    there.node.removeFromParent();
    this.#instances.delete(label);
    if (label === this.selected && deselect) this.select(null);
    this.invalidate(true);
  }

  /** Take everything out. */
  clear() {
    this.#pending.clear();
    this.select(null);
    for (const label of this.labels()) this.removeInstance(label);
  }

  /** Forget the scene, its photo and its camera. */
  reset() {
    this.clear();
    this.eye.placed = false;
    this.groundHeight = undefined;
    this.setCamera(null);
    this.setPhoto(null);
  }

  labels() {
    return [...this.#instances.keys()];
  }

  /** Where an object stands now: 4x4 nested rows in scene units, a similarity. */
  worldFromInstance(label) {
    const { node } = this.#instances.get(label);
    node.updateMatrix();
    const e = node.matrix.elements;
    return [0, 1, 2, 3].map((row) => [0, 4, 8, 12].map((column) => (row < 3 ? e[column + row] / this.#units : e[column + row])));
  }

  node(label) {
    return this.#instances.get(label)?.node ?? null;
  }

  #parsed(address) {
    if (!this.#files.has(address)) {
      const loading = new GLTFLoader().loadAsync(address);
      this.#files.set(address, loading);
      loading.catch(() => this.#files.delete(address)); // so that it can be tried again
    }
    return this.#files.get(address);
  }

  /** The box of all visible objects, or of those with these labels. */
  box(labels = null) {
    const box = new THREE.Box3();
    for (const [label, { node }] of this.#instances) {
      if (labels ? labels.includes(label) : node.visible && node.parent === this.objects) box.expandByObject(node);
    }
    return box;
  }

  #settle(ground = null) {
    const box = this.box();
    if (box.isEmpty()) return;
    const size = box.getSize(new THREE.Vector3()), centre = box.getCenter(new THREE.Vector3());
    this.extent = Math.max(size.x, size.y, size.z);
    this.groundHeight = ground ?? this.groundHeight ?? box.min.y;
    this.ground.place(Math.min(this.groundHeight, box.min.y + 0.02 * this.extent), centre, this.extent);
    this.eye.setReach(this.extent);
    this.invalidate(true);
  }

  // Selection and looks

  /** The label of the object under a point of the window, or null. */
  pick(clientX, clientY) {
    const rectangle = this.canvas.getBoundingClientRect();
    const point = new THREE.Vector2(((clientX - rectangle.left) / rectangle.width) * 2 - 1, 1 - ((clientY - rectangle.top) / rectangle.height) * 2);
    const caster = new THREE.Raycaster();
    caster.setFromCamera(point, this.camera);
    const hit = caster.intersectObjects(this.objects.children.filter((node) => node.visible), true)[0];
    let node = hit?.object ?? null;
    while (node && node.parent !== this.objects) node = node.parent;
    return node ? node.userData.label : null;
  }

  /** Select an object by its label, or nothing by null. */
  select(label) {
    const known = this.#instances.has(label) ? label : null;
    if (known === this.selected) return;
    this.selected = known;
    this.#highlight();
    this.emit("select", known);
  }

  #highlight() {
    const node = this.node(this.selected);
    this.outline.around(node);
    this.gizmo.attach(node);
    this.invalidate();
  }

  /** Change how objects are painted, and what of their surroundings is shown, by node: {colouring, wireframe, grid, around}. */
  setLook(look) {
    Object.assign(this.look, look);
    for (const { node, record } of this.#instances.values()) {
      node.visible = this.#shows(record);
      node.traverse((part) => { if (part.isMesh) paint(part, record, this.look.colouring, this.look.wireframe); });
    }
    this.invalidate();
  }

  /** Read the colours of the theme again. */
  refreshTheme() {
    const style = getComputedStyle(this.host);
    const value = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
    this.accent = value("--viewer-accent", "#3b82f6");
    this.ground.paint(value("--viewer-grid", "#808080"), Number(value("--viewer-grid-strength", "0.5")), Number(value("--viewer-shadow", "1")));
    this.invalidate();
  }

  // Cameras: see eye.js

  /** Tell the photo's camera (as in scene.json); the view starts there. */
  setCamera(camera) {
    this.eye.setPhotoCamera(camera);
  }

  /** The photo itself, shown behind the objects in the photo's view. Null takes it away. */
  setPhoto(address) {
    this.photoAddress = address ?? null;
    if (address) this.photoImage.src = address;
    else this.photoImage.removeAttribute("src");
    this.eye.layoutPhoto();
  }

  /** How much of the 3D picture covers the photo in the photo's view, 0 to 1. */
  setBlend(share) {
    this.eye.blend = share;
    this.eye.layoutPhoto();
  }

  get hasCamera() { return this.eye.hasPhotoCamera; }

  get photoMode() { return this.eye.photoMode; }

  /** See the scene as the photo's camera saw it. */
  viewPhoto(animated = true) {
    this.eye.viewPhoto(animated);
  }

  /** Fill the view with all objects, or with those of these labels; keeps the direction. */
  frame(labels = null, animated = true) {
    this.eye.frame(this.box(labels), animated);
  }

  /** Look along a direction given as (x, y, z) from the centre, such as (0, 1, 0.001) for the view from above. */
  viewFrom(x, y, z, animated = true) {
    this.eye.viewFrom(this.box(), x, y, z, animated);
  }

  /** Let the scene turn slowly until it is touched. */
  turn(on = true) {
    this.eye.turn(on);
  }

  get turning() { return this.eye.turning; }

  cameraState() {
    return this.eye.state();
  }

  adoptCamera(state) {
    this.eye.adopt(state);
  }

  // Drawing

  /** Draw soon; `moved` when objects changed, so that their shadow must follow. */
  invalidate(moved = false) {
    this.#stale ||= moved;
    this.#frame ||= requestAnimationFrame((now) => this.#draw(now));
  }

  #resize() {
    this.width = Math.max(1, this.host.clientWidth);
    this.height = Math.max(1, this.host.clientHeight);
    this.renderer.setSize(this.width, this.height, false);
    this.eye.resized();
    this.#draw(performance.now()); // at once: a resized canvas is empty
  }

  #draw(now) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (!this.width || !this.host.isConnected) return;
    const moving = this.eye.advance(now);
    if (this.#stale) {
      this.ground.update(this.renderer, this.objects);
      this.#stale = false;
    }
    this.ground.grid.visible = this.look.grid && this.photoImage.hidden && !this.around.children.some((node) => node.visible);
    this.outline.follow(this.width, this.height, this.accent);
    this.eye.project();
    this.renderer.render(this.scene, this.camera);
    if (moving) this.invalidate();
    this.emit("drawn");
  }

  /** A PNG (Blob) of the view as it is, without outline and gizmo. With `background` "transparent" or a CSS colour. */
  async snapshot({ background = "transparent" } = {}) {
    const { selected } = this;
    this.outline.around(null);
    this.gizmo.attach(null);
    const picture = document.createElement("canvas");
    Object.assign(picture, { width: this.canvas.width, height: this.canvas.height });
    const context = picture.getContext("2d"), ratio = this.renderer.getPixelRatio();
    if (background !== "transparent") {
      context.fillStyle = background;
      context.fillRect(0, 0, picture.width, picture.height);
    }
    if (!this.photoImage.hidden) {
      const { left, top, width, height } = this.eye.photoRectangle();
      context.drawImage(this.photoImage, left * ratio, top * ratio, width * ratio, height * ratio);
      context.globalAlpha = this.eye.blend;
    }
    this.#draw(performance.now());
    context.drawImage(this.canvas, 0, 0); // in the same task as the drawing, while the picture is still there
    this.selected = selected;
    this.#highlight();
    return new Promise((resolve) => picture.toBlob(resolve, "image/png"));
  }

  /** Give everything back to the browser. */
  dispose() {
    cancelAnimationFrame(this.#frame);
    this.resizer.disconnect();
    this.clear();
    [this.eye, this.gizmo, this.ground, this.outline, this.scene.environment, this.renderer].forEach((part) => part.dispose());
    this.renderer.forceContextLoss();
    this.canvas.remove();
    this.photoImage.remove();
  }
}
