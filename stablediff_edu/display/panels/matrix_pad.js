// The plane of a matrix: two arrows show where it moves (1, 0) and (0, 1). Drag their ends and the matrix follows: what
// (1, 0) becomes is its first column, what (0, 1) becomes its second.

const START = ["(1, 0)", "(0, 1)"];
const LARGE_STEP = 10; // with Shift, in steps of the range

function render({ model, el }) {
  const [low, high, step] = ["low", "high", "step"].map((part) => model.get(part));
  const places = Math.max(0, Math.ceil(-Math.log10(step)));
  const nearest = (value) => { // a number that the sliders know too
    const inside = Math.min(Math.max(value, low), high);
    return Number((Math.round(inside / step) * step).toFixed(places));
  };
  const say = (value) => value.toFixed(places).replace("-", "−");

  // The plane in its own units, upwards as in school: so y has a minus wherever something is put.
  const edge = high + 0.35;
  const whole = []; // the grid: -2, -1, 0, 1, 2
  for (let n = Math.ceil(low); n <= high; n++) whole.push(n);
  const grid = whole.flatMap((n) => [[[n, low], [n, high]], [[low, n], [high, n]]]);
  const axes = [[[low, 0], [high, 0]], [[0, low], [0, high]]];
  const path = (lines) => lines.map((line) => "M" + line.map(([x, y]) => `${x},${-y}`).join("L")).join("");
  const ticks = whole.filter((n) => n).map((n) => {
    const text = String(n).replace("-", "−");
    return `<text x="${n}" y="0.2">${text}</text><text x="-0.16" y="${-n}">${text}</text>`;
  });

  // data-lm-suppress-shortcuts: else JupyterLab takes the arrow keys
  const arrows = START.map((start, column) => `
    <line class="sd-shaft" />
    <g class="sd-end" tabindex="0" role="application" aria-roledescription="slider in two directions"
      aria-label="column ${column + 1}, where ${start} goes: the arrow keys move it, with Shift in larger steps"
      data-lm-suppress-shortcuts="true">
      <circle class="sd-reach" r="0.3" /><circle class="sd-disc" r="0.17" /><text>${column + 1}</text>
    </g>`);
  el.innerHTML = `
    <div class="sd-matrix-pad">
      <b></b>
      <svg viewBox="${-edge} ${-edge} ${2 * edge} ${2 * edge}">
        <path class="sd-grid" d="${path(grid)}" /><path class="sd-axes" d="${path(axes)}" />
        ${ticks.join("")}
        <path class="sd-moved" /><path class="sd-square" />
        ${arrows.join("")}
      </svg>
      <span class="sd-columns"></span>
      <span class="sd-spoken" role="status"></span>
    </div>`;
  const find = (name) => el.querySelector(name);
  const [plane, shafts, ends] = [find("svg"), el.querySelectorAll(".sd-shaft"), el.querySelectorAll(".sd-end")];

  const columnOf = (matrix, column) => [matrix[column], matrix[2 + column]]; // it is stored row by row
  function draw() {
    const matrix = model.get("matrix");
    const [first, second] = [columnOf(matrix, 0), columnOf(matrix, 1)];
    // x times the first column and y times the second: matrix · (x, y)
    const move = ([x, y]) => [0, 1].map((row) => x * first[row] + y * second[row]);
    find(".sd-moved").setAttribute("d", path(grid.map((line) => line.map(move))));
    find(".sd-square").setAttribute("d", path([[[0, 0], [1, 0], [1, 1], [0, 1]].map(move)]) + "Z");
    [first, second].forEach(([x, y], column) => {
      shafts[column].setAttribute("x2", x);
      shafts[column].setAttribute("y2", -y);
      ends[column].setAttribute("transform", `translate(${x} ${-y})`);
    });
    find("b").textContent = `${model.get("name")}: drag the ends of the arrows`;
    find(".sd-matrix-pad").style.setProperty("--colour", model.get("colour"));
    find(".sd-columns").textContent = [first, second]
      .map(([x, y], column) => `${column + 1}: ${START[column]} goes to (${say(x)}, ${say(y)})`).join("\n");
  }

  let silence;
  function go(column, x, y) {
    const matrix = [...model.get("matrix")];
    [matrix[column], matrix[2 + column]] = [nearest(x), nearest(y)];
    model.set("matrix", matrix);
    model.save_changes(); // while Python is at work, the newest matrix waits and the ones before it are dropped
    clearTimeout(silence); // spoken once the arrow rests, not at every step of a drag
    silence = setTimeout(() => { find(".sd-spoken").textContent = find(".sd-columns").textContent; }, 600);
  }
  ends.forEach((end, column) => {
    function follow(event) {
      const { left, top, width, height } = plane.getBoundingClientRect();
      const across = (event.clientX - left) / width;
      const down = (event.clientY - top) / height;
      go(column, edge * (2 * across - 1), edge * (1 - 2 * down));
    }
    end.addEventListener("pointerdown", (event) => {
      end.setPointerCapture(event.pointerId);
      end.focus({ preventScroll: true });
      event.preventDefault(); // no text is selected on the way
    });
    end.addEventListener("pointermove", (event) => {
      if (end.hasPointerCapture(event.pointerId)) follow(event);
    });
    end.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way) return;
      event.preventDefault();
      const far = event.shiftKey ? LARGE_STEP * step : step;
      const [x, y] = columnOf(model.get("matrix"), column);
      go(column, x + far * way[0], y + far * way[1]);
    });
  });

  const told = ["change:matrix", "change:name", "change:colour"];
  for (const event of told) model.on(event, draw);
  draw();
  return () => {
    for (const event of told) model.off(event, draw);
  };
}

export default { render };
