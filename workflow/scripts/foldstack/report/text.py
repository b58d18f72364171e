"""The report's page: its order, texts and style. Figures and tables come from `build.py`."""

STYLE = """
body { max-width: 66rem; margin: 0 auto; }
h1 { font-size: 1.5rem; } section { margin-top: 2.4rem; scroll-margin-top: .5rem; }
section > h2 { display: block; font-size: 1.2rem; margin: 0 0 .5rem; padding-bottom: .2rem; border-bottom: 2px solid
var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; } code { font-size: .92em; overflow-wrap: anywhere; }
a { color: var(--mark); } a:focus-visible, summary:focus-visible, input:focus-visible { outline: 2px solid
var(--mark); }
.scroll { margin-bottom: .9rem; }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .6rem 0; }
.findings { padding-left: 1.1rem; max-width: 52rem; } .findings li { margin-bottom: .45rem; }
.lead { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; padding: 0; list-style: none; }
.lead li { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .9rem; min-width: 9rem; }
.lead b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; } .lead small { display: block; }
.caution { border-left: 4px solid var(--warn); padding-left: .7rem; color: var(--ink); }
.figure { overflow-x: auto; margin: .6rem 0 1rem; break-inside: avoid; }
.figure svg { display: block; height: auto; max-width: max(100%, 660px); }
.figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
.figure img { display: block; height: auto; max-width: max(100%, 660px); background: #fff; border-radius: 6px; }
.protocol text { font-size: 12px; fill: var(--ink); } .protocol .small { font-size: 11px; fill: var(--muted); }
.protocol .tiny { font-size: 10px; fill: var(--muted); } .protocol .strong { font-weight: 650; }
.protocol .on { fill: #1f2328; } .protocol .white { fill: #fff; }
.protocol .train { fill: #0072B2; } .protocol .inner { fill: #56B4E9; } .protocol .predict { fill: #E69F00; }
.protocol .test { fill: #CC79A7; } .protocol .step { fill: var(--stripe); stroke: var(--line); }
.protocol .arrow { fill: none; stroke: var(--muted); stroke-width: 1.5; }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .3em; }
.sheet { display: flex; flex-wrap: wrap; gap: .9rem .7rem; list-style: none; padding: 0; margin: .6rem 0; }
.sheet li { width: 9rem; font-size: .85rem; overflow-wrap: anywhere; break-inside: avoid; }
.sheet img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); margin-bottom: .2rem; }
.tall { max-height: 34rem; overflow: auto; } .shade { background: color-mix(in srgb, var(--mark) var(--share),
transparent); }
.filter { border: 0; padding: 0; margin: 0 0 .5rem; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.filter legend { float: left; padding: 0; margin-right: 1rem; }
#leaderboard:has(#only-model:checked) tr:is(.blend, .stack),
#leaderboard:has(#only-blend:checked) tr:is(.model, .stack),
#leaderboard:has(#only-stack:checked) tr:is(.model, .blend) { display: none; }
pre { overflow-x: auto; background: var(--stripe); border: 1px solid var(--line); border-radius: 6px; padding: .6rem
.8rem;
  font-size: .85rem; } table.plain td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .figure:not(.photo, .protocol) svg { filter: invert(.91) hue-rotate(180deg); }
  .photo img { filter: brightness(.85); } }
@media (max-width: 600px) { h1 { font-size: 1.2rem; } .lead li { flex: 1 1 7rem; min-width: 0; } .sheet li { width:
6.6rem; } }
@media print { :root { color-scheme: light; } nav, .filter { display: none; } body { max-width: none; font-size: 11px; }
  .tall { max-height: none; overflow: visible; } section { margin-top: 1.4rem; } h2, h3 { break-after: avoid; }
  .figure svg, .figure img { max-width: 100%; } details::details-content { content-visibility: visible; height: auto; }
  tr { break-inside: avoid; } }
"""

SECTIONS = {
    "verdict": "Verdict",
    "leaderboard": "Leaderboard",
    "protocol": "How the number was obtained",
    "mistakes": "Where the ensemble errs",
    "disagreement": "What the models disagree on",
    "calibration": "Calibration",
    "learning": "Learning curves",
    "cost": "Cost",
    "data": "Data and duplicates",
    "reproduction": "Reproduction",
}

MACROS = """
{% macro points(found) %}{{ "%+.2f"|format(100 * found.difference) }}
<small>[{{ "%+.2f"|format(100 * found.low) }}, {{ "%+.2f"|format(100 * found.high) }}]</small>{% endmacro %}
{% macro open(name) %}<section id="{{ name }}"><h2>{{ sections[name] }}</h2>{% endmacro %}
"""

ANSWER = """
<p>{{ what }}</p>
<nav aria-label="Sections">{% for name, title in sections.items() %}<a href="#{{ name }}">{{ title }}</a>
{% endfor %}</nav>
{{ open("verdict") }}
{% if left_out %}<p class="caution"><strong>{{ left_out }}</strong></p>{% endif %}
{% for text in cautions %}<p class="caution">{{ text }}</p>{% endfor %}
<ul class="lead">
{% for part in lead %}<li><small>{{ part.title }}</small><b>{{ part.value }}</b><small>{{ part.interval }}</small></li>
{% endfor %}</ul>
<ul class="findings">{% for text in findings %}<li>{{ text }}</li>
{% endfor %}</ul>
</section>
{{ open("leaderboard") }}
<fieldset class="filter"><legend>Show</legend>
{% for kind in ("all", "model", "blend", "stack") %}
<label><input type="radio" name="only" id="only-{{ kind }}"{% if loop.first %} checked{% endif %}> {{ kind }}
{%- if not loop.first %}s{% endif %}</label>
{% endfor %}</fieldset>
{{ board }}
{{ figures.leaderboard }}
{% if contribution %}
<h3>What each model contributes</h3>
<p>Change of out-of-fold accuracy, in points with its 95 % interval, when the model is left out of a blend.</p>
<div class="scroll"><table><thead><tr><th class="first">Model</th><th>Greedy weight</th><th>LightGBM’s gain</th>
<th>Plain mean without it</th><th>Greedy blend without it</th></tr></thead><tbody>
{% for name, entry in contribution.items() %}
<tr><th scope="row" class="first">{{ name }}</th><td>{{ "%.2f"|format(entry.weight) }}</td>
<td>{{ "–" if entry.importance is none else "%.0f %%"|format(100 * entry.importance) }}</td>
<td>{{ points(entry.mean_without.accuracy) }}</td><td>{{ points(entry.greedy_without.accuracy) }}</td></tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% if stages %}
<h3>Stage by stage</h3>
<p>The {{ deployed.kind }} of all models so far, accuracy in percent with its 95 % interval. “Alone” is the best single
model, chosen and scored fold by fold. “Own rows” is the score on the same rows that the {{ deployed.kind }} was fitted
on, which is not an estimate for new data. Out of fold, the {{ deployed.kind }}
is fitted without the fold that it predicts; the test split was used for no choice. The change is that of the
out-of-fold score over the stage before, paired.</p>
{{ figures.stages }}
<div class="scroll"><table><thead><tr><th class="first">Stage</th><th>Models</th><th class="text">Best single</th>
<th>alone</th><th>Own rows</th><th>Out of fold</th><th>Test split</th><th>Change (points)</th></tr></thead><tbody>
{% for row in stages %}<tr><th scope="row" class="first">{{ row.stage }}</th>
<td title="added: {{ row.added }}">{{ row.models }}</td><td class="text">{{ row.best_single }}</td>
<td>{{ row.single_oof }}</td><td>{{ row.own_rows }}</td><td>{{ row.stack_oof }}</td><td>{{ row.stack_test }}</td>
<td>{% if row.gain %}{{ points(row.gain) }}{% else %}–{% endif %}</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% if retrieval %}
<h3>Images and captions</h3>
<p>How often the right one is among the first 1, 5 or 10 of a fold, in percent with its 95 % interval: the caption of
an image that the network has not seen, and the image of a caption. Equal scores count as lost.</p>
<div class="scroll"><table><thead><tr><th class="first">Model</th><th class="text">Samples</th>
<th class="text">Looked for</th><th>among</th><th>R@1</th><th>R@5</th><th>R@10</th><th>Median rank</th></tr></thead>
<tbody>
{% for row in retrieval %}<tr><th scope="row" class="first">{{ row.model }}</th><td class="text">{{ row.part }}</td>
<td class="text">{{ row.looked_for }}</td><td>{{ "{:,.0f}".format(row.gallery) }}</td>
{% for value, low, high in row.recalls %}<td>{{ "%.1f"|format(100 * value) }}
<small>[{{ "%.1f"|format(100 * low) }}, {{ "%.1f"|format(100 * high) }}]</small></td>
{% endfor %}<td>{{ "%g"|format(row.median_rank) }}</td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% if factors %}
<h3>What each factor changes</h3>
<p>Out of fold, against the first level of the factor: the mean over all pairs of models that differ only in it, with
its 95 % interval over the samples. The interval does not include the variation between trainings (that takes several
seeds), and of twenty levels that change nothing, one is expected to look as if it did.</p>
<div class="scroll"><table><thead><tr><th class="first">Level</th><th>Pairs</th><th>Accuracy (%)</th>
<th>Change (points)</th><th>Log-loss</th><th>Change</th></tr></thead><tbody>
{% for row in factors %}<tr><th scope="row" class="first">{{ row.grid }} · {{ row.factor }} = {{ row.level }}</th>
<td>{{ row.pairs }}</td>
{% if row.pairs %}<td>{{ "%.2f"|format(100 * row.accuracy) }}</td>
<td>{% if row.accuracy_change %}{{ points(row.accuracy_change) }}{% else %}baseline{% endif %}</td>
<td>{{ "%.4f"|format(row.log_loss) }}</td>
<td>{% if row.log_loss_change %}{{ "%+.4f"|format(row.log_loss_change.difference) }}
<small>[{{ "%+.4f"|format(row.log_loss_change.low) }}, {{ "%+.4f"|format(row.log_loss_change.high) }}]</small>
{%- else %}baseline{% endif %}</td>
{% else %}<td>–</td><td>–</td><td>–</td><td>–</td>{% endif %}</tr>
{% endfor %}</tbody></table></div>
{% endif %}
</section>
"""

METHOD = """
{{ open("protocol") }}
<p>One row shows what the runs of one fold do; hover over a cell to read it. Every model, seed and the stack share
these folds. Samples that belong together (a group, identical or nearly equal images) are always in one fold.</p>
{{ diagram }}
<p><span class="key" style="background: #0072B2"></span>trains
{% if inner %}&emsp;<span class="key" style="background: #56B4E9">
</span>inner split: the epoch is chosen here{% endif %}
&emsp;<span class="key" style="background: #E69F00"></span>predicts once
&emsp;<span class="key" style="background: #CC79A7"></span>test split: used for no choice</p>
<p>Every figure of the verdict is out of fold. A test prediction is the mean over all folds’ networks, so test figures
may be a little higher. Each table records what it was made from, and each stage refuses a table of other
data, folds or runs.</p>
{{ figures.folds }}
</section>
{{ open("mistakes") }}
<p>The {{ deployed.kind }} “{{ deployed.name }}”, which is deployed: {{ wrong }} of {{ total }} training samples
wrong, out
of fold.</p>
{{ confusion }}
<h3>The most confident mistakes</h3>
{% if tiles %}
<p>Out of fold, most confident first: true class → predicted class. Look for wrong labels among them.</p>
<ul class="sheet">
{% for each in tiles %}
<li><img src="{{ each.picture }}" alt="{{ each.source }}: {{ each.true }}, predicted {{ each.predicted }}">
<b>{{ each.true }} → {{ each.predicted }}</b> {{ "%.1f"|format(100 * each.confidence) }} %<br>
<small title="{{ each.sample_id }}">{{ each.source }}</small></li>
{% endfor %}</ul>
{% else %}<p>There are none.</p>{% endif %}
<h3>Class by class</h3>
<div class="tables">{{ classes }}</div>
{% if groups %}
<h3>Group by group</h3>
<p>Out-of-fold accuracy in %, weakest first ({{ groups|length }} shown), with Wilson’s 95 % interval.</p>
<div class="scroll tall"><table class="sortable"><thead><tr><th class="first">Group</th><th>Samples</th>
<th>Accuracy</th><th>Interval</th>
</tr></thead><tbody>
{% for row in groups %}<tr><th scope="row" class="first"><span class="name" title="{{ row.group }}">{{ row.group
}}</span>
</th><td>{{ "{:,}".format(row.samples) }}</td>
<td class="bar" style="--share: {{ "%.1f"|format(100 * row.accuracy) }}%">{{ "%.1f"|format(100 * row.accuracy) }}</td>
<td><small>[{{ "%.1f"|format(100 * row.low) }}, {{ "%.1f"|format(100 * row.high) }}]</small></td></tr>
{% endfor %}</tbody></table></div>
{% endif %}
</section>
{{ open("disagreement") }}
{% if shared.models|length > 1 %}
<p>Correlation of errors out of fold, each model averaged over its seeds: 1 where two models are wrong on the same
samples, 0 where one’s mistakes say nothing about the other’s. The less they share, the more a combination can gain.
Hover
over a cell for counts.</p>
<div class="scroll"><table><thead><tr><th class="first">Model</th><th>Wrong</th>
{% for name in shared.models %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for name in shared.models %}{% set i = loop.index0 %}
<tr><th scope="row" class="first">{{ name }}</th><td>{{ "{:,}".format(shared.errors[i]) }}</td>
{% for value in shared.correlation[i] %}
{% if value is none %}<td>–</td>
{% else %}<td class="shade" style="--share: {{ "%.0f"|format(45 * [value, 0]|max) }}%"
 title="{{ name }} and {{ shared.models[loop.index0] }}: both wrong on {{ shared.both[i][loop.index0] }} samples">
{{- "%.2f"|format(value) }}</td>{% endif %}
{% endfor %}</tr>
{% endfor %}</tbody></table></div>
<p>{{ "{:,}".format(shared.nobody) }} samples are classified correctly by no model, {{ "{:,}".format(shared.somebody) }}
of {{ total }} by at least one: no choice among the models could be right more often.</p>
{{ figures.pareto }}
{% else %}<p>There is one model only.</p>{% endif %}
</section>
"""

REST = """
{{ open("calibration") }}
<p>How often the {{ deployed.kind }} is right, by its confidence.</p>
{{ figures.calibration }}
<div class="scroll"><table><thead><tr><th class="first">Probabilities</th><th>ECE (points)</th><th>Brier</th>
<th>Log-loss</th></tr></thead><tbody>
{% for row in calibration %}<tr><th scope="row" class="first">{{ row.name }}</th>
<td>{{ "%.2f"|format(100 * row.ece) }}</td>
<td>{{ "%.4f"|format(row.brier) }}</td><td>{{ "%.4f"|format(row.log_loss) }}</td></tr>
{% endfor %}</tbody></table></div>
{% if thresholds %}
<h3>Thresholds by class</h3>
<p>On each class’s probability, for {{ target }}, chosen on the out-of-fold rows, where it reaches the target by choice;
the test split shows what it gives. Predictions do not change.</p>
<div class="scroll"><table class="sortable"><thead><tr><th class="first">Class</th><th>Threshold</th>
{% for part in ("Out of fold", "Test") %}<th>{{ part }}: precision</th><th>recall</th><th>chosen</th>{% endfor %}
</tr></thead><tbody>
{% for row in thresholds %}<tr><th scope="row" class="first"><span class="name" title="{{ row.class }}">{{ row.class }}
</span></th><td data-order="{{ "" if row.threshold is none else row.threshold }}">
{{- "none" if row.threshold is none else "%.4f"|format(row.threshold) }}</td>
{% for part in (row.oof, row.test) %}{% for value in (part.precision, part.recall) %}
<td data-order="{{ "" if value is none else value }}">{{ "–" if value is none else "%.1f"|format(100 * value) }}</td>
{% endfor %}<td data-order="{{ "" if part.chosen is none else part.chosen }}">
{{- "–" if part.chosen is none else "{:,}".format(part.chosen) }}</td>
{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endif %}
</section>
{{ open("learning") }}
<p>One thin line per run. No curve shows the fold that a run predicts, nor the test split: neither was scored during
training.</p>
{{ figures.learning_curves }}
</section>
{{ open("cost") }}
<p>These are the runs that produced the current files. Time and memory are those of this machine; parameters and
FLOPs are of one network and one sample, and a prediction of the ensemble takes all {{ networks }} networks.</p>
<div class="scroll"><table><thead><tr><th class="first">Model</th><th>Runs</th><th>Time a run</th><th>All runs</th>
<th>Peak memory</th><th>Epochs</th><th>Parameters</th><th>FLOPs</th><th class="text">Trained on</th></tr></thead><tbody>
{% for row in costs %}<tr><th scope="row" class="first">{{ row.model }}</th><td>{{ row.runs }}</td>
<td>{{ row.each }}</td>
<td>{{ row.all }}</td><td>{{ row.memory }}</td><td>{{ row.epochs }}</td><td>{{ row.parameters }}</td>
<td>{{ row.flops }}</td>
<td class="text">{{ row.device }}</td></tr>
{% endfor %}</tbody></table></div>
{{ figures.timings }}
</section>
{{ open("data") }}
<p>{{ data }}</p>
{{ figures.class_counts }}
{{ intake }}
<h3>Duplicates</h3>
<div class="scroll"><table><thead><tr><th class="first">Pairs of samples</th><th>within training</th>
<th>across training and test</th></tr></thead><tbody>
{% for title, pairs in duplicates.items() %}<tr><th scope="row" class="first">{{ title }}</th>
<td>{{ "{:,}".format(pairs.train) }}</td><td>{{ "{:,}".format(pairs.train_test) }}</td></tr>{% endfor %}
</tbody></table></div>
<p>Within training such pairs are kept in one fold. Pairs across the splits make the test scores optimistic.
{% if two_labels %}<b>{{ "{:,}".format(two_labels) }} show one image under two labels; they come first.</b>{% endif %}
</p>
{{ figures.duplicates }}
<details><summary><h3>Samples of each class</h3></summary>{{ figures.contact_sheet }}</details>
</section>
{{ open("reproduction") }}
<p>Save the config below as <code>config.yaml</code>, next to the same data, and run in a checkout of the same code:</p>
<pre>make setup
.venv/bin/snakemake --cores all --configfile config.yaml</pre>
<p>On the CPU, the same packages give the same bytes.</p>
<details open><summary><h3>Config, defaults filled in</h3></summary><pre tabindex="0">{{ config }}</pre></details>
<h3>Versions</h3>
<div class="scroll"><table class="plain"><tbody>
{% for name, value in versions.items() %}<tr><th scope="row" class="first">{{ name }}</th><td>{{ value }}</td></tr>
{% endfor %}</tbody></table></div>
<h3>Hashes</h3>
<div class="scroll"><table class="plain"><tbody>
{% for name, value in hashes.items() %}<tr><th scope="row" class="first">{{ name }}</th><td><code>{{ value }}</code>
</td></tr>
{% endfor %}</tbody></table></div>
<details><summary><h3>Code that trained the runs</h3> <small>(file@digest)</small></summary>
<pre tabindex="0">{{ code }}</pre></details>
</section>
"""
