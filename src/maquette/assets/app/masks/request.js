/** What shall be made: method, model, seed, steps, tries. The choices and their limits come from the server. */

import { byId, h, iconButton } from "../dom.js";
import { store } from "../store.js";
import { makeScene } from "./actions.js";
import { knownGeometry } from "./geometry.js";

export function mountRequest() {
  const form = byId("make");
  form.onsubmit = async (event) => {
    event.preventDefault();
    const button = form.querySelector(".primary");
    button.disabled = true;
    try {
      await makeScene();
    } finally {
      button.disabled = false;
    }
  };
  store.watch(["config"], ({ config }) => {
    if (!config) {
      form.replaceChildren(h("p", { class: "why loading" }, h("span", { class: "spinner" }), "Loading the methods ..."));
      return;
    }
    const method = chosenMethod(config, store.get().request.method);
    store.set({ request: { ...store.get().request, method: method.name, model: modelsOf(config, method.name)[0]?.name ?? null } });
    build(form, config);
  });
  store.watch(["masks", "working"], ({ masks, working }) => enable(form, masks, working));
}

/** A random seed within the server's limits. */
export function randomSeed(config) {
  const { minimum, maximum } = config.options.seed;
  return minimum + Math.floor(Math.random() * (Math.min(maximum, 99999) - minimum + 1));
}

export const chosenMethod = (config, name) => config.methods.find((one) => one.name === name) ?? config.methods.find((one) => one.default) ?? config.methods[0];

/** The models that can run a method, the default one first. */
export function modelsOf(config, method) {
  return config.models.filter((model) => model.methods.includes(method)).sort((a, b) => Boolean(b.default) - Boolean(a.default));
}

function enable(form, masks, working) {
  const button = form.querySelector(".primary"), why = form.querySelector(".why");
  if (!button || !why) return;
  const count = masks?.objects.length ?? 0;
  button.disabled = !count || working > 0;
  why.textContent = count ? "" : "Mark at least one object first.";
  why.hidden = count > 0;
}

const set = (changes) => store.set({ request: { ...store.get().request, ...changes } });

/** The whole of a choice that may be too long for its field. */
const titleOf = (choices, name) => choices.find((one) => one.name === name)?.title ?? "";

function build(form, config) {
  const { request } = store.get(), method = chosenMethod(config, request.method), models = modelsOf(config, method.name);
  const perceptions = config.perceptions ?? [];
  const seed = number("seed", "Seed", config.options.seed, request.seed, false);
  const dice = iconButton("dice", "Another seed", () => { set({ seed: randomSeed(config) }); seed.value = store.get().request.seed; });
  const select = (label, choices, chosen, onpick) => h("label", { class: "field" }, label,
    h("select", { title: titleOf(choices, chosen), onchange: ({ target }) => { target.title = titleOf(choices, target.value); onpick(target.value); } }, choices.map(({ name, title, about }) => h("option", { value: name, selected: name === chosen, title: about }, title)))); // prettier-ignore
  form.replaceChildren(
    h("div", { class: "two" },
      select("Method", config.methods, method.name, (name) => {
        set({ method: name, model: modelsOf(config, name)[0]?.name ?? null });
        build(form, config);
      }),
      select("Model", models, request.model, (name) => set({ model: name }))),
    h("div", { class: "two" },
      h("label", { class: "field" }, "Seed", h("span", { class: "with" }, seed, dice)),
      field("Steps", number("steps", "Steps", { ...config.options.steps, default: method.steps ?? config.options.steps.default }, request.steps, true))),
    h("details", {}, h("summary", {}, "More"),
      h("div", {}, h("p", { class: "hint" }, `${method.title}: ${method.about ?? ""}`),
        h("div", { class: "two" },
          field("Tries (the best is kept)", number("samples", "Tries", config.options.samples, request.samples, false)),
          field("Field of view, degrees", number("fov", "Vertical field of view", config.options.fov, request.fov, true, "any")),
          field("Guidance", number("guidance", "Guidance", { ...config.options.guidance, default: method.guidance ?? config.options.guidance.default }, request.guidance, true, "any"))),
        perceptions.length > 1 && select("Depth and camera are seen by", perceptions.map((name) => ({ name, title: name })), request.perception, (name) => set({ perception: name })),
        check("fit", "Hold objects to what the photo shows", request.fit))),
    h("details", {}, h("summary", {}, "Known depth and camera"), knownGeometry(),
      check("room", "Floor and walls, where depth is given", request.room)),
    h("p", { class: "why" }),
    h("button", { type: "submit", class: "primary large" }, "Make the scene")); // prettier-ignore
  enable(form, store.get().masks, store.get().working);
}

function number(key, label, { minimum, maximum, default: usual }, value, optional, step = 1) {
  return h("input", { type: "number", "aria-label": label, min: minimum, max: maximum, step, value: value ?? "", placeholder: optional ? `${usual ?? "automatic"}` : "", required: !optional,
    onchange: (event) => { if (event.target.reportValidity()) set({ [key]: event.target.value === "" ? null : Number(event.target.value) }); } }); // prettier-ignore
}

const check = (key, text, checked) => h("label", { class: "check" }, h("input", { type: "checkbox", checked, onchange: ({ target }) => set({ [key]: target.checked }) }), text); // prettier-ignore

const field = (text, input) => h("label", { class: "field" }, text, input);
