// Makes JPEG messages of pictures in a worker, so that the page never waits for it.

export class Encoder {
  constructor(onMessage) {
    this.worker = new Worker(new URL("encoder_worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => {
      this.busy = false;
      onMessage(data);
    };
    this.busy = false;
  }

  /** Encode the video's present picture at `sizeWh`; only when not `busy`. */
  async encode(video, sizeWh, quality, frame) {
    this.busy = true;
    try {
      const picture =
        "VideoFrame" in window ? new VideoFrame(video) : await createImageBitmap(video);
      this.worker.postMessage({ picture, sizeWh, quality, frame }, [picture]);
    } catch {
      this.busy = false; // the camera changed between the callback and here
    }
  }
}
