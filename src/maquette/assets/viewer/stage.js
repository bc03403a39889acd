/** The stage that objects stand on: light, ground grid and the soft shadow under everything. No knowledge of scenes or photos. */

import * as THREE from "../three/three.module.min.js";

const SHADOW_PIXELS = 512;
const SHADOW_DARKNESS = 0.62; // of the darkest contact
const SHADOW_REACH = 0.35; // of the scene's size: how high above the ground an object still darkens it

/** A renderer for a canvas with a transparent background; the page's own background shows through. Throws when there is no WebGL. */
export function createRenderer(canvas) {
  const renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: false });
  renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
  renderer.setClearColor(0x000000, 0);
  renderer.toneMapping = THREE.NeutralToneMapping; // keeps colours as they are below white
  return renderer;
}

/** A room of soft lamps as an environment map: light comes from everywhere, mostly from above and a little from the left. */
export function createEnvironment(renderer) {
  const room = new THREE.Scene();
  const emit = (strength) => new THREE.MeshBasicMaterial({ color: new THREE.Color(strength, strength, strength), side: THREE.DoubleSide });
  const shell = new THREE.Mesh(new THREE.SphereGeometry(10, 32, 16), gradientMaterial());
  room.add(shell);
  for (const [x, y, z, width, height, strength] of [[-4, 7, 3, 5, 5, 7], [5, 5, 4, 3, 4, 3], [0, 6, -6, 6, 3, 2.5]]) {
    const lamp = new THREE.Mesh(new THREE.PlaneGeometry(width, height), emit(strength));
    lamp.position.set(x, y, z);
    lamp.lookAt(0, 0, 0);
    room.add(lamp);
  }
  const generator = new THREE.PMREMGenerator(renderer);
  const texture = generator.fromScene(room, 0.04, 0.1, 100, { size: 64 }).texture; // surfaces are matte: a small one will do
  generator.dispose();
  room.traverse((part) => { part.geometry?.dispose(); part.material?.dispose(); });
  return texture;
}

function gradientMaterial() {
  return new THREE.ShaderMaterial({
    side: THREE.BackSide,
    vertexShader: "varying vec3 p; void main() { p = position; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }",
    fragmentShader: "varying vec3 p; void main() { float up = smoothstep(-1.0, 1.0, normalize(p).y); gl_FragColor = vec4(vec3(mix(0.32, 0.95, up)), 1.0); }",
  });
}

/** A key light from the upper left front; the environment does the rest. */
export function createLights() {
  const key = new THREE.DirectionalLight(0xffffff, 1.1);
  key.position.set(-1.2, 2.4, 1.8);
  return key;
}

const GRID_FRAGMENT = `
  uniform vec3 color; uniform float strength; uniform float cell; uniform float radius;
  varying vec3 world; varying vec3 local;
  float lines(vec2 p, float width) {
    vec2 fine = fwidth(p);
    vec2 distance = abs(fract(p - 0.5) - 0.5) / max(fine, 1e-6);
    float line = 1.0 - min(min(distance.x, distance.y) / width, 1.0);
    return line * (1.0 - smoothstep(0.3, 1.0, max(fine.x, fine.y)));
  }
  void main() {
    float fade = 1.0 - smoothstep(0.25, 1.0, length(local.xz) / radius);
    float alpha = max(lines(world.xz / cell, 1.2) * 0.35, lines(world.xz / (cell * 5.0), 1.4)) * fade * strength;
    if (alpha < 0.004) discard;
    gl_FragColor = vec4(color, alpha);
  }`;
const GRID_VERTEX = `
  varying vec3 world; varying vec3 local;
  void main() {
    vec4 placed = modelMatrix * vec4(position, 1.0);
    local = placed.xyz - modelMatrix[3].xyz; world = placed.xyz;
    gl_Position = projectionMatrix * viewMatrix * placed;
  }`;

/** The ground: fading grid lines and a contact shadow, both drawn in a plane. `update` after anything moved. */
export class Ground {
  constructor() {
    this.group = new THREE.Group();
    this.grid = new THREE.Mesh(
      new THREE.PlaneGeometry(1, 1).rotateX(-Math.PI / 2),
      new THREE.ShaderMaterial({
        uniforms: { color: { value: new THREE.Color() }, strength: { value: 1 }, cell: { value: 0.1 }, radius: { value: 2 } },
        vertexShader: GRID_VERTEX, fragmentShader: GRID_FRAGMENT, transparent: true, depthWrite: false, side: THREE.DoubleSide,
      }),
    );
    this.shadow = new ContactShadow();
    this.group.add(this.grid, this.shadow.plane);
    this.grid.renderOrder = 1;
    this.size = 1;
  }

  /** Put the ground under a scene: its height, its centre (x, z) and the longest side of its box. */
  place(height, centre, size) {
    this.size = size;
    this.group.position.set(0, height, 0);
    this.grid.position.set(centre.x, 0, centre.z);
    this.grid.scale.setScalar(size * 6);
    this.grid.material.uniforms.radius.value = size * 3;
    this.grid.material.uniforms.cell.value = 10 ** Math.round(Math.log10(size)) / 10;
    this.shadow.place(height, centre, size);
  }

  /** Colours of the theme. */
  paint(gridColor, strength, shadowDarkness) {
    this.grid.material.uniforms.color.value.set(gridColor).convertLinearToSRGB(); // written as it is
    this.grid.material.uniforms.strength.value = strength;
    this.shadow.plane.material.opacity = SHADOW_DARKNESS * shadowDarkness;
  }

  update(renderer, objects) {
    this.shadow.render(renderer, objects);
  }

  dispose() {
    this.grid.geometry.dispose();
    this.grid.material.dispose();
    this.shadow.dispose();
  }
}

const BLUR_FRAGMENT = `
  uniform sampler2D map; uniform vec2 step; varying vec2 at;
  void main() {
    float sum = 0.0;
    float total = 0.0;
    for (int k = -6; k <= 6; k++) {
      float weight = exp(-float(k * k) / 14.0);
      sum += weight * texture2D(map, at + float(k) * step).a;
      total += weight;
    }
    gl_FragColor = vec4(0.0, 0.0, 0.0, sum / total);
  }`;

/** Seen from below, near things are dark; blurred, that is what a broad sky's light leaves under objects. */
class ContactShadow {
  constructor() {
    const target = () => new THREE.WebGLRenderTarget(SHADOW_PIXELS, SHADOW_PIXELS, { depthBuffer: true });
    this.targets = [target(), target()];
    this.camera = new THREE.OrthographicCamera(-0.5, 0.5, 0.5, -0.5, 0, 1);
    this.camera.up.set(0, 0, 1);
    this.depth = new THREE.ShaderMaterial({
      vertexShader: "varying float z; void main() { vec4 p = projectionMatrix * modelViewMatrix * vec4(position, 1.0); z = 0.5 + 0.5 * p.z; gl_Position = p; }",
      fragmentShader: "varying float z; void main() { gl_FragColor = vec4(0.0, 0.0, 0.0, pow(1.0 - z, 2.2)); }",
      side: THREE.DoubleSide,
    });
    this.blur = new THREE.ShaderMaterial({
      uniforms: { map: { value: null }, step: { value: new THREE.Vector2() } },
      vertexShader: "varying vec2 at; void main() { at = uv; gl_Position = vec4(position.xy, 0.0, 1.0); }",
      fragmentShader: BLUR_FRAGMENT, depthTest: false, depthWrite: false, blending: THREE.NoBlending,
    });
    this.screen = new THREE.Mesh(new THREE.PlaneGeometry(2, 2), this.blur);
    this.screen.frustumCulled = false;
    this.plane = new THREE.Mesh(
      new THREE.PlaneGeometry(1, 1).rotateX(-Math.PI / 2),
      new THREE.MeshBasicMaterial({ map: this.targets[0].texture, transparent: true, depthWrite: false, toneMapped: false }),
    );
    this.plane.scale.z = -1; // the picture from below is mirrored
    this.plane.material.side = THREE.DoubleSide;
    this.stage = new THREE.Scene();
  }

  place(height, centre, size) {
    const side = size * 1.7;
    Object.assign(this.camera, { left: -side / 2, right: side / 2, top: side / 2, bottom: -side / 2, near: 0, far: size * SHADOW_REACH });
    this.camera.position.set(centre.x, height - 0.001 * size, centre.z);
    this.camera.lookAt(centre.x, height + 1, centre.z);
    this.camera.updateProjectionMatrix();
    this.plane.position.set(centre.x, 0.0015 * size, centre.z);
    this.plane.scale.set(side, 1, -side);
  }

  render(renderer, objects) {
    const parent = objects.parent;
    const alpha = renderer.getClearAlpha();
    renderer.setClearAlpha(0);
    this.stage.add(objects); // for this picture only
    this.stage.overrideMaterial = this.depth;
    renderer.setRenderTarget(this.targets[0]);
    renderer.clear();
    renderer.render(this.stage, this.camera);
    this.stage.overrideMaterial = null;
    parent?.add(objects);
    for (const width of [2.2, 1.0]) {
      this.#pass(renderer, 0, 1, width / SHADOW_PIXELS, 0);
      this.#pass(renderer, 1, 0, 0, width / SHADOW_PIXELS);
    }
    renderer.setRenderTarget(null);
    renderer.setClearAlpha(alpha);
  }

  #pass(renderer, from, to, dx, dy) {
    this.blur.uniforms.map.value = this.targets[from].texture;
    this.blur.uniforms.step.value.set(dx, dy);
    renderer.setRenderTarget(this.targets[to]);
    renderer.render(this.screen, this.camera);
  }

  dispose() {
    this.targets.forEach((target) => target.dispose());
    [this.depth, this.blur, this.plane.material].forEach((material) => material.dispose());
    [this.plane.geometry, this.screen.geometry].forEach((geometry) => geometry.dispose());
  }
}
