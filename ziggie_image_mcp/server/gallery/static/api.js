// Ask the server. An answer that asks for a token brings the form to sign in.

let askToSignIn = () => {};

export function onSignIn(ask) {
  askToSignIn = ask;
}

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch("gallery/" + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "UNREACHABLE", "The server does not answer: start it again, then reload this page.");
  }
  const data = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return {};
  });
  if (response.ok) return data;
  const error = data.error ?? { code: "FAILED", message: "The server failed: its log tells why." };
  if (error.code === "SIGN_IN" && path !== "session") askToSignIn();
  throw new Refused(response.status, error.code, error.message);
}

export const get = (path, signal) => answer(path, { signal });

export const post = (path, body = {}, options = {}) =>
  answer(path, { ...options, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const part = encodeURIComponent;
