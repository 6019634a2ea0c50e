// A host of MCP Apps with the official bridge, for tests. Python mounts a view, and reads `seen`.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

window.seen = []; // every message that the view sent, whole

window.mount = async ({ html, capabilities, context }) => {
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts allow-same-origin");
  frame.style = "width:100%;border:0";
  frame.src = "http://sandbox.test/";
  const ready = new Promise((resolve) =>
    window.addEventListener("message", (event) => {
      if (event.source !== frame.contentWindow) return;
      if (event.data?.method === "ui/notifications/sandbox-proxy-ready") resolve();
      else window.seen.push(event.data);
    }),
  );
  document.body.append(frame);
  await ready;
  const bridge = new AppBridge(null, { name: "test-host", version: "1" }, capabilities, {
    hostContext: context,
  });
  window.bridge = bridge;
  bridge.oncalltool = (params) => window.callTool(params);
  bridge.onreadresource = (params) => window.readResource(params);
  bridge.onmessage = async () => ({});
  bridge.onupdatemodelcontext = async () => ({});
  bridge.addEventListener("sizechange", ({ height }) => (frame.style.height = `${height}px`));
  const initialized = new Promise((resolve) => bridge.addEventListener("initialized", resolve));
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  bridge.sendSandboxResourceReady({ html });
  await initialized;
};
