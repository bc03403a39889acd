/** Light, dark or as the system; remembered in this browser. */

import { byId } from "./dom.js";

const NAMES = { system: "as the system", light: "light", dark: "dark" };
const listeners = new Set();

/** Call when the colours change. */
export const onTheme = (callback) => listeners.add(callback);

export function mountTheme() {
  const button = byId("theme");
  let theme = localStorage.getItem("maquette-theme") ?? "system";
  const apply = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-label", `Theme: ${NAMES[theme]}`);
    button.title = `Theme: ${NAMES[theme]}`;
    listeners.forEach((listener) => listener());
  };
  button.onclick = () => {
    const names = Object.keys(NAMES);
    theme = names[(names.indexOf(theme) + 1) % names.length];
    localStorage.setItem("maquette-theme", theme);
    apply();
  };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  apply();
}
