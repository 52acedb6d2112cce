// Puts the page together. The component has three faces, chosen by `args.face`:
//   direct   start button, camera choice, picture with boxes, strip of figures
//   camera   start button and camera choice only; streamlit-webrtc shows the picture
//   strip    figures only, as the page hands them over

import { CameraProblem, listCameras, openCamera } from "./capture.js";
import { backendUrl } from "./connection.js";
import { DirectStream } from "./direct.js";
import { ASKING } from "./messages.js";
import { connectToPage, fitHeight, setValue } from "./streamlit.js";
import { showFallback, showStrip } from "./strip.js";

const STAGE_LIMIT_PX = 620; // tallest picture: the strip stays in view
const WEBRTC_DEVICES = "streamlit-webrtc:device-ids"; // where streamlit-webrtc keeps its choice

const byId = (id) => document.getElementById(id);
const view = Object.fromEntries(
  [
    ...["toggle", "camera", "state", "message", "stage", "video", "overlay", "fallback", "hint"],
    "strip",
  ].map((id) => [id, byId(id)]),
);
let args = {};
let running = false;
let direct = null;
let cameraLost = false;
let probed = 0;

function showState(text) {
  view.state.textContent = text;
  view.state.dataset.state = text.toLowerCase();
}

function showMessage(message, { cameraLost: lost = false } = {}) {
  view.message.hidden = !message;
  byId("message-title").textContent = message?.title ?? "";
  byId("message-text").textContent = message?.text ?? "";
  byId("message-more").hidden = !message?.said;
  byId("message-said").textContent = message?.said ?? "";
  if (lost) {
    cameraLost = true;
    showRunning(false);
  }
}

function showRunning(value) {
  running = value;
  view.toggle.textContent = value ? "Stop" : "Start";
  view.toggle.classList.toggle("primary", !value);
  view.hint.hidden = value;
  if (!value) showFallback(view.fallback, null);
  if (!value && !cameraLost) showState("Stopped");
}

async function showCameras(chosen) {
  const cameras = await listCameras();
  const selected = chosen ?? view.camera.value;
  view.camera.replaceChildren(
    ...(cameras.length ? cameras : [{ id: "", label: "Default camera" }]).map(
      ({ id, label }) => new Option(label, id, false, id === selected),
    ),
  );
  view.camera.disabled = cameras.length < 2;
}

function startDirect() {
  direct ??= new DirectStream({
    video: view.video,
    overlay: view.overlay,
    onState: showState,
    onMessage: showMessage,
  });
  direct.configure(args);
  return direct.start(view.camera.value, backendUrl(args.backend, window.location));
}

/** Try the camera, let go of it, and leave the choice where streamlit-webrtc reads it. */
async function startWebrtc() {
  const stream = await openCamera(view.camera.value);
  const deviceId = stream.getVideoTracks()[0].getSettings().deviceId ?? "";
  stream.getTracks().forEach((track) => track.stop());
  Object.keys(localStorage)
    .filter((key) => key.startsWith(WEBRTC_DEVICES))
    .forEach((key) => localStorage.removeItem(key));
  if (deviceId) localStorage.setItem(WEBRTC_DEVICES, JSON.stringify({ video: deviceId }));
  setValue({ playing: true, camera: deviceId });
  return deviceId;
}

async function start() {
  view.toggle.disabled = true;
  cameraLost = false;
  showState("Starting");
  const asking = setTimeout(() => showMessage(ASKING), 700);
  try {
    const opened = await (args.face === "camera" ? startWebrtc() : startDirect());
    clearTimeout(asking);
    if (args.face === "camera") showState("Camera on"); // the page itself tells of boxes
    showMessage(null);
    showRunning(true);
    await showCameras(opened);
  } catch (error) {
    clearTimeout(asking);
    if (!(error instanceof CameraProblem)) throw error;
    stop();
    showMessage(error.shown);
  } finally {
    view.toggle.disabled = false;
  }
}

function stop() {
  cameraLost = false;
  direct?.stop();
  if (args.face === "camera" && running) setValue({ playing: false, camera: "" });
  showMessage(null);
  showRunning(false);
}

async function changeCamera() {
  if (!running) return;
  if (args.face === "direct") direct.stop();
  await start();
}

async function camerasChanged() {
  await showCameras();
  if (cameraLost && (await listCameras()).length) await start();
}

function fitStage() {
  const { videoWidth, videoHeight } = view.video;
  if (videoWidth) {
    view.stage.style.aspectRatio = `${videoWidth} / ${videoHeight}`;
    view.stage.style.maxWidth = `${Math.round((STAGE_LIMIT_PX * videoWidth) / videoHeight)}px`;
  }
}

function showTheme(theme) {
  if (!theme) return;
  const style = document.documentElement.style;
  style.setProperty("--primary", theme.primaryColor);
  style.setProperty("--background", theme.backgroundColor);
  style.setProperty("--panel", theme.secondaryBackgroundColor);
  style.setProperty("--text", theme.textColor);
  style.setProperty("--font", theme.font || "sans-serif");
  style.colorScheme = theme.base === "dark" ? "dark" : "light";
}

function render(newArgs, theme) {
  args = newArgs;
  document.body.dataset.face = args.face;
  showTheme(theme);
  if (args.face === "strip") showStrip(view.strip, args.stats, args.box_label);
  else view.toggle.disabled = false;
  if (view.state.textContent === "Loading") showState("Ready");
  direct?.configure(args);
  if (args.face === "camera" && args.probe > probed) {
    probed = args.probe; // the page lost the picture and asks whether the camera is to blame
    if (running) start();
  }
  fitHeight();
}

view.toggle.addEventListener("click", () => (running ? stop() : start()));
view.camera.addEventListener("change", changeCamera);
view.video.addEventListener("resize", fitStage);
navigator.mediaDevices?.addEventListener?.("devicechange", camerasChanged);
new ResizeObserver(fitHeight).observe(document.documentElement);
setInterval(() => {
  if (args.face === "direct" && direct?.running) {
    const snapshot = direct.stats.snapshot(performance.now());
    showStrip(view.strip, snapshot);
    showFallback(view.fallback, snapshot.model);
  }
}, 500);
showCameras();
connectToPage(render);
