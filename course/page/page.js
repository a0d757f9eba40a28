// The page for blind scoring.  It opens from disk: no server, no request, no library.
// GALLERY comes from trials.js: {id, pictures, images, raters}; see course/gallery.py.
"use strict";

const KINDS = {
  training: "Practice, not counted · 练习，不计分", score: "Score · 评分", pair: "Which is better? · 哪张更好？",
};
const byId = (id) => document.getElementById(id);
const UNSAVED = "This browser does not store answers: export them before you close the page. 此浏览器无法保存评分，关闭前请先导出。";
let rater = null, trials = [], answers = [], position = 0, shownAt = 0, solo = false, isSaved = true;
// What all panes show: the point in the middle, in HR pixels, and how many screen pixels one HR pixel takes.
let view = { x: 0, y: 0, zoom: 1 };

// ---------------------------------------------------------------- the answers, stored in this browser

const storageKey = (code) => `srgan-opinions ${GALLERY.id} ${code}`;

function load(code) {
  try {
    return JSON.parse(localStorage.getItem(storageKey(code))) || [];
  } catch (error) {
    return [];
  }
}

function save() {
  try {
    localStorage.setItem(storageKey(rater), JSON.stringify(answers));
    isSaved = true;
  } catch (error) {
    isSaved = false;
  }
}

function csv() {
  const quote = (value) => `"${String(value).replace(/"/g, '""')}"`;
  const rows = [["gallery", "rater", "trial", "kind", "picture", "other", "value", "seconds", "time"]];
  answers.forEach((answer, k) => {
    if (answer) {
      const trial = trials[k];
      rows.push([GALLERY.id, rater, k, trial.kind, trial.picture, trial.other || "", answer.value, answer.seconds,
        answer.time]);
    }
  });
  return rows.map((row) => row.map(quote).join(",")).join("\r\n") + "\r\n";
}

function exportAnswers() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = `opinions_${GALLERY.id}_${rater}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// ---------------------------------------------------------------- screens

function show(screen) {
  for (const id of ["start", "rate", "done"]) {
    byId(id).hidden = id !== screen;
  }
}

function begin(code) {
  rater = code;
  trials = GALLERY.raters[code];
  answers = load(code);
  position = 0;
  while (position < trials.length && answers[position]) {
    position += 1;
  }
  next();
}

function next() {
  if (position >= trials.length) {
    const counted = trials.filter((trial) => trial.kind !== "training").length;
    byId("summary").textContent = `${rater}: ${counted} answers · 共 ${counted} 个评分 ${isSaved ? "" : UNSAVED}`;
    show("done");
    byId("export").focus();
    return;
  }
  show("rate");
  const trial = trials[position];
  byId("progress").textContent = `${position + 1} / ${trials.length} · ${isSaved ? KINDS[trial.kind] : UNSAVED}`;
  buildPanes(trial);
  buildAnswers(trial);
  look("w");
  preload(trials[position + 1]);
  shownAt = Date.now();
}

function answer(value) {
  const trial = trials[position];
  if (!trial || byId("rate").hidden) {
    return;
  }
  const allowed = trial.kind === "pair" ? ["left", "equal", "right"] : [1, 2, 3, 4, 5];
  if (!allowed.includes(value)) {
    return;
  }
  answers[position] = { value, seconds: Math.round((Date.now() - shownAt) / 100) / 10, time: new Date().toISOString() };
  save();
  position += 1;
  next();
}

function back() {
  if (position > 0) {
    position -= 1;
    next();
  }
}

function buildAnswers(trial) {
  const choices = trial.kind === "pair"
    ? [["left", "left · 左", "1"], ["equal", "equal · 相同", "2 ="], ["right", "right · 右", "3"]]
    : [[1, "1", "bad 劣"], [2, "2", "poor 差"], [3, "3", "fair 中"], [4, "4", "good 良"], [5, "5", "excellent 优"]];
  byId("answers").replaceChildren(...choices.map(([value, text, below]) => {
    const button = document.createElement("button"), small = document.createElement("small");
    button.textContent = text;
    small.textContent = below;
    button.append(small);
    button.dataset.value = value;
    button.setAttribute("aria-pressed", String((answers[position] || {}).value === value));
    button.addEventListener("click", () => answer(value));
    return button;
  }));
}

// ---------------------------------------------------------------- panes: one zoom and pan for all of them

function buildPanes(trial) {
  const image = GALLERY.images[GALLERY.pictures[trial.picture].image];
  const file = (id) => GALLERY.pictures[id].file;
  const panes = trial.kind === "pair"
    ? [["left · 左", file(trial.picture), 1], ["right · 右", file(trial.other), 1], ["original · 原图", image.hr, 1]]
    : [["before · 放大前", image.lr, 4], ["to be scored · 待评分", file(trial.picture), 1],
      ["original · 原图", image.hr, 1]];
  byId("panes").replaceChildren(...panes.map(([text, source, factor], k) => {
    const pane = document.createElement("div"), img = document.createElement("img"), label = document.createElement("span");
    pane.className = "pane";
    pane.dataset.judged = String(trial.kind === "pair" ? k < 2 : k === 1);
    img.src = source;
    img.alt = text;
    img.draggable = false;
    img.dataset.factor = factor;
    label.textContent = text;
    pane.append(img, label);
    return pane;
  }));
  applySolo();
}

function preload(trial) {
  for (const id of trial ? [trial.picture, trial.other] : []) {
    if (id) {
      new Image().src = GALLERY.pictures[id].file;
    }
  }
}

function currentImage() {
  return GALLERY.images[GALLERY.pictures[trials[position].picture].image];
}

function look(where) {
  const image = currentImage(), pane = document.querySelector(".pane:not([hidden])");
  const size = pane.getBoundingClientRect();
  const box = where === "w" ? [0, 0, image.width, image.height] : image.crops[where === "a" ? 0 : 1] || image.crops[0];
  view = { x: box[0] + box[2] / 2, y: box[1] + box[3] / 2, zoom: Math.min(size.width / box[2], size.height / box[3]) };
  if (where !== "w") {
    view.zoom = Math.max(1, Math.floor(view.zoom));       // whole pixels: none looks wider than its neighbour
  }
  draw();
}

function setZoom(zoom) {
  view.zoom = Math.min(16, Math.max(0.25, zoom));
  draw();
}

function move(dx, dy) {
  const image = currentImage();
  view.x = Math.min(image.width, Math.max(0, view.x + dx));
  view.y = Math.min(image.height, Math.max(0, view.y + dy));
  draw();
}

function draw() {
  for (const pane of document.querySelectorAll(".pane")) {
    const img = pane.querySelector("img"), size = pane.getBoundingClientRect();
    const left = size.width / 2 - view.x * view.zoom, top = size.height / 2 - view.y * view.zoom;
    img.style.transform = `translate(${left}px, ${top}px) scale(${view.zoom * img.dataset.factor})`;
  }
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === view.zoom));
  }
}

function applySolo() {
  for (const pane of document.querySelectorAll(".pane")) {
    pane.hidden = solo && pane.dataset.judged !== "true";
  }
  byId("solo").setAttribute("aria-pressed", String(solo));
}

// ---------------------------------------------------------------- mouse, fingers, keys

let dragged = null;
byId("panes").addEventListener("pointerdown", (event) => {
  dragged = { x: event.clientX, y: event.clientY };
  event.currentTarget.setPointerCapture(event.pointerId);
});
byId("panes").addEventListener("pointermove", (event) => {
  if (dragged) {
    move((dragged.x - event.clientX) / view.zoom, (dragged.y - event.clientY) / view.zoom);
    dragged = { x: event.clientX, y: event.clientY };
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  byId("panes").addEventListener(end, () => { dragged = null; });
}
byId("panes").addEventListener("wheel", (event) => {
  event.preventDefault();
  setZoom(view.zoom * (event.deltaY < 0 ? 1.25 : 0.8));
}, { passive: false });

function toggleSolo() {
  solo = !solo;
  applySolo();
  draw();
}

const STEP = 24;        // HR pixels that an arrow key moves
const KEYS = {
  w: () => look("w"), a: () => look("a"), b: () => look("b"), s: toggleSolo, e: exportAnswers, Backspace: back,
  "+": () => setZoom(view.zoom * 2), "=": () => setZoom(view.zoom * 2), "-": () => setZoom(view.zoom / 2),
  z: () => setZoom({ 1: 2, 2: 4 }[view.zoom] || 1),
  ArrowLeft: () => move(-STEP, 0), ArrowRight: () => move(STEP, 0), ArrowUp: () => move(0, -STEP),
  ArrowDown: () => move(0, STEP),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || rater === null) {
    return;
  }
  if (event.repeat && /^([1-5=]|Backspace)$/.test(event.key)) {       // a key that is held down counts once
    event.preventDefault();
    return;
  }
  if (!byId("rate").hidden) {
    const pair = trials[position].kind === "pair";
    if (pair && ["1", "2", "3", "="].includes(event.key)) {
      answer({ 1: "left", 2: "equal", 3: "right", "=": "equal" }[event.key]);
    } else if (!pair && /^[1-5]$/.test(event.key)) {
      answer(Number(event.key));
    } else if (KEYS[event.key]) {
      KEYS[event.key]();
    } else {
      return;
    }
    event.preventDefault();
  } else if (!byId("done").hidden && (event.key === "e" || event.key === "Backspace")) {
    KEYS[event.key]();
    event.preventDefault();
  }
});

for (const button of document.querySelectorAll("[data-view]")) {
  button.addEventListener("click", () => look(button.dataset.view));
}
for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => setZoom(Number(button.dataset.zoom)));
}
byId("solo").addEventListener("click", toggleSolo);
byId("export").addEventListener("click", exportAnswers);
window.addEventListener("resize", () => { if (!byId("rate").hidden) { draw(); } });

// ---------------------------------------------------------------- the start

for (const code of Object.keys(GALLERY.raters)) {
  const option = document.createElement("option"), done = load(code).filter(Boolean).length;
  option.value = code;
  option.textContent = done ? `${code} (${done} / ${GALLERY.raters[code].length})` : code;
  byId("rater").append(option);
}
byId("who").addEventListener("submit", (event) => {
  event.preventDefault();
  begin(byId("rater").value);
});
