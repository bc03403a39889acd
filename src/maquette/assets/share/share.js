/* A page that is one scene: the 3D view over the whole window, the photo as an inset, a button for each object, a switch for each surface around. */
{
const byId = (id) => document.getElementById(id);
const index = JSON.parse(byId("index").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
let viewer = null;

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  viewer?.refreshTheme();
}
setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
byId("theme").onclick = () => setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");

const press = (button, on) => button.setAttribute("aria-pressed", String(on));

function showObjects() {
  byId("objects").replaceChildren(...index.objects.map(({ label, name }) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.dataset.label = label;
    press(button, false);
    button.onclick = () => viewer.select(viewer.selected === label ? null : label);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  viewer.on("select", (label) => {
    viewer.turn(false);
    for (const button of byId("objects").querySelectorAll("button")) press(button, Number(button.dataset.label) === label);
  });
}

/** A switch for each surface around the objects, with its confidence. */
function showAround() {
  byId("around").replaceChildren(...index.around.map(({ name, confidence }) => {
    const sure = confidence === null ? "" : ` ${Math.round(100 * confidence)} %`;
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: `${name}${sure}`, title: `Show or hide the ${name}` });
    press(button, false);
    button.onclick = () => {
      const shown = viewer.look.around.includes(name);
      viewer.setLook({ around: shown ? viewer.look.around.filter((one) => one !== name) : [...viewer.look.around, name] });
      press(button, !shown);
    };
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

const lookAround = () => {
  if (viewer.hasCamera) viewer.viewPhoto(false); // begin on the photo's side, then a little to the right and from above
  viewer.viewFrom(0.45, 0.42, 1, false);
};

const actions = {
  turn: () => viewer.turn(!viewer.turning),
  all: () => viewer.frame(),
  grid: () => { viewer.setLook({ grid: !viewer.look.grid }); press(byId("grid"), viewer.look.grid); },
  photo: () => (viewer.photoMode ? (lookAround(), viewer.turn()) : viewer.viewPhoto()),
};
const keys = { " ": "turn", f: "all", g: "grid", p: "photo" };

async function start() {
  const { Viewer } = await loadModule("maquette/viewer/viewer.js");
  viewer = new Viewer(byId("view"), { label: `${index.title} in 3D: ${index.objects.map(({ name }) => name).join(", ")}` });
  const behind = index.photo ? byId("photo").querySelector("img") : null;
  if (behind) behind.src = index.photo;
  await viewer.loadGlb(await unpack(byId("glb").textContent));
  if (index.photo && viewer.hasCamera) {
    viewer.setPhoto(index.photo);
    byId("photo").hidden = false;
  }
  viewer.eye.margin = { x: 12, y: 56 };
  viewer.on("photo", (on) => press(byId("photo"), on));
  viewer.on("turn", (on) => press(byId("turn"), on));
  byId("turn").hidden = matchMedia("(prefers-reduced-motion: reduce)").matches;
  for (const [id, action] of Object.entries(actions)) byId(id).onclick = action;
  document.addEventListener("keydown", (event) => {
    const action = keys[event.key.toLowerCase()];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || (event.key === " " && event.target.closest("button"))) return;
    event.preventDefault();
    actions[action]();
  });
  showObjects();
  showAround();
  lookAround();
  viewer.turn();
  byId("wait").remove();
  document.documentElement.dataset.ready = "true";
}
start().catch((error) => { byId("wait").textContent = `The 3D view cannot be shown: ${error.message}`; throw error; });
}
