/** What can be done with a photo and its masks. Edits go to the server one after another, each on the version before. */

import { ApiError, api } from "../api.js";
import { toast } from "../dom.js";
import { store } from "../store.js";

let line = Promise.resolve();

/** Open a photo by its id. A scene of another photo is put away. */
export async function openPhoto(id) {
  const { scene, job } = store.get();
  if ((scene ?? job) && (scene ?? job).photo !== id) store.set({ scene: null, job: null, other: null, comparison: null, selected: null });
  if (store.get().photo?.id === id) {
    store.set({ screen: "masks" });
    return;
  }
  const [photo, masks] = await Promise.all([api.photo(id), api.masks(id)]);
  store.set({ screen: "masks", photo, masks, chosen: [], tool: masks.objects.length ? "select" : "box", negative: false, erase: false, replace: false });
}

/** Run a call that answers with the new state of the masks, after those that were asked for before. */
function change(call) {
  store.set({ working: store.get().working + 1 });
  const done = line.then(async () => {
    const { photo, masks } = store.get();
    try {
      accept(await call(photo.id, masks.version), masks);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 409 && error.current) accept(error.current, masks);
      else if (error.status === 409) accept(await api.masks(photo.id), masks);
      toast(error.message, { error: true });
      return false;
    }
  }).finally(() => store.set({ working: store.get().working - 1 }));
  line = done.catch(() => {});
  return done;
}

function accept(masks, before) {
  if (store.get().photo?.id !== masks.photo) return;
  const there = new Set(masks.objects.map((object) => object.label));
  const changed = masks.version === before.version ? [] : masks.changed.filter((label) => there.has(label));
  const kept = store.get().chosen.filter((label) => there.has(label));
  store.set({ masks, chosen: changed.length && changed.length < 4 ? changed : kept });
  for (const note of masks.notes ?? []) toast(note);
}

const FOUND = ["box", "clicks", "auto"]; // edits in which somebody finds an outline

export const edit = (what) => change((id, version) => api.editMasks(id, version, FOUND.includes(what.kind) ? { ...what, finder: store.get().finder } : what));

/** Look for all objects, or for what words name; they take the place of those that are marked. */
export async function findObjects(find = "") {
  store.set({ finding: true });
  try {
    if (!(await edit({ kind: "auto", find }))) return;
    const { length } = store.get().masks.objects;
    toast(`${length} ${length === 1 ? "object" : "objects"} found`, { action: ["Undo", undo] });
    store.set({ tool: "select" });
  } finally {
    store.set({ finding: false });
  }
}

export function undo() {
  return store.get().masks?.can_undo ? change((id, version) => api.undoMasks(id, version)) : null;
}

export function redo() {
  return store.get().masks?.can_redo ? change((id, version) => api.redoMasks(id, version)) : null;
}

export async function importMasks(files) {
  if (await change((id, version) => api.importMasks(id, version, files))) {
    toast(`${store.get().masks.objects.length} objects from ${files.length === 1 ? files[0].name : `${files.length} files`}`, { action: ["Undo", undo] });
    store.set({ tool: "select" });
  }
}

/** Select one object; with `more` add it to the selection or take it out. */
export function choose(label, more = false) {
  const { chosen } = store.get();
  if (label === null) store.set(more ? {} : { chosen: [], erase: false, negative: false, replace: false }); // there is nothing to take away from
  else if (!more) store.set({ chosen: [label] });
  else store.set({ chosen: chosen.includes(label) ? chosen.filter((other) => other !== label) : [label, ...chosen] });
}

export function deleteChosen(labels = store.get().chosen) {
  return labels.length ? edit({ kind: "delete", labels }) : null;
}

export function mergeChosen() {
  const { chosen } = store.get();
  return chosen.length > 1 ? edit({ kind: "merge", labels: [...chosen].sort((a, b) => a - b) }) : null;
}

/** Swap an object with its neighbour in the list: -1 up, 1 down. */
export function shift(label, step) {
  const labels = store.get().masks.objects.map((object) => object.label), at = labels.indexOf(label), to = at + step;
  if (at < 0 || to < 0 || to >= labels.length) return null;
  return moveTo(label, step > 0 ? to + 1 : to);
}

/** Put an object before the one at this place of the list. */
export async function moveTo(label, place) {
  const labels = store.get().masks.objects.map((object) => object.label), at = labels.indexOf(label);
  const without = labels.filter((other) => other !== label), to = place > at ? place - 1 : place;
  if (to === at) return;
  without.splice(to, 0, label);
  await edit({ kind: "reorder", labels: without });
  store.set({ chosen: [to + 1] }); // they are numbered anew
}

/** Ask for a scene of this photo and go to it. */
export async function makeScene() {
  await line;
  const { photo, request } = store.get();
  const options = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== null));
  const job = await api.startJob({ photo: photo.id, options });
  location.hash = `job/${job.id}`;
}
