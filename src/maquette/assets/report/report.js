/* The page of `maquette report`: gallery, theme, and the door to the 3D view, which is loaded when the first scene is opened. */
"use strict";
{

const index = JSON.parse(document.getElementById("index").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const dialog = document.getElementById("viewer");
const state = { method: index.methods[0].name, set: "all", order: "extremes", metric: "f_s", open: null };
let listed = []; // scenes in the order of the gallery

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const picture = (scene, name) => (pictures[scene][name] ? `data:image/jpeg;base64,${pictures[scene][name]}` : null);
const lowerIsBetter = (metric) => metric.startsWith("cd_");
const heading = (metric) => index.metrics.find(({ key }) => key === metric)?.label ?? metric;

function shown(metric, value) {
  if (value === null || value === undefined) return "–";
  return metric.startsWith("f_") ? value.toFixed(1) : metric.startsWith("cd_") ? value.toFixed(4) : value.toFixed(3);
}

// Theme

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new CustomEvent("theme"));
}
const system = matchMedia("(prefers-color-scheme: dark)");
setTheme(system.matches ? "dark" : "light");
system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));

// Gallery

function value(scene) {
  const found = scene.results[state.method]?.metrics[state.metric];
  return found === null || found === undefined ? NaN : found;
}

/** Scenes with a result, best first. */
function sorted() {
  const chosen = index.scenes.filter((scene) => (state.set === "all" || scene.set === state.set) && scene.results[state.method]);
  if (state.order === "name") return chosen;
  const sign = lowerIsBetter(state.metric) ? 1 : -1;
  return chosen.sort((a, b) => sign * (value(a) - value(b)) || a.name.localeCompare(b.name));
}

function tile(source, caption) {
  if (!source) return element("div", { className: "tile none", textContent: "nothing was made" });
  return element("div", { className: "tile" }, element("img", { src: source, alt: caption, loading: "lazy", decoding: "async" }), element("span", { textContent: caption }));
}

function turntable(source) {
  if (!source) return element("div", { className: "tile none", textContent: "–" });
  const made = element("div", { className: "tile turn" }, element("span", { textContent: "turntable" }));
  made.style.backgroundImage = `url(${source})`;
  return made;
}

function card(scene) {
  const result = scene.results[state.method], name = scene.name;
  const scores = element("div", { className: "scores" }, element("span", { className: "scene", textContent: name }));
  for (const metric of new Set([...index.card, state.metric])) {
    scores.append(element("span", {}, `${heading(metric).replace(/ [↑↓]/, "")} `, element("b", { textContent: shown(metric, result.metrics[metric]) })));
  }
  scores.append(element("span", { textContent: `${scene.objects.length} objects` }));
  if (result.missing) scores.append(element("span", { className: "missed", textContent: `${result.missing} missed` }));
  const tiles = element("div", { className: "tiles" }, tile(picture(name, "photo"), "photo"), tile(picture(name, `of-${state.method}`), "prediction"),
                        turntable(picture(name, `turn-${state.method}`)), tile(picture(name, "truth"), "ground truth"));
  const made = element("button", { className: "card", type: "button", ariaLabel: `Open ${name} in 3D` }, tiles, scores);
  made.addEventListener("click", () => open(scene));
  return made;
}

function cards(scenes) {
  return element("div", { className: "cards" }, ...scenes.map(card));
}

function showGallery() {
  const scenes = sorted(), gallery = document.getElementById("gallery"), parts = [];
  const count = Math.min(4, Math.floor(scenes.length / 3));
  if (state.order === "extremes" && count > 0) {
    const worst = scenes.slice(-count).reverse(), rest = scenes.slice(count, -count);
    for (const [name, group] of [["Best", scenes.slice(0, count)], ["Worst", worst], ["In between, best first", rest]]) {
      parts.push(element("h3", { className: "row-name", textContent: name }), cards(group));
    }
    listed = [...scenes.slice(0, count), ...worst, ...rest];
  } else {
    listed = state.order === "worst" ? scenes.reverse() : scenes;
    parts.push(element("h3", { className: "row-name", textContent: `${listed.length} scenes` }), cards(listed));
  }
  gallery.replaceChildren(...parts);
}

function select(label, options, key) {
  const made = element("select", {}, ...options.map(([value, text]) => element("option", { value, textContent: text, selected: value === state[key] })));
  made.addEventListener("change", () => { state[key] = made.value; showGallery(); });
  return element("label", {}, label, made);
}

function showTools() {
  const sets = [...new Set(index.scenes.map(({ set }) => set))];
  const known = index.metrics.filter(({ key }) => index.scenes.some((scene) => Number.isFinite(scene.results[state.method]?.metrics[key])));
  const parts = [];
  if (index.methods.length > 1) parts.push(select("method", index.methods.map(({ name, label }) => [name, label]), "method"));
  if (sets.length > 1) parts.push(select("set", [["all", "all"], ...sets.map((set) => [set, set])], "set"));
  parts.push(select("by", known.map(({ key, label }) => [key, label.replace(/ [↑↓]/, "")]), "metric"));
  parts.push(select("order", [["extremes", "best and worst first"], ["best", "best first"], ["worst", "worst first"], ["name", "as they were run"]], "order"));
  parts.push(element("span", { textContent: `protocol ${index.protocol}` }));
  document.getElementById("tools").append(...parts);
}

// The 3D view

async function mesh(scene, name) {
  const found = document.querySelector(`script[data-mesh="${CSS.escape(`${scene}|${name}`)}"]`);
  return found ? unpack(found.textContent) : null;
}

async function open(scene) {
  state.open = scene;
  if (!dialog.open) dialog.showModal();
  try {
    const { showScene } = await loadModule("maquette/report/scene-view.js");
    if (state.open === scene) await showScene({ scene, method: state.method, index, mesh, picture, shown, heading, element });
  } catch (error) {
    document.getElementById("views").replaceChildren(element("div", { className: "view" }, element("div", { className: "wait", textContent: `The 3D view cannot be shown: ${error.message}` })));
    throw error;
  }
}

function go(step) {
  const at = listed.indexOf(state.open);
  if (at >= 0 && listed.length > 1) open(listed[(at + step + listed.length) % listed.length]);
}

dialog.addEventListener("close", () => {
  state.open = null;
  loadingModule?.then(({ hideScene }) => hideScene());
});
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.getElementById("close").addEventListener("click", () => dialog.close());
dialog.querySelectorAll("[data-go]").forEach((button) => button.addEventListener("click", () => go(Number(button.dataset.go))));
document.addEventListener("keydown", (event) => {
  if (!dialog.open || event.target.tagName === "CANVAS" && event.shiftKey) return;
  if (event.key === "ArrowRight") go(1);
  if (event.key === "ArrowLeft") go(-1);
});

showTools();
showGallery();
}
