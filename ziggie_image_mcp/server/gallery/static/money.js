// Money: spending by day and wallet, caps, when a GPU would pay, and measured speed.

import { get } from "./api.js";
import { dollars, element, find, say, table } from "./dom.js";
import { bars, lines, stackedBars } from "./plots.js";

export async function show() {
  const [data, { speeds }] = await Promise.all([get(`money?days=${find("days").value}`), get("speeds")]);
  const even = data.break_even;
  const wallets = data.wallets.map((one) => ({ name: one.name, values: one.usd }));
  find("money-body").replaceChildren(...[
    element("p", {}, `Spent in these days: ${dollars(data.total_usd)}.`),
    wallets.length ? stackedBars("Spent by day and wallet, US dollars", data.days, wallets) : element("p", { class: "soft" }, "Nothing was spent in these days."),
    wallets.length ? table(["wallet", "pictures", "settled", "held", "unknown"], data.wallets.map((one) => [one.name, String(one.pictures), dollars(one.settled_usd), dollars(one.held_usd), dollars(one.unknown_usd)]), "By wallet", [1, 2, 3, 4]) : null,
    data.caps.length ? table(["setting", "cap", "used", "left"], data.caps.map((cap) => [cap.setting, dollars(cap.cap_usd), cap.used_usd === null ? "" : dollars(cap.used_usd), cap.left_usd === null ? "" : dollars(cap.left_usd)]), "Caps", [1, 2, 3]) : null,
    lines(`Cloud or GPU: cost added up, US dollars${even.assumed ? " (assumed use)" : ""}`, even.lines[0].usd.map((_, n) => String(n)), even.lines.map((line) => ({ name: line.label, values: line.usd })), "months"),
    element("p", {}, even.text),
    element("p", { class: "soft" }, `Prices of GPUs: ${even.source}. Advice only: no route is chosen by it.`),
    speeds.length ? bars("Measured speed, seconds a picture", speeds) : element("p", { class: "soft" }, "No speed was measured yet."),
  ].filter(Boolean));
}

export function open() {
  find("days").addEventListener("change", () => show().catch((error) => say(error.message, true)));
}
