/** The one state of the page. Views subscribe to what they show; nothing else holds state that another part needs. */

export function createStore(initial) {
  let state = Object.freeze({ ...initial });
  const watchers = new Set();
  let queued = false;

  function notify() {
    queued = false;
    for (const watcher of watchers) {
      const values = watcher.keys.map((key) => state[key]);
      if (values.every((value, k) => value === watcher.seen[k])) continue;
      watcher.seen = values;
      watcher.run(state);
    }
  }

  return {
    get: () => state,
    /** Change some keys; those who watch them run once, after all changes of this moment. */
    set(changes) {
      state = Object.freeze({ ...state, ...changes });
      if (!queued) {
        queued = true;
        queueMicrotask(notify);
      }
    },
    /** Run now and whenever one of these keys has another value. Returns its end. */
    watch(keys, run) {
      const watcher = { keys, run, seen: keys.map((key) => state[key]) };
      watchers.add(watcher);
      run(state);
      return () => watchers.delete(watcher);
    },
  };
}

export const store = createStore({
  screen: "start", // start, masks, scene
  config: null, // methods, models, options, limits: from the server
  examples: null, recent: null, // lists of the start page; null while loading
  photo: null, // the open photo
  masks: null, // its objects, as the server's last answer says
  chosen: [], // labels selected in the photo, the last one first
  hovered: null, // label that the pointer is over in the list
  tool: "box", // of the masks
  brush: 14, erase: false, negative: false, replace: false, // options of the tools
  finder: "embedded", finding: false, // who finds outlines; while all objects are looked for
  working: 0, // edits under way
  job: null, // the job that is watched
  scene: null, // the open scene
  selected: null, // label selected in the scene
  sceneTool: "select", snapping: false,
  look: { colouring: "photo", wireframe: false, grid: true, around: [] },
  inPhotoView: false, turning: false, blend: 1,
  again: null, // {label, before, after, shows} of the object that was made anew last
  remaking: {}, remade: 0, // label -> {share} of objects that are made anew; counts their starts and ends
  rival: null, // {title, share} of a scene that is made for comparison
  other: null, comparison: null, // the scene at the right when comparing
  request: { method: null, model: null, perception: "embedded", seed: 0, samples: 1, steps: null, guidance: null, fov: null, fit: true, room: true }, // what the next job is asked for
});
