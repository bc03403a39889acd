/** The photo with its objects' outlines on a canvas that zooms and pans. It draws what it is given and knows where things are. */

import { paintAreas, readLabels, traceContours } from "./contours.js";

const MARGIN = 36; // CSS pixels around the photo when it is fitted
const ZOOM = [0.02, 32];

export class MaskCanvas {
  #frame = 0;
  #areas = null;
  #version = -1;

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.view = { scale: 1, x: 0, y: 0 }; // CSS pixels per photo pixel; where the photo's corner is
    this.fitted = true;
    this.photo = null; // {image, width, height}
    this.labels = null; // Uint16Array, the top object of each pixel
    this.contours = new Map();
    this.objects = [];
    this.chosen = [];
    this.hover = null;
    this.preview = null; // (context, view) => void: what the tool in hand shows
    this.onview = () => {};
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** Show a photo {image: address, width, height}; resolves when it is there. */
  async setPhoto(photo) {
    const image = new Image();
    this.photo = { image: null, width: photo.width, height: photo.height };
    Object.assign(this, { labels: null, objects: [], contours: new Map() });
    this.#areas = null;
    this.#version = -1;
    this.fit();
    image.src = photo.image;
    await image.decode();
    if (this.photo?.width === photo.width) this.photo.image = image;
    this.draw();
  }

  /** Show the masks of a state of the server; an older answer that comes late is left out. */
  async setMasks(masks) {
    this.#version = masks.version;
    const image = new Image();
    image.src = masks.labels;
    await image.decode();
    if (this.#version !== masks.version) return;
    const { width, height } = masks;
    this.labels = readLabels(image, width, height);
    this.contours = traceContours(this.labels, width, height);
    this.objects = masks.objects;
    this.#repaint();
  }

  /** Say which objects are selected, and which one the pointer is over. */
  setChosen(chosen) {
    this.chosen = chosen;
    this.#repaint();
  }

  setHover(label) {
    if (label === this.hover) return;
    this.hover = label;
    this.draw();
  }

  #repaint() {
    if (this.labels) {
      const colours = this.objects.map((object) => [object.label, object.color]);
      const strength = (label) => (this.chosen.includes(label) ? 0.42 : 0.2);
      this.#areas = paintAreas(this.labels, this.photo.width, this.photo.height, colours, strength);
    }
    this.draw();
  }

  // Where things are

  /** Photo pixels (floats) of a point of the window. */
  toPhoto(clientX, clientY) {
    const place = this.canvas.getBoundingClientRect();
    return [(clientX - place.left - this.view.x) / this.view.scale, (clientY - place.top - this.view.y) / this.view.scale];
  }

  /** The label of the top object at a photo pixel; 0 where there is none. */
  labelAt(x, y) {
    const { width, height } = this.photo ?? {};
    if (!this.labels || x < 0 || y < 0 || x >= width || y >= height) return 0;
    return this.labels[Math.floor(y) * width + Math.floor(x)];
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!this.photo || !clientWidth) return;
    const { width, height } = this.photo;
    const scale = Math.min((clientWidth - 2 * MARGIN) / width, (clientHeight - 2 * MARGIN - 40) / height);
    this.view = { scale, x: (clientWidth - width * scale) / 2, y: (clientHeight - height * scale) / 2 + 10 };
    this.fitted = true;
    this.#moved();
  }

  /** Zoom by a factor around a point of the window, or the middle. */
  zoom(factor, clientX = null, clientY = null) {
    const place = this.canvas.getBoundingClientRect();
    const px = clientX === null ? place.width / 2 : clientX - place.left, py = clientY === null ? place.height / 2 : clientY - place.top;
    const scale = Math.min(Math.max(this.view.scale * factor, ZOOM[0]), ZOOM[1]), grown = scale / this.view.scale;
    this.view = { scale, x: px - (px - this.view.x) * grown, y: py - (py - this.view.y) * grown };
    this.fitted = false;
    this.#moved();
  }

  pan(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx, y: this.view.y + dy };
    this.fitted = false;
    this.#moved();
  }

  #moved() {
    this.onview(this.view);
    this.draw();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.canvas, ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (this.fitted) this.fit();
    this.#paint();
  }

  // Drawing

  draw() {
    this.#frame ||= requestAnimationFrame(() => this.#paint());
  }

  #paint() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const { context, canvas, photo, view } = this, ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!photo || !canvas.width) return;
    context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    context.imageSmoothingEnabled = view.scale < 3;
    context.imageSmoothingQuality = "high";
    if (photo.image) context.drawImage(photo.image, 0, 0, photo.width, photo.height);
    else {
      context.fillStyle = "#8883";
      context.fillRect(0, 0, photo.width, photo.height);
    }
    if (this.#areas) context.drawImage(this.#areas, 0, 0);
    this.#outlines();
    this.preview?.(context, view);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#names();
  }

  #outlines() {
    const { context, view } = this;
    context.lineCap = "round";
    const marked = new Set([...this.chosen, this.hover]);
    const order = [...this.objects].sort((a, b) => marked.has(a.label) - marked.has(b.label));
    for (const { label, color } of order) {
      const path = this.contours.get(label);
      if (!path) continue;
      const width = this.chosen.includes(label) ? 3 : label === this.hover ? 2.6 : 1.8;
      context.strokeStyle = "rgba(0, 0, 0, 0.45)";
      context.lineWidth = (width + 1.6) / view.scale;
      context.stroke(path);
      context.strokeStyle = this.chosen.includes(label) ? "#ffffff" : color;
      context.lineWidth = width / view.scale;
      context.stroke(path);
    }
  }

  #names() {
    const { context, view } = this;
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const { label, name, color, box } of this.objects) {
      const text = name ? `${label} ${name}` : `${label}`;
      const width = context.measureText(text).width + 14, height = 20;
      const x = Math.round(((box[0] + box[2]) / 2) * view.scale + view.x - width / 2);
      const y = Math.round(Math.max(box[1] * view.scale + view.y - height - 4, Math.min(view.y + 4, box[3] * view.scale + view.y)));
      context.beginPath();
      context.roundRect(x, y, width, height, 10);
      context.fillStyle = this.chosen.includes(label) ? "#ffffff" : color;
      context.fill();
      context.lineWidth = 1;
      context.strokeStyle = "rgba(0, 0, 0, 0.35)";
      context.stroke();
      context.fillStyle = this.chosen.includes(label) ? "#15171a" : readable(color);
      context.fillText(text, x + 7, y + height / 2 + 0.5);
    }
  }
}

/** Black or white, whichever reads better on a colour. */
function readable(color) {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b > 150 ? "#15171a" : "#ffffff";
}
