/** The list of the photo's objects: name, order, warnings, and what can be done with each. */

import { api } from "../api.js";
import { byId, download, h, iconButton, openMenu } from "../dom.js";
import { icon } from "../icons.js";
import { store } from "../store.js";
import { choose, deleteChosen, edit, findObjects, importMasks, mergeChosen, moveTo, shift } from "./actions.js";
import { askFind } from "./find.js";

let renaming = null; // the label whose name is being typed

export function mountMaskList() {
  byId("mask-menu").onclick = (event) => openMenu(event.currentTarget, menuOfAll());
  byId("mask-file").onchange = async (event) => {
    await importMasks([...event.target.files]);
    event.target.value = "";
  };
  store.watch(["masks", "chosen", "finding"], show);
}

/** Type a new name for an object in the list. */
export function rename(label) {
  renaming = label;
  show(store.get());
}

function show({ masks, chosen, finding }) {
  const list = byId("mask-list");
  if (!masks) return;
  byId("mask-count").textContent = masks.objects.length || "";
  const focused = document.activeElement?.closest?.(".row")?.dataset.label;
  if (!masks.objects.length) {
    list.replaceChildren(emptyList(finding));
    return;
  }
  list.setAttribute("role", "list");
  list.replaceChildren(...masks.objects.map((object) => row(object, chosen)));
  if (renaming !== null) {
    const input = list.querySelector(".row-name");
    input?.focus();
    input?.select();
  } else if (focused) list.querySelector(`[data-label="${focused}"] .pick`)?.focus();
  if (chosen.length === 1) list.querySelector(".selected")?.scrollIntoView({ block: "nearest" });
}

function emptyList(finding) {
  return h("div", { class: "empty-panel" }, finding ? h("span", { class: "spinner" }) : icon("wand"),
    h("p", {}, finding ? "Looking for objects ..." : "No objects yet. Let them be found, or draw a box around each thing that shall become a mesh."),
    h("button", { type: "button", class: "primary", disabled: finding, onclick: () => findObjects() }, "Find objects"),
    h("button", { type: "button", class: "quiet", "aria-haspopup": "dialog", disabled: finding, onclick: askFind }, "More ways to find ..."),
    h("button", { type: "button", class: "quiet", onclick: () => byId("mask-file").click() }, "Open a mask file")); // prettier-ignore
}

function row(object, chosen) {
  const { label, name, color, warnings } = object, selected = chosen.includes(label);
  const swatch = h("span", { class: "swatch" });
  swatch.style.background = color;
  const shown = name ? name : h("span", { class: "unnamed" }, `object ${label}`);
  const middle = renaming === label
    ? nameField(object)
    : h("button", { type: "button", class: "pick", "aria-pressed": String(selected), onclick: (event) => choose(label, event.shiftKey || event.ctrlKey || event.metaKey), ondblclick: () => rename(label) }, shown);
  const element = h("div", { class: `row${selected ? " selected" : ""}`, role: "listitem", "data-label": label },
    h("div", { class: "row-line" }, swatch, middle,
      h("div", { class: "row-actions" },
        iconButton("more", `More for object ${label}`, (event) => openMenu(event.currentTarget, menuOf(object)), { class: "small", "aria-haspopup": "menu" }),
        grip(label))),
    warnings.length ? h("ul", { class: "notes" }, warnings.map((text) => h("li", {}, icon("warn"), h("span", {}, text)))) : null); // prettier-ignore
  element.onpointerenter = () => store.set({ hovered: label });
  element.onpointerleave = () => store.set({ hovered: null });
  return element;
}

function nameField({ label, name }) {
  let done = false;
  const finish = (keep, event) => {
    if (done) return;
    done = true;
    renaming = null;
    const text = event.target.value.trim();
    if (keep && text !== name) edit({ kind: "rename", label, name: text });
    else show(store.get());
  };
  return h("input", { type: "text", class: "row-name", value: name, maxLength: 80, "aria-label": `Name of object ${label}`, placeholder: "chair, lamp ...",
    onblur: (event) => finish(true, event),
    onkeydown: (event) => { if (event.key === "Enter") finish(true, event); else if (event.key === "Escape") { finish(false, event); event.stopPropagation(); } } }); // prettier-ignore
}

function grip(label) {
  const handle = h("span", { class: "icon-button small grip", title: "Drag to another place in the list" }, icon("grip"));
  handle.onpointerdown = (down) => {
    handle.setPointerCapture(down.pointerId);
    let place = null;
    const rows = () => [...byId("mask-list").children];
    handle.onpointermove = (event) => {
      const all = rows(), below = all.findIndex((one) => event.clientY < one.getBoundingClientRect().top + one.offsetHeight / 2);
      place = below < 0 ? all.length : below;
      all.forEach((one, k) => one.classList.toggle("drop-before", k === place));
    };
    handle.onpointerup = () => {
      handle.onpointermove = null;
      rows().forEach((one) => one.classList.remove("drop-before"));
      if (place !== null) moveTo(label, place);
    };
  };
  return handle;
}

function menuOf({ label, fragments }) {
  const { chosen, masks } = store.get();
  const several = chosen.includes(label) && chosen.length > 1 ? chosen : null;
  return [
    { text: "Rename", icon: "pen", key: "F2", run: () => rename(label) },
    { text: "Split into its parts", icon: "split", disabled: fragments < 2, run: () => edit({ kind: "split", label, line: null }) },
    { text: several ? `Merge ${several.length} objects` : "Merge (select several)", icon: "merge", key: "M", disabled: !several, run: mergeChosen },
    "-",
    { text: "Move up", icon: "up", disabled: masks.objects[0].label === label, run: () => shift(label, -1) },
    { text: "Move down", icon: "down", disabled: masks.objects.at(-1).label === label, run: () => shift(label, 1) },
    "-",
    { text: several ? `Delete ${several.length} objects` : "Delete", icon: "trash", key: "Del", danger: true, run: () => deleteChosen(several ?? [label]) },
  ];
}

function menuOfAll() {
  const { photo, masks, config } = store.get(), some = masks.objects.length > 0;
  const forms = config?.mask_forms ?? [];
  return [
    { text: "Open a mask file", icon: "upload", run: () => byId("mask-file").click() },
    { text: "Find objects ...", icon: "wand", key: "O", run: askFind },
    { text: "Select all", icon: "select", key: "Ctrl+A", disabled: !some, run: selectAll },
    { text: "Delete all", icon: "trash", danger: true, disabled: !some, run: () => edit({ kind: "clear" }) },
    "-", { note: "Save the masks as" },
    ...forms.map(({ form, title }) => ({ text: title, icon: "save", disabled: !some, run: () => download(api.masksFile(photo.id, form)) })),
  ];
}

export function selectAll() {
  store.set({ chosen: store.get().masks.objects.map((object) => object.label) });
}
