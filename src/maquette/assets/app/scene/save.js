/** Saving: the whole scene in any format of the library, those without a unit in the one that is asked for, and a picture of the view. */

import { api } from "../api.js";
import { byId, download, h, iconButton, openMenu, segments, toast } from "../dom.js";
import { store } from "../store.js";
import { mainViewer } from "./views.js";

// Of files that say neither; slicers expect these. Kept while the page is open.
const space = { unit: "mm", size: 100, up: "z" };

export function mountSave() {
  const glb = h("button", { type: "button", class: "primary", onclick: () => saveAs("glb") }, "Save GLB");
  const picture = iconButton("camera", "Save a picture of the view (PNG)", savePicture);
  const share = iconButton("share", "Share: one web page with the scene in 3D", () => saveAs("html"));
  const more = h("button", { type: "button", "aria-haspopup": "menu", onclick: (event) => openMenu(event.currentTarget, menu()) }, "More ...");
  byId("save").replaceChildren(h("div", { class: "buttons" }, glb, share, picture, more));
  store.watch(["scene"], ({ scene }) => [glb, share, picture, more].forEach((button) => { button.disabled = !scene; }));
}

/** Let the browser save the scene in one of the server's formats. */
export function saveAs(format) {
  const { scene } = store.get();
  if (scene) download(api.sceneFile(scene.id, format, showsRoom()));
}

/** Whether a floor or a wall is shown: then files have the room, too. */
function showsRoom() {
  const { scene, look } = store.get();
  return scene.around.some(({ node }) => look.around.includes(node));
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
    ...formats.map(({ format, title, space }) => ({
      text: space ? `${title} ...` : title, icon: "save", key: format === "glb" ? "Ctrl+S" : null,
      run: () => (space ? askSpace(format, title) : saveAs(format)),
    })), // prettier-ignore
    "-",
    { text: "Picture of the view", icon: "camera", run: savePicture },
    { text: "Picture without background", icon: "camera", run: () => savePicture(true) },
  ];
}

/** Ask for unit, longest side and upward axis, and save. */
function askSpace(format, title) {
  const { scene, config } = store.get(), dialog = byId("ask");
  const known = Boolean(scene.metres_per_unit);
  const unit = h("select", { "aria-label": "Unit" }, (config?.units ?? []).map((name) => h("option", { value: name, selected: name === space.unit }, name)));
  const size = h("input", {
    type: "number", "aria-label": "Longest side of the scene", min: 0.000001, step: "any", required: !known,
    value: known ? "" : space.size, placeholder: known ? "as measured" : "",
  }); // prettier-ignore
  const axes = h("div", {});
  const turn = (up) => {
    space.up = up;
    axes.replaceChildren(segments("Upward axis", [["z", "Z", "3D printing, CAD, Blender"], ["y", "Y", "Games, the web, as in GLB"]], up, turn));
  };
  turn(space.up);
  const save = async () => {
    if (!size.reportValidity()) return;
    space.unit = unit.value;
    if (size.value) space.size = size.value;
    dialog.close();
    try {
      const { content, name } = await api.sceneIn(scene.id, format, { unit: space.unit, up: space.up, room: showsRoom(), ...(size.value ? { size: size.value } : {}) });
      download(content, name);
    } catch (error) {
      toast(error.message, { error: true });
    }
  };
  dialog.replaceChildren(h("h2", { id: "ask-title" }, `Save ${title}`), h("p", {}, "These files do not say their unit. Programs for 3D printing read millimetres, with Z up."),
    h("div", { class: "fields" },
      h("div", { class: "two" }, h("label", { class: "field" }, "Longest side of the scene", size), h("label", { class: "field" }, "Unit", unit)),
      h("div", { class: "field" }, "Upward axis", axes)),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { type: "button", class: "primary", onclick: save }, "Save"))); // prettier-ignore
  size.onkeydown = (event) => { if (event.key === "Enter") save(); };
  dialog.showModal();
  size.select();
}
