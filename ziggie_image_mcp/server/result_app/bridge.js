// Speaks JSON-RPC with the host by postMessage, as MCP Apps of 2026-01-26 say.

/** What the host answered instead of a result. */
class Refusal extends Error {
  constructor(error) {
    super(error?.message || "The host refused.");
    this.code = error?.code;
  }
}

class Bridge {
  #host = window.parent;
  #next = 1;
  #waiting = new Map();

  /**
   * @param {Object<string, function(Object): void>} notices by the method of the notification
   * @param {Object<string, function(Object): Object>} answers by the method of the request
   */
  constructor(notices, answers) {
    window.addEventListener("message", (event) => {
      const message = event.data;
      if (event.source !== this.#host || message?.jsonrpc !== "2.0") return;
      if (message.method === undefined) this.#settle(message);
      else if (message.id === undefined) notices[message.method]?.(message.params ?? {});
      else this.#answer(message, answers[message.method]);
    });
  }

  /** Resolves to the result; rejects with a Refusal. */
  request(method, params) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#send({ id, method, params });
    });
  }

  notify(method, params) {
    this.#send({ method, params });
  }

  #send(message) {
    this.#host.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }

  #settle({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Refusal(error));
    else waiting?.resolve(result);
  }

  #answer({ id, method, params }, answer) {
    if (answer) this.#send({ id, result: answer(params ?? {}) });
    else this.#send({ id, error: { code: -32601, message: `Method not found: ${method}` } });
  }
}
