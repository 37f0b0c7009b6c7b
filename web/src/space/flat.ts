/** The same picture on a plain canvas, for browsers without WebGL. */

import type { Camera } from "./camera";
import { haze, radius, type Painter, type Rgb } from "./painter";

export function flat(points: Float32Array): Painter {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d")!;
  const n = points.length / 3;
  const size = radius(n);
  let [colours, chosen, ratio]: [readonly Rgb[], readonly number[], number] = [[], [], 1];
  return {
    canvas,
    size(width, height) {
      ratio = window.devicePixelRatio || 1;
      [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    },
    colour: (next) => (colours = next),
    mark: (next) => (chosen = next),
    paint(camera: Camera) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      const seen = Array.from({ length: n }, (_, i) => ({
        i,
        ...camera.project(points[3 * i]!, points[3 * i + 1]!, points[3 * i + 2]!),
      }));
      seen.sort((a, b) => b.depth - a.depth);
      for (const { i, x, y, depth } of seen) {
        const [red, green, blue] = (colours[i] ?? [0.5, 0.5, 0.5]).map((channel) => Math.round(255 * channel));
        context.fillStyle = `rgb(${red} ${green} ${blue})`;
        context.globalAlpha = haze(depth);
        context.beginPath();
        context.arc(x, y, Math.max(2, size * camera.scale(depth) * (chosen.includes(i) ? 1.6 : 1)), 0, 2 * Math.PI);
        context.fill();
      }
      context.globalAlpha = 1;
    },
  };
}
