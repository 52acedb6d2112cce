// One picture in, one message of the wire format out (header still blank).

import { HEADER_BYTES } from "./wire.js";

const canvas = new OffscreenCanvas(1, 1);
const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });

self.onmessage = async ({ data: { picture, sizeWh, quality, frame } }) => {
  const start = performance.now();
  [canvas.width, canvas.height] = sizeWh;
  context.drawImage(picture, 0, 0, ...sizeWh);
  picture.close();
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  const message = new Uint8Array(HEADER_BYTES + blob.size);
  message.set(new Uint8Array(await blob.arrayBuffer()), HEADER_BYTES);
  const encodeMs = performance.now() - start;
  self.postMessage({ message: message.buffer, frame, encodeMs }, [message.buffer]);
};
