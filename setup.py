"""Builds the compiled form of a message's path where there is a C compiler; where there is none, its source runs.

Each module with a `.pxd` file beside it is compiled: most of the core, and what moves bytes between it and sockets.
BUILD_EXTENSION=yes fails where that is not possible, as images and wheels need it; BUILD_EXTENSION=no leaves it out.
"""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

ROOT = "sidecar"
FREELIST = 256  # records of each class that are kept to be used again, as some arise for every message
CHOICE = os.environ.get("BUILD_EXTENSION", "auto")


class BuildAll(build_ext):
    """Builds all extensions or none: compiled modules rely on each other's types."""

    def finalize_options(self) -> None:
        """Use all processors."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def run(self) -> None:
        """Build; without a compiler, log that and remove every compiled module."""
        try:
            super().run()
        except (CCompilerError, ExecError, PlatformError) as error:
            if CHOICE == "yes":
                raise
            self.announce(f"the compiled form is left out, and plain Python runs: {error}", level=3)
            for path in self.get_outputs():
                Path(path).unlink(missing_ok=True)
            self.extensions = []

    def copy_extensions_to_source(self) -> None:
        """Copy what was built beside its source, for an editable installation."""
        if self.extensions:
            super().copy_extensions_to_source()


def extensions() -> list[Extension]:
    """Return the modules to compile."""
    if CHOICE not in ("auto", "yes", "no"):
        raise SystemExit(f"BUILD_EXTENSION: expected auto, yes or no, got {CHOICE!r}")
    if CHOICE == "no":
        return []
    from Cython.Build import cythonize
    from Cython.Compiler.Options import get_directive_defaults

    # A class of a `.py` file cannot ask for this itself: Cython takes no decorator of its own from a `.pxd` file.
    get_directive_defaults()["freelist"] = FREELIST

    found = []
    for types in sorted(Path(ROOT).rglob("*.pxd")):
        source = types.with_suffix(".pyx") if types.with_suffix(".pyx").exists() else types.with_suffix(".py")
        name = ".".join(source.relative_to(ROOT).with_suffix("").parts)
        found.append(Extension(name, [str(source)], extra_compile_args=["-O3", "-g0"]))
    # Cython ignores the annotations, which describe the Python form; the .pxd files have the C types.
    compiled: list[Extension] = cythonize(
        found, build_dir="build/cython", language_level=3, compiler_directives={"annotation_typing": False}
    )
    return compiled


setup(cmdclass={"build_ext": BuildAll}, ext_modules=extensions())
