/** Line icons on a grid of 24, as path data; drawn for this page. */

const PATHS = {
  photo: "M4 5h16a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1Z M3 16l5-5 4.5 4.5 M11.5 14.5 15 11l6 6 M15.5 8.5h.01",
  theme: "M12 3a9 9 0 1 0 0 18Z M12 3a9 9 0 0 1 0 18",
  help: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Z M9.4 9.3a2.7 2.7 0 1 1 3.8 2.5c-.8.4-1.2 1-1.2 1.9 M12 17h.01",
  undo: "M8 5 3.5 9.5 8 14 M4 9.5h10a5.5 5.5 0 0 1 0 11h-3",
  redo: "m16 5 4.5 4.5L16 14 M20 9.5H10a5.5 5.5 0 0 0 0 11h3",
  plus: "M12 5v14 M5 12h14",
  minus: "M5 12h14",
  more: "M5.5 12h.01 M12 12h.01 M18.5 12h.01",
  select: "m5 3.5 5.6 15.8 2.3-6.4 6.4-2.3Z",
  box: "M4 8V5a1 1 0 0 1 1-1h3 M16 4h3a1 1 0 0 1 1 1v3 M20 16v3a1 1 0 0 1-1 1h-3 M8 20H5a1 1 0 0 1-1-1v-3 M12 9.5v5 M9.5 12h5",
  click: "M12 4v3 M12 17v3 M4 12h3 M17 12h3 M12 12h.01 M16.5 12a4.5 4.5 0 1 1-9 0 4.5 4.5 0 0 1 9 0Z",
  brush: "m20 4-9.5 9.5 M9 13a3.2 3.2 0 0 1 2.5 3.2c0 2.2-1.8 3.8-4.3 3.8H3.6c1.2-.8 1.7-1.9 1.7-3.2A3.6 3.6 0 0 1 9 13Z M20 4c.7.7.6 1.6 0 2.3l-7.4 9",
  eraser: "m8 20-4.3-4.3a1.4 1.4 0 0 1 0-2L13 4.4a1.4 1.4 0 0 1 2 0l4.9 5a1.4 1.4 0 0 1 0 1.9L11.500 20Z M8 20h12 M8.500 9l6.500 6.500",
  polygon: "m5 9 7-5 7.500 5.500L16.500 19h-9Z M12 4h.01 M5 9h.01 M19.500 9.500h.01 M16.500 19h.01 M7.500 19h.01",
  cut: "M4 20 20 4 M6 4.500h4.500a2 2 0 0 1 1.700 1 M5 9v-3 M19 15v3a1.500 1.500 0 0 1-1.500 1.500H13",
  hand: "M8 13V6.200a1.500 1.500 0 0 1 3 0V11 M11 10.500V4.700a1.500 1.500 0 0 1 3 0V11 M14 10.500V6.200a1.500 1.500 0 0 1 3 0v7.300c0 4-2 7-5.800 7-3.400 0-4.700-2-6.700-6.200-.9-1.900 1.400-3 2.500-1.300l1 1.700",
  merge: "M6 4v4c0 3 6 4 6 8v4 M18 4v4c0 3-6 4-6 8 M9 17.500l3 3 3-3",
  split: "M12 4v4c0 4-6 5-6 8v4 M12 8c0 4 6 5 6 8v4 M3.500 17.500l2.500 3 2.500-3 M15.500 17.500l2.500 3 2.500-3",
  trash: "M4.500 7h15 M9.500 7V4.500h5V7 M6.500 7l.8 12a1.200 1.200 0 0 0 1.200 1h7a1.200 1.200 0 0 0 1.200-1l.8-12 M10 11v5 M14 11v5",
  pen: "m4 20 1-4.500L16 4.500a1.700 1.700 0 0 1 2.400 0l1.100 1.100a1.700 1.700 0 0 1 0 2.400L8.500 19Z M14 6.500l3.500 3.500",
  eye: "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12Z M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  eyeOff: "M4 4l16 16 M9.900 5.700A9 9 0 0 1 12 5.500c6 0 9.500 6.500 9.500 6.500a17 17 0 0 1-3 3.700 M6.300 7.500A16 16 0 0 0 2.500 12S6 18.500 12 18.500a9 9 0 0 0 4-1 M10 10a3 3 0 0 0 4 4.200",
  copy: "M9 9h10a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H9a1 1 0 0 1-1-1V10a1 1 0 0 1 1-1Z M16 9V5a1 1 0 0 0-1-1H5a1 1 0 0 0-1 1v10a1 1 0 0 0 1 1h3",
  move: "M12 3v18 M3 12h18 M9 6l3-3 3 3 M9 18l3 3 3-3 M6 9l-3 3 3 3 M18 9l3 3-3 3",
  rotate: "M20 12a8 8 0 1 1-2.400-5.700L20 8.500 M20 4v4.500h-4.500",
  scale: "M4 13v6a1 1 0 0 0 1 1h6 M13 4h6a1 1 0 0 1 1 1v6 M20 4 4 20",
  wire: "m12 3 8 4.500v9L12 21l-8-4.500v-9Z M4 7.500l8 4.500 8-4.500 M12 12v9",
  grid: "M4 4h16v16H4Z M4 9.500h16 M4 14.500h16 M9.500 4v16 M14.500 4v16",
  frame: "M4 8V4h4 M16 4h4v4 M20 16v4h-4 M8 20H4v-4 M12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  camera: "M4 7.500h3.500L9 5h6l1.500 2.500H20a1 1 0 0 1 1 1V18a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8.500a1 1 0 0 1 1-1Z M12 16.500a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7Z",
  compare: "M12 3v18 M4 6h5v12H4Z M15 6h5v12h-5Z",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1Z M8.500 8.500h.01 M15.500 8.500h.01 M12 12h.01 M8.500 15.500h.01 M15.500 15.500h.01",
  save: "M12 4v11 M7.500 11l4.500 4.500 4.500-4.500 M4 19.500h16",
  share: "M12 15V4 M8 7.500 12 3.500l4 4 M8 11H6a1 1 0 0 0-1 1v8a1 1 0 0 0 1 1h12a1 1 0 0 0 1-1v-8a1 1 0 0 0-1-1h-2",
  close: "M6 6l12 12 M18 6 6 18",
  warn: "M12 4.500 21 19.500H3Z M12 10v4.500 M12 17h.01",
  check: "m5 12.500 4.500 4.500L19 7.500",
  upload: "M12 16V5 M7.500 9.500 12 5l4.500 4.500 M4 19.500h16",
  wand: "M4 20 15 9 M17 3v4 M15 5h4 M20 11v3 M18.500 12.500h3 M9 4v2.500 M7.700 5.200h2.600",
  grip: "M9 6h.01 M9 12h.01 M9 18h.01 M15 6h.01 M15 12h.01 M15 18h.01",
  up: "m6 15 6-6 6 6",
  down: "m6 9 6 6 6-6",
  magnet: "M5 4h4v8a3 3 0 0 0 6 0V4h4v8a7 7 0 0 1-14 0Z M5 8h4 M15 8h4",
  again: "M4.500 11a7.500 7.500 0 0 1 13-4L20 9.500 M20 4.500v5h-5 M19.500 13a7.500 7.500 0 0 1-13 4L4 14.500 M4 19.500v-5h5",
};

/** An SVG element; it says nothing to screen readers, the control around it does. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Put the icons of [data-icon] elements in place. */
export function drawIcons(root = document) {
  for (const place of root.querySelectorAll("[data-icon]")) if (!place.firstChild) place.prepend(icon(place.dataset.icon));
}
