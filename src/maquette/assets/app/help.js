/** The help panel: what the page does in three lines, and its keys. */

import { byId, h } from "./dom.js";

const KEYS = {
  Objects: [
    ["B", "box around an object"], ["C", "click on an object; Alt: not here"], ["P", "brush; Alt erases"], ["L", "polygon; Enter closes it"], ["K", "split along a line"],
    ["O", "find objects"], ["V", "select; Shift for several"], ["H, Space", "move the picture"], ["X", "add or subtract"], ["[ ]", "brush size"], ["M", "merge the selected"], ["F2", "rename"],
    ["Del", "delete"], ["Esc", "select nothing"], ["+ - 0", "zoom in, out, fit"], ["Ctrl A", "select all"], ["Ctrl Enter", "make the scene"], ["Arrows", "a cross on the picture; Enter presses there"],
  ],
  Scene: [
    ["V W E R", "select, move, rotate, scale"], ["S", "snap to steps"], ["F", "look at the selection"], ["P", "the photo's view"], ["1 2 3 4", "colours, objects, confidence, clay"],
    ["Arrows", "move, turn, scale the selected"], ["Z", "wireframe"], ["G", "ground grid"], ["H", "hide"], ["D", "duplicate"], ["F2", "rename"], ["Del", "delete"], ["Ctrl S", "save GLB"],
  ],
  Everywhere: [["Ctrl Z", "undo"], ["Ctrl Shift Z", "redo"], ["Ctrl V", "paste a photo"], ["?", "this panel"]],
}; // prettier-ignore

export function mountHelp() {
  const dialog = byId("help");
  const keys = (text) => text.split(" ").flatMap((key, k) => [k ? " " : "", h("kbd", {}, key.replace(",", ""))]);
  const list = (title) => [h("h3", {}, title), h("dl", {}, KEYS[title].flatMap(([key, does]) => [h("dt", {}, keys(key)), h("dd", {}, does)]))];
  dialog.replaceChildren(
    h("h2", { id: "help-title" }, "How it works"),
    h("p", {}, "Choose a photo. Mark each object once: a box is mostly enough, clicks and the brush put right what is missing. Then make the scene, move what stands wrong, and save it."),
    h("div", { class: "columns" }, h("div", {}, list("Objects")), h("div", {}, list("Scene"), list("Everywhere"))),
    h("div", { class: "actions" }, h("a", { href: "/api/docs", target: "_blank", rel: "noopener" }, "For programs: the job API"),
      h("button", { type: "button", class: "primary", autofocus: true, onclick: () => dialog.close() }, "Close")), // prettier-ignore
  );
  dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
}

export function openHelp() {
  byId("help").showModal();
  byId("help").scrollTop = 0;
}
