// Values to pixels, and texts that do not touch each other.

import { css } from "./colours.js";

// Cells on a canvas of `size` pixels: hatched where nothing is visible, crossed where faulty.
export function paintMap(canvas, size, { values, marks, n, unit, ramp }, theme) {
  const raster = (canvas.x3raster ??= document.createElement("canvas"));
  if (raster.width !== n) raster.width = raster.height = n;
  const brush = raster.getContext("2d"),
    image = brush.createImageData(n, n),
    pixels = new Uint32Array(image.data.buffer);
  for (let at = 0; at < values.length; at++)
    if (values[at] === values[at])
      pixels[at] = ramp[Math.max(0, Math.min(255, Math.round(255 * unit(values[at]))))];
  brush.putImageData(image, 0, 0);
  const dpr = window.devicePixelRatio || 1,
    side = Math.round(size * dpr),
    pen = canvas.getContext("2d");
  if (canvas.width !== side) canvas.width = canvas.height = side;
  pen.clearRect(0, 0, side, side);
  pen.strokeStyle = theme.hatch;
  pen.lineWidth = Math.max(1, dpr * 0.75);
  pen.beginPath();
  for (let x = -side; x < side; x += 6 * dpr) {
    pen.moveTo(x, side);
    pen.lineTo(x + side, 0);
  }
  pen.stroke();
  pen.imageSmoothingEnabled = false;
  pen.drawImage(raster, 0, 0, side, side);
  if (size / n >= 9) {
    pen.strokeStyle = theme.grid;
    pen.lineWidth = 1;
    pen.beginPath();
    for (let x = 1; x < n; x++) {
      const at = Math.round((x * side) / n) + 0.5;
      pen.moveTo(at, 0);
      pen.lineTo(at, side);
      pen.moveTo(0, at);
      pen.lineTo(side, at);
    }
    pen.stroke();
  }
  if (!marks) return;
  const cell = side / n,
    inset = cell > 12 ? cell * 0.22 : cell * 0.1;
  pen.strokeStyle = theme.bad;
  pen.fillStyle = theme["bad-fill"];
  pen.lineWidth = Math.max(1, Math.min(2 * dpr, cell / 8));
  pen.beginPath();
  for (let at = 0; at < marks.length; at++) {
    if (!marks[at]) continue;
    const x = (at % n) * cell,
      y = Math.floor(at / n) * cell;
    pen.fillRect(x, y, cell, cell);
    pen.moveTo(x + inset, y + inset);
    pen.lineTo(x + cell - inset, y + cell - inset);
    pen.moveTo(x + cell - inset, y + inset);
    pen.lineTo(x + inset, y + cell - inset);
  }
  pen.stroke();
}

// Texts in order of importance; none may touch an earlier one. Untouched text costs no layout.
export function label(texts, entries, pitch, gap) {
  const taken = [],
    wanted = new Map();
  for (const [x, text] of entries) {
    if (x < 0 || x >= texts.length || taken.some((y) => y === x || Math.abs(y - x) * pitch < gap)) continue;
    taken.push(x);
    wanted.set(x, text);
  }
  texts.forEach((t, x) => {
    const text = wanted.get(x) ?? "";
    if (t.textContent !== text) t.textContent = text;
  });
}

export const rampStrip = (canvas, ramp) => {
  const pen = canvas.getContext("2d"),
    image = pen.createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(ramp);
  pen.putImageData(image, 0, 0);
};
export const colourOf = (ramp, unit) => css(ramp[Math.max(0, Math.min(255, Math.round(255 * unit)))]);
