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
  store.watch(["job", "scene", "rival"], ({ job, scene, rival }) => {
    const card = byId("progress");
    const content = scene ? rival && rivalCard(rival) : job && (over(job) ? ended(job) : running(job));
    card.hidden = !content;
    card.classList.toggle("failed", !scene && ["failed", "interrupted"].includes(job?.state));
    if (content) card.replaceChildren(...content);
  });
}

function running(job) {
  const { stage, overall = 0, instance, attempt = 1 } = job.progress ?? {};
  const name = instance && (job.objects.find((one) => one.label === instance.label)?.name || `object ${instance.label}`);
  const what = job.state === "queued" ? (job.position ? `Waiting: ${job.position} before it` : "Waiting") : STAGES[stage] ?? stage ?? "Starting";
  const details = [name && `${name}, ${instance.index} of ${instance.of}`, job.options?.samples > 1 && `try ${attempt} of ${job.options.samples}`].filter(Boolean);
  const percent = Math.round(overall * 100);
  return [
    h("div", { class: "progress-line" }, h("span", { class: "spinner" }), h("strong", {}, what),
      details.length ? h("span", { class: "chip" }, details.join(" · ")) : null,
      h("button", { type: "button", onclick: cancelJob }, "Cancel")), // prettier-ignore
    job.state === "queued" ? h("progress", { max: 1, "aria-label": "Progress" }) : h("progress", { max: 1, value: overall, "aria-label": `Progress: ${percent} %` }),
  ];
}

function ended(job) {
  const words = { failed: "This did not work", cancelled: "Cancelled", interrupted: "Interrupted: the server was stopped in the middle" };
  return [
    h("div", { class: "progress-line" }, icon(job.state === "cancelled" ? "close" : "warn"), h("strong", {}, words[job.state] ?? job.state)),
    job.error ? h("p", {}, job.error) : null,
    h("div", { class: "progress-line" },
      h("button", { type: "button", class: "primary", onclick: () => repeatJob() }, "Try again"),
      job.photo && h("button", { type: "button", onclick: () => { location.hash = `photo/${job.photo}`; } }, "Back to the objects")), // prettier-ignore
  ].filter(Boolean);
}

function rivalCard({ share, title }) {
  return [
    h("div", { class: "progress-line" }, h("span", { class: "spinner" }), h("strong", {}, `Making the same scene with ${title}`)),
    h("progress", { max: 1, value: share ?? 0, "aria-label": "Progress of the other scene" }),
  ];
}
