// The search page. What is asked is in the address, so that back, forward and reload work; an image is kept in memory.
import * as api from "./api.js";
import { Fields } from "./filters.js";
import { at, element, number, plural, tell } from "./elements.js";
import { bitsOf, card, drawStrips, focus, move, picture, strip } from "./grid.js";

const START_K = Number(document.documentElement.dataset.k);
const MOST = Number(document.documentElement.dataset.maxK);
const WAYS = ["id", "code", "text"];
const WAIT = 250; // milliseconds without a change before a search

const images = new Map(); // by a number, which the history keeps
const codes = new WeakMap(); // of images
const fields = new Fields(at("fields"), () => {
  at("where").value = fields.where;
  later("where");
});
let indexes = [];
let state = {};
let asking = null; // stops the search that runs
let changing = null; // the wish that was changed last: its changes are one step of the history
let timer = 0;

const current = () => indexes.find((one) => one.name === state.index) ?? indexes[0];
const byClasses = (index) => (state.way ?? at("by").value) === "text" && index.concepts;
const inBits = (index) => index.kind === "bits" && !byClasses(index);

// The distances that a radius is chosen from: bits, or 0 to 1 for words and classes; null where there is no radius.
const CLASSES = { most: 1, step: 0.01, start: 0.5, label: "Radius from 0 to 1", text: (value) => value.toFixed(2) };
const BITS = { step: 1, label: "Radius in bits", text: (value) => plural(value, "bit") };
function scaleOf(index) {
  if (byClasses(index)) return CLASSES;
  const half = Math.floor(index.bits / 2);
  return inBits(index) ? { ...BITS, most: half, start: Math.floor(index.bits / 8) } : null;
}

function readAddress() {
  const given = new URLSearchParams(location.search);
  const number = history.state?.image;
  const lost = number !== undefined && !images.has(number);
  let way = WAYS.find((name) => given.get(name)) ?? null;
  let value = way && given.get(way);
  if (!way && given.get("q") && WAYS.includes(given.get("by"))) [way, value] = [given.get("by"), given.get("q")];
  if (number !== undefined && !lost) [way, value] = ["image", number];
  const whole = (name) => (/^\d+$/.test(given.get(name) ?? "") ? Number(given.get(name)) : null);
  const radius = /^\d+(\.\d+)?$/.test(given.get("radius") ?? "") ? Number(given.get("radius")) : null;
  state = { index: given.get("index"), way, value, where: given.get("where") ?? "", k: whole("k") ?? START_K, radius };
  return lost;
}

function addressOf({ index, way, value, where, k, radius }) {
  const given = new URLSearchParams();
  if (indexes.length > 1) given.set("index", index ?? indexes[0].name);
  if (WAYS.includes(way)) given.set(way, value);
  if (where) given.set("where", where);
  if (k !== START_K) given.set("k", k);
  if (radius !== null) given.set("radius", radius);
  return given.size ? `?${given}` : "./";
}

const likeThis = (id) => ({ ...state, way: "id", value: id, radius: inBits(current()) ? state.radius : null });

// Ask for something else. Changes of one wish after another, such as those of a slider, are one step of the history.
function go(next, wish = null) {
  clearTimeout(timer);
  const before = JSON.stringify(state);
  const label = scaleOf(current())?.label;
  state = { ...state, ...next };
  if (scaleOf(current())?.label !== label) state.radius = null; // it was one of other distances
  const same = JSON.stringify(state) === before || (wish !== null && wish === changing);
  const how = same ? "replaceState" : "pushState";
  changing = wish;
  history[how](state.way === "image" ? { image: state.value } : null, "", addressOf(state));
  return show();
}

function show() {
  const index = current();
  const text = WAYS.includes(state.way) ? state.value : "";
  const words = (index.queries ?? []).includes("text");
  at("index").value = index.name;
  at("by").querySelector("[value=text]").hidden = at("by").querySelector("[value=text]").disabled = !words;
  if (WAYS.includes(state.way)) at("by").value = state.way;
  if (!words && at("by").value !== "code") at("by").value = "id";
  if (changing === null) at("q").value = text; // a change of another field leaves what is being typed here
  at("k").value = state.k;
  at("drop").hidden = !(index.queries ?? []).includes("image");
  at("about").textContent = `${plural(index.items, "item")} · ${number(index.bits)} bits`;
  document.title = state.way ? `${state.way === "image" ? "an image" : text} – kinbits search` : "kinbits search";
  showRadius(index);
  showFilter(index);
  return run();
}

function showRadius(index) {
  const on = state.radius !== null;
  const scale = scaleOf(index);
  at("radius-part").hidden = scale === null;
  at("radius-on").checked = on && scale !== null;
  at("radius").disabled = !on;
  if (scale === null) return;
  at("radius").max = scale.most;
  at("radius").step = scale.step;
  at("radius").value = on ? state.radius : scale.start;
  at("radius-label").textContent = scale.label;
  at("radius-text").textContent = scale.text(Number(at("radius").value));
}

let columnsShown = "";
function showFilter(index) {
  const columns = JSON.stringify(index.columns);
  if (columns !== columnsShown) fields.show(index.columns);
  columnsShown = columns;
  if (fields.where !== state.where || !state.where) fields.where = state.where; // else a field may have the cursor
  at("where").value = state.where;
  at("by-hand").hidden = fields.able !== false;
  if (state.where) at("filter").open = true;
}

// Return the hits of what is asked, and the code of the query if there is one to show.
async function find(signal) {
  const index = current();
  const { way, value } = state;
  const radius = scaleOf(index) ? state.radius : null;
  const wishes = { index: index.name, k: radius === null ? state.k : null, radius, where: state.where || null,
    codes: index.kind === "bits" };
  if (way === "id") {
    const item = await api.item(index.name, value, signal);
    return { ...await api.search({ code: item.code }, wishes, signal), code: item.code };
  }
  if (way === "code") return { ...await api.search({ code: value }, wishes, signal), code: value };
  const asked = way === "image" ? images.get(value) : { text: value };
  const search = way === "image" ? api.searchImage(asked, wishes, signal) : api.search(asked, wishes, signal);
  const [found, code] = await Promise.all([search, inBits(index) ? codeOf(asked, index, signal) : null]);
  return { ...found, code };
}

// The strip of bits is an extra: without it, hits are shown all the same.
async function codeOf(asked, index, signal) {
  const known = codes.get(asked);
  if (known?.fingerprint === index.fingerprint) return known.code;
  const code = await api.codeOf(asked, index.name, signal).catch(() => null);
  codes.set(asked, { code, fingerprint: index.fingerprint });
  return code;
}

async function run() {
  asking?.abort();
  const mine = asking = new AbortController();
  tell("trouble", "");
  if (!state.way) return draw(null);
  at("results").setAttribute("aria-busy", "true");
  try {
    const found = await find(mine.signal);
    if (!mine.signal.aborted) draw(found);
  } catch (error) {
    if (!mine.signal.aborted) fail(error);
  }
}

function draw(found) {
  const index = current();
  const inGrid = at("hits").contains(document.activeElement);
  const shown = found ? found.hits.slice(0, state.k) : [];
  const code = found && !found.measure ? found.code : null;
  const why = { index, measure: found?.measure, code, addressOf: (id) => addressOf(likeThis(id)) };
  at("results").removeAttribute("aria-busy");
  at("hits").replaceChildren(...shown.map((hit, place) => card(hit, why, place)));
  at("count").textContent = found ? countText(found.hits.length, shown.length, index) : "";
  at("legend").textContent = found?.measure ? `Distance: ${found.measure}.` : "Coloured squares are bits that differ.";
  at("legend").hidden = !shown.length || (!found.measure && !code);
  showAsked(index, code);
  drawStrips();
  const links = [...at("hits").querySelectorAll(".more")];
  if (inGrid && links.length) focus(links, links[0]);
}

function countText(count, shown, index) {
  if (!count) return "No hits";
  const scale = scaleOf(index);
  if (state.radius === null || scale === null) return plural(count, "hit");
  const said = count >= MOST ? `${number(count)} or more hits` : plural(count, "hit");
  return `${said} within ${scale.text(state.radius)}${shown < count ? `, the nearest ${number(shown)} shown` : ""}`;
}

// Show what was asked for: its picture, and its code.
function showAsked(index, code) {
  const parts = [];
  if (state.way === "image") {
    const url = URL.createObjectURL(images.get(state.value));
    const img = element("img", { src: url, alt: "Your image" });
    for (const end of ["load", "error"]) img.addEventListener(end, () => URL.revokeObjectURL(url), { once: true });
    parts.push(element("div", { className: "picture" }, img));
  } else if (state.way === "id" && index.images) parts.push(picture(index.name, state.value));
  const name = state.way === "image" ? images.get(state.value).name || "Pasted image" : state.value;
  const label = { image: "Your image", id: "Like this item", code: "Near this code", text: "Your words" }[state.way];
  parts.push(element("div", { className: "facts" }, element("p", { className: "soft" }, label ?? ""),
    element("p", { className: "name" }, String(name)),
    code ? strip(bitsOf(code, index.bits), `Code of the query, ${index.bits} bits`) : null));
  at("asked").hidden = !state.way;
  at("asked").replaceChildren(...parts);
}

// Tell what went wrong; ask for a token if that is all that is missing.
function fail(error) {
  const needsToken = error.status === 401;
  at("results").removeAttribute("aria-busy");
  for (const id of ["hits", "count", "asked"]) at(id).replaceChildren();
  at("asked").hidden = at("legend").hidden = true;
  at("token").hidden = !needsToken;
  at("search").hidden = needsToken;
  tell("trouble", needsToken && !api.token.get() ? "" : error.message);
  if (needsToken) at("token-text").focus();
}

// Search when a wish has not changed for a moment.
function later(wish) {
  clearTimeout(timer);
  timer = setTimeout(() => go(wishes(), wish), WAIT);
}

function wishes() {
  const k = Math.min(Math.max(Math.round(Number(at("k").value)) || START_K, 1), MOST);
  return { k, where: at("where").value.trim(), radius: at("radius-on").checked ? Number(at("radius").value) : null };
}

function searchFor(file) {
  const number = images.size;
  images.set(number, file);
  go({ ...wishes(), way: "image", value: number });
}

function clear() {
  at("filter").open = false;
  go({ way: null, value: null, where: "", radius: null, k: START_K });
  at("q").focus();
}

function onForm() {
  at("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const value = at("q").value.trim();
    if (value) go({ ...wishes(), way: at("by").value, value });
    else if (state.way === "image") go(wishes());
  });
  at("index").addEventListener("change", () => go({ index: at("index").value, where: "" }));
  at("k").addEventListener("input", () => later("k"));
  at("where").addEventListener("change", () => go(wishes(), "where"));
  at("radius-on").addEventListener("change", () => go(wishes(), "radius"));
  at("radius").addEventListener("input", () => {
    at("radius-text").textContent = scaleOf(current()).text(Number(at("radius").value));
    later("radius");
  });
  at("file").addEventListener("change", () => {
    if (at("file").files[0]) searchFor(at("file").files[0]);
    at("file").value = ""; // so that the same file can be chosen again
  });
  at("token").addEventListener("submit", (event) => {
    event.preventDefault();
    api.token.set(at("token-text").value.trim());
    at("token-text").value = "";
    start();
  });
}

function onImages() {
  const isOver = (over) => document.body.classList.toggle("over", over && !at("drop").hidden);
  const take = (event, data) => {
    const file = [...(data?.files ?? [])].find((one) => one.type.startsWith("image/")) ?? data?.files[0];
    if (!file || at("drop").hidden) return;
    event.preventDefault();
    searchFor(file);
  };
  document.addEventListener("dragover", (event) => {
    event.preventDefault(); // or the browser would show the file instead of the page
    isOver(true);
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) isOver(false); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    isOver(false);
    take(event, event.dataTransfer);
  });
  document.addEventListener("paste", (event) => take(event, event.clipboardData));
}

function onKeys() {
  at("keys").hidden = false;
  document.addEventListener("keydown", (event) => {
    if (!at("keys-on").checked || event.ctrlKey || event.metaKey || event.altKey || at("search").hidden) return;
    const typing = event.target.matches("input:not([type=checkbox], [type=range], [type=file]), select");
    const ends = ["Home", "End"].includes(event.key) && at("hits").contains(event.target);
    const moves = ends || event.key.startsWith("Arrow");
    if (event.key === "Escape") clear();
    else if (event.key === "/" && !typing) at("q").select();
    else if (!moves || event.target.matches("input, select") || !move(at("hits"), event.key)) return;
    event.preventDefault();
  });
  at("hits").addEventListener("click", (event) => {
    const link = event.target.closest(".more");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return; // those open it elsewhere
    event.preventDefault();
    go({ ...wishes(), way: "id", value: link.dataset.id });
    at("results").scrollIntoView({ block: "nearest" });
  });
}

// Read what is served, and show what the address asks for.
async function start() {
  try {
    indexes = await api.indexes();
  } catch (error) {
    fail(error);
    return;
  }
  at("token").hidden = true;
  at("search").hidden = false;
  at("index").replaceChildren(...indexes.map((one) => element("option", { value: one.name }, one.name)));
  at("duplicates").hidden = !indexes.some((one) => one.duplicates);
  at("index").disabled = at("index-label").hidden = indexes.length < 2;
  returned();
  if (indexes.some((one) => one.queries === null)) setTimeout(refresh, 2000);
}

// A service that loads models tells later what can be asked.
async function refresh() {
  indexes = await api.indexes().catch(() => indexes);
  if (indexes.some((one) => one.queries === null)) setTimeout(refresh, 2000);
  else if (!state.way) show();
  else at("drop").hidden = !current().queries.includes("image");
}

function returned() {
  const lost = readAddress();
  changing = null;
  show();
  if (lost) tell("trouble", "The image is no longer here. Choose it again.");
}

onForm();
onImages();
onKeys();
addEventListener("popstate", returned);
start();
