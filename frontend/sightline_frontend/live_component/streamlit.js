// The little of Streamlit's component protocol that this component needs.

const send = (type, data = {}) =>
  window.parent.postMessage({ isStreamlitMessage: true, type, ...data }, "*");

let sentHeight = 0;

/** Call `onRender(args, theme)` now and whenever the page's script runs again. */
export function connectToPage(onRender) {
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.data?.type === "streamlit:render") {
      onRender(event.data.args, event.data.theme);
    }
  });
  send("streamlit:componentReady", { apiVersion: 1 });
}

/** Hand a JSON value to the page; its script runs again with it. */
export function setValue(value) {
  send("streamlit:setComponentValue", { value, dataType: "json" });
}

/** Make the iframe as tall as its content; called often, sent only on change. */
export function fitHeight() {
  const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
  if (height !== sentHeight) {
    sentHeight = height;
    send("streamlit:setFrameHeight", { height });
  }
}
