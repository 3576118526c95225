// Tables: a click on a heading sorts the rows of each section; absent values stay last. A page has one heat map in view.
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
document.documentElement.classList.add("js");

function sortTable(heading) {
  const column = heading.cellIndex;
  const rising = heading.getAttribute("aria-sort") === "descending" || (column === 0 && !heading.hasAttribute("aria-sort"));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const compare = (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[column].dataset.sort);
    if (x === "" || y === "") return (x === "") - (y === "");
    const numbers = x !== undefined && !Number.isNaN(Number(x)) && !Number.isNaN(Number(y));
    const order = column && numbers ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
    return rising ? order : -order;
  };
  for (const body of heading.closest("table").tBodies) body.append(...all("tr:not(.heading)", body).sort(compare));
}
for (const button of all(".sortable thead button")) {
  button.addEventListener("click", () => sortTable(button.closest("th")));
}

// ---- The leaderboard's groups of columns fold to their first column: from the right until the table fits, and as the
// reader chooses by a click on a group's head. On paper all are open.
const board = find("#board table");
const groups = [];
let column = 0;
for (const head of all("#board tr.groups th")) {
  const group = { head, from: column, columns: head.colSpan, open: true, chosen: undefined };
  column += group.columns;
  if (group.columns === 1 || !head.textContent.trim()) continue;
  group.button = document.createElement("button");
  group.button.type = "button";
  group.button.append(...head.childNodes);
  group.button.dataset.more = `+${group.columns - 1}`;
  group.button.addEventListener("click", () => unfold(group, (group.chosen = !group.open)));
  head.append(group.button);
  groups.push(group);
}
function unfold(group, open) {
  group.open = open;
  group.button.setAttribute("aria-expanded", open);
  group.button.title = open ? "fold to the first column" : `show all ${group.columns} columns`;
  group.head.colSpan = open ? group.columns : 1;
  for (const row of all("tr:not(.groups, .heading)", board)) {
    for (let i = group.from + 1; i < group.from + group.columns; i++) row.cells[i].hidden = !open;
  }
  const folded = groups.reduce((sum, other) => sum + (other.open ? 0 : other.columns - 1), 0);
  for (const heading of all("tr.heading th", board)) heading.colSpan = column - folded;
}
const paper = matchMedia("print");
function fitBoard() {
  const box = board.parentElement;
  for (const group of groups) unfold(group, paper.matches || (group.chosen ?? true));
  for (const group of groups.slice(1).reverse()) {
    if (paper.matches || box.scrollWidth <= box.clientWidth) break;
    if (group.chosen === undefined) unfold(group, false);
  }
}
if (board) {
  fitBoard();
  addEventListener("resize", fitBoard);
  paper.addEventListener("change", fitBoard);
}

const heat = find("#heat");
function showHeat() {
  for (const map of all(".heat")) map.hidden = map.dataset.figure !== heat.value;
}
if (heat) { heat.addEventListener("change", showHeat); showHeat(); }

// The reader's choice of light or dark goes before the system's.
const theme = find("#theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.style.colorScheme = dark ? "light" : "dark";
});
