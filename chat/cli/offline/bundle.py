"""raft-chat bundle: write the program, its page and what it runs on to one file that Python runs by itself.

Rules
- The file is made of what is imported here: a checkout, an installation or another bundle.  Nothing is downloaded.
- It holds sources only (bare_source.py), so it runs on any Python that raft-chat supports.  The packages can do without
  their compiled parts.
- The same sources make the same bytes: names are sorted, and all times are those of the oldest entry a zip can have.
- The file gets its name when all of it is written.  Only another bundle is overwritten.
"""

import configparser
import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from importlib.machinery import SourceFileLoader
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from zipimport import zipimporter

from chat.api import page_files
from chat.cli.node_client import CommandFailed, sub_parser
from chat.cli.offline.bare_source import bare
from chat.cli.option_table import OptionRefused
from chat.logs.log_lines import escaped

MODULE: Final = "raft_chat"
MODULES: Final = (MODULE, "raft_chat_node")
PACKAGES: Final = ("chat", "raft")
# By the names of their imports; those of the distributions have hyphens.
DEPENDENCIES: Final = ("h11", "markupsafe", "simple_websocket", "werkzeug", "wsproto")
SHEBANG: Final = b"#!/usr/bin/env python3\n"
# Runs the module as a program: it blocks signals before the imports, which take some time.
MAIN: Final = f'import runpy\n\nrunpy.run_module("{MODULE}", run_name="__main__")\n'.encode()
OLDEST: Final = (1980, 1, 1, 0, 0, 0)
FILE_MODE, OUTPUT_MODE = 0o644, 0o755
# Licences of distributions that do not name them in their metadata.
USUAL_LICENCES: Final = ("LICENSE", "LICENSE.txt", "LICENSE.rst", "COPYING")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    text = (
        "Write raft-chat with its page and its dependencies to one file, which runs on Python 3.11 or later without "
        "an installation: python3 raft-chat.pyz.  Nothing is downloaded."
    )
    parser = sub_parser("bundle", text)
    parser.add_argument("--output", required=True, metavar="FILE", help="the file to write, like raft-chat.pyz")
    given = parser.parse_args(arguments)
    if not given.output or "\0" in given.output:
        raise OptionRefused(f"--output {given.output!r} is not a path")
    output = Path(given.output)
    _check_place(output)
    content = dict(_content())
    data = archive(content)
    _write(output, data)
    packages = sorted(name.partition(".dist-info/")[0] for name in content if name.endswith(".dist-info/METADATA"))
    print(f"Wrote {escaped(str(output))}: {len(data) / 1024:.0f} KiB with {', '.join(packages)}.")
    return 0


def archive(content: Mapping[str, bytes]) -> bytes:
    """The bytes of a bundle with these files, by their names."""
    out = io.BytesIO()
    out.write(SHEBANG)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        for name, data in sorted(content.items()):
            entry = zipfile.ZipInfo(name, OLDEST)
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = (0o100000 | FILE_MODE) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(entry, data)
    return out.getvalue()


def _content() -> Iterator[tuple[str, bytes]]:
    """The files of a bundle and their names.  Raises CommandFailed if a package cannot be found."""
    yield "__main__.py", MAIN
    for name in MODULES:
        yield f"{name}.py", bare(_module(name))
    for package in (*PACKAGES, *DEPENDENCIES):
        try:
            yield from _sources(files(package), f"{package}/")
        except ModuleNotFoundError:
            raise CommandFailed(f"The package {package} is not installed here. Install it: pip install .") from None
    page = page_files.PACKAGE
    yield f"{page}/__init__.py", bare((files(page) / "__init__.py").read_bytes())
    for path, file in page_files.all_files().items():
        yield f"{page}/{path}", file.body
    yield from _own_metadata()
    for package in DEPENDENCIES:
        yield from _metadata(package)


def _module(name: str) -> bytes:
    """The source of a module that lies outside of all packages."""
    spec = find_spec(name)
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader | zipimporter):
        raise CommandFailed(f"The source of {name} cannot be found.")
    return spec.loader.get_data(spec.origin)


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, bare(entry.read_bytes())


def _own_metadata() -> Iterator[tuple[str, bytes]]:
    """Yield the metadata of the bundle: in a checkout from setup.cfg, whatever else may be installed."""
    spec = find_spec(MODULE)
    checkout = Path(spec.origin if spec is not None and spec.origin else MODULE).parent
    config = configparser.ConfigParser()
    if not config.read(checkout / "setup.cfg", encoding="utf-8") or "metadata" not in config:
        yield from _metadata(MODULE)
        return
    about = config["metadata"]
    folder = f"{MODULE}-{about['version']}.dist-info"
    fields = {
        "Metadata-Version": "2.1",
        "Name": about["name"],
        "Version": about["version"],
        "Summary": about["description"],
        "License": about["license"],
        "Requires-Python": config["options"]["python_requires"],
        "License-File": about["license_files"],
    }
    text = "".join(f"{name}: {value}\n" for name, value in fields.items())
    yield f"{folder}/METADATA", text.encode()
    yield f"{folder}/{about['license_files']}", (checkout / about["license_files"]).read_bytes()


def _metadata(package: str) -> Iterator[tuple[str, bytes]]:
    """The metadata and the licences of an installed distribution.  Raises CommandFailed if there are none."""
    try:
        found = metadata.distribution(package.replace("_", "-"))
    except metadata.PackageNotFoundError:
        raise CommandFailed(f"The metadata of {package} are not installed here. Install it: pip install .") from None
    folder = f"{package}-{found.version}.dist-info"
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    yield f"{folder}/METADATA", text.encode()
    for name in found.metadata.get_all("License-File") or USUAL_LICENCES:
        for path in (f"licenses/{name}", name):
            if licence := found.read_text(path):
                yield f"{folder}/{path}", licence.encode()
                break


def _check_place(output: Path) -> None:
    """Raise CommandFailed where no file can be, or where something is that is no bundle."""
    try:
        if not output.parent.is_dir():
            raise CommandFailed(f"{output.parent} is no directory. Make it, or choose another --output.")
        if not output.exists():
            return
        if output.is_file():  # a device may have no end
            with zipfile.ZipFile(output) as found:
                if f"{MODULE}.py" in found.namelist():
                    return
    except zipfile.BadZipFile:
        pass
    except OSError as error:
        raise CommandFailed(f"{output}: {error.strerror}") from None
    raise CommandFailed(f"{output} is there and is no bundle of raft-chat. Choose another --output, or remove it.")


def _write(output: Path, data: bytes) -> None:
    """Write the file beside its place, and give it its name when it is whole.  Raises CommandFailed."""
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.write(data)
                os.fchmod(file.fileno(), OUTPUT_MODE)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(output)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CommandFailed(f"{output} cannot be written: {error.strerror}") from None
