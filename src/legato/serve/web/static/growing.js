// The open segment: its words are settled as soon as the next one begins, so only the last may still grow.

import { split } from "./align.js";
import { make } from "./dom.js";

export class Growing {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    this.settled = document.createTextNode("");
    this.open = make("span", { className: "open" });
    element.append(this.settled, this.open);
  }

  show(text) {
    const last = split(text).at(-1) ?? "";
    this.settled.data = text.slice(0, text.lastIndexOf(last));
    this.open.textContent = last;
    this.element.hidden = !text;
  }
}
