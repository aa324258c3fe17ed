// The map of encoded digits: drag the point, and the decoded image appears beside it. In a notebook `model` is the state
// shared with Python, which decodes; in a saved web page latent_page.js takes its place.

const EDGE = { left: 58, right: 10, top: 10, bottom: 40 }; // room for the axes, in pixels
const TRAIL = 60; // positions
const [INK, MUTED, HAIR, FONT] = ["#1c2733", "#55616d", "#1c273340", "12px system-ui, sans-serif"];
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
  const [map, hand, decoded] = ["points", "hand", "decoded"].map((name) => el.querySelector(`.sd-${name}`));
  const say = announcer(el);

  const width = () => hand.clientWidth - EDGE.left - EDGE.right;
  const height = () => hand.clientHeight - EDGE.top - EDGE.bottom;
  const place = ([x, y]) => [
    EDGE.left + ((x - low[0]) / (high[0] - low[0])) * width(), EDGE.top + ((high[1] - y) / (high[1] - low[1])) * height(),
  ];

  function drawMap() {
    const pen = cleared(map);
    const [right, bottom] = [EDGE.left + width(), EDGE.top + height()];
    pen.font = FONT;
    for (const axis of [0, 1]) {
      for (const tick of ticks(low[axis], high[axis])) {
        const [x, y] = place([tick, tick]);
        pen.fillStyle = "#e9edf1";
        pen.fillRect(...(axis ? [EDGE.left, y, width(), 1] : [x, EDGE.top, 1, height()]));
        pen.fillStyle = MUTED;
        pen.fillText(minus(String(tick)), axis ? 38 : x, axis ? y : bottom + 13);
      }
    }
    pen.fillText(AXES[0], (EDGE.left + right) / 2, bottom + 30);
    pen.fillText(AXES[1], 10, (EDGE.top + bottom) / 2);
    pen.font = `600 ${FONT}`; // every point is the digit itself: it needs no legend
    for (const [x, y, digit] of points) {
      pen.fillStyle = colors[digit];
      pen.fillText(digit, ...place([x, y]));
    }
  }

  const trail = [];
  function remember(x, y) {
    const [a, b] = trail.at(-1) ?? [x, y];
    const far = Math.abs(x - a) / (high[0] - low[0]) + Math.abs(y - b) / (high[1] - low[1]);
    if (far > 0.25) trail.length = 0; // a jump, not a drag
    if (far || !trail.length) trail.push([x, y]);
    if (trail.length > TRAIL) trail.shift();
  }

  function drawHand() {
    const pen = cleared(hand);
    const [x, y] = [model.get("x"), model.get("y")];
    const line = model.get("line").map(place);
    pen.setLineDash([6, 5]);
    stroke(pen, line, `${INK}aa`, 1.5);
    pen.setLineDash([]);
    line.forEach((end, n) => tag(pen, end, "AB"[n]));
    remember(x, y);
    for (let n = 1; n < trail.length; n++) {
      const young = 1 - (trail.length - n) / TRAIL;
      stroke(pen, [trail[n - 1], trail[n]].map(place), `rgba(230, 120, 0, ${0.75 * young})`, 1 + 4 * young);
    }
    const [across, down] = place([x, y]);
    stroke(pen, [place([low[0], y]), place([high[0], y])], HAIR, 1);
    stroke(pen, [place([x, low[1]]), place([x, high[1]])], HAIR, 1);
    tag(pen, [across, EDGE.top + height() + 13], grids[0].print(x));
    tag(pen, [32, down], grids[1].print(y));
    disc(pen, [across, down], 11, "#ffffff", INK);
    disc(pen, [across, down], 5, "#e67800", "#e67800");
    const values = [x, y].map((value, axis) => `${AXES[axis]} = ${grids[axis].print(value)}`).join("   ");
    el.querySelector(".sd-values").textContent = values;
    decoded.ariaLabel = `image decoded at ${values}`;
    say(values);
  }

  onMove(hand, {
    grids,
    jumps: true,
    at: () => [model.get("x"), model.get("y")],
    under({ offsetX, offsetY }) {
      const [right, down] = [(offsetX - EDGE.left) / width(), (offsetY - EDGE.top) / height()];
      return [low[0] + right * (high[0] - low[0]), high[1] - down * (high[1] - low[1])];
    },
    go: (x, y) => send(model, { x, y }),
  });

  function drawDigit() {
    const bytes = model.get("pixels"); // a DataView of 784 bytes, 0 black to 255 white
    const image = new ImageData(28, 28);
    image.data.forEach((_, n) => { image.data[n] = n % 4 < 3 ? bytes.getUint8(n >> 2) : 255; }); // gray, opaque
    decoded.getContext("2d").putImageData(image, 0, 0);
  }
  drawn(map, drawMap);
  follow(model, { "x y line": drawn(hand, drawHand), pixels: drawDigit });
}

function ticks(low, high) {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
  const count = Math.floor(high / step) - Math.ceil(low / step) + 1;
  return Array.from({ length: count }, (_, n) => Number(((Math.ceil(low / step) + n) * step).toPrecision(6)));
}

function tag(pen, [x, y], text) { // a label on a dark ground
  pen.font = `600 ${FONT}`;
  const wide = Math.max(pen.measureText(text).width + 10, 20);
  x = Math.min(Math.max(x, wide / 2), pen.canvas.clientWidth - wide / 2);
  pen.fillStyle = INK;
  pen.beginPath();
  pen.roundRect(x - wide / 2, y - 10, wide, 20, text.length > 1 ? 4 : 10);
  pen.fill();
  pen.fillStyle = "#ffffff";
  pen.fillText(text, x, y + 0.5);
}

export default { render: renderMap };
