/** The third screen: the scene in 3D while it is made and after, its tools and keys. */

import { byId, h, iconButton, roam } from "../dom.js";
import { store } from "../store.js";
import { duplicate, redo, removeInstance, toggleHidden, undo } from "./actions.js";
import { mountLook } from "./look.js";
import { mountPanel, renameSelected } from "./panel.js";
import { mountProgress } from "./progress.js";
import { mountSave } from "./save.js";
import { frameSelection, mainViewer, mountViews, photoView, turnScene } from "./views.js";

/** The tools in the order of the toolbar. */
export const SCENE_TOOLS = [
  { name: "select", key: "V", icon: "select", title: "Select" },
  { name: "translate", key: "W", icon: "move", title: "Move" },
  { name: "rotate", key: "E", icon: "rotate", title: "Rotate" },
  { name: "scale", key: "R", icon: "scale", title: "Scale" },
];

export function mountScene() {
  mountViews();
  mountTools();
  mountLook();
  mountPanel();
  mountProgress();
  mountSave();
  byId("scene-undo").onclick = undo;
  byId("scene-redo").onclick = redo;
  store.watch(["scene"], ({ scene }) => {
    const name = (word, what) => `${word}${what ? ` ${what}` : ""}`;
    Object.assign(byId("scene-undo"), { disabled: !scene?.can_undo, title: `${name("Undo", scene?.undo)} (Ctrl+Z)` });
    Object.assign(byId("scene-redo"), { disabled: !scene?.can_redo, title: `${name("Redo", scene?.redo)} (Ctrl+Shift+Z)` });
  });
}

function mountTools() {
  const bar = byId("scene-tools");
  const buttons = SCENE_TOOLS.map((tool) => iconButton(tool.icon, `${tool.title} (${tool.key})`, () => store.set({ sceneTool: tool.name })));
  const snap = iconButton("magnet", "Snap to steps (S)", () => store.set({ snapping: !store.get().snapping }));
  const frame = iconButton("frame", "Frame the selection or everything (F)", frameSelection);
  const all = [...buttons, snap, frame];
  bar.replaceChildren(...buttons, h("hr"), snap, frame);
  bar.onkeydown = (event) => roam(event, all);
  store.watch(["sceneTool", "snapping", "scene", "other"], ({ sceneTool, snapping, scene, other }) => {
    SCENE_TOOLS.forEach((tool, k) => {
      buttons[k].setAttribute("aria-pressed", String(tool.name === sceneTool));
      buttons[k].disabled = !scene || (Boolean(other) && tool.name !== "select");
    });
    snap.setAttribute("aria-pressed", String(snapping));
    snap.disabled = !scene || Boolean(other);
  });
}

/** What the keyboard does on this screen; tells whether the key meant something. */
export function sceneKey(event) {
  const { selected, scene, other, look, snapping } = store.get(), key = event.key.toLowerCase();
  const tool = SCENE_TOOLS.find((one) => one.key.toLowerCase() === key);
  if (tool && scene && (!other || tool.name === "select")) store.set({ sceneTool: tool.name });
  else if (event.key === "Escape") store.set({ selected: null });
  else if (!event.target.closest("button, input") && mainViewer()?.gizmo.nudge(event.key, event.shiftKey)) return true;
  else if (key === "f") frameSelection();
  else if (key === "p") photoView();
  else if (key === " " && !event.target.closest("button")) turnScene();
  else if (key === "s") store.set({ snapping: !snapping });
  else if (key === "z") store.set({ look: { ...look, wireframe: !look.wireframe } });
  else if (key === "g") store.set({ look: { ...look, grid: !look.grid } });
  else if ("1234".includes(key)) store.set({ look: { ...look, colouring: ["photo", "instance", "confidence", "clay"][key - 1] } });
  else if (selected === null || !scene) return false;
  else if (key === "h") toggleHidden(selected);
  else if (key === "d") duplicate(selected);
  else if (event.key === "F2") renameSelected();
  else if (event.key === "Delete" || event.key === "Backspace") removeInstance(selected);
  else return false;
  return true;
}
