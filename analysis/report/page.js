"use strict";

// Charts: what each holds stands beside it as JSON.
for (const place of document.querySelectorAll(".chart")) {
  const item = JSON.parse(document.getElementById(`${place.id}-data`).textContent);
  Bokeh.embed.embed_item(item, place.id);
  place.dataset.plot = item.root_id;
}

// Legends: HTML, whose names wrap on a phone. A press hides an allocator's band, line and points, or shows them again.
for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const shown = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", shown);
    const plot = Bokeh.index.get_by_id(document.getElementById(button.dataset.chart).dataset.plot).model;
    for (const renderer of plot.renderers) if (renderer.name === button.dataset.curve) renderer.visible = shown;
  });
}

// Tables: a click on a heading sorts by it, another click turns the order round; what is no number comes last.
function sortable(table) {
  const number = (text) => parseFloat(text.replaceAll(",", "").replace("\u2212", "-"));
  const rows = [...table.tBodies[0].rows];
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = heading.ariaSort !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      heading.ariaSort = up ? "ascending" : "descending";
      const text = (row) => row.cells[column].textContent;
      rows.sort((one, other) => {
        const [a, b] = [number(text(one)), number(text(other))];
        if (isNaN(a) !== isNaN(b)) return isNaN(a) ? 1 : -1;
        const order = isNaN(a) ? text(one).localeCompare(text(other)) : a - b;
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });
}
document.querySelectorAll("table.sortable").forEach(sortable);
