// The sound that the server has not used yet, to be sent again after a lost connection.

const MOST_SECONDS = 30;

export class Backlog {
  /** @param {number} sampleRate Hz */
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
    this.blocks = []; // Int16Array, in order
    this.first = 0; // samples before the first block
    this.end = 0; // samples in all
  }

  /** Seconds before the sound that is kept. */
  get start() {
    return this.first / this.sampleRate;
  }

  /** Seconds of sound that were added. */
  get seconds() {
    return this.end / this.sampleRate;
  }

  /** @param {Int16Array} samples */
  add(samples) {
    this.blocks.push(samples);
    this.end += samples.length;
    this.forget(this.seconds - MOST_SECONDS);
  }

  /** Forget whole blocks before a time. */
  forget(seconds) {
    let gone = 0;
    while (gone < this.blocks.length && this.first + this.blocks[gone].length <= seconds * this.sampleRate) {
      this.first += this.blocks[gone++].length;
    }
    this.blocks.splice(0, gone);
  }
}
