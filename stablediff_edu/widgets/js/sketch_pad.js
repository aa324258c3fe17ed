// A small pad to sketch on, by mouse, finger or keyboard. The sketch goes to Python as a PNG in a data URL.

function renderPad({ model, el }) {
  const [size, palette] = [model.get("size"), Object.entries(model.get("palette"))];
  let [color, thick] = ["red", Math.max(2, Math.round(size / 12))];
  const rgb = (name) => `rgb(${model.get("palette")[name].join(" ")})`;
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

  colors.replaceChildren(...palette.map(([name]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", title: name });
    button.setAttribute("aria-label", name);
    button.style.background = rgb(name);
    button.addEventListener("click", () => choose(name));
    return button;
  }));
  function choose(name) {
    color = name;
    palette.forEach(([one], n) => colors.children[n].setAttribute("aria-pressed", one === name));
    place();
  }

  let [x, y, down] = [size / 2, size / 2, false]; // of the brush, in pixels of the sketch
  function place() {
    const scale = canvas.clientWidth / size;
    Object.assign(brush.style, { left: `${x * scale}px`, top: `${y * scale}px`, borderColor: rgb(color) });
    brush.style.width = brush.style.height = `${thick * scale}px`;
  }
  function go(newX, newY, paints) {
    if (paints) {
      Object.assign(pen, { lineCap: "round", lineWidth: thick, strokeStyle: rgb(color) });
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(newX, newY + 0.01); // a line without length would leave no dot
      pen.stroke();
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
      go(x, y, true);
    },
    move: (event) => go(...at(event), true),
  });
  canvas.addEventListener("pointermove", (event) => { if (!event.buttons) go(...at(event), false); });
  onKeys(canvas, (event) => event.key in ARROWS || event.key === " ", (event) => {
    const way = ARROWS[event.key];
    if (way) {
      const inside = (value) => Math.min(Math.max(value, 0), size);
      go(inside(x + way[0] * Math.max(1, size / 32)), inside(y - way[1] * Math.max(1, size / 32)), down);
    } else {
      down = !down;
      say(down ? "brush down" : "brush up");
      go(x, y, down);
    }
  });
  onKeys(el, takenByField);
  range.addEventListener("input", () => { thick = Number(range.value); place(); });
  choose(color);
  follow(model, { "change:value": show });
}

export default { render: renderPad };
