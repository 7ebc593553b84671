// One line of a transcript: a segment with its time and words, which can be heard and corrected.

import { corrected } from "./align.js";
import { clock, make } from "./dom.js";
import { marks } from "./settings.js";

export class Line {
  /** @param {object} segment a `segment` event; times count from the start of the card */
  constructor(segment) {
    this.recognized = segment;
    this.segment = segment; // with the corrections
    this.edited = false;
    this.words = []; // { start, end, element }
    this.paragraph = make("p", { dir: "auto" });
    if (segment.language) this.paragraph.lang = segment.language;
    this.time = make("time", { textContent: clock(segment.words[0]?.start ?? segment.start) });
    this.element = make("li", {}, this.time, this.paragraph);
    this.#fill();
  }

  /** Make the time a button, and words respond to clicks. @param {(seconds: number) => void} play */
  hear(play) {
    const label = `Play from ${this.time.textContent}`;
    const button = make("button", { type: "button", className: "from", title: label }, this.time.textContent);
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => play(this.segment.words[0]?.start ?? this.segment.start));
    this.time.replaceChildren(button);
    this.paragraph.addEventListener("click", ({ target }) => {
      const word = this.words.find(({ element }) => element === target);
      if (word && !this.paragraph.isContentEditable) play(word.start);
    });
    this.paragraph.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      const word = this.words.find(({ element }) => element.contains(getSelection().focusNode));
      play(word?.start ?? this.segment.start);
    });
  }

  /** Allow or end corrections. @param {(() => void) | null} onChange */
  correct(onChange) {
    const { paragraph } = this;
    if (onChange === null) {
      paragraph.contentEditable = "inherit";
      for (const name of ["role", "aria-label", "aria-multiline"]) paragraph.removeAttribute(name);
      paragraph.oninput = paragraph.onkeypress = paragraph.onblur = null;
      return;
    }
    try {
      paragraph.contentEditable = "plaintext-only";
    } catch {
      paragraph.contentEditable = "true"; // an older browser; only the text is read anyway
    }
    paragraph.role = "textbox";
    paragraph.ariaLabel = `Text at ${clock(this.segment.words[0]?.start ?? this.segment.start)}`;
    paragraph.spellcheck = true;
    paragraph.onkeypress = (event) => {
      if (event.key === "Enter") event.preventDefault(); // a segment is one line
    };
    paragraph.oninput = () => {
      this.edited = true;
      this.segment = corrected(this.recognized, paragraph.textContent.replace(/\s+/gu, " ").trim());
      onChange();
    };
    paragraph.onblur = () => this.#fill();
  }

  /** Write the words, each with its confidence, until a person has corrected the line and so read it. */
  #fill() {
    const { text, words } = this.segment;
    const limits = this.edited ? null : marks();
    const nodes = [];
    this.words = [];
    let end = 0;
    for (const { start, end: last, confidence, ...word } of words) {
      const begin = text.indexOf(word.text, end);
      if (begin < 0) continue;
      if (begin > end) nodes.push(text.slice(end, begin));
      const element = make("span", { className: "word", textContent: word.text });
      if (limits && confidence !== null && confidence < limits.doubtful) {
        element.classList.add(confidence < limits.unsure ? "unsure" : "doubtful");
        if (limits.probabilities) element.title = `${Math.round(100 * confidence)} % sure`;
      }
      this.words.push({ start, end: last, element });
      nodes.push(element);
      end = begin + word.text.length;
    }
    nodes.push(text.slice(end));
    this.paragraph.replaceChildren(...nodes);
  }
}
