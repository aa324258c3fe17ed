// The plane of a matrix: two arrows show where it maps (1, 0) and (0, 1), its two columns. Drag their ends.

const START = ["(1, 0)", "(0, 1)"];
const LARGE_STEP = 10; // with Shift

function renderMatrix({ model, el }) {
  const [low, high, step] = ["low", "high", "step"].map((name) => model.get(name));
  const { snap, print } = gridOf(low, high, step);
  const say = announcer(el);

  // The plane in its own units, y upwards: so y has a minus wherever something is put.
  const edge = high + 0.35;
  const whole = []; // the grid: -2, -1, 0, 1, 2
  for (let n = Math.ceil(low); n <= high; n++) whole.push(n);
  const grid = whole.flatMap((n) => [[[n, low], [n, high]], [[low, n], [high, n]]]);
  const axes = [[[low, 0], [high, 0]], [[0, low], [0, high]]];
  const path = (lines) => lines.map((line) => "M" + line.map(([x, y]) => `${x},${-y}`).join("L")).join("");
  const ticks = whole.filter((n) => n).map((n) => {
    const text = minus(String(n));
    return `<text x="${n}" y="0.2">${text}</text><text x="-0.16" y="${-n}">${text}</text>`;
  });
  const arrows = START.map((start, column) => `
    <line class="sd-shaft" />
    <g class="sd-hand" tabindex="0" role="application" aria-roledescription="2-D slider"
      aria-label="column ${column + 1}, where ${start} goes: the arrow keys move it, with Shift in larger steps">
      <circle class="sd-reach" r="0.3" /><circle class="sd-disc" r="0.17" /><text>${column + 1}</text>
    </g>`);
  el.classList.add("sd", "sd-matrix");
  el.insertAdjacentHTML("afterbegin", `
    <b></b> <span class="sd-tap">Tap an end, then drag.</span>
    <svg class="sd-sheet" viewBox="${-edge} ${-edge} ${2 * edge} ${2 * edge}">
      <path class="sd-lines" d="${path(grid)}" /><path class="sd-axes" d="${path(axes)}" />
      ${ticks.join("")}
      <path class="sd-transformed" /><path class="sd-square" />
      ${arrows.join("")}
    </svg>
    <span class="sd-columns"></span>`);
  const find = (name) => el.querySelector(name);
  const [plane, shafts, ends] = [find("svg"), el.querySelectorAll(".sd-shaft"), el.querySelectorAll(".sd-hand")];

  const columnOf = (matrix, column) => [matrix[column], matrix[2 + column]]; // it is stored row by row
  function draw() {
    const matrix = model.get("matrix");
    const columns = [columnOf(matrix, 0), columnOf(matrix, 1)];
    const transform = ([x, y]) => [0, 1].map((row) => x * columns[0][row] + y * columns[1][row]); // matrix · (x, y)
    find(".sd-transformed").setAttribute("d", path(grid.map((line) => line.map(transform))));
    find(".sd-square").setAttribute("d", path([[[0, 0], [1, 0], [1, 1], [0, 1]].map(transform)]) + "Z");
    columns.forEach(([x, y], column) => {
      shafts[column].setAttribute("x2", x);
      shafts[column].setAttribute("y2", -y);
      ends[column].setAttribute("transform", `translate(${x} ${-y})`);
    });
    find("b").textContent = `${model.get("name")} matrix: drag the ends of the arrows`;
    el.style.setProperty("--sd-color", model.get("color"));
    find(".sd-columns").textContent = columns
      .map(([x, y], column) => `${column + 1}: ${START[column]} goes to (${print(x)}, ${print(y)})`).join("\n");
    say(find(".sd-columns").textContent);
  }

  function go(column, x, y) {
    const matrix = [...model.get("matrix")];
    [matrix[column], matrix[2 + column]] = [snap(x), snap(y)];
    send(model, { matrix });
  }
  ends.forEach((end, column) => {
    onDrag(end, { move(event) {
      const { left, top, width, height } = plane.getBoundingClientRect();
      const [across, down] = [(event.clientX - left) / width, (event.clientY - top) / height];
      go(column, edge * (2 * across - 1), edge * (1 - 2 * down));
    } });
    onKeys(end, (event) => event.key in ARROWS, (event) => {
      const way = ARROWS[event.key];
      const far = event.shiftKey ? LARGE_STEP * step : step;
      const [x, y] = columnOf(model.get("matrix"), column);
      go(column, x + far * way[0], y + far * way[1]);
    });
  });
  follow(model, { "change:matrix change:name change:color": draw });
}

export default { render: renderMatrix };
