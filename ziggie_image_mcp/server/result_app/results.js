// Reads what a tool answered. Hosts may drop structuredContent and _meta: the first text has it all.

const RESULT_META = "ziggie-image/result";
const ERROR_META = "ziggie-image/error";

/**
 * A tool's result as the page shows it.
 * @returns {{kind: "pictures"|"job"|"plan"|"stopped"|"question"|"error"|"text"}} with more by kind
 */
function readResult(result) {
  const content = Array.isArray(result?.content) ? result.content : [];
  const texts = content.filter((block) => block.type === "text").map((block) => block.text);
  if (result?.isError) return readError(texts.join("\n"), result._meta?.[ERROR_META]);
  const data = result?.structuredContent ?? result?._meta?.[RESULT_META] ?? objectIn(texts[0]);
  if (!data) return { kind: "text", text: texts.join("\n") };
  const warnings = texts.filter((text) => text.startsWith("Warning: "));
  const images = imagesIn(data, content.filter((block) => block.type === "image"));
  if (images.length) return { kind: "pictures", data, images, warnings };
  if (data.dry_run) return { kind: "plan", data, warnings };
  if (data.status === "cancelled") return { kind: "stopped", text: "" };
  if (data.status === "failed") return readError(`[${String(data.reason).replace(": ", "] ")}`);
  if (data.job_id) return { kind: "job", data, warnings };
  return { kind: "text", text: texts.join("\n") };
}

/** The pictures of an answer, each with the result that it is of, and its preview where it came. */
function imagesIn(data, blocks) {
  const results = data.results ?? [data];
  const images = results.flatMap((one) => (one.images ?? []).map((image) => ({ ...image, of: one })));
  if (!images.length && data.id && data.shown) images.push({ ...data, of: {} }); // of view_image
  images.forEach((image, index) => {
    if (blocks[index]) image.src = dataUrl(blocks[index].mimeType, blocks[index].data);
  });
  return images;
}

// As routing/explain.py words it, at the beginning: an engine's message cannot pass for it.
const OFFER = new RegExp(
  "^No free route is open\\. Money opens a route: at most (.+?)\\. Nothing was spent\\. " +
    "Ask the user; after a yes call again with allow_paid=true and max_cost_usd=(\\d+(?:\\.\\d+)?)",
);

/** An error by its code; that of money, with its price, is a question. */
function readError(text, meta) {
  const [, code = meta?.code ?? "ERROR", message] = /^(?:\[([A-Z_]+)\] )?([^]*)$/.exec(text);
  const offer = code === "PAID_CONSENT_REQUIRED" && OFFER.exec(message);
  if (offer) return { kind: "question", code, message, offer: offer[1], limit: Number(offer[2]) };
  return { kind: "error", code, message, retryAfter: meta?.retry_after ?? null };
}

function objectIn(text) {
  try {
    const value = JSON.parse(text ?? "");
    return value && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

function dataUrl(mimeType, base64) {
  return `data:${mimeType};base64,${base64}`;
}

/** US dollars as people read them. */
function dollars(amount) {
  if (!amount) return "free";
  return `$${amount < 0.01 ? amount.toPrecision(2) : amount.toFixed(2)}`;
}
