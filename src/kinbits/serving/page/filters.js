// Fields for the columns of an index, and the filter text that they stand for (docs/filters.md).
import { element } from "./elements.js";

const quoted = (text, mark) => mark + text.replaceAll(mark, mark + mark) + mark;
const PART = /"((?:[^"]|"")+)" (contains|=|>=|<=) (?:'((?:[^']|'')*)'|([\w.+-]+))(?: and |$)/y;
const RANGES = { from: ">=", to: "<=" };

// Return the text of a filter: [column, operator, value, whether the value is text] for each part.
export function write(parts) {
  return parts.map(([column, operator, value, text]) =>
    `${quoted(column, '"')} ${operator} ${text ? quoted(value, "'") : value}`).join(" and ");
}

// Return the parts of a text that `write` made; null for any other text.
export function parse(text) {
  const parts = [];
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const found = PART.exec(text);
    if (!found) return null;
    const [, column, operator, words, bare] = found;
    const value = words === undefined ? bare : words.replaceAll("''", "'");
    parts.push([column.replaceAll('""', '"'), operator, value, words !== undefined]);
  }
  return parts;
}

export class Fields {
  constructor(place, changed) {
    this.place = place;
    this.changed = changed;
    this.columns = [];
  }

  // Make the fields of the columns of an index.
  show(columns) {
    this.columns = Object.entries(columns).filter(([, kind]) => kind !== "empty").map(([name, kind]) => {
      const make = { integer: range, number: range, boolean: choice }[kind] ?? words;
      return make(name, this.changed, kind === "mixed");
    });
    this.place.replaceChildren(...this.columns.map((column) => column.part));
  }

  get where() {
    return write(this.columns.flatMap((column) => column.parts()));
  }

  // Fill the fields from a text; return whether they can say the same.
  set where(text) {
    const parts = parse(text) ?? [];
    for (const column of this.columns) column.fill(parts.filter(([name]) => name === column.name));
    const able = this.where === text;
    if (!able) for (const column of this.columns) column.fill([]);
    for (const input of this.place.querySelectorAll("input, select")) input.disabled = !able;
    this.able = able;
  }
}

function group(name, changed, ...inputs) {
  for (const input of inputs) input.addEventListener("input", changed);
  return element("fieldset", {}, element("legend", {}, name), ...inputs);
}

function range(name, changed) {
  const inputs = Object.keys(RANGES).map((end) =>
    element("input", { type: "number", step: "any", placeholder: end, "aria-label": `${name}, ${end}` }));
  return {
    name,
    part: group(name, changed, ...inputs),
    parts: () => Object.values(RANGES).map((operator, place) => [name, operator, inputs[place].value, false])
      .filter(([, , value]) => value !== ""),
    fill: (parts) => Object.values(RANGES).forEach((operator, place) => {
      inputs[place].value = parts.find((part) => part[1] === operator)?.[2] ?? "";
    }),
  };
}

function choice(name, changed) {
  const options = [["", "any"], ["true", "true"], ["false", "false"]];
  const input = element("select", { "aria-label": name },
    ...options.map(([value, text]) => element("option", { value }, text)));
  return {
    name,
    part: group(name, changed, input),
    parts: () => (input.value ? [[name, "=", input.value, false]] : []),
    fill: ([part]) => { input.value = part?.[2] ?? ""; },
  };
}

// In a column of several types, a number without quotes is also found as a number.
function words(name, changed, mixed) {
  const how = element("select", { "aria-label": `${name}, how` },
    element("option", { value: "=" }, "equals"), element("option", { value: "contains" }, "contains"));
  const input = element("input", { type: "text", "aria-label": `${name}, value`, autocomplete: "off" });
  const bare = () => mixed && how.value === "=" && /^(-?\d+(\.\d+)?|true|false)$/.test(input.value);
  return {
    name,
    part: group(name, changed, how, input),
    parts: () => (input.value ? [[name, how.value, input.value, !bare()]] : []),
    fill: ([part]) => {
      input.value = part?.[2] ?? "";
      if (part) how.value = part[1];
    },
  };
}
