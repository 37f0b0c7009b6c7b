/**
 * Colours for numbers, as tables of 256 RGBA entries for light and dark.
 *
 * Made in OKLCH (Ottosson 2020, "A perceptual color space for image processing"), where equal steps look equal:
 * lightness goes straight from the ground to the ink, so that order can be read in grey as well.
 */

import type { Theme } from "../registry";

type Lch = readonly [lightness: number, chroma: number, hue: number]; // hue in degrees

const GROUND: Record<Theme, number> = { light: 0.985, dark: 0.215 };
const INK: Record<Theme, number> = { light: 0.31, dark: 0.93 };

/** 0 to 1 in one hue: the ground's colour for 0, the strongest for 1. */
export function sequential(theme: Theme): Uint8ClampedArray {
  return sequentials[theme];
}

/** -1 to 1: entry 0 is -1 (orange), 128 is 0 (the ground), 255 is 1 (blue). */
export function diverging(theme: Theme): Uint8ClampedArray {
  return divergings[theme];
}

/** Colours for groups, alike in lightness. */
export function categorical(theme: Theme, group: number): string {
  const hue = (262 + 137.508 * group) % 360; // the golden angle: neighbours in number are far apart in hue
  return theme === "light" ? `oklch(0.55 0.14 ${hue})` : `oklch(0.78 0.12 ${hue})`;
}

/** An entry as CSS. */
export function css(table: Uint8ClampedArray, entry: number): string {
  const at = 4 * Math.max(0, Math.min(255, Math.round(entry)));
  return `rgb(${table[at]} ${table[at + 1]} ${table[at + 2]})`;
}

/** A table whose strongest entry is `last` of another: for grounds behind running text. */
export function fainter(table: Uint8ClampedArray, last: number): Uint8ClampedArray {
  const entries = new Uint8ClampedArray(table.length);
  for (let i = 0; i < 256; i++) {
    const from = 4 * Math.round((i * last) / 255);
    entries.set(table.subarray(from, from + 4), 4 * i);
  }
  return entries;
}

const READABLE = 4.5; // the contrast that WCAG 2.2 asks of text at level AA (success criterion 1.4.3)
const INKS = ["#111318", "#ffffff", "#000000"].map((css) => ({ css, luminance: luminanceOf(channelsOf(css)) }));

/**
 * Ink that can be read (WCAG AA) on an entry of a table: the page's own, else white, else black. One of the last two
 * always can: where they contrast alike, each does so by the square root of 21, which is 4.58.
 */
export function inkOn(table: Uint8ClampedArray, entry: number): string {
  const at = 4 * Math.max(0, Math.min(255, Math.round(entry)));
  const ground = luminanceOf(table.subarray(at, at + 3));
  return (INKS.find(({ luminance }) => contrast(luminance, ground) >= READABLE) ?? INKS[2]!).css;
}

/** The contrast ratio of two luminances, from 1 to 21 (WCAG 2.2). */
function contrast(one: number, other: number): number {
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

/** Relative luminance of an sRGB colour (WCAG 2.2). */
function luminanceOf(channels: ArrayLike<number>): number {
  const [red, green, blue] = [0, 1, 2].map((channel) => linear((channels[channel] ?? 0) / 255));
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function channelsOf(css: string): number[] {
  return [1, 3, 5].map((at) => parseInt(css.slice(at, at + 2), 16));
}

function linear(channel: number): number {
  return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
}

function table(colour: (fraction: number) => Lch): Uint8ClampedArray {
  const entries = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i++) entries.set([...rgb(colour(i / 255)), 255], 4 * i);
  return entries;
}

function blue(theme: Theme, fraction: number): Lch {
  const [ground, ink] = [GROUND[theme], INK[theme]];
  const chroma =
    theme === "light"
      ? 0.15 * Math.sin(Math.PI * Math.min(1, fraction * 0.72 + 0.03))
      : 0.02 + 0.13 * Math.sin(Math.PI * Math.min(1, fraction * 0.85));
  return [ground + (ink - ground) * fraction, chroma, 262 - (theme === "light" ? 0 : 62 * fraction)];
}

function bothWays(theme: Theme, fraction: number): Lch {
  const signed = 2 * fraction - 1;
  const strength = Math.abs(signed);
  const lightness = GROUND[theme] + ((theme === "light" ? 0.42 : 0.8) - GROUND[theme]) * strength;
  return [lightness, 0.16 * strength ** 0.8, signed < 0 ? 48 : 262];
}

/** OKLCH to sRGB bytes (the matrices are the paper's). */
function rgb([lightness, chroma, hue]: Lch): [number, number, number] {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    gamma(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    gamma(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    gamma(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function gamma(channel: number): number {
  const value = channel <= 0.0031308 ? 12.92 * channel : 1.055 * channel ** (1 / 2.4) - 0.055;
  return Math.round(255 * Math.max(0, Math.min(1, value)));
}

const sequentials: Record<Theme, Uint8ClampedArray> = {
  light: table((fraction) => blue("light", fraction)),
  dark: table((fraction) => blue("dark", fraction)),
};
const divergings: Record<Theme, Uint8ClampedArray> = {
  light: table((fraction) => bothWays("light", fraction)),
  dark: table((fraction) => bothWays("dark", fraction)),
};
