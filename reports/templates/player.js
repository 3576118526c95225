// The player: one state for all clips of a cell, so that they stay synchronised.
const state = { cell: -1, frame: 0, playing: false, clips: new Map() };
const slider = find("#frame"), speed = find("#speed"), choose = find("#choose");
const amplification = find("#amplification"), magnification = find("#magnification");
const views = all("#views button");
const facts = () => page.cells[state.cell];
const article = () => find(`#cell-${state.cell}`);
const shows = (view) => document.body.dataset.view.split(" ").includes(view);
// Differences refer to the onset, or to frame 0 if none is coded.
const restFrame = () => facts().marks.onset ?? 0;

// What each view paints of a clip whose frame is in `delta`.
const PAINT = {
  picture: (clip) => paintPicture(clip.base),
  difference: (clip) => paintDifference(clip.rest(restFrame()), Number(amplification.value)),
  motion: (clip, canvas) => drawMotion(canvas, clip, state.frame, facts().stretch),
  magnified: (clip) => paintMagnified(clip, state.frame, Number(magnification.value)),
};
function draw() {
  const { frames, fps, marks } = facts();
  for (const player of all(".player[data-media]", article())) {
    const clip = state.clips.get(player.dataset.media);
    if (!clip) continue;
    if (clip.lost) find(".lost", player).textContent = clip.lost;
    if (!clip.base || !player.offsetParent) continue;
    clip.read(state.frame, delta);
    for (const canvas of all("canvas", player).filter((canvas) => shows(canvas.className))) {
      PAINT[canvas.className](clip, canvas);
      if (canvas.className !== "motion") canvas.getContext("2d").putImageData(out, 0, 0);
      if (canvas.className === "magnified" && !clip.still && !clip.field) writeNoField(canvas.getContext("2d"));
    }
    player.dataset.frame = state.frame;
  }
  for (const curves of all("svg.curves", article())) {
    all(".cursor", curves).forEach((line) => line.setAttribute("transform", `translate(${curves.dataset.step * state.frame} 0)`));
  }
  slider.value = state.frame;
  const names = Object.entries(marks).filter(([, at]) => at === state.frame).map(([name]) => ` · ${name}`).join("");
  const time = fps ? ` · ${((1000 * state.frame) / fps).toFixed(0)} ms` : "";
  find("#where").value = `frame ${state.frame} (0 to ${frames - 1})${time}${names}`;
}
function goTo(frame) {
  state.frame = Math.max(0, Math.min(frame, facts().frames - 1));
  draw();
}

// ---- The strip of a cell: frames from onset through apex to offset, each with its difference below.
const THUMB = 144;
function stripFrames() {
  const { frames, marks, first } = facts();
  const [from, peak, to] = [marks.onset ?? 0, marks.apex ?? first, marks.offset ?? frames - 1];
  const chosen = [from, Math.round((from + peak) / 2), peak, Math.round((peak + to) / 2), to];
  return [...new Set(chosen)].sort((a, b) => a - b);
}
function drawStrip() {
  const strip = find("details.strip", article());
  if (!strip?.open) return;
  const frames = stripFrames();
  const names = Object.fromEntries(Object.entries(facts().marks).map(([name, at]) => [at, name]));
  for (const canvas of all("canvas", strip)) {
    const clip = state.clips.get(canvas.dataset.media);
    if (!clip.base) continue;
    canvas.width = THUMB * frames.length;
    canvas.height = 2 * THUMB;
    const context = canvas.getContext("2d");
    frames.forEach((frame, column) => {
      clip.read(frame, delta);
      paintPicture(clip.base);
      put(context, column * THUMB, 0, THUMB);
      paintDifference(clip.rest(restFrame()), Number(amplification.value));
      put(context, column * THUMB, THUMB, THUMB);
    });
  }
  for (const ticks of all(".ticks", strip)) {
    ticks.replaceChildren(...frames.map((frame) => {
      const tick = document.createElement("span");
      tick.textContent = names[frame] ? `${names[frame]} ${frame}` : frame;
      return tick;
    }));
  }
  strip.dataset.frames = frames.join(" ");
}

// ---- Cells: clips are decoded when their cell (or its controls) opens and discarded when it is left.
async function load() {
  const shown = all("[data-media]", article()).filter((player) => !player.closest("details.controls:not([open])"));
  const wanted = new Set(shown.map((player) => player.dataset.media));
  for (const [number, clip] of state.clips) if (!wanted.has(number)) { clip.release(); state.clips.delete(number); }
  for (const number of wanted) if (!state.clips.has(number)) state.clips.set(number, new Clip(number));
  await Promise.all([...state.clips.values()].map((clip) => clip.ready));
}
async function open(cell) {
  if (cell === state.cell) return;
  article()?.classList.remove("shown");
  state.cell = cell;
  article().classList.add("shown");
  const { name, frames, first, marks } = facts();
  for (const factor of [amplification, magnification]) if (factor && !factor.dataset.chosen) factor.value = facts()[factor.id];
  const loaded = load();
  choose.value = cell;
  slider.max = frames - 1;
  find("#marks").replaceChildren(...Object.entries(marks).map(([title, at]) => {
    const mark = document.createElement("span");
    mark.textContent = title;
    mark.style.left = `${(100 * at) / Math.max(frames - 1, 1)}%`;
    return mark;
  }));
  const here = `#cell=${encodeURIComponent(name)}`;
  for (const row of all("tr.current")) row.classList.remove("current");
  for (const link of all(".heat tbody a")) if (link.getAttribute("href") === `#cell=${name}`) link.closest("tr").classList.add("current");
  goTo(first);
  await loaded;
  if (cell === state.cell) { draw(); drawStrip(); document.body.dataset.ready = here; }
}

// ---- Playing: the frame follows the clock, so that a slow machine skips frames instead of slowing down.
let started = 0, from = 0;
function tick(now) {
  if (!state.playing) return;
  const perSecond = (facts().fps ?? 25) * Number(speed.value);
  const frame = (from + Math.floor(((now - started) / 1000) * perSecond)) % facts().frames;
  if (frame !== state.frame) goTo(frame);
  requestAnimationFrame(tick);
}
function play(on) {
  state.playing = on;
  find("#play").textContent = on ? "pause" : "play";
  if (on) { started = performance.now(); from = state.frame; requestAnimationFrame(tick); }
}
const step = (by) => { play(false); goTo(state.frame + by); };
const turn = (by) => open((state.cell + by + page.cells.length) % page.cells.length);

// ---- Which views of each clip are shown. At least one is always shown.
function show(button) {
  const chosen = views.filter((other) => (other === button) !== (other.getAttribute("aria-pressed") === "true"));
  if (!chosen.length) return;
  for (const other of views) other.setAttribute("aria-pressed", chosen.includes(other));
  document.body.dataset.view = chosen.map((other) => other.value).join(" ");
  draw();
}
views.forEach((button) => button.addEventListener("click", () => show(button)));

slider.addEventListener("input", () => { play(false); goTo(Number(slider.value)); });
find("#play").addEventListener("click", () => play(!state.playing));
find("#back").addEventListener("click", () => step(-1));
find("#forward").addEventListener("click", () => step(1));
find("#previous").addEventListener("click", () => turn(-1));
find("#next").addEventListener("click", () => turn(1));
choose.addEventListener("change", () => open(Number(choose.value)));
speed.addEventListener("change", () => play(state.playing));
for (const factor of [amplification, magnification]) {
  factor?.addEventListener("change", () => { factor.dataset.chosen = "yes"; draw(); drawStrip(); });
}
for (const details of all("details.controls")) details.addEventListener("toggle", () => load().then(draw));
for (const details of all("details.strip")) details.addEventListener("toggle", drawStrip);

const KEYS = {
  " ": () => play(!state.playing), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
  Home: () => step(-Infinity), End: () => step(Infinity), a: () => step(facts().first - state.frame),
  "1": () => show(views[0]), "2": () => show(views[1]), "3": () => show(views[2]), "4": () => show(views[3]),
  "[": () => turn(-1), "]": () => turn(1),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const taken = event.target.closest("select, summary, a") || (event.target.closest("button") && event.key === " ");
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act && !taken) { event.preventDefault(); act(); }
});

// ---- Pointing at a clip highlights its curve.
for (const player of all(".player[data-line]")) {
  const cell = player.closest(".cell");
  const others = () => all('[class^="curve-"]', cell).filter((curve) => !curve.classList.contains(`curve-${player.dataset.line}`));
  player.addEventListener("pointerenter", () => {
    if (find(`.curve-${CSS.escape(player.dataset.line)}`, cell)) others().forEach((curve) => curve.classList.add("dimmed"));
  });
  player.addEventListener("pointerleave", () => all(".dimmed").forEach((curve) => curve.classList.remove("dimmed")));
}

// ---- #cell=<name> opens that cell.
function follow() {
  const wanted = /^#cell=(.*)$/.exec(location.hash);
  const cell = wanted ? page.cells.findIndex(({ name }) => [name, encodeURIComponent(name)].includes(wanted[1])) : -1;
  if (cell >= 0) { open(cell); find(".bar").scrollIntoView(); }
}
addEventListener("hashchange", follow);
follow();
if (state.cell < 0) open(page.opened);
