// A live stream: sends audio to the server and receives events.

import { Problem, problemOf, subprotocols } from "./api.js";

const LOST = "The connection to the server was lost. The text so far is kept.";

export class LiveStream {
  /**
   * @param {object} start the options: language, chunk_ms, phrases, sample_rate
   * @param {(event: object) => void} onEvent called with every event of the server
   * @param {(problem: Problem | null) => void} onClose called once, with null if all audio was recognized
   */
  constructor(start, onEvent, onClose) {
    this.sampleRate = start.sample_rate;
    this.sent = 0; // samples
    this.ready = false;
    this.waiting = []; // messages to send when the server is ready
    this.problem = null;
    this.finished = false;
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address, subprotocols());
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => this.socket.send(JSON.stringify({ type: "start", ...start }));
    this.socket.onmessage = ({ data }) => this.#receive(JSON.parse(data), onEvent);
    this.socket.onclose = ({ code }) => onClose(this.#problemAtEnd(code));
  }

  /** Seconds of audio passed to `send`. */
  get seconds() {
    return this.sent / this.sampleRate;
  }

  /** @param {Int16Array} samples */
  send(samples) {
    this.sent += samples.length;
    this.#put(samples);
  }

  setLanguage(language) {
    this.#put(JSON.stringify({ type: "language", language }));
  }

  end() {
    this.#put(JSON.stringify({ type: "end" }));
  }

  #put(message) {
    if (!this.ready) this.waiting.push(message);
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  #receive(event, onEvent) {
    if (event.type === "ready") {
      this.ready = true;
      for (const message of this.waiting.splice(0)) this.socket.send(message);
    } else if (event.type === "error") {
      this.problem = problemOf(JSON.stringify(event));
    } else if (event.type === "final") {
      this.finished = true;
    }
    onEvent(event);
  }

  #problemAtEnd(code) {
    if (this.finished && code === 1000) return null;
    if (code === 1001) return new Problem("The server is shutting down. The text so far is kept.", "shutting_down");
    return this.problem ?? new Problem(LOST, "lost");
  }
}
