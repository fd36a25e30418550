"""Run ``glassnf compare --quick`` and put its tables and figure into the README.

python docs/update_readme.py "2 cores of such a machine"
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"<!-- numbers: glassnf compare --quick -->\n.*?<!-- /numbers -->", re.DOTALL)


def main() -> None:
    """Run, then rewrite README.md and docs/images/compare-quick.png."""
    machine = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["glassnf", "compare", "--quick", "--no-cache", "-o", folder]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        data = json.loads(Path(folder, "compare.json").read_text(encoding="utf-8"))
        shutil.copyfile(Path(folder, "compare.png"), ROOT / "docs" / "images" / "compare-quick.png")
    tables = "\n".join(line.rstrip() for line in printed.splitlines() if folder not in line).strip()
    date, seconds = data["created"][:10], round(data["seconds"])
    caption = f"`glassnf compare --quick` on {machine}, {date}; it took {seconds} s."
    block = f"<!-- numbers: glassnf compare --quick -->\n```\n{tables}\n```\n\n{caption}\n<!-- /numbers -->"
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(lambda _: block, readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
