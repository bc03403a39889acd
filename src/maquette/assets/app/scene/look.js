/** How the scene is shown: colouring, wireframe and grid above the view; the photo's camera and its blending below. */

import { confidenceColour } from "../../viewer/looks.js";
import { byId, h, iconButton, segments } from "../dom.js";
import { store } from "../store.js";
import { mainViewer, turnScene } from "./views.js";

const COLOURINGS = [["photo", "Colours", "The objects' own colours (1)"], ["instance", "Objects", "One colour for each object (2)"],
                    ["confidence", "Confidence", "How right each shape is likely to be (3)"], ["clay", "Clay", "Shape only (4)"]]; // prettier-ignore

export function mountLook() {
  store.watch(["look"], ({ look }) => {
    const set = (changes) => store.set({ look: { ...look, ...changes } });
    const place = byId("look"), focused = place.contains(document.activeElement) ? document.activeElement.textContent : null;
    place.replaceChildren(
      segments("Colours", COLOURINGS, look.colouring, (colouring) => set({ colouring })),
      ...(look.colouring === "confidence" ? [legend()] : []),
      h("span", { class: "separator" }),
      iconButton("wire", "Wireframe (Z)", () => set({ wireframe: !look.wireframe }), { "aria-pressed": String(look.wireframe) }),
      iconButton("grid", "Ground grid (G)", () => set({ grid: !look.grid }), { "aria-pressed": String(look.grid) }),
    );
    if (focused) [...place.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
  });
  mountEye();
}

function legend() {
  const bar = h("canvas", { width: 90, height: 8, role: "img", "aria-label": "Colours from low to high confidence" }), context = bar.getContext("2d");
  for (let x = 0; x < 90; x++) {
    context.fillStyle = confidenceColour(x / 89).getStyle();
    context.fillRect(x, 0, 1, 8);
  }
  return h("span", { class: "legend" }, "0 %", bar, "100 %");
}

function mountEye() {
  const turn = h("button", { type: "button", class: "quiet", title: "Let the scene turn slowly (Space)", onclick: turnScene }, "Turn");
  const slider = h("input", { type: "range", min: 0, max: 1, step: 0.01, value: 1, "aria-label": "Blend from the photo to the scene",
    oninput: (event) => store.set({ blend: Number(event.target.value) }) }); // prettier-ignore
  const blend = h("label", {}, "Photo", slider, "Scene");
  const around = [["Front", 0, 0.12, 1], ["Side", 1, 0.12, 0], ["Top", 0, 1, 0.001]].map(([name, x, y, z]) =>
    h("button", { type: "button", class: "quiet", title: `Look from the ${name.toLowerCase()}`, onclick: () => mainViewer()?.viewFrom(x, y, z) }, name));
  byId("eye").replaceChildren(turn, blend, ...around);
  store.watch(["inPhotoView", "scene", "turning"], ({ inPhotoView, scene, turning }) => {
    turn.disabled = !scene;
    turn.setAttribute("aria-pressed", String(turning));
    turn.hidden = inPhotoView || window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    blend.hidden = !inPhotoView || !scene?.image;
  });
  store.watch(["blend"], ({ blend: share }) => { slider.value = share; });
}
