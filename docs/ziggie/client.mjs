// Ask ziggie-image-mcp for a picture, from Node 20 or newer: node client.mjs "a red potion" [URL]
// Needs `npm install @modelcontextprotocol/client`. Without a URL it starts the server itself.

import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { createInterface } from "node:readline/promises";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

class ImageError extends Error {
  constructor(code, message) {
    super(message.replace(`[${code}] `, ""));
    this.code = code; // stable: NO_ROUTE, PAID_CONSENT_REQUIRED, ...
  }
}

/** What a program wants to know; the same stands in the first text, for models. */
function dataOf(answer) {
  if (!answer.isError) return answer._meta["ziggie-image/result"];
  throw new ImageError(answer._meta?.["ziggie-image/error"]?.code ?? "ERROR", answer.content[0]?.text ?? "");
}

/** The question about money. No answer is a no: nothing is ever spent in silence. */
async function askPerson({ params }) {
  if (!process.stdin.isTTY) return { action: "decline" };
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const said = await terminal.question(`${params.message} [y/N] `).finally(() => terminal.close());
  return said.toLowerCase() === "y" ? { action: "accept", content: { agree: true } } : { action: "decline" };
}

export async function connect(url) {
  const client = new Client({ name: "ziggie", version: "1.0.0" }, { capabilities: { elicitation: { form: {} } } });
  client.setRequestHandler("elicitation/create", askPerson);
  const command = process.env.IMAGE_COMMAND ?? "ziggie-image-mcp";
  try {
    const stdio = { command, env: { ...process.env } };
    await client.connect(url ? new StreamableHTTPClientTransport(new URL(url)) : new StdioClientTransport(stdio));
    return client;
  } catch (e) {
    throw new ImageError("NO_SERVER", `${url ?? command}: ${e.cause?.message || e.message}`);
  }
}

/** The bytes of the pictures. Asked again with its requestId, it makes and pays nothing twice. */
export async function generate(client, prompt, options = {}, requestId = randomUUID()) {
  const until = Date.now() + 600_000;
  const told = { onprogress: (p) => console.error(`${Math.round((100 * p.progress) / (p.total ?? 1))}% ${p.message ?? ""}`) };
  const call = (name, args) => client.callTool({ name, arguments: args }, told).then(dataOf);
  let data = await call("generate_image", { prompt, request_id: requestId, ...options });
  const job = { job_id: data.job_id };
  while (!data.images && !data.results) {
    if (Date.now() > until) {
      await call("cancel_job", job); // stops the engine, too
      throw new ImageError("TIMEOUT", `job ${job.job_id} took too long`);
    }
    data = await call("get_job", job); // it takes longer than a call may
  }
  const images = (data.results ?? [data]).flatMap((one) => one.images);
  const reads = await Promise.all(images.map(({ id }) => client.readResource({ uri: `image://${id}` })));
  return reads.map((read) => Buffer.from(read.contents[0].blob, "base64"));
}

async function main(prompt, url) {
  const client = await connect(url);
  const pictures = await generate(client, prompt).finally(() => client.close());
  for (const [i, data] of pictures.entries()) {
    await writeFile(`picture-${i + 1}.png`, data);
    console.log(`picture-${i + 1}.png`);
  }
}

const [, program, ...words] = process.argv;
if (basename(program ?? "") === "client.mjs") {
  const usage = new ImageError("usage", 'node client.mjs "a red potion" [URL of a server]');
  await ([1, 2].includes(words.length) ? main(...words) : Promise.reject(usage)).catch((e) => {
    console.error(`${e.code ?? e.name}: ${e.message}`);
    process.exitCode = 1;
  });
}
