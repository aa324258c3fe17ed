// The cloud of words: drag to turn it, click a word to choose it; its nearest in all dimensions light up.

const [INK, FAINT, LIT] = ["#1c2733", "#8a949e", "#e67800"];
const font = (size, weight = 400) => `${weight} ${size}px system-ui, sans-serif`;
const CLICK = 4; // pixels: whoever moves less has clicked, not dragged
const REACH = 16; // pixels from a mark within which a click means it

function render({ model, el }) {
  const [words, places, groups, legend] = ["words", "places", "groups", "legend"].map((name) => model.get(name));
  const styleOf = (n) => legend[groups[n] < 0 ? legend.length - 1 : groups[n]];
  // data-lm-suppress-shortcuts: else JupyterLab takes the arrow keys
  el.innerHTML = `
    <div class="sd-cloud">
      <canvas tabindex="0" role="application" data-lm-suppress-shortcuts="true" aria-label="cloud of words: the arrow
        keys turn it, plus and minus make it larger and smaller, Enter goes to the nearest word"></canvas>
      <span class="sd-cloud-spoken" role="status"></span>
    </div>
    <div class="sd-cloud-legend" aria-hidden="true"></div>`;
  const canvas = el.querySelector("canvas");
  for (const [name, colour, marker] of legend) {
    const entry = document.createElement("span");
    entry.innerHTML = `<span style="color: ${colour}">${{ o: "●", s: "■", "^": "▲" }[marker]}</span> `;
    entry.append(name);
    el.querySelector(".sd-cloud-legend").append(entry);
  }

  let seen = []; // where each word is on the screen: {n, x, y, depth}, the farthest first
  function project() {
    const [turn, tilt] = ["turn", "tilt"].map((name) => (model.get(name) * Math.PI) / 180);
    const [ct, st, cl, sl] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = (Math.min(width, height) / 2.1) * (model.get("zoom") / 100);
    seen = places.map(([x, y, z], n) => {
      const [right, back] = [x * ct + z * st, z * ct - x * st]; // round the upright axis
      const [up, depth] = [y * cl - back * sl, back * cl + y * sl]; // then towards the eye
      const near = 3 / (3 + depth); // what is nearer is larger
      return { n, x: width / 2 + right * scale * near, y: height / 2 - up * scale * near, depth };
    });
    seen.sort((a, b) => b.depth - a.depth);
  }

  function draw() {
    project();
    canvas.width = canvas.clientWidth * devicePixelRatio;
    canvas.height = canvas.clientHeight * devicePixelRatio;
    const pen = canvas.getContext("2d");
    pen.scale(devicePixelRatio, devicePixelRatio);
    pen.textBaseline = "middle";
    const chosen = model.get("chosen");
    const near = new Map(model.get("near"));
    const bright = (n) => n === chosen || near.has(n);
    for (const one of seen.filter(({ n }) => !bright(n))) mark(pen, one, 3, 0.25 + 0.5 * front(one));
    const here = seen.find(({ n }) => n === chosen);
    const lit = seen.filter(({ n }) => near.has(n));
    pen.strokeStyle = LIT;
    for (const one of lit) {
      pen.globalAlpha = 0.5;
      line(pen, here, one);
      pen.globalAlpha = 1;
      mark(pen, one, 5, 1);
    }
    mark(pen, here, 7, 1);
    ring(pen, here);
    // names: the chosen word first, then its nearest, then whoever is in front and has room
    const taken = [here, ...lit].map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
    name(pen, here, font(15, 700), INK, words[chosen], taken, true);
    lit.sort((a, b) => near.get(a.n) - near.get(b.n));
    for (const one of lit) name(pen, one, font(12, 600), INK, `${words[one.n]} ${near.get(one.n).toFixed(2)}`, taken, true);
    for (const one of seen.filter(({ n }) => !bright(n)).reverse()) {
      name(pen, one, font(11), FAINT, words[one.n], taken, false);
    }
  }

  const front = ({ depth }) => Math.min(1, Math.max(0, (1 - depth) / 2)); // 1 before the eye, 0 far away

  function mark(pen, { n, x, y }, size, alpha) {
    const [, colour, marker] = styleOf(n);
    pen.globalAlpha = alpha;
    pen.fillStyle = colour;
    pen.beginPath();
    if (marker === "s") pen.rect(x - size, y - size, 2 * size, 2 * size);
    else if (marker === "^") [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]].forEach(([a, b]) => pen.lineTo(x + a * size, y + b * size));
    else pen.arc(x, y, size, 0, 7);
    pen.fill();
    pen.globalAlpha = 1;
  }

  function ring(pen, { x, y }) {
    Object.assign(pen, { strokeStyle: INK, lineWidth: 2 });
    pen.beginPath();
    pen.arc(x, y, 11, 0, 7);
    pen.stroke();
  }

  function line(pen, a, b) {
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(a.x, a.y);
    pen.lineTo(b.x, b.y);
    pen.stroke();
  }

  function name(pen, { x, y }, font, colour, text, taken, always) { // always: if there is no room, farther off
    pen.font = font;
    const wide = pen.measureText(text).width;
    const spots = [[x + 10, y], [x - 10 - wide, y], [x - wide / 2, y - 16], [x - wide / 2, y + 16]];
    for (let far = 28; always && far < 150; far += 8) {
      for (let turn = 0; turn < 6.28; turn += 0.393) {
        spots.push([x + far * Math.cos(turn) - wide / 2, y + far * Math.sin(turn)]);
      }
    }
    const boxAt = ([left, middle]) => [left - 2, middle - 8, left + wide + 2, middle + 8];
    const free = ([l, t, r, b]) => l > 0 && r < canvas.clientWidth && t > 0 && b < canvas.clientHeight
      && !taken.some(([left, top, right, bottom]) => l < right && left < r && t < bottom && top < b);
    const found = spots.findIndex((spot) => free(boxAt(spot)));
    if (found < 0) return;
    const [left, middle] = spots[found];
    taken.push(boxAt(spots[found]));
    if (found > 3) {
      pen.strokeStyle = FAINT;
      line(pen, { x, y }, { x: left + wide / 2, y: middle });
    }
    if (always) { // a white rim: these lie over marks and lines
      Object.assign(pen, { strokeStyle: "#ffffff", lineWidth: 4, lineJoin: "round" });
      pen.strokeText(text, left, middle);
    }
    pen.fillStyle = colour;
    pen.fillText(text, left, middle);
  }

  let frame;
  function redraw() { // however many changes there are, one drawing a frame
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }

  // -- what the learner does -----------------------------------------------------------------------------------------

  const limits = { turn: [-180, 180], tilt: [-90, 90], zoom: [50, 400] };
  function set(name, value) {
    const [low, high] = limits[name];
    const round = name === "turn" ? ((((value + 180) % 360) + 360) % 360) - 180 : value; // all the way round
    model.set(name, Math.round(Math.min(high, Math.max(low, round))));
  }
  function view(turn, tilt, zoom = 1) {
    set("turn", model.get("turn") + turn);
    set("tilt", model.get("tilt") + tilt);
    set("zoom", model.get("zoom") * zoom);
    model.save_changes();
  }
  function choose(n) {
    model.set("chosen", n);
    model.save_changes();
  }

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    drag = { x: event.offsetX, y: event.offsetY, far: 0, turn: model.get("turn"), tilt: model.get("tilt") };
  });
  function under(event) { // the word under the pointer; of two the one in front
    const far = (one) => Math.hypot(one.x - event.offsetX, one.y - event.offsetY) + one.depth;
    const best = seen.reduce((a, b) => (far(b) < far(a) ? b : a));
    return far(best) < REACH ? best.n : -1;
  }
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) { // marks without a name tell it here
      canvas.title = words[under(event)] ?? "";
      return;
    }
    const [right, down] = [event.offsetX - drag.x, event.offsetY - drag.y];
    drag.far = Math.max(drag.far, Math.hypot(right, down));
    if (drag.far <= CLICK) return;
    set("turn", drag.turn - right / 2);
    set("tilt", drag.tilt - down / 2);
    model.save_changes();
  });
  canvas.addEventListener("pointerup", (event) => {
    const clicked = drag && drag.far <= CLICK;
    drag = null;
    if (clicked && under(event) >= 0) choose(under(event));
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: [5, 0], ArrowRight: [-5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[event.key];
    const zoom = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 }[event.key];
    if (turn) view(...turn);
    else if (zoom) view(0, 0, zoom);
    else if (event.key === "Enter" && model.get("near").length) choose(model.get("near")[0][0]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function speak() {
    const near = model.get("near").slice(0, 5).map(([n, distance]) => `${words[n]} ${distance.toFixed(2)}`);
    el.querySelector(".sd-cloud-spoken").textContent = `${words[model.get("chosen")]}; nearest: ${near.join(", ")}`;
  }
  const answers = { "change:near": () => { speak(); redraw(); } };
  for (const name of ["chosen", "turn", "tilt", "zoom"]) answers[`change:${name}`] = redraw;
  for (const [event, answer] of Object.entries(answers)) model.on(event, answer);
  const size = new ResizeObserver(redraw);
  size.observe(canvas);
  speak();
  return () => {
    size.disconnect();
    for (const [event, answer] of Object.entries(answers)) model.off(event, answer);
  };
}

export default { render };
