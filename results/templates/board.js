// Filters of the table: rankings by protocol and metric, rows by status; controls can be hidden.
const filters = find("#filters");
function filter() {
  const [protocol, metric, status] = ["#protocol", "#metric", "#status"].map((name) => find(name).value);
  let shown = 0;
  for (const ranking of all(".ranking")) {
    let left = 0;
    for (const row of all("tr[data-status]", ranking)) {
      const control = row.parentElement.className === "controls";
      row.hidden = !control && status !== "" && row.dataset.status !== status;
      left += !control && !row.hidden;
    }
    for (const controls of all("tbody.controls", ranking)) controls.hidden = !find("#controls").checked;
    const wanted = metric === "headline" ? "headline" in ranking.dataset : metric === "" || ranking.dataset.metric === metric;
    ranking.hidden = !left || !wanted || (protocol !== "" && ranking.dataset.protocol !== protocol);
    shown += ranking.hidden ? 0 : left;
  }
  find("#count").textContent = `${shown} row${shown === 1 ? "" : "s"}`;
  find("#nothing").hidden = shown > 0;
}
if (filters) {
  filters.addEventListener("input", filter);
  filter();
}
document.body.dataset.ready = "";
