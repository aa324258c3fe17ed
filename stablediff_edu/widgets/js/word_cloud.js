// A 3-D cloud of words: drag to rotate it, click a word to select it; its nearest neighbors in all dimensions light up.

const [INK, MUTED, LIT] = ["#1c2733", "#55616d", "#e67800"];
const MARKS = { o: "●", s: "■", "^": "▲" };
const font = (size, weight = 400) => `${weight} ${size}px system-ui, sans-serif`;
const CLICK = 4; // pixels: a shorter move is a click, not a drag
const REACH = 16; // pixels around a mark within which a click selects it

function renderCloud({ model, el }) {
  const [words, points, groups, legend, limits] = ["words", "points", "groups", "legend", "limits"].map((name) => model.get(name));
  el.classList.add("sd", "sd-cloud");
  el.innerHTML = `
    <canvas class="sd-hand sd-sheet" tabindex="0" role="application" aria-label="cloud of words: the arrow keys rotate it,
      plus and minus zoom, Enter selects the nearest word"></canvas>
    <span class="sd-tap">Tap the cloud, then drag.</span>
    <div class="sd-legend sd-sheet" aria-hidden="true"></div>`;
  const canvas = el.querySelector("canvas");
  const say = announcer(el);
  for (const [name, color, marker] of legend) {
    const mark = make("span", { textContent: MARKS[marker] });
    mark.style.color = color;
    el.querySelector(".sd-legend").appendChild(make("span")).append(mark, ` ${name}`);
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
    project();
    const pen = Object.assign(cleared(canvas), { textAlign: "left", lineJoin: "round" });
    const [selected, near] = [model.get("selected"), new Map(model.get("neighbors"))];
    const others = shown.filter(({ n }) => n !== selected && !near.has(n));
    const here = shown.find(({ n }) => n === selected);
    const lit = shown.filter(({ n }) => near.has(n)).sort((a, b) => near.get(a.n) - near.get(b.n));
    for (const one of others) mark(pen, one, 9, 0.5 - 0.25 * Math.min(1, Math.max(-1, one.depth)));
    for (const one of lit) {
      pen.globalAlpha = 0.5;
      stroke(pen, [[here.x, here.y], [one.x, one.y]], LIT, 1);
      mark(pen, one, 15, 1);
    }
    mark(pen, here, 20, 1);
    disc(pen, [here.x, here.y], 11, "transparent", INK);
    // names: the selected word, its neighbors, then whatever is in front and has room
    const taken = [here, ...lit].map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
    label(pen, here, font(15, 700), words[selected], taken, true);
    for (const one of lit) label(pen, one, font(12, 600), `${words[one.n]} ${near.get(one.n).toFixed(2)}`, taken, true);
    for (const one of others.reverse()) label(pen, one, font(11), words[one.n], taken, false);
  }

  function mark(pen, { n, x, y }, size, alpha) {
    const [, color, marker] = legend[groups[n] < 0 ? legend.length - 1 : groups[n]];
    Object.assign(pen, { globalAlpha: alpha, fillStyle: color, font: font(size), textAlign: "center" });
    pen.fillText(MARKS[marker], x, y);
    Object.assign(pen, { globalAlpha: 1, textAlign: "left" });
  }

  function label(pen, { x, y }, font, text, taken, always) { // always: if there is no room, farther off
    pen.font = font;
    const wide = pen.measureText(text).width;
    const spots = [[x + 10, y], [x - 10 - wide, y], [x - wide / 2, y - 16], [x - wide / 2, y + 16]];
    for (let turn = 0; always && turn < 96; turn++) { // on a spiral
      const far = 28 + turn;
      spots.push([x + far * Math.cos(turn) - wide / 2, y + far * Math.sin(turn)]);
    }
    const free = ([left, middle]) => left > 2 && left + wide < canvas.clientWidth - 2
      && middle > 8 && middle < canvas.clientHeight - 8
      && !taken.some(([l, t, r, b]) => l < left + wide + 2 && left - 2 < r && t < middle + 8 && middle - 8 < b);
    const found = spots.findIndex(free);
    if (found < 0) return;
    const [left, middle] = spots[found];
    taken.push([left - 2, middle - 8, left + wide + 2, middle + 8]);
    if (found > 3) stroke(pen, [[x, y], [left + wide / 2, middle]], MUTED, 1);
    if (always) { // a white rim: these lie over marks and lines
      Object.assign(pen, { strokeStyle: "#ffffff", lineWidth: 4 });
      pen.strokeText(text, left, middle);
    }
    pen.fillStyle = always ? INK : MUTED;
    pen.fillText(text, left, middle);
  }

  // -- what the learner does -----------------------------------------------------------------------------------------

  function view(azimuth, elevation, zoom = model.get("zoom")) {
    azimuth = ((((azimuth + 180) % 360) + 360) % 360) - 180; // all the way around
    const limited = ([name, value]) => [name, gridOf(...limits[name], 1).snap(value)];
    send(model, Object.fromEntries(Object.entries({ azimuth, elevation, zoom }).map(limited)));
  }
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
  onKeys(canvas, ({ key }) => key in ARROWS || ["+", "=", "-", "Enter"].includes(key), ({ key }) => {
    const [azimuth, elevation] = [model.get("azimuth"), model.get("elevation")];
    if (key === "Enter") return send(model, { selected: model.get("neighbors")[0][0] });
    const [right, up] = ARROWS[key] ?? [0, 0];
    const zoom = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 }[key] ?? 1;
    view(azimuth - 5 * right, elevation + 5 * up, model.get("zoom") * zoom);
  });

  follow(model, {
    neighbors() {
      const near = model.get("neighbors").slice(0, 5).map(([n, distance]) => `${words[n]} ${distance.toFixed(2)}`);
      say(`${words[model.get("selected")]}; nearest: ${near.join(", ")}`);
    },
    "neighbors selected azimuth elevation zoom": drawn(canvas, draw),
  });
}

export default { render: renderCloud };
