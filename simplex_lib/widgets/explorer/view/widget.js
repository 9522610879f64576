// anywidget: what is chosen travels as traits; numbers come as messages, each packet once, or are kept
// in the notebook and need no kernel.

import { mount } from "./mount.js";

const CHOICES = ["query", "head", "mode", "recipe", "pair"];

export default {
  render({ model, el }) {
    const waiting = new Map(),
      kept = model.get("kept");
    let asked = 0;
    const cut = (b, from = 0, to = b.byteLength) =>
      b instanceof ArrayBuffer ? b.slice(from, to) : b.buffer.slice(b.byteOffset + from, b.byteOffset + to);
    const arrive = (message, buffers) => {
      waiting.get(message.id)?.({ header: message.header, buffer: cut(buffers[0]) });
      waiting.delete(message.id);
    };
    model.on("msg:custom", arrive);
    const source = {
      start: model.get("start"),
      options: Object.fromEntries(CHOICES.map((name) => [name, model.get(name)])),
      fetch: (wish) =>
        new Promise((resolve) => {
          const found = kept?.[`${wish.want}:${wish.head}:${wish.recipe}`];
          if (found)
            return resolve({ header: found.header, buffer: cut(model.get("kept_bytes"), ...found.place) });
          const id = `${Date.now()}:${asked++}`; // several views of one model may ask
          waiting.set(id, resolve);
          model.send({ ...wish, id });
        }),
      tell: (choices) => {
        for (const name of CHOICES)
          if (JSON.stringify(model.get(name)) !== JSON.stringify(choices[name]))
            model.set(name, choices[name]);
        model.save_changes();
      },
    };
    const view = mount(el, source);
    const follow = () => {
      const now = Object.fromEntries(CHOICES.map((name) => [name, model.get(name)])),
        { pair, ...rest } = now;
      if (JSON.stringify(view.state.held) !== JSON.stringify(pair ?? null)) view.hold(pair ?? null, false);
      const next = Object.fromEntries(
        Object.entries(rest).filter(([name, value]) => view.state[name] !== value),
      );
      if (Object.keys(next).length) view.change(next, false);
    };
    for (const name of CHOICES) model.on("change:" + name, follow);
    return () => {
      model.off("msg:custom", arrive);
      for (const name of CHOICES) model.off("change:" + name, follow);
      view.close();
    };
  },
};
