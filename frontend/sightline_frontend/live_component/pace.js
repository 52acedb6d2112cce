// Decides when the next frame is worth sending.
//
// The server names how many frames may be without an answer (credits). Filling them all
// when the detector is slow would only make frames wait in the server's queue and grow old,
// so frames are spaced by what one frame costs there, the time in the queue included.

const SMOOTHING = 0.2;
const EARLY = 0.9; // sending a little early keeps the detector from idling

export class Pacer {
  constructor(credits = 1) {
    this.credits = credits;
    this.serviceMs = 0;
    this.lastSentMs = -Infinity;
    this.waiting = new Set();
  }

  ready(nowMs) {
    return (
      this.waiting.size < this.credits && nowMs - this.lastSentMs >= this.serviceMs * EARLY
    );
  }

  sent(seq, nowMs) {
    this.waiting.add(seq);
    this.lastSentMs = nowMs;
  }

  /** A frame was answered; `timings` are a result's, undefined for a drop or an error. */
  ended(seq, timings) {
    this.waiting.delete(seq);
    if (timings) {
      this.serviceMs += SMOOTHING * (timings.total - this.serviceMs);
    }
  }
}
