// The microphone as 16-bit PCM.

import { Problem, unreachable } from "./api.js";

const RATE = 16000; // sample rate of the model
const MESSAGE_SECONDS = 0.04;

const PROBLEMS = {
  NotAllowedError: "The microphone is blocked. Allow it for this page in the browser, then start again.",
  NotFoundError: "No microphone was found. Connect one, then start again.",
  NotReadableError: "The microphone cannot be used. Another program may be using it.",
};

export class Microphone {
  /**
   * Request the microphone and start recording.
   * @param {(samples: Int16Array, peak: number) => void} onSamples called every 40 ms
   * @param {() => void} onEnd called if the microphone is disconnected
   */
  static async open(onSamples, onEnd) {
    if (!navigator.mediaDevices) {
      throw new Problem("Browsers allow the microphone on localhost and over HTTPS only.", "insecure");
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
      // Some browsers do not resample the microphone. The server then resamples from its own rate.
      this.context?.close();
      this.context = new AudioContext();
      this.source = this.context.createMediaStreamSource(media);
    }
  }

  get sampleRate() {
    return this.context.sampleRate;
  }

  /** Stop recording. Resolves after the last samples. */
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
      throw error.name === "AbortError" ? unreachable() : error; // an AbortError means that the file did not load
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
