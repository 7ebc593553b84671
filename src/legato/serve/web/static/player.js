// Plays the file of a transcript from any word, and shows the word that is spoken.

import { make } from "./dom.js";

// The model writes a word after its beginning; subtitles appear as much earlier (legato.text.style).
const LEAD = 0.3;

export class Player {
  /**
   * @param {File} file
   * @param {HTMLElement} home
   * @param {() => { start: number, end: number, element: HTMLElement }[]} words in order of time
   */
  constructor(file, home, words) {
    this.words = words;
    this.media = make(file.type.startsWith("video/") ? "video" : "audio", { controls: true, preload: "metadata" });
    this.media.setAttribute("aria-label", `Player of ${file.name}`);
    // Resolves to the seconds of the file; NaN if the browser cannot play it.
    this.seconds = new Promise((resolve) => {
      this.media.onloadedmetadata = () => {
        home.hidden = false;
        resolve(Number.isFinite(this.media.duration) ? this.media.duration : NaN);
      };
      this.media.onerror = () => resolve(NaN);
    });
    if (this.media.localName === "video") {
      this.track = make("track", { kind: "captions", label: "Legato", default: true });
      this.media.append(this.track);
    }
    this.media.addEventListener("playing", () => this.#follow());
    this.media.addEventListener("seeked", () => this.#show());
    this.media.src = URL.createObjectURL(file);
    home.append(this.media);
  }

  /** Play from a time. */
  play(seconds) {
    this.media.currentTime = Math.max(0, seconds - LEAD);
    this.media.play();
  }

  /** Show subtitles over a video. @param {Blob} vtt */
  setSubtitles(vtt) {
    if (!this.track) return;
    URL.revokeObjectURL(this.track.src);
    this.track.src = URL.createObjectURL(vtt);
  }

  get hasPicture() {
    return Boolean(this.track);
  }

  #follow() {
    this.#show();
    if (!this.media.paused && !this.media.ended) requestAnimationFrame(() => this.#follow());
  }

  #show() {
    const time = this.media.currentTime + LEAD / 2;
    const word = this.words().findLast(({ start }) => start <= time);
    const element = word && time < word.end + 1 ? word.element : null;
    if (element === this.shown) return;
    const { bottom = 0, top = 0 } = this.shown?.getBoundingClientRect() ?? {};
    const inView = top >= 0 && bottom <= innerHeight; // if the reader went elsewhere, the page stays there
    this.shown?.classList.remove("now");
    this.shown = element;
    element?.classList.add("now");
    if (element && inView) element.scrollIntoView({ block: "nearest" });
  }
}
