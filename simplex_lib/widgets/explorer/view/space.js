// Points of the cube and how they are turned. No drawing: tests run this file in node.

export function decodeCube(header, buffer) {
  return {
    ...header,
    probs: new Float32Array(buffer, 0, header.count),
    points: new Uint16Array(buffer, 4 * header.count, 3 * header.count),
  };
}

// Turns (x, y, z) about the vertical by yaw, then towards the eye by pitch; rows are right, down, away.
export function turn(yaw, pitch) {
  const [c, s, d, t] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  return [
    [c, 0, s],
    [s * t, d, -c * t],
    [-s * d, t, c * d],
  ];
}

// Perspective with a mild depth: points of the cube -1..1 to pixels, and how far away (-1 near, 1 far).
export function project([x, y, z], m, scale, cx, cy) {
  const [u, v, w] = m.map((row) => row[0] * x + row[1] * y + row[2] * z),
    near = 7 / (7 + w);
  return [cx + scale * u * near, cy + scale * v * near, w / 1.74];
}
