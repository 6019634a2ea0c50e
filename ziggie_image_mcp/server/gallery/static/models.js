// Models and engines: what can be used, what cannot, and what would put it right.

import { get } from "./api.js";
import { dollars, element, find, table } from "./dom.js";

export async function show() {
  find("models-body").replaceChildren(element("p", { class: "soft" }, "Looking at engines and models..."));
  const { machine, models } = await get("machine");
  const facts = [`${machine.os}, ${machine.cpu ?? "unknown processor"}, ${machine.ram_free_gb} of ${machine.ram_gb} GB free`, machine.gpus.map((gpu) => `${gpu.name} (${gpu.vram_gb} GB)`).join(", ") || "no GPU", machine.tier_means];
  const notes = [...machine.paused, ...machine.waiting, ...machine.other_engines, ...machine.notes, models.real_model].filter(Boolean);
  const choices = [["Local generation", machine.local], ["Cloud", machine.cloud], ["Automatic", machine.automatic]];
  find("models-body").replaceChildren(...[
    element("p", {}, facts.join("; ")),
    table(["mode", "possible", "what it would do"], choices.map(([name, choice]) => [name, choice.possible ? "yes" : "no", choice.text]), "Ways to make pictures"),
    table(["engine", "state", "what is known, and the fix"], machine.engines.map((engine) => [engine.provider, element("span", { class: engine.running ? "good" : "bad" }, engine.running ? "ready" : "not ready"), engine.detail]), "Engines and vendors"),
    ...notes.map((note) => element("p", {}, note)),
    table(["model", "state", "seconds", "a picture", "why not, and the fix"], models.models.map((row) => [`${row.provider}/${row.id}`, element("span", { class: row.usable ? "good" : "bad" }, row.usable ? "usable" : "not usable"), row.expected_seconds === null ? "" : String(row.expected_seconds), row.usd_per_image === null ? "unknown" : dollars(row.usd_per_image), [...row.why_not, row.usable ? "" : row.how_to_install].filter(Boolean).join(" ")]), "Models", [2, 3]),
    models.left_out ? element("p", { class: "soft" }, `${models.left_out} more are not listed.`) : null,
    ...models.unavailable.map((one) => element("p", {}, `${one.provider}: ${one.why_not.join(" ")}`)),
  ].filter(Boolean));
}
