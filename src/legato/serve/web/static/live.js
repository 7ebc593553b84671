// A live stream: sends audio to the server and receives events.

import { Problem, problemOf, subprotocols, unreachable } from "./api.js";

const LOST = "Continue when the server runs again. The text so far is kept.";

export class LiveStream {
  /**
   * @param {object} start the options: language, chunk_ms, phrases, sample_rate
   * @param {(event: object) => void} onEvent called with every event of the server
   * @param {(problem: Problem | null) => void} onClose called once, with null if all audio was recognized
   */
  constructor(start, onEvent, onClose) {
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

  /** @param {Int16Array} samples */
  send(samples) {
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
    if (code === 1001) return new Problem("Continue when it runs again. The text so far is kept.", "shutting_down");
    return this.problem ?? (this.ready ? new Problem(LOST, "lost") : unreachable());
  }
}
