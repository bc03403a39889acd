/** What is known of a photo's depth and camera: files and numbers in, and what was understood of them. */

import { ApiError, api } from "../api.js";
import { h, toast } from "../dom.js";
import { store } from "../store.js";

const DEPTH = ".png,.tif,.tiff,.npy,.npz,.exr,.r3d", CAMERA = ".txt,.json,.yaml,.yml,.npy,.npz";
const UNITS = ["auto", "mm", "cm", "m", "in", "ft", "relative"], KINDS = ["z", "ray", "inverse"];

/** The form; it follows the photo that is open. */
export function knownGeometry() {
  const place = h("div", { class: "known" });
  store.watch(["photo"], ({ photo }) => place.isConnected && show(place, photo));
  show(place, store.get().photo);
  return place;
}

function show(place, photo) {
  const told = photo?.geometry;
  if (told) place.replaceChildren(...understood(told), h("button", { type: "button", onclick: () => change(() => api.deleteGeometry(photo.id)) }, "Forget it"));
  else place.replaceChildren(...asked(photo));
}

function understood(told) {
  const depth = told.known === null ? null : `Depth of ${told.source}: ${Math.round(100 * told.known)} % of the pixels, ${told.unit}`;
  const camera = told.camera ? `Camera: ${told.focal}` : null;
  const gravity = told.gravity ? "Gravity is known" : null;
  return [depth, camera, gravity, ...told.warnings].filter(Boolean).map((line) => h("p", { class: "hint" }, line));
}

function asked(photo) {
  const pick = (label, accept) => h("input", { type: "file", accept, "aria-label": label });
  const choose = (label, values) => h("select", { "aria-label": label }, values.map((value) => h("option", { value }, value)));
  const text = (label, placeholder) => h("input", { type: "text", "aria-label": label, placeholder });
  const depth = pick("Depth map", DEPTH), unit = choose("Unit of the depth", UNITS), kind = choose("Kind of depth", KINDS);
  const camera = pick("Camera file", CAMERA), numbers = text("Camera in numbers", "FX,FY,CX,CY"), gravity = text("Gravity", "0,1,0");
  const send = async () => {
    const body = new FormData();
    if (depth.files[0]) {
      body.append("depth", depth.files[0]);
      body.append("depth_unit", unit.value);
      body.append("depth_kind", kind.value);
    }
    if (camera.files[0]) body.append("intrinsics", camera.files[0]);
    else if (numbers.value.trim()) body.append("intrinsics", numbers.value.trim());
    if (gravity.value.trim()) body.append("gravity", gravity.value.trim());
    await change(() => api.putGeometry(photo.id, body));
  };
  const field = (label, ...inputs) => h("label", { class: "field" }, label, ...inputs);
  return [
    field("Depth map of the photo", depth),
    h("div", { class: "two" }, field("Unit", unit), field("Kind", kind)),
    field("Camera, as file", camera),
    h("div", { class: "two" }, field("or numbers, pixels", numbers), field("Gravity", gravity)),
    h("button", { type: "button", disabled: !photo, onclick: send }, "Use it"),
  ];
}

async function change(call) {
  try {
    const photo = await call();
    if (store.get().photo?.id === photo.id) store.set({ photo });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toast(error.message, { error: true });
  }
}
