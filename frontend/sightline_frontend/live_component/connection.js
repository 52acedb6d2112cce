// One WebSocket to the detector that comes back by itself.

import { SUBPROTOCOL } from "./wire.js";

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 3000;
const SILENCE_MS = 8000; // frames without any answer for so long: the line is dead

/** Return how long to wait before try number `attempt` (0, 1, 2, …). */
export function backoffMs(attempt) {
  return Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(attempt, 10));
}

/** Return the address the browser reaches the detector at, given the page's own. */
export function backendUrl({ publicUrl, port }, { protocol, hostname }) {
  const secure = protocol === "https:";
  const base = publicUrl || `${secure ? "https" : "http"}://${hostname}:${port}`;
  const url = new URL("ws/detect", base.endsWith("/") ? base : `${base}/`);
  url.protocol = url.protocol === "https:" || url.protocol === "wss:" ? "wss:" : "ws:";
  return url.href;
}

export class Connection {
  /**
   * `onHello(message, again)`, `onMessage(message)` and `onLost(reason)` are called as things
   * happen; `again`: another model or engine answers on the line that is open.
   */
  constructor({ onHello, onMessage, onLost }) {
    Object.assign(this, { onHello, onMessage, onLost });
    this.url = "";
    this.socket = null;
    this.ready = false;
    this.attempt = 0;
    this.timer = 0;
    this.heardMs = 0;
    this.reason = "";
    window.addEventListener("online", () => this.retryNow());
  }

  open(url) {
    this.close();
    this.url = url;
    this.connect();
  }

  close() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    this.ready = false;
    this.url = "";
    socket?.close(1000);
  }

  retryNow() {
    if (this.url && !this.socket) {
      clearTimeout(this.timer);
      this.attempt = 0;
      this.connect();
    }
  }

  connect() {
    const socket = new WebSocket(this.url, SUBPROTOCOL);
    this.socket = socket;
    socket.onmessage = (event) => socket === this.socket && this.heard(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.lost(event.reason);
  }

  heard(message) {
    this.heardMs = performance.now();
    if (message.type === "hello") {
      const again = this.ready;
      this.ready = true;
      this.attempt = 0;
      this.reason = "";
      this.onHello(message, again);
      return;
    }
    if (message.type === "error" && message.seq == null) this.reason = message.message;
    this.onMessage(message);
  }

  lost(reason) {
    this.socket = null;
    this.ready = false;
    this.onLost(this.reason || reason);
    this.timer = setTimeout(() => this.connect(), backoffMs(this.attempt++));
  }

  /** Send text or bytes; false if there is no open line. */
  send(data) {
    if (!this.ready || this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(data);
    return true;
  }

  /** Give up a line that takes frames and answers none. */
  checkSilence(nowMs, framesWaiting) {
    if (this.ready && framesWaiting > 0 && nowMs - this.heardMs > SILENCE_MS) {
      const socket = this.socket;
      this.lost("");
      socket.close();
    }
  }
}
