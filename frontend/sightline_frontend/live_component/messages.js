// What went wrong and what to do about it, in a person's words.

const CAMERA_ERRORS = {
  NotAllowedError: {
    title: "The camera is blocked",
    text:
      "Allow the camera for this page: press the camera or lock symbol beside the address, " +
      "choose Allow, then press Start again. On a phone or Mac the system's settings must " +
      "allow the browser to use the camera, too.",
  },
  NotFoundError: {
    title: "No camera found",
    text: "Connect a camera and press Start. The Upload page works without one.",
  },
  NotReadableError: {
    title: "The camera is busy",
    text:
      "Another program or tab is using it. Close that one (a video call, as a rule), " +
      "then press Start again, or choose another camera.",
  },
};

export const INSECURE = {
  title: "The browser only gives cameras to secure pages",
  text:
    "This page came over plain http from another machine, so the browser has switched its " +
    "camera off. Open it as http://localhost on the machine itself, or put it behind https " +
    "(a proxy such as Caddy, or Streamlit's --server.sslCertFile and --server.sslKeyFile). " +
    "Uploading pictures and clips works as it is.",
};

export const LOST_CAMERA = {
  title: "The camera is gone",
  text: "It was unplugged or another program took it. It starts again when it is back.",
};

export const ASKING = {
  title: "Waiting for your permission",
  text: "Your browser asks whether this page may use the camera. Choose Allow.",
};

export const TOO_SLOW = {
  state: "Too slow",
  title: "The detector is too slow for live boxes",
  text:
    "Every picture would be answered too late to matter. Choose a smaller model, close other " +
    "streams, or give frames more time with SIGHTLINE_DEADLINE_MS.",
};

/** Return the message of an error that getUserMedia raised. */
export function cameraMessage(error) {
  const name = { SecurityError: "NotAllowedError", AbortError: "NotReadableError" }[error.name];
  return (
    CAMERA_ERRORS[name ?? error.name] ?? {
      title: "The camera could not be started",
      text: `The browser said: ${error.name}: ${error.message}. Try another camera.`,
    }
  );
}

function sentence(text) {
  const start = text[0].toUpperCase() + text.slice(1);
  return start.endsWith(".") ? start : `${start}.`;
}

const REASONS = [
  [/refused/i, "the connection is refused"],
  [/timed? ?out|timeout|deadline/i, "the connection takes too long"],
  [/dns|resol|name or service/i, "nobody knows its name"],
  [/no route|unreachable/i, "no way leads there"],
];
const GRPC =
  /(failed to connect to all addresses|connections to all backends failing|DNS resolution failed).*?(?=\. [A-Z]|\.?$)/is;

/** Return a server's words with what gRPC says of a connection put plainly; as jargon.py does. */
export function plainly(text) {
  return text.replace(
    GRPC,
    (said) => REASONS.find(([mark]) => mark.test(said))?.[1] ?? "the connection fails",
  );
}

/** Return the message of a model's server that is away; `said`: the detector's own words. */
export function awayMessage(said) {
  return {
    state: "No boxes",
    title: "Triton, the server that runs this model, is away",
    text:
      `${sentence(plainly(said))} Boxes come back by themselves as soon as it answers. Don't ` +
      "want to wait? Press “Serve live video without Triton” on the page Deploy. With " +
      "SIGHTLINE_TRITON_FALLBACK=onnxruntime the detector does so by itself next time.",
    said: plainly(said) === said ? "" : said,
  };
}

/** Return the message between a server's return and the first boxes. */
export function backMessage() {
  return {
    state: "Waiting",
    title: "Triton is coming back",
    text: "The server that runs this model was away. Boxes come as soon as it is warm.",
  };
}

/** Return the message while no frame succeeds; `said`: the detector's own words. */
export function failingMessage(said) {
  return {
    state: "No boxes",
    title: "The detector fails on every frame",
    text: sentence(plainly(said)),
    said: plainly(said) === said ? "" : said,
  };
}

/** Return the message shown while the detector can't be reached. */
export function offlineMessage(url, reason) {
  return {
    title: "No connection to the detector",
    text:
      (reason ? sentence(reason) : `Nothing answers this page at ${url}.`) +
      " " +
      "The picture keeps running, and boxes come back by themselves as soon as it answers.",
  };
}
