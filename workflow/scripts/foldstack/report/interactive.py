"""Tables that sort and filter: DataTables, from the package itables, embedded in the page.

Without scripts the page shows the same tables, unsorted and unfiltered.
"""

from importlib import resources

from markupsafe import Markup

STYLE = """
th[class*=dt-orderable-] { cursor: pointer; } th[class*=dt-orderable-]:hover { color: var(--mark); }
.dt-column-header { display: inline; }
th[class*=dt-orderable-] .dt-column-order::after { content: " ↕"; font-size: .75em; opacity: .6; }
th.dt-ordering-asc .dt-column-order.dt-column-order::after { content: " ▲"; opacity: 1; }
th.dt-ordering-desc .dt-column-order.dt-column-order::after { content: " ▼"; opacity: 1; }
.dt-search { margin-bottom: .5rem; } .dt-search input { font: inherit; color: inherit; background: var(--paper);
border: 1px solid var(--line); border-radius: 6px; padding: .15rem .5rem; margin-left: .4rem; }
@media print { .dt-search { display: none; } }
"""
LONG = 12  # a table with at least this many rows can be searched

# The library is kept as text until the page has loaded, so that its top is shown first.
SCRIPT = """
<script type="text/plain" id="datatables">{library}</script>
<script type="module">
const text = document.getElementById("datatables").textContent;
const url = URL.createObjectURL(new Blob([text], {{ type: "text/javascript" }}));
const {{ default: DataTable }} = await import(url);
for (const table of document.querySelectorAll("table.sortable"))
  new DataTable(table, {{
    paging: false, info: false, order: [], autoWidth: false, language: {{ search: "Filter" }},
    titleRow: table.tHead.rows.length - 1,
    layout: {{ topStart: table.tBodies[0].rows.length >= {long} ? "search" : null, topEnd: null }},
  }});
</script>
"""


def script() -> Markup:
    """The end of a page with tables of the class `sortable`."""
    library = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    return Markup(SCRIPT.format(library=library.replace("</script", "<\\/script").replace("<!--", "<\\!--"), long=LONG))
