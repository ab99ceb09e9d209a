"""`assay models calibrate MODEL`: in which dialect a model edits best, measured."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec import Struct, json

from assay.app.calibrate import DIALECTS, Score, best, edit_tasks, known, save, score
from assay.app.config import load_settings, parse_sources
from assay.app.flags import Parsed
from assay.app.model import open_model
from assay.app.paths import Paths
from assay.core.clock import SystemClock
from assay.core.model import Model
from assay.surfaces.cli.terminal import draw, is_live, write_err, write_out


class _Wanted(Struct, frozen=True):
    """Implements `app.model.ModelWish`."""

    environ: dict[str, str]
    base_url: str | None = None
    api_key_env: str | None = None
    dialect: str | None = None
    fallback: tuple[str, ...] = ()


async def run_calibrate(paths: Paths, name: str, parsed: Parsed) -> int:
    """Ask, print, and with --save keep the fact; returns the exit code."""
    settings, notices = load_settings(paths.settings, Path.cwd(), parse_sources("user"))
    asked = _Wanted({**os.environ}, parsed.text("base_url"), parsed.text("api_key_env"), parsed.text("dialect"))
    model = open_model(name, asked, settings, paths, SystemClock(), notices)
    for notice in notices:
        write_err(f"! {notice}")
    try:
        if parsed.on("save"):
            known(paths.settings, model.profile.name)  # before 36 requests are paid for
        scores = await _scores(model)
    finally:
        await model.aclose()
    chosen, profile = best(scores), model.profile
    if parsed.on("json"):
        rows = [{"edits": s.edits, "passed": s.passed, "asked": s.asked, "tokens": round(s.tokens)} for s in scores]
        write_out(
            json.encode({"model": profile.name, "best": chosen and chosen.edits, "dialects": rows}).decode() + "\n"
        )
    else:
        write_out(f"{profile.name}: {scores[0].asked} edits in each dialect\n")
        for each in scores:
            missed = f"  (not {', '.join(map(str, each.missed))})" if each.missed else ""
            write_out(f"  {each.edits:<7} {each.passed:>2} of {each.asked}  {each.tokens:>6,.0f} tokens each{missed}\n")
    if chosen is None:
        write_err("error: it got no edit right in any dialect, so none can be recommended, and nothing is kept")
        return 1
    if parsed.on("save"):
        save(paths.settings, profile.name, chosen.edits)
        write_err(f"kept in {paths.settings}: {profile.name} edits by {chosen.edits}")
    elif chosen.edits != profile.edits:
        write_err(f"{chosen.edits} suits it best, {profile.edits} is what is used; --save keeps that for this model")
    return 0


async def _scores(model: Model) -> list[Score]:
    tasks, live = edit_tasks(), is_live(sys.stderr)
    found: list[Score] = []
    for edits in DIALECTS:
        if edits == "tool" and not model.profile.tools:
            continue
        found.append(await score(model, edits, tasks, draw if live else lambda _: None))
    if live:
        draw("")
    return found
