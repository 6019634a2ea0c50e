// Jobs: what runs and waits, live; what ended, with its pictures or why not and what to do.

import { get, part, post } from "./api.js";
import { dollars, element, find, moment, say } from "./dom.js";
import { outdate } from "./pictures.js";

const SOON = 1000, LATER = 5000;
let timer = 0, watched = false, going = "", count = 0;

export async function show() {
  watched = true;
  const data = await get("jobs").catch((error) => {
    if (error.code !== "SIGN_IN") again(LATER);
    throw error;
  });
  going = data.open.map((job) => job.id).join();
  drawOpen(data.open);
  find("jobs-ended").replaceChildren(...(data.ended.length ? data.ended.map(ended) : [element("li", { class: "soft" }, "No job has ended yet.")]));
  again(data.open.length ? SOON : LATER);
}

// Another view is shown: only how many there are is asked for, now and then.
export function hide() {
  watched = false;
  again(0);
}

export function stop() {
  watched = false;
  clearTimeout(timer);
  drawCount(0);
}

function again(after) {
  clearTimeout(timer);
  timer = setTimeout(look, after);
}

async function look() {
  if (document.hidden) return again(LATER);
  const wasWatched = watched;
  try {
    const data = await get("jobs?open=1");
    drawCount(data.open.length);
    if (!watched || !wasWatched) return again(LATER);
    if (data.open.map((job) => job.id).join() !== going) return await show();
    drawOpen(data.open);
    again(data.open.length ? SOON : LATER);
  } catch (error) {
    if (error.code === "SIGN_IN") return;
    drawCount(0);
    if (watched) say(error.message, true);
    again(LATER);
  }
}

function drawCount(number) {
  if (number < count) outdate();  // one of them may have made a picture
  count = number;
  find("open-jobs").hidden = !number;
  find("open-jobs").textContent = number || "";
}

function drawOpen(jobs) {
  const list = find("jobs-open");
  drawCount(jobs.length);
  if (!jobs.length) return list.replaceChildren(element("li", { class: "soft" }, "Nothing runs or waits."));
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
  for (const row of rows.values()) if (!jobs.some((job) => job.id === row.dataset.id)) row.remove();
  for (const job of jobs) {
    const row = rows.get(job.id) ?? openRow(job);
    row.querySelector(".doing").textContent = `${job.status}: ${job.doing || "waits"}`;
    row.querySelector("progress").value = job.fraction;
    preview(row, job);
    list.append(row);
  }
}

function openRow(job) {
  const cancel = element("button", { type: "button", click: async () => {
    cancel.disabled = true;
    try {
      const answer = await post(`jobs/${part(job.id)}/cancel`);
      say(`The job is ${answer.job.status}.`);
      await show();
    } catch (error) {
      cancel.disabled = false;
      say(error.message, true);
    }
  } }, "Cancel");
  return element("li", { "data-id": job.id }, element("p", {}, job.prompt), element("p", { class: "soft doing" }),
    element("progress", { max: "1", value: "0", "aria-label": `Progress of ${job.prompt.slice(0, 80)}` }), element("div", { class: "row" }, cancel));
}

function preview(row, job) {
  if (!job.preview) return;
  const source = `gallery/jobs/${part(job.id)}/preview?n=${job.preview}`;
  const image = row.querySelector("img.preview");
  if (image) image.src = source;
  else row.insertBefore(element("img", { class: "preview", src: source, alt: "The unfinished picture" }), row.querySelector(".row"));
}

function ended(job) {
  const state = { done: "good", failed: "bad", unknown: "bad" }[job.status] ?? "soft";
  return element("li", {}, element("p", {}, job.prompt || job.id),
    element("p", { class: state }, `${job.status}, ${moment(job.begun)}, ${dollars(job.cost_usd)}`),
    job.why ? element("p", { class: "soft" }, job.why) : null,
    job.pictures.length ? element("p", {}, job.pictures.map((id, n) => [n ? " " : "", element("a", { href: `#/picture/${part(id)}` }, `picture ${n + 1}`)]).flat()) : null,
    ...job.failures.map((failure) => element("p", { class: "bad" }, `${failure.code}: ${failure.message}${failure.fix && !failure.message.includes(failure.fix) ? ` Fix: ${failure.fix}` : ""}`)));
}
