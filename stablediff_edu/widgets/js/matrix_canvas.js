// The plane of a matrix: two arrows show where it maps (1, 0) and (0, 1), its two columns. Drag their ends.

const START = ["(1, 0)", "(0, 1)"];

function renderMatrix({ model, el }) {
  const grid = gridOf(...model.get("range"));
  const { low, high, print } = grid;
  const say = announcer(el);

  // The plane in its own units, y upwards: so y has a minus wherever something is put.
  const edge = high + 0.35;
  const whole = Array.from({ length: high - low + 1 }, (_, n) => low + n); // -2, -1, 0, 1, 2
  const lines = whole.flatMap((n) => [[[n, low], [n, high]], [[low, n], [high, n]]]);
  const axes = [[[low, 0], [high, 0]], [[0, low], [0, high]]];
  const path = (paths) => paths.map((points) => "M" + points.map(([x, y]) => `${x},${-y}`).join("L")).join("");
  const ticks = whole.filter((n) => n)
    .map((n) => `<text x="${n}" y="0.2">${minus(String(n))}</text><text x="-0.16" y="${-n}">${minus(String(n))}</text>`);
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
      <path class="sd-lines" d="${path(lines)}" /><path class="sd-axes" d="${path(axes)}" />
      ${ticks.join("")}
      <path class="sd-transformed" /><path class="sd-square" />
      ${arrows.join("")}
    </svg>
    <span class="sd-columns"></span>`);
  const find = (name) => el.querySelector(name);
  const [plane, shafts, ends] = [find("svg"), el.querySelectorAll(".sd-shaft"), el.querySelectorAll(".sd-hand")];

  const columnOf = (column) => [model.get("matrix")[column], model.get("matrix")[2 + column]]; // it is stored row by row
  function draw() {
    const columns = [columnOf(0), columnOf(1)];
    const transform = ([x, y]) => [0, 1].map((row) => x * columns[0][row] + y * columns[1][row]); // matrix · (x, y)
    find(".sd-transformed").setAttribute("d", path(lines.map((line) => line.map(transform))));
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

  ends.forEach((end, column) => onMove(end, {
    grids: [grid, grid],
    at: () => columnOf(column),
    under({ clientX, clientY }) {
      const { left, top, width, height } = plane.getBoundingClientRect();
      return [edge * ((2 * (clientX - left)) / width - 1), edge * (1 - (2 * (clientY - top)) / height)];
    },
    go(x, y) {
      const matrix = [...model.get("matrix")];
      [matrix[column], matrix[2 + column]] = [x, y];
      send(model, { matrix });
    },
  }));
  follow(model, { "matrix name color": draw });
}

export default { render: renderMatrix };
