/** Points as small lit balls, in WebGL. */

import { BufferAttribute, BufferGeometry, Color, Points, Scene, ShaderMaterial, WebGLRenderer } from "three";
import type { Camera } from "./camera";
import { radius, type Painter, type Rgb } from "./painter";

// Each point is a square that faces the eye; of it, the disc is drawn, lit as if it were a ball.
const VERTEX = `
attribute vec3 tint;
attribute float size;
uniform float height;
varying vec3 shown;
varying float kept;
void main() {
  vec4 seen = modelViewMatrix * vec4(position, 1.0);
  shown = tint;
  kept = clamp(1.55 + 0.22 * seen.z, 0.35, 1.0);
  gl_PointSize = max(4.0, size * height * projectionMatrix[1][1] / -seen.z);
  gl_Position = projectionMatrix * seen;
}`;
const FRAGMENT = `
uniform vec3 ground;
varying vec3 shown;
varying float kept;
void main() {
  vec2 at = 2.0 * gl_PointCoord - 1.0;
  float away = dot(at, at);
  if (away > 1.0) discard;
  float light = 0.86 + 0.22 * dot(normalize(vec3(-0.4, -0.6, 0.7)), vec3(at, sqrt(1.0 - away)));
  gl_FragColor = vec4(mix(ground, shown * light, kept), smoothstep(1.0, 0.82, away));
}`;

/** Undefined where this browser has no WebGL (asked first: three.js would report it as an error). */
export function webgl(points: Float32Array, lost: () => void): Painter | undefined {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2", { alpha: true, antialias: true });
  if (!context) return undefined;
  try {
    const renderer = new WebGLRenderer({ canvas, context, alpha: true, antialias: true });
    canvas.addEventListener("webglcontextlost", lost);
    return painter(renderer, points);
  } catch {
    return undefined;
  }
}

function painter(renderer: WebGLRenderer, points: Float32Array): Painter {
  const n = points.length / 3;
  const size = radius(n);
  const geometry = new BufferGeometry();
  const tints = new BufferAttribute(new Float32Array(3 * n), 3);
  const sizes = new BufferAttribute(new Float32Array(n).fill(size), 1);
  geometry.setAttribute("position", new BufferAttribute(points, 3));
  geometry.setAttribute("tint", tints);
  geometry.setAttribute("size", sizes);
  const uniforms = { height: { value: 1 }, ground: { value: new Color() } };
  const material = new ShaderMaterial({ uniforms, vertexShader: VERTEX, fragmentShader: FRAGMENT, transparent: true });
  const scene = new Scene().add(new Points(geometry, material));
  return {
    canvas: renderer.domElement,
    size(width, height) {
      renderer.setPixelRatio(Math.min(2, window.devicePixelRatio || 1));
      renderer.setSize(width, height, false);
      uniforms.height.value = renderer.domElement.height;
    },
    colour(colours: readonly Rgb[], ground: Rgb) {
      colours.forEach((colour, i) => tints.setXYZ(i, ...colour));
      tints.needsUpdate = true;
      uniforms.ground.value.setRGB(...ground, ""); // "": as it is, not converted
    },
    mark(chosen) {
      for (let i = 0; i < n; i++) sizes.setX(i, chosen.includes(i) ? 1.6 * size : size);
      sizes.needsUpdate = true;
    },
    paint: (camera: Camera) => renderer.render(scene, camera.eye),
  };
}
