// The hits: cards in a grid, and strips of bits. All text is set as text, never as markup.
import { thumbnailOf } from "./api.js";
import { element, plural } from "./elements.js";
import { lazyImage } from "./pictures.js";

export function picture(index, id) {
  const frame = element("div", { className: "picture" });
  const lost = () => frame.replaceChildren(element("span", {}, "no image"));
  frame.append(lazyImage(thumbnailOf(index, id), id, lost));
  return frame;
}

// Return true for each bit of a hexadecimal code that is set; with another code, for each bit that differs.
export function bitsOf(code, bits, other = null) {
  const digit = (text, place) => parseInt(text[place] ?? "0", 16);
  return Array.from({ length: bits }, (_, bit) => {
    const place = bit >> 2;
    const value = digit(code, place) ^ (other === null ? 0 : digit(other, place));
    return Boolean((value >> (3 - (bit & 3))) & 1);
  });
}

const strips = new Map(); // those on the page, to draw them again in other colours
const CELL = 8;

export function strip(marks, label) {
  const columns = marks.length > 512 ? 64 : 32;
  const canvas = element("canvas", { className: "strip", role: "img", "aria-label": label,
    width: columns * CELL, height: Math.ceil(marks.length / columns) * CELL });
  strips.set(canvas, { marks, columns });
  return canvas;
}

export function drawStrips() {
  const style = getComputedStyle(document.documentElement);
  const [on, off] = ["--bit", "--line"].map((name) => style.getPropertyValue(name));
  for (const [canvas, { marks, columns }] of strips) {
    if (!canvas.isConnected) {
      strips.delete(canvas);
      continue;
    }
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    marks.forEach((mark, bit) => {
      pen.fillStyle = mark ? on : off;
      pen.fillRect((bit % columns) * CELL + 1, Math.floor(bit / columns) * CELL + 1, CELL - 2, CELL - 2);
    });
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawStrips);

export const away = (distance, measure) => (measure ? distance.toFixed(3) : plural(distance, "bit"));

function facts(columns) {
  const known = Object.entries(columns).filter(([, value]) => value !== null);
  if (!known.length) return null;
  return element("dl", {}, ...known.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
}

function classes(concepts) {
  const parts = Object.entries(concepts ?? {}).map(([name, share]) => element("li", {},
    element("span", {}, name), element("meter", { min: 0, max: 1, value: share, "aria-label": name }),
    element("span", {}, `${Math.round(100 * share)}%`)));
  if (!parts.length) return null;
  return element("ul", { className: "classes", "aria-label": "Why: classes of this image" }, ...parts);
}

// Return the card of a hit; `why` has the index, the code of the query if it is known, and the address of a hit.
export function card(hit, { index, measure, code, addressOf }, place) {
  const id = String(hit.id);
  const distance = away(hit.distance, measure);
  const link = element("a", { className: "more", href: addressOf(id), tabIndex: place ? -1 : 0,
    "aria-label": `More like this: ${id}, ${distance}${measure ? "" : " away"}` }, "More like this");
  link.dataset.id = id;
  const marks = code && hit.code ? bitsOf(hit.code, index.bits, code) : null;
  const label = marks && `${plural(marks.filter(Boolean).length, "bit")} of ${index.bits} differ`;
  return element("li", { className: "hit" },
    index.images ? picture(index.name, id) : null,
    element("div", { className: "facts" },
      element("p", { className: "name" }, id),
      element("p", { className: "distance", title: measure ?? "" }, distance),
      marks ? strip(marks, label) : null,
      classes(hit.concepts),
      facts(hit.columns),
      link));
}

// Move from one hit to another by an arrow key; return whether there was one to go to.
export function move(list, key) {
  const links = [...list.querySelectorAll(".more")];
  if (!links.length) return false;
  const now = links.indexOf(document.activeElement);
  const tops = links.map((link) => link.closest("li").offsetTop);
  const row = tops.findIndex((top) => top !== tops[0]);
  const wide = row < 0 ? links.length : row;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide };
  const to = { Home: 0, End: links.length - 1 }[key] ?? (now < 0 ? 0 : now + steps[key]);
  if (!links[to]) return now >= 0;
  focus(links, links[to]);
  return true;
}

export function focus(links, link) {
  for (const one of links) one.tabIndex = one === link ? 0 : -1;
  link.focus({ preventScroll: true });
  link.closest("li").scrollIntoView({ block: "nearest" });
}
