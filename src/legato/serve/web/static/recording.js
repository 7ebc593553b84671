// One recording: the microphone, the stream to the server, and new streams after a lost connection.

import { Problem } from "./api.js";
import { Backlog } from "./backlog.js";
import { LiveStream } from "./live.js";
import { Microphone } from "./microphone.js";

// What may pass if one tries again. A stream that is too long simply continues in the next.
const PASSING = ["lost", "unreachable", "shutting_down", "server_busy", "overloaded", "too_long"];
const WAITS = [0, 1, 2, 3, 5, 5, 5, 5, 5]; // seconds before each try
const AT_WORK = ["listening", "reconnected"];
const SILENT_PEAK = 0.001; // no room is as quiet: the microphone is muted
const SILENT_SECONDS = 6;

export class Recording {
  /**
   * @param {object} options language, chunk_ms, phrases
   * @param {object} to what is told:
   *   onState(state), onLevel(peak), onDelay(seconds), onTime(seconds), onWarning(problem), onEvent(event),
   *   onStream(seconds) before the events of a stream that begins after so many seconds, onEnd(problem | null)
   */
  constructor(options, to) {
    this.options = options;
    this.to = to;
    this.stream = null;
    this.offset = 0; // seconds before the current stream
    this.tries = 0; // connections that failed since the last good one
    this.worked = false;
    this.heard = 0; // seconds at which there was sound
    this.closing = false;
  }

  /** Ask for the microphone and connect. Throws a Problem without a microphone. */
  async start() {
    this.#become("asking");
    this.microphone = await Microphone.open(
      (samples, peak) => this.#hear(samples, peak),
      () => this.stop(new Problem("Connect it again, then continue. The text so far is kept.", "gone")),
    );
    this.backlog = new Backlog(this.microphone.sampleRate);
    this.#become("connecting");
    this.#connect();
  }

  /** Stop the microphone and wait for the rest of the text. */
  async stop(problem = null) {
    if (this.closing) return;
    this.closing = true;
    this.problem = problem;
    this.#become("finishing");
    await this.microphone.close();
    if (this.stream) this.stream.end();
    else this.#end(new Problem("The last words are missing. The text so far is kept.", "lost"));
  }

  setLanguage(language) {
    this.options.language = language;
    this.stream?.setLanguage(language);
  }

  #become(state) {
    this.state = state;
    this.to.onState(state);
  }

  #connect() {
    if (this.closing) return;
    const start = { ...this.options, sample_rate: this.microphone.sampleRate };
    this.offset = this.backlog.start;
    this.stream = new LiveStream(start, (event) => this.#receive(event), (problem) => this.#closed(problem));
    for (const samples of this.backlog.blocks) this.stream.send(samples);
  }

  #hear(samples, peak) {
    this.to.onLevel(peak);
    this.backlog.add(samples);
    this.stream?.send(samples);
    this.to.onTime(this.backlog.seconds);
    if (peak > SILENT_PEAK) {
      this.heard = this.backlog.seconds;
      if (this.state === "silent") this.#become("listening");
    } else if (this.backlog.seconds > this.heard + SILENT_SECONDS && AT_WORK.includes(this.state)) {
      this.#become("silent");
    }
  }

  #receive(event) {
    if (event.type === "ready") {
      this.to.onStream(this.offset);
      if (!this.closing) this.#become(this.worked ? "reconnected" : "listening");
      this.worked = true;
      this.tries = 0;
      this.heard = this.backlog.seconds;
    }
    if (event.type === "error") this.to.onWarning(this.stream.problem);
    if (event.type === "partial" || event.type === "segment") {
      const used = this.offset + (event.time ?? event.end);
      this.to.onDelay(this.backlog.seconds - used);
      this.backlog.forget(used);
    }
    this.to.onEvent(event);
  }

  #closed(problem) {
    this.stream = null;
    const again = problem && this.worked && !this.closing && PASSING.includes(problem.code);
    if (!again || this.tries >= WAITS.length) return this.#end(problem);
    this.#become("lost");
    setTimeout(() => this.#connect(), 1000 * WAITS[this.tries++]);
  }

  async #end(problem) {
    if (!this.closing) {
      this.closing = true;
      await this.microphone.close();
    }
    this.to.onEnd(problem ?? this.problem ?? null);
  }
}
