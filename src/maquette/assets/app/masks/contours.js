/** Outlines of a label picture as smooth paths, so that they stay crisp at every zoom. */

/** Read labels.png (label = R + 256 G) into a Uint16Array of width * height. */
export function readLabels(image, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const labels = new Uint16Array(width * height);
  for (let k = 0; k < labels.length; k++) labels[k] = data[4 * k] + 256 * data[4 * k + 1];
  return labels;
}

/**
 * Paths by label: marching squares between pixel centres. A cell (x, y) has the pixels (x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1);
 * outside of the picture there is nothing, so outlines close along its border.
 */
export function traceContours(labels, width, height) {
  const paths = new Map();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : labels[y * width + x]);
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const a = at(x, y), b = at(x + 1, y), c = at(x, y + 1), d = at(x + 1, y + 1);
      if (a === b && a === c && a === d) continue;
      for (const label of new Set([a, b, c, d])) if (label) cell(pathOf(paths, label), x + 1, y + 1, a === label, b === label, c === label, d === label);
    }
  }
  return paths;
}

function pathOf(paths, label) {
  if (!paths.has(label)) paths.set(label, new Path2D());
  return paths.get(label);
}

/** Add the lines of one cell around the corner (x, y) of four pixels: a b above, c d below. */
function cell(path, x, y, a, b, c, d) {
  const top = [x, y - 0.5], bottom = [x, y + 0.5], left = [x - 0.5, y], right = [x + 0.5, y];
  const line = (from, to) => { path.moveTo(...from); path.lineTo(...to); };
  const above = a !== b, below = c !== d, before = a !== c, after = b !== d;
  if (above && below && before && after) { // two objects' corners touch: cut both off
    line(top, a ? left : right);
    line(bottom, a ? right : left);
    return;
  }
  const ends = [above && top, below && bottom, before && left, after && right].filter(Boolean);
  if (ends.length === 2) line(...ends);
}

/** The objects' areas as a picture: each pixel in its object's colour, with the opacity of `strength(label)` in [0, 1]. */
export function paintAreas(labels, width, height, colours, strength) {
  const picture = new ImageData(width, height);
  const words = new Uint32Array(picture.data.buffer);
  const ink = new Map();
  for (const [label, colour] of colours) {
    const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16));
    ink.set(label, ((Math.round(255 * strength(label)) << 24) | (b << 16) | (g << 8) | r) >>> 0); // little-endian RGBA
  }
  let last = 0, word = 0;
  for (let k = 0; k < labels.length; k++) {
    if (labels[k] === 0) continue;
    if (labels[k] !== last) { last = labels[k]; word = ink.get(last) ?? 0; }
    words[k] = word;
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
