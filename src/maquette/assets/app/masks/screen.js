/** The second screen: the photo, its objects, and what shall be made of them. */

import { byId, h, iconButton, roam, segments } from "../dom.js";
import { store } from "../store.js";
import { choose, redo, undo } from "./actions.js";
import { Crosshair } from "./crosshair.js";
import { askFind } from "./find.js";
import { MaskCanvas } from "./canvas.js";
import { mountMaskList } from "./list.js";
import { mountRequest } from "./request.js";
import { TOOLS, toolHandlers } from "./tools.js";
import { mountPointer } from "./pointer.js";

/** Brush widths in photo pixels. */
const BRUSH = [2, 200];

let canvas = null, tools = null;

export function mountMasks() {
  canvas = new MaskCanvas(byId("mask-canvas"));
  tools = toolHandlers(canvas);
  mountPointer(canvas, tools);
  mountPending();
  const cross = new Crosshair(canvas, tools);
  canvas.preview = (context, view) => {
    tools[store.get().tool].draw?.(context, view);
    cross.draw(context, view);
  };
  mountTools();
  mountMaskList();
  mountRequest();
  byId("mask-undo").onclick = undo;
  byId("mask-redo").onclick = redo;
  byId("zoom-in").onclick = () => canvas.zoom(1.4);
  byId("zoom-out").onclick = () => canvas.zoom(1 / 1.4);
  byId("zoom-fit").onclick = () => canvas.fit();
  canvas.onview = ({ scale }) => {
    const percent = `${Math.round(scale * 100)} %`;
    byId("zoom-fit").textContent = percent;
    byId("zoom-fit").setAttribute("aria-label", `${percent}: fit the photo to the view`); // what is read has what is seen
  };
  let shownPhoto = null;
  store.watch(["photo"], ({ photo }) => {
    if (photo && photo.id !== shownPhoto) canvas.setPhoto(photo);
    shownPhoto = photo?.id ?? null;
  });
  store.watch(["hovered"], ({ hovered }) => canvas.setHover(hovered));
  let shownVersion = "";
  store.watch(["masks", "chosen"], ({ masks, chosen }) => {
    canvas.setChosen(chosen);
    if (!masks) return;
    const version = `${masks.photo}/${masks.version}`;
    if (version !== shownVersion) canvas.setMasks(masks);
    shownVersion = version;
    byId("mask-canvas").setAttribute("aria-label", `The photo with the outlines of ${masks.objects.length} objects`);
  });
  store.watch(["masks", "working"], ({ masks, working }) => {
    const name = (word, what) => `${word}${what ? ` ${what}` : ""}`;
    Object.assign(byId("mask-undo"), { disabled: !masks?.can_undo, title: `${name("Undo", masks?.undo)} (Ctrl+Z)` });
    Object.assign(byId("mask-redo"), { disabled: !masks?.can_redo, title: `${name("Redo", masks?.redo)} (Ctrl+Shift+Z)` });
    byId("mask-stage").classList.toggle("busy", working > 0);
    byId("mask-stage").setAttribute("aria-busy", String(working > 0));
  });
}

/** A ring where the picture was pressed last, as long as the server works on that. */
function mountPending() {
  const ring = h("span", { class: "pending", "aria-hidden": "true", hidden: true }), stage = byId("mask-stage");
  stage.append(ring);
  byId("mask-canvas").addEventListener("pointerup", (event) => {
    const place = stage.getBoundingClientRect();
    Object.assign(ring.style, { left: `${event.clientX - place.left}px`, top: `${event.clientY - place.top}px` });
  }, true); // before the tool, which begins to work at once
  store.watch(["working"], ({ working }) => {
    ring.hidden = working === 0 || !ring.style.left;
    if (working === 0) ring.style.left = ""; // what comes next may not come from there
  });
}

function mountTools() {
  const bar = byId("mask-tools");
  const buttons = TOOLS.filter(Boolean).map((tool) =>
    iconButton(tool.icon, `${tool.title} (${tool.key})`, () => store.set({ tool: tool.name }), { role: "button" }));
  const find = iconButton("wand", "Find objects (O)", askFind, { "aria-haspopup": "dialog" });
  let k = 0;
  bar.replaceChildren(find, h("hr"), ...TOOLS.map((tool) => (tool ? buttons[k++] : h("hr"))));
  bar.onkeydown = (event) => roam(event, [find, ...buttons]);
  store.watch(["tool"], ({ tool }) => {
    TOOLS.filter(Boolean).forEach((one, index) => buttons[index].setAttribute("aria-pressed", String(one.name === tool)));
    byId("mask-canvas").style.cursor = { select: "default", hand: "grab", brush: "none" }[tool] ?? "crosshair";
    tools.cancel();
  });
  store.watch(["tool", "brush", "erase", "negative", "replace", "chosen", "masks", "photo", "finding"], showOptions);
}

/** The options of the tool in hand, above the picture; and one line that says how it works. */
function showOptions({ tool, brush, erase, negative, replace, chosen, masks, photo, finding }) {
  const object = masks?.objects.find((one) => one.label === chosen[0]);
  const who = object ? object.name || `object ${object.label}` : null;
  const place = byId("mask-options"), parts = [];
  if (tool === "box") {
    if (who) parts.push(segments("The box makes", [[false, "New object"], [true, `Replace ${who}`]], replace, (value) => store.set({ replace: value })));
  } else if (tool === "click") {
    if (who) {
      parts.push(segments("The click", [[false, "+ Add"], [true, "− Remove"]], negative, (value) => store.set({ negative: value })));
      parts.push(newObject(who));
    }
  } else if (tool === "brush" || tool === "polygon") {
    if (who) parts.push(segments("The tool", [[false, "Paint"], [true, "Erase"]], erase, (value) => store.set({ erase: value })));
    if (tool === "brush") {
      const most = Math.min(BRUSH[1], Math.max(photo?.width ?? 0, photo?.height ?? 0) / 4 || BRUSH[1]);
      const slider = h("input", { type: "range", min: BRUSH[0], max: most, value: brush, "aria-label": "Brush size", oninput: (event) => store.set({ brush: Number(event.target.value) }) });
      parts.push(h("label", {}, "Size", slider));
    }
    if (who) parts.push(newObject(who));
  }
  const focused = place.contains(document.activeElement) ? [...place.querySelectorAll("button, input")].indexOf(document.activeElement) : -1;
  const dragging = document.activeElement?.type === "range" && place.contains(document.activeElement);
  if (!dragging) {
    place.replaceChildren(...parts);
    place.hidden = !parts.length;
    place.querySelectorAll("button, input")[focused]?.focus();
  }
  byId("mask-hint").textContent = finding ? "Looking for objects ..." : hint(tool, who, masks);
}

function newObject(who) {
  return h("button", { type: "button", class: "quiet", title: "Select nothing, so that the next one is a new object (Esc)", onclick: () => choose(null) }, `${who} ✕`);
}

function hint(tool, who, masks) {
  if (masks && !masks.objects.length && tool !== "hand") {
    const first = { box: "Draw a box around an object", click: "Click on an object", brush: "Paint an object", polygon: "Click the corners of an object" }[tool];
    return first ? `${first}: it becomes the first one` : "Choose the box tool and draw a box around an object";
  }
  return TOOLS.find((one) => one?.name === tool).hint;
}

/** What the keyboard does on this screen; tells whether the key meant something. */
export function maskKey(event) {
  const { tool, brush } = store.get();
  if (event.key.toLowerCase() === "o") { askFind(); return true; }
  if (event.key === "Escape") { if (!tools.cancel()) choose(null); return true; }
  if (event.key === "Enter" && tool === "polygon") { tools.finish(); return true; }
  if (event.key === "[" || event.key === "]") {
    store.set({ brush: Math.round(Math.min(Math.max(brush * (event.key === "]" ? 1.25 : 0.8), BRUSH[0]), BRUSH[1]) * 10) / 10 });
    canvas.draw();
    return true;
  }
  if (event.key === "+" || event.key === "=") { canvas.zoom(1.25); return true; }
  if (event.key === "-") { canvas.zoom(0.8); return true; }
  if (event.key === "0") { canvas.fit(); return true; }
  if (event.key.toLowerCase() === "x") { store.set({ erase: !store.get().erase, negative: !store.get().negative }); return true; }
  const chosen = TOOLS.find((one) => one?.key.toLowerCase() === event.key.toLowerCase());
  if (chosen) store.set({ tool: chosen.name });
  return Boolean(chosen);
}
