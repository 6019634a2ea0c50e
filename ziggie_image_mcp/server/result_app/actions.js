// What the buttons ask for: a tool, its arguments, and the words for hosts that call no tools.

const CALL_SECONDS = 20; // then a job_id comes, which is asked after: hosts give up on long calls

/** The tool that was called, where the host does not say which: told by its arguments. */
function toolOf(args) {
  if ("job_id" in args) return "get_job";
  if ("image_id" in args) return "view_image";
  if (!("image" in args)) return "generate_image";
  return "prompt" in args ? "edit_image" : "process_image";
}

/** The call without what concerned that one call. Leave to pay is never repeated. */
function withoutLeave(args) {
  const { allow_paid, dry_run, request_id, wait_seconds, ...rest } = args;
  return rest;
}

function withSeed(args) {
  return { ...args, seed: crypto.getRandomValues(new Uint32Array(1))[0] };
}

/** The action as one request: called again after its answer was lost, it gives the first job. */
function asOne(action) {
  if (!["generate_image", "edit_image"].includes(action.tool)) return action;
  const request_id = `page-${crypto.getRandomValues(new Uint32Array(4)).join("-")}`;
  return { ...action, args: { ...action.args, request_id } };
}

/** Whether a click wants what was called before; every drawing of a button has another seed. */
function isSame(wanted, before) {
  const wish = ({ key, tool, args: { seed, request_id, ...args } }) => JSON.stringify([key, tool, args]);
  return Boolean(before) && wish(wanted) === wish(before);
}

/** The call that makes such pictures again: the first one's, or one from the picture's own file. */
function repeated(origin, image) {
  const known = ["generate_image", "edit_image"].includes(origin.tool);
  if (known) return { tool: origin.tool, args: withoutLeave(origin.args) };
  return { tool: "generate_image", args: { like: image.id } };
}

/** The actions on a picture, in the order of the buttons. */
function actionsOn(origin, image) {
  const again = repeated(origin, image);
  const process = (args) => ({ tool: "process_image", args: { image: image.id, ...args } });
  const actions = [
    { key: "again", label: "Again", about: "another seed", ...again, args: withSeed(again.args) },
    {
      key: "variants",
      label: "4 variants",
      about: "four with other seeds",
      ...again,
      args: { ...withSeed(again.args), num_images: 4 },
    },
    { key: "upscale", label: "Upscale 2x", about: "twice as large", ...process({ upscale: 2 }) },
    {
      key: "cut-out",
      label: "Cut out",
      about: "without its background",
      ...process({ remove_background: true }),
    },
  ];
  return origin.tool === "process_image" ? actions.slice(2) : actions;
}

/** The call that changes a picture by words. */
function edit(image, prompt) {
  return { key: "edit", label: "Edit", tool: "edit_image", args: { image: image.id, prompt } };
}

/** A call in words, for the assistant. */
function inWords({ label, tool, args }) {
  return `${label}: please call ${tool} with ${JSON.stringify(args)}`;
}
