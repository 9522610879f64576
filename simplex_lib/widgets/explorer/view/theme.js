// Light or dark: JupyterLab says so on the body, a page through the reader's settings.

import { ramp } from "./colours.js";

const NAMES = ["hatch", "grid", "bad", "bad-fill", "ink", "soft", "text", "first", "second", "plane"];

// changed(theme): { dark, font, ramps: { sequential, diverging }, and the colours of view.css by name }
export function watchTheme(root, palette, changed) {
  const media = matchMedia("(prefers-color-scheme: dark)");
  let was = null;
  const look = () => {
    const flag = document.body.dataset.jpThemeLight,
      dark = flag ? flag === "false" : media.matches;
    if (!root.isConnected || dark === was) return;
    was = dark;
    root.classList.toggle("x3-dark", dark);
    const style = getComputedStyle(root),
      stops = Object.entries(palette[dark ? "dark" : "light"]);
    const theme = {
      dark,
      font: style.fontFamily,
      ramps: Object.fromEntries(stops.map(([name, colours]) => [name, ramp(colours)])),
    };
    for (const name of NAMES) theme[name] = style.getPropertyValue("--x3-" + name).trim();
    changed(theme);
  };
  const watch = new MutationObserver(look);
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  media.addEventListener("change", look);
  return {
    look,
    close: () => {
      watch.disconnect();
      media.removeEventListener("change", look);
    },
  };
}
