// Rolling figures over the last few seconds.

export class Window {
  constructor(spanMs = 5000) {
    this.spanMs = spanMs;
    this.samples = []; // [time, value], oldest first
  }

  add(nowMs, value = 0) {
    this.samples.push([nowMs, value]);
    this.forget(nowMs);
  }

  forget(nowMs) {
    while (this.samples.length && this.samples[0][0] < nowMs - this.spanMs) {
      this.samples.shift();
    }
  }

  /** Samples a second, measured between the first and the last of them. */
  rate(nowMs) {
    this.forget(nowMs);
    if (this.samples.length < 2) return 0;
    const span = nowMs - this.samples[0][0];
    return span > 0 ? ((this.samples.length - 1) * 1000) / span : 0;
  }

  /** The value below which `share` (0..1) of the samples lie; null without samples. */
  quantile(share) {
    if (!this.samples.length) return null;
    const sorted = this.samples.map((sample) => sample[1]).sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }

  mean() {
    if (!this.samples.length) return null;
    return this.samples.reduce((sum, sample) => sum + sample[1], 0) / this.samples.length;
  }
}

export const STAGES = [
  "encode",
  "network",
  "decode",
  "queue",
  "preprocess",
  "infer",
  "postprocess",
];

/** Everything the strip shows; times in ms of performance.now(). */
export class LiveStats {
  constructor() {
    this.pictures = new Window();
    this.captureToBox = new Window();
    this.named = new Window(); // [time, { ageMs, stream, seq, traced }]
    this.stages = Object.fromEntries(STAGES.map((name) => [name, new Window()]));
    this.drops = {};
    this.model = null;
  }

  drop(reason) {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1;
  }

  /** Count a result drawn now; `roundTripMs` runs from send to answer. */
  result(nowMs, { ageMs, encodeMs, roundTripMs, timings, frame }) {
    this.captureToBox.add(nowMs, ageMs);
    this.named.add(nowMs, { ageMs, ...frame });
    this.stages.encode.add(nowMs, encodeMs);
    this.stages.network.add(nowMs, Math.max(0, roundTripMs - timings.total));
    for (const name of STAGES.slice(2)) this.stages[name].add(nowMs, timings[name]);
  }

  /** The frame of the last seconds that took longest, null without any. */
  slowest(nowMs) {
    this.named.forget(nowMs);
    return this.named.samples
      .map(([, frame]) => frame)
      .reduce((worst, frame) => (worst && worst.ageMs >= frame.ageMs ? worst : frame), null);
  }

  snapshot(nowMs) {
    return {
      pictureFps: this.pictures.rate(nowMs),
      detectionFps: this.captureToBox.rate(nowMs),
      p50: this.captureToBox.quantile(0.5),
      p95: this.captureToBox.quantile(0.95),
      stages: STAGES.map((name) => [name, this.stages[name].mean() ?? 0]),
      slowest: this.slowest(nowMs),
      drops: { ...this.drops },
      model: this.model,
    };
  }
}
