// The groups on the screen: cards with buttons and keys. A page that shows them says where decisions come from and go to.
import { at, dateText, element, number, plural, sizeText } from "./elements.js";

// A group is { number, kind, why, files, rest }, where rest counts files that are not shown, and a file of it is { key, shown, href, bytes, width, height, modified, note,
// distance, similarity }; the best one comes first. The key is the same in all groups that the file is in. The page has
// kinds: title and text of each kind of group
// canDecide: whether files can be kept and removed
// decisionOf(file): "keep", "remove" or null
// picture(file): an element
// choose(group, place, decision): make a decision; null takes it back
// keepBest(group): keep the best file, remove the others
// headOf(kind): text and button of a heading; the button may be null
// beyond(step): go to the next or previous screen; return whether there is one
// letters: further keys, which work anywhere on the page
export class Board {
  constructor(place, page) {
    this.place = place;
    this.page = page;
    this.groups = [];
    this.cards = new Map(); // by the key of a file, as it may be in several groups
    this.current = null;
    this.usesLetters = true;
    this.always = { ArrowRight: () => this.go(0, 1), ArrowLeft: () => this.go(0, -1),
      ArrowDown: () => this.go(1, 0), ArrowUp: () => this.go(-1, 0) };
    this.onCard = { j: () => this.go(1, 0), k: () => this.go(-1, 0), K: () => this.set("keep"),
      r: () => this.set("remove"), b: () => this.decide(() => page.keepBest(this.current.group)),
      o: () => this.current.link?.click() };
    document.addEventListener("keydown", (event) => this.press(event));
  }

  // Show groups, and go to one of their files: [group, place] on the screen.
  show(groups, focus = null) {
    this.groups = groups;
    this.cards.clear();
    this.current = null;
    const parts = [];
    let kind = null;
    groups.forEach((group) => {
      if (group.kind !== kind) parts.push(this.kindHead((kind = group.kind)));
      parts.push(this.section(group));
    });
    if (!parts.length) parts.push(element("p", { className: "note" }, "No groups here."));
    this.place.replaceChildren(...parts);
    this.refresh();
    if (groups.length) this.setCurrent(...(focus ?? [0, 0]), focus !== null);
  }

  kindHead(kind) {
    const { title, text } = this.page.kinds[kind];
    const { count, button } = this.page.headOf(kind);
    return element("div", {},
      element("div", { className: "kind" }, element("h2", {}, `${title}: ${plural(count, "group")}`), button),
      element("p", { className: "soft about" }, text));
  }

  section(group) {
    const title = `Group ${number(group.number + 1)}: ${plural(group.files.length, "file")}`;
    const best = element("button", { type: "button", hidden: !this.page.canDecide,
      "aria-label": `Keep the best of group ${group.number + 1}, remove the others` }, "Keep the best");
    best.addEventListener("click", () => this.page.keepBest(group));
    const list = element("ul", { className: "cards" });
    group.files.forEach((file, place) => list.append(element("li", {}, this.card(group, file, place))));
    return element("section", { className: "group", "aria-labelledby": `g${group.number}` },
      element("div", { className: "head" }, element("h3", { id: `g${group.number}` }, title),
        element("p", { className: "soft", id: `s${group.number}` }), best), list,
      group.rest ? element("p", { className: "soft" }, `${plural(group.rest, "file")} more: not shown, but “Keep the best” ` +
        "decides on them too.") : null);
  }

  card(group, file, place) {
    const { shown, href, bytes, width, height, modified, note } = file;
    const slash = shown.lastIndexOf("/") + 1;
    const [yes, no] = [["yes", "Keep", "keep"], ["no", "Remove", "remove"]].map(([className, text, decision]) => {
      const button = element("button", { type: "button", className, tabIndex: -1, disabled: Boolean(note) }, text);
      button.addEventListener("click", () => this.choose(group, place, decision));
      return button;
    });
    const state = element("span", { className: "mark right state" });
    const name = shown.slice(slash);
    const link = href && element("a", { href, target: "_blank", rel: "noopener", tabIndex: -1,
      title: "open the original" }, name);
    const facts = [width ? `${number(width)} × ${number(height)}` : null, sizeText(bytes)].filter(Boolean).join(" · ");
    const best = `best: ${group.why}`;
    const made = element("div", { className: "card", tabIndex: -1, role: "group" },
      element("div", { className: "thumb" }, this.page.picture(file),
        place ? null : element("span", { className: "mark" }, best), state),
      element("p", { className: "name" }, link || name),
      element("p", { className: "folder" }, shown.slice(0, slash)),
      element("p", { className: "facts" }, facts),
      element("p", { className: "facts" }, modified ? dateText(modified) : ""),
      element("p", { className: "facts" }, place ? apart(file) : ""),
      note ? element("p", { className: "fault" }, `Cannot be removed: ${note}.`) : null,
      this.page.canDecide ? element("div", { className: "pair" }, yes, no) : null);
    const label = `${shown}, ${place ? apart(file) : best}, ${facts}`;
    const entry = { made, yes, no, state, link, group, file, place, label };
    made.addEventListener("focusin", () => this.setCurrent(this.groups.indexOf(group), place, false));
    this.cards.set(file.key, [...(this.cards.get(file.key) ?? []), entry]);
    return made;
  }

  refresh() {
    for (const entry of [...this.cards.values()].flat()) this.refreshCard(entry);
    for (const { number: name, files } of this.groups) {
      const gone = files.filter((file) => this.page.decisionOf(file) === "remove");
      const bytes = gone.reduce((sum, file) => sum + file.bytes, 0);
      at(`s${name}`).textContent = gone.length ? `${number(gone.length)} to remove, ${sizeText(bytes)}` : "";
    }
  }

  refreshCard({ made, yes, no, state, file, label }) {
    const decision = this.page.decisionOf(file);
    made.className = `card ${decision ?? ""}`;
    made.setAttribute("aria-label", `${label}, ${decision ? `to ${decision}` : "no decision"}`);
    state.textContent = { keep: "✓ keep", remove: "✗ remove" }[decision] ?? "";
    state.hidden = !decision;
    yes.setAttribute("aria-pressed", String(decision === "keep"));
    no.setAttribute("aria-pressed", String(decision === "remove"));
  }

  // Go to a file of a group, which is given by its place on the screen.
  setCurrent(index, place, focus = true) {
    const reach = ({ made, yes, no, link }, tab) => [made, yes, no, link].forEach((one) => { if (one) one.tabIndex = tab; });
    if (this.current) reach(this.current, -1);
    const group = this.groups[index];
    this.current = this.cards.get(group.files[place].key).find((one) => one.group === group);
    reach(this.current, 0);
    if (focus) this.current.made.focus();
  }

  // Go to another group or file; over the end of a screen to the next one.
  go(groupStep, fileStep) {
    const { group } = this.current;
    let index = this.groups.indexOf(group);
    let place = this.current.place + fileStep;
    if (groupStep || place < 0 || place >= group.files.length) {
      index += groupStep || fileStep;
      if (!this.groups[index]) {
        this.page.beyond(groupStep || fileStep, fileStep < 0);
        return;
      }
      place = fileStep < 0 ? this.groups[index].files.length - 1 : 0;
    }
    this.setCurrent(index, place);
  }

  // Go to the first or last group of the screen, as one comes from the screen before or after it.
  enter(groups, step, last) {
    const index = step > 0 ? 0 : groups.length - 1;
    this.show(groups, groups.length ? [index, last ? groups[index].files.length - 1 : 0] : null);
  }

  decide(act) {
    if (this.page.canDecide) act();
  }

  // The button of a decision that is made takes it back.
  choose(group, place, decision) {
    const same = this.page.decisionOf(group.files[place]) === decision;
    this.page.choose(group, place, same ? null : decision);
  }

  set(decision) {
    const { group, place, file } = this.current;
    if (!file.note) this.decide(() => this.page.choose(group, place, decision));
  }

  // Keep, remove, and no decision in turn.
  turn() {
    const turns = [null, "keep", "remove"];
    this.set(turns[(turns.indexOf(this.page.decisionOf(this.current.file)) + 1) % turns.length]);
  }

  press(event) {
    const busy = event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]");
    if (busy || event.target.closest("select, textarea, input:not([type=checkbox])")) return;
    const { letters } = this.page;
    const named = (keys) => keys[event.key] ?? keys[event.key.toLowerCase()];
    let act = this.always[event.key];
    if (event.key === " " && this.current && event.target === this.current.made) act = () => this.turn();
    const typed = this.usesLetters && event.key.length === 1;
    const anywhere = typed && named(letters);
    if (typed) act ??= anywhere || named(this.onCard);
    if (!act || (!this.current && !anywhere)) return;
    event.preventDefault();
    const away = !anywhere && !this.place.contains(document.activeElement);
    if (away) this.current.made.focus();
    if (!away || !(event.key in this.always || "jk".includes(event.key))) act(); // the first step only shows where one is
  }
}

function apart({ distance, similarity }) {
  const parts = [];
  if (distance !== null) parts.push(`${plural(distance, "bit")} away`);
  if (similarity !== null) parts.push(`similarity ${similarity.toFixed(3)}`);
  return parts.join(" · ");
}
