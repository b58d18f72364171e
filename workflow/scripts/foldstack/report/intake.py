"""The report's account of the data: what was found, taken, passed over and left out, and how it was read."""

from markupsafe import Markup

from foldstack.report import page

PART = """
<h3>What was taken</h3>
<p>Of {{ "{:,}".format(found.found) }} {{ found.unit }} {{ "{:,}".format(found.taken) }} were taken,
{{ "{:,}".format(found.passed_over) }} passed over and {{ "{:,}".format(found.quarantined) }} left out as unusable.
{{ groups }} The test split is {{ found.splits.test_from }}.</p>
{% if found.notes %}<ul class="findings">{% for text in found.notes %}<li>{{ text }}</li>
{% endfor %}</ul>{% endif %}
{% if found.by_suffix %}
<div class="scroll"><table><thead><tr><th class="first">Suffix</th><th>Taken</th><th>Passed over</th><th>Left out</th>
</tr></thead><tbody>
{% for name, counts in found.by_suffix.items() %}<tr><th scope="row" class="first">{{ name }}</th>
{% for key in ("taken", "passed_over", "quarantined") %}<td>{{ "{:,}".format(counts[key]) }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% if reasons %}
<div class="scroll tall"><table class="plain"><thead><tr><th class="first">Not taken</th><th>How many</th>
<th class="text">Why</th><th class="text">First</th></tr></thead><tbody>
{% for what, row in reasons %}<tr><th scope="row" class="first">{{ what }}</th><td>{{ "{:,}".format(row.count) }}</td>
<td class="text">{{ row.reason }}</td><td class="text">{{ row.first }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% if read %}
<div class="scroll"><table class="plain"><tbody>
{% for title, text in read %}<tr><th scope="row" class="first">{{ title }}</th><td>{{ text }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
"""


def intake_part(found: dict) -> Markup:
    """The part of the section "data" that data/intake.json gives."""
    groups, named = found["groups"], []
    for ours, theirs in found["columns"].items():
        named.append(f"{ours}: {theirs if isinstance(theirs, str) else ', '.join(theirs)}")
    read = [("Columns used", "; ".join(named)), ("Columns not used", ", ".join(found["unused"]))]
    read += [("Detected", text) for text in found["facts"]]
    reasons = [("passed over", row) for row in found["why_passed_over"]]
    reasons += [("left out", row) for row in found["why_quarantined"]]
    text = (
        f"{groups['samples']:,} samples form {groups['groups']:,} groups."
        if groups["groups"]
        else "There are no groups."
    )
    values = {"found": found, "groups": text, "reasons": reasons, "read": [row for row in read if row[1]]}
    return Markup(page.fill(PART, **values))
