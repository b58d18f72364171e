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
.dt-layout-row { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: .3rem 1rem;
padding: .35rem .5rem 0; } .dt-layout-row.dt-layout-table { display: block; padding: 0; }
.dt-length select { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line);
border-radius: 6px; margin: 0 .3rem; } .dt-info { color: var(--muted); padding-bottom: .35rem; }
.dt-paging { padding-bottom: .35rem; } .dt-paging-button { font: inherit; color: inherit; background: none;
border: 1px solid transparent; border-radius: 6px; padding: .1rem .5rem; cursor: pointer; }
.dt-paging-button:hover { border-color: var(--line); } .dt-paging-button.current { border-color: var(--mark); }
.dt-paging-button.disabled { opacity: .4; cursor: default; }
@media print { .dt-search, .dt-length, .dt-paging { display: none; } }
"""
LONG, PAGED = 12, 50  # a table with at least so many rows can be searched, one with more than so many is paged

# The library is kept as text until the page has loaded, so that its top is shown first.
SCRIPT = """
<script type="text/plain" id="datatables">{library}</script>
<script type="module">
const text = document.getElementById("datatables").textContent;
const url = URL.createObjectURL(new Blob([text], {{ type: "text/javascript" }}));
const {{ default: DataTable }} = await import(url);
for (const table of document.querySelectorAll("table.sortable"))
{{
  const rows = table.tBodies[0].rows.length, paged = rows > {paged};
  new DataTable(table, {{
    order: [], autoWidth: false,
    paging: paged, pageLength: 25, lengthMenu: [10, 25, 100, {{ label: "all", value: -1 }}],
    language: {{ search: "Filter", lengthMenu: "Rows _MENU_" }}, titleRow: table.tHead.rows.length - 1,
    layout: {{
      topStart: rows >= {long} ? "search" : null, topEnd: paged ? "pageLength" : null,
      bottomStart: paged ? "info" : null, bottomEnd: paged ? "paging" : null,
    }},
  }});
}}
</script>
"""


def script() -> Markup:
    """The end of a page with tables of the class `sortable`."""
    library = resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    return Markup(
        SCRIPT.format(
            library=library.replace("</script", "<\\/script").replace("<!--", "<\\!--"), long=LONG, paged=PAGED
        )
    )
