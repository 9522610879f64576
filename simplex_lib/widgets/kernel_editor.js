// Grids of numbers. Python sends the scene: texts, colours, marks; here it becomes tables, arrow
// keys walk over them, and what is chosen or typed goes back as a message.
const narrow = (text) => text.replace("−", "-"); // a true minus is as wide as two digits
const MARKS = ["off", "read", "near", "cut", "now"];

function render({ model, el }) {
  const board = document.createElement("div");
  board.className = "sx-board sx-editor";
  el.classList.add("simplex-page");
  el.append(board);
  const grids = new Map(); // by the id of their panel

  const tell = (grid, n, what = {}) => {
    const [row, column] = [Math.floor(n / grid.width), n % grid.width];
    model.send({ panel: grid.id, row, column, ...what });
  };

  // every cell can hold the focus, one of each grid is a stop of the tab key
  function stand(grid, n, focus) {
    grid.cells[grid.at]?.setAttribute("tabindex", "-1");
    grid.at = n;
    const cell = grid.cells[n];
    cell.setAttribute("tabindex", "0");
    if (focus) cell.focus({ preventScroll: true });
  }

  function light(link, on) {
    for (const cell of board.querySelectorAll("td[data-link]"))
      cell.classList.toggle("sx-linked", on && cell.dataset.link === link);
  }

  function type(grid, n, first) {
    const cell = grid.cells[n], input = document.createElement("input");
    input.className = "sx-typing";
    input.value = first ?? cell.textContent;
    input.setAttribute("aria-label", `new number, ${cell.getAttribute("aria-label")}`);
    const old = input.value, text = cell.textContent;
    let done = false;
    const end = (keep, back) => {
      if (done) return;
      done = true;
      grid.typing = null;
      cell.textContent = narrow(grid.texts[n] ?? text);
      if (keep && (first !== undefined || input.value !== old)) tell(grid, n, { typed: input.value });
      if (back) stand(grid, n, true);
    };
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true, true);
      else if (event.key === "Escape") end(false, true);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    input.addEventListener("blur", () => end(true, false));
    grid.typing = n;
    cell.replaceChildren(input);
    input.focus();
    if (first === undefined) input.select();
  }

  function press(grid, event) {
    if (grid.typing !== null || event.ctrlKey || event.altKey || event.metaKey) return;
    const { width, cells, at } = grid, column = at % width, { key } = event;
    const walk = {
      ArrowLeft: column > 0 ? at - 1 : at,
      ArrowRight: column < width - 1 ? at + 1 : at,
      ArrowUp: at >= width ? at - width : at,
      ArrowDown: at + width < cells.length ? at + width : at,
      Home: at - column,
      End: at - column + width - 1,
    };
    if (key in walk) {
      stand(grid, walk[key], true);
      if (!grid.edit && walk[key] !== at) tell(grid, walk[key]);
    } else if (!grid.edit) {
      if (key !== "Enter" && key !== " ") return;
      tell(grid, at);
    } else if (key === "+" || key === "=") tell(grid, at, { steps: 1 });
    else if (key === "-" || key === "−") tell(grid, at, { steps: -1 });
    else if (key === " ") tell(grid, at, { turn: true });
    else if (key === "Delete" || key === "Backspace") tell(grid, at, { typed: "0" });
    else if (key === "Enter" || key === "F2") type(grid, at);
    else if (/^[0-9.,]$/.test(key)) type(grid, at, key);
    else return;
    event.preventDefault();
  }

  function build(panel) {
    const box = document.createElement("div");
    box.className = `sx-panel sx-panel-${panel.id}`;
    box.innerHTML = `<div class="sx-panel-title"></div><table class="sx-map${panel.edit ? " sx-edit" : ""}"
      role="grid"><thead></thead><tbody></tbody></table><div class="sx-panel-note"></div>`;
    const [title, table, note] = box.children;
    const width = panel.across.length;
    const head = document.createElement("tr");
    head.append(document.createElement("td"));
    for (let n = 0; n < width + (panel.sums ? 1 : 0); n++) {
      const th = document.createElement("th");
      th.scope = "col";
      th.append(document.createElement("span"));
      head.append(th);
    }
    table.tHead.append(head);
    const grid = { id: panel.id, box, title, table, note, width, edit: panel.edit, at: 0, typing: null, cells: [], sums: [], heads: [] };
    for (let r = 0; r < panel.down.length; r++) {
      const tr = document.createElement("tr"), th = document.createElement("th");
      th.scope = "row";
      grid.heads.push(th);
      tr.append(th);
      for (let c = 0; c < width; c++) {
        const td = document.createElement("td");
        td.setAttribute("role", "gridcell");
        td.tabIndex = -1;
        grid.cells.push(td);
        tr.append(td);
      }
      if (panel.sums) {
        const td = document.createElement("td");
        td.className = "sx-sum";
        grid.sums.push(td);
        tr.append(td);
      }
      table.tBodies[0].append(tr);
    }
    table.addEventListener("keydown", (event) => press(grid, event));
    table.addEventListener("click", (event) => {
      const n = grid.cells.indexOf(event.target.closest("td"));
      if (n < 0 || grid.typing !== null) return;
      stand(grid, n, true);
      tell(grid, n, grid.edit ? { turn: true } : {});
    });
    for (const [name, on] of [["mouseover", true], ["mouseout", false], ["focusin", true], ["focusout", false]])
      table.addEventListener(name, (event) => light(event.target.closest("td")?.dataset.link ?? "", on));
    stand(grid, Math.min(panel.at[0] * width + panel.at[1], grid.cells.length - 1), false);
    return grid;
  }

  function fill(grid, panel, looks) {
    const { cells, width } = grid;
    const put = (node, text) => node.textContent !== text && (node.textContent = text);
    put(grid.title, panel.title);
    put(grid.note, panel.note);
    grid.table.setAttribute("aria-label", panel.title);
    grid.table.style.setProperty("--sx-cell", `${panel.cell}px`);
    grid.table.classList.toggle("sx-tight", panel.cell < 19);
    const head = (node, text, n) => {
      put(node, text);
      node.classList.toggle("sx-asks", panel.split !== null && n >= panel.split && n < width);
    };
    grid.heads.forEach((th, n) => head(th, panel.down[n], n));
    const spans = grid.table.tHead.querySelectorAll("span");
    spans.forEach((span, n) => head(span, n < width ? panel.across[n] : "sum", n));
    const marks = Object.fromEntries(MARKS.map((m) => [m, new Set(panel.marks[m] ?? [])]));
    grid.texts = panel.texts;
    cells.forEach((td, n) => {
      const off = marks.off.has(n), text = off ? "" : panel.texts[n];
      if (grid.typing !== n) put(td, narrow(text));
      const [paper, ink] = looks[panel.looks[n]];
      td.style.cssText = off ? "" : `background-color:${paper};color:${ink}`;
      td.className = MARKS.filter((m) => marks[m].has(n)).map((m) => `sx-${m}`).join(" ");
      td.setAttribute("aria-selected", String(marks.now.has(n)));
      td.setAttribute("aria-label", `${panel.down[Math.floor(n / width)]}, ${panel.across[n % width]}: ${off ? "hidden" : text}`);
      const link = panel.links ? panel.links[n] : "";
      if (link) td.dataset.link = panel.link + link;
      else delete td.dataset.link;
    });
    grid.sums.forEach((td, n) => put(td, panel.sums[n]));
    // where nobody stands in the grid, the tab key finds what Python has chosen
    const at = panel.at[0] * width + panel.at[1];
    if (!grid.table.contains(document.activeElement) && at < cells.length) stand(grid, at, false);
  }

  function draw() {
    const { panels, looks } = model.get("scene");
    if (!panels) return;
    const kept = new Set();
    panels.forEach((panel, n) => {
      let grid = grids.get(panel.id);
      const fits = grid && grid.width === panel.across.length && grid.heads.length === panel.down.length && !grid.sums.length === !panel.sums;
      if (!fits) {
        const old = grid;
        grid = build(panel);
        if (old) old.box.replaceWith(grid.box);
        grids.set(panel.id, grid);
      }
      kept.add(panel.id);
      if (board.children[n] !== grid.box) board.insertBefore(grid.box, board.children[n] ?? null);
      fill(grid, panel, looks);
    });
    for (const [id, grid] of grids)
      if (!kept.has(id)) {
        grid.box.remove();
        grids.delete(id);
      }
  }
  draw();
  model.on("change:scene", draw);
}

export default { render };
