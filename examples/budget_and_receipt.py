"""Work within limits of money, tokens and time, and check the receipt of what was done once more.

    python budget_and_receipt.py "The test of mean() fails: fix it"

A turn ends before the request that would go over a limit. The receipt is a file; anyone can check it again, without the
model and without this program.
"""

import subprocess
import sys

import assay


def main(prompt: str) -> int:
    result = assay.run_sync(
        prompt, max_budget_usd=0.50, max_tokens_total=200_000, max_seconds=600, max_turns=30, effort="medium"
    )
    spent = result.assay["tokens"]["total"]
    print(f"{result.outcome}: {result.why}; {spent:,} tokens, ${result.total_cost_usd:.4f}", flush=True)
    if result.outcome == "budget":
        print(f"go on with: resume={result.session_id!r} and a larger budget")
        return 5
    if not result.receipt:
        return 1
    return subprocess.run(["assay", "check", "--receipt", result.receipt], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
