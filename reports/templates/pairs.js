// A rater's questions: four synchronised clips, and answers by key or button, kept in this browser until they are saved.
const { questions } = page;
const ROLES = ["left", "driver", "right", "template"];
const ANSWERS = ["left", "same", "right"];
const KEPT = `megbench-pairs-${page.id}`;
const speed = find("#speed");
const state = { at: 0, frame: -1, started: 0, answers: questions.map(() => null), clips: new Map(), ended: false };

// Storage may be forbidden for pages on disk. The answers are then kept only until the page is closed.
let storage = null;
try {
  const kept = JSON.parse(localStorage.getItem(KEPT) ?? "null");
  if (Array.isArray(kept) && kept.length === questions.length && kept.every((answer) => answer === null || ANSWERS.includes(answer))) {
    state.answers = kept;
  }
  localStorage.setItem(KEPT, JSON.stringify(state.answers));
  storage = localStorage;
} catch {
  find("#told").textContent = "This browser stores nothing for pages on disk. Answer all questions and save your answers before you close the page.";
}
const answered = () => state.answers.filter((answer) => answer !== null).length;
const question = () => questions[state.at];

function draw() {
  for (const role of ROLES) {
    const clip = state.clips.get(question()[role]);
    if (!clip?.base) continue;
    clip.read(state.frame, delta);
    paintPicture(clip.base);
    const canvas = find(`.clip.${role} canvas`);
    canvas.getContext("2d").putImageData(out, 0, 0);
    canvas.dataset.frame = state.frame;
  }
}
// The frame follows the clock, so that a slow machine skips frames instead of slowing down; the last frame stays.
function tick(now) {
  if (!state.playing) return;
  const frame = Math.max(0, Math.floor(((now - state.started) / 1000) * question().fps * Number(speed.value)));
  const last = question().frames - 1;
  if (Math.min(frame, last) !== state.frame) { state.frame = Math.min(frame, last); draw(); }
  if (frame > last) { state.playing = false; state.ended = true; buttons(); return; }
  requestAnimationFrame(tick);
}
function replay() {
  if (!state.ready) return;
  const idle = !state.playing;
  state.frame = -1;
  state.started = performance.now();
  state.playing = true;
  if (idle) requestAnimationFrame(tick);
}

// An answer counts once the clips have played to their end.
function buttons() {
  const answer = state.answers[state.at];
  for (const name of ANSWERS) {
    find(`#${name}`).disabled = !state.ended;
    find(`#${name}`).setAttribute("aria-pressed", name === answer);
  }
  for (const side of ["left", "right"]) find(`.clip.${side}`).classList.toggle("chosen", side === answer);
  find("#back").disabled = state.at === 0;
  find("#save").disabled = !answered();
  find("#done").value = answered();
  find("#count").value = `${state.at + 1} of ${questions.length}, ${answered()} answered`;
}
// A question's clips are decoded when it opens, followed by those of the next question; all others are released.
function load(at) {
  const wanted = new Set(ROLES.map((role) => questions[at][role]));
  for (const number of wanted) if (!state.clips.has(number)) state.clips.set(number, new Clip(number));
  return Promise.all([...wanted].map((number) => state.clips.get(number).ready));
}
function forget() {
  const wanted = new Set([state.at, state.at + 1].filter((at) => at < questions.length).flatMap((at) => ROLES.map((role) => questions[at][role])));
  for (const [number, clip] of state.clips) if (!wanted.has(number)) { clip.release(); state.clips.delete(number); }
}
async function open(at) {
  Object.assign(state, { at, ready: false, playing: false, ended: state.answers[at] !== null });
  delete document.body.dataset.ready;
  forget();
  buttons();
  await load(at);
  if (state.at !== at) return;
  const lost = ROLES.map((role) => state.clips.get(questions[at][role]).lost).filter(Boolean);
  find("#lost").textContent = lost.length ? `A clip is ${lost[0]}.` : "";
  if (lost.length) return;
  state.ready = true;
  document.body.dataset.ready = at;
  replay();
  if (at + 1 < questions.length) load(at + 1);
}
function say(answer) {
  if (!state.ready || !state.ended) return;
  state.answers[state.at] = answer;
  storage?.setItem(KEPT, JSON.stringify(state.answers));
  const unanswered = state.answers.indexOf(null);
  if (unanswered < 0) {
    buttons();
    find("#told").textContent = "All questions are answered. Save the answers and send the file back.";
    return;
  }
  open(state.at + 1 < questions.length ? state.at + 1 : unanswered);
}
function save() {
  const { format, id } = page;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify({ format, id, answers: state.answers })], { type: "application/json" }));
  link.download = page.file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  find("#told").textContent = `${page.file} is in your downloads with ${answered()} of ${questions.length} answers. Send it back.`;
}

for (const name of ANSWERS) find(`#${name}`).addEventListener("click", () => say(name));
find("#replay").addEventListener("click", replay);
find("#back").addEventListener("click", () => open(Math.max(0, state.at - 1)));
find("#save").addEventListener("click", save);
speed.addEventListener("change", replay);
const KEYS = {
  ArrowLeft: () => say("left"), ArrowRight: () => say("right"), ArrowDown: () => say("same"), " ": replay,
  Backspace: () => open(Math.max(0, state.at - 1)),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("select")) return;
  if (event.key === " " && event.target.closest("button")) return;
  if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});
open(Math.max(0, state.answers.indexOf(null)));
