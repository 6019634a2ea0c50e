// The pictures: search, pages, steps by keys. Going back finds them as they were left.

import { get, part, Refused } from "./api.js";
import { element, find, moment, say } from "./dom.js";

const FIELDS = ["query", "model", "first", "last"];
const NOTHING = { key: null, pictures: [], page: 1, pages: 1 };
let shown = NOTHING;
let asking = null, reading = 0, outdated = false;
const READ_ON = 300;

export const ids = () => shown.pictures.map((picture) => picture.id);
export const place = () => shown;

// What was shown is no longer all there is: the next look asks anew.
export function outdate() {
  outdated = true;
}

export function address(changes = {}) {
  const values = Object.fromEntries(FIELDS.map((field) => [field, find(field).value.trim()]));
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...values, page: shown.page, ...changes })) {
    if (value && !(name === "page" && Number(value) === 1)) asked.set(name, value);
  }
  return "#/pictures" + (asked.size ? "?" + asked : "");
}

export async function show(asked, keep = false) {
  const key = asked.toString();
  if (keep && key === shown.key && !outdated) return;
  // What somebody types meanwhile stays.
  if (key !== shown.key) for (const field of FIELDS) if (field !== "model") find(field).value = asked.get(field) ?? "";
  await look(asked, key);
}

async function look(asked, key) {
  clearTimeout(reading);
  asking?.abort();
  asking = new AbortController();
  let data;
  try {
    data = await get("pictures?" + asked, asking.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (error instanceof Refused && error.code !== "UNREACHABLE") {
      find("total").textContent = error.message;
      find("grid").replaceChildren();
      find("pages").hidden = true;
      shown = NOTHING;
    }
    throw error;
  }
  if (data.page > data.pages) {
    asked.set("page", data.pages);
    if (location.hash.startsWith("#/pictures")) history.replaceState(history.state, "", "#/pictures?" + asked);
    return look(asked, asked.toString());
  }
  shown = { ...data, key };
  outdated = false;
  chooseModels(data.models, asked.get("model") ?? "");
  draw(data);
  if (data.not_indexed_yet) reading = setTimeout(readOn, READ_ON, asked, key);
}

// The server reads some thousands at a time: go on until all are read.
async function readOn(asked, key) {
  try {
    await look(asked, key);
  } catch (error) {
    if (error.code !== "SIGN_IN") say(error.message, true);
  }
}

function chooseModels(models, chosen) {
  const known = models.some((row) => row.model === chosen) || !chosen;
  const rows = known ? models : [{ model: chosen, pictures: 0 }, ...models];
  find("model").replaceChildren(element("option", { value: "" }, "all"),
    ...rows.filter((row) => row.model !== "/").map((row) => element("option", { value: row.model, selected: row.model === chosen }, `${row.model} (${row.pictures})`)));
}

function draw(data) {
  const many = data.total === 1 ? "1 picture" : `${data.total.toLocaleString()} pictures`;
  const left = data.not_indexed_yet ? ` so far; ${data.not_indexed_yet.toLocaleString()} more are being read in` : "";
  const none = left ? "No picture" : "No picture here yet: nothing matches, or none was made";
  find("total").textContent = (data.total ? many : none) + left;
  drawTiles(data.pictures);
  find("pages").hidden = data.pages < 2;
  find("page").value = data.page;
  find("page").max = data.pages;
  find("of-pages").textContent = `of ${data.pages.toLocaleString()}`;
  find("newer").disabled = data.page <= 1;
  find("older").disabled = data.page >= data.pages;
}

// What stays is the same element: it keeps its picture and the focus.
function drawTiles(pictures) {
  const grid = find("grid");
  const before = new Map([...grid.children].map((item) => [item.firstChild.dataset.id, item]));
  const items = pictures.map((picture) => before.get(picture.id) ?? tile(picture));
  const wanted = new Set(items);
  for (const item of before.values()) if (!wanted.has(item)) item.remove();
  items.forEach((item, n) => {
    if (grid.children[n] !== item) grid.insertBefore(item, grid.children[n] ?? null);
  });
}

function tile(picture) {
  const words = picture.prompt || picture.model || picture.id;
  const image = element("img", {
    src: `gallery/pictures/${part(picture.id)}/thumbnail`, loading: "lazy", decoding: "async", alt: "", width: 160, height: 160,
    error: () => image.replaceWith(element("span", { class: "no-picture" }, "cannot be shown")),
  });
  return element("li", {}, element("a", { href: `#/picture/${part(picture.id)}`, "data-id": picture.id, "aria-label": `${words}, ${moment(picture.made)}`, title: words }, image, element("p", {}, words)));
}

export function step(key) {
  const tiles = [...find("grid").querySelectorAll("a")];
  if (!tiles.length) return false;
  const at = tiles.indexOf(document.activeElement);
  if (at < 0) {
    if (document.activeElement !== document.body && document.activeElement !== find("main")) return false;
    tiles[0].focus();
    return true;
  }
  const top = tiles[0].offsetTop, columns = Math.max(1, tiles.filter((one) => one.offsetTop === top).length);
  const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  tiles[Math.min(tiles.length - 1, Math.max(0, at + move))].focus();
  return true;
}

export function open() {
  const go = (changes) => { location.hash = address(changes); };
  find("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const target = address({ page: 1 });
    if (target === location.hash) show(new URLSearchParams(target.split("?")[1] ?? "")).catch((e) => say(e.message, true));
    else location.hash = target;
  });
  find("search-clear").addEventListener("click", () => {
    for (const field of FIELDS) find(field).value = "";
    go({ page: 1 });
  });
  find("model").addEventListener("change", () => go({ page: 1 }));
  find("newer").addEventListener("click", () => go({ page: shown.page - 1 }));
  find("older").addEventListener("click", () => go({ page: shown.page + 1 }));
  find("page").addEventListener("change", () => go({ page: Math.min(shown.pages, Math.max(1, Number(find("page").value) || 1)) }));
}
