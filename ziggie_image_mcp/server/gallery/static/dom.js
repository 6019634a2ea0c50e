// Make elements. All text goes in as text: a prompt is never read as HTML.

export const find = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function drawing(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

export function table(head, rows, caption, numbers = []) {
  const kind = (n) => (numbers.includes(n) ? { class: "number" } : {});
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {},
      element("caption", { class: "soft" }, caption),
      element("thead", {}, element("tr", {}, head.map((text, n) => element("th", { scope: "col", ...kind(n) }, text)))),
      element("tbody", {}, rows.map((cells) => element("tr", {}, cells.map((cell, n) => element("td", kind(n), cell ?? "")))))));
}

export function say(text, bad = false) {
  const status = find("status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

export function dollars(amount) {
  if (amount === null || amount === undefined) return "no cap";
  if (amount === 0) return "$0";
  return "$" + amount.toFixed(amount < 0.1 ? 4 : 2);
}

export function moment(text) {
  return text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}
