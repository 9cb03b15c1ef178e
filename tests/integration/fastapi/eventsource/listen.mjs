// Listens to a stream with the EventSource that it is given, and posts all that it hears, in order.
const STATES = ["connecting", "open", "closed"];
const NAMES = ["start", "cache", "status", "chunk", "sources", "done"];

export function listen(Source, url, listener) {
  const source = new Source(url);
  let told = Promise.resolve();
  const tell = (what) => {
    const body = JSON.stringify(what);
    told = told.then(() => fetch(listener, { method: "POST", mode: "no-cors", body }));
  };
  for (const name of NAMES) {
    source.addEventListener(name, ({ lastEventId, data }) => tell({ event: name, id: lastEventId, data }));
  }
  source.onopen = source.onerror = () => tell({ state: STATES[source.readyState] });
}
