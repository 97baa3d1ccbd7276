"""A source file read with the files of its project."""

from __future__ import annotations

from pathlib import Path

from hipopt.includes import with_includes

KERNEL = '#include "types.h"\n__global__ void k(real* x) { x[N] = 1; }\n'


def test_a_header_of_the_project_is_put_in_once(tmp_path: Path) -> None:
    """The header's text stands in the place of its first include, and of no later one."""
    (tmp_path / "types.h").write_text('#include "types.h"\ntypedef float real;\n')
    path = tmp_path / "k.hip"
    path.write_text(KERNEL + '#include "types.h"\n')
    text = with_includes(path, path.read_text())
    assert text.count("typedef float real;") == 1
    assert '"types.h"' not in text


def test_what_is_missing_or_no_source_stays_an_include(tmp_path: Path) -> None:
    """A header that isn't there, and a file that is no source, are not put in."""
    (tmp_path / "secret.txt").write_text("secret")
    path = tmp_path / "k.hip"
    text = '#include "gone.h"\n#include "secret.txt"\n#include <cmath>\n'
    assert with_includes(path, text) == text


def test_the_file_that_includes_a_kernel_gives_its_macros(tmp_path: Path) -> None:
    """A kernel file that another source of its folder includes is read as that source."""
    (tmp_path / "types.h").write_text("typedef float real;\n")
    (tmp_path / "main.cu").write_text(
        '#define N 3\n#include "k.cu"\nint main() { k<<<1, 1>>>(0); }\n'
    )
    path = tmp_path / "k.cu"
    path.write_text(KERNEL)
    text = with_includes(path, KERNEL)
    assert text.index("#define N 3") < text.index("typedef float real;") < text.index("__global__")
    assert "k<<<1, 1>>>(0)" in text


def test_headers_are_looked_for_where_projects_keep_them(tmp_path: Path) -> None:
    """A header in the project's include folder is put in; the standard library's are not."""
    (tmp_path / "include").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "include" / "types.h").write_text("typedef float real;\n")
    text = "#include <types.h>\n#include <cmath>\n"
    read = with_includes(tmp_path / "src" / "k.hip", text)
    assert read == "typedef float real;\n#include <cmath>\n"


def test_headers_are_looked_for_in_the_folders_around(tmp_path: Path) -> None:
    """A header that several programs share is found above them, the nearest of its name first."""
    folder = tmp_path / "apps" / "blur"
    for place, text in (("common", "far"), ("apps/common", "near")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "types.h").write_text(f"typedef float {text};\n")
    folder.mkdir()
    (tmp_path / "common" / "shapes.h").write_text("struct Shape { int n; };\n")
    text = with_includes(folder / "k.hip", '#include "types.h"\n#include "shapes.h"\n')
    assert text == "typedef float near;\nstruct Shape { int n; };\n"


def test_a_header_of_either_branch_is_put_into_both(tmp_path: Path) -> None:
    """Behind an #if the header is needed again; what every build has is put in once."""
    (tmp_path / "types.h").write_text("#ifndef T\n#define T\ntypedef float real;\n#endif\n")
    (tmp_path / "other.h").write_text('#include "types.h"\n')
    path = tmp_path / "k.hip"
    text = '#ifdef FAST\n#include "types.h"\n#else\n#include "other.h"\n#endif\n'
    guarded = f'// All.\n#ifndef K\n#define K\n{text}#include "types.h"\n#include "other.h"\n#endif'
    assert with_includes(path, text).count("typedef float real;") == 2
    assert with_includes(path, guarded).count("typedef float real;") == 3


def test_headers_are_looked_for_beside_those_that_include_them(tmp_path: Path) -> None:
    """A header above names one beside the kernel, which only the build's folders lead to."""
    (tmp_path / "cuda").mkdir()
    (tmp_path / "torch_side.h").write_text('#include "types.h"\n')
    (tmp_path / "cuda" / "types.h").write_text("typedef float real;\n")
    text = '#include "torch_side.h"\n'
    assert "typedef float real;" in with_includes(tmp_path / "cuda" / "k.hip", text)
