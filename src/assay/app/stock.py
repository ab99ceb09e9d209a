"""What the files that users already have amount to here: read when a task begins, and only where there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.app.config import Settings
from assay.app.paths import Paths, claude_home
from assay.context.library.places import Shelf, find_shelves
from assay.core.context import Fragment
from assay.core.messages import Json
from assay.core.policy import WORKSPACE

if TYPE_CHECKING:
    from assay.context.library.outputs import OutputStyle
    from assay.context.library.plugins import Plugin
    from assay.context.library.skills import Skill
    from assay.core.agents import AgentDefinition

DEFAULT_STYLE = "default"


class Stock(Struct):
    """Skills and commands by name, kinds of agents, styles and plugins."""

    shelves: tuple[Shelf, ...] = ()
    skills: dict[str, Skill] = {}
    agents: list[AgentDefinition] = []
    styles: dict[str, OutputStyle] = {}
    plugins: list[Plugin] = []
    style: str = DEFAULT_STYLE
    """The name that settings say, whether there is such a style or not."""
    notices: list[str] = []

    @property
    def hooks(self) -> list[tuple[Json, str, str]]:
        """Those of plugins: what stands under `hooks`, where, and the folder."""
        return [(plugin.hooks, f"plugin {plugin.name}", str(plugin.path)) for plugin in self.plugins if plugin.hooks]

    @property
    def servers(self) -> dict[str, Json]:
        """MCP servers of plugins, as `plugin_NAME_SERVER`."""
        return {
            f"plugin_{plugin.name}_{name}": server for plugin in self.plugins for name, server in plugin.servers.items()
        }

    @property
    def chosen(self) -> OutputStyle | None:
        """The style that holds, if there is one by that name; case does not matter."""
        wanted = self.style.casefold()
        return self.styles.get(self.style) or next(
            (style for name, style in self.styles.items() if name.casefold() == wanted), None
        )

    def system(self, text: str) -> str:
        """The system text with the chosen style; one that came with the project is no part of it (`style_text`)."""
        style = self.chosen
        if style is None or not style.trusted:
            return text
        from assay.context.library.outputs import styled

        return styled(text, style)

    @property
    def style_text(self) -> Fragment | None:
        """The chosen style when it came with the project: context, with the project's label."""
        style = self.chosen
        if style is None or style.trusted or not style.text:
            return None
        text = f'<style from="{style.source}">\n{style.text}\n</style>'
        return Fragment("style", text, style.source, label=WORKSPACE)


def shelves_of(directory: Path, paths: Paths, environ: Mapping[str, str], sources: frozenset[str]) -> list[Shelf]:
    """The folders for agents that exist for this user and project."""
    home = environ.get("HOME", "")
    theirs = claude_home(environ)
    own = (paths.config, *((Path(home) / ".agents",) if home else ()), *((theirs,) if theirs else ()))
    return find_shelves(directory, own, user="user" in sources, project="project" in sources)


def take_stock(
    shelves: list[Shelf], settings: Settings, paths: Paths, plugin_dirs: tuple[str, ...] = (), *, plugins: bool = True
) -> Stock:
    """Read it all. What can't be used is told in `notices`, and left out. `plugins`: installed ones count, too."""
    stock = Stock(tuple(shelves), style=settings.output_style or DEFAULT_STYLE)
    if plugin_dirs or settings.plugins or (plugins and (paths.data / "plugins" / "installed.json").is_file()):
        from assay.app.plugins import session_plugins

        stock.plugins = session_plugins(paths, settings, plugin_dirs, stock.notices, installed=plugins)
        stock.shelves = (*shelves, *(plugin.shelf for plugin in stock.plugins))
    filled = [
        shelf
        for shelf in stock.shelves
        if any((shelf.path / kind).is_dir() for kind in ("skills", "commands", "agents", "output-styles"))
    ]
    if filled:
        from assay.context.library.agents import read_agents
        from assay.context.library.skills import read_skills

        stock.skills = read_skills(filled, stock.notices)
        stock.notices += _unused(stock.skills.values())
        stock.agents = read_agents(filled, stock.notices)
    if filled or stock.style != DEFAULT_STYLE:
        from assay.context.library.outputs import read_styles

        stock.styles = read_styles(filled, stock.notices)
        forced = next((style.name for style in stock.styles.values() if style.forced), "")
        if forced and not settings.output_style:
            stock.style = forced
        if stock.chosen is None:
            stock.notices.append(f"there is no output style '{stock.style[:60]}'; styles: {', '.join(stock.styles)}")
    return stock


def _unused(skills: Iterable[Skill]) -> list[str]:
    """A line for each field of skills that says something which is not applied here."""
    found: dict[str, list[str]] = {}
    for skill in skills:
        if skill.hooks:
            found.setdefault("hooks", []).append(skill.name)
        if skill.shell not in ("", "bash"):
            found.setdefault(f"shell {skill.shell[:40]}", []).append(skill.name)
    return [f"skills: {field}: not applied here, in {', '.join(names)}" for field, names in found.items()]
