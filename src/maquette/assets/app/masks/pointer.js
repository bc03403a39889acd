/** Mouse, pen and fingers on the mask canvas: one pointer works, two pinch, the wheel zooms, space or the middle button pans. */

import { store } from "../store.js";

export function mountPointer(canvas, tools) {
  const element = canvas.canvas, pointers = new Map();
  let mode = null; // "tool", "pan" or "pinch"
  let space = false;
  let last = null;

  const tool = () => tools[store.get().tool];
  const point = (event) => canvas.toPhoto(event.clientX, event.clientY);
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2, distance: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) };
  };

  element.addEventListener("pointerdown", (event) => {
    if (!canvas.photo || event.button > 1) return;
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      if (mode === "tool") tools.cancel();
      mode = "pinch";
      last = spread();
    } else if (pointers.size === 1) {
      mode = event.button === 1 || space || store.get().tool === "hand" ? "pan" : "tool";
      last = event;
      if (mode === "tool") tool().down?.(point(event), event);
    }
    event.preventDefault();
    element.focus({ preventScroll: true });
  });

  element.addEventListener("pointermove", (event) => {
    if (!canvas.photo) return;
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event);
    if (mode === "pinch" && pointers.size === 2) {
      const now = spread();
      canvas.zoom(now.distance / last.distance, now.x, now.y);
      canvas.pan(now.x - last.x, now.y - last.y);
      last = now;
    } else if (mode === "pan") {
      canvas.pan(event.clientX - last.clientX, event.clientY - last.clientY);
      last = event;
    } else if (mode === "tool") {
      for (const step of event.getCoalescedEvents?.() ?? []) tool().move?.(point(step), step);
      tool().move?.(point(event), event);
    }
    tools.hover(point(event));
    if (mode === null) canvas.setHover(canvas.labelAt(...point(event)) || null);
  });

  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (mode === "tool" && event.type === "pointerup") tool().up?.(point(event), event);
    else if (mode === "tool") tools.cancel();
    if (!pointers.size) mode = null;
    else if (mode === "pinch") mode = "rest"; // the finger that is left does nothing
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("pointerleave", () => { tools.hover(null); canvas.setHover(null); });
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("dblclick", () => { if (store.get().tool === "polygon") tools.finish(); });

  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const step = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    canvas.zoom(Math.exp(-Math.max(-120, Math.min(120, step)) * (event.ctrlKey ? 0.01 : 0.0022)), event.clientX, event.clientY);
  }, { passive: false });

  const typing = (event) => event.target.matches?.("input, select, textarea, button, summary");
  window.addEventListener("keydown", (event) => {
    if (event.code !== "Space" || typing(event) || store.get().screen !== "masks") return;
    space = true;
    element.style.cursor = "grab";
    event.preventDefault();
  });
  window.addEventListener("keyup", (event) => {
    if (event.code !== "Space" || !space) return;
    space = false;
    store.set({ tool: store.get().tool });
    element.style.cursor = { select: "default", hand: "grab", brush: "none" }[store.get().tool] ?? "crosshair";
  });
}
