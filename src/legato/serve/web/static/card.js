// The card of a transcript: the text of one recording or file, and what the user can do with it.

import { ask } from "./api.js";
import { spread, split } from "./align.js";
import { at, clock, copyText, flash, languageName, make, save, sentence } from "./dom.js";
import { Follower } from "./follow.js";
import { Growing } from "./growing.js";
import { Line } from "./line.js";
import { Player } from "./player.js";
import { described } from "./states.js";

const FORMATS = ["srt", "vtt", "txt", "json"];

export class Card {
  /**
   * Add a new card to the page.
   * @param {string} title the heading
   * @param {string} file name of the recording or file, for downloads
   */
  constructor(title, file) {
    Object.assign(this, { title, file });
    this.lines = [];
    this.partial = null; // { text, start, end } of the open segment
    this.offset = 0; // seconds before the current stream
    this.duration = 0; // seconds of audio
    this.changes = 0; // of text that nobody has elsewhere: lines of captions, and corrections
    this.element = at("card").content.cloneNode(true).firstElementChild;
    const find = (selector) => this.element.querySelector(selector);
    for (const name of ["reading", "text", "summary", "problem", "progress", "actions", "hint", "remove", "cancel"]) {
      this[name] = find(`.${name}`);
    }
    this.list = find("ol");
    this.growing = new Growing(find(".growing"));
    this.follower = new Follower(this.text, find(".column"), find(".go-on"));
    find("h3").textContent = title;
    this.remove.ariaLabel = this.remove.title = `Remove ${title}`;
    this.actions.setAttribute("aria-label", title);
    this.#listen(find(".copy"), find(".correct"), find(".downloads"));
    at("transcripts").prepend(this.element);
    at("welcome").hidden = true;
  }

  /** What is exported: the segments with their corrections. */
  get segments() {
    return this.lines.map((line) => line.segment).filter(({ text }) => text);
  }

  /** Captions are written, and their end is followed; or no longer. New lines are read to users of screen readers. */
  setLive(live) {
    this.element.classList.toggle("live", live);
    this.remove.disabled = live;
    this.text.role = live ? "log" : null;
    this.text.ariaLabel = live ? `Text of ${this.title}` : null;
    this.text.ariaLive = live ? "polite" : null;
    if (live) this.text.tabIndex = 0;
    else this.text.removeAttribute("tabindex");
    this.#endCorrections();
    this.element.querySelector(".correct").hidden = live;
    this.follower.activate(live);
  }

  /** Offer to play the file. Resolves to its seconds; NaN if the browser cannot play it. */
  async addPlayer(file) {
    const words = () => this.lines.flatMap((line) => line.words);
    this.player = new Player(file, this.element.querySelector(".player"), words);
    const seconds = await this.player.seconds;
    this.playable = !this.element.querySelector(".player").hidden;
    this.#showHint();
    return seconds;
  }

  /** The next events are of a stream that begins after so many seconds. An open segment is kept as it is. */
  continueAt(seconds) {
    this.#keepPartial();
    this.offset = seconds;
  }

  /** Process an event of the stream. */
  handle(event) {
    if (event.warnings) this.showProblem({ message: event.warnings.map(sentence).join(" ") });
    if (event.type === "partial") this.#grow(event);
    else if (event.type === "segment") this.#settle(event);
    else if (event.type === "final") this.advance(this.offset + event.duration);
  }

  /** The audio has reached so many seconds. */
  advance(seconds) {
    this.duration = Math.max(this.duration, seconds);
  }

  /** End the transcript. @param {boolean} failed whether a problem ended it */
  close(failed = false) {
    this.#keepPartial();
    this.progress.hidden = true;
    this.remove.disabled = false;
    if (this.lines.length) this.#summarize();
    else this.summary.textContent = failed ? "" : "No speech was recognized";
    this.#subtitle();
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

  /** Show an error or a warning. @param {Problem | { message: string }} problem */
  showProblem(problem) {
    this.problem.hidden = false;
    this.problem.textContent = described(problem);
  }

  #grow({ text, time }) {
    const start = Math.max(this.offset, this.lines.at(-1)?.segment.end ?? 0);
    this.partial = { text, start, end: Math.max(start, this.offset + time) };
    this.advance(this.offset + time);
    this.growing.show(text);
  }

  #settle(event) {
    this.advance(this.offset + event.end);
    this.#forgetPartial();
    if (!event.text) return;
    const move = (each) => ({ ...each, start: each.start + this.offset, end: each.end + this.offset });
    this.#add({ ...move(event), words: event.words.map(move) });
  }

  #keepPartial() {
    if (this.partial?.text) {
      const { text, start, end } = this.partial;
      const words = spread(split(text), start, end);
      this.#add({ type: "segment", text, start, end, language: null, reason: "end", confidence: null, words });
    }
    this.#forgetPartial();
  }

  #forgetPartial() {
    this.partial = null;
    this.growing.show("");
  }

  #add(segment) {
    if (this.element.classList.contains("live")) this.#markUnsaved();
    const line = new Line(segment);
    if (this.playable) line.hear((seconds) => this.player.play(seconds));
    this.lines.push(line);
    this.list.append(line.element);
    this.actions.hidden = false;
    this.#showHint();
    this.#summarize();
  }

  #summarize() {
    const languages = [...new Set(this.segments.map(({ language }) => language).filter(Boolean))].map(languageName);
    const words = this.segments.reduce((sum, { words: { length } }) => sum + length, 0);
    this.summary.textContent = [clock(this.duration), ...languages, `${words} words`].join(" · ");
  }

  #listen(copy, correct, downloads) {
    copy.addEventListener("click", () => this.#copy(copy));
    correct.addEventListener("click", () => this.#toggleCorrections(correct));
    for (const format of FORMATS) {
      const button = make("button", { type: "button", className: "plain", textContent: format.toUpperCase() });
      button.setAttribute("aria-label", `Download ${format.toUpperCase()}`);
      button.addEventListener("click", () => this.#download(format));
      downloads.append(button);
    }
  }

  #markUnsaved() {
    this.element.dataset.unsaved = ++this.changes;
  }

  /** The text was copied or downloaded as it was after so many changes. */
  #markSaved(changes) {
    if (changes === this.changes) delete this.element.dataset.unsaved;
  }

  async #copy(button) {
    const { changes } = this;
    try {
      await copyText(this.segments.map(({ text }) => text).join("\n"));
      this.#markSaved(changes);
      flash(button, "Copied");
    } catch (error) {
      this.showProblem({ message: `The text could not be copied: ${error.message}` });
    }
  }

  async #download(format) {
    this.problem.hidden = true;
    const { changes } = this;
    try {
      save(await this.#written(format), `${this.file.replace(/\.[^.]{1,5}$/, "")}.${format}`);
      this.#markSaved(changes);
    } catch (problem) {
      this.showProblem(problem);
    }
  }

  async #written(format) {
    const body = JSON.stringify({ segments: this.segments, file: this.file });
    const type = { "Content-Type": "application/json" };
    return (await ask(`v1/formats/${format}`, { method: "POST", body, headers: type })).blob();
  }

  async #subtitle() {
    if (!this.player?.hasPicture || !this.lines.length) return;
    try {
      this.player.setSubtitles(await this.#written("vtt"));
    } catch (problem) {
      this.showProblem(problem);
    }
  }

  #showHint() {
    const correcting = this.element.classList.contains("correcting");
    this.hint.hidden = !correcting && !(this.playable && this.lines.length);
    this.hint.textContent = correcting
      ? "Correct the text. Copy and downloads take it as it is."
        + (this.playable ? " Ctrl+Enter plays from the word at the cursor." : "")
      : "Click a word to hear it.";
  }

  #toggleCorrections(button) {
    const on = button.getAttribute("aria-pressed") !== "true";
    if (!on) return this.#endCorrections();
    button.setAttribute("aria-pressed", "true");
    this.element.classList.add("correcting");
    this.#showHint();
    for (const line of this.lines) line.correct(() => this.#markUnsaved());
    this.lines[0]?.paragraph.focus();
  }

  #endCorrections() {
    const button = this.element.querySelector(".correct");
    if (button.getAttribute("aria-pressed") !== "true") return;
    button.setAttribute("aria-pressed", "false");
    this.element.classList.remove("correcting");
    this.#showHint();
    for (const line of this.lines) line.correct(null);
    this.#summarize();
    this.#subtitle();
  }
}
