/** The viewers of the third screen: one, or two when comparing. They follow the store; what people do in them goes into it. */

import { Viewer } from "../../viewer/viewer.js";
import { linkCameras } from "../../viewer/link.js";
import { byId, h } from "../dom.js";
import { store } from "../store.js";
import { onTheme } from "../theme.js";
import { edit, methodTitle, nameOf } from "./actions.js";

/** Room for the controls above and below the photo. */
const MARGIN = { x: 14, y: 64 };

let left = null, right = null, unlink = null; // the viewers; the right one only when comparing
let shown = null; // id of the scene or job in the left view

export function mountViews() {
  onTheme(() => [left, right].forEach((viewer) => viewer?.refreshTheme()));
  store.watch(["screen", "job", "scene"], showLeft);
  store.watch(["other"], showRight);
  store.watch(["selected"], ({ selected }) => [left, right].forEach((viewer) => viewer?.select(selected)));
  store.watch(["look"], ({ look }) => [left, right].forEach((viewer) => viewer?.setLook(look)));
  store.watch(["again"], showAgain);
  store.watch(["blend"], ({ blend }) => [left, right].forEach((viewer) => viewer?.setBlend(blend)));
  store.watch(["sceneTool", "snapping"], ({ sceneTool, snapping }) => {
    left?.gizmo.setTool(sceneTool);
    left?.gizmo.setSnapping(snapping);
  });
}

/** The viewer of the scene, or null before there is one. */
export const mainViewer = () => left;

/** A viewer in an element; a message instead when the browser cannot. */
function createViewer(host, label) {
  let viewer;
  try {
    viewer = new Viewer(host, { label });
  } catch {
    host.replaceChildren(h("div", { class: "view-message" }, h("p", {}, "This browser shows no 3D here: WebGL 2 is off. Masks, making and saving scenes work all the same.")));
    return null;
  }
  host.viewer = viewer; // for tests and for the curious
  viewer.eye.margin = MARGIN;
  const { look, blend } = store.get();
  viewer.setLook(look);
  viewer.setBlend(blend);
  viewer.on("select", (chosen) => store.set({ selected: chosen }));
  return viewer;
}

function ensureLeft() {
  if (left || byId("view-a").firstChild) return;
  left = createViewer(byId("view-a"), "3D view of the scene");
  left?.on("transform", (label, matrix) => edit({ kind: "transform", label, world_from_instance: matrix, carry: true }));
  left?.on("photo", (inPhotoView) => store.set({ inPhotoView }));
  left?.on("turn", (turning) => store.set({ turning }));
  mountInset();
}

/** The photo as a small picture in the corner; pressed, the scene is seen as its camera saw it. */
function mountInset() {
  const picture = h("img", { alt: "", draggable: false });
  const inset = h("button", { type: "button", class: "float inset", title: "See the scene as the photo's camera saw it (P)", onclick: photoView }, picture, h("span", {}, "Photo"));
  byId("view-a").append(inset);
  store.watch(["scene", "other", "inPhotoView"], ({ scene, other, inPhotoView }) => {
    inset.hidden = !scene?.image || Boolean(other) || !left;
    if (!inset.hidden && picture.getAttribute("src") !== scene.image) picture.src = scene.image;
    inset.setAttribute("aria-pressed", String(inPhotoView));
  });
}

/** To the photo's view, and from there back to a look from aside. */
export function photoView() {
  if (left?.photoMode) lookAround(true);
  else left?.viewPhoto();
}

/** Let the scene turn, or stand still. */
export function turnScene() {
  left?.turn(!left.turning);
}

function lookAround(animated) {
  left.viewFrom(0.45, 0.42, 1, animated);
  left.turn();
}

function showLeft({ screen, job, scene }) {
  if (screen !== "scene" || !(job ?? scene)) return;
  ensureLeft();
  if (!left) return;
  const subject = scene?.job ?? job?.id ?? scene.id; // a job and its scene are one subject: the view goes on
  if (subject !== shown) {
    left.reset();
    shown = subject;
  }
  if (scene) showScene(left, scene);
  else showJob(left, job);
}

async function showScene(viewer, scene) {
  const first = !viewer.hasCamera;
  const empty = viewer.labels().length === 0;
  if (viewer.photoAddress !== scene.image) viewer.setPhoto(scene.image);
  viewer.setCamera(scene.camera);
  await viewer.setInstances([...scene.instances, ...scene.around.map((one) => ({ ...one, around: true }))], { ground: scene.ground_height });
  if (first && viewer === left && !store.get().other) lookAround(!empty);
  else if (first) viewer.viewPhoto(!empty);
  viewer.select(store.get().selected);
}

async function showJob(viewer, job) {
  const before = viewer.labels().length;
  await viewer.setInstances(job.instances);
  if (viewer.labels().length !== before && store.get().job?.id === job.id) viewer.viewFrom(0.25, 0.32, 1, before > 0);
}

function showRight({ other, scene }) {
  byId("view-b").hidden = !other;
  byId("views").classList.toggle("two", Boolean(other));
  document.querySelectorAll(".view-name").forEach((name) => name.remove());
  if (!other) {
    unlink?.();
    right?.dispose();
    [unlink, right] = [null, null];
    byId("view-b").viewer = null;
    byId("view-b").replaceChildren();
    return;
  }
  right ??= createViewer(byId("view-b"), "3D view of the scene to compare with");
  for (const [place, one] of [["view-a", scene], ["view-b", other]]) byId(place).append(h("div", { class: "view-name" }, `${place === "view-a" ? "A" : "B"} · ${one.name} · ${methodTitle(one.method)}`));
  if (!right) return;
  showScene(right, other).then(() => {
    if (!left || !right || unlink) return;
    left.viewPhoto(false);
    unlink = linkCameras(left, right);
  });
}

/** Of an object that was made anew: as it was, or as it is. */
function showAgain({ again, scene }) {
  if (again && scene && left) left.setInstance(again.shows === "before" ? { ...again.before, world_from_instance: again.after.world_from_instance } : again.after);
}

/** Fill the view with the selected object, or with everything. */
export function frameSelection() {
  const { selected } = store.get();
  left?.frame(selected === null ? null : [selected]);
}

/** Select an object, and look at it closely when it is asked for. */
export function pick(label, look = false) {
  store.set({ selected: label });
  if (look) left?.frame([label]);
  byId("view-a").querySelector("canvas")?.setAttribute("aria-label", `3D view of the scene, ${nameOf(store.get().scene.instances.find((one) => one.label === label))} selected`);
}
