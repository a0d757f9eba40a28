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
let lookedAt = null;        // "w", "a" or "b" while the view is just this one, else null

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
  // With the time in its name, no file takes the place of another one in the folder where all are collected.
  link.download = `opinions_${GALLERY.id}_${rater}_${new Date().toISOString().slice(0, 19).replace(/\D/g, "")}.csv`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
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
    byId("text").querySelector("textarea").value = csv();
    show("done");
    byId("export").focus();
    return;
  }
  show("rate");
  const trial = trials[position];
  byId("progress").textContent = [`${position + 1} / ${trials.length}`, isSaved ? KINDS[trial.kind] : UNSAVED,
    timeLeft()].join(" · ");
  byId("bar").max = trials.length;
  byId("bar").value = position;
  document.querySelector("#rate .back").disabled = position === 0;
  buildPanes(trial);
  buildAnswers(trial);
  look("w");
  preload(trials[position + 1]);
  shownAt = Date.now();
}

// What is left of the planned time, at the speed of this rater's own answers; somebody who pauses is not slow.
function timeLeft() {
  const seconds = (trial) => (GALLERY.seconds || {})[trial.kind] || 8;
  const speeds = answers.map((given, k) => given && given.seconds / seconds(trials[k])).filter(Boolean);
  speeds.sort((a, b) => a - b);
  const speed = speeds.length < 5 ? 1 : Math.min(5, speeds[Math.floor(speeds.length / 2)]);
  const left = trials.filter((_, k) => !answers[k]).reduce((sum, trial) => sum + speed * seconds(trial), 0);
  const minutes = Math.max(1, Math.round(left / 60));
  return `about ${minutes} min left · 约剩 ${minutes} 分钟`;
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

// [words where panes stand beside each other, words where they stand on top of each other]: page.css shows one of them.
const FIRST = ["left · 左", "above · 上"], SECOND = ["right · 右", "below · 下"];

function words(texts) {
  return texts.map((text, k) => {
    const span = document.createElement("span");
    span.textContent = text;
    span.className = texts.length > 1 ? ["beside", "stacked"][k] : "";
    return span;
  });
}

function buildAnswers(trial) {
  const choices = trial.kind === "pair"
    ? [["left", FIRST, "1"], ["equal", ["equal · 相同"], "2 ="], ["right", SECOND, "3"]]
    : ["bad 劣", "poor 差", "fair 中", "good 良", "excellent 优"].map((text, k) => [k + 1, [String(k + 1)], text]);
  byId("answers").replaceChildren(...choices.map(([value, text, below]) => {
    const button = document.createElement("button"), small = document.createElement("small");
    small.textContent = below;
    button.append(...words(text), small);
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
    ? [[FIRST, file(trial.picture), 1], [["original · 原图"], image.hr, 1], [SECOND, file(trial.other), 1]]
    : [[["before · 放大前"], image.lr, 4], [["to be scored · 待评分"], file(trial.picture), 1],
      [["original · 原图"], image.hr, 1]];
  byId("panes").replaceChildren(...panes.map(([text, source, factor], k) => {
    const pane = document.createElement("div"), img = document.createElement("img"), label = document.createElement("span");
    pane.className = "pane";
    pane.dataset.judged = String(trial.kind === "pair" ? k !== 1 : k === 1);
    img.src = source;
    img.alt = "";                                  // the label says what it is
    img.draggable = false;
    img.dataset.factor = factor;
    label.append(...words(text));
    pane.append(img, label);
    return pane;
  }));
  fingers.clear();
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
  lookedAt = where;
  draw();
}

function setZoom(zoom) {
  view.zoom = Math.min(16, Math.max(0.25, zoom));
  lookedAt = null;
  draw();
}

function move(dx, dy) {
  const image = currentImage();
  lookedAt = null;
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
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === lookedAt));
  }
}

function applySolo() {
  for (const pane of document.querySelectorAll(".pane")) {
    pane.hidden = solo && pane.dataset.judged !== "true";
  }
  byId("solo").setAttribute("aria-pressed", String(solo));
}

// ---------------------------------------------------------------- mouse, fingers, keys

const fingers = new Map();        // of each pointer that is down: where it is

// The middle of the fingers on the screen, and how far they are from it (0 for a single one).
function grip() {
  const places = [...fingers.values()];
  const x = places.reduce((sum, place) => sum + place.x, 0) / places.length;
  const y = places.reduce((sum, place) => sum + place.y, 0) / places.length;
  return { x, y, spread: places.reduce((sum, place) => sum + Math.hypot(place.x - x, place.y - y), 0) / places.length };
}

// One finger moves the image.  Two also enlarge it, and what lies under their middle stays there.
function drag(before, after, pane) {
  const size = pane.getBoundingClientRect();
  const centre = { x: size.left + size.width / 2, y: size.top + size.height / 2 };
  const zoom = before.spread && after.spread ? Math.min(16, Math.max(0.25, view.zoom * after.spread / before.spread))
    : view.zoom;
  const dx = (before.x - centre.x) / view.zoom - (after.x - centre.x) / zoom;
  const dy = (before.y - centre.y) / view.zoom - (after.y - centre.y) / zoom;
  view.zoom = zoom;
  move(dx, dy);
}

byId("panes").addEventListener("pointerdown", (event) => {
  const pane = event.target.closest(".pane");
  if (pane) {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY, pane });
    byId("panes").setPointerCapture(event.pointerId);
  }
});
byId("panes").addEventListener("pointermove", (event) => {
  const finger = fingers.get(event.pointerId);
  if (finger) {
    const before = grip();
    finger.x = event.clientX;
    finger.y = event.clientY;
    drag(before, grip(), [...fingers.values()][0].pane);
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  byId("panes").addEventListener(end, (event) => fingers.delete(event.pointerId));
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
for (const button of document.querySelectorAll(".export")) {
  button.addEventListener("click", exportAnswers);
}
for (const button of document.querySelectorAll(".back")) {
  button.addEventListener("click", back);
}
window.addEventListener("resize", () => {
  if (!byId("rate").hidden) {
    if (lookedAt) { look(lookedAt); } else { draw(); }
  }
});

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
