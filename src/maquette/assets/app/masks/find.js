/** Finding objects: at once by what is built in, or by a network and words that are chosen in a dialog. */

import { byId, h } from "../dom.js";
import { store } from "../store.js";
import { findObjects } from "./actions.js";

const WORDS = "boxes"; // what a network gives that knows words

/** Ask who shall look, and for what; then look. */
export function askFind() {
  const { config, finder, masks } = store.get(), dialog = byId("ask"), all = config?.finders ?? [];
  const networks = all.filter((one) => one.gives !== WORDS), detector = all.find((one) => one.gives === WORDS);
  const choice = h("select", { "aria-label": "Outlines are found by", onchange: () => tell() }, networks.map(({ name, title, bring }) =>
    h("option", { value: name, selected: name === finder }, `${title}${bring ? " (not here yet)" : ""}`))); // prettier-ignore
  const about = h("p", { class: "hint" });
  const words = h("input", { type: "text", maxLength: 200, placeholder: "everything", "aria-label": "Only what these words name", oninput: () => tell() });
  const missing = h("div", { class: "missing", role: "status" });
  const start = h("button", { type: "button", class: "primary", onclick: () => run() }, "Find objects");
  const tell = () => {
    const network = networks.find((one) => one.name === choice.value);
    const absent = [network, words.value.trim() ? detector : null].filter((one) => one?.bring);
    about.textContent = `${network?.title}: ${network?.about}.`;
    start.disabled = absent.length > 0;
    missing.replaceChildren(...absent.flatMap(({ title, size, bring }) =>
      [h("p", {}, `${title} (${size}) is not on this machine. In a terminal, then load this page again:`), h("code", {}, bring)]));
  };
  const run = () => {
    if (start.disabled) return;
    store.set({ finder: choice.value });
    dialog.close();
    findObjects(words.value);
  };
  words.onkeydown = (event) => { if (event.key === "Enter") run(); };
  dialog.replaceChildren(h("h2", { id: "ask-title" }, "Find objects"),
    h("p", {}, masks?.objects.length ? "What is found takes the place of the objects that are marked now; it can be undone." : "Each thing that is found becomes an object."),
    h("div", { class: "fields" },
      h("label", { class: "field" }, "Outlines are found by, also in boxes and at clicks", choice), about,
      h("label", { class: "field" }, "Only what these words name, such as: chair, lamp", words)),
    missing,
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), start)); // prettier-ignore
  tell();
  dialog.showModal();
  choice.focus();
}
