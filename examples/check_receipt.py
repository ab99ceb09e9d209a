"""Check a receipt without trusting its maker: from the commit it began with, apply its patch, run its checks again.

    python check_receipt.py RECEIPT [COMMIT]

Runs in a git repository. COMMIT (default: HEAD) is the state before the change. Exit 0 when every row holds.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main(receipt: str, commit: str = "HEAD") -> int:
    file = Path(receipt).resolve()
    found = json.loads(file.read_bytes())
    print(f"{found['outcome']}: {found['why']}")
    with tempfile.TemporaryDirectory() as folder:
        clone = f"{folder}/clone"
        subprocess.run(["git", "clone", "-q", ".", clone], check=True)
        subprocess.run(["git", "checkout", "-q", commit], cwd=clone, check=True)
        subprocess.run(["git", "apply", "--whitespace=nowarn"], cwd=clone, input=found["patch"].encode(), check=True)
        # Refuses when the files are not byte for byte those that the receipt speaks for.
        return subprocess.run(["assay", "check", "--receipt", str(file)], cwd=clone, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
