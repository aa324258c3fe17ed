// The map of encoded digits: drag the point, and the decoded image appears beside it. In a notebook `model` is the state
// shared with Python, which decodes; in a saved web page latent_page.js takes its place.

const EDGE = { left: 58, right: 10, top: 10, bottom: 40 }; // room for the axes, in pixels
const TRAIL = 60; // positions
const [INK, MUTED, FONT] = ["#1c2733", "#55616d", "12px system-ui, sans-serif"];
const AXES = ["z₁", "z₂"];

function renderMap({ model, el }) {
  const { points, low, high, step, colors } = model.get("map");
  const grids = step.map((one, axis) => gridOf(low[axis], high[axis], one));
  el.classList.add("sd", "sd-latent-map");
  el.innerHTML = `
    <div class="sd-part">
      <b>latent space: every digit where the encoder puts it</b> <span class="sd-tap">Tap the map, then drag.</span>
      <div class="sd-map sd-sheet">
        <canvas class="sd-points"></canvas>
        <canvas class="sd-hand" tabindex="0" role="application" aria-roledescription="2-D slider"
          aria-label="latent space: the arrow keys move the point, with Shift in larger steps"></canvas>
      </div>
    </div>
    <div class="sd-part">
      <b>decoded</b>
      <canvas class="sd-decoded sd-pixels" width="28" height="28" role="img"></canvas>
      <span class="sd-values"></span>
    </div>`;
  const find = (name) => el.querySelector(`.sd-${name}`);
  const [map, hand, decoded] = [find("points"), find("hand"), find("decoded")];
  const say = announcer(el);

  const width = () => hand.clientWidth - EDGE.left - EDGE.right;
  const height = () => hand.clientHeight - EDGE.top - EDGE.bottom;
  const across = (x) => EDGE.left + ((x - low[0]) / (high[0] - low[0])) * width();
  const down = (y) => EDGE.top + ((high[1] - y) / (high[1] - low[1])) * height();

  function drawMap() {
    const pen = cleared(map);
    pen.font = FONT;
    const [right, bottom] = [EDGE.left + width(), EDGE.top + height()];
    for (const axis of [0, 1]) {
      for (const tick of ticks(low[axis], high[axis])) {
        pen.fillStyle = "#e9edf1";
        pen.fillRect(...(axis ? [EDGE.left, down(tick), width(), 1] : [across(tick), EDGE.top, 1, height()]));
        pen.fillStyle = MUTED;
        pen.fillText(minus(String(tick)), axis ? 38 : across(tick), axis ? down(tick) : bottom + 13);
      }
    }
    pen.fillText(AXES[0], (EDGE.left + right) / 2, bottom + 30);
    pen.fillText(AXES[1], 10, (EDGE.top + bottom) / 2);
    pen.font = `600 ${FONT}`; // every point is the digit itself: it needs no legend
    for (const [x, y, digit] of points) {
      pen.fillStyle = colors[digit];
      pen.fillText(digit, across(x), down(y));
    }
  }

  const trail = [];
  function remember(x, y) {
    const [a, b] = trail.at(-1) ?? [x, y];
    const [right, up] = [Math.abs(x - a) / (high[0] - low[0]), Math.abs(y - b) / (high[1] - low[1])];
    if (right + up > 0.25) trail.length = 0; // a jump, not a drag
    if (right + up || !trail.length) trail.push([x, y]);
    if (trail.length > TRAIL) trail.shift();
  }

  function stroke(pen, path, color, thick) {
    Object.assign(pen, { strokeStyle: color, lineWidth: thick });
    pen.beginPath();
    for (const [x, y] of path) pen.lineTo(across(x), down(y));
    pen.stroke();
  }

  function drawHand() {
    if (!hand.clientWidth) return; // not on the page at the moment; the observer draws it when it is
    const pen = cleared(hand);
    const [x, y] = [model.get("x"), model.get("y")];
    pen.setLineDash([6, 5]);
    stroke(pen, model.get("line"), "#1c2733aa", 1.5);
    pen.setLineDash([]);
    model.get("line").forEach(([a, b], end) => tag(pen, across(a), down(b), "AB"[end]));
    remember(x, y);
    for (let n = 1; n < trail.length; n++) {
      const age = (trail.length - n) / TRAIL;
      stroke(pen, [trail[n - 1], trail[n]], `rgba(230, 120, 0, ${0.75 * (1 - age)})`, 1 + 4 * (1 - age));
    }
    stroke(pen, [[low[0], y], [high[0], y]], "#1c273340", 1); // cross-hair
    stroke(pen, [[x, low[1]], [x, high[1]]], "#1c273340", 1);
    tag(pen, across(x), EDGE.top + height() + 13, grids[0].print(x));
    tag(pen, 32, down(y), grids[1].print(y));
    disc(pen, across(x), down(y), 11, "#ffffff", INK);
    disc(pen, across(x), down(y), 5, "#e67800", "#e67800");
    const values = [x, y].map((value, axis) => `${AXES[axis]} = ${grids[axis].print(value)}`).join("   ");
    find("values").textContent = values;
    decoded.setAttribute("aria-label", `image decoded at ${values}`);
    say(values);
  }
  const redraw = oncePerFrame(drawHand);

  const go = (x, y) => send(model, { x: grids[0].snap(x), y: grids[1].snap(y) });
  function drag(event) {
    const [right, up] = [(event.offsetX - EDGE.left) / width(), 1 - (event.offsetY - EDGE.top) / height()];
    go(low[0] + right * (high[0] - low[0]), low[1] + up * (high[1] - low[1]));
  }
  onDrag(hand, { start: drag, move: drag });
  onKeys(hand, (event) => event.key in ARROWS, (event) => {
    const way = ARROWS[event.key];
    const share = event.shiftKey ? 0.1 : 0.01;
    const [x, y] = way.map((one, axis) => one * Math.max(share * (high[axis] - low[axis]), step[axis]));
    go(model.get("x") + x, model.get("y") + y);
  });

  function drawDigit() {
    const bytes = model.get("pixels"); // a DataView of 784 bytes, 0 black to 255 white
    const image = new ImageData(28, 28);
    image.data.forEach((_, n) => { image.data[n] = n % 4 < 3 ? bytes.getUint8(n >> 2) : 255; }); // gray, opaque
    decoded.getContext("2d").putImageData(image, 0, 0);
  }
  follow(model, { "change:x change:y change:line": redraw, "change:pixels": drawDigit });
  new ResizeObserver(() => { drawMap(); drawHand(); }).observe(hand);
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

function tag(pen, x, y, text) {
  pen.font = `600 ${FONT}`;
  const wide = Math.max(pen.measureText(text).width + 10, 20);
  x = Math.min(Math.max(x, wide / 2), pen.canvas.clientWidth - wide / 2);
  pen.beginPath();
  pen.roundRect(x - wide / 2, y - 10, wide, 20, text.length > 1 ? 4 : 10);
  pen.fillStyle = INK;
  pen.fill();
  pen.fillStyle = "#ffffff";
  pen.fillText(text, x, y + 0.5);
}

export default { render: renderMap };
