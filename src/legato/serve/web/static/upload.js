// Uploads a file and receives its events during recognition.

import { Problem, headers, problemOf, unreachable } from "./api.js";

/**
 * Upload a file and receive its events. Resolves after the last event; rejects with a Problem.
 * @param {File} file
 * @param {object} options language, chunk_ms, phrases
 * @param {{ onUpload: (part: number) => void, onEvent: (event: object) => void, signal: AbortSignal }} callbacks
 */
export function recognize(file, options, { onUpload, onEvent, signal }) {
  const form = new FormData();
  form.append("language", options.language);
  form.append("chunk_ms", options.chunk_ms);
  for (const phrase of options.phrases) form.append("phrases", phrase);
  form.append("file", file);
  return new Promise((resolve, reject) => {
    // Not `fetch`, which does not report the progress of an upload.
    const request = new XMLHttpRequest();
    let read = 0;
    let final = false;
    const receive = () => {
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
    request.onprogress = receive;
    request.onload = () => {
      receive();
      if (request.status !== 200) reject(problemOf(request.responseText, request.status));
      else if (final) resolve();
      else reject(new Problem("The server stopped before the end of the file."));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new Problem("Cancelled. The text so far is kept.", "cancelled"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}
