// Builds the parts of the page. Text is only ever set as text: prompts are other people's words.

function element(name, properties = {}, ...children) {
  const { dataset, attributes, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, dataset);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children.flat().filter((child) => child !== null && child !== ""));
  return made;
}

/** A button; `key` finds it again after the page was drawn anew. */
function button(key, label, onclick, { about = "", first = false, disabled = false } = {}) {
  const className = first ? "action first" : "action";
  const properties = { type: "button", className, title: about, disabled, onclick };
  return element("button", { ...properties, dataset: { key } }, label);
}

function heading(text) {
  return element("h1", {}, text);
}

function note(text) {
  return text ? element("p", { className: "note" }, text) : null;
}

/** Names and values; those without a value are left out. */
function facts(rows) {
  const shown = rows.filter(([, value]) => value !== undefined && value !== null && value !== "");
  const pairs = shown.flatMap(([name, value]) => [
    element("dt", {}, name),
    element("dd", {}, String(value)),
  ]);
  return element("dl", { className: "facts" }, pairs);
}

/** The pictures, one of which is chosen. */
function pictureGrid(images, chosen, prompt, choose) {
  const cells = images.map((image, index) => {
    const name = `Picture ${index + 1} of ${images.length}`;
    const shown = image.src
      ? element("img", { src: image.src, alt: prompt ? `${name}: ${prompt}` : name })
      : element("span", { className: "blank" }, image.missing ?? "The picture is being fetched.");
    const caption = [image.size, (image.seed ?? null) === null ? "" : `seed ${image.seed}`];
    return element(
      "button",
      {
        type: "button",
        className: "picture",
        onclick: () => choose(index),
        dataset: { key: `picture-${index}` },
        attributes: { "aria-pressed": String(index === chosen) },
      },
      shown,
      element("span", { className: "caption" }, caption.filter(Boolean).join(", ")),
    );
  });
  return element("div", { className: images.length === 1 ? "pictures one" : "pictures" }, cells);
}

/** What is known of the chosen picture. */
function pictureFacts(image, data) {
  const { of: result } = image;
  const size = result.requested_size;
  return facts([
    ["Route", result.provider && `${result.provider} / ${result.model}`],
    ["Why", result.why],
    ["Cost", data.cost_usd === undefined ? "" : dollars(data.cost_usd)],
    ["Time", result.seconds === undefined ? "" : `${result.seconds} s`],
    ["Asked size", size && size !== "auto" && size !== image.size ? size : ""],
    ["Notes", (result.notes ?? []).join("\n")],
    ["Failed", (data.failures ?? []).join("\n")],
    ["File", image.path],
  ]);
}

/** What a plan would try. */
function planRows(data) {
  const rows = (data.candidates ?? []).slice(0, 5).map((one, index) => {
    const cost = `${dollars(one.cost_usd)}, about ${one.expected_seconds} s`;
    return [`${index + 1}.`, `${one.provider} / ${one.model}: ${cost}; ${one.why}`];
  });
  return facts(rows);
}
