/** Keys of the whole page; each screen has its own beside these. The help panel lists them all. */

import { openHelp } from "./help.js";
import { deleteChosen, makeScene, mergeChosen, redo as redoMasks, undo as undoMasks } from "./masks/actions.js";
import { rename, selectAll } from "./masks/list.js";
import { maskKey } from "./masks/screen.js";
import { redo as redoScene, undo as undoScene } from "./scene/actions.js";
import { saveAs } from "./scene/save.js";
import { sceneKey } from "./scene/screen.js";
import { store } from "./store.js";

/** Handle a key that no field has taken. */
export function handleKey(event) {
  const field = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea");
  if (field || document.querySelector("dialog[open], .menu") || event.isComposing) return;
  const { screen } = store.get(), command = event.ctrlKey || event.metaKey;
  const done = command ? commandKey(event, screen) : plainKey(event, screen);
  if (done) event.preventDefault();
}

function commandKey(event, screen) {
  const key = event.key.toLowerCase(), again = key === "y" || (key === "z" && event.shiftKey);
  if (key === "z" || key === "y") {
    if (screen === "masks") (again ? redoMasks : undoMasks)();
    else if (screen === "scene") (again ? redoScene : undoScene)();
    return screen !== "start";
  }
  if (key === "a" && screen === "masks") { selectAll(); return true; }
  if (key === "s" && screen === "scene") { saveAs("glb"); return true; }
  if (event.key === "Enter" && screen === "masks") { if (store.get().masks?.objects.length) makeScene(); return true; }
  return false;
}

function plainKey(event, screen) {
  if (event.key === "?") { openHelp(); return true; }
  if (event.altKey) return false;
  if (screen === "scene") return sceneKey(event);
  if (screen !== "masks") return false;
  const { chosen } = store.get();
  if (event.key === "Delete" || event.key === "Backspace") { deleteChosen(); return true; }
  if (event.key === "F2" && chosen.length) { rename(chosen[0]); return true; }
  if (event.key.toLowerCase() === "m") { mergeChosen(); return true; }
  return maskKey(event);
}
