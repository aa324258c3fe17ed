// The map of the digits: drag the point, and what the decoder draws there appears beside it.
//
// In a notebook `model` is the state that this file shares with Python, which decodes. In a saved web page there is no
// Python: latent_page.js takes its place.

const COLOURS = [
  "#2f62b5", "#c2561a", "#5b7f1c", "#a3264a", "#7a52b3", "#96700a", "#12837c", "#555b66", "#d0459a", "#1f8fc4",
];
const EDGE = { left: 58, right: 10, top: 10, bottom: 40 }; // room for the axes, in pixels
const TRAIL = 60; // positions that are remembered
const [INK, FONT] = ["#1c2733", "12px system-ui, sans-serif"];

const minus = (text) => text.replace("-", "−");

function render({ model, el }) {
  const { points, low, high, step } = model.get("map");
  const places = step.map((one) => Math.max(0, Math.ceil(-Math.log10(one))));
  function nearest(value, axis) { // the place on the map that the sliders know too
    const inside = Math.min(Math.max(value, low[axis]), high[axis]);
    return Number((Math.round(inside / step[axis]) * step[axis]).toFixed(places[axis]));
  }
  const say = (value, axis) => minus(value.toFixed(places[axis]));
  // data-lm-suppress-shortcuts: else JupyterLab takes the arrow keys
  el.innerHTML = `
    <div class="sd-pad">
      <div class="sd-part">
        <b>the map: every digit where the encoder puts it</b>
        <div class="sd-map">
          <canvas class="sd-points"></canvas>
          <canvas class="sd-hand" tabindex="0" role="application" aria-roledescription="slider in two directions"
            aria-label="map of the digits: the arrow keys move the point, with Shift in larger steps"
            data-lm-suppress-shortcuts="true"></canvas>
        </div>
      </div>
      <div class="sd-part">
        <b>what the decoder draws there</b>
        <canvas class="sd-decoded" width="28" height="28" role="img" aria-label="the decoded digit"></canvas>
        <span class="sd-numbers"></span>
        <span class="sd-spoken" role="status"></span>
      </div>
    </div>`;
  const find = (name) => el.querySelector(`.sd-${name}`);
  const [map, hand, decoded] = [find("points"), find("hand"), find("decoded")];

  // where a place of the plane is on the screen
  const width = () => hand.clientWidth - EDGE.left - EDGE.right;
  const height = () => hand.clientHeight - EDGE.top - EDGE.bottom;
  const across = (x) => EDGE.left + ((x - low[0]) / (high[0] - low[0])) * width();
  const down = (y) => EDGE.top + ((high[1] - y) / (high[1] - low[1])) * height();

  function cleared(canvas) {
    canvas.width = canvas.clientWidth * devicePixelRatio;
    canvas.height = canvas.clientHeight * devicePixelRatio;
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    Object.assign(pen, { textBaseline: "middle", textAlign: "center", lineCap: "round", font: FONT });
    return pen;
  }

  function drawMap() {
    const pen = cleared(map);
    const [right, bottom] = [EDGE.left + width(), EDGE.top + height()];
    for (const axis of [0, 1]) {
      for (const tick of ticks(low[axis], high[axis])) {
        pen.fillStyle = "#e9edf1";
        pen.fillRect(...(axis ? [EDGE.left, down(tick), width(), 1] : [across(tick), EDGE.top, 1, height()]));
        pen.fillStyle = "#5d6873";
        pen.fillText(minus(String(tick)), axis ? 38 : across(tick), axis ? down(tick) : bottom + 13);
      }
    }
    pen.fillText("number 1", (EDGE.left + right) / 2, bottom + 30);
    pen.save();
    pen.translate(8, (EDGE.top + bottom) / 2);
    pen.rotate(-Math.PI / 2);
    pen.fillText("number 2", 0, 0);
    pen.restore();
    pen.font = `600 ${FONT}`; // every point is the digit itself: it needs no legend
    for (const [x, y, digit] of points) {
      pen.fillStyle = COLOURS[digit];
      pen.fillText(digit, across(x), down(y));
    }
  }

  const trail = [];
  function remember(x, y) {
    const [a, b] = trail.at(-1) ?? [x, y];
    const [right, up] = [Math.abs(x - a) / (high[0] - low[0]), Math.abs(y - b) / (high[1] - low[1])];
    if (right + up > 0.25) trail.length = 0; // a leap, not a drag: nobody was in between
    if (right + up || !trail.length) trail.push([x, y]);
    if (trail.length > TRAIL) trail.shift();
  }

  function drawHand() {
    const pen = cleared(hand);
    const [x, y] = [model.get("x"), model.get("y")];
    pen.setLineDash([6, 5]);
    stroke(pen, model.get("line"), "#1c2733aa", 1.5);
    pen.setLineDash([]);
    model.get("line").forEach(([a, b], end) => label(pen, across(a), down(b), "AB"[end]));
    remember(x, y);
    for (let n = 1; n < trail.length; n++) {
      const age = (trail.length - n) / TRAIL;
      stroke(pen, [trail[n - 1], trail[n]], `rgba(230, 120, 0, ${0.75 * (1 - age)})`, 1 + 4 * (1 - age));
    }
    stroke(pen, [[low[0], y], [high[0], y]], "#1c273340", 1); // cross-hair: it leads the eye to both axes
    stroke(pen, [[x, low[1]], [x, high[1]]], "#1c273340", 1);
    label(pen, across(x), EDGE.top + height() + 13, say(x, 0));
    label(pen, 32, down(y), say(y, 1));
    disc(pen, across(x), down(y), 11, "#ffffff", INK);
    disc(pen, across(x), down(y), 5, "#e67800", "#e67800");
  }

  function stroke(pen, way, colour, thick) {
    pen.strokeStyle = colour;
    pen.lineWidth = thick;
    pen.beginPath();
    for (const [x, y] of way) pen.lineTo(across(x), down(y));
    pen.stroke();
  }

  let frame;
  function redraw() { // however many changes there are, one drawing a frame
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => {
      drawHand();
      find("numbers").textContent = `number 1 = ${say(model.get("x"), 0)}   number 2 = ${say(model.get("y"), 1)}`;
    });
  }

  let silence;
  function go(x, y) {
    model.set("x", nearest(x, 0));
    model.set("y", nearest(y, 1));
    model.save_changes(); // while Python is at work, the newest position waits and the ones before it are dropped
    clearTimeout(silence); // spoken once the point rests, not at every step of a drag
    silence = setTimeout(() => { find("spoken").textContent = find("numbers").textContent; }, 600);
  }
  function follow(event) {
    const [right, up] = [(event.offsetX - EDGE.left) / width(), 1 - (event.offsetY - EDGE.top) / height()];
    go(low[0] + right * (high[0] - low[0]), low[1] + up * (high[1] - low[1]));
  }
  hand.addEventListener("pointerdown", (event) => {
    hand.setPointerCapture(event.pointerId);
    hand.focus({ preventScroll: true });
    follow(event);
  });
  hand.addEventListener("pointermove", (event) => {
    if (hand.hasPointerCapture(event.pointerId)) follow(event);
  });
  hand.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const share = event.shiftKey ? 0.1 : 0.01;
    const [x, y] = way.map((one, axis) => one * Math.max(share * (high[axis] - low[axis]), step[axis]));
    go(model.get("x") + x, model.get("y") + y);
  });

  function drawDigit() {
    const bytes = model.get("pixels"); // a DataView of 784 bytes, 0 black to 255 white
    const picture = new ImageData(28, 28);
    picture.data.forEach((_, n) => { picture.data[n] = n % 4 < 3 ? bytes.getUint8(n >> 2) : 255; }); // grey, opaque
    decoded.getContext("2d").putImageData(picture, 0, 0);
  }
  const answers = { "change:x": redraw, "change:y": redraw, "change:line": redraw, "change:pixels": drawDigit };
  for (const [event, answer] of Object.entries(answers)) model.on(event, answer);
  const size = new ResizeObserver(() => { drawMap(); redraw(); });
  size.observe(hand);
  drawDigit();
  return () => {
    size.disconnect();
    for (const [event, answer] of Object.entries(answers)) model.off(event, answer);
  };
}

function ticks(low, high) {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
  const found = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) found.push(Number((n * step).toPrecision(6)));
  return found;
}

function disc(pen, x, y, radius, fill, rim) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  Object.assign(pen, { fillStyle: fill, strokeStyle: rim, lineWidth: 2 });
  pen.fill();
  pen.stroke();
}

function label(pen, x, y, text) {
  pen.font = `600 ${FONT}`;
  const wide = Math.max(pen.measureText(text).width + 10, 20);
  pen.beginPath();
  pen.roundRect(x - wide / 2, y - 10, wide, 20, text.length > 1 ? 4 : 10);
  pen.fillStyle = INK;
  pen.fill();
  pen.fillStyle = "#ffffff";
  pen.fillText(text, x, y + 0.5);
}

export default { render };
