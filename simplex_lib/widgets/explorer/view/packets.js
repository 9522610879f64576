// Where numbers come from: each packet is asked for once, then kept.

import { decode } from "./formulas.js";
import { decodeCube } from "./space.js";

// fetch({ want: "frames" | "cube", head, recipe, query }) -> Promise<{ header, buffer }>
export function packetsOf({ chunk }, fetch) {
  const kept = new Map();
  const once = (name, make) => {
    if (!kept.has(name)) kept.set(name, make());
    return kept.get(name);
  };
  return {
    // a Map of query -> frame, with the ranges of all queries beside it
    frames: (head, recipe, query) =>
      once(`frames:${head}:${recipe}:${chunk ? Math.floor(query / chunk) : 0}`, async () => {
        const { header, buffer } = await fetch({ want: "frames", head, recipe, query });
        return Object.assign(decode(header, buffer), { ranges: header.ranges });
      }),
    cube: (head, recipe) =>
      once(`cube:${head}:${recipe}`, async () => {
        const { header, buffer } = await fetch({ want: "cube", head, recipe, query: 0 });
        return decodeCube(header, buffer);
      }),
  };
}
