// Which trouble keeps boxes from coming just now, judged by how frames end.

import { TOO_SLOW, awayMessage, backMessage, failingMessage } from "./messages.js";

const FAILURES_SHOWN = 5; // as many frames in a row that failed are no accident
const STUCK_MS = 5000; // without a result for so long while frames are dropped as late
const RECENT_MS = 10000;
const AWAY_NOW_MS = 3000; // frames fail at once while the model's server is away
const AWAY_MS = 30000; // so long after it was, what is slow is only starting

/** Times in ms of performance.now(). */
export class Trouble {
  constructor(nowMs) {
    this.answeredMs = nowMs; // or since when answers may be expected
    this.failures = 0; // in a row
    this.failed = null; // the newest of them: { atMs, text }
    this.away = null; // the same of one whose model's server was away
    this.waiting = false; // for that server
    this.lateMs = -Infinity;
  }

  answered(nowMs) {
    this.answeredMs = nowMs;
    this.failures = 0;
    this.waiting = false;
  }

  /** Another model or engine is to answer; that a server was away a moment ago still matters. */
  changed(nowMs) {
    this.answeredMs = nowMs;
    this.failures = 0;
  }

  dropped(nowMs, reason) {
    if (reason === "late") this.lateMs = nowMs;
  }

  frameFailed(nowMs, { code, message }) {
    this.failures += 1;
    this.failed = { atMs: nowMs, text: message };
    if (code !== "engine_away") return;
    this.away = this.failed;
    this.waiting ||= this.failures >= FAILURES_SHOWN;
  }

  /** Return { title, text, state, said } of what is wrong; null: nothing is. */
  due(nowMs) {
    const stuck = nowMs - this.lateMs < RECENT_MS && nowMs - this.answeredMs > STUCK_MS;
    const wasAway = this.away !== null && nowMs - this.away.atMs < AWAY_MS;
    if (this.waiting && nowMs - this.away.atMs < AWAY_NOW_MS) return awayMessage(this.away.text);
    if (wasAway && (this.waiting || stuck)) return backMessage();
    if (this.failures >= FAILURES_SHOWN && nowMs - this.failed.atMs < RECENT_MS) {
      return failingMessage(this.failed.text);
    }
    return stuck ? TOO_SLOW : null;
  }
}
