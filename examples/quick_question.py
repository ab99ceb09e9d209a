"""Ask one question about the project in the current directory.

    python quick_question.py "What is here?"

`run_sync` needs no event loop; it works in scripts, in threads and in notebooks.
"""

import sys

import assay


def main(question: str = "What is here?") -> int:
    result = assay.run_sync(question, permission_mode="plan", max_turns=20)
    print(result.result)
    return 0 if result.outcome == "answered" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
