// What the browser tests ask of the page from inside; `Notebook` calls these by name.
// JupyterLab's own model is asked (window.jupyterapp); its busy mark is never trusted.

window.inPage = (() => {
  const panel = () => window.jupyterapp.shell.currentWidget;
  const tick = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  // resolves when the notebook is open and its kernel answers
  async function ready(seconds) {
    await window.jupyterapp.restored;
    for (const end = Date.now() + 1000 * seconds; Date.now() < end; await tick(50)) {
      const { context, sessionContext } = panel() ?? {};
      if (!context || !sessionContext) continue;
      await context.ready;
      await sessionContext.ready;
      const kernel = sessionContext.session?.kernel;
      if (kernel?.status === "idle" && kernel.connectionStatus === "connected") return true;
    }
    return false;
  }

  // a command answers when all its cells are done; false: not within these seconds
  const command = (name, seconds, args = {}) =>
    Promise.race([
      window.jupyterapp.commands.execute(name, args).then(() => true),
      tick(1000 * seconds).then(() => false),
    ]);

  const cells = () =>
    panel().content.widgets.map(({ model }) => ({
      kind: model.type,
      source: model.sharedModel.getSource(),
      simplex: model.getMetadata("simplex") ?? {},
      count: model.executionCount ?? null,
      outputs: model.outputs?.toJSON() ?? [],
    }));

  const write = (n, text) => panel().content.widgets[n].model.sharedModel.setSource(text);

  async function show(n, above = 0) {
    const { content } = panel();
    content.activeCellIndex = n;
    await content.scrollToItem(Math.max(0, n - above), "start", 0);
  }

  const restart = () => panel().sessionContext.session.kernel.restart();

  // the list of files beside the notebook: open as a learner first sees it, or closed
  async function files(open) {
    const { shell } = window.jupyterapp;
    open ? shell.expandLeft() : shell.collapseLeft();
    await tick(100); // until the observers of sizes have run
  }

  // pictures: canvases, drawings, images and boards of numbers that are more than an icon

  const large = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return width > 60 && height > 60;
  };
  const pictures = (root) => [...root.querySelectorAll("canvas, svg, img, .sx-board")].filter(large);

  // one text for all that a picture shows; it differs when the picture does
  const fingerprint = (root) =>
    pictures(root)
      .map((x) => (x.localName === "canvas" ? x.toDataURL() : x.localName === "img" ? x.src : x.outerHTML))
      .join("\n");

  // ids that stand more than once on the page: widgets that share names and so disturb each other
  const twice = () => {
    const ids = [...document.querySelectorAll(".jp-Cell-outputArea [id]")].map((x) => x.id);
    return [...new Set(ids.filter((id, n) => ids.indexOf(id) !== n))];
  };

  // the place of each control, as text
  const choices = (root) =>
    [...root.querySelectorAll("input, select, [aria-selected], [aria-checked], [aria-valuenow]")]
      .map((x) => [x.value, x.checked, x.ariaSelected, x.ariaChecked, x.ariaValueNow].join())
      .join("\n");

  // focus a control and remember what stands beside it; then ask what has changed, and whether the
  // keyboard is still there. Of a slider the picture is expected, of other controls any effect.
  let held;
  function hold(control) {
    const area = control.closest(".jp-Cell-outputArea");
    const slides = control.matches(".noUi-handle, input[type=range], [role=slider]");
    control.focus();
    held = { area, slides, picture: fingerprint(area), choice: choices(area) };
  }
  function changed() {
    const { area, slides, picture, choice } = held;
    if (!area.contains(document.activeElement)) return "";
    if (fingerprint(area) !== picture) return "picture";
    return !slides && choices(area) !== choice ? "choice" : "";
  }

  // words, each with the element it stands in
  function* words(root) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
      const parent = text.parentElement;
      const hidden = parent.closest("style, script, mjx-container, .sr-only, [hidden]");
      if (text.data.trim() && !hidden && parent.checkVisibility()) yield [text, parent];
    }
  }

  function box(text) {
    const range = document.createRange();
    range.selectNodeContents(text);
    return range.getBoundingClientRect();
  }

  const said = (text) => text.data.trim().replace(/\s+/g, " ").slice(0, 60);

  // what stands out on the right, and words that the element round them cuts off
  function clipped(root) {
    const found = [];
    if (root.scrollWidth > root.clientWidth + 1) found.push(`too wide by ${root.scrollWidth - root.clientWidth} px`);
    for (const [text, parent] of words(root)) {
      const { left, right } = box(text);
      for (let x = parent; x !== root; x = x.parentElement) {
        const { overflowX, textOverflow, paddingRight } = getComputedStyle(x);
        const edge = x.getBoundingClientRect();
        if (["auto", "scroll"].includes(overflowX) || edge.width < 2) break; // can be scrolled to, or is for screen readers
        const end = edge.right - (textOverflow === "ellipsis" ? parseFloat(paddingRight) : 0);
        if (overflowX !== "visible" && (right > end + 1 || left < edge.left - 1)) {
          found.push(`cut: ${said(text)}`);
          break;
        }
      }
    }
    return found;
  }

  // words with less contrast to what is behind them than 4.5, signs with less than 3
  // (WCAG 2.2, sections 1.4.3 and 1.4.11); words on a canvas cannot be judged so
  function faint(root) {
    const canvases = [...root.querySelectorAll("canvas")].map((x) => x.getBoundingClientRect());
    const painted = ({ left, right, top, bottom }) =>
      canvases.some((c) => c.left < right && left < c.right && c.top < bottom && top < c.bottom);
    const parse = (colour) => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
    const light = (rgb) => {
      const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const over = ([r, g, b, a = 1], back) => [r, g, b].map((v, n) => a * v + (1 - a) * back[n]);
    const behind = (x) => {
      if (!x) return [255, 255, 255];
      const colour = parse(getComputedStyle(x).backgroundColor);
      return (colour[3] ?? 1) === 1 ? colour.slice(0, 3) : over(colour, behind(x.parentElement));
    };
    const found = [];
    for (const [text, parent] of words(root)) {
      const style = getComputedStyle(parent);
      if (parent.closest(":disabled, [aria-disabled=true]") || painted(box(text))) continue;
      const back = behind(parent), ink = parse(parent.closest("svg") ? style.fill : style.color);
      if (ink.length < 3) continue; // painted by a gradient or not at all
      const [dim, bright] = [light(over(ink, back)), light(back)].sort((a, b) => a - b);
      const ratio = (bright + 0.05) / (dim + 0.05);
      if (ratio < (/[\p{L}\p{N}]/u.test(text.data) ? 4.5 : 3)) found.push(`${ratio.toFixed(2)}: ${said(text)}`);
    }
    return found;
  }

  return { ready, command, cells, write, show, restart, files, pictures, twice, hold, changed, clipped, faint };
})();
