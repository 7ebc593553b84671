// What the page says in every state of a recording, and what the user can do about a problem.

import { at, sentence } from "./dom.js";

const LINES = {
  loading: "Connecting to the server…",
  idle: "Ready. Start captions and speak.",
  asking: "Allow the microphone when the browser asks.",
  connecting: "Connecting…",
  listening: "Listening. Speak.",
  silent: "No sound arrives. Is the microphone muted?",
  lost: "The connection was lost. It is being made again; keep speaking, the last 30 s are kept.",
  reconnected: "Connected again. The captions go on.",
  finishing: "Waiting for the last words…",
  stopped: "Stopped. Copy, correct or download the text.",
};

const TITLES = {
  NotAllowedError: "The microphone is blocked",
  NotFoundError: "There is no microphone",
  NotReadableError: "The microphone is in use",
  insecure: "The microphone needs a safe address",
  no_sound: "The browser cannot record",
  gone: "The microphone was disconnected",
  unreachable: "The server cannot be reached",
  lost: "The connection to the server was lost",
  shutting_down: "The server is shutting down",
  server_busy: "The server is busy",
  overloaded: "The server is busy",
  invalid_api_key: "The key is not valid",
};

const WITHOUT_CAPTIONS = ["loading", "idle", "stopped", "failed"];
const SAID_MS = 5000;

let line = ""; // of the state
let timer = 0;

/** Show a state; `more` replaces its line. */
export function showState(state, more = "") {
  clearTimeout(timer);
  document.documentElement.dataset.state = state;
  line = more || LINES[state];
  at("status").textContent = line;
  document.title = ["listening", "reconnected", "silent"].includes(state) ? "● Legato" : "Legato";
}

/** Say something without a change of the state. While captions run, their state is shown again after some seconds. */
export function say(text) {
  clearTimeout(timer);
  at("status").textContent = text;
  if (WITHOUT_CAPTIONS.includes(document.documentElement.dataset.state)) return;
  timer = setTimeout(() => (at("status").textContent = line), SAID_MS);
}

/** Return the text of a problem where no title is shown. */
export function described({ message, code }) {
  return sentence(code === "unreachable" ? `${TITLES.unreachable}. ${message}` : message);
}

/** Show a problem with an action that may help; null hides it. */
export function showProblem(problem, { label = "", act = null } = {}) {
  at("problem").hidden = problem === null;
  at("problem-title").textContent = TITLES[problem?.code] ?? "Something went wrong";
  at("problem-text").textContent = problem?.message ?? "";
  at("again").hidden = act === null;
  at("again").textContent = label;
  at("again").onclick = act;
}
