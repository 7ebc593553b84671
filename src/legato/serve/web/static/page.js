// The page: what the server offers, and what happens when controls are used.

import { ask, key } from "./api.js";
import { Card } from "./card.js";
import { at, copyText, flash, make } from "./dom.js";
import { add } from "./files.js";
import { Recording } from "./recording.js";
import { chosen, lock, offer } from "./settings.js";
import * as stage from "./stage.js";
import { showProblem, showState } from "./states.js";
import { keepAwake } from "./wake-lock.js";

let recording = null; // the recording that runs or finishes
let live = null; // the card of the newest recording

async function begin() {
  let choices;
  try {
    choices = await (await ask("v1/stream")).json();
  } catch (problem) {
    const keyless = ["missing_api_key", "invalid_api_key"].includes(problem.code);
    at("key").hidden = !keyless;
    if (keyless) at("key-value").focus();
    showState("failed", keyless ? "A key is needed." : "Not connected.");
    if (problem.code !== "missing_api_key") {
      showProblem(problem, { label: "Try again", act: keyless ? null : begin });
    }
    return;
  }
  at("key").hidden = true;
  showProblem(null);
  offer(choices);
  showModel(choices);
  for (const id of ["microphone", "enlarge", "choose"]) at(id).disabled = false;
  showState("idle");
}

/** Show which model runs and, for the small one inside Legato, how to get the full one. */
function showModel({ model, full_model: command }) {
  at("model").hidden = false;
  at("model-name").textContent = model;
  at("model-note-button").hidden = !command;
  at("model-command").textContent = command ?? "";
  showNote(Boolean(command) && sessionStorage.getItem("legato-note") !== "closed");
}

function showNote(shown) {
  at("model-note").hidden = !shown;
  at("model-note-button").setAttribute("aria-expanded", String(shown));
}

/** Start a recording, in a new card or after the text of one. */
async function record(card = null) {
  if (recording) return;
  showProblem(null);
  showButton("Starting…", false);
  lock(true);
  const own = (recording = new Recording(chosen(), listeners(card)));
  try {
    await own.start();
  } catch (problem) {
    recording = null;
    finish(problem, { label: "Try again", act: () => record(card) });
  }
}

function listeners(card) {
  const before = card?.duration ?? 0;
  return {
    onState: (state) => {
      showState(state);
      if (state === "connecting") showButton("Stop", true);
      if (state === "finishing") showButton("Finishing…", false);
    },
    onLevel: (peak) => (at("level").value = Math.sqrt(peak)),
    onDelay: (seconds) => (at("lag").textContent = `${Math.max(0, seconds).toFixed(1)} s`),
    onWarning: (problem) => showProblem(problem),
    onStream: (seconds) => {
      card = present(card);
      card.continueAt(before + seconds);
    },
    onEvent: (event) => card?.handle(event),
    onTime: (seconds) => card?.advance(before + seconds),
    onEnd: (problem) => {
      recording = null;
      card?.close();
      card?.setLive(false);
      finish(problem, { label: card ? "Continue" : "Try again", act: () => record(card) });
    },
  };
}

/** Show the card that is written; a new one if there is none. */
function present(card) {
  showNote(false);
  if (!card) {
    const time = new Date();
    const hour = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    const local = new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString();
    card = new Card(`Captions, ${hour}`, `captions-${local.slice(0, 16).replace("T", "-").replace(":", "")}`);
  }
  live = card;
  card.setLive(true);
  if (stage.isOpen()) stage.show(card);
  at("meters").hidden = false;
  keepAwake(true);
  return card;
}

function finish(problem, action) {
  keepAwake(false);
  lock(false);
  at("meters").hidden = true;
  at("lag").textContent = "–";
  showButton("Start captions", true);
  showState(problem ? "failed" : "stopped", problem ? "Captions are off." : "");
  showProblem(problem, problem ? action : {});
}

function showButton(text, enabled) {
  at("microphone-text").textContent = text;
  at("microphone").setAttribute("aria-disabled", String(!enabled));
  at("microphone").classList.toggle("on", text === "Stop");
}

function transcribe(files) {
  showNote(false);
  add([...files], begin);
}

/** Take a card away, with a way back. */
function remove(element) {
  const title = element.querySelector("h3").textContent;
  document.querySelector(".removed")?.remove();
  element.querySelector("audio, video")?.pause();
  const undo = make("button", { type: "button", className: "plain", textContent: "Undo" });
  const notice = make("p", { className: "row removed quiet" }, make("span", {}, `${title} was removed.`), undo);
  undo.addEventListener("click", () => {
    notice.replaceWith(element);
    at("welcome").hidden = true;
    element.querySelector(".remove").focus();
  });
  element.replaceWith(notice);
  at("welcome").hidden = document.querySelector(".transcript") !== null;
  if (!recording) showProblem(null); // the problem may have offered to continue this card
  undo.focus();
}

at("microphone").addEventListener("click", () => {
  if (at("microphone").getAttribute("aria-disabled") === "true") return;
  if (recording) recording.stop();
  else record();
});
at("enlarge").addEventListener("click", () => {
  stage.open(recording ? live : null);
  if (!recording) record();
});
at("language").addEventListener("change", () => recording?.setLanguage(at("language").value));
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(at("key-value").value.trim());
  begin();
});
at("model-note-button").addEventListener("click", () => showNote(at("model-note").hidden));
at("model-note-close").addEventListener("click", () => {
  sessionStorage.setItem("legato-note", "closed");
  showNote(false);
  at("model-note-button").focus();
});
at("model-copy").addEventListener("click", async () => {
  await copyText(at("model-command").textContent);
  flash(at("model-copy"), "Copied");
});
at("transcripts").addEventListener("click", ({ target }) => {
  if (target.closest(".remove")) remove(target.closest(".transcript"));
});
at("choose").addEventListener("click", () => at("files").click());
at("files").addEventListener("change", () => {
  transcribe(at("files").files);
  at("files").value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault(); // otherwise the browser opens the file
    at("drop-hint").hidden = kind !== "dragover" || at("choose").disabled;
    if (kind === "drop" && !at("choose").disabled) transcribe(event.dataTransfer.files);
  });
}
addEventListener("beforeunload", (event) => {
  const unsaved = document.querySelector(".transcript[data-unsaved]") !== null;
  if (recording || unsaved) event.preventDefault();
});

showState("loading");
begin();
