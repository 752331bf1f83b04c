#!/usr/bin/env python3
"""Writes docs/user/configuration.md from `spanloom config print`; --check only compares."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("SPANLOOM_BINARY", os.path.join(ROOT, "build", "release", "spanloom"))
PAGE = os.path.join(ROOT, "docs", "user", "configuration.md")
HEAD = """# Configuration

spanloom runs without any. A YAML file given with `--config` overrides the defaults, flags override the
file; a key it does not know is an error that names the line. `spanloom config check FILE` checks a
file, `spanloom config print` prints what is in force. These are all settings with their defaults:

```yaml
"""


def main():
    printed = subprocess.run([BINARY, "config", "print"], capture_output=True, text=True, check=True).stdout
    page = HEAD + printed + "```\n"
    if "--check" in sys.argv:
        with open(PAGE, encoding="utf-8") as f:
            same = f.read() == page
        print("docs/user/configuration.md is up to date" if same else "docs/user/configuration.md is not what the binary prints: run tools/configuration_page.py")
        return 0 if same else 1
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
