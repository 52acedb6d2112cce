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
