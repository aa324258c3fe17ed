// What the controls and the canvases share. Python puts this file before each of the others.

// The grid of a slider: snap a value to it, and print a value with as many digits as it needs.
function gridOf(low, high, step) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  const snap = (value) => Number((Math.round(Math.min(Math.max(value, low), high) / step) * step).toFixed(digits));
  return { low, high, step, snap, print: (value) => minus(value.toFixed(digits)) };
}

const make = (tag, properties) => Object.assign(document.createElement(tag), properties);
const minus = (text) => text.replace("-", "−");
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

// Announce to screen readers: a text is spoken once it rests, not at every step of a drag.
function announcer(el) {
  const region = el.appendChild(make("span", { className: "sd-spoken", role: "status" }));
  let timer;
  return (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => { region.textContent = text; }, 600);
  };
}

const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"];
const TAKEN = { button: ["Enter", " "], checkbox: [" "], range: MOVES };
function takenByField({ key, target }) { // whether a button or field takes a key; a list and a text take all
  return TAKEN[target.type]?.includes(key) ?? Boolean(target.type);
}

// Keep from the page the keys that a control `takes`, and `act` on them. Keys with Ctrl, Cmd or Alt, Tab, Esc and
// Shift+Enter do what they do elsewhere.
function onKeys(el, takes, act) {
  function wanted(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || ["Tab", "Escape"].includes(event.key)) return false;
    return !(event.shiftKey && event.key === "Enter") && takes(event);
  }
  // Notebook 7 reads a key before the control does. For the keys that the control takes, this attribute keeps it off:
  // on the focused element itself, since its shortcuts are found there first.
  const mark = (event) => event.target.toggleAttribute?.("data-lm-suppress-shortcuts", wanted(event));
  el.addEventListener("focusin", () => window.addEventListener("keydown", mark, true));
  el.addEventListener("focusout", () => window.removeEventListener("keydown", mark, true));
  el.addEventListener("keydown", (event) => {
    if (!wanted(event)) return;
    event.stopPropagation();
    if (act) {
      event.preventDefault();
      act(event);
    }
  });
}

// Drag by mouse or finger. A finger taps first; until then it scrolls the page (style.css: touch-action).
function onDrag(el, { start = () => {}, move, end = () => {} }) {
  let dragging = false;
  el.addEventListener("pointerdown", (event) => {
    dragging = event.pointerType !== "touch" || el.getRootNode().activeElement === el;
    if (!dragging) return;
    el.setPointerCapture(event.pointerId);
    el.focus({ preventScroll: true });
    event.preventDefault();
    start(event);
  });
  el.addEventListener("pointermove", (event) => { if (dragging) move(event); });
  el.addEventListener("pointerup", (event) => {
    if (dragging) end(event);
    dragging = false;
  });
  el.addEventListener("pointercancel", () => { dragging = false; });
  el.addEventListener("click", () => el.focus({ preventScroll: true }));
}

// A point in the plane that mouse, finger and arrow keys move, with Shift in larger steps: `go` gets it, on its grids.
function onMove(el, { grids, at, under, jumps, go }) {
  const snapped = (point) => go(...point.map((value, axis) => grids[axis].snap(value)));
  const move = (event) => snapped(under(event));
  onDrag(el, { start: jumps && move, move });
  onKeys(el, ({ key }) => key in ARROWS, ({ key, shiftKey }) => snapped(at().map((value, axis) => {
    const { low, high, step } = grids[axis];
    return value + ARROWS[key][axis] * Math.max((shiftKey ? 0.1 : 0.01) * (high - low), step);
  })));
}

// Send values to Python. While Python computes, the newest values wait and the ones before them are dropped.
function send(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

// Call handlers now, and at changes of traits, names apart by spaces.
function follow(model, handlers) {
  for (const [names, handler] of Object.entries(handlers)) {
    handler();
    for (const name of names.split(" ")) model.on(`change:${name}`, handler);
  }
}

// However many changes there are, draw once per frame, and when the size changes; not while it is off the page.
function drawn(canvas, draw) {
  let frame;
  const drawNow = () => { if (canvas.clientWidth) draw(); };
  new ResizeObserver(drawNow).observe(canvas);
  return () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(drawNow);
  };
}

// A 2-D context, cleared, in CSS pixels.
function cleared(canvas) {
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  const context = canvas.getContext("2d");
  context.scale(devicePixelRatio, devicePixelRatio);
  return Object.assign(context, { textBaseline: "middle", textAlign: "center", lineCap: "round" });
}

// A line through points, or a disc.
function stroke(pen, points, color, width) {
  Object.assign(pen, { strokeStyle: color, lineWidth: width });
  pen.beginPath();
  for (const point of points) pen.lineTo(...point);
  pen.stroke();
}
function disc(pen, [x, y], radius, fill, rim) {
  Object.assign(pen, { fillStyle: fill, strokeStyle: rim, lineWidth: 2 });
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
  pen.stroke();
}
