"""Parse files with the grammar of Python 3.6: what a newer interpreter accepts, a Jetson may not."""

import pathlib
import sys

import parso

GRAMMAR = parso.load_grammar(version="3.6")


def main(paths):
    """Print every syntax error in the Python files below `paths`; exit code 1 if there is one."""
    files = [file for path in map(pathlib.Path, paths) for file in ([path] if path.is_file() else path.rglob("*.py"))]
    errors = [
        f"{file}:{error.start_pos[0]}: {error.message}"
        for file in sorted(files)
        for error in GRAMMAR.iter_errors(GRAMMAR.parse(file.read_text(encoding="utf-8")))
    ]
    print("\n".join(errors) or f"{len(files)} files parse under Python 3.6")
    return bool(errors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
