/** The eye: turned by dragging and by arrow keys, moved nearer and away by wheel, + and −. */

import { PerspectiveCamera, Spherical, Vector3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { passes } from "../draw/wheel";

const [NEAREST, FARTHEST, BEGIN] = [0.6, 8, new Vector3(1.9, 1.2, 2.55)];
const TURN = Math.PI / 36; // a key press
const KEYS: Record<string, readonly [turn: number, tilt: number, zoom: number]> = {
  ArrowLeft: [-TURN, 0, 1],
  ArrowRight: [TURN, 0, 1],
  ArrowUp: [0, -TURN, 1],
  ArrowDown: [0, TURN, 1],
  "+": [0, 0, 1 / 1.15],
  "=": [0, 0, 1 / 1.15],
  "-": [0, 0, 1.15],
};

/** A point as it is seen: pixels from the corner, and how far away. */
export interface Seen {
  readonly x: number;
  readonly y: number;
  readonly depth: number;
}

export class Camera {
  readonly eye = new PerspectiveCamera(40, 1, 0.05, 50);
  private readonly controls: OrbitControls;
  private readonly point = new Vector3();
  private width = 1;
  private height = 1;

  constructor(host: HTMLElement, changed: () => void) {
    this.eye.position.copy(BEGIN);
    host.addEventListener("wheel", (event) => passes(event, host) && event.stopImmediatePropagation(), true);
    this.controls = new OrbitControls(this.eye, host); // it hears what the line before lets through
    Object.assign(this.controls, {
      enablePan: false,
      enableDamping: false,
      minDistance: NEAREST,
      maxDistance: FARTHEST,
    });
    this.controls.addEventListener("change", changed);
    this.controls.update();
  }

  size(width: number, height: number): void {
    [this.width, this.height] = [width, height];
    this.eye.aspect = width / height;
    this.eye.fov = width < height ? 40 * Math.min(1.6, height / width) : 40; // narrow: still everything in sight
    this.eye.updateProjectionMatrix();
  }

  /** Whether the key meant something here. */
  key(key: string): boolean {
    if (key === "0" || key === "Home") this.eye.position.copy(BEGIN);
    else if (KEYS[key]) this.move(...KEYS[key]);
    else return false;
    this.controls.update();
    return true;
  }

  /** Where a point of space stands in the picture. */
  project(x: number, y: number, z: number): Seen {
    this.point.set(x, y, z);
    const depth = this.point.distanceTo(this.eye.position);
    this.point.project(this.eye);
    return { x: ((this.point.x + 1) / 2) * this.width, y: ((1 - this.point.y) / 2) * this.height, depth };
  }

  /** How many pixels a length of 1 takes at a depth. */
  scale(depth: number): number {
    return this.height / (2 * Math.tan((this.eye.fov * Math.PI) / 360) * depth);
  }

  private move(turn: number, tilt: number, zoom: number): void {
    const place = new Spherical().setFromVector3(this.eye.position);
    place.theta -= turn;
    place.phi = Math.max(0.02, Math.min(Math.PI - 0.02, place.phi + tilt));
    place.radius = Math.max(NEAREST, Math.min(FARTHEST, place.radius * zoom));
    this.eye.position.setFromSpherical(place);
    this.eye.lookAt(0, 0, 0);
  }
}
