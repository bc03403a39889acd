/** How objects are painted: their own colours, one colour each, their confidence, clay; wireframe and outlines over any of them. */

import * as THREE from "../three/three.module.min.js";

/** The ways to colour a scene, in the order of a menu. */
export const COLOURINGS = ["photo", "instance", "confidence", "clay"];

const LOW = new THREE.Color("#c8385a"), MIDDLE = new THREE.Color("#e8a33d"), HIGH = new THREE.Color("#1f9d8a"), UNKNOWN = new THREE.Color("#8b919c");
const CLAY = new THREE.Color("#cfc8bd");
const PALETTE = ["#4c8dd6", "#e07a3f", "#3fa66b", "#c9539b", "#8a6fd1", "#b59a2c", "#2fa3b5", "#d1495b", "#7a9a3a", "#9c6b4a"];

/** How right an object's shape is likely to be; of scenes that do not tell, how well its outline fits the photo. */
export const sureness = ({ estimate, confidence }) => estimate?.f_score ?? confidence ?? null;

/** Colour of a confidence in [0, 1], as a THREE.Color; grey when it was not checked. */
export function confidenceColour(confidence) {
  if (confidence === null || confidence === undefined || Number.isNaN(confidence)) return UNKNOWN.clone();
  const share = Math.min(Math.max(confidence, 0), 1);
  return share < 0.5 ? LOW.clone().lerp(MIDDLE, share * 2) : MIDDLE.clone().lerp(HIGH, share * 2 - 1);
}

/** A colour for a label when the scene brings none. */
export function labelColour(label) {
  return PALETTE[(Math.max(label, 1) - 1) % PALETTE.length];
}

/** Give a mesh the material for a colouring. Its own material is kept in userData.own. */
export function paint(mesh, record, colouring, wireframe) {
  const own = (mesh.userData.own ??= mesh.material);
  if (record.around) own.side = THREE.FrontSide; // no wall hides the room from behind
  const plain = (mesh.userData.plain ??= new THREE.MeshStandardMaterial({ roughness: 0.85, metalness: 0, side: own.side }));
  if (colouring === "photo") {
    mesh.material = own;
  } else {
    const colour = { instance: () => new THREE.Color(record.color ?? labelColour(record.label)), confidence: () => confidenceColour(sureness(record)),
                     clay: () => CLAY }[colouring](); // prettier-ignore
    plain.color.copy(colour);
    mesh.material = plain;
  }
  mesh.material.wireframe = wireframe;
}

const OUTLINE_VERTEX = `
  uniform vec2 pixel; uniform float width;
  void main() {
    vec4 clip = projectionMatrix * modelViewMatrix * vec4(position, 1.0);
    vec2 direction = (projectionMatrix * vec4(normalMatrix * normal, 0.0)).xy;
    float size = length(direction);
    if (size > 1e-6) clip.xy += direction / size * width * pixel * clip.w;
    gl_Position = clip;
  }`;

/** A line around the selected object: its inside-out hull, pushed outwards by some pixels. */
export class Outline {
  constructor(width) {
    this.group = new THREE.Group();
    this.material = new THREE.ShaderMaterial({
      uniforms: { pixel: { value: new THREE.Vector2() }, width: { value: width }, color: { value: new THREE.Color() } },
      vertexShader: OUTLINE_VERTEX,
      fragmentShader: "uniform vec3 color; void main() { gl_FragColor = vec4(color, 1.0); }",
      side: THREE.BackSide,
    });
  }

  /** Follow a node's meshes; null draws nothing. */
  around(node) {
    this.node = node;
    this.group.clear();
    node?.traverse((part) => {
      if (!part.isMesh) return;
      const hull = new THREE.Mesh(part.geometry, this.material);
      hull.matrixAutoUpdate = false;
      hull.userData.follows = part;
      this.group.add(hull);
    });
  }

  /** Before drawing: take over transforms, visibility and the size of the picture. */
  follow(width, height, colour) {
    this.material.uniforms.pixel.value.set(2 / width, 2 / height);
    this.material.uniforms.color.value.set(colour).convertLinearToSRGB(); // written as it is, without the renderer's conversion
    this.group.visible = Boolean(this.node?.visible);
    for (const hull of this.group.children) {
      hull.userData.follows.updateWorldMatrix(true, false);
      hull.matrix.copy(hull.userData.follows.matrixWorld);
      hull.matrixWorldNeedsUpdate = true;
    }
  }

  dispose() {
    this.material.dispose();
  }
}
