/** What can be done with jobs and scenes. Edits of a scene go to the server one after another, each on the version before. */

import { ApiError, api } from "../api.js";
import { toast } from "../dom.js";
import { store } from "../store.js";

let line = Promise.resolve();
let unwatch = null; // ends the stream of the watched job

/** Stop following a job; it goes on at the server. */
export function leaveScene() {
  unwatch?.();
  unwatch = null;
}

/** Watch a job; when it is done, its scene takes its place. */
export async function openJob(id) {
  leaveScene();
  const job = await api.job(id);
  if (job.scene && (job.state === "done" || job.kind === "regenerate")) {
    location.replace(`#scene/${job.scene}`);
    return;
  }
  store.set({ screen: "scene", job, scene: null, other: null, comparison: null, selected: null, ...photoFor(job) });
  if (over(job)) return;
  unwatch = api.watchJob(id, {
    job: (now) => update(id, now),
    progress: ({ id: _, ...progress }) => update(id, { progress, state: "running" }),
    instance: (made) => update(id, { instances: [...store.get().job.instances.filter((one) => one.label !== made.label), made] }),
    end: async (end) => {
      if (store.get().job?.id !== id) return;
      if (end.state === "done") location.replace(`#scene/${end.scene}`);
      else update(id, await api.job(id));
    },
    lost: () => toast("the connection to the server is lost; reload the page when it is back", { error: true }),
  });
}

function update(id, changes) {
  const { job } = store.get();
  if (job?.id === id) store.set({ job: { ...job, ...changes } });
}

/** Forget the open photo when this scene or job is not made of it; it stays on the server. */
const photoFor = ({ photo }) => (store.get().photo?.id === photo ? {} : { photo: null, masks: null, chosen: [] });

/** Whether a job has come to its end. */
export const over = (job) => !["queued", "running"].includes(job.state);

export async function cancelJob() {
  const { job } = store.get();
  const answer = await api.cancelJob(job.id);
  leaveScene();
  update(job.id, answer);
}

export async function repeatJob(options = null) {
  location.hash = `job/${(await api.repeatJob(store.get().job.id, options)).id}`;
}

/** Open a scene by its id. */
export async function openScene(id) {
  leaveScene();
  const scene = await api.scene(id);
  const same = store.get().scene?.id === id;
  store.set({ again: null, screen: "scene", scene, job: null, other: null, comparison: null, selected: same ? store.get().selected : null, ...photoFor(scene) });
}

/** Show two scenes of one photo side by side. */
export async function openComparison(a, b) {
  leaveScene();
  const [scene, other, comparison] = await Promise.all([api.scene(a), api.scene(b), api.compare(a, b)]);
  store.set({ screen: "scene", scene, job: null, other, comparison, sceneTool: "select", ...photoFor(scene) });
}

/** Run a call that answers with the new state of the scene, after those that were asked for before. */
function change(call) {
  const done = line.then(async () => {
    const { scene } = store.get();
    try {
      accept(await call(scene.id, scene.version));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      accept(error.current ?? (await api.scene(scene.id))); // also puts back what a handle has moved
      toast(error.message, { error: true });
    }
  });
  line = done.catch(() => {});
  return done;
}

function accept(scene) {
  const { scene: shown, selected } = store.get();
  if (shown?.id !== scene.id) return;
  const there = new Set(scene.instances.map((instance) => instance.label));
  store.set({ scene, selected: there.has(selected) ? selected : null });
}

export const edit = (what) => change((id, version) => api.editScene(id, version, what));

export function undo() {
  return store.get().scene?.can_undo ? change((id, version) => api.undoScene(id, version)) : null;
}

export function redo() {
  return store.get().scene?.can_redo ? change((id, version) => api.redoScene(id, version)) : null;
}

export const instanceOf = (label) => store.get().scene?.instances.find((instance) => instance.label === label);

export function toggleHidden(label) {
  const instance = instanceOf(label);
  return instance ? edit({ kind: "hide", labels: [label], hidden: !instance.hidden }) : null;
}

export async function removeInstance(label) {
  const instance = instanceOf(label);
  if (!instance) return;
  await edit({ kind: "delete", labels: [label] });
  toast(`${nameOf(instance)} is deleted`, { action: ["Undo", undo] });
}

export async function duplicate(label) {
  await edit({ kind: "duplicate", label });
  const [made] = store.get().scene.changed ?? [];
  if (made) store.set({ selected: made });
}

/** What a method is called in lists. */
export const methodTitle = (name) => store.get().config?.methods.find((method) => method.name === name)?.title ?? name ?? "";

/** What a person calls an object. */
export function nameOf({ label, name, node }) {
  return node && node !== `instance_${label}` ? node : name || node || `object ${label}`; // a name that somebody has given to the node comes first
}

/** Make one object anew from another seed; all others stay. */
export async function regenerate(label, seed) {
  const { scene } = store.get();
  const job = await api.regenerate(scene.id, { label, seed });
  mark(label, { share: 0 });
  api.watchJob(job.id, {
    progress: ({ overall }) => mark(label, { share: overall }),
    end: async (end) => {
      mark(label, null);
      if (store.get().scene?.id !== scene.id) return;
      if (end.state === "done") {
        const before = instanceOf(label);
        accept(await api.scene(scene.id));
        const after = instanceOf(label);
        if (before && after) store.set({ again: { label, before, after, shows: "after" } });
      }
      else toast(`object ${label}: ${(await api.job(job.id)).error ?? end.state}`, { error: true });
    },
    lost: () => mark(label, null),
  });
}

function mark(label, progress) {
  const { [label]: before, ...others } = store.get().remaking;
  store.set({ remaking: progress ? { ...others, [label]: progress } : others });
  if (!before !== !progress) store.set({ remade: store.get().remade + 1 });
}

/** Other scenes of the same photo, newest first. */
export async function siblings(scene) {
  const scenes = await api.scenes();
  return scenes.filter((other) => other.id !== scene.id && other.photo !== null && other.photo === scene.photo);
}

/** Make the same photo with other options and compare when it is done. */
export async function makeForComparison(options) {
  const { scene } = store.get();
  const job = scene.job ? await api.repeatJob(scene.job, options) : await api.startJob({ photo: scene.photo, options });
  const title = options.method ? `Making the same scene with ${options.method}` : `Making the same scene with seed ${options.seed}`;
  store.set({ rival: { share: 0, title } });
  api.watchJob(job.id, {
    progress: ({ overall }) => store.set({ rival: { share: overall, title } }),
    end: async (end) => {
      store.set({ rival: null });
      if (end.state === "done" && store.get().scene?.id === scene.id) location.hash = `compare/${scene.id}/${end.scene}`;
      else if (end.state !== "done") toast(`${title}: ${(await api.job(job.id)).error ?? end.state}`, { error: true });
    },
  });
}
