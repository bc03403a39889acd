/** The panel beside the 3D view: the objects, the one that is selected, what failed; or the table of a comparison. */

import { confidenceColour, sureness } from "../../viewer/looks.js";
import { api } from "../api.js";
import { byId, download, h, iconButton, openMenu, segments } from "../dom.js";
import { icon } from "../icons.js";
import { randomSeed } from "../masks/request.js";
import { store } from "../store.js";
import { duplicate, edit, makeForComparison, methodTitle, nameOf, over, regenerate, removeInstance, siblings, toggleHidden, undo } from "./actions.js";
import { pick } from "./views.js";

let renaming = false;

export function mountPanel() {
  store.watch(["config", "job", "scene", "other", "comparison", "selected", "remade", "again", "look"], show);
  store.watch(["remaking"], ({ remaking = {}, selected }) => {
    const again = byId("scene-panel").querySelector(".again"); // only its number changes
    if (again && remaking[selected]) again.textContent = `${Math.round(100 * (remaking[selected].share ?? 0))} %`;
  });
}

/** Type a new name for the selected object. */
export function renameSelected() {
  renaming = true;
  show(store.get());
}

function show({ job, scene, other, comparison, selected, remaking = {} }) {
  const place = byId("scene-panel");
  if (!scene && !job) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") ?? document.activeElement.textContent : null;
  if (other && comparison) place.replaceChildren(...comparisonPanel(scene, comparison));
  else if (scene) place.replaceChildren(...scenePanel(scene, selected, remaking));
  else place.replaceChildren(...jobPanel(job));
  if (renaming) {
    const input = place.querySelector(".row-name");
    input?.focus(); // select() alone does so in some browsers only
    input?.select();
  } else if (focused) [...place.querySelectorAll("button, input, select")].find((one) => (one.getAttribute("aria-label") ?? one.textContent) === focused)?.focus();
}

const swatch = (color) => {
  const element = h("span", { class: "swatch" });
  element.style.background = color;
  return element;
};

const percent = (share) => (share === null || share === undefined ? "-" : `${Math.round(100 * share)} %`);

/** How far an object can be trusted, in one number; what it means is said on hover, to screen readers, and in the inspector. */
function sureChip(instance) {
  const share = sureness(instance);
  if (share === null) return null;
  const { estimate } = instance, because = estimate?.reason ? `; not more, because ${estimate.reason}` : "";
  const said = estimate ? `Its shape is likely to be ${percent(share)} right${because}` : `Its outline fits the photo by ${percent(share)}`;
  return h("span", { class: "chip", role: "img", title: said, "aria-label": said }, swatch(confidenceColour(share).getStyle()), percent(share));
}

// While it is made

function jobPanel(job) {
  const made = new Map(job.instances.map((one) => [one.label, one])), current = job.progress?.instance?.label;
  const state = ({ label }) => made.has(label) ? h("span", { class: "chip" }, icon("check"), "there")
    : label === current && !over(job) ? h("span", { class: "spinner" }) : null; // prettier-ignore
  return [
    h("div", { class: "panel-head" }, h("h2", {}, "Objects", h("span", { class: "count" }, `${made.size} of ${job.objects.length}`))),
    h("div", { class: "list", role: "list" }, job.objects.map((object) =>
      h("div", { class: `row${made.has(object.label) ? "" : " off"}`, role: "listitem" },
        h("div", { class: "row-line" }, h("span", { class: "pick" }, object.name || `object ${object.label}`), state(object))))),
    ...notes(job.failures, job.warnings),
  ]; // prettier-ignore
}

function notes(failures = [], warnings = []) {
  return [
    failures.length ? h("ul", { class: "notes failed" }, failures.map(({ label, reason }) => h("li", {}, icon("warn"), h("span", {}, `object ${label}: ${reason}`)))) : null,
    warnings.length ? h("ul", { class: "notes" }, warnings.map((text) => h("li", {}, icon("warn"), h("span", {}, text)))) : null,
  ].filter(Boolean);
}

// The scene

function scenePanel(scene, selected, remaking) {
  const instance = scene.instances.find((one) => one.label === selected);
  return [
    h("div", { class: "panel-head" }, h("h2", {}, "Objects", h("span", { class: "count" }, `${scene.instances.length}`)),
      h("button", { type: "button", class: "quiet", "aria-haspopup": "menu", onclick: (event) => compareMenu(event.currentTarget, scene) }, "Compare")),
    h("div", { class: "list", role: "list" }, scene.instances.map((one) => row(one, one.label === selected, remaking[one.label]))),
    ...(scene.around.length ? [aroundHead(), h("div", { class: "list", role: "list" }, scene.around.map(aroundRow))] : []),
    ...notes(scene.failures, []),
    instance ? inspector(instance, remaking[instance.label]) : summary(scene),
  ]; // prettier-ignore
}

function row(instance, chosen, remaking) {
  const { label, hidden, color, warnings } = instance, name = nameOf(instance);
  const middle = chosen && renaming ? nameField(instance)
    : h("button", { type: "button", class: "pick", "aria-pressed": String(chosen), onclick: () => pick(label), ondblclick: () => pick(label, true) }, name); // prettier-ignore
  return h("div", { class: `row${chosen ? " selected" : ""}${hidden ? " off" : ""}`, role: "listitem" },
    h("div", { class: "row-line" }, swatch(color), middle, remaking ? h("span", { class: "spinner" }) : sureChip(instance),
      h("div", { class: `row-actions${hidden ? " stay" : ""}` },
        iconButton(hidden ? "eyeOff" : "eye", `${hidden ? "Show" : "Hide"} ${name}`, () => toggleHidden(label), { class: "small" }))),
    chosen && warnings.length ? h("ul", { class: "notes" }, warnings.map((text) => h("li", {}, icon("warn"), h("span", {}, text)))) : null); // prettier-ignore
}

const aroundHead = () => h("div", { class: "panel-head" }, h("h2", { title: "What the given depth shows around the objects" }, "Room"));

/** A surface around the objects: its confidence, and a switch. */
function aroundRow({ node, confidence }) {
  const { look } = store.get(), shown = look.around.includes(node);
  const set = () => store.set({ look: { ...look, around: shown ? look.around.filter((one) => one !== node) : [...look.around, node] } });
  const said = `${percent(confidence)} of the points that were measured there lie on it`;
  const sure = confidence === null ? null : h("span", { class: "chip", role: "img", title: said, "aria-label": said }, swatch(confidenceColour(confidence).getStyle()), percent(confidence));
  return h("div", { class: `row${shown ? "" : " off"}`, role: "listitem" },
    h("div", { class: "row-line" }, h("button", { type: "button", class: "pick", "aria-pressed": String(shown), onclick: set }, node), sure,
      h("div", { class: "row-actions stay" }, iconButton(shown ? "eye" : "eyeOff", `${shown ? "Hide" : "Show"} ${node}`, set, { class: "small" })))); // prettier-ignore
}

function nameField({ label, node }) {
  let done = false;
  const finish = (keep, event) => {
    if (done) return;
    done = true;
    renaming = false;
    const text = event.target.value.trim();
    if (keep && text && text !== node) edit({ kind: "rename", label, node: text });
    else show(store.get());
  };
  return h("input", { type: "text", class: "row-name", value: node, maxLength: 80, "aria-label": "Name of the node", onblur: (event) => finish(true, event),
    onkeydown: (event) => { if (event.key === "Enter") finish(true, event); else if (event.key === "Escape") { finish(false, event); event.stopPropagation(); } } }); // prettier-ignore
}

/** What an object stands on, as a list to choose from: it is put there. */
function supporterField({ label, stands_on: on }, scene) {
  const others = scene.instances.filter((one) => one.label !== label);
  const choices = [["ground", "the ground"], ...others.map((one) => [`${one.label}`, nameOf(one)])];
  const options = choices.map(([value, text]) => h("option", { value, selected: value === `${on}` }, text));
  const unknown = on === null || on === undefined ? h("option", { value: "", selected: true, disabled: true }, "not seen") : null;
  const put = ({ target: { value } }) => edit({ kind: "stand", label, on: value === "ground" ? value : Number(value) });
  return h("select", { "aria-label": "Stands on", title: "Puts the object there, with what stands on it", onchange: put }, unknown, options);
}

function inspector(instance, remaking) {
  const { label, hidden, seed, confidence, estimate, box } = instance, { scene, config } = store.get();
  const input = h("input", { type: "number", min: 0, max: config?.options.seed.maximum ?? 4294967295, value: randomSeedOf(config), "aria-label": "Another seed for this object" });
  const metres = scene.metres_per_unit;
  const size = box && [0, 1, 2].map((axis) => ((box[1][axis] - box[0][axis]) * (metres ?? 1)).toFixed(2)).join(" × ") + (metres ? " m" : "");
  const action = (name, text, run, properties = {}) => h("button", { type: "button", onclick: run, ...properties }, icon(name), text);
  return h("div", { class: "inspector", role: "group", "aria-label": `Selected: ${nameOf(instance)}` },
    h("h3", {}, nameOf(instance)),
    h("dl", { class: "facts" },
      h("dt", {}, "Node"), h("dd", {}, instance.node), h("dt", {}, "Size"), h("dd", {}, size ?? "-"),
      h("dt", {}, "Stands on"), h("dd", {}, supporterField(instance, scene)),
      estimate && [h("dt", {}, "Shape"), h("dd", {}, `likely ${percent(estimate.f_score)} right`)],
      h("dt", {}, "Outline"), h("dd", {}, confidence === null ? "not checked" : `fits the photo by ${percent(confidence)}`), h("dt", {}, "Seed"), h("dd", {}, `${seed}`)),
    estimate?.reason ? h("p", { class: "hint" }, `Its shape is not surer because ${estimate.reason}.`) : null,
    h("label", { class: "field" }, "Make it anew from seed",
      h("span", { class: "with" }, input, iconButton("dice", "Draw another seed", () => { input.value = randomSeedOf(config); }),
        h("button", { type: "button", class: "again", disabled: !instance.can_regenerate || Boolean(remaking), onclick: () => { if (input.reportValidity()) regenerate(label, Number(input.value)); } },
          remaking ? `${Math.round(100 * (remaking.share ?? 0))} %` : "Again"))),
    againChoice(instance, scene),
    instance.can_regenerate ? null : h("p", { class: "hint" }, "The scene was saved without what making it anew needs."),
    h("div", { class: "actions" },
      action("pen", "Rename", renameSelected), action("copy", "Duplicate", () => duplicate(label)),
      action(hidden ? "eye" : "eyeOff", hidden ? "Show" : "Hide", () => toggleHidden(label)),
      action("save", "Save it", () => download(api.instanceFile(scene.id, label)), { title: "This object alone as GLB" }),
      action("trash", "Delete", () => removeInstance(label), { class: "danger" }))); // prettier-ignore
}

/** After "Again": the object as it was and as it is, to choose from. */
function againChoice({ label, glb }, scene) {
  const { again } = store.get();
  if (again?.label !== label || again.after.glb !== glb) return null;
  const fit = ({ confidence }) => `its outline fits the photo by ${percent(confidence)}`;
  const choices = [["before", `Before ${percent(again.before.confidence)}`, `The object as it was; ${fit(again.before)}`],
                   ["after", `After ${percent(again.after.confidence)}`, `The object as it is now; ${fit(again.after)}`]]; // prettier-ignore
  return h("div", { class: "field" }, "Made anew",
    h("span", { class: "with" }, segments("Before and after", choices, again.shows, (shows) => store.set({ again: { ...again, shows } })),
      again.shows === "before" && scene.can_undo ? h("button", { type: "button", onclick: () => { store.set({ again: null }); undo(); } }, "Take it back") : null)); // prettier-ignore
}

const randomSeedOf = (config) => (config ? randomSeed(config) : 1);

function summary(scene) {
  const stages = Object.entries(scene.provenance?.seconds ?? {}).filter(([stage]) => !["preview", "export"].includes(stage)); // as in the terminal
  const seconds = stages.reduce((sum, [, one]) => sum + one, 0);
  const facts = [["Method", methodTitle(scene.method) || null], ["Seed", scene.seed], ["Made in", seconds ? `${seconds.toFixed(1)} s` : null]].filter(([, value]) => value !== null && value !== undefined);
  return h("div", { class: "inspector" }, h("h3", {}, "Scene"),
    h("dl", { class: "facts" }, facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, `${value}`)])),
    h("p", { class: "hint" }, "Click an object to select it; double-click looks at it closely."), ...notes([], scene.warnings)); // prettier-ignore
}

// Comparison

async function compareMenu(anchor, scene) {
  const { config } = store.get(), others = await siblings(scene);
  const methods = (config?.methods ?? []).filter((method) => method.name !== scene.method);
  const origin = scene.job ?? scene.photo; // a scene that was opened from a file may have neither
  openMenu(anchor, [
    { note: "With a scene of the same photo" },
    ...(others.length ? others.slice(0, 8).map((other) => ({ text: `${other.name} (${methodTitle(other.method)})`, icon: "compare", run: () => { location.hash = `compare/${scene.id}/${other.id}`; } }))
      : [{ text: "There is no other yet", disabled: true, run() {} }]),
    "-", { note: "Make it again and compare" },
    ...methods.map((method) => ({ text: `With ${method.title}`, icon: "again", disabled: !origin, run: () => makeForComparison({ method: method.name }) })),
    { text: "With another seed", icon: "dice", disabled: !origin, run: () => makeForComparison({ seed: randomSeedOf(config) }) },
  ]); // prettier-ignore
}

function comparisonPanel(scene, { a, b, objects }) {
  const cells = (x, y, text, more) => [[x, y], [y, x]].map(([own, its]) =>
    h("td", { class: own !== null && own !== undefined && (its ?? null) !== null && (more ? own > its : own < its) ? "best" : "" }, text(own)));
  const seconds = (value) => (value ? `${value.toFixed(1)} s` : "-");
  return [
    h("div", { class: "panel-head" }, h("h2", {}, "Comparison"), h("button", { type: "button", class: "quiet", onclick: () => { location.hash = `scene/${scene.id}`; } }, "Close")),
    h("table", { class: "table" },
      h("thead", {}, h("tr", {}, h("th", {}, ""), h("th", { title: a.name }, `A · ${methodTitle(a.method)}`), h("th", { title: b.name }, `B · ${methodTitle(b.method)}`))),
      h("tbody", {},
        h("tr", {}, h("td", {}, "Outline"), ...cells(a.confidence, b.confidence, percent, true)),
        h("tr", {}, h("td", {}, "Time"), ...cells(a.seconds, b.seconds, seconds, false)),
        objects.map((object) => h("tr", {}, h("td", {}, object.name || `object ${object.label}`),
          ...cells(object.a?.confidence, object.b?.confidence, percent, true))))),
    h("p", { class: "hint" }, "Outline: how well the outlines of the objects fit the photo. Both views look from the same place; move one and the other follows."),
  ]; // prettier-ignore
}
