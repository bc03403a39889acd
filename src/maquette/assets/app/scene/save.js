/** Saving: the whole scene in any format of the library, and a picture of the view. */

import { api } from "../api.js";
import { byId, download, h, iconButton, openMenu } from "../dom.js";
import { store } from "../store.js";
import { mainViewer } from "./views.js";

export function mountSave() {
  const glb = h("button", { type: "button", class: "primary", onclick: () => saveAs("glb") }, "Save GLB");
  const picture = iconButton("camera", "Save a picture of the view (PNG)", savePicture);
  const more = h("button", { type: "button", "aria-haspopup": "menu", onclick: (event) => openMenu(event.currentTarget, menu()) }, "More ...");
  byId("save").replaceChildren(h("div", { class: "buttons" }, glb, picture, more));
  store.watch(["scene"], ({ scene }) => [glb, picture, more].forEach((button) => { button.disabled = !scene; }));
}

/** Let the browser save the scene in one of the server's formats. */
export function saveAs(format) {
  const { scene } = store.get();
  if (scene) download(api.sceneFile(scene.id, format));
}

export async function savePicture(transparent = false) {
  const { scene } = store.get(), viewer = mainViewer();
  if (!viewer || !scene) return;
  const background = transparent === true ? "transparent" : getComputedStyle(document.documentElement).getPropertyValue("--stage-2").trim();
  download(await viewer.snapshot({ background }), `${(scene.name || "scene").replace(/[^\p{L}\p{N} _-]+/gu, "_")}.png`);
}

function menu() {
  const formats = store.get().config?.scene_formats ?? [];
  return [
    ...formats.map(({ format, title }) => ({ text: title, icon: "save", key: format === "glb" ? "Ctrl+S" : null, run: () => saveAs(format) })),
    "-",
    { text: "Picture of the view", icon: "camera", run: savePicture },
    { text: "Picture without background", icon: "camera", run: () => savePicture(true) },
  ];
}

