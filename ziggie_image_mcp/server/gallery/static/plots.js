// Draw plots as SVG, each with a table of the same figures for who cannot see it.

import { drawing, element, table } from "./dom.js";

// On a phone a plot is drawn narrower rather than shrunk: its words stay as large.
const WIDTH = Math.max(300, Math.min(720, window.innerWidth - 60)), HEIGHT = 240, LEFT = 58, RIGHT = 8, TOP = 8, BOTTOM = 26;
const colour = (n) => "s" + (n % 6);

function rounded(highest) {
  if (!highest) return 1;
  const unit = 10 ** Math.floor(Math.log10(highest));
  return [1, 2, 2.5, 5, 10].map((times) => times * unit).find((value) => value >= highest);
}

function frame(names, highest, label) {
  const plot = drawing("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  const height = HEIGHT - TOP - BOTTOM;
  for (let n = 0; n <= 4; n++) {
    const y = TOP + height * (1 - n / 4), value = (highest * n) / 4;
    plot.append(drawing("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }),
      drawing("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, "$" + value.toLocaleString([], { maximumSignificantDigits: 3 })));
  }
  const step = Math.ceil(names.length / (WIDTH / 90)), wide = WIDTH - LEFT - RIGHT;
  for (let n = 0; n < names.length; n += step) {
    plot.append(drawing("text", { x: LEFT + (wide * (n + 0.5)) / names.length, y: HEIGHT - 8, "text-anchor": "middle" }, names[n]));
  }
  return plot;
}

function legend(series, dashed) {
  return element("ul", { class: "legend" }, series.map(({ name }, n) => element("li", {},
    drawing("svg", { viewBox: "0 0 32 16", "aria-hidden": "true" },
      dashed ? drawing("path", { class: colour(n), d: "M0 8H32", "stroke-width": 4 })
             : drawing("rect", { class: colour(n), width: 32, height: 16 })), name)));
}

function figure(title, plot, series, dashed, figures) {
  return element("figure", {}, element("figcaption", {}, title), plot, legend(series, dashed),
    element("details", {}, element("summary", {}, "The figures as a table"), figures));
}

export function stackedBars(title, names, series) {
  const sums = names.map((_, n) => series.reduce((sum, one) => sum + one.values[n], 0));
  const highest = rounded(Math.max(0, ...sums));
  const plot = frame(names.map((name) => name.slice(5)), highest, title);
  const wide = (WIDTH - LEFT - RIGHT) / names.length, height = HEIGHT - TOP - BOTTOM;
  names.forEach((name, n) => {
    let base = 0;
    series.forEach((one, place) => {
      const share = (height * one.values[n]) / highest;
      if (share > 0) {
        plot.append(drawing("rect", { class: colour(place), x: LEFT + wide * n + wide * 0.1, width: wide * 0.8, y: HEIGHT - BOTTOM - base - share, height: share },
          drawing("title", {}, `${name}, ${one.name}: $${one.values[n]}`)));
      }
      base += share;
    });
  });
  const rows = names.map((name, n) => [name, ...series.map((one) => one.values[n].toFixed(4))]).filter((_, n) => sums[n] > 0);
  return figure(title, plot, series, false, table(["day", ...series.map((one) => one.name)], rows, `${title}: days with spending`, series.map((_, n) => n + 1)));
}

export function lines(title, names, series, unit) {
  const highest = rounded(Math.max(0, ...series.flatMap((one) => one.values)));
  const plot = frame(names, highest, title);
  const wide = WIDTH - LEFT - RIGHT, height = HEIGHT - TOP - BOTTOM;
  series.forEach((one, place) => {
    const points = one.values.map((value, n) => `${(LEFT + (wide * (n + 0.5)) / names.length).toFixed(1)} ${(HEIGHT - BOTTOM - (height * value) / highest).toFixed(1)}`);
    plot.append(drawing("path", { class: colour(place), d: "M" + points.join("L") }, drawing("title", {}, one.name)));
  });
  const rows = names.map((name, n) => [name, ...series.map((one) => one.values[n].toFixed(2))]);
  return figure(title, plot, series, true, table([unit, ...series.map((one) => one.name)], rows, title, series.map((_, n) => n + 1)));
}

export function bars(title, rows) {
  const shown = rows.slice(0, 20), line = 30, wide = WIDTH - 20;
  const highest = Math.max(...shown.map((row) => row.seconds));
  const plot = drawing("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${shown.length * line + 4}`, role: "img", "aria-label": title });
  shown.forEach((row, n) => {
    plot.append(drawing("text", { x: 0, y: n * line + 12 }, `${row.model}, ${row.what}: ${row.seconds} s`),
      drawing("rect", { class: "s0", x: 0, y: n * line + 16, height: 8, width: Math.max(2, (wide * row.seconds) / highest) }));
  });
  const figures = table(["model", "what", "seconds", "runs"], rows.map((row) => [row.model, row.what, String(row.seconds), String(row.runs)]), title, [2, 3]);
  return element("figure", {}, element("figcaption", {}, title), plot, element("details", {}, element("summary", {}, "The figures as a table"), figures));
}
