"""The kinds of panel, each made by one short call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common, prometheus, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale

from sightline_dashboards.colours import BY_LABEL, GOOD, LIMIT, PLAIN

SOURCE = common.DataSourceRef("prometheus", "${datasource}")
FPS = "suffix:fps"
NOTHING = "-"
_LETTERS = "ABCDEFGH"  # of the queries of a panel

Panel = stat.Panel | timeseries.Panel | heatmap.Panel | statetimeline.Panel | table.Panel
Steps = Mapping[float, str]  # from this value on, this colour; below the first: green
States = Mapping[int, tuple[str, str]]  # value to words and colour
_P = TypeVar("_P", stat.Panel, timeseries.Panel, heatmap.Panel, statetimeline.Panel, table.Panel)


@dataclass(frozen=True, slots=True)
class Query:
    """What one line or figure shows.

    `name` is its legend, where {{label}} stands for a label's value. A `unit` other than the
    panel's gets an axis of its own, on the right. A `limit` is a dashed line.
    """

    expr: str
    name: str
    colour: str | None = None
    unit: str | None = None
    limit: bool = False


def figure(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    steps: Steps | None = None,
    below: str = GOOD,
) -> stat.Panel:
    """Return large figures over their course; those below the first step are coloured `below`."""
    panel = _dressed(stat.Panel(), title, about, unit, queries).span(6).height(5)
    panel.reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.graph_mode(common.BigValueGraphMode.AREA).color_mode(common.BigValueColorMode.VALUE)
    several = len(queries) > 1
    modes = common.BigValueTextMode
    panel.text_mode(modes.VALUE_AND_NAME if several else modes.VALUE)
    for letter, query in zip(_LETTERS, queries, strict=False):
        if query.unit:
            panel.override_by_query(letter, [model.DynamicConfigValue("unit", query.unit)])
    return panel.thresholds(_thresholds(steps or {}, below))


def reading(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    steps: Steps | None = None,
    below: str = GOOD,
) -> stat.Panel:
    """Return large figures of this moment alone."""
    panel = figure(title, about, unit, *queries, steps=steps, below=below)
    targets = [_target(*pair).instant() for pair in zip(_LETTERS, queries, strict=False)]
    return panel.targets(list(targets)).graph_mode(common.BigValueGraphMode.NONE)


def trend(
    title: str, about: str, unit: str, *queries: Query, steps: Steps | None = None
) -> timeseries.Panel:
    """Return lines over time; `steps` are drawn as dashed lines."""
    panel = _dressed(timeseries.Panel(), title, about, unit, queries).span(8).height(8)
    tooltip = parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    panel.tooltip(tooltip.sort(common.SortOrder.DESCENDING)).legend(_legend())
    panel.color_scheme(FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.line_width(1).show_points(common.VisibilityMode.NEVER)
    panel.fill_opacity(8).axis_soft_min(0)
    if steps:
        panel.thresholds(_thresholds(steps, "transparent"))
        dashed = common.GraphThresholdsStyleMode.DASHED
        panel.thresholds_style(parts.GraphThresholdsStyleConfig().mode(dashed))
    for letter, query in zip(_LETTERS, queries, strict=False):
        for name, colour in _colours_by_name(query).items():
            panel.override_by_name(name, [fixed(colour)])
        if changed := _changed(query):
            panel.override_by_query(letter, changed)
    return panel


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """Have a panel's lines stand on each other."""
    normal = parts.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return panel.stacking(normal).fill_opacity(50)


def bars(panel: timeseries.Panel) -> timeseries.Panel:
    """Have a panel show single events: bars that stand on each other."""
    return stacked(panel).draw_style(common.GraphDrawStyle.BARS).fill_opacity(80)


def heat(title: str, about: str, unit: str, query: Query) -> heatmap.Panel:
    """Return how often each bucket of a histogram was hit; `query` adds up its buckets."""
    panel = _dressed(heatmap.Panel(), title, about, unit, []).span(8).height(8)
    panel.with_target(_target("A", query).range().format(prometheus.PromQueryFormat.HEATMAP))
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues")
    colours.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).fill(PLAIN).steps(32)
    panel.color(colours).cell_gap(1).show_legend()
    return panel.y_axis(heatmap.YAxisConfig().unit(unit))


def timeline(title: str, about: str, states: States, *queries: Query) -> statetimeline.Panel:
    """Return a bar for each series, coloured by its state."""
    panel = _dressed(statetimeline.Panel(), title, about, units.Short, queries)
    panel.span(12).height(6).mappings([mapping(states)]).legend(_legend())
    panel.color_scheme(FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
    panel.thresholds(_thresholds({}, "text")).fill_opacity(80).line_width(0)
    return panel.show_value(common.VisibilityMode.NEVER).merge_values(True).row_height(0.8)


def listing(title: str, about: str, query: Query, columns: Mapping[str, str]) -> table.Panel:
    """Return a row for each series; `columns` are labels, or Value, with their headings."""
    panel = _dressed(table.Panel(), title, about, units.NoUnit, []).span(24).height(7)
    panel.with_target(_target("A", query).instant().format(prometheus.PromQueryFormat.TABLE))
    order = {
        "excludeByName": {name: True for name in ("Time", "Value") if name not in columns},
        "indexByName": {label: place for place, label in enumerate(columns)},
        "renameByName": dict(columns),
    }
    panel.with_transformation(model.DataTransformerConfig("organize", options=order))
    return panel.thresholds(_thresholds({}, "text")).filterable(True)


def mapping(states: States) -> model.ValueMap:
    """Return words and colours for values."""
    return model.ValueMap(
        {
            str(value): model.ValueMappingResult(words, colour, index=place)
            for place, (value, (words, colour)) in enumerate(states.items())
        }
    )


def _dressed(panel: _P, title: str, about: str, unit: str, queries: Sequence[Query]) -> _P:
    panel.title(title).description(about).unit(unit).no_value(NOTHING).datasource(SOURCE)
    for letter, query in zip(_LETTERS, queries, strict=False):
        panel.with_target(_target(letter, query).range())
    return panel


def _target(letter: str, query: Query) -> Dataquery:
    target = Dataquery().expr(query.expr).legend_format(query.name).ref_id(letter)
    return target.datasource(SOURCE).editor_mode(prometheus.QueryEditorMode.CODE)


def _legend() -> parts.VizLegendOptions:
    legend = parts.VizLegendOptions().display_mode(common.LegendDisplayMode.LIST)
    return legend.placement(common.LegendPlacement.BOTTOM).show_legend(True)


def _thresholds(steps: Steps, below: str) -> ThresholdsConfig:
    first = model.Threshold(None, below)
    rest = [model.Threshold(value, colour) for value, colour in sorted(steps.items())]
    return ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([first, *rest])


def _colours_by_name(query: Query) -> dict[str, str]:
    """Return the colours of a query's lines where a label alone names them."""
    label = query.name.removeprefix("{{").removesuffix("}}")
    return BY_LABEL.get(label, {}) if query.name == f"{{{{{label}}}}}" else {}


def _changed(query: Query) -> list[model.DynamicConfigValue]:
    """Return how a query's lines differ from the panel's others."""
    changed = []
    if query.limit or query.colour:
        changed.append(fixed(query.colour or LIMIT))
    if query.limit:
        dashes = {"fill": "dash", "dash": [8, 6]}
        changed.append(model.DynamicConfigValue("custom.lineStyle", dashes))
        changed.append(model.DynamicConfigValue("custom.fillOpacity", 0))
        changed.append(model.DynamicConfigValue("custom.stacking", {"mode": "none", "group": "A"}))
    if query.unit:
        changed.append(model.DynamicConfigValue("unit", query.unit))
        changed.append(model.DynamicConfigValue("custom.axisPlacement", "right"))
    return changed


def fixed(colour: str) -> model.DynamicConfigValue:
    """Return the override that gives a line its colour."""
    return model.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
