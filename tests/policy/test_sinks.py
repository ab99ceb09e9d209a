"""What is decided about each sink, by the label of the session; found effects of a command are given, not parsed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.core.policy import EXTERNAL, OPERATOR, WORKSPACE, Decision, Effect, Label
from assay.policy.gate import PERMISSION_MODES, Bounds, RuleGate
from assay.policy.rules import parse_rules
from assay.testing.conformance.gate import GateConformance

ROOT = "/work/project"
OUTSIDER = WORKSPACE.join(EXTERNAL)
"""The label of a session that knows the project and has read what anyone may have written."""
SPY = Label("external", "secret")
ORDER = ("allow", "ask", "deny")


def gate(*found: Effect, mode="default", allow="", ask="", deny="", kept=None, **bounds) -> RuleGate:
    """A gate for which every command line has the effects `found`."""
    limits = Bounds(**({"root": ROOT, "confined": True} | bounds))
    return RuleGate(limits, mode, parse_rules(allow, ask, deny), expand=lambda line: found, kept=kept)


async def command(made: RuleGate, label: Label = WORKSPACE) -> Decision:
    return await made.decide("Bash", (Effect("execute", "do it"),), label)


async def verdict(made: RuleGate, label: Label = WORKSPACE) -> str:
    return (await command(made, label)).verdict


UNCONFINED = {"confined": False, "unconfined_ok": True}


@pytest.mark.parametrize(
    "effect",
    [
        Effect("unknown", "make test"),
        Effect("execute", "pytest"),
        Effect("write", "src/a.py"),
        Effect("write", "/tmp/x"),
        Effect("delete", "src/a.py"),
        Effect("destroy", "src"),
        Effect("read", "/usr/include/stdio.h"),
        Effect("network", "pypi"),
        Effect("network", "git:origin"),
        Effect("network", ""),
    ],
)
async def test_what_the_sandbox_confines_is_never_asked_even_after_hostile_text(effect: Effect) -> None:
    for label in (OPERATOR, WORKSPACE, OUTSIDER, SPY):
        assert await verdict(gate(effect), label) == "allow"


@pytest.mark.parametrize(
    ("effect", "clean", "after"),
    [
        (Effect("network", "docs.example.org"), "allow", "ask"),
        (Effect("network", "git:origin"), "allow", "ask"),
        (Effect("network", "mirror.example.org"), "allow", "allow"),
        (Effect("network", "elsewhere.example"), "allow", "allow"),  # the proxy refuses it
    ],
)
async def test_the_third_of_three_stops(effect: Effect, clean: str, after: str) -> None:
    made = gate(effect, hosts=("docs.example.org", "mirror.example.org"), cleared=("mirror.example.org",))
    assert await verdict(made) == clean
    assert await verdict(made, OUTSIDER) == after
    assert await verdict(made, Label("external", "public")) == clean
    assert await verdict(made, SPY) == "deny", "secrets and outside text together: nothing leaves"


async def test_leave_given_in_advance_counts_where_others_have_read_along() -> None:
    push = Effect("network", "git:origin")
    for more in ({"hosts": ("h.example",)}, UNCONFINED):
        assert await verdict(gate(push, **more), OUTSIDER) == "ask"
        assert await verdict(gate(push, allow="Bash(do it)", **more), OUTSIDER) == "allow"
        assert await verdict(gate(push, allow="Bash(do it)", deny="WebFetch", **more), OUTSIDER) == "deny"
        assert await verdict(gate(push, allow="Bash(do it)", **more), SPY) == "deny"
    assert await verdict(gate(push, mode="bypassPermissions", **UNCONFINED), OUTSIDER) == "ask"


async def test_a_tool_that_reaches_out_by_itself() -> None:
    call = (Effect("network", "h.example"),)
    assert (await gate(hosts=("h.example",)).decide("fetch", call, WORKSPACE)).verdict == "allow"
    assert (await gate(hosts=("h.example",)).decide("fetch", call, OUTSIDER)).verdict == "ask"
    assert (await gate().decide("fetch", call, OPERATOR)).verdict == "ask"
    assert (await gate().decide("fetch", call, OPERATOR)).label == EXTERNAL


async def test_protected_names_are_not_changed_by_commands() -> None:
    effect = Effect("write", ".github/workflows/ci.yml")
    decision = await command(gate(effect))
    assert (decision.verdict, decision.rule) == ("deny", "protected")
    assert "Edit or Write" in decision.reason
    assert await verdict(gate(effect, **UNCONFINED)) == "ask"
    assert await verdict(gate(effect, allow="Bash(do it)", **UNCONFINED)) == "ask"
    assert await verdict(gate(effect, allow="Edit(.github/**)", **UNCONFINED)) == "allow"
    assert await verdict(gate(Effect("destroy", ".git"), mode="bypassPermissions", **UNCONFINED)) == "ask"


async def test_outside_the_workspace() -> None:
    assert await verdict(gate(Effect("write", "/home/a/.bashrc"), **UNCONFINED)) == "ask"
    assert await verdict(gate(Effect("write", "/home/a/.bashrc"), mode="bypassPermissions", **UNCONFINED)) == "ask"
    assert await verdict(gate(Effect("write", "/dev/null"), **UNCONFINED)) == "allow"
    assert await verdict(gate(Effect("write", "/tmp/x"), **UNCONFINED)) == "allow"
    assert await verdict(gate(Effect("destroy", "/home/a"), **UNCONFINED)) == "deny"
    assert await verdict(gate(Effect("read", "/home/a/x"), **UNCONFINED)) == "allow"
    assert await verdict(gate(Effect("read", "/home/a/x"), **UNCONFINED), OUTSIDER) == "ask"


@pytest.mark.parametrize("target", ["/", "/*", "/work", "..", "../*", "/w?rk", "/*/proj*"])
async def test_what_lies_above_the_workspace_takes_it_along(target: str) -> None:
    assert await verdict(gate(Effect("destroy", target))) == "deny"
    assert await verdict(gate(Effect("write", target))) == "allow", "making what is there already"
    assert await verdict(gate(Effect("destroy", "/var/cache"))) == "allow", "inside the sandbox that is its own"


async def test_nobody_else_has_a_say_in_unconfined_commands() -> None:
    for effect in (Effect("unknown", "./x"), Effect("network", "h.example")):
        assert await verdict(gate(effect, **UNCONFINED)) == "allow"
        assert await verdict(gate(effect, **UNCONFINED), OUTSIDER) == "ask"
        assert await verdict(gate(effect, confined=False)) == "ask"


async def test_a_model_never_changes_what_limits_it() -> None:
    ours = {"ours": ("/home/a/.config/assay", "/home/a/.local/state/assay")}
    for effect in (Effect("control", "policy"), Effect("write", "/home/a/.config/assay/settings.json")):
        for mode in PERMISSION_MODES:
            made = gate(effect, mode=mode, allow="Bash Edit(//home/**)", **UNCONFINED, **ours)
            assert await verdict(made, OPERATOR) == "deny"


async def test_what_is_destroyed_is_in_a_checkpoint_or_a_person_decides() -> None:
    async def kept(path: str) -> bool:
        return path != ".env.local.db"

    decision = await command(gate(Effect("destroy", "src"), kept=kept))
    assert (decision.verdict, decision.weighed[1].sink) == ("allow", "destroy")
    lost = Effect("destroy", ".env.local.db")
    assert (await command(gate(Effect("destroy", "data.db"), kept=kept))).rule == "confined"
    assert await verdict(gate(Effect("delete", "notes"), kept=lambda path: kept(".env.local.db"))) == "ask"
    bypassed = gate(Effect("delete", "notes"), mode="bypassPermissions", kept=lambda path: kept(".env.local.db"))
    assert await verdict(bypassed) == "allow"
    assert await verdict(gate(lost, kept=kept)) == "deny"  # a protected name as well


async def test_rules_on_files_and_hosts_hold_within_commands() -> None:
    made = gate(Effect("read", "secret/key"), deny="Read(secret/**)", allow="Bash")
    decision = await command(made)
    assert (decision.verdict, decision.rule) == ("deny", "deny Read(secret/**)")
    assert await verdict(gate(Effect("write", "docs/a"), ask="Edit(docs/**)")) == "ask"
    assert await verdict(gate(Effect("network", "h.example"), deny="WebFetch(domain:h.example)")) == "deny"
    assert await verdict(gate(Effect("network", ""), deny="WebFetch(domain:h.example)")) == "deny"
    assert await verdict(gate(Effect("unknown", "./x"), deny="Bash(rm:*)")) == "ask"


async def test_accepting_edits_answers_ask_rules_on_ordinary_files() -> None:
    edit = (Effect("write", "a.py"),)
    assert (await gate(ask="Edit").decide("Edit", edit, WORKSPACE)).verdict == "ask"
    assert (await gate(ask="Edit", mode="acceptEdits").decide("Edit", edit, WORKSPACE)).verdict == "allow"
    hook = (Effect("write", ".git/hooks/x"),)
    assert (await gate(mode="acceptEdits").decide("Edit", hook, WORKSPACE)).verdict == "ask"


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("src/a.py", OPERATOR),
        ("node_modules/x/index.js", EXTERNAL),
        (".venv/lib/python3/site-packages/x.py", EXTERNAL),
        (".env", Label("workspace", "secret")),
        ("deploy/id_rsa", Label("workspace", "secret")),
        (".env.example", OPERATOR),
        ("/usr/include/stdio.h", Label("external", "project")),
        ("/home/a/.ssh/config", Label("external", "secret")),
    ],
)
async def test_what_is_read_labels_the_result(path: str, label: Label) -> None:
    assert (await gate().decide("Read", (Effect("read", path),), WORKSPACE)).label == label


async def test_what_an_unconfined_command_shows_labels_its_output() -> None:
    assert (await command(gate(Effect("network", "h.example"), **UNCONFINED))).label == EXTERNAL
    assert (await command(gate(Effect("network", "h.example")))).label == OPERATOR, "the proxy knows who answered"
    assert (await command(gate(Effect("read", "/usr/include/x.h")))).label == OPERATOR
    assert (await command(gate(Effect("read", ".env")))).label.secrecy == "secret"


EFFECTS = st.builds(
    Effect,
    st.sampled_from(["read", "write", "delete", "destroy", "execute", "network", "control", "unknown", "none"]),
    st.sampled_from(
        ["a.py", ".env", ".github/x", "/etc/passwd", "/tmp/x", "~/x", "make", "rm x", "pypi", "git:origin", "h.example"]
    ),
)
LABELS = st.builds(
    Label, st.sampled_from(["operator", "workspace", "external"]), st.sampled_from(["public", "project", "secret"])
)
BOUNDS = st.fixed_dictionaries(
    {"confined": st.booleans(), "unconfined_ok": st.booleans(), "commands_read_only": st.booleans()},
    optional={"hosts": st.just(("h.example",)), "cleared": st.just(("h.example",))},
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "allow": st.sampled_from(["Bash", "Bash(do it)", "Edit", "Edit(.github/**)", "WebFetch"]),
        "ask": st.sampled_from(["Bash(rm:*)", "Edit(a.py)"]),
        "deny": st.sampled_from(["Read(.env)", "WebFetch(domain:h.example)", "Bash(rm:*)"]),
    },
)


@given(EFFECTS, LABELS, LABELS, st.sampled_from(PERMISSION_MODES), BOUNDS, RULES, st.booleans())
async def test_a_worse_label_never_loosens(effect, label, other, mode, bounds, rules, inner) -> None:
    made = gate(effect, mode=mode, **bounds, **rules)
    asked = (Effect("execute", "do it"),) if inner else (effect,)
    better, worse = [(await made.decide("t", asked, each)).verdict for each in (label, label.join(other))]
    assert ORDER.index(worse) >= ORDER.index(better)


@given(st.lists(EFFECTS, min_size=1, max_size=4), EFFECTS, LABELS, st.sampled_from(PERMISSION_MODES), BOUNDS, RULES)
async def test_one_more_effect_never_loosens(effects, more, label, mode, bounds, rules) -> None:
    fewer = await command(gate(*effects, mode=mode, **bounds, **rules), label)
    all_ = await command(gate(*effects, more, mode=mode, **bounds, **rules), label)
    assert ORDER.index(all_.verdict) >= ORDER.index(fewer.verdict)
    assert len(fewer.weighed) >= 1


def test_joining_labels_is_a_lattice() -> None:
    every = [Label(i, s) for i in ("operator", "workspace", "external") for s in ("public", "project", "secret")]
    for one, other in itertools.product(every, every):
        assert one.join(other) == other.join(one)
        assert one.join(one) == one
        assert one.join(other).join(one) == one.join(other)


class TestTheContract(GateConformance):
    @pytest.fixture
    def gate(self) -> RuleGate:
        return RuleGate(Bounds(ROOT, confined=True))
