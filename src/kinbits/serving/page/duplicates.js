// The review of duplicates: groups page by page, and decisions that the service saves one by one.
import * as api from "./api.js";
import { at, element, number, plural, sizeText, tell } from "./elements.js";
import { lazyImage } from "./pictures.js";
import { Board } from "./review_board.js";

const SECRET = "secret" in document.documentElement.dataset; // images need a token, which an address cannot hold
const LARGE = 1024; // pixels of an image that is opened
const EMPTY = { groups: [], kinds: {}, totals: { removed: 0, removed_bytes: 0, kept: 0, undecided: 0 } };
const decisions = new Map(); // by path
const past = []; // what was decided before, for undo
let found = EMPTY;
let mayDecide = false;
let saving = Promise.resolve(); // decisions are sent one after another, as each needs the version of the one before

const board = new Board(at("groups"), {
  get kinds() { return found.kinds; },
  get canDecide() { return mayDecide; },
  decisionOf: (file) => decisions.get(file.key) ?? null,
  picture,
  choose: (group, place, decision) => save(group, { decisions: { [group.files[place].file]: decision } }),
  keepBest: (group) => save(group, { best: true }),
  headOf: (kind) => ({ count: found.kinds[kind].groups, button: null }),
  beyond: async (step, last) => {
    const target = step > 0 ? found.next : found.previous;
    if (target === null) return;
    if (await turn(step)) board.enter(board.groups, step, last);
  },
  letters: { u: undo, "?": () => at("keys").showModal() },
});

function picture(file) {
  const frame = element("span", {});
  frame.append(lazyImage(file.thumbnail, "", () => frame.replaceChildren("no preview")));
  return frame;
}

// Return a group of the service as the board shows it.
const asShown = (group) => ({ ...group, number: group.group, rest: group.size - group.files.length, files: group.files.map((file) =>
  ({ ...file, key: file.path, href: SECRET ? null : `${file.thumbnail}&size=${LARGE}` })) });

function wishes() {
  const given = new URLSearchParams(location.search);
  return Object.fromEntries(["index", "kind", "undecided", "start", "before"].map((name) => [name, given.get(name)]));
}

// Go to other groups, by an address that can be kept.
function go(next) {
  const given = Object.entries({ ...wishes(), start: null, before: null, ...next }).filter(([, value]) => value);
  const text = new URLSearchParams(given).toString();
  history.pushState(null, "", text ? `?${text}` : "duplicates");
  return show();
}

const turn = (step) => go(step > 0 ? { start: found.next } : { before: found.previous });

// Show the groups that the address asks for; return whether the service sent them.
async function show() {
  await saving;
  try {
    await load();
  } catch (error) {
    fail(error);
    return false;
  }
  tell("trouble", "");
  return true;
}

async function load() {
  found = await api.duplicates(wishes());
  decisions.clear();
  found.groups.forEach(keepDecisions);
  showWishes();
  showToken();
  board.show(found.groups.map(asShown));
  tellCounts();
}

function keepDecisions(group) {
  for (const file of group.files) decisions.set(file.path, file.decision);
}

function showWishes() {
  const { kind, undecided } = wishes();
  at("kind").replaceChildren(element("option", { value: "" }, "all kinds"), ...Object.entries(found.kinds).map(
    ([value, { title, groups }]) => element("option", { value }, `${title} (${number(groups)})`)));
  at("kind").value = kind ?? "";
  at("open").checked = undecided !== null;
  at("index").value = found.index;
  const first = found.place + 1;
  const last = found.place + found.groups.length;
  at("page").textContent = last >= first ? `${number(first)} to ${number(last)} of ${number(found.count)}` : "";
  for (const id of ["back", "back2"]) at(id).hidden = found.previous === null;
  for (const id of ["next", "next2"]) at(id).hidden = found.next === null;
}

function showToken() {
  at("tools").hidden = false;
  at("undo").hidden = !mayDecide;
  at("read-only").hidden = found.writable;
  at("no-images").hidden = found.images;
  at("token").hidden = mayDecide || !found.writable;
  at("token-why").textContent = "Decisions need the token to write.";
}

function tellCounts() {
  const { removed, removed_bytes: bytes, kept, undecided } = found.totals;
  at("counts").textContent =
    `${number(removed)} to remove, ${sizeText(bytes)} · ${number(kept)} to keep · ${plural(undecided, "group")} undecided`;
  at("undo").disabled = !past.length;
}

// Tell what went wrong; ask for a token if that is what is missing.
function fail(error) {
  const needsToken = error.status === 401;
  if (needsToken) {
    mayDecide = false;
    at("token").hidden = false;
    at("token-why").textContent = found === EMPTY ? "This service needs a token." : "Decisions need the token to write.";
  }
  tell("trouble", needsToken && !api.token.get() ? "" : error.message);
}

// Save a decision after all earlier ones.
function save(group, choice, { undoes = false } = {}) {
  saving = saving.then(() => send(group, choice, undoes)).catch(fail);
  return saving;
}

async function send(group, choice, undoes) {
  tell("saved", "");
  const before = Object.fromEntries(group.files.map((file) => [file.file, decisions.get(file.path) ?? null]));
  let answer;
  try {
    answer = await api.decide(found.index, group.number, { version: group.version, ...choice });
  } catch (error) {
    if (error.kind === "nothing-left") ask(group, choice);
    else if (error.kind === "changed") await reload(group, error.message);
    else throw error;
    return;
  }
  tell("trouble", "");
  if (group.rest && choice.best) tell("saved", "Saved. This cannot be undone here, as not all files are shown.");
  else if (!undoes) past.push({ group, decisions: before });
  take(answer.group);
  found.totals = answer.totals;
  const known = new Set([...past.map((one) => one.group), ...board.groups].map((one) => one.number));
  for (const other of answer.others.filter((one) => known.has(one))) {
    take(await api.duplicateGroup(found.index, other));
  }
  board.refresh();
  tellCounts();
}

// Take over the decisions on a group as the service has them now.
function take(now) {
  keepDecisions(now);
  for (const { group } of past) if (group.number === now.group) group.version = now.version;
  const shown = board.groups.find((one) => one.number === now.group);
  if (shown) shown.version = now.version;
}

async function reload(group, message) {
  if (found.report !== (await api.duplicates({ ...wishes(), limit: 1 })).report) {
    past.length = 0;
    await load();
  } else take(await api.duplicateGroup(found.index, group.number));
  board.refresh();
  tell("trouble", `Not saved: ${message}.`);
}

function ask(group, choice) {
  at("ask-text").textContent =
    `No file of group ${group.number + 1} or of another group would be left, and no copy of it is kept elsewhere.`;
  at("ask-yes").onclick = () => { at("ask").close(); save(group, { ...choice, remove_all: true }); };
  at("ask").showModal();
  at("ask-no").focus();
}

function undo() {
  const last = past.pop();
  if (last) save(last.group, { decisions: last.decisions, remove_all: true }, { undoes: true });
}

// Look by a decision on nothing whether a token may write.
async function tryToken() {
  const [first] = found.groups;
  if (first) await api.decide(found.index, first.group, { version: first.version, decisions: {} });
}

async function giveToken() {
  api.token.use(at("token-text").value.trim());
  at("token-text").value = "";
  if (!await show()) return;
  try {
    if (found.writable) await tryToken();
  } catch (error) {
    fail(error);
    return;
  }
  mayDecide = found.writable;
  showToken();
  board.show(board.groups, board.groups.length ? [0, 0] : null);
}

function start() {
  at("show").hidden = true;
  at("wishes").addEventListener("submit", (event) => event.preventDefault());
  at("kind").addEventListener("change", () => go({ kind: at("kind").value }));
  at("open").addEventListener("change", () => go({ undecided: at("open").checked ? "true" : null }));
  at("index").addEventListener("change", () => go({ index: at("index").value, kind: null }));
  for (const [id, step] of [["back", -1], ["back2", -1], ["next", 1], ["next2", 1]]) {
    at(id).addEventListener("click", async (event) => {
      event.preventDefault();
      if (await turn(step)) at("groups").focus();
      at("groups").scrollIntoView();
    });
  }
  at("token").addEventListener("submit", (event) => {
    event.preventDefault();
    giveToken();
  });
  const clicks = { undo, help: () => at("keys").showModal(), "keys-close": () => at("keys").close(),
    "ask-no": () => at("ask").close() };
  for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", act);
  at("keys-on").addEventListener("change", () => (board.usesLetters = at("keys-on").checked));
  addEventListener("popstate", show);
  show();
}

start();
