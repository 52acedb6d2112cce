// The camera: opening it, naming what can go wrong, the list of cameras, its frames.

import { INSECURE, LOST_CAMERA, cameraMessage } from "./messages.js";

export class CameraProblem extends Error {
  constructor(message) {
    super(message.title);
    this.shown = message;
  }
}

/** Open a camera and return its MediaStream; raises CameraProblem. */
export async function openCamera(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraProblem(INSECURE);
  const size = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "environment" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { ...size, ...which } });
  } catch (error) {
    if (error.name === "OverconstrainedError") return openCamera(""); // that camera has gone
    throw new CameraProblem(cameraMessage(error));
  }
}

/** Return [{id, label}] of the cameras; labels are empty until one was allowed. */
export async function listCameras() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.()) ?? [];
  return devices
    .filter((device) => device.kind === "videoinput" && device.deviceId)
    .map((device, index) => ({
      id: device.deviceId,
      label: device.label || `Camera ${index + 1}`,
    }));
}

/** Shows a camera in a <video> and calls `onFrame(nowMs, capturedMs)` for each picture. */
export class Camera {
  constructor(video, { onFrame, onLost }) {
    this.video = video;
    this.onFrame = onFrame;
    this.onLost = onLost;
    this.stream = null;
  }

  async start(deviceId) {
    this.stop();
    this.stream = await openCamera(deviceId);
    const [track] = this.stream.getVideoTracks();
    track.addEventListener("ended", () => this.lost(track));
    this.video.srcObject = this.stream;
    try {
      await this.video.play();
    } catch (error) {
      this.stop(); // or the camera's light stays on beside an error
      throw new CameraProblem(cameraMessage(error));
    }
    this.tick(this.stream);
    return track.getSettings().deviceId ?? "";
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
  }

  lost(track) {
    if (this.stream?.getVideoTracks().includes(track)) {
      this.stop();
      this.onLost(LOST_CAMERA);
    }
  }

  tick(stream) {
    this.video.requestVideoFrameCallback((now, frame) => {
      if (this.stream !== stream) return;
      this.onFrame(now, frame.captureTime ?? frame.presentationTime ?? now);
      this.tick(stream);
    });
  }
}
