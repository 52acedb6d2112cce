// Boxes on a canvas that lies over the video.

const ASPECT_TOLERANCE = 0.03;

/** Return the boxes of `result` scaled to a picture of `sizeWh`. */
export function scaleBoxes(result, [width, height]) {
  const scaleX = width / result.image.width;
  const scaleY = height / result.image.height;
  return result.detections.map((found) => {
    const [x1, y1, x2, y2] = found.xyxy;
    return { ...found, xyxy: [x1 * scaleX, y1 * scaleY, x2 * scaleX, y2 * scaleY] };
  });
}

/** True if the result's picture has the shape of the video: not from before a rotation. */
export function sameShape(result, [width, height]) {
  const ratio = (result.image.width / result.image.height) * (height / width);
  return Math.abs(ratio - 1) < ASPECT_TOLERANCE;
}

/** Draw `result` over a video shown at `sizeWh` CSS pixels; `colours` by class number. */
export function drawResult(canvas, result, sizeWh, colours) {
  const density = window.devicePixelRatio || 1;
  const [width, height] = sizeWh.map((side) => Math.round(side * density));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const line = Math.max(2, Math.round(2 * density));
  const text = Math.round(13 * density);
  context.lineWidth = line;
  context.font = `600 ${text}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const found of scaleBoxes(result, [width, height])) {
    drawBox(context, found, colours[found.class_id % colours.length], line, text);
  }
}

function drawBox(context, found, colour, line, text) {
  const [x1, y1, x2, y2] = found.xyxy;
  context.strokeStyle = colour;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  const label = `${found.class_name} ${Math.round(found.score * 100)}%`;
  const tagWidth = context.measureText(label).width + text;
  const tagHeight = text * 1.5;
  const left = Math.max(0, Math.min(x1 - line / 2, context.canvas.width - tagWidth));
  const top = y1 >= tagHeight ? y1 - tagHeight : y1;
  context.fillStyle = colour;
  context.fillRect(left, top, tagWidth, tagHeight);
  context.fillStyle = "#08110f";
  context.fillText(label, left + text / 2, top + tagHeight / 2);
}

export function clearCanvas(canvas) {
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
}
