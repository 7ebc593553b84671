// The page: what its controls do.

import { Problem, ask, key } from "./api.js";
import { LiveStream } from "./live.js";
import { Microphone } from "./microphone.js";
import { Take, clock } from "./take.js";
import { recognise, secondsOf } from "./upload.js";

const FORMATS = ["srt", "vtt", "txt", "json"];
const at = (id) => document.getElementById(id);
const status = (text) => (at("status").textContent = text);

// What the server can do

async function begin() {
  let choices;
  try {
    choices = await (await ask("v1/stream")).json();
  } catch (problem) {
    const keyless = ["missing_api_key", "invalid_api_key"].includes(problem.code);
    at("key").hidden = !keyless;
    if (keyless) at("key-value").focus();
    if (problem.code !== "missing_api_key") complain(problem, { label: "Try again", act: keyless ? null : begin });
    return;
  }
  at("key").hidden = true;
  complain(null);
  at("model").textContent = choices.model;
  fill(at("language"), choices.languages.map(named).sort(byName), choices.language_default);
  const chunks = choices.chunk_ms.map((ms) => ({ value: ms, text: `${ms} ms` }));
  fill(at("chunk"), chunks, choices.chunk_ms_default);
  for (const id of ["microphone", "language", "chunk", "choose"]) at(id).disabled = false;
  status("Speak, or drop a file.");
}

const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });

function named(language) {
  if (language === "auto") return { value: language, text: "Detect automatically" };
  let name = language;
  try {
    name = names.of(language);
  } catch {
    // not a code that browsers know
  }
  return { value: language, text: name };
}

function byName(one, other) {
  const auto = (each) => Number(each.value !== "auto");
  return auto(one) - auto(other) || one.text.localeCompare(other.text);
}

function fill(select, choices, chosen) {
  const options = choices.map(({ value, text }) => new Option(text, value));
  select.replaceChildren(...options);
  if (!options.some((option) => option.value === String(chosen))) select.prepend(new Option(chosen, chosen));
  select.value = chosen;
}

/** What is to be asked for, as the controls say. */
function wishes() {
  const phrases = at("phrases").value.split(/[,;，、；]/).map((phrase) => phrase.trim()).filter(Boolean);
  return { language: at("language").value, chunk_ms: Number(at("chunk").value), phrases };
}

/** Tell a problem, with what may help; null takes it away. */
function complain(problem, { label = "", act = null } = {}) {
  at("problem").hidden = problem === null;
  at("problem-text").textContent = problem?.message ?? "";
  at("again").hidden = act === null;
  at("again").textContent = label;
  at("again").onclick = act;
}

// The microphone

let session = null; // while it listens, or finishes

class Session {
  constructor(take) {
    this.take = take;
    this.closing = false;
  }

  async start() {
    status("Waiting for the microphone…");
    this.microphone = await Microphone.open(
      (samples, peak) => this.#hear(samples, peak),
      () => this.stop(new Problem("The microphone is gone. The text so far is kept.", "gone")),
    );
    const start = { ...wishes(), sample_rate: this.microphone.sampleRate };
    this.take ??= new Take(`Microphone, ${timeOfDay()}`, `captions-${fileTime()}`, FORMATS);
    this.take.remove.disabled = true;
    this.take.resume();
    status("Connecting…");
    this.stream = new LiveStream(start, (event) => this.#take(event), (problem) => this.#end(problem));
    at("meters").hidden = false;
    button("Stop");
  }

  /** Stop listening and wait for the rest of the text. */
  async stop(problem = null) {
    if (this.closing) return;
    this.closing = true;
    button("Finishing…", { disabled: true });
    status("Waiting for the last words…");
    this.problem = problem;
    await this.microphone.close();
    this.stream.end();
  }

  setLanguage(language) {
    this.stream?.setLanguage(language);
  }

  #hear(samples, peak) {
    at("level").value = Math.sqrt(peak);
    this.stream?.send(samples);
    this.take?.hear(this.stream?.seconds ?? 0);
  }

  #take(event) {
    if (event.type === "ready" && !this.closing) status("Listening. Speak.");
    if (event.type === "error") complain(new Problem(event.error.message));
    if (event.type === "partial") {
      const behind = Math.max(0, this.stream.seconds - event.time);
      at("lag").value = behind;
      at("lag-text").textContent = `${behind.toFixed(2)} s`;
    }
    this.take.take(event);
  }

  async #end(problem) {
    if (!this.closing) {
      this.closing = true;
      await this.microphone.close();
    }
    session = null;
    this.take.close();
    this.take.remove.disabled = false;
    at("meters").hidden = true;
    at("lag-text").textContent = "–";
    at("lag").value = at("level").value = 0;
    button("Start captions");
    status("Stopped.");
    const told = problem ?? this.problem;
    if (told) complain(told, { label: "Reconnect", act: () => listen(this.take) });
  }
}

/** Begin to listen; a take goes on if one is given. */
async function listen(take = null) {
  if (session) return;
  complain(null);
  button("Starting…", { disabled: true });
  session = new Session(take);
  try {
    await session.start();
  } catch (problem) {
    session = null;
    button("Start captions");
    status("");
    complain(problem, { label: "Try again", act: () => listen(take) });
  }
}

function button(text, { disabled = false } = {}) {
  at("microphone").textContent = text;
  at("microphone").setAttribute("aria-disabled", String(disabled));
  at("microphone").classList.toggle("on", text === "Stop");
}

function timeOfDay() {
  return new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function fileTime() {
  const now = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000);
  return now.toISOString().slice(0, 16).replace("T", "-").replace(":", "");
}

// Files, one after the other

let queue = Promise.resolve();

function add(files) {
  for (const file of files) {
    const take = new Take(file.name, file.name, FORMATS);
    const control = new AbortController();
    take.remove.disabled = true;
    take.cancel.onclick = () => control.abort();
    take.show("Waiting", NaN);
    queue = queue.then(() => transcribe(file, take, control.signal));
  }
}

async function transcribe(file, take, signal) {
  try {
    if (signal.aborted) throw new Problem("Cancelled.", "cancelled");
    const seconds = await secondsOf(file);
    await recognise(file, wishes(), {
      signal,
      onUpload: (part) => take.show(part < 1 ? "Uploading" : "Waiting for its turn", part < 1 ? part : NaN),
      onEvent: (event) => {
        take.take(event);
        take.show(`Recognising ${clock(take.heard)}`, take.heard / seconds);
        if (event.warnings) take.fail(event.warnings.join(" "));
      },
    });
    status(`${file.name} is done.`);
  } catch (problem) {
    take.fail(problem.message);
    if (problem.code?.endsWith("_api_key")) begin();
  }
  take.progress.hidden = true;
  take.remove.disabled = false;
  take.close();
}

// What the controls do

at("microphone").addEventListener("click", () => {
  if (at("microphone").getAttribute("aria-disabled") === "true") return;
  if (session) session.stop();
  else listen();
});
at("language").addEventListener("change", () => session?.setLanguage(at("language").value));
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(at("key-value").value.trim());
  begin();
});
at("takes").addEventListener("click", ({ target }) => {
  if (!target.classList.contains("remove")) return;
  target.closest(".take").remove();
  if (!session) complain(null); // it may have offered to go on with this one
  at("microphone").focus();
});
at("choose").addEventListener("click", () => at("files").click());
at("files").addEventListener("change", () => {
  add([...at("files").files]);
  at("files").value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // a browser would open the file instead
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !at("choose").disabled) add([...event.dataTransfer.files]);
  });
}
addEventListener("beforeunload", (event) => {
  if (session) event.preventDefault();
});

begin();
