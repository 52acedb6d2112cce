// The strip of figures under the picture; the same for both ways of transport.

import { plainly } from "./messages.js";

const DROP_WORDS = {
  waiting: "waiting for the last answer",
  encoding: "encoder busy",
  superseded: "newer frame came",
  late: "too late to matter",
  closing: "server closing",
  offline: "no connection",
  too_large: "too large",
  internal: "detector failed",
  engine_away: "Triton away",
  engine_busy: "Triton busy",
  engine_failed: "engine failed",
  engine_memory: "out of memory",
};

const fps = (value) => (value > 0 ? value.toFixed(value < 9.95 ? 1 : 0) : "–");
const ms = (value) => (value == null ? "–" : `${Math.round(value)}`);

function tile(name, label, value, unit, detail = "") {
  const box = document.createElement("div");
  box.className = "tile";
  box.dataset.figure = name;
  const term = document.createElement("dt");
  term.textContent = label;
  const figure = document.createElement("dd");
  figure.textContent = value;
  if (unit && value !== "–") {
    const small = document.createElement("small");
    small.textContent = ` ${unit}`;
    figure.append(small);
  }
  box.append(term, figure);
  if (detail) {
    const note = document.createElement("dd");
    note.className = "detail";
    note.textContent = detail;
    box.append(note);
  }
  return box;
}

function stageTile(stages) {
  const box = tile("stages", "Where the time goes", "", "");
  const total = stages.reduce((sum, [, value]) => sum + value, 0);
  const bar = document.createElement("dd");
  bar.className = "stages";
  const legend = document.createElement("dd");
  legend.className = "detail legend";
  stages.forEach(([name, value], index) => {
    const part = document.createElement("i");
    part.className = `stage-${index}`;
    part.style.flexGrow = total > 0 ? String(value / total) : "0";
    part.title = `${name}: ${value.toFixed(1)} ms`;
    bar.append(part);
    const entry = document.createElement("span");
    entry.dataset.stage = name;
    entry.className = `stage-${index}`;
    entry.textContent = `${name} ${value < 9.95 ? value.toFixed(1) : Math.round(value)}`;
    legend.append(entry);
  });
  box.classList.add("wide");
  box.querySelector("dd").replaceWith(bar);
  box.append(legend);
  return box;
}

function dropTile(drops) {
  const entries = Object.entries(drops).filter(([, count]) => count > 0);
  const total = entries.reduce((sum, [, count]) => sum + count, 0);
  const detail = entries
    .sort((a, b) => b[1] - a[1])
    .map(([reason, count]) => `${DROP_WORDS[reason] ?? reason.replaceAll("_", " ")} ${count}`)
    .join(", ");
  return tile("drops", "Frames not used", String(total), "", detail || "none");
}

function engineTile(model) {
  if (!model) return tile("engine", "Engine", "–", "");
  const box = tile(
    "engine",
    "Engine",
    `${model.engine} · ${model.device}`,
    "",
    `${model.name} v${model.version}, ${model.precision}`,
  );
  box.classList.add("wide");
  if (model.fallback) {
    const note = document.createElement("dd");
    note.className = "fallback";
    note.textContent = `Fallback: ${plainly(model.fallback)}`;
    note.title = model.fallback;
    box.append(note);
  }
  return box;
}

/** Return a frame's id, the same as wire.py's `frame_id`: the server's log and traces know it. */
export function frameId({ stream, seq }) {
  return stream + (seq >>> 0).toString(16).padStart(8, "0");
}

async function copy(button) {
  const id = button.dataset.id;
  try {
    await navigator.clipboard.writeText(id);
  } catch {
    const field = document.createElement("textarea"); // plain http has no clipboard otherwise
    field.value = id;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.dataset.copied = id;
  button.textContent = "copied";
  setTimeout(() => delete button.dataset.copied, 1500);
}

/** The line below the tiles; it stays in place, so that it can be clicked while they change. */
function slowestLine(list) {
  const found = list.querySelector(".slowest");
  if (found) return found;
  const line = document.createElement("div");
  line.className = "slowest";
  line.innerHTML = '<dt>Slowest of 5 s</dt><dd><span></span> <button type="button"></button></dd>';
  line.querySelector("button").addEventListener("click", (event) => copy(event.currentTarget));
  list.append(line);
  return line;
}

function showSlowest(line, slowest) {
  line.hidden = !slowest?.stream;
  if (line.hidden) return;
  const button = line.querySelector("button");
  line.querySelector("span").textContent = `${ms(slowest.ageMs)} ms`;
  const name = `frame ${slowest.seq} of stream ${slowest.stream.slice(0, 6)}`;
  button.dataset.id = frameId(slowest);
  const copied = button.dataset.copied === button.dataset.id;
  button.textContent = copied ? "copied" : name + (slowest.traced ? ", traced" : "");
  const knows = slowest.traced ? "The server's log and its traces know" : "The server knows";
  button.title = `${frameId(slowest)}: click to copy. ${knows} the frame by this id.`;
}

/** Say over the picture that another engine than the first choice answers, while one does. */
export function showFallback(note, model) {
  note.hidden = !model?.fallback;
  const text = note.hidden ? "" : `Fallback: ${model.engine} on ${model.device}`;
  if (note.textContent !== text) note.textContent = text; // said aloud once, not twice a second
  note.title = model?.fallback ?? "";
}

/** Show a snapshot of LiveStats (stats.js) or of the frontend's client (client.py). */
export function showStrip(list, snapshot, boxLabel = "Capture to box") {
  const line = slowestLine(list);
  [...list.children].forEach((child) => child !== line && child.remove());
  line.before(
    tile("picture-fps", "Picture", fps(snapshot.pictureFps), "fps"),
    tile("detection-fps", "Detection", fps(snapshot.detectionFps), "fps"),
    tile("p50", boxLabel, ms(snapshot.p50), "ms", snapshot.p95 == null ? "" : `95 % within ${ms(snapshot.p95)} ms`),
    dropTile(snapshot.drops),
    stageTile(snapshot.stages),
    engineTile(snapshot.model),
  );
  showSlowest(line, snapshot.slowest);
}
