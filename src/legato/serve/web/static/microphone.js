// The microphone as 16-bit PCM.

import { Problem, unreachable } from "./api.js";

const RATE = 16000; // sample rate of the model
const MESSAGE_SECONDS = 0.04;
const MOST_START_SECONDS = 5;

const PROBLEMS = {
  NotAllowedError:
    "Open the site settings at the left of the address, allow the microphone for this page, then try again. " +
    "On a phone, the browser itself must be allowed to use the microphone too.",
  NotFoundError: "Connect a microphone or a headset, then try again.",
  NotReadableError: "Close other programs that use the microphone, such as a meeting, then try again.",
};

export class Microphone {
  /**
   * Request the microphone and start recording.
   * @param {(samples: Int16Array, peak: number) => void} onSamples called every 40 ms
   * @param {() => void} onEnd called if the microphone is disconnected
   */
  static async open(onSamples, onEnd) {
    if (!navigator.mediaDevices) {
      const message =
        "Browsers give the microphone only to pages on localhost and with HTTPS. Open this page on the server's own " +
        "machine, or start the server with --ssl-certfile. Files work as they are.";
      throw new Problem(message, "insecure");
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
    const tooLate = new Promise((resolve) => setTimeout(resolve, MOST_START_SECONDS * 1000));
    await Promise.race([this.context.resume(), tooLate]);
    if (this.context.state !== "running") throw new Problem("Connect a loudspeaker or headphones: the browser waits for them.", "no_sound");
  }

  #close() {
    for (const track of this.media.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this.context.close();
  }
}
