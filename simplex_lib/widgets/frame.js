// One box of HTML written by Python. It reports clicks on [data-cell] and the page's theme, speaks
// its text if it is live, and gives sliders and pictures of its widget a name.
const QUIET_MS = 400; // a held key would otherwise make a screen reader chatter

function themeIsDark() {
  const light = document.body.dataset.jpThemeLight;
  if (light !== undefined) return light === "false";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

// a plain key pressed on a control would also reach the notebook, where arrows leave the cell and
// x cuts it; keys with Ctrl, Alt or Cmd are still the notebook's
function keepKeys(el, frames = 600) {
  const root = el.closest(".simplex-widget");
  if (!root && frames) requestAnimationFrame(() => keepKeys(el, frames - 1)); // not on the page yet
  root?.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.altKey && !event.metaKey) event.stopPropagation();
  });
}

function nameParts(el, text) {
  const root = el.closest(".simplex-widget");
  if (!root) return;
  for (const box of root.querySelectorAll(".widget-inline-hbox")) {
    const label = box.querySelector(".widget-label")?.textContent;
    const handle = box.querySelector(".noUi-handle");
    if (label && handle) handle.setAttribute("aria-label", label);
    // the number beside a slider repeats it: one stop of the tab key is enough
    box.querySelector(".widget-readout[contenteditable]")?.setAttribute("tabindex", "-1");
  }
  for (const picture of root.querySelectorAll(".js-plotly-plot")) {
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", text);
  }
}

function render({ model, el }) {
  const box = document.createElement("div");
  el.append(box);
  el.classList.add("simplex-page");
  const live = model.get("live");
  let timer;
  const draw = () => {
    if (live) box.setAttribute("aria-busy", "true");
    box.innerHTML = model.get("value");
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (live) {
        box.setAttribute("aria-busy", "false");
        nameParts(el, box.textContent);
      }
    }, QUIET_MS);
  };
  if (live) {
    box.setAttribute("role", "status");
    box.setAttribute("aria-live", "polite");
  }
  draw();
  model.on("change:value", draw);

  box.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-cell]");
    if (!cell) return;
    model.set("clicked", cell.dataset.cell);
    model.save_changes();
  });

  const tellTheme = () => {
    if (model.get("dark") === themeIsDark()) return;
    model.set("dark", themeIsDark());
    model.save_changes();
  };
  if (!live) return () => clearTimeout(timer);
  keepKeys(el);
  tellTheme();
  const watcher = new MutationObserver(tellTheme);
  watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  return () => {
    watcher.disconnect();
    clearTimeout(timer);
  };
}

export default { render };
