/** The card over the view while a scene is made: how far it is, what is being made, cancel; and why when it did not work. */

import { byId, h } from "../dom.js";
import { icon } from "../icons.js";
import { store } from "../store.js";
import { cancelJob, over, repeatJob } from "./actions.js";

const STAGES = {
  load: "Loading the model", perceive: "Looking at the photo", scene: "Laying out the scene", objects: "Making the objects", zoom: "Making the objects",
  check: "Checking against the photo", write: "Saving", place: "Placing the objects", mesh: "Making the surfaces",
}; // prettier-ignore

export function mountProgress() {
  const card = byId("progress"), run = runningCard(), rival = rivalCard();
  let mode = null; // what the card shows; its parts stay while only numbers change, so that a press on Cancel is never lost
  store.watch(["job", "scene", "rival"], (state) => {
    const { job, scene } = state;
    const now = scene ? (state.rival ? rival : null) : job && (over(job) ? `${job.id} ${job.state}` : run);
    card.hidden = !now;
    card.classList.toggle("failed", !scene && ["failed", "interrupted"].includes(job?.state));
    if (now && now !== mode) card.replaceChildren(...(typeof now === "string" ? ended(job) : now.parts));
    now?.update?.(state);
    mode = now;
  });
}

function runningCard() {
  const stage = h("strong"), details = h("span", { class: "chip" }), bar = h("progress", { max: 1 });
  const cancel = h("button", { type: "button", onclick: cancelJob }, "Cancel");
  return {
    parts: [h("div", { class: "progress-line" }, h("span", { class: "spinner" }), stage, details, cancel), bar],
    update({ job }) {
      const { stage: name, overall = 0, instance, attempt = 1 } = job.progress ?? {};
      const object = instance && (job.objects.find((one) => one.label === instance.label)?.name || `object ${instance.label}`);
      stage.textContent = job.state === "queued" ? (job.position ? `Waiting: ${job.position} before it` : "Waiting") : STAGES[name] ?? name ?? "Starting";
      const facts = [object && `${object}, ${instance.index} of ${instance.of}`, job.options?.samples > 1 && `try ${attempt} of ${job.options.samples}`];
      details.textContent = facts.filter(Boolean).join(" · ");
      details.hidden = !details.textContent;
      setBar(bar, job.state === "queued" ? null : overall, "Progress");
    },
  };
}

function rivalCard() {
  const title = h("strong"), bar = h("progress", { max: 1 });
  return {
    parts: [h("div", { class: "progress-line" }, h("span", { class: "spinner" }), title), bar],
    update({ rival }) {
      title.textContent = rival.title;
      setBar(bar, rival.share ?? 0, "Progress of the other scene");
    },
  };
}

function setBar(bar, share, name) {
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  bar.setAttribute("aria-label", share === null ? name : `${name}: ${Math.round(share * 100)} %`);
}

function ended(job) {
  const words = { failed: "This did not work", cancelled: "Cancelled", interrupted: "Interrupted" };
  return [
    h("div", { class: "progress-line" }, icon(job.state === "cancelled" ? "close" : "warn"), h("strong", {}, words[job.state] ?? job.state)),
    job.error ? h("p", {}, job.error) : null,
    h("div", { class: "progress-line" },
      h("button", { type: "button", class: "primary", onclick: () => repeatJob() }, "Try again"),
      job.photo && h("button", { type: "button", onclick: () => { location.hash = `photo/${job.photo}`; } }, "Back to the objects")), // prettier-ignore
  ].filter(Boolean);
}
