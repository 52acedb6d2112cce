"""What every dashboard has: its name, variables, annotations, links, and panels in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as model

from sightline_dashboards.panels import SOURCE, Panel

TAG = "sightline"
PAGE = "http://localhost:8501"  # of the app; another one: ?var-page=https://cams.example.org
TITLES = {
    "sightline-live": "Live",
    "sightline-models": "Models",
    "sightline-triton": "Triton",
    "sightline-resources": "Resources",
    "sightline-objectives": "Objectives",
}

# A point where a model is in memory that wasn't a step earlier, nor in the five minutes before
# that, so that neither a missed scrape nor a quick restart looks like a change of model.
_MODEL_CHANGED = (
    'sightline_model_info{instance=~"$instance"} unless '
    'last_over_time(sightline_model_info{instance=~"$instance"}[5m] offset $__interval)'
)
_SERVER_STARTED = (
    'process_start_time_seconds{job="sightline",instance=~"$instance"} * 1000 '
    "* on (instance) group_left (version) sightline_build_info"
)


def page(
    uid: str,
    about: str,
    rows: Mapping[str, Sequence[Panel]],
    *,
    span: str,
    refresh: str,
) -> model.Dashboard:
    """Return a dashboard of the last `span`, such as 15m, with its panels in titled rows."""
    board = build.Dashboard(f"Sightline · {TITLES[uid]}").uid(uid).description(about)
    board.tags([TAG]).time(f"now-{span}", "now").refresh(refresh).readonly()
    board.tooltip(model.DashboardCursorSync.CROSSHAIR).timezone("browser")
    board.variables([_data_source(), _instance(), _page()])
    board.annotations([_model_changes(), _starts()])
    board.links(_links())
    number = 0
    for title, panels in rows.items():
        number += 1
        board.with_row(build.Row(title).id(number))
        for panel in panels:
            number += 1
            board.with_panel(panel.id(number))
    return board.build()


def _data_source() -> build.DatasourceVariable:
    chosen = model.VariableOption(True, "Prometheus", "prometheus")
    variable = build.DatasourceVariable("datasource").label("Data source")
    return variable.type("prometheus").current(chosen)


def _instance() -> build.QueryVariable:
    query = "label_values(sightline_build_info, instance)"
    variable = build.QueryVariable("instance").label("Server").datasource(SOURCE)
    variable.query({"query": query, "refId": "instance"}).definition(query)
    variable.multi(True).include_all(True).all_value(".*")
    variable.current(model.VariableOption(True, ["All"], ["$__all"]))
    variable.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(model.VariableSort.ALPHABETICAL_ASC)


def _page() -> build.TextBoxVariable:
    about = "Where the app's own page is; the links lead there."
    variable = build.TextBoxVariable("page").description(about).default_value(PAGE)
    variable.hide(model.VariableHide.HIDE_VARIABLE)
    return variable.current(model.VariableOption(True, PAGE, PAGE))


def _model_changes() -> build.AnnotationQuery:
    query = Dataquery().expr(_MODEL_CHANGED).ref_id("Models").interval("5s").range()
    note = build.AnnotationQuery().name("Model changes").datasource(SOURCE).icon_color("purple")
    note.target(query).title_format("Model {{model}} {{version}}")
    return note.text_format("{{engine}}, {{precision}}, {{device}} on {{instance}}").enable(True)


def _starts() -> build.AnnotationQuery:
    query = Dataquery().expr(_SERVER_STARTED).ref_id("Starts").range()
    note = build.AnnotationQuery().name("Starts").datasource(SOURCE).icon_color("blue")
    note.target(query).title_format("Server started").use_value_for_time(True)
    return note.text_format("{{instance}}, version {{version}}").enable(True)


def _links() -> list[Builder[model.DashboardLink]]:
    others = build.DashboardLink("Dashboards").type(model.DashboardLinkType.DASHBOARDS)
    others.tags([TAG]).include_vars(True).keep_time(True)
    return [
        others,
        _outside("Live page", "${page}/live", "The video with its boxes"),
        _outside("Monitor page", "${page}/monitor", "The key figures in the app itself"),
    ]


def _outside(title: str, url: str, tooltip: str) -> build.DashboardLink:
    link = build.DashboardLink(title).type(model.DashboardLinkType.LINK).url(url)
    return link.icon("external link").tooltip(tooltip).target_blank(True)
