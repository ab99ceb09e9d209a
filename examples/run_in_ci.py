"""Let assay do a task in CI and decide by its evidence.

    python run_in_ci.py "The test of mean() fails: fix it" --check "python -m unittest"

Further arguments go to `assay` as they are. Exit 0 when the result is verified, 1 when a person should look, 2 when
nothing could be done.
"""

import json
import subprocess
import sys

LIMITS = ("--max-turns", "40", "--max-seconds", "900")


def main(prompt: str, *options: str) -> int:
    command = ["assay", "-p", prompt, "--output-format", "json", *LIMITS, *options]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False)
    if not done.stdout:  # no turn could begin; standard error has said why
        return 2
    result = json.loads(done.stdout)
    proof = result["assay"]
    print(f"{proof['outcome']}: {proof['why']}")
    print(result["result"])
    for row in proof["evidence"]:
        print(f"- {row['class']} {row['criterion']}: {row['before']} -> {row['after']} (`{row['command']}`)")
    for item in proof["unchecked"]:
        print(f"- not checked: {item}")
    match proof["outcome"]:
        case "verified" | "answered":
            return 0
        case "partial" | "unverified" | "failed" | "needs_approval":
            return 1
        case _:  # key, provider, budget, stuck, sandbox, storage: see the table of exit codes
            return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
