// A small pad to draw on, by mouse, finger or keyboard. What is drawn goes to Python as a PNG: as bytes
// it would not, since two arrays of bytes are the same to the widgets' machinery, whatever is in them.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function render({ model, el }) {
  const [size, palette] = [model.get("size"), Object.entries(model.get("palette"))];
  let [colour, thick] = ["red", Math.max(2, Math.round(size / 12))];
  const rgb = (name) => `rgb(${model.get("palette")[name].join(" ")})`;
  el.innerHTML = `
    <div class="sd-sketch">
      <div class="sd-paper">
        <canvas width="${size}" height="${size}" tabindex="0" role="application" data-lm-suppress-shortcuts="true"
          aria-label="drawing pad: the arrow keys move the brush, the space bar puts it down and lifts it"></canvas>
        <i></i>
      </div>
      <div class="sd-colours" role="group" aria-label="colours"></div>
      <label>brush <input type="range" min="1" max="${Math.round(size / 3)}" value="${thick}"
        data-lm-suppress-shortcuts="true"></label>
      <span class="sd-spoken" role="status"></span>
    </div>`;
  const find = (kind) => el.querySelector(kind);
  const [canvas, brush, colours, range, spoken] = ["canvas", "i", ".sd-colours", "input", ".sd-spoken"].map(find);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  el.addEventListener("keydown", (event) => event.stopPropagation());

  colours.replaceChildren(...palette.map(([name]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", title: name });
    button.setAttribute("aria-label", name);
    button.style.background = rgb(name);
    button.addEventListener("click", () => choose(name));
    return button;
  }));
  function choose(name) {
    colour = name;
    palette.forEach(([one], n) => colours.children[n].setAttribute("aria-pressed", one == name));
    follow();
  }

  let [x, y, down] = [size / 2, size / 2, false]; // where the brush is, in pixels of the picture
  function follow() {
    const scale = canvas.clientWidth / size;
    Object.assign(brush.style, { left: `${x * scale}px`, top: `${y * scale}px`, borderColor: rgb(colour) });
    brush.style.width = brush.style.height = `${thick * scale}px`;
  }
  function go(newX, newY, paints) {
    if (paints) {
      Object.assign(pen, { lineCap: "round", lineWidth: thick, strokeStyle: rgb(colour) });
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(newX, newY + 0.01); // a line without length would leave no dot
      pen.stroke();
      tell();
    }
    [x, y] = [newX, newY];
    follow();
  }
  function tell() {
    model.set("drawn", canvas.toDataURL());
    model.save_changes(); // while Python draws, the newest sketch waits and the ones before it are dropped
  }
  function show() {
    const picture = new Image();
    picture.onload = () => pen.drawImage(picture, 0, 0);
    picture.src = model.get("drawn");
  }

  const place = (event) => [event.offsetX, event.offsetY].map((one) => (one / canvas.clientWidth) * size);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    [x, y] = place(event);
    go(x, y, true);
  });
  canvas.addEventListener("pointermove", (event) => go(...place(event), canvas.hasPointerCapture(event.pointerId)));
  canvas.addEventListener("keydown", (event) => {
    const way = ARROWS[event.key];
    if (!way && event.key != " ") return;
    event.preventDefault();
    if (!way) {
      down = !down;
      spoken.textContent = down ? "brush down" : "brush up";
      return go(x, y, down);
    }
    const inside = (value) => Math.min(Math.max(value, 0), size);
    go(inside(x + way[0] * Math.max(1, size / 32)), inside(y + way[1] * Math.max(1, size / 32)), down);
  });
  range.addEventListener("input", () => { thick = Number(range.value); follow(); });
  model.on("msg:custom", show); // another sketch to begin with
  choose(colour);
  show();
  return () => model.off("msg:custom", show);
}

export default { render };
