// Runs in the audio thread: converts mono samples to 16-bit PCM and posts them in larger blocks.

class Pcm16 extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.samples = new Int16Array(processorOptions.samples);
    this.filled = 0;
    this.peak = 0;
    this.running = true;
    this.port.onmessage = () => {
      this.running = false;
      this.post();
      this.port.postMessage("end");
    };
  }

  process([[channel]]) {
    for (const sample of this.running ? (channel ?? []) : []) {
      const value = Math.max(-1, Math.min(1, sample));
      this.peak = Math.max(this.peak, Math.abs(value));
      this.samples[this.filled++] = Math.round(value < 0 ? value * 32768 : value * 32767);
      if (this.filled === this.samples.length) this.post();
    }
    return this.running;
  }

  post() {
    const samples = this.samples.slice(0, this.filled);
    this.port.postMessage({ samples, peak: this.peak }, [samples.buffer]);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("pcm16", Pcm16);
