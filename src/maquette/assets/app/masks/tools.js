/** The tools that make and change masks: what the pointer does, what is drawn meanwhile, and the edit that is sent at the end. */

import { store } from "../store.js";
import { choose, edit } from "./actions.js";

/** The tools in the order of the toolbar; a null is a line between. */
export const TOOLS = [
  { name: "select", key: "V", icon: "select", title: "Select", hint: "Click an object; with Shift several" },
  null,
  { name: "box", key: "B", icon: "box", title: "Box around an object", hint: "Draw a box around one object, with a little room" },
  { name: "click", key: "C", icon: "click", title: "Click on an object", hint: "Click where the object is; Alt+click where it is not" },
  { name: "brush", key: "P", icon: "brush", title: "Brush", hint: "Paint the object; Alt erases, [ and ] change the size" },
  { name: "polygon", key: "L", icon: "polygon", title: "Polygon", hint: "Click the corners; Enter or the first corner closes it" },
  null,
  { name: "split", key: "K", icon: "cut", title: "Split along a line", hint: "Draw a line across an object to cut it in two" },
  { name: "hand", key: "H", icon: "hand", title: "Move the picture", hint: "Drag the picture; the space bar does it with any tool" },
];

const LEAST_BOX = 4; // photo pixels
const accent = () => getComputedStyle(document.documentElement).getPropertyValue("--viewer-accent").trim();

function stroke(context, view, width, style) {
  context.lineWidth = width / view.scale;
  context.strokeStyle = style;
  context.stroke();
}

function both(context, view, dash = []) {
  context.setLineDash([]);
  stroke(context, view, 3.5, "rgba(0, 0, 0, 0.5)");
  context.setLineDash(dash.map((length) => length / view.scale));
  stroke(context, view, 1.8, "#ffffff");
  context.setLineDash([]);
}

/** Handlers of one tool: down, move, up, hover take (point, event) in photo pixels; draw previews. */
export function toolHandlers(canvas) {
  const clamp = ([x, y]) => [Math.min(Math.max(x, 0), canvas.photo.width), Math.min(Math.max(y, 0), canvas.photo.height)];
  const first = () => store.get().chosen[0] ?? null;
  let corners = []; // of the polygon in work
  let at = null; // the pointer

  const handlers = {
    select: {
      down(point, event) {
        choose(canvas.labelAt(...point) || null, event.shiftKey || event.ctrlKey || event.metaKey);
      },
    },

    box: {
      down(point) { this.from = clamp(point); this.to = this.from; },
      move(point) { this.to = clamp(point); canvas.draw(); },
      async up() {
        const [[x0, y0], [x1, y1]] = [this.from, this.to];
        const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
        this.from = null;
        if (box[2] - box[0] < LEAST_BOX || box[3] - box[1] < LEAST_BOX) {
          choose(canvas.labelAt(...clamp(this.to)) || null); // a click selects
          return;
        }
        this.pending = box;
        canvas.draw();
        await edit({ kind: "box", box, label: store.get().replace ? first() : null });
        this.pending = null;
        canvas.draw();
      },
      draw(context, view) {
        const box = this.from ? [...this.from, ...this.to] : this.pending;
        if (!box) return;
        context.beginPath();
        context.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
        context.fillStyle = this.pending ? "rgba(255, 255, 255, 0.28)" : "rgba(255, 255, 255, 0.1)";
        context.fill();
        both(context, view, this.pending ? [3, 5] : [7, 5]);
      },
    },

    click: {
      async up(point, event) {
        const [x, y] = point;
        if (x < 0 || y < 0 || x >= canvas.photo.width || y >= canvas.photo.height) return;
        const label = first(), positive = !(store.get().negative !== event.altKey) || label === null;
        this.missed = null;
        this.pending = { x, y, positive };
        canvas.draw();
        const found = await edit({ kind: "clicks", label, clicks: [{ x, y, positive }] });
        this.missed = found ? null : this.pending;
        this.pending = null;
        canvas.draw();
      },
      draw(context, view) {
        const shown = this.pending ?? this.missed;
        if (!shown) return;
        const { x, y, positive } = shown, r = 7 / view.scale;
        context.beginPath();
        context.arc(x, y, r, 0, 7);
        context.fillStyle = this.missed ? "rgba(0, 0, 0, 0.55)" : positive ? "#1d9e6a" : "#d1495b";
        context.fill();
        if (this.missed) { // struck through
          context.moveTo(x - 0.7 * r, y + 0.7 * r);
          context.lineTo(x + 0.7 * r, y - 0.7 * r);
        }
        both(context, view);
      },
    },

    brush: {
      cursor: true,
      down(point, event) { this.points = [point]; this.erase = store.get().erase !== event.altKey; canvas.draw(); },
      move(point) {
        const [x, y] = this.points.at(-1);
        if (Math.hypot(point[0] - x, point[1] - y) > 0.7 / canvas.view.scale) this.points.push(point);
        canvas.draw();
      },
      async up() {
        const { points, erase } = this, label = first();
        if (erase && label === null) { this.points = null; canvas.draw(); return; }
        const sent = points.map(([x, y]) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10]);
        await edit({ kind: "stroke", label, points: sent, radius: store.get().brush / 2, erase });
        if (this.points === points) this.points = null;
        canvas.draw();
      },
      draw(context, view) {
        const { brush, erase, masks } = store.get();
        if (this.points) {
          context.beginPath();
          context.moveTo(...this.points[0]);
          for (const point of this.points) context.lineTo(...point);
          Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: brush });
          const colour = masks.objects.find((object) => object.label === first())?.color ?? accent();
          context.strokeStyle = this.erase ? "rgba(255, 255, 255, 0.55)" : `${colour}aa`;
          context.stroke();
        }
        if (at) {
          context.beginPath();
          context.arc(...at, brush / 2, 0, 7);
          both(context, view, erase ? [3, 3] : []);
        }
      },
    },

    polygon: {
      down(point) {
        const close = corners.length > 2 && Math.hypot(point[0] - corners[0][0], point[1] - corners[0][1]) < 9 / canvas.view.scale;
        if (close) handlers.finish();
        else corners.push(clamp(point));
        canvas.draw();
      },
      draw(context, view) {
        if (!corners.length) return;
        context.beginPath();
        context.moveTo(...corners[0]);
        for (const corner of [...corners, at ?? corners.at(-1)]) context.lineTo(...corner);
        context.fillStyle = "rgba(255, 255, 255, 0.15)";
        context.fill();
        both(context, view);
        for (const corner of corners) {
          context.beginPath();
          context.arc(...corner, (corner === corners[0] ? 5 : 3) / view.scale, 0, 7);
          context.fillStyle = "#ffffff";
          context.fill();
          stroke(context, view, 1.5, "rgba(0, 0, 0, 0.6)");
        }
      },
    },

    split: {
      down(point) { this.from = point; this.to = point; },
      move(point) { this.to = point; canvas.draw(); },
      async up() {
        const line = [this.from, this.to];
        this.from = null;
        canvas.draw();
        const [[x0, y0], [x1, y1]] = line;
        if (Math.hypot(x1 - x0, y1 - y0) < LEAST_BOX) { choose(canvas.labelAt(x1, y1) || null); return; }
        const label = first() ?? crossed(canvas, line);
        if (label) await edit({ kind: "split", label, line });
      },
      draw(context, view) {
        if (!this.from) return;
        context.beginPath();
        context.moveTo(...this.from);
        context.lineTo(...this.to);
        both(context, view, [7, 4]);
      },
    },

    hand: {},

    /** Remember where the pointer is (null: outside). */
    hover(point) {
      at = point;
      if (["brush", "polygon"].includes(store.get().tool)) canvas.draw();
    },

    /** Close the polygon. */
    finish() {
      const label = first();
      if (corners.length > 2) edit({ kind: "polygon", label, points: corners, erase: label !== null && store.get().erase });
      corners = [];
      canvas.draw();
    },

    /** Give up what is in work; tells whether there was something. */
    cancel() {
      const some = corners.length > 0 || [handlers.box, handlers.split].some((tool) => tool.from);
      corners = [];
      for (const tool of [handlers.box, handlers.split]) tool.from = null;
      Object.assign(handlers.brush, { points: null });
      Object.assign(handlers.click, { missed: null });
      canvas.draw();
      return some;
    },
  };
  return handlers;
}

/** The object that a line crosses most. */
function crossed(canvas, [[x0, y0], [x1, y1]]) {
  const votes = new Map();
  for (let k = 0; k <= 100; k++) {
    const label = canvas.labelAt(x0 + ((x1 - x0) * k) / 100, y0 + ((y1 - y0) * k) / 100);
    if (label) votes.set(label, (votes.get(label) ?? 0) + 1);
  }
  return [...votes].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}
