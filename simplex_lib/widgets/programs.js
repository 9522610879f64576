// Tensors as grids of cells, the lanes of one access, the source beside them. Python sends areas of
// equal state and how each state looks; here they become drawings. Arrow keys step, a click on a
// cell chooses its element; both go back as messages.
const PART_GAP = 4; // pixels between two indices of the first of three axes
const KEYS = {
  ArrowRight: { step: "program", by: 1 },
  ArrowLeft: { step: "program", by: -1 },
  ArrowDown: { step: "access", by: 1 },
  ArrowUp: { step: "access", by: -1 },
  Home: { step: "whole", by: 0 },
};
let made = 0; // widgets so far: names of patterns must differ on a page

const tag = (name, attributes, inner = "") =>
  `<${name}${Object.entries(attributes).map(([k, v]) => ` ${k}="${v}"`).join("")}>${inner}</${name}>`;
const escape = (text) => text.replace(/[&<>"]/g, (x) => `&#${x.charCodeAt(0)};`);

function patterns(looks, id) {
  const found = looks.map(([state, fill, pattern, line]) => {
    const paper = tag("rect", { width: 6, height: 6, fill });
    const drawn = {
      stripes: tag("path", { d: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", stroke: line, "stroke-width": 1.3 }),
      dots: tag("circle", { cx: 3, cy: 3, r: 1.2, fill: line }),
      bars: tag("rect", { y: 3, width: 6, height: 3, fill: line }),
      hatched: tag("path", { d: "M-1 -1L7 7M-1 5L1 7M5 -1L7 1", stroke: line, "stroke-width": 1 }),
    };
    const size = { width: 6, height: 6, patternUnits: "userSpaceOnUse" };
    return tag("pattern", { id: `${id}-${state}`, ...size }, paper + (drawn[pattern] ?? ""));
  });
  return `<svg class="sx-patterns" width="0" height="0" aria-hidden="true"><defs>${found.join("")}</defs></svg>`;
}

function drawing(grid, cell, id) {
  const y = (row) => row * cell + PART_GAP * Math.floor(row / grid.part);
  const width = grid.columns * cell, height = y(grid.rows - 1) + cell;
  const box = ({ row, column, high, wide }, more) =>
    tag("rect", { x: column * cell, y: y(row), width: wide * cell, height: high * cell, ...more });
  const whole = Math.floor(grid.count / grid.columns), left = grid.count % grid.columns;
  const empty = [];
  for (let row = 0; row < whole; row += grid.part)
    empty.push({ row, column: 0, high: Math.min(grid.part, whole - row), wide: grid.columns });
  if (left) empty.push({ row: whole, column: 0, high: 1, wide: left });
  const parts = empty.map((x) => box(x, { class: "sx-empty" }));
  const lines = [];
  for (const { row, column, high, wide } of empty) {
    for (let r = 1; r < high; r++) lines.push(`M${column * cell} ${y(row + r)}h${wide * cell}`);
    for (let c = 1; c < wide; c++) lines.push(`M${(column + c) * cell} ${y(row)}v${high * cell}`);
  }
  const labels = [], frames = [];
  for (const [look, row, column, high, wide, framed, label] of grid.areas) {
    const at = { row, column, high, wide };
    parts.push(box(at, { fill: `url(#${id}-${look})` }));
    if (framed) frames.push(box(at, { class: "sx-frame" }));
    if (label)
      labels.push(
        tag("text", { x: (column + wide / 2) * cell, y: y(row) + (high * cell) / 2 }, escape(label)),
      );
  }
  parts.push(tag("path", { class: "sx-lines", d: lines.join("") }));
  for (const [row, column, high, wide] of grid.crosses) {
    let d = "";
    for (let r = row; r < row + high; r++)
      for (let c = column; c < column + wide; c++) {
        const [x0, y0, z] = [(c + 0.22) * cell, y(r) + 0.22 * cell, 0.56 * cell];
        d += `M${x0} ${y0}l${z} ${z}m${-z} 0l${z} ${-z}`;
      }
    parts.push(tag("path", { class: "sx-crosses", d }));
  }
  parts.push(...frames, ...labels);
  if (grid.chosen) {
    const [row, column] = grid.chosen;
    parts.push(box({ row, column, high: 1, wide: 1 }, { class: "sx-chosen" }));
  }
  const size = { width: width + 4, height: height + 4, viewBox: `-2 -2 ${width + 4} ${height + 4}` };
  return tag("svg", { ...size, role: "img", "aria-label": escape(grid.said) }, parts.join(""));
}

function tensor(grid, cell, id) {
  const wide = Math.max(grid.columns * cell + 4, 44); // a shape that is too long takes a second line
  const title = `<div class="sx-tensor-title" style="width: ${wide}px"><b>${escape(grid.title)}</b>
    <span>${escape(grid.shape)}</span></div>`;
  const note = grid.note ? `<div class="sx-tensor-note">${escape(grid.note)}</div>` : "";
  const name = grid.name ? { "data-tensor": grid.name, "data-part": grid.part } : {};
  return tag("div", { class: "sx-tensor", ...name }, title + note + drawing(grid, cell, id));
}

function render({ model, el }) {
  const id = `sx-programs-${Date.now()}-${made++}`;
  const board = document.createElement("div");
  board.className = "sx-board sx-programs";
  board.tabIndex = 0;
  board.setAttribute("role", "application");
  board.innerHTML = `<div></div><div class="sx-tensors"></div><div class="sx-legend"></div>
    <div class="sx-below"><div class="sx-lanes"></div><div class="sx-source" tabindex="0" role="region"
    aria-label="source of the kernel"></div></div>`;
  el.classList.add("simplex-page");
  el.append(board);
  const [defs, tensors, legend, below] = board.children, [lanes, source] = below.children;
  let text = "";

  function listing(code) {
    const key = code.lines.join("\n");
    if (key !== text) {
      text = key;
      source.innerHTML = code.lines
        .map((x, n) => {
          const hang = x.search(/\S|$/) + 4; // a long line goes on under itself
          const style = `padding-left: ${hang}ch; text-indent: -${hang}ch`;
          return `<div><i></i><span>${n + 1}</span><code style="${style}">${escape(x) || " "}</code></div>`;
        })
        .join("");
      source.scrollTo(0, 0);
    }
    [...source.children].forEach((row, n) => {
      const now = n + 1 === code.line, mark = (now ? "▶" : "") + (code.marks[n + 1] ?? "");
      row.className = now ? "sx-now" : code.marks[n + 1] ? "sx-memory" : "";
      if (row.firstChild.textContent !== mark) row.firstChild.textContent = mark;
    });
    follow(code);
  }

  // the line in view; a box that has no size yet is asked again when it gets one
  function follow(code) {
    const seen = source.children[(code.line || code.first) - 1];
    if (!seen || !source.clientHeight) return;
    const top = seen.offsetTop - source.offsetTop, high = source.clientHeight;
    if (top < source.scrollTop + 20 || top > source.scrollTop + high - 40)
      source.scrollTo(0, top - high / 2 + 10);
  }

  function draw() {
    const scene = model.get("scene");
    if (!scene.columns) return;
    board.setAttribute("aria-label", scene.said);
    defs.innerHTML = patterns(scene.looks, id);
    tensors.innerHTML = scene.columns
      .map((x) => `<div class="sx-stack">${x.map((grid) => tensor(grid, scene.cell, id)).join("")}</div>`)
      .join("");
    const swatch = (look, sign) =>
      `<svg width="16" height="14" aria-hidden="true"><rect x="1" y="1" width="14" height="12" ${
        look ? `fill="url(#${id}-${look})"` : 'fill="none"'
      } class="sx-swatch"></rect>${sign ? '<path class="sx-crosses" d="M4 3l8 8m-8 0l8 -8"></path>' : ""}</svg>`;
    legend.innerHTML = scene.legend
      .map(([look, sign, words]) => `<span>${swatch(look, sign)} ${escape(words)}</span>`)
      .join("");
    lanes.innerHTML = scene.lanes ? tensor(scene.lanes, scene.lanes.cell, id) : "";
    listing(scene.code);
  }
  draw();
  model.on("change:scene", draw);
  const sized = new ResizeObserver(() => model.get("scene").code && follow(model.get("scene").code));
  sized.observe(source);

  board.addEventListener("keydown", (event) => {
    if (event.target !== board || event.ctrlKey || event.altKey || event.metaKey) return;
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    model.send(KEYS[event.key]);
  });
  tensors.addEventListener("click", (event) => {
    const svg = event.target.closest("svg"), shown = event.target.closest("[data-tensor]");
    if (!svg || !shown) return;
    const at = svg.getBoundingClientRect(), { cell } = model.get("scene"), part = +shown.dataset.part;
    const across = event.clientX - at.left - 2, down = event.clientY - at.top - 2;
    const high = part * cell + PART_GAP, block = Math.floor(down / high);
    const row = block * part + Math.min(part - 1, Math.floor((down - block * high) / cell));
    model.send({ tensor: shown.dataset.tensor, row, column: Math.floor(across / cell) });
  });
  return () => sized.disconnect();
}

export default { render };
