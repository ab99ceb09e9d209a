"""The case table that every dialect is rendered for."""

from assay.testing.server import Call, Reply, Thinking, Usage

USAGE = Usage(input=12, output=34, cache_read=100, cache_write=7, reasoning=5)

CASES = {
    "text": Reply("Hello, world. This is a reply in a few pieces.", usage=USAGE),
    "thinking_text": Reply(
        "Naïve café — 東京 🚀 done.",
        thinking=(Thinking("First I think about it."), Thinking(redacted="b3BhcXVl", encrypted="b3BhcXVl")),
        usage=USAGE,
    ),
    "one_call": Reply("I look.", calls=(Call("bash", {"command": "ls -la | head"}),), usage=USAGE),
    "two_calls": Reply(
        calls=(Call("bash", {"command": "pwd"}), Call("read", {"path": "a.py", "limit": 20})), usage=USAGE
    ),
    "unicode_call": Reply(
        calls=(Call("write", {"path": "ü.txt", "content": 'snow ☃ "quoted"\n\\ tab\t🚀'}),), usage=USAGE
    ),
    "length": Reply("Cut short by the lim", stop="length", usage=USAGE),
}
