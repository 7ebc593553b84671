// The settings: what the server offers, and what the user chose, here or at the last visit.

import { at, languageName, nameLanguages, stored } from "./dom.js";

const LATENCIES = ["Quickest", "Quick", "Balanced", "Accurate", "Most accurate"];

let chunks = []; // chunk sizes in milliseconds, the shortest first

/** Fill the controls. @param {object} choices of the server, from GET /v1/stream */
export function offer(choices) {
  nameLanguages(choices.languages);
  const languages = choices.languages.map((value) => ({ value, text: label(value) })).sort(byLabel);
  const options = languages.map(({ value, text }) => new Option(text, value));
  at("language").replaceChildren(...options);
  choose(at("language"), [stored.get("language"), choices.language_default]);
  chunks = choices.chunk_ms;
  at("latency").max = chunks.length - 1;
  const wanted = [Number(stored.get("chunk-ms")), choices.chunk_ms_default].find((ms) => chunks.includes(ms));
  at("latency").value = Math.max(0, chunks.indexOf(wanted));
  for (const id of ["language", "latency"]) at(id).disabled = false;
  offerMarks(choices.marks, choices.confidence);
  show();
}

/** Return the options of a stream. */
export function chosen() {
  const phrases = at("phrases").value.split(/[,;，、；]/).map((phrase) => phrase.trim()).filter(Boolean);
  return { language: at("language").value, chunk_ms: chunks[at("latency").value], phrases };
}

/** Lock what a running stream cannot change. */
export function lock(locked) {
  for (const id of ["latency", "phrases"]) at(id).disabled = locked;
  at("settings-hint").hidden = !locked;
}

/**
 * Return the confidences below which a word is `doubtful` or `unsure`, and whether confidences are `probabilities`;
 * null without a calibration of the model.
 */
export function marks() {
  return thresholds;
}

let thresholds = null;

function offerMarks(found, confidence) {
  thresholds = found && { ...found, probabilities: confidence === "calibrated" };
  at("marks").hidden = found === null;
  at("marks-on").checked = stored.get("marks") !== "off";
}

function label(language) {
  return language === "auto" ? "Detect automatically" : languageName(language);
}

function byLabel(one, other) {
  const auto = (each) => Number(each.value !== "auto");
  return auto(one) - auto(other) || one.text.localeCompare(other.text);
}

function choose(select, values) {
  const there = [...select.options].map((option) => option.value);
  const value = values.find((each) => there.includes(each)) ?? values.at(-1);
  if (!there.includes(value)) select.prepend(new Option(value, value)); // such as de-AT
  select.value = value;
}

function show() {
  const ms = chunks[at("latency").value];
  const step = chunks.length > 1 ? (LATENCIES.length - 1) / (chunks.length - 1) : 0;
  const name = LATENCIES[Math.round(at("latency").value * step)];
  const every = `${(ms / 1000).toLocaleString("en", { maximumFractionDigits: 2 })} s`;
  at("latency").setAttribute("aria-valuetext", name);
  at("latency-hint").textContent = `${name}: new text every ${every}`;
  const { text } = at("language").selectedOptions[0] ?? {};
  at("settings-summary").textContent = [text, name.toLowerCase()].filter(Boolean).join(", ");
  document.documentElement.toggleAttribute("data-marks", thresholds !== null && at("marks-on").checked);
}

at("settings").addEventListener("input", () => {
  stored.set("language", at("language").value);
  stored.set("chunk-ms", chunks[at("latency").value]);
  stored.set("marks", at("marks-on").checked ? "on" : "off");
  show();
});

// Where there is room, the settings are always open.
const wide = matchMedia("(min-width: 60rem)");
const fit = () => (at("settings").open = wide.matches);
wide.addEventListener("change", fit);
fit();
