// The page: what it shows, and what happens on a click.

const POLL_SECONDS = 10;
const PREVIEW_SIDE = 1024;

const state = {
  host: {}, // its capabilities
  origin: { tool: "", args: {} }, // the call whose answer is shown
  shown: { kind: "waiting" },
  chosen: 0,
  calling: "", // the label of the action that runs
  trouble: "", // why the last action came to nothing
  refused: null, // the action that the host refused
  earlier: [], // what was shown before, for Back
  asked: null, // the action whose end the model is told
  made: [], // what the user had made here, for the model
};

let round = 0; // of calls: the answers of an earlier one are not shown any more

const bridge = new Bridge(
  {
    "ui/notifications/tool-input-partial": ({ arguments: args }) => setInput(args),
    "ui/notifications/tool-input": ({ arguments: args }) => setInput(args),
    "ui/notifications/tool-result": (result) => begins(readResult(result)),
    "ui/notifications/tool-cancelled": ({ reason }) =>
      begins({ kind: "stopped", text: reason ?? "" }),
    "ui/notifications/host-context-changed": applyContext,
  },
  {
    ping: () => ({}),
    "ui/resource-teardown": () => {
      round++;
      return {};
    },
  },
);

function setInput(args = {}) {
  state.origin = { tool: state.toolName || toolOf(args), args };
  draw();
}

function applyContext({ theme, styles, safeAreaInsets: insets, toolInfo }) {
  const root = document.documentElement;
  if (theme) root.style.colorScheme = root.dataset.theme = theme;
  for (const [name, value] of Object.entries(styles?.variables ?? {}))
    if (name.startsWith("--") && value) root.style.setProperty(name, value);
  if (insets)
    document.body.style.padding = ["top", "right", "bottom", "left"]
      .map((side) => `${insets[side] ?? 0}px`)
      .join(" ");
  if (toolInfo) state.toolName = toolInfo.tool?.name ?? "";
}

// -- Answers

/** Show what the host says; whatever else was waited for is over. */
function begins(answer) {
  state.asked = null;
  show(answer, ++round);
}

function show(answer, mine) {
  if (mine !== round) return;
  state.shown = answer;
  state.chosen = 0;
  state.calling = "";
  draw();
  if (answer.kind !== "job" && state.asked) tellMade(answer);
  if (answer.kind === "pictures") fetchMissing(answer.images);
  if (answer.kind === "job" && state.host.serverTools) follow(answer.data.job_id, mine);
}

/** Ask after a job until it has ended. */
async function follow(jobId, mine) {
  try {
    const args = { job_id: jobId, wait_seconds: POLL_SECONDS };
    show(readResult(await callTool("get_job", args)), mine);
  } catch (refusal) {
    if (mine !== round) return;
    state.trouble = `The job could not be asked after: ${refusal.message}`;
    draw();
  }
}

function callTool(name, args) {
  return bridge.request("tools/call", { name, arguments: args });
}

/** Get the previews that did not come with the answer. */
async function fetchMissing(images) {
  for (const image of images.filter((one) => !one.src)) {
    try {
      image.src = (await readPicture(image.id)) ?? (await viewPicture(image.id));
    } catch {
      image.src = undefined;
    }
    if (!image.src) image.missing = `No preview could be had. The file: ${image.path ?? image.id}`;
    draw();
  }
}

async function readPicture(id) {
  if (!state.host.serverResources) return null;
  try {
    const uri = `image://${id}?max=${PREVIEW_SIDE}`;
    const [content] = (await bridge.request("resources/read", { uri })).contents;
    return content?.blob ? dataUrl(content.mimeType, content.blob) : null;
  } catch {
    return null; // the tool may do
  }
}

async function viewPicture(id) {
  if (!state.host.serverTools) return null;
  const args = { image_id: id, max_side: PREVIEW_SIDE };
  const answer = readResult(await callTool("view_image", args));
  return answer.images?.[0].src ?? null;
}

// -- Clicks

/** Call the tool of an action, or ask the assistant to, where the host lets the page call none. */
async function run(wanted) {
  const action = isSame(wanted, state.refused) ? state.refused : asOne(wanted);
  Object.assign(state, { trouble: "", refused: null });
  if (!state.host.serverTools) return ask(inWords(wanted));
  const mine = ++round;
  state.calling = action.label;
  draw();
  try {
    const args = { ...action.args, wait_seconds: CALL_SECONDS };
    const answer = readResult(await callTool(action.tool, args));
    if (mine !== round) return;
    remember(action);
    state.asked = action;
    show(answer, mine);
  } catch (refusal) {
    if (mine !== round) return;
    const trouble = `The host refused the call: ${refusal.message}`;
    Object.assign(state, { trouble, refused: action, calling: "" });
    draw();
  }
}

/** Keep what is shown for Back; what is shown next comes from this action. */
function remember({ tool, args, origin }) {
  const { shown, chosen } = state;
  if (shown.kind === "pictures") state.earlier.push({ origin: state.origin, shown, chosen });
  state.origin = origin ?? { tool, args };
}

function goBack() {
  round++;
  Object.assign(state, state.earlier.pop(), { trouble: "", refused: null, calling: "" });
  draw();
}

/** Ask the assistant, as if the user wrote it. */
async function ask(text) {
  state.refused = null;
  try {
    const params = { role: "user", content: [{ type: "text", text }] };
    const answer = await bridge.request("ui/message", params);
    state.trouble = answer?.isError ? `The host did not pass this on: ${text}` : "Asked in the chat.";
  } catch (refusal) {
    state.trouble = `The host did not pass this on (${refusal.message}): ${text}`;
  }
  draw();
}

async function cancel(jobId) {
  const mine = ++round;
  try {
    show(readResult(await callTool("cancel_job", { job_id: jobId })), mine);
  } catch (refusal) {
    state.trouble = `The job could not be stopped: ${refusal.message}`;
    draw();
  }
}

function choose(index) {
  const { images } = state.shown;
  state.chosen = index;
  draw();
  const image = images[index];
  const place = image.path ? `, ${image.path}` : "";
  tell(`The user chose picture ${index + 1} of ${images.length}: ${image.id}${place}.`);
}

function tellMade({ kind, images = [], code }) {
  const { label, tool } = state.asked;
  state.asked = null;
  const ids = images.map(({ id }) => id).join(", ");
  const how = kind === "pictures" ? ids : code ?? kind;
  state.made.push(`With the button ${label} (${tool}) the user got: ${how}.`);
  tell();
}

/** Tell the model, without a turn. Each such message replaces the one before. */
function tell(choice = "") {
  if (!state.host.updateModelContext) return;
  const text = [...state.made.slice(-5), choice].filter(Boolean).join("\n");
  const params = { content: [{ type: "text", text }] };
  bridge.request("ui/update-model-context", params).catch(() => {}); // the choice shows here anyway
}

// -- Drawing

const DRAW = {
  waiting: () => [
    heading(state.origin.args.prompt || "Pictures"),
    element("p", { className: "message" }, "The picture is being made."),
    element("progress", { attributes: { "aria-label": "The picture is being made" } }),
  ],
  job: drawJob,
  pictures: drawPictures,
  plan: drawPlan,
  question: drawQuestion,
  error: drawError,
  stopped: ({ text }) => [heading("Stopped"), note(text || "Nothing more is made for this call.")],
  text: ({ text }) => [
    heading("No picture in this answer"),
    element("p", { className: "message" }, text || "The host passed nothing on."),
  ],
};

function draw() {
  const main = document.getElementById("main");
  const focused = document.activeElement?.dataset?.key;
  const words = document.getElementById("words")?.value ?? "";
  const parts = [...DRAW[state.shown.kind](state.shown), ...drawEnd()];
  main.replaceChildren(...parts.filter(Boolean));
  const field = document.getElementById("words");
  if (field) field.value = words;
  if (focused) main.querySelector(`[data-key="${focused}"]`)?.focus();
  const title = main.querySelector("h1")?.textContent ?? "";
  const status = state.calling ? `${state.calling} is running.` : state.trouble || title;
  const line = document.getElementById("status");
  if (line.textContent !== status) line.textContent = status;
}

function drawEnd() {
  const warnings = (state.shown.warnings ?? []).map(note);
  const running = state.calling ? [element("progress", { ariaLabel: state.calling })] : [];
  const back = state.earlier.length ? [button("back", "Back", goBack)] : [];
  const { refused, host } = state;
  const inChat = () => ask(inWords(refused));
  const instead = refused && host.message ? [button("in-chat", "Ask in the chat", inChat)] : [];
  return [...running, note(state.trouble), ...instead, ...warnings, ...back];
}

function drawJob({ data }) {
  const percent = Math.round((data.progress ?? 0) * 100);
  const bar = { value: data.progress ?? 0, max: 1, ariaLabel: "How far the job is" };
  const stop = button("stop", "Stop", () => cancel(data.job_id));
  const look = () => ask(`Please call get_job with ${JSON.stringify({ job_id: data.job_id })}`);
  return [
    heading(state.origin.args.prompt || "Being made"),
    element("progress", bar),
    element("p", { className: "message" }, `${data.doing || data.status}, ${percent} %`),
    state.host.serverTools ? stop : button("look", "Look again", look),
    state.host.serverTools ? null : note(`This host lets the page not look by itself: get_job has ${data.job_id}.`),
  ];
}

function drawPictures({ data, images }) {
  const image = images[state.chosen];
  const { prompt } = state.origin.args;
  return [
    heading(prompt || (images.length === 1 ? "Picture" : `${images.length} pictures`)),
    pictureGrid(images, state.chosen, prompt, choose),
    pictureFacts(image, data),
    ...drawActions(image),
  ];
}

function drawActions(image) {
  if (!state.host.serverTools && !state.host.message)
    return [note("This host lets the page call nothing. Ask for changes in the chat.")];
  const disabled = Boolean(state.calling);
  const buttons = actionsOn(state.origin, image).map((action) =>
    button(action.key, action.label, () => run(action), { about: action.about, disabled }),
  );
  const field = element("input", {
    id: "words",
    placeholder: "What the whole picture should show",
    ariaLabel: "Edit: what the whole picture should show",
    dataset: { key: "words" },
    maxLength: 10000,
  });
  const change = () => {
    const text = field.value.trim();
    if (text && !state.calling) run(edit(image, text));
  };
  field.addEventListener("keydown", ({ key, isComposing }) => {
    if (key === "Enter" && !isComposing) change(); // no form: a sandbox may allow none
  });
  const where = state.host.serverTools ? "" : "The buttons ask in the chat: this host lets the page call no tools.";
  return [
    element("div", { className: "row" }, buttons),
    element("div", { className: "row" }, field, button("edit", "Edit", change, { disabled })),
    note(where),
  ];
}

function drawPlan({ data }) {
  const make = { key: "make", label: "Make it", tool: state.origin.tool, args: withoutLeave(state.origin.args) };
  const [first] = data.candidates ?? [];
  return [
    heading(first ? "What would be tried" : "No route can make this"),
    planRows(data),
    note((data.notes ?? []).join("\n")),
    first ? button("make", make.label, () => run(make), { first: true, disabled: Boolean(state.calling) }) : null,
  ];
}

/** The question about money. Nothing but a click on its first button says yes. */
function drawQuestion({ offer, limit }) {
  const { tool, args } = state.origin;
  const yes = {
    key: "yes",
    label: `Spend up to $${limit}`,
    tool,
    args: { ...withoutLeave(args), allow_paid: true, max_cost_usd: limit },
    origin: { tool, args },
  };
  const sendsPictures = args.image || args.references || args.control;
  let leaves = sendsPictures ? "Prompt and picture leave" : "The prompt leaves";
  if (tool === "process_image") leaves = "The picture leaves";
  const payable = state.host.serverTools && ["generate_image", "edit_image", "process_image"].includes(tool);
  const no = () => show({ kind: "stopped", text: "Nothing was spent." }, ++round);
  return [
    heading("No free route can make this"),
    element(
      "section",
      { className: "question", ariaLabel: "A question about money" },
      element("p", {}, `Spend at most ${offer}? ${leaves} this machine.`),
      payable
        ? element(
            "div",
            { className: "row" },
            button("yes", yes.label, () => run(yes), { disabled: Boolean(state.calling) }),
            button("no", "No, spend nothing", no, { disabled: Boolean(state.calling) }),
          )
        : note("This host lets the page not answer. Say yes or no in the chat."),
    ),
  ];
}

function drawError({ code, message, retryAfter }) {
  const { tool, args } = state.origin;
  const retry = { key: "retry", label: "Try again", tool, args: withoutLeave(args) };
  const mayTry = state.host.serverTools && tool && code !== "INVALID_REQUEST";
  return [
    heading("This did not work"),
    element(
      "section",
      { className: "error", ariaLabel: "What went wrong" },
      element("code", {}, code),
      element("p", { className: "message", tabIndex: 0 }, message),
      note(retryAfter ? `It may work in ${Math.ceil(retryAfter)} s.` : ""),
    ),
    mayTry ? button("retry", retry.label, () => run(retry), { disabled: Boolean(state.calling) }) : null,
  ];
}

// -- Beginning

function tellSize() {
  let last = 0;
  new ResizeObserver(() => {
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    if (height === last) return;
    last = height;
    bridge.notify("ui/notifications/size-changed", { height });
  }).observe(document.body);
}

async function begin() {
  draw();
  const asked = bridge.request("ui/initialize", {
    appInfo: { name: "ziggie-image-mcp", version: "1" },
    appCapabilities: { availableDisplayModes: ["inline"] },
    protocolVersion: "2026-01-26",
  });
  const { hostCapabilities, hostContext } = await asked.catch(({ message }) => {
    show({ kind: "stopped", text: `The host does not start this page: ${message}` }, round);
    return {};
  });
  state.host = hostCapabilities ?? {};
  applyContext(hostContext ?? {});
  draw();
  bridge.notify("ui/notifications/initialized", {});
  tellSize();
}

begin();
