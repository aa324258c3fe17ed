// A small pad to sketch on, by mouse, finger or keyboard. The sketch goes to Python as a PNG in a data URL.

function renderPad({ model, el }) {
  const [size, palette] = [model.get("size"), model.get("palette")];
  let [color, thick] = ["red", Math.max(2, Math.round(size / 12))];
  const rgb = (name) => `rgb(${palette[name].join(" ")})`;
  el.classList.add("sd", "sd-sketch");
  el.innerHTML = `
    <div class="sd-paper">
      <canvas class="sd-hand sd-pixels" width="${size}" height="${size}" tabindex="0" role="application"
        aria-label="sketch pad: the arrow keys move the brush, the space bar puts it down and lifts it"></canvas>
      <i></i>
    </div>
    <span class="sd-tap">Tap the pad, then sketch.</span>
    <div class="sd-colors" role="group" aria-label="colors"></div>
    <label>brush size <input type="range" min="1" max="${Math.round(size / 3)}" value="${thick}"></label>`;
  const [canvas, brush, colors, range] = ["canvas", "i", ".sd-colors", "input"].map((name) => el.querySelector(name));
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const say = announcer(el);

  for (const name of Object.keys(palette)) {
    const button = colors.appendChild(make("button", { type: "button", title: name, ariaLabel: name }));
    button.style.background = rgb(name);
    button.addEventListener("click", () => choose(name));
  }
  function choose(name) {
    color = name;
    for (const button of colors.children) button.ariaPressed = button.title === name;
    place();
  }

  let [x, y, down] = [size / 2, size / 2, false]; // of the brush, in pixels of the sketch
  function place() {
    const scale = canvas.clientWidth / size;
    Object.assign(brush.style, { left: `${x * scale}px`, top: `${y * scale}px`, borderColor: rgb(color) });
    brush.style.width = brush.style.height = `${thick * scale}px`;
  }
  function go([newX, newY], paints) {
    if (paints) { // a line without length would leave no dot
      stroke(Object.assign(pen, { lineCap: "round" }), [[x, y], [newX, newY + 0.01]], rgb(color), thick);
      send(model, { value: canvas.toDataURL() });
    }
    [x, y] = [newX, newY];
    place();
  }
  function show() { // another template, or another view's sketch
    if (canvas.toDataURL() === model.get("value")) return;
    const image = new Image();
    image.onload = () => pen.drawImage(image, 0, 0);
    image.src = model.get("value");
  }

  const at = (event) => [event.offsetX, event.offsetY].map((one) => (one / canvas.clientWidth) * size);
  onDrag(canvas, {
    start(event) {
      [x, y] = at(event);
      go([x, y], true);
    },
    move: (event) => go(at(event), true),
  });
  canvas.addEventListener("pointermove", (event) => { if (!event.buttons) go(at(event), false); });
  onKeys(canvas, ({ key }) => key in ARROWS || key === " ", ({ key }) => {
    if (key === " ") {
      down = !down;
      say(down ? "brush down" : "brush up");
    }
    const [right, up] = (ARROWS[key] ?? [0, 0]).map((way) => way * Math.max(1, size / 32));
    go([x + right, y - up].map((value) => Math.min(Math.max(value, 0), size)), down);
  });
  onKeys(el, takenByField);
  range.addEventListener("input", () => { thick = Number(range.value); place(); });
  choose(color);
  follow(model, { value: show });
}

export default { render: renderPad };
