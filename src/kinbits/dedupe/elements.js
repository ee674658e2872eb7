// What all pages share: elements, numbers, sizes and dates. All text is set as text, never as markup.
export const at = (id) => document.getElementById(id);
export const number = (value) => value.toLocaleString("en");
export const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function tell(id, text) {
  at(id).textContent = text;
  at(id).hidden = !text;
}

export function sizeText(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  while (count >= 1000 && units.length > 1) { count /= 1000; units.shift(); }
  return `${units[0] === "B" ? count : Number(count.toPrecision(3))} ${units[0]}`;
}

export function dateText(seconds) {
  const date = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}
