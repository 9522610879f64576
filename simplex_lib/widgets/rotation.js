// Three vectors and their box, seen from a side that drag and arrow keys choose. Python sends the
// scene: vectors, corners, axis, colours; here it is projected and painted from back to front.
const SIZE = 330; // of the drawing, in its own units
const RADIUS = 172; // of the farthest corner
const TURN = 5; // degrees a key
const HALF_PIXEL = 0.5; // a drag turns by so many degrees a pixel
const FIRST = { azimuth: 12, elevation: 22 };

const radians = (degrees) => (degrees * Math.PI) / 180;

// x to the right, y up, depth towards the eye
function looking({ azimuth, elevation }) {
  const [ca, sa] = [Math.cos(radians(azimuth)), Math.sin(radians(azimuth))];
  const [ce, se] = [Math.cos(radians(elevation)), Math.sin(radians(elevation))];
  return ([x, y, z]) => {
    const forward = ca * x + sa * y; // towards the eye, on the ground
    return [ca * y - sa * x, ce * z - se * forward, ce * forward + se * z];
  };
}

function paint(scene, eye) {
  const { vectors, corners, faces, edges, direction, reach, names, colours } = scene;
  const unit = RADIUS / reach;
  const turn = looking(eye);
  const see = (point) => {
    const [x, y, depth] = turn(point);
    return [SIZE / 2 + unit * x, SIZE / 2 - unit * y, depth];
  };
  const at = corners.map(see);
  const spot = ([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`;
  const line = (a, b, look) =>
    `<line x1="${a[0].toFixed(1)}" y1="${a[1].toFixed(1)}" x2="${b[0].toFixed(1)}" y2="${b[1].toFixed(1)}" ${look}/>`;
  const word = (text, [x, y], colour, look = "") =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" fill="${colour}" text-anchor="middle" dominant-baseline="central" ${look}>${text}</text>`;
  const beyond = (a, b, by) => {
    const size = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
    return [b[0] + ((b[0] - a[0]) / size) * by, b[1] + ((b[1] - a[1]) / size) * by];
  };

  // the box is convex: a face is in front if its outward normal points to the eye
  const middle = (list) => list.reduce((sum, n) => sum + at[n][2], 0) / list.length;
  const centre = middle([0, 1, 2, 3, 4, 5, 6, 7]);
  const opposite = (face) => [0, 1, 2, 3, 4, 5, 6, 7].filter((n) => !face.includes(n));
  const normalDepth = (face) => {
    const sub = (a, b) => a.map((x, n) => x - b[n]);
    const [a, b, , d] = face.map((n) => corners[n]);
    const [u, v] = [sub(b, a), sub(d, a)];
    const normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    const out = sub(corners[face[0]], corners[opposite(face).find((n) => edges.some(([p, q]) => (p === n && q === face[0]) || (q === n && p === face[0])))]);
    const side = Math.sign(normal.reduce((sum, x, n) => sum + x * out[n], 0)) || 1;
    return side * turn(normal)[2];
  };
  const front = faces.map((face) => normalDepth(face) > 0);
  const shows = ([a, b]) => faces.some((face, n) => front[n] && face.includes(a) && face.includes(b));
  const fill = (inFront) =>
    faces
      .map((face, n) => [middle(face), n])
      .filter(([, n]) => front[n] === inFront)
      .sort(([a], [b]) => a - b)
      .map(([, n]) => `<polygon points="${faces[n].map((c) => spot(at[c])).join(" ")}" fill="${colours.box}" fill-opacity="${inFront ? 0.2 : 0.14}"/>`);
  const arrow = (n) => {
    const [tail, tip] = [see([0, 0, 0]), see(vectors[n])];
    const long = Math.hypot(tip[0] - tail[0], tip[1] - tail[1]);
    const head = Math.min(13, 0.6 * long);
    const back = beyond(tail, tip, -head);
    const [ux, uy] = long ? [(tip[0] - tail[0]) / long, (tip[1] - tail[1]) / long] : [0, 0];
    const wing = (s) => [back[0] - s * 0.42 * head * uy, back[1] + s * 0.42 * head * ux];
    return (
      line(tail, back, `stroke="${colours.vectors[n]}" stroke-width="3.4" stroke-linecap="round"`) +
      `<polygon points="${[tip, wing(1), wing(-1)].map(spot).join(" ")}" fill="${colours.vectors[n]}"/>`
    );
  };
  const rods = (inFront) =>
    edges
      .filter((edge) => shows(edge) === inFront)
      .map(([a, b]) => {
        const n = a === 0 ? [1, 2, 4].indexOf(b) : -1;
        const look = inFront ? "" : `stroke-dasharray="3 4" opacity="0.8"`;
        return n < 0 ? line(at[a], at[b], `stroke="${colours.box}" stroke-width="1.4" ${look}`) : arrow(n);
      });

  const origin = see([0, 0, 0]);
  const halo = `paint-order="stroke" stroke="${colours.paper}" stroke-width="4" stroke-linejoin="round"`;
  const words = [];
  const marks = { back: [], front: [] };
  const put = (depth, what) => marks[depth > 0 ? "front" : "back"].push(what);
  ["x", "y", "z"].forEach((name, n) => {
    for (const sign of [1, -1]) {
      const end = see([0, 1, 2].map((m) => (m === n ? sign * 0.76 * reach : 0)));
      const look = `stroke="${colours.faint}" stroke-width="${sign > 0 ? 1.3 : 0.7}"`;
      put(end[2], line(origin, end, look));
      if (sign > 0) words.push(word(name, beyond(origin, end, 9), colours.faint, halo));
    }
  });
  for (const sign of [1, -1]) {
    const end = see(direction.map((x) => sign * 0.84 * reach * x));
    const look = `stroke="${colours.axis}" stroke-width="2" stroke-dasharray="9 4 2 4"`;
    put(end[2], line(origin, end, look));
    if (sign > 0) words.push(word("axis", beyond(origin, end, 13), colours.axis, halo));
  }
  vectors.forEach((v, n) => {
    const look = `font-weight="700" font-size="16" ${halo}`;
    words.push(word(names[n], beyond(origin, see(v), 14), colours.vectors[n], look));
  });
  return [...marks.back, ...fill(false), ...rods(false), ...fill(true), ...rods(true), ...marks.front, ...words].join("");
}

function render({ model, el }) {
  const eye = { ...FIRST };
  el.classList.add("simplex-page");
  el.innerHTML = `<div class="sx-board sx-turning"><svg class="sx-space" viewBox="0 0 ${SIZE} ${SIZE}"
    tabindex="0" role="application" aria-roledescription="view in space"></svg><div class="sx-scores"></div></div>`;
  const [space, scores] = [el.querySelector(".sx-space"), el.querySelector(".sx-scores")];
  const draw = () => {
    const scene = model.get("scene");
    if (!scene.vectors) return;
    space.innerHTML = paint(scene, eye);
    space.setAttribute("aria-label", scene.label);
  };
  const list = () => (scores.innerHTML = model.get("scores"));
  const look = (azimuth, elevation) => {
    eye.azimuth = (azimuth + 360) % 360;
    eye.elevation = Math.max(-90, Math.min(90, elevation));
    draw();
  };
  draw();
  list();
  model.on("change:scene", draw);
  model.on("change:scores", list);

  const steps = { ArrowLeft: [TURN, 0], ArrowRight: [-TURN, 0], ArrowUp: [0, TURN], ArrowDown: [0, -TURN] };
  space.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Home") look(FIRST.azimuth, FIRST.elevation);
    else if (steps[event.key]) look(eye.azimuth + steps[event.key][0], eye.elevation + steps[event.key][1]);
    else return;
    event.preventDefault();
  });
  let held = null;
  space.addEventListener("pointerdown", (event) => {
    held = { x: event.clientX, y: event.clientY, ...eye };
    space.setPointerCapture(event.pointerId);
  });
  space.addEventListener("pointermove", (event) => {
    if (!held) return;
    look(held.azimuth - HALF_PIXEL * (event.clientX - held.x), held.elevation + HALF_PIXEL * (event.clientY - held.y));
  });
  for (const end of ["pointerup", "pointercancel"]) space.addEventListener(end, () => (held = null));
  space.addEventListener("dblclick", () => look(FIRST.azimuth, FIRST.elevation));

  scores.addEventListener("click", (event) => {
    const trace = event.target.closest("[data-from]");
    if (!trace) return;
    const { left, width } = trace.getBoundingClientRect();
    const [from, to, all] = [trace.dataset.from, trace.dataset.to, trace.dataset.width].map(Number);
    const part = (((event.clientX - left) / width) * all - from) / (to - from);
    model.set("picked", 5 * Math.round(72 * Math.max(0, Math.min(1, part))));
    model.save_changes();
  });

  // number fields have no label of their own
  const nameFields = (frames) => {
    const fields = el.closest(".simplex-widget")?.querySelectorAll(".sx-vector") ?? [];
    if (!fields.length && frames) return requestAnimationFrame(() => nameFields(frames - 1));
    for (const field of fields) {
      const name = field.querySelector(".widget-label")?.textContent;
      field.querySelectorAll("input").forEach((input, n) => input.setAttribute("aria-label", `${name}, coordinate ${"xyz"[n]}`));
    }
  };
  nameFields(600);
}

export default { render };
