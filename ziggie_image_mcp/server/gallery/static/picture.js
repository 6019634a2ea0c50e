// One picture large, with all that is known of it, and "again".

import { get, part, post } from "./api.js";
import { dollars, element, find, moment, say } from "./dom.js";
import { address, ids, outdate, place } from "./pictures.js";

const FOLD = 240;
const FIXED = ["model", "size", "seed", "steps", "guidance_scale"];
let current = "", question = null;

export async function show(id) {
  current = id;
  const data = await get(`pictures/${part(id)}`).catch((error) => {
    if (error.status === 404) outdate();
    throw error;
  });
  if (current !== id) return;
  const dialog = find("picture");
  dialog.replaceChildren(detail(data));
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("h2").focus();
}

export function close() {
  current = "";
  find("question").close();
  if (find("picture").open) find("picture").close();
}

// A picture that was the first place of this tab has none before it: its way back is the list.
export function leave() {
  if (history.state?.first) location.replace(address());
  else history.back();
}

export function step(by) {
  const next = ids()[ids().indexOf(current) + by];
  if (next) {
    history.replaceState(history.state, "", `#/picture/${part(next)}`);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else say(by > 0 ? "This is the last picture of the page." : "This is the first picture of the page.");
}

function detail(data) {
  const recipe = { ...data.recipe };
  const size = recipe.width && recipe.height ? `${recipe.width} x ${recipe.height}` : "";
  delete recipe.width;
  delete recipe.height;
  const rows = { model: data.model, size, ...recipe };
  const facts = [
    ["made", moment(data.made)],
    ...FIXED.map((name) => [name.replace("_", " "), rows[name] ?? ""]),
    ["why", data.job?.why ?? ""],
    ["seconds", data.job?.seconds ?? ""],
    ["cost", data.job ? dollars(data.job.cost_usd) : ""],
    ["negative prompt", data.negative_prompt],
    ...Object.entries(rows).filter(([name]) => !FIXED.includes(name)),
    ["notes", data.job?.notes.join(" ") ?? ""],
    ["file", data.name],
    ["id", data.id],
  ];
  const at = ids().indexOf(data.id);
  return element("div", { class: "detail" },
    element("div", { class: "large" }, element("img", { src: file(data), alt: data.prompt || "picture without a prompt" })),
    element("aside", {},
      element("h2", { id: "picture-title", tabindex: "-1" }, at < 0 ? "Picture" : `Picture ${(place().page - 1) * place().a_page + at + 1} of ${place().total}`),
      element("div", { class: "row" },
        element("button", { type: "button", click: () => step(-1), disabled: at < 1 }, "Previous"),
        element("button", { type: "button", click: () => step(1), disabled: at < 0 || at + 1 >= ids().length }, "Next"),
        element("button", { type: "button", id: "picture-close", click: leave }, "Back")),
      ...prompt(data.prompt),
      element("div", { class: "row" },
        element("button", { type: "button", class: "main", id: "again", click: (event) => again(event, data, false) }, "Again, another seed"),
        element("button", { type: "button", id: "again-same", click: (event) => again(event, data, true) }, "Same seed")),
      element("div", { class: "row" },
        copy("Copy prompt", data.prompt), data.path ? copy("Copy path", data.path) : null,
        element("a", { href: file(data), target: "_blank", rel: "noopener" }, "Open file")),
      element("table", { class: "facts" }, element("caption", { class: "soft" }, "How it was made"),
        element("tbody", {}, facts.filter(([, value]) => value !== "" && value !== null).map(([name, value]) =>
          element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, typeof value === "object" ? JSON.stringify(value) : String(value)))))),
      data.job_unknown ? element("p", { class: "soft" }, `Why, seconds and cost are not known: ${data.job_unknown}`) : null));
}

const file = (data) => `gallery/pictures/${part(data.id)}/file`;

function prompt(text) {
  const words = element("p", { class: "prompt" }, text || "No prompt is kept of this picture.");
  if (text.length <= FOLD) return [words];
  words.classList.add("folded");
  const unfold = element("button", { type: "button", "aria-expanded": "false", click: () => {
    const folded = words.classList.toggle("folded");
    unfold.textContent = folded ? "Show the whole prompt" : "Fold the prompt";
    unfold.setAttribute("aria-expanded", String(!folded));
  } }, "Show the whole prompt");
  return [words, unfold];
}

function copy(label, text) {
  return element("button", { type: "button", click: async (event) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser does not let this page copy";
    }
    setTimeout(() => { button.textContent = label; }, 1500);
  } }, label);
}

async function again(event, data, sameSeed) {
  const button = event.currentTarget;
  button.disabled = true;
  const path = `pictures/${part(data.id)}/`;
  const wish = { same_seed: sameSeed, request_id: newId() };
  try {
    let answer = await post(path + "again", wish);
    while (answer.question) {
      const asked = { ...wish, seed: answer.seed };
      const agreed = current === data.id && (await agrees(answer.question, path + "decline", asked));
      if (!agreed) {
        await post(path + "decline", asked);
        say("Nothing was spent.");
        return;
      }
      answer = await post(path + "again", { ...asked, agreed_micro_usd: answer.micro_usd });
    }
    outdate();
    if (current !== data.id) return say("It is being made: see Jobs.");
    const made = answer.job.pictures?.[0];
    if (made) say("This very picture was made before: it is shown.");
    location.hash = made ? `#/picture/${part(made)}` : "#/jobs";
  } catch (error) {
    say(error.message, true);
    button.after(element("p", { class: "bad", role: "alert" }, `${error.code}: ${error.message}`));
  } finally {
    button.disabled = false;
  }
}

function agrees(words, declining, asked) {
  const dialog = find("question");
  question = { declining, asked };
  return new Promise((resolve) => {
    dialog.replaceChildren(element("h2", { id: "question-title" }, "This costs money"), element("p", {}, words),
      element("form", { method: "dialog", class: "row" },
        element("button", { value: "no", autofocus: true }, "No, spend nothing"),
        element("button", { value: "yes", class: "main" }, "Yes, spend it")));
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      question = null;
      resolve(dialog.returnValue === "yes");
    }, { once: true });
    dialog.showModal();
  });
}

export function open() {
  // Who leaves the page says no: what the question set aside is not kept from others.
  window.addEventListener("pagehide", () => {
    if (question) post(question.declining, question.asked, { keepalive: true }).catch(() => {});
  });
}

// randomUUID is there on https and loopback only.
function newId() {
  return "gallery-" + [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
