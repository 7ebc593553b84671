// A file to the server, and its events while it is recognised.

import { Problem, headers, problemOf, unreachable } from "./api.js";

/**
 * Upload a file and take its events; resolves behind the last, rejects with a Problem.
 * @param {File} file
 * @param {object} options language, chunk_ms, phrases
 * @param {{ onUpload: (part: number) => void, onEvent: (event: object) => void, signal: AbortSignal }} tell
 */
export function recognise(file, options, { onUpload, onEvent, signal }) {
  const form = new FormData();
  form.append("language", options.language);
  form.append("chunk_ms", options.chunk_ms);
  for (const phrase of options.phrases) form.append("phrases", phrase);
  form.append("file", file);
  return new Promise((resolve, reject) => {
    // Not `fetch`, which does not tell how much of a file is sent.
    const request = new XMLHttpRequest();
    let read = 0;
    let final = false;
    const take = () => {
      if (request.status !== 200) return;
      for (;;) {
        const end = request.responseText.indexOf("\n", read);
        if (end < 0) return;
        const line = request.responseText.slice(read, end);
        read = end + 1;
        const event = JSON.parse(line);
        if (event.type === "error") reject(problemOf(line));
        else onEvent(event);
        final ||= event.type === "final";
      }
    };
    request.open("POST", "v1/stream");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onUpload(loaded / total);
    request.onprogress = take;
    request.onload = () => {
      take();
      if (request.status !== 200) reject(problemOf(request.responseText, request.status));
      else if (final) resolve();
      else reject(new Problem("The server stopped in the middle of the file."));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new Problem("Cancelled. The text so far is kept.", "cancelled"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Seconds of a file's audio as far as the browser can tell; NaN when it cannot. */
export function secondsOf(file) {
  return new Promise((resolve) => {
    const audio = new Audio();
    const url = URL.createObjectURL(file);
    const done = (seconds) => {
      URL.revokeObjectURL(url);
      resolve(Number.isFinite(seconds) ? seconds : NaN);
    };
    audio.onloadedmetadata = () => done(audio.duration);
    audio.onerror = () => done(NaN);
    audio.preload = "metadata";
    audio.src = url;
  });
}
