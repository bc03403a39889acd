/* In pages that are one file: what they hold packed, and the modules of their 3D view. A plain script, before the page's own. */
"use strict";

/** Text of base64 and zlib, as the page holds it, as an ArrayBuffer. */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}

let loadingModule = null;

/** A module of the page. One from a file may not import other files: each module becomes a blob, an import map names them. */
function loadModule(name) {
  loadingModule ??= (async () => {
    const modules = JSON.parse(new TextDecoder().decode(await unpack(document.getElementById("modules").textContent)));
    const imports = Object.fromEntries(Object.entries(modules).map(([key, source]) => [key, URL.createObjectURL(new Blob([source], { type: "text/javascript" }))]));
    document.head.append(Object.assign(document.createElement("script"), { type: "importmap", textContent: JSON.stringify({ imports }) }));
    return import(name);
  })();
  return loadingModule;
}
