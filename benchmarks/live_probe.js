// Put into every frame of the page: notes when the camera delivered each numbered picture, and
// when the page's video showed it. The numbers are in the pixels (tests/browser/camera_clip.py).
(() => {
  const BITS = 8;
  const CELL = 16;
  const CLIP_WIDTH = 640;
  const delivered = new Map(); // number → ms at which the camera's picture was captured
  const probe = (window.liveProbe = { late: [], shown: [], unique: 0 });
  const canvas = new OffscreenCanvas(BITS, 1);
  const context = canvas.getContext("2d", { willReadFrequently: true });

  function numberOf(video) {
    const scale = video.videoWidth / CLIP_WIDTH;
    const cell = CELL * scale;
    context.drawImage(video, 0, video.videoHeight - cell, BITS * cell, cell, 0, 0, BITS, 1);
    const { data } = context.getImageData(0, 0, BITS, 1);
    let number = 0;
    for (let bit = 0; bit < BITS; bit += 1) number = number * 2 + (data[bit * 4] > 127 ? 1 : 0);
    return number;
  }

  function watch(video, onPicture) {
    video.requestVideoFrameCallback(function next(now, frame) {
      onPicture(now, frame, numberOf(video));
      video.requestVideoFrameCallback(next);
    });
  }

  const original = navigator.mediaDevices?.getUserMedia?.bind(navigator.mediaDevices);
  if (!original) return;
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await original(constraints);
    const camera = document.createElement("video");
    camera.muted = true;
    camera.srcObject = new MediaStream(stream.getVideoTracks());
    camera.play();
    watch(camera, (now, frame, number) => delivered.set(number, frame.captureTime ?? now));
    return stream;
  };

  let last = -1;
  probe.follow = (video) =>
    watch(video, (now, frame, number) => {
      const shownMs = Math.max(now, frame.expectedDisplayTime);
      probe.shown.push(now);
      if (number !== last) probe.unique += 1;
      last = number;
      const cameMs = delivered.get(number);
      if (cameMs !== undefined && shownMs - cameMs < 4000) probe.late.push(shownMs - cameMs);
    });
})();
