from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import inputs
from tests.models.cases import CALLS, CASES, NATIVES, PIXEL, PROFILES, READ, SHELL, native, request, said, user

from assay.core.messages import AssistantMessage, Image, Native, Text, Thinking, ToolCall, ToolResult, UserMessage
from assay.core.model import ModelRequest, Profile, Reasoning
from assay.models.client import dialect_for

DIALECTS = list(PROFILES)
SNAPSHOTS = Path(__file__).parent / "snapshots"


def encode(dialect: str, wanted: ModelRequest, profile: Profile | None = None) -> dict:
    return json.loads(dialect_for(dialect).encoder(profile or PROFILES[dialect]).encode(wanted))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bodies_are_as_in_the_snapshot(dialect):
    """Set UPDATE_SNAPSHOTS=1 to write them anew; then read the difference."""
    bodies = {name: encode(dialect, case) for name, case in CASES.items()}
    file = SNAPSHOTS / f"{dialect}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(json.dumps(bodies, indent=1, ensure_ascii=False) + "\n")
    stored = json.loads(file.read_text())
    for name, body in bodies.items():  # dumped, so that the order of keys counts too
        assert json.dumps(body) == json.dumps(stored[name]), name
    assert set(stored) == set(bodies)


# --- every well-formed history is a valid request ---------------------------------------------------------------------

texts = st.text(max_size=12) | st.sampled_from(["", " ", "\ud800", "ok", 'quo"te\n'])
ids = st.text(min_size=1, max_size=50)
values = st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner, max_size=2))


@st.composite
def histories(draw) -> list:
    history: list = []
    used: set[str] = set()
    for _ in range(draw(st.integers(1, 4))):
        history.append(
            user(draw(texts.filter(str.strip)), *draw(st.lists(texts.map(Text) | st.just(PIXEL), max_size=2)))
        )
        for _ in range(draw(st.integers(0, 2))):
            message = draw(replies(used))
            history.append(message)
            if message.failure is None and message.calls:
                history.append(draw(answers(message.calls)))
        history.append(draw(st.sampled_from([said("Done."), native("anthropic"), native("openai-responses")])))
    history.append(user("Go on."))
    return history


@st.composite
def replies(draw, used: set[str]) -> AssistantMessage:
    calls = []
    for identity in draw(st.lists(ids.filter(lambda i: i not in used), min_size=1, max_size=3, unique=True)):
        used.add(identity)
        invalid = draw(st.sampled_from(["", "broken"]))
        arguments = {} if invalid else draw(st.dictionaries(texts, values, max_size=2))
        calls.append(ToolCall(identity, draw(st.sampled_from(["read", "shell", ""])), arguments, invalid))
    parts = (*draw(st.lists(texts.map(Thinking) | texts.map(Text), max_size=2)), *calls)
    return AssistantMessage(
        parts, "calls", native=draw(st.sampled_from([None, *DIALECTS]).map(lambda d: sealed(d, parts)))
    )


def sealed(dialect: str | None, parts: tuple) -> Native | None:
    """The blocks that the dialect's own provider would have sent for `parts`, its model being `m`."""
    calls = [part for part in parts if isinstance(part, ToolCall)]
    if dialect == "anthropic":
        uses = [{"type": "tool_use", "id": f"own_{n}", "name": "read", "input": {}} for n, _ in enumerate(calls)]
        return Native("anthropic", "other", [*NATIVES["anthropic"], *uses])
    return Native(dialect, "other", [{"role": "assistant"}]) if dialect else None


@st.composite
def answers(draw, calls: tuple[ToolCall, ...]) -> UserMessage:
    content = st.lists(texts.map(Text) | st.just(PIXEL), max_size=2).map(tuple)
    results = [ToolResult(call.id, draw(content), draw(st.booleans())) for call in calls]
    return UserMessage((*draw(st.lists(texts.map(Text), max_size=1)), *results))


def check_anthropic(body: dict) -> None:
    roles = [message["role"] for message in body["messages"]]
    assert roles[0] == "user" and all(a != b for a, b in pairwise(roles))
    open_calls: set[str] = set()
    for message in body["messages"]:
        blocks = message["content"]
        assert blocks
        kinds = [block["type"] for block in blocks]
        assert all(block["text"].strip() for block in blocks if block["type"] == "text")
        if message["role"] == "user":
            answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
            assert sorted(answered) == sorted(open_calls)
            assert kinds[: len(answered)] == ["tool_result"] * len(answered)
            open_calls = set()
        else:
            open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
            assert all(re.fullmatch("[A-Za-z0-9_-]+", identity) for identity in open_calls)
            assert all(block["name"] for block in blocks if block["type"] == "tool_use")
    assert not open_calls and roles[-1] == "user"
    assert json.dumps(body).count("cache_control") <= 4


def check_chat(body: dict) -> None:
    open_calls: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
            assert isinstance(message["content"], str) and message["content"]
            continue
        assert not open_calls
        assert message["role"] in ("system", "user", "assistant")
        for call in message.get("tool_calls", ()):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            assert call["function"]["name"] and len(call["id"]) <= 40
            open_calls.append(call["id"])
        assert message.get("content") or message.get("tool_calls")
    assert not open_calls and body["messages"][-1]["role"] == "user"


def check_responses(body: dict) -> None:
    open_calls: list[str] = []
    for item in body["input"]:
        if item.get("type") == "function_call":
            assert isinstance(json.loads(item["arguments"]), dict) and item["name"] and len(item["call_id"]) <= 64
            open_calls.append(item["call_id"])
        elif item.get("type") == "function_call_output":
            open_calls.remove(item["call_id"])
            assert item["output"]
        elif item.get("role") == "user":
            assert not open_calls and item["content"]
    assert not open_calls


CHECKS = {"anthropic": check_anthropic, "openai-chat": check_chat, "openai-responses": check_responses}


@settings(max_examples=inputs(60), deadline=None)
@given(history=histories(), images=st.booleans(), dialect=st.sampled_from(DIALECTS))
def test_any_well_formed_history_is_a_valid_request(history, images, dialect):
    profile = Profile("x/m", "m", dialect, images=images)
    body = encode(dialect, request(*history, tools=(READ, SHELL)), profile)
    CHECKS[dialect](body)
    if not images:
        assert PIXEL.data not in json.dumps(body)


# --- bytes ------------------------------------------------------------------------------------------------------------


def conversation(turns: int) -> list:
    history: list = [user("Begin.")]
    for turn in range(turns):
        call = ToolCall(f"call_{turn}", "read", {"path": f"{turn}.py"})
        history += [AssistantMessage((call,), "calls"), user(ToolResult(call.id, (Text(f"content {turn}"),)))]
    return history


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_request_extends_the_one_before(dialect):
    encoder = dialect_for(dialect).encoder(PROFILES[dialect])
    history = conversation(30)
    before = b""
    for end in range(1, len(history) + 1, 2):
        wanted = request(*history[:end], tools=(READ,), session="s")
        body = encoder.encode(wanted)
        assert body == dialect_for(dialect).encoder(PROFILES[dialect]).encode(wanted), "a fresh encoder says the same"
        plain = body.replace(b',"cache_control":{"type":"ephemeral"}', b"")
        assert plain.startswith(before)
        before = plain.rstrip(b"]}")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_message_is_encoded_once(dialect):
    encoder = dialect_for(dialect).encoder(PROFILES[dialect])
    history = conversation(3)
    encoder.encode(request(*history))
    seen: list = []
    encode_user = encoder.user
    encoder.user = lambda message: seen.append(message) or encode_user(message)
    late = user("New.")
    encoder.encode(request(*history, said("Yes."), late))
    assert seen == [late]


def test_a_changed_history_is_encoded_anew():
    encoder = dialect_for("openai-chat").encoder(PROFILES["openai-chat"])
    encoder.encode(request(user("One."), said("Two."), user("Three.")))
    body = json.loads(encoder.encode(request(user("Summary."), user("Four."))))
    assert [message["content"] for message in body["messages"][1:]] == ["Summary.", "Four."]


def test_cache_breakpoints_lie_on_the_system_text_and_the_last_two_user_messages():
    body = encode("anthropic", request(*conversation(4), tools=(READ,)))
    assert "cache_control" in body["system"][-1]
    marked = [index for index, message in enumerate(body["messages"]) if "cache_control" in message["content"][-1]]
    assert marked == [len(body["messages"]) - 3, len(body["messages"]) - 1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refused_natives_are_left_out_from_then_on(dialect):
    encoder = dialect_for(dialect).encoder(PROFILES[dialect])
    wanted = request(user("One."), native(dialect), user("Two."))
    assert b"b3Bh" in encoder.encode(wanted) or dialect == "openai-chat"
    assert encoder.forget_natives()
    body = encoder.encode(wanted)
    assert b"b3Bh" not in body and b"Here." in body
    assert not encoder.forget_natives()


# --- facts and quirks -------------------------------------------------------------------------------------------------


def profile(dialect: str, reasoning: str = "none", *quirks: str, **more) -> Profile:
    return Profile("x/m", "m", dialect, reasoning=reasoning, quirks=frozenset(quirks), max_output=64_000, **more)


ENABLED = {"thinking": {"type": "enabled", "budget_tokens": 8192}}
DISABLED = {"thinking": {"type": "disabled"}}
SEALED = {"include": ["reasoning.encrypted_content"]}


@pytest.mark.parametrize(
    ("facts", "asked", "expected"),
    [  # dialect, control over thinking, quirks | mode, budget, effort | what the body then says
        ("anthropic budget", Reasoning(), {}),
        ("anthropic budget", Reasoning("budget", budget=8192), ENABLED),
        ("anthropic budget", Reasoning(effort="medium"), ENABLED),
        ("anthropic budget", Reasoning("off", effort="high"), {}),
        ("anthropic adaptive", Reasoning("off"), DISABLED),
        ("anthropic adaptive", Reasoning("off", effort="max"), DISABLED | {"output_config": {"effort": "high"}}),
        ("anthropic adaptive always_thinks", Reasoning("off"), {"output_config": {"effort": "low"}}),
        ("anthropic adaptive off_is_between_tools", Reasoning("off"), {"thinking": {"type": "between_tools"}}),
        (
            "anthropic adaptive",
            Reasoning("budget", budget=9000),
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        ("anthropic none", Reasoning("adaptive", effort="high"), {}),
        ("openai-chat effort", Reasoning("off"), {"reasoning_effort": "none"}),
        ("openai-chat effort no_effort_none", Reasoning("off"), {"reasoning_effort": "low"}),
        ("openai-chat effort", Reasoning(effort="max"), {"reasoning_effort": "high"}),
        ("openai-chat effort effort_xhigh", Reasoning(effort="max"), {"reasoning_effort": "xhigh"}),
        ("openai-chat effort thinking_toggle", Reasoning("off"), DISABLED),
        (
            "openai-chat effort thinking_toggle effort_from_high",
            Reasoning("adaptive", effort="low"),
            {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        ),
        (
            "openai-chat effort reasoning_object",
            Reasoning("budget", budget=2000),
            {"reasoning": {"max_tokens": 2000}},
        ),
        ("openai-chat effort reasoning_object", Reasoning(effort="low"), {"reasoning": {"effort": "low"}}),
        (
            "openai-chat none template_thinking",
            Reasoning("off"),
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        ("openai-chat none", Reasoning("adaptive", effort="max"), {}),
        ("openai-responses effort effort_max", Reasoning(effort="max"), {"reasoning": {"effort": "max"}} | SEALED),
        ("openai-responses none", Reasoning(effort="max"), {}),
    ],
)
def test_thinking_and_effort_become_the_providers_own_controls(facts, asked, expected):
    dialect, control, *quirks = facts.split()
    body = encode(dialect, request(user("Hi."), reasoning=asked), profile(dialect, control, *quirks))
    controls = ("thinking", "output_config", "reasoning", "reasoning_effort", "chat_template_kwargs", "include")
    assert {key: body[key] for key in controls if key in body} == expected


def test_a_fixed_budget_leaves_room_for_the_answer():
    wanted = request(user("Hi."), reasoning=Reasoning("budget", budget=50_000), max_output=4_000)
    body = encode("anthropic", wanted, profile("anthropic", "budget"))
    assert body["thinking"]["budget_tokens"] == 4_000 - 1024


def test_a_turn_begun_by_another_model_goes_on_without_a_fixed_budget():
    wanted = request(
        user("Fix."), CALLS, user(ToolResult("call_2", (Text("x"),))), reasoning=Reasoning("budget", budget=2000)
    )
    assert "thinking" not in encode("anthropic", wanted, profile("anthropic", "budget"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sampling_is_left_out_where_it_is_refused(dialect):
    wanted = request(user("Hi."), temperature=0.5, seed=1)
    assert encode(dialect, wanted, profile(dialect))["temperature"] == 0.5
    body = encode(dialect, wanted, profile(dialect, "none", "no_sampling"))
    assert "temperature" not in body and "seed" not in body


def test_anthropic_takes_no_temperature_while_it_thinks():
    wanted = request(user("Hi."), temperature=0.5, reasoning=Reasoning("budget", budget=2000))
    assert "temperature" not in encode("anthropic", wanted, profile("anthropic", "budget"))


def test_mistral_ids_are_nine_characters_and_still_match():
    facts = profile("openai-chat", "none", "call_ids_9", "random_seed")
    body = encode(
        "openai-chat", request(user("Fix."), CALLS, user(*(ToolResult(c.id, ()) for c in CALLS.calls)), seed=4), facts
    )
    _, _, assistant, *tools = body["messages"]
    asked = [call["id"] for call in assistant["tool_calls"]]
    assert [tool["tool_call_id"] for tool in tools] == asked
    assert all(re.fullmatch("[A-Za-z0-9]{9}", identity) for identity in asked)
    assert body["random_seed"] == 4 and "seed" not in body


def test_deepseek_gets_its_reasoning_back_and_openai_does_not():
    wanted = request(user("One."), native("openai-chat"), user("Two."))
    assert "reasoning_content" not in json.dumps(encode("openai-chat", wanted))
    assert "reasoning_content" in json.dumps(
        encode("openai-chat", wanted, profile("openai-chat", "effort", "reasoning_back"))
    )


def test_llama_cpp_keeps_its_prompt_and_is_always_limited():
    facts = profile("openai-chat", "none", "cache_prompt", "max_tokens_always")
    body = encode("openai-chat", request(user("Hi.")), facts)
    assert body["cache_prompt"] is True and body["max_tokens"] == 64_000


def test_images_are_described_to_a_model_that_takes_none():
    blind = profile("openai-responses")
    wanted = request(user("See:", Image("image/png", "A" * 8000)))
    assert "image/png of 6 kB" in encode("openai-responses", wanted, blind)["input"][0]["content"][1]["text"]
