/** A scene of a report in 3D: prediction and truth side by side with one camera, alone, or over each other. */

import * as THREE from "../three/three.module.min.js";
import { GLTFLoader } from "../three/GLTFLoader.js";
import { labelColour } from "../viewer/looks.js";
import { Viewer } from "../viewer/viewer.js";

const MARGIN = { x: 22, y: 44 }; // CSS pixels around the photo
const choices = { show: "both", colour: "photo", place: "given", behind: false }; // kept from scene to scene
let current = null; // {views, ended, ...} of the open scene

/** Show a scene; what was shown before is given back. */
export async function showScene(context) {
  hideScene();
  const { scene, method, index, mesh, element } = context;
  const result = scene.results[method];
  const mine = (current = { ...context, result, views: {}, ends: [] });
  document.getElementById("viewer-name").textContent = scene.name;
  const label = index.methods.find(({ name }) => name === method).label;
  const hosts = {};
  for (const [name, caption] of [["prediction", label], ["truth", "ground truth"]]) {
    hosts[name] = element("div", { className: "view" }, element("div", { className: "caption", textContent: caption }));
    hosts[name].dataset.view = name;
  }
  document.getElementById("views").replaceChildren(hosts.prediction, hosts.truth);
  showSide(mine);
  showChoices(mine);
  const [predicted, truth] = await Promise.all([mesh(scene.name, `of-${method}`), mesh(scene.name, "truth")]);
  if (current !== mine) return;
  for (const [name, file] of [["prediction", predicted], ["truth", truth]]) {
    if (file) await addView(mine, name, hosts[name], file);
    else hosts[name].append(element("div", { className: "wait", textContent: result.error || "nothing was made" }));
    if (current !== mine) return;
  }
  if (mine.views.prediction) await addGhost(mine, truth);
  if (current !== mine) return;
  if (mine.views.prediction && mine.views.truth) link(mine);
  apply(mine);
  photoView(mine);
  document.dispatchEvent(new CustomEvent("scene-shown"));
}

/** Give everything back to the browser. */
export function hideScene() {
  if (!current) return;
  current.ends.forEach((end) => end());
  Object.values(current.views).forEach((view) => view.dispose());
  document.getElementById("views").replaceChildren();
  current = null;
}

async function addView(mine, name, host, file) {
  const view = new Viewer(host, { label: `${name} of ${mine.scene.name}` });
  mine.views[name] = view;
  const camera = (name === "prediction" && mine.result.camera) || mine.scene.camera;
  if (camera) view.setCamera(camera);
  await view.loadGlb(file);
  view.eye.margin = MARGIN;
  mine.ends.push(view.on("select", (label) => select(mine, label, view)));
}

/** Both views look from the same place while one is turned; as the photo's camera saw it, each has its own camera. */
function link(mine) {
  const follow = (from, to) => from.on("camera", () => {
    if (mine.copying || from.photoMode) return;
    mine.copying = true;
    to.adoptCamera(from.cameraState());
    mine.copying = false;
  });
  mine.ends.push(follow(mine.views.prediction, mine.views.truth), follow(mine.views.truth, mine.views.prediction));
}

/** The truth as fine lines in the prediction's view, for looking at both at once. */
async function addGhost(mine, file) {
  const gltf = await new GLTFLoader().parseAsync(file.slice(0), "");
  mine.ghost = gltf.scene;
  mine.ghost.traverse((part) => {
    if (part.isMesh) part.material = new THREE.MeshBasicMaterial({ color: labelColour(part.parent?.userData.label ?? part.userData.label ?? 1), wireframe: true, transparent: true, opacity: 0.28, depthWrite: false });
  });
  mine.ghost.visible = false;
  mine.views.prediction.scene.add(mine.ghost);
}

// What is shown

function showChoices(mine) {
  const { result, scene } = mine;
  const offer = (id, options) => {
    document.getElementById(id).replaceChildren(...options.map(([value, text, enabled = true]) => {
      const button = mine.element("button", { type: "button", textContent: text, disabled: !enabled });
      button.setAttribute("role", "radio");
      button.dataset.value = value;
      button.addEventListener("click", () => { choices[id] = value; apply(mine); });
      return button;
    }));
  };
  offer("show", [["prediction", "Prediction"], ["truth", "Truth"], ["both", "Both"], ["over", "Overlay", result.there]]);
  offer("colour", [["photo", "Colours"], ["instance", "Instances"], ["clay", "Clay"]]);
  offer("place", [["given", "As given"], ["aligned", "Aligned", Boolean(result.aligned)]]);
  const known = Boolean(scene.camera || result.camera), [view, behind] = ["photo-view", "photo-behind"].map((id) => document.getElementById(id));
  view.disabled = behind.disabled = !known;
  view.onclick = () => photoView(mine);
  behind.onclick = () => {
    choices.behind = !choices.behind;
    apply(mine);
    if (choices.behind) photoView(mine);
  };
}

function apply(mine) {
  const { views, result } = mine;
  const show = choices.show === "over" && !result.there ? "both" : choices.show;
  const place = result.aligned ? choices.place : "given";
  for (const [id, value] of Object.entries({ show, colour: choices.colour, place })) {
    for (const button of document.getElementById(id).children) button.setAttribute("aria-checked", String(button.dataset.value === value));
  }
  const visible = { prediction: show !== "truth", truth: show === "truth" || show === "both" };
  document.getElementById("photo-behind").setAttribute("aria-pressed", String(choices.behind));
  for (const host of document.getElementById("views").children) host.hidden = !visible[host.dataset.view];
  if (mine.ghost) mine.ghost.visible = show === "over";
  if (views.prediction) {
    const matrix = new THREE.Matrix4();
    if (place === "aligned") matrix.set(...result.aligned.flat());
    matrix.decompose(views.prediction.objects.position, views.prediction.objects.quaternion, views.prediction.objects.scale);
    views.prediction.objects.updateMatrixWorld(true);
  }
  for (const view of Object.values(views)) {
    view.setLook({ colouring: choices.colour });
    if (view.hasCamera) view.setPhoto(choices.behind ? mine.picture(mine.scene.name, "photo") : null);
    view.invalidate(true);
  }
}

/** As the photo's camera saw it; each view has its own camera, the prediction its estimate. */
function photoView(mine) {
  mine.copying = true;
  for (const view of Object.values(mine.views)) {
    if (view.hasCamera) view.viewPhoto(false);
    else view.frame(null, false);
  }
  mine.copying = false;
}

function select(mine, label, from) {
  for (const view of Object.values(mine.views)) if (view !== from) view.select(label);
  for (const row of document.querySelectorAll("#side tr[data-label]")) row.classList.toggle("selected", Number(row.dataset.label) === label);
}

// The panel beside it

function showSide(mine) {
  const { scene, result, index, element, shown, heading, picture } = mine;
  const figures = element("dl", { className: "figures" });
  const wanted = ["f_s", "f_o", "iou_b", "cd_s", "cd_o", "silhouette", "f_s_raw", "iou_b_raw"].filter((key) => result.metrics[key] !== null);
  for (const key of wanted) figures.append(element("div", {}, element("dt", { textContent: heading(key) }), element("dd", { textContent: shown(key, result.metrics[key]) })));
  if (result.seconds !== null) figures.append(element("div", {}, element("dt", { textContent: "seconds" }), element("dd", { textContent: result.seconds.toFixed(1) })));
  const body = element("tbody");
  for (const object of scene.objects) {
    const score = result.objects[`instance_${object.label}`];
    const chip = element("span", { className: "chip" });
    chip.style.background = labelColour(object.label);
    const name = element("th", { className: "name", scope: "row" }, chip, object.name || `instance_${object.label}`);
    const row = element("tr", {}, name);
    row.dataset.label = object.label;
    if (score?.miss) row.append(element("td", { colSpan: 3, className: "missed", textContent: "missed", title: score.miss }));
    else for (const key of ["f_o", "iou_b"]) row.append(element("td", { textContent: shown(key, score?.[key]) }));
    if (!score?.miss) row.append(element("td", { textContent: object.hidden === null ? "–" : `${Math.round(100 * object.hidden)} %` }));
    row.addEventListener("click", () => Object.values(mine.views).forEach((view) => view.select(object.label)));
    body.append(row);
  }
  const head = element("thead", {}, element("tr", {}, element("th", { className: "name", textContent: "object" }), element("th", { textContent: "F-O" }), element("th", { textContent: "IoU-B" }), element("th", { textContent: "hidden" })));
  const parts = [element("img", { src: picture(scene.name, "photo"), alt: `photo of ${scene.name}` })];
  if (result.error) parts.push(element("p", { className: "problem", textContent: result.error }));
  parts.push(figures, element("table", {}, head, body), element("p", { className: "note", textContent: `protocol ${index.protocol}; hidden = share that other objects cover` }));
  document.getElementById("side").replaceChildren(...parts);
}

document.addEventListener("theme", () => Object.values(current?.views ?? {}).forEach((view) => view.refreshTheme()));
document.addEventListener("keydown", (event) => { if (current && event.key.toLowerCase() === "p" && !event.ctrlKey && !event.metaKey) photoView(current); });
