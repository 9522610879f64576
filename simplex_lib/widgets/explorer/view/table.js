// The same pairs as text: sortable, walked with the arrow keys, lit together with the map.

import { signed } from "./colours.js";
import { make, number, plain, same } from "./words.js";

const COLUMNS = [
  ["rank", "", "rank"],
  ["first", "First key", "first key"],
  ["second", "Second key", "second key"],
  ["prob", "Prob.", "probability"],
  ["logit", "Logit", "logit"],
  ["share", "So far", "share so far"],
  ["product", "pⱼ pₖ", "product of the marginals"],
  ["swapped", "A[i,k,j]", "probability with the keys swapped"],
  ["other", "Other", "probability in the other tensor"],
  ["gap", "Differs", "difference"],
];
// What each mode shows beside rank, keys and probability; the other columns are hidden.
const EXTRA = {
  probs: ["logit", "share", "product", "other"],
  logits: ["logit", "share", "product", "other"],
  asymmetry: ["swapped", "gap", "product"],
  difference: ["other", "gap", "product"],
};

// on: { point(pair | null), cursor(pair | null), press(pair), sort([key, way]) }
export function tablePanel({ top, has, on }) {
  const head = make("tr"),
    body = make("tbody");
  const sorters = COLUMNS.map(([key, text, long]) => {
    const button = make(
      "button",
      { type: "button", title: "Sort by " + long, "aria-label": text ? `${text}, ${long}` : "# rank" },
      text || "#",
      make("span", { class: "x3-arrow", "aria-hidden": "true" }),
    );
    const th = make("th", { scope: "col", class: "x3-c-" + key }, button);
    button.addEventListener("click", () => on.sort(key, ["rank", "first", "second"].includes(key) ? 1 : -1));
    head.append(th);
    return { key, th, arrow: button.lastChild };
  });
  const rows = Array.from({ length: top }, (_, x) => {
    const cells = COLUMNS.map(([key]) => make("td", { class: "x3-c-" + key })),
      bar = make("i", { class: "x3-cell-bar" }),
      text = make("span");
    cells[3].append(bar, text);
    const tr = make("tr", { tabindex: "-1" }, ...cells),
      slot = { tr, cells, bar, text, row: null };
    const pair = () => (slot.row ? [slot.row.first, slot.row.second] : null);
    body.append(tr);
    tr.addEventListener("pointerenter", () => on.point(pair()));
    tr.addEventListener("pointerleave", () => on.point(null));
    tr.addEventListener("focus", () => on.cursor(pair()));
    tr.addEventListener("blur", () => on.cursor(null));
    tr.addEventListener("click", () => slot.row && on.press(pair()));
    tr.addEventListener("keydown", (e) => {
      const to = { ArrowDown: x + 1, ArrowUp: x - 1, Home: 0, End: rows.filter((r) => r.row).length - 1 }[
        e.key
      ];
      if (to !== undefined) {
        e.preventDefault();
        if (rows[to]?.row) {
          tr.tabIndex = -1;
          rows[to].tr.tabIndex = 0;
          rows[to].tr.focus();
        }
      } else if (e.key === "Enter" || e.key === " ") {
        e.preventDefault();
        on.press(pair());
      }
    });
    return slot;
  });
  const table = make(
    "table",
    { class: "x3-table" },
    make("caption", {}, "Top pairs of this query"),
    make("thead", {}, head),
    body,
  );
  const node = make("div", { class: "x3-scroll" }, table);

  const draw = (list, mode, [key, way], named) => {
    const extra = EXTRA[mode].filter((c) => has(c));
    for (const [c] of COLUMNS.slice(4)) table.classList.toggle("x3-no-" + c, !extra.includes(c));
    const gap = (r) => r.prob - (mode === "asymmetry" ? r.swapped : r.other || 0);
    list = list.map((r) => ({ ...r, gap: signed(mode) ? gap(r) : NaN }));
    if (key !== "rank" || way < 0) list.sort((a, b) => way * (a[key] - b[key]) || a.rank - b.rank);
    const best = Math.max(1e-12, ...list.map((r) => r.prob));
    rows.forEach((slot, x) => {
      const r = (slot.row = list[x] ?? null);
      slot.tr.className = r ? "" : "x3-none";
      slot.bar.style.width = r ? `${(100 * r.prob) / best}%` : 0;
      const texts = r
        ? [
            r.rank,
            named(r.first),
            named(r.second),
            number(r.prob),
            plain(r.logit),
            number(r.share),
            number(r.product),
            number(r.swapped),
            number(r.other),
            (r.gap > 0 ? "+" : "") + number(r.gap),
          ]
        : [];
      slot.cells.forEach((c, y) => {
        const to = y === 3 ? slot.text : c,
          text = String(texts[y] ?? "");
        if (to.textContent !== text) to.textContent = text;
      });
    });
    for (const { key: k, th, arrow } of sorters) {
      const now = k === key ? (way > 0 ? "ascending" : "descending") : null;
      if (now) th.setAttribute("aria-sort", now);
      else th.removeAttribute("aria-sort");
      arrow.textContent = now ? (way > 0 ? "▲" : "▼") : "";
    }
    if (!rows.some((r) => r.tr.tabIndex === 0 && r.row)) rows.forEach((r, x) => (r.tr.tabIndex = x ? -1 : 0));
  };
  const light = (lit, held) =>
    rows.forEach(({ tr, row }) => {
      const pair = row && [row.first, row.second];
      tr.classList.toggle("x3-on", same(pair, lit));
      tr.classList.toggle("x3-held", same(pair, held));
    });
  return { node, draw, light };
}
