"""Two agents that are as little as can be, to compare with: `single` (one prompt, no tools) and `bash` (a loop over a
shell). In the project: `python -m bench.solve.controls single|bash --url URL --model NAME PROMPT [FILE...]`. Only the
standard library, so that any interpreter runs them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

STEPS = 25
SHOWN = 4_000
"""Characters of a command's output that the model sees."""
SINGLE = """{prompt}

{files}

Answer with the whole new text of {subject} in one ```python block, and nothing else."""
BASH = """You solve a programming task in a Linux shell, in the current directory.
Answer each time with exactly one command in a block, like this:
```bash
ls
```
You then see its output. Change files with commands (cat > FILE <<'EOF', sed, python). When all is done, answer with
```bash
echo DONE
```"""


def ask(url: str, model: str, messages: list[dict[str, str]]) -> str:
    """One reply. Raises urllib.error.URLError."""
    body = json.dumps({"model": model, "messages": messages, "max_tokens": 2048}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=3_600) as answer:
        return json.load(answer)["choices"][0]["message"]["content"] or ""


def fenced(text: str, names: str) -> str | None:
    """The first block in a reply, in one of the languages `names` (a pattern) if it says one."""
    found = re.search(rf"```(?:{names})?[ \t]*\n(.*?)(?:```|\Z)", text, re.S)
    return found[1] if found else None


def single_prompt(prompt: str, files: Mapping[str, str]) -> str:
    """The whole prompt; the first file is the one to change."""
    shown = "\n\n".join(f"{name}:\n```\n{text}```" for name, text in files.items())
    return SINGLE.format(prompt=prompt, files=shown, subject=next(iter(files)))


def single(url: str, model: str, prompt: str, files: list[str]) -> None:
    """Show the files, take the first one back."""
    words = single_prompt(prompt, {name: Path(name).read_text() for name in files})
    code = fenced(ask(url, model, [{"role": "user", "content": words}]), "python|py")
    if code:
        Path(files[0]).write_text(code)


def bash(url: str, model: str, prompt: str) -> None:
    """Run what the model says until it says that it is done."""
    messages = [{"role": "system", "content": BASH}, {"role": "user", "content": prompt}]
    for _ in range(STEPS):
        reply = ask(url, model, messages)
        messages.append({"role": "assistant", "content": reply})
        command = fenced(reply, "bash|sh|shell")
        if command is None:
            messages.append({"role": "user", "content": "Answer with one command in a ```bash block."})
            continue
        if command.strip() == "echo DONE":
            return
        messages.append({"role": "user", "content": told(command)})


def told(command: str, seconds: float = 60.0) -> str:
    """What the model sees of a command: its exit code and the two ends of its output."""
    try:
        done = subprocess.run(
            ["bash", "-c", command], stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    if len(text) > SHOWN:
        text = f"{text[: SHOWN // 2]}\n[...]\n{text[-SHOWN // 2 :]}"
    return f"exit code {done.returncode}\n{text}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.solve.controls")
    parser.add_argument("kind", choices=("single", "bash"))
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("prompt")
    parser.add_argument("files", nargs="*")
    asked = parser.parse_args()
    try:
        if asked.kind == "single":
            single(asked.url, asked.model, asked.prompt, asked.files)
        else:
            bash(asked.url, asked.model, asked.prompt)
    except urllib.error.URLError as error:
        sys.stderr.write(f"error: the model did not answer: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
