// Tables: a click on a heading sorts the rows of each section; absent values stay last. A page shows one heat map at a time.
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

// ---- Groups of the leaderboard's columns fold to their first column, from the right, until the table fits, or as the
// reader chooses by clicking a group's heading. (On paper, other tables with all columns replace this one.)
class Folding {
  constructor(table) {
    this.table = table;
    this.groups = [];
    this.columns = 0;
    for (const head of all("tr.groups th", table)) {
      const group = { head, from: this.columns, columns: head.colSpan };
      this.columns += group.columns;
      if (group.columns > 1 && head.textContent.trim()) this.add(group);
    }
  }
  add(group) {
    group.button = document.createElement("button");
    group.button.type = "button";
    group.button.append(...group.head.childNodes);
    group.button.dataset.more = `+${group.columns - 1}`;
    group.button.addEventListener("click", () => this.show(group, (group.chosen = !group.open)));
    group.head.append(group.button);
    this.groups.push(group);
  }
  show(group, open) {
    group.open = open;
    group.button.setAttribute("aria-expanded", open);
    group.button.title = open ? "fold to the first column" : `show all ${group.columns} columns`;
    group.head.colSpan = open ? group.columns : 1;
    for (const row of all("tr:not(.groups, .heading)", this.table)) {
      for (let i = group.from + 1; i < group.from + group.columns; i++) row.cells[i].hidden = !open;
    }
    const folded = this.groups.reduce((sum, other) => sum + (other.open ? 0 : other.columns - 1), 0);
    for (const heading of all("tr.heading th", this.table)) heading.colSpan = this.columns - folded;
  }
  fit() {
    const box = this.table.parentElement;
    for (const group of this.groups) this.show(group, group.chosen ?? true);
    for (const group of this.groups.slice(1).reverse()) {
      if (box.scrollWidth <= box.clientWidth) break;
      if (group.chosen === undefined) this.show(group, false);
    }
  }
}
for (const table of all(".folding table")) {
  const folding = new Folding(table);
  folding.fit();
  addEventListener("resize", () => folding.fit());
}

const heat = find("#heat");
function showHeat() {
  for (const map of all(".heat")) map.hidden = map.dataset.figure !== heat.value;
}
if (heat) { heat.addEventListener("change", showHeat); showHeat(); }

// The reader's choice of light or dark overrides the system's.
const theme = find("#theme");
theme.addEventListener("click", () => {
  const root = document.documentElement;
  const dark = (root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.style.colorScheme = dark ? "light" : "dark";
});
