// A 3-D cloud of words: drag to rotate it, click a word to select it; its nearest neighbors in all dimensions light up.

const [INK, MUTED, LIT] = ["#1c2733", "#55616d", "#e67800"];
const font = (size, weight = 400) => `${weight} ${size}px system-ui, sans-serif`;
const CLICK = 4; // pixels: a shorter move is a click, not a drag
const REACH = 16; // pixels around a mark within which a click selects it
const LIMITS = { azimuth: [-180, 180], elevation: [-90, 90], zoom: [50, 400] };

function renderCloud({ model, el }) {
  const [words, points, groups, legend] = ["words", "points", "groups", "legend"].map((name) => model.get(name));
  const styleOf = (n) => legend[groups[n] < 0 ? legend.length - 1 : groups[n]];
  el.classList.add("sd", "sd-cloud");
  el.innerHTML = `
    <canvas class="sd-hand sd-sheet" tabindex="0" role="application" aria-label="cloud of words: the arrow keys rotate it,
      plus and minus zoom, Enter selects the nearest word"></canvas>
    <span class="sd-tap">Tap the cloud, then drag.</span>
    <div class="sd-legend sd-sheet" aria-hidden="true"></div>`;
  const canvas = el.querySelector("canvas");
  const say = announcer(el);
  for (const [name, color, marker] of legend) {
    const [entry, mark] = [document.createElement("span"), document.createElement("span")];
    Object.assign(mark, { textContent: { o: "●", s: "■", "^": "▲" }[marker] }).style.color = color;
    entry.append(mark, ` ${name}`);
    el.querySelector(".sd-legend").append(entry);
  }

  let shown = []; // where each word is on the screen: {n, x, y, depth}, the farthest first
  function project() {
    const [azimuth, elevation] = ["azimuth", "elevation"].map((name) => (model.get(name) * Math.PI) / 180);
    const [ca, sa, ce, se] = [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = (Math.min(width, height) / 2.1) * (model.get("zoom") / 100);
    shown = points.map(([x, y, z], n) => {
      const [right, back] = [x * ca + z * sa, z * ca - x * sa]; // around the vertical axis
      const [up, depth] = [y * ce - back * se, back * ce + y * se]; // then towards the viewer
      const near = 3 / (3 + depth); // perspective
      return { n, x: width / 2 + right * scale * near, y: height / 2 - up * scale * near, depth };
    });
    shown.sort((a, b) => b.depth - a.depth);
  }

  function draw() {
    if (!canvas.clientWidth) return; // not on the page at the moment; the observer draws it when it is
    project();
    const pen = cleared(canvas);
    pen.textAlign = "left";
    const selected = model.get("selected");
    const near = new Map(model.get("neighbors"));
    const bright = (n) => n === selected || near.has(n);
    const front = ({ depth }) => Math.min(1, Math.max(0, (1 - depth) / 2)); // 1 at the front, 0 far away
    for (const one of shown.filter(({ n }) => !bright(n))) mark(pen, one, 3, 0.25 + 0.5 * front(one));
    const here = shown.find(({ n }) => n === selected);
    const lit = shown.filter(({ n }) => near.has(n));
    pen.strokeStyle = LIT;
    for (const one of lit) {
      pen.globalAlpha = 0.5;
      line(pen, here, one);
      mark(pen, one, 5, 1);
    }
    mark(pen, here, 7, 1);
    Object.assign(pen, { strokeStyle: INK, lineWidth: 2 });
    pen.beginPath();
    pen.arc(here.x, here.y, 11, 0, 7);
    pen.stroke();
    // names: the selected word, its neighbors, then whatever is in front and has room
    const taken = [here, ...lit].map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
    label(pen, here, font(15, 700), INK, words[selected], taken, true);
    lit.sort((a, b) => near.get(a.n) - near.get(b.n));
    for (const one of lit) label(pen, one, font(12, 600), INK, `${words[one.n]} ${near.get(one.n).toFixed(2)}`, taken, true);
    for (const one of shown.filter(({ n }) => !bright(n)).reverse()) {
      label(pen, one, font(11), MUTED, words[one.n], taken, false);
    }
  }

  function mark(pen, { n, x, y }, size, alpha) {
    const [, color, marker] = styleOf(n);
    Object.assign(pen, { globalAlpha: alpha, fillStyle: color });
    pen.beginPath();
    if (marker === "s") pen.rect(x - size, y - size, 2 * size, 2 * size);
    else if (marker === "^") [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]].forEach(([a, b]) => pen.lineTo(x + a * size, y + b * size));
    else pen.arc(x, y, size, 0, 7);
    pen.fill();
    pen.globalAlpha = 1;
  }

  function line(pen, a, b) {
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(a.x, a.y);
    pen.lineTo(b.x, b.y);
    pen.stroke();
  }

  function label(pen, { x, y }, font, color, text, taken, always) { // always: if there is no room, farther off
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
      pen.strokeStyle = MUTED;
      line(pen, { x, y }, { x: left + wide / 2, y: middle });
    }
    if (always) { // a white rim: these lie over marks and lines
      Object.assign(pen, { strokeStyle: "#ffffff", lineWidth: 4, lineJoin: "round" });
      pen.strokeText(text, left, middle);
    }
    pen.fillStyle = color;
    pen.fillText(text, left, middle);
  }

  // -- what the learner does -----------------------------------------------------------------------------------------

  function limited(name, value) {
    const [low, high] = LIMITS[name];
    const turned = name === "azimuth" ? ((((value + 180) % 360) + 360) % 360) - 180 : value; // all the way around
    return Math.round(Math.min(high, Math.max(low, turned)));
  }
  const view = (azimuth, elevation, zoom = model.get("zoom")) => send(model, {
    azimuth: limited("azimuth", azimuth), elevation: limited("elevation", elevation), zoom: limited("zoom", zoom),
  });
  function under(event) { // the word under the pointer; of two the one in front
    const far = (one) => Math.hypot(one.x - event.offsetX, one.y - event.offsetY) + one.depth;
    const best = shown.reduce((a, b) => (far(b) < far(a) ? b : a));
    return far(best) < REACH ? best.n : -1;
  }
  let drag = {};
  onDrag(canvas, {
    start({ offsetX: x, offsetY: y }) { drag = { x, y, far: 0, at: [model.get("azimuth"), model.get("elevation")] }; },
    move(event) {
      const [right, down] = [event.offsetX - drag.x, event.offsetY - drag.y];
      drag.far = Math.max(drag.far, Math.hypot(right, down));
      if (drag.far > CLICK) view(drag.at[0] - right / 2, drag.at[1] - down / 2);
    },
    end(event) { if (drag.far <= CLICK && under(event) >= 0) send(model, { selected: under(event) }); },
  });
  canvas.addEventListener("pointermove", (event) => { if (!event.buttons) canvas.title = words[under(event)] ?? ""; });
  onKeys(canvas, ({ key }) => key in ARROWS || ["+", "=", "-", "Enter"].includes(key), (event) => {
    const [azimuth, elevation] = [model.get("azimuth"), model.get("elevation")];
    const way = ARROWS[event.key];
    const zoom = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 }[event.key];
    if (way) view(azimuth - 5 * way[0], elevation + 5 * way[1]);
    else if (zoom) view(azimuth, elevation, model.get("zoom") * zoom);
    else if (model.get("neighbors").length) send(model, { selected: model.get("neighbors")[0][0] });
  });

  function speak() {
    const near = model.get("neighbors").slice(0, 5).map(([n, distance]) => `${words[n]} ${distance.toFixed(2)}`);
    say(`${words[model.get("selected")]}; nearest: ${near.join(", ")}`);
  }
  const redraw = oncePerFrame(draw);
  follow(model, {
    "change:neighbors": speak,
    "change:neighbors change:selected change:azimuth change:elevation change:zoom": redraw,
  });
  new ResizeObserver(draw).observe(canvas);
}

export default { render: renderCloud };
