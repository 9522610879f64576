// Where the parts meet: what is chosen, which numbers that means, what is lit, how large it is.
//
// mount(element, source): source = {
//   start      what book.py's `start` holds, with queries: [..] if only some are there
//   options    { query, head, mode, recipe, pair }
//   fetch      ({ want: "frames" | "cube", head, recipe, query }) -> Promise<{ header, buffer }>
//   tell       (options) -> void, after each choice
// }

import { signed, toUnit } from "./colours.js";
import { editBook } from "./edits.js";
import { mapOf, marksOf } from "./formulas.js";
import { MEANS } from "./legend.js";
import { packetsOf } from "./packets.js";
import { buildParts, MODES } from "./parts.js";
import { TEXTS } from "./second.js";
import { watchTheme } from "./theme.js";
import { number, plain, same, shown } from "./words.js";

const MAP = 380,
  IDLE = "Point at a cell, a row or a triangle to light the pair everywhere.";
// in a notebook every widget loads this module anew, so that a counter would begin at 0 each time
const anId = () => `x3-${Math.random().toString(36).slice(2, 10)}-`;

export function mount(host, source) {
  const { start, options } = source,
    { tokens, recipes } = start,
    n = Math.min(tokens.length, start.whole);
  const words = tokens.map(shown),
    numbered = tokens.every((token, at) => token === String(at)),
    named = (at) => (numbered ? words[at] : `${words[at]} (${at})`);
  const queries = start.queries ?? tokens.map((_, i) => i);
  const seconds = [
    ...(start.compare ? [["other", TEXTS.other]] : []),
    ...(recipes.length > 1 ? recipes.map((r) => ["recipe:" + r, r]) : []),
    ["product", TEXTS.product],
    ["swapped", TEXTS.swapped],
  ];
  const apart = (recipe) => "recipe:" + recipes.find((r) => r !== recipe);
  const state = {
    ...options,
    scale: start.scale,
    fit: start.fit,
    beside: "pairs",
    second: recipes.length > 1 ? apart(options.recipe) : seconds[0][0],
    sort: ["rank", 1],
    held: options.pair ?? null, // stays until it is let go; pointer and keyboard light others meanwhile
    hover: null,
    cursor: null,
  };
  const packets = packetsOf(start, source.fetch),
    edits = start.edit && editBook({ n, top: start.top, named, words: start.edit });
  // before: the query as it came; frame: with the reader's edits; twin: under another recipe
  let before = null,
    frame = null,
    twin = null,
    spans = null,
    theme = null,
    ticket = 0;

  const toCell = (pair) => pair && pair.map((x) => x - frame.origin),
    toPair = (cell) => cell && cell.map((x) => x + frame.origin);
  const inside = (cell) => !!cell && cell.every((x) => x >= 0 && x < n);
  const best = () => {
    const r = frame.rows[state.mode][0];
    return r ? [r.first, r.second] : [frame.query, frame.query];
  };
  const step = (dj, dk) => {
    const at = state.cursor ?? best(),
      to = (x) => Math.max(frame.origin, Math.min(frame.origin + n - 1, x));
    light({ cursor: [to(at[0] + dj), to(at[1] + dk)] });
  };
  const parts = buildParts({
    start,
    state,
    id: anId(),
    n,
    words,
    named,
    queries,
    seconds,
    does: {
      change: (next) => change(next),
      sort: (column, way) => change({ sort: [column, state.sort[0] === column ? -state.sort[1] : way] }),
      point: (pair) => light({ hover: pair }),
      cursor: (pair) => light({ cursor: pair }),
      hold: (pair) => hold(same(pair, state.held) ? null : pair),
      logit: (value) => moveLogit(value),
      undo: () => {
        edits.reset(state);
        change({});
      },
      hands: {
        point: (cell) => frame && light({ hover: toPair(cell) }),
        press: (cell) => {
          const pair = toPair(cell);
          hold(same(pair, state.held) ? null : pair);
        },
        focus: () => frame && light({ cursor: state.held ?? best() }),
        blur: () => light({ cursor: null }),
        step,
        enter: () => state.cursor && hold(same(state.cursor, state.held) ? null : state.cursor),
      },
      cube: {
        load: () => packets.cube(state.head, state.recipe),
        frames: () => packets.frames(state.head, state.recipe, state.query),
        query: (query) => queries.includes(query) && change({ query }),
        map: (frames, i) =>
          i === frame.query
            ? mapOf(frame, "probs")
            : frames.has(i)
              ? mapOf(frames.get(i), "probs")
              : new Float32Array(n * n).fill(NaN),
      },
    },
  });
  const { root, say, read, picks, panels } = parts;
  host.append(root);

  // drawing ----------------------------------------------------------------------------------------
  const range = (mode) => {
    let [lo, hi] = (state.fit ? frame.ranges : spans)[mode];
    if (mode === "probs" && twin) hi = Math.max(hi, (state.fit ? twin.ranges : twin.spans).probs[1]);
    return [lo, mode === "probs" && edits ? Math.max(1, hi) : hi];
  };
  const draw = () => {
    if (!theme || !frame) return;
    const { mode } = state,
      { origin, query } = frame,
      rows = frame.rows[mode],
      log = state.scale === "log",
      marks = marksOf(frame);
    const ramp = theme.ramps[signed(mode) ? "diverging" : "sequential"],
      here = words.slice(origin, origin + n);
    const moved = edits ? edits.cells(state) : [],
      text = moved.length ? edits.say(before, frame, state) : frame.says[mode];
    const lead = (key) => [...rows.slice(0, 6).map((r) => r[key] - origin), query - origin];
    const main = {
      values: mapOf(frame, mode),
      marks,
      unit: toUnit(mode, range(mode), log),
      ramp,
      text: mode === "logits" ? plain : number,
      first: frame.first,
      second: frame.second,
      words: [here, here],
      lead: [lead("first"), lead("second")],
      edited: moved,
      edge: frame.window && frame.window.map((w) => Math.max(0, w - origin)),
      ahead: frame.future > 0 && query + 1 - origin < n ? query + 1 - origin : null,
      alt: `${MODES[mode]}, ${MEANS[mode]}. ${text}`,
    };
    const probs = { unit: toUnit("probs", range("probs"), log), ramp: theme.ramps.sequential, text: number };
    if (say.textContent !== text) say.textContent = text;
    parts.map.draw(main, theme);
    parts.strip.draw(frame);
    parts.legend.draw({
      mode,
      range: range(mode),
      log,
      ramp,
      total: frame.total,
      faulty: marks.some((m) => m),
      ahead: frame.future > 0,
    });
    if (state.beside === "pairs") {
      parts.triangles.draw({
        rows,
        query,
        origin,
        window: frame.window,
        words,
        named,
        alt: `Triangles of the ${rows.length} top pairs. ${text}`,
      });
      parts.facts.draw(frame, mapOf(frame, "product"), probs.unit, probs.ramp, theme);
      parts.table.draw(rows, mode, state.sort, named);
    } else if (state.beside === "second")
      parts.second.draw(frame, twin, state.second, { ...main, ...probs, edited: [] }, theme);
    else parts.cube.draw({ ...probs, query }, theme, `${state.head}:${state.recipe}`);
    drawLit();
    drawEdit();
    requestAnimationFrame(() => {
      if (say.scrollHeight > say.clientHeight + 1) say.tabIndex = 0;
      else say.removeAttribute("tabindex");
    });
  };
  const drawLit = () => {
    const lit = state.hover ?? state.cursor ?? state.held,
      cell = toCell(lit);
    root.classList.toggle("x3-has", !!lit);
    parts.map.light(cell);
    parts.strip.light(lit);
    if (state.beside === "pairs") {
      parts.table.light(lit, state.held);
      parts.triangles.light(lit);
    } else if (state.beside === "second") parts.second.light(cell);
    else parts.cube.light(lit);
    read.textContent = inside(cell)
      ? `${named(lit[0])} with ${named(lit[1])}: ${numbersAt(cell[0] * n + cell[1])}`
      : IDLE;
  };
  const numbersAt = (cell) => {
    const { mode } = state,
      of = (name) => mapOf(frame, name)[cell],
      mark = marksOf(frame)[cell],
      p = of("probs"),
      value = of(mode);
    if (mark) return mark === 2 ? "not a finite number" : "a negative number";
    if (p !== p && value !== value) return "not visible to this query";
    const logit = start.modes.includes("logits") ? of("logits") : NaN;
    const last = signed(mode)
      ? `${MODES[mode].toLowerCase()} ${number(value)}`
      : `product of the marginals ${number(of("product"))}`;
    return [
      `probability ${number(p !== p ? 0 : p)}`,
      ...(logit === logit ? [`logit ${plain(logit)}`] : []),
      last,
    ].join(", ");
  };

  // the logit under the reader's hand: of the held pair, else of the best one ----------------------
  const editable = () => {
    const r = before.rows.probs[0],
      pair = state.held ?? (r && [r.first, r.second]),
      known = (x) => x === x && x !== undefined;
    return pair && inside(toCell(pair)) && known(edits.logit(before, pair)) ? pair : null;
  };
  const drawEdit = () => {
    if (!edits || !frame) return;
    const pair = editable();
    parts.edit.draw(
      pair && `${named(pair[0])} with ${named(pair[1])}`,
      pair && edits.logit(frame, pair),
      edits.cells(state).length,
    );
  };
  const moveLogit = (value) => {
    const pair = editable();
    if (!pair) return;
    edits.set(before, state, pair, value);
    state.held = pair;
    change({});
  };

  // choosing ---------------------------------------------------------------------------------------
  const light = (next) => {
    Object.assign(state, next);
    if (frame && theme) drawLit();
  };
  const tell = () =>
    source.tell?.({
      query: state.query,
      head: state.head,
      mode: state.mode,
      recipe: state.recipe,
      pair: state.held,
    });
  const hold = (pair, telling = true) => {
    light({ held: pair, ...(pair ? {} : { cursor: null }) });
    drawEdit();
    if (telling) tell();
  };
  async function change(next, telling = true) {
    const asked = ++ticket,
      query = state.query;
    Object.assign(state, next);
    for (const [name, value] of Object.entries(next)) picks[name]?.set(value);
    if ("query" in next || "mode" in next) state.hover = state.cursor = null;
    if ("recipe" in next && state.second === "recipe:" + state.recipe)
      parts.second.set((state.second = apart(state.recipe)));
    if ("beside" in next) open();
    const frames = await packets.frames(state.head, state.recipe, state.query);
    const kind =
      state.beside === "second" && state.second.startsWith("recipe:") ? state.second.slice(7) : null;
    const others = kind ? await packets.frames(state.head, kind, state.query) : null;
    if (asked !== ticket) return; // a later choice overtook this one
    if (!frames.has(state.query)) return void (state.query = query);
    const edited = (found) => (edits ? edits.apply(found, state) : found);
    before = frames.get(state.query);
    spans = frames.ranges;
    frame = edited(before);
    twin = others ? { ...edited(others.get(state.query)), spans: others.ranges } : null;
    draw();
    for (const name of ["query", "mode", "head", "recipe", "beside"]) root.dataset[name] = state[name];
    if (telling) tell();
  }
  // JupyterLab looks for shortcuts from the focused element upwards, so that one must say no itself
  root.addEventListener("focusin", (e) => e.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  root.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && (state.held || state.hover || state.cursor)) {
      state.hover = null;
      hold(null);
    }
  });

  // size and theme ---------------------------------------------------------------------------------
  const open = () => {
    for (const [name, node] of Object.entries(panels)) node.hidden = name !== state.beside;
    resize();
  };
  const resize = () => {
    const width = root.clientWidth - 32;
    if (width <= 0) return;
    // two columns while both fit, as view.css has it; two maps side by side are alike
    const beside = state.beside === "second" ? Math.floor(width / 2) - 136 : width - 484;
    const size =
      width > 1010
        ? MAP
        : width > 680
          ? Math.max(200, Math.min(MAP, beside))
          : Math.max(140, Math.min(MAP, width - 126));
    parts.map.layout(size);
    root.style.setProperty("--under", size + "px");
    const room = parts.right.clientWidth;
    if (state.beside === "pairs") parts.triangles.layout(Math.max(240, room));
    if (state.beside === "second") parts.second.heat.layout(Math.max(140, Math.min(size, room - 126)));
    if (state.beside === "cube") parts.cube.layout(room);
  };
  const themes = watchTheme(root, start.palette, (next) => {
    theme = next;
    draw();
  });
  const sized = new ResizeObserver(() => {
    themes.look();
    resize();
  });
  sized.observe(root);
  open();
  themes.look();
  change({}, false);
  return {
    state,
    change,
    hold,
    close: () => {
      sized.disconnect();
      themes.close();
      root.remove();
    },
  };
}
