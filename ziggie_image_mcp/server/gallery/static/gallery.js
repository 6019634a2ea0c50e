// The page: which view is shown by the address, keys, and signing in.

import { get, onSignIn, post } from "./api.js";
import { find, say } from "./dom.js";
import * as jobs from "./jobs.js";
import * as models from "./models.js";
import * as money from "./money.js";
import * as picture from "./picture.js";
import * as pictures from "./pictures.js";

const VIEWS = ["pictures", "jobs", "money", "models"];
const ARROWS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
let view = "", scroll = 0, left = "";

function reveal(name) {
  for (const id of [...VIEWS, "sign-in"]) find(id).hidden = id !== name;
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name === "sign-in") jobs.stop();
  else if (view !== name && name !== "jobs") jobs.hide();
  view = name;
}

async function route() {
  const [, name = "pictures", rest = ""] = /^#\/(\w+)\/?(.*)$/.exec(location.hash.split("?")[0]) ?? [];
  const asked = new URLSearchParams(location.hash.split("?")[1] ?? "");
  say("");
  find("question").close();
  try {
    if (name === "picture" && rest) {
      if (!find("picture").open) [scroll, left] = [window.scrollY, document.activeElement?.dataset?.id ?? ""];
      if (!view) {
        reveal("pictures");
        await pictures.show(new URLSearchParams());
      }
      await picture.show(decoded(rest));
      return;
    }
    const wasOpen = find("picture").open;
    picture.close();
    const target = VIEWS.includes(name) ? name : "pictures";
    reveal(target);
    if (target === "pictures") await pictures.show(asked, wasOpen);
    else await { jobs, money, models }[target].show();
    if (wasOpen && target === "pictures") {
      window.scrollTo(0, scroll);
      if (left) find("grid").querySelector(`a[data-id="${CSS.escape(left)}"]`)?.focus({ preventScroll: true });
    }
  } catch (error) {
    picture.close();
    if (error.code !== "SIGN_IN") say(error.message, true);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error("There is no picture at this address.");
  }
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input, select, textarea");
  if (find("picture").open && !find("question").open) {
    if (event.key === "ArrowLeft" || event.key === "ArrowUp") return stepped(event, picture.step(-1));
    if (event.key === "ArrowRight" || event.key === "ArrowDown") return stepped(event, picture.step(1));
  }
  if (typing || document.querySelector("dialog[open]")) return;
  if (event.key === "?") return stepped(event, find("keys").showModal());
  if (event.key === "/") {
    if (view !== "pictures") location.hash = pictures.address();
    reveal("pictures");
    return stepped(event, find("query").focus());
  }
  if (["1", "2", "3", "4"].includes(event.key)) location.hash = "#/" + VIEWS[Number(event.key) - 1];
  if (view === "pictures" && ARROWS.includes(event.key) && pictures.step(event.key)) event.preventDefault();
}

const stepped = (event) => event.preventDefault();

async function signIn(secret) {
  await post("session", secret);
  find("token").value = "";
  await Promise.all([route(), whoIsIt()]);
}

async function whoIsIt() {
  const { name } = await get("session").catch(() => ({ name: "" }));
  find("sign-out").hidden = !name;
  find("sign-out").textContent = `Sign out ${name}`;
}

function open() {
  onSignIn(() => {
    picture.close();
    reveal("sign-in");
    find("token").focus();
  });
  find("sign-in-form").addEventListener("submit", (event) => {
    event.preventDefault();
    signIn({ token: find("token").value }).catch((error) => say(error.message, true));
  });
  find("sign-out").addEventListener("click", async () => {
    await post("sign-out");
    location.reload();
  });
  find("keys-button").addEventListener("click", () => find("keys").showModal());
  find("picture").addEventListener("cancel", (event) => {
    event.preventDefault();
    picture.leave();
  });
  document.addEventListener("keydown", keys);
  window.addEventListener("hashchange", route);
  for (const link of document.querySelectorAll("nav a[data-view]")) {
    link.addEventListener("click", () => { if (location.hash === link.hash) route(); });
  }
  picture.open();
  pictures.open();
  money.open();
  const code = /^#code=(.+)$/.exec(location.hash);
  if (code) {
    history.replaceState({ first: true }, "", location.pathname);
    signIn({ code: code[1] }).catch(route);
  } else {
    if (!history.state) history.replaceState({ first: true }, "");
    route();
    whoIsIt();
  }
}

open();
