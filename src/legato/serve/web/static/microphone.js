// The microphone as 16-bit PCM.

import { Problem, unreachable } from "./api.js";

const RATE = 16000; // what the model takes
const MESSAGE_SECONDS = 0.04;

const PROBLEMS = {
  NotAllowedError: "The microphone is not allowed. Allow it for this page in the browser, then start again.",
  NotFoundError: "No microphone was found. Connect one, then start again.",
  NotReadableError: "The microphone cannot be used. Another program may have it.",
};

export class Microphone {
  /**
   * Ask for the microphone and begin to listen.
   * @param {(samples: Int16Array, peak: number) => void} onSamples is called every 40 ms
   * @param {() => void} onEnd is called when the microphone is gone
   */
  static async open(onSamples, onEnd) {
    if (!navigator.mediaDevices) {
      throw new Problem("Browsers give the microphone to pages on localhost or behind HTTPS only.", "insecure");
    }
    let media;
    try {
      const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
      media = await navigator.mediaDevices.getUserMedia({ audio });
    } catch (error) {
      throw new Problem(PROBLEMS[error.name] ?? `The microphone cannot be used: ${error.message}`, error.name);
    }
    const microphone = new Microphone(media);
    try {
      await microphone.#begin(onSamples);
    } catch (error) {
      microphone.#close();
      if (error instanceof Problem) throw error;
      throw new Problem(`The browser cannot record: ${error.message}`, error.name);
    }
    media.getAudioTracks()[0].onended = onEnd;
    return microphone;
  }

  constructor(media) {
    this.media = media;
    try {
      this.context = new AudioContext({ sampleRate: RATE });
      this.source = this.context.createMediaStreamSource(media);
    } catch {
      // Some browsers do not resample a microphone: then the server does, from the rate that it has.
      this.context?.close();
      this.context = new AudioContext();
      this.source = this.context.createMediaStreamSource(media);
    }
  }

  get sampleRate() {
    return this.context.sampleRate;
  }

  /** Stop; resolves when the last samples were given. */
  async close() {
    const last = new Promise((resolve) => (this.onLast = resolve));
    this.node.port.postMessage("end");
    await Promise.race([last, new Promise((resolve) => setTimeout(resolve, 1000))]);
    this.#close();
  }

  async #begin(onSamples) {
    try {
      await this.context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    } catch (error) {
      throw error.name === "AbortError" ? unreachable() : error; // so it says that the file did not come
    }
    const samples = Math.round(this.sampleRate * MESSAGE_SECONDS);
    this.node = new AudioWorkletNode(this.context, "pcm16", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { samples },
    });
    this.node.port.onmessage = ({ data }) => {
      if (data === "end") this.onLast?.();
      else onSamples(data.samples, data.peak);
    };
    this.source.connect(this.node);
    await this.context.resume();
  }

  #close() {
    for (const track of this.media.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this.context.close();
  }
}
