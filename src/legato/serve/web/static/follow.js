// Keeps the end of a growing text in view, until somebody scrolls up; a button goes on.

export class Follower {
  /**
   * @param {HTMLElement} scroller has the scroll bar
   * @param {HTMLElement} content grows
   * @param {HTMLButtonElement} button shown while the end is not followed
   */
  constructor(scroller, content, button) {
    Object.assign(this, { scroller, button });
    this.active = false;
    this.following = true;
    this.last = 0;
    scroller.addEventListener("scroll", () => this.#scrolled());
    button.addEventListener("click", () => {
      this.goOn();
      scroller.focus();
    });
    const observer = new ResizeObserver(() => this.#keep());
    observer.observe(scroller);
    observer.observe(content);
  }

  /** Follow from now on, or no longer. A text that is not followed is read from its beginning. */
  activate(active) {
    this.active = active;
    if (active) this.goOn();
    else this.button.hidden = true;
  }

  goOn() {
    this.following = true;
    this.button.hidden = true;
    this.#keep();
  }

  #keep() {
    if (!this.active || !this.following) return;
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.last = this.scroller.scrollTop;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const atEnd = scrollHeight - scrollTop - clientHeight < 8;
    // New text leaves the place of the scroll bar; only the user moves it up.
    if (atEnd) this.following = true;
    else if (scrollTop < this.last - 1) this.following = false;
    this.last = scrollTop;
    this.button.hidden = !this.active || this.following;
  }
}
