// Files, transcribed one at a time.

import { Problem } from "./api.js";
import { Card } from "./card.js";
import { clock } from "./dom.js";
import { chosen } from "./settings.js";
import { say } from "./states.js";
import { recognize } from "./upload.js";

let queue = Promise.resolve();

/** Transcribe files after those that wait. @param {() => void} onKey called if the server wants a key */
export function add(files, onKey) {
  for (const file of files) {
    const card = new Card(file.name, file.name);
    const control = new AbortController();
    card.remove.disabled = true;
    card.cancel.onclick = () => control.abort();
    card.showProgress("Waiting", NaN);
    const seconds = card.addPlayer(file);
    queue = queue.then(() => transcribe(file, seconds, card, control.signal, onKey));
  }
}

async function transcribe(file, length, card, signal, onKey) {
  try {
    if (signal.aborted) throw new Problem("Cancelled.", "cancelled");
    const seconds = await length;
    await recognize(file, chosen(), {
      signal,
      onUpload: (part) => card.showProgress(part < 1 ? "Uploading" : "Waiting", part < 1 ? part : NaN),
      onEvent: (event) => {
        card.handle(event);
        card.showProgress(`Recognizing ${clock(card.duration)}`, card.duration / seconds);
      },
    });
    card.close();
    say(`${file.name} is done.`);
  } catch (problem) {
    card.showProblem(problem);
    card.close(true);
    say(`${file.name} ${problem.code === "cancelled" ? "was cancelled" : "failed"}.`);
    if (problem.code?.endsWith("_api_key")) onKey();
  }
}
