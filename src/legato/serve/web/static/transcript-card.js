// The card of a transcript: the text of one recording or file, and what the user can do with it.

import { ask } from "./api.js";

// A word with a confidence below these is marked as fair or poor.
const FAIR = 0.9;
const POOR = 0.6;

export class TranscriptCard {
  /**
   * Add a new card to the page.
   * @param {string} title the heading
   * @param {string} file name of the recording or file, for downloads
   * @param {string[]} formats the formats of the downloads
   */
  constructor(title, file, formats) {
    this.file = file;
    this.segments = []; // `segment` events, with times from the start of the card
    this.partial = null;
    this.offset = 0; // seconds of audio before the current stream
    this.duration = 0; // seconds of audio
    this.element = document.getElementById("transcript-card").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.element.querySelector(selector);
    [this.text, this.list, this.growing] = [find(".text"), find("ol"), find(".text .partial")];
    [this.summary, this.problem, this.progress] = [find(".summary"), find(".problem"), find(".progress")];
    [this.downloads, this.cancel, this.remove] = [find(".downloads"), find(".cancel"), find(".remove")];
    find("h3").textContent = title;
    this.text.setAttribute("aria-label", `Text of ${title}`);
    this.remove.setAttribute("aria-label", `Remove ${title}`);
    this.downloads.setAttribute("aria-label", `Download ${title}`);
    for (const format of formats) this.#offer(title, format);
    document.getElementById("transcripts").prepend(this.element);
  }

  /** Continue with another stream after the text so far. */
  resume() {
    this.offset = this.duration;
  }

  /** Process an event of the stream. */
  handle(event) {
    if (event.type === "partial") this.#grow(event);
    else if (event.type === "segment") this.#settle(event);
    else if (event.type === "final") this.advance(event.duration);
  }

  /** Record that the current stream has reached `seconds`. */
  advance(seconds) {
    this.duration = Math.max(this.duration, this.offset + seconds);
  }

  /** End the transcript. The text of an open segment is kept as it is. */
  close() {
    if (this.partial) {
      const { text, start, end } = this.partial;
      const words = text.split(/\s+/).filter(Boolean);
      const at = (index) => start + ((end - start) * index) / words.length;
      // The times of these words are unknown, so they are spread evenly.
      const spread = words.map((word, index) => ({ text: word, start: at(index), end: at(index + 1), confidence: 0 }));
      this.#add({ type: "segment", text, start, end, language: null, reason: "end", confidence: 0, words: spread });
    }
    this.#clearPartial();
    if (!this.segments.length && this.problem.hidden) this.summary.textContent = "No speech was recognized";
  }

  /** Show the current step and which part of it is done; NaN if that is unknown. */
  showProgress(what, part) {
    this.progress.hidden = false;
    const [bar, figure] = this.progress.children;
    if (Number.isFinite(part)) bar.value = Math.min(1, part);
    else bar.removeAttribute("value");
    bar.setAttribute("aria-label", what);
    figure.textContent = Number.isFinite(part) ? `${what} ${Math.floor(100 * Math.min(1, part))} %` : what;
  }

  /** Show an error or a warning. */
  showProblem(message) {
    this.problem.hidden = false;
    this.problem.textContent = message;
  }

  #grow({ text, time }) {
    const start = this.segments.at(-1)?.end ?? this.offset;
    this.partial = { text, start, end: Math.max(start, this.offset + time) };
    this.advance(time);
    this.#keepingTheEnd(() => (this.growing.textContent = text));
  }

  #settle(event) {
    this.advance(event.end);
    this.#clearPartial();
    if (!event.text) return;
    const move = (each) => ({ ...each, start: each.start + this.offset, end: each.end + this.offset });
    this.#add({ ...move(event), words: event.words.map(move) });
  }

  #clearPartial() {
    this.partial = null;
    this.growing.textContent = "";
  }

  #add(segment) {
    this.segments.push(segment);
    const item = document.createElement("li");
    const time = document.createElement("time");
    time.textContent = clock(segment.words[0]?.start ?? segment.start);
    const line = document.createElement("p");
    line.dir = "auto";
    if (segment.language) line.lang = segment.language;
    line.append(...marked(segment));
    item.append(time, line);
    this.#keepingTheEnd(() => this.list.append(item));
    this.downloads.hidden = false;
    const languages = [...new Set(this.segments.map(({ language }) => language).filter(Boolean))];
    this.summary.textContent = [clock(this.duration), ...languages].join(" · ");
  }

  /** Change the text. If its end was visible, it stays visible. */
  #keepingTheEnd(change) {
    const { text } = this;
    const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
    change();
    if (atEnd) text.scrollTop = text.scrollHeight;
  }

  #offer(title, format) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "plain";
    button.textContent = format;
    button.setAttribute("aria-label", `Download ${title} as ${format}`);
    button.addEventListener("click", () => this.#download(format));
    this.downloads.append(button);
  }

  async #download(format) {
    this.problem.hidden = true;
    try {
      const body = JSON.stringify({ segments: this.segments, file: this.file });
      const type = { "Content-Type": "application/json" };
      const response = await ask(`v1/formats/${format}`, { method: "POST", body, headers: type });
      const url = URL.createObjectURL(await response.blob());
      const link = document.createElement("a");
      link.href = url;
      link.download = `${this.file.replace(/\.[^.]{1,5}$/, "")}.${format}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
    } catch (problem) {
      this.showProblem(problem.message);
    }
  }
}

/** Return seconds as 1:02 or 1:01:02. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** Yield the text of a segment as nodes, each word marked with its confidence. */
function* marked({ text, words }) {
  let end = 0;
  for (const word of words) {
    const begin = text.indexOf(word.text, end);
    if (begin < 0) continue;
    if (begin > end) yield text.slice(end, begin);
    const span = document.createElement("span");
    span.className = word.confidence < POOR ? "word poor" : word.confidence < FAIR ? "word fair" : "word";
    span.title = `${clock(word.start)}, ${Math.round(100 * word.confidence)} % sure`;
    span.textContent = word.text;
    yield span;
    end = begin + word.text.length;
  }
  if (end < text.length) yield text.slice(end);
}
