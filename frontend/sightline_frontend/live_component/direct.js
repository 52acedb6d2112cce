// The direct way: camera → JPEG → WebSocket, and boxes drawn over the local video.

import { Camera } from "./capture.js";
import { Connection } from "./connection.js";
import { clearCanvas, drawResult, sameShape } from "./draw.js";
import { Encoder } from "./encoder.js";
import { offlineMessage } from "./messages.js";
import { Pacer } from "./pace.js";
import { LiveStats } from "./stats.js";
import { Trouble } from "./trouble.js";
import { HEADER_BYTES, fitInto, writeHeader } from "./wire.js";

const STALE_BOXES_MS = 3000;

export class DirectStream {
  /** `onState(text)` and `onMessage(message or null)` keep the page informed. */
  constructor({ video, overlay, onState, onMessage }) {
    Object.assign(this, { video, overlay, onState, onMessage });
    this.camera = new Camera(video, {
      onFrame: (now, captured) => this.frame(now, captured),
      onLost: (message) => this.cameraLost(message),
    });
    this.encoder = new Encoder((encoded) => this.encoded(encoded));
    this.connection = new Connection({
      onHello: (hello, again) => (again ? this.changed(hello) : this.hello(hello)),
      onMessage: (message) => this.answered(message),
      onLost: (reason) => this.offline(reason),
    });
    this.settings = {};
    this.quality = 0.8;
    this.seq = 0;
    this.trouble = new Trouble(0);
    this.shown = null; // the trouble that the page tells of
    this.drawnMs = 0;
    this.running = false;
    document.addEventListener("visibilitychange", () => this.visibility());
    setInterval(() => this.housekeeping(), 500);
  }

  /** Open the camera and the line; raises CameraProblem. Returns the camera's id. */
  async start(deviceId, url) {
    this.url = url;
    const opened = await this.camera.start(deviceId);
    this.stats = new LiveStats();
    this.forgetFrames(1);
    this.running = true;
    this.onState("Connecting");
    this.connection.open(url);
    return opened;
  }

  stop() {
    this.running = false;
    this.connection.close();
    this.camera.stop();
    clearCanvas(this.overlay);
  }

  /** Take thresholds, classes and model; they reach the server without a restart. */
  configure({ settings, quality, colours, input_size_wh: inputSizeWh }) {
    const changed = JSON.stringify(settings) !== JSON.stringify(this.settings);
    this.settings = settings;
    this.quality = quality;
    this.colours = colours;
    this.inputSizeWh = inputSizeWh;
    if (changed) this.sendSettings();
  }

  sendSettings() {
    this.connection.send(JSON.stringify({ type: "settings", ...this.settings }));
  }

  forgetFrames(credits) {
    this.pacer = new Pacer(credits);
    this.sent = new Map();
    this.pending = null;
  }

  hello(hello) {
    this.limits = hello;
    this.trouble = new Trouble(performance.now());
    this.shown = null;
    this.stats.model = hello.model;
    this.forgetFrames(hello.credits);
    this.sendSettings();
    this.onState("Live");
    this.onMessage(null);
  }

  /** Go on with what answers now; frames that are under way get their ends all the same. */
  changed(hello) {
    this.limits = hello;
    this.inputSizeWh = hello.input_size_wh;
    this.stats.model = hello.model;
    this.trouble.changed(performance.now());
    this.showTrouble(this.trouble.due(performance.now()));
  }

  offline(reason) {
    this.forgetFrames(1);
    clearCanvas(this.overlay);
    this.onState("Reconnecting");
    this.onMessage(offlineMessage(this.url, reason));
  }

  cameraLost(message) {
    this.connection.close();
    clearCanvas(this.overlay);
    this.running = false;
    this.onState("No camera");
    this.onMessage(message, { cameraLost: true });
  }

  visibility() {
    if (!this.running) return;
    if (document.hidden) {
      this.connection.close();
      clearCanvas(this.overlay);
      this.onState("Paused");
    } else {
      this.onState("Connecting");
      this.connection.open(this.url);
    }
  }

  frame(nowMs, capturedMs) {
    this.stats.pictures.add(nowMs);
    const reason = this.whyNotSend(nowMs);
    if (reason) {
      this.stats.drop(reason);
      return;
    }
    const { videoWidth, videoHeight } = this.video;
    const limitWh = this.inputSizeWh ?? this.limits.input_size_wh;
    const sizeWh = fitInto([videoWidth, videoHeight], limitWh);
    this.encoder.encode(this.video, sizeWh, this.quality, { seq: this.seq++, capturedMs });
  }

  whyNotSend(nowMs) {
    if (!this.connection.ready) return "offline";
    if (this.encoder.busy) return "encoding";
    return this.pacer.ready(nowMs) ? null : "waiting";
  }

  encoded({ message, frame, encodeMs }) {
    if (!this.connection.ready) return;
    if (message.byteLength - HEADER_BYTES > this.limits.max_frame_bytes) {
      this.stats.drop("too_large");
      this.quality *= 0.8;
      return;
    }
    const nowMs = performance.now();
    const { seq, capturedMs } = frame;
    const capturedUs = (performance.timeOrigin + capturedMs) * 1000;
    writeHeader(message, { seq, capturedUs, ageMs: nowMs - capturedMs });
    if (this.connection.send(message)) {
      this.pacer.sent(seq, nowMs);
      this.sent.set(seq, { capturedMs, encodeMs, sentMs: nowMs });
    }
  }

  answered(message) {
    if (message.type === "result") {
      this.pacer.ended(message.seq, message.timings_ms);
      this.stats.model = message.model;
      this.trouble.answered(performance.now());
      this.showTrouble(null);
      if (!this.pending) requestAnimationFrame(() => this.paint());
      this.pending = { message, answeredMs: performance.now() };
    } else if (message.seq != null) {
      this.pacer.ended(message.seq);
      this.sent.delete(message.seq);
      this.stats.drop(message.type === "dropped" ? message.reason : message.code);
      if (message.type === "error") this.trouble.frameFailed(performance.now(), message);
      else this.trouble.dropped(performance.now(), message.reason);
    } else if (message.type === "error") {
      this.onMessage({ title: "The detector refused", text: message.message });
    } else if (message.type === "settings") {
      this.onMessage(this.shown); // the settings before may have been refused
    }
  }

  /** Say what is wrong, once; null: nothing is any more. */
  showTrouble(trouble) {
    if (trouble?.title === this.shown?.title && trouble?.text === this.shown?.text) return;
    this.shown = trouble;
    this.onState(trouble?.state ?? "Live");
    this.onMessage(trouble);
  }

  paint() {
    const { message, answeredMs } = this.pending ?? {};
    this.pending = null;
    const frame = this.sent.get(message?.seq);
    if (!frame || !this.running) return;
    this.sent.delete(message.seq);
    if (sameShape(message, [this.video.videoWidth, this.video.videoHeight])) {
      const shownWh = [this.video.clientWidth, this.video.clientHeight];
      drawResult(this.overlay, message, shownWh, this.colours);
    } else {
      clearCanvas(this.overlay); // the picture was turned since this frame left
    }
    this.drawnMs = performance.now();
    this.stats.result(this.drawnMs, {
      ageMs: this.drawnMs - frame.capturedMs,
      encodeMs: frame.encodeMs,
      roundTripMs: answeredMs - frame.sentMs,
      timings: message.timings_ms,
      frame: { stream: this.limits.stream, seq: message.seq, traced: message.traced === true },
    });
  }

  housekeeping() {
    if (!this.running) return;
    const nowMs = performance.now();
    this.connection.checkSilence(nowMs, this.sent.size);
    if (nowMs - this.drawnMs > STALE_BOXES_MS) clearCanvas(this.overlay);
    if (this.connection.ready) this.showTrouble(this.trouble.due(nowMs));
  }
}
