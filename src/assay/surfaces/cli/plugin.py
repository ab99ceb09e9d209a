"""`assay plugin`: what is installed, from where, and whether it counts."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assay.app.flags import Flag, describe, parse
from assay.app.paths import find_paths
from assay.core.errors import UsageError
from assay.surfaces.cli.terminal import ascii_json, one_line, write_out

if TYPE_CHECKING:
    from assay.app.plugins import PluginStore

FLAGS = (Flag("--json", "switch", "list: as JSON"), Flag("--help", "switch", "print this", "-h"))
USAGE = """usage: assay plugin list [--json]
       assay plugin validate FOLDER
       assay plugin install FOLDER|GIT|NAME@MARKETPLACE
       assay plugin uninstall|enable|disable NAME
       assay plugin marketplace add FOLDER|GIT
       assay plugin marketplace list|update [NAME]|remove NAME
"""


def run_plugin(arguments: list[str]) -> int:
    """Carry out `assay plugin ...`; returns the exit code. Raises `UsageError`."""
    from assay.app.plugins import PluginStore

    parsed = parse(arguments, FLAGS)
    if parsed.on("help") or not parsed.words:
        sys.stdout.write(f"{USAGE}\n{describe(FLAGS)}\n")
        return 0 if parsed.on("help") else 2
    action, *words = parsed.words
    store = PluginStore(find_paths(os.environ))
    match action:
        case "list":
            _list(store, as_json=parsed.on("json"))
        case "validate":
            return _validate(Path(_one(words, "validate")))
        case "install":
            done = store.install(_one(words, "install"))
            write_out(f"installed {done.key} {done.version}".rstrip() + f" ({done.digest})\n")
        case "uninstall":
            write_out(f"removed {store.uninstall(_one(words, action)).key}\n")
        case "enable" | "disable":
            changed = store.enable(_one(words, action), enabled=action == "enable")
            write_out(f"{changed.key} is {'enabled' if changed.enabled else 'disabled'}\n")
        case "marketplace":
            _marketplace(store, words)
        case _:
            raise UsageError(
                f"assay plugin has no '{action}'; "
                "it has list, validate, install, uninstall, enable, disable, marketplace"
            )
    return 0


def _one(words: list[str], action: str) -> str:
    if len(words) != 1:
        raise UsageError(f"assay plugin {action} takes one argument; see assay plugin --help")
    return words[0]


def _list(store: PluginStore, *, as_json: bool) -> None:
    import msgspec

    plugins = list(store.read().plugins.values())
    if as_json:
        write_out(ascii_json(msgspec.json.encode(plugins).decode()) + "\n")
        return
    for each in plugins:
        state = "enabled" if each.enabled else "disabled"
        write_out(one_line(f"{each.key}  {each.version or '-'}  {state}  {each.source}", 500) + "\n")


def _validate(folder: Path) -> int:
    """What is in a plugin, and what is wrong with it: exit 1 for that."""
    from assay.context.library.agents import read_agents
    from assay.context.library.outputs import read_styles
    from assay.context.library.plugins import digest_of, read_plugin
    from assay.context.library.skills import read_skills

    plugin, faults = read_plugin(folder), list[str]()
    shelves = [plugin.shelf]
    skills = read_skills(shelves, faults).values()
    parts = {
        "skills": [each.name for each in skills if each.kind == "skill"],
        "commands": [each.name for each in skills if each.kind == "command"],
        "agents": [each.name for each in read_agents(shelves, faults)],
        "output styles": [each.name for each in read_styles(shelves, faults).values() if each.source],
        "hooks": list(plugin.hooks),
        "servers": list(plugin.servers),
    }
    write_out(one_line(f"{plugin.name} {plugin.version}".strip() + f" ({digest_of(plugin.path)})", 200) + "\n")
    for kind, names in parts.items():
        if names:
            write_out("  " + one_line(f"{kind}: {', '.join(names)}", 500) + "\n")
    for fault in faults:
        write_out("  " + one_line(f"wrong: {fault}", 500) + "\n")
    return 1 if faults else 0


def _marketplace(store: PluginStore, words: list[str]) -> None:
    action, *rest = words or ["list"]
    match action:
        case "list":
            for each in store.read().marketplaces.values():
                offers = ", ".join(store.offers(each.name)) if Path(each.path).is_dir() else "its folder is gone"
                write_out(one_line(f"{each.name}  {each.source}  {offers}", 500) + "\n")
        case "add":
            made = store.add_marketplace(_one(rest, "marketplace add"))
            write_out(one_line(f"added {made.name}: {', '.join(store.offers(made.name)) or 'no plugins'}", 500) + "\n")
        case "update":
            for name in rest or list(store.read().marketplaces):
                write_out(one_line(f"updated {store.update_marketplace(name).name}", 500) + "\n")
        case "remove":
            name = _one(rest, "marketplace remove")
            store.remove_marketplace(name)
            write_out(one_line(f"removed {name}", 500) + "\n")
        case _:
            raise UsageError(f"assay plugin marketplace has no '{action}'; it has add, list, remove, update")
