#!/usr/bin/env python3
"""Makes a program of the samples in docs/user/sdk.md, so that what stands there compiles and runs.

usage: sdk_samples.py GUIDE OUTPUT.cc

Each block fenced as `cpp` becomes a function, called in order. One with `#include` lines has them
moved to the top. A block that defines main() is a function of another name; one that is fenced as
`cpp declarations` stands outside of functions, for those that follow.
"""
import re
import sys


def blocks(text):
    """(info, first line number, code) of every fenced C++ block."""
    for m in re.finditer(r"^```(cpp[^\n]*)\n(.*?)^```$", text, re.M | re.S):
        yield m[1], text[:m.start(2)].count("\n") + 1, m[2]


def main():
    guide, output = sys.argv[1:]
    with open(guide, encoding="utf-8") as f:
        text = f.read()
    includes, bodies, count = ["#include <cstdio>"], [], 0
    for info, line, code in blocks(text):
        kept = []
        for part in code.split("\n"):
            if part.startswith("#include"):
                includes.append(part)
                part = ""
            kept.append(part)
        body = "\n".join(kept)
        here = f'#line {line} "docs/user/sdk.md"\n'
        if "declarations" in info:
            bodies.append(here + body)
            continue
        count += 1
        if "int main()" in body:
            bodies.append(here + body.replace("int main()", f"int run_main_{count}()") + f"void sample_{count}() {{ run_main_{count}(); }}\n")
        else:
            bodies.append(f"void sample_{count}() {{\n{here}{body}}}\n")
    calls = "".join(f"    sample_{i + 1}();\n" for i in range(count))
    with open(output, "w", encoding="utf-8") as f:
        f.write("\n".join(dict.fromkeys(includes)) + "\n\nnamespace {\n\n" + "\n".join(bodies) + "\n}  // namespace\n\nint main() {\n" + calls)
        f.write(f'    std::printf("{count} samples ran\\n");\n}}\n')


if __name__ == "__main__":
    main()
