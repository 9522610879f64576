// Steps of a ramp, mixed in OKLab so that equal steps look equal.

const lab = (hex) => {
  const [r, g, b] = [1, 3, 5]
    .map((x) => parseInt(hex.slice(x, x + 2), 16) / 255)
    .map((c) => (c > 0.04045 ? ((c + 0.055) / 1.055) ** 2.4 : c / 12.92));
  const [l, m, s] = [
    0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b,
    0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b,
    0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b,
  ].map(Math.cbrt);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
};
const rgb = ([L, a, b]) => {
  const [l, m, s] = [
    L + 0.3963377774 * a + 0.2158037573 * b,
    L - 0.1055613458 * a - 0.0638541728 * b,
    L - 0.0894841775 * a - 1.291485548 * b,
  ].map((x) => x ** 3);
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ].map((c) =>
    Math.round(255 * Math.min(1, Math.max(0, c > 0.0031308 ? 1.055 * c ** (1 / 2.4) - 0.055 : 12.92 * c))),
  );
};

// 256 pixels as the canvas keeps them: alpha, blue, green, red.
export function ramp(stops) {
  const labs = stops.map(lab),
    out = new Uint32Array(256);
  for (let c = 0; c < 256; c++) {
    const x = (c / 255) * (labs.length - 1),
      at = Math.min(labs.length - 2, Math.floor(x)),
      t = x - at;
    const [r, g, b] = rgb(labs[at].map((v, d) => v + t * (labs[at + 1][d] - v)));
    out[c] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return out;
}
export const css = (pixel) => `rgb(${pixel & 255}, ${(pixel >> 8) & 255}, ${(pixel >> 16) & 255})`;

const SIGNED = new Set(["asymmetry", "difference"]);
export const signed = (mode) => SIGNED.has(mode);

// A value -> 0..1 along the ramp.
export function toUnit(mode, [lo, hi], log) {
  if (!(hi > lo)) [lo, hi] = [lo - 1e-6, hi + 1e-6];
  if (signed(mode))
    return log
      ? (v) => 0.5 + (0.5 * Math.sign(v) * Math.log1p((1e3 * Math.abs(v)) / hi)) / Math.log1p(1e3)
      : (v) => 0.5 + (0.5 * v) / hi;
  if (mode === "logits") return (v) => (v - lo) / (hi - lo);
  return log ? (v) => Math.log(Math.max(v, lo) / lo) / Math.log(hi / lo) : (v) => v / hi;
}
