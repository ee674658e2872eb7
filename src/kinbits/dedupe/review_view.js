// The review in one file: groups in screens, and decisions that are kept in the browser until they are saved as a file.
import { at, element, number, plural, sizeText, tell } from "./elements.js";
import { Board } from "./review_board.js";
import { bestOfGroup, bestOfKind, choices, commit, data, decided, decisionOf, decisionText, files, groups, groupsOf, past,
  plan, restore, store, totals, undoLast } from "./review_choices.js";

const SCREEN = 100; // files on a screen; a larger group has a screen of its own
const LETTERS = { keep: "K", remove: "R" }; // choices by hand
const thumbnails = new Map(); // parts that were read last
let screens = [];
let screen = 0;

const board = new Board(at("groups"), {
  kinds: data.kinds,
  canDecide: true,
  decisionOf: (file) => decisionOf(file.key),
  picture: (file) => {
    const source = thumbnail(file.key);
    return source ? element("img", { src: source, alt: "" }) : element("span", {}, "no preview");
  },
  choose: (group, place, decision) => change([[group.files[place].key, LETTERS[decision] ?? null]]),
  keepBest: (group) => change(bestOfGroup(group.number)),
  headOf,
  beyond: (step, last) => {
    if (!screens[screen + step]) return;
    turnTo(screen + step);
    board.enter(shown(), step, last);
  },
  letters: { u: undo, s: save, "?": () => at("keys").showModal() },
});

function thumbnail(file) {
  const part = Math.floor(file / data.thumbs_each);
  if (!thumbnails.has(part)) {
    if (thumbnails.size > 8) thumbnails.delete(thumbnails.keys().next().value);
    thumbnails.set(part, JSON.parse(at(`thumbs-${part}`).textContent));
  }
  return thumbnails.get(part)[file % data.thumbs_each];
}

// Lay the groups that are asked for out in screens.
function layOut() {
  const wanted = groups.map((_, group) => group).filter((group) =>
    (!at("kind").value || groups[group].kind === at("kind").value) && (!at("open").checked || !decided(groups[group])));
  screens = [[]];
  let count = 0;
  for (const group of wanted) {
    const size = groups[group].files.length;
    if (count && count + size > SCREEN) { screens.push([]); count = 0; }
    screens.at(-1).push(group);
    count += size;
  }
}

// Return the groups of the screen as the board shows them.
function shown() {
  return screens[screen].map((name) => {
    const { kind, why, files: members, distances, similarities } = groups[name];
    return { number: name, kind, why, files: members.map((file, place) =>
      ({ ...files[file], key: file, distance: distances[place], similarity: similarities[place] })) };
  });
}

function turnTo(next) {
  screen = next;
  at("page").textContent = `screen ${screen + 1} of ${screens.length}`;
  for (const id of ["back", "back2"]) at(id).disabled = screen === 0;
  for (const id of ["next", "next2"]) at(id).disabled = screen === screens.length - 1;
}

function show(next) {
  turnTo(next);
  board.show(shown());
  tellCounts();
}

function headOf(kind) {
  const count = groups.filter((group) => group.kind === kind).length;
  const label = `${data.kinds[kind].title}: keep the best in all ${plural(count, "group")}`;
  const button = element("button", { type: "button", "aria-label": label, hidden: count < 2 },
    `Keep the best in all ${plural(count, "group")}`);
  button.addEventListener("click", () => {
    const pairs = bestOfKind(kind);
    change(pairs, pairs.length ? "" : "Every group of this kind has a decision by hand already.");
  });
  return { count, button };
}

// Make changes; ask first if nothing would be left of a group.
function change(pairs, otherwise = "") {
  const { next, empty } = plan(pairs);
  tell("saved", otherwise);
  if (!next.size) return;
  if (!empty.length) finish(next);
  else ask(empty, () => finish(next));
}

function finish(next) {
  commit(next);
  keep();
}

function keep() {
  if (!store()) tell("trouble", "This browser does not keep your choices: save decisions before you close the page.");
  board.refresh();
  tellCounts();
}

function ask(empty, then) {
  at("ask-text").textContent = empty.length === 1
    ? `No file of group ${empty[0] + 1} would be left, and no copy of it is kept in another group.`
    : `No file would be left of ${plural(empty.length, "group")}, the first of them group ${empty[0] + 1}.`;
  at("ask-yes").onclick = () => { at("ask").close(); then(); };
  at("ask").showModal();
  at("ask-no").focus();
}

function tellCounts() {
  const { removed, kept, bytes, open } = totals();
  at("counts").textContent =
    `${number(removed)} to remove, ${sizeText(bytes)} · ${number(kept)} to keep · ${plural(open, "group")} undecided`;
  at("undo").disabled = !past.length;
}

function undo() {
  const changed = undoLast();
  keep();
  if (changed.length !== 1) return;
  const index = screens[screen].findIndex((group) => groupsOf[changed[0]].includes(group));
  if (index >= 0) board.setCurrent(index, groups[screens[screen][index]].files.indexOf(changed[0]));
}

function save() {
  const url = URL.createObjectURL(new Blob([decisionText()], { type: "application/json" }));
  const name = data.parts > 1 ? `decisions-${data.part}.json` : "decisions.json";
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  tell("saved", `Saved ${name} where your browser saves files. ${data.then}`.trim());
}

function showText() {
  at("texts-area").value = decisionText();
  at("texts-state").textContent = "";
  at("texts").showModal();
  at("texts-area").select();
}

async function copyText() {
  at("texts-area").select();
  try {
    await navigator.clipboard.writeText(at("texts-area").value);
  } catch {
    document.execCommand("copy");
  }
  at("texts-state").textContent = "Copied.";
}

function start() {
  restore();
  at("kind").append(element("option", { value: "" }, "all kinds"));
  for (const kind of Object.keys(data.kinds)) {
    const count = groups.filter((group) => group.kind === kind).length;
    if (count) at("kind").append(element("option", { value: kind }, `${data.kinds[kind].title} (${number(count)})`));
  }
  const again = () => { layOut(); show(0); };
  at("kind").addEventListener("change", again);
  at("open").addEventListener("change", again);
  const step = (by) => { show(screen + by); at("groups").focus(); at("groups").scrollIntoView(); };
  for (const id of ["back", "back2"]) at(id).addEventListener("click", () => step(-1));
  for (const id of ["next", "next2"]) at(id).addEventListener("click", () => step(1));
  const clicks = { undo, save, text: showText, help: () => at("keys").showModal(), "texts-copy": copyText,
    "texts-close": () => at("texts").close(), "keys-close": () => at("keys").close(), "ask-no": () => at("ask").close() };
  for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", act);
  at("keys-on").addEventListener("change", () => (board.usesLetters = at("keys-on").checked));
  again();
}

start();
