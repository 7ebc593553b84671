// The page and its controls.

import { Problem, ask, key } from "./api.js";
import { LiveStream } from "./live.js";
import { Microphone } from "./microphone.js";
import { TranscriptCard, clock } from "./transcript-card.js";
import { recognize, secondsOf } from "./upload.js";

const FORMATS = ["srt", "vtt", "txt", "json"];
const at = (id) => document.getElementById(id);
const status = (text) => (at("status").textContent = text);

// The abilities of the server

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
    // not a code that the browser knows
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

/** Return the options that the controls select. */
function chosenOptions() {
  const phrases = at("phrases").value.split(/[,;，、；]/).map((phrase) => phrase.trim()).filter(Boolean);
  return { language: at("language").value, chunk_ms: Number(at("chunk").value), phrases };
}

/** Show a problem with an action that may help; null hides it. */
function complain(problem, { label = "", act = null } = {}) {
  at("problem").hidden = problem === null;
  at("problem-text").textContent = problem?.message ?? "";
  at("again").hidden = act === null;
  at("again").textContent = label;
  at("again").onclick = act;
}

// The microphone

let recording = null; // the recording that runs or finishes

class Recording {
  constructor(card) {
    this.card = card;
    this.closing = false;
  }

  async start() {
    status("Waiting for the microphone…");
    this.microphone = await Microphone.open(
      (samples, peak) => this.#send(samples, peak),
      () => this.stop(new Problem("The microphone was disconnected. The text so far is kept.", "gone")),
    );
    const start = { ...chosenOptions(), sample_rate: this.microphone.sampleRate };
    this.card ??= new TranscriptCard(`Microphone, ${timeOfDay()}`, `captions-${fileTime()}`, FORMATS);
    this.card.remove.disabled = true;
    this.card.resume();
    status("Connecting…");
    this.stream = new LiveStream(start, (event) => this.#receive(event), (problem) => this.#end(problem));
    at("meters").hidden = false;
    button("Stop");
  }

  /** Stop recording and wait for the rest of the text. */
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

  #send(samples, peak) {
    at("level").value = Math.sqrt(peak);
    this.stream?.send(samples);
    this.card?.advance(this.stream?.seconds ?? 0);
  }

  #receive(event) {
    if (event.type === "ready" && !this.closing) status("Listening. Speak.");
    if (event.type === "error") complain(new Problem(event.error.message));
    if (event.type === "partial") {
      const behind = Math.max(0, this.stream.seconds - event.time);
      at("lag").value = behind;
      at("lag-text").textContent = `${behind.toFixed(2)} s`;
    }
    this.card.handle(event);
  }

  async #end(problem) {
    if (!this.closing) {
      this.closing = true;
      await this.microphone.close();
    }
    recording = null;
    this.card.close();
    this.card.remove.disabled = false;
    at("meters").hidden = true;
    at("lag-text").textContent = "–";
    at("lag").value = at("level").value = 0;
    button("Start captions");
    status("Stopped.");
    const told = problem ?? this.problem;
    if (told) complain(told, { label: "Reconnect", act: () => record(this.card) });
  }
}

/** Start recording, in a new card or in the given one. */
async function record(card = null) {
  if (recording) return;
  complain(null);
  button("Starting…", { disabled: true });
  recording = new Recording(card);
  try {
    await recording.start();
  } catch (problem) {
    recording = null;
    button("Start captions");
    status("");
    complain(problem, { label: "Try again", act: () => record(card) });
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

// Files, one at a time

let queue = Promise.resolve();

function add(files) {
  for (const file of files) {
    const card = new TranscriptCard(file.name, file.name, FORMATS);
    const control = new AbortController();
    card.remove.disabled = true;
    card.cancel.onclick = () => control.abort();
    card.showProgress("Waiting", NaN);
    queue = queue.then(() => transcribe(file, card, control.signal));
  }
}

async function transcribe(file, card, signal) {
  try {
    if (signal.aborted) throw new Problem("Cancelled.", "cancelled");
    const seconds = await secondsOf(file);
    await recognize(file, chosenOptions(), {
      signal,
      onUpload: (part) => card.showProgress(part < 1 ? "Uploading" : "Waiting", part < 1 ? part : NaN),
      onEvent: (event) => {
        card.handle(event);
        card.showProgress(`Recognizing ${clock(card.duration)}`, card.duration / seconds);
        if (event.warnings) card.showProblem(event.warnings.join(" "));
      },
    });
    status(`${file.name} is done.`);
  } catch (problem) {
    card.showProblem(problem.message);
    if (problem.code?.endsWith("_api_key")) begin();
  }
  card.progress.hidden = true;
  card.remove.disabled = false;
  card.close();
}

// Event handlers

at("microphone").addEventListener("click", () => {
  if (at("microphone").getAttribute("aria-disabled") === "true") return;
  if (recording) recording.stop();
  else record();
});
at("language").addEventListener("change", () => recording?.setLanguage(at("language").value));
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(at("key-value").value.trim());
  begin();
});
at("transcripts").addEventListener("click", ({ target }) => {
  if (!target.classList.contains("remove")) return;
  target.closest(".transcript").remove();
  if (!recording) complain(null); // the problem may have offered to continue this card
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
    event.preventDefault(); // otherwise the browser opens the file
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !at("choose").disabled) add([...event.dataTransfer.files]);
  });
}
addEventListener("beforeunload", (event) => {
  if (recording) event.preventDefault();
});

begin();
