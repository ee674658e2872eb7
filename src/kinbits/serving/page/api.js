// Requests to the service, with a token if it needs one. Addresses are relative, so a proxy may add a folder.
const KEY = "kinbits-token";
let kept = ""; // a token in memory only
export const token = {
  get: () => kept || (sessionStorage.getItem(KEY) ?? ""),
  set: (text) => sessionStorage.setItem(KEY, text),
  use: (text) => { kept = text; },
};

export class Problem extends Error {
  constructor(status, detail, kind = "") {
    super(detail);
    this.status = status;
    this.kind = kind;
  }
}

async function send(path, { headers = {}, ...rest } = {}) {
  const known = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...rest, headers: { ...headers, ...known } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer. Is it running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const detail = told.detail ?? `The service answered with status ${answer.status}.`;
  throw new Problem(answer.status, detail, (told.type ?? "").replace("urn:kinbits:", ""));
}

// Ids above 2^53 stay exact: they become text.
function exact(key, value, context) {
  const large = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return large && context?.source ? context.source : value;
}

const read = async (answer) => JSON.parse(await (await answer).text(), exact);

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return new URLSearchParams(given).toString();
}

function json(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return read(send(path, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

function image(path, file, values, signal) {
  const kind = file.type.startsWith("image/") ? file.type : "application/octet-stream";
  const how = { method: "POST", headers: { "Content-Type": kind }, body: file, signal };
  return read(send(`${path}?${query(values)}`, how));
}

const place = (id, index, more = {}) => `${encodeURIComponent(id)}?${query({ index, ...more })}`;
const withValues = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));

export const indexes = async () => (await read(send("v1/indexes"))).indexes;
export const item = (index, id, signal) => read(send(`v1/items/${place(id, index)}`, { signal }));
export const search = (asked, wishes, signal) => json("v1/search", { query: asked, ...withValues(wishes) }, signal);
export const searchImage = (file, wishes, signal) => image("v1/search", file, wishes, signal);

export async function codeOf(asked, index, signal) {
  const answer = asked instanceof Blob
    ? image("v1/encode", asked, { index }, signal)
    : json("v1/encode", { index, items: [asked] }, signal);
  return (await answer).codes[0];
}

export const thumbnailOf = (index, id) => `v1/thumbnails/${place(id, index, { size: 320 })}`;

export const duplicates = (wishes, signal) => read(send(`v1/duplicates?${query(wishes)}`, { signal }));
export const duplicateGroup = (index, group) => read(send(`v1/duplicates/${group}?${query({ index })}`));
export const decide = (index, group, body) => json(`v1/duplicates/${group}?${query({ index })}`, body);

// Show an image. An element cannot send a token, so with one the image is fetched here.
export async function showImage(img, address) {
  if (!token.get()) {
    img.src = address;
    return;
  }
  try {
    const url = URL.createObjectURL(await (await send(address)).blob());
    img.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    img.src = url;
  } catch {
    img.dispatchEvent(new Event("error"));
  }
}
