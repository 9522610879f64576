// An empty spot that tells Python on how many places of the page its widget is shown: 0 once its
// cell has been deleted or run again.
const GONE_MS = 1000; // a cell that is moved loses its view and gets a new one
const shown = new Map(); // key of the widget -> number of its views; each view has its own model

function render({ model }) {
  const key = model.get("key");
  const count = (by) => shown.set(key, (shown.get(key) ?? 0) + by);
  const tell = () => {
    model.set("views", shown.get(key));
    model.save_changes();
  };
  count(1);
  tell();
  return () => {
    count(-1);
    setTimeout(tell, GONE_MS);
  };
}

export default { render };
