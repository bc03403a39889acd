/** Pointing without a pointer: on the picture, arrow keys move a cross, and Enter presses there; a tool that is drawn with takes a second Enter. */

import { store } from "../store.js";

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const STEPS = 40; // across the photo's longer side; with Shift, a pixel
const SIZE = 11; // CSS pixels from the middle to an end

export class Crosshair {
  #at = null; // photo pixels
  #pressed = null; // where a tool was pressed that is drawn with

  constructor(canvas, tools) {
    Object.assign(this, { canvas, tools });
    canvas.canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["blur", "pointermove"]) canvas.canvas.addEventListener(name, () => this.hide());
  }

  hide() {
    if (!this.#at) return;
    if (this.#pressed) this.tools.cancel();
    [this.#at, this.#pressed] = [null, null];
    this.canvas.draw();
  }

  #key(event) {
    const { photo } = this.canvas;
    if (!photo || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") this.#pressed = null; // the tool gives up what is in work, too
    else if (WAYS[event.key]) this.#move(WAYS[event.key], event);
    else if (event.key === "Enter" && this.#at) this.#press(event);
    else return;
    this.canvas.draw();
    if (event.key === "Escape") return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move([dx, dy], event) {
    const { width, height } = this.canvas.photo, step = event.shiftKey ? 1 : Math.max(width, height) / STEPS;
    const [x, y] = this.#at ?? [width / 2, height / 2];
    this.#at = [Math.min(Math.max(x + dx * step, 0.5), width - 0.5), Math.min(Math.max(y + dy * step, 0.5), height - 0.5)];
    if (this.#pressed) this.#tool().move?.(this.#at, event);
    this.tools.hover(this.#at);
    this.canvas.setHover(this.canvas.labelAt(...this.#at) || null);
  }

  #tool() {
    return this.tools[store.get().tool];
  }

  #press(event) {
    const tool = this.#tool(), again = this.#pressed;
    const still = again && again[0] === this.#at[0] && again[1] === this.#at[1];
    this.#pressed = tool.move || store.get().tool === "polygon" ? [...this.#at] : null;
    if (store.get().tool === "polygon" && still) this.tools.finish();
    else if (!tool.move || !again) tool.down?.(this.#at, event);
    if (tool.move && !again) return;
    tool.up?.(this.#at, event);
    if (tool.move || still) this.#pressed = null;
  }

  /** Draw it over the picture; the context has photo pixels. */
  draw(context, view) {
    if (!this.#at) return;
    const [x, y] = this.#at, r = SIZE / view.scale;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [0, 1]]) {
      context.moveTo(x - dx * r, y - dy * r);
      context.lineTo(x + dx * r, y + dy * r);
    }
    for (const [width, colour] of [[4, "rgba(0, 0, 0, 0.6)"], [2, "#ffffff"]]) {
      context.lineWidth = width / view.scale;
      context.strokeStyle = colour;
      context.stroke();
    }
  }
}
