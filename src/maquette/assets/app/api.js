/** The server's calls; docs/app-api.md is their contract. Every failure is an ApiError with one line for people. */

export class ApiError extends Error {
  constructor(status, code, message, details = {}) {
    super(message);
    Object.assign(this, { status, code, ...details });
  }
}

/** Told after each call whether the server answers. */
export const reach = { changed: () => {} };

async function call(method, path, { json, body, headers = {}, signal } = {}) {
  const request = { method, headers: { Accept: "application/json", ...headers }, body, signal };
  if (json !== undefined) {
    request.body = JSON.stringify(json);
    request.headers["Content-Type"] = "application/json";
  }
  const answer = await reached(path, request);
  if (answer.status === 204) return null;
  const data = await answer.json().catch(() => null);
  if (answer.ok && data !== null) return data;
  throw failure(answer, data);
}

async function reached(path, request) {
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    reach.changed(false);
    throw new ApiError(0, "offline", "the server does not answer; start it again with: maquette app");
  }
  reach.changed(true);
  return answer;
}

function failure(answer, data) {
  const { code = "unknown", message = `the server answered ${answer.status}`, ...details } = data?.error ?? {};
  return new ApiError(answer.status, code, message, { ...details, current: data?.current ?? data?.error?.current });
}

/** A file of the server: its content as a Blob, and its name. */
async function file(path) {
  const answer = await reached(path, {});
  if (!answer.ok) throw failure(answer, await answer.json().catch(() => null));
  const [, name = "scene"] = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "") ?? [];
  return { content: await answer.blob(), name };
}

const get = (path) => call("GET", path);
const post = (path, json) => call("POST", path, { json });

function form(files, fields = {}) {
  const body = new FormData();
  for (const file of files) body.append("file", file, file.name || "photo.png");
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return body;
}

export const api = {
  config: () => get("/api/config"),
  examples: async () => (await get("/api/examples")).examples,
  openExample: (name) => post(`/api/examples/${name}/open`),

  photos: async () => (await get("/api/photos")).photos,
  photo: (id) => get(`/api/photos/${id}`),
  addPhoto: (file) => call("POST", "/api/photos", { body: form([file]) }),
  renamePhoto: (id, name) => call("PATCH", `/api/photos/${id}`, { json: { name } }),
  deletePhoto: (id) => call("DELETE", `/api/photos/${id}`),
  putGeometry: (id, body) => call("PUT", `/api/photos/${id}/geometry`, { body }),
  deleteGeometry: (id) => call("DELETE", `/api/photos/${id}/geometry`),

  masks: (id) => get(`/api/photos/${id}/masks`),
  editMasks: (id, version, edit) => post(`/api/photos/${id}/masks/edits`, { version, edit }),
  undoMasks: (id, version) => post(`/api/photos/${id}/masks/undo`, { version }),
  redoMasks: (id, version) => post(`/api/photos/${id}/masks/redo`, { version }),
  importMasks: (id, version, files) => call("POST", `/api/photos/${id}/masks/import`, { body: form(files, { version }) }),
  masksFile: (id, format) => `/api/photos/${id}/masks/export?form=${format}`,

  jobs: async (query = "") => (await get(`/api/jobs${query}`)).jobs,
  job: (id) => get(`/api/jobs/${id}`),
  startJob: (request) => post("/api/jobs", request),
  cancelJob: (id) => post(`/api/jobs/${id}/cancel`),
  repeatJob: (id, options) => post(`/api/jobs/${id}/repeat`, options ? { options } : undefined),
  deleteJob: (id) => call("DELETE", `/api/jobs/${id}`),

  scenes: async () => (await get("/api/scenes")).scenes,
  scene: (id) => get(`/api/scenes/${id}`),
  editScene: (id, version, edit) => post(`/api/scenes/${id}/edits`, { version, edit }),
  undoScene: (id, version) => post(`/api/scenes/${id}/undo`, { version }),
  redoScene: (id, version) => post(`/api/scenes/${id}/redo`, { version }),
  regenerate: (id, request) => post(`/api/scenes/${id}/regenerate`, request),
  renameScene: (id, name) => call("PATCH", `/api/scenes/${id}`, { json: { name } }),
  deleteScene: (id) => call("DELETE", `/api/scenes/${id}`),
  openScene: (files) => call("POST", "/api/scenes", { body: form(files) }),
  sceneFile: (id, format, room = false) => `/api/scenes/${id}/export?format=${format}&room=${room}`,
  sceneIn: (id, format, space) => file(`/api/scenes/${id}/export?${new URLSearchParams({ format, ...space })}`),
  instanceFile: (id, label) => `/api/scenes/${id}/instances/${label}.glb`,
  compare: (a, b) => get(`/api/compare?a=${a}&b=${b}`),

  /** Follow a job until its end: handlers {job, progress, instance, end}. Returns a function that stops listening. */
  watchJob(id, handlers) {
    const source = new EventSource(`/api/jobs/${id}/events`);
    for (const name of ["job", "progress", "instance", "end"]) {
      source.addEventListener(name, (event) => {
        if (name === "end") source.close();
        handlers[name]?.(JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) handlers.lost?.(); });
    return () => source.close();
  },
};
