/** The first screen: photos come in by dropping, pasting, picking or as an example; everything made before is listed. */

import { api } from "./api.js";
import { byId, confirmed, h, iconButton, openMenu, toast } from "./dom.js";
import { icon } from "./icons.js";
import { importMasks } from "./masks/actions.js";
import { methodTitle } from "./scene/actions.js";
import { store } from "./store.js";

const PICTURE = /^image\/|\.(png|jpe?g|webp|tiff?|bmp|gif|avif)$/i;

export function mountStart() {
  byId("pick").onclick = () => byId("photo-file").click();
  byId("open-scene").onclick = () => byId("scene-file").click();
  byId("photo-file").onchange = (event) => take([...event.target.files], event.target);
  byId("scene-file").onchange = (event) => openFiles([...event.target.files], event.target);
  store.watch(["examples"], ({ examples }) => showExamples(examples));
  store.watch(["recent", "config"], ({ recent }) => showRecent(recent));
}

/** Ask the server again for examples, photos, jobs and scenes. */
export async function refreshLists() {
  if (!store.get().examples) api.examples().then((examples) => store.set({ examples }));
  const [photos, jobs, scenes] = await Promise.all([api.photos(), api.jobs("?limit=60"), api.scenes()]);
  store.set({ recent: { photos, jobs, scenes } });
}

/** A photo has come: add it and go on to its objects. */
async function take(files, input = null) {
  if (!files.length) return;
  const picture = files.find((file) => PICTURE.test(file.type) || PICTURE.test(file.name));
  if (!picture) throw new Error(`${files[0].name || "this"} is not a picture; drop a JPEG, PNG or WebP photo`);
  await busy("Reading the photo ...", async () => {
    const photo = await api.addPhoto(picture);
    for (const note of photo.notes ?? []) toast(note);
    location.hash = `photo/${photo.id}`;
  });
  if (input) input.value = "";
}

async function openFiles(files, input = null) {
  if (!files.length) return;
  await busy("Opening the scene ...", async () => { location.hash = `scene/${(await api.openScene(files)).id}`; });
  if (input) input.value = "";
}

async function busy(text, work) {
  const drop = byId("drop"), hint = byId("drop-hint"), before = hint.textContent;
  drop.classList.add("busy");
  hint.textContent = text;
  try {
    await work();
  } finally {
    drop.classList.remove("busy");
    hint.textContent = before;
  }
}

/** Files dropped or pasted anywhere: a photo on the first screen, masks beside a photo, a saved scene everywhere. */
async function receive(files) {
  if (!files.length) return;
  const onMasks = store.get().screen === "masks"; // where .json and .zip are masks
  const isScene = files.some(({ name }) => name === "scene.json" || (onMasks ? /\.glb$/i : /\.(glb|json|zip)$/i).test(name));
  if (isScene) await openFiles(files);
  else if (onMasks) await importMasks(files);
  else await take(files);
}

/** The files of what was dropped. Of a folder with a scene.json only that scene's, for there are pictures beside it. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean), flat = [...transfer.files];
  if (!entries.some((entry) => entry.isDirectory)) return flat;
  const found = (await Promise.all(entries.map(filesBelow))).flat();
  const document = found.find(({ path }) => path.endsWith("/scene.json"));
  const own = document ? `${document.path.slice(0, -".json".length)}_files/` : "/";
  return found.filter((one) => one === document || one.path.startsWith(own)).map(({ file }) => file);
}

/** All files of a dropped file or folder, as [{path, file}]. */
async function filesBelow(entry) {
  if (entry.isFile) return [{ path: entry.fullPath, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const reader = entry.createReader(), below = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most a hundred at once
    if (!some.length) return (await Promise.all(below.map(filesBelow))).flat();
    below.push(...some);
  }
}

export function mountDropping() {
  const veil = byId("veil");
  let depth = 0;
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    byId("veil-text").textContent = store.get().screen === "masks" ? "Drop a mask file for this photo" : "Drop a photo, a GLB, or a scene with its folder";
    veil.hidden = false;
  });
  window.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  window.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth = Math.max(0, depth - 1);
    veil.hidden = depth === 0;
  });
  window.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    dropped(event.dataTransfer).then(receive);
  });
  window.addEventListener("paste", (event) => {
    if (event.target.matches?.("input, textarea")) return;
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) {
      event.preventDefault();
      if (store.get().screen === "masks") take(files);
      else receive(files);
    }
  });
}

// Lists

function showExamples(examples) {
  const place = byId("examples");
  place.setAttribute("aria-busy", String(!examples));
  if (!examples) {
    place.replaceChildren(...[1, 2, 3].map(() => h("div", { class: "card" }, h("div", { class: "no-picture skeleton" }), h("div", { class: "text" }, "\u00a0"))));
    return;
  }
  place.replaceChildren(...examples.map((example) => card({
    picture: example.thumbnail, name: example.title, about: [`${example.objects} objects, with masks`],
    open: async () => { location.hash = `photo/${(await api.openExample(example.name)).id}`; },
  }))); // prettier-ignore
}

function showRecent(recent) {
  const place = byId("recent");
  if (!recent) {
    place.replaceChildren();
    return;
  }
  const { photos, jobs, scenes } = recent;
  const open = jobs.filter((job) => job.kind === "generate" && job.state !== "done");
  const parts = [];
  if (scenes.length || open.length) parts.push(h("h2", {}, "Scenes"), h("div", { class: "cards" }, [...open.map(jobCard), ...scenes.map(sceneCard)]));
  if (photos.length) parts.push(h("h2", {}, "Photos"), h("div", { class: "cards" }, photos.map(photoCard)));
  if (!parts.length) parts.push(h("h2", {}, "Recent"), h("p", { class: "empty" }, "Your photos and scenes will be kept here. They stay on this computer, also when the page is closed."));
  place.replaceChildren(...parts);
}

function card({ picture, name, about, open, badge = null, menu = null }) {
  const image = picture ? h("img", { src: picture, alt: "", loading: "lazy" }) : h("div", { class: "no-picture" }, icon("photo"));
  if (picture) image.onerror = () => image.replaceWith(h("div", { class: "no-picture" }, icon("photo")));
  return h("div", { class: "card" },
    h("button", { type: "button", class: "open", onclick: open }, image,
      h("div", { class: "text" }, h("div", { class: "name" }, name), h("div", { class: "about" }, about))),
    badge, menu && iconButton("more", `More for ${name}`, (event) => openMenu(event.currentTarget, menu), { class: "small more", "aria-haspopup": "menu" })); // prettier-ignore
}

function sceneCard(scene) {
  return card({
    picture: scene.thumbnail, name: scene.name || "Scene", about: [methodTitle(scene.method), " · ", when(scene.changed_at ?? scene.created)],
    open: () => { location.hash = `scene/${scene.id}`; },
    menu: [
      { text: "Rename", icon: "pen", run: () => askName(scene.name, async (name) => { await api.renameScene(scene.id, name); refreshLists(); }) },
      { text: "Delete scene", icon: "trash", danger: true, run: () => remove("scene", scene.name, () => api.deleteScene(scene.id)) },
    ],
  });
}

function photoCard(photo) {
  return card({
    picture: photo.thumbnail, name: photo.name || "Photo",
    about: [`${photo.objects} ${photo.objects === 1 ? "object" : "objects"} · `, when(photo.changed)],
    open: () => { location.hash = `photo/${photo.id}`; },
    menu: [{ text: "Delete photo", icon: "trash", danger: true, run: () => remove("photo", photo.name, () => api.deletePhoto(photo.id)) }],
  });
}

function jobCard(job) {
  const words = { queued: ["waiting", "run"], running: ["working", "run"], failed: ["failed", "bad"], cancelled: ["cancelled", ""], interrupted: ["interrupted", "bad"] };
  const [word, look] = words[job.state] ?? [job.state, ""];
  const over = !["queued", "running"].includes(job.state);
  return card({
    picture: job.thumbnail, name: job.name || "Scene", about: [when(job.created)], badge: h("span", { class: `badge ${look}` }, word),
    open: () => { location.hash = `job/${job.id}`; },
    menu: [
      over && { text: "Repeat", icon: "again", run: async () => { location.hash = `job/${(await api.repeatJob(job.id)).id}`; } },
      { text: over ? "Delete" : "Cancel and delete", icon: "trash", danger: true, run: () => remove("job", job.name, () => api.deleteJob(job.id)) },
    ].filter(Boolean),
  });
}

async function remove(kind, name, call) {
  if (!(await confirmed(`Delete the ${kind} “${name}”?`, "This cannot be undone. Files that you have saved stay.", "Delete"))) return;
  await call();
  await refreshLists();
}

function askName(name, call) {
  const dialog = byId("ask");
  const input = h("input", { type: "text", value: name, maxLength: 80, "aria-label": "New name" });
  const done = () => { dialog.close(); if (input.value.trim()) call(input.value.trim()); };
  dialog.replaceChildren(h("h2", { id: "ask-title" }, "Rename"), input, h("div", { class: "actions" },
    h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { type: "button", class: "primary", onclick: done }, "Rename"))); // prettier-ignore
  input.onkeydown = (event) => { if (event.key === "Enter") done(); };
  dialog.showModal();
  input.select();
}

/** A time as people say it. */
export function when(time) {
  if (!time) return "";
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(time).toLocaleDateString();
}
