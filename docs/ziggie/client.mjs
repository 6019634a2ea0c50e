// Ask ziggie-image-mcp for a picture, from Node 20 or newer: node client.mjs "a red potion" [URL]
// Needs `npm install @modelcontextprotocol/client`. Without a URL it starts the server itself.

import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const RESULT = "ziggie-image/result";
const ERROR = "ziggie-image/error";
const GIVE_UP_MS = 600_000;

class ImageError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code; // stable: NO_ROUTE, PAID_CONSENT_REQUIRED, ...
  }
}

/** What a program wants to know; the same stands in the first text, for models. */
function dataOf(answer) {
  if (!answer.isError) return answer._meta[RESULT];
  throw new ImageError(answer._meta?.[ERROR]?.code ?? "", answer.content[0]?.text ?? "");
}

/** The question about money. No answer is a no: nothing is ever spent in silence. */
async function askPerson({ params }) {
  if (!process.stdin.isTTY) return { action: "decline" };
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const said = await terminal.question(`${params.message} [y/N] `);
  terminal.close();
  return said.toLowerCase() === "y" ? { action: "accept", content: { agree: true } } : { action: "decline" };
}

export async function connect(url) {
  const client = new Client({ name: "ziggie", version: "1.0.0" }, { capabilities: { elicitation: { form: {} } } });
  client.setRequestHandler("elicitation/create", askPerson);
  const command = process.env.IMAGE_COMMAND ?? "ziggie-image-mcp";
  const transport = url
    ? new StreamableHTTPClientTransport(new URL(url))
    : new StdioClientTransport({ command, env: { ...process.env } });
  await client.connect(transport);
  return client;
}

/** The bytes of the pictures. Asked again with its requestId, it makes and pays nothing twice. */
export async function generate(client, prompt, options = {}, requestId = randomUUID()) {
  const until = Date.now() + GIVE_UP_MS;
  const told = { onprogress: (p) => console.error(`${Math.round((100 * p.progress) / (p.total ?? 1))}% ${p.message ?? ""}`) };
  const call = (name, args) => client.callTool({ name, arguments: args }, told).then(dataOf);
  let data = await call("generate_image", { prompt, request_id: requestId, ...options });
  const jobId = data.job_id;
  while (!data.images && !data.results) {
    if (Date.now() > until) {
      await call("cancel_job", { job_id: jobId }); // stops the engine, too
      throw new ImageError("TIMEOUT", `job ${jobId} took too long`);
    }
    data = await call("get_job", { job_id: jobId }); // it takes longer than a call may
  }
  const images = (data.results ?? [data]).flatMap((one) => one.images);
  return Promise.all(images.map((image) => picture(client, image.id)));
}

async function picture(client, id) {
  const { contents } = await client.readResource({ uri: `image://${id}` });
  return Buffer.from(contents[0].blob, "base64");
}

if (process.argv[2]) {
  const client = await connect(process.argv[3]);
  try {
    for (const [i, data] of (await generate(client, process.argv[2])).entries()) {
      await writeFile(`picture-${i + 1}.png`, data);
      console.log(`picture-${i + 1}.png`);
    }
  } finally { await client.close(); }
}
