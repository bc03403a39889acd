/** Building elements without a framework. */

import { icon } from "./icons.js";

export const byId = (id) => document.getElementById(id);

/** An element: h("button", {class: "primary", onclick: f, "aria-label": "Save"}, "Save"). Properties that are null or false are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !name.includes("-") && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button with an icon and nothing else to see; `label` is its name. */
export function iconButton(name, label, onclick, properties = {}) {
  const { class: extra = "", ...others } = properties;
  return h("button", { type: "button", class: `icon-button ${extra}`, "aria-label": label, title: label, onclick, ...others }, icon(name));
}

/** Buttons of which one is chosen: [[value, text, title?], ...]. */
export function segments(label, choices, chosen, onchoose) {
  const buttons = choices.map(([value, text, title]) =>
    h("button", { type: "button", role: "radio", "aria-checked": String(value === chosen), title, onclick: () => onchoose(value) }, text));
  return h("div", { class: "segments", role: "radiogroup", "aria-label": label, onkeydown: (event) => roam(event, buttons) }, buttons);
}

/** Arrow keys move the focus among elements. */
export function roam(event, elements) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const usable = elements.filter((element) => !element.disabled);
  const at = usable.indexOf(document.activeElement);
  if (!step || at < 0) return;
  event.preventDefault();
  usable[(at + step + usable.length) % usable.length].focus();
}

/** A menu below an element: entries are {text, icon, key, run, disabled, danger}, "-" for a line, or {note: text}. */
export function openMenu(anchor, entries) {
  document.querySelector(".menu")?.remove();
  const close = () => {
    menu.remove();
    window.removeEventListener("pointerdown", outside, true);
    anchor.focus?.({ preventScroll: true });
  };
  const outside = (event) => { if (!menu.contains(event.target)) close(); };
  const items = entries.map((entry) => {
    if (entry === "-") return h("hr");
    if (entry.note) return h("p", {}, entry.note);
    const run = () => { close(); entry.run(); };
    return h("button", { type: "button", role: "menuitem", disabled: entry.disabled, class: entry.danger ? "danger" : "", onclick: run },
      entry.icon && icon(entry.icon), entry.text, entry.key && h("span", { class: "key" }, entry.key)); // prettier-ignore
  });
  const buttons = items.filter((item) => item.tagName === "BUTTON");
  const menu = h("div", { class: "menu", role: "menu", onkeydown: (event) => {
    if (event.key === "Escape" || event.key === "Tab") { event.preventDefault(); close(); }
    event.stopPropagation();
    roam(event, buttons);
  } }, items); // prettier-ignore
  document.body.append(menu);
  const place = anchor.getBoundingClientRect(), size = menu.getBoundingClientRect();
  const below = place.bottom + 6 + size.height < innerHeight;
  menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - size.width - 8))}px`;
  menu.style.top = `${below ? place.bottom + 6 : Math.max(8, place.top - size.height - 6)}px`;
  window.addEventListener("pointerdown", outside, true);
  buttons.find((button) => !button.disabled)?.focus({ preventScroll: true });
}

/** A short message; errors stay longer. `action` is [text, callback]. */
export function toast(text, { error = false, action = null } = {}) {
  const box = h("div", { class: error ? "toast error" : "toast" }, h("span", {}, text));
  const end = () => box.remove();
  if (action) box.append(h("button", { type: "button", onclick: () => { end(); action[1](); } }, action[0]));
  box.append(iconButton("close", "Dismiss", end, { class: "small" }));
  const all = byId("toasts");
  while (all.children.length > 2) all.firstChild.remove();
  all.append(box);
  setTimeout(end, error ? 12000 : 5000);
}

/** Ask for a yes; resolves to true or false. */
export function confirmed(title, text, yes) {
  const dialog = byId("ask");
  return new Promise((resolve) => {
    const finish = (answer) => { dialog.close(); resolve(answer); };
    dialog.replaceChildren(h("h2", { id: "ask-title" }, title), h("p", {}, text), h("div", { class: "actions" },
      h("button", { type: "button", onclick: () => finish(false) }, "Cancel"),
      h("button", { type: "button", class: "primary", onclick: () => finish(true) }, yes))); // prettier-ignore
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
    dialog.querySelector(".primary").focus();
  });
}

/** Let the browser save a file from an address, or a Blob under a name. */
export function download(source, name = "") {
  const address = source instanceof Blob ? URL.createObjectURL(source) : source;
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  if (source instanceof Blob) setTimeout(() => URL.revokeObjectURL(address), 10000);
}
