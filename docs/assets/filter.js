// A field above each long table of a benchmark that hides the rows without the words typed into it.
document.addEventListener("DOMContentLoaded", () => {
  if (!/\/(benchmarks|numbers)/.test(location.pathname)) return;
  for (const table of document.querySelectorAll("article table")) {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 8) continue;
    const field = document.createElement("input");
    const count = document.createElement("output");
    field.type = "search";
    field.className = "kb-filter";
    field.placeholder = "Filter rows, e.g. itq or hash";
    field.setAttribute("aria-label", "Filter the rows of the table below");
    const show = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const heading = [...row.cells].slice(1).every((cell) => !cell.textContent.trim());
        row.hidden = words.length > 0 && (heading || !words.every((word) => row.textContent.toLowerCase().includes(word)));
        shown += !row.hidden && !heading;
      }
      count.value = words.length ? `${shown} rows` : "";
    };
    field.addEventListener("input", show);
    const box = document.createElement("p");
    box.append(field, " ", count);
    (table.closest(".md-typeset__scrollwrap") || table).before(box);
  }
});
