// The choices of a review: what is kept and removed, undone, stored, and written. Knows nothing of the page.
export const data = JSON.parse(document.getElementById("data").textContent);
export const { files, groups } = data;
export const groupsOf = files.map(() => []);
groups.forEach((group, number) => group.files.forEach((file) => groupsOf[file].push(number)));
const classOf = data.classes; // files of one class show the same picture
const classes = new Map();
classOf.forEach((one, file) => classes.set(one, [...(classes.get(one) ?? []), file]));

// file -> "K" or "R" by hand, "k" or "r" by a button for many groups, which respects what was chosen by hand
export const choices = new Map();
export const past = [];

const usable = (file) => !files[file].note;
export const decisionOf = (file, look = (one) => choices.get(one)) =>
  ({ k: "keep", r: "remove" })[look(file)?.toLowerCase()] ?? null;

// Whether all usable files of a group are removed, and none that shows the same picture is kept in another group.
function emptied(group, look) {
  const members = groups[group].files.filter(usable);
  if (!members.length || members.some((file) => decisionOf(file, look) !== "remove")) return false;
  return members.some((file) => !classes.get(classOf[file]).some((other) => decisionOf(other, look) === "keep"));
}

// Return the changes that [file, choice] pairs make, and the groups of which nothing would be left.
export function plan(pairs) {
  const next = new Map(pairs.filter(([file, choice]) => usable(file) && (choices.get(file) ?? null) !== choice));
  const look = (file) => (next.has(file) ? next.get(file) : choices.get(file));
  const touched = new Set([...next.keys()].flatMap((file) => groupsOf[file]));
  const empty = [...touched].filter((group) => emptied(group, look) && !emptied(group));
  return { next, empty };
}

export function commit(next) {
  past.push([...next.keys()].map((file) => [file, choices.get(file) ?? null]));
  next.forEach((choice, file) => put(file, choice));
}

export function undoLast() {
  const changes = past.pop() ?? [];
  changes.forEach(([file, choice]) => put(file, choice));
  return changes.map(([file]) => file);
}

function put(file, choice) {
  if (choice) choices.set(file, choice);
  else choices.delete(file);
}

// Keep the first usable file of a group.
export function bestOfGroup(group) {
  const [best, ...others] = groups[group].files.filter(usable);
  return best === undefined ? [] : [[best, "K"], ...others.map((file) => [file, "R"])];
}

// The same for all groups of a kind in which nothing was chosen by hand. A group loses all its files
// if a group of another kind has removed one of them and keeps a better copy.
export function bestOfKind(kind) {
  const next = new Map();
  const look = (file) => next.get(file) ?? choices.get(file);
  for (const group of groups) {
    const members = group.files.filter(usable);
    if (group.kind !== kind || members.length < 2 || members.some((file) => "KR".includes(choices.get(file) ?? " "))) {
      continue;
    }
    const covered = members.some(
      (file) =>
        decisionOf(file, look) === "remove" &&
        classes.get(classOf[file]).some((one) => !members.includes(one) && decisionOf(one, look) === "keep"),
    );
    members.forEach((file, place) => {
      if (!covered) next.set(file, place ? "r" : "k");
      else if (!look(file)) next.set(file, "r");
    });
  }
  return [...next];
}

export function totals() {
  let removed = 0, kept = 0, bytes = 0;
  for (const file of choices.keys()) {
    if (decisionOf(file) === "keep") kept += 1;
    else { removed += 1; bytes += files[file].bytes; }
  }
  return { removed, kept, bytes, open: groups.filter((group) => !decided(group)).length };
}

export const decided = (group) => group.files.some((file) => choices.has(file));

// The text of the decision file; JSON.stringify escapes what is no Unicode in a name.
export function decisionText() {
  const chosen = groups.filter(decided);
  const listed = [...new Set(chosen.flatMap((group) => group.files))];
  const value = {
    format: data.format,
    version: data.version,
    root: data.root,
    report: data.report,
    files: listed.map((file) => {
      const { path, bytes, modified, sha256 } = files[file];
      return { path, decision: decisionOf(file), bytes, modified, sha256 };
    }),
    groups: chosen.map((group) => ({
      kind: group.kind,
      paths: group.files.map((file) => files[file].path),
      remove_all: group.files.filter(usable).every((file) => decisionOf(file) === "remove"),
    })),
  };
  return JSON.stringify(value, null, 1) + "\n";
}

const KEY = `kinbits-review:${data.report}:${data.part}`;

// Store the choices in the browser; return whether it allows that.
export function store() {
  try {
    localStorage.setItem(KEY, JSON.stringify([...choices]));
    return true;
  } catch {
    return false;
  }
}

export function restore() {
  try {
    for (const [file, choice] of JSON.parse(localStorage.getItem(KEY) ?? "[]")) {
      if (files[file] && usable(file) && ["K", "R", "k", "r"].includes(choice)) choices.set(file, choice);
    }
  } catch {
    choices.clear();
  }
}
