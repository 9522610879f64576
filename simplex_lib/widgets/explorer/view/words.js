// Numbers, tokens and elements.

const SVG = "http://www.w3.org/2000/svg";
const minus = (text) => text.replaceAll("-", "−");

export const number = (x) => {
  if (x !== x || x === null || x === undefined) return "–";
  const size = Math.abs(x);
  if (size === 0) return "0";
  return minus(size >= 0.0005 ? x.toFixed(3) : x.toExponential(0));
};
export const plain = (x) =>
  x !== x || x === null || x === undefined ? "–" : minus((Math.round(x * 100) / 100 || 0).toFixed(2));
export const percent = (x) => (x > 0 && x < 0.005 ? "< 1 %" : `${Math.round(100 * x)} %`);
export const shown = (token) => ({ "": "∅", " ": "␣", "\n": "↵", "\t": "⇥" })[token] ?? (token.trim() || "␣");
export const clip = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

export const make = (tag, attributes = {}, ...children) => {
  const node = tag.startsWith("svg:")
    ? document.createElementNS(SVG, tag.slice(4))
    : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes))
    if (value !== null && value !== undefined) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
export const put = (node, attributes) => {
  for (const key in attributes) node.setAttribute(key, attributes[key]);
};
export const same = (a, b) => !!a && !!b && a[0] === b[0] && a[1] === b[1];

// A row of radio buttons that looks like one switch.
export function choice(id, legend, options, value, pick) {
  const inputs = new Map(),
    set = make("fieldset", { class: "x3-set" }, make("legend", {}, legend));
  for (const [key, text] of options) {
    const input = make("input", { type: "radio", name: id, value: key });
    input.checked = String(value) === String(key);
    input.addEventListener("change", () => pick(key));
    set.append(make("label", {}, input, make("span", {}, text)));
    inputs.set(String(key), input);
  }
  return {
    node: set,
    set: (key) => {
      const input = inputs.get(String(key));
      if (input) input.checked = true;
    },
  };
}
