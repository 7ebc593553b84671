// Captions on the whole screen: the text in large letters, and controls that go away.

import { at, stored } from "./dom.js";

const SIZES = [1.5, 2, 2.5, 3, 3.75, 4.5, 5.5, 7]; // rem
const CONTROLS_STAY_MS = 3500;

const stage = at("stage");
let card = null;
let size = 2;
let timer = 0;

/** Whether the stage is open. */
export const isOpen = () => !stage.hidden;

/** Open the stage with the text of a card, or without one until `show` brings it. */
export async function open(first) {
  stage.hidden = false;
  for (const element of document.querySelectorAll("[data-page]")) element.inert = true;
  at("stage-controls").prepend(at("microphone"));
  at("stage-state").append(at("state"));
  show(first);
  wake();
  at("microphone").focus();
  try {
    await document.documentElement.requestFullscreen?.({ navigationUI: "hide" });
  } catch {
    // Some phones have no such screen; the stage then fills the page.
  }
}

/** Show the text of a card in place of the one before. */
export function show(next) {
  giveBack();
  card = next;
  if (!card) return;
  at("stage-text").append(card.reading);
  card.follower.activate(true);
}

export function close() {
  if (!isOpen()) return;
  giveBack();
  stage.hidden = true;
  for (const element of document.querySelectorAll("[data-page]")) element.inert = false;
  at("dock").prepend(at("microphone"));
  at("state-home").append(at("state"));
  if (document.fullscreenElement) document.exitFullscreen();
  at("enlarge").focus();
}

function giveBack() {
  if (!card) return;
  card.element.append(card.reading);
  card.follower.activate(card.element.classList.contains("live"));
  card = null;
}

/** Show the controls, and hide them after a while in which nobody used them. */
function wake() {
  stage.classList.remove("calm");
  clearTimeout(timer);
  timer = setTimeout(() => {
    const used = at("stage-bar").matches(":hover") || at("stage-bar").querySelector("select:focus");
    const needed = !at("problem").hidden || !["listening", "reconnected"].includes(document.documentElement.dataset.state);
    if (used || needed) wake();
    else stage.classList.add("calm");
  }, CONTROLS_STAY_MS);
}

function resize(step) {
  size = Math.max(0, Math.min(SIZES.length - 1, size + step));
  stage.style.setProperty("--size", `${SIZES[size]}rem`);
  at("smaller").disabled = size === 0;
  at("larger").disabled = size === SIZES.length - 1;
  stored.set("size", size);
}

function recolor() {
  stage.dataset.contrast = at("contrast").value;
  stored.set("contrast", at("contrast").value);
}

at("smaller").addEventListener("click", () => resize(-1));
at("larger").addEventListener("click", () => resize(1));
at("contrast").addEventListener("change", recolor);
at("leave").addEventListener("click", close);
for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) stage.addEventListener(kind, wake);
document.addEventListener("fullscreenchange", () => {
  if (!document.fullscreenElement) close();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});

const known = [...at("contrast").options].map((option) => option.value);
at("contrast").value = known.includes(stored.get("contrast")) ? stored.get("contrast") : "page";
size = Number(stored.get("size") ?? (matchMedia("(max-width: 40rem)").matches ? 1 : 4));
resize(0);
recolor();
