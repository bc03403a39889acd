/** Where the page begins: opens what the address names, wires the frame around the screens. */

import { ApiError, api, reach } from "./api.js";
import { byId, toast } from "./dom.js";
import { drawIcons } from "./icons.js";
import { mountHelp, openHelp } from "./help.js";
import { mountMasks } from "./masks/screen.js";
import { mountScene } from "./scene/screen.js";
import { leaveScene, openComparison, openJob, openScene } from "./scene/actions.js";
import { openPhoto } from "./masks/actions.js";
import { handleKey } from "./keys.js";
import { mountDropping, refreshLists, mountStart } from "./start.js";
import { store } from "./store.js";
import { mountTheme } from "./theme.js";

/** What each kind of address opens. */
const ROUTES = {
  photo: async (id) => { leaveScene(); await openPhoto(id); },
  job: openJob,
  scene: openScene,
  compare: openComparison,
};

async function route() {
  const [kind, ...ids] = location.hash.slice(1).split("/");
  try {
    if (ROUTES[kind] && ids[0]) await ROUTES[kind](...ids);
    else {
      store.set({ screen: "start" });
      await refreshLists();
    }
  } catch (error) {
    report(error);
    if (error instanceof ApiError && error.status === 404) location.hash = "";
  }
}

/** Say what went wrong. Errors that are not the server's are mistakes of this page and go to the console too. */
function report(error) {
  if (error?.name === "AbortError") return;
  if (!(error instanceof ApiError)) console.error(error);
  toast(error.message || String(error), { error: true });
}

function mountFrame() {
  document.querySelector(".skip").onclick = (event) => { event.preventDefault(); byId("main").focus(); }; // "#main" is no address of ours
  byId("home").onclick = () => { location.hash = ""; };
  byId("step-start").onclick = () => { location.hash = ""; };
  byId("step-masks").onclick = () => {
    const { photo, scene, job } = store.get();
    location.hash = `photo/${photo?.id ?? scene?.photo ?? job?.photo}`;
  };
  byId("step-scene").onclick = () => {
    const { scene, job } = store.get();
    location.hash = scene ? `scene/${scene.id}` : `job/${job.id}`;
  };
  byId("help-open").onclick = openHelp;
  const title = byId("title");
  title.onchange = async () => {
    const { screen, photo, scene } = store.get(), name = title.value.trim();
    const thing = screen === "masks" ? photo : scene;
    if (!name || name === thing.name) { title.value = thing.name; return; }
    if (screen === "masks") store.set({ photo: await api.renamePhoto(photo.id, name) });
    else store.set({ scene: { ...scene, name: (await api.renameScene(scene.id, name)).name } });
  };
  title.onkeydown = (event) => { if (event.key === "Enter") title.blur(); };
  store.watch(["screen", "photo", "scene", "job"], ({ screen, photo, scene, job }) => {
    document.body.dataset.screen = screen;
    for (const name of ["start", "masks", "scene"]) {
      byId(name).hidden = name !== screen;
      byId(`step-${name}`).toggleAttribute("aria-current", name === screen);
      if (name === screen) byId(`step-${name}`).setAttribute("aria-current", "step");
    }
    if (document.activeElement?.closest("[hidden]")) byId("main").focus({ preventScroll: true }); // the keyboard goes on where the eye does
    byId("step-masks").disabled = !(photo ?? scene?.photo ?? job?.photo);
    byId("step-scene").disabled = !(scene ?? job);
    const thing = { masks: photo, scene: scene ?? job }[screen];
    title.hidden = !thing;
    title.readOnly = screen === "scene" && !scene;
    if (thing && document.activeElement !== title) title.value = thing.name || "";
    document.title = thing?.name ? `${thing.name} - maquette` : "maquette";
  });
}

async function begin() {
  window.addEventListener("unhandledrejection", (event) => { event.preventDefault(); report(event.reason); });
  drawIcons();
  mountTheme();
  mountFrame();
  mountStart();
  mountMasks();
  mountScene();
  mountHelp();
  mountDropping();
  window.addEventListener("keydown", handleKey);
  window.addEventListener("hashchange", route);
  reach.changed = (answers) => { byId("connection").hidden = answers; };
  route();
  store.set({ config: await api.config() });
}

begin();
