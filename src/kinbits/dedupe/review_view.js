// The page of a review: groups in screens, cards with buttons and keys. All text is set as text, never as markup.
const SCREEN = 100; // files on a screen; a larger group has a screen of its own
const at = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
const view = { screens: [], screen: 0, shown: [], cards: new Map(), current: null, keys: true };
const thumbnails = new Map(); // parts that were read last

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function sizeText(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  while (count >= 1000 && units.length > 1) { count /= 1000; units.shift(); }
  return `${units[0] === "B" ? count : Number(count.toPrecision(3))} ${units[0]}`;
}

function dateText(seconds) {
  const date = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

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
  view.screens = [[]];
  let count = 0;
  for (const group of wanted) {
    const size = groups[group].files.length;
    if (count && count + size > SCREEN) { view.screens.push([]); count = 0; }
    view.screens.at(-1).push(group);
    count += size;
  }
}

function show(screen, focus = null) {
  view.screen = Math.max(0, Math.min(screen, view.screens.length - 1));
  view.shown = view.screens[view.screen];
  view.cards.clear();
  view.current = null;
  const parts = [];
  let kind = null;
  for (const group of view.shown) {
    if (groups[group].kind !== kind) parts.push(kindHead((kind = groups[group].kind)));
    parts.push(groupSection(group));
  }
  if (!parts.length) parts.push(element("p", { className: "note" }, "No groups here."));
  at("groups").replaceChildren(...parts);
  at("page").textContent = `screen ${view.screen + 1} of ${view.screens.length}`;
  for (const id of ["back", "back2"]) at(id).disabled = view.screen === 0;
  for (const id of ["next", "next2"]) at(id).disabled = view.screen === view.screens.length - 1;
  refresh();
  if (view.shown.length) setCurrent(...(focus ?? [view.shown[0], 0]), focus !== null);
}

function kindHead(kind) {
  const count = groups.filter((group) => group.kind === kind).length;
  const about = data.kinds[kind];
  const label = `${about.title}: keep the best in all ${plural(count, "group")}`;
  const button = element("button", { type: "button", "aria-label": label, hidden: count < 2 },
    `Keep the best in all ${plural(count, "group")}`);
  button.addEventListener("click", () => {
    const pairs = bestOfKind(kind);
    change(pairs, pairs.length ? "" : "Every group of this kind has a decision by hand already.");
  });
  return element("div", {},
    element("div", { className: "kind" }, element("h2", {}, `${about.title}: ${plural(count, "group")}`), button),
    element("p", { className: "soft about" }, about.text));
}

function groupSection(group) {
  const title = element("h3", { id: `g${group}` }, `Group ${number(group + 1)}: ${plural(groups[group].files.length, "file")}`);
  const state = element("p", { className: "soft", id: `s${group}` });
  const best = element("button", { type: "button" }, "Keep the best");
  best.setAttribute("aria-label", `Keep the best of group ${group + 1}, remove the others`);
  best.addEventListener("click", () => change(bestOfGroup(group)));
  const list = element("ul", { className: "cards" });
  groups[group].files.forEach((file, place) => list.append(element("li", {}, card(group, file, place))));
  return element("section", { className: "group", "aria-labelledby": `g${group}` },
    element("div", { className: "head" }, title, state, best), list);
}

function card(group, file, place) {
  const { shown, href, bytes, width, height, modified, note } = files[file];
  const slash = shown.lastIndexOf("/") + 1;
  const source = thumbnail(file);
  const picture = source ? element("img", { src: source, alt: "" }) : element("span", {}, "no preview");
  const yes = element("button", { type: "button", className: "yes", tabIndex: -1 }, "Keep");
  const no = element("button", { type: "button", className: "no", tabIndex: -1, disabled: Boolean(note) }, "Remove");
  const state = element("span", { className: "mark right state" });
  yes.disabled = Boolean(note);
  yes.addEventListener("click", () => choose(file, "K"));
  no.addEventListener("click", () => choose(file, "R"));
  const link = element("a", { href, target: "_blank", rel: "noopener", tabIndex: -1, title: "open the original" },
    shown.slice(slash));
  const facts = [width ? `${number(width)} × ${number(height)}` : null, sizeText(bytes)].filter(Boolean).join(" · ");
  const made = element("div", { className: "card", tabIndex: -1, role: "group" },
    element("div", { className: "thumb" }, picture,
      place ? null : element("span", { className: "mark" }, "best"), state),
    element("p", { className: "name" }, link),
    element("p", { className: "folder" }, shown.slice(0, slash)),
    element("p", { className: "facts" }, facts),
    element("p", { className: "facts" }, modified ? dateText(modified) : ""),
    element("p", { className: "facts" }, apart(group, place)),
    note ? element("p", { className: "fault" }, `Cannot be removed: ${note}.`) : null,
    element("div", { className: "pair" }, yes, no));
  made.addEventListener("focusin", () => setCurrent(group, place, false));
  const entry = { made, yes, no, state, link, group, place, label: `${shown}, ${place ? apart(group, place) : "best"}, ${facts}` };
  view.cards.set(file, [...(view.cards.get(file) ?? []), entry]);
  return made;
}

function apart(group, place) {
  const { distances, similarities } = groups[group];
  const parts = [];
  if (place && distances[place] !== null) parts.push(`${plural(distances[place], "bit")} away`);
  if (place && similarities[place] !== null) parts.push(`similarity ${similarities[place].toFixed(3)}`);
  return parts.join(" · ");
}

const choose = (file, choice) => change([[file, choices.get(file) === choice ? null : choice]]);

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
  refresh();
}

function ask(empty, then) {
  at("ask-text").textContent = empty.length === 1
    ? `No file of group ${empty[0] + 1} would be left, and no copy of it is kept in another group.`
    : `No file would be left of ${plural(empty.length, "group")}, the first of them group ${empty[0] + 1}.`;
  at("ask-yes").onclick = () => { at("ask").close(); then(); };
  at("ask").showModal();
  at("ask-no").focus();
}

function refresh() {
  for (const [file, entries] of view.cards) entries.forEach((entry) => refreshCard(file, entry));
  for (const group of view.shown) refreshGroup(group);
  const { removed, kept, bytes, open } = totals();
  at("counts").textContent =
    `${number(removed)} to remove, ${sizeText(bytes)} · ${number(kept)} to keep · ${plural(open, "group")} undecided`;
  at("undo").disabled = !past.length;
}

function refreshCard(file, { made, yes, no, state, label }) {
  const decision = decisionOf(file);
  made.className = `card ${decision ?? ""}`;
  made.setAttribute("aria-label", `${label}, ${decision ? `to ${decision}` : "no decision"}`);
  state.textContent = { keep: "✓ keep", remove: "✗ remove" }[decision] ?? "";
  state.hidden = !decision;
  yes.setAttribute("aria-pressed", String(decision === "keep"));
  no.setAttribute("aria-pressed", String(decision === "remove"));
}

function refreshGroup(group) {
  const gone = groups[group].files.filter((file) => decisionOf(file) === "remove");
  const bytes = gone.reduce((sum, file) => sum + files[file].bytes, 0);
  at(`s${group}`).textContent = gone.length ? `${number(gone.length)} to remove, ${sizeText(bytes)}` : "";
}

function setCurrent(group, place, focus = true) {
  const reach = (entry, index) => [entry.made, entry.yes, entry.no, entry.link].forEach((one) => (one.tabIndex = index));
  if (view.current) reach(view.current, -1);
  view.current = view.cards.get(groups[group].files[place]).find((one) => one.group === group);
  reach(view.current, 0);
  if (focus) view.current.made.focus();
}

// Go to another group or file; over the end of a screen to the next one.
function go(groupStep, fileStep) {
  if (!view.current) return;
  let { group, place } = view.current;
  place += fileStep;
  if (groupStep || place < 0 || place >= groups[group].files.length) {
    const step = groupStep || fileStep;
    const next = view.shown.indexOf(group) + step;
    const screen = view.screen + (next < 0 ? -1 : next >= view.shown.length ? 1 : 0);
    const target = view.screens[screen];
    if (!target) return;
    group = screen === view.screen ? target[next] : target.at(step > 0 ? 0 : -1);
    place = fileStep < 0 ? groups[group].files.length - 1 : 0;
    if (screen !== view.screen) { show(screen, [group, place]); return; }
  }
  setCurrent(group, place);
}

function undo() {
  const changed = undoLast();
  keep();
  const group = changed.length === 1 ? groupsOf[changed[0]].find((one) => view.shown.includes(one)) : undefined;
  if (group !== undefined) setCurrent(group, groups[group].files.indexOf(changed[0]));
}

function save() {
  const url = URL.createObjectURL(new Blob([decisionText()], { type: "application/json" }));
  const name = data.parts > 1 ? `decisions-${data.part}.json` : "decisions.json";
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  tell("saved", `Saved ${name} where your browser saves files. ${data.then}`.trim());
}

function tell(id, text) {
  at(id).textContent = text;
  at(id).hidden = !text;
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

const currentFile = () => groups[view.current.group].files[view.current.place];
const turn = (file) => change([[file, { keep: "R", remove: null }[decisionOf(file)] ?? (decisionOf(file) ? null : "K")]]);
const always = { ArrowRight: () => go(0, 1), ArrowLeft: () => go(0, -1), ArrowDown: () => go(1, 0), ArrowUp: () => go(-1, 0) };
const letters = {
  j: () => go(1, 0), k: () => go(-1, 0), K: () => change([[currentFile(), "K"]]),
  r: () => change([[currentFile(), "R"]]), b: () => change(bestOfGroup(view.current.group)), u: undo,
  o: () => view.current.link.click(), s: save, "?": () => at("keys").showModal(),
};

function press(event) {
  const busy = event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]");
  if (busy || event.target.closest("select, textarea, input[type=text]")) return;
  const onCard = view.current && event.target === view.current.made;
  let act = always[event.key];
  if (event.key === " " && onCard) act = () => turn(currentFile());
  if (view.keys && event.key.length === 1) act ??= letters[event.key] ?? letters[event.key.toLowerCase()];
  const anywhere = ["u", "U", "s", "S", "?"].includes(event.key);
  if (!act || (!view.current && !anywhere)) return;
  event.preventDefault();
  const away = !anywhere && !at("groups").contains(document.activeElement);
  if (away) view.current.made.focus();
  if (!away || !(event.key in always || "jk".includes(event.key))) act(); // the first step only shows where one is
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
  const turnTo = (step) => { show(view.screen + step); at("groups").focus(); at("groups").scrollIntoView(); };
  for (const id of ["back", "back2"]) at(id).addEventListener("click", () => turnTo(-1));
  for (const id of ["next", "next2"]) at(id).addEventListener("click", () => turnTo(1));
  const clicks = { undo, save, text: showText, help: letters["?"], "texts-copy": copyText,
    "texts-close": () => at("texts").close(), "keys-close": () => at("keys").close(), "ask-no": () => at("ask").close() };
  for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", act);
  at("keys-on").addEventListener("change", () => (view.keys = at("keys-on").checked));
  document.addEventListener("keydown", press);
  again();
}

start();
